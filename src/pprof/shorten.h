/* Function names for pictures. */
#ifndef PPROF_SHORTEN_H
#define PPROF_SHORTEN_H

#include "base/arena.h"

/** A name without its package path (Go), package and arguments (Java), namespaces (C++). */
const char *shorten_name(struct arena *a, const char *name);

#endif
