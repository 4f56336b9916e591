/* Bytes as machine code, as functions of a hostile program are. */
#include "fuzz.h"
#include "image/code.h"

#define AT 0x401000U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct code_ref refs[64];
	uint32_t all = code_refs(data, n, AT, refs, ARRAY_LEN(refs));
	struct code_ref one;

	fuzz_must(all <= ARRAY_LEN(refs) && all <= n);
	for (uint32_t i = 0; i < all; i++)
		fuzz_must(refs[i].use != 0 && (refs[i].use & (refs[i].use - 1U)) == 0 &&
			  refs[i].use < CODE_ANY);
	/* the first one does not depend on how many are asked for */
	if (all > 0)
		fuzz_must(code_refs(data, n, AT, &one, 1) == 1 && one.target == refs[0].target &&
			  one.size == refs[0].size && one.use == refs[0].use);
	return 0;
}
