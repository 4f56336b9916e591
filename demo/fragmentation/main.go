// fragmentation: many small objects are allocated next to each other, and one
// in ten of them survives. The survivors keep their spans, and the holes
// between them stay in memory.
package main

import (
	"flag"
	"runtime/debug"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

// One type per size class. The last one leaves room for the 8-byte header
// that Go 1.22 and later put in front of objects above 512 bytes.
type (
	tiny struct {
		next *tiny
		pad  [64 - 8]byte
	}
	small struct {
		next *small
		pad  [208 - 8]byte
	}
	medium struct {
		next *medium
		pad  [512 - 8]byte
	}
	large struct {
		next *large
		pad  [1152 - 16]byte
	}
)

var (
	tinies  *tiny
	smalls  *small
	mediums *medium
	larges  *large
)

func main() {
	grow := flag.Int("grow", 220, "small objects to allocate, MiB")
	drop := flag.Int("drop", 10, "keep one in this many")
	flag.Parse()

	// One collection at the end instead of several on the way: the survivors
	// are then spread evenly, whatever the version's pacing.
	old := debug.SetGCPercent(-1)
	each := truth.Bytes(*grow) / 4
	var kept int64
	for i := 0; i < int(each/64); i++ {
		n := &tiny{}
		n.pad[0] = 1
		if i%*drop == 0 {
			n.next, tinies, kept = tinies, n, kept+64
		}
	}
	for i := 0; i < int(each/208); i++ {
		n := &small{}
		n.pad[0] = 1
		if i%*drop == 0 {
			n.next, smalls, kept = smalls, n, kept+208
		}
	}
	for i := 0; i < int(each/512); i++ {
		n := &medium{}
		n.pad[0] = 1
		if i%*drop == 0 {
			n.next, mediums, kept = mediums, n, kept+512
		}
	}
	for i := 0; i < int(each/1152); i++ {
		n := &large{}
		n.pad[0] = 1
		if i%*drop == 0 {
			n.next, larges, kept = larges, n, kept+1152
		}
	}
	debug.SetGCPercent(old)
	truth.Settle()

	truth.Serve(truth.Demo{
		Name:  "fragmentation",
		Cause: "fragmentation",
		// No number for heap.slots: a 1152-byte span has seven slots, so some
		// of those spans are free altogether.
		Expect: map[string]int64{"heap.live": kept},
	})
}
