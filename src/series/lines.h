/*
 * RSS by line over time. A walk of the page tables takes milliseconds, so it is done in a thread
 * with a target and session of its own, and only as often as a share of one core allows.
 */
#ifndef SERIES_LINES_H
#define SERIES_LINES_H

#include "series/event.h"

#define LINES_EVERY_NS INT64_C(1000000000)
#define LINES_BUDGET   0.01 /* of one core */

struct lines_reader;

/** Called in the reader's thread with each ledger, before it is freed. */
typedef void (*ledger_sink)(void *ctx, const struct event *e, const struct ledger *l);

/** sink may be NULL. every_ns: not more often than this; 0: LINES_EVERY_NS. Errors: of live_open
 * and go_open. */
bool lines_open(int pid, int64_t every_ns, ledger_sink sink, void *ctx, struct lines_reader **ret,
		struct err *err);
/** The newest point that was not taken yet: an EVENT_LINES whose t_ns is CLOCK_MONOTONIC. */
bool lines_take(struct lines_reader *r, struct event *ret);
/** Asks for a reading now, out of turn (a new peak); it counts against the budget. */
void lines_now(struct lines_reader *r);
/** Waits for the reading that runs. r may be NULL. */
void lines_close(struct lines_reader *r);
/** CPU time of all readings so far, ns. */
int64_t lines_cost(struct lines_reader *r);

/** The event out of a ledger. */
void lines_of(const struct ledger *l, struct lines_event *ret);

#endif
