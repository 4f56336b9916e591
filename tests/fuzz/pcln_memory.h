/* An input as the memory of a program, at one place. */
#ifndef FUZZ_PCLN_MEMORY_H
#define FUZZ_PCLN_MEMORY_H

#include <string.h>

#include "base/unit.h"

#define BASE 0x500000U

struct memory {
	const uint8_t *b;
	size_t n;
};

static inline size_t read_memory(void *ctx, taddr at, void *dst, size_t n)
{
	const struct memory *m = ctx;

	if (at < BASE || at - BASE >= m->n)
		return 0;
	n = MIN(n, m->n - (at - BASE));
	memcpy(dst, m->b + (at - BASE), n);
	return n;
}

#endif
