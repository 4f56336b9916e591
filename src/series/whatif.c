/*
 * The program's part is replayed: how much it had allocated at each moment, how much of it was
 * alive. The collector's part is computed anew: a cycle starts where the pacer puts its trigger,
 * takes as long as marking took, and ends with what was allocated meanwhile on top. The replay is
 * repeated until there are enough cycles. It does not know how a program changes its ways.
 */
#include "series/whatif.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/unit.h"

/*
 * A live heap that comes and goes makes the place of a cycle depend on that of the one before: some
 * dozen cycles tell only in which phase the replay began, so that it goes on until the median of
 * all is known within some percent.
 */
#define CYCLES_MAX	2000U
#define REPLAYS		400U
#define SEAMS		48U /* places that are tried for the end of the replay, and for its beginning */
#define CYCLES_STEADY	3U  /* that must have been seen */
#define CYCLES_UNSTEADY 60U /* of a program whose live heap comes and goes */
#define DROP		0.7 /* a live heap of less than that of the cycle before: much was let go at once */
#define LEAST_STEP	((double)(32 << 10)) /* a P takes a span of 8 KiB at a time before it looks */
#define HEAP_META                                                                                  \
	0.03 /* metadata and holes that a byte of heap brings (measured: docs/what-if.md) */
#define FORCED_S 120.0 /* runtime/proc.go: forcegcperiod */
#define NONE	 NAN

/* A value over time, for interpolation. */
struct curve {
	double *t, *v;
	uint32_t n;
};

struct model {
	const struct whatif_input *in;
	struct curve alloc;	    /* bytes allocated since the beginning */
	struct curve live;	    /* marked by the cycle that ended then */
	double watched, alloc_rate; /* seconds, bytes a second */
	double from, seconds;	    /* what is replayed */
	double total;		    /* allocated then */
	double alloc_from;	    /* allocated before */
	struct curve mark;	    /* seconds that a mark took which began then */
	double marked;		    /* median */
	double gc_cpu;		    /* share; NaN */
	double idle;		    /* share that nobody used; NaN */
	double nonheap;		    /* counts against GOMEMLIMIT and is no object */
	double overshoot;	    /* heap at the end over the goal's way, as seen */
	double other;		    /* RSS that is not the Go heap */
	double peak;		    /* heap at its highest */
	bool steady;		    /* what is alive hardly changes from cycle to cycle */
	double roots, runway;	    /* of the pacer, medians */
};

static int ascending(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *v, uint32_t n)
{
	if (!n)
		return NONE;
	qsort(v, n, sizeof(*v), ascending);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void curve_add(struct curve *c, double t, double v)
{
	if (c->n && t <= c->t[c->n - 1])
		return;
	c->t[c->n] = t;
	c->v[c->n++] = v;
}

static double curve_at(const struct curve *c, double t)
{
	uint32_t lo = 0, hi = c->n;

	if (!c->n)
		return 0;
	if (t <= c->t[0])
		return c->v[0];
	if (t >= c->t[c->n - 1])
		return c->v[c->n - 1];
	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (c->t[mid] <= t)
			lo = mid;
		else
			hi = mid;
	}
	return c->v[lo] + (c->v[lo + 1] - c->v[lo]) * (t - c->t[lo]) / (c->t[lo + 1] - c->t[lo]);
}

static struct curve curve_new(struct arena *a, uint32_t n)
{
	return (struct curve){ARENA_ARRAY(a, double, n + 2), ARENA_ARRAY(a, double, n + 2), 0};
}

/* Before Go 1.19 there is no count of all allocations: what the heap grew by between cycles. */
static void learn_allocation(struct model *m, struct arena *a)
{
	const struct whatif_input *in = m->in;
	double sum = 0;

	m->alloc = curve_new(a, in->n_samples);
	for (uint32_t i = 0; i < in->n_samples; i++) {
		const struct sample *s = &in->samples[i].s, *b = i ? &in->samples[i - 1].s : s;

		if (s->total_alloc != UNKNOWN && b->total_alloc != UNKNOWN)
			sum += s->total_alloc > b->total_alloc
				       ? (double)(s->total_alloc - b->total_alloc)
				       : 0;
		else if (s->num_gc == b->num_gc)
			sum += s->heap_live > b->heap_live ? (double)(s->heap_live - b->heap_live)
							   : 0;
		else
			sum += (double)(s->num_gc - b->num_gc - 1) *
				       (double)(s->heap_goal == UNKNOWN ||
								s->heap_goal < s->heap_marked
							? 0
							: s->heap_goal - s->heap_marked) +
			       (b->heap_trigger > b->heap_live && b->heap_trigger != UNKNOWN
					? (double)(b->heap_trigger - b->heap_live)
					: 0) +
			       (s->heap_live > s->heap_marked
					? (double)(s->heap_live - s->heap_marked)
					: 0);
		curve_add(&m->alloc, (double)in->samples[i].t_ns / 1e9, sum);
	}
	m->total = sum;
}

/* How fast the live heap grows around knot i, where it falls: as before it, or as after it. */
static double growth_at(const struct curve *c, uint32_t i)
{
	double before = i >= 2 ? (c->v[i - 1] - c->v[i - 2]) / (c->t[i - 1] - c->t[i - 2]) : 0,
	       after = i + 1 < c->n ? (c->v[i + 1] - c->v[i]) / (c->t[i + 1] - c->t[i]) : 0;

	return before > 0 && after > 0 ? (before + after) / 2 : fmax(fmax(before, after), 0);
}

/*
 * Between two cycles much was let go of at once: a cycle tells what is alive only where it ends. It
 * fell somewhere between them, from what had grown on until then to a floor from which it grew up
 * to what the next cycle found. The floor is not seen. It lies under what any cycle after a fall
 * found, and not below what would make the fall come before the cycle in front of it. As cycles end
 * anywhere on the way up from the floor, it is as far below the lowest of n finds as n evenly
 * spread ones are from each other.
 */
static void find_falls(struct curve *c, struct arena *a)
{
	struct curve r = curve_new(a, 3 * c->n);
	double low = 0, high = INFINITY, sum = 0, floor;
	uint32_t n = 0;

	for (uint32_t i = 1; i < c->n; i++) {
		if (c->v[i] > DROP * c->v[i - 1])
			continue;
		low = fmax(low, c->v[i] - growth_at(c, i) * (c->t[i] - c->t[i - 1]));
		high = fmin(high, c->v[i]);
		sum += c->v[i];
		n++;
	}
	floor = n > 1 ? high - 2 * (sum / n - high) / (n - 1) : (low + high) / 2;
	floor = fmin(fmax(floor, low), high);
	for (uint32_t i = 0; i < c->n; i++) {
		double slope, at, width;

		if (i && c->v[i] <= DROP * c->v[i - 1]) {
			slope = growth_at(c, i);
			width = c->t[i] - c->t[i - 1];
			at = slope > 0 ? c->t[i] - (c->v[i] - floor) / slope : c->t[i] - width / 2;
			at = fmin(fmax(at, c->t[i - 1] + width * 0.02), c->t[i] - width * 0.02);
			curve_add(&r, at - width * 0.001, c->v[i - 1] + slope * (at - c->t[i - 1]));
			curve_add(&r, at, fmax(c->v[i] - slope * (c->t[i] - at), 0));
		}
		curve_add(&r, c->t[i], c->v[i]);
	}
	*c = r;
}

static void learn_cycles(struct model *m, struct arena *a)
{
	const struct whatif_input *in = m->in;
	double *marked = ARENA_ARRAY(a, double, in->n_cycles + 1),
	       *over = ARENA_ARRAY(a, double, in->n_cycles + 1);
	uint32_t n_marked = 0, n_over = 0;

	m->live = curve_new(a, in->n_cycles + 1);
	m->mark = curve_new(a, in->n_cycles);
	/* The first sample tells what the cycle before the watch had marked. */
	curve_add(&m->live, (double)in->samples[0].t_ns / 1e9,
		  (double)in->samples[0].s.heap_marked);
	for (uint32_t i = 0; i < in->n_cycles; i++) {
		const struct gc_event *g = &in->cycles[i].g;

		if (g->heap_marked == UNKNOWN)
			continue;
		curve_add(&m->live, (double)in->cycles[i].t_ns / 1e9, (double)g->heap_marked);
		marked[n_marked++] = (double)g->heap_marked;
		if (g->mark_ns != UNKNOWN && !(g->forced == 1))
			curve_add(&m->mark,
				  (double)(in->cycles[i].t_ns - (int64_t)g->mark_ns) / 1e9,
				  (double)g->mark_ns / 1e9);
		if (g->heap_end != UNKNOWN && g->heap_goal != UNKNOWN && g->forced != 1)
			over[n_over++] = (double)g->heap_end / (double)MAX(g->heap_goal, 1);
	}
	m->marked = n_marked ? median(marked, n_marked) : m->live.v[0];
	for (uint32_t i = 0; i < n_marked; i++)
		marked[i] = fabs(marked[i] - m->marked);
	m->steady = median(marked, n_marked) < 0.15 * m->marked;
	m->overshoot = n_over ? fmax(median(over, n_over), 1) : 1;
	find_falls(&m->live, a);
}

/*
 * The replay goes round, so its end should be like its beginning: of the first and the last quarter
 * of what was seen, the two moments are taken at which the live heap is most alike and grew most
 * alike, as a tooth that is cut in two would be one more, of another size.
 */
static void choose_seam(struct model *m)
{
	double best = INFINITY, from = m->from, seconds = m->seconds, near = seconds / 50;

	for (uint32_t i = 0; i <= SEAMS; i++) {
		for (uint32_t k = 0; k <= SEAMS; k++) {
			double s = m->from + m->seconds * (near / m->seconds + 0.25 * i / SEAMS),
			       e = m->from + m->seconds * (1 - 0.25 * k / SEAMS),
			       v = curve_at(&m->live, s), w = curve_at(&m->live, e),
			       gap = fabs(v - w) + fabs(v - curve_at(&m->live, s - near) - w +
							curve_at(&m->live, e - near));

			/* of equal ones the longest */
			gap += 0.01 * m->marked * (i + k) / SEAMS;
			if (gap < best) {
				best = gap;
				from = s;
				seconds = e - s;
			}
		}
	}
	m->total = curve_at(&m->alloc, from + seconds) - curve_at(&m->alloc, from);
	m->alloc_from = curve_at(&m->alloc, from);
	m->from = from;
	m->seconds = seconds;
}

static void learn_memory(struct model *m, struct arena *a)
{
	const struct whatif_input *in = m->in;
	const struct sample *first = &in->samples[0].s, *last = &in->samples[in->n_samples - 1].s;
	double *v = ARENA_ARRAY(a, double, in->n_samples + 1);
	uint32_t n = in->n_samples, k = 0;

	for (uint32_t i = 0; i < n; i++)
		v[i] = (double)in->samples[i].s.gc_roots;
	m->roots = median(v, n);
	for (uint32_t i = 0; i < n; i++)
		v[i] = (double)in->samples[i].s.gc_runway;
	m->runway = median(v, n);
	for (uint32_t i = 0; i < n; i++) {
		const struct sample *s = &in->samples[i].s;

		v[i] = (double)s->rss - (double)s->heap_inuse -
		       (double)(s->heap_idle - s->heap_released);
		m->peak = fmax(m->peak, (double)s->heap_live);
	}
	m->other = fmax(median(v, n), 0);
	for (uint32_t i = 0; i < n; i++) {
		const struct sample *s = &in->samples[i].s;

		if (s->go_total != UNKNOWN)
			v[k++] = (double)s->go_total - (double)(s->heap_idle - s->heap_released) -
				 (double)s->heap_live;
	}
	m->nonheap = k ? fmax(median(v, k), 0) : 0;
	m->gc_cpu = m->idle = NONE;
	if (first->cpu_ns != UNKNOWN && last->cpu_ns != UNKNOWN && last->cpu_ns > first->cpu_ns) {
		double cpu = (double)(last->cpu_ns - first->cpu_ns);

		m->gc_cpu = (double)(last->gc_cpu_ns - first->gc_cpu_ns) / cpu;
		m->idle = last->idle_ns >= first->idle_ns
				  ? (double)(last->idle_ns - first->idle_ns) / cpu
				  : 0;
	}
}

/* ---- The simulation ---- */

struct outcome {
	double peak[CYCLES_MAX];
	uint32_t n;
	double seconds;
	double work; /* bytes marked in all */
	uint32_t by_limit, tight;
	double highest;
};

/* The replay goes round: what was seen once happens again. */
static double alloc_at(const struct model *m, double t)
{
	double round = floor(t / m->seconds);

	return round * m->total + curve_at(&m->alloc, m->from + t - round * m->seconds) -
	       m->alloc_from;
}

static double live_at(const struct model *m, double t)
{
	return curve_at(&m->live, m->from + fmod(t, m->seconds));
}

/* The first moment from t on at which `target` bytes have been allocated; at most `end`. */
static double when_allocated(const struct model *m, double t, double target, double end)
{
	double lo = t, hi = end;

	if (alloc_at(m, end) < target)
		return end;
	for (int i = 0; i < 60 && hi - lo > 1e-6; i++) {
		double mid = (lo + hi) / 2;

		if (alloc_at(m, mid) < target)
			lo = mid;
		else
			hi = mid;
	}
	return hi;
}

static void simulate(const struct model *m, const struct whatif_setting *set, struct outcome *o)
{
	const struct whatif_input *in = m->in;
	double t = 0, start = 0, marked = live_at(m, 0), end = m->seconds * REPLAYS;
	bool warm = false;

	memset(o, 0, sizeof(*o));
	while (t < end && o->n < CYCLES_MAX) {
		double from = alloc_at(m, t), begin, mark, top, room, goal, trigger;
		struct pacer p = {.go_minor = in->go_minor,
				  .gogc = set->gogc,
				  .limit = set->memlimit,
				  .marked = (bytes)marked,
				  .roots = (bytes)m->roots,
				  .runway = (bytes)m->runway,
				  .triggered = UINT64_MAX,
				  .nonheap = (bytes)m->nonheap};
		struct pace pace = pacer_decide(&p);

		/* A larger heap has more metadata, which counts against the limit as well. */
		for (int i = 0; i < 4 && pace.by_limit; i++) {
			double more = HEAP_META * ((double)pace.goal - m->peak);

			p.nonheap = (bytes)fmax(m->nonheap + more, 0);
			pace = pacer_decide(&p);
		}
		goal = pace.goal == UINT64_MAX ? INFINITY : (double)pace.goal;
		trigger = pace.trigger == UINT64_MAX ? INFINITY : (double)pace.trigger;

		room = fmax(trigger - marked, LEAST_STEP);
		/* With GOGC=off and no limit nothing forces a cycle either. */
		begin = isinf(room) ? end
				    : when_allocated(m, t, from + room,
						     set->gogc < 0 ? end : fmin(t + FORCED_S, end));
		if (begin >= end)
			break;
		/* What is alive then and what else the machine does are as they were. */
		mark = curve_at(&m->mark, m->from + fmod(begin, m->seconds));
		top = marked + alloc_at(m, begin + mark) - from;
		/* Assists hold the heap near its goal, as near as they did. */
		if (!isinf(goal))
			top = fmin(top, fmax(goal * m->overshoot, marked + room));
		t = begin + mark;
		marked = live_at(m, t);
		if (!warm) { /* its beginning was not seen */
			warm = true;
			start = t;
			continue;
		}
		o->peak[o->n++] = top;
		o->highest = fmax(o->highest, top);
		o->work += marked;
		o->by_limit += pace.by_limit;
		o->tight += trigger - marked < LEAST_STEP;
		o->seconds = t - start;
	}
	if (!warm || !o->n) {
		o->seconds = end;
		o->highest = marked + alloc_at(m, m->seconds);
	}
}

static void see_now(const struct model *m, struct arena *a, struct whatif *r)
{
	const struct whatif_input *in = m->in;
	double *peak = ARENA_ARRAY(a, double, in->n_cycles + 1);
	const struct sample *first = &in->samples[0].s, *last = &in->samples[in->n_samples - 1].s;
	uint32_t n = 0;

	for (uint32_t i = 0; i < in->n_cycles; i++)
		if (in->cycles[i].g.heap_end != UNKNOWN)
			peak[n++] = (double)in->cycles[i].g.heap_end;
	r->now.heap_peak = median(peak, n);
	r->cycles_seen = n;
	r->now.gc_per_s = (double)(last->num_gc - first->num_gc) / m->watched;
	r->now.gc_cpu = m->gc_cpu;
	r->now.rss = 0;
	for (uint32_t i = 0; i < in->n_samples; i++)
		r->now.rss = fmax(r->now.rss, (double)in->samples[i].s.rss);
}

/* The same simulation with the present setting: what it is off by there, it is off by elsewhere. */
static void compare(const struct model *m, struct arena *a, struct whatif *r)
{
	struct outcome *was = ARENA_NEW(a, struct outcome), *then = ARENA_NEW(a, struct outcome);
	double peak_was, peak_then, rate_was, rate_then, times;

	simulate(m, &r->was, was);
	simulate(m, &r->set, then);
	peak_was = was->n ? median(was->peak, was->n) : NONE;
	peak_then = then->n ? median(then->peak, then->n) : then->highest;
	rate_was = was->n ? (double)was->n / was->seconds : 0;
	rate_then = then->n ? (double)then->n / then->seconds : 0;
	/* Where the live heap comes and goes, a median tells the phase and not the model's error.
	 */
	if (m->steady && r->cycles_seen >= 3 && !isnan(peak_was)) {
		/* only what is above the live heap can be off */
		double off = (r->now.heap_peak - m->marked) / fmax(peak_was - m->marked, 1);

		off = fmin(fmax(off, 0.8), 1.25);
		if (peak_then > m->marked && !then->tight)
			peak_then = m->marked + (peak_then - m->marked) * off;
	}
	if (m->steady && rate_was > 0 && r->now.gc_per_s > 0 && r->cycles_seen >= 3)
		rate_then *= fmin(fmax(r->now.gc_per_s / rate_was, 0.8), 1.25);
	r->then.heap_peak = peak_then;
	times = was->n && was->work > 0 && r->now.gc_per_s > 0
			? rate_then * (then->n ? then->work / (double)then->n : m->marked) /
				  (r->now.gc_per_s * was->work / (double)was->n)
			: NONE;
	r->slower = 1;
	r->then.gc_cpu = NONE;
	if (!isnan(m->gc_cpu) && !isnan(times)) {
		double program = fmax(1 - m->gc_cpu - m->idle, 0),
		       demand = m->gc_cpu * times + program;

		/* A program that leaves time idle waits for something else than the CPU. */
		if (demand > 1 || m->idle < 0.03)
			r->slower = fmax(demand, 0.1);
		r->then.gc_cpu = pacer_gc_share(m->gc_cpu, m->idle, times);
	}
	r->then.gc_per_s = rate_then / r->slower;
	r->cycles_run = then->n;
	r->by_limit = then->n && then->by_limit * 2 > then->n;
	r->spiral = then->n && then->tight * 4 > then->n;
	r->then.rss = r->now.rss + (then->highest - was->highest) * (1 + HEAP_META);
	/* Under a limit the scavenger returns what would be above it. */
	if (r->set.memlimit != PACE_NO_LIMIT)
		r->then.rss =
			fmin(r->then.rss, (double)r->set.memlimit + fmax(m->other - m->nonheap, 0));
	r->then.rss = fmax(r->then.rss, m->other + m->marked);
}

static void explain(const struct model *m, struct arena *a, struct whatif *r)
{
	char one[UNIT_TEXT], two[UNIT_TEXT], three[UNIT_TEXT];
	VEC(const char *) w = {0};

	*VEC_PUSH(a, &w) = arena_printf(
		a, "it allocates %s a second and keeps %s alive, seen over %.0f s and %u GC cycles",
		unit_bytes(one, (bytes)r->alloc_rate), unit_bytes(two, (bytes)r->marked),
		r->seconds, r->cycles_seen);
	if (r->set.gogc >= 0 && !r->by_limit)
		*VEC_PUSH(a, &w) = arena_printf(a,
						"with GOGC=%d a cycle starts when the heap has "
						"grown by about %d %% of that",
						r->set.gogc, r->set.gogc);
	if (r->by_limit)
		*VEC_PUSH(a, &w) = arena_printf(
			a,
			"GOMEMLIMIT=%s decides: %s of it is not heap objects, so that %s is left "
			"for them",
			unit_bytes(one, r->set.memlimit), unit_bytes(two, (bytes)m->nonheap),
			unit_bytes(three, (bytes)fmax((double)r->set.memlimit - m->nonheap, 0)));
	if (r->spiral)
		*VEC_PUSH(a, &w) =
			"the live heap hardly fits under the limit: it would collect all the time "
			"(a death spiral, which Go stops at half of the CPU)";
	if (r->slower > 1.02)
		*VEC_PUSH(a, &w) =
			arena_printf(a, "the CPU is used up: the program would get %.0f %% slower",
				     (r->slower - 1) * 100);
	if (r->few)
		*VEC_PUSH(a, &w) =
			"too few GC cycles were seen to be sure: watch longer, or ask a recording";
	r->because = w.v;
	r->n_because = w.n;
}

static bool learn(const struct whatif_input *in, struct arena *a, struct model *m, struct err *err)
{
	*m = (struct model){.in = in};
	if (in->n_samples < 5)
		return err_set(err, ERR_LIMIT,
			       "%u samples are too few to forecast from; watch longer",
			       in->n_samples);
	m->from = (double)in->samples[0].t_ns / 1e9;
	m->seconds = (double)in->samples[in->n_samples - 1].t_ns / 1e9 - m->from;
	if (!(m->seconds > 0.1))
		return err_set(err, ERR_LIMIT,
			       "%.1f s are too short to forecast from; watch longer", m->seconds);
	learn_allocation(m, a);
	learn_cycles(m, a);
	learn_memory(m, a);
	m->watched = m->seconds;
	m->alloc_rate = m->total / m->seconds;
	choose_seam(m);
	return true;
}

static void run_model(const struct model *m, const struct whatif_setting *set, struct arena *a,
		      struct whatif *ret)
{
	const struct whatif_input *in = m->in;
	const struct sample *last = &in->samples[in->n_samples - 1].s;
	struct whatif r = {.set = *set, .seconds = m->watched, .marked = m->marked};

	r.was = (struct whatif_setting){
		.gogc = last->gogc == UNKNOWN ? -1 : (int32_t)MIN(last->gogc, (uint64_t)INT32_MAX),
		.memlimit = last->memory_limit == UNKNOWN ? PACE_NO_LIMIT : last->memory_limit};
	if (in->go_minor <= 18)
		r.was.memlimit = r.set.memlimit = PACE_NO_LIMIT;
	r.alloc_rate = m->alloc_rate;
	see_now(m, a, &r);
	r.few = r.cycles_seen < (m->steady ? CYCLES_STEADY : CYCLES_UNSTEADY);
	compare(m, a, &r);
	explain(m, a, &r);
	*ret = r;
}

bool whatif_run(const struct whatif_input *in, const struct whatif_setting *set, struct arena *a,
		struct whatif *ret, struct err *err)
{
	struct model m;

	if (!learn(in, a, &m, err))
		return false;
	run_model(&m, set, a, ret);
	return true;
}

bool whatif_advise(const struct whatif_input *in, bytes limit, struct arena *a, struct whatif *ret,
		   struct err *err)
{
	static const int32_t gogc[] = {-1, 1600, 800, 400, 300, 200, 150, 100, 75, 50, 35, 25};
	struct whatif best = {0}, r;
	bool found = false;
	struct model m;

	if (!learn(in, a, &m, err))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(gogc); i++) {
		for (int limited = 0; limited < 2; limited++) {
			/* A tenth is left for what Go does not count: C, mapped files, the binary.
			 */
			struct whatif_setting set = {
				gogc[i],
				limited ? round_down(
						  (bytes)fmax((double)limit * 0.9 -
								      fmax(m.other - m.nonheap, 0),
							      0),
						  1 << 20)
					: PACE_NO_LIMIT};

			if (limited ? in->go_minor <= 18 || set.memlimit == 0 : gogc[i] < 0)
				continue;
			run_model(&m, &set, a, &r);
			if (r.spiral || r.then.rss > (double)limit * (limited ? 1.0 : 0.9))
				continue;
			/* Fewer cycles are better; of two alike that with a limit, which a peak
			 * can't break. */
			if (!found || r.then.gc_per_s < best.then.gc_per_s * 0.97)
				best = r;
			found = true;
		}
	}
	if (!found) {
		char text[UNIT_TEXT], needs[UNIT_TEXT];

		return err_set(err, ERR_LIMIT,
			       "no setting keeps this program under %s: its live heap and what is "
			       "not heap "
			       "are %s",
			       unit_bytes(text, limit),
			       unit_bytes(needs, (bytes)fmax(m.other + m.marked, 0)));
	}
	*ret = best;
	return true;
}
