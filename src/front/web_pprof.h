/* Profiles over HTTP: net/http/pprof's endpoints. */
#ifndef FRONT_WEB_PPROF_H
#define FRONT_WEB_PPROF_H

#include "front/web_pool.h"

/** What net/http/pprof has and what is served here. */
struct web_profile {
	const char *name, *what;
	int kind;	  /* enum prof_kind; -1: not a profile of the list */
	const char *lack; /* why it can't be served (501); NULL: it can */
};
extern const struct web_profile WEB_PROFILES[];
extern const unsigned N_WEB_PROFILES;
const struct web_profile *web_profile_find(const char *name);

/** Checks what goes with a profile's name. NULL: fine; else a sentence for status *ret_status. */
const char *web_pprof_check(const struct question *q, const struct web_profile *w,
			    unsigned *ret_status);
/** ASK_PPROF: the profile `what`, "cmdline", "symbol", or "" for the index. NULL and no error:
 * later. */
struct answer *web_pprof(struct pool *p, struct job *j, struct arena *a, struct err *err);

#endif
