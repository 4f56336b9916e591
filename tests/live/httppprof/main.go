// Serves net/http/pprof on loopback: what whyrss serve is compared with.
package main

import (
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof"
	"runtime"
	"time"
)

var kept [][]byte

func main() {
	for i := 0; i < 2000; i++ {
		kept = append(kept, make([]byte, 4096))
	}
	runtime.GC()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	time.AfterFunc(5*time.Minute, func() { l.Close() })
	fmt.Println(l.Addr())
	http.Serve(l, nil)
}
