// profiler: the heap profiler's own memory. It keeps a bucket for every
// distinct stack that ever allocated, for ever; a program with very many of
// them pays for it even when nothing of that is live any more.
package main

import (
	"flag"
	"runtime"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

var (
	live []byte
	sink *[16]byte
)

func main() {
	runtime.MemProfileRate = 1 // every allocation: it is the buckets that this is about
	mib := flag.Int("buckets", 150, "profile buckets, MiB")
	liveMiB := flag.Int("live", 10, "live heap, MiB")
	flag.Parse()

	live = make([]byte, truth.Bytes(*liveMiB))
	truth.Touch(live)
	// A bucket is larger the deeper the profiler looks: 32 frames up to Go
	// 1.22, 128 after it. So ask how large they are now, not how many.
	var m runtime.MemStats
	for path := uint64(0); int64(m.BuckHashSys) < truth.Bytes(*mib); path++ {
		if path%4096 == 0 {
			runtime.ReadMemStats(&m)
		}
		walk(path, 22, 70)
	}
	sink = nil
	truth.Settle()
	runtime.ReadMemStats(&m)
	truth.Serve(truth.Demo{
		Name:  "profiler",
		Cause: "profiler-overhead",
		Expect: map[string]int64{
			"runtime.profiler": int64(m.BuckHashSys),
			"heap.live":        truth.Bytes(*liveMiB),
		},
		NoHeap: true, // a gigabyte of text, and as much garbage here
	})
}

// walk goes down to an allocation. Each of the last turns levels is called
// from one of two places, by a bit of path, so every path is another stack;
// the levels before it only make the stack as deep as real ones are.
//
//go:noinline
func walk(path uint64, turns, before int) {
	switch {
	case before > 0:
		walk(path, turns, before-1)
	case turns == 0:
		sink = new([16]byte)
	case path&1 == 0:
		walk(path>>1, turns-1, 0)
	default:
		walk(path>>1, turns-1, 0)
	}
}
