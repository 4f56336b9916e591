/*
 * The loop around a sampler. Signals come as readable bytes, so that nothing is interrupted and
 * what was begun is ended.
 */
#include "front/watch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/unit.h"
#include "front/capture.h"
#include "front/top.h"

bool watch_options_take(const struct options *o, struct watch_options *ret, struct err *err)
{
	ret->hz = SAMPLER_HZ;
	if (option_set(o, OPT_HZ)) {
		char *end;

		ret->hz = strtod(o->v[OPT_HZ].text, &end);
		if (*end || !(ret->hz >= 0.01) || ret->hz > SAMPLER_HZ_MAX)
			return err_set(err, ERR_USAGE,
				       "--hz %.30s: not a rate between 0.01 and %.0f",
				       o->v[OPT_HZ].text, SAMPLER_HZ_MAX);
	}
	if (option_set(o, OPT_DURATION) &&
	    (!unit_parse_duration(o->v[OPT_DURATION].text, &ret->duration) || ret->duration <= 0))
		return err_set(err, ERR_USAGE, "--duration %.30s: not a time such as 10s, 5m or 2h",
			       o->v[OPT_DURATION].text);
	return true;
}

int watch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

bool watch_open_word(const struct source_word *w, const struct watch_options *o, struct watch *ret,
		     struct err *err)
{
	struct watch v = {.signals = -1, .end = INT64_MAX};

	if (w->kind != SOURCE_PROCESS)
		return err_set(
			err, ERR_USAGE,
			"%.120s: only a running process can be watched; give a PID or a name",
			w->path);
	v.signals = watch_signals();
	if (v.signals < 0)
		return err_os(err, ERR_OS, "signals");
	if (!source_open(w, &(struct source_options){0}, &v.source, err) ||
	    !sampler_open(v.source->g, o->hz, &v.source->mem, &v.sampler, err) ||
	    (o->lines_every > 0 &&
	     !lines_open(w->pid, o->lines_every, o->ledger, o->ledger_ctx, &v.lines, err))) {
		watch_close(&v);
		return false;
	}
	if (o->duration > 0)
		v.end = sampler_began(v.sampler, NULL) + o->duration;
	*ret = v;
	return true;
}

bool watch_open(const char *target, const struct watch_options *o, struct watch *ret,
		struct err *err)
{
	CLEANUP(arena_free) struct arena a = {0};
	struct source_word word;

	arena_init(&a, 0);
	return source_find(target, &a, &word, err) && watch_open_word(&word, o, ret, err);
}

static bool take_lines(struct watch *w, event_sink sink, void *ctx)
{
	int64_t unix_ns, began = sampler_began(w->sampler, &unix_ns);
	struct event e;

	if (!w->lines || !lines_take(w->lines, &e))
		return false;
	e.t_ns = MAX(e.t_ns - began, 0);
	sink(ctx, &e);
	return true;
}

bool watch_step(struct watch *w, int fd, int64_t max_ns, event_sink sink, void *ctx,
		struct err *err)
{
	int64_t now = clock_now(), due = MIN(sampler_due(w->sampler), w->end);
	struct pollfd p[2] = {{w->signals, POLLIN, 0}, {fd, POLLIN, 0}};
	struct timespec t;

	if (max_ns > 0)
		due = MIN(due, now + max_ns);
	due = MAX(due - now, 0);
	t = (struct timespec){due / 1000000000, due % 1000000000};
	if (ppoll(p, fd >= 0 ? 2 : 1, &t, NULL) > 0 && p[0].revents & POLLIN) {
		struct signalfd_siginfo si;

		if (read(w->signals, &si, sizeof(si)) > 0)
			w->state = WATCH_SIGNAL;
	}
	now = clock_now();
	if (now >= sampler_due(w->sampler) && !sampler_step(w->sampler, sink, ctx, err))
		w->state = WATCH_GONE;
	take_lines(w, sink, ctx);
	if (w->state == WATCH_ON && now >= w->end)
		w->state = WATCH_TIME;
	if (w->state == WATCH_ON && w->stop)
		w->state = WATCH_STOP;
	return w->state == WATCH_ON;
}

void watch_close(struct watch *w)
{
	lines_close(w->lines);
	source_close(w->source);
	cleanup_fd(&w->signals);
}

static bool put(int fd, struct str *s)
{
	if (!file_write(fd, s->s, s->n))
		return false;
	s->n = 0;
	return true;
}

bool put_out(struct str *s)
{
	return put(STDOUT_FILENO, s);
}

bool put_report(const struct report *r, const struct options *o, const struct outlet *to)
{
	struct str out = {0};
	bool ok;

	if (option_set(o, OPT_JSON)) {
		render_json(&out, &r->json, to->terminal);
		str_add(&out, "\n");
	} else {
		struct text_style style = style_choose(to, o);

		render_text(&out, r, &style);
	}
	ok = put_out(&out);
	int why = errno;
	str_free(&out);
	errno = why; /* not every free() keeps it */
	return ok;
}

void put_err(struct str *messages)
{
	if (!put(STDERR_FILENO, messages))
		messages->n = 0; /* nobody reads them */
}

enum exit_code watch_run(const struct request *q, const struct outlet *to, struct str *messages)
{
	struct err err = {0};

	switch ((enum view_id)(q->view - VIEWS)) {
	case VIEW_ID_WATCH:
		return await_run(q, to, messages);
	case VIEW_ID_CAPTURE:
		return capture_run(q, to, messages);
	case VIEW_ID_LIVE:
		return live_run(q, to, messages);
	case VIEW_ID_WHAT_IF:
		return whatif_run_command(q, to, messages);
	case VIEW_ID_GCTRACE:
		return gctrace_run(q, to, messages);
	case VIEW_ID_RUN:
		return (enum exit_code)program_run(q, to, messages);
	case VIEW_ID_CHECK:
		return check_run(q, messages);
	case VIEW_ID_TOP:
		return top_run(q, to, messages);
	case VIEW_ID_RECORD:
		return record_run(q, messages);
	default:
		err_set(&err, ERR_USAGE, "%s: nothing answers this", q->view->name);
	}
	message_add(messages, &err);
	return EXIT_USAGE;
}
