/*
 * Finds glibc's main_arena and mp_ without symbols: an empty bin points at itself, the arenas form
 * a ring that closes at the main one, and mp_ lies next to it with counters that bound each other.
 * What does not verify in every respect is not taken: a wrong arena would be worse than none.
 */
#include "native/glibc.h"

#include <string.h>

#define SCAN_BLOCK   (64U << 10)
#define SCAN_OVERLAP OS_PAGE
#define SPARSE_FROM  ((bytes)1 << 20)
#define PAR_REACH    16384U
#define PAR_BEFORE   112U /* bytes of mp_ before sbrk_base that matter, and behind it */
#define PAR_BEHIND   40U
/* The ring of a program that starts threads meanwhile may not close the first time. */
#define TRIES 3U
/* Links of bins that a program's own faults may have overwritten. */
#define ODD_LINKS_MAX 16U

static const struct glibc_layout LAYOUTS[] = {
	{"2.27 to 2.42", 112, 10},
	{"2.43", 24, 0}, /* without fast bins: commit "malloc: Remove fastbins" */
	{"2.26", 104, 10},
};

static int32_t int_at(const uint8_t *p)
{
	int32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Whether the 16 bytes at p, which lie at `at`, are an empty bin. */
static bool bin_is_empty(const uint8_t *p, taddr at)
{
	return word_at(p) == at - 16 && word_at(p + 8) == at - 16;
}

static bytes state_size(const struct glibc_layout *l)
{
	return l->bins + FROM_BINS_END;
}

/* Reads the malloc_state at `at`; false when it is none. Leaves its `next` in *ret_next. A busy
 * heap fills every bin but the last. */
static bool arena_read(struct walk *w, const struct glibc_layout *l, taddr at,
		       struct glibc_arena *ret, taddr *ret_next)
{
	uint8_t b[ARENA_STATE_MAX];
	const uint8_t *bins = b + l->bins;
	taddr bins_at = at + l->bins;
	bytes max_system;
	unsigned odd = 0;

	if (at % 8 || target_read(w->t, at, b, state_size(l)) != state_size(l))
		return false;
	for (unsigned i = 0; i < ARENA_BINS * 2; i++) {
		uint64_t v = word_at(bins + i * 8);

		odd += v == 0 || v % 8;
	}
	if (odd > ODD_LINKS_MAX || !bin_is_empty(bins + FROM_BINS_LAST, bins_at + FROM_BINS_LAST))
		return false;
	*ret = (struct glibc_arena){
		.at = at,
		.top = word_at(bins + FROM_BINS_TOP),
		.system_mem = word_at(bins + FROM_BINS_SYSTEM),
		.flags = (uint32_t)int_at(b + 4),
	};
	max_system = word_at(bins + FROM_BINS_SYSTEM + 8);
	*ret_next = word_at(bins + FROM_BINS_NEXT);
	if (ret->flags & ~7U || ret->system_mem > (bytes)1 << 47 || max_system > (bytes)1 << 47 ||
	    ret->top % 8 || ret->top == 0)
		return false;
	for (unsigned i = 0; i < l->n_fast; i++)
		ret->fast[i] = word_at(bins - 96 + i * 8);
	return true;
}

/* Follows the ring of arenas from the main one; false when it does not come back to it. */
static bool ring_read(struct walk *w, const struct glibc_layout *l, taddr main)
{
	struct glibc_arena a;
	taddr at = main, next, tortoise = main;
	uint32_t power = 1, lap = 0;

	w->arenas.n = 0;
	do {
		if (!arena_read(w, l, at, &a, &next))
			return false;
		*VEC_PUSH(w->scratch, &w->arenas) = a;
		if (w->arenas.n == ARENA_MAX)
			return false;
		at = next;
		/* Brent: a ring that closes anywhere else is none. */
		if (at == tortoise && at != main)
			return false;
		if (++lap == power) {
			tortoise = at;
			power *= 2;
			lap = 0;
		}
	} while (at != main);
	return true;
}

/* p is the last of a run of empty bins: bin 127 when this is an arena. */
static bool arena_at_last_bin(struct walk *w, taddr p)
{
	for (size_t i = 0; i < ARRAY_LEN(LAYOUTS) * TRIES; i++) {
		const struct glibc_layout *l = &LAYOUTS[i % ARRAY_LEN(LAYOUTS)];

		if (ring_read(w, l, p - FROM_BINS_LAST - l->bins)) {
			w->layout = l;
			return true;
		}
	}
	return false;
}

/* An arena before the first malloc: all zero but for `next`, at p, and the count of threads. */
static bool arena_is_unused(struct walk *w, taddr p, const struct glibc_layout *l)
{
	uint8_t b[ARENA_STATE_MAX];
	size_t next = l->bins + FROM_BINS_NEXT;

	if (target_read(w->t, p - next, b, state_size(l)) != state_size(l))
		return false;
	if (word_at(b + next + 16) != 1)
		return false;
	memset(b + next, 0, 8);
	memset(b + next + 16, 0, 8);
	for (size_t i = 0; i < state_size(l); i++) {
		if (b[i])
			return false;
	}
	return true;
}

/*
 * The fields of mp_ around a word that may be sbrk_base. Two spacings: 2.35 put hp_flags, an int,
 * in front of n_mmaps. `b` is in a buffer that holds PAR_BEFORE bytes before it and PAR_BEHIND from
 * it on.
 */
static bool par_is(const uint8_t *b, struct glibc_par *ret)
{
	static const struct {
		int n_mmaps, no_dyn, arena_test, hp_pagesize;
	} forms[] = {
		{-32, -20, -48, 0},   /* to 2.34 */
		{-36, -24, -72, -48}, /* 2.35 to 2.42 */
		{-36, -24, -80, -48}, /* 2.43: thp_mode */
	};
	uint64_t mem = word_at(b - 16), max_mem = word_at(b - 8);

	if (mem > max_mem || mem % 16 || max_mem % 16 || max_mem > (bytes)1 << 47 ||
	    word_at(b + 8) > 76 || word_at(b + 16) > (8U << 20) || word_at(b + 24) > UINT16_MAX)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		int32_t n = int_at(b + forms[i].n_mmaps);
		int32_t max_n = int_at(b + forms[i].n_mmaps + 8);
		int32_t no_dyn = int_at(b + forms[i].no_dyn);
		uint64_t test = word_at(b + forms[i].arena_test);

		if (n < 0 || n > max_n || int_at(b + forms[i].n_mmaps + 4) < 0 || no_dyn < 0 ||
		    no_dyn > 1 || (max_n == 0) != (max_mem == 0) || test == 0 || test > 1U << 20)
			continue;
		*ret = (struct glibc_par){
			.known = true,
			.n_mmaps_off = (uint32_t)-forms[i].n_mmaps,
			.n_mmaps = (uint64_t)n,
			.mmapped_mem = mem,
			.sbrk_base = word_at(b),
			.hp_pagesize = forms[i].hp_pagesize ? word_at(b + forms[i].hp_pagesize) : 0,
		};
		return true;
	}
	return false;
}

/* mp_ is a static of the same object file as main_arena, so they are neighbours in .data. */
static void par_find(struct walk *w, taddr lo, taddr hi)
{
	const struct glibc_arena *main = &w->arenas.v[0];
	bool fresh = main->top == main->at + w->layout->bins + (uint64_t)FROM_BINS_TOP;
	struct addr_range heap = {0, 0};
	struct glibc_par p;
	uint8_t *b;

	heap_range(w->os, &heap);
	lo = round_up(MAX(lo, main->at - MIN(main->at, PAR_REACH)), 8);
	hi = MIN(hi, main->at + PAR_REACH);
	if (lo >= hi || hi - lo < PAR_BEFORE + PAR_BEHIND)
		return;
	b = arena_alloc(w->scratch, hi - lo);
	if (target_read(w->t, lo, b, hi - lo) != hi - lo)
		return;
	for (size_t o = PAR_BEFORE; o + PAR_BEHIND <= hi - lo; o += 8) {
		uint64_t base = word_at(b + o);
		const struct mapping *m;

		if ((base == 0) != fresh || base % 16 > 8 || !par_is(b + o, &p))
			continue;
		p.at = lo + o;
		if (fresh || (base >= heap.start && base < heap.end)) {
			w->par = p;
			return;
		}
		m = map_find(w->os, base);
		if (!w->par.known && m && map_is_anon(m))
			w->par = p;
	}
}

void glibc_par_read(struct walk *w)
{
	uint8_t b[PAR_BEFORE];
	int32_t n;

	if (!w->par.known || target_read(w->t, w->par.at - PAR_BEFORE, b, sizeof(b)) != sizeof(b))
		return;
	n = int_at(b + PAR_BEFORE - w->par.n_mmaps_off);
	w->par.n_mmaps = n < 0 ? 0 : (uint64_t)n;
	w->par.mmapped_mem = word_at(b + PAR_BEFORE - 16);
}

bool glibc_find(struct walk *w, taddr lo, taddr hi, bool *ret_unused)
{
	uint8_t *b = arena_alloc(w->scratch, SCAN_BLOCK);
	bool sparse = w->residency && hi - lo > SPARSE_FROM;
	taddr at = lo;

	*ret_unused = false;
	while (at < hi) {
		/* A page that was never written can't hold it: this skips a large bss. */
		taddr from = sparse ? pages_next(&w->os->pages, at, hi, PAGE_RESIDENT, true) : at;
		size_t n, block;

		if (from >= hi)
			break;
		at = MAX(at, round_down(from, OS_PAGE));
		block = MIN(SCAN_BLOCK, hi - at);
		n = target_read(w->t, at, b, block);
		for (size_t o = 0; o + 16 <= n; o += 8) {
			taddr p = at + o;
			uint64_t v = word_at(b + o);

			if (v == p - 16) {
				if (!bin_is_empty(b + o, p) ||
				    (o + 32 <= n && bin_is_empty(b + o + 16, p + 16)))
					continue;
				if (arena_at_last_bin(w, p)) {
					par_find(w, lo, hi);
					return true;
				}
				continue;
			}
			for (size_t i = 0; i < ARRAY_LEN(LAYOUTS); i++) {
				if (v == p - LAYOUTS[i].bins - FROM_BINS_NEXT)
					*ret_unused |= arena_is_unused(w, p, &LAYOUTS[i]);
			}
		}
		/* Blocks overlap by one bin, so that none is missed at their border. */
		if (n < block)
			at = round_down(at + n, OS_PAGE) + OS_PAGE;
		else
			at += block < SCAN_BLOCK ? block : block - SCAN_OVERLAP;
	}
	w->arenas.n = 0;
	return false;
}
