/* Regular expressions in Go's syntax (RE2): no look-around, no back-references, a bound on the
 * work. */
#ifndef PPROF_RX_H
#define PPROF_RX_H

#include "base/arena.h"

struct rx;

/**
 * Compiles a pattern into the arena. Errors: ERR_USAGE with the sentence that Go's regexp package
 * has for it.
 */
bool rx_compile(struct arena *a, const char *pattern, struct rx **ret, struct err *err);
/** Whether the pattern is found anywhere in s. */
bool rx_match(struct rx *rx, const char *s, size_t n);
/** The pattern as it was given. */
const char *rx_pattern(const struct rx *rx);
/** Some match was given up after too many steps, and counted as none. */
bool rx_gave_up(const struct rx *rx);

#endif
