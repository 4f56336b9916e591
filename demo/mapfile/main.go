// mapfile: a file that the program maps and reads, as embedded databases do.
// Its pages count as RSS, but the kernel takes them back when it must.
package main

import (
	"flag"
	"os"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

var live []byte

func main() {
	mib := flag.Int("file", 200, "size of the file, MiB")
	liveMiB := flag.Int("live", 20, "live heap, MiB")
	unlink := flag.Bool("unlink", false, "remove the file while it is mapped")
	flag.Parse()

	live = make([]byte, truth.Bytes(*liveMiB))
	truth.Touch(live)
	f := truth.TempFile("mapfile", ".db", truth.Bytes(*mib))
	truth.MapFile(f, truth.Bytes(*mib))
	f.Close() // the mapping stays
	if *unlink {
		os.Remove(f.Name())
	}
	truth.Settle()
	truth.Serve(truth.Demo{
		Name:   "mapfile",
		Cause:  "mapped-files",
		Expect: map[string]int64{"files": truth.Bytes(*mib), "heap.live": truth.Bytes(*liveMiB)},
		Exit:   func() { os.Remove(f.Name()) },
	})
}
