/* Profiles as the page reads them: stacks in JSON, and the reports of google/pprof as text; of
 * processes, cores and what is on the shelf. */
#ifndef FRONT_WEB_STACKS_H
#define FRONT_WEB_STACKS_H

#include "front/web_pool.h"

/** A profile of a snapshot as stacks in JSON. Errors: ERR_LIMIT. */
bool web_stacks_write(const struct snapshot *s, int kind, struct arena *a, struct str *out,
		      struct err *err);
/** ASK_STACKS: the profile `what`, or the one on the shelf. Parameters: pprof's filters. */
struct answer *web_stacks(struct pool *p, struct job *j, struct arena *a, struct err *err);
/** ASK_TEXT: "KIND/REPORT", or "REPORT" of the shelf's profile. */
struct answer *web_text(struct pool *p, struct job *j, struct arena *a, struct err *err);
/** ASK_UPLOAD: the body is a profile. */
struct answer *web_upload(struct pool *p, struct job *j, struct arena *a, struct err *err);
/** ASK_SHELF: the profiles that are there. */
struct answer *web_shelf(struct pool *p, struct job *j, struct arena *a, struct err *err);

#endif
