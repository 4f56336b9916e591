// leaker: grows by 8 MiB a second in Go or in C, or up to a plateau, and collects twice a second.
package main

/*
#include <stdlib.h>
#include <string.h>
static void *volatile last; // or the compiler leaves it out
static void leak(size_t n) { last = malloc(n); memset(last, 1, n); }
*/
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"time"
)

var kept [][]byte

func leakGo(n int) {
	b := make([]byte, n)
	for i := range b {
		b[i] = 1
	}
	kept = append(kept, b)
}

func main() {
	if len(os.Args) > 2 { // with this the profile is linked
		pprof.WriteHeapProfile(os.Stdout)
	}
	fmt.Println("ready")
	for i := 0; ; i++ {
		switch os.Args[1] {
		case "go":
			leakGo(16 << 10)
		case "c":
			C.leak(16 << 10)
		case "plateau":
			if i < 3*512 {
				leakGo(16 << 10)
			}
		}
		if i%256 == 0 {
			runtime.GC()
		}
		time.Sleep(2 * time.Millisecond)
	}
}
