// pool: buffers parked for reuse: most in a sync.Pool, some in a free list of
// the program's own. They are live, and nobody uses them.
//
// A sync.Pool forgets what was not used for two cycles. So that it is filled
// like one in use, the buffers are taken out and put back now and then.
package main

import (
	"bytes"
	"flag"
	"runtime"
	"sync"
	"time"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

const buffer = 2 << 20

var (
	parked   sync.Pool
	freelist = make(chan []byte, 1024)
)

func main() {
	runtime.MemProfileRate = 4096 // few allocations: an exact profile costs nothing
	mib := flag.Int("pool", 110, "buffers in the sync.Pool, MiB")
	list := flag.Int("list", 30, "buffers in the free list, MiB, at most 2048")
	every := flag.Duration("every", 30*time.Second, "time between two uses of the pool")
	flag.Parse()

	used := make([]*bytes.Buffer, truth.Bytes(*mib)/buffer)
	for i := range used {
		b := make([]byte, buffer)
		truth.Touch(b)
		used[i] = bytes.NewBuffer(b[:0])
	}
	for i := 0; i < int(truth.Bytes(*list)/buffer) && i < cap(freelist); i++ {
		b := make([]byte, buffer)
		truth.Touch(b)
		freelist <- b
	}
	truth.Settle() // before they are parked: a cycle would age the pool
	for i, b := range used {
		parked.Put(b)
		used[i] = nil
	}
	use := func() {
		n := 0
		for ; n < len(used); n++ {
			b, _ := parked.Get().(*bytes.Buffer)
			if b == nil {
				break
			}
			used[n] = b
		}
		for i := range used[:n] {
			parked.Put(used[i])
			used[i] = nil
		}
	}
	truth.Serve(truth.Demo{
		Name:  "pool",
		Cause: "pool",
		Expect: map[string]int64{
			"heap.live": truth.Bytes(*mib + *list),
			"sync.Pool": truth.Bytes(*mib),
			"freelist":  truth.Bytes(*list),
		},
		Every: *every,
		Tick:  use,
	})
}
