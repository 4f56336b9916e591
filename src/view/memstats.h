/* runtime.MemStats and runtime/metrics out of the runtime's raw counters. */
#ifndef VIEW_MEMSTATS_H
#define VIEW_MEMSTATS_H

#include "snapshot/snapshot.h"
#include "view/value.h"

#define MEMSTATS_BY_SIZE 61

enum memstat_kind {
	MEMSTAT_BYTES,
	MEMSTAT_COUNT,
	MEMSTAT_TIME,
	MEMSTAT_WHEN,
	MEMSTAT_RATIO,
	MEMSTAT_BOOL
};
enum memstat_group {
	MEMSTAT_HEAP,
	MEMSTAT_STACK,
	MEMSTAT_RUNTIME,
	MEMSTAT_OBJECTS,
	MEMSTAT_GC,
	MEMSTAT_FIXED,
	MEMSTAT_GROUPS
};

#define MEMSTAT_TYPE_BYTES uint64_t
#define MEMSTAT_TYPE_COUNT uint64_t
#define MEMSTAT_TYPE_TIME  uint64_t
#define MEMSTAT_TYPE_WHEN  uint64_t
#define MEMSTAT_TYPE_RATIO double
#define MEMSTAT_TYPE_BOOL  bool

/** The fields of runtime.MemStats, named as Go names them. */
struct memstats {
#define MEMSTAT(field, kind, group, meaning) MEMSTAT_TYPE_##kind field;
#define MEMSTAT_ARRAY(field)
#include "view/memstats.def"
#undef MEMSTAT
#undef MEMSTAT_ARRAY
	uint64_t PauseNs[256], PauseEnd[256];
	struct {
		uint32_t Size;
		uint64_t Mallocs, Frees;
	} BySize[MEMSTATS_BY_SIZE];
};

/** What runtime.ReadMemStats would answer: as there, what the Ps have not flushed is counted in. */
struct memstats memstats_compute(const struct counters *c);

/** Boundaries in seconds of the time histograms of runtime/metrics: one more than their counts; the
 * ends are infinite. */
#define TIME_BUCKETS	 162
#define TIME_BUCKETS_119 721 /* of 1.18 and 1.19 */
void time_buckets(double ret[TIME_BUCKETS + 1]);

/**
 * The runtime/metrics samples as an object of name → number, {"counts","buckets"} or null where it
 * cannot be known. As there, what the Ps have not flushed is left out. *ret_unknown: how many are
 * null.
 */
struct value gometrics_build(const struct snapshot *s, struct arena *a, uint32_t *ret_unknown);

#endif
