// hugepages: memory that the runtime has returned and that is resident all the
// same. Go calls it released; RSS still counts it.
//
// With -mode lazy (the default) the program runs itself again with
// GODEBUG=madvdontneed=0: released pages are then freed lazily, and stay until
// the kernel needs them. With -mode thp it asks the kernel to put huge pages
// over a heap full of released holes, as khugepaged does by itself where
// transparent huge pages are on.
package main

import (
	"errors"
	"flag"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"unsafe"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

const (
	huge  = 2 << 20
	block = 128 << 10
	knob  = "madvdontneed=0"

	madvHugepage = 14
	madvCollapse = 25
)

var live, spike [][]byte

func main() {
	mode := flag.String("mode", "lazy", "lazy or thp")
	spikeMiB := flag.Int("spike", 180, "memory to return, MiB")
	liveMiB := flag.Int("live", 20, "live heap, MiB")
	flag.Parse()

	switch *mode {
	case "lazy":
		reexec()
		lazy(*liveMiB, *spikeMiB)
	case "thp":
		collapse(*liveMiB, *spikeMiB)
	default:
		truth.Fatal(errors.New("-mode: lazy or thp"))
	}
	truth.Serve(truth.Demo{
		Name:  "hugepages",
		Cause: "released-not-gone",
		Expect: map[string]int64{
			"heap.released": truth.Bytes(*spikeMiB),
			"heap.live":     truth.Bytes(*liveMiB),
		},
	})
}

// reexec sets the knob for this process: the runtime reads it at start only.
// Go 1.27 refuses to start with removed knobs, so what is there is kept as it
// is and nothing else is added.
func reexec() {
	old := os.Getenv("GODEBUG")
	if strings.Contains(old, knob) {
		return
	}
	if old != "" {
		old += ","
	}
	os.Setenv("GODEBUG", old+knob)
	truth.Fatal(syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
}

func lazy(liveMiB, spikeMiB int) {
	live = fill(truth.Bytes(liveMiB), 0)
	spike = fill(truth.Bytes(spikeMiB), 0)
	spike = nil
	truth.Settle()
	debug.FreeOSMemory()
}

// collapse keeps a block here and there, so that every huge page has a live
// part, returns the rest and then has the kernel collapse them.
func collapse(liveMiB, spikeMiB int) {
	debug.SetGCPercent(-1) // no cycle, so no reuse, until everything is allocated
	every := spikeMiB/liveMiB + 1
	live = fill(truth.Bytes(liveMiB+spikeMiB), every)
	debug.SetGCPercent(100)
	truth.Settle()
	debug.FreeOSMemory()

	seen := map[uintptr]bool{}
	for _, b := range live {
		p := uintptr(unsafe.Pointer(&b[0])) &^ (huge - 1)
		if seen[p] {
			continue
		}
		seen[p] = true
		// Some fail: the heap's last huge page may not be mapped as a whole.
		_, _, errno := syscall.Syscall(syscall.SYS_MADVISE, p, huge, madvCollapse)
		if errno == syscall.EINVAL { // Go 1.20 and 1.21.0 forbid it for what they returned
			syscall.Syscall(syscall.SYS_MADVISE, p, huge, madvHugepage)
			syscall.Syscall(syscall.SYS_MADVISE, p, huge, madvCollapse)
		}
	}
	runtime.KeepAlive(live)
}

// fill allocates n bytes in blocks and keeps every so many of them, 0 for all.
func fill(n int64, every int) (kept [][]byte) {
	for i := 0; i < int(n/block); i++ {
		b := make([]byte, block)
		truth.Touch(b)
		if every == 0 || i%every == 0 {
			kept = append(kept, b)
		}
	}
	return kept
}
