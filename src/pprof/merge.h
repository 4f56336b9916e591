/*
 * Many profiles into one, and differences between two: as google/pprof does it
 * (profile/merge.go, internal/measurement, internal/driver/fetch.go).
 */
#ifndef PPROF_MERGE_H
#define PPROF_MERGE_H

#include "pprof/profile.h"

/**
 * One profile of all: equal mappings, functions, locations and samples become one, addresses move
 * with their mapping, samples of nothing but zeros and what no sample uses are left out. Of one
 * profile: the same without waste. Errors: ERR_FORMAT (types differ).
 */
bool pprof_merge(struct pprof *const *srcs, uint32_t n, struct arena *mem, struct pprof *ret,
		 struct err *err);
/**
 * Makes profiles fit to be merged, in place: they keep the sample types that all of them have, in
 * the order of the first, in the finest of their units. Errors: ERR_FORMAT (nothing in common).
 */
bool pprof_harmonize(struct pprof *const *ps, uint32_t n, struct err *err);
/** pprof_harmonize, then pprof_merge; one profile alone is returned as it is. */
bool pprof_combine(struct pprof *const *ps, uint32_t n, struct arena *mem, struct pprof *ret,
		   struct err *err);
/**
 * Multiplies the values by the ratio of their type, rounded; samples whose changed values are all
 * zero are dropped.
 */
void pprof_scale(struct pprof *p, const double *ratios);
/** Scales each type to the base's total of it. Errors: ERR_FORMAT (types differ). */
bool pprof_normalize(struct pprof *p, const struct pprof *base, struct err *err);
/** Gives every sample this label, in place of what it had under that key. */
void pprof_label_all(struct pprof *p, const char *key, const char *value);
/**
 * `p` less `base`, which is changed: its values are negated and, for a diff, labelled
 * pprof::base=true, so that percentages are of the base.
 */
bool pprof_subtract(struct pprof *p, struct pprof *base, bool diff, bool normalize,
		    struct arena *mem, struct pprof *ret, struct err *err);
/** Keeps samples i with keep[i]; their columns move together. */
void pprof_keep_samples(struct pprof *p, const bool *keep);

#endif
