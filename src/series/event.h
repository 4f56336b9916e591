/*
 * What happens to a process over time, as plain data: the rows of `whyrss live --json`, of a
 * recording and of every plot.
 */
#ifndef SERIES_EVENT_H
#define SERIES_EVENT_H

#include "base/str.h"
#include "goruntime/words.h"
#include "ledger/ledger.h"

#define UNKNOWN UINT64_MAX /* of an amount below: null in JSON */

enum event_kind { EVENT_SAMPLE, EVENT_GC, EVENT_LINES, EVENT_END };

/** The runtime's words and RSS at one moment: rows METRIC of metrics.def. */
struct sample {
#define METRIC(name, unit, help) uint64_t name;
#define CYCLE(name, unit, help)
#include "series/metrics.def"
#undef METRIC
#undef CYCLE
};

/** One finished GC cycle. late: it passed between two reads, so that only n, t and pause are known.
 */
struct gc_event {
	uint64_t n;
	bool late;
	int forced;   /* by runtime.GC; -1 unknown */
	bool t_known; /* false: even the runtime's ring has forgotten it */
#define METRIC(name, unit, help)
#define CYCLE(name, unit, help) uint64_t name;
#include "series/metrics.def"
#undef METRIC
#undef CYCLE
};

/** A row of metrics.def, to be found in its struct by its offset. */
struct metric_info {
	const char *name, *unit, *help;
	size_t offset;
};
extern const struct metric_info METRICS[], CYCLES[];
extern const unsigned N_METRICS, N_CYCLES;

static inline uint64_t *metric_of(void *row, const struct metric_info *m)
{
	return (uint64_t *)(void *)((char *)row + m->offset);
}
static inline uint64_t metric_get(const void *row, const struct metric_info *m)
{
	return *(const uint64_t *)(const void *)((const char *)row + m->offset);
}

/** RSS by line of the ledger. */
struct lines_event {
	uint64_t resident[N_LINES];
	uint64_t rss, profile;		       /* profile UNKNOWN: profiling is off */
	uint64_t cgroup_current, cgroup_limit; /* UNKNOWN: none */
	uint64_t cost_ns;		       /* CPU that the reading took */
	const char *cause;		       /* id of the first; NULL none */
};

struct event {
	enum event_kind kind;
	int64_t t_ns;	 /* since the watch began */
	int64_t unix_ns; /* the same on the wall clock */
	union {
		struct sample sample;
		struct gc_event gc;
		struct lines_event lines;
		const char *why; /* EVENT_END: a sentence */
	};
};

/** Appends the event as one JSON object, without a newline. EVENT_END is
 * {"type":"end","t":…,"why":…}. */
void event_json(const struct event *e, struct str *to);

#endif
