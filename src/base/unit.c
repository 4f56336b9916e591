/*
 * The only place that turns amounts into words, so that one amount reads the same on every
 * surface, and the one parser of sizes that people type. Independent of the locale.
 */
#include "base/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MINUS "\xe2\x88\x92" /* U+2212 */

static const char *magnitude(char *to, const char *sign, bytes n)
{
	static const char prefix[] = "KMGTPE";
	double v = (double)n;
	unsigned i = 0;

	if (n < KIB) {
		snprintf(to, UNIT_TEXT, "%s%u B", sign, (unsigned)n);
		return to;
	}
	/* 1023.95 would print as 1024.0: that is 1.0 of the next unit. */
	for (v /= 1024; v >= 1023.95 && prefix[i + 1]; i++)
		v /= 1024;
	snprintf(to, UNIT_TEXT, "%s%.1f %ciB", sign, v, prefix[i]);
	return to;
}

static uint64_t absolute(int64_t n)
{
	return n < 0 ? -(uint64_t)n : (uint64_t)n;
}

const char *unit_bytes(char to[static UNIT_TEXT], bytes n)
{
	return magnitude(to, "", n);
}

const char *unit_delta(char to[static UNIT_TEXT], int64_t n)
{
	return magnitude(to, n > 0 ? "+" : n < 0 ? MINUS : "", absolute(n));
}

const char *unit_mib(char to[static UNIT_TEXT], int64_t n)
{
	/* In tenths, rounded half up in magnitude, so that no "−0.0" appears. */
	uint64_t a = absolute(n);
	uint64_t tenths = (a >> 20) * 10 + ((a & (MIB - 1)) * 10 + MIB / 2) / MIB;

	snprintf(to, UNIT_TEXT, "%s%llu.%u", n < 0 && tenths ? MINUS : "",
		 (unsigned long long)(tenths / 10), (unsigned)(tenths % 10));
	return to;
}

const char *unit_duration(char to[static UNIT_TEXT], int64_t ns)
{
	/* A unit is left when two of the next one are full: "90 s", then "2 min". */
	static const struct {
		uint64_t ns, until;
		const char *name;
	} units[] = {
		{1, 1000, "ns"},
		{1000, 1000000, "µs"},
		{1000000, 1000000000, "ms"},
		{1000000000, 120000000000, "s"},
		{60000000000, 7200000000000, "min"},
		{3600000000000, 172800000000000, "h"},
		{86400000000000, UINT64_MAX, "d"},
	};
	uint64_t n = absolute(ns);
	size_t i = 0;

	if (n == 0) {
		snprintf(to, UNIT_TEXT, "0 s");
		return to;
	}
	while (n >= units[i].until)
		i++;
	snprintf(to, UNIT_TEXT, "%s%llu %s", ns < 0 ? MINUS : "",
		 (unsigned long long)(n / units[i].ns), units[i].name);
	return to;
}

const char *unit_count(char to[static UNIT_TEXT], uint64_t n)
{
	char digits[UNIT_TEXT];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n), at = 0;

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			to[at++] = ',';
		to[at++] = digits[i];
	}
	to[at] = '\0';
	return to;
}

/* As coreutils: K and KiB are 1024, kB is 1000; Ki as Kubernetes writes it. False: no such unit. */
static bool factor(const char *s, long double *ret)
{
	static const char prefix[] = "KMGTPE";
	long double f = 1;
	const char *p;

	if (!*s || !strcasecmp(s, "b")) {
		*ret = 1;
		return true;
	}
	p = strchr(prefix, *s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s);
	if (!p)
		return false;
	s++;
	if (*s && strcasecmp(s, "b") && strcasecmp(s, "i") && strcasecmp(s, "ib"))
		return false;
	for (long i = 0; i <= p - prefix; i++)
		f *= strcasecmp(s, "b") ? 1024 : 1000;
	*ret = f;
	return true;
}

bool unit_parse_bytes(const char *s, bytes *ret)
{
	long double v = 0, scale = 1, unit;
	bool digits = false;

	for (; *s >= '0' && *s <= '9'; s++, digits = true)
		v = v * 10 + (*s - '0');
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9'; s++, digits = true)
			v += (*s - '0') * (scale /= 10);
	if (!digits)
		return false;
	/* "1e9" has an exponent; the E of "1E" and "1EiB" is a unit. */
	if ((*s == 'e' || *s == 'E') && s[1] >= '0' && s[1] <= '9') {
		unsigned e = 0;

		for (s++; *s >= '0' && *s <= '9'; s++)
			e = MIN(e * 10 + (unsigned)(*s - '0'), 100U);
		while (e--)
			v *= 10;
	}
	while (*s == ' ')
		s++;
	if (!factor(s, &unit))
		return false;
	v = v * unit;
	if (v >= 18446744073709551616.0L)
		return false;
	*ret = (bytes)v;
	return true;
}

bool unit_parse_duration(const char *s, int64_t *ret)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = {{"", 1e9},	  {"s", 1e9},	 {"ms", 1e6},	{"us", 1e3},
		     {"m", 60e9}, {"min", 60e9}, {"h", 3600e9}, {"d", 86400e9}};
	char *end;
	double v;

	if (*s < '0' || *s > '9')
		return false;
	v = strtod(s, &end);
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (strcmp(end, units[i].name) != 0)
			continue;
		v *= units[i].ns;
		if (!(v < 3.2e19 / 4)) /* also NaN; below INT64_MAX */
			return false;
		*ret = (int64_t)v;
		return true;
	}
	return false;
}
