/* Reports as text, JSON and CSV. Pure: they write into a string, so that tests and a server can use
 * them. */
#ifndef FRONT_RENDER_H
#define FRONT_RENDER_H

#include "base/str.h"
#include "view/report.h"

/** Columns that text takes at least. */
#define WIDTH_MIN 40U

/** What the text is made for. */
struct text_style {
	uint32_t width; /* columns */
	bool colour;
	bool utf8; /* false: bars and dots become ASCII */
	bool cut;  /* names are cut to the width; false where the text goes to a file or a pipe */
	bool all;  /* with rows of zeros and details */
};

/** Every string of the report is taken as foreign: control bytes, escapes and bidi marks become
 * '?'. */
void render_text(struct str *to, const struct report *r, const struct text_style *style);
/** One value; `indent` over several lines, else on one. No newline at the end. */
void render_json(struct str *to, const struct value *v, bool indent);
/** The main table of a report with its keys as a heading (RFC 4180, LF); false when the report has
 * none. */
bool render_csv(struct str *to, const struct report *r);

#endif
