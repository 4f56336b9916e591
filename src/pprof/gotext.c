/*
 * Go's ways to print and read, as far as reports need them (packages fmt, strconv, time,
 * path/filepath, unicode/utf8 of the Go standard library say what is right). Locale has no say in
 * any of it.
 */
#include "pprof/gotext.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Bytes of the code point at s, of n; 1 for a byte that begins none. */
static size_t rune_len(const unsigned char *u, size_t n)
{
	size_t len = u[0] < 0x80 ? 1 : u[0] >= 0xc2 && u[0] < 0xe0 ? 2 : u[0] >> 4 == 14 ? 3 : 4;

	if (len == 1 || u[0] < 0xc2 || u[0] > 0xf4 || len > n)
		return 1;
	for (size_t i = 1; i < len; i++)
		if ((u[i] & 0xc0) != 0x80)
			return 1;
	if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) ||
	    (u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f))
		return 1;
	return len;
}

size_t go_runes(const char *s, size_t n)
{
	size_t runes = 0;

	for (size_t i = 0; i < n; runes++)
		i += rune_len((const unsigned char *)s + i, n - i);
	return runes;
}

void go_uint(struct str *to, uint64_t v)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + v % 10);
	while (v /= 10);
	str_addn(to, digits + at, sizeof(digits) - at);
}

size_t go_prefix(const char *s, size_t runes)
{
	size_t n = strlen(s), i = 0;

	for (; runes && i < n; runes--)
		i += rune_len((const unsigned char *)s + i, n - i);
	return i;
}

static void add_spaces(struct str *to, size_t n)
{
	str_room(to, n);
	memset(to->s + to->n, ' ', n);
	to->n += n;
	to->s[to->n] = '\0';
}

void go_pad(struct str *to, int width, const char *s)
{
	size_t n = strlen(s), runes = go_runes(s, n);

	if (runes < (size_t)width)
		add_spaces(to, (size_t)width - runes);
	str_addn(to, s, n);
}

void go_pad_right(struct str *to, int width, const char *s)
{
	size_t n = strlen(s), runes = go_runes(s, n);

	str_addn(to, s, n);
	if (runes < (size_t)width)
		add_spaces(to, (size_t)width - runes);
}

void go_float(struct str *to, double f)
{
	char e[40];
	int precision = 0, exponent;

	if (isnan(f) || isinf(f)) {
		str_add(to, isnan(f) ? "NaN" : f < 0 ? "-Inf" : "+Inf");
		return;
	}
	do
		snprintf(e, sizeof(e), "%.*e", precision, f);
	while (strtod(e, NULL) != f && ++precision < 17);
	exponent = atoi(strchr(e, 'e') + 1);
	if (exponent < -4 || exponent >= 21) {
		str_add(to, e);
	} else if (precision >= exponent) {
		str_addf(to, "%.*f", precision - exponent, f);
	} else { /* the digits that tell it, then zeros */
		for (const char *p = e; *p != 'e'; p++)
			str_addn(to, p, *p != '.');
		for (int i = precision; i < exponent; i++)
			str_addn(to, "0", 1);
	}
}

/* "1.5" from 1500 and 3 decimals; "2" from 2000. */
static void add_decimal(struct str *to, uint64_t v, unsigned decimals)
{
	uint64_t unit = 1;

	for (unsigned i = 0; i < decimals; i++)
		unit *= 10;
	str_addf(to, "%llu", (unsigned long long)(v / unit));
	if (v % unit) {
		str_addf(to, ".%0*llu", (int)decimals, (unsigned long long)(v % unit));
		while (to->s[to->n - 1] == '0')
			to->s[--to->n] = '\0';
	}
}

void go_duration(struct str *to, int64_t ns)
{
	uint64_t u = ns < 0 ? (uint64_t)go_neg(ns) : (uint64_t)ns;
	const uint64_t second = 1000000000, minute = 60 * second, hour = 60 * minute;

	if (ns < 0)
		str_add(to, "-");
	if (!u) {
		str_add(to, "0s");
	} else if (u < 1000) {
		str_addf(to, "%lluns", (unsigned long long)u);
	} else if (u < 1000000) {
		add_decimal(to, u, 3);
		str_add(to, "\xc2\xb5s");
	} else if (u < second) {
		add_decimal(to, u, 6);
		str_add(to, "ms");
	} else {
		if (u >= hour)
			str_addf(to, "%lluh", (unsigned long long)(u / hour));
		if (u >= minute)
			str_addf(to, "%llum", (unsigned long long)(u % hour / minute));
		add_decimal(to, u % minute, 9);
		str_add(to, "s");
	}
}

/* Go takes TZ for the name of a zone file and falls back to UTC; libc would also take rules such as
 * "CET-1CEST" and invent a name for what it does not know. */
static bool zone_known(void)
{
	static const char *const dirs[] = {"/usr/share/zoneinfo", "/usr/share/lib/zoneinfo",
					   "/usr/lib/locale/TZ", "/etc/zoneinfo"};
	const char *tz = getenv("TZ");
	char path[512];

	if (!tz)
		return access("/etc/localtime", R_OK) == 0;
	if (*tz == ':')
		tz++;
	if (!*tz || !strcmp(tz, "UTC"))
		return false;
	if (*tz == '/')
		return access(tz, R_OK) == 0;
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		if ((size_t)snprintf(path, sizeof(path), "%s/%s", dirs[i], tz) < sizeof(path) &&
		    access(path, R_OK) == 0)
			return true;
	return false;
}

static void local_time(int64_t unix_ns, struct tm *tm, int64_t *ret_ns)
{
	int64_t s = unix_ns / 1000000000, ns = unix_ns % 1000000000;
	time_t t;

	if (ns < 0) {
		ns += 1000000000;
		s--;
	}
	t = (time_t)s;
	if (!zone_known() || (tzset(), !localtime_r(&t, tm))) {
		gmtime_r(&t, tm);
		tm->tm_zone = "UTC";
	}
	*ret_ns = ns;
}

void go_time(struct str *to, int64_t unix_ns)
{
	struct tm tm = {0};
	int64_t ns;

	local_time(unix_ns, &tm, &ns);
	str_addf(to, "%04d-%02d-%02d %02d:%02d:%02d %s", tm.tm_year + 1900, tm.tm_mon + 1,
		 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, tm.tm_zone);
}

void go_time_long(struct str *to, int64_t unix_ns)
{
	struct tm tm = {0};
	int64_t ns;
	long off;

	local_time(unix_ns, &tm, &ns);
	off = tm.tm_gmtoff / 60;
	str_addf(to, "%04d-%02d-%02d %02d:%02d:", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
		 tm.tm_hour, tm.tm_min);
	if (tm.tm_sec < 10)
		str_add(to, "0");
	add_decimal(to, (uint64_t)tm.tm_sec * 1000000000 + (uint64_t)ns, 9);
	str_addf(to, " %c%02ld%02ld %s", off < 0 ? '-' : '+', labs(off) / 60, labs(off) % 60,
		 tm.tm_zone);
}

void go_quote(struct str *to, const char *s, size_t n)
{
	str_add(to, "\"");
	for (size_t i = 0, len; i < n; i += len) {
		const unsigned char c = (unsigned char)s[i];

		len = rune_len((const unsigned char *)s + i, n - i);
		if (len == 1 && c >= 0x80)
			str_addf(to, "\\x%02x", c);
		else if (c == '"' || c == '\\')
			str_addf(to, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			str_addf(to, "\\x%02x", c);
		else
			str_addn(to, s + i, len);
	}
	str_add(to, "\"");
}

char *go_path_clean(struct arena *a, const char *path)
{
	size_t n = strlen(path), w = 0, dotdot = 0;
	bool rooted = *path == '/';
	char *out = arena_alloc(a, n + 2);
	const char *p = path;

	if (rooted) {
		out[w++] = '/';
		dotdot = 1;
		p++;
	}
	while (*p) {
		size_t len = strcspn(p, "/");

		if (!len) {
			p++;
		} else if (len == 1 && *p == '.') {
			p++;
		} else if (len == 2 && p[0] == '.' && p[1] == '.') {
			p += 2;
			if (w > dotdot) {
				for (w--; w > dotdot && out[w] != '/';)
					w--;
			} else if (!rooted) {
				if (w)
					out[w++] = '/';
				out[w++] = '.';
				out[w++] = '.';
				dotdot = w;
			}
		} else {
			if (w != rooted)
				out[w++] = '/';
			memcpy(out + w, p, len);
			w += len;
			p += len;
		}
	}
	if (!w)
		out[w++] = '.';
	out[w] = '\0';
	return out;
}

char *go_path_base(struct arena *a, const char *path)
{
	size_t n = strlen(path), at;

	if (!n)
		return arena_strdup(a, ".");
	while (n && path[n - 1] == '/')
		n--;
	for (at = n; at && path[at - 1] != '/';)
		at--;
	return n ? arena_strndup(a, path + at, n - at) : arena_strdup(a, "/");
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'z' ? c - 'a' + 10 : 99;
}

static bool parse_digits(const char *s, int base, uint64_t *ret)
{
	uint64_t v = 0;
	bool underscores = base == 0, any = false, last = false;

	if (!base) {
		base = 10;
		if (s[0] == '0' && (s[1] | 0x20) == 'x')
			base = 16, s += 2, last = true;
		else if (s[0] == '0' && (s[1] | 0x20) == 'o')
			base = 8, s += 2, last = true;
		else if (s[0] == '0' && (s[1] | 0x20) == 'b')
			base = 2, s += 2, last = true;
		else if (s[0] == '0' && s[1])
			base = 8, s++, last = true, any = true;
	}
	for (; *s; s++) {
		if (*s == '_' && underscores && last && s[1]) {
			last = false;
			continue;
		}
		if (digit_of(*s) >= base || __builtin_mul_overflow(v, (uint64_t)base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)digit_of(*s), &v))
			return false;
		any = last = true;
	}
	*ret = v;
	return any && last;
}

bool go_parse_uint(const char *s, uint64_t *ret)
{
	return parse_digits(s, 0, ret);
}

bool go_parse_int(const char *s, int base, int64_t *ret)
{
	bool minus = *s == '-';
	uint64_t v;

	if (*s == '-' || *s == '+')
		s++;
	if (!parse_digits(s, base, &v) || v > (uint64_t)INT64_MAX + minus)
		return false;
	*ret = minus ? go_neg((int64_t)v) : (int64_t)v;
	return true;
}

bool go_parse_float(const char *s, double *ret)
{
	char *end;
	double v;

	if (!*s || strchr(" \t\n\v\f\r", *s) ||
	    strspn(s, "+-0123456789.eExXpPaAbBcCdDfFiInNtTyY") != strlen(s))
		return false;
	errno = 0;
	v = strtod(s, &end);
	if (*end || (errno == ERANGE && isinf(v)))
		return false;
	*ret = v;
	return true;
}

bool go_parse_bool(const char *s, bool *ret)
{
	static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
	static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		*ret = !strcmp(s, yes[i]);
		if (*ret || !strcmp(s, no[i]))
			return true;
	}
	return false;
}
