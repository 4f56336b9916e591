/* src/target/pages.c: the sparse set against a naive bitmap, at chunk borders and at both ends of
 * memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "target/pages.h"

#define NAIVE 8192 /* pages: eight chunks */

struct naive {
	taddr base;
	bool on[PAGE_BITS][NAIVE];
};

static bool naive_is(const struct naive *v, taddr at, enum page_bit bit)
{
	uint64_t i = (at - v->base) / OS_PAGE;

	return at >= v->base && i < NAIVE && v->on[bit][i];
}

static void check_range(const struct pages *p, const struct naive *v, taddr from, taddr to)
{
	for (enum page_bit bit = 0; bit < PAGE_BITS; bit++) {
		bytes sum = 0;
		taddr on = to, off = to;

		for (taddr at = from; at < to;) {
			taddr end = MIN(round_down(at, OS_PAGE) + OS_PAGE, to);

			if (naive_is(v, at, bit)) {
				sum += end - at;
				on = MIN(on, at);
			} else {
				off = MIN(off, at);
			}
			at = end;
		}
		assert_int_equal(pages_in(p, from, to, bit), sum);
		assert_int_equal(pages_next(p, from, to, bit, true), on);
		assert_int_equal(pages_next(p, from, to, bit, false), off);
		assert_int_equal(pages_is(p, from, bit), naive_is(v, from, bit));
	}
}

static void same_as_a_naive_bitmap(void **state)
{
	struct naive *v = malloc(sizeof(*v));
	unsigned seed = 4711;

	(void)state;
	for (int round = 0; round < 40; round++) {
		struct arena a;
		struct pages p;
		bytes total[PAGE_BITS] = {0};
		unsigned runs = (unsigned)rand_r(&seed) % 300 + 1;

		arena_init(&a, 0);
		pages_init(&p, &a);
		memset(v, 0, sizeof(*v));
		/* Chunk-aligned and not; the last rounds end at the top of the address space. */
		v->base = round % 2 ? 0x7f0000000000 + OS_PAGE * 1000 : 0xc000000000;
		if (round > 35)
			v->base = -(taddr)NAIVE * OS_PAGE - OS_PAGE;
		for (unsigned i = 0; i < runs; i++) {
			enum page_bit bit = (enum page_bit)(rand_r(&seed) % PAGE_BITS);
			unsigned lo = (unsigned)rand_r(&seed) % NAIVE;
			unsigned n = (unsigned)rand_r(&seed) % (round % 3 ? 40 : 3000);
			unsigned hi = MIN(lo + n, NAIVE);

			assert_true(pages_set(&p, v->base + (taddr)lo * OS_PAGE,
					      v->base + (taddr)hi * OS_PAGE, bit, NULL));
			memset(&v->on[bit][lo], 1, hi - lo);
		}
		pages_close(&p);
		for (enum page_bit bit = 0; bit < PAGE_BITS; bit++)
			for (unsigned i = 0; i < NAIVE; i++)
				total[bit] += v->on[bit][i] ? OS_PAGE : 0;
		assert_int_equal(p.resident, total[PAGE_RESIDENT]);
		assert_int_equal(p.swapped, total[PAGE_SWAPPED]);
		assert_int_equal(p.huge, total[PAGE_HUGE]);
		for (int i = 0; i < 400; i++) {
			uint64_t r = (uint64_t)rand_r(&seed) << 20 ^ (uint64_t)rand_r(&seed);
			taddr from = v->base + r % (NAIVE * (uint64_t)OS_PAGE);
			taddr to = from + (uint64_t)rand_r(&seed) % (i % 2 ? 20000 : 20000000);

			if (to < from || to > v->base + (taddr)NAIVE * OS_PAGE)
				to = v->base + (taddr)NAIVE * OS_PAGE;
			if (i % 4 == 0) {
				from = round_down(from, OS_PAGE);
				to = round_down(to, OS_PAGE);
			}
			check_range(&p, v, from, MAX(from, to));
		}
		/* All of memory, below and above. */
		assert_int_equal(pages_in(&p, 0, UINT64_MAX, PAGE_RESIDENT), p.resident);
		assert_int_equal(pages_in(&p, 0, v->base, PAGE_RESIDENT), 0);
		arena_free(&a);
	}
	free(v);
}

static void an_empty_set_answers(void **state)
{
	struct arena a;
	struct pages p;

	(void)state;
	arena_init(&a, 0);
	pages_init(&p, &a);
	pages_close(&p);
	assert_int_equal(pages_find(&p, 0x1000), 0);
	assert_int_equal(pages_in(&p, 0, UINT64_MAX, PAGE_RESIDENT), 0);
	assert_int_equal(pages_next(&p, 5, 9999, PAGE_RESIDENT, true), 9999);
	assert_int_equal(pages_next(&p, 5, 9999, PAGE_RESIDENT, false), 5);
	assert_int_equal(pages_next(&p, 9, 5, PAGE_RESIDENT, false), 5);
	assert_false(pages_is(&p, 0, PAGE_RESIDENT));
	arena_free(&a);
}

static void chunks_are_found_and_sorted(void **state)
{
	struct arena a;
	struct pages p;

	(void)state;
	arena_init(&a, 0);
	pages_init(&p, &a);
	for (taddr i = 0; i < 1000; i++) { /* every second chunk, in a scattered order */
		taddr at = (i * 617 % 1000 * 2 + 1) << PAGES_CHUNK_SHIFT;

		assert_true(pages_set(&p, at, at + OS_PAGE, PAGE_RESIDENT, NULL));
		assert_true(
			pages_set(&p, at, at + OS_PAGE, PAGE_RESIDENT, NULL)); /* twice is once */
	}
	pages_close(&p);
	assert_int_equal(p.n, 1000);
	assert_int_equal(p.resident, 1000 * OS_PAGE);
	for (taddr i = 0; i < 1000; i++) {
		assert_int_equal(p.key[i], i * 2 + 1);
		assert_int_equal(pages_find(&p, (i * 2) << PAGES_CHUNK_SHIFT), i);
		assert_int_equal(pages_find(&p, ((i * 2 + 2) << PAGES_CHUNK_SHIFT) - 1), i);
	}
	assert_int_equal(pages_find(&p, UINT64_MAX), p.n);
	arena_free(&a);
}

static void a_full_arena_is_an_error(void **state)
{
	struct arena a;
	struct pages p;
	struct err err = {0};

	(void)state;
	arena_init(&a, 100 * 1024);
	pages_init(&p, &a);
	assert_false(pages_set(&p, 0, (taddr)1 << 46, PAGE_RESIDENT, &err));
	assert_int_equal(err.kind, ERR_LIMIT);
	pages_close(&p); /* what fitted is still a set */
	assert_true(p.resident > 0);
	arena_free(&a);
}

/* A million questions, as the ledger asks about the spans of a 6 GiB heap. Loose: also runs under
 * sanitizers. */
static void a_million_questions_are_quick(void **state)
{
	struct arena a;
	struct pages p;
	taddr base = 0xc000000000;
	bytes sum = 0;
	clock_t t0;
	double took;

	(void)state;
	arena_init(&a, 0);
	pages_init(&p, &a);
	for (taddr at = 0; at < (taddr)6 << 30; at += 5 * OS_PAGE)
		assert_true(pages_set(&p, base + at, base + at + 4 * OS_PAGE, PAGE_RESIDENT, NULL));
	pages_close(&p);
	t0 = clock();
	for (taddr at = 0; at < (taddr)6 << 30; at += 8192)
		sum += pages_in(&p, base + at, base + at + 8192, PAGE_RESIDENT);
	took = (double)(clock() - t0) / CLOCKS_PER_SEC;
	print_message("%d questions: %.0f ms\n", 6 << 17, took * 1e3);
	assert_int_equal(sum, p.resident);
	assert_true(took < 2);
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_as_a_naive_bitmap),
		cmocka_unit_test(an_empty_set_answers),
		cmocka_unit_test(chunks_are_found_and_sorted),
		cmocka_unit_test(a_full_arena_is_an_error),
		cmocka_unit_test(a_million_questions_are_quick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
