//go:build cgo

package main

/*
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static size_t leak(size_t want) {
	static const size_t sizes[] = { 24, 104, 1000, 4000, 30000 };
	size_t got = 0;
	for (unsigned i = 0; got < want; i++) {
		size_t n = sizes[i % (sizeof sizes / sizeof *sizes)];
		char *p = malloc(n);
		if (!p)
			break;
		memset(p, 1, n);
		got += malloc_usable_size(p) + sizeof(size_t);
	}
	return got;
}
*/
import "C"

import "whyrss.demo/truth/native"

func leakC(n int64) int64 { return int64(C.leak(C.size_t(n))) }

var nativeExtra = native.Extra
