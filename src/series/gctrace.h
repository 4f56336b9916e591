/*
 * The lines that GODEBUG=gctrace=1 and scavtrace=1 make a program print, of Go 1.4 to 1.27
 * (runtime/extern.go, mgc.go and mgcscavenge.go of each release; mgc0.c of 1.4).
 */
#ifndef SERIES_GCTRACE_H
#define SERIES_GCTRACE_H

#include "base/base.h"

#define GCTRACE_PHASES 5

enum gctrace_kind {
	GCTRACE_OTHER, /* not a line of the runtime's traces */
	GCTRACE_GC,
	GCTRACE_SCAV,
};

/** Sizes in MiB as printed (whole ones); times in ms; -1 for what the line does not have. */
struct gctrace_gc {
	uint64_t n;
	double at_s;		      /* since the program began; -1 in Go 1.4 */
	double cpu_share;	      /* since then, 0 … 1 */
	double clock[GCTRACE_PHASES]; /* Go 1.6 on: sweep termination, mark, mark termination; 1.5:
					 five phases */
	uint32_t n_clock;
	double cpu_assist, cpu_background, cpu_idle; /* of marking */
	double pause_ms; /* world stopped: the first and the last phase; in Go 1.4 all of it */
	double start_mib, end_mib, marked_mib, goal_mib, stacks_mib, globals_mib;
	int64_t procs, goroutines;
	bool forced, leak_check;
};

/** The scavenger. MiB; -1 unknown. */
struct gctrace_scav {
	double inuse_mib, idle_mib, sys_mib, released_mib, consumed_mib; /* scvg, up to Go 1.13 */
	double work_mib;     /* returned since the last line, in background and eagerly */
	double returned_mib; /* in all: "total" up to 1.20, "now" since */
	double util;	     /* share of the heap that is in use */
	bool forced;
};

struct gctrace_line {
	enum gctrace_kind kind;
	struct gctrace_gc gc;
	struct gctrace_scav scav;
};

/** Reads one line (without its newline). Something in front of it, as a log's time stamp, is fine.
 */
void gctrace_parse(const char *line, struct gctrace_line *ret);

#endif
