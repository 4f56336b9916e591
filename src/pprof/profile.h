/*
 * A profile as profile.proto means it (github.com/google/pprof/proto/profile.proto), kept as
 * columns: strings are interned and named by index, samples are ranges of one array of location
 * indices. A profile of a million samples is then a few large arrays. Knows no target and no file.
 *
 * A sample's stack begins at its leaf. A location's lines begin with the innermost inlined frame.
 */
#ifndef PPROF_PROFILE_H
#define PPROF_PROFILE_H

#include "base/arena.h"

/** Index into pprof.strings; 0 is "". Equal texts have equal indices. */
typedef uint32_t pstr;
/** Index of a mapping, function or location; PPROF_NONE where there is none. */
typedef uint32_t pindex;
#define PPROF_NONE UINT32_MAX

struct pprof_string {
	const char *s; /* NUL-terminated; may hold unsafe bytes, even NULs: n counts */
	uint32_t n;
};

struct pprof_value_type {
	pstr type, unit;
};

struct pprof_mapping {
	uint64_t id;
	uint64_t start, limit, offset;
	pstr file, build_id;
	/* "_text" of a file "[kernel.kallsyms]_text"; not in the file format */
	pstr kernel_relocation_symbol;
	bool has_functions, has_filenames, has_line_numbers, has_inline_frames;
};

struct pprof_function {
	uint64_t id;
	pstr name, system_name, file;
	int64_t start_line;
};

struct pprof_line {
	pindex function;
	int32_t column; /* a profile with larger ones is refused */
	int64_t line;
};

struct pprof_location {
	uint64_t id;
	uint64_t address;
	pindex mapping;
	uint32_t line_at, n_lines; /* in pprof.lines */
	bool is_folded;
};

/** A label of a sample: a string (num_unit 0, num 0) or a number with its unit. */
struct pprof_label {
	pstr key;
	pstr str;
	int64_t num;
	pstr num_unit;
	bool is_num;
};

/** An open-addressed set of array indices, by the hash of what they name. */
struct pprof_set {
	struct pprof_slot {
		uint32_t hash, at; /* at: index + 1; 0 is an empty slot */
	} * slots;
	uint32_t n, cap; /* cap: a power of two, or 0 */
};

/** All of it lives in `mem`. Counts are 32-bit: decoding refuses more. */
struct pprof {
	struct arena *mem;
	struct pprof_string *strings;
	uint32_t n_strings, cap_strings;
	struct pprof_set string_set; /* for pprof_str */
	struct pprof_value_type *types;
	uint32_t n_types, cap_types;
	pstr default_type; /* 0: none */
	struct pprof_mapping *mappings;
	uint32_t n_mappings, cap_mappings;
	struct pprof_function *functions;
	uint32_t n_functions, cap_functions;
	struct pprof_line *lines;
	uint32_t n_lines, cap_lines;
	struct pprof_location *locations;
	uint32_t n_locations, cap_locations;
	/* samples: sample i has values[i * n_types …], locs[loc_at[i] … loc_at[i + 1]] and
	 * labels[label_at[i] … label_at[i + 1]]: strings before numbers, each sorted by the key's
	 * bytes, values of one key in the order in which they were given */
	uint32_t n_samples;
	int64_t *values;
	uint32_t *loc_at; /* NULL: no samples */
	pindex *locs;
	uint32_t *label_at; /* NULL: no sample has labels */
	struct pprof_label *labels;
	pstr drop_frames, keep_frames, doc_url;
	pstr *comments;
	uint32_t n_comments, cap_comments;
	int64_t time_nanos, duration_nanos, period;
	struct pprof_value_type period_type;
};

/** An empty profile with the string "". */
void pprof_init(struct pprof *p, struct arena *mem);
/** The index of a text, which is copied when it is new. */
pstr pprof_strn(struct pprof *p, const char *s, size_t n);
pstr pprof_str(struct pprof *p, const char *s);
static inline const char *pprof_text(const struct pprof *p, pstr s)
{
	return p->strings[s].s;
}
/** Order of two texts by their bytes, as memcmp gives it. */
int pprof_str_compare(const struct pprof *p, pstr a, pstr b);
/** Adds a sample type. Before the first sample. */
void pprof_type_add(struct pprof *p, const char *type, const char *unit);
void pprof_comment_add(struct pprof *p, pstr comment);
/** The first location, function or mapping of a growing profile is number 1 by its id. */
pindex pprof_mapping_add(struct pprof *p, const struct pprof_mapping *m);
/** Sorts the labels of one sample as `pprof.labels` has them. */
void pprof_labels_sort(const struct pprof *p, struct pprof_label *labels, uint32_t n);

#endif
