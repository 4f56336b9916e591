// schedule: a steady live heap and the garbage that GOGC allows on top of it.
//
// The garbage stops just below the point where the next cycle would start. An
// idle process is collected every two minutes all the same: the command tick
// (or -keep) brings the state back.
package main

import (
	"flag"
	"runtime"
	"runtime/debug"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

const object = 1024

var live [][]byte

func main() {
	liveMiB := flag.Int("live", 60, "live heap, MiB")
	gogc := flag.Int("gogc", 300, "GOGC")
	keep := flag.Duration("keep", 0, "look this often whether a GC cleared the garbage, and make it again")
	flag.Parse()
	debug.SetGCPercent(*gogc)

	n := int(truth.Bytes(*liveMiB) / object)
	live = make([][]byte, n)
	for i := range live {
		live[i] = make([]byte, object)
		live[i][0] = 1
	}
	truth.Settle()

	var garbage int64
	var cycle uint64
	fill := func() {
		for {
			runtime.GC()
			cycle = truth.Cycles()
			garbage = truth.Garbage(object)
			if truth.Cycles() == cycle {
				return
			}
		}
	}
	fill()
	truth.Serve(truth.Demo{
		Name:  "schedule",
		Cause: "gc-schedule",
		Expect: map[string]int64{
			"heap.live": int64(n)*object + int64(n)*24,
			"heap.new":  garbage,
		},
		Commands: map[string]func(){"tick": fill},
		Every:    *keep,
		Tick: func() {
			if truth.Cycles() != cycle {
				fill()
			}
		},
	})
}
