/*
 * A profile as one report sees it: filters and granularity change copies of the small tables and
 * the ends of each sample's stack; the profile itself stays as it is, so that the next report
 * starts anew.
 */
#ifndef PPROF_LENS_H
#define PPROF_LENS_H

#include "pprof/config.h"
#include "pprof/profile.h"
#include "pprof/rx.h"
#include "pprof/set.h"

/** The unit that a numeric tag is measured in: its first one, else a guess by its key. */
struct lens_unit {
	pstr key, unit;
};

struct lens {
	const struct pprof *p;
	struct arena *mem;
	struct str *messages; /* a line each */
	/* strings that the profile lacks; their indices follow the profile's */
	VEC(struct pprof_string) own;
	struct pprof_set own_set;
	/* the profile's rows first, then pseudo functions and locations made of tags */
	struct pprof_function *functions;
	uint32_t n_functions, cap_functions;
	struct pprof_line *lines;
	uint32_t n_lines, cap_lines;
	struct pprof_location *locations;
	uint32_t n_locations, cap_locations;
	struct pprof_mapping *mappings;
	bool *hidden; /* of each location: taken out of every stack; NULL: none */
	/* the samples that are left: the k-th is number sample[k] of the profile (NULL: all), and
	 * its stack is locs[begin[k] … end[k]] (NULL: p->loc_at) */
	uint32_t n_samples;
	uint32_t *sample;
	uint32_t *begin, *end;
	const pindex *locs;
	uint8_t *tag_state; /* by key's pstr: enum lens_tag; NULL: all are shown */
	VEC(struct lens_unit) units;
	pstr base_key, base_value; /* the tag of samples that a comparison starts from */
};

/**
 * Opens a profile. Adds messages about tags with several units. `last`: nobody reads the profile
 * afterwards, so that its own functions, lines and locations may be changed instead of copies.
 */
void lens_open(struct lens *l, const struct pprof *p, bool last, struct arena *mem,
	       struct str *messages);

static inline struct pprof_string lens_string(const struct lens *l, pstr s)
{
	return s < l->p->n_strings ? l->p->strings[s] : l->own.v[s - l->p->n_strings];
}
static inline const char *lens_text(const struct lens *l, pstr s)
{
	return lens_string(l, s).s;
}
/** The index of a text, a new one if need be. */
pstr lens_str(struct lens *l, const char *s, size_t n);

/** The k-th sample's number in the profile, and its stack, leaf first, hidden locations included.
 */
static inline uint32_t lens_sample(const struct lens *l, uint32_t k, const pindex **ret_locs,
				   uint32_t *ret_n)
{
	uint32_t i = l->sample ? l->sample[k] : k;
	uint32_t begin = l->begin ? l->begin[k] : l->p->loc_at[i];
	uint32_t end = l->begin ? l->end[k] : l->p->loc_at[i + 1];

	*ret_locs = l->locs + begin;
	*ret_n = end - begin;
	return i;
}
/** The tags of sample i of the profile that are shown, as pprof.labels has them; *ret_n of them. */
const struct pprof_label *lens_labels(const struct lens *l, uint32_t i, uint32_t *ret_n);
/** Whether the numbers of this key in a sample's labels v[0 … n] have units at all. */
bool lens_has_units(const struct pprof_label *v, uint32_t n);
/** How many of v[0 … n] from `at` on have the key and kind of v[at]. */
uint32_t lens_label_run(const struct pprof_label *v, uint32_t n, uint32_t at);
bool lens_tag_shown(const struct lens *l, pstr key);
void lens_hide_tag(struct lens *l, pstr key);

/** The unit of a numeric tag. */
pstr lens_unit(const struct lens *l, pstr key);

/** Frames made of tags (options tagroot, tagleaf). */
void lens_add_tag_frames(struct lens *l, const struct pprof_config *c);
/** All filters, in their order. Errors: ERR_USAGE (a pattern). */
bool lens_filter(struct lens *l, const struct pprof_config *c, struct err *err);
/** Granularity. Errors: none. */
void lens_aggregate(struct lens *l, const struct pprof_config *c);

/** Whether sample i belongs to the base of a comparison. */
bool lens_is_base(const struct lens *l, uint32_t i);

#endif
