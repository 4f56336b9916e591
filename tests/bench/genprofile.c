/*
 * Writes a CPU profile of any size, always the same for the same arguments:
 *
 *	genprofile SAMPLES FILE.pb.gz [FUNCTIONS [LOCATIONS]]
 *
 * Stacks of 16 to 48 frames over 60,000 functions with 240,000 locations by default. Frames are
 * drawn with a skew, as hot code is: at 1.2 million samples that makes 107 MB, 81 MB in gzip.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "pprof/build.h"
#include "pprof/codec.h"

#define SKEW 5.2

/* xorshift64*: the same everywhere. */
static uint64_t next(uint64_t *s)
{
	*s ^= *s >> 12;
	*s ^= *s << 25;
	*s ^= *s >> 27;
	return *s * 0x2545f4914f6cdd1dU;
}

static double unit(uint64_t *s)
{
	return (double)(next(s) >> 11) / 9007199254740992.0;
}

int main(int argc, char **argv)
{
	uint32_t samples = argc > 2 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
	uint32_t functions = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 60000;
	uint32_t locations = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 240000;
	uint64_t s = 42;
	struct arena a;
	struct pprof p;
	struct pprof_build b;
	struct str out = {0};
	struct err err;
	char text[128];
	FILE *f;

	if (!samples || !functions || !locations) {
		fprintf(stderr, "usage: genprofile SAMPLES FILE.pb.gz [FUNCTIONS [LOCATIONS]]\n");
		return 2;
	}
	arena_init(&a, 0);
	pprof_init(&p, &a);
	pprof_type_add(&p, "samples", "count");
	pprof_type_add(&p, "cpu", "nanoseconds");
	pprof_build_init(&b, &p);
	b.keep_equal = true;
	pprof_build_room(&b, samples, (uint32_t)MIN((uint64_t)samples * 48, UINT32_MAX / 2));
	pindex m = pprof_mapping_add(&p, &(struct pprof_mapping){.start = 0x400000,
								 .limit = 0x8000000,
								 .file = pprof_str(&p, "/srv/big"),
								 .has_functions = true,
								 .has_filenames = true,
								 .has_line_numbers = true});
	for (uint32_t i = 0; i < functions; i++) {
		struct pprof_function fn = {.start_line = 10 + i % 500};

		snprintf(text, sizeof(text), "example.com/service/pkg%u.(*Type%u).Method%u", i / 97,
			 i / 11, i);
		fn.name = fn.system_name = pprof_str(&p, text);
		snprintf(text, sizeof(text), "/src/example.com/service/pkg%u/file%u.go", i / 97,
			 i / 23);
		fn.file = pprof_str(&p, text);
		pprof_build_function(&b, &fn);
	}
	for (uint32_t i = 0; i < locations; i++) {
		struct pprof_line lines[2] = {
			{.function = i % functions, .line = 11 + i % 700},
			{.function = (i + 1) % functions, .line = 12 + i % 600}};

		pprof_build_location(
			&b, &(struct pprof_location){.address = 0x400000 + i * 64U, .mapping = m},
			lines, i % 8 == 0 ? 2 : 1);
	}
	for (uint32_t i = 0; i < samples; i++) {
		uint32_t depth = 16 + (uint32_t)(next(&s) % 33);
		int64_t n = 1 + (int64_t)(next(&s) % 9);
		pindex stack[48];

		for (uint32_t k = 0; k < depth; k++)
			stack[k] = (pindex)(pow(unit(&s), SKEW) * locations);
		pprof_build_sample(&b, stack, depth, NULL, 0, (int64_t[]){n, n * 10000000});
	}
	p.period_type =
		(struct pprof_value_type){pprof_str(&p, "cpu"), pprof_str(&p, "nanoseconds")};
	p.period = 10000000;
	p.time_nanos = 1700000000000000000;
	p.duration_nanos = 600000000000;
	f = fopen(argv[2], "wb");
	if (!f || !pprof_encode_gzip(&p, &out, &err) || fwrite(out.s, 1, out.n, f) != out.n ||
	    fclose(f) != 0) {
		perror(argv[2]);
		return 1;
	}
	str_free(&out);
	arena_free(&a);
	return 0;
}
