/* Profiles in every format, inflated or not: decoded, encoded again, pruned. */
#include "fuzz.h"

#include "pprof/codec.h"
#include "pprof/prune.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena a;
	struct pprof p;
	struct str out = {0};
	struct err err = {0};

	arena_init(&a, FUZZ_MEMORY);
	if (pprof_parse(data, n, &a, &p, &err)) {
		pprof_drop_frames(&p);
		pprof_encode(&p, &out);
		fuzz_must(out.n > 0);
		str_free(&out);
	} else {
		fuzz_failed(&err);
	}
	arena_free(&a);
	return 0;
}
