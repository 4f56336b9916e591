/*
 * The text forms of runtime/pprof: debug=1 of heap, allocs, block and mutex, with functions and
 * lines behind each record and, of the heap, runtime.MemStats at the end (pprof.go).
 */
#include "view/prof_build.h"
#include "view/prof_records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "view/memstats.h"

/* --- aligned columns --- */

struct cell {
	const char *s;
	size_t n;
	uint32_t width; /* code points */
};

struct tab_line {
	struct cell *cells;
	uint32_t n;
};

struct tabs {
	struct str *out;
	const struct tab_line *lines;
	uint32_t widths[32];
	uint32_t n_widths;
};

enum { TAB = 8, PADDING = 1 };

static void tabs_write(struct tabs *t, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		const struct tab_line *l = &t->lines[i];

		for (uint32_t k = 0; k < l->n; k++) {
			str_addn(t->out, l->cells[k].s, l->cells[k].n);
			if (k < t->n_widths) {
				uint32_t w =
					(t->widths[k] + TAB - 1) / TAB * TAB - l->cells[k].width;

				for (; w > 0; w -= MIN(w, TAB))
					str_add(t->out, "\t");
			}
		}
		str_add(t->out, "\n");
	}
}

/* A column is as wide as its widest cell among neighbouring lines that have it; the last cell of a
 * line is in no column. */
static void tabs_format(struct tabs *t, uint32_t from, uint32_t to)
{
	uint32_t column = t->n_widths, done = from;

	for (uint32_t i = from; i < to; i++) {
		uint32_t width = 1;

		if (column + 1 >= t->lines[i].n || column == ARRAY_LEN(t->widths))
			continue;
		tabs_write(t, done, i);
		done = i;
		for (; i < to && column + 1 < t->lines[i].n; i++)
			width = MAX(width, t->lines[i].cells[column].width + PADDING);
		t->widths[t->n_widths++] = width;
		tabs_format(t, done, i);
		t->n_widths--;
		done = i;
	}
	tabs_write(t, done, to);
}

static uint32_t code_points(const char *s, size_t n)
{
	uint32_t w = 0;

	for (size_t i = 0; i < n; i++)
		w += ((unsigned char)s[i] & 0xc0) != 0x80;
	return w;
}

void prof_tabs(struct str *out, const char *text, size_t n, struct arena *a)
{
	const char *end = text + n;

	while (text < end) {
		struct arena_mark mark = arena_mark(a);
		struct tabs t = {.out = out};
		VEC(struct tab_line) lines = {0};

		/* a line of one cell ends all columns */
		while (text < end) {
			const char *eol = memchr(text, '\n', (size_t)(end - text));
			VEC(struct cell) cells = {0};

			eol = eol ? eol : end;
			for (const char *p = text; p <= eol;) {
				const char *tab = memchr(p, '\t', (size_t)(eol - p));
				size_t len = (size_t)((tab ? tab : eol) - p);

				*VEC_PUSH(a, &cells) = (struct cell){p, len, code_points(p, len)};
				p += len + 1;
			}
			*VEC_PUSH(a, &lines) = (struct tab_line){cells.v, cells.n};
			text = eol + (eol < end);
			if (cells.n == 1)
				break;
		}
		t.lines = lines.v;
		tabs_format(&t, 0, lines.n);
		arena_reset(a, mark);
	}
}

/* --- stacks --- */

static void add_hex_stack(struct str *out, const taddr *stk, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		str_addf(out, " 0x%llx", (unsigned long long)stk[i]);
	str_add(out, "\n");
}

/* A frame a line; the runtime's own at the leaf are hidden unless `all`, or nothing else is there.
 */
void prof_add_record(const struct snapshot *s, struct str *out, const taddr *stk, uint32_t n,
		     bool all)
{
	for (bool shown = all;; all = true) {
		struct prof_frames it = {.s = s, .stk = stk, .n = n};
		struct code_frame f;
		bool any = false;

		while (prof_frames_next(&it, &f)) {
			any = true;
			if (strcmp(f.func, "runtime.goexit") == 0 ||
			    !(shown || all || !prof_is_runtime(s, f.func)))
				continue;
			shown = true;
			str_addf(out, "#\t0x%llx\t%s+0x%llx\t%s:%d\n", (unsigned long long)f.pc,
				 f.func, (unsigned long long)(f.pc - f.entry), f.file, f.line);
		}
		if (!any) {
			shown = true;
			str_add(out, "#\t0x0\n"); /* CallersFrames: an empty frame */
		}
		if (shown || all)
			break;
	}
	str_add(out, "\n");
}

/* --- runtime.MemStats --- */

/* A float as Go's %v: the fewest digits that read back as the same. */
static void add_float(struct str *out, double v)
{
	char text[40];
	int digits = 1;

	do
		snprintf(text, sizeof(text), "%.*e", digits - 1, v);
	while (strtod(text, NULL) != v && ++digits <= 17);
	int exponent = atoi(strchr(text, 'e') + 1);
	if (v != 0 && (exponent < -4 || exponent >= 21))
		str_add(out, text);
	else
		str_addf(out, "%.*f", MAX(digits - 1 - exponent, 0), v);
}

static void add_array(struct str *out, const char *name, const uint64_t *v, uint32_t n)
{
	str_addf(out, "# %s = [", name);
	for (uint32_t i = 0; i < n; i++)
		str_addf(out, "%s%llu", i ? " " : "", (unsigned long long)v[i]);
	str_add(out, "]\n");
}

static void add_memstats(const struct snapshot *s, struct str *out)
{
	const struct memstats m = memstats_compute(s->counters);
	const struct {
		const char *name;
		uint64_t v;
	} rows[] = {
		{"Alloc", m.Alloc},
		{"TotalAlloc", m.TotalAlloc},
		{"Sys", m.Sys},
		{"Lookups", m.Lookups},
		{"Mallocs", m.Mallocs},
		{"Frees", m.Frees},
		{"HeapAlloc", m.HeapAlloc},
		{"HeapSys", m.HeapSys},
		{"HeapIdle", m.HeapIdle},
		{"HeapInuse", m.HeapInuse},
		{"HeapReleased", m.HeapReleased},
		{"HeapObjects", m.HeapObjects},
	};
	const struct {
		const char *name;
		uint64_t inuse, sys;
	} pairs[] = {
		{"Stack", m.StackInuse, m.StackSys},
		{"MSpan", m.MSpanInuse, m.MSpanSys},
		{"MCache", m.MCacheInuse, m.MCacheSys},
	};
	const struct {
		const char *name;
		uint64_t v;
	} rest[] = {
		{"BuckHashSys", m.BuckHashSys}, {"GCSys", m.GCSys},   {"OtherSys", m.OtherSys},
		{"NextGC", m.NextGC},		{"LastGC", m.LastGC},
	};

	str_add(out, "\n# runtime.MemStats\n");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		str_addf(out, "# %s = %llu\n", rows[i].name, (unsigned long long)rows[i].v);
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		str_addf(out, "# %s = %llu / %llu\n", pairs[i].name,
			 (unsigned long long)pairs[i].inuse, (unsigned long long)pairs[i].sys);
	for (size_t i = 0; i < ARRAY_LEN(rest); i++)
		str_addf(out, "# %s = %llu\n", rest[i].name, (unsigned long long)rest[i].v);
	add_array(out, "PauseNs", m.PauseNs, ARRAY_LEN(m.PauseNs));
	add_array(out, "PauseEnd", m.PauseEnd, ARRAY_LEN(m.PauseEnd));
	str_addf(out, "# NumGC = %llu\n# NumForcedGC = %llu\n# GCCPUFraction = ",
		 (unsigned long long)m.NumGC, (unsigned long long)m.NumForcedGC);
	add_float(out, m.GCCPUFraction);
	str_addf(out, "\n# DebugGC = false\n# MaxRSS = %llu\n", (unsigned long long)s->os->hwm);
}

/* --- heap, allocs --- */

struct sorted_record {
	struct heap_record r;
	uint32_t i;
};

static int by_inuse(const void *a, const void *b)
{
	const struct sorted_record *x = a, *y = b;

	if (x->r.inuse_bytes != y->r.inuse_bytes)
		return x->r.inuse_bytes < y->r.inuse_bytes ? -1 : 1;
	return (x->i > y->i) - (x->i < y->i);
}

static int by_inuse_down(const void *a, const void *b)
{
	const struct sorted_record *x = a, *y = b;

	if (x->r.inuse_bytes != y->r.inuse_bytes)
		return x->r.inuse_bytes > y->r.inuse_bytes ? -1 : 1;
	return (x->i > y->i) - (x->i < y->i);
}

static void heap_text(const struct snapshot *s, bool now, struct arena *a, struct str *out)
{
	const struct profile *p = &s->profile;
	struct sorted_record *v = ARENA_ARRAY(a, struct sorted_record, p->n_buckets);
	struct heap_record total = {0};

	for (uint32_t i = 0; i < p->n_buckets; i++) {
		v[i] = (struct sorted_record){heap_record(s, &p->buckets[i], now), i};
		total.allocs += v[i].r.allocs;
		total.alloc_bytes += v[i].r.alloc_bytes;
		total.inuse += v[i].r.inuse;
		total.inuse_bytes += v[i].r.inuse_bytes;
	}
	/* largest first until 1.22, smallest first since */
	if (p->n_buckets > 1)
		qsort(v, p->n_buckets, sizeof(*v), s->go_minor >= 23 ? by_inuse : by_inuse_down);
	/* equal numbers would tell pprof that there are but two columns; since 1.20 */
	if (s->go_minor >= 20)
		total.alloc_bytes += total.alloc_bytes == total.inuse_bytes;
	str_addf(out, "heap profile: %lld: %lld [%lld: %lld] @ heap/%lld\n", (long long)total.inuse,
		 (long long)total.inuse_bytes, (long long)total.allocs,
		 (long long)total.alloc_bytes, 2 * (long long)p->rate);
	for (uint32_t i = 0; i < p->n_buckets; i++) {
		const struct heap_record *r = &v[i].r;

		str_addf(out, "%lld: %lld [%lld: %lld] @", (long long)r->inuse,
			 (long long)r->inuse_bytes, (long long)r->allocs,
			 (long long)r->alloc_bytes);
		add_hex_stack(out, r->stk, r->n_stk);
		prof_add_record(s, out, r->stk, r->n_stk, false);
	}
	add_memstats(s, out);
}

/* --- block, mutex --- */

static void contention_text(const struct snapshot *s, bool block, struct arena *a, struct str *out)
{
	const struct profile *p = &s->profile;
	const struct contention *c = block ? &p->block : &p->mutex;
	const struct contention_record **v = contention_sorted(c, a);
	taddr stk[PROF_EXPANDED];

	str_addf(out, "--- %s:\ncycles/second=%lld\n", block ? "contention" : "mutex",
		 (long long)p->ticks_per_second);
	if (!block)
		str_addf(out, "sampling period=%lld\n", (long long)p->mutex_fraction);
	for (uint32_t i = 0; i < c->n; i++) {
		uint32_t n = contention_stack(s, c, v[i], stk, s->profile.stack_depth);

		str_addf(out, "%lld %lld @", (long long)v[i]->cycles,
			 (long long)contention_count(v[i], block));
		add_hex_stack(out, stk, n);
		prof_add_record(s, out, stk, n, true);
	}
}

bool prof_text(const struct snapshot *s, const struct prof_request *q, unsigned debug,
	       struct arena *a, struct str *out, struct err *err)
{
	struct str raw = {0};

	if (debug < 1 || debug > 2 ||
	    !(debug == 1 ? PROF_KIND[q->kind].text1 : PROF_KIND[q->kind].text2))
		return err_set(err, ERR_USAGE, "--kind %s has no text form; write it with -o",
			       PROF_KIND[q->kind].name);
	switch (q->kind) {
	case PROF_HEAP:
	case PROF_ALLOCS:
		heap_text(s, q->now, a, &raw);
		break;
	case PROF_BLOCK:
	case PROF_MUTEX:
		contention_text(s, q->kind == PROF_BLOCK, a, &raw);
		break;
	case PROF_THREADCREATE:
		counts_text(s, q->kind, a, &raw);
		break;
	case PROF_GOROUTINE:
		if (debug == 2) { /* the runtime's own words, no columns */
			goroutines_text(s, a, out);
			return true;
		}
		counts_text(s, q->kind, a, &raw);
		break;
	default:
		return err_set(err, ERR_USAGE, "this kind of profile is not there yet");
	}
	prof_tabs(out, raw.s ? raw.s : "", raw.n, a);
	str_free(&raw);
	return true;
}
