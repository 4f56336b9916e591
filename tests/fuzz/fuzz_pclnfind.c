/* Functions by name in Go's table of functions: three lengths, then the memory that holds it. */
#include "fuzz.h"
#include "image/pclnfind.h"
#include "pcln_memory.h"

#define TEXT 0x401000U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint16_t len[3];
	struct memory m = {data + sizeof(len), n - sizeof(len)};
	struct pcln_wanted w[] = {{"runtime.a", 0, 0}, {"b", 0, 0}, {"runtime.(*c).d", 0, 0}};
	struct pcln_module module = {.pcheader = BASE,
				     .text = TEXT,
				     .funcnametab = BASE + 0x48,
				     .pclntable = BASE + 0x100,
				     .ftab = BASE + 0x100};
	struct pcln_header h;
	struct arena a;
	struct err err = {0};

	if (n < sizeof(len))
		return 0;
	memcpy(len, data, sizeof(len));
	if (pcln_header_parse(m.b, m.n, &h)) {
		fuzz_must(h.n_funcs > 0 && h.funcnames < h.cus && h.cus < h.files &&
			  h.files < h.pcs && h.pcs < h.funcs);
		(void)pcln_magic_known(h.magic);
	}
	module.funcnametab_len = len[0];
	module.pclntable_len = len[1];
	module.ftab_len = len[2];
	arena_init(&a, FUZZ_MEMORY);
	if (pcln_lookup(&module, read_memory, &m, &a, w, ARRAY_LEN(w), &err)) {
		for (size_t i = 0; i < ARRAY_LEN(w); i++)
			fuzz_must(w[i].end >= w[i].entry);
	} else {
		fuzz_failed(&err);
	}
	arena_free(&a);
	return 0;
}
