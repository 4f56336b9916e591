// fatstacks: a few hundred goroutines recursed deeply once, for one big
// request each, and wait in a shallow frame now. A stack shrinks only when
// less than a quarter of it is in use, and theirs are just above that.
package main

import (
	"flag"
	"sync"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

// A frame of recurse takes a little more than 1 KiB: 235 of them fill a stack
// of 256 KiB, 66 of them are 26 % of it.
const (
	frame   = 1040
	deepest = 235
	waiting = 66
)

var never = make(chan struct{})

func main() {
	n := flag.Int("goroutines", 600, "goroutines")
	flag.Parse()

	var started sync.WaitGroup
	started.Add(*n)
	for i := 0; i < *n; i++ {
		go func() { recurse(1, started.Done) }()
	}
	started.Wait()
	truth.Settle()
	truth.Serve(truth.Demo{
		Name:  "fatstacks",
		Cause: "stacks",
		Expect: map[string]int64{
			// What was touched of it; as the stack grew by doubling, the rest is not there.
			"stack.spare": int64(*n) * (deepest - waiting) * frame,
			"stack.used":  int64(*n) * waiting * 1040,
		},
	})
}

// recurse goes down to the deepest level, comes back up and waits on the way.
//
//go:noinline
func recurse(level int, arrived func()) byte {
	var local [1000]byte
	local[level] = 1
	if level == deepest {
		return local[level]
	}
	b := recurse(level+1, arrived)
	if level == waiting {
		arrived()
		<-never
	}
	return b + local[level]
}
