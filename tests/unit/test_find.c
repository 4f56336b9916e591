/*
 * The pieces that find the runtime's variables in a program without symbols: operands of machine
 * code, functions by name in the pclntab, and the tables that say what to look for. The search as a
 * whole is held against real programs in tests/live/test_stripped.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "goruntime/find.h"
#include "image/code.h"
#include "image/pclnfind.h"

/* -- machine code ------------------------------------------------------------------------------ */

#define AT 0x401000U

static const uint8_t CODE[] = {
	0x48, 0x8d, 0x05, 0x10, 0,    0,    0,		/* lea  0x10(%rip), %rax */
	0x48, 0x8b, 0x05, 0xf0, 0xff, 0xff, 0xff,	/* mov -0x10(%rip), %rax */
	0xe8, 0x10, 0,	  0,	0,			/* call */
	0x48, 0x8b, 0x40, 0x10,				/* mov 0x10(%rax), %rax */
	0x48, 0x89, 0x05, 0x30, 0,    0,    0,		/* mov %rax, 0x30(%rip) */
	0x83, 0x3d, 0x40, 0,	0,    0,    0,		/* cmpl $0, 0x40(%rip) */
	0xff, 0xd0,					/* call *%rax */
	0xf0, 0x48, 0x0f, 0xc1, 0x05, 0x50, 0,	  0, 0, /* lock xadd %rax, 0x50(%rip) */
	0xe8, 0x20, 0,	  0,	0,			/* call */
	0x0f, 0xb6, 0x05, 0x60, 0,    0,    0,		/* movzbl 0x60(%rip), %eax */
	0x06,						/* none in 64 bits */
	0x48, 0x8d, 0x05, 0x70, 0,    0,    0,		/* lea behind it: not reached */
};

static void operands_of_code(void **state)
{
	const struct code_ref want[] = {
		{AT + 7 + 0x10, AT + 19 + 0x10, 8, CODE_ADDRESS},
		{AT + 14 - 0x10, AT + 19 + 0x10, 8, CODE_LOAD},
		/* the call through a register in between is none that is known */
		{AT + 30 + 0x30, AT + 53 + 0x20, 8, CODE_STORE},
		{AT + 37 + 0x40, AT + 53 + 0x20, 4, CODE_COMPARE},
		{AT + 48 + 0x50, AT + 53 + 0x20, 8, CODE_OTHER},
		{AT + 60 + 0x60, 0, 1, CODE_LOAD},
	};
	struct code_ref got[16];

	(void)state;
	assert_int_equal(code_refs(CODE, sizeof(CODE), AT, got, ARRAY_LEN(got)), ARRAY_LEN(want));
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_int_equal(got[i].target, want[i].target);
		assert_int_equal(got[i].call, want[i].call);
		assert_int_equal(got[i].size, want[i].size);
		assert_int_equal(got[i].use, want[i].use);
	}
	/* no more than there is room for, and nothing behind the bytes that there are */
	for (uint32_t max = 0; max < ARRAY_LEN(want); max++)
		assert_int_equal(code_refs(CODE, sizeof(CODE), AT, got, max), max);
	for (size_t n = 0; n < sizeof(CODE); n++)
		assert_true(code_refs(CODE, n, AT, got, ARRAY_LEN(got)) <= n / 7);
}

/* -- functions by name ------------------------------------------------------------------------- */

#define TABLES 0x500000U
#define TEXT   0x400000U
#define MIB1   ((uint32_t)1 << 20)
#define FUNCS  5U

/* Names: at the very begin, over the border of the pieces that names are read in, behind a name of
 * 600 KiB, one that another one begins with, and one that two functions have. */
struct tables {
	uint8_t names[3 * MIB1];
	uint8_t funcs[8 * (FUNCS + 1) + 16 * FUNCS];
	uint32_t n_names;
	taddr fault; /* nothing from here on can be read; 0: all can */
};

static struct tables T;

static size_t read_tables(void *ctx, taddr at, void *dst, size_t n)
{
	const struct tables *t = ctx;
	const uint8_t *b = at >= TABLES + sizeof(t->names) ? t->funcs : t->names;
	taddr base = b == t->funcs ? TABLES + sizeof(t->names) : TABLES;
	size_t size = b == t->funcs ? sizeof(t->funcs) : sizeof(t->names);

	if (t->fault && at + n > t->fault)
		n = at < t->fault ? (size_t)(t->fault - at) : 0;
	if (at < base || at - base >= size)
		return 0;
	n = MIN(n, size - (size_t)(at - base));
	memcpy(dst, b + (at - base), n);
	return n;
}

static void put32(uint8_t *to, uint32_t v)
{
	memcpy(to, &v, 4);
}

static struct pcln_module make_tables(struct tables *t)
{
	static const struct {
		uint32_t at;
		const char *name;
	} names[FUNCS] = {{1, "runtime.first"},
			  {MIB1 - 8, "runtime.(*mheap).over"},
			  {MIB1 + 64, "runtime.first.func1"},
			  {3 * MIB1 - 64, "runtime.last"},
			  {3 * MIB1 - 64, "runtime.last"}};
	struct pcln_module m = {.pcheader = TABLES,
				.text = TEXT,
				.funcnametab = TABLES,
				.funcnametab_len = sizeof(t->names),
				.pclntable = TABLES + sizeof(t->names),
				.pclntable_len = sizeof(t->funcs),
				.ftab = TABLES + sizeof(t->names),
				.ftab_len = FUNCS + 1};

	*t = (struct tables){0};
	/* long names fill what is between */
	memset(t->names + 20, 'x', MIB1 - 40);
	memset(t->names + 2 * MIB1, 'y', 600U << 10);
	for (uint32_t i = 0; i < FUNCS; i++) {
		uint32_t func = 8 * (FUNCS + 1) + 16 * i;

		strcpy((char *)t->names + names[i].at, names[i].name);
		put32(t->funcs + (size_t)8 * i, 0x100 * i);
		put32(t->funcs + (size_t)8 * i + 4, func);
		put32(t->funcs + func, 0x100 * i);
		put32(t->funcs + func + 4, names[i].at);
	}
	put32(t->funcs + (size_t)8 * FUNCS, 0x100 * FUNCS);
	return m;
}

static bool look_up(const struct pcln_module *m, struct pcln_wanted *w, uint32_t n, struct err *err)
{
	struct arena a;
	bool ok;

	arena_init(&a, (bytes)64 << 20);
	ok = pcln_lookup(m, read_tables, &T, &a, w, n, err);
	arena_free(&a);
	return ok;
}

static void functions_by_name(void **state)
{
	struct pcln_module m = make_tables(&T);
	struct pcln_wanted w[] = {{"runtime.(*mheap).over", 0, 0}, {"runtime.first", 0, 0},
				  {"runtime.last", 0, 0},	   {"runtime.firs", 0, 0},
				  {"runtime.first.func1", 0, 0},   {"over", 0, 0}};
	struct err err = {0};

	(void)state;
	assert_true(look_up(&m, w, ARRAY_LEN(w), &err));
	assert_int_equal(w[0].entry, TEXT + 0x100);
	assert_int_equal(w[0].end, TEXT + 0x200);
	assert_int_equal(w[1].entry, TEXT);
	assert_int_equal(w[2].entry, TEXT + 0x300); /* the first of two */
	assert_int_equal(w[3].entry, 0);
	assert_int_equal(w[4].entry, TEXT + 0x200);
	assert_int_equal(w[5].entry, 0);
}

static void tables_that_lie(void **state)
{
	struct pcln_module good = make_tables(&T), m = good;
	struct pcln_wanted w[] = {{"runtime.first", 0, 0}};
	struct err err = {0};

	(void)state;
	m.funcnametab_len = (uint64_t)1 << 60;
	assert_false(look_up(&m, w, 1, &err));
	assert_int_equal(err.kind, ERR_LIMIT);
	m = good;
	m.ftab_len = (uint64_t)1 << 60;
	assert_false(look_up(&m, w, 1, &err));
	assert_int_equal(err.kind, ERR_LIMIT);
	m = good;
	T.fault = TABLES + 100;
	assert_false(look_up(&m, w, 1, &err));
	assert_int_equal(err.kind, ERR_FAULT);
	T.fault = 0;
	/* a function that ends before it begins, one whose record is behind the table's end */
	put32(T.funcs + 8, 0);
	put32(T.funcs, 0x1000);
	assert_true(look_up(&m, w, 1, &err));
	assert_true(w[0].end == w[0].entry);
	put32(T.funcs + 4, UINT32_MAX);
	assert_true(look_up(&m, w, 1, &err));
	assert_int_equal(w[0].entry, 0);
}

static void headers(void **state)
{
	uint64_t h[9] = {0x08010000fffffff1U, 10, 3, 0x401000, 72, 100, 200, 300, 400};
	struct pcln_header p;

	(void)state;
	assert_true(pcln_header_parse(h, sizeof(h), &p));
	assert_true(pcln_magic_known(p.magic) && p.n_funcs == 10 && p.funcs == 400);
	assert_false(pcln_header_parse(h, sizeof(h) - 1, &p));
	h[0] = 0x08010000deadbeefU; /* as obfuscators leave it */
	assert_true(pcln_header_parse(h, sizeof(h), &p));
	assert_false(pcln_magic_known(p.magic));
	h[0] = 0x04010000fffffff1U; /* pointers of 4 bytes */
	assert_false(pcln_header_parse(h, sizeof(h), &p));
	h[0] = 0x08010000fffffff1U;
	for (int i = 5; i < 9; i++) { /* not in order */
		uint64_t was = h[i];

		h[i] = h[i - 1];
		assert_false(pcln_header_parse(h, sizeof(h), &p));
		h[i] = (uint64_t)1 << 60;
		assert_false(pcln_header_parse(h, sizeof(h), &p));
		h[i] = was;
	}
	h[1] = 0;
	assert_false(pcln_header_parse(h, sizeof(h), &p));
	h[1] = (uint64_t)1 << 60;
	assert_false(pcln_header_parse(h, sizeof(h), &p));
}

/* -- the tables -------------------------------------------------------------------------------- */

struct row {
	enum symbol_index symbol;
	int since;
	const char *function;
};

static const struct row ROWS[] = {
#define FINDER(symbol, since, function, use, size, where, callee, pick, delta)                     \
	{SYM_##symbol, since, function},
#include "goruntime/finders.def"
#undef FINDER
};

/* Each variable can be found by code and has invariants; what a release has not is told apart from
 * what was not found by the first row's `since`. */
static void every_symbol_has_its_rows(void **state)
{
	uint32_t checks[N_SYMBOLS] = {0};

	(void)state;
	assert_int_equal(N_CHECKS, N_SYMBOLS);
	for (uint32_t k = 0; k < N_CHECKS; k++)
		checks[find_order(k)]++;
	for (uint32_t i = 0; i < N_SYMBOLS; i++) {
		int first = 0, least = 99;
		uint32_t rows = 0;

		for (size_t k = 0; k < ARRAY_LEN(ROWS); k++) {
			if (ROWS[k].symbol != i)
				continue;
			first = rows++ == 0 ? ROWS[k].since : first;
			least = MIN(least, ROWS[k].since);
			assert_true(*ROWS[k].function != 0);
		}
		if (rows == 0 || rows > 8 || checks[i] != 1 || first != least)
			fail_msg("%s: %u rows in finders.def, %u checks, since %d of %d",
				 SYMBOL_ROWS[i].id, rows, checks[i], first, least);
		assert_int_equal(find_since((enum symbol_index)i), first);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operands_of_code),	     cmocka_unit_test(functions_by_name),
		cmocka_unit_test(tables_that_lie),	     cmocka_unit_test(headers),
		cmocka_unit_test(every_symbol_has_its_rows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
