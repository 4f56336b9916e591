/* A hash table from pairs of small numbers to indices. */
#ifndef PPROF_PAIRS_H
#define PPROF_PAIRS_H

#include "base/arena.h"

struct pairs {
	struct pair {
		uint64_t key;
		uint32_t at; /* index + 1; 0: an empty slot */
	} * v;
	uint32_t n, mask;
};

/** The entry of a pair; a new one (at 0, to be set by the caller) when there is none. Valid until
 * the next call. */
struct pair *pairs_find(struct pairs *h, struct arena *a, uint32_t x, uint32_t y);

/** Gives back a large table. */
void pairs_free(struct pairs *h, struct arena *a);

#endif
