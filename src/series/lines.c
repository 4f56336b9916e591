/* A thread that reads ledgers and keeps within its budget; see lines.h. */
#include "series/lines.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "target/target.h"

#define SECOND	  INT64_C(1000000000)
#define NOW_LEAST (SECOND / 5) /* between two readings out of turn */

struct lines_reader {
	struct target *t;
	struct go_session *g;
	struct arena mem;
	int64_t every;
	ledger_sink sink;
	void *ctx;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* under the lock */
	bool end, asked, fresh;
	struct event newest;
	int64_t cost;
};

void lines_of(const struct ledger *l, struct lines_event *ret)
{
	const struct snapshot *s = l->s;
	const struct cgroup_facts *c = s->os->cgroup;

	*ret = (struct lines_event){
		.rss = l->rss,
		.profile = s->profile.enabled && s->profile.inuse_space >= 0
				   ? (uint64_t)s->profile.inuse_space
				   : UNKNOWN,
		.cgroup_current = c ? c->current : UNKNOWN,
		.cgroup_limit = c ? c->limit : UNKNOWN,
		.cause = l->n_causes ? l->causes[0].id : NULL, /* ids are constants */
	};
	for (unsigned i = 0; i < N_LINES; i++)
		ret->resident[i] = l->line[i].resident;
}

/* One reading; what fails is left out: a process that ends is noticed by the sampler. */
static int64_t read_once(struct lines_reader *r)
{
	CLEANUP(arena_free) struct arena a = {0};
	struct snapshot snap = {0};
	struct event e = {.kind = EVENT_LINES};
	int64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	struct ledger l;

	if (!go_snapshot(r->g, NEED_LEDGER, &snap, NULL))
		return clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	e.t_ns = clock_ns(CLOCK_MONOTONIC);
	e.unix_ns = snap.read.at_unix_ns;
	arena_init(&a, 0);
	ledger_build(&snap, &a, NULL, NULL, &l);
	lines_of(&l, &e.lines);
	/* Of the whole process: reading may use a second thread. */
	e.lines.cost_ns = (uint64_t)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	if (r->sink)
		r->sink(r->ctx, &e, &l);
	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	snapshot_free(&snap);
	pthread_mutex_lock(&r->lock);
	r->newest = e;
	r->fresh = true;
	pthread_mutex_unlock(&r->lock);
	return cpu;
}

/* Waits until `until`, or until it is asked and `least` has passed. True: read now. */
static bool wait_turn(struct lines_reader *r, int64_t until, int64_t least)
{
	bool go;

	pthread_mutex_lock(&r->lock);
	while (!r->end) {
		int64_t at = r->asked ? least : until;
		struct timespec t = {at / SECOND, at % SECOND};

		if (clock_ns(CLOCK_MONOTONIC) >= at)
			break;
		pthread_cond_timedwait(&r->wake, &r->lock, &t);
	}
	r->asked = false;
	go = !r->end;
	pthread_mutex_unlock(&r->lock);
	return go;
}

static void *loop(void *arg)
{
	struct lines_reader *r = arg;
	int64_t until = clock_ns(CLOCK_MONOTONIC), least = until;

	while (wait_turn(r, until, least)) {
		int64_t began = clock_ns(CLOCK_MONOTONIC), cpu = read_once(r);

		pthread_mutex_lock(&r->lock);
		r->cost += cpu;
		pthread_mutex_unlock(&r->lock);
		until = began + MAX(r->every, (int64_t)((double)cpu / LINES_BUDGET));
		/* Out of turn it may spend ten times as much for a while: peaks are rare. */
		least = began + MAX(NOW_LEAST, (int64_t)((double)cpu / LINES_BUDGET / 10));
	}
	return NULL;
}

bool lines_open(int pid, int64_t every_ns, ledger_sink sink, void *ctx, struct lines_reader **ret,
		struct err *err)
{
	struct lines_reader *r = calloc(1, sizeof(*r));
	pthread_condattr_t attr;
	int failed;

	if (!r)
		return err_os(err, ERR_OS, "reading the lines of process %d", pid);
	r->every = every_ns > 0 ? every_ns : LINES_EVERY_NS;
	r->sink = sink;
	r->ctx = ctx;
	arena_init(&r->mem, 0);
	if (!live_open(pid, &(struct live_options){0}, &r->t, err) ||
	    !target_facts(r->t, &r->mem, err) || !go_open(r->t, &r->mem, &r->g, err))
		goto failed;
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->wake, &attr);
	failed = pthread_create(&r->thread, NULL, loop, r);
	if (failed) {
		err_set(err, ERR_OS, "a thread for process %d: %s", pid, strerror(failed));
		goto failed;
	}
	*ret = r;
	return true;
failed:
	if (r->g)
		go_close(r->g);
	target_close(r->t);
	arena_free(&r->mem);
	free(r);
	return false;
}

bool lines_take(struct lines_reader *r, struct event *ret)
{
	bool fresh;

	pthread_mutex_lock(&r->lock);
	fresh = r->fresh;
	if (fresh)
		*ret = r->newest;
	r->fresh = false;
	pthread_mutex_unlock(&r->lock);
	return fresh;
}

void lines_now(struct lines_reader *r)
{
	pthread_mutex_lock(&r->lock);
	r->asked = true;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
}

int64_t lines_cost(struct lines_reader *r)
{
	int64_t v;

	pthread_mutex_lock(&r->lock);
	v = r->cost;
	pthread_mutex_unlock(&r->lock);
	return v;
}

void lines_close(struct lines_reader *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->end = true;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	pthread_cond_destroy(&r->wake);
	pthread_mutex_destroy(&r->lock);
	go_close(r->g);
	target_close(r->t);
	arena_free(&r->mem);
	free(r);
}
