/* How Go prints and reads, units, patterns in Go's syntax, short names: what reports stand on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pprof/config.h"
#include "pprof/gotext.h"
#include "pprof/graph.h"
#include "pprof/measure.h"
#include "pprof/rx.h"
#include "pprof/shorten.h"

static struct arena mem;

#define TEXT(call, want)                                                                           \
	do {                                                                                       \
		struct str s = {0};                                                                \
		str_add(&s, "");                                                                   \
		call;                                                                              \
		assert_string_equal(s.s, want);                                                    \
		str_free(&s);                                                                      \
	} while (0)

static void test_go_text(void **state)
{
	int64_t v;
	double f;
	bool b;

	(void)state;
	TEXT(go_float(&s, 0.005), "0.005");
	TEXT(go_float(&s, 1), "1");
	TEXT(go_float(&s, 1e21), "1e+21");
	TEXT(go_float(&s, 123456789012345680000.0), "123456789012345680000");
	TEXT(go_float(&s, 1e-7), "1e-07");
	TEXT(go_duration(&s, 0), "0s");
	TEXT(go_duration(&s, 1500), "1.5\xc2\xb5s");
	TEXT(go_duration(&s, -2 * 3600 * (int64_t)1000000000 - 1), "-2h0m0.000000001s");
	TEXT(go_pad(&s, 5, "\xce\xbcs"), "   \xce\xbcs");
	TEXT(go_pad_right(&s, 3, "\xff"), "\xff  ");
	TEXT(go_quote(&s, "a\"\\\x01", 4), "\"a\\\"\\\\\\x01\"");
	assert_string_equal(go_path_clean(&mem, "/a/./b/../../c//d/"), "/c/d");
	assert_string_equal(go_path_clean(&mem, "../a/../../b"), "../../b");
	assert_string_equal(go_path_clean(&mem, "/.."), "/");
	assert_string_equal(go_path_clean(&mem, "a/.."), ".");
	assert_string_equal(go_path_base(&mem, "/x/y//"), "y");
	assert_string_equal(go_path_base(&mem, "//"), "/");
	assert_true(go_parse_int("-0x10", 0, &v) && v == -16);
	assert_true(go_parse_int("1_000", 0, &v) && v == 1000);
	assert_true(go_parse_int("-9223372036854775808", 10, &v) && v == INT64_MIN);
	assert_false(go_parse_int("9223372036854775808", 10, &v));
	assert_false(go_parse_int("1_000", 10, &v) || go_parse_int("", 0, &v) ||
		     go_parse_int("1__0", 0, &v) || go_parse_int("0x", 0, &v));
	assert_true(go_parse_float(".5", &f) && f == 0.5);
	assert_false(go_parse_float(" 1", &f) || go_parse_float("", &f) ||
		     go_parse_float("1x", &f));
	assert_true(go_parse_bool("T", &b) && b && go_parse_bool("0", &b) && !b);
	assert_false(go_parse_bool("yes", &b));
	assert_int_equal(go_int64(1e300), INT64_MIN);
	assert_int_equal(go_div(INT64_MIN, -1), INT64_MIN);
}

static void test_measure(void **state)
{
	(void)state;
	TEXT(measure_label(&s, 1536, "bytes", "auto"), "1.50kB");
	TEXT(measure_label(&s, -1536, "bytes", "minimum"), "-1.50kB");
	TEXT(measure_label(&s, 90, "seconds", "hours"), "0.03hrs");
	TEXT(measure_label(&s, 5, "count", "minimum"), "5");
	TEXT(measure_label(&s, 5, "widgets", "widgets"), "5widgets");
	TEXT(measure_label(&s, 3, "\xce\xbcs", "ns"), "3000ns");
	TEXT(measure_label(&s, 0, "bytes", "auto"), "0");
	TEXT(measure_label(&s, INT64_MIN, "count", "count"), "-9223372036854775808");
	TEXT(measure_percent(&s, 1, 3), "33.33%");
	TEXT(measure_percent(&s, 9999, 10000), "  100%");
	TEXT(measure_percent(&s, 1, 100000), "0.001%");
	TEXT(measure_percent(&s, 1, 0), "    0%");
	assert_true(measure_same_kind("MB", "bytes") && measure_same_kind("x", "x"));
	assert_false(measure_same_kind("ms", "bytes"));
}

static bool matches(const char *pattern, const char *text)
{
	struct rx *rx;
	struct err err = {0};

	if (!rx_compile(&mem, pattern, &rx, &err))
		fail_msg("%s: %s", pattern, err.msg);
	return rx_match(rx, text, strlen(text));
}

static void test_patterns_match(void **state)
{
	static const struct {
		const char *pattern, *yes, *no;
	} cases[] = {
		{"main", "main.main", "mair"},
		{"a.c", "abc", "a\nc"},
		{"(?s)a.c", "a\nc", "ac"},
		{"^b", "bc", "a\nb"},
		{"(?m)^b$", "a\nb\nc", "ab"},
		{"b$", "ab", "ab\n"},
		{"a|b", "b", "c"},
		{"(?i)MAIN", "main", "man"},
		{"(?i:M)ain", "main", "mAIN"},
		{"a{2,3}", "aa", "a"},
		{"a{,2}", "a{,2}", "aa"},
		{"x{", "x{", "x"},
		{"[]a]", "]", "b"},
		{"[^]a]", "b", "]"},
		{"[[:digit:]]+", "7", "x"},
		{"[^[:^digit:]]", "7", "x"},
		{"[\\d-]", "-", "x"},
		{"\\Qa.b\\E", "a.b", "axb"},
		{"\\x41\\x{42}", "AB", "ab"},
		{"\\101", "A", "B"},
		{"\\s", "\t", "\v"},
		{"\\v", "\v", "\n"},
		{"\\S", "\v", " "},
		{"[\\S]", "\v", " "},
		{"\\bfoo\\b", "a foo b", "foobar"},
		{"\\p{Greek}", "\xce\xb1", "a"},
		{"\\pN", "7", "x"},
		{"\\P{^Lu}", "A", "a"},
		{"(?P<name>x)(?<other>y)", "xy", "x"},
		{"^*a", "a", "b"},
		{"", "anything", NULL},
		{"a*?b", "b", "a"},
		{"\\.go", "x.go", "xgo"},
		{"\\_", "_", "x"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (!matches(cases[i].pattern, cases[i].yes))
			fail_msg("%s must match %s", cases[i].pattern, cases[i].yes);
		if (cases[i].no && matches(cases[i].pattern, cases[i].no))
			fail_msg("%s must not match %s", cases[i].pattern, cases[i].no);
	}
}

static void test_patterns_refused(void **state)
{
	static const char *const bad[] = {
		"(",
		")",
		"a)",
		"[a",
		"[z-a]",
		"*a",
		"a**",
		"a*+",
		"a{2}{3}",
		"a{1001}",
		"a{3,2}",
		"(?=a)",
		"(?!a)",
		"(?<=a)",
		"(?<!a)",
		"(?>a)",
		"(a)\\1",
		"\\8",
		"\\Z",
		"\\C",
		"\\h",
		"\\R",
		"\\",
		"(?x)a",
		"(?#c)",
		"(?P=n)",
		"(?P<n>a)(?P<n>b)",
		"\\p{Nothing}",
		"[[:what:]]",
		"\\xg",
		"a\xff",
		"(?i",
		"(?-)",
		"x{2147483648}",
		"(*UTF)a",
		"(?R)",
		"\\Ka\\",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct rx *rx;
		struct err err = {0};

		if (rx_compile(&mem, bad[i], &rx, &err))
			fail_msg("%s must be refused", bad[i]);
		assert_int_equal(err.kind, ERR_USAGE);
	}
}

static void test_patterns_bounded(void **state)
{
	char text[4001];

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[4000] = '\0';
	assert_false(matches("(a+)+$b", text));
	assert_false(matches("(a|aa)+!", text));
	assert_false(matches("(.*)(.*)(.*)(.*)(.*)x", text));
}

static void test_short_names(void **state)
{
	static const struct {
		const char *name, *want;
	} cases[] = {
		{"github.com/a/b-c.d/v2/pkg.Func.func1", "pkg.Func.func1"},
		{"github.com/blahBlah/foo/v2.Bar", "foo.Bar"},
		{"main.main", "main.main"},
		{"runtime.mallocgc", "runtime.mallocgc"},
		{"java.util.concurrent.ThreadPoolExecutor$Worker.run",
		 "ThreadPoolExecutor$Worker.run"},
		{"com.example.Foo.<init>(Bar)", "Foo.<init>"},
		{"(anonymous namespace)::Foo::Bar", "Foo::Bar"},
		{"foo::bar::Baz::Qux<a::B>", "Baz::Qux<a::B>"},
		{"std::vector<int>::push_back(int const&)",
		 "std::vector<int>::push_back(int const&)"},
		{"x/v1.Y", "v1.Y"},
		{"", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(shorten_name(&mem, cases[i].name), cases[i].want);
}

static void test_trimmed_paths(void **state)
{
	(void)state;
	assert_string_equal(srcfile_trim("/proc/self/cwd/a/b.c", "", ""), "a/b.c");
	assert_string_equal(srcfile_trim("/x/proj/a.c", "", "/home/me/proj"), "a.c");
	assert_string_equal(srcfile_trim("/x/projector/a.c", "", "/home/me/proj"),
			    "/x/projector/a.c");
	assert_string_equal(srcfile_trim("/usr/go/a.c", "/no:/usr/", "/x"), "go/a.c");
	assert_string_equal(srcfile_trim("/usrx/a.c", "/usr", ""), "/usrx/a.c");
}

static void test_options(void **state)
{
	struct pprof_config c;
	struct err err = {0};
	const char *choice;

	(void)state;
	pprof_config_init(&c);
	assert_true(c.v[PPROF_TRIM].b && c.v[PPROF_NODECOUNT].i == -1);
	assert_string_equal(c.v[PPROF_SORT].s, "flat");
	TEXT(pprof_config_text(&c, &PPROF_OPTIONS[PPROF_NODEFRACTION], &s), "0.005");
	assert_true(pprof_config_assign(&c, "cum", "1", &mem, &err));
	assert_string_equal(c.v[PPROF_SORT].s, "cum");
	assert_true(pprof_config_assign(&c, "trim", "No", &mem, &err) && !c.v[PPROF_TRIM].b);
	assert_false(pprof_config_assign(&c, "sort", "name", &mem, &err));
	assert_false(pprof_config_assign(&c, "nodecount", "many", &mem, &err));
	assert_false(pprof_config_assign(&c, "nothing", "1", &mem, &err));
	assert_ptr_equal(pprof_option_find("lines", &choice), &PPROF_OPTIONS[PPROF_GRANULARITY]);
	assert_string_equal(choice, "lines");
	assert_true(pprof_option_is_flag("mean") && pprof_option_is_flag("files"));
	assert_false(pprof_option_is_flag("unit"));
}

static int open_arena(void **state)
{
	(void)state;
	arena_init(&mem, 0);
	return 0;
}

static int close_arena(void **state)
{
	(void)state;
	arena_free(&mem);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_go_text),		 cmocka_unit_test(test_measure),
		cmocka_unit_test(test_patterns_match),	 cmocka_unit_test(test_patterns_refused),
		cmocka_unit_test(test_patterns_bounded), cmocka_unit_test(test_short_names),
		cmocka_unit_test(test_trimmed_paths),	 cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests(tests, open_arena, close_arena);
}
