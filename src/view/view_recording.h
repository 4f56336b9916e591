/* The answer of a recording. */
#ifndef VIEW_VIEW_RECORDING_H
#define VIEW_VIEW_RECORDING_H

#include "series/story.h"
#include "view/view.h"

/** `name`: the recording as the user names it. */
void recording_report(const struct story *s, const char *name, struct arena *a, bool all,
		      struct report *ret);

/** What it says of one moment; `name`: as the user names it, "x.db@10:00". */
void moment_report(const struct story *s, const struct moment *m, const char *name, struct arena *a,
		   bool all, struct report *ret);

struct moment_side {
	const struct story *s;
	const struct moment *m;
	const char *name;
};
/** What changed from one moment to another, of one recording or of two. */
void moment_diff_report(const struct moment_side *before, const struct moment_side *after,
			struct arena *a, bool all, struct report *ret);

/* What both files have in common. */

/** Local time of day. */
const char *clock_words(struct arena *a, int64_t unix_ns);
/** pid, exe, go. */
struct value recording_target_json(struct arena *a, const struct recording_info *i);
/** Call sites as recorded, one a row. */
struct table *recording_sites_table(struct arena *a, const struct site_row *v, uint32_t n,
				    bool all);
/** "func" and "file:line" of the leaf of a stack as recorded. */
void recording_leaf(struct arena *a, const char *stack, const char **ret_func, const char **ret_at);

#endif
