/*
 * Every span in use with its slots: allocated, survivor of the last GC, or hole.
 *
 * Slots (runtime/mbitmap.go, mgcsweep.go): allocated = index < freeindex or its allocBit is set. In
 * a swept span allocBits are the marks of the last finished cycle; in one not swept yet (sweepgen
 * h−2, h−1, h+1) gcmarkBits are, with the marks inside the span that Green Tea keeps since 1.26
 * (128 bytes at its end: mgcmark_greenteagc.go). While a mark runs all spans are swept and
 * gcmarkBits are unfinished, so allocBits count.
 *
 * Span structs are read in runs of address order, mark bits through a cache of the 64 KiB arenas
 * that they lie in.
 */
#include "goruntime/rt.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define SPAN_BITS	256U /* room for the two bitmaps of a span */
#define MAX_SPANS	(UINT32_MAX / (SPAN_BITS / SPAN_BITS_UNIT))
#define MAX_NELEMS	(SPAN_BITS * 4)
#define LATE_SPANS	8192U /* room for spans that were made while the others were read */
#define GROWN_MEANWHILE ((bytes)4 << 30)
#define BITS_BLOCKS                                                                                \
	64U /* 4 MiB of mark bits at a time: they lie in the order in which spans were swept */

/* The parts of an mspan that only matter until its bits are counted. */
struct span_raw {
	taddr alloc_bits, mark_bits, at;
	uint32_t index, sweepgen;
	uint16_t freeindex, count;
};

#define BATCH	     4096U
#define WORKERS	     2U
#define WORKER_SPANS 50000U /* below this a second thread costs more than it saves */

/**
 * One thread's share of the span records, and its own part of the arrays that they go to. Only the
 * index of pages is written by all threads, with compare and exchange: two records that claim one
 * page can at most lose their place.
 */
struct spans_reader {
	struct reading *r;
	struct target *t;
	struct arena scratch; /* of gather */
	struct arena kept;    /* outlives it */
	struct blocks *blocks;
	taddr *at;
	uint32_t n, next; /* next: place in heap.spans */
	struct span_raw raw[BATCH];
	uint32_t n_raw;
	uint64_t bits; /* next place in heap.bits, in units */
	uint32_t skipped, torn, misses;
	bool stale; /* a GC cycle ended meanwhile: nothing that is read now belongs together */
	bytes large_waste;
	struct span_chunk *hint;  /* where the last span was indexed: neighbours follow */
	taddr run_start, run_end; /* of span structs, for the ledger's runtime.mspan */
	VEC(struct addr_range) runs;
	VEC(struct special_list) specials; /* NEED_SAMPLES */
	VEC(taddr)
	unplaced; /* records whose pages the heap's index does not reach, or another span has */
};

/** Registers the pages of a span; false when another span has one of them, or the heap does not
 * reach there. */
static bool index_span(struct heap *h, struct span_chunk **hint, const struct span *s, uint32_t i)
{
	taddr end = s->start + span_bytes(s), at;
	struct span_chunk *c = *hint;
	for (at = s->start; at < end; at += GO_PAGE) {
		uint32_t none = 0;
		if (c == NULL || c->key != at >> 22)
			c = span_chunk_find(h, at);
		if (c == NULL ||
		    !__atomic_compare_exchange_n(&c->span[at >> 13 & 511], &none, i + 1, false,
						 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			break;
	}
	*hint = c;
	if (at == end)
		return true;
	for (taddr back = s->start; back < at; back += GO_PAGE)
		__atomic_store_n(&span_chunk_find(h, back)->span[back >> 13 & 511], 0,
				 __ATOMIC_RELAXED);
	return false;
}

static const struct arena_ref *arena_at(const struct reading *r, taddr at)
{
	for (uint32_t i = 0; i < r->n_arenas; i++) {
		if (at - r->arenas[i].base < HEAP_ARENA_BYTES)
			return &r->arenas[i];
	}
	return NULL;
}

static bool inline_marks(const struct reading *r, const struct span *s)
{
	const struct arena_ref *a = arena_at(r, s->start);
	if (a == NULL)
		return false;
	uint32_t page = (uint32_t)((s->start - a->base) / GO_PAGE);
	return a->inline_marks[page / 8] >> (page % 8) & 1;
}

static uint32_t popcount_bytes(const uint8_t *v, uint32_t n)
{
	uint32_t sum = 0;
	for (; n >= 8; n -= 8, v += 8) {
		uint64_t w;
		memcpy(&w, v, 8);
		sum += (uint32_t)__builtin_popcountll(w);
	}
	for (; n > 0; n--, v++)
		sum += (uint32_t)__builtin_popcount(*v);
	return sum;
}

/** Keeps the first n bits of a bitmap. */
static void mask_bits(uint8_t *v, uint32_t n)
{
	if (n % 8 != 0)
		v[n / 8] &= (uint8_t)((1U << n % 8) - 1);
}

static void fill_ones(uint8_t *v, uint32_t n)
{
	memset(v, 0xff, n / 8);
	if (n % 8 != 0)
		v[n / 8] |= (uint8_t)((1U << n % 8) - 1);
}

static bool read_bits(struct spans_reader *w, taddr at, uint8_t *to, uint32_t n, bool again)
{
	if (again)
		return target_read(w->t, at, to, n) == n;
	return blocks_read(w->blocks, at, to, n);
}

/** Reads the bits of one span, past the cache when `again`, and counts; false when its own counter
 * says otherwise. */
static bool count_slots(struct spans_reader *w, struct span *s, const struct span_raw *raw,
			bool again)
{
	struct reading *r = w->r;
	uint32_t n = (s->nelems + 7U) / 8;
	uint8_t alloc[MAX_NELEMS / 8 + 8], mark[MAX_NELEMS / 8 + 8];
	uint32_t h = r->head.sweepgen, age = raw->sweepgen - h;
	bool swept = r->head.gcphase == 1 || age == 0 || age == 3;
	memset(alloc, 0, n);
	memset(mark, 0, n);
	/* a span that was never allocated from has no bits */
	if (raw->alloc_bits != 0 && !read_bits(w, raw->alloc_bits, alloc, n, again))
		return false;
	if (swept) {
		memcpy(mark, alloc, n);
	} else {
		if (raw->mark_bits != 0 && !read_bits(w, raw->mark_bits, mark, n, again))
			return false;
		if (s->elemsize >= 16 && s->elemsize <= 512 && s->npages == 1 &&
		    inline_marks(r, s)) {
			uint8_t in_span[64];
			if (target_read(w->t, s->start + GO_PAGE - 64, in_span, 63) != 63)
				return false;
			for (uint32_t i = 0; i < MIN(n, 63); i++)
				mark[i] |= in_span[i];
		}
		s->flags |= SPAN_UNSWEPT;
	}
	fill_ones(alloc, MIN(raw->freeindex, s->nelems));
	mask_bits(alloc, s->nelems);
	mask_bits(mark, s->nelems);
	for (uint32_t i = 0; i < n; i++)
		mark[i] &= alloc[i];
	uint32_t allocated = popcount_bytes(alloc, n), live = popcount_bytes(mark, n);
	s->live = (uint16_t)live;
	s->fresh = (uint16_t)(swept ? allocated - live : 0);
	s->dead = (uint16_t)(swept ? 0 : allocated - live);
	if (!span_uniform(s)) {
		if (!s->has_bits) {
			s->has_bits = true;
			s->bits = (uint32_t)w->bits;
			w->bits += (2 * n + SPAN_BITS_UNIT - 1) / SPAN_BITS_UNIT;
		}
		memcpy(span_allocated(&r->s->heap, s), alloc, n);
		memcpy(span_survivors(&r->s->heap, s), mark, n);
	}
	return allocated == raw->count;
}

/**
 * A freed chunk of a user arena stays on the quarantine and then the ready list as a span in use,
 * but is address space alone, without permissions, and in no counter (arena.go,
 * setUserArenaChunkToFault).
 */
static bool is_fault_chunk(const struct reading *r, const struct span *s)
{
	const struct mapping *m = map_find(r->s->os, s->start);
	return m != NULL && !(m->flags & (MAP_READ | MAP_WRITE | MAP_EXEC));
}

static bool decode_span(struct spans_reader *w, taddr at, const uint8_t *d, struct span *s,
			struct span_raw *raw)
{
	const struct layout *l = w->r->l;
	uint64_t state = get(d, l->mspan_state), npages = get(d, l->mspan_npages),
		 elem = get(d, l->mspan_elemsize);
	if (state != 1 && state != 2)
		return false;
	*s = (struct span){.start = get(d, l->mspan_startAddr)};
	uint64_t nelems = get(d, l->mspan_nelems), freeindex = get(d, l->mspan_freeindex),
		 count = get(d, l->mspan_allocCount);
	if (s->start % GO_PAGE != 0 || npages == 0 || npages > (bytes)1 << 32 || s->start == 0)
		return false;
	s->npages = (uint32_t)npages;
	s->spanclass = (uint8_t)get(d, l->mspan_spanclass);
	*raw = (struct span_raw){.at = at, .sweepgen = (uint32_t)get(d, l->mspan_sweepgen)};
	if (state == 2) {
		/* allocManual leaves elemsize 0; only stackalloc sets it (stack.go) */
		s->state = elem == 0 ? SPAN_WORKBUF : SPAN_STACK;
		s->elemsize = (uint32_t)elem;
		return true;
	}
	s->state = SPAN_HEAP;
	if (get(d, l->mspan_isUserArenaChunk) != 0) {
		if (is_fault_chunk(w->r, s))
			return false;
		s->flags |= SPAN_USER_ARENA;
	}
	if (nelems == 0 || nelems > MAX_NELEMS || freeindex > nelems || count > nelems ||
	    elem == 0 || s->spanclass >= 2 * GO_SIZE_CLASSES || nelems > span_bytes(s) / elem)
		return false;
	s->elemsize = elem > UINT32_MAX ? UINT32_MAX : (uint32_t)elem;
	s->nelems = (uint16_t)nelems;
	raw->alloc_bits = get(d, l->mspan_allocBits);
	raw->mark_bits = get(d, l->mspan_gcmarkBits);
	raw->freeindex = (uint16_t)freeindex;
	raw->count = (uint16_t)count;
	uint32_t age = raw->sweepgen - w->r->head.sweepgen;
	if (age == 3 || age == 1)
		s->flags |= SPAN_CACHED;
	if (s->spanclass < 2) {
		taddr limit = get(d, l->mspan_limit);
		if (limit > s->start && limit <= s->start + span_bytes(s))
			w->large_waste += s->start + span_bytes(s) - limit;
	}
	return true;
}

#define SPAN_TRIES 3
#define MSPAN_MAX  512U

static void count_batch(struct spans_reader *w)
{
	struct heap *h = &w->r->s->heap;
	uint32_t size = w->r->l->mspan_size.width;
	uint8_t d[MSPAN_MAX];
	for (uint32_t i = 0; i < w->n_raw && !w->stale; i++) {
		struct span_raw raw = w->raw[i];
		struct span *s = &h->spans[raw.index];
		bool good = count_slots(w, s, &raw, false);
		/* A running program allocates between the two reads: look again. Many such spans
		 * mean that a GC cycle ended. */
		uint64_t sweepgen;
		if (!good && ++w->misses % 64 == 0 &&
		    mem_uint(w->t, w->r->g->sym.mheap + w->r->l->mheap_sweepgen.off, 4, &sweepgen,
			     NULL))
			w->stale = (uint32_t)sweepgen != w->r->head.sweepgen;
		for (int k = 0; !good && k < SPAN_TRIES; k++) {
			struct span again;
			struct span_raw fresh;
			bytes waste = w->large_waste;
			if (target_read(w->t, raw.at, d, size) != size ||
			    !decode_span(w, raw.at, d, &again, &fresh) || again.start != s->start ||
			    again.npages != s->npages || again.nelems != s->nelems ||
			    again.state != SPAN_HEAP)
				break;
			w->large_waste = waste;
			fresh.index = raw.index;
			s->flags = again.flags; /* its bits keep their place */
			good = count_slots(w, s, &fresh, true);
		}
		if (!good) {
			s->flags |= SPAN_TORN;
			w->torn++;
		}
	}
	w->n_raw = 0;
}

static void end_run(struct spans_reader *w)
{
	if (w->run_end > w->run_start)
		*VEC_PUSH(&w->kept, &w->runs) = (struct addr_range){w->run_start, w->run_end};
}

static void take_span(void *ctx, taddr at, const uint8_t *d, bool ok)
{
	struct spans_reader *w = ctx;
	struct heap *h = &w->r->s->heap;
	if (at != w->run_end) {
		end_run(w);
		w->run_start = at;
	}
	w->run_end = at + w->r->l->mspan_size.width;
	struct span s;
	struct span_raw raw;
	if (!ok) {
		w->skipped++;
		return;
	}
	if (w->stale || !decode_span(w, at, d, &s, &raw))
		return; /* free, or in the middle of being made */
	if (!index_span(h, &w->hint, &s, w->next)) {
		*VEC_PUSH(&w->kept, &w->unplaced) = at;
		return;
	}
	raw.index = w->next++;
	h->spans[raw.index] = s;
	if (w->r->needs & NEED_SAMPLES && get(d, w->r->l->mspan_specials) != 0)
		*VEC_PUSH(&w->kept, &w->specials) =
			(struct special_list){get(d, w->r->l->mspan_specials), raw.index};
	if (s.state == SPAN_HEAP) {
		w->raw[w->n_raw++] = raw;
		if (w->n_raw == BATCH)
			count_batch(w);
	}
}

static void *read_share(void *arg)
{
	struct spans_reader *w = arg;
	gather(w->t, &w->scratch, w->at, w->n, w->r->l->mspan_size.width, take_span, w);
	count_batch(w);
	end_run(w);
	return NULL;
}

static bool adopt_record(struct reading *r, taddr ptr, taddr page);
static void reach_user_arenas(struct reading *r, const taddr *at, uint32_t n);

/** Reads all records, on two processors where that pays. */
static void read_shares(struct reading *r, taddr *at, uint32_t n)
{
	struct heap *h = &r->s->heap;
	struct target *twin =
		n >= WORKER_SPANS && sysconf(_SC_NPROCESSORS_ONLN) > 1 ? target_twin(r->t) : NULL;
	uint32_t workers = twin != NULL ? WORKERS : 1, skipped = 0;
	VEC(taddr) rest = {0}; /* records that found no place at first */
	struct spans_reader *w = ARENA_ARRAY(&r->scratch, struct spans_reader, workers);
	pthread_t thread;
	for (uint32_t i = 0; i < workers; i++) {
		uint32_t from = (uint32_t)((uint64_t)n * i / workers),
			 to = (uint32_t)((uint64_t)n * (i + 1) / workers);
		w[i].r = r;
		w[i].t = i == 0 ? r->t : twin;
		w[i].at = at + from;
		w[i].n = to - from;
		w[i].next = from;
		w[i].bits = (uint64_t)from * (SPAN_BITS / SPAN_BITS_UNIT);
		arena_init(&w[i].scratch, 0);
		arena_init(&w[i].kept, 0);
		w[i].blocks = blocks_new(w[i].t, &w[i].kept, BITS_BLOCKS / workers);
	}
	bool threaded = workers > 1 && pthread_create(&thread, NULL, read_share, &w[1]) == 0;
	read_share(&w[0]);
	if (threaded)
		pthread_join(thread, NULL);
	else if (workers > 1)
		read_share(&w[1]);
	for (uint32_t i = 0; i < workers; i++) {
		for (uint32_t k = 0; k < w[i].runs.n; k++)
			region_add(r, w[i].runs.v[k].start,
				   w[i].runs.v[k].end - w[i].runs.v[k].start, REGION_MSPAN,
				   RD_MSPANS);
		for (uint32_t k = 0; k < w[i].unplaced.n && rest.n < LATE_SPANS; k++)
			*VEC_PUSH(&r->scratch, &rest) = w[i].unplaced.v[k];
		for (uint32_t k = 0; k < w[i].specials.n; k++)
			*VEC_PUSH(r->mem, &r->specials) = w[i].specials.v[k];
		skipped += w[i].skipped;
		h->torn += w[i].torn;
		h->large_waste += w[i].large_waste;
		arena_free(&w[i].scratch);
		arena_free(&w[i].kept);
	}
	if (twin != NULL) {
		r->t->stats.reads += twin->stats.reads;
		r->t->stats.bytes_read += twin->stats.bytes_read;
		r->t->stats.swapped_reads += twin->stats.swapped_reads;
		target_close(twin);
	}
	if (rest.n > 0)
		reach_user_arenas(r, rest.v, rest.n);
	for (uint32_t i = 0; i < rest.n; i++)
		skipped += !adopt_record(r, rest.v[i], 0);
	if (skipped != 0)
		note_add(r->s, false,
			 "%u span records changed while they were read and are left out", skipped);
}

bool read_arenas(struct reading *r, struct err *err)
{
	const struct layout *l = r->l;
	struct go_slice idx = get_slice(r->mheap, l->mheap_heapArenas), user = {0};
	if (l->mheap_userArenaArenas.width != 0)
		user = get_slice(r->mheap, l->mheap_userArenaArenas);
	taddr l2 = get(r->mheap, (struct field){l->mheap_arenas.off, 8});
	uint64_t most = (r->s->os->vm_size + GROWN_MEANWHILE) / HEAP_ARENA_BYTES;
	if (idx.len > most || user.len > most)
		return err_set(err, ERR_FORMAT, "mheap_ lists %llu arenas",
			       (unsigned long long)idx.len);
	uint32_t n = (uint32_t)(idx.len + user.len);
	uint64_t *v = ARENA_ARRAY(&r->scratch, uint64_t, n);
	if (!mem_read(r->t, idx.ptr, v, idx.len * 8, err) ||
	    !mem_read(r->t, user.ptr, v + idx.len, user.len * 8, err))
		return err_in(err, "mheap_.heapArenas");
	r->arenas = ARENA_ARRAY(&r->scratch, struct arena_ref, n);
	region_add(r, l2, (bytes)8 << 22, REGION_GC, RD_ARENA_MAP);
	for (uint32_t i = 0; i < n; i++) {
		struct arena_ref *a = &r->arenas[r->n_arenas];
		a->base = v[i] * HEAP_ARENA_BYTES + ARENA_BASE_OFFSET;
		if (v[i] >= 1U << 22 || !mem_read(r->t, l2 + 8 * v[i], &a->at, 8, NULL) ||
		    a->at == 0) {
			reading_broke(r, "an entry of the heap's arena list points nowhere");
			continue;
		}
		struct field f = l->heapArena_pageUseSpanInlineMarkBits;
		if (f.width == sizeof a->inline_marks)
			(void)target_read(r->t, a->at + f.off, a->inline_marks, f.width);
		region_add(r, a->at, l->heapArena_size.width, REGION_GC, RD_HEAP_ARENA);
		r->n_arenas++;
	}
	return true;
}

static int chunk_order(const void *a, const void *b)
{
	uint64_t x = (*(struct span_chunk *const *)a)->key,
		 y = (*(struct span_chunk *const *)b)->key;
	return (x > y) - (x < y);
}

/* The 4 MiB chunks in which spans may lie: those of the page allocator, and user arenas. */
bool read_chunks(struct reading *r, struct err *err)
{
	struct heap *h = &r->s->heap;
	struct go_slice in_use = get_slice(r->mheap, r->l->mheap_pages_inUse);
	if (in_use.len > 1U << 20)
		return err_set(err, ERR_FORMAT, "the page allocator lists %llu ranges",
			       (unsigned long long)in_use.len);
	h->n_in_use = (uint32_t)in_use.len;
	h->in_use = ARENA_ARRAY(r->mem, struct addr_range, h->n_in_use);
	if (!mem_read(r->t, in_use.ptr, h->in_use, in_use.len * sizeof *h->in_use, err))
		return err_in(err, "mheap_.pages.inUse");
	uint64_t n = 0;
	for (uint32_t i = 0; i < h->n_in_use; i++) {
		struct addr_range *u = &h->in_use[i];
		if (u->end < u->start || u->end - u->start > (bytes)1 << 46 ||
		    (u->start | u->end) % PALLOC_CHUNK_BYTES != 0)
			return err_set(err, ERR_FORMAT, "the page allocator's range %u is not one",
				       i);
		n += (u->end - u->start) >> 22;
	}
	uint64_t managed = n;
	/* it may have grown since its mappings were listed, but not by that much */
	if (managed > ((r->s->os->vm_size + GROWN_MEANWHILE) >> 22))
		return err_set(err, ERR_FAULT, "the page allocator's ranges are not mapped");
	n += (uint64_t)r->n_arenas * 16;
	h->chunks = arena_try(r->mem, n, sizeof *h->chunks, err);
	struct span_chunk *v = arena_try(r->mem, managed, sizeof *v, err);
	if (h->chunks == NULL || v == NULL)
		return err_in(err, "the heap's index");
	for (uint32_t i = 0; i < h->n_in_use; i++) {
		for (taddr at = h->in_use[i].start; at < h->in_use[i].end;
		     at += PALLOC_CHUNK_BYTES) {
			v->key = at >> 22;
			h->chunks[h->n_chunks++] = v++;
		}
	}
	qsort(h->chunks, h->n_chunks, sizeof *h->chunks, chunk_order);
	struct go_slice user = {0};
	if (r->l->mheap_userArenaArenas.width != 0)
		user = get_slice(r->mheap, r->l->mheap_userArenaArenas);
	for (uint64_t i = r->n_arenas - MIN(user.len, r->n_arenas); i < r->n_arenas; i++) {
		for (taddr at = r->arenas[i].base; at < r->arenas[i].base + HEAP_ARENA_BYTES;
		     at += PALLOC_CHUNK_BYTES) {
			if (span_chunk_find(h, at) != NULL)
				continue;
			struct span_chunk *c = ARENA_NEW(r->mem, struct span_chunk);
			c->key = at >> 22;
			h->chunks[h->n_chunks++] = c;
		}
	}
	qsort(h->chunks, h->n_chunks, sizeof *h->chunks, chunk_order);
	return true;
}

bool read_spans(struct reading *r, struct err *err)
{
	struct heap *h = &r->s->heap;
	struct go_slice all;
	/* after the first look at the page bitmaps: a page that was given out then has its span in
	 * this list */
	if (!mem_read(r->t, r->g->sym.mheap + r->l->mheap_allspans.off, &all, sizeof all, err))
		return err_in(err, "mheap_.allspans");
	if (all.len > MAX_SPANS || all.len > all.cap || all.len > r->s->os->vm_size / 8)
		return err_set(err, ERR_FORMAT, "mheap_.allspans has %llu entries",
			       (unsigned long long)all.len);
	struct arena_mark mark = arena_mark(&r->scratch);
	uint32_t n = (uint32_t)all.len;
	taddr *at = arena_try(&r->scratch, n, sizeof *at, err);
	if (at == NULL || !mem_read(r->t, all.ptr, at, (size_t)n * sizeof *at, err))
		return err_in(err, "mheap_.allspans");
	region_add(r, all.ptr, all.cap * 8, REGION_OTHER, RD_ALLSPANS);
	h->spans = arena_try(r->mem, (uint64_t)n + LATE_SPANS, sizeof *h->spans, err);
	/* address space mostly: what is not written stays untouched */
	h->bits = arena_try(r->mem, (uint64_t)n + LATE_SPANS, SPAN_BITS, err);
	if (h->spans == NULL || h->bits == NULL)
		return err_in(err, "mheap_.allspans");
	if (r->l->mspan_size.width > MSPAN_MAX)
		return err_set(err, ERR_RELEASE, "mspan is larger than in any known release");
	sort_addrs(&r->scratch, at, n);
	h->n_spans = n;
	read_shares(r, at, n);
	arena_reset(&r->scratch, mark);
	return true;
}

/** Reads one span record now and takes it, if it has that page (0: any). */
static bool adopt_record(struct reading *r, taddr ptr, taddr page)
{
	struct heap *h = &r->s->heap;
	uint8_t d[MSPAN_MAX];
	uint32_t size = r->l->mspan_size.width;
	struct span s;
	struct span_raw raw;
	if (r->n_late == LATE_SPANS || target_read(r->t, ptr, d, size) != size)
		return false;
	struct arena_mark mark = arena_mark(&r->scratch);
	struct spans_reader *w = ARENA_NEW(&r->scratch, struct spans_reader);
	w->r = r;
	w->t = r->t;
	w->blocks = blocks_new(r->t, &r->scratch, 2);
	bool ok = decode_span(w, ptr, d, &s, &raw) &&
		  (page == 0 || page - s.start < span_bytes(&s)) &&
		  index_span(h, &w->hint, &s, h->n_spans);
	if (ok) {
		raw.index = h->n_spans;
		w->bits = (uint64_t)h->n_spans * (SPAN_BITS / SPAN_BITS_UNIT);
		h->spans[h->n_spans++] = s;
		r->n_late++;
		if (s.state == SPAN_HEAP) {
			w->raw[w->n_raw++] = raw;
			count_batch(w);
			h->torn += w->torn;
			h->large_waste += w->large_waste;
		}
	}
	arena_reset(&r->scratch, mark);
	return ok;
}

bool adopt_span(struct reading *r, taddr page)
{
	const struct arena_ref *a = arena_at(r, page);
	uint64_t ptr;
	return a != NULL &&
	       mem_uint(r->t, a->at + r->l->heapArena_spans.off + (page - a->base) / GO_PAGE * 8, 8,
			&ptr, NULL) &&
	       ptr != 0 && adopt_record(r, ptr, page);
}

/**
 * Chunks of user arenas (GOEXPERIMENT=arenas) lie where, up to 1.24, no list of the heap leads:
 * only their span records do (arena.go, allocUserArenaChunk). Makes room for them in the index.
 */
static void reach_user_arenas(struct reading *r, const taddr *at, uint32_t n)
{
	struct heap *h = &r->s->heap;
	uint8_t d[MSPAN_MAX];
	uint32_t size = r->l->mspan_size.width, room = n * 4, before = h->n_chunks;
	struct spans_reader *w = ARENA_NEW(&r->scratch, struct spans_reader);
	struct span_chunk **all = ARENA_ARRAY(r->mem, struct span_chunk *, before + room);
	memcpy(all, h->chunks, before * sizeof(*all));
	h->chunks = all;
	w->r = r;
	w->t = r->t;
	for (uint32_t i = 0; i < n; i++) {
		struct span s;
		struct span_raw raw;
		if (target_read(r->t, at[i], d, size) != size ||
		    !decode_span(w, at[i], d, &s, &raw) || !(s.flags & SPAN_USER_ARENA))
			continue;
		for (taddr c = round_down(s.start, PALLOC_CHUNK_BYTES);
		     c < s.start + span_bytes(&s) && room > 0; c += PALLOC_CHUNK_BYTES) {
			if (span_chunk_find(h, c) != NULL)
				continue;
			struct span_chunk *k = ARENA_NEW(r->mem, struct span_chunk);
			k->key = c >> 22;
			h->chunks[h->n_chunks++] = k;
			room--;
			qsort(h->chunks, h->n_chunks, sizeof *h->chunks, chunk_order);
		}
	}
}
