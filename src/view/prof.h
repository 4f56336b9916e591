/*
 * A snapshot's profiles, as runtime/pprof writes them and of kinds that no endpoint has: pure
 * functions from a snapshot to profile.proto's columns or to text, so that the command line, a
 * server and a test can all ask for them.
 */
#ifndef VIEW_PROF_H
#define VIEW_PROF_H

#include "base/str.h"
#include "pprof/profile.h"
#include "snapshot/snapshot.h"

enum prof_kind {
	PROF_HEAP,
	PROF_ALLOCS,
	PROF_GOROUTINE,
	PROF_BLOCK,
	PROF_MUTEX,
	PROF_THREADCREATE,
	PROF_SPACE,
	PROF_STACKS,
	PROF_FRAGMENTATION,
	PROF_KINDS
};

struct prof_request {
	enum prof_kind kind;
	bool now;    /* heap, allocs: what is allocated at this instant, not what is published */
	bool errors; /* heap, allocs: the standard error of each sample, as numeric labels */
};

struct prof_kind_info {
	const char *name;
	uint32_t needs;		  /* enum need: what its snapshot has to hold */
	const char *default_type; /* the sample type that people look at, by its name */
	const char *unit;
	bool text1, text2; /* debug=1, debug=2 exist */
	const char *what;  /* one line for help */
};
extern const struct prof_kind_info PROF_KIND[PROF_KINDS];
/** What a snapshot has to hold for a profile in a form: debug 0, 1 or 2. */
uint32_t prof_needs(const struct prof_request *q, unsigned debug);

/**
 * The profile as columns in `a`; equal, sample by sample, to what the program's own
 * runtime/pprof.Lookup(kind).WriteTo(w, 0) would write at that moment, where it has such a kind.
 * Errors: ERR_LIMIT.
 */
bool prof_build(const struct snapshot *s, const struct prof_request *q, struct arena *a,
		struct pprof *ret, struct err *err);

/** The text of WriteTo(w, debug), debug 1 or 2. Errors: ERR_USAGE where there is no such text. */
bool prof_text(const struct snapshot *s, const struct prof_request *q, unsigned debug,
	       struct arena *a, struct str *out, struct err *err);

#endif
