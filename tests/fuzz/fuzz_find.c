/*
 * The search for the runtime's variables in a program without symbols: a moduledata that is right,
 * and around it variables and a heap that are the input. The first byte picks the release. Words
 * that begin with a5 become pointers into that memory, since random ones never meet.
 */
#include <stdio.h>

#include "fuzz.h"
#include "goruntime/find.h"

#define IMAGE	   0x10000000U
#define IMAGE_SIZE 0x18000U
#define HEAP	   0x20000000U
#define HEAP_SIZE  0x10000U
#define MODULE	   0x1000U

static uint8_t image[IMAGE_SIZE], heap[HEAP_SIZE];

static size_t read_one(const uint8_t *b, size_t size, taddr base, taddr at, void *dst, size_t n)
{
	if (at < base || at - base >= size)
		return 0;
	n = MIN(n, size - (at - base));
	memcpy(dst, b + (at - base), n);
	return n;
}

static size_t read_both(struct target *t, taddr at, void *dst, size_t n)
{
	size_t got = read_one(image, sizeof(image), IMAGE, at, dst, n);

	(void)t;
	return got ? got : read_one(heap, sizeof(heap), HEAP, at, dst, n);
}

static void put(uint64_t off, uint64_t v)
{
	memcpy(image + off, &v, 8);
}

/* The input over and over, each time from another place in it. */
static void spread(uint8_t *to, size_t size, const uint8_t *data, size_t n)
{
	for (size_t i = 0; i + 8 <= size && n >= 8; i += 8) {
		uint64_t w;

		memcpy(&w, data + (i + i / 4096 * 8) % (n / 8 * 8), 8);
		if (w >> 56 == 0xa5)
			w = w >> 48 & 1 ? IMAGE + w % IMAGE_SIZE : HEAP + w % HEAP_SIZE;
		memcpy(to + i, &w, 8);
	}
}

static void make_module(const struct layout *l)
{
	const struct {
		struct field f;
		uint64_t v, len;
	} v[] = {
		{l->moduledata_pcHeader, IMAGE, 0},
		{l->moduledata_funcnametab, IMAGE + 0x100, 0x100},
		{l->moduledata_cutab, IMAGE + 0x200, 0x40},
		{l->moduledata_filetab, IMAGE + 0x300, 0x100},
		{l->moduledata_pctab, IMAGE + 0x400, 0x100},
		{l->moduledata_pclntable, IMAGE + 0x500, 0x100},
		{l->moduledata_ftab, IMAGE + 0x500, 3},
		{l->moduledata_text, IMAGE + 0x600, 0},
		{l->moduledata_etext, IMAGE + 0x1000, 0},
		{l->moduledata_next, 0, 0},
		{l->moduledata_noptrdata, IMAGE + 0x2000, 0},
		{l->moduledata_enoptrdata, IMAGE + 0x4000, 0},
		{l->moduledata_data, IMAGE + 0x4000, 0},
		{l->moduledata_edata, IMAGE + 0x8000, 0},
		{l->moduledata_bss, IMAGE + 0x8000, 0},
		{l->moduledata_ebss, IMAGE + 0x10000, 0},
		{l->moduledata_noptrbss, IMAGE + 0x10000, 0},
		{l->moduledata_enoptrbss, IMAGE + IMAGE_SIZE, 0},
	};
	const uint64_t head[] = {0x08010000fffffff1U, 2, 1, 0, 0x100, 0x200, 0x300, 0x400, 0x500};

	for (size_t i = 0; i < ARRAY_LEN(head); i++)
		put(8 * i, head[i]);
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		put(MODULE + v[i].f.off, v[i].v);
		if (v[i].len) {
			put(MODULE + v[i].f.off + 8, v[i].len);
			put(MODULE + v[i].f.off + 16, v[i].len);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct target_ops OPS = {.name = "fuzz", .read = read_both};
	struct target t = {.ops = &OPS};
	struct image_range ranges[] = {{IMAGE, IMAGE + IMAGE_SIZE, IMAGE_DATA}};
	struct image_file f = {.path = "x", .version = "go1.21.1", .ranges = ranges, .n_ranges = 1};
	struct go_session g = {.t = &t, .main = &f};
	struct symbols y = {0};
	struct find_report report;
	struct err err = {0};
	char version[16];

	if (n < 16)
		return 0;
	snprintf(version, sizeof(version), "go1.%u.1", 18U + data[0] % 10U);
	if (!go_release_parse(version, &g.release) || !layout_nearest(&g.release, &g.layout))
		abort();
	spread(image, sizeof(image), data + 1, n - 1);
	spread(heap, sizeof(heap), data + 1, n - 1);
	make_module(&g.layout);
	if (find_globals(&g, &y, &report, &err)) {
		uint32_t of, hold = find_verify(&g, &y, &of);
		fuzz_must(hold <= of && of <= N_SYMBOLS);
	} else {
		fuzz_failed(&err);
		fuzz_must(report.moduledata == IMAGE + MODULE);
	}
	for (uint32_t i = 0; i < N_SYMBOLS; i++)
		fuzz_must((report.v[i].how == FOUND_NOT) || report.v[i].how <= FOUND_CODE);
	return 0;
}
