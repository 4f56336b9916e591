/*
 * Where the chunks lie: [heap], the heaps of thread arenas (64 MiB-aligned, chained backwards from
 * the one with the arena's top), extensions of the main arena that malloc mapped when brk failed,
 * and chunks over the mmap threshold. The latter two leave no list anywhere: they are looked for in
 * the anonymous mappings, and the counters of mp_ and main_arena tell whether all were found.
 */
#include "native/glibc.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/unit.h"

/* Pages that the search beyond the start of a mapping may look at. */
#define DEEP_PAGES (1U << 19)
#define DEEP_BATCH 512U
/* Pieces of one mapping that are followed as extensions of the main arena. */
#define EXTENT_TRIES 4096U
#define ZONES_MAX    (1U << 18)
#define HEAPS_MAX    (1U << 16)
#define OWN_MAX	     (1U << 22)

static bool map_is_private_anon(const struct mapping *m)
{
	return !(m->flags & (MAP_SHARED_ | MAP_FILE | MAP_SHMEM | MAP_HUGETLB | MAP_SPECIAL)) &&
	       (m->path[0] == '\0' ||
		(str_starts(m->path, "[anon:") && !str_starts(m->path, "[anon: Go")));
}

bool map_is_anon(const struct mapping *m)
{
	return (m->flags & (MAP_READ | MAP_WRITE)) == (MAP_READ | MAP_WRITE) &&
	       map_is_private_anon(m);
}

bool heap_range(const struct os_facts *os, struct addr_range *ret)
{
	bool any = false;

	for (uint32_t i = 0; i < os->n_maps; i++) {
		const struct mapping *m = &os->maps[i];

		if (strcmp(m->path, "[heap]") != 0)
			continue;
		if (!any)
			ret->start = m->start;
		ret->end = m->end;
		any = true;
	}
	return any;
}

static void zone_add(struct walk *w, struct zone r)
{
	if (w->zones.n < ZONES_MAX && r.start < r.end && r.first >= r.start && r.first <= r.end &&
	    !is_taken(w->taken, r.start + r.skip, r.end))
		*VEC_PUSH(w->scratch, &w->zones) = r;
}

static int zone_cmp(const void *a, const void *b)
{
	const struct zone *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

/* Sorts and drops what lies in the way of an earlier one: rings and chains may lie. */
static void zones_sort(struct walk *w)
{
	uint32_t n = 0;

	if (w->zones.n)
		qsort(w->zones.v, w->zones.n, sizeof(*w->zones.v), zone_cmp);
	for (uint32_t i = 0; i < w->zones.n; i++) {
		if (n == 0 || w->zones.v[i].start >= w->zones.v[n - 1].end)
			w->zones.v[n++] = w->zones.v[i];
	}
	w->zones.n = n;
}

/* What the head of a heap of a thread arena says. */
struct heap_info {
	taddr arena, prev;
	bytes size, mprotect_size;
};

/* Reads the heap_info at `at` and checks it in every respect that is known. */
static bool heap_info_read(struct walk *w, taddr at, bytes align, taddr arena,
			   struct heap_info *ret)
{
	const struct mapping *m = map_find(w->os, at);

	return at && at % align == 0 && m && map_is_anon(m) &&
	       target_read(w->t, at, ret, sizeof(*ret)) == sizeof(*ret) && ret->arena == arena &&
	       ret->size % OS_PAGE == 0 && ret->size >= OS_PAGE &&
	       ret->size <= ret->mprotect_size && ret->mprotect_size <= HEAP_MAX_SIZE;
}

/* The heaps of thread arena i, from the one that holds its top back to the one that it lies in. */
static bool heaps_add(struct walk *w, uint32_t i)
{
	const struct glibc_arena *a = &w->arenas.v[i];
	taddr home = round_down(a->at, OS_PAGE);
	bytes head = a->at - home; /* sizeof(heap_info): 32, and 48 since 2.35 */
	bytes align = HEAP_MAX_SIZE;
	struct heap_info h;
	bool seen_home = false;
	taddr at;

	/* glibc.malloc.hugetlb=2 made smaller heaps, 2.35 to 2.41. */
	if (w->par.hp_pagesize && w->par.hp_pagesize % OS_PAGE == 0 &&
	    w->par.hp_pagesize < align / 4 &&
	    heap_info_read(w, round_down(a->top, w->par.hp_pagesize * 4), w->par.hp_pagesize * 4,
			   a->at, &h))
		align = w->par.hp_pagesize * 4;
	if ((head != 32 && head != 48) || !heap_info_read(w, home, align, a->at, &h))
		return false;
	at = round_down(a->top, align);
	for (uint32_t n = 0; n < HEAPS_MAX; n++, at = h.prev) {
		taddr first = at + head;

		if (seen_home || !heap_info_read(w, at, align, a->at, &h))
			break;
		if (at == home) {
			seen_home = true;
			first = round_up(a->at + w->layout->bins + FROM_BINS_END, CHUNK_ALIGN);
		}
		zone_add(w, (struct zone){.start = at,
					  .end = at + h.size,
					  .first = first,
					  .arena = i,
					  .thread = true});
	}
	/* The chain broke (it may be growing): the first heap is known all the same. */
	if (!seen_home && heap_info_read(w, home, align, a->at, &h))
		zone_add(w, (struct zone){.start = home,
					  .end = home + h.size,
					  .first = round_up(a->at + w->layout->bins + FROM_BINS_END,
							    CHUNK_ALIGN),
					  .arena = i,
					  .thread = true});
	return true;
}

/* [heap] without what others have of it: a bss in front of it can be part of the same mapping. */
static void brk_add(struct walk *w)
{
	struct zone r = {.brk = true};
	struct addr_range heap, piece;
	taddr at;

	if (!heap_range(w->os, &heap))
		return;
	at = heap.start;
	while (untaken_next(w->taken, &at, heap.end, &piece)) {
		if (piece.end != heap.end)
			continue;
		r.start = round_down(piece.start, OS_PAGE);
		r.skip = (uint32_t)(piece.start - r.start);
		r.end = piece.end;
		r.first = round_up(piece.start, CHUNK_ALIGN);
		if (w->par.known && w->par.sbrk_base > r.first && w->par.sbrk_base < r.end)
			r.first = round_up(w->par.sbrk_base, CHUNK_ALIGN);
		if (w->par.known && w->par.sbrk_base == 0)
			r.first = r.end; /* brk was somebody else's */
		zone_add(w, r);
	}
}

void zones_find(struct walk *w)
{
	uint32_t odd = 0;

	brk_add(w);
	for (uint32_t i = 1; i < w->arenas.n; i++)
		odd += !heaps_add(w, i);
	zones_sort(w);
	if (odd)
		note_add(w->s, false,
			 "%u of %u malloc arenas could not be read: their memory is on other lines",
			 odd, w->arenas.n);
}

/* The size of the mapping that malloc made for the chunk whose header is at the start of a page; 0:
 * no such chunk. */
static bytes own_size(const uint8_t *b, bytes room)
{
	uint64_t prev = word_at(b), size = word_at(b + 8);

	if (prev != 0 || (size & CHUNK_FLAGS) != CHUNK_MMAPPED)
		return 0;
	size -= CHUNK_MMAPPED;
	if (size % OS_PAGE == OS_PAGE - 16)
		size += 16; /* 2.43 counts without the header */
	return size % OS_PAGE == 0 && size <= room ? size : 0;
}

/* One stretch of anonymous memory that nothing claims; chunks that start in it may reach to
 * `limit`. */
struct stretch {
	taddr start, end, limit;
};

struct search {
	struct walk *w;
	struct native_taken busy;
	bool extents; /* the main arena has memory outside brk */
	uint32_t tries;
	bytes own_bytes;
};

static int range_cmp(const void *a, const void *b)
{
	const struct addr_range *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

struct native_taken busy_make(struct walk *w, bool with_stacks)
{
	uint32_t all = w->taken->n + w->zones.n + w->stacks.n + w->own.n, n = 0, k = 0;
	struct addr_range *v = ARENA_ARRAY(w->scratch, struct addr_range, all + 1);

	for (uint32_t i = 0; i < w->taken->n; i++)
		v[n++] = w->taken->v[i];
	for (uint32_t i = 0; i < w->zones.n; i++)
		v[n++] = (struct addr_range){w->zones.v[i].start, w->zones.v[i].end};
	for (uint32_t i = 0; with_stacks && i < w->stacks.n; i++) {
		if (!w->stacks.v[i].weak)
			v[n++] = (struct addr_range){w->stacks.v[i].start, w->stacks.v[i].end};
	}
	for (uint32_t i = 0; i < w->own.n; i++)
		v[n++] = w->own.v[i];
	qsort(v, n, sizeof(*v), range_cmp);
	for (uint32_t i = 0; i < n; i++) {
		if (k && v[i].start < v[k - 1].end)
			v[k - 1].end = MAX(v[k - 1].end, v[i].end);
		else
			v[k++] = v[i];
	}
	return (struct native_taken){v, k};
}

static bytes main_bytes(const struct walk *w)
{
	bytes n = 0;

	for (uint32_t i = 0; i < w->zones.n; i++) {
		const struct zone *r = &w->zones.v[i];

		if (!r->thread)
			n += r->end -
			     MIN(r->end,
				 MAX(r->start, w->par.sbrk_base < r->end ? w->par.sbrk_base : 0));
	}
	return n;
}

/*
 * Whether the counters are met. 2.43 counts 16 bytes too many at every mremap, so that the number
 * of chunks decides where the bytes do not.
 */
static bool own_done(const struct search *q)
{
	const struct glibc_par *p = &q->w->par;

	return q->own_bytes >= p->mmapped_mem ||
	       (q->w->own.n == p->n_mmaps && p->mmapped_mem - q->own_bytes < p->mmapped_mem / 64);
}

static bool search_done(const struct search *q)
{
	return q->w->par.known && own_done(q) &&
	       (!q->extents || main_bytes(q->w) >= q->w->arenas.v[0].system_mem);
}

/*
 * Takes the chunk or the extension of the main arena whose first header, b, is at `at`; returns
 * where it ends, `at` when there is none.
 */
static taddr own_take(struct search *q, taddr at, const uint8_t *b, taddr limit)
{
	struct walk *w = q->w;
	bytes n = own_size(b, limit - at);
	uint64_t size = word_at(b + 8);
	taddr end;

	if (n && (!w->par.known || q->own_bytes + n <= w->par.mmapped_mem) && w->own.n < OWN_MAX) {
		*VEC_PUSH(w->scratch, &w->own) = (struct addr_range){at, at + n};
		q->own_bytes += n;
		return at + n;
	}
	if (!q->extents || (size & (CHUNK_FLAGS | 8)) != CHUNK_PREV_INUSE || size < CHUNK_MIN ||
	    size > limit - at || q->tries++ >= EXTENT_TRIES)
		return at;
	end = extent_end(w, at, limit);
	if (!end)
		return at;
	zone_add(w, (struct zone){.start = at, .end = end, .first = at});
	return end;
}

/* Follows the chunks that lie one behind the other from the start of a stretch. */
static taddr stretch_chain(struct search *q, const struct stretch *t)
{
	taddr at = t->start;
	uint8_t b[16];

	while (at < t->end && !search_done(q)) {
		taddr next;

		if (!read_awake(q->w, at, b, sizeof(b)))
			break;
		next = own_take(q, at, b, t->limit);
		if (next == at)
			break;
		at = next;
	}
	return at;
}

/* Looks at the start of every resident page of a stretch. Without page tables there is nothing to
 * go by. */
static taddr stretch_deep(struct search *q, const struct stretch *t, uint32_t *pages_left)
{
	struct walk *w = q->w;
	const struct pages *pages = &w->os->pages;
	struct mem_span span[DEEP_BATCH];
	uint8_t head[DEEP_BATCH][16];
	taddr at = t->start;

	while (at < t->end && *pages_left && !search_done(q)) {
		uint32_t n = 0;

		for (; n < DEEP_BATCH && n < *pages_left; n++) {
			at = pages_next(pages, at, t->end, PAGE_RESIDENT, true);
			if (at >= t->end)
				break;
			span[n] = (struct mem_span){.at = at, .dst = head[n], .n = 16};
			at += OS_PAGE;
		}
		*pages_left -= n;
		mem_read_many(w->t, span, n);
		for (uint32_t i = 0; i < n; i++) {
			taddr next;

			if (span[i].got < 16)
				continue;
			next = own_take(q, span[i].at, head[i], t->limit);
			if (next == span[i].at)
				continue;
			/* Pages inside it are of no interest; those already read are passed over.
			 */
			next = stretch_chain(q, &(struct stretch){next, t->end, t->limit});
			while (i + 1 < n && span[i + 1].at < next)
				i++;
			at = MAX(at, next);
		}
	}
	return at;
}

/*
 * Calls for every stretch of writable anonymous memory that is not busy. A chunk may reach over
 * several mappings (madvise on part of it splits them): its limit is the end of what is anonymous
 * and adjacent.
 */
static void stretches_search(struct search *q, bool deep)
{
	const struct os_facts *os = q->w->os;
	uint32_t pages_left = DEEP_PAGES;
	taddr done = 0, run_end = 0;

	for (uint32_t i = 0; i < os->n_maps && !search_done(q); i++) {
		const struct mapping *m = &os->maps[i];
		struct addr_range r;
		taddr at = MAX(m->start, done);

		if (!map_is_anon(m))
			continue;
		if (m->start >= run_end) {
			run_end = m->end;
			for (uint32_t k = i + 1; k < os->n_maps && os->maps[k].start == run_end &&
						 map_is_private_anon(&os->maps[k]);
			     k++)
				run_end = os->maps[k].end;
		}
		while (untaken_next(&q->busy, &at, m->end, &r)) {
			struct stretch t = {round_up(MAX(r.start, done), OS_PAGE), r.end, r.end};
			taddr more = r.end;
			struct addr_range next;

			if (r.end == m->end && run_end > m->end &&
			    untaken_next(&q->busy, &more, run_end, &next) && next.start == r.end)
				t.limit = next.end;
			if (t.start >= t.end)
				continue;
			at = deep ? stretch_deep(q, &t, &pages_left) : stretch_chain(q, &t);
			done = MAX(done, at);
			at = MAX(at, r.end);
		}
	}
}

void mapped_find(struct walk *w)
{
	struct search q = {.w = w, .extents = w->arenas.v[0].flags & NON_CONTIGUOUS};
	char text[UNIT_TEXT], all[UNIT_TEXT];

	glibc_par_read(w);
	if (search_done(&q))
		return;
	q.busy = busy_make(w, true);
	stretches_search(&q, false);
	if (!search_done(&q)) {
		glibc_par_read(w); /* it may have been freed meanwhile */
		if (!search_done(&q) && w->par.known && w->residency) {
			zones_sort(w);
			q.busy = busy_make(w, true);
			stretches_search(&q, true);
		}
	}
	zones_sort(w);
	glibc_par_read(w);
	if (w->par.known && (!own_done(&q) || w->own.n > w->par.n_mmaps))
		note_add(w->s, false,
			 "malloc counts %s in chunks that it mapped on their own, %s were found: "
			 "the "
			 "rest is on the line anon",
			 unit_bytes(all, w->par.mmapped_mem), unit_bytes(text, q.own_bytes));
	if (q.extents && main_bytes(w) < w->arenas.v[0].system_mem)
		note_add(w->s, false,
			 "malloc's main arena has %s, %s were found: the rest is on the line anon",
			 unit_bytes(all, w->arenas.v[0].system_mem),
			 unit_bytes(text, main_bytes(w)));
}
