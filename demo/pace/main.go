// pace: allocates at a pace that the wall clock sets, in one of four ways that programs have. A
// load for the forecasts of what-if: what it allocates and keeps does not depend on the collector.
package main

import (
	"flag"
	"math/rand"
	"time"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

const mib = 1 << 20

// node is what most of the heap consists of: pointers to follow, and some bytes.
type node struct {
	next *node
	pad  [248]byte
}

var (
	live  []*node // chains of 256 KiB
	spare *node   // garbage passes through here
	cache map[int]*node
)

const chainNodes = 256 << 10 / 256

func chain() *node {
	var first *node
	for i := 0; i < chainNodes; i++ {
		n := &node{next: first}
		n.pad[0] = 1
		first = n
	}
	return first
}

func fill(n int) {
	for len(live) < n*mib/(256<<10) {
		live = append(live, chain())
	}
}

// pace calls step, which allocates 256 KiB, so often that rate(t) MiB a second come out. What could
// not be done in time is not done later.
func pace(rate func(t float64) float64, step func(t float64)) {
	began, last, due := time.Now(), time.Now(), 0.0
	for {
		time.Sleep(time.Millisecond)
		now := time.Now()
		t := now.Sub(began).Seconds()
		due += rate(t) * now.Sub(last).Seconds() * 4
		last = now
		if due > 200 {
			due = 200
		}
		for ; due >= 1; due-- {
			step(t)
		}
	}
}

func main() {
	mode := flag.String("mode", "steady", "steady, bursty, sawtooth or cache")
	size := flag.Int("live", 48, "live heap, MiB")
	mibs := flag.Float64("rate", 80, "MiB allocated a second")
	flag.Parse()
	always := func(float64) float64 { return *mibs }
	garbage := func(float64) { spare = chain() }
	switch *mode {
	case "steady":
		fill(*size)
		go pace(always, garbage)
	case "bursty": // a fifth of each second at four times the rate, the rest slowly
		fill(*size)
		go pace(func(t float64) float64 {
			if t-float64(int(t)) < 0.2 {
				return 4 * *mibs
			}
			return *mibs / 4
		}, garbage)
	case "sawtooth": // keeps a third of what it allocates until it lets go of all of it
		n := 0
		go pace(always, func(float64) {
			c := chain()
			if n++; n%3 == 0 {
				live = append(live, c)
			}
			if len(live) > *size*mib/(256<<10) {
				live = nil
			}
		})
	case "cache": // random entries are replaced
		cache = map[int]*node{}
		entries := *size * mib / (256 << 10)
		for i := 0; i < entries; i++ {
			cache[i] = chain()
		}
		go pace(always, func(float64) { cache[rand.Intn(entries)] = chain() })
	}
	truth.Settle()
	truth.Serve(truth.Demo{Name: "pace", Expect: map[string]int64{"heap.live": truth.Bytes(*size)}})
}
