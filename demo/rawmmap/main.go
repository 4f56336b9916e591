// rawmmap: memory from mmap(2) beside the Go heap, as off-heap caches use it.
// No counter of Go's shows it.
package main

import (
	"flag"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

var live []byte

func main() {
	mib := flag.Int("size", 180, "memory to map, MiB")
	pieces := flag.Int("pieces", 3, "number of mappings")
	liveMiB := flag.Int("live", 20, "live heap, MiB")
	flag.Parse()

	live = make([]byte, truth.Bytes(*liveMiB))
	truth.Touch(live)
	var mapped int64
	for i := 0; i < *pieces; i++ {
		b := truth.MapAnon(truth.Bytes(*mib)/int64(*pieces)&^4095, 0)
		truth.Touch(b)
		mapped += int64(len(b))
	}
	truth.Settle()
	truth.Serve(truth.Demo{
		Name:   "rawmmap",
		Cause:  "raw-mmap",
		Expect: map[string]int64{"anon": mapped, "heap.live": truth.Bytes(*liveMiB)},
	})
}
