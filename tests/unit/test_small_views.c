/*
 * Which words count as small views of a large object: a heap of two spans, one of 64 KiB objects
 * without pointers, one of 4 KiB objects that point into them, read from an array.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "goruntime/rt.h"

#define BIG	 0xc000400000ULL
#define SIZE	 ((bytes)64 << 10)
#define N_BIG	 512U
#define REF	 0xc004000000ULL
#define REF_SIZE 4096U
#define N_REF	 512U

struct world {
	struct reading r;
	struct go_session g;
	struct snapshot s;
	struct os_facts os;
	struct layout l;
	struct target t;
	struct target_ops ops;
	struct span spans[1 + N_BIG];
	struct span_chunk *chunks[16];
	uint64_t words[N_REF][REF_SIZE / 8];
	uint64_t reads;
};

static size_t fake_read(struct target *t, taddr at, void *dst, size_t n)
{
	struct world *w = t->impl;

	w->reads++;
	if (at < REF || at - REF + n > sizeof w->words)
		return 0;
	memcpy(dst, (char *)w->words + (at - REF), n);
	return n;
}

static void put_span(struct world *w, const struct span *s)
{
	struct heap *h = &w->s.heap;

	h->spans[h->n_spans++] = *s;
	for (taddr at = s->start; at < s->start + span_bytes(s); at += GO_PAGE) {
		struct span_chunk *c = span_chunk_find(h, at);
		if (c == NULL) {
			c = ARENA_NEW(&w->s.mem, struct span_chunk);
			c->key = at >> 22;
			h->chunks[h->n_chunks++] = c;
		}
		c->span[at >> 13 & 511] = h->n_spans;
	}
}

/* 32 MiB of objects of 64 KiB, each a span of its own, and 512 objects of 4 KiB with pointers. */
static struct world *world_new(void)
{
	static struct arena a;
	struct world *w;

	arena_init(&a, 0);
	w = ARENA_NEW(&a, struct world);
	arena_init(&w->s.mem, 0);
	arena_init(&w->r.scratch, 0);
	w->ops = (struct target_ops){.name = "fake", .read = fake_read};
	w->t = (struct target){.ops = &w->ops, .impl = w, .os = &w->os};
	w->r.g = &w->g;
	w->r.t = &w->t;
	w->r.l = &w->l;
	w->r.s = &w->s;
	w->r.mem = &w->s.mem;
	w->s.os = &w->os;
	w->os.residency = RESIDENCY_NONE;
	w->s.heap.spans = w->spans;
	w->s.heap.chunks = w->chunks;
	for (uint32_t i = 0; i < N_BIG; i++)
		put_span(w, &(struct span){.start = BIG + i * SIZE,
					   .npages = (uint32_t)(SIZE / GO_PAGE),
					   .elemsize = (uint32_t)SIZE,
					   .nelems = 1,
					   .live = 1,
					   .spanclass = 1,
					   .state = SPAN_HEAP});
	put_span(w, &(struct span){.start = REF,
				   .npages = N_REF * REF_SIZE / GO_PAGE,
				   .elemsize = REF_SIZE,
				   .nelems = N_REF,
				   .live = N_REF,
				   .spanclass = 44 << 1,
				   .state = SPAN_HEAP});
	return w;
}

/* Each large object is pointed to by the words {at + off, a, b} in an object of its own. */
static const struct small_views *look(struct world *w, bytes off, uint64_t a, uint64_t b)
{
	for (uint32_t i = 0; i < N_BIG; i++) {
		w->words[i][10] = BIG + i * SIZE + off;
		w->words[i][11] = a;
		w->words[i][12] = b;
	}
	read_small_views(&w->r);
	return &w->s.small_views;
}

static void world_free(struct world *w)
{
	struct arena s = w->s.mem, scratch = w->r.scratch;

	arena_free(&s);
	arena_free(&scratch);
}

static void each_header(void **state)
{
	static const struct {
		bytes off;
		uint64_t a, b;
		uint64_t found, growable;
	} cases[] = {
		/* substrings, and slices with their capacity cut */
		{200, 24, 0, 1, 0},
		{200, 24, UINT64_MAX, 1, 0},
		{101, 16, 16, 1, 0},
		/* a slice of bytes, and of numbers, whose capacity goes on to the end */
		{100, 16, SIZE - 100, 1, 1},
		{800, 16, (SIZE - 800) / 8, 1, 1},
		{1200, 5, (SIZE - 1200) / 24, 1, 1},
		/* all of it is in use, or could be */
		{0, 16, 16, 0, 0},
		{0, 16, SIZE, 0, 0},
		{8, SIZE - 8, SIZE - 8, 0, 0},
		{800, (SIZE - 800) / 8, (SIZE - 800) / 8, 0, 0},
		{800, 1000, 1000, 0, 0},
		{101, 17000, 17000, 0, 0},
		{101, 16, SIZE / 2, 0, 0},
		/* no length behind it */
		{200, 0, 0, 0, 0},
		{200, 0, SIZE - 200, 0, 0},
		{200, SIZE, 0, 0, 0},
		{200, BIG, 0, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct world *w = world_new();
		const struct small_views *v = look(w, cases[i].off, cases[i].a, cases[i].b);
		assert_true(v->looked);
		if ((v->objects > 0) != cases[i].found || (v->growable > 0) != cases[i].growable)
			fail_msg("case %zu: %llu objects, %llu growable", i,
				 (unsigned long long)v->objects, (unsigned long long)v->growable);
		world_free(w);
	}
}

static void sums(void **state)
{
	struct world *w = world_new();
	const struct small_views *v = look(w, 101, 16, 0);

	(void)state;
	assert_int_equal(v->objects, N_BIG);
	assert_int_equal(v->views, N_BIG);
	assert_int_equal(v->size, N_BIG * SIZE);
	assert_int_equal(v->seen, N_BIG * 16);
	assert_true(v->unseen > N_BIG * SIZE / 100 * 97 && v->unseen < N_BIG * SIZE);
	assert_int_equal(v->example.size, SIZE);
	assert_int_equal(v->example.seen, 16);
	world_free(w);
}

/* Many small views that together are all of it; and one that reaches all beside a small one. */
static void together(void **state)
{
	struct world *w = world_new();

	(void)state;
	for (uint32_t i = 0; i < N_BIG; i++)
		for (uint32_t k = 0; k < 100; k++) {
			w->words[i][20 + 2 * k] = BIG + i * SIZE + 1 + k * 651;
			w->words[i][21 + 2 * k] = 600;
		}
	assert_int_equal(look(w, 101, 16, 0)->objects, 0);
	world_free(w);

	w = world_new();
	for (uint32_t i = 0; i < N_BIG; i += 2)
		w->words[i][200] = BIG + i * SIZE;
	/* the other half is 16 MiB: just worth a word */
	assert_int_equal(look(w, 101, 16, 0)->objects, N_BIG / 2);
	world_free(w);
}

/* What the GC does not scan is not looked at: free slots, dead ones, objects without pointers. */
static void only_live_referrers(void **state)
{
	struct world *w = world_new();
	struct span *refs = &w->spans[N_BIG];

	(void)state;
	refs->live = 0;
	assert_int_equal(look(w, 101, 16, 0)->objects, 0); /* nothing points to them: not known */
	refs->dead = N_REF;
	assert_int_equal(look(w, 101, 16, 0)->objects, 0);
	refs->dead = 0;
	refs->fresh = N_REF;
	assert_int_equal(look(w, 101, 16, 0)->objects, N_BIG);
	refs->spanclass |= 1;
	assert_int_equal(look(w, 101, 16, 0)->objects, 0);
	world_free(w);
}

/* Where large objects could not matter, nothing is read. */
static void not_worth_it(void **state)
{
	struct world *w = world_new();

	(void)state;
	w->os.rss_kernel = 400 << 20;
	assert_false(look(w, 101, 16, 0)->looked);
	assert_int_equal(w->reads, 0);
	w->os.rss_kernel = 0;
	for (uint32_t i = 0; i < N_BIG; i++)
		w->spans[i].live = i < 200;
	assert_false(look(w, 101, 16, 0)->looked);
	assert_int_equal(w->reads, 0);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_header),	cmocka_unit_test(sums),
		cmocka_unit_test(together),	cmocka_unit_test(only_live_referrers),
		cmocka_unit_test(not_worth_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
