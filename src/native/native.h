/*
 * The C allocator and the threads' stacks of a process: glibc's arenas walked chunk by chunk,
 * chunks of their own, pthread stacks. Knows no Go.
 */
#ifndef NATIVE_NATIVE_H
#define NATIVE_NATIVE_H

#include "snapshot/snapshot.h"
#include "target/target.h"

/** Memory that is spoken for (sorted, not overlapping): Go's heap, its metadata, its binary. Never
 * looked into. */
struct native_taken {
	const struct addr_range *v;
	uint32_t n;
};

/**
 * Fills `ret` (in arena a) and adds notes to s. Never fails: what can't be walked is left to the
 * mappings' own lines, with a note. Bytes in use are chunks in use with their headers, the
 * allocator's own structs, and chunks that malloc mapped on their own; free are chunks in bins,
 * fast bins and threads' caches, and the tops of the arenas: over all ranges they add up to
 * ret->used and ret->free. Stacks never overlap ranges. os->pages must be known. Stacks of Go's own
 * threads (m.g0 with OS stacks) are given as hints.
 */
void native_read(struct target *t, const struct native_taken *taken,
		 const struct addr_range *g0_stacks, uint32_t n_g0, struct arena *a,
		 struct snapshot *s, struct native *ret);

#endif
