/* Amounts as people read them, and back. */
#ifndef BASE_UNIT_H
#define BASE_UNIT_H

#include "base/base.h"

#define KIB ((bytes)1 << 10)
#define MIB ((bytes)1 << 20)
#define GIB ((bytes)1 << 30)

/** Room that every function below needs for its text. */
#define UNIT_TEXT 32

/** "323.1 MiB", "12.0 KiB", "17 B"; returns `to`. */
const char *unit_bytes(char to[static UNIT_TEXT], bytes n);
/** As unit_bytes with a sign: "+4.0 KiB", "−100.0 MiB". */
const char *unit_delta(char to[static UNIT_TEXT], int64_t n);
/** "2562.1": MiB with one decimal, for columns headed MiB. */
const char *unit_mib(char to[static UNIT_TEXT], int64_t n);
/** "41 s", "3 min", "3 h", "12 d", "850 ms", "17 µs". */
const char *unit_duration(char to[static UNIT_TEXT], int64_t ns);
/** "12,345,678". */
const char *unit_count(char to[static UNIT_TEXT], uint64_t n);
/** Parses "2GiB", "512MiB", "100k", "1e9", "17" (bytes); false when it is no size. */
bool unit_parse_bytes(const char *s, bytes *ret);
/** Parses "10s", "1.5m", "2h", "500ms", "3d", "10" (seconds) into ns; false when it is no duration
 * of at most 1000 years. */
bool unit_parse_duration(const char *s, int64_t *ret);

#endif
