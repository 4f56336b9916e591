/* The answer of a forecast. */
#ifndef VIEW_VIEW_WHATIF_H
#define VIEW_VIEW_WHATIF_H

#include "series/whatif.h"
#include "view/report.h"

/** `advice`: the setting was searched, under `limit`. */
void whatif_report(const struct whatif *w, const char *name, bool advice, bytes limit,
		   struct arena *a, struct report *ret);

#endif
