/*
 * mgcpacer.go and mgcscavenge.go of Go 1.18 to 1.27, retold. Three meanings changed: 1.19 brought
 * the memory limit and clamps the trigger in 64ths (go#48409), and 1.21 keeps 3 % below the limit
 * instead of 1 MiB (go#57069). It does not predict the runway, which follows from the program's
 * behaviour: a forecast uses the present one.
 */
#include "snapshot/pacer.h"

#define HEAP_MINIMUM   ((bytes)4 << 20)
#define MIN_RUNWAY     ((bytes)64 << 10)
#define LIMIT_HEADROOM ((bytes)1 << 20)
#define LIMIT_PERCENT  3U

struct pacer pacer_of(const struct counters *c, int minor)
{
	bytes objects = c->totalAlloc - c->totalFree, usable = c->heapFree + objects;
	bool limited = minor > 18 && c->memoryLimit != INT64_MAX && c->memoryLimit >= 0;
	struct pacer p = {
		.go_minor = minor,
		.gogc = c->gcPercent,
		.limit = limited ? (bytes)c->memoryLimit : PACE_NO_LIMIT,
		.marked = c->heapMarked,
		.roots = c->lastStackScan + c->globalsScan,
		.runway = c->runway,
		.sweep_min = c->sweepDistMinTrigger,
		.triggered = c->triggered,
		.nonheap = c->mappedReady > usable ? c->mappedReady - usable : 0,
	};

	if (limited && c->mappedReady > p.limit)
		p.over = c->mappedReady - p.limit;
	return p;
}

static bytes heap_minimum(const struct pacer *p)
{
	return p->gogc < 0 ? HEAP_MINIMUM : HEAP_MINIMUM * (bytes)p->gogc / 100;
}

bytes pacer_gogc_goal(const struct pacer *p)
{
	bytes goal;

	if (p->gogc < 0)
		return UINT64_MAX;
	goal = p->marked + (p->marked + p->roots) * (bytes)p->gogc / 100;
	return p->go_minor > 18 ? MAX(goal, heap_minimum(p)) : goal;
}

bytes pacer_limit_goal(const struct pacer *p)
{
	bytes goal, headroom;

	if (p->limit == PACE_NO_LIMIT || p->go_minor <= 18)
		return UINT64_MAX;
	if (p->nonheap + p->over >= p->limit)
		return p->marked;
	goal = p->limit - (p->nonheap + p->over);
	headroom = p->go_minor >= 21 ? MAX(goal / 100 * LIMIT_PERCENT, LIMIT_HEADROOM)
				     : LIMIT_HEADROOM;
	goal = goal < headroom || goal - headroom < headroom ? headroom : goal - headroom;
	return MAX(goal, p->marked);
}

/* 1.18, commit: the trigger is found first, and a goal below it follows. */
static struct pace decide_18(const struct pacer *p)
{
	bytes goal = pacer_gogc_goal(p), minimum = heap_minimum(p), way = goal - p->marked;
	bytes low = MAX(minimum, p->sweep_min), high = (bytes)(0.95 * (double)way), trigger;

	low = MAX(low, (bytes)(0.7 * (double)way) + p->marked);
	if (goal > minimum)
		high = MAX(high, goal - minimum);
	high = MAX(high + p->marked, low);
	trigger = p->runway > goal ? low : goal - p->runway;
	trigger = MIN(MAX(trigger, low), high);
	return (struct pace){.goal = MAX(goal, trigger), .trigger = trigger};
}

struct pace pacer_decide(const struct pacer *p)
{
	return pacer_decide_from(p, pacer_gogc_goal(p));
}

struct pace pacer_decide_from(const struct pacer *p, bytes by_gogc)
{
	bytes by_limit = pacer_limit_goal(p), low = 0, high, way;
	struct pace r = {.goal = MIN(by_gogc, by_limit), .by_limit = by_limit < by_gogc};

	if (p->go_minor <= 18)
		return decide_18(p);
	if (!r.by_limit) { /* the limit is hard: nothing moves its goal up */
		low = p->sweep_min;
		r.goal = MAX(r.goal, low);
		if (p->triggered != UINT64_MAX && r.goal < p->triggered + MIN_RUNWAY)
			r.goal = p->triggered + MIN_RUNWAY;
	}
	r.trigger = r.goal;
	if (p->marked >= r.goal)
		return r;
	/* From 70 % to 95 % of the way from the live heap to the goal, or to 4 MiB before it. */
	way = (r.goal - p->marked) / 64;
	low = MAX(MAX(low, p->marked), p->marked + way * 45);
	high = p->marked + way * 61;
	if (r.goal > HEAP_MINIMUM)
		high = MAX(high, r.goal - HEAP_MINIMUM);
	high = MAX(high, low);
	r.trigger = p->runway > r.goal ? low : r.goal - p->runway;
	r.trigger = MIN(MAX(r.trigger, low), high);
	return r;
}

bytes pacer_limit_for(const struct pacer *p, bytes goal)
{
	bytes way = p->go_minor >= 21
			    ? MAX(goal + goal / (100 - LIMIT_PERCENT) * LIMIT_PERCENT + 100,
				  goal + LIMIT_HEADROOM)
			    : goal + LIMIT_HEADROOM;

	return round_up(p->nonheap + MAX(way, 2 * LIMIT_HEADROOM), (bytes)1 << 20);
}

double pacer_frequency(bytes marked, bytes now, bytes then)
{
	bytes from = now > marked ? now - marked : 1, to = then > marked ? then - marked : 1;

	return (double)from / (double)to;
}

double pacer_gc_share(double gc, double idle, double times)
{
	double program = MAX(1 - gc - idle, 0), demand = gc * times + program;

	return demand > 1 ? gc * times / demand : gc * times;
}

bytes pacer_retained(bytes goal, bytes last_goal, bytes last_in_use)
{
	double ratio = last_goal ? (double)goal / (double)last_goal : 0,
	       kept = (double)last_in_use * ratio;
	bytes keep;

	if (last_goal == 0 || kept > 1e18)
		return UINT64_MAX;
	keep = (bytes)kept;
	return round_up(keep + keep / 10, OS_PAGE);
}
