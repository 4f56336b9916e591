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

/** The runtime's words and RSS at one moment. Bytes; cumulative times in ns. */
struct sample {
	uint64_t rss, heap_live, heap_goal, heap_trigger, heap_inuse, heap_idle, heap_released;
	uint64_t stacks; /* StackInuse */
	uint64_t goroutines, threads;
	uint64_t num_gc;
	uint64_t marked;       /* heap that the last cycle marked */
	uint64_t total_alloc;  /* bytes ever allocated; UNKNOWN before Go 1.19 */
	uint64_t go_total;     /* what GOMEMLIMIT counts; UNKNOWN before Go 1.19 */
	uint64_t memory_limit; /* UNKNOWN: none */
	int64_t gogc;	       /* -1: off */
	uint64_t gc_ns, gc_assist_ns, gc_idle_ns,
		cpu_ns;	    /* GC CPU of finished cycles, of
			       GOMAXPROCS × time; UNKNOWN before 1.20 */
	uint64_t scavenged; /* bytes returned in the background and eagerly; UNKNOWN: not counted */
};

/** One finished GC cycle. late: it passed between two reads, so that only n, t and pause are known.
 */
struct gc_event {
	uint64_t n;
	bool late;
	int forced;   /* by runtime.GC; -1 unknown */
	bool t_known; /* false: even the runtime's ring has forgotten it */
	uint64_t pause_ns, heap_marked, heap_goal;
	uint64_t heap_end;   /* at the end of marking: the second number of a gctrace line */
	uint64_t heap_start; /* where it began; UNKNOWN when the next has begun */
	uint64_t mark_ns;    /* wall clock of concurrent mark; UNKNOWN likewise */
	uint64_t assist_ns, dedicated_ns, idle_ns; /* CPU; UNKNOWN likewise */
};

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
