/*
 * Commands that watch a process over time, and the loop that they share: open, wait, step, and end
 * in good order when the time is up, the process ends or the user has seen enough.
 */
#ifndef FRONT_WATCH_H
#define FRONT_WATCH_H

#include <pthread.h>

#include "front/run.h"
#include "front/source.h"
#include "series/lines.h"
#include "series/recording.h"
#include "series/sampler.h"

/** Runs a VIEW_WATCH command; prints its answer itself, messages go to `messages`. */
enum exit_code watch_run(const struct request *q, const struct outlet *to, struct str *messages);

enum watch_state {
	WATCH_ON,
	WATCH_TIME,   /* --duration is over */
	WATCH_SIGNAL, /* SIGINT, SIGTERM or SIGHUP */
	WATCH_GONE,   /* the process ended */
	WATCH_STOP,   /* the sink asked to stop */
};

struct watch {
	struct source *source;
	struct sampler *sampler;
	struct lines_reader *lines; /* NULL: not asked for */
	int signals;		    /* a signalfd */
	int64_t end;		    /* CLOCK_MONOTONIC; INT64_MAX: never */
	enum watch_state state;
	bool stop; /* a sink sets it */
};

struct watch_options {
	double hz;
	int64_t duration;    /* ns; 0: no end */
	int64_t lines_every; /* ns; 0: no lines */
	ledger_sink ledger;  /* NULL: none */
	void *ledger_ctx;
};

/** Opens a process, by PID or name. Errors: as source_open; ERR_USAGE for what is no process. */
bool watch_open(const char *target, const struct watch_options *o, struct watch *ret,
		struct err *err);
/** The same for a source word that was looked at. */
bool watch_open_word(const struct source_word *w, const struct watch_options *o, struct watch *ret,
		     struct err *err);
/**
 * Waits for what is due, or for input on `fd` (-1: none), or at most max_ns (0: no bound), and
 * hands events to the sink. False when the watch is over: see state. *err only with WATCH_GONE.
 */
bool watch_step(struct watch *w, int fd, int64_t max_ns, event_sink sink, void *ctx,
		struct err *err);
void watch_close(struct watch *w);

/** A descriptor that SIGINT, SIGTERM and SIGHUP make readable, in place of ending the program; -1
 * and errno. */
int watch_signals(void);

/** Reads --hz and --duration. */
bool watch_options_take(const struct options *o, struct watch_options *ret, struct err *err);

/** Writes all of it and empties it; false: nobody reads any more, or the disk is full (errno). */
bool put_out(struct str *s);

/** Writes an answer now, as --json or as text; false as put_out. */
bool put_report(const struct report *r, const struct options *o, const struct outlet *to);

/** Writes messages to stderr now and empties them. */
void put_err(struct str *messages);

/** Writes ledgers into a recording: each one's lines, the whole once a minute and at each new peak.
 */
struct ledger_keeper {
	struct recording *rec;
	const char *name;     /* of the target, as the user would name it */
	int64_t began;	      /* CLOCK_MONOTONIC */
	pthread_mutex_t lock; /* of the rest */
	bytes peak;	      /* of a ledger that was written */
	int64_t last_whole;   /* -1: none */
	bool failed;
	struct err err; /* of the first failure */
};
/** A ledger_sink; ctx: a struct ledger_keeper. */
void ledger_keep(void *ctx, const struct event *at, const struct ledger *l);
void keeper_failed(struct ledger_keeper *k, const struct err *err);
/** Whether this RSS is so much above `asked`, which it then becomes, that it is worth a ledger of
 * its own. */
bool new_peak(bytes *asked, bytes rss);

enum exit_code record_run(const struct request *q, struct str *messages);
enum exit_code whatif_run_command(const struct request *q, const struct outlet *to,
				  struct str *messages);
enum exit_code gctrace_run(const struct request *q, const struct outlet *to, struct str *messages);
/** Returns the program's own exit code; 128 and the signal's number when one ended it. */
int program_run(const struct request *q, const struct outlet *to, struct str *messages);
enum exit_code check_run(const struct request *q, struct str *messages);
enum exit_code live_run(const struct request *q, const struct outlet *to, struct str *messages);

#endif
