// Package truth is what every demo shares: it announces the state that the
// program has reached, answers questions about it on stdin, and makes sure
// that nothing is left running.
//
// A demo that waits is quiet: one thread sits in ppoll(2) on stdin; no
// goroutine, no timer and no buffered reader of ours is alive. What the truth
// command needs is allocated before main starts, so that the first numbers
// are those of the undisturbed program.
package truth

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// Demo says what a program has become.
type Demo struct {
	Name     string
	Cause    string                       // cause id of the contract that must come first
	Expect   map[string]int64             // known sizes in bytes, by line id of the ledger
	Commands map[string]func()            // further commands, such as "tick"
	Every    time.Duration                // if not 0: call Tick that often while waiting
	Tick     func()                       //
	Extra    func(dir string) error       // more files for "truth DIR"
	Report   func() (string, interface{}) // one more line, "NAME {json}", before "done" and at the end
	Exit     func()                       // clean up
	NoHeap   bool                         // leave the heap profiles out: they would be huge
}

const MiB = 1 << 20

// WriteHeap writes the heap profiles. Package heapprof sets it; it is apart so
// that a program can leave runtime.MemProfile out (see profileoff).
var WriteHeap func(dir string) error

// WriteProfiles writes every profile of runtime/pprof in every form, or the
// one of the given name. Package heapprof sets it.
var WriteProfiles func(dir, name string) error

var (
	start   = time.Now()
	serving *Demo
	// Life is the limit to a program's life; a demo may set another default.
	Life    = flag.Duration("life", 15*time.Minute, "exit after this time at the latest")
	stats   runtime.MemStats // .bss, so taking them does not grow the heap
	samples []metrics.Sample
	line    [4096]byte
	have    int // bytes of line that are filled
	copybuf [1 << 16]byte
)

func init() {
	for _, d := range metrics.All() {
		samples = append(samples, metrics.Sample{Name: d.Name})
	}
	metrics.Read(samples) // allocates the histograms, which later reads reuse
}

// Bytes is a number of MiB, as flags give it, in bytes.
func Bytes(mib int) int64 { return int64(mib) << 20 }

// Touch writes one byte in every page, so that the kernel has to provide it.
func Touch(b []byte) {
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
}

// Settle runs two collections: the first one marks what is live, the second
// one makes sure that sweeping and the published heap profile agree with it.
func Settle() {
	runtime.GC()
	runtime.GC()
}

var sink []byte

// Garbage allocates 62 % of the way from the live heap to the goal, in objects
// of the given size, and returns how much that is. Call it right after a
// collection. A cycle starts at 70 % at the earliest, so there is room left
// for those who ask the program about itself.
func Garbage(object int) (made int64) {
	runtime.ReadMemStats(&stats)
	want := int64(float64(stats.NextGC-stats.HeapAlloc) * 0.62)
	for ; made < want; made += int64(object) {
		sink = make([]byte, object)
		for i := 0; i < object; i += 4096 {
			sink[i] = 1
		}
	}
	sink = nil
	return made
}

// Fatal ends the program with one line.
func Fatal(err error) {
	fmt.Fprintln(os.Stderr, "demo:", err)
	os.Exit(1)
}

// Cycles is the number of finished GC cycles, without stopping the world.
func Cycles() uint64 {
	s := [1]metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(s[:])
	return s[0].Value.Uint64()
}

// Say prints one more line, "NAME {json}".
func Say(name string, v interface{}) {
	if b, err := json.Marshal(v); err == nil {
		say(name + " " + string(b))
	}
}

// Quit ends a program that serves, as the command quit does.
func Quit() { serving.quit(0) }

// Serve prints the ready line and obeys stdin until it closes. It does not return.
func Serve(d Demo) {
	if d.Expect == nil {
		d.Expect = map[string]int64{}
	}
	serving = &d
	out, err := json.Marshal(map[string]interface{}{
		"demo": d.Name, "pid": os.Getpid(), "cause": d.Cause, "expect": d.Expect,
		"go": runtime.Version(), "mem_profile_rate": runtime.MemProfileRate,
	})
	if err != nil {
		Fatal(err)
	}
	say("ready " + string(out))

	next := time.Now().Add(d.Every)
	for {
		wait := *Life - time.Since(start)
		if wait <= 0 {
			d.quit(0)
		}
		if d.Every > 0 {
			if t := time.Until(next); t <= 0 {
				d.Tick()
				next = time.Now().Add(d.Every)
				continue
			} else if t < wait {
				wait = t
			}
		}
		cmd, state := readLine(wait)
		switch state {
		case closed:
			d.quit(0)
		case gotLine:
			if err := d.obey(cmd); err != nil {
				say("error " + strings.ReplaceAll(err.Error(), "\n", " "))
			} else {
				say("done")
			}
		}
	}
}

func (d *Demo) obey(cmd string) error {
	word, arg, _ := strings.Cut(strings.TrimSpace(cmd), " ")
	switch word {
	case "truth":
		if err := d.truth(arg); err != nil {
			return err
		}
		d.report()
	case "profiles": // DIR [NAME]
		if WriteProfiles == nil {
			return fmt.Errorf("no profiles are linked")
		}
		dir, name, _ := strings.Cut(arg, " ")
		return WriteProfiles(dir, name)
	case "gc":
		runtime.GC()
	case "gc2":
		Settle()
	case "free":
		debug.FreeOSMemory()
	case "quit":
		d.quit(0)
	default:
		f := d.Commands[word]
		if f == nil {
			return fmt.Errorf("unknown command %q", word)
		}
		f()
	}
	return nil
}

func (d *Demo) report() {
	if d.Report != nil {
		Say(d.Report())
	}
}

func (d *Demo) quit(code int) {
	d.report()
	if d.Exit != nil {
		d.Exit()
	}
	os.Exit(code)
}

// truth writes what the program knows about itself. The order matters: the
// counters come first, then the kernel's view through a static buffer, then
// everything that allocates.
func (d *Demo) truth(dir string) error {
	if dir == "" {
		return fmt.Errorf("truth needs a directory")
	}
	runtime.ReadMemStats(&stats)
	metrics.Read(samples)
	if err := copyFile("/proc/self/smaps", filepath.Join(dir, "smaps")); err != nil {
		return err
	}
	if err := copyFile("/proc/self/status", filepath.Join(dir, "status")); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(dir, "memstats.json"), &stats); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(dir, "metrics.json"), metricValues()); err != nil {
		return err
	}
	if d.Extra != nil {
		if err := d.Extra(dir); err != nil {
			return err
		}
	}
	if WriteHeap != nil && !d.NoHeap {
		return WriteHeap(dir)
	}
	return nil
}

func metricValues() map[string]interface{} {
	m := map[string]interface{}{}
	for _, s := range samples {
		switch s.Value.Kind() {
		case metrics.KindUint64:
			m[s.Name] = s.Value.Uint64()
		case metrics.KindFloat64:
			m[s.Name] = s.Value.Float64()
		case metrics.KindFloat64Histogram:
			h := s.Value.Float64Histogram()
			bounds := make([]interface{}, len(h.Buckets))
			for i, b := range h.Buckets {
				if !math.IsInf(b, 0) { // JSON has no infinity: null
					bounds[i] = b
				}
			}
			m[s.Name] = map[string]interface{}{"counts": h.Counts, "buckets": bounds}
		}
	}
	return m
}

func writeJSON(path string, v interface{}) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// copyFile works on descriptors and a static buffer: os.File would allocate.
func copyFile(from, to string) error {
	in, err := syscall.Open(from, syscall.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	defer syscall.Close(in)
	out, err := syscall.Open(to, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("%s: %w", to, err)
	}
	defer syscall.Close(out)
	for {
		n, err := syscall.Read(in, copybuf[:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
		for b := copybuf[:n]; len(b) > 0; {
			w, err := syscall.Write(out, b)
			if err != nil {
				return err
			}
			b = b[w:]
		}
	}
}

func say(s string) {
	// stdout may be a pipe that nobody reads any more: then there is no one to tell.
	os.Stdout.WriteString(s + "\n")
}

const (
	nothing = iota
	gotLine
	closed
)

// readLine waits in ppoll rather than in a reader goroutine with a timer: a
// waiting demo must be as quiet as it looks.
func readLine(wait time.Duration) (string, int) {
	for i := 0; i < have; i++ {
		if line[i] == '\n' {
			s := string(line[:i])
			copy(line[:], line[i+1:have])
			have -= i + 1
			return s, gotLine
		}
	}
	if have == len(line) {
		have = 0 // no command is that long
	}
	fd := struct {
		fd              int32
		events, revents int16
	}{0, 1 /* POLLIN */, 0}
	ts := syscall.NsecToTimespec(int64(wait))
	n, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&fd)), 1,
		uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	if errno != 0 || n == 0 {
		return "", nothing // a signal or the time is up
	}
	r, err := syscall.Read(0, line[have:])
	if err == syscall.EINTR || err == syscall.EAGAIN {
		return "", nothing
	}
	if err != nil || r <= 0 {
		return "", closed
	}
	have += r
	return "", nothing
}
