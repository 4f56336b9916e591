/*
 * The kinds of runtime/pprof as columns: which records are samples, what their numbers are scaled
 * by, in which order they come (pprof.go, protomem.go).
 */
#include "view/prof_build.h"
#include "view/prof_records.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/sampling.h"

const struct prof_kind_info PROF_KIND[PROF_KINDS] = {
	[PROF_HEAP] = {"heap", NEED_COUNTERS | NEED_PROFILE, "inuse_space", "bytes", true, true,
		       "allocations by call site: what is in use, and all since the start"},
	[PROF_ALLOCS] = {"allocs", NEED_COUNTERS | NEED_PROFILE, "alloc_space", "bytes", true, true,
			 "as heap, all allocations first"},
	[PROF_GOROUTINE] = {"goroutine", NEED_COUNTERS | NEED_STACKS | NEED_TRACES, "goroutine",
			    "count", true, true, "where each goroutine is"},
	[PROF_THREADCREATE] = {"threadcreate", NEED_COUNTERS | NEED_STACKS | NEED_TRACES,
			       "threadcreate", "count", true, true,
			       "where the runtime made threads (mostly not known)"},
	[PROF_SPACE] = {"space", NEED_MEMORY | NEED_SAMPLES, "memory_space", "bytes", false, false,
			"all of RSS: by call site, goroutine, file"},
	[PROF_STACKS] = {"stacks", NEED_COUNTERS | NEED_STACKS | NEED_TRACES, "stack_space",
			 "bytes", false, false, "the memory of goroutine stacks by frame"},
	[PROF_FRAGMENTATION] = {"fragmentation", NEED_MEMORY | NEED_SAMPLES, "hole_space", "bytes",
				false, false, "whose objects keep holes in spans resident"},
	[PROF_BLOCK] = {"block", NEED_COUNTERS | NEED_PROFILE | NEED_CONTENTION, "delay",
			"nanoseconds", true, true, "where goroutines waited for each other"},
	[PROF_MUTEX] = {"mutex", NEED_COUNTERS | NEED_PROFILE | NEED_CONTENTION, "delay",
			"nanoseconds", true, true, "who held the locks that others waited for"},
};

uint32_t prof_needs(const struct prof_request *q, unsigned debug)
{
	bool heap = q->kind == PROF_HEAP || q->kind == PROF_ALLOCS;

	return PROF_KIND[q->kind].needs |
	       (q->kind == PROF_GOROUTINE && debug == 2 ? NEED_TRACE_ARGS : 0) |
	       (heap && q->now && debug == 0 ? NEED_SPANS | NEED_SAMPLES : 0);
}

struct heap_record heap_record(const struct snapshot *s, const struct mem_bucket *b, bool now)
{
	struct heap_record r = {.stk = s->profile.pcs + b->stk, .n_stk = b->nstk, .size = b->size};

	if (now) {
		r.allocs = (int64_t)b->now_allocs;
		r.inuse = (int64_t)(b->now_allocs - b->now_frees);
		r.alloc_bytes = (int64_t)(b->now_allocs * b->size);
		r.inuse_bytes = r.inuse * (int64_t)b->size;
	} else {
		r.allocs = (int64_t)b->allocs;
		r.inuse = (int64_t)(b->allocs - b->frees);
		r.alloc_bytes = (int64_t)b->alloc_bytes;
		r.inuse_bytes = (int64_t)(b->alloc_bytes - b->free_bytes);
	}
	return r;
}

/* The stack without the runtime's functions at its leaf, unless there is nothing else. */
static void add_heap_stack(struct prof_builder *b, const taddr *stk, uint32_t n)
{
	uint32_t skip = 0;
	struct code_frame f;

	/* as runtime.FuncForPC: at the return address itself */
	while (skip < n && b->s->frames(b->s, stk[skip], &f, 1) != 0 &&
	       prof_is_runtime(b->s, f.symbol))
		skip++;
	if (skip == n)
		skip = 0;
	if (prof_add_stack(b, stk + skip, n - skip) == 0)
		(void)prof_add_stack(b, stk, n);
}

/* Of each bucket, its sampled objects by what the last GC found. */
static uint32_t (*sampled_kinds(const struct snapshot *s, struct arena *a))[SLOT_HOLE]
{
	uint32_t(*v)[SLOT_HOLE] = arena_alloc(a, s->profile.n_buckets * sizeof(*v));

	for (uint32_t i = 0; i < s->n_sampled; i++) {
		const struct span *p = &s->heap.spans[s->sampled[i].span];
		uint32_t slot = (uint32_t)((s->sampled[i].at - p->start) / span_elemsize(p));
		enum slot_kind kind = span_slot(&s->heap, p, slot);

		if (kind != SLOT_HOLE)
			v[s->sampled[i].bucket][kind]++;
	}
	return v;
}

static void build_heap(const struct snapshot *s, const struct prof_request *q, struct arena *a,
		       struct pprof *ret)
{
	static const char *const types[][2] = {{"alloc_objects", "count"},
					       {"alloc_space", "bytes"},
					       {"inuse_objects", "count"},
					       {"inuse_space", "bytes"},
					       /* with --as now: what of it the last GC marked,
						* what is newer, what it found dead */
					       {"live_space", "bytes"},
					       {"new_space", "bytes"},
					       {"dead_space", "bytes"}};
	struct prof_builder *b = prof_begin(s, a, ret, types, q->now ? 7 : 4);
	const struct profile *p = &s->profile;
	uint32_t(*kinds)[SLOT_HOLE] = q->now ? sampled_kinds(s, a) : NULL;

	ret->period_type =
		(struct pprof_value_type){pprof_str(ret, "space"), pprof_str(ret, "bytes")};
	ret->period = p->rate;
	if (q->kind == PROF_ALLOCS)
		ret->default_type = pprof_str(ret, "alloc_space");
	for (uint32_t i = 0; i < p->n_buckets; i++) {
		struct heap_record r = heap_record(s, &p->buckets[i], q->now);
		int64_t v[7];
		/* 1.27 labels every sample, before only those that have been published */
		int64_t size = s->go_minor >= 27 ? (int64_t)r.size
			       : r.allocs > 0	 ? r.alloc_bytes / r.allocs
						 : 0;

		sample_scale(r.allocs, r.alloc_bytes, p->rate, &v[0], &v[1]);
		sample_scale(r.inuse, r.inuse_bytes, p->rate, &v[2], &v[3]);
		for (unsigned k = 0; q->now && k < SLOT_HOLE; k++) {
			int64_t n = kinds[i][k], count;

			sample_scale(n, n * (int64_t)r.size, p->rate, &count, &v[4 + k]);
		}
		add_heap_stack(b, r.stk, r.n_stk);
		if (size != 0 || s->go_minor >= 27)
			prof_add_number(b, "bytes", size, "");
		if (q->errors) {
			prof_add_number(
				b, "alloc_space_error",
				(int64_t)sqrt(sample_variance(r.allocs, r.alloc_bytes, p->rate)),
				"bytes");
			prof_add_number(
				b, "inuse_space_error",
				(int64_t)sqrt(sample_variance(r.inuse, r.inuse_bytes, p->rate)),
				"bytes");
		}
		prof_add_sample(b, v);
	}
	prof_end(b);
}

/* --- block and mutex --- */

static int by_cycles(const void *a, const void *b)
{
	const struct contention_record *x = *(const struct contention_record *const *)a,
				       *y = *(const struct contention_record *const *)b;

	if (x->cycles != y->cycles)
		return x->cycles < y->cycles ? 1 : -1;
	return (x > y) - (x < y); /* in the order of the list */
}

const struct contention_record **contention_sorted(const struct contention *c, struct arena *a)
{
	const struct contention_record **v = ARENA_ARRAY(a, const struct contention_record *, c->n);

	for (uint32_t i = 0; i < c->n; i++)
		v[i] = &c->v[i];
	if (c->n > 1)
		qsort(v, c->n, sizeof(*v), by_cycles);
	return v;
}

int64_t contention_count(const struct contention_record *r, bool block)
{
	int64_t n = fabs(r->count) < 0x1p62 ? (int64_t)r->count : 0;

	return block && n == 0 ? 1 : n; /* so that nobody divides by it */
}

uint32_t contention_stack(const struct snapshot *s, const struct contention *c,
			  const struct contention_record *r, taddr *ret, uint32_t max)
{
	const taddr *stk = c->pcs + r->stk;
	uint32_t n = r->nstk;

	/* 1.23 to 1.26: stacks of runtime locks are marked as having all frames already */
	if (s->go_minor >= 23 && n > 0 && stk[0] == UINT64_MAX) {
		stk++;
		n--;
	}
	/* since 1.23 a stack holds what the frame pointers lead to: physical frames */
	if (s->go_minor >= 23)
		return prof_expand(s, stk, n, ret, max);
	n = MIN(n, max);
	memcpy(ret, stk, n * sizeof(*ret));
	return n;
}

static void build_contention(const struct snapshot *s, const struct prof_request *q,
			     struct arena *a, struct pprof *ret)
{
	const struct profile *p = &s->profile;
	/* where a core does not tell the counter's rate: ticks */
	const char *const types[][2] = {{"contentions", "count"},
					{"delay", p->ticks_per_second ? "nanoseconds" : "ticks"}};
	struct prof_builder *b = prof_begin(s, a, ret, types, ARRAY_LEN(types));
	const struct contention *c = q->kind == PROF_BLOCK ? &p->block : &p->mutex;
	const struct contention_record **v = contention_sorted(c, a);
	double ghz = (double)p->ticks_per_second / 1e9;
	/* until 1.19 a mutex' numbers are scaled when they are written */
	int64_t scale = q->kind == PROF_MUTEX && s->go_minor <= 19 ? p->mutex_fraction : 1;
	taddr stk[PROF_EXPANDED];

	ret->period_type =
		(struct pprof_value_type){pprof_str(ret, "contentions"), pprof_str(ret, "count")};
	ret->period = 1;
	for (uint32_t i = 0; i < c->n; i++) {
		double ns = p->ticks_per_second ? (double)v[i]->cycles / ghz : (double)v[i]->cycles;
		int64_t values[2] = {contention_count(v[i], q->kind == PROF_BLOCK) * scale,
				     (int64_t)(ns * (double)scale)};

		(void)prof_add_stack(b, stk,
				     contention_stack(s, c, v[i], stk, s->profile.stack_depth));
		prof_add_sample(b, values);
	}
	prof_end(b);
}

bool prof_build(const struct snapshot *s, const struct prof_request *q, struct arena *a,
		struct pprof *ret, struct err *err)
{
	switch (q->kind) {
	case PROF_HEAP:
	case PROF_ALLOCS:
		build_heap(s, q, a, ret);
		return true;
	case PROF_BLOCK:
	case PROF_MUTEX:
		build_contention(s, q, a, ret);
		return true;
	case PROF_GOROUTINE:
	case PROF_THREADCREATE:
		build_counts(s, q->kind, a, ret);
		return true;
	default:
		return prof_build_space(s, q, a, ret, err);
	}
}
