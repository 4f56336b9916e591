/* Questions to a recording instead of a process. */
#ifndef FRONT_REPLAY_H
#define FRONT_REPLAY_H

#include "front/run.h"
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
 * Takes "x.db@10:00" apart: the file, and the moment as ns since the recording began. A moment is
 * "HH:MM", "HH:MM:SS" (local time, of the day that it began or the next), "+90s" since it began,
 * or "peak". False when there is no '@' with a file in front of it.
 */
bool replay_moment(const char *word, struct arena *a, const char **ret_path, const char **ret_at);
/** Errors: ERR_USAGE for what is no moment, or lies outside the recording. */
bool replay_time(const struct replay *p, const char *at, int64_t *ret_t_ns, struct err *err);

#endif
