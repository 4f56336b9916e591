/* An executable: headers, symbols, notes, build information, and its DWARF by libdw. */
#include "fuzz.h"
#include "image/dwarf.h"
#include "image/elf.h"

static const char *const NAMES[] = {"runtime.mheap_", "runtime.firstmoduledata|local.moduledata",
				    "main", "_start"};

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
	arena_free(&a);
	return 0;
}
