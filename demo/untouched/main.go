// untouched: a large buffer, allocated once and never written. Go and its
// profile count all of it; the kernel has not given a single page yet, so RSS
// is below the profile.
package main

import (
	"flag"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
)

var ballast, live []byte

func main() {
	mib := flag.Int("ballast", 300, "allocation that is never touched, MiB")
	liveMiB := flag.Int("live", 60, "live heap that is touched, MiB")
	flag.Parse()

	ballast = make([]byte, truth.Bytes(*mib))
	live = make([]byte, truth.Bytes(*liveMiB))
	truth.Touch(live)
	truth.Settle()
	truth.Serve(truth.Demo{
		Name:  "untouched",
		Cause: "not-a-gap",
		Expect: map[string]int64{
			"heap.live": truth.Bytes(*mib + *liveMiB),
			"untouched": -truth.Bytes(*mib),
		},
	})
}
