// limitmisfit: GOMEMLIMIT is lower than what the program needs. The collector
// can't reach it, so every allocation starts another cycle.
//
// The load is small on purpose: a few cycles a second over a heap without
// pointers. The allocations are made between two reads of stdin, so no
// goroutine is needed.
package main

import (
	"flag"
	"runtime"
	"runtime/debug"
	"time"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

// Large blocks: the profile samples every one of them.
const block = 4 // MiB

var (
	live [][]byte
	sink []byte
)

func main() {
	limit := flag.Int("limit", 48, "GOMEMLIMIT, MiB")
	runtime.MemProfileRate = 4096 // few allocations: an exact profile costs nothing
	mib := flag.Int("live", 128, "live heap, MiB")
	every := flag.Duration("every", 250*time.Millisecond, "time between two allocations of 64 KiB, 0 for none")
	flag.Parse()

	live = make([][]byte, *mib/block)
	for i := range live {
		live[i] = make([]byte, block*truth.MiB)
		truth.Touch(live[i])
	}
	debug.SetMemoryLimit(truth.Bytes(*limit))
	truth.Settle()
	truth.Serve(truth.Demo{
		Name:   "limitmisfit",
		Cause:  "limit-misfit",
		Expect: map[string]int64{"heap.live": truth.Bytes(*mib), "limit": truth.Bytes(*limit)},
		Every:  *every,
		Tick:   func() { sink = make([]byte, 64<<10) },
	})
}
