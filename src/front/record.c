/*
 * `whyrss record`: the events of a process into a file until it ends, the time is up or the user
 * has seen enough; a ledger at intervals and at each new high-water mark, with its call sites.
 */
#include "front/watch.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/unit.h"
#include "series/recording.h"

#define SECOND	    INT64_C(1000000000)
#define WHOLE_EVERY (60 * SECOND)    /* a whole ledger with its call sites */
#define PEAK_STEP   ((bytes)1 << 20) /* a higher peak than this is worth a ledger of its own */

#define QUEUE 4096U

/* What the sampler saw and the writer has not written: a slow disk must not make it miss a cycle.
 */
struct queue {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct event *v;
	uint32_t first, n;
	bool end;
};

struct recorder {
	struct queue queue;
	struct ledger_keeper keep;
	struct watch *w;
	/* of the sampler's thread alone */
	bytes asked; /* the peak for which a ledger was asked for */
	bytes rss_max;
	uint64_t samples, cycles, late;
	int64_t seen_ns;
};

void keeper_failed(struct ledger_keeper *k, const struct err *err)
{
	pthread_mutex_lock(&k->lock);
	if (!k->failed)
		k->err = *err;
	k->failed = true;
	pthread_mutex_unlock(&k->lock);
}

/* Waits while it is full: then the disk is slower than what there is to write. */
static void queue_put(struct queue *q, const struct event *e)
{
	pthread_mutex_lock(&q->lock);
	while (q->n == QUEUE)
		pthread_cond_wait(&q->changed, &q->lock);
	q->v[(q->first + q->n++) % QUEUE] = *e;
	pthread_cond_broadcast(&q->changed);
	pthread_mutex_unlock(&q->lock);
}

/* The writer's thread. After a failure it only empties the queue. */
static void *write_events(void *ctx)
{
	struct recorder *r = ctx;
	struct queue *q = &r->queue;
	struct err err = {0};
	bool ok = true;

	for (;;) {
		struct event e;

		pthread_mutex_lock(&q->lock);
		while (q->n == 0 && !q->end)
			pthread_cond_wait(&q->changed, &q->lock);
		if (q->n == 0) {
			pthread_mutex_unlock(&q->lock);
			return NULL;
		}
		e = q->v[q->first];
		q->first = (q->first + 1) % QUEUE;
		q->n--;
		pthread_cond_broadcast(&q->changed);
		pthread_mutex_unlock(&q->lock);
		if (ok && !recording_add(r->keep.rec, &e, &err)) {
			ok = false;
			keeper_failed(&r->keep, &err);
		}
	}
}

static bool queue_open(struct recorder *r, struct err *err)
{
	struct queue *q = &r->queue;
	int code;

	q->v = calloc(QUEUE, sizeof(*q->v));
	if (!q->v)
		return err_os(err, ERR_OS, "the recorder's queue");
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->changed, NULL);
	code = pthread_create(&q->thread, NULL, write_events, r);
	if (code)
		return err_set(err, ERR_OS, "a thread for writing: %s", strerror(code));
	return true;
}

static void queue_close(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->end = true;
	pthread_cond_broadcast(&q->changed);
	pthread_mutex_unlock(&q->lock);
	pthread_join(q->thread, NULL);
	free(q->v);
}

/* In the lines' thread. */
void ledger_keep(void *ctx, const struct event *at, const struct ledger *l)
{
	struct ledger_keeper *k = ctx;
	struct event e = *at;
	unsigned mark = MARK_INTERVAL;
	struct str json = {0};
	struct err err = {0};
	bool whole;

	e.t_ns = MAX(e.t_ns - k->began, 0);
	pthread_mutex_lock(&k->lock);
	whole = k->last_whole < 0 || e.t_ns - k->last_whole >= WHOLE_EVERY;
	if (l->rss > k->peak) {
		mark |= MARK_PEAK;
		whole |= l->rss >= k->peak + MAX(PEAK_STEP, k->peak / 200);
		if (whole)
			k->peak = l->rss;
	}
	if (whole)
		k->last_whole = e.t_ns;
	pthread_mutex_unlock(&k->lock);
	if (whole) {
		CLEANUP(arena_free) struct arena a = {0};
		struct subject subject = {.s = l->s, .target = k->name};
		struct report report;

		arena_init(&a, 0);
		report_init(&report, &a, "whyrss.ledger/1");
		ledger_report(&subject, l, true, &report);
		render_json(&json, &report.json, false);
	}
	if (!recording_add_ledger(k->rec, &e, l, (enum recording_mark)mark, json.s, whole, &err))
		keeper_failed(k, &err);
	str_free(&json);
}

bool new_peak(bytes *asked, bytes rss)
{
	if (rss <= *asked + MAX(PEAK_STEP, *asked / 100))
		return false;
	*asked = rss;
	return true;
}

static void take(void *ctx, const struct event *e)
{
	struct recorder *r = ctx;

	r->seen_ns = MAX(r->seen_ns, e->t_ns);
	if (e->kind == EVENT_LINES)
		return; /* written by take_ledger */
	if (e->kind == EVENT_SAMPLE) {
		bytes rss = e->sample.rss;

		r->samples++;
		r->rss_max = MAX(r->rss_max, rss);
		if (new_peak(&r->asked, rss) && r->w->lines)
			lines_now(r->w->lines);
	}
	if (e->kind == EVENT_GC) {
		r->cycles++;
		r->late += e->gc.late;
	}
	queue_put(&r->queue, e);
	pthread_mutex_lock(&r->keep.lock);
	r->w->stop |= r->keep.failed;
	pthread_mutex_unlock(&r->keep.lock);
}

static bool take_options(const struct request *q, struct watch_options *o, bytes *ret_max,
			 int64_t *ret_every, struct err *err)
{
	const struct options *v = &q->options;

	*ret_max = RECORDING_SIZE;
	*ret_every = SECOND;
	if (q->n_words != 1)
		return err_set(err, ERR_USAGE,
			       q->n_words ? "record: one TARGET at a time"
					  : "record: TARGET is missing; give a PID or a "
					    "process name, whyrss alone lists them");
	if (option_set(v, OPT_MAX_SIZE) &&
	    (!unit_parse_bytes(v->v[OPT_MAX_SIZE].text, ret_max) || *ret_max < RECORDING_SIZE_MIN))
		return err_set(err, ERR_USAGE,
			       "--max-size %.30s: not a size of at least 1MiB, such as 64MiB",
			       v->v[OPT_MAX_SIZE].text);
	if (option_set(v, OPT_EVERY) &&
	    (!unit_parse_duration(v->v[OPT_EVERY].text, ret_every) || *ret_every < SECOND))
		return err_set(err, ERR_USAGE, "--every %.30s: not a time of at least 1s",
			       v->v[OPT_EVERY].text);
	return watch_options_take(v, o, err);
}

static const char *why_it_ended(const struct recorder *r, const struct err *err)
{
	switch (r->w->state) {
	case WATCH_GONE:
		return err->msg;
	case WATCH_TIME:
		return "the time that --duration gave was over";
	case WATCH_SIGNAL:
		return "stopped by a signal";
	default:
		return r->keep.failed ? r->keep.err.msg : "";
	}
}

static void add_summary(const struct recorder *r, const char *path, bytes size, struct str *to)
{
	char peak[UNIT_TEXT], length[UNIT_TEXT], file[UNIT_TEXT];

	str_addf(to, "whyrss: ");
	str_add_plain(to, path);
	str_addf(to, ": %s, %llu samples, %llu GC cycles (%llu late), RSS up to %s, %s on disk\n",
		 unit_duration(length, r->seen_ns), (unsigned long long)r->samples,
		 (unsigned long long)r->cycles, (unsigned long long)r->late,
		 unit_bytes(peak, r->rss_max), unit_bytes(file, size));
}

static bytes memory_limit(const struct source *s)
{
	const struct cgroup_facts *c = s->t->os->cgroup;

	if (c && c->limit != UINT64_MAX)
		return c->limit;
	return s->t->os->machine_total ? s->t->os->machine_total : UNKNOWN;
}

enum exit_code record_run(const struct request *q, struct str *messages)
{
	CLEANUP(arena_free) struct arena a = {0};
	struct watch_options o = {0};
	struct watch w = {.signals = -1};
	struct recorder r = {.w = &w,
			     .keep = {.last_whole = -1, .lock = PTHREAD_MUTEX_INITIALIZER}};
	struct recording_info info = {0};
	struct err err = {0};
	struct source_word word;
	const char *path, *exe;
	bytes max, size;
	int64_t every;
	enum exit_code code = EXIT_ANSWERED;
	bool ended;

	arena_init(&a, 0);
	signal(SIGXFSZ, SIG_IGN); /* a file size limit is a full disk */
	if (!take_options(q, &o, &max, &every, &err) ||
	    !source_find(q->words[0], &a, &word, &err) || !watch_open_word(&word, &o, &w, &err))
		goto failed;
	exe = strrchr(w.source->t->os->exe, '/');
	exe = exe ? exe + 1 : w.source->t->os->comm;
	path = option_set(&q->options, OPT_OUTPUT) ? q->options.v[OPT_OUTPUT].text
						   : arena_printf(&a, "%s-%d.db", exe, word.pid);
	info = (struct recording_info){.pid = word.pid,
				       .exe = w.source->t->os->exe,
				       .go = go_version(w.source->g),
				       .go_minor = sampler_minor(w.sampler),
				       .hz = o.hz,
				       .limit = memory_limit(w.source),
				       .max_size = max};
	r.keep.began = sampler_began(w.sampler, &info.began_unix_ns);
	r.keep.name = w.source->name;
	if (!recording_create(path, &info, &r.keep.rec, &err))
		goto failed;
	if (!queue_open(&r, &err) ||
	    !lines_open(word.pid, every, ledger_keep, &r.keep, &w.lines, &err)) {
		recording_end(r.keep.rec, 0, err.msg, NULL);
		goto failed;
	}
	str_addf(messages, "whyrss: recording process %d to ", word.pid);
	str_add_plain(messages, path);
	str_add(messages, "; Ctrl-C ends it\n");
	put_err(messages);
	while (watch_step(&w, -1, 0, take, &r, &err))
		;
	lines_close(w.lines);
	w.lines = NULL;
	queue_close(&r.queue);
	ended = recording_end(r.keep.rec, r.seen_ns, why_it_ended(&r, &err),
			      r.keep.failed ? NULL : &r.keep.err);
	size = recording_file_bytes(path);
	add_summary(&r, path, size, messages);
	if (r.keep.failed || !ended) {
		err_in(&r.keep.err, "the recording ends here, what was written is kept");
		message_add(messages, &r.keep.err);
		code = EXIT_FAILED;
	} else if (w.state == WATCH_GONE) {
		message_add(messages, &err);
		code = o.duration ? EXIT_PARTIAL : EXIT_ANSWERED;
	}
	watch_close(&w);
	return code;
failed:
	watch_close(&w);
	message_add(messages, &err);
	return err.kind == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}
