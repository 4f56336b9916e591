/* Numbers, paths and padding exactly as Go's standard library prints them: the reports are compared
 * byte by byte with a Go program's. Arithmetic wraps as Go's does, since values are hostile. */
#ifndef PPROF_GOTEXT_H
#define PPROF_GOTEXT_H

#include "base/arena.h"
#include "base/str.h"

static inline int64_t go_add(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}
static inline int64_t go_neg(int64_t a)
{
	return (int64_t)(0 - (uint64_t)a);
}
static inline int64_t go_mul(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a * (uint64_t)b);
}
/** |a|; the smallest number stays what it is. */
static inline int64_t go_abs(int64_t a)
{
	return a < 0 ? go_neg(a) : a;
}
/** a / b, b not 0. */
static inline int64_t go_div(int64_t a, int64_t b)
{
	return b == -1 ? go_neg(a) : a / b;
}
/** int64(f) as amd64 converts it: what does not fit is the smallest number. */
static inline int64_t go_int64(double f)
{
	return f >= -9223372036854775808.0 && f < 9223372036854775808.0 ? (int64_t)f : INT64_MIN;
}

/** "%llu", without the cost of a format. */
void go_uint(struct str *to, uint64_t v);
/** Code points; a byte that begins none counts as one (utf8.RuneCount). */
size_t go_runes(const char *s, size_t n);
/** "%*s": s behind spaces up to `width` code points. */
void go_pad(struct str *to, int width, const char *s);
/** "%-*s". */
void go_pad_right(struct str *to, int width, const char *s);
/** The shortest text that reads back as f (fmt's %v). */
void go_float(struct str *to, double f);
/** time.Duration.String(). */
void go_duration(struct str *to, int64_t ns);
/** The first n code points of s. */
size_t go_prefix(const char *s, size_t runes);
/** Time.Format("2006-01-02 15:04:05 MST") in the zone that TZ names. */
void go_time(struct str *to, int64_t unix_ns);
/** Time's %v: with the fraction, the offset and the zone. */
void go_time_long(struct str *to, int64_t unix_ns);
/** A string as %q prints it. */
void go_quote(struct str *to, const char *s, size_t n);

/** filepath.Clean; "." when nothing is left. */
char *go_path_clean(struct arena *a, const char *path);
/** filepath.Base; "." for "". */
char *go_path_base(struct arena *a, const char *path);

/** strconv.ParseInt(s, base, 64) over all of s; base 0 takes 0x, 0o, 0b and '_' between digits. */
bool go_parse_int(const char *s, int base, int64_t *ret);
/** strconv.ParseUint(s, 0, 64). */
bool go_parse_uint(const char *s, uint64_t *ret);
/** strconv.ParseFloat(s, 64). */
bool go_parse_float(const char *s, double *ret);
/** strconv.ParseBool. */
bool go_parse_bool(const char *s, bool *ret);

#endif
