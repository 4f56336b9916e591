// churn: allocates and is collected as fast as it can, on all cores. It is a
// load for tests, with a probe for what others do to it: a goroutine that
// wants to run every millisecond notes how late it is.
//
// It ends by itself after -max-seconds and reports on its way out. The
// command reset clears the numbers, report and truth print them.
package main

import (
	"flag"
	"runtime"
	"sync/atomic"
	"time"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

type node struct {
	left, right *node
	pad         [48]byte
}

// numbers is what the probe and the workers count. No locks: a reader that
// waits must not hold up the heartbeat.
type numbers struct {
	bytes, objects, beats atomic.Int64
	max                   atomic.Int64
	began                 atomic.Int64
	gaps                  [8192]atomic.Int64 // by 50 µs; the last one takes the rest
}

const bucket = 50 * time.Microsecond

// A worker allocates one subtree at a time: 2047 nodes of 64 bytes.
const (
	depth = 10
	nodes = 1<<(depth+1) - 1
)

var (
	num   numbers
	roots [][]*node // per worker: the subtrees that are live
	stop  atomic.Bool
)

func main() {
	cores := flag.Int("cores", runtime.NumCPU(), "goroutines that allocate")
	liveMiB := flag.Int("live", 64, "live heap, MiB")
	seconds := flag.Float64("max-seconds", 60, "end after this time")
	flag.Parse()
	// One more than the workers need, so that the heartbeat waits for the
	// machine and not for a worker's time slice.
	runtime.GOMAXPROCS(*cores + 1)

	roots = make([][]*node, *cores)
	each := int(truth.Bytes(*liveMiB)) / 64 / nodes / *cores
	for i := range roots {
		roots[i] = make([]*node, each+1)
		go work(roots[i])
	}
	reset()
	go heartbeat()
	end := time.Now().Add(time.Duration(*seconds * float64(time.Second)))
	time.Sleep(500 * time.Millisecond) // a few cycles, so that profile and goal exist
	reset()
	truth.Serve(truth.Demo{
		Name:     "churn",
		Expect:   map[string]int64{"heap.live": truth.Bytes(*liveMiB)},
		Commands: map[string]func(){"reset": reset, "report": func() { truth.Say("churn", report()) }},
		Every:    time.Until(end),
		Tick:     func() { stop.Store(true); truth.Quit() },
		Report:   func() (string, interface{}) { return "churn", report() },
	})
}

// work replaces its subtrees for ever.
func work(branches []*node) {
	for i := 0; !stop.Load(); i++ {
		branches[i%len(branches)] = tree(depth)
		num.objects.Add(nodes)
		num.bytes.Add(nodes * 64)
	}
}

func tree(depth int) *node {
	n := &node{}
	n.pad[0] = 1
	if depth > 0 {
		n.left, n.right = tree(depth-1), tree(depth-1)
	}
	return n
}

func heartbeat() {
	last := time.Now()
	for !stop.Load() {
		time.Sleep(time.Millisecond)
		now := time.Now()
		gap := now.Sub(last)
		last = now
		b := int(gap / bucket)
		if b >= len(num.gaps) {
			b = len(num.gaps) - 1
		}
		num.gaps[b].Add(1)
		num.beats.Add(1)
		if int64(gap) > num.max.Load() {
			num.max.Store(int64(gap))
		}
	}
}

func reset() {
	num.bytes.Store(0)
	num.objects.Store(0)
	num.beats.Store(0)
	num.max.Store(0)
	for i := range num.gaps {
		num.gaps[i].Store(0)
	}
	num.began.Store(time.Now().UnixNano())
}

// report gives times in milliseconds between two beats that should be 1 ms apart.
func report() map[string]interface{} {
	s := float64(time.Now().UnixNano()-num.began.Load()) / 1e9
	return map[string]interface{}{
		"seconds": s, "mib_per_s": float64(num.bytes.Load()) / truth.MiB / s,
		"objects_per_s": float64(num.objects.Load()) / s, "beats": num.beats.Load(),
		"p50_ms": quantile(0.50), "p99_ms": quantile(0.99), "max_ms": float64(num.max.Load()) / 1e6,
		"gc_cycles": truth.Cycles(),
		"bucket_ms": bucket.Seconds() * 1e3, "gaps": histogram(),
	}
}

// histogram is the counts of gaps by bucket, so that several reports can be
// added up; the empty ones at the end are left out.
func histogram() []int64 {
	var h []int64
	for i := range num.gaps {
		h = append(h, num.gaps[i].Load())
	}
	for len(h) > 0 && h[len(h)-1] == 0 {
		h = h[:len(h)-1]
	}
	return h
}

// quantile is the upper edge of the bucket that holds it.
func quantile(q float64) float64 {
	total := int64(0)
	for i := range num.gaps {
		total += num.gaps[i].Load()
	}
	seen := int64(0)
	for i := range num.gaps {
		if seen += num.gaps[i].Load(); float64(seen) >= q*float64(total) {
			return float64(i+1) * bucket.Seconds() * 1e3
		}
	}
	return float64(len(num.gaps)) * bucket.Seconds() * 1e3
}
