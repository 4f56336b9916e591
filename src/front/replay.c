/* Opens a recording and finds moments in it; what it says is made in series/ and view/. */
#include "front/replay.h"

#include <stdio.h>
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

bool replay_moment(const char *word, struct arena *a, const char **ret_path, const char **ret_at)
{
	const char *at = strrchr(word, '@');

	if (!at || at == word || !at[1])
		return false;
	*ret_path = arena_strndup(a, word, (size_t)(at - word));
	*ret_at = at + 1;
	return true;
}

bool replay_time(const struct replay *p, const char *at, int64_t *ret_t_ns, struct err *err)
{
	const struct story *s = &p->story;
	time_t began = (time_t)(s->info.began_unix_ns / 1000000000);
	int hour, minute, second = 0, used = 0;
	int64_t t;
	struct tm tm;

	if (!strcmp(at, "peak")) {
		*ret_t_ns = s->peak_t_ns;
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

			t = ((int64_t)mktime(&copy) - (int64_t)began) * 1000000000;
			/* a minute that it began or ended in is meant, too */
			if (t >= s->from_ns - INT64_C(60000000000) &&
			    t <= s->to_ns + INT64_C(60000000000)) {
				*ret_t_ns = MAX(t, s->from_ns);
				return true;
			}
		}
		goto outside;
	}
	return err_set(err, ERR_USAGE, "@%.40s: not a moment; give HH:MM, HH:MM:SS, +90s or peak",
		       at);
outside:
	return err_set(err, ERR_USAGE, "@%.40s: outside of the recording", at);
}
