/*
 * The runtime's state words and counters: one batch of reads that is repeated until its own
 * identities hold. Source: runtime/mstats.go (heapStatsDelta, mstats), mgcpacer.go, mheap.go; the
 * identities are measured facts (an allocating process breaks them in 2 to 3 of 100 reads).
 */
#include "goruntime/rt.h"
#include "snapshot/pacer.h"

#include <math.h>
#include <string.h>
#include <time.h>

bool read_header(struct reading *r, struct gc_header *ret, struct err *err)
{
	const struct layout *l = r->l;
	const struct symbols *y = &r->g->sym;
	uint8_t word[4][8] = {{0}};
	struct mem_span v[] = {
		{.at = y->mheap + l->mheap_sweepgen.off,
		 .dst = word[0],
		 .n = l->mheap_sweepgen.width},
		{.at = y->gcphase, .dst = word[1], .n = 4},
		{.at = y->memstats + l->mstats_numgc.off,
		 .dst = word[2],
		 .n = l->mstats_numgc.width},
		{.at = y->work + l->work_cycles.off,
		 .dst = word[3],
		 .n = MIN(l->work_cycles.width, 8)},
	};
	mem_read_many(r->t, v, ARRAY_LEN(v));
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		if (v[i].got != v[i].n)
			return err_set(err, ERR_FAULT, "the runtime's state at %#llx can't be read",
				       (unsigned long long)v[i].at);
	}
	ret->sweepgen = (uint32_t)load(word[0], 4);
	ret->gcphase = (uint32_t)load(word[1], 4);
	ret->numgc = (uint32_t)load(word[2], 4);
	ret->cycles = (uint32_t)load(word[3], 4);
	return true;
}

/* heapStats: three generations, summed field by field (mstats.go, consistentHeapStats.unsafeRead).
 */
static void sum_heap_stats(const struct layout *l, const uint8_t *memstats, struct counters *c)
{
	uint32_t size = l->heapStatsDelta_size.width;
	c->committed = c->released = c->inHeap = c->inStacks = c->inWorkBufs = c->inPtrScalarBits =
		0;
	c->tinyAllocCount = c->largeAlloc = c->largeAllocCount = c->largeFree = c->largeFreeCount =
		0;
	memset(c->smallAllocCount, 0, sizeof c->smallAllocCount);
	memset(c->smallFreeCount, 0, sizeof c->smallFreeCount);
	for (uint32_t gen = 0; gen < 3; gen++) {
		const uint8_t *d = memstats + l->mstats_heapStats.off + gen * size;
		c->committed += (int64_t)get(d, l->heapStatsDelta_committed);
		c->released += (int64_t)get(d, l->heapStatsDelta_released);
		c->inHeap += (int64_t)get(d, l->heapStatsDelta_inHeap);
		c->inStacks += (int64_t)get(d, l->heapStatsDelta_inStacks);
		c->inWorkBufs += (int64_t)get(d, l->heapStatsDelta_inWorkBufs);
		c->inPtrScalarBits += (int64_t)get(d, l->heapStatsDelta_inPtrScalarBits);
		c->tinyAllocCount += get(d, l->heapStatsDelta_tinyAllocCount);
		c->largeAlloc += get(d, l->heapStatsDelta_largeAlloc);
		c->largeAllocCount += get(d, l->heapStatsDelta_largeAllocCount);
		c->largeFree += get(d, l->heapStatsDelta_largeFree);
		c->largeFreeCount += get(d, l->heapStatsDelta_largeFreeCount);
		for (uint32_t k = 0; k < GO_SIZE_CLASSES; k++) {
			c->smallAllocCount[k] +=
				load(d + l->heapStatsDelta_smallAllocCount.off + 8 * k, 8);
			c->smallFreeCount[k] +=
				load(d + l->heapStatsDelta_smallFreeCount.off + 8 * k, 8);
		}
	}
}

void decode_pacer(const struct layout *l, const uint8_t *g, const uint8_t *m, struct counters *c)
{
	c->gcPercent = (int32_t)get(g, l->gcController_gcPercent);
	c->memoryLimit = l->gcController_memoryLimit.width
				 ? (int64_t)get(g, l->gcController_memoryLimit)
				 : INT64_MAX;
	c->heapMinimum = get(g, l->gcController_heapMinimum);
	c->heapLive = get(g, l->gcController_heapLive);
	c->heapMarked = get(g, l->gcController_heapMarked);
	c->heapScan = get(g, l->gcController_heapScan);
	c->lastHeapScan = get(g, l->gcController_lastHeapScan);
	c->lastStackScan = get(g, l->gcController_lastStackScan);
	c->maxStackScan = get(g, l->gcController_maxStackScan);
	c->globalsScan = get(g, l->gcController_globalsScan);
	c->gcPercentHeapGoal = get(g, l->gcController_gcPercentHeapGoal);
	c->sweepDistMinTrigger = get(g, l->gcController_sweepDistMinTrigger);
	c->triggered = get(g, l->gcController_triggered);
	c->runway = get(g, l->gcController_runway);
	c->lastHeapGoal = get(g, l->gcController_lastHeapGoal);
	if (l->gcController_heapInUse.width != 0) {
		c->heapInUse = get(g, l->gcController_heapInUse);
		c->heapReleased = get(g, l->gcController_heapReleased);
		c->heapFree = get(g, l->gcController_heapFree);
		c->totalAlloc = get(g, l->gcController_totalAlloc);
		c->totalFree = get(g, l->gcController_totalFree);
		c->mappedReady = get(g, l->gcController_mappedReady);
	} else { /* 1.18 */
		c->heapInUse = get(m, l->mstats_heap_inuse);
		c->heapReleased = get(m, l->mstats_heap_released);
		c->heapFree = get(m, l->mstats_heap_sys) - c->heapInUse - c->heapReleased;
	}
}

static void decode_counters(struct reading *r, struct counters *c)
{
	const struct layout *l = r->l;
	const uint8_t *m = r->memstats, *h = r->mheap, *g = r->ctl, *s = r->sched;
	sum_heap_stats(l, m, c);
	c->stacks_sys = get(m, l->mstats_stacks_sys);
	c->mspan_sys = get(m, l->mstats_mspan_sys);
	c->mcache_sys = get(m, l->mstats_mcache_sys);
	c->buckhash_sys = get(m, l->mstats_buckhash_sys);
	c->gcMiscSys = get(m, l->mstats_gcMiscSys);
	c->other_sys = get(m, l->mstats_other_sys);
	c->last_gc_unix = get(m, l->mstats_last_gc_unix);
	c->last_gc_nanotime = get(m, l->mstats_last_gc_nanotime);
	c->pause_total_ns = get(m, l->mstats_pause_total_ns);
	memcpy(c->pause_ns, m + l->mstats_pause_ns.off, sizeof c->pause_ns);
	memcpy(c->pause_end, m + l->mstats_pause_end.off, sizeof c->pause_end);
	c->numgc = (uint32_t)get(m, l->mstats_numgc);
	c->numforcedgc = (uint32_t)get(m, l->mstats_numforcedgc);
	uint64_t fraction = get(m, l->mstats_gc_cpu_fraction);
	memcpy(&c->gc_cpu_fraction, &fraction, sizeof fraction);
	c->enablegc = get(m, l->mstats_enablegc) != 0;
	c->lastHeapInUse = get(m, l->mstats_lastHeapInUse);
	c->mspan_inuse = get(h, l->mheap_spanalloc_inuse);
	c->mcache_inuse = get(h, l->mheap_cachealloc_inuse);
	c->sweepgen = (uint32_t)get(h, l->mheap_sweepgen);
	c->scav_bg = get(h, l->mheap_scav_releasedBg);
	c->scav_eager = get(h, l->mheap_scav_releasedEager);

	decode_pacer(l, g, m, c);
	c->goroutines_created = get(s, l->sched_goroutinesCreated);
	c->mutex_wait = (int64_t)get(s, l->sched_totalMutexWaitTime);
	c->threads = get(s, l->sched_mnext) - get(s, l->sched_nmfreed);
}

/* What must hold between counters that are updated one after the other (measured in every release).
 */
static bool counters_agree(const struct counters *c)
{
	int64_t heap = c->committed - c->inStacks - c->inWorkBufs - c->inPtrScalarBits;
	return c->inHeap == (int64_t)c->heapInUse && c->released == (int64_t)c->heapReleased &&
	       heap == (int64_t)(c->heapInUse + c->heapFree);
}

static bool read_ps(struct reading *r, struct err *err)
{
	const struct layout *l = r->l;
	struct go_slice allp;
	if (!mem_read(r->t, r->g->sym.allp, &allp, sizeof allp, err))
		return err_in(err, "allp");
	if (allp.len > 4096)
		return err_set(err, ERR_FORMAT, "allp has %llu entries",
			       (unsigned long long)allp.len);
	r->n_allp = (uint32_t)allp.len;
	r->allp = ARENA_ARRAY(&r->scratch, taddr, r->n_allp);
	if (!mem_read(r->t, allp.ptr, r->allp, r->n_allp * sizeof(taddr), err))
		return err_in(err, "allp");
	uint32_t size = l->p_size.width;
	r->ps = ARENA_ARRAY(&r->scratch, uint8_t, (size_t)r->n_allp * size);
	struct mem_span *v = ARENA_ARRAY(&r->scratch, struct mem_span, r->n_allp);
	for (uint32_t i = 0; i < r->n_allp; i++)
		v[i] = (struct mem_span){
			.at = r->allp[i], .dst = r->ps + (size_t)i * size, .n = size};
	mem_read_many(r->t, v, r->n_allp);
	for (uint32_t i = 0; i < r->n_allp; i++) {
		if (v[i].got != size)
			memset(v[i].dst, 0, size);
	}
	return true;
}

/* What each P has counted in its mcache and not yet given to heapStats (mcache.go, releaseAll). */
static void read_flush(struct reading *r, struct counters *c)
{
	const struct layout *l = r->l;
	uint32_t size = l->mcache_size.width;
	uint8_t *mc = arena_alloc(&r->scratch, size),
		*sp = arena_alloc(&r->scratch, l->mspan_size.width);
	memset(c->flush_small, 0, sizeof c->flush_small);
	c->flush_tiny = c->cached_free_bytes = 0;
	for (uint32_t i = 0; i < r->n_allp; i++) {
		taddr at = get(r->ps + (size_t)i * l->p_size.width, l->p_mcache);
		if (at == 0 || target_read(r->t, at, mc, size) != size)
			continue;
		region_add(r, at, size, REGION_MCACHE, RD_MCACHES);
		c->flush_tiny += get(mc, l->mcache_tinyAllocs);
		for (uint32_t k = 0; k < 2 * GO_SIZE_CLASSES; k++) {
			taddr span = load(mc + l->mcache_alloc.off + 8 * k, 8);
			if (span == 0 || span == r->g->sym.emptymspan ||
			    target_read(r->t, span, sp, l->mspan_size.width) != l->mspan_size.width)
				continue;
			uint64_t count = get(sp, l->mspan_allocCount),
				 before = get(sp, l->mspan_allocCountBeforeCache);
			uint64_t nelems = get(sp, l->mspan_nelems),
				 elem = get(sp, l->mspan_elemsize);
			if (get(sp, l->mspan_state) != 1 || count > nelems || before > count ||
			    elem != GO_CLASS_SIZE[k / 2])
				continue; /* being refilled */
			if (l->mspan_allocCountBeforeCache.width != 0)
				c->flush_small[k / 2] += count - before;
			else
				c->flush_small[k / 2] -=
					nelems - count; /* 1.18 counts the whole span beforehand */
			c->cached_free_bytes += (nelems - count) * elem;
		}
	}
}

/* NumGoroutine = allglen − sched.ngsys − free ones of the scheduler and of the Ps (proc.go,
 * gcount). */
static void count_goroutines(struct reading *r, struct counters *c)
{
	const struct layout *l = r->l;
	struct go_slice allgs;
	if (target_read(r->t, r->g->sym.allgs, &allgs, sizeof allgs) != sizeof allgs)
		return;
	int64_t n = (int64_t)allgs.len - (int32_t)get(r->sched, l->sched_ngsys);
	n -= (int32_t)get(r->sched, l->sched_gFree_n) +
	     (int32_t)get(r->sched, l->sched_gFree_stack_size) +
	     (int32_t)get(r->sched, l->sched_gFree_noStack_size);
	for (uint32_t i = 0; i < r->n_allp; i++) {
		const uint8_t *p = r->ps + (size_t)i * l->p_size.width;
		n -= (int32_t)get(p, l->p_gFree_n);
		c->goroutines_created += get(p, l->p_goroutinesCreated);
	}
	c->goroutines = n < 1 ? 1 : (uint64_t)n;
}

/* runtime/histogram.go: since 1.20 with an overflow, before that finer. */
enum { HISTOGRAM_COUNTS = 160, HISTOGRAM_COUNTS_119 = 720 };

static uint64_t *read_histogram(struct reading *r, const uint8_t *base, struct field f)
{
	const struct layout *l = r->l;
	bool old = l->timeHistogram_overflow.width == 0;
	uint32_t n = old ? HISTOGRAM_COUNTS_119 : HISTOGRAM_COUNTS;
	if (f.width == 0 || l->timeHistogram_counts.width != 8 * n)
		return NULL;
	uint64_t *h = ARENA_ARRAY(r->mem, uint64_t, n + 2);
	const uint8_t *at = base + f.off;
	h[0] = get(at, l->timeHistogram_underflow);
	memcpy(h + 1, at + l->timeHistogram_counts.off, (size_t)n * 8);
	h[n + 1] = get(at, l->timeHistogram_overflow);
	r->s->counters->n_histogram = n + (old ? 1 : 2);
	return h;
}

static void read_cpu(struct reading *r, struct counters *c)
{
	const struct layout *l = r->l;
	uint32_t n = l->cpuStats_TotalTime.off + 8 - l->cpuStats_GCAssistTime.off;
	uint8_t buf[256];
	if (l->cpuStats_TotalTime.width == 0 || n < 8 || n > sizeof buf ||
	    target_read(r->t, r->g->sym.work + l->cpuStats_GCAssistTime.off, buf, n) != n)
		return;
	const struct {
		struct field f;
		int64_t *to;
	} v[] = {
		{l->cpuStats_GCAssistTime, &c->cpu_gc_assist},
		{l->cpuStats_GCDedicatedTime, &c->cpu_gc_dedicated},
		{l->cpuStats_GCIdleTime, &c->cpu_gc_idle},
		{l->cpuStats_GCPauseTime, &c->cpu_gc_pause},
		{l->cpuStats_GCTotalTime, &c->cpu_gc_total},
		{l->cpuStats_ScavengeAssistTime, &c->cpu_scav_assist},
		{l->cpuStats_ScavengeBgTime, &c->cpu_scav_bg},
		{l->cpuStats_ScavengeTotalTime, &c->cpu_scav_total},
		{l->cpuStats_IdleTime, &c->cpu_idle},
		{l->cpuStats_UserTime, &c->cpu_user},
		{l->cpuStats_TotalTime, &c->cpu_total},
	};
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		uint32_t off = v[i].f.off - l->cpuStats_GCAssistTime.off;
		if (off <= n - 8)
			*v[i].to = (int64_t)load(buf + off, 8);
	}
	c->has_cpu = true;
}

static uint32_t small_word(struct reading *r, taddr at, uint32_t fallback)
{
	uint64_t v;
	return at != 0 && mem_uint(r->t, at, 4, &v, NULL) ? (uint32_t)v : fallback;
}

#define COUNTER_TRIES 20

bool read_counters(struct reading *r, struct err *err)
{
	const struct layout *l = r->l;
	const struct symbols *y = &r->g->sym;
	struct counters *c = r->s->counters = ARENA_NEW(r->mem, struct counters);
	r->mheap = arena_alloc(&r->scratch, l->mheap_size.width);
	r->memstats = arena_alloc(&r->scratch, l->mstats_size.width);
	r->ctl = arena_alloc(&r->scratch, 1024);
	r->sched = arena_alloc(&r->scratch, l->sched_size.width);
	bool agree = false;
	for (int i = 0; i < COUNTER_TRIES && !agree; i++) {
		struct mem_span v[] = {
			{.at = y->memstats, .dst = r->memstats, .n = l->mstats_size.width},
			{.at = y->gcController,
			 .dst = r->ctl,
			 .n = l->gcController_mappedReady.width
				      ? l->gcController_mappedReady.off + 8
				      : l->gcController_heapMarked.off + 8},
			{.at = y->mheap, .dst = r->mheap, .n = l->mheap_size.width},
			{.at = y->sched, .dst = r->sched, .n = l->sched_size.width},
		};
		if (v[1].n > 1024)
			return err_set(err, ERR_RELEASE,
				       "gcController is larger than any known release's");
		mem_read_many(r->t, v, ARRAY_LEN(v));
		for (size_t k = 0; k < ARRAY_LEN(v); k++) {
			if (v[k].got != v[k].n)
				return err_set(err, ERR_FAULT,
					       "the runtime's counters at %#llx can't be read",
					       (unsigned long long)v[k].at);
		}
		decode_counters(r, c);
		agree = counters_agree(c);
	}
	if (!agree)
		note_add(r->s, false,
			 "the runtime's counters never agreed with each other in %d reads: they "
			 "may be off by a span",
			 COUNTER_TRIES);
	struct timespec now = {0};
	if (r->t->kind == TARGET_PROCESS)
		clock_gettime(CLOCK_MONOTONIC, &now);
	/* threads that C made and lent are not Go's (metrics.go, schedStatsAggregate) */
	c->threads -= MIN(c->threads, (uint64_t)small_word(r, y->extraMInUse, 0) +
					      small_word(r, y->extraMLength, 0));
	/* of a core 0: its clock is not known, and so no age */
	c->nanotime = now.tv_sec * 1000000000LL + now.tv_nsec + r->t->os->monotonic_ns;
	c->gcphase = small_word(r, y->gcphase, 0);
	c->gomaxprocs = small_word(r, y->gomaxprocs, 0);
	decode_goal(l, r->ctl, r->g->release.minor, c);
	if (!read_ps(r, err))
		return false;
	read_flush(r, c);
	count_goroutines(r, c);
	read_cpu(r, c);
	uint8_t work[1024];
	uint32_t wn = l->work_heap2.off + 8;
	if (wn <= sizeof work && target_read(r->t, y->work, work, wn) == wn) {
		c->cycles = (uint32_t)get(work, l->work_cycles);
		c->user_forced = get(work, l->work_userForced) != 0;
		c->heap0 = (int64_t)get(work, l->work_heap0);
		c->heap1 = (int64_t)get(work, l->work_heap1);
		c->heap2 = (int64_t)get(work, l->work_heap2);
		c->t_mark_start = (int64_t)get(work, l->work_tSweepTerm);
		c->t_mark_end = (int64_t)get(work, l->work_tMarkTerm);
		c->t_end = (int64_t)get(work, l->work_tEnd);
	}
	if (y->gcCPULimiter != 0 && l->gcCPULimiter_lastEnabledCycle.width != 0)
		c->limiter_last_enabled =
			small_word(r, y->gcCPULimiter + l->gcCPULimiter_lastEnabledCycle.off, 0);
	uint64_t cgo = 0;
	if (y->ncgocall != 0 && mem_uint(r->t, y->ncgocall, 8, &cgo, NULL))
		c->ncgocall =
			cgo; /* of threads that ended; the living ones are added by read_stacks */
	c->h_sched_latency = read_histogram(r, r->sched, l->sched_timeToRun);
	c->h_stop_gc = read_histogram(r, r->sched, l->sched_stwStoppingTimeGC);
	c->h_stop_other = read_histogram(r, r->sched, l->sched_stwStoppingTimeOther);
	/* up to 1.21 only the pauses of the GC were kept, in mstats */
	c->h_pause_gc = l->sched_stwTotalTimeGC.width != 0
				? read_histogram(r, r->sched, l->sched_stwTotalTimeGC)
				: read_histogram(r, r->memstats, l->mstats_gcPauseDist);
	if (y->startingStackSize != 0)
		c->starting_stack = small_word(r, y->startingStackSize, 0);
	c->h_pause_other = read_histogram(r, r->sched, l->sched_stwTotalTimeOther);
	struct {
		struct field f;
		int32_t *to;
	} dbg[] = {{l->debug_madvdontneed, &r->s->madvdontneed},
		   {l->debug_harddecommit, &r->s->harddecommit},
		   {l->debug_disablethp, &r->s->disablethp}};
	for (size_t i = 0; i < ARRAY_LEN(dbg); i++)
		*dbg[i].to = y->debug != 0 && dbg[i].f.width == 4
				     ? (int32_t)small_word(r, y->debug + dbg[i].f.off, (uint32_t)-1)
				     : -1;
	return true;
}
