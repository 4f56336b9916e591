// nothing: a healthy program. Nearly all of its memory is live heap, just
// collected, and the profile shows it.
package main

import (
	"flag"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

// Large blocks: the profile samples every one of them, so that its error does
// not look like a finding.
const block = 4 // MiB

var live [][]byte

func main() {
	mib := flag.Int("live", 100, "live heap, MiB")
	flag.Parse()

	live = make([][]byte, *mib/block)
	for i := range live {
		live[i] = make([]byte, block*truth.MiB)
		truth.Touch(live[i])
	}
	truth.Settle()
	truth.Serve(truth.Demo{
		Name:   "nothing",
		Cause:  "nothing-wrong",
		Expect: map[string]int64{"heap.live": truth.Bytes(*mib)},
	})
}
