/* `whyrss pprof`: the flags of go tool pprof, and what becomes of a report. */
#ifndef FRONT_PPROF_H
#define FRONT_PPROF_H

#include "front/run.h"
#include "pprof/objects.h"
#include "pprof/report.h"

/** The machine's C++ runtime, loaded when the first name is met. Zero it. */
struct cpp {
	bool tried;
	char *(*demangle)(const char *name, char *buf, size_t *n, int *status);
};
/** A pprof_demangler; ctx is a struct cpp. */
const char *cpp_demangle(void *ctx, const char *mangled, struct arena *a);

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
 * Runs a program, never a shell, with `in` at its standard input; its output is added to *out,
 * which grows to `limit` at most. Errors: ERR_OS (what argv[0] is not there for, or ended with).
 */
bool pprof_filter(const char *const *argv, const struct str *in, bytes limit, struct str *out,
		  struct err *err);

/** Binaries of the machine; see pprof/objects.h. */
struct pprof_binaries {
	struct arena *mem;
	const char *tools; /* of flag -tools */
	bool looked, llvm;
	const char *objdump; /* NULL: there is none */
	struct cpp cpp;
};
void pprof_binaries_open(struct pprof_binaries *b, const char *tools, struct arena *mem,
			 struct pprof_objects *ret);

/** What reports leave: files that viewers were given are removed when the program ends. */
struct pprof_shown {
	struct arena *mem;
	const char *tools;
	VEC(char *) files;
	int64_t last_ms; /* of CLOCK_MONOTONIC, when one was started */
	bool shell; /* viewers go on beside it, and a picture goes to a file, not to the terminal */
};

/**
 * Makes a report and puts it where the options say: a file, a program that draws or shows it, else
 * `out`.
 */
bool pprof_show(const struct pprof *p, const struct pprof_config *c,
		const struct pprof_command *cmd, const char *pattern, struct pprof_shown *shown,
		struct str *out, struct str *messages, struct err *err);
/** Removes those files, a second after the last viewer was started: it may still be opening. */
void pprof_shown_end(struct pprof_shown *shown);

/** Reads lines from standard input and does them; with a terminal, it can be edited. */
void pprof_shell(const struct pprof *p, const struct pprof_config *c, const char *tools,
		 struct arena *mem);

/** Opens an address in a browser of the user's; it goes on beside this. False: there is none. */
bool pprof_browse(const char *url, struct arena *mem);

/** -http: the page of `whyrss serve` with this profile, whose arena it takes. */
enum exit_code pprof_http(const struct pprof_call *call, const struct pprof *p, struct arena *mem,
			  struct str *messages);

/** `whyrss pprof …`: argv[0] is "pprof". */
enum exit_code pprof_run(int argc, const char *const *argv, struct str *out, struct str *messages);
/** What a profile alone is answered with: `whyrss pprof -top SOURCE`. */
enum exit_code pprof_top(const char *source, struct str *out, struct str *messages);

#endif
