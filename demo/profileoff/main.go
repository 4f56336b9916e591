// profileoff: a program without any pprof. The linker sees that nothing uses
// runtime.MemProfile and turns sampling off, so no heap profile exists.
//
// Do not import heapprof here.
package main

import (
	"flag"
	"fmt"
	"runtime"

	"whyrss.demo/truth"
)

type record struct {
	next *record
	pad  [1016 - 8]byte
}

var list *record

func main() {
	mib := flag.Int("live", 120, "live heap, MiB")
	flag.Parse()
	if runtime.MemProfileRate != 0 {
		truth.Fatal(fmt.Errorf("MemProfileRate is %d: something links runtime.MemProfile", runtime.MemProfileRate))
	}

	n := int(truth.Bytes(*mib) / 1024)
	for i := 0; i < n; i++ {
		list = &record{next: list}
		list.pad[0] = 1
	}
	truth.Settle()
	truth.Serve(truth.Demo{
		Name:   "profileoff",
		Cause:  "profile-off",
		Expect: map[string]int64{"profile": 0, "heap.live": int64(n) * 1024},
	})
}
