// retention: a spike of memory is over, and the runtime keeps the free pages.
//
// With GOGC=off and a memory limit, nothing makes the scavenger return them:
// usage is below the limit, and no cycle corrects the estimate that was made
// at the peak. With -gogc 1000 the same lasts until the forced cycle, two
// minutes later; the command tick makes a new spike.
package main

import (
	"flag"
	"runtime"
	"runtime/debug"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

const block = 16 << 10

var live, spike [][]byte

func main() {
	liveMiB := flag.Int("live", 20, "live heap, MiB")
	spikeMiB := flag.Int("spike", 180, "memory of the spike, MiB")
	gogc := flag.Int("gogc", -1, "GOGC, -1 for off")
	limit := flag.Int("limit", 512, "GOMEMLIMIT in MiB, 0 for none")
	flag.Parse()
	debug.SetGCPercent(*gogc)
	if *limit > 0 {
		debug.SetMemoryLimit(truth.Bytes(*limit))
	}

	live = fill(*liveMiB)
	peak := func() {
		// This one sets the goal that the one after the spike is compared with.
		runtime.GC()
		spike = fill(*spikeMiB)
		spike = nil
		// Exactly one: a second one would see a small heap, and the scavenger
		// would begin to give the pages back.
		runtime.GC()
	}
	peak()
	truth.Serve(truth.Demo{
		Name:  "retention",
		Cause: "retention",
		Expect: map[string]int64{
			"heap.live": truth.Bytes(*liveMiB),
			"heap.free": truth.Bytes(*spikeMiB),
		},
		Commands: map[string]func(){"tick": peak},
	})
}

func fill(mib int) [][]byte {
	b := make([][]byte, truth.Bytes(mib)/block)
	for i := range b {
		b[i] = make([]byte, block)
		truth.Touch(b[i])
	}
	return b
}
