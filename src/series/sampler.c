/*
 * The rhythm: samples are due at their own rate; between them the words are read as often as is
 * needed to see each GC cycle by itself, a few times a cycle, at most a thousand times a second.
 * How long a cycle may be follows from the last ones (the runtime's ring tells even those that were
 * missed) and from how fast the heap grows towards its trigger.
 */
#include "series/sampler.h"
#include "base/clock.h"

#include <string.h>
#include <time.h>

#define SECOND INT64_C(1000000000)
#define POLL_IDLE                                                                                  \
	(SECOND / 10) /* nothing is going on: two cycles within this are not seen apart            \
		       */
#define POLL_MIN      (SECOND / 1000) /* the contract's 1 kHz */
#define READS_A_CYCLE 4
#define GAPS	      16	   /* cycles whose distances are remembered */
#define CALM_AFTER    (5 * SECOND) /* without a cycle the distances are forgotten */
#define RING_SAFE     240U	   /* of 256: others may end while the ring is read */

struct sampler {
	struct words_reader *w;
	struct words now, before;
	bool has_before;
	int64_t began, began_unix, period, next_sample, due;
	uint32_t numgc, numforced;
	bool numforced_known; /* it is the count at the end of cycle numgc */
	int64_t last_t;	      /* of the last event, so that time never runs backwards */
	int64_t last_end;     /* of the last cycle, monotonic */
	int64_t gap[GAPS];
	uint32_t n_gaps;
	double rate; /* bytes allocated a second, lately */
	uint64_t goroutines;
	uint64_t reads;
};

bool sampler_open(struct go_session *g, double hz, struct arena *a, struct sampler **ret,
		  struct err *err)
{
	struct sampler *s = ARENA_NEW(a, struct sampler);

	if (!words_open(g, a, &s->w, err) || !words_read(s->w, &s->now, err))
		return false;
	s->began = s->now.nanotime;
	s->began_unix = s->now.unix_ns;
	s->numgc = s->now.c.numgc;
	s->numforced = s->now.c.numforcedgc;
	s->numforced_known = s->now.last_known;
	s->last_end = s->now.t_end;
	s->period = (int64_t)((double)SECOND / MIN(MAX(hz, 0.01), SAMPLER_HZ_MAX));
	s->next_sample = s->due = s->began;
	*ret = s;
	return true;
}

int64_t sampler_due(const struct sampler *s)
{
	return s->due;
}

int64_t sampler_began(const struct sampler *s, int64_t *ret_unix_ns)
{
	if (ret_unix_ns)
		*ret_unix_ns = s->began_unix;
	return s->began;
}

const struct words *sampler_words(const struct sampler *s)
{
	return &s->now;
}

int sampler_minor(const struct sampler *s)
{
	return words_minor(s->w);
}

uint64_t sampler_reads(const struct sampler *s)
{
	return s->reads;
}

static void remember_gap(struct sampler *s, int64_t end)
{
	if (s->last_end > 0 && end > s->last_end)
		s->gap[s->n_gaps++ % GAPS] = end - s->last_end;
	s->last_end = end;
}

/* Monotonic time of a moment that the target noted on the wall clock. A clock that was set in
 * between can't be known of: the moment then lies between the two reads all the same. */
static int64_t monotonic_of(const struct sampler *s, uint64_t unix_ns)
{
	int64_t at = (int64_t)unix_ns - (s->now.unix_ns - s->now.nanotime);

	at = MAX(at, s->has_before ? s->before.nanotime : s->began);
	at = MAX(at, s->last_end);
	return MIN(at, s->now.nanotime);
}

static void fill_last(const struct sampler *s, struct gc_event *g)
{
	const struct words *w = &s->now;

	g->late = false;
	g->heap_marked = (uint64_t)w->heap2;
	g->heap_goal = w->c.lastHeapGoal;
	g->heap_end = (uint64_t)w->heap1;
	if (!w->last_cpu_known)
		return;
	g->heap_start = (uint64_t)w->heap0;
	g->mark_ns = (uint64_t)(w->t_mark_term - w->t_mark);
	g->assist_ns = (uint64_t)w->assist;
	g->dedicated_ns = (uint64_t)w->dedicated;
	g->idle_ns = (uint64_t)w->idle;
}

static bool emit_cycles(struct sampler *s, event_sink sink, void *ctx, struct err *err)
{
	struct gc_pause pause[GC_RING];
	uint32_t n = s->now.c.numgc - s->numgc, known = MIN(n, RING_SAFE);

	if (n == 0)
		return true;
	if (!words_pauses(s->w, s->now.c.numgc - known + 1, known, pause, err))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		const struct gc_pause *p = i >= n - known ? &pause[i - (n - known)] : NULL;
		bool last = i == n - 1;
		struct event e = {.kind = EVENT_GC,
				  .gc = {.n = s->numgc + i + 1,
					 .late = true,
					 .t_known = p != NULL,
					 .forced = -1,
					 .pause_ns = p ? p->ns : UNKNOWN,
					 .heap_marked = UNKNOWN,
					 .heap_goal = UNKNOWN,
					 .heap_end = UNKNOWN,
					 .heap_start = UNKNOWN,
					 .mark_ns = UNKNOWN,
					 .assist_ns = UNKNOWN,
					 .dedicated_ns = UNKNOWN,
					 .idle_ns = UNKNOWN}};
		int64_t end;

		if (!p)
			end = s->last_end;
		else if (last && s->now.last_known)
			end = s->now.t_end;
		else
			end = monotonic_of(s, p->end_unix_ns);
		if (last && s->now.last_known) {
			fill_last(s, &e.gc);
			/* With one cycle alone, one more forced is this one. */
			if (s->now.last_cpu_known)
				e.gc.forced = s->now.c.user_forced ? 1 : 0;
			else if (n == 1 && s->numforced_known)
				e.gc.forced = s->now.c.numforcedgc != s->numforced;
		}
		remember_gap(s, end);
		e.t_ns = MAX(end - s->began, s->last_t);
		/* by the wall clock of now: it may have been set since the watch began */
		e.unix_ns = s->now.unix_ns - (s->now.nanotime - s->began - e.t_ns);
		s->last_t = e.t_ns;
		sink(ctx, &e);
	}
	s->numgc = s->now.c.numgc;
	s->numforced = s->now.c.numforcedgc;
	s->numforced_known = s->now.last_known;
	return true;
}

static uint64_t plus(int64_t v)
{
	return v > 0 ? (uint64_t)v : 0;
}

static void fill_sample(const struct sampler *s, uint64_t rss, struct sample *ret)
{
	const struct counters *c = &s->now.c;
	bool v19 = words_minor(s->w) > 18;

	*ret = (struct sample){
		.rss = rss,
		.heap_live = c->heapLive,
		.heap_goal = c->heapGoal, /* UINT64_MAX is UNKNOWN: no cycle starts by itself */
		.heap_trigger = c->trigger,
		.heap_inuse = c->heapInUse,
		.heap_idle = c->heapFree + c->heapReleased,
		.heap_released = c->heapReleased,
		.stacks = plus(c->inStacks),
		.goroutines = s->goroutines,
		.threads = c->threads,
		.num_gc = c->numgc,
		.heap_marked = c->heapMarked,
		.total_alloc = v19 ? c->totalAlloc : UNKNOWN,
		.go_total = v19 ? c->mappedReady : UNKNOWN,
		.memory_limit = c->memoryLimit == INT64_MAX ? UNKNOWN : (uint64_t)c->memoryLimit,
		.gogc = c->gcPercent < 0 ? UNKNOWN : (uint64_t)c->gcPercent,
		.gc_cpu_ns = c->has_cpu ? plus(c->cpu_gc_total) : UNKNOWN,
		.gc_assist_ns = c->has_cpu ? plus(c->cpu_gc_assist) : UNKNOWN,
		.gc_idle_ns = c->has_cpu ? plus(c->cpu_gc_idle) : UNKNOWN,
		.idle_ns = c->has_cpu ? plus(c->cpu_idle) : UNKNOWN,
		.gc_roots = c->lastStackScan + c->globalsScan,
		.gc_runway = c->runway,
		.procs = c->gomaxprocs,
		.cpu_ns = c->has_cpu ? plus(c->cpu_total) : UNKNOWN,
		.scavenged = words_minor(s->w) > 20 ? c->scav_bg + c->scav_eager : UNKNOWN,
	};
}

static bool emit_sample(struct sampler *s, event_sink sink, void *ctx, struct err *err)
{
	struct event e = {.kind = EVENT_SAMPLE};
	uint64_t rss, goroutines;

	if (!words_rss(s->w, &rss, err))
		return false;
	if (words_goroutines(s->w, &goroutines, NULL))
		s->goroutines = goroutines;
	fill_sample(s, rss, &e.sample);
	e.t_ns = MAX(s->now.nanotime - s->began, s->last_t);
	e.unix_ns = s->now.unix_ns;
	s->last_t = e.t_ns;
	sink(ctx, &e);
	return true;
}

/* How long until the next reading: a fraction of the time that a cycle may take. */
static int64_t next_poll(struct sampler *s)
{
	const struct counters *c = &s->now.c, *b = &s->before.c;
	int64_t cycle = POLL_IDLE * READS_A_CYCLE, passed;

	if (s->has_before && c->numgc == b->numgc) {
		double seconds = (double)(s->now.nanotime - s->before.nanotime) / 1e9;
		double rate = c->heapLive > b->heapLive && seconds > 0
				      ? (double)(c->heapLive - b->heapLive) / seconds
				      : 0;

		s->rate = MAX(rate, s->rate * 0.7); /* quick to rise, slow to fall */
	}
	if (s->rate > 0 && c->trigger != UINT64_MAX) {
		/* From marked to trigger again and again: the next cycles at the present rate. */
		bytes room = c->trigger > c->heapMarked ? c->trigger - c->heapMarked : 0;
		double ns = (double)MAX(room, (bytes)1 << 20) / s->rate * 1e9;

		if (ns < (double)cycle)
			cycle = (int64_t)ns;
	}
	passed = s->now.nanotime - s->last_end;
	if (passed > CALM_AFTER)
		s->n_gaps = 0;
	for (uint32_t i = 0; i < MIN(s->n_gaps, (uint32_t)GAPS); i++)
		cycle = MIN(cycle, s->gap[i]);
	return MIN(MAX(cycle / READS_A_CYCLE, POLL_MIN), POLL_IDLE);
}

bool sampler_step(struct sampler *s, event_sink sink, void *ctx, struct err *err)
{
	struct words w;
	int64_t now;

	if (!words_read(s->w, &w, err))
		return false;
	s->reads++;
	s->before = s->now;
	s->has_before = true;
	s->now = w;
	if (!emit_cycles(s, sink, ctx, err))
		return false;
	if (s->now.nanotime >= s->next_sample) {
		if (!emit_sample(s, sink, ctx, err))
			return false;
		/* A sample that could not be taken in time is left out, not made up later. */
		s->next_sample += s->period;
		if (s->next_sample <= s->now.nanotime)
			s->next_sample = s->now.nanotime + s->period -
					 (s->now.nanotime - s->began) % s->period;
	}
	now = clock_ns(CLOCK_MONOTONIC);
	s->due = MIN(s->next_sample, now + next_poll(s));
	return true;
}
