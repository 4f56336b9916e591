// spantail: objects of a size that does not divide a span. Eleven objects
// of 1408 bytes fit into 16 KiB, and 896 bytes are left over: 6 %. That is
// about as much as the worst of Go's size classes lose.
package main

import (
	"flag"
	"runtime"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

const (
	class = 1408
	span  = 16 << 10
)

var live [][]byte

func main() {
	// The usual error of sampling, 4 % here, would hide an effect of 6 %.
	runtime.MemProfileRate = 16 << 10
	mib := flag.Int("live", 350, "live heap, MiB")
	flag.Parse()

	n := int(truth.Bytes(*mib) / class)
	live = make([][]byte, n)
	for i := range live {
		live[i] = make([]byte, class)
		live[i][0] = 1
	}
	truth.Settle()
	truth.Serve(truth.Demo{
		Name:  "spantail",
		Cause: "span-tail",
		Expect: map[string]int64{
			"heap.live": int64(n)*class + int64(n)*24,
			"heap.tail": int64(n) / 11 * (span - 11*class),
		},
	})
}
