/*
 * What another GOGC or GOMEMLIMIT would make of a program: the pacer of its Go release is run again
 * over what the program was seen to allocate and keep (docs/what-if.md).
 */
#ifndef SERIES_WHATIF_H
#define SERIES_WHATIF_H

#include "series/recording.h"
#include "snapshot/pacer.h"

/** What was seen: samples and cycles in order of time. */
struct whatif_input {
	int go_minor;
	const struct sample_row *samples;
	uint32_t n_samples;
	const struct cycle_row *cycles;
	uint32_t n_cycles;
};

struct whatif_setting {
	int32_t gogc;	/* -1: off */
	bytes memlimit; /* PACE_NO_LIMIT: none */
};

struct whatif_state {
	double heap_peak; /* median of the heap at the end of marking; NaN: no cycle */
	double rss;	  /* at its highest */
	double gc_per_s;
	double gc_cpu; /* share of GOMAXPROCS time; NaN unknown */
};

struct whatif {
	struct whatif_setting was, set;
	struct whatif_state now, then;
	uint32_t cycles_seen, cycles_run; /* in reality, in the simulation */
	double seconds;
	double alloc_rate; /* bytes a second */
	double marked;	   /* median */
	double live_max;
	double slower;	/* how many times as long the program takes for the same; 1 */
	bool by_limit,	/* the limit, not GOGC, starts most cycles then */
		spiral; /* the live heap hardly fits under the limit: it collects all the time */
	bool few;	/* too few cycles were seen to be sure */
	const char **because;
	uint32_t n_because;
};

/** Errors: ERR_LIMIT when there is too little to tell anything. */
bool whatif_run(const struct whatif_input *in, const struct whatif_setting *set, struct arena *a,
		struct whatif *ret, struct err *err);

/** The setting with the least GC CPU whose RSS stays under `limit`, and what it makes. False with
 * an error when none does. */
bool whatif_advise(const struct whatif_input *in, bytes limit, struct arena *a, struct whatif *ret,
		   struct err *err);

#endif
