// stale: the heap profile describes another time. What is allocated shows up
// two cycles later, and what is freed one cycle later; until then the program
// may have doubled or emptied its heap.
//
// With -mode new (the default) a structure has survived one cycle and is not
// in the profile. With -mode dropped it is gone, and the profile has it still.
// GC is off in the end, or the forced cycle would correct the profile.
package main

import (
	"errors"
	"flag"
	"math"
	"runtime/debug"
	"time"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

const object = 4096

var (
	live, index [][]byte
	sink        []byte
)

func main() {
	mode := flag.String("mode", "new", "new or dropped")
	mib := flag.Int("size", 150, "structure that the profile is wrong about, MiB")
	liveMiB := flag.Int("live", 20, "live heap that it is right about, MiB")
	flag.Parse()

	debug.SetGCPercent(-1)
	live = fill(*liveMiB)
	expect := map[string]int64{}
	cause := "profile-stale"
	switch *mode {
	case "new":
		truth.Settle()
		index = fill(*mib)
		expect["heap.live"] = truth.Bytes(*liveMiB + *mib)
		expect["profile"] = truth.Bytes(*liveMiB)
	case "dropped":
		index = fill(*mib)
		truth.Settle()
		index = nil
		expect["heap.live"] = truth.Bytes(*liveMiB)
		expect["profile"] = truth.Bytes(*liveMiB + *mib)
		cause = "not-a-gap" // the pages are returned: RSS is below the profile
	default:
		truth.Fatal(errors.New("-mode: new or dropped"))
	}
	cycle := oneCycle()
	if *mode == "dropped" {
		returnPages(truth.Bytes(*liveMiB + 32))
	}
	if truth.Cycles() != cycle {
		truth.Fatal(errors.New("a cycle too many: the profile is up to date"))
	}
	truth.Serve(truth.Demo{Name: "stale", Cause: cause, Expect: expect})
}

// oneCycle lets allocation start one ordinary cycle, and returns its number.
// runtime.GC will not do: it publishes the profile of its own cycle.
func oneCycle() uint64 {
	before := truth.Cycles()
	debug.SetGCPercent(5)
	for truth.Cycles() == before {
		sink = make([]byte, 64<<10)
		time.Sleep(time.Millisecond)
	}
	debug.SetGCPercent(-1)
	sink = nil
	return before + 1
}

// returnPages makes the runtime return what is free. FreeOSMemory would
// collect, and the background scavenger leaves alone what was freed in the
// cycle before. But an allocation above the memory limit returns as much as it
// is above it, on the spot, and after that there is no reason for a cycle.
func returnPages(limit int64) {
	debug.SetMemoryLimit(limit)
	sink = make([]byte, 64<<10)
	sink = nil
	debug.SetMemoryLimit(math.MaxInt64)
}

func fill(mib int) [][]byte {
	b := make([][]byte, truth.Bytes(mib)/object)
	for i := range b {
		b[i] = make([]byte, object)
		b[i][0] = 1
	}
	return b
}
