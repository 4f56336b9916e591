/* Amounts with units, scaled and printed as google/pprof does (its package internal/measurement).
 * Not base/unit.h: that one prints for whyrss' own views. */
#ifndef PPROF_MEASURE_H
#define PPROF_MEASURE_H

#include "base/str.h"

/** A value in another unit. `unit` is static, or the `to` that was given; "" when it says nothing.
 */
struct measure {
	double value;
	const char *unit;
};

/** Scales from one unit to another; "minimum" and "auto" pick one in which the value is at least 1.
 */
struct measure measure_scale(int64_t value, const char *from, const char *to);
/** "12.50MB", "0". */
void measure_label(struct str *to_text, int64_t value, const char *from, const char *to);
/** value / total in six columns: "12.34%", "  100%", "0.05%". */
void measure_percent(struct str *to, int64_t value, int64_t total);
/** The units measure the same thing (both bytes, both time …), or are equal. */
bool measure_same_kind(const char *a, const char *b);

#endif
