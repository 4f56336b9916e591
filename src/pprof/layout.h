/* A picture of a call graph where dot is missing: layers by longest path, fewer crossings by
 * barycenters. Not as good as dot's, but readable. */
#ifndef PPROF_LAYOUT_H
#define PPROF_LAYOUT_H

#include "base/arena.h"
#include "base/str.h"

/**
 * SVG from what -dot prints; other programs' dot is not understood. Errors: ERR_LIMIT (more nodes
 * or edges than a picture can show), ERR_FORMAT.
 */
bool layout_svg(const char *dot, struct arena *a, struct str *svg, struct err *err);

#endif
