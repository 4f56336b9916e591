/*
 * Leak or plateau: the slope of a series of points by Theil and Sen (the median of the slopes of
 * all pairs, which single spikes do not move), and what may be said of it.
 */
#ifndef SERIES_TREND_H
#define SERIES_TREND_H

#include "base/arena.h"

enum trend_kind {
	TREND_UNKNOWN, /* too few points */
	TREND_FLAT,
	TREND_RISING,
	TREND_FALLING,
	TREND_LEVELLING, /* it rose, and hardly does any more */
	TREND_UNSTEADY,	 /* up and down, without a direction */
};
extern const char *const TREND_NAMES[];

/** How sure a trend is: 0 possible, 1 likely, 2 certain, as enum confidence of the ledger. */
struct trend {
	enum trend_kind kind;
	int confidence;
	double slope, low, high;  /* a second; low and high: 95 % interval of the slope */
	double tau;		  /* Kendall's rank correlation with time, -1 … 1 */
	double first, last, rise; /* on the line at both ends; last − first */
	double noise;		  /* median distance from the line */
	double median;
	double seconds;
	uint32_t n;
};

#define TREND_POINTS 240U /* of more, evenly chosen ones are taken */

/** t in seconds, ascending. `least`: a smaller rise is flat. The arena is for scratch. */
void trend_of(const double *t, const double *v, uint32_t n, double least, struct arena *scratch,
	      struct trend *ret);

#endif
