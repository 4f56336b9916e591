/*
 * See web_pool.h. One lock guards lists and counts; it is never held while a target is read. A
 * target is read by one worker at a time (`busy`), so that its snapshot needs no lock of its own.
 */
#include "front/web_pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "front/open.h"
#include "front/render.h"

#define WORKERS	   3U
#define HELD_MAX   24U
#define JOBS_MAX   512U
#define KEPT_MAX   32U /* answers of one snapshot */
#define KEPT_BYTES ((size_t)32 << 20)
#define EVENT_NS   ((int64_t)1000000000)
#define SHARE	   20 /* reading for events takes at most one part in SHARE of a CPU */
#define IDLE_NS	   ((int64_t)60 * 1000000000)
#define MEMORY_MAX ((bytes)1 << 30) /* snapshots that nobody looks at are dropped from here on */

struct kept {
	struct kept *next;
	char *key;
	uint64_t serial;
	struct answer *answer;
};

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t work;
	pthread_t threads[WORKERS];
	uint32_t n_threads;
	bool stopping;
	struct held *held;
	uint32_t n_held;
	struct job *jobs;
	uint32_t n_jobs;
	struct subscriber *subscribers;
	answer_fn answer;
	struct shelf *shelf;
	/* the machine's answers: kept for FRESH_NS */
	struct kept *kept;
	int64_t kept_at;
};

const char *question_param(const struct question *q, const char *key)
{
	for (uint32_t i = 0; i < q->n_params; i++)
		if (!strcmp(q->params[i].key, key))
			return q->params[i].value;
	return NULL;
}

void question_free(struct question *q)
{
	if (!q)
		return;
	str_free(&q->body);
	arena_free(&q->mem);
	free(q);
}

/* --- answers --- */

struct answer *answer_new(unsigned status, const char *type)
{
	struct answer *a = calloc(1, sizeof(*a));

	if (!a)
		abort(); /* as every other allocation of this size would */
	atomic_init(&a->refs, 1);
	arena_init(&a->mem, 0);
	a->status = status;
	a->type = type;
	return a;
}

struct answer *answer_error(const struct err *err)
{
	static const unsigned status[] = {
		[ERR_GONE] = 404,    [ERR_PERM] = 403,	[ERR_NOT_GO] = 404,
		[ERR_RELEASE] = 422, [ERR_FAULT] = 502, [ERR_FORMAT] = 422,
		[ERR_LIMIT] = 422,   [ERR_OS] = 502,	[ERR_USAGE] = 400,
	};
	struct answer *a = answer_new(status[err->kind] ? status[err->kind] : 500,
				      "application/json; charset=utf-8");

	str_add(&a->body, "{\"error\":");
	str_add_json(&a->body, err->msg);
	str_add(&a->body, "}\n");
	return a;
}

struct answer *answer_hold(struct answer *a)
{
	atomic_fetch_add(&a->refs, 1);
	return a;
}

void answer_drop(struct answer *a)
{
	if (!a || atomic_fetch_sub(&a->refs, 1) != 1)
		return;
	str_free(&a->body);
	arena_free(&a->mem);
	free(a);
}

static void kept_clear(struct kept **list, uint64_t serial)
{
	for (struct kept **at = list; *at;) {
		struct kept *k = *at;

		if (k->serial == serial) {
			at = &k->next;
			continue;
		}
		*at = k->next;
		answer_drop(k->answer);
		free(k->key);
		free(k);
	}
}

static void kept_add(struct kept **list, const char *key, uint64_t serial, struct answer *a)
{
	size_t total = a->body.n, n = 1;
	struct kept *k;

	for (struct kept **at = list; *at;) {
		k = *at;
		total += k->answer->body.n;
		if (++n <= KEPT_MAX && total <= KEPT_BYTES && strcmp(k->key, key) != 0) {
			at = &k->next;
			continue;
		}
		*at = k->next;
		answer_drop(k->answer);
		free(k->key);
		free(k);
	}
	k = calloc(1, sizeof(*k));
	if (!k)
		return;
	k->key = strdup(key);
	if (!k->key) {
		free(k);
		return;
	}
	k->serial = serial;
	k->answer = answer_hold(a);
	k->next = *list;
	*list = k;
}

static struct answer *kept_find(struct kept *list, const char *key, uint64_t serial)
{
	for (; list; list = list->next)
		if (list->serial == serial && !strcmp(list->key, key))
			return answer_hold(list->answer);
	return NULL;
}

/* --- targets that are kept open --- */

/* Everything of it, so that it is opened again. */
static void held_reset(struct held *h)
{
	if (h->have)
		snapshot_free(&h->snap);
	h->have = false;
	source_close(h->source);
	h->source = NULL;
}

/* Which files are mapped as code: another one is a library that was loaded since. */
static uint64_t code_of(const struct os_facts *os)
{
	uint64_t h = 14695981039346656037ULL;

	for (uint32_t i = 0; i < os->n_maps; i++) {
		const struct mapping *m = &os->maps[i];

		if (m->flags & MAP_EXEC && m->inode)
			h = (h ^ m->dev ^ m->inode << 20 ^ m->start) * 1099511628211ULL;
	}
	return h;
}

static bool held_open(struct held *h, struct err *err)
{
	CLEANUP(arena_free) struct arena a = {0};
	struct source_word word = {.kind = SOURCE_PROCESS, .pid = h->of.pid};

	arena_init(&a, 0);
	return (h->of.pid || source_find(h->of.file, &a, &word, err)) &&
	       source_open(&word, &(struct source_options){.exe = h->of.exe}, &h->source, err);
}

bool held_snapshot(struct held *h, uint32_t needs, int64_t max_age, struct err *err)
{
	int64_t began = clock_now();
	struct err why = {0};

	needs |= NEED_LEDGER; /* one snapshot for every view */
	if (h->have && (h->needs & needs) == needs &&
	    (began - h->at <= max_age || h->source->word.kind != SOURCE_PROCESS))
		return true;
	for (int tries = 0; tries < 2; tries++) {
		bool reopened = !h->source;

		if (h->have) {
			snapshot_free(&h->snap);
			h->have = false;
		}
		if (!h->source && !held_open(h, &why))
			break;
		h->snap = (struct snapshot){0};
		if (source_snapshot(h->source, needs, &h->snap, &why)) {
			h->have = true;
			h->needs = needs;
			h->at = clock_now();
			h->took_ns = h->at - began;
			if (reopened)
				h->code = code_of(h->snap.os);
			if (code_of(h->snap.os) == h->code)
				return true;
		}
		/* It ended, or has loaded a library: looked at as if for the first time. */
		held_reset(h);
		if (reopened)
			break;
	}
	*err = why;
	return false;
}

static bool same_name(const struct web_name *a, const struct web_name *b)
{
	return a->pid == b->pid && (!a->file == !b->file) &&
	       (!a->file || !strcmp(a->file, b->file));
}

static void held_free(struct held *h)
{
	held_reset(h);
	kept_clear(&h->kept, UINT64_MAX);
	answer_drop(h->event);
	free(h->name);
	free(h);
}

/* Under the lock. Drops the one that was not used for longest; false when all are in use. */
static bool drop_oldest(struct pool *p)
{
	struct held **worst = NULL, *h;

	for (struct held **at = &p->held; *at; at = &(*at)->next)
		if (!(*at)->busy && !(*at)->users && (!worst || (*at)->used_at < (*worst)->used_at))
			worst = at;
	if (!worst)
		return false;
	h = *worst;
	*worst = h->next;
	p->n_held--;
	held_free(h);
	return true;
}

/* Under the lock; NULL: too many. */
static struct held *held_find(struct pool *p, const struct web_name *of, bool make)
{
	struct held *h;

	for (h = p->held; h; h = h->next)
		if (same_name(&h->of, of))
			break;
	if (h || !make)
		return h;
	if (p->n_held >= HELD_MAX && !drop_oldest(p))
		return NULL;
	h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->of = *of;
	if (of->file) {
		h->name = strdup(of->file);
		h->of.file = h->name;
		if (!h->name) {
			free(h);
			return NULL;
		}
	}
	h->next = p->held;
	p->held = h;
	p->n_held++;
	return h;
}

static bytes held_memory(const struct held *h)
{
	return (h->have ? h->snap.mem.used : 0) + (h->source ? h->source->mem.used : 0);
}

/* Under the lock, by a worker with nothing else to do: memory that nobody looks at goes. */
static void tidy(struct pool *p, int64_t now)
{
	bytes total = 0;

	/* Who asked for a difference in five minutes may be gone by now. */
	for (struct job *j = p->jobs; j; j = j->next) {
		bool wanted = false;

		for (struct waiter *w = j->waiters; w && !wanted; w = w->next)
			wanted = w->alive(w);
		if (!wanted)
			j->due = 0;
	}
	for (struct held *h = p->held; h; h = h->next)
		total += held_memory(h);
	for (struct held **at = &p->held; *at;) {
		struct held *h = *at;

		if (h->busy || h->users || (now - h->used_at < IDLE_NS && total <= MEMORY_MAX)) {
			at = &h->next;
			continue;
		}
		total -= held_memory(h);
		*at = h->next;
		p->n_held--;
		held_free(h);
	}
}

struct held *pool_borrow(struct pool *p, const struct web_name *of)
{
	struct held *h;

	pthread_mutex_lock(&p->lock);
	h = held_find(p, of, true);
	while (h && h->busy && !p->stopping)
		pthread_cond_wait(&p->work, &p->lock);
	if (h && p->stopping)
		h = NULL;
	if (h) {
		h->busy = true;
		h->users++;
		h->used_at = clock_now();
	}
	pthread_mutex_unlock(&p->lock);
	return h;
}

/* Under the lock: the worker is through with it. `before`: its snapshot then. */
static void held_release(struct pool *p, struct held *h, int64_t before)
{
	h->busy = false;
	h->used_at = clock_now();
	if (h->at != before || !h->have) {
		h->serial++;
		kept_clear(&h->kept, h->serial);
	}
	pthread_cond_broadcast(&p->work);
}

void pool_return(struct pool *p, struct held *h)
{
	pthread_mutex_lock(&p->lock);
	h->users--;
	/* Its snapshot may be a newer one: what was kept of the old one goes. */
	h->serial++;
	kept_clear(&h->kept, h->serial);
	h->busy = false;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
}

/* --- questions --- */

struct answer *pool_find(struct pool *p, const struct question *q)
{
	struct answer *ret = NULL;
	struct held *h;

	pthread_mutex_lock(&p->lock);
	if (!q->of.pid && !q->of.file) {
		if (clock_now() - p->kept_at <= MAX(q->max_age, FRESH_NS))
			ret = kept_find(p->kept, q->key, 0);
	} else {
		h = held_find(p, &q->of, false);
		if (h && !h->busy && h->have && clock_now() - h->at <= q->max_age) {
			ret = kept_find(h->kept, q->key, h->serial);
			h->used_at = clock_now();
		}
	}
	pthread_mutex_unlock(&p->lock);
	return ret;
}

static void tell(struct waiter *w, struct answer *a)
{
	while (w) {
		struct waiter *next = w->next;

		w->answer = answer_hold(a);
		w->wake(w);
		w = next;
	}
	answer_drop(a);
}

static struct answer *refusal(unsigned status, const char *text)
{
	struct answer *a = answer_new(status, "application/json; charset=utf-8");

	str_add(&a->body, "{\"error\":");
	str_add_json(&a->body, text);
	str_add(&a->body, "}\n");
	return a;
}

void pool_ask(struct pool *p, struct question *q, struct waiter *w)
{
	struct answer *no = NULL;
	struct job *j, **at;

	w->next = NULL;
	pthread_mutex_lock(&p->lock);
	/* Who asks the same as another who waits already gets that answer. */
	for (at = &p->jobs; *at; at = &(*at)->next)
		if (!(*at)->state && same_name(&(*at)->q->of, &q->of) &&
		    !strcmp((*at)->q->key, q->key))
			break;
	if (*at) {
		w->next = (*at)->waiters;
		(*at)->waiters = w;
		pthread_mutex_unlock(&p->lock);
		question_free(q);
		return;
	}
	j = p->stopping || p->n_jobs >= JOBS_MAX ? NULL : calloc(1, sizeof(*j));
	if (!j) {
		no = refusal(503, p->stopping
					  ? "The server is stopping."
					  : "Too many questions at once; ask again in a second.");
	} else if (q->of.pid || q->of.file) {
		j->of = held_find(p, &q->of, true);
		if (j->of) {
			j->of->users++;
			q->of = j->of->of;
		} else {
			free(j);
			j = NULL;
			no = refusal(503,
				     "Too many processes are being looked at; ask again later.");
		}
	}
	if (j) {
		j->q = q;
		j->waiters = w;
		*at = j;
		p->n_jobs++;
		pthread_cond_signal(&p->work);
	}
	pthread_mutex_unlock(&p->lock);
	if (no) {
		question_free(q);
		tell(w, no);
	}
}

/* Under the lock: the first that is due and whose target is free, taken out of the list. */
static struct job *next_job(struct pool *p, int64_t now, int64_t *ret_wake)
{
	for (struct job **at = &p->jobs; *at; at = &(*at)->next) {
		struct job *j = *at;

		if (j->due > now && !p->stopping) {
			*ret_wake = MIN(*ret_wake, j->due);
			continue;
		}
		if (j->of && j->of->busy)
			continue;
		*at = j->next;
		j->next = NULL;
		return j;
	}
	return NULL;
}

static void job_end(struct pool *p, struct job *j, struct answer *a)
{
	struct waiter *w;

	pthread_mutex_lock(&p->lock);
	w = j->waiters;
	p->n_jobs--;
	if (j->of)
		j->of->users--;
	pthread_mutex_unlock(&p->lock);
	if (j->state && j->state_free)
		j->state_free(j->state);
	question_free(j->q);
	free(j);
	tell(w, a);
}

/* Under the lock at begin and end. */
static void run_job(struct pool *p, struct job *j)
{
	struct held *h = j->of;
	int64_t before = h ? h->at : 0;
	struct answer *a = NULL;
	bool wanted = false, stopping = p->stopping;

	if (h)
		h->busy = true;
	/* Somebody may have asked the same a moment ago. */
	if (h && h->have && !j->state && clock_now() - h->at <= j->q->max_age)
		a = kept_find(h->kept, j->q->key, h->serial);
	/* A reader that went away stops its work. */
	for (struct waiter *w = j->waiters; w && !wanted; w = w->next)
		wanted = w->alive(w);
	pthread_mutex_unlock(&p->lock);
	if (stopping && !a)
		a = refusal(503, "The server is stopping.");
	else if (!wanted && !a)
		a = refusal(503, "Nobody waits for this any more.");
	else if (!a)
		a = p->answer(p, j);
	pthread_mutex_lock(&p->lock);
	if (h)
		held_release(p, h, before);
	if (!a) {
		j->next = p->jobs;
		p->jobs = j;
		return;
	}
	if (a->status == 200 && !j->state && wanted) {
		if (h && h->have)
			kept_add(&h->kept, j->q->key, h->serial, a);
		if (!h && j->q->ask != ASK_SHELF) { /* that changes whenever somebody sends */
			if (clock_now() - p->kept_at > FRESH_NS)
				kept_clear(&p->kept, UINT64_MAX);
			if (!p->kept)
				p->kept_at = clock_now();
			kept_add(&p->kept, j->q->key, 0, a);
		}
	}
	pthread_mutex_unlock(&p->lock);
	job_end(p, j, a);
	pthread_mutex_lock(&p->lock);
}

/* --- events --- */

static struct held *next_event(struct pool *p, int64_t now, int64_t *ret_wake)
{
	for (struct held *h = p->held; h; h = h->next) {
		if (!h->streams || h->busy || h->gone)
			continue;
		if (h->next_event <= now)
			return h;
		*ret_wake = MIN(*ret_wake, h->next_event);
	}
	return NULL;
}

static struct answer *event_of(struct held *h, struct err *err)
{
	struct subject subject = {.s = &h->snap};
	struct options none = {0};
	CLEANUP(arena_free) struct arena a = {0};
	struct answer *ret;
	struct report r;

	arena_init(&a, 0);
	if (!held_snapshot(h, 0, 0, err))
		return NULL;
	subject.target = arena_printf(&a, "%d", h->of.pid);
	if (!VIEWS[VIEW_ID_LEDGER].run(&subject, &none, &a, &r, err))
		return NULL;
	ret = answer_new(200, "text/event-stream");
	str_add(&ret->body, "event: ledger\ndata: ");
	render_json(&ret->body, &r.json, false);
	str_add(&ret->body, "\n\n");
	return ret;
}

/* Under the lock at begin and end. */
static void run_event(struct pool *p, struct held *h)
{
	int64_t before = h->at;
	struct err err = {0};
	struct answer *a;

	h->busy = true;
	pthread_mutex_unlock(&p->lock);
	a = event_of(h, &err);
	if (!a) {
		a = answer_new(200, "text/event-stream");
		str_add(&a->body, "event: gone\ndata: ");
		str_add_json(&a->body, err.msg);
		str_add(&a->body, "\n\n");
	}
	pthread_mutex_lock(&p->lock);
	held_release(p, h, before);
	h->gone = err.kind != ERR_NONE;
	answer_drop(h->event);
	h->event = a;
	h->event_serial++;
	h->next_event = clock_now() + MAX(EVENT_NS, h->took_ns * SHARE);
	for (struct subscriber *s = p->subscribers; s; s = s->next) {
		if (s->of != h || !s->asleep)
			continue;
		s->asleep = false;
		s->wake(s);
	}
}

bool pool_subscribe(struct pool *p, const struct web_name *of, struct subscriber *s)
{
	bool ok;

	pthread_mutex_lock(&p->lock);
	s->of = p->stopping ? NULL : held_find(p, of, true);
	ok = s->of != NULL;
	if (ok) {
		if (s->of->gone && !s->of->streams)
			s->of->gone = false; /* its number may be another process' by now */
		s->of->users++;
		s->of->streams++;
		s->next = p->subscribers;
		p->subscribers = s;
		/* What is there already is shown at once. */
		s->seen = s->of->event && clock_now() - s->of->next_event < EVENT_NS
				  ? s->of->event_serial - 1
				  : s->of->event_serial;
		pthread_cond_signal(&p->work);
	}
	pthread_mutex_unlock(&p->lock);
	return ok;
}

void pool_unsubscribe(struct pool *p, struct subscriber *s)
{
	pthread_mutex_lock(&p->lock);
	for (struct subscriber **at = &p->subscribers; *at; at = &(*at)->next) {
		if (*at != s)
			continue;
		*at = s->next;
		s->of->users--;
		s->of->streams--;
		s->of->used_at = clock_now();
		break;
	}
	pthread_mutex_unlock(&p->lock);
}

struct answer *pool_event(struct pool *p, struct subscriber *s, bool *ret_gone)
{
	struct answer *ret = NULL;

	pthread_mutex_lock(&p->lock);
	*ret_gone = p->stopping || (s->of->gone && s->seen == s->of->event_serial);
	if (s->seen != s->of->event_serial && s->of->event) {
		s->seen = s->of->event_serial;
		ret = answer_hold(s->of->event);
	} else if (!*ret_gone) {
		s->asleep = true;
	}
	pthread_mutex_unlock(&p->lock);
	return ret;
}

/* --- workers --- */

static void *work(void *ctx)
{
	struct pool *p = ctx;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		int64_t now = clock_now(), wake = now + 5 * EVENT_NS;
		struct job *j = next_job(p, now, &wake);
		struct held *h;
		struct timespec t;

		if (j) {
			run_job(p, j);
			continue;
		}
		if (p->stopping)
			break;
		h = next_event(p, now, &wake);
		if (h) {
			run_event(p, h);
			continue;
		}
		tidy(p, now);
		t.tv_sec = wake / 1000000000;
		t.tv_nsec = wake % 1000000000;
		pthread_cond_timedwait(&p->work, &p->lock, &t);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct shelf *pool_shelf(const struct pool *p)
{
	return p->shelf;
}

bool pool_open(answer_fn fn, struct shelf *shelf, struct pool **ret, struct err *err)
{
	struct pool *p = calloc(1, sizeof(*p));
	pthread_condattr_t attr;

	if (!p)
		return err_set(err, ERR_LIMIT, "no memory for the server");
	p->answer = fn;
	p->shelf = shelf;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->work, &attr);
	pthread_condattr_destroy(&attr);
	for (; p->n_threads < WORKERS; p->n_threads++)
		if (pthread_create(&p->threads[p->n_threads], NULL, work, p) != 0)
			break;
	if (!p->n_threads) {
		pool_close(p);
		return err_set(err, ERR_OS, "no thread could be started for the server");
	}
	*ret = p;
	return true;
}

void pool_stop(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	for (struct subscriber *s = p->subscribers; s; s = s->next) {
		if (!s->asleep)
			continue;
		s->asleep = false;
		s->wake(s);
	}
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (uint32_t i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	p->n_threads = 0;
}

void pool_close(struct pool *p)
{
	while (p->held) {
		struct held *h = p->held;

		p->held = h->next;
		held_free(h);
	}
	kept_clear(&p->kept, UINT64_MAX);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
