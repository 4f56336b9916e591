/*
 * Making a profile sample by sample, everything interned: what `whyrss profile` reads out of a
 * process, what a legacy format says, what a merge puts together.
 *
 *	struct pprof p;
 *	struct pprof_build b;
 *
 *	pprof_init(&p, mem);
 *	pprof_type_add(&p, "inuse_space", "bytes");
 *	pprof_build_init(&b, &p);
 *	f = pprof_build_function(&b, &(struct pprof_function){.name = pprof_str(&p, "main.f"), …});
 *	l = pprof_build_location(&b, &(struct pprof_location){.address = pc, .mapping = m},
 *				 &(struct pprof_line){.function = f, .line = 12}, 1);
 *	pprof_build_sample(&b, &l, 1, NULL, 0, values);
 *
 * The profile is complete after every call. Ids are numbered from 1 in the order of their first
 * use. Nothing may be removed from the profile while it grows.
 */
#ifndef PPROF_BUILD_H
#define PPROF_BUILD_H

#include "pprof/profile.h"

struct pprof_build {
	struct pprof *p;
	bool keep_equal; /* samples with the same stack and labels stay apart */
	struct pprof_set functions, locations, samples;
	uint32_t cap_loc_at, cap_locs, cap_values, cap_label_at, cap_labels;
	uint32_t n_values, n_labels;
};

/** `p` has its types and no samples yet. */
void pprof_build_init(struct pprof_build *b, struct pprof *p);
/** Room for so many samples with so many locations in all, so that the arrays need not grow. */
void pprof_build_room(struct pprof_build *b, uint32_t samples, uint32_t locs);
/** The function with this name, system name, file and start line; `id` is given, not taken. */
pindex pprof_build_function(struct pprof_build *b, const struct pprof_function *f);
/**
 * The location with this address, mapping, lines and is_folded; `id`, `line_at` and `n_lines` are
 * given, not taken. `lines` has the innermost inlined frame first.
 */
pindex pprof_build_location(struct pprof_build *b, const struct pprof_location *l,
			    const struct pprof_line *lines, uint32_t n);
/**
 * Adds values (one a type) to the sample with this stack, leaf first, and these labels, in any
 * order; returns its index.
 */
uint32_t pprof_build_sample(struct pprof_build *b, const pindex *locs, uint32_t n_locs,
			    const struct pprof_label *labels, uint32_t n_labels,
			    const int64_t *values);

#endif
