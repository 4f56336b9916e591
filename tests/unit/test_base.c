/* src/base: arenas and their limits, errors, text made safe, amounts and their parser, small files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/str.h"
#include "base/unit.h"

static bool all_zero(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

static void arena_gives_zeroed_aligned_memory(void **state)
{
	static const size_t sizes[] = {0, 1, 15, 16, 17, 4096, 8191, 100000, 131072, 1 << 20, 3};
	struct arena a;
	char *p[ARRAY_LEN(sizes) * 8];
	size_t n = 0;

	(void)state;
	arena_init(&a, 0);
	for (int round = 0; round < 8; round++)
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			p[n] = arena_alloc(&a, sizes[i]);
			assert_non_null(p[n]);
			assert_int_equal((uintptr_t)p[n] % 16, 0);
			assert_true(all_zero(p[n], sizes[i]));
			memset(p[n], (int)n + 1, sizes[i]);
			n++;
		}
	/* Nothing overlaps: every block still holds its own number. */
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < sizes[i % ARRAY_LEN(sizes)]; j++)
			assert_int_equal((unsigned char)p[i][j], i + 1);
	arena_free(&a);
	assert_int_equal(a.used, 0);
	assert_null(a.top);
	assert_non_null(arena_alloc(&a, 10)); /* usable again */
	arena_free(&a);
}

static void arena_limit_is_kept(void **state)
{
	struct arena a;
	struct err err = {0};
	uint64_t room;

	(void)state;
	arena_init(&a, 1 * MIB);
	assert_null(arena_try(&a, 1 * MIB + 1, 1, &err));
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_null(arena_try(&a, UINT64_MAX, 2, &err));	 /* the product overflows */
	assert_null(arena_try(&a, UINT64_MAX / 2 + 1, 2, &err)); /* … to exactly 0 */
	assert_null(arena_try(&a, UINT64_MAX, 1, NULL));
	arena_alloc(&a, 1000);
	room = arena_room(&a, 24);
	assert_true(room > 40000 && room < 1 * MIB / 24);
	assert_null(arena_try(&a, room + 1, 24, &err));
	assert_non_null(arena_try(&a, room, 24, &err));
	assert_int_equal(arena_room(&a, 24), 0);
	assert_true(a.used <= 1 * MIB + 64);
	arena_free(&a);
	assert_int_equal(arena_room(&a, 1), 1 * MIB);
	arena_init(&a, UINT64_MAX);
	assert_null(arena_try(&a, UINT64_MAX - 7, 1, &err));
	arena_free(&a);
}

static void arena_alloc_ends_the_program_at_the_limit(void **state)
{
	int status, pipes[2];
	char said[200] = "";
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		struct arena a;

		dup2(pipes[1], STDERR_FILENO);
		arena_init(&a, 4096);
		arena_alloc(&a, 4097);
		_exit(0);
	}
	close(pipes[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(read(pipes[0], said, sizeof(said) - 1) > 0);
	close(pipes[0]);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	assert_true(str_starts(said, "whyrss: out of memory"));
	assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
}

static void arena_reset_frees_what_came_after_the_mark(void **state)
{
	struct arena a;
	struct arena_mark empty, m;
	bytes used;
	char *kept;

	(void)state;
	arena_init(&a, 0);
	empty = arena_mark(&a);
	kept = arena_strdup(&a, "kept");
	m = arena_mark(&a);
	used = a.used;
	for (int round = 0; round < 3; round++) {
		char *big = arena_alloc(&a, 1 << 20);
		char *small = arena_alloc(&a, 100);

		assert_true(all_zero(big, 1 << 20) && all_zero(small, 100));
		memset(big, 1, 1 << 20);
		memset(small, 1, 100);
		memset(arena_alloc(&a, 5000), 2, 5000);
		arena_reset(&a, m);
		assert_int_equal(a.used, used);
		assert_string_equal(kept, "kept");
		assert_true(all_zero(arena_alloc(&a, 3000), 3000)); /* reused memory is cleared */
		arena_reset(&a, m);
	}
	arena_reset(&a, empty);
	assert_int_equal(a.used, 0);
	arena_free(&a);
}

static void vec_grows_and_keeps_its_elements(void **state)
{
	struct arena a;
	VEC(uint32_t) v = {0};

	(void)state;
	arena_init(&a, 0);
	for (uint32_t i = 0; i < 100000; i++)
		*VEC_PUSH(&a, &v) = i * 7;
	assert_int_equal(v.n, 100000);
	for (uint32_t i = 0; i < v.n; i++)
		assert_int_equal(v.v[i], i * 7);
	assert_string_equal(arena_printf(&a, "%s-%d", "x", 42), "x-42");
	assert_string_equal(arena_strndup(&a, "abcdef", 3), "abc");
	assert_string_equal(arena_strndup(&a, NULL, 0), "");
	arena_free(&a);
}

static void errors_read_from_the_outside_in(void **state)
{
	struct err err = {0};
	char longer[1000];

	(void)state;
	assert_false(err_set(&err, ERR_FAULT, "no byte at %#x", 0x10U));
	assert_false(err_in(&err, "%s", "mheap_"));
	assert_false(
		err_in(&err, "span %d of \"%s\"", 3, err.msg)); /* an argument from the same err */
	assert_string_equal(err.msg,
			    "span 3 of \"mheap_: no byte at 0x10\": mheap_: no byte at 0x10");
	assert_int_equal(err.kind, ERR_FAULT);
	errno = ENOENT;
	assert_false(err_os(&err, ERR_OS, "open %s", "/x"));
	assert_string_equal(err.msg, "open /x: No such file or directory");
	assert_int_equal(err.os, ENOENT);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	err_set(&err, ERR_OS, "%s", longer);
	err_in(&err, "%s", longer);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	assert_int_equal(err.os, 0);
	assert_false(err_set(NULL, ERR_OS, "nobody asks"));
	assert_false(err_in(NULL, "nobody asks"));
	assert_false(err_os(NULL, ERR_OS, "nobody asks"));
}

static void check_text(void (*add)(struct str *, const char *), const char *in, const char *want)
{
	struct str b = {0};

	add(&b, in);
	assert_string_equal(b.s, want);
	assert_int_equal(b.n, strlen(want));
	str_free(&b);
}

static void json_escapes_hostile_bytes(void **state)
{
	(void)state;
	check_text(str_add_json, "", "\"\"");
	check_text(str_add_json, "a\"b\\c\n\t\x01\x1f\x7f",
		   "\"a\\\"b\\\\c\\n\\t\\u0001\\u001f\\u007f\"");
	check_text(str_add_json, "</script>&", "\"\\u003c/script>&\"");
	check_text(str_add_json, "µ−€😀", "\"µ−€😀\"");
	check_text(str_add_json, "\xe2\x80\xa8\xe2\x80\xa9", "\"\\u2028\\u2029\"");
	/* Cut, stray, overlong, surrogate, beyond the last, never-used bytes: U+FFFD each. */
	check_text(str_add_json, "x\xe2\x82", "\"x\xef\xbf\xbd\xef\xbf\xbd\"");
	check_text(str_add_json, "\x80z", "\"\xef\xbf\xbdz\"");
	check_text(str_add_json, "\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\"");
	check_text(str_add_json, "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
	check_text(str_add_json, "\xf4\x90\x80\x80",
		   "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
	check_text(str_add_json, "\xff\"", "\"\xef\xbf\xbd\\\"\"");
	check_text(str_add_json, "\xf0\x9f\x98", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void plain_text_cannot_move_the_cursor(void **state)
{
	(void)state;
	check_text(str_add_plain, "/tmp/µ −x.go", "/tmp/µ −x.go");
	check_text(str_add_plain, "a\x1b[2Jb\r\n\t", "a?[2Jb???");
	check_text(str_add_plain, "\xc2\x9b[31m", "?[31m");		/* C1 CSI in UTF-8 */
	check_text(str_add_plain, "\x9b[31m", "?[31m");			/* … and as a byte */
	check_text(str_add_plain, "a\xe2\x80\xaegpj.exe", "a?gpj.exe"); /* right-to-left override */
	check_text(str_add_plain, "a\xe2\x81\xa6x\xe2\x81\xa9", "a?x?"); /* isolates */
	check_text(str_add_plain, "a\xe2\x80\x8bz\xef\xbb\xbf", "a?z?"); /* zero width */
	check_text(str_add_plain, "\xf3\xa0\x81\x81", "?");		 /* tag characters */
	check_text(str_add_plain, "\xe2\x80", "??");
	assert_int_equal(str_columns("µ−x"), 3);
	assert_int_equal(str_columns("a\xe2\x80z\xff"), 5);
	assert_int_equal(str_columns(""), 0);
}

/* Whatever bytes come in: valid UTF-8 without controls comes out, of str_columns' width. */
static void random_bytes_stay_safe(void **state)
{
	unsigned seed = 12345;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct str plain = {0}, json = {0}, again = {0};
		char in[12];
		size_t n = (size_t)rand_r(&seed) % (sizeof(in) - 1);

		for (size_t i = 0; i < n; i++)
			in[i] = (char)(rand_r(&seed) % 255 + 1);
		in[n] = '\0';
		str_add_plain(&plain, in);
		str_add_plain(&again, plain.s);
		str_add_json(&json, in);
		assert_string_equal(plain.s, again.s);
		assert_int_equal(str_columns(in), str_columns(plain.s));
		for (size_t i = 0; i < plain.n; i++)
			assert_true((unsigned char)plain.s[i] >= 0x20);
		for (size_t i = 1; i + 1 < json.n; i++)
			assert_true((unsigned char)json.s[i] >= 0x20 && json.s[i] != '<' &&
				    (json.s[i] != '"' || json.s[i - 1] == '\\'));
		str_free(&plain);
		str_free(&again);
		str_free(&json);
	}
}

static void strings_grow(void **state)
{
	struct str b = {0};

	(void)state;
	for (int i = 0; i < 10000; i++)
		str_addf(&b, "%d,", i);
	assert_int_equal(b.n, 48890);
	assert_int_equal(strlen(b.s), b.n);
	assert_true(str_starts(b.s, "0,1,2,") && str_ends(b.s, "9998,9999,"));
	assert_false(str_ends("x", "xx"));
	assert_false(str_starts("x", "xx"));
	str_free(&b);
	assert_null(b.s);
	str_addn(&b, "", 0);
	assert_string_equal(b.s, "");
	str_free(&b);
}

static void check_u64(const char *s, bool hex, bool ok, uint64_t want, size_t used)
{
	const char *at = s;
	uint64_t v = 77;

	assert_int_equal(str_u64(&at, hex, &v), ok);
	assert_int_equal(v, ok ? want : 77);
	assert_ptr_equal(at, s + used);
}

static void numbers_parse(void **state)
{
	(void)state;
	check_u64("12x", false, true, 12, 2);
	check_u64("18446744073709551615", false, true, UINT64_MAX, 20);
	check_u64("18446744073709551616", false, false, 0, 0);
	check_u64("ffffffffffffffff-", true, true, UINT64_MAX, 16);
	check_u64("10000000000000000", true, false, 0, 0);
	check_u64("7fA6", true, true, 0x7fa6, 4);
	check_u64("", false, false, 0, 0);
	check_u64(" 1", false, false, 0, 0);
	check_u64("-1", false, false, 0, 0);
	check_u64("a", false, false, 0, 0);
}

static void amounts_read_well(void **state)
{
	char t[UNIT_TEXT];

	(void)state;
	assert_string_equal(unit_bytes(t, 0), "0 B");
	assert_string_equal(unit_bytes(t, 1023), "1023 B");
	assert_string_equal(unit_bytes(t, 12 * KIB), "12.0 KiB");
	assert_string_equal(unit_bytes(t, 338792448), "323.1 MiB");
	assert_string_equal(unit_bytes(t, MIB - 1), "1.0 MiB"); /* never "1024.0 KiB" */
	assert_string_equal(unit_bytes(t, 3 * GIB / 2), "1.5 GiB");
	assert_string_equal(unit_bytes(t, UINT64_MAX), "16.0 EiB");
	assert_string_equal(unit_delta(t, 4096), "+4.0 KiB");
	assert_string_equal(unit_delta(t, -(int64_t)(100 * MIB)), "−100.0 MiB");
	assert_string_equal(unit_delta(t, 0), "0 B");
	assert_string_equal(unit_delta(t, INT64_MIN), "−8.0 EiB");
	assert_string_equal(unit_mib(t, 2686556570), "2562.1");
	assert_string_equal(unit_mib(t, 0), "0.0");
	assert_string_equal(unit_mib(t, -1), "0.0");
	assert_string_equal(unit_mib(t, -(int64_t)MIB), "−1.0");
	assert_string_equal(unit_mib(t, MIB - 1), "1.0");
	assert_string_equal(unit_mib(t, INT64_MIN), "−8796093022208.0");
	assert_string_equal(unit_duration(t, 17000), "17 µs");
	assert_string_equal(unit_duration(t, 850000000), "850 ms");
	assert_string_equal(unit_duration(t, 41000000000), "41 s");
	assert_string_equal(unit_duration(t, 180000000000), "3 min");
	assert_string_equal(unit_duration(t, 3 * 3600000000000), "3 h");
	assert_string_equal(unit_duration(t, 12 * 86400000000000), "12 d");
	assert_string_equal(unit_duration(t, -5), "−5 ns");
	assert_string_equal(unit_duration(t, 0), "0 s");
	assert_string_equal(unit_duration(t, INT64_MAX), "106751 d");
	assert_string_equal(unit_count(t, 12345678), "12,345,678");
	assert_string_equal(unit_count(t, 0), "0");
	assert_string_equal(unit_count(t, 100), "100");
	assert_string_equal(unit_count(t, 1000), "1,000");
	assert_string_equal(unit_count(t, UINT64_MAX), "18,446,744,073,709,551,615");
}

static void sizes_parse(void **state)
{
	static const struct {
		const char *s;
		bytes want; /* UINT64_MAX: not a size */
	} cases[] = {
		{"17", 17},
		{"2GiB", 2 * GIB},
		{"512MiB", 512 * MIB},
		{"100k", 100 * KIB},
		{"1e9", 1000000000},
		{"512Mi", 512 * MIB},
		{"10MB", 10000000},
		{"1.5 GiB", 3 * GIB / 2},
		{"0", 0},
		{"12B", 12},
		{"1E", 1ULL << 60},
		{"1EiB", 1ULL << 60},
		{"18446744073709551614", UINT64_MAX - 1},
		{"18446744073709551616", UINT64_MAX},
		{"16E", UINT64_MAX},
		{"1e99", UINT64_MAX},
		{"1e999999999999", UINT64_MAX},
		{"", UINT64_MAX},
		{"-1", UINT64_MAX},
		{"+1", UINT64_MAX},
		{" 1", UINT64_MAX},
		{"MiB", UINT64_MAX},
		{".", UINT64_MAX},
		{"1x", UINT64_MAX},
		{"1Mix", UINT64_MAX},
		{"1 2", UINT64_MAX},
		{"0x10", UINT64_MAX},
		{"nan", UINT64_MAX},
		{"inf", UINT64_MAX},
		{"1\xc2\xb5", UINT64_MAX},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bytes v = 77;
		bool ok = unit_parse_bytes(cases[i].s, &v);

		if (ok != (cases[i].want != UINT64_MAX) || (ok && v != cases[i].want))
			fail_msg("\"%s\": %d %llu", cases[i].s, ok, (unsigned long long)v);
	}
}

static void files_are_read_whole_up_to_the_limit(void **state)
{
	char dir[] = "/tmp/whyrss-base-XXXXXX", big[20000], *text = NULL;
	struct arena a;
	struct err err = {0};
	size_t n = 0;
	int fd, at;

	(void)state;
	arena_init(&a, 0);
	assert_non_null(mkdtemp(dir));
	at = open(dir, O_RDONLY | O_DIRECTORY);
	assert_true(at >= 0);
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)('a' + i % 26);
	fd = openat(at, "f", O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, big, sizeof(big)), sizeof(big));
	close(fd);
	assert_int_equal(symlinkat("some where (deleted)", at, "l"), 0);

	assert_true(file_read(at, "f", sizeof(big), &a, &text, &n, &err));
	assert_int_equal(n, sizeof(big));
	assert_memory_equal(text, big, n);
	assert_int_equal(text[n], 0);
	assert_false(file_read(at, "f", sizeof(big) - 1, &a, &text, &n, &err));
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_false(file_read(AT_FDCWD, "/dev/zero", 1 << 20, &a, &text, NULL, &err));
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_false(file_read(at, "none", 100, &a, &text, &n, &err));
	assert_int_equal(err.os, ENOENT);
	assert_true(file_read(AT_FDCWD, "/proc/self/stat", 1 << 20, &a, &text, &n, &err));
	assert_true(n > 50);
	assert_true(file_link(at, "l", &a, &text, &err));
	assert_string_equal(text, "some where (deleted)");
	assert_false(file_link(at, "f", &a, &text, &err));
	assert_int_equal(err.os, EINVAL);

	unlinkat(at, "f", 0);
	unlinkat(at, "l", 0);
	close(at);
	rmdir(dir);
	arena_free(&a);
}

static void a_report_is_made_plain(void **state)
{
	struct str s = {0};

	(void)state;
	str_make_plain(&s); /* nothing */
	assert_int_equal(s.n, 0);
	str_addn(&s, "a\tb\n\x1b]0;x\x07\xc2\x9b\xe2\x80\xaeü\0\xff\xe2\x80", 21);
	str_make_plain(&s);
	assert_string_equal(s.s, "a\tb\n?]0;x???ü????");
	assert_int_equal(s.n, strlen(s.s));
	str_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_report_is_made_plain),
		cmocka_unit_test(arena_gives_zeroed_aligned_memory),
		cmocka_unit_test(arena_limit_is_kept),
		cmocka_unit_test(arena_alloc_ends_the_program_at_the_limit),
		cmocka_unit_test(arena_reset_frees_what_came_after_the_mark),
		cmocka_unit_test(vec_grows_and_keeps_its_elements),
		cmocka_unit_test(errors_read_from_the_outside_in),
		cmocka_unit_test(json_escapes_hostile_bytes),
		cmocka_unit_test(plain_text_cannot_move_the_cursor),
		cmocka_unit_test(random_bytes_stay_safe),
		cmocka_unit_test(strings_grow),
		cmocka_unit_test(numbers_parse),
		cmocka_unit_test(amounts_read_well),
		cmocka_unit_test(sizes_parse),
		cmocka_unit_test(files_are_read_whole_up_to_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
