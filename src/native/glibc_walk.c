/*
 * Walks the chunks of each zone from header to header and adds up the bytes in use of every page.
 * The target runs meanwhile, so each step is checked; where the chain breaks, the last stretch is
 * read anew (a chunk was being split or merged), and failing that the walk goes on at the next
 * place where headers chain. What lies between counts as used, and is told in a note. Addresses
 * only ascend, so that no bytes whatever can make this loop.
 */
#include "native/glibc.h"

#include <string.h>

#include "base/unit.h"

#define AHEAD_MIN OS_PAGE
#define AHEAD_MAX WINDOW_SIZE
#define RETRIES	  3U
/* A note is due when more than this part of the heap could not be walked. */
#define LOST_SHARE 256U
/* Headers that must chain before a place counts as a chunk boundary. */
#define CHAIN_MIN 8U

bool is_asleep(const struct walk *w, taddr at, size_t n)
{
	return w->residency && pages_next(&w->os->pages, round_down(at, OS_PAGE), at + n,
					  PAGE_SWAPPED, true) < at + n;
}

bool read_awake(struct walk *w, taddr at, void *dst, size_t n)
{
	return n && at + n > at && !is_asleep(w, at, n) && target_read(w->t, at, dst, n) == n;
}

/* Reads ahead from `at`; a window that was read through grows, one that was jumped far out of
 * shrinks. */
static bool window_fill(struct walk *w, struct window *win, taddr at, taddr end)
{
	taddr jump = at - win->at - win->n; /* wraps when `at` is before it */
	taddr stop;

	if (win->n && jump <= win->want)
		win->want = MIN(win->want * 2, AHEAD_MAX);
	else
		win->want = MAX(win->want / 4, AHEAD_MIN);
	stop = MIN(end, round_down(at, OS_PAGE) + win->want);
	if (w->residency) {
		const struct pages *pages = &w->os->pages;
		taddr run = pages_next(pages, at, stop, PAGE_RESIDENT, false);

		if (run > at) {
			stop = run;
		} else {
			/* Became resident since the scan, or was never touched, or is swapped. */
			if (pages_is(pages, at, PAGE_SWAPPED) || w->dark_left < OS_PAGE)
				return false;
			w->dark_left -= OS_PAGE;
			stop = MIN(stop, round_down(at, OS_PAGE) + OS_PAGE);
		}
	}
	win->at = at;
	win->n = (uint32_t)target_read(w->t, at, win->buf, stop - at);
	return win->n > 0;
}

/* The n bytes at `at`, NULL when they can't be had. `*ret_moved`: the window was filled anew. */
static const uint8_t *window_get(struct walk *w, struct window *win, taddr at, uint32_t n,
				 taddr end)
{
	if (at - win->at < win->n && win->n - (at - win->at) >= n)
		return win->buf + (at - win->at);
	if (at >= end || end - at < n || !window_fill(w, win, at, end) || win->n < n)
		return NULL;
	return win->buf;
}

static inline bool window_has(const struct window *win, taddr at, uint32_t n)
{
	return at - win->at < win->n && win->n - (at - win->at) >= n;
}

struct zone *zone_find(struct walk *w, taddr at)
{
	uint32_t lo = 0, hi = w->zones.n;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (w->zones.v[mid].end <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < w->zones.n && w->zones.v[lo].start <= at ? &w->zones.v[lo] : NULL;
}

static inline size_t page_of(const struct zone *z, taddr at)
{
	return (at - z->start) >> OS_PAGE_SHIFT;
}

static void use_pages(struct zone *z, taddr from, taddr to)
{
	size_t first = page_of(z, from), last = page_of(z, to - 1);

	z->used[first] = (uint16_t)(z->used[first] + OS_PAGE - from % OS_PAGE);
	for (size_t i = first + 1; i < last; i++)
		z->used[i] = OS_PAGE;
	z->used[last] = (uint16_t)(z->used[last] + ((to - 1) % OS_PAGE) + 1);
}

/* Adds [from, to) to the used bytes; nothing in it was added before. */
static inline void use(struct zone *z, taddr from, taddr to)
{
	if (from >= to)
		return;
	if ((from ^ (to - 1)) < OS_PAGE)
		z->used[page_of(z, from)] = (uint16_t)(z->used[page_of(z, from)] + (to - from));
	else
		use_pages(z, from, to);
}

bytes zone_unuse(struct walk *w, taddr at, bytes n)
{
	struct zone *z = zone_find(w, at);
	bytes sum = 0;

	if (!z || !z->used)
		return 0;
	for (taddr end = MIN(at + n, z->end); at < end;) {
		taddr stop = MIN(end, round_down(at, OS_PAGE) + OS_PAGE);
		uint16_t *u = &z->used[page_of(z, at)];
		uint16_t less = (uint16_t)MIN(stop - at, *u);

		*u = (uint16_t)(*u - less);
		sum += less;
		at = stop;
	}
	return sum;
}

/* Where the walk of a zone stood, to go back to. */
struct mark {
	taddr at;
	uint16_t used; /* of its page, from what lies before it */
	uint64_t chunks_used, chunks_free;
	bytes fast_free;
	uint32_t n_fast, n_tcaches, n_tcache_data;
	bool set;
};

/* The walk of one zone. */
struct path {
	struct walk *w;
	struct zone *z;
	taddr x;       /* the chunk to look at */
	uint64_t size; /* its size word, once read */
	taddr high;    /* nothing was added to used[] from here on */
	struct mark older, newer;
	uint32_t tries;
	taddr failed;
	uint8_t fast_bins; /* not empty when the walk began: bit i for chunks of 32 + 16 i bytes */
	uint8_t interest[64]; /* of in-use chunks by size / 16: what they may be */
};
enum interest { MAY_BE_FAST = 1, MAY_BE_TCACHE = 2 };

static struct mark mark_make(const struct path *p)
{
	const struct walk *w = p->w;

	return (struct mark){p->x,
			     p->z->used[page_of(p->z, p->x)],
			     w->chunks_used,
			     w->chunks_free,
			     w->fast_free,
			     w->n_fast,
			     w->tcaches.n,
			     w->tcache_data.n,
			     true};
}

/* Takes back everything since the mark. */
static void mark_restore(struct path *p, const struct mark *m)
{
	struct walk *w = p->w;
	size_t first = page_of(p->z, m->at);

	p->z->used[first] = m->used;
	if (p->high > m->at) {
		size_t last = page_of(p->z, p->high - 1);

		if (last > first)
			memset(&p->z->used[first + 1], 0, (last - first) * sizeof(*p->z->used));
	}
	p->x = p->high = m->at;
	w->chunks_used = m->chunks_used;
	w->chunks_free = m->chunks_free;
	w->fast_free = m->fast_free;
	w->n_fast = m->n_fast;
	w->tcaches.n = m->n_tcaches;
	w->tcache_data.n = m->n_tcache_data;
	w->win.n = 0;
}

/* Header words of the chunk at `at`. Where the window moves, p->x is where a retry would begin. */
static const uint8_t *header(struct path *p, taddr at)
{
	struct window *win = &p->w->win;

	if (!window_has(win, at, 16)) {
		p->older = p->newer;
		p->newer = mark_make(p);
	}
	return window_get(p->w, win, at, 16, p->z->end);
}

static bool size_is_odd(const struct zone *z, taddr at, uint64_t size)
{
	return (size & (CHUNK_MMAPPED | 8)) || (!z->thread && (size & CHUNK_NON_MAIN)) ||
	       (size & ~(uint64_t)15) < CHUNK_MIN || (size & ~(uint64_t)15) > z->end - at;
}

/* Whether headers chain from `at`: to the end of the zone or over CHAIN_MIN chunks. */
static bool boundary_is(struct walk *w, const struct zone *z, taddr at, taddr top)
{
	for (unsigned i = 0; i < CHAIN_MIN; i++) {
		const uint8_t *b;
		uint64_t size, next_size;
		taddr next;

		if (!window_has(&w->side, at, 16)) {
			if (!w->peeks_left)
				return false;
			w->peeks_left--;
		}
		b = window_get(w, &w->side, at, 16, z->end);
		if (!b)
			return false;
		size = word_at(b + 8);
		if (size_is_odd(z, at, size))
			return false;
		next = at + (size & ~(uint64_t)15);
		if (next == z->end || at == top)
			return true;
		if (!window_has(&w->side, next, 16)) {
			if (!w->peeks_left)
				return false;
			w->peeks_left--;
		}
		b = window_get(w, &w->side, next, 16, z->end);
		if (!b)
			return false;
		next_size = word_at(b + 8);
		if (!(next_size & CHUNK_PREV_INUSE) && word_at(b) != (size & ~(uint64_t)15))
			return false;
		at = next;
		if ((next_size & ~(uint64_t)(CHUNK_PREV_INUSE | CHUNK_NON_MAIN)) == 16)
			return i > 0; /* fence posts */
	}
	return true;
}

/* The next chunk boundary from `at` on; the zone's end when there is none that can be found. */
static taddr boundary_next(struct walk *w, const struct zone *z, taddr at, taddr top)
{
	uint8_t page[OS_PAGE];

	while (at < z->end && w->peeks_left) {
		taddr stop = MIN(z->end, round_down(at, OS_PAGE) + OS_PAGE);
		size_t n;

		if (w->residency) {
			taddr on = pages_next(&w->os->pages, at, z->end, PAGE_RESIDENT, true);

			if (on >= z->end)
				break;
			if (on > at) {
				at = on;
				continue;
			}
		}
		w->peeks_left--;
		n = target_read(w->t, at, page, stop - at);
		for (size_t o = 0; o + 16 <= n; o += CHUNK_ALIGN) {
			if (!size_is_odd(z, at + o, word_at(page + o + 8)) &&
			    boundary_is(w, z, at + o, top))
				return at + o;
		}
		at = stop;
	}
	return z->end;
}

static taddr top_now(struct walk *w, const struct zone *z)
{
	struct glibc_arena *a = &w->arenas.v[z->arena];
	uint64_t top;

	if (target_read(w->t, a->at + w->layout->bins + (uint64_t)FROM_BINS_TOP, &top,
			sizeof(top)) == sizeof(top))
		a->top = top;
	return a->top;
}

/* Counts [p->x, to) as used though nobody knows what it is, and goes on there. */
static void skip_to(struct path *p, taddr to)
{
	use(p->z, p->x, to);
	p->x = p->high = to;
	p->older.set = p->newer.set = false;
}

/*
 * The chain breaks at p->x. Reads it again from before; after some tries looks for the next
 * boundary. `readable`: the header was read, and is none.
 */
static void path_mend(struct path *p, bool readable)
{
	struct walk *w = p->w;
	const struct mark *m = p->older.set ? &p->older : &p->newer;
	taddr to;

	if (p->failed != p->x) {
		p->failed = p->x;
		p->tries = 0;
	}
	if (readable && m->set && p->tries++ < RETRIES) {
		struct mark back = *m;

		p->older.set = p->newer.set = false;
		mark_restore(p, &back);
		return;
	}
	to = boundary_next(w, p->z, p->x + CHUNK_ALIGN, top_now(w, p->z));
	w->lost += to - p->x;
	if (w->residency)
		w->lost_swapped += pages_in(&w->os->pages, p->x, to, PAGE_SWAPPED);
	skip_to(p, to);
	p->tries = 0;
}

/*
 * Sizes that no chunk in the middle of a zone has: fence posts, a zone that ended elsewhere when
 * its mapping was read, or no header at all.
 */
static void path_odd(struct path *p)
{
	struct walk *w = p->w;
	struct zone *z = p->z;
	uint64_t size = p->size & ~(uint64_t)(CHUNK_PREV_INUSE | CHUNK_NON_MAIN);
	taddr top;

	if (size == 16 && z->end - p->x >= 32) {
		const uint8_t *b = header(p, p->x + 16);
		uint64_t next = b ? word_at(b + 8) : ~(uint64_t)0;

		if (z->thread && (next & ~(uint64_t)1) == 0 && p->x + 32 == z->end) {
			skip_to(p, z->end);
			return;
		}
		if (!z->thread && (next & ~(uint64_t)1) == 16) {
			taddr to = p->x + 32;

			b = header(p, to);
			if (b && (word_at(b + 8) & ~(uint64_t)1) == 16)
				to += 16; /* the rest of the old top was too small for a chunk */
			/* Behind the fence: somebody else's brk, counted as used, as malloc does.
			 */
			if (to < z->end)
				to = boundary_next(w, z, to, top_now(w, z));
			skip_to(p, to);
			return;
		}
	}
	if (size == 0 && z->thread && p->x + 16 == z->end) {
		skip_to(p, z->end);
		return;
	}
	size = p->size & ~(uint64_t)15;
	if (!(p->size & (CHUNK_MMAPPED | 8)) && size >= CHUNK_MIN && size > z->end - p->x) {
		/* It grew since its mapping was read: its top, or a chunk, lies across the end. */
		top = top_now(w, z);
		if (top == p->x || (top > p->x && top - p->x < HEAP_MAX_SIZE && top >= z->end)) {
			if (top == p->x) {
				z->top = p->x;
				w->chunks_free++;
				w->top_free += z->end - p->x;
				p->x = z->end;
			} else {
				w->chunks_used++;
				skip_to(p, z->end);
			}
			return;
		}
	}
	path_mend(p, true);
}

/* The top chunk at p->x ends before the zone does: memory that was given back, or somebody else's.
 */
static void path_top(struct path *p, bytes size)
{
	struct walk *w = p->w;
	uint8_t probe;

	p->z->top = p->x;
	w->chunks_free++;
	w->top_free += size;
	p->x += size;
	p->high = p->x;
	if (p->x < p->z->end) {
		if (p->z->thread || target_read(w->t, p->x, &probe, 1) == 0)
			p->x = p->z->end; /* trimmed since: free */
		else
			skip_to(p, p->z->end);
	}
}

/*
 * One more than can be remembered. Safe-linking makes the looks of such a chunk nearly certain, so
 * it counts as free at once; otherwise it stays in use.
 */
static void fast_overflow(struct walk *w, taddr at, bytes size)
{
	w->fast_more = true;
	if (!w->mangled)
		return;
	w->fast_free += zone_unuse(w, at, size);
	w->chunks_free++;
	w->chunks_used--;
}

/* An in-use chunk of a size that fast bins or a thread's cache have. */
static void path_look(struct path *p, bytes size)
{
	struct walk *w = p->w;
	uint8_t kind = p->interest[size / 16], body[768];
	const uint8_t *b = body;

	if (kind & MAY_BE_FAST) {
		taddr at = p->x + 16, next;

		if (window_has(&w->win, at, 8))
			b = w->win.buf + (at - w->win.at);
		else if (!read_awake(w, at, body, 8))
			return;
		next = word_at(b);
		if (w->mangled)
			next ^= at >> OS_PAGE_SHIFT;
		if (next % CHUNK_ALIGN || (next && !zone_find(w, next)))
			return;
		if (w->n_fast == w->cap_fast) {
			fast_overflow(w, p->x, size);
			return;
		}
		w->fast[w->n_fast++] = (struct fast_chunk){p->x | (size / 16 - 2), next};
	} else {
		bytes n = MIN(size - 8, sizeof(body));

		if (window_has(&w->win, p->x + 16, (uint32_t)n))
			b = w->win.buf + (p->x + 16 - w->win.at);
		else if (!read_awake(w, p->x + 16, body, n))
			return;
		tcache_look(w, p->x + 16, size, b);
	}
}

static void zone_walk(struct path *p)
{
	struct walk *w = p->w;
	struct zone *z = p->z;
	taddr top = w->arenas.v[z->arena].top;

	use(z, z->start + z->skip, z->first);
	p->x = p->high = z->first;
	while (p->x < z->end) {
		const uint8_t *b = header(p, p->x);

		if (!b) {
			path_mend(p, false);
			continue;
		}
		p->size = word_at(b + 8);
		/* From here on p->size belongs to p->x. */
		for (;;) {
			bytes size = p->size & ~(uint64_t)15;
			taddr next = p->x + size;

			if (size_is_odd(z, p->x, p->size)) {
				path_odd(p);
				break;
			}
			if (next == z->end) {
				path_top(p, size);
				break;
			}
			if (p->x == top) {
				top = top_now(w, z);
				if (p->x == top) {
					path_top(p, size);
					break;
				}
			}
			if (!w->steps_left) {
				w->lost += z->end - p->x;
				skip_to(p, z->end);
				break;
			}
			w->steps_left--;
			b = header(p, next);
			if (!b) {
				use(z, p->x, next);
				w->chunks_used++;
				p->x = p->high = next;
				path_mend(p, false);
				break;
			}
			if (word_at(b + 8) & CHUNK_PREV_INUSE) {
				use(z, p->x, next);
				p->high = next;
				w->chunks_used++;
				if (size / 16 < ARRAY_LEN(p->interest) && p->interest[size / 16])
					path_look(p, size);
			} else {
				w->chunks_free++;
			}
			p->size = word_at(b + 8);
			p->x = next;
		}
	}
}

/* Notes what chunks of this zone may be besides in use. */
static void interest_set(struct path *p)
{
	static const uint16_t tcache_sizes[] = {
		0x250, /* 64 counts of one byte (to 2.29) and 64 lists */
		0x290, /* of two bytes */
		0x300, /* 76 and 76 (2.42) */
		0x310, /* the same: 2.43 adds the header twice */
	};
	const struct glibc_arena *a = &p->w->arenas.v[p->z->arena];

	memset(p->interest, 0, sizeof(p->interest));
	for (unsigned i = 0; i < p->w->layout->n_fast; i++) {
		if (a->fast[i])
			p->interest[i + 2] = MAY_BE_FAST;
	}
	/* A remainder too small for a chunk stays with it. */
	for (size_t i = 0; i < ARRAY_LEN(tcache_sizes); i++)
		p->interest[tcache_sizes[i] / 16] = p->interest[tcache_sizes[i] / 16 + 1] =
			MAY_BE_TCACHE;
}

void zones_walk(struct walk *w)
{
	bytes skipped = 0, all = 0;
	uint64_t room;
	char text[UNIT_TEXT], swapped[UNIT_TEXT];

	w->win = (struct window){.buf = arena_alloc(w->scratch, AHEAD_MAX), .want = AHEAD_MIN};
	for (uint32_t i = 0; i < w->zones.n; i++) {
		struct zone *z = &w->zones.v[i];
		struct path p = {.w = w, .z = z};

		room = (z->end - z->start) >> OS_PAGE_SHIFT;
		z->used = arena_try(w->out, room, sizeof(*z->used), NULL);
		if (!z->used) {
			skipped += z->end - z->start;
			continue;
		}
		all += z->end - z->start;
		interest_set(&p);
		zone_walk(&p);
	}
	if (skipped)
		note_add(w->s, false,
			 "%s of the C heap were too much to walk: they count as in use",
			 unit_bytes(text, skipped));
	/* A few pages are nothing to tell of: any busy heap has them. */
	if (w->lost - w->lost_swapped > all / LOST_SHARE)
		note_add(w->s, false,
			 "%s of the C heap could not be walked (it was changing, or is damaged): "
			 "they count as in use",
			 unit_bytes(text, w->lost - w->lost_swapped));
	if (w->lost_swapped > all / LOST_SHARE)
		note_add(w->s, false,
			 "%s of the C heap are swapped out and were not read: they count as in use",
			 unit_bytes(swapped, w->lost_swapped));
}

taddr extent_end(struct walk *w, taddr at, taddr limit)
{
	const struct zone z = {.start = at, .end = limit, .first = at};
	taddr top = w->arenas.v[0].top;

	for (;;) {
		const uint8_t *b = window_get(w, &w->side, at, 16, limit);
		uint64_t size;

		if (!b)
			return 0;
		size = word_at(b + 8);
		if ((size & ~(uint64_t)CHUNK_PREV_INUSE) == 16) {
			taddr end = round_up(at, OS_PAGE);

			/* Two posts, or three when the rest of the old top was too small for a
			 * chunk. */
			if (end - at != 32 && end - at != 48)
				return 0;
			for (at += 16; at < end; at += 16) {
				b = window_get(w, &w->side, at, 16, limit);
				if (!b || (word_at(b + 8) & ~(uint64_t)1) != 16)
					return 0;
			}
			return end;
		}
		if (size_is_odd(&z, at, size))
			return 0;
		if (at == top)
			return (at + (size & ~(uint64_t)15)) % OS_PAGE
				       ? 0
				       : at + (size & ~(uint64_t)15);
		at += size & ~(uint64_t)15;
		if (at >= limit || !w->steps_left)
			return 0;
		w->steps_left--;
	}
}
