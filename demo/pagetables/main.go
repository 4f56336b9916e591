// pagetables: a huge sparse mapping, touched here and there and given back.
// Its pages are gone, but the page tables that led to them are not. They are
// in no profile and not in RSS; the container is charged for them.
package main

import (
	"flag"
	"syscall"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

var live []byte

func main() {
	gib := flag.Int("gib", 64, "size of the mapping, GiB; each costs 2 MiB of page tables")
	liveMiB := flag.Int("live", 40, "live heap, MiB")
	flag.Parse()

	live = make([]byte, truth.Bytes(*liveMiB))
	truth.Touch(live)
	size := int64(*gib) << 30
	b := truth.MapAnon(size, syscall.MAP_NORESERVE)
	for i := int64(0); i < size; i += 2 << 20 {
		b[i] = 1
		// Page by page: since 6.14 the kernel frees the tables too where a
		// whole 2 MiB is given back in one call.
		if err := syscall.Madvise(b[i:i+4096], syscall.MADV_DONTNEED); err != nil {
			truth.Fatal(err)
		}
	}
	truth.Settle()
	truth.Serve(truth.Demo{
		Name:  "pagetables",
		Cause: "page-tables",
		Expect: map[string]int64{
			"page_tables": size/(2<<20)*4096 + size/(1<<30)*4096,
			"heap.live":   truth.Bytes(*liveMiB),
		},
	})
}
