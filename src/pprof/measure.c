/*
 * Three kinds of units: memory, time, and the compute units of Google's fleet. A unit that is in no
 * table is printed as it is.
 */
#include "pprof/measure.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "pprof/gotext.h"

struct unit {
	const char *name;
	const char *aliases[3];
	double factor;
};

struct unit_kind {
	struct unit base; /* for what can't be scaled */
	struct unit units[9];
	unsigned n;
};

static const struct unit_kind KINDS[] = {
	{.base = {.name = "B", .factor = 1},
	 .n = 6,
	 .units = {{"B", {"b", "byte"}, 1},
		   {"kB", {"kb", "kbyte", "kilobyte"}, 0x1p10},
		   {"MB", {"mb", "mbyte", "megabyte"}, 0x1p20},
		   {"GB", {"gb", "gbyte", "gigabyte"}, 0x1p30},
		   {"TB", {"tb", "tbyte", "terabyte"}, 0x1p40},
		   {"PB", {"pb", "pbyte", "petabyte"}, 0x1p50}}},
	{.base = {.name = "s", .factor = 1e9},
	 .n = 5,
	 .units = {{"ns", {"ns", "nanosecond"}, 1},
		   {"us", {"\xce\xbcs", "us", "microsecond"}, 1e3},
		   {"ms", {"ms", "millisecond"}, 1e6},
		   {"s", {"s", "sec", "second"}, 1e9},
		   {"hrs", {"hour", "hr"}, 3600e9}}},
	{.base = {.name = "GCU", .factor = 1},
	 .n = 9,
	 .units = {{"n*GCU", {"nanogcu"}, 1e-9},
		   {"u*GCU", {"microgcu"}, 1e-6},
		   {"m*GCU", {"milligcu"}, 1e-3},
		   {"GCU", {"gcu"}, 1},
		   {"k*GCU", {"kilogcu"}, 1e3},
		   {"M*GCU", {"megagcu"}, 1e6},
		   {"G*GCU", {"gigagcu"}, 1e9},
		   {"T*GCU", {"teragcu"}, 1e12},
		   {"P*GCU", {"petagcu"}, 1e15}}},
};

static const struct unit *unit_find(const struct unit_kind *k, const char *name)
{
	char low[24];
	size_t n = strlen(name);

	if (n >= sizeof(low) - 1)
		return NULL; /* longer than every alias */
	for (size_t i = 0; i <= n; i++)
		low[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 0x20) : name[i];
	if (n && low[n - 1] == 's' && go_runes(low, n) > 2)
		low[n - 1] = '\0';
	for (unsigned i = 0; i < k->n; i++)
		for (unsigned j = 0; j < ARRAY_LEN(k->units[i].aliases); j++)
			if (k->units[i].aliases[j] && !strcmp(low, k->units[i].aliases[j]))
				return &k->units[i];
	return NULL;
}

static bool convert(const struct unit_kind *k, int64_t value, const char *from, const char *to,
		    struct measure *ret)
{
	const struct unit *u = unit_find(k, from), *best = NULL;
	double v;

	if (!u)
		return false;
	v = (double)value * u->factor;
	if (!strcmp(to, "minimum") || !strcmp(to, "auto")) {
		for (unsigned i = 0; i < k->n; i++)
			if (k->units[i].factor >= (best ? best->factor : 0) &&
			    v / k->units[i].factor >= 1.0)
				best = &k->units[i];
	} else {
		best = unit_find(k, to);
	}
	if (!best)
		best = &k->base;
	*ret = (struct measure){v / best->factor, best->name};
	return true;
}

struct measure measure_scale(int64_t value, const char *from, const char *to)
{
	static const char *const silent[] = {"count", "sample", "unit", "minimum", "auto"};
	struct measure m;

	if (value < 0 && value != INT64_MIN) {
		m = measure_scale(-value, from, to);
		m.value = -m.value;
		return m;
	}
	for (unsigned i = 0; i < ARRAY_LEN(KINDS); i++)
		if (convert(&KINDS[i], value, from, to, &m))
			return m;
	m = (struct measure){(double)value, to};
	for (unsigned i = 0; i < ARRAY_LEN(silent); i++)
		if (!strcmp(to, silent[i]))
			m.unit = "";
	return m;
}

bool measure_same_kind(const char *a, const char *b)
{
	for (unsigned i = 0; i < ARRAY_LEN(KINDS); i++)
		if (unit_find(&KINDS[i], a) && unit_find(&KINDS[i], b))
			return true;
	return !strcmp(a, b);
}

void measure_label(struct str *to_text, int64_t value, const char *from, const char *to)
{
	struct measure m = measure_scale(value, from, to);
	char text[400];
	int n = snprintf(text, sizeof(text), "%.2f", m.value);

	if (n > 3 && !strcmp(text + n - 3, ".00"))
		text[n - 3] = '\0';
	if (!strcmp(text, "0") || !strcmp(text, "-0")) {
		str_add(to_text, "0");
		return;
	}
	str_add(to_text, text);
	str_add(to_text, m.unit);
}

void measure_percent(struct str *to, int64_t value, int64_t total)
{
	double ratio = total ? fabs((double)value / (double)total) * 100 : 0;

	if (ratio >= 99.95 && ratio <= 100.05)
		str_add(to, "  100%");
	else if (ratio >= 1.0)
		str_addf(to, "%5.2f%%", ratio);
	else
		str_addf(to, "%5.2g%%", ratio);
}
