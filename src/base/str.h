/* Text: a growing string, and what makes foreign bytes safe for a terminal, for JSON and for a
 * page. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdarg.h>

#include "base/base.h"

/** A growing NUL-terminated string; zero-initialise it, str_free it. */
struct str {
	char *s; /* NULL while empty */
	size_t n, cap;
};

void str_free(struct str *b);
/** Makes room for `more` bytes behind s[n], and the NUL behind them; the caller may write there and
 * raise n. */
void str_room(struct str *b, size_t more);
void str_add(struct str *b, const char *s);
void str_addn(struct str *b, const char *s, size_t n);
void str_addf(struct str *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void str_vaddf(struct str *b, const char *fmt, va_list ap);

/** Appends s as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. */
void str_add_json(struct str *b, const char *s);
/** Appends s with control bytes, escapes, bidi marks and bad UTF-8 replaced by '?', for a terminal.
 */
void str_add_plain(struct str *b, const char *s);
/** Replaces in place what str_add_plain would, but for line ends and tabs: a whole report, before a
 * terminal gets it. */
void str_make_plain(struct str *b);
/** Columns that str_add_plain's text takes on a terminal (one a code point; enough for paths and
 * names). */
size_t str_columns(const char *s);

bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
/** Parses an unsigned number in base 10 or, with hex, 16, moving *at behind it; false if there is
 * none or it overflows. */
bool str_u64(const char **at, bool hex, uint64_t *ret);

#endif
