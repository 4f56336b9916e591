/* `whyrss pprof`: the flags of go tool pprof, and what becomes of a report. */
#ifndef FRONT_PPROF_H
#define FRONT_PPROF_H

#include "front/run.h"
#include "pprof/report.h"

/** Where profiles come from. Numbers: -1 not given; texts: "" not given. */
struct pprof_sources {
	const char *const *sources;
	uint32_t n_sources;
	const char *const *bases; /* to be subtracted */
	uint32_t n_bases;
	bool diff_base;	 /* percentages are of the base */
	bool normalize;	 /* scale to the base's total first */
	bool all_frames; /* ignore drop_frames and keep_frames */
	const char *exec_name, *build_id, *symbolize, *comment, *tools;
	int seconds, timeout;
	const char *tls_cert, *tls_key, *tls_ca;
	bytes max_memory; /* 0: the default */
};

/** What a command line asks for. */
struct pprof_call {
	struct pprof_config config;
	const struct pprof_command *command; /* NULL: the shell */
	const char *pattern;		     /* of the command; NULL: none */
	const char *http;		     /* "": no page */
	bool no_browser;
	struct pprof_sources from;
};

/** argv[0] is no flag. Errors: ERR_USAGE; ERR_NONE: -help. */
bool pprof_parse_flags(int argc, const char *const *argv, struct arena *a, struct pprof_call *ret,
		       struct str *messages, struct err *err);

/** All reports, options and flags. */
void pprof_flags_help(struct str *to);

/**
 * Makes a report and puts it where the options say: a file, a program that draws or shows it, else
 * `out`. shell: a picture goes to a file of its own rather than to the terminal.
 */
bool pprof_show(const struct pprof *p, const struct pprof_config *c,
		const struct pprof_command *cmd, const char *pattern, bool shell, struct str *out,
		struct str *messages, struct err *err);

/** `whyrss pprof …`: argv[0] is "pprof". */
enum exit_code pprof_run(int argc, const char *const *argv, struct str *out, struct str *messages);
/** What a profile alone is answered with: `whyrss pprof -top SOURCE`. */
enum exit_code pprof_top(const char *source, struct str *out, struct str *messages);

#endif
