/* The answer of a recording. */
#ifndef VIEW_VIEW_RECORDING_H
#define VIEW_VIEW_RECORDING_H

#include "series/story.h"
#include "view/view.h"

/** `name`: the recording as the user names it. */
void recording_report(const struct story *s, const char *name, struct arena *a, bool all,
		      struct report *ret);

#endif
