// A Go program whose names are markup and terminal codes: its file, a mapped file, labels, source files, its thread's name.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"
)

const evil = "<img src=x onerror=window.pwned=1>\x1b[31m\u202e"

var kept [][]byte

func fill() {
	for i := 0; i < 64; i++ {
		kept = append(kept, make([]byte, 1<<19))
	}
}

func main() {
	f, err := os.CreateTemp("", evil)
	if err == nil {
		f.Truncate(1 << 20)
		m, err := syscall.Mmap(int(f.Fd()), 0, 1<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
		if err == nil {
			for i := range m {
				m[i] = 1
			}
		}
		os.Remove(f.Name())
	}
	fill()
	for i := 0; i < 50; i++ {
		pprof.Do(context.Background(), pprof.Labels(evil, evil), func(context.Context) { go wait() })
	}
	runtime.GC()
	pprof.Lookup("heap").WriteTo(io.Discard, 0) // or the linker leaves heap profiling out
	fmt.Println("ready")
	time.Sleep(10 * time.Minute)
}

//line <script>window.pwned=1<-script>.go:1
func wait() { time.Sleep(time.Hour) }
