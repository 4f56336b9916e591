/*
 * A cursor over the line and a word for each format. The text may be anything: a line that begins
 * like a trace and does not go on like one is another line.
 */
#include "series/gctrace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* "word" at the cursor, which moves behind it. */
static bool word(const char **at, const char *w)
{
	size_t n = strlen(w);

	if (strncmp(*at, w, n) != 0)
		return false;
	*at += n;
	return true;
}

/* Digits with at most one point: no sign, no exponent, no hex. */
static bool number(const char **at, double *ret)
{
	const char *p = *at;
	size_t n = strspn(p, "0123456789");
	char text[40];

	if (n && p[n] == '.')
		n += 1 + strspn(p + n + 1, "0123456789");
	if (n == 0 || n >= sizeof(text))
		return false;
	memcpy(text, p, n);
	text[n] = '\0';
	*ret = strtod(text, NULL);
	*at += n;
	return true;
}

static bool whole(const char **at, int64_t *ret)
{
	double v;

	if (!number(at, &v) || v > 9e15)
		return false;
	*ret = (int64_t)v;
	return true;
}

static const struct gctrace_gc NO_GC = {.at_s = -1,
					.cpu_share = -1,
					.cpu_assist = -1,
					.cpu_background = -1,
					.cpu_idle = -1,
					.pause_ms = -1,
					.start_mib = -1,
					.end_mib = -1,
					.marked_mib = -1,
					.goal_mib = -1,
					.stacks_mib = -1,
					.globals_mib = -1,
					.procs = -1,
					.goroutines = -1};
static const struct gctrace_scav NO_SCAV = {-1, -1, -1, -1, -1, -1, -1, -1, false};

/* Go 1.4: gc8(4): 2+9+745+0 us, 2 -> 4 MB, 21 (21-0) objects, 2 goroutines, … Go 1.3 prints the
 * same. */
static bool parse_14(const char *at, struct gctrace_gc *g)
{
	int64_t n, skip;
	double phase, unit;

	*g = NO_GC;
	if (!word(&at, "gc") || !whole(&at, &n) || !word(&at, "(") || !whole(&at, &g->procs) ||
	    !word(&at, "): "))
		return false;
	g->n = (uint64_t)n;
	g->pause_ms = 0;
	do {
		if (!number(&at, &phase) || g->n_clock == GCTRACE_PHASES)
			return false;
		g->clock[g->n_clock++] = phase;
	} while (word(&at, "+"));
	unit = word(&at, " us, ") ? 1e-3 : word(&at, " ms, ") ? 1 : 0;
	if (unit == 0)
		return false;
	for (uint32_t i = 0; i < g->n_clock; i++) {
		g->clock[i] *= unit;
		g->pause_ms += g->clock[i]; /* it stops the world for all of them */
	}
	if (!number(&at, &g->start_mib) || !word(&at, " -> ") || !number(&at, &g->marked_mib) ||
	    !word(&at, " MB"))
		return false;
	g->end_mib = g->start_mib;
	at = strstr(at, " objects, ");
	if (at && word(&at, " objects, ") && whole(&at, &skip) && word(&at, " goroutines"))
		g->goroutines = skip;
	return true;
}

/* "0.016+0+0.1/0.2/0.3+0.01 ms cpu": what stands between slashes is assist, background, idle. */
static bool parse_cpu(const char **at, struct gctrace_gc *g)
{
	double v, *const of[] = {&g->cpu_assist, &g->cpu_background, &g->cpu_idle};
	unsigned slashes = 0;

	for (;;) {
		if (!number(at, &v))
			return false;
		if (slashes < 3 && (slashes || (*at)[0] == '/'))
			*of[slashes] = v;
		if (word(at, "/"))
			slashes++;
		else if (word(at, "+"))
			slashes = slashes ? 3 : 0;
		else
			return word(at, " ms cpu, ");
	}
}

/* Go 1.5 on: gc 7 @0.140s 1%: 0.1+2.3+0.01 ms clock, … ms cpu, 4->5->3 MB, 6 MB goal, … 4 P
 * (forced) */
static bool parse_15(const char *at, struct gctrace_gc *g)
{
	int64_t n;
	double v;

	*g = NO_GC;
	if (!word(&at, "gc ") || (word(&at, "#"), !whole(&at, &n)) || !word(&at, " @") ||
	    !number(&at, &g->at_s) || !word(&at, "s ") || !number(&at, &v) || !word(&at, "%"))
		return false;
	g->n = (uint64_t)n;
	g->cpu_share = v / 100;
	g->leak_check = word(&at, " (checking for goroutine leaks)");
	if (!word(&at, ": "))
		return false;
	do {
		if (!number(&at, &v) || g->n_clock == GCTRACE_PHASES)
			return false;
		g->clock[g->n_clock++] = v;
	} while (word(&at, "+"));
	if (!word(&at, " ms clock, ") || !parse_cpu(&at, g))
		return false;
	if (!number(&at, &g->start_mib) || !word(&at, "->") || !number(&at, &g->end_mib) ||
	    !word(&at, "->") || !number(&at, &g->marked_mib) || !word(&at, " MB, ") ||
	    !number(&at, &g->goal_mib) || !word(&at, " MB goal, "))
		return false;
	g->pause_ms = g->clock[0] + (g->n_clock > 1 ? g->clock[g->n_clock - 1] : 0);
	while (number(&at, &v)) {
		if (word(&at, " MB stacks, ")) {
			g->stacks_mib = v;
		} else if (word(&at, " MB globals, ")) {
			g->globals_mib = v;
		} else if (word(&at, " P")) {
			g->procs = (int64_t)v;
			break;
		} else {
			return false;
		}
	}
	if (g->procs < 0)
		return false;
	g->forced = word(&at, " (forced)");
	return true;
}

/* Up to Go 1.13: scvg0: inuse: 3, idle: 12, sys: 15, released: 0, consumed: 15 (MB) */
static bool parse_scvg(const char *at, struct gctrace_scav *s)
{
	int64_t n;

	*s = NO_SCAV;
	if (!word(&at, "scvg"))
		return false;
	word(&at, "-"); /* debug.FreeOSMemory is scvg-1 */
	(void)whole(&at, &n);
	if (!word(&at, ": "))
		return false;
	if (word(&at, "inuse: "))
		return number(&at, &s->inuse_mib) && word(&at, ", idle: ") &&
		       number(&at, &s->idle_mib) && word(&at, ", sys: ") &&
		       number(&at, &s->sys_mib) && word(&at, ", released: ") &&
		       number(&at, &s->released_mib) && word(&at, ", consumed: ") &&
		       number(&at, &s->consumed_mib) && word(&at, " (MB)");
	if (word(&at, "GC forced"))
		return s->forced = true;
	if (!number(&at, &s->work_mib))
		return false;
	if (word(&at, " KB released")) {
		s->work_mib /= 1024;
		return true;
	}
	return word(&at, " MB released");
}

/* Go 1.14 on: scav 1 3 KiB work, 8 KiB total, 50% util; 1.21 on: … work (bg), … work (eager), …
 * now, … */
static bool parse_scav(const char *at, struct gctrace_scav *s)
{
	double v, work = 0;

	*s = NO_SCAV;
	if (!word(&at, "scav ") || !number(&at, &v))
		return false;
	if (word(&at, " ") && *at >= '0' && *at <= '9') { /* v was the generation: 1.14 to 1.18 */
		if (!number(&at, &v) || !word(&at, " "))
			return false;
	}
	for (;;) {
		if (!word(&at, "KiB "))
			return false;
		if (word(&at, "work (bg), ") || word(&at, "work (eager), ") || word(&at, "work, "))
			work += v / 1024;
		else if (word(&at, "total, ") || word(&at, "now, "))
			s->returned_mib = v / 1024;
		else
			return false;
		if (!number(&at, &v))
			return false;
		if (word(&at, "% util"))
			break;
		if (!word(&at, " "))
			return false;
	}
	s->work_mib = work;
	s->util = v / 100;
	s->forced = word(&at, " (forced)");
	return true;
}

void gctrace_parse(const char *line, struct gctrace_line *ret)
{
	*ret = (struct gctrace_line){.kind = GCTRACE_OTHER};
	for (const char *at = line; *at; at++) {
		/* at the beginning, or behind what a log puts in front */
		if ((*at != 'g' && *at != 's') || (at > line && !strchr(" \t|]>:", at[-1])))
			continue;
		if (parse_15(at, &ret->gc) || parse_14(at, &ret->gc)) {
			ret->kind = GCTRACE_GC;
			return;
		}
		if (parse_scvg(at, &ret->scav) || parse_scav(at, &ret->scav)) {
			ret->kind = GCTRACE_SCAV;
			return;
		}
	}
}
