/*
 * The memory profile's buckets as runtime.MemProfile would publish them now, and the number that
 * pprof makes of them. Source: runtime/mprof.go. A bucket is {next, allnext, typ, hash, size,
 * nstk}, then its stack, then a memRecord with the published cycle and three in flight; since 1.27
 * a record counts objects only and bytes are count × size.
 */
#include "goruntime/rt.h"
#include "goruntime/saved.h"
#include "snapshot/sampling.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#define MAX_BUCKETS   (16U << 20)
#define MAX_DEPTH     1100U /* GODEBUG profstackdepth is at most 1024 */
#define MIN_DEPTH     32U
#define BUCKET_BLOCKS 64U
#define PROFILE_TRIES 40U /* of all records: a flush takes a millisecond at most */
#define SETTLE_TRIES  64U /* of one record */
#define TICKS_WAIT_US 50000U

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
		int64_t objects, space;
		sample_scale(count, size, p->rate, &objects, &space);
		if (space > (int64_t)1 << 46) /* a garbage rate */
			continue;
		p->inuse_objects += objects;
		p->inuse_space += space;
		variance += sample_variance(count, size, p->rate);
	}
	p->error = p->inuse_space > 0 ? sqrt(variance) / (double)p->inuse_space : NAN;
}

/* A bucket's record: the published cycle and the three in flight. */
struct record {
	struct cycle active, future[3];
};

struct bucket_list {
	VEC(struct mem_bucket) v;
	VEC(taddr) pcs;
	bytes record_at; /* from the end of a bucket's stack */
};

/* Walks a list of buckets of one type: what never changes in them. */
static void read_buckets(struct reading *r, struct blocks *blocks, taddr head, uint32_t type,
			 const char *name, uint32_t rec_size, struct bucket_list *ret)
{
	const struct layout *l = r->l;
	uint32_t head_size = l->bucket_size.width;
	taddr run_start = 0, run_end = 0;
	uint8_t d[128];
	taddr stack[MAX_DEPTH];
	for (taddr at = head; at != 0;) {
		if ((!blocks_read(blocks, at, d, head_size) &&
		     !(refresh_maps(r) && target_read(r->t, at, d, head_size) == head_size)) ||
		    ret->v.n == MAX_BUCKETS) {
			reading_broke(r,
				      "the list of %s profile buckets breaks off after %u of them",
				      name, ret->v.n);
			break;
		}
		uint64_t nstk = get(d, l->bucket_nstk);
		if (get(d, l->bucket_typ) != type || nstk > MAX_DEPTH) {
			reading_broke(
				r,
				"the list of %s profile buckets leads to something else after "
				"%u of them",
				name, ret->v.n);
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
		r->s->profile.bucket_bytes += len;
		*VEC_PUSH(r->mem, &ret->v) = (struct mem_bucket){.addr = at,
								 .size = get(d, l->bucket_bytes),
								 .stk = ret->pcs.n,
								 .nstk = (uint32_t)nstk};
		memset(stack, 0, nstk * 8);
		(void)blocks_read(blocks, at + head_size, stack, nstk * 8);
		for (uint64_t i = 0; i < nstk; i++)
			*VEC_PUSH(r->mem, &ret->pcs) = stack[i];
		at = get(d, l->bucket_allnext);
	}
	region_add(r, run_start, run_end - run_start, REGION_PROFILER, RD_BUCKETS);
}

static taddr record_addr(const struct layout *l, const struct mem_bucket *b)
{
	return b->addr + l->bucket_size.width + b->nstk * 8ULL;
}

struct numbered_addr {
	taddr at;
	uint32_t i;
};

static int numbered_order(const void *a, const void *b)
{
	const struct numbered_addr *x = a, *y = b;
	return (x->at > y->at) - (x->at < y->at);
}

/* Reads the records of all buckets, ascending by address: neighbours together. */
struct record_reader {
	const struct layout *l;
	const struct numbered_addr *order;
	const struct mem_bucket *buckets;
	struct record *to;
	uint32_t next, failed;
};

static void record_decode(const struct layout *l, const uint8_t *d, uint64_t size,
			  struct record *ret)
{
	ret->active = cycle_get(l, d + l->memRecord_active.off, size);
	for (uint32_t k = 0; k < 3; k++)
		ret->future[k] = cycle_get(
			l, d + l->memRecord_future.off + k * l->memRecordCycle_size.width, size);
}

static void take_record(void *ctx, taddr at, const uint8_t *d, bool ok)
{
	struct record_reader *w = ctx;
	(void)at;
	uint32_t i = w->order[w->next++].i;
	w->to[i] = (struct record){0};
	if (ok)
		record_decode(w->l, d, w->buckets[i].size, &w->to[i]);
	else
		w->failed++;
}

static uint32_t read_records(struct reading *r, const struct numbered_addr *order,
			     const struct bucket_list *list, struct record *to)
{
	uint32_t n = list->v.n;
	struct arena_mark mark = arena_mark(&r->scratch);
	taddr *at = ARENA_ARRAY(&r->scratch, taddr, n);
	struct record_reader w = {.l = r->l, .order = order, .buckets = list->v.v, .to = to};
	for (uint32_t i = 0; i < n; i++)
		at[i] = order[i].at;
	gather(r->t, &r->scratch, at, n, r->l->memRecord_size.width, take_record, &w);
	arena_reset(&r->scratch, mark);
	return w.failed;
}

static struct cycle cycle_sum(const struct record *r)
{
	struct cycle c = r->active;
	for (uint32_t k = 0; k < 3; k++) {
		c.allocs += r->future[k].allocs;
		c.frees += r->future[k].frees;
		c.alloc_bytes += r->future[k].alloc_bytes;
		c.free_bytes += r->future[k].free_bytes;
	}
	return c;
}

/* MemProfile flushes the slot that is due first; it is zero when that has been done. */
static struct cycle cycle_published(const struct record *r, uint64_t c)
{
	struct cycle p = r->active;
	const struct cycle *due = &r->future[c % 3];
	p.allocs += due->allocs;
	p.frees += due->frees;
	p.alloc_bytes += due->alloc_bytes;
	p.free_bytes += due->free_bytes;
	return p;
}

static bool cycle_equal(struct cycle a, struct cycle b)
{
	return a.allocs == b.allocs && a.frees == b.frees && a.alloc_bytes == b.alloc_bytes &&
	       a.free_bytes == b.free_bytes;
}

static bool record_sane(const struct record *r, uint64_t size)
{
	struct cycle s = cycle_sum(r);
	return s.frees <= s.allocs && s.alloc_bytes == s.allocs * size &&
	       s.free_bytes == s.frees * size && r->active.frees <= r->active.allocs;
}

/*
 * A record of which two reads disagree is in use right now: it is read until two reads in a row are
 * equal and its numbers fit together (bytes are objects times the bucket's size).
 */
static bool settle_record(struct reading *r, const struct mem_bucket *b, struct record *ret)
{
	uint32_t size = r->l->memRecord_size.width;
	uint8_t d[2][256];
	taddr at = record_addr(r->l, b);
	if (target_read(r->t, at, d[0], size) != size)
		return false;
	for (unsigned k = 1; k < SETTLE_TRIES; k++) {
		if (target_read(r->t, at, d[k & 1], size) != size)
			return false;
		if (memcmp(d[0], d[1], size) != 0)
			continue;
		record_decode(r->l, d[k & 1], b->size, ret);
		if (record_sane(ret, b->size))
			return true;
	}
	return false;
}

/** Whether records are where the layout says: of those that are in use at the moment a few may be
 * torn, of records of another form hardly any makes sense. */
static bool records_fit(const struct bucket_list *list, const struct record *v)
{
	uint32_t sane = 0, n = list->v.n;
	for (uint32_t i = 0; i < n; i++)
		sane += record_sane(&v[i], list->v.v[i].size);
	return n < 8 || sane >= n / 2;
}

/** Whether nobody holds the lock under which published counts move; a lock that is not known is
 * taken for free. */
static bool profile_unlocked(const struct reading *r)
{
	uint64_t key = 0;
	return r->g->sym.profLock == 0 || !mem_uint(r->t, r->g->sym.profLock, 8, &key, NULL) ||
	       key == 0;
}

static bool read_cycle(const struct reading *r, uint64_t *ret)
{
	*ret = 0;
	if (r->g->sym.mProfCycle == 0)
		return true;
	if (!mem_uint(r->t, r->g->sym.mProfCycle, 4, ret, NULL))
		return false;
	if (r->g->release.minor >= 19) /* before, the flag is a field of its own */
		*ret >>= 1;
	return true;
}

/*
 * All records as of one moment. What is published stays the same through a whole cycle, whether its
 * slot has been flushed or not, so the records are read twice: when the cycle is the same before
 * and after, nobody held the lock before, between and after, and both reads publish the same, no
 * flush was under way. What is in flight may have moved: such records are settled one by one.
 */
static bool read_consistent(struct reading *r, const struct bucket_list *list,
			    const struct numbered_addr *order, struct record *a, struct record *b,
			    uint64_t *ret_word)
{
	uint32_t n = list->v.n;
	uint64_t word, after;
	if (!profile_unlocked(r) || !read_cycle(r, &word))
		return false;
	uint32_t failed = read_records(r, order, list, a);
	if (!profile_unlocked(r))
		return false;
	failed += read_records(r, order, list, b);
	if (failed > 0)
		return false;
	bool clear = true;
	for (uint32_t i = 0; i < n && clear; i++)
		clear = a[i].active.allocs == 0 && a[i].active.frees == 0 &&
			a[i].future[word % 3].allocs == 0 && a[i].future[word % 3].frees == 0;
	for (uint32_t i = 0; i < n; i++) {
		/* before the first GC all cycles are published, so all move */
		if (!clear &&
		    !cycle_equal(cycle_published(&a[i], word), cycle_published(&b[i], word)))
			return false;
		if (memcmp(&a[i], &b[i], sizeof a[i]) != 0 ||
		    !record_sane(&a[i], list->v.v[i].size)) {
			if (!settle_record(r, &list->v.v[i], &a[i]))
				return false;
			if (!clear && !cycle_equal(cycle_published(&a[i], word),
						   cycle_published(&b[i], word)))
				return false;
		}
	}
	if (!read_cycle(r, &after) || after != word || !profile_unlocked(r))
		return false;
	*ret_word = word;
	return true;
}

/* Block and mutex records: a float64 count and int64 cycles, which move under one lock. */
static void read_contention(struct reading *r, struct blocks *blocks, taddr list_at, uint32_t type,
			    const char *name, struct contention *ret)
{
	enum { RECORD = 16 };
	struct bucket_list list = {0};
	uint64_t head = 0;
	if (list_at == 0 || !mem_uint(r->t, list_at, 8, &head, NULL) ||
	    r->l->bucket_size.width > 128)
		return;
	read_buckets(r, blocks, head, type, name, RECORD, &list);
	ret->v = ARENA_ARRAY(r->mem, struct contention_record, list.v.n);
	ret->pcs = list.pcs.v;
	for (uint32_t i = 0; i < list.v.n; i++) {
		const struct mem_bucket *b = &list.v.v[i];
		struct {
			double count;
			int64_t cycles;
		} d[2] = {0};
		static_assert(sizeof d[0] == RECORD, "runtime.blockRecord");
		bool same = false;
		for (unsigned k = 0; k < SETTLE_TRIES && !same; k++) {
			if (target_read(r->t, record_addr(r->l, b), &d[k & 1], RECORD) != RECORD)
				break;
			same = k > 0 && d[0].cycles == d[1].cycles && !(d[0].count < d[1].count) &&
			       !(d[0].count > d[1].count);
		}
		if (!same)
			reading_broke(r, "a record of the %s profile changed all the time", name);
		ret->v[ret->n++] = (struct contention_record){
			.count = d[0].count, .cycles = d[0].cycles, .stk = b->stk, .nstk = b->nstk};
	}
}

/*
 * Ticks of the processor's counter in a second as the runtime has worked it out (runtime.go,
 * ticksPerSecond), or, when it has not yet, as it would now. 0: a core does not tell.
 */
static int64_t ticks_per_second(struct reading *r)
{
	const struct layout *l = r->l;
	taddr at = r->g->sym.ticks;
	if (r->g->saved != NULL)
		return r->g->saved->ticks_per_second;
	uint64_t val = 0;
	int64_t start_ticks = 0, start_ns = 0, ticks, ns;
	if (at != 0 && l->ticks_val.width == 8 &&
	    mem_uint(r->t, at + l->ticks_val.off, 8, &val, NULL) && val != 0)
		return (int64_t)val;
	if (!target_ticks(r->t, &ticks, &ns))
		return 0;
	if (at == 0 || l->ticks_startTime.width == 0 ||
	    target_read(r->t, at + l->ticks_startTicks.off, &start_ticks, 8) != 8 ||
	    target_read(r->t, at + l->ticks_startTime.off, &start_ns, 8) != 8 || start_ns == 0) {
		/* until 1.21 the runtime waits a tenth of a second, too */
		start_ticks = ticks;
		start_ns = ns;
		usleep(TICKS_WAIT_US);
		if (!target_ticks(r->t, &ticks, &ns))
			return 0;
	}
	if (ticks <= start_ticks || ns <= start_ns)
		return 0;
	return (int64_t)((double)(ticks - start_ticks) * 1e9 / (double)(ns - start_ns));
}

void read_contentions(struct reading *r)
{
	const struct symbols *y = &r->g->sym;
	struct profile *p = &r->s->profile;
	struct blocks *blocks = blocks_new(r->t, &r->scratch, BUCKET_BLOCKS);
	uint64_t v;
	if (y->blockprofilerate != 0 && mem_uint(r->t, y->blockprofilerate, 8, &v, NULL))
		p->block_rate = (int64_t)v;
	if (y->mutexprofilerate != 0 && mem_uint(r->t, y->mutexprofilerate, 8, &v, NULL))
		p->mutex_fraction = (int64_t)v;
	read_contention(r, blocks, y->bbuckets, 2, "block", &p->block);
	read_contention(r, blocks, y->xbuckets, 3, "mutex", &p->mutex);
	p->ticks_per_second = ticks_per_second(r);
}

uint32_t profile_depth(const struct reading *r)
{
	struct field f = r->l->debug_profstackdepth;
	uint64_t depth = 0;
	if (r->g->sym.debug != 0 && f.width == 4)
		(void)mem_uint(r->t, r->g->sym.debug + f.off, 4, &depth, NULL);
	return depth > 0 && depth <= MAX_DEPTH ? (uint32_t)depth : MIN_DEPTH;
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
	if (y->mbuckets != 0)
		(void)mem_uint(r->t, y->mbuckets, 8, &head, NULL);
	p->enabled = p->rate > 0;
	p->stack_depth = profile_depth(r);
	if (l->memRecord_size.width == 0 || l->memRecord_size.width > 256 ||
	    l->bucket_size.width > 128)
		return true;
	struct bucket_list list = {0};
	read_buckets(r, blocks_new(r->t, &r->scratch, BUCKET_BLOCKS), head, 1, "heap",
		     l->memRecord_size.width, &list);
	uint32_t n = list.v.n;
	struct numbered_addr *order = ARENA_ARRAY(&r->scratch, struct numbered_addr, n);
	struct record *a = ARENA_ARRAY(&r->scratch, struct record, n),
		      *b = ARENA_ARRAY(&r->scratch, struct record, n);
	for (uint32_t i = 0; i < n; i++)
		order[i] = (struct numbered_addr){record_addr(l, &list.v.v[i]), i};
	if (n > 1)
		qsort(order, n, sizeof *order, numbered_order);
	bool good = false, fit = true;
	for (unsigned k = 0; k < PROFILE_TRIES && !good && fit; k++) {
		good = read_consistent(r, &list, order, a, b, &word);
		fit = good || records_fit(&list, a);
	}
	if (!fit) {
		note_add(r->s, true,
			 "the numbers in the records of the heap profile do not fit together: %s "
			 "keeps them in another way than the layout says, so the heap profile is "
			 "not read",
			 r->g->release.text);
		n = 0;
	} else if (!good)
		reading_broke(r, "the heap profile changed during each of %u readings of it",
			      PROFILE_TRIES);
	uint64_t c = word;
	bool clear = true;
	for (uint32_t i = 0; i < n; i++) {
		struct cycle due = cycle_published(&a[i], c);
		clear &= due.allocs == 0 && due.frees == 0;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct mem_bucket *m = &list.v.v[i];
		struct cycle all = cycle_sum(&a[i]);
		/* no GC yet: MemProfile sums all that there is */
		cycle_add(m, clear ? all : cycle_published(&a[i], c));
		m->now_allocs = all.allocs;
		m->now_frees = all.frees;
	}
	p->buckets = list.v.v;
	p->n_buckets = n;
	p->pcs = list.pcs.v;
	p->n_pcs = list.pcs.n;
	/*
	 * Allocations wait two cycles and frees one, so that what is published is the heap as the
	 * GC before the last one left it; runtime.GC publishes its own cycle once it has swept
	 * (mProf_PostSweep), which empties that slot.
	 */
	bool pending = false;
	for (uint32_t i = 0; i < n && !pending; i++)
		pending =
			a[i].future[(c + 1) % 3].allocs != 0 || a[i].future[(c + 1) % 3].frees != 0;
	const struct counters *k = r->s->counters;
	p->cycle = clear || k->numgc == 0 || (k->user_forced && !pending) ? k->numgc : k->numgc - 1;
	if (p->enabled)
		profile_sum(p);
	return true;
}
