/* Internal to view/prof*: the records that both forms of a profile are made from. */
#ifndef VIEW_PROF_RECORDS_H
#define VIEW_PROF_RECORDS_H

#include "view/prof.h"

/** A record as runtime.MemProfile would hand it out; `now`: with all cycles in flight. */
struct heap_record {
	const taddr *stk;
	uint32_t n_stk;
	uint64_t size; /* of each object */
	int64_t allocs, alloc_bytes, inuse, inuse_bytes;
};
struct heap_record heap_record(const struct snapshot *s, const struct mem_bucket *b, bool now);

/** Most cycles first. */
const struct contention_record **contention_sorted(const struct contention *c, struct arena *a);
int64_t contention_count(const struct contention_record *r, bool block);
/** Its pcs with inlined calls expanded where the release does so. */
uint32_t contention_stack(const struct snapshot *s, const struct contention *c,
			  const struct contention_record *r, taddr *ret, uint32_t max);

#endif
