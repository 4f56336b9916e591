/*
 * The recorded layouts against the DWARF of every probe that is here, and against offsets that were
 * measured by other means; Go's version words; which record serves which release.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>

#include "base/str.h"
#include "goprobe.h"
#include "goruntime/layout.h"
#include "image/elf.h"

/* -- rows ---------------------------------------------------------------------------------------
 */

static struct field *field_named(struct layout *l, const char *id)
{
	for (uint32_t i = 0; i < N_FIELD_ROWS; i++)
		if (strcmp(FIELD_ROWS[i].id, id) == 0)
			return &layout_fields(l)[i];
	fail_msg("no field %s", id);
	return NULL;
}

static void test_rows(void **state)
{
	struct layout l = {0};
	struct symbols s = {0};

	(void)state;
	assert_true(N_FIELD_ROWS > 200);
	for (uint32_t i = 0; i < N_FIELD_ROWS; i++)
		for (uint32_t k = 0; k < i; k++)
			assert_string_not_equal(FIELD_ROWS[i].id, FIELD_ROWS[k].id);
	assert_ptr_equal(field_named(&l, "mheap_size"), &l.mheap_size);
	assert_ptr_equal(field_named(&l, "g_goid"), &l.g_goid);
	assert_ptr_equal(field_named(&l, "moduledata_next"), &l.moduledata_next);
	for (uint32_t i = 0; i < N_SYMBOL_ROWS; i++)
		if (strcmp(SYMBOL_ROWS[i].id, "allPools") == 0)
			assert_ptr_equal(&symbols_array(&s)[i], &s.allPools);
	assert_string_equal(SYMBOL_ROWS[0].id, "mheap");
	assert_true(SYMBOL_ROWS[0].required);
}

/* -- releases ------------------------------------------------------------------------------------
 */

static void test_release_parse(void **state)
{
	static const struct {
		const char *text;
		int minor, patch;
		const char *experiments;
	} GOOD[] = {
		{"go1.26.8", 26, 8, ""},
		{"go1.21.0", 21, 0, ""},
		{"go1.20", 20, 0, ""},
		{"go1.27rc1", 27, -1, ""},
		{"go1.27beta2", 27, -1, ""},
		{"go1.25.3 X:greenteagc", 25, 3, "greenteagc"},
		{"go1.26.0-X:nogreenteagc", 26, 0, "nogreenteagc"},
		{"go1.27rc1-X:nogreenteagc,runtimesecret", 27, -1, "nogreenteagc,runtimesecret"},
		{"go1.20 X:arenas", 20, 0, "arenas"},
		{"go1.19.8 X:a,b extra", 19, 8, "a,b"},
		{"go1.22.2-foo", 22, 2, ""},
		{"go1.22.2-foo X:swissmap", 22, 2, "swissmap"},
		{"go1.22.2-1-X:swissmap", 22, 2, "swissmap"},
		{"go1.21.5+auto", 21, 5, ""},
		{"go1.24.4 (Red Hat 1.24.4-1.el10)", 24, 4, ""},
		{"go1.25-devel_97ed6f6 Mon Jan 1", 25, -1, ""},
		{"devel go1.28-abcdef Tue Feb 3 10:00:00 2026 +0000", 28, -1, ""},
		{"devel go1.28-abcdef Tue Feb 3 X:nogreenteagc", 28, -1, "nogreenteagc"},
	};
	static const char *const BAD[] = {
		"",	   "go",       "go1",	  "go1.",    "gox.y",	  "go1.x",
		"1.26.8",  "GO1.26.8", "go-1.26", "go1.26.", "go1.26.8x", "go1.26.x",
		"go0.9.1", "devel +1", "devel",	  "golang",  "go1.26abc", "go1.9999999.1"};
	struct go_release r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(GOOD); i++) {
		if (!go_release_parse(GOOD[i].text, &r))
			fail_msg("%s", GOOD[i].text);
		if (r.major != 1 || r.minor != GOOD[i].minor || r.patch != GOOD[i].patch)
			fail_msg("%s: %d.%d.%d", GOOD[i].text, r.major, r.minor, r.patch);
		assert_string_equal(r.experiments, GOOD[i].experiments);
		assert_string_equal(r.text, GOOD[i].text);
	}
	for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
		if (go_release_parse(BAD[i], &r))
			fail_msg("\"%s\" was taken for %d.%d.%d", BAD[i], r.major, r.minor,
				 r.patch);
}

/* Texts come from the target's memory: long ones are cut, control bytes don't get through. */
static void test_release_hostile(void **state)
{
	char text[400];
	struct go_release r;

	(void)state;
	assert_true(go_release_parse("go1.26.8 \x1b[31m\xff", &r));
	assert_string_equal(r.text, "go1.26.8 ?[31m?");
	memset(text, 'a', sizeof(text));
	memcpy(text, "go1.26.8 X:", 11);
	text[sizeof(text) - 1] = '\0';
	assert_true(go_release_parse(text, &r));
	assert_int_equal(strlen(r.text), sizeof(r.text) - 1);
	assert_int_equal(strlen(r.experiments), sizeof(r.experiments) - 1);
}

static struct go_release release(const char *text)
{
	struct go_release r;

	if (!go_release_parse(text, &r))
		fail_msg("%s", text);
	return r;
}

/* -- records -------------------------------------------------------------------------------------
 */

/* Offsets and widths from /work/shared/layouts.json, which another program read; -1: no such field.
 */
/* clang-format off */
static const char *const RELEASES[] = {"go1.18.10", "go1.19.13", "go1.20.14", "go1.21.13", "go1.22.12",
				       "go1.23.12", "go1.24.13", "go1.25.10", "go1.26.8", "go1.27.4"};
static const struct {
	const char *id;
	struct {
		int64_t off, width;
	} at[10];
} MEASURED[] = {
	{"mheap_size",
	 {{0, 92672}, {0, 92672}, {0, 92672}, {0, 92792}, {0, 92856},
	  {0, 92928}, {0, 93008}, {0, 93320}, {0, 93464}, {0, 93464}}},
	{"mheap_allspans",
	 {{65848, 24}, {65856, 24}, {65824, 24}, {65864, 24}, {65864, 24},
	  {65864, 24}, {65864, 24}, {65864, 24}, {65864, 24}, {65864, 24}}},
	{"mheap_sweepgen",
	 {{65840, 4}, {65848, 4}, {65816, 4}, {65856, 4}, {65856, 4},
	  {65856, 4}, {65856, 4}, {65856, 4}, {65856, 4}, {65856, 4}}},
	{"mheap_pages_inUse",
	 {{65688, 24}, {65696, 24}, {65688, 24}, {65688, 24}, {65688, 24},
	  {65688, 24}, {65688, 24}, {65688, 24}, {65688, 24}, {65688, 24}}},
	{"mheap_heapArenas",
	 {{66016, 24}, {66016, 24}, {65984, 24}, {66032, 24}, {66096, 24},
	  {66096, 24}, {66096, 24}, {66096, 24}, {66096, 24}, {66096, 24}}},
	{"mheap_spanalloc_inuse",
	 {{92272, 8}, {92272, 8}, {92232, 8}, {92280, 8}, {92344, 8},
	  {92344, 8}, {92344, 8}, {92368, 8}, {92368, 8}, {92368, 8}}},
	{"mheap_scav_releasedBg",
	 {{65792, 8}, {65792, 8}, {65776, 8}, {65808, 8}, {65808, 8},
	  {65808, 8}, {65808, 8}, {65808, 8}, {65808, 8}, {65808, 8}}},
	{"mspan_size",
	 {{0, 144}, {0, 144}, {0, 160}, {0, 168}, {0, 160},
	  {0, 160}, {0, 160}, {0, 160}, {0, 160}, {0, 160}}},
	{"mspan_nelems",
	 {{56, 8}, {56, 8}, {56, 8}, {56, 8}, {50, 2},
	  {50, 2}, {50, 2}, {50, 2}, {50, 2}, {50, 2}}},
	{"mspan_state",
	 {{99, 1}, {99, 1}, {99, 1}, {107, 1}, {99, 1},
	  {99, 1}, {99, 1}, {99, 1}, {99, 1}, {99, 1}}},
	{"mspan_elemsize",
	 {{104, 8}, {104, 8}, {104, 8}, {112, 8}, {104, 8},
	  {104, 8}, {104, 8}, {104, 8}, {104, 8}, {104, 8}}},
	{"mspan_largeType",
	 {{-1, 0}, {-1, 0}, {-1, 0}, {-1, 0}, {152, 8},
	  {152, 8}, {152, 8}, {152, 8}, {152, 8}, {152, 8}}},
	{"mcache_alloc",
	 {{40, 1088}, {40, 1088}, {40, 1088}, {40, 1088}, {40, 1088},
	  {40, 1088}, {48, 1088}, {48, 1088}, {48, 1088}, {48, 1088}}},
	{"p_size",
	 {{0, 8888}, {0, 8912}, {0, 8904}, {0, 8912}, {0, 8944},
	  {0, 8944}, {0, 8952}, {0, 9512}, {0, 15920}, {0, 15920}}},
	{"p_mcache",
	 {{64, 8}, {64, 8}, {64, 8}, {64, 8}, {64, 8},
	  {56, 8}, {56, 8}, {56, 8}, {56, 8}, {56, 8}}},
	{"p_pcache_base",
	 {{72, 8}, {72, 8}, {72, 8}, {72, 8}, {72, 8},
	  {64, 8}, {64, 8}, {64, 8}, {64, 8}, {64, 8}}},
	{"p_statsSeq",
	 {{8820, 4}, {8828, 4}, {8820, 4}, {8828, 4}, {8860, 4},
	  {8836, 4}, {8836, 4}, {9388, 4}, {13668, 4}, {13668, 4}}},
	{"m_size",
	 {{0, 1008}, {0, 1008}, {0, 1000}, {0, 1008}, {0, 2024},
	  {0, 1784}, {0, 1832}, {0, 1816}, {0, 1824}, {0, 1832}}},
	{"m_alllink",
	 {{336, 8}, {336, 8}, {336, 8}, {336, 8}, {328, 8},
	  {352, 8}, {352, 8}, {344, 8}, {352, 8}, {352, 8}}},
	{"g_goid",
	 {{152, 8}, {152, 8}, {152, 8}, {152, 8}, {152, 8},
	  {160, 8}, {160, 8}, {152, 8}, {152, 8}, {152, 8}}},
	{"g_parentGoid",
	 {{-1, 0}, {-1, 0}, {-1, 0}, {272, 8}, {272, 8},
	  {280, 8}, {280, 8}, {272, 8}, {280, 8}, {280, 8}}},
	{"g_labels",
	 {{360, 8}, {360, 8}, {360, 8}, {344, 8}, {344, 8},
	  {352, 8}, {352, 8}, {344, 8}, {352, 8}, {352, 8}}},
	{"gcController_heapMarked",
	 {{168, 8}, {184, 8}, {128, 8}, {152, 8}, {152, 8},
	  {152, 8}, {152, 8}, {152, 8}, {152, 8}, {152, 8}}},
	{"gcController_heapFree",
	 {{-1, 0}, {320, 8}, {264, 8}, {288, 8}, {288, 8},
	  {288, 8}, {288, 8}, {288, 8}, {288, 8}, {288, 8}}},
	{"mstats_stacks_sys",
	 {{88, 8}, {3544, 8}, {3544, 8}, {3544, 8}, {3544, 8},
	  {3544, 8}, {3544, 8}, {3520, 8}, {3520, 8}, {3520, 8}}},
	{"heapStatsDelta_largeAlloc",
	 {{56, 8}, {56, 8}, {56, 8}, {56, 8}, {56, 8},
	  {56, 8}, {56, 8}, {48, 8}, {48, 8}, {48, 8}}},
	{"special_kind",
	 {{10, 1}, {10, 1}, {10, 1}, {10, 1}, {10, 1},
	  {10, 1}, {16, 1}, {16, 1}, {16, 1}, {16, 1}}},
	{"memRecord_size",
	 {{0, 128}, {0, 128}, {0, 128}, {0, 128}, {0, 128},
	  {0, 128}, {0, 128}, {0, 128}, {0, 128}, {0, 64}}},
	{"memRecordCycle_alloc_bytes",
	 {{16, 8}, {16, 8}, {16, 8}, {16, 8}, {16, 8},
	  {16, 8}, {16, 8}, {16, 8}, {16, 8}, {-1, 0}}},
	{"moduledata_gofunc",
	 {{304, 8}, {304, 8}, {320, 8}, {320, 8}, {320, 8},
	  {320, 8}, {320, 8}, {320, 8}, {320, 8}, {344, 8}}},
	{"moduledata_next",
	 {{544, 8}, {544, 8}, {560, 8}, {584, 8}, {584, 8},
	  {576, 8}, {576, 8}, {576, 8}, {584, 8}, {560, 8}}},
	{"sched_gFree_n",
	 {{176, 4}, {176, 4}, {184, 4}, {184, 4}, {184, 4},
	  {184, 4}, {184, 4}, {-1, 0}, {-1, 0}, {-1, 0}}},
	{"sched_gFree_stack_size",
	 {{-1, 0}, {-1, 0}, {-1, 0}, {-1, 0}, {-1, 0},
	  {-1, 0}, {-1, 0}, {184, 4}, {200, 4}, {200, 4}}},
	{"cpuStats_TotalTime",
	 {{-1, 0}, {-1, 0}, {504, 8}, {568, 8}, {560, 8},
	  {584, 8}, {584, 8}, {672, 8}, {808, 8}, {808, 8}}},
	{"stackpoolItem_size",
	 {{64, 64}, {64, 64}, {64, 64}, {64, 64}, {64, 64},
	  {64, 64}, {64, 64}, {64, 64}, {64, 64}, {64, 64}}},
	{"heapArena_spans",
	 {{2097152, 65536}, {2097152, 65536}, {1064960, 65536}, {1064960, 65536}, {0, 65536},
	  {0, 65536}, {0, 65536}, {0, 65536}, {0, 65536}, {0, 65536}}},
};
/* clang-format on */

static void test_measured(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(RELEASES); k++) {
		struct go_release r = release(RELEASES[k]);
		struct layout l;

		if (!layout_recorded(&r, &l))
			fail_msg("%s is not recorded", RELEASES[k]);
		assert_int_equal(l.source, LAYOUT_RECORDED);
		for (size_t i = 0; i < ARRAY_LEN(MEASURED); i++) {
			struct field want = {0}, *got = field_named(&l, MEASURED[i].id);

			if (MEASURED[i].at[k].off >= 0)
				want = (struct field){(uint32_t)MEASURED[i].at[k].off,
						      (uint32_t)MEASURED[i].at[k].width};
			if (got->off != want.off || got->width != want.width)
				fail_msg("%s %s: measured %u, %u, recorded %u, %u", RELEASES[k],
					 MEASURED[i].id, want.off, want.width, got->off,
					 got->width);
		}
	}
}

/* What changed within a minor release (runtime-layouts.md, section 1). */
static void test_patches(void **state)
{
	static const struct {
		const char *release;
		uint32_t m_alllink;
	} ROWS[] = {{"go1.23.0", 328}, {"go1.23.11", 328}, {"go1.23.12", 352},
		    {"go1.24.0", 328}, {"go1.24.5", 328},  {"go1.24.6", 352}};
	struct layout before, after;
	struct go_release r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
		r = release(ROWS[i].release);
		assert_true(layout_recorded(&r, &after));
		assert_int_equal(after.m_alllink.off, ROWS[i].m_alllink);
	}
	r = release("go1.23.3");
	assert_true(layout_recorded(&r, &before));
	r = release("go1.23.4");
	assert_true(layout_recorded(&r, &after));
	assert_int_equal(after.work_cycles.off, before.work_cycles.off + 32);
}

static void test_experiments(void **state)
{
	struct layout plain, moved, other;
	struct go_release r = release("go1.26.8");

	(void)state;
	assert_true(layout_recorded(&r, &plain));
	assert_null(strstr(plain.recorded_as, "X:"));
	r = release("go1.26.8-X:nogreenteagc");
	assert_true(layout_recorded(&r, &moved));
	assert_non_null(strstr(moved.recorded_as, " X:nogreenteagc"));
	assert_true(moved.p_size.width < plain.p_size.width);
	assert_int_equal(moved.mspan_size.width, plain.mspan_size.width);
	/* Among others that move nothing, or with only those. */
	r = release("go1.26.8-X:nojsonv2,nogreenteagc,runtimesecret");
	assert_true(layout_recorded(&r, &other));
	assert_memory_equal(layout_fields(&other), layout_fields(&moved),
			    N_FIELD_ROWS * sizeof(struct field));
	r = release("go1.26.8-X:runtimesecret,nogreenteagcx");
	assert_true(layout_recorded(&r, &other));
	assert_memory_equal(layout_fields(&other), layout_fields(&plain),
			    N_FIELD_ROWS * sizeof(struct field));
	/* One that enlarges every lock, and two movers at once: nobody knows. */
	r = release("go1.26.8-X:staticlockranking");
	assert_false(layout_recorded(&r, &other));
	assert_false(layout_nearest(&r, &other));
	r = release("go1.22.12 X:noallocheaders,noexectracer2");
	assert_false(layout_recorded(&r, &other));
	/* Recorded for the last patch alone: near for the others, not recorded. */
	r = release("go1.24.13 X:nospinbitmutex");
	assert_true(layout_recorded(&r, &moved));
	r = release("go1.24.7 X:nospinbitmutex");
	assert_false(layout_recorded(&r, &other));
	assert_true(layout_nearest(&r, &other));
	assert_int_equal(other.m_size.width, moved.m_size.width);
	/* It is the default since 1.26, and moves something in 1.25. */
	r = release("go1.25.10");
	assert_true(layout_recorded(&r, &plain));
	r = release("go1.25.10 X:greenteagc");
	assert_true(layout_recorded(&r, &moved));
	assert_true(moved.p_size.width > plain.p_size.width);
}

static void test_nearest(void **state)
{
	static const struct {
		const char *asked, *taken;
	} ROWS[] = {{"go1.28.0", "go1.27.4"},
		    {"go1.99.1", "go1.27.4"},
		    {"devel go1.28-abc", "go1.27.4"},
		    {"go1.26.99", "go1.26.8"},
		    {"go1.27rc1", "go1.27.0"},
		    {"go1.17.3", "go1.18.0"},
		    {"go1.28.0-X:nogreenteagc", "go1.27.4-X:nogreenteagc"}};
	struct layout got, want;
	struct go_release r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
		r = release(ROWS[i].asked);
		assert_false(layout_recorded(&r, &got));
		assert_true(layout_nearest(&r, &got));
		assert_int_equal(got.source, LAYOUT_NEAREST);
		r = release(ROWS[i].taken);
		assert_true(layout_recorded(&r, &want));
		if (strcmp(got.recorded_as, want.recorded_as) != 0)
			fail_msg("%s takes %s, not %s", ROWS[i].asked, got.recorded_as,
				 want.recorded_as);
		assert_memory_equal(layout_fields(&got), layout_fields(&want),
				    N_FIELD_ROWS * sizeof(struct field));
	}
	r = release("go2.0.0");
	assert_false(layout_recorded(&r, &got));
	assert_false(layout_nearest(&r, &got));
}

/* -- probes --------------------------------------------------------------------------------------
 */

static void same(const char *name, const struct layout *dwarf, const struct layout *recorded)
{
	struct layout a = *dwarf, b = *recorded;

	for (uint32_t i = 0; i < N_FIELD_ROWS; i++) {
		struct field x = layout_fields(&a)[i], y = layout_fields(&b)[i];

		if (x.off != y.off || x.width != y.width)
			fail_msg("%s %s: DWARF says %u, %u, recorded %u, %u (tools/record-layouts)",
				 name, FIELD_ROWS[i].id, x.off, x.width, y.off, y.width);
		if (FIELD_ROWS[i].required && x.width == 0)
			fail_msg("%s %s is required and has no width", name, FIELD_ROWS[i].id);
	}
}

static void compare_file(const char *path, const char *name, struct arena *a)
{
	CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct layout dwarf, recorded;
	struct err err = {0};
	struct elf_image elf;
	struct go_buildinfo info;
	struct go_release r;

	assert_true(fd >= 0);
	if (!layout_dwarf(fd, &dwarf, &err))
		fail_msg("%s: %s", name, err.msg);
	assert_int_equal(dwarf.source, LAYOUT_DWARF);
	assert_string_equal(dwarf.recorded_as, "");
	/* By the words that the program itself says, not by the file's name. */
	assert_true(elf_open(fd, a, &elf, &err));
	assert_true(go_buildinfo_read(&elf, a, &info, &err));
	assert_true(info.found);
	r = release(info.version);
	elf_close(&elf);
	if (!layout_recorded(&r, &recorded))
		fail_msg("%s: %s is not recorded", name, r.text);
	same(name, &dwarf, &recorded);
}

static void test_probes(void **state)
{
	struct arena a;
	char **names, path[600];
	uint32_t n;

	(void)state;
	arena_init(&a, 0);
	n = probe_list(&a, &names);
	for (uint32_t i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", probe_dir(), names[i]);
		compare_file(path, names[i], &a);
	}
	print_message("%u probes\n", n);
	arena_free(&a);
	if (n == 0)
		skip();
}

/* At least the local toolchain's own program, whether there are probes or not. */
static void test_local(void **state)
{
	FILE *f = popen("go env GOVERSION 2>/dev/null", "r");
	char version[64] = "", path[512];
	struct arena a;

	(void)state;
	if (f) {
		if (!fgets(version, sizeof(version), f))
			version[0] = '\0';
		pclose(f);
	}
	version[strcspn(version, "\n -")] = '\0';
	if (!str_starts(version, "go") || !go_program("frames", version + 2, path))
		skip();
	arena_init(&a, 0);
	compare_file(path, version, &a);
	arena_free(&a);
}

/* -- files without -------------------------------------------------------------------------------
 */

static void test_no_dwarf(void **state)
{
	CLEANUP(cleanup_fd) int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CLEANUP(cleanup_fd) int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct layout l = {.source = LAYOUT_NEAREST};
	struct err err = {0};

	(void)state;
	assert_false(layout_dwarf(null, &l, &err));
	assert_int_equal(err.kind, ERR_FORMAT);
	/* This program may have DWARF, but it is of no Go runtime. */
	err = (struct err){0};
	assert_false(layout_dwarf(self, &l, &err));
	assert_true(err.kind == ERR_FORMAT || err.kind == ERR_RELEASE);
	if (err.kind == ERR_RELEASE)
		assert_non_null(strstr(err.msg, "runtime.mheap"));
	assert_int_equal(l.source, LAYOUT_NEAREST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_release_parse),
		cmocka_unit_test(test_release_hostile),
		cmocka_unit_test(test_measured),
		cmocka_unit_test(test_patches),
		cmocka_unit_test(test_experiments),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_probes),
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_no_dwarf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
