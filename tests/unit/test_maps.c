/* src/target/maps.c: the text of /proc/PID/maps, as kernels write it and as nobody should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "target/maps.h"
#include "target/procfs.h"

struct parsed {
	struct arena a;
	struct mapping *v;
	uint32_t n;
	struct err err;
	bool ok;
};

static struct parsed parse(const char *text, const struct fs_table *fs)
{
	struct parsed p = {0};

	p.ok = maps_parse(text, strlen(text), fs, &p.a, &p.v, &p.n, &p.err);
	return p;
}

/* With five levels of page tables a process has 56 bits, for whoever asks for a high address. */
static void addresses_of_five_levels(void **state)
{
	struct parsed p = parse("c000000000-c004000000 rw-p 00000000 00:00 0 \n"
				"10000000000000-10000000800000 rw-p 00000000 00:00 0 \n"
				"fffffffffff000-100000000000000 r--p 00000000 00:00 0 \n",
				NULL);
	struct os_facts os = {.maps = p.v, .n_maps = p.n};

	(void)state;
	assert_true(p.ok);
	assert_int_equal(p.n, 3);
	assert_int_equal(p.v[1].start, (taddr)1 << 52);
	assert_int_equal(p.v[2].end, (taddr)1 << 56);
	assert_ptr_equal(map_find(&os, ((taddr)1 << 52) + 0x1000), &p.v[1]);
	assert_ptr_equal(map_find(&os, ((taddr)1 << 56) - 1), &p.v[2]);
	assert_null(map_find(&os, (taddr)1 << 56));
	arena_free(&p.a);
}

static void lines_become_mappings(void **state)
{
	struct parsed p = parse(
		"555d2e4a2000-555d2e4a4000 r-xp 00002000 fe:00 247026                     "
		"/usr/bin/my prog\n"
		"555d2e4a4000-555d2e4a5000 rw-p 00000000 00:00 0 \n"
		"555d50f5b000-555d50f7c000 rw-p 00000000 00:00 0                          [heap]\n"
		"c000000000-c004000000 ---p 00000000 00:00 0                              [anon: "
		"Go: heap]\n"
		"7f0000000000-7f0000001000 rw-s 0001f000 103:1a 18446744073709551615      /x\\012y "
		"(deleted)\n",
		NULL);
	const struct mapping *m = p.v;

	(void)state;
	/* Not in address order: what lies below its predecessor is dropped. */
	assert_true(p.ok);
	assert_int_equal(p.n, 4);
	assert_int_equal(m[0].start, 0x555d2e4a2000);
	assert_int_equal(m[0].end, 0x555d2e4a4000);
	assert_int_equal(m[0].offset, 0x2000);
	assert_int_equal(m[0].dev, 0xfe << 20);
	assert_int_equal(m[0].inode, 247026);
	assert_int_equal(m[0].flags, MAP_READ | MAP_EXEC | MAP_FILE);
	assert_string_equal(m[0].path, "/usr/bin/my prog");
	assert_int_equal(m[1].flags, MAP_READ | MAP_WRITE);
	assert_string_equal(m[1].path, "");
	assert_string_equal(m[2].path, "[heap]");
	assert_true(map_is_anonymous(&m[2]));
	assert_int_equal(m[3].dev, 0x103 << 20 | 0x1a);
	assert_int_equal(m[3].inode, UINT64_MAX);
	assert_int_equal(m[3].flags, MAP_READ | MAP_WRITE | MAP_SHARED_ | MAP_FILE | MAP_DELETED);
	assert_string_equal(m[3].path, "/x\\012y");
	arena_free(&p.a);
}

static void check_kind(const char *perms_dev_inode, const char *path, const struct fs_table *fs,
		       uint32_t want)
{
	struct str text = {0};
	struct parsed p;

	str_addf(&text, "1000-2000 %s      %s\n", perms_dev_inode, path);
	p = parse(text.s, fs);
	assert_true(p.ok);
	if ((p.v[0].flags & ~(uint32_t)(MAP_READ | MAP_WRITE | MAP_SHARED_ | MAP_DELETED)) != want)
		fail_msg("%s: %#x, not %#x", path, p.v[0].flags, want);
	arena_free(&p.a);
	str_free(&text);
}

static void kinds_of_memory_are_told_apart(void **state)
{
	static const char private[] = "rw-p 00000000 00:00 0", shared[] = "rw-s 00000000 00:00 0";
	char mountinfo[] = "22 27 0:21 / /proc rw - proc proc rw\n"
			   "29 26 0:27 / /dev/shm rw shared:3 master:4 - tmpfs tmpfs rw,size=1k\n"
			   "30 26 0:33 / /mnt/huge\\040pages rw - hugetlbfs none rw\n"
			   "nonsense\n"
			   "31 26 0:34 /\n";
	struct arena a = {0};
	struct fs_table fs = {.shm_dev = 1};

	(void)state;
	fs_table_parse(mountinfo, &a, &fs);
	assert_int_equal(fs.rows.n, 2);
	check_kind(private, "", NULL, 0);
	check_kind(private, "[heap]", NULL, 0);
	check_kind(private, "[stack]", NULL, 0);
	check_kind(private, "[stack:4711]", NULL, 0);
	check_kind(private, "[anon: Go: immortal metadata]", NULL, 0);
	check_kind(shared, "[anon_shmem:x]", NULL, MAP_SHMEM);
	check_kind(private, "[vdso]", NULL, MAP_SPECIAL);
	check_kind(private, "[vvar]", NULL, MAP_SPECIAL);
	check_kind(private, "[vvar_vclock]", NULL, MAP_SPECIAL);
	check_kind(private, "[a name of the future]", NULL, MAP_SPECIAL);
	check_kind("rw-s 00000000 00:0e 17", "anon_inode:[perf_event]", NULL, MAP_SPECIAL);
	check_kind("rw-s 00000000 00:08 17", "socket:[4711]", NULL, MAP_SPECIAL);
	check_kind("rw-s 00000000 00:01 17", "/dev/zero (deleted)", NULL, MAP_SHMEM);
	check_kind("rw-p 00000000 00:05 17", "/dev/zero", NULL, 0);
	check_kind("rw-s 00000000 00:05 17", "/dev/nvidia0", NULL, MAP_SPECIAL);
	check_kind("rw-s 00000000 00:01 17", "/memfd:x (deleted)", NULL, MAP_SHMEM);
	check_kind("rw-s 00000000 00:01 17", "/SYSV00000000 (deleted)", &fs, MAP_SHMEM);
	check_kind("rw-s 00000000 00:01 17", "/drm mm object (deleted)", &fs, MAP_SHMEM);
	/* A memfd on huge pages has another device than the others; a real file of that name any
	 * other. */
	check_kind("rw-s 00000000 00:10 17", "/memfd:x (deleted)", &fs, MAP_HUGETLB);
	check_kind("rw-s 00000000 fe:00 17", "/memfd:x (deleted)", &fs, MAP_FILE);
	check_kind("rw-s 00000000 fe:00 17", "/memfd:x", &fs, MAP_FILE);
	check_kind("rw-p 00000000 00:10 17", "/anon_hugepage (deleted)", NULL, MAP_HUGETLB);
	check_kind("rw-s 00000000 00:21 17", "/mnt/huge pages/x", &fs, MAP_HUGETLB);
	check_kind("rw-s 00000000 00:1b 17", "/run/x", &fs, MAP_SHMEM);
	check_kind("rw-s 00000000 00:1b 17", "/dev/shm/x", &fs, MAP_SHMEM);
	check_kind("rw-s 00000000 00:99 17", "/dev/shm/x", NULL, MAP_SHMEM);
	check_kind("rw-p 00000000 00:2f 17", "/overlay/x", &fs, MAP_FILE);
	check_kind("rw-p 00000000 fe:00 17", "/x (deleted)", &fs, MAP_FILE);
	check_kind("rw-p 00000000 fe:00 17", "/devil", &fs, MAP_FILE);
	arena_free(&a);
}

static void bytes_of_a_name_stay_as_they_are(void **state)
{
	struct parsed p =
		parse("1000-2000 r--p 00000000 fe:00 1   /\x1b[2J\xff\xfe  \xe2\x80\xae \t x\n"
		      "2000-3000 r--p 00000000 fe:00 1   /\x1b[2J\xff\xfe  \xe2\x80\xae \t x",
		      NULL);

	(void)state;
	assert_true(p.ok);
	assert_int_equal(p.n, 2);
	assert_string_equal(p.v[0].path, "/\x1b[2J\xff\xfe  \xe2\x80\xae \t x");
	assert_ptr_equal(p.v[0].path, p.v[1].path);
	arena_free(&p.a);
}

/* The kernel repeats a piece when mappings are merged while it writes. */
static void overlaps_are_cut(void **state)
{
	struct parsed p = parse("1000-3000 r--p 00000000 fe:00 1   /a\n"
				"2000-5000 r--p 00001000 fe:00 1   /a\n"
				"4000-5000 r--p 00000000 00:00 0\n"
				"1000-9000 r--p 00000000 00:00 0\n",
				NULL);

	(void)state;
	assert_true(p.ok);
	assert_int_equal(p.n, 3);
	assert_int_equal(p.v[1].start, 0x3000);
	assert_int_equal(p.v[1].offset, 0x2000);
	assert_int_equal(p.v[2].start, 0x5000);
	assert_int_equal(p.v[2].end, 0x9000);
	arena_free(&p.a);
}

static void broken_lines_are_an_error(void **state)
{
	static const char *const bad[] = {
		"x\n",
		"\n",
		"1000\n",
		"1000-\n",
		"1000-2000\n",
		"1000-2000 \n",
		"1000-2000 r\n",
		"1000-2000 r--p\n",
		"1000-2000 r--p 0\n",
		"1000-2000 r--p 0 fe\n",
		"1000-2000 r--p 0 fe:0\n",
		"1000-2000 r--p 0 fe:0 \n",
		"1000-2000 r--p 0 fe:0 x\n",
		"1000-2000 r--x 0 fe:0 1 /x\n",
		"1000-2000 rwxrwx 0 fe:0 1 /x\n",
		"1000-2000 r--p 0 fe:0 1/x\n",
		"1000-2000 r--p 10000000000000000 fe:0 1 /x\n",
		"1000-1000 r--p 0 fe:0 1 /x\n",
		"2000-1000 r--p 0 fe:0 1 /x\n",
		"1001-2000 r--p 0 fe:0 1 /x\n",
		"10000000000000000-20000000000000000 r--p 0 fe:0 1 /x\n",
		" 1000-2000 r--p 0 fe:0 1 /x\n",
		"-1000-2000 r--p 0 fe:0 1 /x\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct str text = {0};
		struct parsed p;

		str_addf(&text, "1000-2000 r--p 0 fe:0 1 /x\n%s", bad[i]);
		p = parse(text.s, NULL);
		if (p.ok)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(p.err.kind, ERR_FORMAT);
		assert_non_null(strstr(p.err.msg, "line 2"));
		arena_free(&p.a);
		str_free(&text);
	}
}

static void limits_hold(void **state)
{
	struct str text = {0};
	struct parsed p;
	struct arena small;

	(void)state;
	p = parse("", NULL);
	assert_true(p.ok);
	assert_int_equal(p.n, 0);
	arena_free(&p.a);
	for (uint32_t i = 1; i <= MAPS_MAX; i++)
		str_addf(&text, "%x000-%x000 r--p 0 00:0 0\n", i, i + 1);
	p = parse(text.s, NULL);
	assert_true(p.ok);
	assert_int_equal(p.n, MAPS_MAX);
	arena_init(&small, 1 << 20);
	assert_false(maps_parse(text.s, text.n, NULL, &small, &p.v, &p.n, &p.err));
	assert_int_equal(p.err.kind, ERR_LIMIT);
	arena_free(&small);
	arena_free(&p.a);
	str_add(&text, "f000000000-f000001000 r--p 0 00:0 0\n");
	p = parse(text.s, NULL);
	assert_false(p.ok);
	assert_int_equal(p.err.kind, ERR_LIMIT);
	arena_free(&p.a);
	str_free(&text);
}

/* Damaged copies of a good text: whatever is accepted is ascending and page-aligned. */
static void damaged_text_never_breaks_the_order(void **state)
{
	static const char good[] =
		"1000-3000 r--p 00000000 fe:00 1   /a b\n"
		"3000-5000 rw-p 00001000 fe:00 1   /a (deleted)\n"
		"c000000000-c004000000 rw-p 0000 00:00 0 [anon: Go: heap]\n"
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n";
	unsigned seed = 99, accepted = 0;

	(void)state;
	for (int round = 0; round < 30000; round++) {
		char text[sizeof(good)];
		struct parsed p;

		memcpy(text, good, sizeof(good));
		for (int i = rand_r(&seed) % 3; i >= 0; i--)
			text[(size_t)rand_r(&seed) % (sizeof(text) - 1)] =
				rand_r(&seed) % 3 ? "0f- \n:rp/[]x"[rand_r(&seed) % 12]
						  : (char)rand_r(&seed);
		p = (struct parsed){0};
		p.ok = maps_parse(text, sizeof(text) - 1, NULL, &p.a, &p.v, &p.n, &p.err);
		accepted += p.ok;
		for (uint32_t i = 0; p.ok && i < p.n; i++) {
			assert_true(p.v[i].start < p.v[i].end);
			assert_true(p.v[i].start % OS_PAGE == 0 && p.v[i].end % OS_PAGE == 0);
			assert_true(i == 0 || p.v[i - 1].end <= p.v[i].start);
			assert_non_null(p.v[i].path);
		}
		arena_free(&p.a);
	}
	assert_true(accepted > 1000 && accepted < 29000);
}

static void mappings_are_found(void **state)
{
	struct parsed p = parse(
		"1000-3000 r--p 0 00:00 0\n3000-4000 r--p 0 00:00 0\n8000-9000 r--p 0 00:00 0\n",
		NULL);
	struct os_facts os = {.maps = p.v, .n_maps = p.n};

	(void)state;
	assert_null(map_find(&os, 0xfff));
	assert_ptr_equal(map_find(&os, 0x1000), &p.v[0]);
	assert_ptr_equal(map_find(&os, 0x2fff), &p.v[0]);
	assert_ptr_equal(map_find(&os, 0x3000), &p.v[1]);
	assert_null(map_find(&os, 0x4000));
	assert_ptr_equal(map_find(&os, 0x8fff), &p.v[2]);
	assert_null(map_find(&os, UINT64_MAX));
	os.n_maps = 0;
	assert_null(map_find(&os, 0x1000));
	arena_free(&p.a);
}

static void stat_survives_any_name(void **state)
{
	static const char fields[] = " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
	struct proc_stat st;
	struct str text = {0};

	(void)state;
	str_addf(&text, "17 (a) S (b)) R%s\n", fields);
	assert_true(proc_stat_parse(text.s, &st));
	assert_string_equal(st.comm, "a) S (b)");
	assert_int_equal(st.state, 'R');
	assert_int_equal(st.start_ticks, 4242);
	assert_false(st.kernel_thread);
	assert_true(proc_stat_parse(
		"2 (kthreadd) S 0 0 0 0 -1 2129984 7 8 9 10 11 12 13 14 15 16 17 18 4242 20\n",
		&st));
	assert_true(st.kernel_thread);
	str_free(&text);
	str_addf(&text, "17 (%0100d) Z%s\n", 7, fields);
	assert_true(proc_stat_parse(text.s, &st));
	assert_int_equal(strlen(st.comm), sizeof(st.comm) - 1);
	str_free(&text);
	assert_false(proc_stat_parse("", &st));
	assert_false(proc_stat_parse("17 (x", &st));
	assert_false(proc_stat_parse("17 )x(", &st));
	assert_false(proc_stat_parse("17 (x)", &st));
	assert_false(proc_stat_parse("17 (x) ", &st));
	assert_false(proc_stat_parse("17 (x) S 1 2", &st));
}

static void status_lines_may_be_missing(void **state)
{
	struct proc_status st;

	(void)state;
	proc_status_parse("Name:\tVmRSS: 5 kB\nUid:\t1000\t0\nNStgid:\t4711\t12\t7\nVmSize:\t8 kB\n"
			  "VmRSS:\t  123 kB\nVmSwap: 18446744073709551615 kB\nVmPTE: x kB\n"
			  "Cpus_allowed:\tff,0000000f\n",
			  &st);
	assert_int_equal(st.rss, 123 << 10);
	assert_int_equal(st.swap, 0);
	assert_int_equal(st.page_tables, 0);
	assert_int_equal(st.uid, 1000);
	assert_int_equal(st.ns_depth, 3);
	assert_int_equal(st.ns_pid, 7);
	assert_int_equal(st.n_cpus, 12);
	assert_true(st.has_memory);
	proc_status_parse("", &st);
	assert_false(st.has_memory);
	assert_int_equal(st.rss, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_become_mappings),
		cmocka_unit_test(addresses_of_five_levels),
		cmocka_unit_test(kinds_of_memory_are_told_apart),
		cmocka_unit_test(bytes_of_a_name_stay_as_they_are),
		cmocka_unit_test(overlaps_are_cut),
		cmocka_unit_test(broken_lines_are_an_error),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(damaged_text_never_breaks_the_order),
		cmocka_unit_test(mappings_are_found),
		cmocka_unit_test(stat_survives_any_name),
		cmocka_unit_test(status_lines_may_be_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
