// Package heapprof adds the heap profiles to the truth command. Importing it
// links runtime.MemProfile, and that is what turns heap profiling on.
package heapprof

import (
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"

	"whyrss.demo/truth"
)

// all writes each profile in each form: NAME.0 is profile.proto, NAME.1 and
// NAME.2 are texts.
func all(dir, name string) error {
	for debug := 0; debug <= 2; debug++ {
		for _, n := range []string{"heap", "allocs", "block", "mutex", "threadcreate", "goroutine"} {
			if name != "" && n != name {
				continue
			}
			w, err := os.Create(filepath.Join(dir, n+"."+strconv.Itoa(debug)))
			if err != nil {
				return err
			}
			err = pprof.Lookup(n).WriteTo(w, debug)
			if cerr := w.Close(); err == nil {
				err = cerr
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func init() {
	truth.WriteProfiles = all
	truth.WriteHeap = func(dir string) error {
		for _, f := range []struct {
			name  string
			debug int
		}{{"heap.pb.gz", 0}, {"heap.txt", 1}} {
			w, err := os.Create(filepath.Join(dir, f.name))
			if err != nil {
				return err
			}
			err = pprof.Lookup("heap").WriteTo(w, f.debug)
			if cerr := w.Close(); err == nil {
				err = cerr
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}
