/* Source files by the names that profiles have for them. */
#ifndef PPROF_SRCFILE_H
#define PPROF_SRCFILE_H

#include "pprof/report.h"

struct srcfile_line {
	const char *s;
	size_t n;
};

struct srcfile {
	const char *path; /* as the profile has it */
	struct srcfile_line *lines;
	int64_t n_lines;
	const char *error; /* NULL: it was read */
};

/** Files that were looked for. */
struct srcfiles {
	struct arena *mem;
	const struct pprof_env *env;
	const char *search, *trim; /* options source_path and trim_path */
	VEC(struct srcfile *) v;
};

/** A file; see `error`. NULL: it was not looked for before, and `read` says not to do so now. */
const struct srcfile *srcfile_get(struct srcfiles *s, const char *path, bool read);

#endif
