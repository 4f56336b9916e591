// cleak: a C library that never frees. Go knows nothing of this memory.
//
// Part of it is allocated on the main thread, so it lies in [heap]; the rest
// on another thread, so it lies in an arena of its own.
package main

/*
#include <pthread.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

struct job { size_t want, got; long chunks; };

// Sizes below the 128 KiB from where malloc maps each chunk on its own.
static const size_t sizes[] = { 24, 40, 104, 200, 1000, 4000, 30000 };

static struct job *leak(struct job *j) {
	for (unsigned i = 0; j->got < j->want; i++) {
		size_t n = sizes[i % (sizeof sizes / sizeof *sizes)];
		char *p = malloc(n);
		if (!p)
			break;
		memset(p, 1, n);
		j->got += malloc_usable_size(p) + sizeof(size_t);
		j->chunks++;
	}
	return j;
}

static void *leak_thread(void *j) { return leak(j); }

static int leak_elsewhere(struct job *j) {
	pthread_t t;
	if (pthread_create(&t, NULL, leak_thread, j))
		return -1;
	return pthread_join(t, NULL);
}
*/
import "C"

import (
	"errors"
	"flag"
	"runtime"

	"whyrss.demo/truth"
	_ "whyrss.demo/truth/heapprof"
	"whyrss.demo/truth/native"
)

var live []byte

// init runs on the main thread, and so does main after this: malloc's main
// arena, [heap], belongs to it.
func init() { runtime.LockOSThread() }

func main() {
	mib := flag.Int("leak", 150, "C memory to leak, MiB")
	liveMiB := flag.Int("live", 10, "live Go heap, MiB")
	flag.Parse()

	live = make([]byte, truth.Bytes(*liveMiB))
	truth.Touch(live)
	truth.Settle()

	half := C.size_t(truth.Bytes(*mib) / 2)
	here, there := C.struct_job{want: half}, C.struct_job{want: half}
	C.leak(&here)
	if C.leak_elsewhere(&there) != 0 {
		truth.Fatal(errors.New("pthread_create failed"))
	}
	truth.Serve(truth.Demo{
		Name:  "cleak",
		Cause: "native-leak",
		Expect: map[string]int64{
			"native.used": int64(here.got + there.got),
			"heap.live":   truth.Bytes(*liveMiB),
		},
		Extra: native.Extra,
	})
}
