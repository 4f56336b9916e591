// tour: what a small server looks like after a busy day; the program that the
// README explains, and that `./dev run` starts when no process is named.
//
// Its RSS of about 300 MiB is five times its heap profile. The reasons, from
// the largest to the smallest, each about half of the one before:
// sessions that expired and left holes; a mapped index; garbage that the GC
// has not had to collect; requests that wait for ever; a buffer outside Go.
package main

import (
	"flag"
	"os"
	"time"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

type session struct {
	next *session
	user [208 - 8]byte
}

type request struct {
	next *request
	body [512 - 8]byte
}

var (
	sessions *session
	requests *request
	cache    [][]byte
)

func main() {
	flag.DurationVar(truth.Life, "for", 10*time.Minute, "end after this time")
	peak := flag.Int("sessions", 140, "sessions and requests at the peak, MiB; one in ten is left")
	cacheMiB := flag.Int("cache", 40, "cache in use, MiB")
	index := flag.Int("index", 56, "mapped index file, MiB")
	waiting := flag.Int("requests", 7000, "requests that wait for ever")
	native := flag.Int("offheap", 8, "buffer from mmap, MiB")
	flag.Parse()

	left := serveSessions(truth.Bytes(*peak))
	cache = fillCache(*cacheMiB)
	f := truth.TempFile("tour", ".idx", truth.Bytes(*index))
	truth.MapFile(f, truth.Bytes(*index))
	f.Close()
	truth.Touch(truth.MapAnon(truth.Bytes(*native), 0))
	for i := 0; i < *waiting; i++ {
		awaitAnswer()
	}
	truth.Settle()
	garbage := truth.Garbage(4096)
	cycle := truth.Cycles()

	truth.Serve(truth.Demo{
		Name:  "tour",
		Cause: "fragmentation",
		Expect: map[string]int64{
			"heap.slots": truth.Bytes(*peak) - left,
			"files":      truth.Bytes(*index),
			"heap.new":   garbage,
			"stacks":     int64(*waiting) * 2048,
			"anon":       truth.Bytes(*native),
			"heap.live":  left + truth.Bytes(*cacheMiB),
		},
		// An idle process is collected every two minutes; a server at work has
		// garbage again soon after.
		Every: time.Second,
		Tick: func() {
			if truth.Cycles() != cycle {
				truth.Garbage(4096)
				cycle = truth.Cycles()
			}
		},
		Exit: func() { os.Remove(f.Name()) },
	})
}

// serveSessions allocates n bytes of sessions and requests. One in ten stays.
func serveSessions(n int64) (left int64) {
	for i := 0; i < int(n/2/208); i++ {
		s := &session{}
		s.user[0] = 1
		if i%10 == 0 {
			s.next, sessions, left = sessions, s, left+208
		} else {
			s.next, expired = expired, s
		}
	}
	for i := 0; i < int(n/2/512); i++ {
		r := &request{}
		r.body[0] = 1
		if i%10 == 0 {
			r.next, requests, left = requests, r, left+512
		} else {
			r.next, answered = answered, r
		}
	}
	expired, answered = nil, nil
	return left
}

// What is dropped all at once; until then it keeps the spans full, so that
// the survivors are spread evenly over them.
var (
	expired  *session
	answered *request
)

func fillCache(mib int) [][]byte {
	c := make([][]byte, mib)
	for i := range c {
		c[i] = make([]byte, truth.MiB)
		truth.Touch(c[i])
	}
	return c
}

// awaitAnswer leaks a goroutine: nobody will ever send.
func awaitAnswer() {
	answer := make(chan string)
	started := make(chan struct{})
	go func() {
		started <- struct{}{}
		<-answer
	}()
	<-started
}
