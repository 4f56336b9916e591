/* What is done to every profile before anybody looks at it. */
#ifndef PPROF_PRUNE_H
#define PPROF_PRUNE_H

#include "pprof/profile.h"

/**
 * Drops the frames that the profile itself calls uninteresting (drop_frames, except keep_frames),
 * and what they called. Patterns that can't be compiled drop nothing, as in google/pprof.
 */
void pprof_drop_frames(struct pprof *p);
/**
 * Short names for people: mangled and overlong C++ names (full: with their parameters and template
 * arguments), by google/pprof's rules. `demangle` gives the full name of a mangled one in `a`, or
 * NULL; it is asked for names that begin with _Z or _R only, and may be NULL.
 */
typedef const char *pprof_demangler(void *ctx, const char *mangled, struct arena *a);
enum pprof_demangle { PPROF_DEMANGLE_SHORT, PPROF_DEMANGLE_TEMPLATES, PPROF_DEMANGLE_FULL };
/** One name; NULL: it is not mangled, or can't be read. */
const char *pprof_demangled(const char *name, enum pprof_demangle how, pprof_demangler *demangle,
			    void *ctx, struct arena *a);
void pprof_demangle(struct pprof *p, enum pprof_demangle how, pprof_demangler *demangle, void *ctx);

#endif
