/* The page accounts against a byte-by-byte reference, with random pages and random claims. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/book.h"

#define BASE	((taddr)0x7f00003fe000) /* two pages below a chunk's border */
#define PAGES_N 64U
#define LEN	(PAGES_N * OS_PAGE)

struct world {
	struct arena mem;
	struct os_facts os;
	struct snapshot s;
	struct book b;
	uint8_t state[PAGES_N]; /* 0 absent, 1 resident, 2 swapped */
	uint32_t used[PAGES_N];
	struct line_sum line[N_LINES];
};

static void world_open(struct world *w, unsigned seed)
{
	memset(w, 0, sizeof *w);
	arena_init(&w->mem, 0);
	srand(seed);
	pages_init(&w->os.pages, &w->mem);
	for (uint32_t i = 0; i < PAGES_N; i++) {
		w->state[i] = (uint8_t)(rand() % 3);
		if (w->state[i] != 0)
			assert_true(pages_set(&w->os.pages, BASE + (taddr)i * OS_PAGE,
					      BASE + (taddr)(i + 1) * OS_PAGE,
					      w->state[i] == 1 ? PAGE_RESIDENT : PAGE_SWAPPED,
					      NULL));
	}
	pages_close(&w->os.pages);
	w->s.os = &w->os;
	book_open(&w->b, &w->s, &w->mem, NULL, NULL);
}

static void reference_claim(struct world *w, enum line_id line, taddr start, taddr end)
{
	for (uint32_t i = 0; i < PAGES_N; i++) {
		taddr from = MAX(start, BASE + (taddr)i * OS_PAGE),
		      to = MIN(end, BASE + (taddr)(i + 1) * OS_PAGE);
		if (from >= to || w->state[i] == 0)
			continue;
		uint32_t got = MIN((uint32_t)(to - from), OS_PAGE - w->used[i]);
		w->used[i] += got;
		if (w->state[i] == 1)
			w->line[line].resident += got;
		else
			w->line[line].swapped += got;
	}
}

static void test_claims_like_the_reference(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed < 300; seed++) {
		struct world w;
		world_open(&w, seed);
		for (int i = 0; i < 40; i++) {
			taddr a = BASE + (taddr)(rand() % (int)LEN),
			      z = a + (taddr)(rand() % 30000);
			if (i % 4 == 0) {
				a = round_down(a, OS_PAGE);
				z = round_down(z, OS_PAGE);
			}
			enum line_id line = (enum line_id)(rand() % N_LINES);
			if (rand() % 2)
				book_claim(&w.b, line, a, z);
			else
				book_rest(&w.b, line, a, z);
			reference_claim(&w, line, a, z);
		}
		bytes sum = 0;
		for (uint32_t i = 0; i < N_LINES; i++) {
			assert_int_equal(w.b.line[i].resident, w.line[i].resident);
			assert_int_equal(w.b.line[i].swapped, w.line[i].swapped);
			sum += w.line[i].resident;
		}
		assert_int_equal(sum, w.b.claimed_resident);
		arena_free(&w.mem);
	}
}

static void test_take_whole(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed < 300; seed++) {
		struct world w;
		world_open(&w, seed);
		uint32_t from = (uint32_t)rand() % PAGES_N, n = 1 + (uint32_t)rand() % 3;
		n = MIN(n, PAGES_N - from);
		if (seed % 3 == 0)
			book_claim(&w.b, LINE_ANON, BASE + 100, BASE + (taddr)(rand() % (int)LEN));
		bool any = false, gap = false;
		for (uint32_t i = from; i < from + n; i++) {
			any |= w.state[i] != 0;
			gap |= w.state[i] != 1;
		}
		taddr a = BASE + (taddr)from * OS_PAGE, z = a + (taddr)n * OS_PAGE;
		bytes before = w.b.line[LINE_ANON].resident;
		enum book_state got = book_take_whole(&w.b, a, z);
		if (seed % 3 != 0)
			assert_int_equal(got, !any ? BOOK_ABSENT : gap ? BOOK_MIXED : BOOK_WHOLE);
		if (got == BOOK_WHOLE) {
			assert_int_equal(book_rest(&w.b, LINE_ANON, a, z), 0);
			assert_int_equal(w.b.line[LINE_ANON].resident, before);
			assert_int_equal(book_take_whole(&w.b, a, z), BOOK_MIXED);
		}
		arena_free(&w.mem);
	}
}

static void test_overclaim_is_counted(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 7);
	book_claim(&w.b, LINE_HEAP_LIVE, BASE, BASE + LEN);
	assert_int_equal(w.b.overclaimed, 0);
	bytes resident = w.b.line[LINE_HEAP_LIVE].resident;
	assert_true(resident > 0);
	book_rest(&w.b, LINE_ANON, BASE, BASE + LEN);
	assert_int_equal(w.b.overclaimed, 0);
	book_claim(&w.b, LINE_FILES, BASE, BASE + LEN);
	assert_int_equal(w.b.overclaimed, resident);
	assert_int_equal(w.b.line[LINE_FILES].resident, 0);
	arena_free(&w.mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_claims_like_the_reference),
		cmocka_unit_test(test_take_whole),
		cmocka_unit_test(test_overclaim_is_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
