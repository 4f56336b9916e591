/* Internal to goruntime/: a session as text, for captures. */
#ifndef GORUNTIME_SAVED_H
#define GORUNTIME_SAVED_H

#include "goruntime/rt.h"

/** What is kept as a result, since its memory is the program's own: malloc's heap, pools, views. */
struct saved {
	struct native native;
	struct small_views small_views;
	bytes pool_bytes;
	int64_t ticks_per_second;
	bool stacks, held;
	struct aside_note *notes;
	uint32_t n_notes;
};

/** Fills a session and g->saved from the text of go_save; errors: ERR_FORMAT, ERR_LIMIT. */
bool session_load(struct go_session *g, const char *text, size_t n, struct err *err);

#endif
