/* The machine's clocks as one number. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/** What a clock shows, in ns. */
static inline int64_t clock_ns(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/** Of the monotonic one, which only measures what lies between two looks; ns. */
static inline int64_t clock_now(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

#endif
