/*
 * `whyrss what-if`: watches a process, or takes a recording, and asks the simulation of series/. A
 * process is watched for --duration, else until five cycles have passed, for 10 to 30 s.
 */
#include "front/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/unit.h"
#include "front/replay.h"
#include "view/view_whatif.h"

#define SECOND	      INT64_C(1000000000)
#define WATCH_DEFAULT (10 * SECOND)
#define WATCH_MAX     (30 * SECOND)
#define WATCH_CYCLES  5U

struct collected {
	struct arena *a;
	VEC(struct sample_row) samples;
	VEC(struct cycle_row) cycles;
	struct watch *w;
	int64_t least;
};

static void take(void *ctx, const struct event *e)
{
	struct collected *c = ctx;

	if (e->kind == EVENT_SAMPLE)
		*VEC_PUSH(c->a, &c->samples) = (struct sample_row){e->t_ns, e->unix_ns, e->sample};
	if (e->kind == EVENT_GC && e->gc.t_known)
		*VEC_PUSH(c->a, &c->cycles) = (struct cycle_row){e->t_ns, e->unix_ns, e->gc};
	c->w->stop |= e->t_ns >= c->least && c->cycles.n >= WATCH_CYCLES;
}

static bool watch_process(const struct source_word *word, const struct options *o, struct arena *a,
			  struct whatif_input *ret, struct err *err)
{
	struct watch_options wo = {0};
	struct watch w;
	struct collected c = {.a = a, .w = &w, .least = WATCH_DEFAULT};
	struct err end = {0};

	if (!watch_options_take(o, &wo, err))
		return false;
	if (wo.duration)
		c.least = wo.duration;
	else
		wo.duration = WATCH_MAX;
	wo.hz = 20;
	if (!watch_open_word(word, &wo, &w, err))
		return false;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "watching it for up to %lld s …\n",
			(long long)(wo.duration / SECOND));
	while (watch_step(&w, -1, 0, take, &c, &end))
		;
	*ret = (struct whatif_input){.go_minor = sampler_minor(w.sampler),
				     .samples = c.samples.v,
				     .n_samples = c.samples.n,
				     .cycles = c.cycles.v,
				     .n_cycles = c.cycles.n};
	watch_close(&w);
	if (w.state == WATCH_SIGNAL && c.samples.n < 20)
		return err_set(err, ERR_LIMIT, "stopped before anything was seen");
	return true;
}

/* GOGC as the environment has it: a number, or "off". */
static bool parse_gogc(const char *text, int32_t *ret, struct err *err)
{
	const char *at = text;
	uint64_t v;

	if (!strcmp(text, "off")) {
		*ret = -1;
		return true;
	}
	if (!str_u64(&at, false, &v) || *at || v > 1000000)
		return err_set(err, ERR_USAGE, "--gogc %.30s: not a percentage or off", text);
	*ret = (int32_t)v;
	return true;
}

static bool take_setting(const struct options *o, const struct whatif_input *in,
			 struct whatif_setting *ret, struct err *err)
{
	const struct sample *last = &in->samples[in->n_samples - 1].s;

	*ret = (struct whatif_setting){
		.gogc = last->gogc == UNKNOWN ? -1 : (int32_t)MIN(last->gogc, (uint64_t)INT32_MAX),
		.memlimit = last->memory_limit == UNKNOWN ? PACE_NO_LIMIT : last->memory_limit};
	if (option_set(o, OPT_GOGC) && !parse_gogc(o->v[OPT_GOGC].text, &ret->gogc, err))
		return false;
	if (!option_set(o, OPT_MEMLIMIT))
		return true;
	if (in->go_minor <= 18)
		return err_set(err, ERR_USAGE, "--memlimit: Go 1.18 has no memory limit");
	if (!strcmp(o->v[OPT_MEMLIMIT].text, "off"))
		ret->memlimit = PACE_NO_LIMIT;
	else if (!unit_parse_bytes(o->v[OPT_MEMLIMIT].text, &ret->memlimit) || !ret->memlimit)
		return err_set(err, ERR_USAGE, "--memlimit %.30s: not a size such as 512MiB",
			       o->v[OPT_MEMLIMIT].text);
	return true;
}

static bool check_usage(const struct request *q, struct err *err)
{
	const struct options *o = &q->options;
	int32_t gogc;
	bytes n;

	if (q->n_words != 1)
		return err_set(err, ERR_USAGE,
			       q->n_words
				       ? "what-if: one TARGET at a time"
				       : "what-if: TARGET is missing; give a PID or a recording");
	if (!option_set(o, OPT_GOGC) && !option_set(o, OPT_MEMLIMIT) && !option_set(o, OPT_ADVISE))
		return err_set(err, ERR_USAGE,
			       "what-if: nothing is changed; give --gogc, --memlimit or --advise");
	if (option_set(o, OPT_GOGC) && !parse_gogc(o->v[OPT_GOGC].text, &gogc, err))
		return false;
	if (option_set(o, OPT_UNDER) && (!unit_parse_bytes(o->v[OPT_UNDER].text, &n) || !n))
		return err_set(err, ERR_USAGE, "--under %.30s: not a size such as 512MiB",
			       o->v[OPT_UNDER].text);
	return true;
}

enum exit_code whatif_run_command(const struct request *q, const struct outlet *to,
				  struct str *messages)
{
	CLEANUP(arena_free) struct arena a = {0};
	const struct options *o = &q->options;
	struct whatif_setting set;
	struct whatif_input in = {0};
	struct replay replay = {0};
	struct source_word word;
	struct err err = {0};
	struct whatif w;
	struct report r;
	bytes limit = UNKNOWN;
	bool ok;

	arena_init(&a, 0);
	if (!check_usage(q, &err) || !source_find(q->words[0], &a, &word, &err) ||
	    !source_whole(&word, &err))
		goto failed;
	if (word.kind == SOURCE_RECORDING) {
		if (!replay_open(word.path, &replay, &err))
			goto failed;
		in = (struct whatif_input){.go_minor = (int)replay.story.info.go_minor,
					   .samples = replay.story.samples,
					   .n_samples = replay.story.n_samples,
					   .cycles = replay.story.cycles,
					   .n_cycles = replay.story.n_cycles};
		limit = replay.story.limit;
	} else if (!watch_process(&word, o, &a, &in, &err)) {
		goto failed;
	}
	if (in.n_samples < 5) {
		err_set(&err, ERR_LIMIT, "%u samples are too few to forecast from; watch longer",
			in.n_samples);
		goto failed;
	}
	if (option_set(o, OPT_UNDER))
		unit_parse_bytes(o->v[OPT_UNDER].text, &limit);
	if (option_set(o, OPT_ADVISE)) {
		if (limit == UNKNOWN) {
			err_set(&err, ERR_USAGE,
				"--advise: give the limit to stay under, as --under 512MiB");
			goto failed;
		}
		ok = whatif_advise(&in, limit, &a, &w, &err);
	} else {
		ok = take_setting(o, &in, &set, &err) && whatif_run(&in, &set, &a, &w, &err);
	}
	if (!ok)
		goto failed;
	whatif_report(&w, q->words[0], option_set(o, OPT_ADVISE), limit, &a, &r);
	put_report(&r, o, to);
	if (replay.rec)
		replay_close(&replay);
	return EXIT_ANSWERED;
failed:
	if (replay.rec)
		replay_close(&replay);
	message_add(messages, &err);
	return err.kind == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}
