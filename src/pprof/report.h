/* Reports about a profile: pure functions from a profile and options to text. */
#ifndef PPROF_REPORT_H
#define PPROF_REPORT_H

#include "pprof/config.h"
#include "pprof/profile.h"

enum pprof_format {
	PPROF_CALLGRIND,
	PPROF_COMMENTS,
	PPROF_DISASM,
	PPROF_DOT,
	PPROF_LIST,
	PPROF_PROTO,
	PPROF_RAW,
	PPROF_TAGS,
	PPROF_TEXT_TOP,
	PPROF_TOPPROTO,
	PPROF_TRACES,
	PPROF_TREE,
	PPROF_WEBLIST,
};

enum pprof_command_id {
#define COMMAND(id, name, format, pattern, dot, viewers, suffix, help, args) PPROF_CMD_##id,
#include "pprof/commands.def"
#undef COMMAND
	N_PPROF_COMMANDS
};

struct pprof_command {
	const char *name;
	enum pprof_format format;
	bool pattern; /* takes one */
	const char *dot, *viewers, *suffix, *help, *args;
};
extern const struct pprof_command PPROF_COMMANDS[N_PPROF_COMMANDS];

const struct pprof_command *pprof_command_find(const char *name);

struct pprof_objects;

/** What a report needs from the outside: front/ gives it, so that nothing here does I/O. */
struct pprof_env {
	void *ctx;
	/** The whole text of a file, NUL-terminated in the arena; NULL: *ret_errno says why. */
	const char *(*read_file)(void *ctx, const char *path, struct arena *a, size_t *ret_n,
				 int *ret_errno);
	/** Takes what has been printed and empties the text; false: print no more. NULL: all is
	 * kept. */
	bool (*flush)(void *ctx, struct str *out);
	/** This is the last report of the profile: its tables may be used up. */
	bool last;
	const char *cwd;		     /* where source files are looked for by default */
	const struct pprof_objects *objects; /* NULL: binaries can't be read */
};

/**
 * Makes a report. Messages (filters without a match …) are added to `messages`, a line each.
 * Errors: ERR_USAGE (an option or pattern is wrong), ERR_FORMAT (the profile can't answer it).
 */
bool pprof_report(const struct pprof *p, const struct pprof_config *c,
		  const struct pprof_command *cmd, const char *pattern, const struct pprof_env *env,
		  struct str *out, struct str *messages, struct err *err);

/** The header lines of a profile for a greeting, "Type: …"; *ret_total the sum. */
bool pprof_summary(const struct pprof *p, const struct pprof_config *c, struct str *out,
		   struct str *messages, int64_t *ret_total, struct err *err);
/** Which of the profile's values `name` means ("" the default one). Errors: ERR_USAGE. */
bool pprof_sample_index(const struct pprof *p, const char *name, uint32_t *ret, struct err *err);

#endif
