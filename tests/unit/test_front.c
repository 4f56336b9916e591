/*
 * What the user sees: golden files of every view at several widths, and properties that must hold
 * whatever a program calls itself: no line is too wide, no control byte leaves, the JSON parses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "front/help.h"
#include "front/run.h"
#include "view_fixture.h"

static const char *const VIEW_NAMES[] = {"ledger", "memstats", "spans", "goroutines", "maps"};
static const char *const ALL[] = {"--all", NULL};

/* --- JSON --- */

struct json {
	const char *at;
	uint32_t depth;
	const char *wrong;
};

static bool json_value(struct json *j);

static bool json_fail(struct json *j, const char *why)
{
	if (!j->wrong)
		j->wrong = why;
	return false;
}

static bool json_string(struct json *j)
{
	if (*j->at++ != '"')
		return json_fail(j, "no string");
	while (*j->at != '"') {
		unsigned char c = (unsigned char)*j->at++;

		if (c < 0x20)
			return json_fail(j, "control byte in a string");
		if (c == '\\') {
			c = (unsigned char)*j->at++;
			if (c == 'u') {
				for (int i = 0; i < 4; i++)
					if (!strchr("0123456789abcdefABCDEF", *j->at++))
						return json_fail(j, "bad \\u");
			} else if (!strchr("\"\\/bfnrt", c)) {
				return json_fail(j, "bad escape");
			}
		} else if (c >= 0x80) {
			unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc2 ? 1 : 9;

			if (more == 9)
				return json_fail(j, "bad UTF-8");
			while (more--)
				if (((unsigned char)*j->at++ & 0xc0) != 0x80)
					return json_fail(j, "bad UTF-8");
		}
	}
	j->at++;
	return true;
}

static bool json_number(struct json *j)
{
	const char *from = j->at;

	if (*j->at == '-')
		j->at++;
	if (*j->at == '0')
		j->at++;
	else if (*j->at >= '1' && *j->at <= '9')
		j->at += strspn(j->at, "0123456789");
	else
		return json_fail(j, "bad number");
	if (*j->at == '.') {
		j->at++;
		if (!strspn(j->at, "0123456789"))
			return json_fail(j, "bad fraction");
		j->at += strspn(j->at, "0123456789");
	}
	if (*j->at == 'e' || *j->at == 'E') {
		j->at++;
		j->at += *j->at == '+' || *j->at == '-';
		if (!strspn(j->at, "0123456789"))
			return json_fail(j, "bad exponent");
		j->at += strspn(j->at, "0123456789");
	}
	return j->at > from;
}

static void json_space(struct json *j)
{
	j->at += strspn(j->at, " \n\r\t");
}

static bool json_list(struct json *j, bool object)
{
	const char *keys[512];
	size_t lengths[512];
	uint32_t n = 0;

	j->at++;
	for (json_space(j); *j->at != (object ? '}' : ']'); json_space(j)) {
		if (n++) {
			if (*j->at++ != ',')
				return json_fail(j, "no comma");
			json_space(j);
		}
		if (object) {
			keys[n % 512] = j->at;
			if (!json_string(j))
				return false;
			lengths[n % 512] = (size_t)(j->at - keys[n % 512]);
			for (uint32_t i = 1; i < n && n < 512; i++)
				if (lengths[i] == lengths[n] &&
				    !memcmp(keys[i], keys[n], lengths[n]))
					return json_fail(j, "a key twice");
			json_space(j);
			if (*j->at++ != ':')
				return json_fail(j, "no colon");
			json_space(j);
		}
		if (!json_value(j))
			return false;
	}
	j->at++;
	return true;
}

static bool json_value(struct json *j)
{
	static const char *const words[] = {"null", "true", "false"};
	bool ok;

	if (++j->depth > 16)
		return json_fail(j, "too deep");
	if (*j->at == '{' || *j->at == '[')
		ok = json_list(j, *j->at == '{');
	else if (*j->at == '"')
		ok = json_string(j);
	else if (*j->at == '-' || (*j->at >= '0' && *j->at <= '9'))
		ok = json_number(j);
	else {
		ok = false;
		for (size_t i = 0; i < ARRAY_LEN(words) && !ok; i++)
			if (str_starts(j->at, words[i])) {
				j->at += strlen(words[i]);
				ok = true;
			}
		if (!ok)
			json_fail(j, "no value");
	}
	j->depth--;
	return ok;
}

static void assert_json(const char *text)
{
	struct json j = {.at = text};

	if (!json_value(&j) || *j.at)
		fail_msg("JSON: %s at: %.60s", j.wrong ? j.wrong : "text behind the end", j.at);
}

/* --- what a terminal would obey --- */

static void assert_harmless(const char *text, const char *what)
{
	for (const char *p = text; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if ((c < 0x20 && c != '\n') || c == 0x7f)
			fail_msg("%s: control byte %#x in: %.60s", what, c,
				 p > text + 20 ? p - 20 : text);
		if (c == 0xc2 && (unsigned char)p[1] < 0xa0)
			fail_msg("%s: C1 control", what);
		if (!memcmp(p, "\xe2\x80\xae", MIN(strlen(p), (size_t)3)))
			fail_msg("%s: right-to-left override", what);
		if (c == 0xff || c == 0xc0)
			fail_msg("%s: no UTF-8", what);
	}
}

static void assert_fits(const char *text, uint32_t width, const char *what)
{
	while (*text) {
		size_t n = strcspn(text, "\n");
		char line[4096];

		snprintf(line, sizeof line, "%.*s", (int)n, text);
		if (str_columns(line) > width)
			fail_msg("%s at %u: %zu columns: %s", what, width, str_columns(line), line);
		if (n && line[n - 1] == ' ')
			fail_msg("%s at %u: space at the end: %s", what, width, line);
		text += n + (text[n] == '\n');
	}
}

static void ask(struct fixture *f, const char *name, const char *const *words, struct report *r)
{
	struct err err = {0};

	if (!fixture_ask(f, name, words, r, &err))
		fail_msg("%s: %s", name, err.msg);
}

static void test_widths(void **state)
{
	static const uint32_t widths[] = {40, 60, 80, 100, 132, 160, 300};
	struct fixture f;

	(void)state;
	for (int hostile = 0; hostile < 2; hostile++) {
		fixture_open(&f);
		if (hostile)
			fixture_poison(&f);
		for (size_t v = 0; v < ARRAY_LEN(VIEW_NAMES); v++) {
			for (int all = 0; all < 2; all++) {
				struct report r;

				ask(&f, VIEW_NAMES[v], all ? ALL : NULL, &r);
				for (size_t w = 0; w < ARRAY_LEN(widths); w++) {
					struct text_style st = {.width = widths[w],
								.utf8 = true,
								.cut = true,
								.all = all};
					struct str out = {0};

					render_text(&out, &r, &st);
					assert_harmless(out.s, VIEW_NAMES[v]);
					if (widths[w] >= 80)
						assert_fits(out.s, widths[w], VIEW_NAMES[v]);
					str_free(&out);
					st.utf8 = false;
					render_text(&out, &r, &st);
					for (const char *p = out.s; *p; p++)
						assert_true((*p >= 0x20 && *p < 0x7f) ||
							    *p == '\n');
					str_free(&out);
				}
			}
		}
		fixture_close(&f);
	}
}

static void test_colour_is_ours_alone(void **state)
{
	struct text_style st = {
		.width = 100, .utf8 = true, .cut = true, .all = true, .colour = true};
	struct fixture f;
	struct report r;
	struct str out = {0};
	int open = 0;

	(void)state;
	fixture_open(&f);
	fixture_poison(&f);
	ask(&f, "ledger", ALL, &r);
	render_text(&out, &r, &st);
	assert_non_null(strstr(out.s, "\033[1m"));
	for (const char *p = out.s; *p; p++) {
		if (*p != '\033')
			continue;
		assert_int_equal(p[1], '[');
		assert_true(p[strspn(p + 2, "0123456789") + 2] == 'm');
		if (!strncmp(p, "\033[0m", 4)) {
			assert_int_equal(open, 1);
			open = 0;
		} else {
			assert_int_equal(open, 0); /* never nested, always closed */
			open = 1;
		}
	}
	assert_int_equal(open, 0);
	assert_null(strstr(out.s, "\033[31m")); /* red was the program's wish */
	str_free(&out);
	fixture_close(&f);
}

static void test_json(void **state)
{
	struct fixture f;

	(void)state;
	for (int hostile = 0; hostile < 2; hostile++) {
		fixture_open(&f);
		if (hostile)
			fixture_poison(&f);
		for (size_t v = 0; v < ARRAY_LEN(VIEW_NAMES); v++) {
			for (int indent = 0; indent < 2; indent++) {
				struct report r;
				struct str out = {0};

				ask(&f, VIEW_NAMES[v], NULL, &r);
				render_json(&out, &r.json, indent);
				assert_json(out.s);
				if (!indent)
					assert_null(
						strchr(out.s, '\n')); /* one document, one line */
				assert_null(strstr(out.s, "<script"));
				assert_null(strchr(out.s, '\033'));
				str_free(&out);
			}
		}
		fixture_close(&f);
	}
}

static void json_is(struct value v, const char *want)
{
	struct str out = {0};

	render_json(&out, &v, false);
	assert_string_equal(out.s, want);
	str_free(&out);
}

static void test_json_numbers(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 0);
	json_is(value_uint(UINT64_MAX), "18446744073709551615");
	json_is(value_int(INT64_MIN), "-9223372036854775808");
	json_is(value_uint(1000000000), "1000000000");
	json_is(value_double(0.1), "0.1");
	json_is(value_double(1.0 / 3), "0.3333333333333333");
	json_is(value_double(5e-324), "4.94065645841247e-324");
	json_is(value_double(1e300), "1e+300");
	json_is(value_double(-0.0), "0");
	json_is(value_double(61), "61");
	json_is(value_double(NAN), "null");
	json_is(value_double(-INFINITY), "null");
	json_is(value_str(NULL), "null");
	json_is(value_str("a\"b"), "\"a\\\"b\"");
	json_is(value_bool(true), "true");
	json_is(value_array(&a), "[]");
	json_is(value_object(&a), "{}");
	srand(7);
	for (int i = 0; i < 20000; i++) {
		union {
			uint64_t u;
			double d;
		} x = {.u = (uint64_t)rand() << 42 ^ (uint64_t)rand() << 21 ^ (uint64_t)rand()};
		struct value v = value_double(x.d);
		struct str out = {0};

		if (!isfinite(x.d))
			continue;
		render_json(&out, &v, false);
		assert_true(strtod(out.s, NULL) == x.d);
		assert_json(out.s);
		str_free(&out);
	}
	arena_free(&a);
}

static void test_csv(void **state)
{
	struct fixture f;
	struct report r;
	struct str out = {0};

	(void)state;
	fixture_open(&f);
	fixture_poison(&f);
	for (size_t v = 0; v < ARRAY_LEN(VIEW_NAMES); v++) {
		uint32_t columns = 0, rows = 0;

		ask(&f, VIEW_NAMES[v], NULL, &r);
		assert_true(render_csv(&out, &r));
		assert_harmless(out.s, "csv");
		/* as many cells in each line, quotes closed */
		for (const char *p = out.s; *p;) {
			uint32_t n = 1;
			bool quoted = false;

			for (; *p && (*p != '\n' || quoted); p++) {
				if (*p == '"')
					quoted = !quoted;
				n += *p == ',' && !quoted;
			}
			assert_false(quoted);
			if (!rows++)
				columns = n;
			assert_int_equal(n, columns);
			p += *p == '\n';
		}
		assert_true(rows > 1);
		str_free(&out);
	}
	report_init(&r, &f.mem, "none");
	assert_false(render_csv(&out, &r));
	fixture_close(&f);
}

/* --- golden files --- */

static char *file_of(const char *name, char *path, size_t n)
{
	const char *dir = getenv("WHYRSS_TESTS");

	snprintf(path, n, "%s/golden/%s", dir ? dir : "tests", name);
	return path;
}

static void golden(const char *name, const struct str *got)
{
	char path[512], *want;
	long n;
	FILE *f;

	file_of(name, path, sizeof path);
	if (getenv("WHYRSS_UPDATE_GOLDEN")) {
		f = fopen(path, "w");
		assert_non_null(f);
		fwrite(got->s, 1, got->n, f);
		fclose(f);
		return;
	}
	f = fopen(path, "r");
	if (!f)
		fail_msg("%s is missing; make it with WHYRSS_UPDATE_GOLDEN=1", path);
	fseek(f, 0, SEEK_END);
	n = ftell(f);
	rewind(f);
	want = calloc(1, (size_t)n + 1);
	assert_int_equal(fread(want, 1, (size_t)n, f), n);
	fclose(f);
	if (strcmp(want, got->s)) {
		fprintf(stderr, "--- %s, got:\n%s", path, got->s);
		free(want);
		fail_msg("%s differs; if that is wanted, run with WHYRSS_UPDATE_GOLDEN=1 and look "
			 "at the diff",
			 name);
	}
	free(want);
}

static void test_golden(void **state)
{
	static const struct {
		const char *file, *view;
		struct text_style style;
		bool hostile;
	} cases[] = {
		{"ledger-80.txt", "ledger", {.width = 80, .utf8 = true, .cut = true}, false},
		{"ledger-100.txt", "ledger", {.width = 100, .utf8 = true, .cut = true}, false},
		{"ledger-160.txt", "ledger", {.width = 160, .utf8 = true, .cut = true}, false},
		{"ledger-piped.txt", "ledger", {.width = 100, .utf8 = true}, false},
		{"ledger-all.txt",
		 "ledger",
		 {.width = 120, .utf8 = true, .cut = true, .all = true},
		 false},
		{"ledger-colour.txt",
		 "ledger",
		 {.width = 100, .utf8 = true, .cut = true, .colour = true},
		 false},
		{"ledger-ascii.txt", "ledger", {.width = 80, .cut = true}, false},
		{"ledger-hostile.txt",
		 "ledger",
		 {.width = 80, .utf8 = true, .cut = true, .all = true},
		 true},
		{"memstats-100.txt", "memstats", {.width = 100, .utf8 = true, .cut = true}, false},
		{"memstats-all.txt",
		 "memstats",
		 {.width = 100, .utf8 = true, .cut = true, .all = true},
		 false},
		{"spans-80.txt", "spans", {.width = 80, .utf8 = true, .cut = true}, false},
		{"spans-160.txt", "spans", {.width = 160, .utf8 = true, .cut = true}, false},
		{"goroutines-80.txt",
		 "goroutines",
		 {.width = 80, .utf8 = true, .cut = true},
		 false},
		{"goroutines-160.txt",
		 "goroutines",
		 {.width = 160, .utf8 = true, .cut = true},
		 false},
		{"goroutines-hostile.txt",
		 "goroutines",
		 {.width = 100, .utf8 = true, .cut = true},
		 true},
		{"maps-80.txt", "maps", {.width = 80, .utf8 = true, .cut = true}, false},
		{"maps-piped.txt", "maps", {.width = 100, .utf8 = true}, false},
	};
	static const char *const json[] = {"ledger", "spans", "goroutines", "maps"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fixture f;
		struct report r;
		struct str out = {0};

		fixture_open(&f);
		if (cases[i].hostile)
			fixture_poison(&f);
		ask(&f, cases[i].view, cases[i].style.all ? ALL : NULL, &r);
		render_text(&out, &r, &cases[i].style);
		golden(cases[i].file, &out);
		str_free(&out);
		fixture_close(&f);
	}
	for (size_t i = 0; i < ARRAY_LEN(json); i++) {
		struct fixture f;
		struct report r;
		struct str out = {0};
		char name[64];

		fixture_open(&f);
		ask(&f, json[i], NULL, &r);
		render_json(&out, &r.json, true);
		str_add(&out, "\n");
		snprintf(name, sizeof name, "%s.json", json[i]);
		golden(name, &out);
		str_free(&out);
		assert_true(render_csv(&out, &r));
		snprintf(name, sizeof name, "%s.csv", json[i]);
		golden(name, &out);
		str_free(&out);
		fixture_close(&f);
	}
}

/* --- the command line --- */

static void test_requests(void **state)
{
	static const struct {
		const char *line[6];
		const char *view, *target; /* what is asked for; view NULL: fails */
		const char *says;	   /* part of the message */
	} cases[] = {
		{{NULL}, "processes", NULL, NULL},
		{{"--json"}, "processes", NULL, NULL},
		{{"4711"}, "ledger", "4711", NULL},
		{{"etcd", "--json"}, "ledger", "etcd", NULL},
		{{"spans", "etcd"}, "spans", "etcd", NULL},
		{{"--json", "spans", "etcd"}, "spans", "etcd", NULL},
		{{"ledger", "spans"}, "ledger", "spans", NULL}, /* a process of that name */
		{{"--cgroup=/x"}, "ledger", NULL, NULL},
		{{"maps", "--cgroup", "/x"}, "maps", NULL, NULL},
		{{"processes"}, "processes", NULL, NULL},
		{{"help"}, "help", NULL, NULL},
		{{"help", "spans"}, "help", NULL, NULL},
		{{"completion", "bash"}, "completion", NULL, NULL},
		{{"spans"}, NULL, NULL, "TARGET is missing"},
		{{"legder", "4711"}, NULL, NULL, "did you mean ledger?"},
		{{"moon", "4711"}, NULL, NULL, "no such view"},
		{{"help", "spnas"}, NULL, NULL, "did you mean spans?"},
		{{"spans", "1", "2"}, NULL, NULL, "2: more than one target"},
		{{"1", "2"}, NULL, NULL, "2: more than one target"},
		{{"1", "ledger"}, NULL, NULL, "the view comes first: whyrss ledger 1"},
		{{"4711", "--width=39"}, NULL, NULL, "less than 40 columns"},
		{{"4711", "--cgroup=/x"}, NULL, NULL, "not both"},
		{{"processes", "x"}, NULL, NULL, "takes no argument"},
		{{"4711", "--json", "--csv"}, NULL, NULL, "take one"},
		{{"memstats", "4711", "--sort=x"}, NULL, NULL, "not an option of memstats"},
		{{"--freeze"}, NULL, NULL, "not an option of processes"},
		{{""}, NULL, NULL, "TARGET is empty"},
		{{"4711", "--nope"}, NULL, NULL, "no such option"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *argv[8] = {"whyrss"};
		int argc = 1;
		struct request q = {0};
		struct err err = {0};
		bool ok;

		for (const char *const *p = cases[i].line; *p; p++)
			argv[argc++] = *p;
		ok = request_parse(argc, argv, &q, &err);
		if (!cases[i].view) {
			if (ok || err.kind != ERR_USAGE || !strstr(err.msg, cases[i].says))
				fail_msg("%s: %s", cases[i].line[0], err.msg);
			continue;
		}
		if (!ok)
			fail_msg("%s: %s", cases[i].line[0], err.msg);
		assert_string_equal(q.view->name, cases[i].view);
		if (cases[i].target)
			assert_string_equal(q.target, cases[i].target);
		else
			assert_null(q.target);
	}
}

static void test_style(void **state)
{
	static const struct {
		struct outlet out;
		const char *option;
		struct text_style want;
	} cases[] = {
		{{.terminal = true, .width = 132},
		 NULL,
		 {.width = 132, .colour = true, .utf8 = true, .cut = true}},
		{{.terminal = true, .width = 132, .no_color = true},
		 NULL,
		 {.width = 132, .utf8 = true, .cut = true}},
		{{.terminal = true, .width = 132, .term = "dumb"},
		 NULL,
		 {.width = 132, .utf8 = true, .cut = true}},
		{{.terminal = true, .no_color = true},
		 "--color=always",
		 {.width = 100, .colour = true, .utf8 = true, .cut = true}},
		{{.terminal = true, .width = 90},
		 "--color=never",
		 {.width = 90, .utf8 = true, .cut = true}},
		{{.terminal = true, .width = 3},
		 NULL,
		 {.width = 40, .colour = true, .utf8 = true, .cut = true}},
		{{.terminal = false}, NULL, {.width = 100, .utf8 = true}},
		{{.terminal = false}, "--width=72", {.width = 72, .utf8 = true, .cut = true}},
		{{.terminal = false},
		 "--width=99999999",
		 {.width = 1000, .utf8 = true, .cut = true}},
		{{.locale = "de_DE.UTF-8"}, NULL, {.width = 100, .utf8 = true}},
		{{.locale = "C.utf8"}, NULL, {.width = 100, .utf8 = true}},
		{{.locale = "de_DE.ISO-8859-1"}, NULL, {.width = 100}},
		{{.locale = "C"}, NULL, {.width = 100}},
		{{.locale = "en_US"}, "--all", {.width = 100, .utf8 = true, .all = true}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *argv[] = {"whyrss", (cases[i].option ? cases[i].option : "-a")};
		struct arguments a;
		struct text_style got;
		struct err err = {0};

		assert_true(arguments_parse(cases[i].option ? 2 : 1, argv, &a, &err));
		got = style_choose(&cases[i].out, &a.options);
		assert_int_equal(got.width, cases[i].want.width);
		assert_int_equal(got.colour, cases[i].want.colour);
		assert_int_equal(got.utf8, cases[i].want.utf8);
		assert_int_equal(got.cut, cases[i].want.cut);
		assert_int_equal(got.all, cases[i].want.all);
	}
}

static void test_messages(void **state)
{
	struct err err = {0};
	struct str out = {0};

	(void)state;
	err_set(&err, ERR_NOT_GO, "process 12 (%s) is not a Go program",
		"evil\033[2J\nwhyrss: all is well");
	message_add(&out, &err);
	assert_harmless(out.s, "message");
	assert_ptr_equal(strchr(out.s, '\n'), out.s + out.n - 1); /* one line */
	assert_true(str_starts(out.s, "whyrss: process 12"));
	assert_non_null(strstr(out.s, "; whyrss alone lists"));
	str_free(&out);
}

static void run(const char *const *words, int want, struct str *out, struct str *messages)
{
	const char *argv[8] = {"whyrss"};
	struct outlet to = {0};
	struct request q;
	struct err err = {0};
	int argc = 1;

	for (; *words; words++)
		argv[argc++] = *words;
	if (!request_parse(argc, argv, &q, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(request_run(&q, &to, out, messages), want);
}

static void test_help(void **state)
{
	static const char *const shells[] = {"bash", "zsh", "fish"};
	struct str out = {0}, messages = {0};

	(void)state;
	run((const char *const[]){"--version", NULL}, EXIT_ANSWERED, &out, &messages);
	assert_string_equal(out.s, "whyrss " WHYRSS_VERSION "\n");
	str_free(&out);

	run((const char *const[]){"--help", NULL}, EXIT_ANSWERED, &out, &messages);
	assert_fits(out.s, 100, "help");
	for (unsigned i = 0; i < N_OPTIONS; i++)
		assert_non_null(strstr(out.s, OPTIONS[i].name));
	for (unsigned i = 0; i < N_VIEWS; i++)
		assert_true(!!strstr(out.s, VIEWS[i].help) == !(VIEWS[i].flags & VIEW_HIDDEN) ||
			    strlen(VIEWS[i].help) > 60);
	str_free(&out);

	run((const char *const[]){"help", "spans", NULL}, EXIT_ANSWERED, &out, &messages);
	assert_non_null(strstr(out.s, "--sort"));
	assert_null(strstr(out.s, "--pss"));
	str_free(&out);
	run((const char *const[]){"spans", "--help", "--width=80", NULL}, EXIT_ANSWERED, &out,
	    &messages);
	assert_fits(out.s, 80, "help of spans");
	str_free(&out);
	run((const char *const[]){"help", "--json", NULL}, EXIT_ANSWERED, &out, &messages);
	out.s[out.n - 1] = '\0';
	assert_json(out.s);
	str_free(&out);

	run((const char *const[]){"man", NULL}, EXIT_ANSWERED, &out, &messages);
	for (const char *p = out.s; (p = strchr(p, '\n')); p++)
		assert_false(p[1] == '\'' || (p[1] == '.' && p[2] != '\\' &&
					      (p[2] < 'A' || p[2] > 'Z') && p[2] != 'b'));
	str_free(&out);
	for (size_t i = 0; i < ARRAY_LEN(shells); i++) {
		run((const char *const[]){"completion", shells[i], NULL}, EXIT_ANSWERED, &out,
		    &messages);
		for (unsigned k = 0; k < N_OPTIONS; k++)
			assert_non_null(strstr(out.s, OPTIONS[k].name));
		str_free(&out);
	}
	run((const char *const[]){"completion", "csh", NULL}, EXIT_USAGE, &out, &messages);
	assert_non_null(strstr(messages.s, "bash, zsh or fish"));
	str_free(&messages);
	run((const char *const[]){"completion", NULL}, EXIT_USAGE, &out, &messages);
	str_free(&messages);
	run((const char *const[]){"reference", "ledger", NULL}, EXIT_ANSWERED, &out, &messages);
	for (unsigned i = 0; i < N_LINES; i++)
		assert_non_null(strstr(out.s, LINES[i].id));
	str_free(&out);
	assert_null(messages.s);
}

static void test_targets_that_are_none(void **state)
{
	static const struct {
		const char *target, *says;
		int code;
	} cases[] = {
		{"0", "not a PID", EXIT_USAGE},
		{"99999999999", "not a PID", EXIT_USAGE},
		{"/bin/sh", "a program, not a process", EXIT_FAILED},
		{"/etc/passwd", "a file that is no core", EXIT_FAILED},
		{"/nowhere/at/all", "no such file", EXIT_FAILED},
		{"no-such-process-anywhere", "no Go process has this name", EXIT_FAILED},
		{"\033[2J", "no Go process has this name", EXIT_FAILED},
	};
	struct str out = {0}, messages = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		run((const char *const[]){"ledger", cases[i].target, NULL}, cases[i].code, &out,
		    &messages);
		assert_null(out.s);
		if (!strstr(messages.s, cases[i].says))
			fail_msg("%s: %s", cases[i].target, messages.s);
		assert_harmless(messages.s, "message");
		assert_ptr_equal(strchr(messages.s, '\n'), messages.s + messages.n - 1);
		str_free(&messages);
	}
	run((const char *const[]){"ledger", "1999999999", NULL}, EXIT_FAILED, &out, &messages);
	str_free(&messages);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_widths),
		cmocka_unit_test(test_colour_is_ours_alone),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_numbers),
		cmocka_unit_test(test_csv),
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_style),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_targets_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
