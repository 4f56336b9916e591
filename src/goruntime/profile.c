/*
 * The memory profile's buckets as runtime.MemProfile would publish them now, and the number that
 * pprof makes of them. Source: runtime/mprof.go. A bucket is {next, allnext, typ, hash, size,
 * nstk}, then its stack, then a memRecord with the published cycle and three in flight; since 1.27
 * a record counts objects only and bytes are count × size.
 */
#include "goruntime/rt.h"

#include <math.h>
#include <string.h>

#define MAX_BUCKETS   (16U << 20)
#define MAX_DEPTH     1100U /* GODEBUG profstackdepth is at most 1024 */
#define BUCKET_BLOCKS 64U

struct cycle {
	uint64_t allocs, frees, alloc_bytes, free_bytes;
};

static struct cycle cycle_get(const struct layout *l, const uint8_t *d, uint64_t size)
{
	struct cycle c = {get(d, l->memRecordCycle_allocs), get(d, l->memRecordCycle_frees),
			  get(d, l->memRecordCycle_alloc_bytes),
			  get(d, l->memRecordCycle_free_bytes)};
	if (l->memRecordCycle_alloc_bytes.width == 0) {
		c.alloc_bytes = c.allocs * size;
		c.free_bytes = c.frees * size;
	}
	return c;
}

static void cycle_add(struct mem_bucket *b, struct cycle c)
{
	b->allocs += c.allocs;
	b->frees += c.frees;
	b->alloc_bytes += c.alloc_bytes;
	b->free_bytes += c.free_bytes;
}

/** runtime/pprof, scaleHeapSample: what a sampled count and size stand for. */
static double sample_scale(double size, int64_t rate)
{
	return rate <= 1 ? 1 : 1 / (1 - exp(-size / (double)rate));
}

static void profile_sum(struct profile *p)
{
	double variance = 0;
	p->inuse_space = p->inuse_objects = 0;
	for (uint32_t i = 0; i < p->n_buckets; i++) {
		const struct mem_bucket *b = &p->buckets[i];
		int64_t count = (int64_t)(b->allocs - b->frees),
			size = (int64_t)(b->alloc_bytes - b->free_bytes);
		/* garbage must not make sums of it */
		if (count <= 0 || size <= 0 || size > (int64_t)1 << 46)
			continue;
		double avg = (double)size / (double)count, scale = sample_scale(avg, p->rate);
		if ((double)size * scale > (double)((int64_t)1 << 46)) /* a garbage rate */
			continue;
		p->inuse_objects += (int64_t)((double)count * scale);
		p->inuse_space += (int64_t)((double)size * scale);
		/* each object was sampled with probability 1/scale: a binomial estimate */
		variance += (double)count * avg * avg * scale * (scale - 1);
	}
	p->error = p->inuse_space > 0 ? sqrt(variance) / (double)p->inuse_space : NAN;
}

bool read_profile(struct reading *r, struct err *err)
{
	(void)err;
	const struct layout *l = r->l;
	const struct symbols *y = &r->g->sym;
	struct profile *p = &r->s->profile;
	*p = (struct profile){.error = NAN};
	uint64_t rate = 0, word = 0, head = 0;
	if (y->MemProfileRate != 0 && mem_uint(r->t, y->MemProfileRate, 8, &rate, NULL))
		p->rate = (int64_t)rate;
	if (y->mProfCycle != 0)
		(void)mem_uint(r->t, y->mProfCycle, 4, &word, NULL);
	if (y->mbuckets != 0)
		(void)mem_uint(r->t, y->mbuckets, 8, &head, NULL);
	p->enabled = p->rate > 0;
	uint64_t c = word >> 1;
	uint32_t head_size = l->bucket_size.width, rec_size = l->memRecord_size.width,
		 cyc = l->memRecordCycle_size.width;
	if (rec_size == 0 || rec_size > 256 || head_size > 128)
		return true;
	struct blocks *blocks = blocks_new(r->t, &r->scratch, BUCKET_BLOCKS);
	VEC(struct mem_bucket) v = {0};
	VEC(taddr) pcs = {0};
	VEC(struct cycle) flight = {0}; /* of each bucket, the three cycles in flight */
	bool clear = true;
	taddr run_start = 0, run_end = 0;
	uint8_t d[128 + 256];
	for (taddr at = head; at != 0;) {
		uint64_t nstk, size, next;
		if ((!blocks_read(blocks, at, d, head_size) &&
		     !(refresh_maps(r) && target_read(r->t, at, d, head_size) == head_size)) ||
		    v.n == MAX_BUCKETS) {
			reading_broke(r, "the list of profile buckets breaks off after %u of them",
				      v.n);
			break;
		}
		nstk = get(d, l->bucket_nstk);
		size = get(d, l->bucket_bytes);
		next = get(d, l->bucket_allnext);
		if (get(d, l->bucket_typ) != 1 || nstk > MAX_DEPTH) {
			reading_broke(r,
				      "the list of profile buckets leads to something else after "
				      "%u of them",
				      v.n);
			break;
		}
		bytes len = head_size + nstk * 8 + rec_size;
		/* buckets are pushed in front, made one after the other: the list runs down through
		 * memory */
		if (at + len == run_start) {
			run_start = at;
		} else {
			region_add(r, run_start, run_end - run_start, REGION_PROFILER, RD_BUCKETS);
			run_start = at;
			run_end = at + len;
		}
		p->bucket_bytes += len;
		struct mem_bucket *b = VEC_PUSH(r->mem, &v);
		*b = (struct mem_bucket){.size = size, .stk = pcs.n, .nstk = (uint32_t)nstk};
		taddr stack[MAX_DEPTH];
		memset(stack, 0, nstk * 8);
		(void)blocks_read(blocks, at + head_size, stack, nstk * 8);
		for (uint64_t i = 0; i < nstk; i++)
			*VEC_PUSH(r->mem, &pcs) = stack[i];
		uint8_t *rec = d + head_size;
		if (!blocks_read(blocks, at + head_size + nstk * 8, rec, rec_size))
			memset(rec, 0, rec_size);
		struct cycle active = cycle_get(l, rec + l->memRecord_active.off, size);
		cycle_add(b, active);
		b->now_allocs = active.allocs;
		b->now_frees = active.frees;
		clear &= active.allocs == 0 && active.frees == 0;
		for (uint32_t k = 0; k < 3; k++) {
			struct cycle f =
				cycle_get(l, rec + l->memRecord_future.off + k * cyc, size);
			b->now_allocs += f.allocs;
			b->now_frees += f.frees;
			*VEC_PUSH(&r->scratch, &flight) = f;
		}
		/* MemProfile flushes this slot first; it is zero when that has been done */
		struct cycle due = flight.v[3 * (v.n - 1) + c % 3];
		cycle_add(b, due);
		clear &= due.allocs == 0 && due.frees == 0;
		at = next;
	}
	region_add(r, run_start, run_end - run_start, REGION_PROFILER, RD_BUCKETS);
	if (clear) { /* no GC yet: MemProfile sums all that there is */
		for (uint32_t i = 0; i < v.n; i++) {
			for (uint32_t k = 0; k < 3; k++) {
				if (k != c % 3)
					cycle_add(&v.v[i], flight.v[3 * i + k]);
			}
		}
	}
	p->buckets = v.v;
	p->n_buckets = v.n;
	p->pcs = pcs.v;
	p->n_pcs = pcs.n;
	/*
	 * Allocations wait two cycles and frees one, so that what is published is the heap as the
	 * GC before the last one left it; runtime.GC publishes its own cycle once it has swept
	 * (mProf_PostSweep), which empties that slot.
	 */
	bool pending = false;
	for (uint32_t i = 0; i < v.n && !pending; i++) {
		const struct cycle *f = &flight.v[3 * i + (c + 1) % 3];
		pending = f->allocs != 0 || f->frees != 0;
	}
	const struct counters *n = r->s->counters;
	p->cycle = clear || n->numgc == 0 || (n->user_forced && !pending) ? n->numgc : n->numgc - 1;
	/* a flush between two of the reads above counts a cycle twice or not at all */
	uint64_t word_after = word;
	if (y->mProfCycle != 0 && mem_uint(r->t, y->mProfCycle, 4, &word_after, NULL) &&
	    word_after != word)
		r->broke = true;
	if (p->enabled)
		profile_sum(p);
	return true;
}
