/*
 * Watches a running Go program: cheap samples at a rate, every finished GC cycle once and in order.
 *
 * For a server or a screen that shows it live (the web page's Live tab): open a target and a
 * session as for a snapshot, sampler_open, then in the own loop wait until sampler_due() and call
 * sampler_step(); each event that it hands over is the line of `whyrss live --json` after
 * event_json() (series/event.h). A sampler belongs to one thread. RSS by line comes from
 * lines_open() (series/lines.h), which has a thread, a target and a session of its own, so that the
 * page walk never delays a sample: lines_take() gives its newest point as such an event.
 */
#ifndef SERIES_SAMPLER_H
#define SERIES_SAMPLER_H

#include "series/event.h"

#define SAMPLER_HZ     10.0
#define SAMPLER_HZ_MAX 1000.0

struct sampler;

typedef void (*event_sink)(void *ctx, const struct event *e);

/** hz: samples a second, 0.01 … SAMPLER_HZ_MAX. Errors: as words_open. */
bool sampler_open(struct go_session *g, double hz, struct arena *a, struct sampler **ret,
		  struct err *err);
/** When the next reading is due, CLOCK_MONOTONIC ns. */
int64_t sampler_due(const struct sampler *s);
/** Reads, and hands over what there is. Errors: ERR_GONE (the process ended), ERR_FAULT. */
bool sampler_step(struct sampler *s, event_sink sink, void *ctx, struct err *err);
/** When the watch began, CLOCK_MONOTONIC and unix ns. */
int64_t sampler_began(const struct sampler *s, int64_t *ret_unix_ns);
/** The words as last read. */
const struct words *sampler_words(const struct sampler *s);
/** Of the release: 26 for Go 1.26. */
int sampler_minor(const struct sampler *s);
/** How many readings there were, for tests and --verbose. */
uint64_t sampler_reads(const struct sampler *s);

#endif
