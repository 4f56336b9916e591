module whyrss.test/leaker

go 1.21
