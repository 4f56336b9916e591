// Package heapprof adds the heap profiles to the truth command. Importing it
// links runtime.MemProfile, and that is what turns heap profiling on.
package heapprof

import (
	"os"
	"path/filepath"
	"runtime/pprof"

	"whyrss.demo/truth"
)

func init() {
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
