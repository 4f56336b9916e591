// leakedgoroutines: every request starts a goroutine that waits for an answer
// which never comes. The stacks are small; there are just too many of them.
package main

import (
	"flag"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

func main() {
	n := flag.Int("goroutines", 60000, "goroutines to leak")
	flag.Parse()

	started := make(chan struct{})
	for i := 0; i < *n; i++ {
		handleRequest(started)
	}
	truth.Settle()
	truth.Serve(truth.Demo{
		Name:   "leakedgoroutines",
		Cause:  "goroutines",
		Expect: map[string]int64{"stacks": int64(*n) * 2048}, // the smallest stack
	})
}

// handleRequest gives up on the answer, as a request that times out does, and
// nobody receives what the goroutine wants to send.
func handleRequest(started chan struct{}) {
	answer := make(chan int)
	go func() {
		started <- struct{}{}
		answer <- 42
	}()
	<-started
}
