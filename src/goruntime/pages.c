/*
 * Pages of the heap that no span has: the page allocator's bitmaps (runtime/mpagealloc.go,
 * mpallocbits.go) and the per-P page caches (mpagecache.go). A page whose bit says "allocated" and
 * that no span has is in a P's cache, or belongs to the padding of a randomized heap base (1.26 on:
 * allocated and scavenged at once), or was just given out.
 */
#include "goruntime/rt.h"

#include <string.h>

struct run_builder {
	struct reading *r;
	VEC(struct page_run) v;
};

static void add_page(struct run_builder *b, taddr at, enum page_use use, bool cached)
{
	struct page_run *last = b->v.n > 0 ? &b->v.v[b->v.n - 1] : NULL;
	if (last != NULL && last->use == use && last->cached == cached &&
	    last->start + (bytes)last->npages * GO_PAGE == at)
		last->npages++;
	else
		*VEC_PUSH(b->r->mem, &b->v) = (struct page_run){
			.start = at, .npages = 1, .use = (uint8_t)use, .cached = cached};
}

/** In a P's cache: 0 no, 1 free, 2 free and scavenged. */
static int in_page_cache(const struct reading *r, taddr at)
{
	const struct layout *l = r->l;
	for (uint32_t i = 0; i < r->n_allp; i++) {
		const uint8_t *p = r->ps + (size_t)i * l->p_size.width;
		uint64_t base = get(p, l->p_pcache_base);
		if (base == 0 || at < base || at - base >= 64 * GO_PAGE)
			continue;
		uint32_t bit = (uint32_t)((at - base) / GO_PAGE);
		if (get(p, l->p_pcache_cache) >> bit & 1)
			return get(p, l->p_pcache_scav) >> bit & 1 ? 2 : 1;
	}
	return 0;
}

/** The bitmaps of one 4 MiB chunk. */
struct chunk_bits {
	uint64_t alloc[8], scav[8];
	bool known; /* false: a user arena, which the page allocator does not manage, or not
		       readable */
};

static bool is_managed(const struct heap *h, taddr at)
{
	for (uint32_t i = 0; i < h->n_in_use; i++) {
		if (at >= h->in_use[i].start && at < h->in_use[i].end)
			return true;
	}
	return false;
}

static bool read_bitmaps(struct reading *r, struct chunk_bits *ret, struct err *err)
{
	const struct layout *l = r->l;
	const struct heap *h = &r->s->heap;
	uint32_t size = l->pallocData_size.width;
	if (l->pallocData_pallocBits.width != 64 || l->pallocData_scavenged.width != 64 ||
	    size < 128 || size > 256)
		return err_set(err, ERR_RELEASE,
			       "pallocData has another shape than in any known release");
	struct arena_mark mark = arena_mark(&r->scratch);
	uint8_t *data = arena_alloc(&r->scratch, (size_t)size * 8192);
	const uint8_t *l1 = r->mheap + l->mheap_pages_chunks.off;
	for (uint32_t i = 0, n; i < h->n_chunks; i += n) {
		/* chunks of one second-level table that follow each other are read together */
		uint64_t ci = ((h->chunks[i]->key << 22) - ARENA_BASE_OFFSET) >> 22;
		n = 1;
		while (i + n < h->n_chunks && h->chunks[i + n]->key == h->chunks[i]->key + n &&
		       (ci + n) >> 13 == ci >> 13)
			n++;
		taddr l2 = ci >> 13 < 8192 ? load(l1 + 8 * (ci >> 13), 8) : 0;
		taddr at = l2 + (ci & 8191) * size;
		if (l2 == 0 || target_read(r->t, at, data, (size_t)n * size) != (size_t)n * size) {
			if (is_managed(h, h->chunks[i]->key << 22))
				reading_broke(r,
					      "the page allocator's bitmap of %u chunks at %#llx "
					      "can't be read",
					      n, (unsigned long long)at);
			continue;
		}
		for (uint32_t k = 0; k < n; k++) {
			memcpy(ret[i + k].alloc,
			       data + (size_t)k * size + l->pallocData_pallocBits.off, 64);
			memcpy(ret[i + k].scav,
			       data + (size_t)k * size + l->pallocData_scavenged.off, 64);
			ret[i + k].known = true;
		}
	}
	arena_reset(&r->scratch, mark);
	return true;
}

bool read_pages_before(struct reading *r, struct err *err)
{
	r->bits_before = ARENA_ARRAY(&r->scratch, struct chunk_bits, r->s->heap.n_chunks);
	return read_bitmaps(r, r->bits_before, err);
}

/**
 * Sorts the pages that no span has. Spans were read between the two looks at the bitmaps: a page
 * that was free in either look was free while they were read, or became so, or was given out after.
 */
static void take_chunk(struct run_builder *b, const struct span_chunk *c,
		       const struct chunk_bits *before, const struct chunk_bits *after)
{
	for (uint32_t i = 0; i < PALLOC_CHUNK_PAGES; i++) {
		if (c->span[i] != 0)
			continue;
		uint32_t w = i / 64, bit = i % 64;
		taddr at = (c->key << 22) + (taddr)i * GO_PAGE;
		bool is_alloc = after->alloc[w] >> bit & 1, is_scav = after->scav[w] >> bit & 1;
		if (is_alloc && !(before->alloc[w] >> bit & 1)) {
			is_alloc = false;
			is_scav = before->scav[w] >> bit & 1;
		}
		int cached = is_alloc ? in_page_cache(b->r, at) : 0;
		if (!is_alloc || cached != 0 || is_scav)
			add_page(b, at,
				 (cached != 0 ? cached == 2 : is_scav) ? PAGES_RELEASED
								       : PAGES_FREE,
				 cached != 0);
		else if (!adopt_span(b->r, at))
			b->r->no_span_pages++;
	}
}

bool read_pages(struct reading *r, struct err *err)
{
	struct heap *h = &r->s->heap;
	struct run_builder b = {.r = r};
	struct chunk_bits *after = ARENA_ARRAY(&r->scratch, struct chunk_bits, h->n_chunks);
	if (!read_bitmaps(r, after, err))
		return false;
	for (uint32_t i = 0; i < h->n_chunks; i++) {
		if (after[i].known)
			take_chunk(&b, h->chunks[i],
				   r->bits_before[i].known ? &r->bits_before[i] : &after[i],
				   &after[i]);
	}
	h->runs = b.v.v;
	h->n_runs = b.v.n;
	return true;
}
