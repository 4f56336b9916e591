/* An ELF core: headers, notes and the list of mapped files; then all of it as a target. */
#include <stdio.h>

#include "fuzz.h"
#include "goruntime/goruntime.h"
#include "target/core.h"
#include "target/corefile.h"

static void headers(const uint8_t *data, size_t n)
{
	struct arena a;
	struct corefile f;
	struct core_headers h;
	struct err err = {0};

	arena_init(&a, FUZZ_MEMORY);
	corefile_mem(&f, data, n, &a);
	if (core_parse(&f, &a, &h, &err)) {
		for (uint32_t i = 0; i < h.n_loads; i++)
			fuzz_must(h.loads[i].start < h.loads[i].end &&
				  (i == 0 || h.loads[i - 1].end <= h.loads[i].start));
		for (uint32_t i = 0; i < MIN(h.n_notes, 64); i++) {
			struct core_mapped *m;
			char *text;
			if (core_note_read(&f, &h.notes[i], &a, &text, &err))
				core_mapped_parse(text, h.notes[i].n, &a, &m);
		}
	} else {
		fuzz_failed(&err);
	}
	corefile_close(&f);
	arena_free(&a);
}

static void whole(const uint8_t *data, size_t n)
{
	struct core_options o = {.root = "/nowhere"};
	struct arena a;
	struct target *t;
	struct go_session *g;
	struct err err = {0};
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fuzz_file(data, n));
	if (!core_open(path, &o, &t, &err)) {
		fuzz_failed(&err);
		return;
	}
	arena_init(&a, FUZZ_MEMORY);
	if (!target_facts(t, &a, &err) || !target_scan(t, &a, &err) || !go_open(t, &a, &g, &err))
		fuzz_failed(&err);
	else
		go_close(g);
	target_close(t);
	arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	headers(data, n);
	whole(data, n);
	return 0;
}
