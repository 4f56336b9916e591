/* Who gets which page: small hand-made processes, with what the machines of the tests do not have
 * (swap, named mappings). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/unit.h"
#include "ledger/ledger.h"

#define HEAP ((taddr)0xc000000000)

struct world {
	struct arena mem;
	struct os_facts os;
	struct snapshot s;
	struct counters counters;
	struct mapping maps[16];
	struct span_chunk chunk, *chunks[1];
	struct span spans[8];
	uint8_t bits[8 * 64];
	struct addr_range in_use;
	struct ledger l;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	arena_init(&w->mem, 0);
	arena_init(&w->s.mem, 0);
	pages_init(&w->os.pages, &w->mem);
	w->os.maps = w->maps;
	w->os.residency = RESIDENCY_SCAN;
	w->os.comm[0] = 't';
	w->os.exe = "/t";
	w->os.thp_enabled = "";
	w->os.pss = w->os.lazy_free = UINT64_MAX;
	w->os.max_ptes_none = -1;
	w->counters.memoryLimit = INT64_MAX;
	w->counters.gcPercent = 100;
	w->s.os = &w->os;
	w->s.have_go = true;
	w->s.go_version = "go1.26.8";
	w->s.go_major = 1;
	w->s.go_minor = 26;
	w->s.counters = &w->counters;
	w->s.pool_bytes = UINT64_MAX;
	w->s.madvdontneed = w->s.harddecommit = w->s.disablethp = -1;
	w->chunk.key = HEAP >> 22;
	w->chunks[0] = &w->chunk;
	w->s.heap = (struct heap){.spans = w->spans,
				  .bits = w->bits,
				  .chunks = w->chunks,
				  .n_chunks = 1,
				  .in_use = &w->in_use,
				  .n_in_use = 1};
	w->in_use = (struct addr_range){HEAP, HEAP + (4 << 20)};
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	arena_free(&w->s.mem);
	arena_free(&w->mem);
	free(w);
	return 0;
}

static void add_map(struct world *w, taddr start, bytes len, uint32_t flags, const char *path,
		    uint32_t resident_pages)
{
	w->maps[w->os.n_maps++] = (struct mapping){.start = start,
						   .end = start + len,
						   .flags = flags,
						   .path = path,
						   .inode = flags & (MAP_FILE | MAP_SHMEM) ? 7 : 0};
	if (resident_pages > 0)
		assert_true(pages_set(&w->os.pages, start, start + (bytes)resident_pages * OS_PAGE,
				      PAGE_RESIDENT, NULL));
}

static void build(struct world *w)
{
	pages_close(&w->os.pages);
	w->os.rss_kernel = w->os.pages.resident;
	ledger_build(&w->s, &w->mem, NULL, NULL, &w->l);
	bytes sum = 0;
	for (uint32_t i = 0; i < N_LINES; i++)
		sum += w->l.line[i].resident;
	assert_int_equal(sum, w->l.rss);
	assert_int_equal(w->l.bridge[BRIDGE_RSS].sum, (int64_t)w->l.rss);
	assert_int_equal(w->l.overclaimed, 0);
}

static void expect(const struct world *w, enum line_id line, uint32_t pages)
{
	if (w->l.line[line].resident != (bytes)pages * OS_PAGE)
		print_error("line %s\n", LINES[line].id);
	assert_int_equal(w->l.line[line].resident, (bytes)pages * OS_PAGE);
}

static void test_mappings_by_kind(void **state)
{
	struct world *w = *state;
	const uint32_t rw = MAP_READ | MAP_WRITE;
	struct image_range images[] = {
		{0x400000, 0x402000, IMAGE_TEXT},
		{0x402000, 0x404000, IMAGE_RODATA},
		{0x404000, 0x408000, IMAGE_DATA},
		{0x7f0000000000, 0x7f0000004000, IMAGE_LIB},
	};
	w->s.images = images;
	w->s.n_images = ARRAY_LEN(images);
	add_map(w, 0x400000, 0x2000, MAP_READ | MAP_EXEC | MAP_FILE, "/t", 2);
	add_map(w, 0x402000, 0x2000, MAP_READ | MAP_FILE, "/t", 1);
	add_map(w, 0x404000, 0x1000, rw | MAP_FILE, "/t", 1);
	add_map(w, 0x405000, 0x3000, rw, "", 2); /* bss */
	add_map(w, 0x1000000, 0x10000, rw, "[heap]", 3);
	add_map(w, HEAP, 4 << 20, rw, "[anon: Go: heap]", 5);
	add_map(w, 0x7e0000000000, 0x10000, rw, "[anon: Go: gc bits]", 2);
	add_map(w, 0x7e1000000000, 0x10000, rw, "", 4);
	add_map(w, 0x7e2000000000, 0x10000, rw, "[anon: mine]", 1);
	add_map(w, 0x7f0000000000, 0x4000, MAP_READ | MAP_EXEC | MAP_FILE, "/lib/x.so", 3);
	add_map(w, 0x7f1000000000, 0x10000, MAP_READ | MAP_FILE | MAP_SHARED_, "/data/db", 6);
	add_map(w, 0x7f2000000000, 0x10000, rw | MAP_SHMEM | MAP_SHARED_, "/memfd:x (deleted)", 7);
	add_map(w, 0x7ffc00000000, 0x20000, rw, "[stack]", 8);
	add_map(w, 0x7ffd00000000, 0x2000, MAP_READ | MAP_EXEC | MAP_SPECIAL, "[vdso]", 1);
	build(w);
	expect(w, LINE_BINARY_TEXT, 2);
	expect(w, LINE_BINARY_RODATA, 1);
	expect(w, LINE_BINARY_DATA, 3);
	expect(w, LINE_LIBS, 3);
	expect(w, LINE_NATIVE_USED, 3);
	expect(w, LINE_ANON, 5);
	expect(w, LINE_FILES, 6);
	expect(w, LINE_SHM, 7);
	expect(w, LINE_STACK_OS, 8);
	expect(w, LINE_KERNEL, 1);
	/* the kernel says that these are Go's, and no structure of the runtime has them: nobody's,
	 * and said so */
	expect(w, LINE_UNEXPLAINED, 7);
}

/* A span of 16 slots of 512 bytes: live, new and free by turns; the second page is swapped, the
 * third absent. */
static void test_slots_of_a_span_that_is_partly_there(void **state)
{
	struct world *w = *state;
	add_map(w, HEAP, 4 << 20, MAP_READ | MAP_WRITE, "", 0);
	assert_true(pages_set(&w->os.pages, HEAP, HEAP + OS_PAGE, PAGE_RESIDENT, NULL));
	assert_true(
		pages_set(&w->os.pages, HEAP + OS_PAGE, HEAP + 2 * OS_PAGE, PAGE_SWAPPED, NULL));
	w->s.heap.n_spans = 2;
	w->spans[0] = (struct span){.start = HEAP,
				    .npages = 1,
				    .state = SPAN_HEAP,
				    .spanclass = 26 << 1,
				    .elemsize = 512,
				    .nelems = 15,
				    .live = 5,
				    .fresh = 5,
				    .bits = 0,
				    .has_bits = true};
	w->spans[1] = (struct span){.start = HEAP + 8192,
				    .npages = 1,
				    .state = SPAN_HEAP,
				    .spanclass = 0,
				    .nelems = 1,
				    .live = 1};
	w->chunk.span[0] = 1;
	w->chunk.span[1] = 2;
	for (int i = 0; i < 15; i++) {
		if (i % 3 != 2)
			w->bits[i / 8] |= (uint8_t)(1 << i % 8);
		if (i % 3 == 0)
			w->bits[2 + i / 8] |= (uint8_t)(1 << i % 8);
	}
	build(w);
	/* slots 0–7 lie on the resident page, 8–14 and the tail on the swapped one, the large
	 * object nowhere */
	assert_int_equal(w->l.line[LINE_HEAP_LIVE].resident, 3 * 512);
	assert_int_equal(w->l.line[LINE_HEAP_NEW].resident, 3 * 512);
	assert_int_equal(w->l.line[LINE_HEAP_SLOTS].resident, 2 * 512);
	assert_int_equal(w->l.line[LINE_HEAP_TAIL].swapped, 512);
	assert_int_equal(w->l.line[LINE_HEAP_LIVE].swapped, 2 * 512);
	assert_int_equal(w->l.line[LINE_HEAP_LIVE].bytes, 5 * 512 + 8192);
	assert_int_equal(w->l.bridge[BRIDGE_SWAPPED].delta, -(int64_t)OS_PAGE);
	assert_int_equal(w->l.bridge[BRIDGE_UNTOUCHED].delta, -8192);
}

static void test_stacks(void **state)
{
	struct world *w = *state;
	add_map(w, HEAP, 4 << 20, MAP_READ | MAP_WRITE, "", 8);
	w->s.heap.n_spans = 1;
	w->spans[0] =
		(struct span){.start = HEAP, .npages = 4, .state = SPAN_STACK, .elemsize = 8192};
	for (int i = 0; i < 4; i++)
		w->chunk.span[i] = 1;
	struct stack stacks[] = {
		{.lo = HEAP,
		 .hi = HEAP + 8192,
		 .sp = HEAP + 6144,
		 .g = 0,
		 .use = STACK_GOROUTINE,
		 .in_heap = true},
		{.lo = HEAP + 8192,
		 .hi = HEAP + 16384,
		 .sp = HEAP + 8192,
		 .g = UINT32_MAX,
		 .use = STACK_OS,
		 .in_heap = true},
	};
	w->s.stacks = stacks;
	w->s.n_stacks = 2;
	build(w);
	assert_int_equal(w->l.line[LINE_STACK_USED].resident, 2048);
	assert_int_equal(w->l.line[LINE_STACK_SPARE].resident, 6144);
	assert_int_equal(w->l.line[LINE_STACK_OS].resident, 8192);
	assert_int_equal(w->l.line[LINE_STACK_FREE].resident, 16384);
	assert_int_equal(w->l.line[LINE_STACK_FREE].bytes, 16384);
}

static void test_native_pages_and_nested_regions(void **state)
{
	struct world *w = *state;
	const taddr at = 0x7e0000000000;
	uint16_t used[] = {100, 4096, 0}, mine[] = {1000, 4096, 4096};
	struct native_range range = {
		.start = at, .end = at + 3 * OS_PAGE, .used = used, .mine = mine};
	struct region regions[] = {
		{at + 0x10000, at + 0x10000 + 160, REGION_MSPAN, RD_MSPANS},
		{at + 0x10000, at + 0x10000 + (256 << 10), REGION_OTHER, RD_PERSISTENT},
	};
	w->s.native =
		(struct native){.kind = NATIVE_GLIBC, .libc = "", .ranges = &range, .n_ranges = 1};
	w->s.regions = regions;
	w->s.n_regions = 2;
	add_map(w, at, 3 * OS_PAGE, MAP_READ | MAP_WRITE, "", 3);
	add_map(w, at + 0x10000, 256 << 10, MAP_READ | MAP_WRITE, "", 2);
	build(w);
	assert_int_equal(w->l.line[LINE_NATIVE_USED].resident, 100 + 4096);
	assert_int_equal(w->l.line[LINE_NATIVE_FREE].resident, 900 + 4096);
	assert_int_equal(w->l.line[LINE_ANON].resident, 4096 - 1000);
	assert_int_equal(w->l.line[LINE_RUNTIME_MSPAN].resident, 160);
	assert_int_equal(w->l.line[LINE_RUNTIME_OTHER].resident, 2 * OS_PAGE - 160);
	assert_int_equal(w->l.line[LINE_RUNTIME_OTHER].bytes, (256 << 10) - 160);
}

static void test_pages_without_a_mapping_are_unexplained(void **state)
{
	struct world *w = *state;
	assert_true(pages_set(&w->os.pages, 0x7e0000000000, 0x7e0000003000, PAGE_RESIDENT, NULL));
	build(w);
	expect(w, LINE_UNEXPLAINED, 3);
}

static void test_container_adds_up(void **state)
{
	struct world *w = *state;
	struct cgroup_facts c = {.path = "/x",
				 .version = 2,
				 .current = 900 * MIB,
				 .working_set = 700 * MIB,
				 .limit = GIB,
				 .limit_current = 900 * MIB,
				 .high = UINT64_MAX,
				 .swap_limit = UINT64_MAX,
				 .anon = 300 * MIB,
				 .file = 400 * MIB,
				 .mapped_file = 50 * MIB,
				 .kernel = 80 * MIB,
				 .inactive_file = 200 * MIB,
				 .processes = 2,
				 .others_rss = 100 * MIB};
	w->os.cgroup = &c;
	add_map(w, 0x7e0000000000, 4 << 20, MAP_READ | MAP_WRITE, "", 1024);
	build(w);
	assert_true(w->l.has_container);
	assert_int_equal(w->l.container[CONTAINER_RSS].delta, 4 << 20);
	assert_int_equal(w->l.container[CONTAINER_CACHE].delta, 350 * MIB);
	assert_int_equal(w->l.container[CONTAINER_CURRENT].sum, 900 * MIB);
	assert_int_equal(w->l.container[CONTAINER_WORKING_SET].sum, 700 * MIB);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_mappings_by_kind),
		T(test_slots_of_a_span_that_is_partly_there),
		T(test_stacks),
		T(test_native_pages_and_nested_regions),
		T(test_pages_without_a_mapping_are_unexplained),
		T(test_container_adds_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
