// untouchedzero: a large buffer that is read but never written. Its pages are
// present, but all of them are the kernel's one zero page, which RSS leaves
// out; so RSS is below the profile.
package main

import (
	"flag"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

var zero, live []byte

func main() {
	mib := flag.Int("zero", 300, "allocation that is only read, MiB")
	liveMiB := flag.Int("live", 60, "live heap that is written, MiB")
	flag.Parse()

	zero = make([]byte, truth.Bytes(*mib))
	truth.Read(zero)
	live = make([]byte, truth.Bytes(*liveMiB))
	truth.Touch(live)
	truth.Settle()
	truth.Serve(truth.Demo{
		Name:  "untouchedzero",
		Cause: "not-a-gap",
		Expect: map[string]int64{
			"heap.live": truth.Bytes(*mib + *liveMiB),
			"untouched": -truth.Bytes(*mib),
		},
	})
}
