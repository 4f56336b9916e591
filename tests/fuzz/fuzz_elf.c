/* An executable: headers, symbols, notes, build information, its DWARF by libdw, names for
 * addresses; and its bytes as machine code and as a pclntab's header. */
#include <stdio.h>

#include "fuzz.h"
#include "image/code.h"
#include "image/dwarf.h"
#include "image/elf.h"
#include "image/pclnfind.h"
#include "image/symbolize.h"

static const char *const NAMES[] = {"runtime.mheap_", "runtime.firstmoduledata|local.moduledata",
				    "main", "_start"};

static void names(int fd)
{
	struct symbolizer *s;
	struct symbol_frame f[SYMBOL_FRAMES];
	struct err err = {0};
	uint64_t base;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (int only = 0; only < 2; only++) {
		if (!symbolizer_open(path, only, &s, &err)) {
			fuzz_failed(&err);
			continue;
		}
		symbolizer_base(s, 0x400000, 0x500000, 0, 0x401000, &base);
		for (uint64_t at = 0x400ff0; at < 0x401100; at += 7) {
			uint32_t n = symbolizer_frames(s, at, f);
			fuzz_must(n <= SYMBOL_FRAMES);
			for (uint32_t i = 0; i < n; i++)
				fuzz_must(strlen(f[i].function) + strlen(f[i].file) < 1 << 20);
		}
		symbolizer_close(s);
	}
}

static void code(const uint8_t *data, size_t n)
{
	static struct code_ref refs[64];
	struct pcln_header h;

	fuzz_must(code_refs(data, MIN(n, 512), 0x401000, refs, ARRAY_LEN(refs)) <= ARRAY_LEN(refs));
	pcln_header_parse(data, n, &h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct dwarf_query q[] = {{.type = "runtime.mspan", .paths = "state.s.value|state.s|state"},
				  {.type = "runtime.mspan", .paths = ""},
				  {.type = "runtime.mheap", .paths = "[1].x|central[2].mcentral"},
				  {.type = "var:runtime.debug", .paths = "madvdontneed"}};
	int fd = fuzz_file(data, n);
	struct arena a;
	struct elf_image e;
	struct go_buildinfo info = {0};
	taddr at[ARRAY_LEN(NAMES)];
	uint64_t size[ARRAY_LEN(NAMES)];
	struct err err = {0};

	arena_init(&a, FUZZ_MEMORY);
	if (elf_open(fd, &a, &e, &err)) {
		elf_symbols(&e, NAMES, ARRAY_LEN(NAMES), at, size);
		if (!go_buildinfo_read(&e, &a, &info, &err))
			fuzz_failed(&err);
		elf_close(&e);
	} else {
		fuzz_failed(&err);
	}
	err = (struct err){0};
	if (!dwarf_resolve(fd, q, ARRAY_LEN(q), &err))
		fuzz_failed(&err);
	names(fd);
	code(data, n);
	arena_free(&a);
	return 0;
}
