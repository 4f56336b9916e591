/*
 * Growing text, and the three ways in which foreign bytes leave this program: as JSON, on a
 * terminal, and as a count of columns. All three decode the same strict UTF-8 (no overlong forms,
 * no surrogates), so that what looks like one character is one everywhere.
 */
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void str_free(struct str *b)
{
	free(b->s);
	*b = (struct str){0};
}

void str_room(struct str *b, size_t more)
{
	size_t need, cap;
	char *s;

	if (__builtin_add_overflow(b->n, more, &need) || need > SIZE_MAX / 4)
		goto oom;
	if (need < b->cap)
		return;
	cap = MAX(need + 1, MAX(b->cap * 2, (size_t)64));
	s = realloc(b->s, cap);
	if (!s)
		goto oom;
	b->s = s;
	b->cap = cap;
	b->s[b->n] = '\0';
	return;
oom:
	fprintf(stderr, "whyrss: out of memory: a text of %zu bytes\n", b->n);
	exit(1);
}

void str_addn(struct str *b, const char *s, size_t n)
{
	str_room(b, n);
	if (n)
		memcpy(b->s + b->n, s, n);
	b->n += n;
	b->s[b->n] = '\0';
}

void str_add(struct str *b, const char *s)
{
	str_addn(b, s, strlen(s));
}

void str_vaddf(struct str *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	if (n > 0) {
		str_room(b, (size_t)n);
		vsnprintf(b->s + b->n, (size_t)n + 1, fmt, again);
		b->n += (size_t)n;
	}
	va_end(again);
}

void str_addf(struct str *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(b, fmt, ap);
	va_end(ap);
}

#define BAD UINT32_MAX

/* The code point at s, or BAD for a byte that begins none; *n: the bytes that it takes, at least 1.
 */
static uint32_t utf8_next(const char *s, unsigned *n)
{
	static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *u = (const unsigned char *)s;
	unsigned len = u[0] < 0x80	 ? 1
		       : u[0] >> 5 == 6	 ? 2
		       : u[0] >> 4 == 14 ? 3
		       : u[0] >> 3 == 30 ? 4
					 : 0;
	uint32_t c;

	*n = 1;
	if (len <= 1)
		return len ? u[0] : BAD;
	c = u[0] & (0x7fU >> len);
	for (unsigned i = 1; i < len; i++) {
		if ((u[i] & 0xc0) != 0x80) /* also the final NUL */
			return BAD;
		c = c << 6 | (u[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return BAD;
	*n = len;
	return c;
}

void str_add_json(struct str *b, const char *s)
{
	const char *plain = s; /* start of the run that needs no change */
	unsigned n;

	str_addn(b, "\"", 1);
	for (; *s; s += n) {
		uint32_t c = utf8_next(s, &n);
		char esc[8];

		if (c == BAD)
			snprintf(esc, sizeof(esc), "\xef\xbf\xbd");
		else if (c == '"' || c == '\\')
			snprintf(esc, sizeof(esc), "\\%c", (char)c);
		else if (c == '\n')
			snprintf(esc, sizeof(esc), "\\n");
		else if (c == '\t')
			snprintf(esc, sizeof(esc), "\\t");
		/* '<' ends a script element, and U+2028/9 end a line of JavaScript, where JSON is
		 * embedded. */
		else if (c < 0x20 || c == 0x7f || c == '<' || c == 0x2028 || c == 0x2029)
			snprintf(esc, sizeof(esc), "\\u%04x", (unsigned)c & 0xffff);
		else
			continue;
		str_addn(b, plain, (size_t)(s - plain));
		str_add(b, esc);
		plain = s + n;
	}
	str_addn(b, plain, (size_t)(s - plain));
	str_addn(b, "\"", 1);
}

/* Whether a terminal would obey the character, or show it in a way that misleads. */
static bool is_unsafe(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == BAD || c == 0xad || c == 0x61c ||
	       c == 0x180e || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
	       (c & 0xfffe) == 0xfffe || (c >= 0xfdd0 && c <= 0xfdef) ||
	       (c >= 0xe0000 && c <= 0xe0fff);
}

void str_add_plain(struct str *b, const char *s)
{
	const char *plain = s;
	unsigned n;

	for (; *s; s += n) {
		if (!is_unsafe(utf8_next(s, &n)))
			continue;
		str_addn(b, plain, (size_t)(s - plain));
		str_addn(b, "?", 1);
		plain = s + n;
	}
	str_addn(b, plain, (size_t)(s - plain));
}

void str_make_plain(struct str *b)
{
	size_t to = 0;
	unsigned n;

	for (size_t at = 0; at < b->n; at += n) {
		uint32_t c = utf8_next(b->s + at, &n); /* it stops at the NUL behind the text */

		if (c != '\n' && c != '\t' && is_unsafe(c)) {
			b->s[to++] = '?';
			continue; /* one for all its bytes */
		}
		memmove(b->s + to, b->s + at, n);
		to += n;
	}
	b->n = to;
	if (b->s)
		b->s[to] = '\0';
}

size_t str_columns(const char *s)
{
	size_t columns = 0;
	unsigned n;

	for (; *s; s += n, columns++)
		utf8_next(s, &n);
	return columns;
}

bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

bool str_u64(const char **at, bool hex, uint64_t *ret)
{
	const char *p = *at;
	uint64_t base = hex ? 16 : 10, v = 0;

	for (;; p++) {
		unsigned digit;

		if (*p >= '0' && *p <= '9')
			digit = (unsigned)(*p - '0');
		else if (hex && *p >= 'a' && *p <= 'f')
			digit = (unsigned)(*p - 'a') + 10;
		else if (hex && *p >= 'A' && *p <= 'F')
			digit = (unsigned)(*p - 'A') + 10;
		else
			break;
		if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, digit, &v))
			return false;
	}
	if (p == *at)
		return false;
	*at = p;
	*ret = v;
	return true;
}
