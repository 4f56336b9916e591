/* A stream of text with the lines of gctrace in it. */
#ifndef FRONT_GCTRACE_H
#define FRONT_GCTRACE_H

#include "base/arena.h"
#include "base/str.h"
#include "series/gctrace.h"

#define TRACE_CYCLES_MAX 2000000U

struct trace_reader {
	struct arena mem;
	int pass_fd; /* where other lines go */
	bool json;   /* lines of the trace go to standard output as JSON */
	char *line;
	size_t n;
	VEC(struct gctrace_gc) cycles;
	uint64_t scavs, others;
	struct str out;
	int failed; /* errno of a write */
};

void trace_init(struct trace_reader *t, int pass_fd, bool json);
/** Any piece of the stream. */
void trace_feed(struct trace_reader *t, const char *s, size_t n);
/** A plot and a line about all cycles; nothing without one. */
void trace_summary(struct trace_reader *t, struct str *to, bool utf8);
void trace_free(struct trace_reader *t);

#endif
