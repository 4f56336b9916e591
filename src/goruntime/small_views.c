/*
 * Large pointer-free objects of which only small slices or substrings are left: a program that
 * keeps 16 bytes of each message keeps the messages. Every word of what the GC would scan (data and
 * bss, goroutine stacks, live objects with pointers) that points into such an object is taken for a
 * slice or string header, and the object remembers which of its parts they reach.
 *
 * The words have no types, so all doubt is in favour of the program: a pointer to the start of an
 * object, a pointer without a length behind it, an empty slice or a length that does not fit could
 * reach all of it, and so do small views that together cover much. An object that nothing found
 * here points to is not counted either. Only pages in memory are read; a heap where it could not
 * matter, or where too much would have to be read, is not looked at.
 */
#include "goruntime/rt.h"

#include <string.h>

#define SMALLEST    1024U	       /* bytes of an object that is worth a look */
#define OBJECTS_MAX (1U << 19)	       /* of these */
#define READ_MAX    ((bytes)512 << 20) /* bytes to go through */
#define WORTH	    ((bytes)16 << 20)  /* less than this, or than a tenth of RSS, is no cause */
#define PARTS	    64U		       /* of an object: one bit each */
#define SMALL_PARTS 16U		       /* reached by views, at most: a quarter */
#define ELEM_MAX    4096U	       /* bytes of a slice's element, when it has to be guessed */
#define ELEM_LIKELY 64U
#define PIECE	    (128U << 10) /* of one read */
#define PIECES	    64U
#define FILTER_BITS                                                                                \
	(1U << 20) /* Go pages, by the low bits of their number: 8 GiB without a clash */

/** What is known of one object. All parts reached: it is none of ours. */
struct big {
	uint64_t parts;
	uint32_t views;
	uint32_t seen; /* bytes of the views, at most UINT32_MAX */
	bool growable; /* a view is a slice whose capacity reaches further than its length */
};

struct looker {
	struct reading *r;
	taddr lo, hi;	 /* of all such objects */
	uint32_t *first; /* by span: index + 1 of its first object in `big`; 0: not looked at */
	struct big *big;
	bytes open;   /* bytes of objects that could still be ours */
	bytes needed; /* fewer are not worth a word */
	uint64_t filter[FILTER_BITS / 64];
};

static bool filter_has(const struct looker *w, taddr at)
{
	uint32_t page = (uint32_t)(at / GO_PAGE) % FILTER_BITS;
	return w->filter[page / 64] >> (page % 64) & 1;
}

static bool bit_at(const uint8_t *v, uint32_t i)
{
	return v[i / 8] >> (i % 8) & 1;
}

/** Marked by the last GC cycle; with `fresh`, or allocated since. */
static bool slot_is_live(const struct heap *h, const struct span *s, uint32_t i, bool fresh)
{
	if (s->has_bits)
		return bit_at(span_survivors(h, s), i) ||
		       (fresh && !(s->flags & SPAN_UNSWEPT) && bit_at(span_allocated(h, s), i));
	return s->live == s->nelems || (fresh && s->fresh == s->nelems);
}

static bool is_candidate(const struct span *s, bytes smallest)
{
	return s->state == SPAN_HEAP && s->spanclass & 1 && s->live > 0 &&
	       !(s->flags & SPAN_USER_ARENA) && span_elemsize(s) >= smallest;
}

static bool is_referrer(const struct span *s)
{
	return s->state == SPAN_HEAP && !(s->spanclass & 1) && s->live + s->fresh > 0;
}

/** Unused bytes at the end of an object: less than this, or its size class would be smaller. */
static bytes slack_of(const struct span *s)
{
	uint32_t class = s->spanclass >> 1;
	return class == 0 ? GO_PAGE : GO_CLASS_SIZE[class] - GO_CLASS_SIZE[class - 1];
}

/** Size of the elements of a slice that goes on to the end of its object; 0: it does not. */
static bytes elem_to_end(bytes off, bytes cap, bytes size, bytes slack)
{
	bytes elem = cap == 0 ? 0 : (size - off) / cap;
	return elem > 0 && elem <= ELEM_MAX && off % elem == 0 && off + cap * elem > size - slack
		       ? elem
		       : 0;
}

static void reach_all(struct looker *w, struct big *b, bytes size)
{
	if (b->parts != UINT64_MAX)
		w->open -= size;
	b->parts = UINT64_MAX;
}

/** A word that points to `off` of an object, and the n words behind it. */
static void take_view(struct looker *w, const struct span *s, struct big *b, bytes off,
		      const uint64_t *behind, size_t n)
{
	bytes size = span_elemsize(s), len = n > 0 ? behind[0] : 0, cap = n > 1 ? behind[1] : 0;
	if (off == 0 || len == 0 || len > size - off) {
		reach_all(w, b, size);
		return;
	}
	bytes elem = cap >= len ? elem_to_end(off, cap, size, slack_of(s)) : 0, reach;
	if (elem != 0) {
		reach = len * elem;
		b->growable |= len < cap;
	} else {
		/* A string, a slice of less than all, or neither. Elements are taken to be large
		 * where the offset allows it. */
		bool slice = cap >= len && cap <= size - off;
		elem = off % 8 == 0 ? ELEM_LIKELY : off % 4 == 0 ? 4 : off % 2 == 0 ? 2 : 1;
		reach = MIN((slice ? cap : len) * elem, size - off);
		elem = 1;
	}
	uint64_t from = off * PARTS / size, to = (off + reach - 1) * PARTS / size;
	b->parts |= (to - from == PARTS - 1 ? UINT64_MAX : (((uint64_t)1 << (to - from + 1)) - 1))
		    << from;
	b->views++;
	b->seen = (uint32_t)MIN((bytes)b->seen + len * elem, UINT32_MAX);
	if (__builtin_popcountll(b->parts) > (int)SMALL_PARTS)
		reach_all(w, b, size);
}

static void take_word(struct looker *w, const uint64_t *v, size_t n)
{
	const struct heap *h = &w->r->s->heap;
	const struct span *s = span_find(h, v[0]);
	if (s == NULL || w->first[s - h->spans] == 0)
		return;
	bytes off = v[0] - s->start;
	uint64_t slot = off / span_elemsize(s);
	struct big *b = slot < s->nelems ? &w->big[w->first[s - h->spans] - 1 + slot] : NULL;
	if (b != NULL && b->parts != UINT64_MAX)
		take_view(w, s, b, off % span_elemsize(s), v + 1, n - 1);
}

/** Words that lie together: a header does not go on behind them. */
static void take_words(struct looker *w, const uint64_t *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (v[i] - w->lo < w->hi - w->lo && filter_has(w, v[i]))
			take_word(w, v + i, n - i);
	}
}

/* ---- what is read ---- */

/** Ps keep what a write barrier saw last (wbBuf), which no GC scans: stale pointers. */
static void forget_ps(const struct looker *w, const struct span *s, uint64_t *v, size_t n)
{
	for (uint32_t i = 0; i < w->r->n_allp; i++) {
		size_t at = (size_t)(w->r->allp[i] - s->start) / 8;
		if (w->r->allp[i] - s->start < span_bytes(s) && at < n)
			memset(v + at, 0, MIN(n - at, w->r->l->p_size.width / 8) * 8);
	}
}

/** Words of a span that was read, slot by slot. A piece of a large object is one. */
static void take_span_words(struct looker *w, const struct span *s, uint64_t *v, size_t n)
{
	forget_ps(w, s, v, n);
	const struct heap *h = &w->r->s->heap;
	size_t words = (size_t)(span_elemsize(s) / 8);
	if (s->nelems == 1 || s->flags & SPAN_USER_ARENA || words == 0) {
		take_words(w, v, n);
		return;
	}
	for (uint32_t i = 0; i < s->nelems && (i + 1) * words <= n; i++) {
		if (slot_is_live(h, s, i, true))
			take_words(w, v + i * words, words);
	}
}

/** A queue of reads: many small ones cost few calls. */
struct pieces {
	struct looker *w;
	struct mem_span read[PIECES];
	const struct span *of[PIECES]; /* NULL: a stack, globals, a piece of a large object */
	uint32_t n;
	size_t used;
	uint64_t *room;
};

static void pieces_take(struct pieces *p)
{
	mem_read_many(p->w->r->t, p->read, p->n);
	for (uint32_t i = 0; i < p->n; i++) {
		size_t words = p->read[i].got / 8;
		if (p->of[i] != NULL)
			take_span_words(p->w, p->of[i], p->read[i].dst, words);
		else
			take_words(p->w, p->read[i].dst, words);
	}
	p->n = 0;
	p->used = 0;
}

/** Adds [at, end) that is in memory. Cut into pieces when large: a header on a cut looks like a
 * bare pointer, which is in favour of the program. */
static void pieces_add(struct pieces *p, const struct span *s, taddr at, taddr end)
{
	const struct pages *pages = &p->w->r->s->os->pages;
	bool known = p->w->r->s->os->residency != RESIDENCY_NONE;
	at = round_up(at, 8);
	while (at < end && p->w->open >= p->w->needed) {
		if (known && s == NULL)
			at = pages_next(pages, at, end, PAGE_RESIDENT, true);
		taddr to = MIN(end, at + PIECE);
		if (known && s == NULL)
			to = pages_next(pages, at, to, PAGE_RESIDENT, false);
		if (to <= at)
			break;
		uint32_t n = (uint32_t)(to - at);
		if (p->n == PIECES || p->used + n > PIECE)
			pieces_take(p);
		p->read[p->n] =
			(struct mem_span){.at = at, .dst = (char *)p->room + p->used, .n = n};
		p->of[p->n++] = s;
		p->used += round_up(n, 8);
		at = to;
	}
}

static void read_roots(struct pieces *p, bytes *ret_total)
{
	const struct reading *r = p->w->r;
	bytes total = 0;
	for (uint32_t i = 0; i < r->g->n_images; i++) {
		const struct image_file *f = &r->g->images[i];
		for (uint32_t k = 0; f->go && k < f->n_ranges; k++) {
			const struct image_range *m = &f->ranges[k];
			if (m->part != IMAGE_DATA && m->part != IMAGE_LIB)
				continue;
			total += m->end - m->start;
			if (ret_total == NULL)
				pieces_add(p, NULL, m->start, m->end);
		}
	}
	for (uint32_t i = 0; i < r->s->n_stacks; i++) {
		const struct stack *k = &r->s->stacks[i];
		if (k->use != STACK_GOROUTINE)
			continue;
		total += k->hi - k->sp;
		if (ret_total == NULL)
			pieces_add(p, NULL, k->sp, k->hi);
	}
	if (ret_total != NULL)
		*ret_total += total;
}

static void read_objects(struct pieces *p)
{
	const struct heap *h = &p->w->r->s->heap;
	for (uint32_t i = 0; i < h->n_chunks; i++) {
		taddr base = h->chunks[i]->key << 22;
		for (uint32_t k = 0; k < 512; k++) {
			uint32_t at = h->chunks[i]->span[k];
			const struct span *s = at == 0 ? NULL : &h->spans[at - 1];
			if (s == NULL || s->start != base + (taddr)k * GO_PAGE || !is_referrer(s))
				continue;
			bytes n = span_bytes(s);
			pieces_add(p, n <= PIECE ? s : NULL, s->start, s->start + n);
		}
	}
}

/* ---- before and after ---- */

/** The least size from which on all objects find room; their number and bytes. 0: they could not
 * matter. */
static bytes smallest_size(struct looker *w, uint64_t *ret_n)
{
	const struct heap *h = &w->r->s->heap;
	uint64_t n[64] = {0}, objects = 0;
	bytes live[64] = {0}; /* by the size's logarithm */
	for (uint32_t i = 0; i < h->n_spans; i++) {
		if (!is_candidate(&h->spans[i], SMALLEST))
			continue;
		int log = 63 - __builtin_clzll(span_elemsize(&h->spans[i]));
		n[log] += h->spans[i].nelems;
		live[log] += h->spans[i].live * span_elemsize(&h->spans[i]);
	}
	int log = 63;
	w->open = 0;
	for (; log >= 0 && objects + n[log] <= OBJECTS_MAX; log--) {
		objects += n[log];
		w->open += live[log];
	}
	*ret_n = objects;
	return w->open < w->needed ? 0 : MAX((bytes)1 << (log + 1), SMALLEST);
}

/** Chooses the objects; false when they could not matter. */
static bool choose_objects(struct looker *w)
{
	struct heap *h = &w->r->s->heap;
	uint64_t n;
	bytes smallest = smallest_size(w, &n);
	if (smallest == 0)
		return false;
	w->big = ARENA_ARRAY(&w->r->scratch, struct big, n);
	w->first = ARENA_ARRAY(&w->r->scratch, uint32_t, h->n_spans);
	w->lo = UINT64_MAX;
	n = 0;
	for (uint32_t i = 0; i < h->n_spans; i++) {
		const struct span *s = &h->spans[i];
		if (!is_candidate(s, smallest))
			continue;
		w->first[i] = (uint32_t)n + 1;
		for (uint32_t k = 0; k < s->nelems; k++, n++) {
			if (!slot_is_live(h, s, k, false))
				w->big[n].parts = UINT64_MAX;
		}
		w->lo = MIN(w->lo, s->start);
		w->hi = MAX(w->hi, s->start + span_bytes(s));
		for (uint32_t k = 0; k < MIN(s->npages, FILTER_BITS); k++) {
			uint32_t page = (uint32_t)(s->start / GO_PAGE + k) % FILTER_BITS;
			w->filter[page / 64] |= (uint64_t)1 << page % 64;
		}
	}
	return true;
}

/** What has to be read; UINT64_MAX when part of it is swapped: reading would bring it back. */
static bytes bytes_to_read(struct pieces *p)
{
	const struct snapshot *s = p->w->r->s;
	bytes sum = 0;
	read_roots(p, &sum);
	for (uint32_t i = 0; i < s->heap.n_spans; i++) {
		const struct span *k = &s->heap.spans[i];
		if (!is_referrer(k))
			continue;
		sum += span_bytes(k);
		if (s->os->pages.swapped > 0 &&
		    pages_in(&s->os->pages, k->start, k->start + span_bytes(k), PAGE_SWAPPED) > 0)
			return UINT64_MAX;
	}
	return sum;
}

static void sum_up(const struct looker *w, struct small_views *ret)
{
	const struct snapshot *s = w->r->s;
	bytes most = 0;
	for (uint32_t i = 0; i < s->heap.n_spans; i++) {
		const struct span *k = &s->heap.spans[i];
		bytes size = span_elemsize(k);
		for (uint32_t j = 0; w->first[i] != 0 && j < k->nelems; j++) {
			const struct big *b = &w->big[w->first[i] - 1 + j];
			if (b->parts == 0 || b->parts == UINT64_MAX)
				continue;
			taddr at = k->start + j * size;
			bytes held =
				s->os->residency == RESIDENCY_NONE
					? size
					: pages_in(&s->os->pages, at, at + size, PAGE_RESIDENT);
			bytes unseen =
				held / PARTS * (PARTS - (uint32_t)__builtin_popcountll(b->parts));
			ret->objects++;
			ret->size += size;
			ret->views += b->views;
			ret->seen += b->seen;
			ret->unseen += unseen;
			ret->growable += b->growable ? unseen : 0;
			if (unseen > most) {
				most = unseen;
				ret->example = (struct small_view){size, b->seen, b->views};
			}
		}
	}
}

void read_small_views(struct reading *r)
{
	struct small_views *ret = &r->s->small_views;
	*ret = (struct small_views){0};
	struct arena_mark mark = arena_mark(&r->scratch);
	struct looker *w = ARENA_NEW(&r->scratch, struct looker);
	struct pieces *p = ARENA_NEW(&r->scratch, struct pieces);
	w->r = r;
	w->needed = MAX(WORTH, r->s->os->rss_kernel / 10);
	p->w = w;
	if (choose_objects(w)) {
		bytes n = bytes_to_read(p);
		p->room = arena_alloc(&r->scratch, PIECE);
		if (n > READ_MAX) {
			note_add(r->s, false,
				 "not looked for: large objects that only small slices keep; %s",
				 n == UINT64_MAX ? "some of the heap is swapped out"
						 : "too much would have to be read");
		} else {
			read_roots(p, NULL);
			read_objects(p);
			pieces_take(p);
			ret->looked = true;
			if (w->open >= w->needed)
				sum_up(w, ret);
		}
	}
	arena_reset(&r->scratch, mark);
}
