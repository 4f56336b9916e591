/* Trends per line and call site, the peak, and sentences about them. */
#include "series/story.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/unit.h"

#define SITE_LEDGERS 120U
#define SITES	     400U
#define LEAST_RISE   (512.0 * 1024)

const char *rate_words(struct arena *a, double bytes_a_second)
{
	double a_minute = fabs(bytes_a_second) * 60, mib = 1024 * 1024;

	if (a_minute >= 100 * 1024)
		return arena_printf(a, "%.1f MiB/min", a_minute / mib);
	return arena_printf(a, "%.1f MiB/h", a_minute * 60 / mib);
}

/* ---- Trends ---- */

struct points {
	double *t, *v;
	uint32_t n;
};

static struct points points_new(struct arena *a, uint32_t n)
{
	return (struct points){ARENA_ARRAY(a, double, n + 1), ARENA_ARRAY(a, double, n + 1), 0};
}

static void point_add(struct points *p, int64_t t_ns, uint64_t v)
{
	if (v == UNKNOWN)
		return;
	p->t[p->n] = (double)t_ns / 1e9;
	p->v[p->n++] = (double)v;
}

static void find_trends(struct story *s, struct arena *a)
{
	struct points p = points_new(a, MAX(MAX(s->n_samples, s->n_cycles), s->n_ledgers));

	for (uint32_t i = 0; i < s->n_samples; i++)
		point_add(&p, s->samples[i].t_ns, s->samples[i].s.rss);
	trend_of(p.t, p.v, p.n, 2 * LEAST_RISE, a, &s->rss);
	p.n = 0;
	for (uint32_t i = 0; i < s->n_samples; i++)
		point_add(&p, s->samples[i].t_ns, s->samples[i].s.goroutines);
	trend_of(p.t, p.v, p.n, 20, a, &s->goroutines);
	p.n = 0;
	/* Over GC cycles, so that what is merely not collected yet plays no part. */
	for (uint32_t i = 0; i < s->n_cycles; i++)
		point_add(&p, s->cycles[i].t_ns, s->cycles[i].g.heap_marked);
	if (p.n < 6)
		for (uint32_t i = p.n = 0; i < s->n_samples; i++)
			point_add(&p, s->samples[i].t_ns, s->samples[i].s.heap_marked);
	trend_of(p.t, p.v, p.n, LEAST_RISE, a, &s->marked);
	for (unsigned line = 0; line < N_LINES; line++) {
		p.n = 0;
		for (uint32_t i = 0; i < s->n_ledgers; i++)
			point_add(&p, s->ledgers[i].t_ns, s->ledgers[i].l.resident[line]);
		trend_of(p.t, p.v, p.n, LEAST_RISE, a, &s->line[line]);
	}
}

struct site_points {
	const char *stack;
	struct points p;
};

static int steepest(const void *a, const void *b)
{
	const struct site_trend *x = a, *y = b;

	return (x->trend.rise < y->trend.rise) - (x->trend.rise > y->trend.rise);
}

/* A site that is not in a ledger had nothing in use then, or was too small to be kept. */
static bool find_site_trends(struct recording *r, struct story *s, struct arena *a, struct err *err)
{
	const struct ledger_row *with[SITE_LEDGERS];
	uint32_t n_with = 0, n = 0, all = 0, seen = 0;
	struct site_points *v = ARENA_ARRAY(a, struct site_points, SITES);
	VEC(struct site_trend) found = {0};

	for (uint32_t i = 0; i < s->n_ledgers; i++)
		all += s->ledgers[i].has_sites;
	for (uint32_t i = 0; i < s->n_ledgers; i++) {
		if (!s->ledgers[i].has_sites)
			continue;
		if (all <= SITE_LEDGERS || seen * SITE_LEDGERS / all >= n_with)
			with[n_with++] = &s->ledgers[i];
		seen++;
		if (n_with == SITE_LEDGERS)
			break;
	}
	for (uint32_t i = 0; i < n_with; i++) {
		struct site_row *rows;
		uint32_t n_rows;

		if (!recording_sites(r, with[i]->id, a, &rows, &n_rows, err))
			return false;
		for (uint32_t k = 0; k < n_rows; k++) {
			uint32_t at = 0;

			while (at < n && strcmp(v[at].stack, rows[k].stack) != 0)
				at++;
			if (at == SITES)
				continue;
			if (at == n) {
				v[n++] = (struct site_points){rows[k].stack, points_new(a, n_with)};
				for (uint32_t j = 0; j < i; j++)
					point_add(&v[at].p, with[j]->t_ns, 0);
			}
			if (v[at].p.n == i + 1) /* the same stack with another size */
				v[at].p.v[i] += (double)rows[k].inuse_space;
			else
				point_add(&v[at].p, with[i]->t_ns,
					  (uint64_t)MAX(rows[k].inuse_space, 0));
		}
		for (uint32_t at = 0; at < n; at++)
			if (v[at].p.n == i)
				point_add(&v[at].p, with[i]->t_ns, 0);
	}
	for (uint32_t at = 0; at < n; at++) {
		struct site_trend t = {.stack = v[at].stack};

		/* Each sample of the profile stands for half a MiB. */
		trend_of(v[at].p.t, v[at].p.v, v[at].p.n, 4 * LEAST_RISE, a, &t.trend);
		if (t.trend.kind == TREND_RISING || t.trend.kind == TREND_LEVELLING)
			*VEC_PUSH(a, &found) = t;
	}
	if (found.n > 0)
		qsort(found.v, found.n, sizeof(*found.v), steepest);
	s->sites = found.v;
	s->n_sites = found.n;
	return true;
}

/* ---- The collector, the peak, the limit ---- */

static int ascending(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void find_gc(struct story *s, struct arena *a)
{
	uint64_t *pause = ARENA_ARRAY(a, uint64_t, s->n_cycles + 1);
	uint32_t n = 0;
	const struct sample *first, *last;
	double seconds = (double)(s->to_ns - s->from_ns) / 1e9;

	for (uint32_t i = 0; i < s->n_cycles; i++) {
		const struct gc_event *g = &s->cycles[i].g;

		s->late += g->late;
		s->forced += g->forced == 1;
		if (g->pause_ns == UNKNOWN)
			continue;
		pause[n++] = g->pause_ns;
		s->pause_total_ns += g->pause_ns;
		s->pause_max_ns = MAX(s->pause_max_ns, g->pause_ns);
	}
	qsort(pause, n, sizeof(*pause), ascending);
	s->pause_median_ns = n ? pause[n / 2] : 0;
	s->gc_cpu = NAN;
	if (!s->n_samples)
		return;
	first = &s->samples[0].s;
	last = &s->samples[s->n_samples - 1].s;
	s->cycles_done = last->num_gc - first->num_gc;
	s->gc_per_s = seconds > 0 ? (double)s->cycles_done / seconds : 0;
	if (first->cpu_ns != UNKNOWN && last->cpu_ns != UNKNOWN && last->cpu_ns > first->cpu_ns)
		s->gc_cpu = (double)(last->gc_cpu_ns - first->gc_cpu_ns) /
			    (double)(last->cpu_ns - first->cpu_ns);
}

static bool find_peak(struct recording *r, struct story *s, struct arena *a, struct err *err)
{
	const struct ledger_row *whole = NULL, *sites = NULL;

	if (!recording_peak(r, &s->peak_t_ns, &s->peak_rss, err))
		return false;
	for (uint32_t i = 0; i < s->n_ledgers; i++) {
		const struct ledger_row *l = &s->ledgers[i];

		if (!s->peak || l->l.rss > s->peak->l.rss)
			s->peak = l;
		if (l->has_json && (!whole || l->l.rss > whole->l.rss))
			whole = l;
		if (l->has_sites && (!sites || l->l.rss > sites->l.rss))
			sites = l;
	}
	/* Of two equal ones that which tells more. */
	if (whole && s->peak && whole->l.rss == s->peak->l.rss)
		s->peak = whole;
	if (whole && !recording_json(r, whole->id, a, &s->peak_json, err))
		return false;
	if (sites) {
		s->peak_sites_t_ns = sites->t_ns;
		return recording_sites(r, sites->id, a, &s->peak_sites, &s->n_peak_sites, err);
	}
	return true;
}

static void find_limit(struct story *s)
{
	const struct lines_event *last = s->n_ledgers ? &s->ledgers[s->n_ledgers - 1].l : NULL;
	bytes rss = s->n_samples ? s->samples[s->n_samples - 1].s.rss : 0;

	s->limit = s->limit_now = UNKNOWN;
	s->seconds_left = NAN;
	if (last && last->cgroup_limit != UNKNOWN && last->cgroup_current != UNKNOWN) {
		s->limit = last->cgroup_limit;
		s->limit_now = last->cgroup_current;
		s->limit_name = "the container's limit";
	} else if (s->info.limit != UNKNOWN) {
		s->limit = s->info.limit;
		s->limit_now = rss;
		s->limit_name = "the machine's memory";
	}
	if (s->limit != UNKNOWN && s->rss.kind == TREND_RISING && s->rss.slope > 0)
		s->seconds_left = s->limit > s->limit_now
					  ? (double)(s->limit - s->limit_now) / s->rss.slope
					  : 0;
}

/* The largest jump between the two clocks, to 10 ms, as they are read one after the other; less
 * than a second is how they are kept right. */
static void find_clock(struct story *s)
{
	for (uint32_t i = 1; i < s->n_samples; i++) {
		const struct sample_row *x = &s->samples[i], *b = x - 1;
		int64_t off = (x->unix_ns - b->unix_ns) - (x->t_ns - b->t_ns);

		if (llabs(off) >= INT64_C(1000000000) && llabs(off) > llabs(s->clock_set_ns)) {
			s->clock_set_ns = llround((double)off / 1e7) * 10000000;
			s->clock_set_t_ns = x->t_ns;
		}
	}
}

/* ---- Words ---- */

static const char *how_sure(const struct trend *t)
{
	static const char *const words[] = {" (possible: the points scatter)", " (likely)", ""};

	return words[t->confidence];
}

static const char *meaning(const struct story *s, unsigned line)
{
	bool go_flat = s->marked.kind != TREND_RISING;

	switch ((enum line_id)line) {
	case LINE_NATIVE_USED:
		return go_flat ? " while the Go heap is flat: a leak in C code"
			       : ": C code keeps more and more, as the Go heap does";
	case LINE_NATIVE_FREE:
		return ": the C allocator keeps what was freed";
	case LINE_HEAP_LIVE:
		return ": the Go heap holds more and more";
	case LINE_HEAP_NEW:
	case LINE_HEAP_DEAD:
		return ": garbage between two cycles, which grows with the live heap";
	case LINE_HEAP_SLOTS:
		return ": holes between objects, fragmentation";
	case LINE_HEAP_FREE:
	case LINE_HEAP_RELEASED:
		return ": free pages that the runtime keeps, not a leak";
	case LINE_STACK_USED:
	case LINE_STACK_SPARE:
		return s->goroutines.kind == TREND_RISING ? ": goroutines are started and never end"
							  : ": goroutine stacks get deeper";
	case LINE_FILES:
		return ": pages of mapped files, which the kernel takes back when it must";
	case LINE_ANON:
		return go_flat ? " while the Go heap is flat: something maps memory and keeps it"
			       : "";
	case LINE_SHM:
		return ": shared memory is never taken back by itself";
	default:
		return "";
	}
}

static const char *line_words(const struct story *s, struct arena *a, unsigned line)
{
	const struct trend *t = &s->line[line];
	char span[UNIT_TEXT], rise[UNIT_TEXT];

	unit_duration(span, (int64_t)(t->seconds * 1e9));
	unit_bytes(rise, (bytes)fabs(t->rise));
	if (t->kind == TREND_LEVELLING)
		return arena_printf(a, "%s rose by %s and levels off%s", LINES[line].id, rise,
				    how_sure(t));
	return arena_printf(a, "%s grows %s for %s (%s)%s%s", LINES[line].id,
			    rate_words(a, t->slope), span, rise, meaning(s, line), how_sure(t));
}

static void find_words(struct story *s, struct arena *a)
{
	VEC(const char *) w = {0};
	char text[UNIT_TEXT], more[UNIT_TEXT];
	unsigned order[N_LINES], n = 0;

	for (unsigned i = 0; i < N_LINES; i++) {
		unsigned at = n;

		if (s->line[i].kind != TREND_RISING && s->line[i].kind != TREND_LEVELLING)
			continue;
		for (; at > 0 && s->line[order[at - 1]].rise < s->line[i].rise; at--)
			order[at] = order[at - 1];
		order[at] = i;
		n++;
	}
	if (s->rss.kind == TREND_UNKNOWN)
		*VEC_PUSH(a, &w) = "Too short to tell a leak from a plateau.";
	else if (s->rss.kind == TREND_RISING && !isnan(s->seconds_left))
		*VEC_PUSH(a, &w) = arena_printf(
			a, "RSS grows %s%s: %s is reached in about %s at this rate.",
			rate_words(a, s->rss.slope), how_sure(&s->rss), s->limit_name,
			unit_duration(text, (int64_t)(fmin(s->seconds_left, 9e9) * 1e9)));
	else if (s->rss.kind == TREND_RISING)
		*VEC_PUSH(a, &w) = arena_printf(a, "RSS grows %s%s.", rate_words(a, s->rss.slope),
						how_sure(&s->rss));
	else
		*VEC_PUSH(a, &w) = arena_printf(
			a, "RSS is no leak: %s, %s at the end, %s at most.",
			s->rss.kind == TREND_FLAT	 ? "flat"
			: s->rss.kind == TREND_FALLING	 ? "falling"
			: s->rss.kind == TREND_LEVELLING ? "it rose and levels off"
							 : "up and down without a direction",
			unit_bytes(text, s->n_samples ? s->samples[s->n_samples - 1].s.rss : 0),
			unit_bytes(more, s->peak_rss));
	for (unsigned i = 0; i < MIN(n, 4U); i++)
		*VEC_PUSH(a, &w) = arena_printf(a, "%s.", line_words(s, a, order[i]));
	for (uint32_t i = 0; i < MIN(s->n_sites, 3U); i++)
		*VEC_PUSH(a, &w) = arena_printf(
			a, "%.*s: what it allocated and is still in use %s %s%s.",
			(int)strcspn(s->sites[i].stack, "\n"), s->sites[i].stack,
			s->sites[i].trend.kind == TREND_RISING ? "grows"
							       : "rose, then levelled off:",
			rate_words(a, s->sites[i].trend.slope), how_sure(&s->sites[i].trend));
	s->words = w.v;
	s->n_words = w.n;
}

bool story_read(struct recording *r, const struct recording_info *info, int64_t from, int64_t to,
		struct arena *a, struct story *ret, struct err *err)
{
	struct story s = {.info = *info};
	struct err why = {0};
	bool ok;

	ok = recording_samples(r, from, to, STORY_ROWS, a, &s.samples, &s.n_samples, &why);
	ok = recording_cycles(r, from, to, STORY_ROWS, a, &s.cycles, &s.n_cycles,
			      ok ? &why : NULL) &&
	     ok;
	ok = recording_ledgers(r, from, to, STORY_ROWS, a, &s.ledgers, &s.n_ledgers,
			       ok ? &why : NULL) &&
	     ok;
	if (s.n_samples) {
		s.from_ns = s.samples[0].t_ns;
		s.to_ns = s.samples[s.n_samples - 1].t_ns;
	}
	if (s.n_ledgers)
		s.to_ns = MAX(s.to_ns, s.ledgers[s.n_ledgers - 1].t_ns);
	ok = find_peak(r, &s, a, ok ? &why : NULL) && ok;
	find_trends(&s, a);
	ok = find_site_trends(r, &s, a, ok ? &why : NULL) && ok;
	find_gc(&s, a);
	find_limit(&s);
	find_clock(&s);
	find_words(&s, a);
	if (!ok && !s.n_samples && !s.n_ledgers) {
		if (err)
			*err = why;
		return false;
	}
	s.damaged = !ok;
	s.damage = ok ? NULL : arena_strdup(a, why.msg);
	*ret = s;
	return true;
}

static const struct ledger_row *nearest(const struct story *s, int64_t t, bool sites)
{
	const struct ledger_row *best = NULL;

	for (uint32_t i = 0; i < s->n_ledgers; i++) {
		const struct ledger_row *l = &s->ledgers[i];

		if ((!sites || l->has_sites) &&
		    (!best || llabs(l->t_ns - t) < llabs(best->t_ns - t)))
			best = l;
	}
	return best;
}

bool story_moment(struct recording *r, const struct story *s, int64_t t_ns, struct arena *a,
		  struct moment *ret, struct err *err)
{
	struct moment m = {.t_ns = t_ns};
	struct sample_row *between;
	uint32_t i = 0, n;

	if (!s->n_samples)
		return err_set(err, ERR_LIMIT, "nothing was recorded");
	while (i + 1 < s->n_samples && s->samples[i + 1].t_ns <= t_ns)
		i++;
	m.sample = &s->samples[i];
	/* A long recording's story has every so manieth sample. */
	if (!recording_samples(r, m.sample->t_ns, t_ns, STORY_ROWS, a, &between, &n, err))
		return false;
	if (n)
		m.sample = &between[n - 1];
	m.ledger = nearest(s, t_ns, false);
	m.with_sites = nearest(s, t_ns, true);
	if (m.with_sites && !recording_sites(r, m.with_sites->id, a, &m.sites, &m.n_sites, err))
		return false;
	*ret = m;
	return true;
}
