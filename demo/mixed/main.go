// mixed: everything at once, each part with a flag: the program "leaky" that
// today's tools were measured on, at a quarter of its size.
//
//	mixed -grow 1024 -drop 10 -goroutines 2000 -depth 24 -cgo 128 -mmapfile 200
//	      -mmapanon 100 -globals 64 -ballast 256 -large 256
//
// is the program of that measurement.
package main

import (
	"flag"
	"os"
	"runtime/debug"
	"sync"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

type (
	tiny struct {
		next *tiny
		pad  [64 - 8]byte
	}
	small struct {
		next *small
		pad  [208 - 8]byte
	}
	medium struct {
		next *medium
		pad  [512 - 8]byte
	}
	big struct {
		next *big
		pad  [1152 - 16]byte // room for the 8-byte header of Go 1.22 and later
	}
)

const block = 64 << 10

var (
	tinies  *tiny
	smalls  *small
	mediums *medium
	bigs    *big
	ballast []byte
	larges  [][]byte
	globals [256 << 20]byte // .bss: only what is touched costs memory
	never   = make(chan struct{})
)

func main() {
	grow := flag.Int("grow", 256, "small objects, MiB")
	drop := flag.Int("drop", 10, "then keep one in this many of them")
	goroutines := flag.Int("goroutines", 500, "blocked goroutines")
	depth := flag.Int("depth", 24, "depth of their stacks, 1 KiB a frame")
	c := flag.Int("cgo", 32, "C memory that is never freed, MiB")
	mmapfile := flag.Int("mmapfile", 50, "mapped file, MiB")
	mmapanon := flag.Int("mmapanon", 25, "raw anonymous mapping, MiB")
	global := flag.Int("globals", 16, "touched global data, MiB, at most 256")
	ballastMiB := flag.Int("ballast", 64, "one allocation that is never touched, MiB")
	large := flag.Int("large", 64, "64 KiB blocks, MiB; one in four is kept")
	flag.Parse()

	expect := map[string]int64{}
	if *ballastMiB > 0 {
		ballast = make([]byte, truth.Bytes(*ballastMiB))
	}
	old := debug.SetGCPercent(-1) // one collection at the end, so that the survivors are spread evenly
	live := growHeap(truth.Bytes(*grow), *drop) + growLarge(truth.Bytes(*large))
	debug.SetGCPercent(old)

	n := truth.Bytes(*global)
	if n > int64(len(globals)) {
		n = int64(len(globals))
	}
	truth.Touch(globals[:n])

	spawn(*goroutines, *depth)
	if *c > 0 {
		if got := leakC(truth.Bytes(*c)); got > 0 {
			expect["native.used"] = got
		}
	}
	var path string
	if *mmapfile > 0 {
		f := truth.TempFile("mixed", ".db", truth.Bytes(*mmapfile))
		truth.MapFile(f, truth.Bytes(*mmapfile))
		path = f.Name()
		f.Close()
	}
	if *mmapanon > 0 {
		truth.Touch(truth.MapAnon(truth.Bytes(*mmapanon), 0))
	}
	truth.Settle()

	expect["heap.live"] = live + truth.Bytes(*ballastMiB)
	expect["untouched"] = -truth.Bytes(*ballastMiB)
	expect["files"] = truth.Bytes(*mmapfile)
	expect["anon"] = truth.Bytes(*mmapanon)
	expect["binary.data"] = n
	truth.Serve(truth.Demo{
		Name:   "mixed",
		Cause:  "fragmentation",
		Expect: expect,
		Extra:  nativeExtra,
		Exit: func() {
			if path != "" {
				os.Remove(path)
			}
		},
	})
}

// growHeap allocates n bytes of small objects and keeps one in drop of them.
func growHeap(n int64, drop int) (kept int64) {
	each := n / 4
	for i := 0; i < int(each/64); i++ {
		o := &tiny{}
		o.pad[0] = 1
		if i%drop == 0 {
			o.next, tinies, kept = tinies, o, kept+64
		}
	}
	for i := 0; i < int(each/208); i++ {
		o := &small{}
		o.pad[0] = 1
		if i%drop == 0 {
			o.next, smalls, kept = smalls, o, kept+208
		}
	}
	for i := 0; i < int(each/512); i++ {
		o := &medium{}
		o.pad[0] = 1
		if i%drop == 0 {
			o.next, mediums, kept = mediums, o, kept+512
		}
	}
	for i := 0; i < int(each/1152); i++ {
		o := &big{}
		o.pad[0] = 1
		if i%drop == 0 {
			o.next, bigs, kept = bigs, o, kept+1152
		}
	}
	return kept
}

func growLarge(n int64) (kept int64) {
	for i := int64(0); i < n/block; i++ {
		b := make([]byte, block)
		truth.Touch(b)
		if i%4 == 0 {
			larges = append(larges, b)
			kept += block
		}
	}
	return kept
}

// spawn starts n goroutines that wait at the given depth for ever.
func spawn(n, depth int) {
	var started sync.WaitGroup
	started.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			recurse(depth, started.Done)
		}()
	}
	started.Wait()
}

//go:noinline
func recurse(depth int, arrived func()) byte {
	var frame [1000]byte
	frame[depth%len(frame)] = 1
	if depth <= 1 {
		arrived()
		<-never
		return frame[0]
	}
	return recurse(depth-1, arrived) + frame[depth%len(frame)]
}
