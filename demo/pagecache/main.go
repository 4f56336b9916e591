// pagecache: the program writes and reads a large file. Its RSS does not
// change, but the container's memory graph does: the kernel's page cache for
// the file is charged to it. Read twice, the pages count as active, so they
// are in the working set too.
package main

import (
	"flag"
	"io"
	"os"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

var (
	live   []byte
	buffer [1 << 20]byte
)

func main() {
	mib := flag.Int("file", 300, "size of the file, MiB")
	liveMiB := flag.Int("live", 60, "live heap, MiB")
	flag.Parse()

	live = make([]byte, truth.Bytes(*liveMiB))
	truth.Touch(live)
	f := truth.TempFile("pagecache", ".log", truth.Bytes(*mib))
	read := func() {
		for off := int64(0); ; {
			n, err := f.ReadAt(buffer[:], off)
			off += int64(n)
			if err == io.EOF {
				return
			}
			if err != nil {
				os.Remove(f.Name())
				truth.Fatal(err)
			}
		}
	}
	f.Sync() // dirty pages are counted apart
	read()
	read()
	truth.Settle()
	truth.Serve(truth.Demo{
		Name:     "pagecache",
		Cause:    "container-metric",
		Expect:   map[string]int64{"page_cache": truth.Bytes(*mib), "heap.live": truth.Bytes(*liveMiB)},
		Commands: map[string]func(){"read": read},
		Exit:     func() { os.Remove(f.Name()) },
	})
}
