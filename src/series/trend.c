/*
 * Sen (1968) for the slope and its interval, Kendall's tau for the direction; the words come from
 * both and from the medians of the four quarters, since points that follow each other are not
 * independent and the interval alone is too sure of itself.
 */
#include "series/trend.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const TREND_NAMES[] = {"unknown", "flat",	       "rising",
				   "falling", "levelling-off", "unsteady"};

#define LEAST_POINTS 6U
#define Z95	     1.96

static int ascending(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *v, uint32_t n)
{
	if (n == 0)
		return 0;
	qsort(v, n, sizeof(*v), ascending);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void find_kind(struct trend *r, const double *q, double least)
{
	double step = r->rise / 4, last = q[3] - q[2], first = q[1] - q[0];
	bool steady = true;

	for (unsigned i = 0; i < 3; i++)
		steady &= (q[i + 1] - q[i]) * r->rise > 0;
	least = fmax(least, fmax(0.02 * fabs(r->median), 2 * r->noise));
	if (fabs(r->rise) < least || r->low * r->high <= 0) {
		r->kind = r->noise > fmax(0.1 * fabs(r->median), least / 2) ? TREND_UNSTEADY
									    : TREND_FLAT;
		r->confidence = r->n >= 20 ? 2 : 1;
		return;
	}
	r->confidence = fabs(r->tau) >= 0.85 && steady && r->n >= 20 ? 2
			: fabs(r->tau) >= 0.6 && steady		     ? 1
								     : 0;
	if (r->rise < 0) {
		r->kind = TREND_FALLING;
		return;
	}
	/* What still comes is a quarter of what came first: a plateau is near, or reached. */
	r->kind = last < 0.25 * fmax(first, step) ? TREND_LEVELLING : TREND_RISING;
	if (r->kind == TREND_LEVELLING)
		r->confidence = r->n >= 20 ? 1 : 0;
	else if (fabs(r->tau) < 0.4)
		r->kind = TREND_UNSTEADY;
}

void trend_of(const double *t, const double *v, uint32_t n, double least, struct arena *scratch,
	      struct trend *ret)
{
	struct arena_mark mark = arena_mark(scratch);
	struct trend r = {.n = n};
	uint32_t m = MIN(n, TREND_POINTS), pairs = 0, k;
	double *x = ARENA_ARRAY(scratch, double, m + 1), *y = ARENA_ARRAY(scratch, double, m + 1);
	double *s = ARENA_ARRAY(scratch, double, (size_t)m *(m + 1) / 2 + 1), quarter[4], at, width;
	int64_t order = 0;

	for (uint32_t i = 0; i < m; i++) {
		k = m == n ? i : (uint32_t)((uint64_t)i * (n - 1) / (m - 1));
		x[i] = t[k];
		y[i] = v[k];
	}
	r.seconds = m ? x[m - 1] - x[0] : 0;
	if (m < LEAST_POINTS || !(r.seconds > 0)) {
		r.first = m ? y[0] : 0;
		r.last = r.median = m ? y[m - 1] : 0;
		goto out;
	}
	for (uint32_t i = 0; i < m; i++) {
		for (uint32_t j = i + 1; j < m; j++) {
			order += (y[j] > y[i]) - (y[j] < y[i]);
			if (x[j] > x[i])
				s[pairs++] = (y[j] - y[i]) / (x[j] - x[i]);
		}
	}
	r.tau = (double)order / ((double)m * (m - 1) / 2);
	r.slope = median(s, pairs);
	/* Sen's interval: the ranks that Kendall's variance leaves room for. */
	width = Z95 * sqrt((double)m * (m - 1) * (2.0 * m + 5) / 18);
	at = fmax(((double)pairs - width) / 2, 0);
	r.low = s[(uint32_t)at];
	r.high = s[(uint32_t)fmin((double)pairs - 1, ((double)pairs + width) / 2)];
	for (uint32_t i = 0; i < m; i++)
		s[i] = y[i] - r.slope * (x[i] - x[0]);
	r.first = median(s, m);
	r.last = r.first + r.slope * r.seconds;
	r.rise = r.last - r.first;
	for (uint32_t i = 0; i < m; i++)
		s[i] = fabs(y[i] - r.first - r.slope * (x[i] - x[0]));
	r.noise = median(s, m);
	for (unsigned i = 0; i < 4; i++) {
		uint32_t from = m * i / 4, to = m * (i + 1) / 4;

		memcpy(s, y + from, (to - from) * sizeof(*s));
		quarter[i] = median(s, to - from);
	}
	memcpy(s, y, m * sizeof(*s));
	r.median = median(s, m);
	find_kind(&r, quarter, least);
out:
	arena_reset(scratch, mark);
	*ret = r;
}
