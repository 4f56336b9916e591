/*
 * Profiles out of a snapshot: unsampling to the last bit (numbers of Go's own), aligned columns as
 * text/tabwriter makes them, and locations from stacks of pcs with inlined calls among them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "snapshot/sampling.h"
#include "view/prof_build.h"

static void exp_is_go_s(void **state)
{
	/* math.Float64bits(math.Exp(x)) of Go 1.26 on a processor with FMA */
	static const struct {
		double x;
		uint64_t bits;
	} v[] = {
		{-1e-09, 0x3fefffffff768fa1U},
		{-3.0517578125e-05, 0x3fefffc0003fffd5U},
		{-0.001953125, 0x3feff003ff556aa9U},
		{-0.03125, 0x3fef03f56a88b5d8U},
		{-0.1, 0x3fecf46d99d52b3aU},
		{-0.5, 0x3fe368b2fc6f960aU},
		{-1, 0x3fd78b56362cef38U},
		{-2.25, 0x3fbafb718e8457f7U},
		{-7.5, 0x3f421f9ba40f31d5U},
		{-30, 0x3d3a56e0c2ac7f75U},
		{-100.125, 0x36e76d8e5c4fcb71U},
		{0, 0x3ff0000000000000U},
		{1, 0x4005bf0a8b145769U},
		{3.3, 0x403b1cd5e7807b7bU},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		double got = go_exp(v[i].x), want;

		memcpy(&want, &v[i].bits, sizeof(want));
		if (__builtin_cpu_supports("fma") && __builtin_cpu_supports("avx"))
			assert_memory_equal(&got, &want, sizeof(got));
		else
			assert_true(fabs(got - want) <= 4e-16 * want);
	}
	assert_true(isnan(go_exp(NAN)));
	assert_true(go_exp(-INFINITY) == 0 && isinf(go_exp(1000)));
}

static void samples_are_scaled_as_runtime_pprof_does(void **state)
{
	static const int64_t v[][5] = {
		/* objects, bytes, rate, and what they stand for */
		{1, 16, 524288, 32768, 524296},
		{3, 48, 524288, 98305, 1572888},
		{7, 7168, 524288, 3587, 3673601},
		{1, 524288, 524288, 1, 829411},
		{12345, 1185120, 524288, 67426332, 6472927938},
		{1, 1073741824, 524288, 1, 1073741824},
		{5, 500, 1, 5, 500},
		{999, 8183808, 16384, 2538, 20799099},
		{4000000000, 192000000000, 524288, 43692666697182, 2097248001464776},
		{0, 100, 524288, 0, 0},
		{1, 0, 524288, 0, 0},
	};
	int64_t count, size;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		sample_scale(v[i][0], v[i][1], v[i][2], &count, &size);
		assert_int_equal(count, v[i][3]);
		assert_int_equal(size, v[i][4]);
	}
	/* garbage ends somewhere */
	sample_scale(-1, 1, INT64_MAX, &count, &size);
	sample_scale(INT64_MAX, INT64_MIN, 2, &count, &size);
	assert_true(sample_variance(4, 400, 1) == 0 && sample_variance(0, 0, 512) == 0);
	/* one object of the rate's size: p = 1 − 1/e */
	assert_true(fabs(sample_variance(1, 524288, 524288) / (524288.0 * 524288.0) -
			 (1 / 0.6321205588) * (1 / 0.6321205588 - 1)) < 1e-6);
}

static void columns_are_aligned_as_tabwriter_does(void **state)
{
	/* what text/tabwriter made of it: NewWriter(w, 1, 8, 1, '\t', 0) */
	static const char text[] = "heap profile: 1\n1: 2 @ 0x1\n"
				   "#\t0x1\tmain.f+0x2\t/a.go:1\n"
				   "#\t0x123456\tmain.(*T).longer+0x2\t/b.go:12\n"
				   "#\t0x1\t\xc3\xa4\t/c.go:1\n"
				   "\n"
				   "#\t0x1\tf\tx\n"
				   "#\t0x0\n"
				   "#\t0x1\tabcdefghijk\tx\n"
				   "a\tb",
			  want[] = "heap profile: 1\n1: 2 @ 0x1\n"
				   "#\t0x1\t\tmain.f+0x2\t\t/a.go:1\n"
				   "#\t0x123456\tmain.(*T).longer+0x2\t/b.go:12\n"
				   "#\t0x1\t\t\xc3\xa4\t\t\t/c.go:1\n"
				   "\n"
				   "#\t0x1\tf\tx\n"
				   "#\t0x0\n"
				   "#\t0x1\tabcdefghijk\tx\n"
				   "a\tb\n";
	struct arena a;
	struct str out = {0};

	(void)state;
	arena_init(&a, 0);
	prof_tabs(&out, text, sizeof(text) - 1, &a);
	assert_string_equal(out.s, want);
	str_free(&out);
	arena_free(&a);
}

/*
 * A program of three functions: main.main at 0x1000, with main.inner and main.outer inlined at
 * 0x1010 (pcs of the inlined callers: 0x1008, 0x1004), main.rec at 0x2000, runtime.mallocgc at
 * 0x3000, runtime.goexit at 0x4000.
 */
static uint32_t fake_frames(const struct snapshot *s, taddr pc, struct code_frame *ret,
			    uint32_t max)
{
	struct code_frame v[3];
	uint32_t n = 0;

	(void)s;
	if (pc >= 0x1000 && pc < 0x2000) {
		if (pc == 0x1010)
			v[n++] = (struct code_frame){.pc = pc,
						     .entry = 0x1000,
						     .func = "main.inner[...]",
						     .symbol = "main.inner[int]",
						     .file = "/i.go",
						     .line = 3,
						     .start_line = 1,
						     .inlined = true};
		if (pc == 0x1010 || pc == 0x1008)
			v[n++] = (struct code_frame){.pc = 0x1008,
						     .entry = 0x1000,
						     .func = "main.outer",
						     .symbol = "main.outer",
						     .file = "/o.go",
						     .line = 7,
						     .start_line = 6,
						     .inlined = true};
		v[n++] = (struct code_frame){.pc = pc == 0x1010 || pc == 0x1008 ? 0x1004 : pc,
					     .entry = 0x1000,
					     .func = "main.main",
					     .symbol = "main.main",
					     .file = "/m.go",
					     .line = 20,
					     .start_line = 10};
	} else if (pc >= 0x2000 && pc < 0x5000) {
		static const char *const names[] = {"main.rec", "runtime.mallocgc",
						    "runtime.goexit"};
		const char *name = names[(pc >> 12) - 2];

		v[n++] = (struct code_frame){.pc = pc,
					     .entry = pc & ~0xfffULL,
					     .func = name,
					     .symbol = name,
					     .file = "/r.go",
					     .line = 1,
					     .start_line = 1};
	}
	memcpy(ret, v, MIN(n, max) * sizeof(*v));
	return MIN(n, max);
}

static void stacks_become_locations(void **state)
{
	static const char *const types[][2] = {{"x", "count"}};
	static struct exec_map map = {0x1000, 0x9000, 0, "/bin/x", "ab"};
	struct snapshot s = {
		.go_minor = 26, .frames = fake_frames, .exec_maps = &map, .n_exec_maps = 1};
	/* return addresses: the leaf twice in recursion, three logical frames of main.main */
	const taddr stk[] = {0x2011, 0x2011, 0x1011, 0x1009, 0x1005, 0x4001},
		    cut[] = {0x2011, 0x1011}, /* cut inside the inlined calls */
		bad[] = {0x99, 0x2011}, none[] = {0x4001};
	struct arena a;
	struct pprof p;
	struct prof_builder *b;
	const int64_t one = 1;

	(void)state;
	arena_init(&a, 0);
	b = prof_begin(&s, &a, &p, types, 1);
	assert_int_equal(prof_add_stack(b, stk, ARRAY_LEN(stk)), 3);
	prof_add_number(b, "bytes", 0, "");
	prof_add_sample(b, &one);
	assert_int_equal(prof_add_stack(b, cut, ARRAY_LEN(cut)), 2);
	prof_add_label(b, "k", "v");
	prof_add_sample(b, &one);
	assert_int_equal(prof_add_stack(b, none, 1), 0);
	prof_add_sample(b, &one);
	prof_end(b);
	assert_true(p.mappings[0].has_functions);
	assert_int_equal(prof_add_stack(b, bad, ARRAY_LEN(bad)), 2);
	prof_add_sample(b, &one);
	prof_end(b);

	assert_int_equal(p.n_samples, 4);
	assert_int_equal(p.n_locations, 3); /* 0x2010, the three of 0x1010 in one, 0x98 */
	assert_int_equal(p.locs[0], p.locs[1]);
	assert_int_equal(p.locs[2], p.locs[4]);
	assert_int_equal(p.locations[p.locs[2]].address, 0x1010);
	assert_int_equal(p.locations[p.locs[2]].n_lines, 3);
	assert_string_equal(
		pprof_text(&p, p.functions[p.lines[p.locations[p.locs[2]].line_at].function].name),
		"main.inner[int]");
	assert_int_equal(p.loc_at[3] - p.loc_at[2], 0);
	/* no function, no mapping: the mapping is not to blame */
	assert_int_equal(p.locations[2].mapping, PPROF_NONE);
	assert_int_equal(p.label_at[2] - p.label_at[0], 2);
	arena_free(&a);
}

static void frame_pointer_stacks_are_expanded(void **state)
{
	struct snapshot s = {.go_minor = 26, .frames = fake_frames};
	const taddr stk[] = {UINT64_MAX, 0x1011, 0x2011}, whole[] = {0x1011, 0x1009, 0x1005};
	taddr out[8];

	(void)state;
	assert_int_equal(prof_expand(&s, stk, 3, out, 8), 4);
	assert_int_equal(out[0], 0x1011);
	assert_int_equal(out[1], 0x1009);
	assert_int_equal(out[2], 0x1005);
	assert_int_equal(out[3], 0x2011);
	assert_int_equal(prof_expand(&s, stk, 3, out, 2), 2);
	assert_int_equal(prof_expand(&s, whole, 3, out, 8), 3);
	/* the last pc stays as it is: there is nothing to tell that its callers are missing */
	assert_int_equal(prof_expand(&s, whole, 1, out, 8), 1);
	assert_int_equal(prof_expand(&s, stk, 1, out, 8), 1);
	s.go_minor = 20;
	assert_int_equal(prof_expand(&s, stk, 3, out, 8), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exp_is_go_s),
		cmocka_unit_test(samples_are_scaled_as_runtime_pprof_does),
		cmocka_unit_test(columns_are_aligned_as_tabwriter_does),
		cmocka_unit_test(stacks_become_locations),
		cmocka_unit_test(frame_pointer_stacks_are_expanded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
