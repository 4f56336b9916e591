/* From the words of a `whyrss pprof` command line to one profile, ready for its first report. */
#ifndef FRONT_PPROF_FETCH_H
#define FRONT_PPROF_FETCH_H

#include "front/pprof.h"

/** Where a mapping's addresses can be asked for: the URL that the profile came from. */
struct pprof_origin {
	const char *key; /* the mapping's build id, else its file */
	const char *url;
	uint64_t start; /* of the mapping in that profile */
};

struct pprof_origins {
	VEC(struct pprof_origin) v;
};

/** Whether a source or base is a URL. */
bool pprof_is_remote(const struct pprof_sources *from, struct arena *a);

/**
 * Reads, merges, subtracts, symbolizes and prunes as google/pprof's fetchProfiles does. A source
 * that fails costs a line of `messages` and sets *ret_partly, unless it was the only one.
 * Errors: of the only source, or ERR_FORMAT when profiles can't be put together.
 */
bool pprof_fetch(const struct pprof_sources *from, struct arena *a, struct pprof *ret,
		 bool *ret_partly, struct str *messages, struct err *err);

/**
 * Names for the locations that have none, from files and, where the profile came from a URL, from
 * its symbol handler; then demangling. `mode` is the flag -symbolize. Errors: remote ones only.
 */
bool pprof_symbolize(struct pprof *p, const struct pprof_sources *from,
		     const struct pprof_origins *origins, struct str *messages, struct err *err);

#endif
