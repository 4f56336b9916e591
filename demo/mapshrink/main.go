// mapshrink: a map that held two million entries and holds ten. Go's maps
// never give back the room that they have grown to. The profile shows it as
// in use, by whoever filled the map.
package main

import (
	"flag"
	"runtime"
	"runtime/debug"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

// 8 bytes key and 16 bytes value: with this size the tables of Go's maps, old
// and new, fill their pages, and nothing of them stays untouched.
type session struct{ user, seen uint64 }

var sessions = map[uint64]session{}

func main() {
	runtime.MemProfileRate = 4096 // the tables are few: an exact profile costs nothing
	n := flag.Int("entries", 2000000, "entries to fill in")
	keep := flag.Int("keep", 10, "entries that stay")
	flag.Parse()

	for i := 0; i < *n; i++ {
		sessions[uint64(i)] = session{user: uint64(i)}
	}
	for i := *keep; i < *n; i++ {
		delete(sessions, uint64(i))
	}
	// The tables that it outgrew are garbage. Return them, or they would be
	// the larger part.
	debug.FreeOSMemory()
	truth.Settle()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	truth.Serve(truth.Demo{
		Name:  "mapshrink",
		Cause: "map-never-shrinks",
		// At least the entries themselves were there: 24 bytes each.
		Expect: map[string]int64{"heap.live": int64(m.HeapAlloc), "entries": int64(*n) * 24},
	})
}
