/* One line of the shell of `whyrss pprof`. */
#ifndef FRONT_PPROF_WORDS_H
#define FRONT_PPROF_WORDS_H

#include "front/pprof.h"

/** What a shell keeps between its lines. */
struct pprof_session {
	const struct pprof *p;
	struct pprof_config config; /* options that were set with name=value stay */
	struct arena *mem;	    /* for what is set; lives as long as the session */
	struct pprof_shown shown;
};

/** Starts a session from the command line's options. */
void pprof_session_open(struct pprof_session *s, const struct pprof *p,
			const struct pprof_config *c, const char *tools, struct arena *mem);
/** What a shell says first: which profile this is. */
void pprof_session_greet(const struct pprof_session *s, struct str *messages);
/**
 * Does a line: a report ("top10 -cum main >file"), name=value, a value's name, ":", o, help. A
 * report goes to `out`, all else to `messages`. False: the user wants to leave.
 */
bool pprof_session_line(struct pprof_session *s, const char *line, struct str *out,
			struct str *messages);
/**
 * Completes the last word of a line: a command's, an option's or a function's name. `to` gets the
 * line as far as it is certain, `choices` a line for each way to go on. False: there is none.
 */
bool pprof_session_complete(const struct pprof_session *s, const char *line, struct str *to,
			    struct str *choices);

#endif
