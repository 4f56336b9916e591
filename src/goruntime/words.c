/*
 * Prepared once: which bytes of which globals, into copies that the decoders of a snapshot take as
 * well. Then one call a reading. It does not compute what the Ps have not flushed: the numbers are
 * the pacer's own, which is what runs the collector.
 */
#include "goruntime/words.h"

#include "base/clock.h"
#include "goruntime/rt.h"
#include "snapshot/pacer.h"

#include <string.h>
#include <time.h>

#define SPANS_MAX 24U
#define CTL_BYTES 1024U
#define WORK_MAX  2048U
#define P_MAX	  4096U

struct words_reader {
	struct go_session *g;
	const struct layout *l;
	uint8_t *memstats, *ctl, *work, *sched, *mheap;
	uint8_t first[4], phase[4], procs[4], allgs_len[8], allp[24];
	uint8_t again[4]; /* numgc after all others */
	uint8_t *work_again;
	struct mem_span span[SPANS_MAX];
	uint32_t n_spans;
	taddr *ps;
	struct mem_span *p_span;
	uint8_t (*p_word)[8];
	uint32_t n_ps, cap_ps;
	taddr ps_at;
	struct arena *mem;
};

const char *go_version(const struct go_session *g)
{
	return g->release.text;
}

int words_minor(const struct words_reader *w)
{
	return w->g->release.minor;
}

bool words_rss(struct words_reader *w, bytes *ret, struct err *err)
{
	return target_rss(w->g->t, ret, err);
}

static void add(struct words_reader *w, taddr at, void *dst, uint32_t n)
{
	if (n && w->n_spans < SPANS_MAX)
		w->span[w->n_spans++] = (struct mem_span){.at = at, .dst = dst, .n = n};
}

/* The smallest range that holds all these fields, those left out that a release lacks. */
static void add_fields(struct words_reader *w, taddr base, uint8_t *copy, const struct field *f,
		       uint32_t n)
{
	uint32_t lo = UINT32_MAX, hi = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (!f[i].width)
			continue;
		lo = MIN(lo, f[i].off);
		hi = MAX(hi, f[i].off + f[i].width);
	}
	if (hi > lo)
		add(w, base + lo, copy + lo, hi - lo);
}
#define ADD_FIELDS(w, base, copy, ...)                                                             \
	add_fields((w), (base), (copy), (const struct field[]){__VA_ARGS__},                       \
		   (uint32_t)ARRAY_LEN(((const struct field[]){__VA_ARGS__})))

static void prepare(struct words_reader *w)
{
	const struct layout *l = w->l;
	const struct symbols *y = &w->g->sym;

	add(w, y->memstats + l->mstats_numgc.off, w->first, 4);
	ADD_FIELDS(w, y->work, w->work, l->work_cycles, l->work_userForced, l->work_tSweepTerm,
		   l->work_tMark, l->work_tMarkTerm, l->work_tEnd, l->work_heap0, l->work_heap1,
		   l->work_heap2, l->cpuStats_GCAssistTime, l->cpuStats_TotalTime);
	ADD_FIELDS(
		w, y->gcController, w->ctl, l->gcController_gcPercent, l->gcController_memoryLimit,
		l->gcController_heapMinimum, l->gcController_trigger, l->gcController_heapGoal,
		l->gcController_lastHeapGoal, l->gcController_heapLive, l->gcController_heapMarked,
		l->gcController_globalsScan, l->gcController_lastStackScan,
		l->gcController_assistTime, l->gcController_dedicatedMarkTime,
		l->gcController_fractionalMarkTime, l->gcController_idleMarkTime,
		l->gcController_totalAlloc, l->gcController_totalFree, l->gcController_mappedReady);
	for (uint32_t gen = 0; gen < 3; gen++) {
		uint32_t at = l->mstats_heapStats.off + gen * l->heapStatsDelta_size.width;

		ADD_FIELDS(w, y->memstats + at, w->memstats + at, l->heapStatsDelta_committed,
			   l->heapStatsDelta_inWorkBufs, l->heapStatsDelta_inPtrScalarBits);
	}
	ADD_FIELDS(w, y->memstats, w->memstats, l->mstats_numgc, l->mstats_numforcedgc,
		   l->mstats_gc_cpu_fraction, l->mstats_last_gc_nanotime, l->mstats_lastHeapInUse,
		   l->mstats_enablegc);
	ADD_FIELDS(w, y->memstats, w->memstats, l->mstats_heap_sys, l->mstats_heap_inuse,
		   l->mstats_heap_released);
	ADD_FIELDS(w, y->mheap, w->mheap, l->mheap_scav_releasedBg, l->mheap_scav_releasedEager);
	ADD_FIELDS(w, y->sched, w->sched, l->sched_mnext, l->sched_nmfreed, l->sched_ngsys,
		   l->sched_gFree_n, l->sched_gFree_stack_size, l->sched_gFree_noStack_size);
	add(w, y->gcphase, w->phase, 4);
	if (y->gomaxprocs)
		add(w, y->gomaxprocs, w->procs, 4);
	add(w, y->allgs + 8, w->allgs_len, 8);
	add(w, y->allp, w->allp, 24);
	ADD_FIELDS(w, y->work, w->work_again, l->work_cycles, l->work_tSweepTerm, l->work_tMarkTerm,
		   l->work_tEnd);
	add(w, y->memstats + l->mstats_numgc.off, w->again, 4);
}

/* The largest end of the fields that are kept in a copy of `work`. */
static uint32_t work_bytes(const struct layout *l)
{
	const struct field f[] = {l->work_cycles, l->work_tEnd,	    l->work_heap2,
				  l->work_heap0,  l->work_heap1,    l->cpuStats_TotalTime,
				  l->work_tMark,  l->work_tMarkTerm};
	uint32_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(f); i++)
		n = MAX(n, f[i].off + f[i].width);
	return n;
}

bool words_open(struct go_session *g, struct arena *a, struct words_reader **ret, struct err *err)
{
	struct words_reader *w = ARENA_NEW(a, struct words_reader);
	const struct layout *l = &g->layout;
	uint32_t work = work_bytes(l);
	bytes rss;

	w->g = g;
	w->l = l;
	w->mem = a;
	if (l->gcController_mappedReady.off + 8 > CTL_BYTES ||
	    l->gcController_heapMarked.off + 8 > CTL_BYTES || work > WORK_MAX)
		return err_set(err, ERR_RELEASE,
			       "%s: the pacer's words are larger than any known release's",
			       g->release.text);
	w->memstats = arena_alloc(a, l->mstats_size.width);
	w->ctl = arena_alloc(a, CTL_BYTES);
	w->work = arena_alloc(a, work);
	w->work_again = arena_alloc(a, work);
	w->sched = arena_alloc(a, l->sched_size.width);
	w->mheap = arena_alloc(a, l->mheap_size.width);
	prepare(w);
	/* Once with a look at the page tables: what is absent is not touched, and the words that
	 * matter are in memory in every program that has begun to run. */
	for (uint32_t i = 0; i < w->n_spans; i++)
		if (!mem_read(g->t, w->span[i].at, w->span[i].dst, w->span[i].n, err))
			return err_in(err, "the runtime's words");
	if (!target_rss(g->t, &rss, err))
		return false;
	*ret = w;
	return true;
}

static void sum_heap_stats(const struct words_reader *w, struct counters *c)
{
	const struct layout *l = w->l;

	for (uint32_t gen = 0; gen < 3; gen++) {
		const uint8_t *d =
			w->memstats + l->mstats_heapStats.off + gen * l->heapStatsDelta_size.width;

		c->committed += (int64_t)get(d, l->heapStatsDelta_committed);
		c->released += (int64_t)get(d, l->heapStatsDelta_released);
		c->inHeap += (int64_t)get(d, l->heapStatsDelta_inHeap);
		c->inStacks += (int64_t)get(d, l->heapStatsDelta_inStacks);
		c->inWorkBufs += (int64_t)get(d, l->heapStatsDelta_inWorkBufs);
		c->inPtrScalarBits += (int64_t)get(d, l->heapStatsDelta_inPtrScalarBits);
	}
}

void decode_goal(const struct layout *l, const uint8_t *ctl, int minor, struct counters *c)
{
	if (l->gcController_gcPercentHeapGoal.width) {
		struct pacer in = pacer_of(c, minor);
		struct pace out = pacer_decide_from(&in, c->gcPercentHeapGoal);

		c->heapGoal = out.goal;
		c->trigger = out.trigger;
		c->limit_rules = out.by_limit;
	} else { /* 1.18 keeps both */
		c->heapGoal = get(ctl, l->gcController_heapGoal);
		c->trigger = get(ctl, l->gcController_trigger);
	}
}

static void decode_cpu(const struct words_reader *w, struct counters *c)
{
	const struct layout *l = w->l;

	c->has_cpu = l->cpuStats_TotalTime.width != 0;
	c->cpu_gc_assist = (int64_t)get(w->work, l->cpuStats_GCAssistTime);
	c->cpu_gc_dedicated = (int64_t)get(w->work, l->cpuStats_GCDedicatedTime);
	c->cpu_gc_idle = (int64_t)get(w->work, l->cpuStats_GCIdleTime);
	c->cpu_gc_pause = (int64_t)get(w->work, l->cpuStats_GCPauseTime);
	c->cpu_gc_total = (int64_t)get(w->work, l->cpuStats_GCTotalTime);
	c->cpu_scav_total = (int64_t)get(w->work, l->cpuStats_ScavengeTotalTime);
	c->cpu_idle = (int64_t)get(w->work, l->cpuStats_IdleTime);
	c->cpu_user = (int64_t)get(w->work, l->cpuStats_UserTime);
	c->cpu_total = (int64_t)get(w->work, l->cpuStats_TotalTime);
}

/*
 * Cycle numgc is finished. heap1, heap2 and lastHeapGoal are its own until the next one's mark
 * terminates, which first writes tMarkTerm, then them, then tEnd, and numgc last. A next cycle has
 * begun when `cycles` is ahead, and then tSweepTerm is later than tEnd as long as tEnd is the
 * finished one's.
 */
static void decode_last(const struct words_reader *w, struct words *r)
{
	const struct layout *l = w->l;
	uint32_t cycles = (uint32_t)get(w->work, l->work_cycles),
		 cycles_again = (uint32_t)get(w->work_again, l->work_cycles);
	int64_t start = (int64_t)get(w->work_again, l->work_tSweepTerm),
		term = (int64_t)get(w->work_again, l->work_tMarkTerm),
		end = (int64_t)get(w->work_again, l->work_tEnd);
	bool same = load(w->first, 4) == load(w->again, 4);
	uint32_t n = (uint32_t)load(w->again, 4);

	r->running = cycles_again != n;
	r->last_known = same && (cycles_again == n ||
				 (cycles_again == n + 1 && start >= end && term <= end));
	r->last_cpu_known = r->last_known && cycles == n && cycles_again == n && start <= end;
	r->heap0 = (int64_t)get(w->work, l->work_heap0);
	r->heap1 = (int64_t)get(w->work, l->work_heap1);
	r->heap2 = (int64_t)get(w->work, l->work_heap2);
	r->t_start = (int64_t)get(w->work, l->work_tSweepTerm);
	r->t_mark = (int64_t)get(w->work, l->work_tMark);
	r->t_mark_term = (int64_t)get(w->work, l->work_tMarkTerm);
	r->t_end = (int64_t)get(w->work, l->work_tEnd);
	r->assist = (int64_t)get(w->ctl, l->gcController_assistTime);
	r->dedicated = (int64_t)(get(w->ctl, l->gcController_dedicatedMarkTime) +
				 get(w->ctl, l->gcController_fractionalMarkTime));
	r->idle = (int64_t)get(w->ctl, l->gcController_idleMarkTime);
	r->c.cycles = cycles;
	r->c.user_forced = get(w->work, l->work_userForced) != 0;
}

bool words_read(struct words_reader *w, struct words *ret, struct err *err)
{
	const struct layout *l = w->l;
	struct counters *c = &ret->c;
	uint64_t fraction;

	memset(ret, 0, sizeof(*ret));
	if (!target_poll(w->g->t, w->span, w->n_spans)) {
		bytes rss;

		if (!target_rss(w->g->t, &rss, err))
			return false;
		return err_set(err, ERR_FAULT,
			       "the runtime's words can't be read: the process is ending, or "
			       "became another program");
	}
	ret->nanotime = clock_ns(CLOCK_MONOTONIC);
	ret->unix_ns = clock_ns(CLOCK_REALTIME);
	sum_heap_stats(w, c);
	decode_pacer(l, w->ctl, w->memstats, c);
	c->numgc = (uint32_t)load(w->again, 4);
	c->numforcedgc = (uint32_t)get(w->memstats, l->mstats_numforcedgc);
	fraction = get(w->memstats, l->mstats_gc_cpu_fraction);
	memcpy(&c->gc_cpu_fraction, &fraction, sizeof(fraction));
	c->enablegc = get(w->memstats, l->mstats_enablegc) != 0;
	c->last_gc_nanotime = get(w->memstats, l->mstats_last_gc_nanotime);
	c->lastHeapInUse = get(w->memstats, l->mstats_lastHeapInUse);
	c->scav_bg = get(w->mheap, l->mheap_scav_releasedBg);
	c->scav_eager = get(w->mheap, l->mheap_scav_releasedEager);
	c->gcphase = (uint32_t)load(w->phase, 4);
	c->gomaxprocs = (uint32_t)load(w->procs, 4);
	c->threads = get(w->sched, l->sched_mnext) - get(w->sched, l->sched_nmfreed);
	c->nanotime = ret->nanotime;
	decode_goal(w->l, w->ctl, w->g->release.minor, c);
	decode_cpu(w, c);
	decode_last(w, ret);
	return true;
}

/* The list of Ps, when it moved. */
static bool read_ps(struct words_reader *w, struct err *err)
{
	taddr at = load(w->allp, 8);
	uint64_t n = load(w->allp + 8, 8);

	if (at == w->ps_at && n == w->n_ps)
		return true;
	if (n > P_MAX)
		return err_set(err, ERR_FORMAT, "allp has %llu entries", (unsigned long long)n);
	if (n > w->cap_ps) {
		w->cap_ps = (uint32_t)n;
		w->ps = ARENA_ARRAY(w->mem, taddr, n);
		w->p_span = ARENA_ARRAY(w->mem, struct mem_span, n);
		w->p_word = arena_alloc(w->mem, n * 8);
	}
	if (!mem_read(w->g->t, at, w->ps, n * sizeof(taddr), err))
		return err_in(err, "allp");
	w->n_ps = (uint32_t)n;
	w->ps_at = at;
	for (uint32_t i = 0; i < w->n_ps; i++)
		w->p_span[i] = (struct mem_span){.at = w->ps[i] + w->l->p_gFree_n.off,
						 .dst = w->p_word[i],
						 .n = w->l->p_gFree_n.width};
	return true;
}

bool words_goroutines(struct words_reader *w, uint64_t *ret, struct err *err)
{
	const struct layout *l = w->l;
	int64_t n = (int64_t)load(w->allgs_len, 8) - (int32_t)get(w->sched, l->sched_ngsys) -
		    (int32_t)get(w->sched, l->sched_gFree_n) -
		    (int32_t)get(w->sched, l->sched_gFree_stack_size) -
		    (int32_t)get(w->sched, l->sched_gFree_noStack_size);

	if (!read_ps(w, err))
		return false;
	if (w->n_ps && !target_poll(w->g->t, w->p_span, w->n_ps)) {
		w->ps_at = 0; /* GOMAXPROCS has just changed: the next reading has the new list */
		return err_set(err, ERR_FAULT, "the free goroutines of the Ps can't be read");
	}
	for (uint32_t i = 0; i < w->n_ps; i++)
		n -= (int32_t)load(w->p_word[i], l->p_gFree_n.width);
	*ret = n < 1 ? 1 : (uint64_t)n;
	return true;
}

bool words_pauses(struct words_reader *w, uint32_t first, uint32_t n, struct gc_pause *ret,
		  struct err *err)
{
	const struct layout *l = w->l;
	uint64_t v[2][GC_RING];
	taddr ns = w->g->sym.memstats + l->mstats_pause_ns.off,
	      end = w->g->sym.memstats + l->mstats_pause_end.off;
	uint32_t at = (first - 1) % GC_RING, part = MIN(n, GC_RING - at);
	struct mem_span s[4] = {
		{.at = ns + 8 * at, .dst = v[0], .n = 8 * part},
		{.at = end + 8 * at, .dst = v[1], .n = 8 * part},
		{.at = ns, .dst = &v[0][part], .n = 8 * (n - part)},
		{.at = end, .dst = &v[1][part], .n = 8 * (n - part)},
	};

	if (!target_poll(w->g->t, s, n > part ? 4 : 2))
		return err_set(err, ERR_FAULT, "the ring of GC pauses can't be read");
	for (uint32_t i = 0; i < n; i++)
		ret[i] = (struct gc_pause){v[0][i], v[1][i]};
	return true;
}
