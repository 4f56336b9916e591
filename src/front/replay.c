/* Opens a recording and finds moments in it; what it says is made in series/ and view/. */
#include "front/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/unit.h"
#include "view/view_recording.h"

bool replay_open(const char *path, struct replay *ret, struct err *err)
{
	struct replay p = {0};
	struct recording_info info;

	arena_init(&p.mem, (bytes)2 << 30);
	if (!recording_open(path, &p.mem, &p.rec, &info, err)) {
		arena_free(&p.mem);
		return false;
	}
	if (!story_read(p.rec, &info, INT64_MIN, INT64_MAX, &p.mem, &p.story, err)) {
		replay_close(&p);
		return false;
	}
	*ret = p;
	return true;
}

void replay_close(struct replay *p)
{
	recording_close(p->rec);
	p->rec = NULL;
	arena_free(&p->mem);
}

bool replay_report(const struct replay *p, const char *name, struct arena *a, bool all,
		   struct report *ret, struct err *err)
{
	(void)err;
	recording_report(&p->story, name, a, all, ret);
	return true;
}

/* By the samples' own wall clock, which may have been set while they were taken. */
static bool find_time_of_day(const struct story *s, int64_t unix_ns, int64_t *ret_t_ns)
{
	const int64_t minute = INT64_C(60000000000); /* that it began or ended in is meant, too */
	int64_t best = INT64_MAX, first = INT64_MAX, last = INT64_MIN;

	for (uint32_t i = 0; i < s->n_samples; i++) {
		int64_t at = s->samples[i].unix_ns;

		first = MIN(first, at);
		last = MAX(last, at);
		if (llabs(at - unix_ns) >= best)
			continue;
		best = llabs(at - unix_ns);
		*ret_t_ns = s->samples[i].t_ns;
	}
	return best <= minute || (unix_ns > first && unix_ns < last);
}

bool replay_time(const struct replay *p, const char *at, int64_t *ret_t_ns, struct err *err)
{
	const struct story *s = &p->story;
	time_t began = (time_t)(s->info.began_unix_ns / 1000000000);
	int hour, minute, second = 0, used = 0;
	int64_t t;
	struct tm tm;

	if (!strcmp(at, "peak") || !strcmp(at, "start") || !strcmp(at, "end")) {
		*ret_t_ns = *at == 'p' ? s->peak_t_ns : *at == 's' ? s->from_ns : s->to_ns;
		return true;
	}
	if (*at == '+' && unit_parse_duration(at + 1, &t)) {
		if (t <= s->to_ns) {
			*ret_t_ns = t;
			return true;
		}
		goto outside;
	}
	if ((sscanf(at, "%2d:%2d:%2d%n", &hour, &minute, &second, &used) == 3 ||
	     (second = 0, sscanf(at, "%2d:%2d%n", &hour, &minute, &used)) == 2) &&
	    !at[used] && hour < 24 && minute < 60 && second < 60 && hour >= 0 && minute >= 0 &&
	    second >= 0) {
		localtime_r(&began, &tm);
		tm.tm_hour = hour;
		tm.tm_min = minute;
		tm.tm_sec = second;
		tm.tm_isdst = -1;
		for (int day = 0; day < 2; day++, tm.tm_mday++) {
			struct tm copy = tm;

			if (find_time_of_day(s, (int64_t)mktime(&copy) * 1000000000, ret_t_ns))
				return true;
		}
		goto outside;
	}
	return err_set(err, ERR_USAGE,
		       "@%.40s: not a moment; give HH:MM, HH:MM:SS, +90s, start, peak or end", at);
outside:
	return err_set(err, ERR_USAGE, "@%.40s: outside of the recording", at);
}

bool replay_moment_report(struct replay *p, const char *name, const char *at, struct arena *a,
			  bool all, struct report *ret, struct err *err)
{
	struct moment m;
	int64_t t = 0;

	if (!replay_time(p, at, &t, err) || !story_moment(p->rec, &p->story, t, &p->mem, &m, err))
		return false;
	moment_report(&p->story, &m, name, a, all, ret);
	return true;
}

bool replay_diff(const struct source_word *before, const struct source_word *after,
		 const char *const names[2], struct arena *a, bool all, struct report *ret,
		 struct err *err)
{
	const struct source_word *words[2] = {before, after};
	struct replay open[2] = {0};
	struct moment m[2];
	struct moment_side side[2];
	unsigned n = 0;
	bool ok = true;

	for (; ok && n < 2; n++) {
		struct replay *p = &open[n];
		int64_t t = 0;

		if (words[n]->kind != SOURCE_RECORDING)
			ok = err_set(err, ERR_USAGE,
				     "diff: a moment of a recording can be compared with another "
				     "one only, as x.db@10:00 x.db@11:00");
		ok = ok && replay_open(words[n]->path, p, err);
		if (!ok)
			break;
		ok = replay_time(p, words[n]->at ? words[n]->at : "end", &t, err) &&
		     story_moment(p->rec, &p->story, t, &p->mem, &m[n], err);
		side[n] = (struct moment_side){&p->story, &m[n], names[n]};
	}
	if (ok)
		moment_diff_report(&side[0], &side[1], a, all, ret);
	for (unsigned i = 0; i < 2; i++)
		if (open[i].rec)
			replay_close(&open[i]);
	return ok;
}
