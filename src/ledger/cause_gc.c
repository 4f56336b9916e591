/*
 * Causes that follow from when the collector and the scavenger run: garbage, kept pages, limits,
 * and the profile's own age. The forecasts are those of pacer.c at today's live heap.
 */
#include "ledger/cause.h"

#include <math.h>
#include <string.h>

static const char *gogc_text(const struct study *t)
{
	return t->c->gcPercent < 0 ? "GOGC=off" : arena_printf(t->a, "GOGC=%d", t->c->gcPercent);
}

static const char *settings(struct study *t)
{
	if (t->pacer.limit == PACE_NO_LIMIT)
		return gogc_text(t);
	return arena_printf(t->a, "%s, GOMEMLIMIT=%s", gogc_text(t),
			    cause_bytes(t, t->pacer.limit));
}

/* Age of the last cycle in ns, -1 unknown. */
static int64_t gc_age(const struct study *t)
{
	int64_t last = (int64_t)t->c->last_gc_nanotime;

	return last > 0 && t->c->nanotime >= last ? t->c->nanotime - last : -1;
}

static const char *last_gc(struct study *t)
{
	int64_t age = gc_age(t);

	if (t->c->numgc == 0)
		return "the start (no GC has run)";
	return age < 0 ? arena_printf(t->a, "GC %u", t->c->numgc)
		       : arena_printf(t->a, "GC %u, %s ago", t->c->numgc, cause_duration(t, age));
}

/* What the collector costs since the start, idle marking left out; a share of GOMAXPROCS time. */
static double gc_cpu(const struct counters *c)
{
	if (c->has_cpu && c->cpu_total > 0)
		return (double)(c->cpu_gc_total - c->cpu_gc_idle) / (double)c->cpu_total;
	return c->gc_cpu_fraction;
}

/* Time that nobody needed, idle marking included; a share as above. All of the rest where it is not
 * known. */
static double cpu_idle(const struct counters *c)
{
	if (c->has_cpu && c->cpu_total > 0)
		return (double)(c->cpu_idle + c->cpu_gc_idle) / (double)c->cpu_total;
	return 1 - c->gc_cpu_fraction;
}

/* Cycles that ended in the last minute, by the ring of the last 256. */
static unsigned cycles_in_minute(const struct study *t)
{
	int64_t now = t->s->read.at_unix_ns;
	unsigned n = 0;

	for (unsigned i = 0; i < MIN(t->c->numgc, 256U); i++) {
		int64_t end = (int64_t)t->c->pause_end[(t->c->numgc + 255 - i) % 256];
		n += now > 0 && end > 0 && now - end < INT64_C(60000000000);
	}
	return n;
}

static void gc_evidence(struct study *t, struct finding *f)
{
	const struct counters *c = t->c;
	unsigned recent = cycles_in_minute(t);

	if (c->heapGoal == 0 || c->heapGoal > INT64_MAX)
		cause_evidence(t, f, "heap %s, and no goal: %s", cause_bytes(t, t->objects),
			       settings(t));
	else
		cause_evidence(t, f, "heap %s of a goal of %s (%s%s); the next GC starts at %s",
			       cause_bytes(t, t->objects), cause_bytes(t, c->heapGoal), settings(t),
			       c->limit_rules ? ", the limit rules" : "",
			       cause_bytes(t, c->trigger));
	cause_evidence(t, f,
		       "%u GC cycles, %u of them forced by runtime.GC, %u%s in the last minute; "
		       "they took %.1f %% of the CPU time",
		       c->numgc, c->numforcedgc, recent, recent == 256 ? " or more" : "",
		       gc_cpu(c) * 100);
	if (c->gcPercent >= 0 && c->enablegc && gc_age(t) >= 0 && gc_age(t) < PACE_FORCED_NS)
		cause_evidence(t, f,
			       "when it is idle, the runtime forces a GC 2 to 3 min after the last "
			       "one: in %s at the latest",
			       cause_duration(t, PACE_FORCED_NS - gc_age(t)));
}

/* The heap may live on at this goal with some room: a tenth of what is live. Before the first GC
 * nobody knows what is live. */
static bool leaves_room(const struct study *t, bytes goal)
{
	return t->c->numgc > 0 && goal >= t->pacer.marked + t->pacer.marked / 10;
}

/*
 * Advice to collect more often. A setting that cuts the room between live heap and goal to a part
 * of what it is cuts garbage and free pages to the same part, and cycles come as much more often.
 */
static void advise_gc(struct study *t, struct finding *f, bytes garbage)
{
	const struct pacer *p = &t->pacer;
	struct pacer other = *p;
	bytes by_gogc = pacer_gogc_goal(p), by_limit = pacer_limit_goal(p),
	      now = MIN(by_gogc, by_limit), then;
	bool off = p->gogc < 0, limit_rules = by_limit < by_gogc;
	const char *cost, *up_to;
	int64_t saves;

	if (t->c->numgc == 0)
		return; /* there is no live heap to forecast from */
	other.gogc = off || p->gogc > 100 ? 100 : p->gogc / 10 * 5;
	then = limit_rules ? p->marked + (now - p->marked) / 2 : pacer_gogc_goal(&other);
	if (then >= now || now <= p->marked || (!limit_rules && other.gogc < 10))
		return;
	if (now == UINT64_MAX) {
		saves = (int64_t)(t->objects > then ? t->objects - then : 0);
		cost = arena_printf(t->a, "GC cycles: one whenever the heap gets to %s",
				    cause_bytes(t, then));
	} else {
		double times = pacer_frequency(p->marked, now, then), cpu = gc_cpu(t->c);
		double more = pacer_gc_share(cpu, cpu_idle(t->c), times);
		saves = (int64_t)((double)garbage * (1 - 1 / times));
		cost = arena_printf(t->a,
				    "about %.1f %% more CPU time for the GC: %.1f times as many "
				    "cycles, %.1f %% instead of %.1f %%",
				    (more - cpu) * 100, times, more * 100, cpu * 100);
	}
	up_to = saves > 0 ? " (saves up to that: what is live stays)" : "";
	if (!limit_rules)
		cause_action(t, f, saves, "set GOGC=%d%s\t%s", other.gogc, up_to, cost);
	if (p->go_minor > 18 && leaves_room(t, then)) {
		bytes limit = pacer_limit_for(p, then);
		if (limit < p->limit)
			cause_action(t, f, saves,
				     "set GOMEMLIMIT=%lluMiB%s\tthe same at the live heap of now "
				     "(%s): more as it grows",
				     (unsigned long long)(limit / MIB), up_to,
				     cause_bytes(t, p->marked));
	}
}

void cause_gc_schedule(struct study *t, struct finding *f)
{
	const struct counters *c = t->c;
	bytes fresh = cause_line(t, LINE_HEAP_NEW), dead = cause_line(t, LINE_HEAP_DEAD);

	bytes counted = cause_part_of_line(t, LINE_HEAP_NEW, t->counted_new);
	bytes told = fresh - MIN(fresh, counted);

	if (!cause_claim(t, f, (int64_t)(told + dead)))
		return;
	if (told >= MIB)
		f->c.confidence = LIKELY; /* that it is garbage; what was found dead is */
	if (c->numgc == 0)
		f->c.title = "heap allocated, and no GC has run yet";
	else if (told < MIB)
		f->c.title = "garbage that is not swept yet";
	cause_evidence(t, f, "allocated since %s: %s, live or garbage", last_gc(t),
		       cause_bytes(t, fresh));
	if (dead > 0)
		cause_evidence(t, f, "found dead by the last GC and not swept yet: %s",
			       cause_bytes(t, dead));
	gc_evidence(t, f);
	if (c->gcPercent < 0 && t->pacer.limit == PACE_NO_LIMIT)
		f->clause = "GOGC=off without GOMEMLIMIT, so nothing starts the GC";
	else if (c->limit_rules)
		f->clause = arena_printf(t->a, "GOMEMLIMIT lets the heap grow to %s",
					 cause_bytes(t, c->heapGoal));
	else if (c->numgc == 0)
		f->clause = "what of it is live is not known before the first one";
	else if (c->heapGoal > c->heapMarked && c->heapGoal < INT64_MAX)
		f->clause =
			arena_printf(t->a, "%s lets the heap grow from %s live to %s", gogc_text(t),
				     cause_bytes(t, c->heapMarked), cause_bytes(t, c->heapGoal));
	advise_gc(t, f, fresh + dead + cause_line(t, LINE_HEAP_FREE));
	cause_action(t, f, 0,
		     "allocate less; go tool pprof -sample_index=alloc_space on the program's own "
		     "/debug/pprof/allocs shows who does\ta change of the program");
}

/* Bytes a second that the scavenger returns: what it returned a CPU second so far, at 1 % of
 * GOMAXPROCS. 0 unknown. */
static double scavenger_rate(const struct study *t)
{
	const struct counters *c = t->c;

	/* Up to 1.20 the count starts anew now and then (mpagealloc.go, pallocator.scav.released).
	 */
	if (t->s->go_minor < 21 || !c->has_cpu || c->cpu_scav_bg < 1000000 || c->scav_bg == 0)
		return 0;
	return (double)c->scav_bg / ((double)c->cpu_scav_bg / 1e9) * 0.01 * c->gomaxprocs;
}

/* How much of the free pages the background scavenger will return, with what it says about it. */
static bytes scavenger_will_return(struct study *t, struct finding *f)
{
	const struct counters *c = t->c;
	bytes held = c->heapInUse + c->heapFree,
	      keep = pacer_retained(c->heapGoal, c->lastHeapGoal, c->lastHeapInUse);
	bytes excess = held > keep ? held - keep : 0, later = c->heapInUse + c->heapInUse / 10;
	bytes fresh = t->l->line[LINE_HEAP_NEW].bytes,
	      then = MAX(c->lastHeapInUse, held - MIN(held, fresh + fresh / 8));
	const char *in = "";
	bytes limit95 = t->pacer.limit == PACE_NO_LIMIT ? UINT64_MAX : t->pacer.limit / 100 * 95;
	double rate = scavenger_rate(t);

	/* It was told to work only if there was too much when the last GC ended, and it is done in
	 * some seconds. */
	if (then <= keep || gc_age(t) > INT64_C(60000000000))
		excess = 0;
	if (c->mappedReady > limit95)
		excess = MAX(excess, c->mappedReady - limit95);
	excess = MIN(excess, c->heapFree);
	if (t->l->residency) {
		bytes sum = 0;
		for (unsigned i = LINE_HEAP_LIVE; i <= LINE_HEAP_FREE; i++)
			sum += t->l->line[i].resident;
		in = arena_printf(t->a, ", %s of it resident", cause_bytes(t, sum));
	}
	if (keep != UINT64_MAX)
		cause_evidence(t, f,
			       "the background scavenger leaves %s of heap pages in memory until "
			       "the next GC (last HeapInuse %s, heap goal "
			       "%s after %s, and 10 %%); Go counts %s as not returned%s",
			       cause_bytes(t, keep), cause_bytes(t, c->lastHeapInUse),
			       cause_bytes(t, c->heapGoal), cause_bytes(t, c->lastHeapGoal),
			       cause_bytes(t, held), in);
	if (excess >= MIB && rate > 0)
		cause_evidence(
			t, f,
			"it may take 1 %% of the CPU time: about %s a second at its speed so far",
			cause_bytes(t, (bytes)rate));
	if (excess < MIB && held > later && c->gcPercent >= 0 && gc_age(t) >= 0 &&
	    gc_age(t) < PACE_FORCED_NS)
		cause_evidence(t, f,
			       "the next GC, forced in %s at the latest, sets a new goal: about "
			       "%s, if little is allocated by then",
			       cause_duration(t, PACE_FORCED_NS - gc_age(t)),
			       cause_bytes(t, later));
	return excess;
}

static void advise_retention(struct study *t, struct finding *f, bytes kept, bytes excess,
			     bool spike)
{
	const struct pacer *p = &t->pacer;
	bytes goal = MIN(p->gogc < 0 ? 2 * p->marked : pacer_gogc_goal(p), (bytes)1 << 60),
	      limit = pacer_limit_for(p, goal);
	double rate = scavenger_rate(t);

	if (excess >= MIB)
		cause_action(
			t, f, (int64_t)MIN(excess, kept), "wait%s\tnothing",
			rate > 0
				? arena_printf(t->a, " about %s",
					       cause_duration(
						       t, (int64_t)fmin(
								  (double)excess / rate * 1e9 + 1e9,
								  9e18)))
				: "; the scavenger is at it");
	cause_action(
		t, f, (int64_t)kept,
		"call debug.FreeOSMemory()%s\ta full GC: and page faults when the heap grows again",
		spike ? " after the spike"
		      : ", which is temporary: the heap takes them again as it grows");
	if (!spike)
		advise_gc(t, f,
			  kept + cause_line(t, LINE_HEAP_NEW) + cause_line(t, LINE_HEAP_DEAD));
	else if (p->go_minor > 18 && leaves_room(t, goal) && limit < p->limit &&
		 t->c->mappedReady > limit + kept / 10)
		cause_action(
			t, f, (int64_t)MIN(t->c->mappedReady - limit, kept),
			"set GOMEMLIMIT=%lluMiB\tGC cycles more often: once the live heap grows "
			"beyond %s",
			(unsigned long long)(limit / MIB), cause_bytes(t, p->marked));
}

void cause_retention(struct study *t, struct finding *f)
{
	const struct counters *c = t->c;
	bytes kept = cause_line(t, LINE_HEAP_FREE), total = t->l->line[LINE_HEAP_FREE].bytes,
	      excess, room;
	bool spike;

	if (!cause_claim(t, f, (int64_t)kept))
		return;
	cause_evidence(t, f, "HeapIdle − HeapReleased = %s on %s pages of 8 KiB%s",
		       cause_bytes(t, total), cause_count(t, total / GO_PAGE),
		       t->l->residency
			       ? arena_printf(t->a, ", %s of it in memory", cause_bytes(t, kept))
			       : "");
	if (t->os->hwm > t->rss + kept / 4)
		cause_evidence(t, f, "RSS was %s at its peak (VmHWM), and is %s",
			       cause_bytes(t, t->os->hwm), cause_bytes(t, t->rss));
	room = c->heapGoal > t->objects && c->heapGoal < INT64_MAX ? c->heapGoal - t->objects : 0;
	excess = scavenger_will_return(t, f);
	if (room > 0)
		cause_evidence(t, f,
			       "the heap is at %s and may grow by %s before the next GC ends (%s): "
			       "it will use %s of these pages again",
			       cause_bytes(t, t->objects), cause_bytes(t, room), settings(t),
			       room < total ? "that much" : "all");
	/* More than the heap can use before the next GC, with the tenth that is kept over it, or
	 * more than the scavenger wants to keep. */
	spike = total > room + MAX(room / 4, MIN(c->heapGoal, INT64_MAX) / 8) || excess > total / 2;
	if (spike)
		f->c.title = "free heap pages kept after a spike";
	if (excess >= MIB)
		f->clause = arena_printf(t->a, "the scavenger is returning %s of it by itself",
					 cause_bytes(t, excess));
	else if (!spike)
		f->clause = arena_printf(
			t->a,
			"the heap may grow by %s before the next GC ends, so they are kept for it",
			cause_bytes(t, room));
	else
		f->clause = c->gcPercent < 0
				    ? "nothing returns them before another GC, and with GOGC=off "
				      "none is due"
				    : "the runtime does not return them before the next GC";
	advise_retention(t, f, kept, excess, spike);
}

void cause_profile_stale(struct study *t, struct finding *f)
{
	const struct profile *p = &t->s->profile;
	int64_t live = (int64_t)t->l->line[LINE_HEAP_LIVE].bytes, d = live - p->inuse_space;
	double noise =
		3 * (isnan(p->error) ? 0 : p->error) * (double)p->inuse_space + 4.0 * (double)MIB;

	/* What is not resident is not a part of RSS, and not_a_gap tells of what the profile has
	 * too much. */
	if (!p->enabled || d < 0 || (double)d < noise ||
	    !cause_claim(t, f, (int64_t)cause_part_of_line(t, LINE_HEAP_LIVE, (bytes)d)))
		return;
	cause_evidence(t, f, "the last GC marked %s as live; the profile says %s, ± %.0f %%",
		       cause_bytes(t, (bytes)live), cause_bytes(t, (bytes)p->inuse_space),
		       isnan(p->error) ? 0 : p->error * 100);
	if (f->c.bytes < d)
		cause_evidence(t, f,
			       "%s of the %s marked are in memory; so is that part of the rest",
			       cause_bytes(t, t->l->line[LINE_HEAP_LIVE].resident),
			       cause_bytes(t, (bytes)live));
	cause_evidence(t, f, "the profile describes GC %u; the last one was %s", p->cycle,
		       last_gc(t));
	if (t->profile_now - (double)p->inuse_space > (double)d / 2) {
		cause_evidence(t, f, "with the samples of the cycles in flight it would say %s",
			       cause_bytes(t, (bytes)t->profile_now));
		cause_action(t, f, 0,
			     "fetch it anew: go tool pprof on the program's own "
			     "/debug/pprof/heap?gc=1\ta full GC");
		cause_action(t, f, 0, "look again in some minutes, after the next GC\tnothing");
	} else {
		f->c.confidence = LIKELY;
		f->c.title = "live heap that the profile has no samples of";
		f->clause = "it was allocated while MemProfileRate was 0 or another one, or in few "
			    "large steps";
	}
}

void cause_profile_off(struct study *t, struct finding *f)
{
	bytes live = cause_line(t, LINE_HEAP_LIVE);

	if (t->s->profile.enabled || !t->s->have_go || !cause_claim(t, f, (int64_t)live))
		return;
	cause_evidence(t, f, "MemProfileRate is %lld: %s", (long long)t->s->profile.rate,
		       "either nothing in the program links runtime.MemProfile (no net/http/pprof, "
		       "no runtime/pprof), or it set the rate to 0");
	cause_evidence(t, f, "the last GC marked %s as live, %s of it in memory",
		       cause_bytes(t, t->l->line[LINE_HEAP_LIVE].bytes), cause_bytes(t, live));
	f->clause =
		arena_printf(t->a, "the program has no heap profile; its live heap is %d %% of RSS",
			     cause_percent((double)live, (double)t->rss));
	cause_action(t, f, 0,
		     "import net/http/pprof or runtime/pprof\ta new build; about 1 MiB, and a "
		     "sample every 512 KiB allocated");
	cause_action(t, f, 0, "see which sizes hold it: `whyrss spans`\tnothing");
}

/** What Go counts and RSS does not have. */
struct missing {
	bytes untouched, swapped;
	bytes stale; /* in the profile, and not found by the last GC */
};

static struct missing missing_of(const struct study *t)
{
	bytes known = t->l->line[LINE_HEAP_LIVE].bytes + t->counted_new;
	struct missing r = {0};

	for (unsigned i = LINE_HEAP_LIVE; i <= LINE_HEAP_FREE; i++) {
		const struct line_sum *line = &t->l->line[i];
		r.swapped += line->swapped;
		if (line->bytes > line->resident + line->swapped)
			r.untouched += line->bytes - line->resident - line->swapped;
	}
	if (t->s->profile.enabled && t->s->profile.inuse_space > (int64_t)known)
		r.stale = (bytes)t->s->profile.inuse_space - known;
	return r;
}

static const char *missing_clause(struct study *t, const struct missing *m)
{
	if (m->swapped > m->untouched && m->swapped > m->stale)
		return arena_printf(t->a, "%s of the heap are in swap", cause_bytes(t, m->swapped));
	if (m->stale > m->untouched)
		return arena_printf(t->a,
				    "the profile counts %s that the last GC did not find any more",
				    cause_bytes(t, m->stale));
	return arena_printf(
		t->a, "%s that Go counts were never written, so the kernel has no page for them",
		cause_bytes(t, m->untouched));
}

void cause_not_a_gap(struct study *t, struct finding *f)
{
	const struct line_sum *line = t->l->line;
	struct missing m = missing_of(t);

	if (!t->l->residency ||
	    (!cause_claim(t, f, -(int64_t)(m.untouched + m.swapped + m.stale)) && t->gap >= 0))
		return;
	f->told = true;
	f->clause = missing_clause(t, &m);
	if (m.untouched > 0)
		cause_evidence(t, f,
			       "never written since the kernel provided the addresses, or only "
			       "read (the zero page): %s",
			       cause_bytes(t, m.untouched));
	if (m.swapped > 0)
		cause_evidence(t, f,
			       "%s of the heap are in swap: the machine or the container was short "
			       "of memory",
			       cause_bytes(t, m.swapped));
	if (m.stale > 0)
		cause_evidence(t, f,
			       "the profile says %s (GC %u), the last GC marked %s: %s is gone, or "
			       "sampling error",
			       cause_bytes(t, (bytes)t->s->profile.inuse_space),
			       t->s->profile.cycle, cause_bytes(t, line[LINE_HEAP_LIVE].bytes),
			       cause_bytes(t, m.stale));
	cause_evidence(t, f, "RSS %s; Go's own count: %s allocated, %s in spans",
		       cause_bytes(t, t->rss), cause_bytes(t, t->objects),
		       cause_bytes(t, t->objects + line[LINE_HEAP_SLOTS].bytes +
					      line[LINE_HEAP_TAIL].bytes));
}

/* What of the container is not Go's and cannot be taken back: GOMEMLIMIT knows nothing of it. */
static bytes beside_go(const struct study *t)
{
	static const enum line_id lines[] = {LINE_NATIVE_USED, LINE_NATIVE_FREE, LINE_ANON,
					     LINE_SHM,	       LINE_BINARY_DATA, LINE_STACK_OS};
	bytes sum = t->os->page_tables;

	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		sum += cause_line(t, lines[i]);
	if (t->cgroup)
		sum += t->cgroup->others_anon + t->cgroup->slab -
		       MIN(t->cgroup->slab, t->cgroup->slab_reclaimable);
	return sum;
}

/* The limit is below what the live heap and the runtime need: cycle follows cycle. */
static bool limit_too_low(struct study *t, struct finding *f)
{
	const struct pacer *p = &t->pacer;
	struct pacer steady = *p;
	bytes need = p->marked + p->nonheap;
	unsigned ago = t->c->numgc - t->c->limiter_last_enabled;

	steady.over = 0; /* it may pass */
	if (p->limit == PACE_NO_LIMIT || p->marked == 0 ||
	    pacer_limit_goal(&steady) > p->marked + p->marked / 20)
		return false;
	f->c.title = arena_printf(t->a, "GOMEMLIMIT=%s, which is %s what the heap needs",
				  cause_bytes(t, p->limit),
				  p->limit < need ? "less than" : "hardly more than");
	f->clause = arena_printf(t->a,
				 "the GC runs again and again, %u times in the last minute, and "
				 "took %.1f %% of the CPU time",
				 cycles_in_minute(t), gc_cpu(t->c) * 100);
	cause_evidence(t, f,
		       "live heap %s, and %s of runtime memory that no object can use: %s of a "
		       "limit of %s",
		       cause_bytes(t, p->marked), cause_bytes(t, p->nonheap), cause_bytes(t, need),
		       cause_bytes(t, p->limit));
	if (t->c->limiter_last_enabled > 0)
		cause_evidence(t, f,
			       "the limiter, which keeps the GC below half of the CPU time, was "
			       "last at work in GC %u, %u cycles ago",
			       t->c->limiter_last_enabled, ago);
	gc_evidence(t, f);
	cause_action(t, f, 0, "raise GOMEMLIMIT to %lluMiB or more\tup to that much memory",
		     (unsigned long long)(pacer_limit_for(p, p->marked + p->marked / 2) / MIB));
	return true;
}

/* What cannot be taken back when the heap is at its goal: RSS without clean file pages, and room
 * for the heap to grow. */
static bytes peak_of(const struct study *t)
{
	static const enum line_id clean[] = {LINE_BINARY_TEXT, LINE_BINARY_RODATA, LINE_FILES};
	bytes goal = t->c->heapGoal < INT64_MAX ? t->c->heapGoal : 0,
	      room = goal > t->objects ? goal - t->objects : 0;
	bytes held = t->rss, kept = cause_line(t, LINE_HEAP_FREE);

	for (size_t i = 0; i < ARRAY_LEN(clean); i++)
		held -= MIN(held, cause_line(t, clean[i]));
	return held + (room > kept ? room - kept : 0); /* it grows into its free pages first */
}

static void advise_limit(struct study *t, struct finding *f, bytes limit, bytes beside)
{
	const struct pacer *p = &t->pacer;
	bytes fits = limit > beside ? (limit - beside) / 100 * 95 : 0;
	bytes live = t->c->numgc > 0 ? p->marked : t->objects; /* at most, before the first GC */

	if (limit == UINT64_MAX && t->c->numgc == 0)
		cause_action(t, f, 0,
			     "set GOGC=100, or a GOMEMLIMIT well above %s\tGC cycles: what is live "
			     "is not known before the first one",
			     cause_bytes(t, t->objects));
	else if (limit == UINT64_MAX)
		cause_action(
			t, f, 0,
			"set GOMEMLIMIT=%lluMiB, or GOGC=100\tGC cycles: this limit is about twice "
			"the live heap",
			(unsigned long long)(pacer_limit_for(p, 2 * p->marked + 4 * MIB) / MIB));
	else if (fits >= pacer_limit_for(p, live + live / 10))
		cause_action(t, f, 0,
			     "set GOMEMLIMIT=%lluMiB\tmore GC cycles near it: it is the "
			     "container's limit, less %s that is "
			     "not Go's, less 5 %%",
			     (unsigned long long)(fits / MIB), cause_bytes(t, beside));
	else
		cause_action(t, f, 0,
			     "give the container more memory\tmemory: the live heap and what is "
			     "beside it fill it");
}

/* GOMEMLIMIT, or none, against the container. False: they fit. */
static bool limit_unfit(struct study *t, struct finding *f, bytes limit, bytes beside)
{
	const struct pacer *p = &t->pacer;
	bytes peak = peak_of(t);

	if (p->limit != PACE_NO_LIMIT) {
		if (limit == UINT64_MAX || (limit > beside && p->limit <= limit - beside))
			return false;
		f->c.title = arena_printf(t->a, "GOMEMLIMIT=%s in a container of %s",
					  cause_bytes(t, p->limit), cause_bytes(t, limit));
		f->clause = arena_printf(t->a,
					 "%s beside Go's own memory count there too, so the kernel "
					 "kills it before the GC works "
					 "harder",
					 cause_bytes(t, beside));
	} else if (t->c->gcPercent < 0) {
		f->c.title = "GOGC=off without GOMEMLIMIT";
		f->clause = "nothing starts the GC, so the heap only grows";
	} else {
		if (limit == UINT64_MAX || peak < limit / 100 * 90)
			return false;
		f->c.title = arena_printf(t->a, "no GOMEMLIMIT in a container of %s",
					  cause_bytes(t, limit));
		f->clause = arena_printf(t->a, "with %s it holds %s before the next GC ends",
					 gogc_text(t), cause_bytes(t, peak));
		f->c.confidence = LIKELY;
	}
	return true;
}

void cause_limit_misfit(struct study *t, struct finding *f)
{
	bytes limit = t->cgroup ? MIN(t->cgroup->limit, t->cgroup->high) : UINT64_MAX,
	      beside = beside_go(t);

	if (!t->s->have_go || !t->s->counters || t->pacer.go_minor <= 18)
		return;
	f->told = limit_too_low(t, f);
	if (f->told)
		return;
	f->told = limit_unfit(t, f, limit, beside);
	if (!f->told)
		return;
	cause_evidence(t, f, "%s; live heap %s, goal %s", settings(t),
		       t->c->numgc > 0 ? cause_bytes(t, t->pacer.marked)
				       : "not known before the first GC",
		       t->c->heapGoal < INT64_MAX ? cause_bytes(t, t->c->heapGoal) : "none");
	if (limit != UINT64_MAX)
		cause_evidence(t, f,
			       "the container may use %s; %s is beside Go: C memory, mappings, "
			       "global data, page tables, other "
			       "processes",
			       cause_bytes(t, limit), cause_bytes(t, beside));
	advise_limit(t, f, limit, beside);
}
