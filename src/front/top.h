/* `whyrss top`: all Go processes, or some, as one table, or as a terminal interface. */
#ifndef FRONT_TOP_H
#define FRONT_TOP_H

#include "base/arena.h"
#include "front/run.h"

struct top_row {
	int pid;
	char program[48], go[24], cause[40];
	bytes rss;
	int64_t profile; /* -1: none */
	int64_t gap;
	uint64_t goroutines;
	bool read;	 /* profile, gap and cause are known */
	char why[120];	 /* they are not because of this; "" not yet */
	int64_t read_at; /* CLOCK_MONOTONIC; 0: never */
};

struct top_rows {
	struct top_row *v;
	uint32_t n, cap;
};

/** Brings the list of processes up to date; what was read of a row stays. n_pids 0: all Go
 * processes. */
bool top_list(struct top_rows *t, const int *pids, uint32_t n_pids, struct err *err);
/** Reads the ledger of one row. */
void top_read(struct top_row *r);
void top_free(struct top_rows *t);

enum exit_code top_run(const struct request *q, const struct outlet *to, struct str *messages);
/** The interface on the terminal, until the user has seen enough. `one`: begins with that process.
 */
enum exit_code tui_run(const int *pids, uint32_t n_pids, bool utf8, struct err *err);
struct replay;
/** The same for a recording, at a moment (NULL: its end). */
enum exit_code tui_replay(struct replay *r, const char *at, bool utf8, struct err *err);

#endif
