/*
 * whyrss watch: waits for a level and captures. The program is found and its session opened before
 * it is needed, so that at the level only the reading is left, some milliseconds. Polled and not
 * notified: cgroup v1 has thresholds, v2 has pressure, and neither tells of RSS; one small file
 * read in time tells all three.
 */
#include "front/capture.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/unit.h"
#include "front/watch.h"

#define MS	 INT64_C(1000000)
#define WAIT_MIN (4 * MS)
#define WAIT_MAX (250 * MS)
#define FASTEST	 (4 * GIB) /* bytes a second that it may grow and not pass the level unseen */
#define REARM	 95U	   /* percent of the level */
#define NUMBERED 10000U

struct await {
	struct source_word word;
	struct capture_options capture;
	struct source *source;	    /* opened, not yet read */
	struct cgroup_meter *meter; /* NULL: by RSS */
	bytes level;		    /* bytes of RSS or of what the cgroup holds */
	bytes limit;
	bytes now, peak, rss;
	uint64_t oom_kills;
	uint32_t captures;
	bool armed, signalled;
	int signals;
};

static bool take_level(struct await *w, const struct options *o, int pid, struct arena *a,
		       struct err *err)
{
	const char *text = option_set(o, OPT_AT) ? o->v[OPT_AT].text : "90%";
	struct cgroup_level now;
	double percent;
	char *end;

	percent = strtod(text, &end);
	if (end == text || strcmp(end, "%") != 0) {
		if (!unit_parse_bytes(text, &w->level) || w->level == 0)
			return err_set(err, ERR_USAGE,
				       "--at %.30s: not a level such as 90%% or 2GiB", text);
		return true;
	}
	if (!(percent > 0 && percent <= 100))
		return err_set(err, ERR_USAGE, "--at %.30s: not a part of a limit", text);
	if (!cgroup_meter_open(pid, NULL, a, &w->meter) || !cgroup_meter_read(w->meter, &now))
		return err_set(err, ERR_USAGE,
			       "process %d is in no cgroup with a memory limit that can be seen; "
			       "give a size of RSS: --at 2GiB",
			       pid);
	w->limit = now.limit;
	w->oom_kills = now.oom_kills;
	w->level = (bytes)((double)now.limit / 100 * percent);
	return true;
}

/* Where it stands; false when the process has ended. */
static bool look(struct await *w, struct err *err)
{
	struct cgroup_level c;

	if (!target_rss(w->source->inner, &w->rss, err))
		return false;
	w->now = w->rss;
	if (w->meter && cgroup_meter_read(w->meter, &c))
		w->now = c.held;
	w->peak = MAX(w->peak, w->now);
	return true;
}

static bool open_source(struct await *w, struct err *err)
{
	struct source_options o = w->capture.source;

	o.record = true;
	if (!source_open(&w->word, &o, &w->source, err))
		return false;
	go_later(w->source->g); /* NOLINT(clang-analyzer-core.NullDereference): it is open */
	w->source->began = 0;
	return true;
}

/* Waits until the next look is due; false on a signal. */
static bool pause_until_next(struct await *w)
{
	bytes left = w->now < w->level ? w->level - w->now : 0;
	int64_t ns = w->armed ? (int64_t)((double)left / (double)FASTEST * 1e9) : WAIT_MAX;
	struct pollfd p = {w->signals, POLLIN, 0};
	struct timespec t;

	ns = MIN(MAX(ns, WAIT_MIN), WAIT_MAX);
	t = (struct timespec){0, ns};
	return ppoll(&p, 1, &t, NULL) <= 0;
}

/* -o FILE with a number from the second capture on: x.whyrss, x-2.whyrss. */
static const char *next_path(const struct await *w, struct arena *a)
{
	const char *path = w->capture.path, *dot;

	if (!path || w->captures == 0)
		return path;
	dot = strrchr(path, '.');
	if (!dot || strchr(dot, '/'))
		dot = path + strlen(path);
	return arena_printf(a, "%.*s-%u%s", (int)(dot - path), path, w->captures + 1, dot);
}

/* Why the wait is over, in one line. */
static void say_end(const struct await *w, const struct err *why, struct str *messages)
{
	char peak[UNIT_TEXT], level[UNIT_TEXT];
	struct cgroup_level c;
	struct err e = {.kind = why->kind};
	bool killed = w->meter && cgroup_meter_read(w->meter, &c) && c.oom_kills > w->oom_kills;

	if (why->kind != ERR_GONE) {
		message_add(messages, why);
		return;
	}
	unit_bytes(peak, w->peak);
	unit_bytes(level, w->level);
	snprintf(e.msg, sizeof(e.msg),
		 "process %d has ended%s; %s; the most that was seen was %s of %s", w->word.pid,
		 killed ? " (its cgroup had an OOM kill)" : "",
		 w->captures == 0   ? "nothing was captured"
		 : w->captures == 1 ? "it was captured once"
				    : "it was captured more than once",
		 peak, level);
	message_add(messages, &e);
}

static bool capture_now(struct await *w, const struct options *o, const struct outlet *to,
			struct err *err)
{
	CLEANUP(arena_free) struct arena a = {0};
	struct capture_options co = w->capture;
	struct captured c;

	arena_init(&a, 0);
	co.path = next_path(w, &a);
	if (!capture_from(w->source, &co, &a, &c, err))
		return false;
	w->captures++;
	return capture_say(&c, o, to, &a) || err_os(err, ERR_OS, "standard output");
}

enum exit_code await_run(const struct request *q, const struct outlet *to, struct str *messages)
{
	CLEANUP(arena_free) struct arena a = {0};
	const struct options *o = &q->options;
	struct await w = {
		.capture = {.source = {.pss = option_set(o, OPT_PSS)},
			    .stacks = option_set(o, OPT_STACKS),
			    .path = option_set(o, OPT_OUTPUT) ? o->v[OPT_OUTPUT].text : NULL},
		.armed = true,
		.signals = -1};
	struct err err = {0};
	bool ok = false;

	arena_init(&a, 0);
	if (q->n_words != 1)
		err_set(&err, ERR_USAGE, "watch: give one TARGET: a PID or a process name");
	else if (source_find(q->words[0], &a, &w.word, &err))
		ok = w.word.kind == SOURCE_PROCESS ||
		     err_set(&err, ERR_USAGE, "%.120s: only a running process can be watched",
			     w.word.path);
	ok = ok && open_source(&w, &err) && take_level(&w, o, w.word.pid, &a, &err);
	w.signals = ok ? watch_signals() : -1;
	if (ok && w.signals < 0)
		ok = err_os(&err, ERR_OS, "signals");
	while (ok && w.captures < NUMBERED) {
		ok = look(&w, &err);
		if (!ok)
			break;
		if (w.armed && w.now >= w.level) {
			ok = capture_now(&w, o, to, &err);
			source_close(w.source);
			w.source = NULL;
			if (!ok || option_set(o, OPT_ONCE))
				break;
			w.armed = false;
			ok = open_source(&w, &err);
			if (!ok)
				break;
		}
		if (w.now < w.level / 100 * REARM)
			w.armed = true;
		if (!pause_until_next(&w))
			break;
	}
	source_close(w.source);
	cleanup_fd(&w.signals);
	if (ok && !w.captures) {
		err_set(&err, ERR_OS, "process %d: the wait was ended; nothing was captured",
			w.word.pid);
		message_add(messages, &err);
	}
	if (ok)
		return w.captures ? EXIT_ANSWERED : EXIT_FAILED;
	if (err.kind == ERR_USAGE) {
		message_add(messages, &err);
		return EXIT_USAGE;
	}
	say_end(&w, &err, messages);
	return w.captures && err.kind == ERR_GONE ? EXIT_ANSWERED : EXIT_FAILED;
}
