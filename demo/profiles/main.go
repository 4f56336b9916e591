// profiles: has something in every profile that runtime/pprof knows: objects
// from inlined, generic, recursive and wrapped callers, contended locks,
// goroutines that wait in many ways, with labels. The command profiles (of
// every demo that links heapprof) writes them all.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"reflect"
	"runtime"
	"runtime/pprof"
	"sort"
	"strings"
	"sync"
	"time"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

var (
	keep  []interface{}
	kept  sync.Mutex
	sinks [16]interface{}
)

type pair[K comparable, V any] struct {
	key K
	val V
	pad [200]byte
}

type store[K comparable, V any] struct {
	mu    sync.Mutex
	items map[K]*pair[K, V]
}

func (s *store[K, V]) put(k K, v V) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items[k] = &pair[K, V]{key: k, val: v}
}

func fill[K comparable, V any](n int, make func(i int) (K, V)) *store[K, V] {
	s := &store[K, V]{items: map[K]*pair[K, V]{}}
	for i := 0; i < n; i++ {
		k, v := make(i)
		s.put(k, v)
	}
	return s
}

// Small enough to be inlined into each other.
func inner(n int) []byte  { return make([]byte, n) }
func middle(n int) []byte { return inner(n + 1) }
func outer(n int) []byte  { return middle(n + 1) }

type shape interface{ grow(n int) []byte }
type base struct{ size int }

func (b *base) grow(n int) []byte { return outer(b.size * n) }

// wrapped gets grow by embedding: calls through shape go through a wrapper.
type wrapped struct{ *base }

//go:noinline
func through(s shape, n int) []byte { return s.grow(n) }

//go:noinline
func recurse(depth int) []byte {
	if depth == 0 {
		return outer(700)
	}
	return recurse(depth - 1)
}

func keepAll(n int, f func(i int) interface{}) {
	for i := 0; i < n; i++ {
		v := f(i)
		kept.Lock()
		keep = append(keep, v)
		kept.Unlock()
	}
}

func allocate() {
	keepAll(3000, func(i int) interface{} { return inner(1000 + i%7) })
	keepAll(3000, func(i int) interface{} { return outer(600) })
	keepAll(2000, func(i int) interface{} { return through(wrapped{&base{9}}, 100) })
	keepAll(2000, func(i int) interface{} { return recurse(3) })
	keepAll(200, func(i int) interface{} { return recurse(60) })
	keepAll(40, func(i int) interface{} { return recurse(300) })
	keepAll(4, func(i int) interface{} { return make([]int64, 100000) })
	keep = append(keep, fill(4000, func(i int) (string, int) { return fmt.Sprint(i), i }))
	keep = append(keep, fill(4000, func(i int) (int, [3]string) { return i, [3]string{"x"} }))
	f := reflect.ValueOf(through)
	keepAll(500, func(i int) interface{} {
		return f.Call([]reflect.Value{reflect.ValueOf(wrapped{&base{5}}), reflect.ValueOf(300)})[0].Bytes()
	})
	keepAll(300, func(i int) interface{} {
		var v interface{}
		_ = json.Unmarshal([]byte(`{"a":[1,2,{"b":"`+strings.Repeat("c", 2000)+`"}]}`), &v)
		return v
	})
	// Garbage, so that there are frees.
	for i := 0; i < 20000; i++ {
		sinks[i%len(sinks)] = outer(1500)
	}
	var b bytes.Buffer
	for i := 0; i < 2000; i++ {
		b.WriteString(strings.Repeat("z", 1000))
	}
	keep = append(keep, b.Bytes())
	defer func() {
		keep = append(keep, outer(300000)) // allocated by a deferred call while panicking
		recover()
	}()
	var none []int
	_ = none[len(keep)]
}

// contend makes goroutines wait for each other, a few milliseconds in all.
func contend() {
	var mu sync.Mutex
	var rw sync.RWMutex
	var wg sync.WaitGroup
	ch := make(chan int)
	for g := 0; g < 4; g++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 0; i < 5; i++ {
				hold(&mu)
				rw.Lock()
				time.Sleep(50 * time.Microsecond)
				rw.Unlock()
				rw.RLock()
				rw.RUnlock()
			}
			ch <- 1
		}()
	}
	for g := 0; g < 4; g++ {
		select {
		case <-ch:
		case <-time.After(time.Minute):
		}
	}
	wg.Wait()
}

func hold(mu *sync.Mutex) {
	lock(mu)
	time.Sleep(100 * time.Microsecond)
	mu.Unlock()
}

func lock(mu *sync.Mutex) { mu.Lock() }

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// park starts goroutines that wait for ever, in different ways.
func park() {
	ch, never := make(chan int), make(chan struct{})
	var mu sync.Mutex
	var wg sync.WaitGroup
	mu.Lock()
	wg.Add(1)
	cond := sync.NewCond(&sync.Mutex{})
	start := func(n int, f func()) {
		for i := 0; i < n; i++ {
			go f()
		}
	}
	start(30, func() { <-ch })
	start(20, func() { ch2 := make(chan int); ch2 <- 1 })
	start(10, func() {
		select {
		case <-ch:
		case <-never:
		}
	})
	start(5, func() { lock(&mu) })
	start(4, func() { wg.Wait() })
	start(3, func() { cond.L.Lock(); cond.Wait() })
	start(2, func() { time.Sleep(time.Hour) })
	start(6, func() { deep(20, ch) })
	start(2, func() { deep(200, ch) })
	start(3, func() { waitIn(map[string]int{"a": 1}, [2]string{"x", "y"}, 0.5, ch) })
	start(1, func() { runtime.LockOSThread(); <-ch })
	start(2, func() { defer func() { <-ch; recover() }(); var p *base; p.grow(1) })
	ctx := pprof.WithLabels(context.Background(), pprof.Labels("worker", "1", "queue", "mail \"x\"\n"))
	for i := 0; i < 7; i++ {
		pprof.Do(ctx, pprof.Labels("job", fmt.Sprint(i%2)), func(context.Context) { go labelled(ch) })
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	go func() { _, _ = l.Accept() }()
	r, _, err := os.Pipe()
	must(err)
	go func() { var b [1]byte; _, _ = r.Read(b[:]) }()
	go sortSlowly(ch)
	go generic(ch, "a")
	go generic(ch, [3]int{1, 2, 3})
}

//go:noinline
func deep(n int, ch chan int) int {
	if n == 0 {
		return <-ch
	}
	return deep(n-1, ch) + 1
}

//go:noinline
func waitIn(m map[string]int, s [2]string, f float64, ch chan int) { <-ch; _, _, _ = m, s, f }

func labelled(ch chan int) { <-ch }

//go:noinline
func generic[T any](ch chan int, v T) { <-ch; runtime.KeepAlive(v) }

type byWaiting struct {
	sort.IntSlice
	ch chan int
}

func (b byWaiting) Less(i, j int) bool { <-b.ch; return b.IntSlice[i] < b.IntSlice[j] }

func sortSlowly(ch chan int) { sort.Sort(byWaiting{sort.IntSlice{3, 2, 1}, ch}) }

func main() {
	spin := flag.Int("spin", 0, "goroutines that never stop running")
	rate := flag.Int("rate", 16<<10, "MemProfileRate")
	flag.Parse()
	runtime.MemProfileRate = *rate
	runtime.SetBlockProfileRate(1)
	runtime.SetMutexProfileFraction(1)
	allocate()
	contend()
	park()
	for i := 0; i < *spin; i++ {
		go func() {
			for n := uint64(0); ; n++ {
				if n == 1<<63 {
					fmt.Println(n)
				}
			}
		}()
	}
	time.Sleep(50 * time.Millisecond)
	truth.Settle()
	truth.Serve(truth.Demo{Name: "profiles"})
}
