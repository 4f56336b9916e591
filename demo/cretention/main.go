// cretention: C code on several threads allocated much and freed nearly all
// of it, but glibc keeps the arenas: it only gives back their top, and a few
// chunks in use sit on it.
package main

/*
#include <pthread.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

struct job { size_t want, got, kept; };

enum { PIN = 5000 }; // one chunk in this many stays in use

static void *spike(void *arg) {
	struct job *j = arg;
	size_t n = j->want / 2000, i;
	void **p = calloc(n, sizeof *p); // large: mapped on its own, unmapped at the end
	if (!p)
		return NULL;
	for (i = 0; i < n; i++) {
		size_t size = 1000 + i * 37 % 2000; // 2000 on average
		if (!(p[i] = malloc(size)))
			break;
		memset(p[i], 1, size);
		j->got += malloc_usable_size(p[i]) + sizeof(size_t);
	}
	for (size_t k = 0; k < i; k++) {
		if (k % PIN == 0 || k == i - 1) // the last one holds the top
			j->kept += malloc_usable_size(p[k]) + sizeof(size_t);
		else
			free(p[k]);
	}
	free(p);
	return NULL;
}

static int run(struct job *jobs, int n) {
	pthread_t t[64];
	for (int i = 0; i < n; i++)
		if (pthread_create(&t[i], NULL, spike, &jobs[i]))
			return -1;
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	return 0;
}
*/
import "C"

import (
	"errors"
	"flag"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
	"whyrss.demo/truth/native"
)

var live []byte

func main() {
	mib := flag.Int("spike", 160, "C memory of the spike, MiB")
	threads := flag.Int("threads", 4, "threads that share it, at most 64")
	liveMiB := flag.Int("live", 10, "live Go heap, MiB")
	flag.Parse()
	if *threads < 1 || *threads > 64 {
		truth.Fatal(errors.New("-threads: 1 to 64"))
	}

	live = make([]byte, truth.Bytes(*liveMiB))
	truth.Touch(live)
	truth.Settle()

	var jobs [64]C.struct_job
	for i := range jobs[:*threads] {
		jobs[i].want = C.size_t(truth.Bytes(*mib) / int64(*threads))
	}
	if C.run(&jobs[0], C.int(*threads)) != 0 {
		truth.Fatal(errors.New("pthread_create failed"))
	}
	var got, kept int64
	for _, j := range jobs {
		got += int64(j.got)
		kept += int64(j.kept)
	}
	truth.Serve(truth.Demo{
		Name:  "cretention",
		Cause: "native-retention",
		Expect: map[string]int64{
			"native.free": got - kept,
			"native.used": kept,
			"heap.live":   truth.Bytes(*liveMiB),
		},
		Extra: native.Extra,
	})
}
