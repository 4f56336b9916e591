/* Questions to a recording instead of a process. */
#ifndef FRONT_REPLAY_H
#define FRONT_REPLAY_H

#include "front/run.h"
#include "front/source.h"
#include "series/story.h"

/** A recording that is open, with its story. */
struct replay {
	struct arena mem;
	struct recording *rec;
	struct story story;
};
/** Opens and reads all of it. Errors: as recording_open. */
bool replay_open(const char *path, struct replay *ret, struct err *err);
void replay_close(struct replay *p);

/** `whyrss x.db`: the report of the whole of it. */
bool replay_report(const struct replay *p, const char *name, struct arena *a, bool all,
		   struct report *ret, struct err *err);

/**
 * A moment as ns since the recording began: "HH:MM", "HH:MM:SS" (local time, of the day that it
 * began or the next), "+90s" since it began, "start", "end" or "peak".
 */
/** Errors: ERR_USAGE for what is no moment, or lies outside the recording. */
bool replay_time(const struct replay *p, const char *at, int64_t *ret_t_ns, struct err *err);
/** `whyrss x.db@10:00`. Errors: of replay_time and story_moment. */
bool replay_moment_report(struct replay *p, const char *name, const char *at, struct arena *a,
			  bool all, struct report *ret, struct err *err);
/** `whyrss diff x.db@10:00 x.db@11:00`; a word without a moment is its recording's end. */
bool replay_diff(const struct source_word *before, const struct source_word *after,
		 const char *const names[2], struct arena *a, bool all, struct report *ret,
		 struct err *err);

#endif
