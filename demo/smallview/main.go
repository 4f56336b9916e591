// smallview: a few bytes of each message are kept, as a slice or a substring
// of it, and so the whole message is. The profile blames whoever read the
// messages, not who keeps them.
package main

import (
	"flag"
	"runtime"
	"strings"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

const message = 64 << 10

var (
	ids   [][]byte
	names []string
)

func main() {
	runtime.MemProfileRate = 4096 // few allocations: an exact profile costs nothing
	mib := flag.Int("messages", 140, "messages, MiB")
	flag.Parse()

	n := int(truth.Bytes(*mib) / message)
	for i := 0; i < n; i++ {
		if i%2 == 0 {
			ids = append(ids, receive(i)[100:116])
		} else {
			names = append(names, receiveText(i)[200:224])
		}
	}
	truth.Settle()
	truth.Serve(truth.Demo{
		Name:  "smallview",
		Cause: "small-view-pins-big-array",
		Expect: map[string]int64{
			"heap.live": int64(n) * message,
			"seen":      int64(n)/2*16 + int64(n)/2*24,
		},
	})
}

//go:noinline
func receive(i int) []byte {
	m := make([]byte, message)
	for j := range m {
		m[j] = byte(i + j)
	}
	return m
}

//go:noinline
func receiveText(i int) string {
	var b strings.Builder // its string is the buffer, not a copy
	b.Grow(message)
	for j := 0; j < message; j++ {
		b.WriteByte('a' + byte((i+j)%26))
	}
	return b.String()
}
