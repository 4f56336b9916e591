/*
 * `whyrss live`: events as JSON, one a line as they happen, or for people a line a second with bars
 * on one scale and the GC cycles between them.
 */
#include "front/watch.h"

#include <errno.h>
#include <string.h>

#include "base/unit.h"

#define SECOND INT64_C(1000000000)

struct live_out {
	bool json, utf8;
	struct watch *watch;
	struct str out;
	int64_t next_line;
	uint32_t cycles, late, printed;
	uint64_t pause_ns, pause_max, rss_max;
	int64_t seen_ns; /* of the last event */
	struct sample last;
	uint64_t last_alloc;
	int64_t last_line;
	int failed; /* errno of a write */
};

static void flush(struct live_out *o)
{
	if (!put_out(&o->out)) {
		o->failed = errno;
		o->watch->stop = true;
	}
}

#define BAR 30U

/* '█' up to live, '▓' up to in use, '░' up to RSS; '|' the goal. */
static void add_bar(struct live_out *o, const struct sample *s)
{
	uint64_t most = MAX(o->rss_max, 1);

	for (unsigned i = 0; i < BAR; i++) {
		uint64_t at = most / BAR * i + most / BAR / 2;
		bool goal = s->heap_goal != UNKNOWN && s->heap_goal / (most / BAR + 1) == i;

		if (goal)
			str_add(&o->out, "|");
		else if (at < s->heap_live)
			str_add(&o->out, o->utf8 ? "█" : "#");
		else if (at < s->heap_inuse)
			str_add(&o->out, o->utf8 ? "▓" : "+");
		else if (at < s->rss)
			str_add(&o->out, o->utf8 ? "░" : ".");
		else
			str_add(&o->out, " ");
	}
}

static void add_text_sample(struct live_out *o, const struct event *e)
{
	const struct sample *s = &e->sample;
	char goal[UNIT_TEXT] = "off", mib[6][UNIT_TEXT], rate[UNIT_TEXT] = "";
	int64_t passed = e->t_ns - o->last_line;

	if (o->printed++ % 24 == 0)
		str_addf(&o->out, "%7s %9s %9s %9s %9s %9s %9s %8s %6s %7s  MiB\n", "s", "RSS",
			 "live", "goal", "in use", "free", "released", "MiB/s", "GC", "gorout.");
	if (s->heap_goal != UNKNOWN)
		unit_mib(goal, (int64_t)s->heap_goal);
	if (s->total_alloc != UNKNOWN && o->last_alloc && passed > 0)
		unit_mib(rate, (int64_t)((double)(s->total_alloc - o->last_alloc) * 1e9 /
					 (double)passed));
	str_addf(&o->out, "%7.1f %9s %9s %9s %9s %9s %9s %8s %6llu %7llu  ", (double)e->t_ns / 1e9,
		 unit_mib(mib[0], (int64_t)s->rss), unit_mib(mib[1], (int64_t)s->heap_live), goal,
		 unit_mib(mib[2], (int64_t)s->heap_inuse),
		 unit_mib(mib[3], (int64_t)(s->heap_idle - s->heap_released)),
		 unit_mib(mib[4], (int64_t)s->heap_released), rate, (unsigned long long)s->num_gc,
		 (unsigned long long)s->goroutines);
	add_bar(o, s);
	str_add(&o->out, "\n");
	o->last_alloc = s->total_alloc == UNKNOWN ? 0 : s->total_alloc;
	o->last_line = e->t_ns;
}

static void take(void *ctx, const struct event *e)
{
	struct live_out *o = ctx;

	o->seen_ns = e->t_ns;
	if (e->kind == EVENT_GC) {
		o->cycles++;
		o->late += e->gc.late;
		if (e->gc.pause_ns != UNKNOWN) {
			o->pause_ns += e->gc.pause_ns;
			o->pause_max = MAX(o->pause_max, e->gc.pause_ns);
		}
	}
	if (e->kind == EVENT_SAMPLE) {
		o->last = e->sample;
		o->rss_max = MAX(o->rss_max, MAX(e->sample.rss, e->sample.heap_inuse));
	}
	if (o->json) {
		event_json(e, &o->out);
		str_add(&o->out, "\n");
	} else if (e->kind == EVENT_SAMPLE && e->t_ns >= o->next_line) {
		add_text_sample(o, e);
		o->next_line = e->t_ns - e->t_ns % SECOND + SECOND;
	}
}

static void add_summary(struct live_out *o)
{
	char total[UNIT_TEXT], longest[UNIT_TEXT], passed[UNIT_TEXT];

	str_addf(&o->out, "\n%u GC cycle%s in %s", o->cycles, o->cycles == 1 ? "" : "s",
		 unit_duration(passed, o->seen_ns));
	if (o->cycles)
		str_addf(&o->out, ", paused %s in all, %s at most",
			 unit_duration(total, (int64_t)o->pause_ns),
			 unit_duration(longest, (int64_t)o->pause_max));
	if (o->late)
		str_addf(&o->out,
			 "; %u of them passed between two reads, so only their pauses are known",
			 o->late);
	str_add(&o->out, "\n");
}

enum exit_code live_run(const struct request *q, const struct outlet *to, struct str *messages)
{
	struct watch_options o = {.lines_every = LINES_EVERY_NS};
	struct text_style style = style_choose(to, &q->options);
	struct watch w;
	struct live_out out = {.json = option_set(&q->options, OPT_JSON), .utf8 = style.utf8};
	struct err err = {0};
	enum exit_code code = EXIT_ANSWERED;

	if (q->n_words != 1) {
		err_set(&err, ERR_USAGE,
			q->n_words ? "live: one TARGET at a time"
				   : "live: TARGET is missing; give a PID or a "
				     "process name, whyrss alone lists them");
		message_add(messages, &err);
		return EXIT_USAGE;
	}
	if (!out.json)
		o.lines_every = 0; /* nothing of it is shown */
	if (!watch_options_take(&q->options, &o, &err) || !watch_open(q->words[0], &o, &w, &err)) {
		message_add(messages, &err);
		return err.kind == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
	}
	out.watch = &w;
	while (watch_step(&w, -1, 0, take, &out, &err))
		if (out.out.n)
			flush(&out);
	if (w.state == WATCH_GONE) {
		struct event e = {.kind = EVENT_END, .t_ns = out.seen_ns, .why = err.msg};

		sampler_began(w.sampler, &e.unix_ns);
		e.unix_ns += e.t_ns;
		if (out.json)
			take(&out, &e);
		message_add(messages, &err);
		code = o.duration ? EXIT_PARTIAL : EXIT_ANSWERED;
	}
	if (!out.json && out.failed == 0)
		add_summary(&out);
	if (out.failed == 0)
		flush(&out);
	if (out.failed && out.failed != EPIPE) {
		str_addf(messages, "whyrss: standard output: %s\n", strerror(out.failed));
		code = EXIT_FAILED;
	}
	if (option_set(&q->options, OPT_VERBOSE))
		str_addf(messages, "whyrss: %llu readings, %.1f ms of CPU for RSS by line\n",
			 (unsigned long long)sampler_reads(w.sampler),
			 w.lines ? (double)lines_cost(w.lines) / 1e6 : 0.0);
	str_free(&out.out);
	watch_close(&w);
	return code;
}
