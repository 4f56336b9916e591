/*
 * `whyrss gctrace` reads what GODEBUG=gctrace=1 made a program print, from a file or a pipe: lines
 * of the runtime become numbers, all others pass through as they are. `whyrss run` starts a program
 * and watches it as `live` does, with its input, output, signals and exit code passed through.
 */
#include "front/gctrace.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/unit.h"
#include "front/watch.h"
#include "series/recording.h"

#define LINE_MAX_BYTES (64U << 10)
#define MIB_BYTES      1048576.0

void trace_init(struct trace_reader *t, int pass_fd, bool json)
{
	*t = (struct trace_reader){.pass_fd = pass_fd, .json = json};
	arena_init(&t->mem, (bytes)1 << 30);
}

static bool put_fd(int fd, const char *s, size_t n)
{
	while (n) {
		ssize_t k = write(fd, s, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return false;
		s += k;
		n -= (size_t)k;
	}
	return true;
}

static void add_number(struct str *to, const char *key, double v, double unit)
{
	if (v < 0)
		str_addf(to, ",\"%s\":null", key);
	else
		str_addf(to, ",\"%s\":%.0f", key, v * unit);
}

static void add_json(struct trace_reader *t, const struct gctrace_line *l)
{
	struct str *to = &t->out;

	if (l->kind == GCTRACE_GC) {
		const struct gctrace_gc *g = &l->gc;

		str_addf(to, "{\"type\":\"gc\",\"n\":%llu,\"t\":", (unsigned long long)g->n);
		if (g->at_s < 0)
			str_add(to, "null");
		else
			str_addf(to, "%.3f", g->at_s);
		add_number(to, "pause_ns", g->pause_ms, 1e6);
		add_number(to, "heap_marked", g->marked_mib, MIB_BYTES);
		add_number(to, "heap_goal", g->goal_mib, MIB_BYTES);
		str_addf(to, ",\"forced\":%s,\"late\":false", g->forced ? "true" : "false");
		add_number(to, "heap_start", g->start_mib, MIB_BYTES);
		add_number(to, "heap_end", g->end_mib, MIB_BYTES);
		add_number(to, "stacks", g->stacks_mib, MIB_BYTES);
		add_number(to, "globals", g->globals_mib, MIB_BYTES);
		add_number(to, "assist_ns", g->cpu_assist, 1e6);
		add_number(to, "dedicated_ns", g->cpu_background, 1e6);
		add_number(to, "idle_ns", g->cpu_idle, 1e6);
		add_number(to, "procs", (double)g->procs, 1);
	} else {
		const struct gctrace_scav *s = &l->scav;

		str_add(to, "{\"type\":\"scav\"");
		add_number(to, "work", s->work_mib, MIB_BYTES);
		add_number(to, "returned", s->returned_mib, MIB_BYTES);
		add_number(to, "inuse", s->inuse_mib, MIB_BYTES);
		add_number(to, "idle", s->idle_mib, MIB_BYTES);
		add_number(to, "sys", s->sys_mib, MIB_BYTES);
		add_number(to, "released", s->released_mib, MIB_BYTES);
		add_number(to, "consumed", s->consumed_mib, MIB_BYTES);
		str_addf(to, ",\"util\":%s", s->util < 0 ? "null" : "");
		if (s->util >= 0)
			str_addf(to, "%.2f", s->util);
		str_addf(to, ",\"forced\":%s", s->forced ? "true" : "false");
	}
	str_add(to, "}\n");
}

static void take_line(struct trace_reader *t, const char *line, size_t n)
{
	struct gctrace_line l;

	gctrace_parse(line, &l);
	if (l.kind == GCTRACE_OTHER) {
		t->others++;
		if (!put_fd(t->pass_fd, line, n) || !put_fd(t->pass_fd, "\n", 1))
			t->failed = errno;
		return;
	}
	if (l.kind == GCTRACE_SCAV)
		t->scavs++;
	else if (t->cycles.n < TRACE_CYCLES_MAX)
		*VEC_PUSH(&t->mem, &t->cycles) = l.gc;
	if (t->json) {
		add_json(t, &l);
		if (!put_out(&t->out))
			t->failed = errno;
	}
}

/* Lines are cut at LINE_MAX_BYTES, which no line of the runtime reaches. */
void trace_feed(struct trace_reader *t, const char *s, size_t n)
{
	while (n) {
		const char *nl = memchr(s, '\n', n);
		size_t part = nl ? (size_t)(nl - s) : n;

		if (t->n + part > LINE_MAX_BYTES)
			part = LINE_MAX_BYTES - t->n;
		if (!t->line)
			t->line = arena_alloc(&t->mem, LINE_MAX_BYTES + 1);
		memcpy(t->line + t->n, s, part);
		t->n += part;
		s += part;
		n -= part;
		if (n && *s == '\n') {
			s++;
			n--;
			t->line[t->n] = '\0';
			take_line(t, t->line, t->n);
			t->n = 0;
		} else if (t->n == LINE_MAX_BYTES) { /* passed on without an end of line */
			if (!put_fd(t->pass_fd, t->line, t->n))
				t->failed = errno;
			t->n = 0;
		}
	}
}

/* The last line may have no end. */
static void trace_end(struct trace_reader *t)
{
	struct gctrace_line l;

	if (!t->n)
		return;
	t->line[t->n] = '\0';
	gctrace_parse(t->line, &l);
	if (l.kind == GCTRACE_OTHER)
		put_fd(t->pass_fd, t->line, t->n);
	else
		take_line(t, t->line, t->n);
	t->n = 0;
}

void trace_free(struct trace_reader *t)
{
	str_free(&t->out);
	arena_free(&t->mem);
}

/* ---- What it comes to ---- */

#define PLOT_WIDTH 60U
#define PLOT_ROWS  8U

/* Heap over time as dots of braille, 2 × 4 to a character: the heap at the end of each cycle above,
 * what it marked below. */
static void add_plot(const struct trace_reader *t, struct str *to, bool utf8)
{
	uint8_t cell[PLOT_ROWS][PLOT_WIDTH] = {{0}};
	static const uint8_t dot[4][2] = {{1, 8}, {2, 16}, {4, 32}, {64, 128}};
	double most = 1, first = t->cycles.v[0].at_s, last = t->cycles.v[t->cycles.n - 1].at_s;
	bool timed = first >= 0 && last > first;
	char text[UNIT_TEXT];

	for (uint32_t i = 0; i < t->cycles.n; i++)
		most = fmax(most, fmax(t->cycles.v[i].end_mib, t->cycles.v[i].goal_mib));
	for (uint32_t i = 0; i < t->cycles.n; i++) {
		const struct gctrace_gc *g = &t->cycles.v[i];
		double x = timed ? (g->at_s - first) / (last - first)
				 : (double)i / (double)MAX(t->cycles.n - 1, 1U);
		double y[2] = {g->end_mib / most, g->marked_mib / most};
		unsigned col =
			(unsigned)fmin(fmax(x, 0) * (PLOT_WIDTH * 2 - 1), PLOT_WIDTH * 2 - 1);

		for (unsigned k = 0; k < 2; k++) {
			unsigned row = PLOT_ROWS * 4 - 1 -
				       (unsigned)fmin(fmax(y[k], 0) * (PLOT_ROWS * 4 - 1),
						      PLOT_ROWS * 4 - 1);

			cell[row / 4][col / 2] |= dot[row % 4][col % 2];
		}
	}
	for (unsigned r = 0; r < PLOT_ROWS; r++) {
		if (r == 0)
			str_addf(to, "%9s ", unit_bytes(text, (bytes)(most * MIB_BYTES)));
		else
			str_addf(to, "%9s ", r == PLOT_ROWS - 1 ? "0" : "");
		for (unsigned c = 0; c < PLOT_WIDTH; c++) {
			unsigned code = 0x2800U + cell[r][c];

			if (!utf8)
				str_add(to, cell[r][c] ? "*" : " ");
			else if (!cell[r][c])
				str_add(to, " ");
			else
				str_addf(to, "%c%c%c", 0xe0 | code >> 12, 0x80 | (code >> 6 & 63),
					 0x80 | (code & 63));
		}
		str_add(to, "\n");
	}
	if (timed)
		str_addf(to,
			 "%9s 0 s … %.1f s: heap at the end of each GC cycle, and what it marked\n",
			 "", last - first);
}

static int ascending(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

void trace_summary(struct trace_reader *t, struct str *to, bool utf8)
{
	double *pause = ARENA_ARRAY(&t->mem, double, t->cycles.n + 1), total = 0, goal = 0,
	       peak = 0;
	const struct gctrace_gc *last;
	uint32_t n = t->cycles.n, forced = 0;
	char text[3][UNIT_TEXT];

	if (n == 0)
		return;
	for (uint32_t i = 0; i < n; i++) {
		const struct gctrace_gc *g = &t->cycles.v[i];

		pause[i] = fmax(g->pause_ms, 0);
		total += pause[i];
		goal = fmax(goal, g->goal_mib);
		peak = fmax(peak, g->end_mib);
		forced += g->forced;
	}
	qsort(pause, n, sizeof(*pause), ascending);
	last = &t->cycles.v[n - 1];
	add_plot(t, to, utf8);
	str_addf(to, "%u GC cycles", n);
	if (last->at_s > 0)
		str_addf(to, " in %.1f s", last->at_s);
	if (forced)
		str_addf(to, " (%u forced)", forced);
	str_addf(to, "; heap up to %.0f MiB, %.0f MiB alive at the end", peak, last->marked_mib);
	if (goal > 0)
		str_addf(to, ", goal up to %.0f MiB", goal);
	if (last->cpu_share >= 0)
		str_addf(to, "; %.0f %% of the CPU", last->cpu_share * 100);
	str_addf(to, "; paused %s in all, median %s, at most %s\n",
		 unit_duration(text[0], (int64_t)(total * 1e6)),
		 unit_duration(text[1], (int64_t)(pause[n / 2] * 1e6)),
		 unit_duration(text[2], (int64_t)(pause[n - 1] * 1e6)));
}

static uint64_t scaled(double v, double unit)
{
	return v < 0 ? UNKNOWN : (uint64_t)(v * unit);
}

/* As a recording, so that everything that shows one shows it: each cycle, and a sample at its end.
 */
static bool write_recording(const struct trace_reader *t, const char *path, struct err *err)
{
	const struct recording_info info = {
		.exe = "", .go = "", .limit = UNKNOWN, .hz = 0, .began_unix_ns = 0};
	struct recording *r;
	int64_t end = 0;

	if (!recording_create(path, &info, &r, err))
		return false;
	for (uint32_t i = 0; i < t->cycles.n; i++) {
		const struct gctrace_gc *g = &t->cycles.v[i];
		struct event e = {
			.kind = EVENT_GC,
			.t_ns = (int64_t)(g->at_s < 0 ? i * 1e9 : g->at_s * 1e9),
			.gc = {.n = g->n,
			       .t_known = g->at_s >= 0,
			       .forced = g->forced,
			       .pause_ns = scaled(g->pause_ms, 1e6),
			       .heap_marked = scaled(g->marked_mib, MIB_BYTES),
			       .heap_goal = scaled(g->goal_mib, MIB_BYTES),
			       .heap_end = scaled(g->end_mib, MIB_BYTES),
			       .heap_start = scaled(g->start_mib, MIB_BYTES),
			       .mark_ns = g->n_clock == 3 ? scaled(g->clock[1], 1e6) : UNKNOWN,
			       .assist_ns = scaled(g->cpu_assist, 1e6),
			       .dedicated_ns = scaled(g->cpu_background, 1e6),
			       .idle_ns = scaled(g->cpu_idle, 1e6)}};
		struct event s = {.kind = EVENT_SAMPLE, .t_ns = e.t_ns};

		for (unsigned k = 0; k < N_METRICS; k++)
			*metric_of(&s.sample, &METRICS[k]) = UNKNOWN;
		s.sample.heap_live = e.gc.heap_end;
		s.sample.heap_marked = e.gc.heap_marked;
		s.sample.heap_goal = e.gc.heap_goal;
		s.sample.num_gc = g->n;
		end = e.t_ns;
		if (!recording_add(r, &e, err) || !recording_add(r, &s, err)) {
			recording_end(r, end, "could not be written to its end", NULL);
			return false;
		}
	}
	return recording_end(r, end, "the log's end", err);
}

enum exit_code gctrace_run(const struct request *q, const struct outlet *to, struct str *messages)
{
	const struct options *o = &q->options;
	struct text_style style = style_choose(to, o);
	CLEANUP(cleanup_fd) int fd = -1;
	struct trace_reader t;
	struct err err = {0};
	enum exit_code code = EXIT_ANSWERED;
	char piece[16384];
	ssize_t n = 0;

	if (q->n_words > 1) {
		err_set(&err, ERR_USAGE, "gctrace: one FILE, or nothing for standard input");
		message_add(messages, &err);
		return EXIT_USAGE;
	}
	fd = q->n_words && strcmp(q->words[0], "-") != 0
		     ? open(q->words[0], O_RDONLY | O_CLOEXEC | O_NOCTTY)
		     : dup(STDIN_FILENO);
	if (fd < 0) {
		err_os(&err, ERR_OS, "%.120s", q->n_words ? q->words[0] : "standard input");
		message_add(messages, &err);
		return EXIT_FAILED;
	}
	trace_init(&t, option_set(o, OPT_JSON) ? STDERR_FILENO : STDOUT_FILENO,
		   option_set(o, OPT_JSON));
	while (!t.failed && (n = read(fd, piece, sizeof(piece))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		trace_feed(&t, piece, (size_t)n);
	}
	if (n < 0) {
		err_os(&err, ERR_OS, "%.120s", q->n_words ? q->words[0] : "standard input");
		message_add(messages, &err);
		code = EXIT_FAILED;
	}
	trace_end(&t);
	if (t.failed && t.failed != EPIPE) {
		str_addf(messages, "whyrss: standard output: %s\n", strerror(t.failed));
		code = EXIT_FAILED;
	}
	if (!t.cycles.n && !t.scavs && code == EXIT_ANSWERED) {
		err_set(&err, ERR_FORMAT,
			"gctrace: no line of it is a trace of Go's GC; start the program with "
			"GODEBUG=gctrace=1 and pass its standard error (2>&1)");
		message_add(messages, &err);
		code = EXIT_FAILED;
	}
	if (!option_set(o, OPT_JSON))
		trace_summary(&t, to->terminal ? &t.out : messages, style.utf8);
	put_out(&t.out);
	if (code == EXIT_ANSWERED && option_set(o, OPT_OUTPUT) &&
	    !write_recording(&t, o->v[OPT_OUTPUT].text, &err)) {
		message_add(messages, &err);
		code = err.kind == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
	}
	trace_free(&t);
	return code;
}
