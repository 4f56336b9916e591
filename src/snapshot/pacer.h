/*
 * The arithmetic of Go's GC pacer and scavenger, as pure functions: what the heap may grow to, when
 * the next cycle starts, what another GOGC or GOMEMLIMIT would make of it, and what that costs.
 */
#ifndef SNAPSHOT_PACER_H
#define SNAPSHOT_PACER_H

#include "snapshot/snapshot.h"

#define PACE_NO_LIMIT UINT64_MAX
/**
 * The runtime starts a cycle by itself when the last one is 2 minutes old, unless GOGC=off
 * (runtime/proc.go: forcegcperiod); in an idle program sysmon looks once a minute.
 */
#define PACE_FORCED_NS (180 * INT64_C(1000000000))

/** What the pacer decides from. */
struct pacer {
	int go_minor;	 /* 18: no memory limit, and other clamps */
	int32_t gogc;	 /* -1: off */
	bytes limit;	 /* GOMEMLIMIT; PACE_NO_LIMIT: none */
	bytes marked;	 /* heap that the last cycle marked */
	bytes roots;	 /* stacks and globals that a cycle scans */
	bytes runway;	 /* bytes that the program is expected to allocate while a cycle marks */
	bytes sweep_min; /* not before this, so that sweeping can end; 0: sweeping is done */
	bytes triggered; /* heap at the start of the running cycle; UINT64_MAX: none runs */
	bytes nonheap;	 /* counts against the limit, and no object can use it: stacks, metadata,
			    holes in spans */
	bytes over;	 /* the runtime's memory beyond the limit */
};

/** What it decides. */
struct pace {
	bytes goal; /* heap objects at the end of the next cycle; UINT64_MAX: it will not start by
		       itself */
	bytes trigger; /* the next cycle starts here */
	bool by_limit; /* the goal comes from the memory limit */
};

/** The pacer's inputs in a running program of Go 1.minor. */
struct pacer pacer_of(const struct counters *c, int minor);
struct pace pacer_decide(const struct pacer *p);
/** As pacer_decide, with the goal of GOGC that the runtime keeps instead of the one that it would
 * compute now. */
struct pace pacer_decide_from(const struct pacer *p, bytes gogc_goal);

/** The goal that GOGC alone gives: live heap and GOGC percent of it and of the roots, at least 4
 * MiB * GOGC/100. */
bytes pacer_gogc_goal(const struct pacer *p);
/** The goal that the limit alone gives; UINT64_MAX without a limit. Never below the live heap. */
bytes pacer_limit_goal(const struct pacer *p);
/** The smallest GOMEMLIMIT, in whole MiB, under which the heap may still grow to `goal`. */
bytes pacer_limit_for(const struct pacer *p, bytes goal);

/** How many times as often cycles run when the goal changes from `now` to `then` and the program
 * allocates as before. */
double pacer_frequency(bytes marked, bytes now, bytes then);
/**
 * The collector's share of GOMAXPROCS time when cycles come `times` as often. It takes idle time
 * first; then the program gets slower, and so allocates less.
 */
double pacer_gc_share(double gc, double idle, double times);

/** Heap that the background scavenger leaves in memory (mgcscavenge.go: gcPaceScavenger);
 * UINT64_MAX before the second cycle. */
bytes pacer_retained(bytes goal, bytes last_goal, bytes last_in_use);

#endif
