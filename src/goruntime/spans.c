/*
 * Every span in use with its slots: allocated, survivor of the last GC, or hole.
 *
 * Slots (runtime/mbitmap.go, mgcsweep.go): allocated = index < freeindex or its allocBit is set. In a swept span
 * allocBits are the marks of the last finished cycle; in one not swept yet (sweepgen h−2, h−1, h+1) gcmarkBits are,
 * with the marks inside the span that Green Tea keeps since 1.26 (128 bytes at its end: mgcmark_greenteagc.go).
 * While a mark runs all spans are swept and gcmarkBits are unfinished, so allocBits count.
 *
 * Span structs are read in runs of address order, mark bits through a cache of the 64 KiB arenas that they lie in.
 */
#include "goruntime/rt.h"

#include <string.h>

#define MAX_SPANS (64U << 20)
#define BITS_BLOCKS 160U /* 10 MiB of mark bits at a time */

/* The parts of an mspan that only matter until its bits are counted. */
struct span_raw {
	taddr alloc_bits, mark_bits, at;
	uint32_t index, sweepgen;
	uint16_t freeindex, count;
};

#define BATCH 4096U

struct spans_reader {
	struct reading *r;
	uint32_t cap;
	struct span_raw raw[BATCH];
	uint32_t n_raw;
	uint64_t bits_cap;
	uint32_t skipped;
	taddr run_start, run_end; /* of span structs, for the ledger's runtime.mspan */
};

static struct span_chunk *chunk_at(const struct heap *h, taddr at)
{
	uint64_t key = at >> 22;
	uint32_t lo = 0, hi = h->n_chunks;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		if (h->chunks[mid]->key < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < h->n_chunks && h->chunks[lo]->key == key ? h->chunks[lo] : NULL;
}

/** Registers the pages of a span; false when another span has one of them, or the heap does not reach there. */
static bool index_span(struct heap *h, const struct span *s, uint32_t i)
{
	taddr end = s->start + span_bytes(s);
	for (int pass = 0; pass < 2; pass++) {
		struct span_chunk *c = NULL;
		for (taddr at = s->start; at < end; at += GO_PAGE) {
			if (c == NULL || c->key != at >> 22)
				c = chunk_at(h, at);
			if (c == NULL)
				return false;
			uint32_t *slot = &c->span[at >> 13 & 511];
			if (pass == 0 && *slot != 0)
				return false;
			*slot = i + 1;
			if (pass == 0)
				*slot = 0;
		}
	}
	return true;
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

/** Reads the bits of one span and counts; false when its own counter says otherwise. */
static bool count_slots(struct spans_reader *w, struct span *s, const struct span_raw *raw)
{
	struct reading *r = w->r;
	uint32_t n = (s->nelems + 7U) / 8;
	uint8_t *alloc = r->s->heap.bits + s->bits, *mark = alloc + n;
	uint32_t h = r->head.sweepgen, age = raw->sweepgen - h;
	bool swept = r->head.gcphase == 1 || age == 0 || age == 3;
	memset(alloc, 0, 2 * (size_t)n);
	/* a span that was never allocated from has no bits */
	if (raw->alloc_bits != 0 && !blocks_read(r->blocks, raw->alloc_bits, alloc, n))
		return false;
	if (swept) {
		memcpy(mark, alloc, n);
	} else {
		if (raw->mark_bits != 0 && !blocks_read(r->blocks, raw->mark_bits, mark, n))
			return false;
		if (s->elemsize >= 16 && s->elemsize <= 512 && s->npages == 1 && inline_marks(r, s)) {
			uint8_t in_span[64];
			if (target_read(r->t, s->start + GO_PAGE - 64, in_span, 63) != 63)
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
	return allocated == raw->count;
}

static bool decode_span(struct spans_reader *w, taddr at, const uint8_t *d, struct span *s, struct span_raw *raw)
{
	const struct layout *l = w->r->l;
	uint64_t state = get(d, l->mspan_state), npages = get(d, l->mspan_npages), elem = get(d, l->mspan_elemsize);
	if (state != 1 && state != 2)
		return false;
	*s = (struct span){.start = get(d, l->mspan_startAddr)};
	uint64_t nelems = get(d, l->mspan_nelems), freeindex = get(d, l->mspan_freeindex), count = get(d, l->mspan_allocCount);
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
	if (get(d, l->mspan_isUserArenaChunk) != 0)
		s->flags |= SPAN_USER_ARENA;
	if (nelems == 0 || nelems > GO_PAGE / 8 * 10 || freeindex > nelems || count > nelems || elem == 0 ||
	    s->spanclass >= 2 * GO_SIZE_CLASSES || nelems > span_bytes(s) / elem)
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
			w->r->s->heap.large_waste += s->start + span_bytes(s) - limit;
	}
	return true;
}

#define SPAN_TRIES 3

static void count_batch(struct spans_reader *w)
{
	struct heap *h = &w->r->s->heap;
	uint8_t *d = arena_alloc(&w->r->scratch, w->r->l->mspan_size.width);
	for (uint32_t i = 0; i < w->n_raw; i++) {
		struct span_raw raw = w->raw[i];
		struct span *s = &h->spans[raw.index];
		bool good = count_slots(w, s, &raw);
		/* A running program allocates between the two reads: look again, past the cache. */
		for (int k = 0; !good && k < SPAN_TRIES; k++) {
			struct span again;
			struct span_raw fresh;
			bytes waste = h->large_waste;
			if (target_read(w->r->t, raw.at, d, w->r->l->mspan_size.width) != w->r->l->mspan_size.width ||
			    !decode_span(w, raw.at, d, &again, &fresh) || again.start != s->start || again.npages != s->npages ||
			    again.nelems != s->nelems || again.state != SPAN_HEAP)
				break;
			h->large_waste = waste;
			fresh.index = raw.index;
			s->flags = again.flags;
			blocks_forget(w->r->blocks, fresh.alloc_bits);
			blocks_forget(w->r->blocks, fresh.mark_bits);
			good = count_slots(w, s, &fresh);
		}
		if (!good) {
			s->flags |= SPAN_TORN;
			h->torn++;
		}
	}
	w->n_raw = 0;
}

static void take_span(void *ctx, taddr at, const uint8_t *d, bool ok)
{
	struct spans_reader *w = ctx;
	struct heap *h = &w->r->s->heap;
	uint32_t size = w->r->l->mspan_size.width;
	if (at != w->run_end) {
		if (w->run_end > w->run_start)
			region_add(w->r, w->run_start, w->run_end - w->run_start, REGION_MSPAN, RD_MSPANS);
		w->run_start = at;
	}
	w->run_end = at + size;
	struct span s;
	struct span_raw raw;
	if (!ok) {
		w->skipped++;
		return;
	}
	if (!decode_span(w, at, d, &s, &raw))
		return; /* free, or in the middle of being made */
	if (h->n_spans == w->cap || !index_span(h, &s, h->n_spans)) {
		w->skipped++;
		return;
	}
	raw.index = h->n_spans;
	if (s.state == SPAN_HEAP) {
		bytes need = 2 * ((s.nelems + 7U) / 8);
		if (h->n_bits + need > w->bits_cap) {
			w->skipped++;
			return;
		}
		s.bits = (uint32_t)h->n_bits;
		h->n_bits += need;
	}
	h->spans[h->n_spans++] = s;
	if (s.state == SPAN_HEAP) {
		w->raw[w->n_raw++] = raw;
		if (w->n_raw == BATCH)
			count_batch(w);
	}
}

bool read_arenas(struct reading *r, struct err *err)
{
	const struct layout *l = r->l;
	struct go_slice idx = get_slice(r->mheap, l->mheap_heapArenas), user = {0};
	if (l->mheap_userArenaArenas.width != 0)
		user = get_slice(r->mheap, l->mheap_userArenaArenas);
	taddr l2 = get(r->mheap, (struct field){l->mheap_arenas.off, 8});
	if (idx.len > 1U << 22 || user.len > 1U << 22)
		return err_set(err, ERR_FORMAT, "mheap_ lists %llu arenas", (unsigned long long)idx.len);
	uint32_t n = (uint32_t)(idx.len + user.len);
	uint64_t *v = ARENA_ARRAY(&r->scratch, uint64_t, n);
	if (!mem_read(r->t, idx.ptr, v, idx.len * 8, err) || !mem_read(r->t, user.ptr, v + idx.len, user.len * 8, err))
		return err_in(err, "mheap_.heapArenas");
	r->arenas = ARENA_ARRAY(&r->scratch, struct arena_ref, n);
	region_add(r, l2, (bytes)8 << 22, REGION_GC, RD_ARENA_MAP);
	for (uint32_t i = 0; i < n; i++) {
		struct arena_ref *a = &r->arenas[r->n_arenas];
		a->base = v[i] * HEAP_ARENA_BYTES + ARENA_BASE_OFFSET;
		if (v[i] >= 1U << 22 || !mem_read(r->t, l2 + 8 * v[i], &a->at, 8, NULL) || a->at == 0) {
			note_add(r->s, true, "an entry of the heap's arena list points nowhere");
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
	uint64_t x = (*(struct span_chunk *const *)a)->key, y = (*(struct span_chunk *const *)b)->key;
	return (x > y) - (x < y);
}

/** The 4 MiB chunks in which spans may lie: those of the page allocator, and user arenas. */
static bool make_chunks(struct reading *r, struct err *err)
{
	struct heap *h = &r->s->heap;
	struct go_slice in_use = get_slice(r->mheap, r->l->mheap_pages_inUse);
	if (in_use.len > 1U << 20)
		return err_set(err, ERR_FORMAT, "the page allocator lists %llu ranges", (unsigned long long)in_use.len);
	h->n_in_use = (uint32_t)in_use.len;
	h->in_use = ARENA_ARRAY(r->mem, struct addr_range, h->n_in_use);
	if (!mem_read(r->t, in_use.ptr, h->in_use, in_use.len * sizeof *h->in_use, err))
		return err_in(err, "mheap_.pages.inUse");
	uint64_t n = 0;
	for (uint32_t i = 0; i < h->n_in_use; i++) {
		struct addr_range *u = &h->in_use[i];
		if (u->end < u->start || u->end - u->start > (bytes)1 << 46 || (u->start | u->end) % PALLOC_CHUNK_BYTES != 0)
			return err_set(err, ERR_FORMAT, "the page allocator's range %u is not one", i);
		n += (u->end - u->start) >> 22;
	}
	uint64_t managed = n;
	n += (uint64_t)r->n_arenas * 16;
	h->chunks = arena_try(r->mem, n, sizeof *h->chunks, err);
	struct span_chunk *v = arena_try(r->mem, managed, sizeof *v, err);
	if (h->chunks == NULL || v == NULL)
		return err_in(err, "the heap's index");
	for (uint32_t i = 0; i < h->n_in_use; i++) {
		for (taddr at = h->in_use[i].start; at < h->in_use[i].end; at += PALLOC_CHUNK_BYTES) {
			v->key = at >> 22;
			h->chunks[h->n_chunks++] = v++;
		}
	}
	qsort(h->chunks, h->n_chunks, sizeof *h->chunks, chunk_order);
	struct go_slice user = {0};
	if (r->l->mheap_userArenaArenas.width != 0)
		user = get_slice(r->mheap, r->l->mheap_userArenaArenas);
	for (uint64_t i = r->n_arenas - MIN(user.len, r->n_arenas); i < r->n_arenas; i++) {
		for (taddr at = r->arenas[i].base; at < r->arenas[i].base + HEAP_ARENA_BYTES; at += PALLOC_CHUNK_BYTES) {
			if (chunk_at(h, at) != NULL)
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
	struct go_slice all = r->head.allspans;
	if (all.len > MAX_SPANS || all.len > all.cap)
		return err_set(err, ERR_FORMAT, "mheap_.allspans has %llu entries", (unsigned long long)all.len);
	if (!make_chunks(r, err))
		return false;
	struct arena_mark mark = arena_mark(&r->scratch);
	uint32_t n = (uint32_t)all.len;
	taddr *at = arena_try(&r->scratch, n, sizeof *at, err);
	if (at == NULL || !mem_read(r->t, all.ptr, at, (size_t)n * sizeof *at, err))
		return err_in(err, "mheap_.allspans");
	region_add(r, all.ptr, all.cap * 8, REGION_OTHER, RD_ALLSPANS);
	struct spans_reader *w = ARENA_NEW(&r->scratch, struct spans_reader);
	w->r = r;
	w->cap = n;
	h->spans = arena_try(r->mem, n, sizeof *h->spans, err);
	/* address space only: what is not written stays untouched */
	w->bits_cap = MIN((bytes)n * 256, UINT32_MAX);
	h->bits = arena_try(r->mem, w->bits_cap + 1, 1, err);
	if (h->spans == NULL || h->bits == NULL)
		return err_in(err, "mheap_.allspans");
	r->blocks = blocks_new(r->t, &r->scratch, BITS_BLOCKS);
	gather(r->t, &r->scratch, at, n, r->l->mspan_size.width, take_span, w);
	count_batch(w);
	if (w->run_end > w->run_start)
		region_add(r, w->run_start, w->run_end - w->run_start, REGION_MSPAN, RD_MSPANS);
	if (w->skipped != 0)
		note_add(r->s, false, "%u span records changed while they were read and are left out", w->skipped);
	arena_reset(&r->scratch, mark);
	return true;
}
