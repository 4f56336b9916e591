// Writes profiles of every kind that the runtime makes, of a program with inlined calls, generics,
// closures, recursion, labels and contention: pprofgen DIR.
package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"time"
)

type tree[T any] struct {
	left, right *tree[T]
	value       T
	pad         []byte
}

func (t *tree[T]) insert(v T, depth int) *tree[T] {
	if t == nil || depth < -60 {
		return &tree[T]{value: v, pad: make([]byte, 64+(depth+64)*16)}
	}
	if depth%2 == 0 {
		t.left = t.left.insert(v, depth-1)
	} else {
		t.right = t.right.insert(v, depth-1)
	}
	return t
}

var sink []any
var total int

func small(x int) int { return x*x + 1 } // inlined

func middle(x int) int { return small(x) + small(x+1) } // inlined

//go:noinline
func spin(n int) int {
	s := 0
	for i := 0; i < n; i++ {
		s += middle(i) % 7
		s += strings.Count("abcabcabc", "bc")
	}
	return s
}

//go:noinline
func recurse(n int) int {
	if n == 0 {
		sink = append(sink, make([]byte, 300<<10))
		return spin(20000)
	}
	return recurse(n-1) + 1
}

type server struct {
	mu    sync.Mutex
	cache map[string][]byte
}

func (s *server) handle(key string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cache[key] = make([]byte, n)
	spin(3000)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	dir := os.Args[1]
	runtime.MemProfileRate = 512
	runtime.SetMutexProfileFraction(1)
	runtime.SetBlockProfileRate(1)
	f, err := os.Create(filepath.Join(dir, "cpu.pb.gz"))
	must(err)
	must(pprof.StartCPUProfile(f))
	s := &server{cache: map[string][]byte{}}
	var wg sync.WaitGroup
	for _, name := range []string{"alpha", "beta", "gamma"} {
		wg.Add(1)
		go pprof.Do(context.Background(), pprof.Labels("worker", name, "kind", "load test", "n", "1"), func(context.Context) {
			defer wg.Done()
			for i := 0; i < 300; i++ {
				s.handle(name+strings.Repeat("x", i%20), 1000+i)
			}
			total += recurse(20)
		})
	}
	wg.Wait()
	var t *tree[string]
	for i := 0; i < 3000; i++ {
		t = t.insert("value", i%50)
	}
	sink = append(sink, t)
	for end := time.Now().Add(700 * time.Millisecond); time.Now().Before(end); {
		total += recurse(5)
		if len(sink) > 40 {
			sink = sink[:10]
		}
	}
	pprof.StopCPUProfile()
	must(f.Close())
	done := make(chan bool)
	for i := 0; i < 30; i++ {
		go pprof.Do(context.Background(), pprof.Labels("pool", "idle"), func(context.Context) { <-done })
	}
	go func() { select {} }()
	time.Sleep(20 * time.Millisecond)
	runtime.GC()
	for _, kind := range []string{"heap", "allocs", "goroutine", "mutex", "block", "threadcreate"} {
		f, err := os.Create(filepath.Join(dir, kind+".pb.gz"))
		must(err)
		must(pprof.Lookup(kind).WriteTo(f, 0))
		must(f.Close())
	}
	for _, kind := range []string{"heap", "goroutine", "mutex", "block"} {
		f, err := os.Create(filepath.Join(dir, kind+".txt"))
		must(err)
		must(pprof.Lookup(kind).WriteTo(f, 1))
		must(f.Close())
	}
	close(done)
	runtime.KeepAlive(s)
	_ = total
}
