/*
 * Stacks of threads that libpthread made. glibc keeps a thread's control block (TCB) at the top of
 * its stack: a struct that holds its own address twice and knows where the stack begins, so that a
 * stack is found even where mappings merged and where its guard is no mapping (glibc 2.42). A stack
 * whose thread ended stays in glibc's cache with its TCB. Other libcs: by a thread's stack pointer,
 * a guard below and Go's own record of the stack (g0).
 */
#include "native/glibc.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define BLOCK	     (64U << 10)
#define TCB_ALIGN    64U
#define PTHREAD_LIST 704U /* offset in struct pthread: where its own fields begin */
#define PTHREAD_TID  720U
#define PTHREAD_MAX  4096U
#define PTHREAD_MIN  1024U
#define STACK_MIN    (16U << 10)
#define TOP_MAX	     (16U << 10) /* from the TCB to the end of the stack */
#define SHAPE_MAX    ((bytes)64 << 20)
/* Resident bytes that are looked at: in one mapping, and above a stack pointer; in all of them. */
#define SCAN_MAX ((bytes)32 << 20)
#define SCAN_ALL ((bytes)256 << 20)

struct stacks {
	struct walk *w;
	uint8_t *block, *tcb;
	taddr *sp; /* ascending */
	uint32_t n_sp;
	struct addr_range *g0; /* ascending */
	uint32_t n_g0;
	bytes left;
	VEC(struct thread_stack) found;
	uint32_t before; /* of `found`, when the piece in work was begun */
};

static int taddr_cmp(const void *a, const void *b)
{
	const taddr *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The index of the first sp at or above `at`. */
static uint32_t sp_from(const struct stacks *q, taddr at)
{
	uint32_t lo = 0, hi = q->n_sp;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (q->sp[mid] < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Whether a stack that was found in the piece in work holds `at`. */
static bool found_at(const struct stacks *q, taddr at)
{
	for (uint32_t i = q->found.n; i-- > q->before;) {
		if (at >= q->found.v[i].start && at < q->found.v[i].end)
			return true;
	}
	return false;
}

static void found_add(struct stacks *q, taddr lo, taddr hi, const struct addr_range *in, bool alive,
		      bool weak)
{
	lo = MAX(round_up(lo, OS_PAGE), in->start);
	hi = MIN(round_down(hi, OS_PAGE), in->end);
	if (lo < hi)
		*VEC_PUSH(q->w->scratch, &q->found) = (struct thread_stack){lo, hi, alive, weak};
}

/* The control block at `at`, if it is one; it says where its stack lies. */
static bool tcb_take(struct stacks *q, taddr at, const struct addr_range *in)
{
	size_t n = MIN(PTHREAD_MAX, in->end - at);
	int32_t tid;

	if (n < PTHREAD_MIN || (n = target_read(q->w->t, at, q->tcb, n)) < PTHREAD_MIN ||
	    word_at(q->tcb) != at || word_at(q->tcb + 16) != at)
		return false;
	memcpy(&tid, q->tcb + PTHREAD_TID, sizeof(tid));
	for (size_t k = PTHREAD_LIST; k + 24 <= n; k += 8) {
		taddr lo = word_at(q->tcb + k);
		bytes size = word_at(q->tcb + k + 8), guard = word_at(q->tcb + k + 16);

		if (lo > at || lo % OS_PAGE || size % OS_PAGE || size < STACK_MIN ||
		    at - lo >= size || lo + size - at > TOP_MAX || guard % OS_PAGE || guard >= size)
			continue;
		found_add(q, lo + guard, lo + size, in, tid > 0, guard == 0);
		q->w->inner_guards |= guard && lo >= in->start;
		return true;
	}
	return false;
}

/* Looks for control blocks on the resident pages of [lo, hi); `sp`: stop at the first one, whose
 * stack holds it. */
static void tcb_scan(struct stacks *q, taddr lo, taddr hi, const struct addr_range *in, taddr sp)
{
	const struct walk *w = q->w;
	bytes left = MIN(SCAN_MAX, q->left);

	lo = round_down(lo, OS_PAGE);
	while (lo < hi && left) {
		taddr stop = MIN(hi, lo + BLOCK);
		size_t n;

		if (w->residency) {
			lo = pages_next(&w->os->pages, lo, hi, PAGE_RESIDENT, true);
			if (lo >= hi)
				return;
			stop = pages_next(&w->os->pages, lo, MIN(hi, lo + BLOCK), PAGE_RESIDENT,
					  false);
		}
		n = target_read(w->t, lo, q->block, stop - lo);
		for (size_t o = 0; o + 24 <= n; o += TCB_ALIGN) {
			if (word_at(q->block + o) != lo + o || word_at(q->block + o + 16) != lo + o)
				continue;
			if (tcb_take(q, lo + o, in) && sp && found_at(q, sp))
				return;
		}
		left -= MIN(left, stop - lo);
		q->left -= MIN(q->left, stop - lo);
		lo = stop;
	}
}

/* The first of Go's records that ends behind `at`; they do not overlap. */
static uint32_t g0_from(const struct stacks *q, taddr at)
{
	uint32_t lo = 0, hi = q->n_g0;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (q->g0[mid].end <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Without a control block: what a guard, a stack pointer and Go's record of the stack tell. */
static void shape_take(struct stacks *q, const struct addr_range *in, bool guard)
{
	uint32_t i = g0_from(q, in->start);
	bool any = false;

	for (; i < q->n_g0 && q->g0[i].start < in->end; i++) {
		const struct addr_range *h = &q->g0[i];

		any = true;
		/* In a mapping of the same size it is all of it, TLS above included. */
		if (guard && in->end - in->start < h->end - h->start + TOP_MAX)
			found_add(q, in->start, in->end, in, true, false);
		else
			found_add(q, h->start, h->end, in, true, false);
	}
	if (!any && guard && in->end - in->start <= SHAPE_MAX)
		found_add(q, in->start, in->end, in, true, false);
}

static bool is_guard(const struct mapping *m)
{
	return !(m->flags & (MAP_READ | MAP_WRITE | MAP_EXEC | MAP_FILE | MAP_SHMEM | MAP_SPECIAL));
}

static void piece_read(struct stacks *q, const struct addr_range *in, bool guard, bool glibc)
{
	const struct walk *w = q->w;
	uint32_t i = sp_from(q, in->start), g = g0_from(q, in->start);
	bool sp = i < q->n_sp && q->sp[i] < in->end, all = true;
	bool hint = g < q->n_g0 && q->g0[g].start < in->end;

	if (!sp && !hint && !guard)
		return;
	q->before = q->found.n;
	if (glibc) {
		taddr lo = in->start;

		if (w->residency &&
		    pages_in(&w->os->pages, in->start, in->end, PAGE_RESIDENT) > SCAN_MAX)
			lo = MAX(lo, in->end - MIN(in->end, SCAN_MAX / 2));
		tcb_scan(q, lo, in->end, in, 0);
		for (; i < q->n_sp && q->sp[i] < in->end; i++) {
			if (!found_at(q, q->sp[i]))
				tcb_scan(q, q->sp[i], in->end, in, q->sp[i]);
			all &= found_at(q, q->sp[i]);
		}
		for (; g < q->n_g0 && q->g0[g].start < in->end; g++)
			all &= found_at(q, q->g0[g].start + (q->g0[g].end - q->g0[g].start) / 2);
	}
	if ((sp || hint) && (!glibc || !all))
		shape_take(q, in, guard);
}

static int found_cmp(const void *a, const void *b)
{
	const struct thread_stack *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static int range_cmp(const void *a, const void *b)
{
	const struct addr_range *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static void stacks_open(struct stacks *q, struct walk *w)
{
	*q = (struct stacks){.w = w, .left = SCAN_ALL};
	q->block = arena_alloc(w->scratch, BLOCK);
	q->tcb = arena_alloc(w->scratch, PTHREAD_MAX);
}

/* Leaves what was found in w->stacks, in order and without overlaps. */
static void stacks_keep(struct stacks *q)
{
	struct walk *w = q->w;

	for (uint32_t i = 0; i < w->stacks.n; i++)
		*VEC_PUSH(w->scratch, &q->found) = w->stacks.v[i];
	if (q->found.n)
		qsort(q->found.v, q->found.n, sizeof(*q->found.v), found_cmp);
	w->stacks.n = 0;
	for (uint32_t i = 0; i < q->found.n; i++) {
		if (w->stacks.n == 0 || q->found.v[i].start >= w->stacks.v[w->stacks.n - 1].end)
			*VEC_PUSH(w->scratch, &w->stacks) = q->found.v[i];
	}
}

void stacks_find(struct walk *w, const struct addr_range *g0, uint32_t n_g0, bool glibc)
{
	const struct os_facts *os = w->os;
	struct stacks q;

	stacks_open(&q, w);
	q.sp = ARENA_ARRAY(w->scratch, taddr, os->n_threads + 1);
	for (uint32_t i = 0; i < os->n_threads; i++) {
		if (os->threads[i].sp)
			q.sp[q.n_sp++] = os->threads[i].sp;
	}
	qsort(q.sp, q.n_sp, sizeof(*q.sp), taddr_cmp);
	q.g0 = ARENA_ARRAY(w->scratch, struct addr_range, n_g0 + 1);
	for (uint32_t i = 0; i < n_g0; i++) {
		if (g0[i].start < g0[i].end)
			q.g0[q.n_g0++] = g0[i];
	}
	qsort(q.g0, q.n_g0, sizeof(*q.g0), range_cmp);
	for (uint32_t i = 0; i < os->n_maps; i++) {
		const struct mapping *m = &os->maps[i];
		struct addr_range piece;
		taddr at = m->start;
		bool guard = i > 0 && m[-1].end == m->start && is_guard(&m[-1]);

		if (!map_is_anon(m) && !str_starts(m->path, "[stack:"))
			continue;
		while (untaken_next(w->taken, &at, m->end, &piece)) {
			if (!zone_find(w, piece.start))
				piece_read(&q, &piece, guard && piece.start == m->start, glibc);
		}
	}
	stacks_keep(&q);
}

void stacks_find_inner(struct walk *w)
{
	const struct native_taken busy = busy_make(w, true);
	struct stacks q;

	stacks_open(&q, w);
	for (uint32_t i = 0; i < w->os->n_maps; i++) {
		const struct mapping *m = &w->os->maps[i];
		struct addr_range piece;
		taddr at = m->start;

		while (map_is_anon(m) && untaken_next(&busy, &at, m->end, &piece)) {
			if (piece.end - piece.start >= STACK_MIN)
				tcb_scan(&q, piece.start, piece.end, &piece, 0);
		}
	}
	stacks_keep(&q);
}
