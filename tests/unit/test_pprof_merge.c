/* src/pprof: many profiles into one, differences, frames that are dropped, names made short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "pprof/build.h"
#include "pprof/merge.h"
#include "pprof/prune.h"

/* Stacks over functions f (leaf) to h in a program that lies at `base`. */
static void make(struct pprof *p, struct arena *mem, const char *unit, uint64_t base, int64_t value)
{
	static const char *const names[] = {"f", "g", "h"};
	struct pprof_build b;
	pindex l[3], m;

	pprof_init(p, mem);
	pprof_type_add(p, "samples", "count");
	pprof_type_add(p, "cpu", unit);
	pprof_build_init(&b, p);
	m = pprof_mapping_add(p, &(struct pprof_mapping){.start = base,
							 .limit = base + 0x10000,
							 .file = pprof_str(p, "/bin/x")});
	for (unsigned i = 0; i < 3; i++) {
		pstr name = pprof_str(p, names[i]);
		pindex f = pprof_build_function(
			&b, &(struct pprof_function){.name = name, .system_name = name});

		l[i] = pprof_build_location(
			&b, &(struct pprof_location){.address = base + 16 * i, .mapping = m},
			&(struct pprof_line){.function = f}, 1);
	}
	p->period_type = (struct pprof_value_type){pprof_str(p, "cpu"), pprof_str(p, unit)};
	p->period = 10;
	pprof_build_sample(&b, l, 3, NULL, 0, (int64_t[]){1, value});
	pprof_build_sample(&b, l + 1, 2, NULL, 0, (int64_t[]){2, 2 * value});
	pprof_build_sample(&b, l + 2, 1, NULL, 0, (int64_t[]){0, 0});
}

static void equal_samples_become_one(void **state)
{
	struct arena a;
	struct pprof one, two, sum;
	struct err err;

	(void)state;
	arena_init(&a, 0);
	make(&one, &a, "nanoseconds", 0x400000, 5);
	make(&two, &a, "nanoseconds", 0x7f0000000000, 7); /* elsewhere: ASLR */
	assert_true(pprof_combine((struct pprof *const[]){&one, &two}, 2, &a, &sum, &err));
	assert_int_equal(sum.n_samples, 2);
	assert_int_equal(sum.n_mappings, 1);
	assert_int_equal(sum.n_locations, 3);
	assert_int_equal(sum.n_functions, 3);
	assert_int_equal(sum.values[0], 2);
	assert_int_equal(sum.values[1], 12);
	assert_int_equal(sum.values[3], 24);
	assert_true(sum.locations[0].address == 0x400000);
	arena_free(&a);
}

static void units_meet_at_the_finest(void **state)
{
	struct arena a;
	struct pprof one, two, sum;
	struct err err;

	(void)state;
	arena_init(&a, 0);
	make(&one, &a, "milliseconds", 0x400000, 5);
	make(&two, &a, "microseconds", 0x400000, 7);
	assert_true(pprof_combine((struct pprof *const[]){&one, &two}, 2, &a, &sum, &err));
	assert_string_equal(pprof_text(&sum, sum.types[1].unit), "microseconds");
	assert_int_equal(sum.values[1], 5007);
	assert_int_equal(sum.period, 10000);
	make(&two, &a, "bytes", 0x400000, 7);
	assert_false(pprof_combine((struct pprof *const[]){&one, &two}, 2, &a, &sum, &err));
	assert_non_null(strstr(err.msg, "incompatible"));
	arena_free(&a);
}

static void sample_types_are_those_that_all_have(void **state)
{
	struct arena a;
	struct pprof one, two, sum;
	struct pprof_build b;
	struct err err;

	(void)state;
	arena_init(&a, 0);
	make(&one, &a, "nanoseconds", 0x400000, 5);
	pprof_init(&two, &a);
	pprof_type_add(&two, "cpu", "nanoseconds");
	two.period_type =
		(struct pprof_value_type){pprof_str(&two, "cpu"), pprof_str(&two, "nanoseconds")};
	pprof_build_init(&b, &two);
	pprof_build_sample(&b, NULL, 0, NULL, 0, (int64_t[]){4});
	assert_true(pprof_combine((struct pprof *const[]){&one, &two}, 2, &a, &sum, &err));
	assert_int_equal(sum.n_types, 1);
	assert_int_equal(sum.n_samples, 3);
	assert_int_equal(sum.values[0], 5);
	assert_string_equal(pprof_text(&sum, sum.default_type), "cpu");
	pprof_init(&two, &a);
	assert_false(pprof_combine((struct pprof *const[]){&two}, 1, &a, &sum, &err));
	arena_free(&a);
}

static void a_base_is_subtracted(void **state)
{
	struct arena a;
	struct pprof one, two, diff;
	struct err err;

	(void)state;
	arena_init(&a, 0);
	make(&one, &a, "nanoseconds", 0x400000, 5);
	make(&two, &a, "nanoseconds", 0x400000, 5);
	assert_true(pprof_subtract(&one, &two, false, false, &a, &diff, &err));
	assert_int_equal(diff.n_samples, 0); /* all cancel out */
	make(&one, &a, "nanoseconds", 0x400000, 50);
	make(&two, &a, "nanoseconds", 0x400000, 5);
	assert_true(pprof_subtract(&one, &two, true, true, &a, &diff, &err));
	assert_int_equal(diff.n_samples, 4); /* labels keep them apart */
	assert_int_equal(diff.values[1], 5); /* scaled to the base */
	assert_int_equal(diff.values[5], -5);
	assert_int_equal(diff.label_at[2], 0);
	assert_string_equal(pprof_text(&diff, diff.labels[0].key), "pprof::base");
	arena_free(&a);
}

static void uninteresting_frames_are_cut_off(void **state)
{
	struct arena a;
	struct pprof p;

	(void)state;
	arena_init(&a, 0);
	make(&p, &a, "nanoseconds", 0x400000, 5);
	p.drop_frames = pprof_str(&p, "g|nothing");
	pprof_drop_frames(&p);
	assert_int_equal(p.loc_at[1] - p.loc_at[0], 1); /* h stays, g and f go */
	assert_int_equal(p.locs[p.loc_at[0]], 2);
	assert_int_equal(p.loc_at[2] - p.loc_at[1], 1);
	assert_int_equal(p.loc_at[3] - p.loc_at[2], 1);
	make(&p, &a, "nanoseconds", 0x400000, 5);
	p.drop_frames = pprof_str(&p, "(["); /* no pattern: nothing happens */
	pprof_drop_frames(&p);
	assert_int_equal(p.loc_at[1], 3);
	make(&p, &a, "nanoseconds", 0x400000, 5);
	p.drop_frames = pprof_str(&p, "h"); /* the root: there is no user frame above it */
	pprof_drop_frames(&p);
	assert_int_equal(p.loc_at[1], 3);
	arena_free(&a);
}

static const char *full_name(void *ctx, const char *mangled, struct arena *a)
{
	static const char *const known[][2] = {
		{"_Z1", "void a::b<int, c<d> >::f<long>(int, void (*)(char)) const"},
		{"_Z2", "(anonymous namespace)::x(int) [clone .isra.0]"},
		{"_Z3", "a::operator<<(std::ostream&)"},
		{"_Z4", "core::fmt::_$LT$impl$u20$T$GT$::f::h0123456789abcdef"},
	};

	(void)ctx;
	(void)a;
	for (unsigned i = 0; i < ARRAY_LEN(known); i++)
		if (!strcmp(known[i][0], mangled))
			return known[i][1];
	return NULL;
}

static void names_are_made_short(void **state)
{
	static const char *const names[][2] = {
		{"_Z1", "a::b::f"},
		{"_Z2", "(anonymous namespace)::x"},
		{"_Z3", "a::operator<<"},
		{"_Z4", "core::fmt::<impl T>::f"},
		{"_Zunknown", "_Zunknown"},
		{"std::vector<int>::push(int)", "std::vector::push"},
		{"main.(*T[go.shape.int]).M", "main.(*T[go.shape.int]).M"},
		{"main.main", "main.main"},
		{"a.b.<init>(I)", "a.b.<init>(I)"},
	};
	struct arena a;
	struct pprof p;
	struct pprof_build b;

	(void)state;
	arena_init(&a, 0);
	pprof_init(&p, &a);
	pprof_build_init(&b, &p);
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		pstr s = pprof_str(&p, names[i][0]);

		pprof_build_function(&b, &(struct pprof_function){.name = s, .system_name = s});
	}
	pprof_demangle(&p, PPROF_DEMANGLE_SHORT, full_name, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		assert_string_equal(pprof_text(&p, p.functions[i].name), names[i][1]);
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_samples_become_one),
		cmocka_unit_test(units_meet_at_the_finest),
		cmocka_unit_test(sample_types_are_those_that_all_have),
		cmocka_unit_test(a_base_is_subtracted),
		cmocka_unit_test(uninteresting_frames_are_cut_off),
		cmocka_unit_test(names_are_made_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
