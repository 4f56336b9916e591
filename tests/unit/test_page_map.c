/* The memory map: every page in memory once, as full as its slots say; what lies at an address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "view/page_map.h"
#include "view_fixture.h"

/* As goruntime leaves it: spans can be found by address, mixed ones have bits. */
static void open_indexed(struct fixture *f)
{
	struct span_chunk *c;

	fixture_open(f);
	f->s.heap.chunks = ARENA_ARRAY(&f->mem, struct span_chunk *, 2);
	for (uint64_t i = 0; i < 2; i++) {
		f->s.heap.chunks[i] = ARENA_NEW(&f->mem, struct span_chunk);
		f->s.heap.chunks[i]->key = (0xc000000000 >> 22) + i;
	}
	f->s.heap.n_chunks = 2;
	for (uint32_t i = 0; i < f->s.heap.n_spans; i++) {
		struct span *p = &f->s.heap.spans[i];

		p->has_bits = p->state == SPAN_HEAP && p->nelems > 1;
		for (taddr at = p->start; at < p->start + span_bytes(p); at += 8192) {
			c = span_chunk_find(&f->s.heap, at);
			assert_non_null(c);
			c->span[at >> 13 & 511] = i + 1;
		}
	}
}

/* The cell of an address; its run is the answer. */
static const struct cell_run *cell(const struct page_map *m, taddr at)
{
	for (uint32_t i = 0; i < m->n_segments; i++) {
		const struct map_segment *g = &m->segments[i];
		uint64_t k = (at - g->start) / ((uint64_t)m->unit * OS_PAGE);

		if (at < g->start || at >= g->end)
			continue;
		for (uint32_t r = 0; r < g->n_runs; r++) {
			if (k < m->runs.v[g->run_at + r].n)
				return &m->runs.v[g->run_at + r];
			k -= m->runs.v[g->run_at + r].n;
		}
	}
	return NULL;
}

static void test_every_page_once(void **state)
{
	uint64_t resident = 0, swapped = 0;
	struct page_map m;
	struct fixture f;
	taddr last = 0;

	(void)state;
	open_indexed(&f);
	assert_true(page_map_build(&f.s, &f.mem, &m, NULL));
	assert_int_equal(m.unit, 1);
	for (uint32_t i = 0; i < m.n_segments; i++) {
		const struct map_segment *g = &m.segments[i];
		uint64_t n = 0;

		assert_true(g->start >= last && g->end > g->start);
		last = g->end;
		for (uint32_t r = 0; r < g->n_runs; r++) {
			const struct cell_run *c = &m.runs.v[g->run_at + r];

			assert_true(c->n > 0);
			n += c->n;
			if ((c->line & 63U) != CELL_ABSENT)
				resident += c->n;
			if (c->line & CELL_SWAPPED)
				swapped += c->n;
		}
		assert_int_equal(n * OS_PAGE, g->end - g->start);
	}
	assert_int_equal(resident * OS_PAGE, 0x400000 + 0x10000);
	assert_int_equal(swapped, 2);
	fixture_close(&f);
}

static void test_how_full(void **state)
{
	static const struct {
		taddr at;
		uint8_t line, used;
	} rows[] = {
		{0xc000000000, LINE_HEAP_LIVE, 100}, /* 64 slots, all live */
		{0xc000001000, LINE_HEAP_LIVE, 100}, /* 56 live, 8 new */
		{0xc000002000, LINE_HEAP_SLOTS, 18}, /* 12 of 64 */
		{0xc000003000, LINE_HEAP_SLOTS, 0},  /* none of 64 */
		{0xc000004000, LINE_HEAP_LIVE, 100}, /* 4 of 4 KiB-slots of 1 KiB */
		{0xc000005000, LINE_HEAP_SLOTS, 0},
		{0xc000006000, LINE_HEAP_LIVE, 100}, /* of one large object */
		{0xc000205000, LINE_HEAP_LIVE, 100},
	};
	struct page_map m;
	struct fixture f;

	(void)state;
	open_indexed(&f);
	assert_true(page_map_build(&f.s, &f.mem, &m, NULL));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct cell_run *c = cell(&m, rows[i].at);

		assert_non_null(c);
		assert_int_equal(c->line & 63U, rows[i].line);
		assert_int_equal(c->used, rows[i].used);
	}
	assert_int_equal(cell(&m, 0x7f0000000000)->used, CELL_NO_SPAN);
	assert_int_equal(cell(&m, 0x7f0000000000)->line, LINE_FILES);
	fixture_close(&f);
}

static const struct value *value_at(const struct value *array, uint32_t i)
{
	return array && i < value_count(array) ? &array->list->items.v[i].v : NULL;
}

static uint32_t some_frames(const struct snapshot *s, taddr pc, struct code_frame *ret,
			    uint32_t max)
{
	static const char *const names[] = {"runtime.mallocgc", "main.\033[31m<b>", "main.main"};

	(void)s;
	if (!max || pc < 0x1000 || pc > 0x3fff)
		return 0;
	*ret = (struct code_frame){.pc = pc,
				   .entry = pc & ~(taddr)0xfff,
				   .func = names[(pc >> 12) - 1],
				   .symbol = names[(pc >> 12) - 1],
				   .file = "x.go"};
	return 1;
}

static void test_at(void **state)
{
	taddr pcs[] = {0x1010, 0x2010, 0x3010};
	struct mem_bucket bucket = {.size = 64, .stk = 0, .nstk = 3};
	struct sampled samples[] = {{0xc000000040, 0, 0}, {0xc000000080, 0, 0}};
	struct fixture f;
	struct report r;
	const struct value *v, *site;

	(void)state;
	open_indexed(&f);
	f.s.frames = some_frames;
	f.s.profile.buckets = &bucket;
	f.s.profile.n_buckets = 1;
	f.s.profile.pcs = pcs;
	f.s.profile.n_pcs = 3;
	f.s.sampled = samples;
	f.s.n_sampled = ARRAY_LEN(samples);
	page_at(&f.s, 0xc000000050, &f.mem, &r);
	v = value_get(&r.json, "span");
	assert_non_null(v);
	assert_int_equal(value_get(v, "slots")->u, 128);
	assert_int_equal(value_get(v, "live")->u, 120);
	assert_string_equal(value_get(value_get(&r.json, "slot"), "is")->s, "live");
	assert_int_equal(value_get(value_get(&r.json, "slot"), "index")->u, 1);
	site = value_at(value_get(&r.json, "sites"), 0);
	assert_int_equal(value_get(site, "objects")->u, 2);
	assert_int_equal(value_get(site, "bytes")->u, 128);
	assert_true(value_get(site, "here")->b);
	assert_string_equal(value_at(value_get(site, "stack"), 0)->s, "main.\033[31m<b>");
	assert_string_equal(value_at(value_get(site, "stack"), 1)->s, "main.main");

	/* another span has none; what is in no mapping has nothing */
	page_at(&f.s, 0xc000002000, &f.mem, &r);
	assert_null(value_at(value_get(&r.json, "sites"), 0));
	page_at(&f.s, 0x10, &f.mem, &r);
	assert_null(value_get(&r.json, "mapping"));
	assert_null(value_get(&r.json, "span"));
	page_at(&f.s, UINT64_MAX, &f.mem, &r);
	assert_null(value_get(&r.json, "span"));
	page_at(&f.s, 0xc000800000, &f.mem, &r);
	assert_string_equal(value_get(value_get(&r.json, "free_pages"), "is")->s, "free");
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_page_once),
		cmocka_unit_test(test_how_full),
		cmocka_unit_test(test_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
