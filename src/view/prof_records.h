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

/** Return addresses of a goroutine's stack, leaf first: inlined calls as pcs of their own. */
uint32_t goroutine_stack(const struct snapshot *s, const struct goroutine *g, taddr *ret,
			 uint32_t max);
/** The same, and where in it each of the first *ret_frames frames begins; room for 2 × max. */
uint32_t goroutine_frames(const struct snapshot *s, const struct goroutine *g, taddr *ret,
			  uint32_t max, uint32_t *ret_at, uint32_t *ret_frames);
/** goroutine and threadcreate. */
void build_counts(const struct snapshot *s, enum prof_kind kind, struct arena *a,
		  struct pprof *ret);
void counts_text(const struct snapshot *s, enum prof_kind kind, struct arena *a, struct str *out);
/** Every goroutine's traceback. */
void goroutines_text(const struct snapshot *s, struct arena *a, struct str *out);
/** The lines "#\tpc\tfunction\tfile:line" of a stack and an empty one; `all`: also the runtime's
 * own at its leaf. */
void prof_add_record(const struct snapshot *s, struct str *out, const taddr *stk, uint32_t n,
		     bool all);

#endif
