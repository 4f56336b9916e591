/* The page with its answers inside: one HTML file that needs no server. */
#ifndef FRONT_WEB_REPORT_H
#define FRONT_WEB_REPORT_H

#include "base/str.h"
#include "view/view.h"

/** What a snapshot has to hold for it. */
uint32_t web_report_needs(void);

/** Appends the file. `target`: as the user named it. Errors: ERR_LIMIT, ERR_USAGE. */
bool web_report_write(const struct snapshot *s, const char *target, struct arena *a,
		      struct str *out, struct err *err);
/** `whyrss report`: the file goes into ret->file. As a view's run. */
bool web_report_run(const struct subject *in, const struct options *o, struct arena *a,
		    struct report *ret, struct err *err);

#endif
