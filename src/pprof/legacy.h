/*
 * What the parsers of legacy formats share: lines, patterns, and samples as stacks of addresses,
 * which become a profile at the end. Private to legacy*.c.
 */
#ifndef PPROF_LEGACY_H
#define PPROF_LEGACY_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "pprof/codec.h"

/** Patterns by which lines are told apart (legacy.c has them). */
enum legacy_pattern {
	RX_COUNT_START,
	RX_COUNT,
	RX_HEAP_HEADER,
	RX_GROWTH_HEADER,
	RX_FRAGMENTATION_HEADER,
	RX_HEAP_SAMPLE,
	RX_CONTENTION_SAMPLE,
	RX_THREADZ,
	RX_THREAD,
	RX_LOG_INFO,
	RX_MAPS,
	RX_BRIEF_MAPS,
	RX_LIBRARY,
	RX_JAVA_ATTRIBUTE,
	RX_JAVA_SAMPLE,
	RX_JAVA_LOCATION,
	RX_JAVA_FILE_LINE,
	RX_JAVA_PATH,
	N_RX
};

#define LEGACY_GROUPS 7

/** A part of the file, or of a text made of it. */
struct span {
	const char *s;
	size_t n;
};

struct legacy_sample {
	uint64_t at; /* in legacy.addrs */
	uint64_t n;
	int64_t values[4];
	int64_t block_size; /* label "bytes", where has_block_size */
	bool has_block_size;
};

/* An address that samples have, in the order of first use; Java says what it is. */
struct legacy_place {
	uint64_t addr;
	pindex function; /* in legacy.functions; PPROF_NONE */
	int64_t line;
};

struct legacy {
	struct arena *mem, tmp;
	struct err *err;
	pcre2_code *rx[N_RX];
	pcre2_match_data *match;
	pcre2_match_context *limits;
	const char *at, *end; /* what has not been read yet */
	struct span line;     /* the line read last, "" at the end */
	/* the profile so far: its header stands in p already */
	struct pprof *p;
	uint64_t *addrs;
	uint64_t n_addrs, max_addrs;
	struct legacy_sample *samples;
	uint64_t n_samples, max_samples;
	VEC(struct pprof_mapping) maps;
	bool is_java;
	struct legacy_place *places;
	uint32_t n_places;
	struct pprof_set place_set;
	VEC(struct pprof_function) functions;
};

enum legacy_verdict { LEGACY_OK, LEGACY_OTHER, LEGACY_BAD }; /* OTHER: another format's bytes */
typedef enum legacy_verdict legacy_parser(struct legacy *g);

/** Reads the next line, without its end; false at the end of the file. */
bool legacy_line(struct legacy *g);
/** Whether the pattern is found in s; groups that took no part are {NULL, 0}. */
bool legacy_match(struct legacy *g, enum legacy_pattern which, struct span s,
		  struct span groups[static LEGACY_GROUPS]);
struct span span_trim(struct span s);
bool span_starts(struct span s, const char *with);
bool span_has(struct span s, const char *what);
/** strconv.ParseInt and ParseUint over the whole of s. */
bool span_int(struct span s, int base, int64_t *ret);
bool span_hex(struct span s, uint64_t *ret);
pstr span_str(struct legacy *g, struct span s);

/** A new sample with an empty stack; NULL and *err when there are too many. */
struct legacy_sample *legacy_sample(struct legacy *g);
bool legacy_push(struct legacy *g, struct legacy_sample *s, uint64_t addr);
/** Pushes every "0x…" of s, each less `less` (all but the first when spare_leaf). */
bool legacy_push_all(struct legacy *g, struct legacy_sample *s, struct span text, uint64_t less,
		     bool spare_leaf);
/** An unsampled count and size, as the sampling of heaps makes them. */
void legacy_unsample(int64_t *count, int64_t *size, int64_t rate);
enum legacy_verdict legacy_bad(struct legacy *g, const char *what);

/** Makes g->places of the addresses of all samples. */
bool legacy_find_places(struct legacy *g);
/** The place with that address, or PPROF_NONE. */
uint32_t legacy_place(const struct legacy *g, uint64_t addr);

/** Whether a memory map begins behind this line. */
bool legacy_is_map_start(struct span line);
/** Reads the rest of the file as a memory map, in any of its formats. */
bool legacy_maps(struct legacy *g);
/** Orders the mappings and finds each place its own, of the g->maps then final. */
bool legacy_assign(struct legacy *g, pindex *ret_mapping_of);

legacy_parser legacy_cpu, legacy_java;
/** Java's table of locations: the rest of the file. */
enum legacy_verdict legacy_java_locations(struct legacy *g);
/** Locations, samples and mappings into g->p. drop_twin_leaf: see legacy.c. */
enum legacy_verdict legacy_finish(struct legacy *g, bool drop_twin_leaf);

#endif
