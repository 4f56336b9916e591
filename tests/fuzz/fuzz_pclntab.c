/* Go's table of functions and lines: six lengths, then the memory that holds it, at fixed places.
 */
#include "fuzz.h"
#include "image/pclntab.h"
#include "pcln_memory.h"

#define TEXT 0x401000U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint16_t len[6];
	struct memory m = {data + sizeof(len), n - sizeof(len)};
	struct pcln_module module = {.pcheader = BASE,
				     .text = TEXT,
				     .etext = TEXT + 0x80,
				     .minpc = TEXT,
				     .maxpc = TEXT + 0x80,
				     .funcnametab = BASE + 0x100,
				     .filetab = BASE + 0x200,
				     .cutab = BASE + 0x280,
				     .pctab = BASE + 0x300,
				     .pclntable = BASE + 0x400,
				     .ftab = BASE + 0x400,
				     .gofunc = BASE + 0x600};
	struct arena a;
	struct pcln *p;
	struct pcln_frame f[PCLN_FRAMES];
	struct err err = {0};

	if (n < sizeof(len))
		return 0;
	memcpy(len, data, sizeof(len));
	module.funcnametab_len = len[0];
	module.filetab_len = len[1];
	module.cutab_len = len[2];
	module.pctab_len = len[3];
	module.pclntable_len = len[4];
	module.ftab_len = len[5] & 0x7fff;
	module.one_bracket = len[5] >> 15;
	arena_init(&a, FUZZ_MEMORY);
	if (pcln_open(&module, read_memory, &m, &a, &p, &err)) {
		for (taddr pc = TEXT - 1; pc < TEXT + 0x90; pc += 7) {
			uint32_t got = pcln_frames(p, pc, f, PCLN_FRAMES);
			fuzz_must(got <= PCLN_FRAMES);
			for (uint32_t i = 0; i < got; i++)
				fuzz_must(strlen(f[i].func) < 65536 && strlen(f[i].file) < 65536);
		}
	} else {
		fuzz_failed(&err);
	}
	arena_free(&a);
	return 0;
}
