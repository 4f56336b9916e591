module whyrss.demo

go 1.21
