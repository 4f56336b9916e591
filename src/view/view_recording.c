/*
 * What a recording says: whether it leaks, what filled memory at the peak, how each line went, what
 * the collector did. A pure function of the story that series/ read.
 */
#include "view/view_recording.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/unit.h"

enum {
	COL_LINE,
	COL_TITLE,
	COL_PEAK,
	COL_FIRST,
	COL_LAST,
	COL_RISE,
	COL_RATE,
	COL_TREND,
	COL_SURE
};
static const struct column LINE_COLUMNS[] = {
	[COL_LINE] = {"id", "line", COLUMN_TEXT, 0},
	[COL_TITLE] = {NULL, "", COLUMN_TEXT, 3},
	[COL_PEAK] = {"peak", "at the peak", COLUMN_MIB, 0},
	[COL_FIRST] = {"first", "first", COLUMN_MIB, 2},
	[COL_LAST] = {"last", "last", COLUMN_MIB, 2},
	[COL_RISE] = {"rise", NULL, COLUMN_MIB, 0},
	[COL_RATE] = {"bytes_per_min", "MiB a min", COLUMN_MIB, 0},
	[COL_TREND] = {"trend", "trend", COLUMN_TEXT, 0},
	[COL_SURE] = {"confidence", "", COLUMN_TEXT, 1},
};

enum { COL_SITE, COL_SITE_FILE, COL_OBJECTS, COL_SPACE, COL_STACK };
static const struct column SITE_COLUMNS[] = {
	[COL_SITE] = {"func", "allocated in", COLUMN_TEXT, 0},
	[COL_SITE_FILE] = {"at", "", COLUMN_PATH, 2},
	[COL_OBJECTS] = {"inuse_objects", "objects", COLUMN_COUNT, 1},
	[COL_SPACE] = {"inuse_space", "in use", COLUMN_BYTES, 0},
	[COL_STACK] = {"stack", NULL, COLUMN_TEXT, 0},
};

const char *clock_words(struct arena *a, int64_t unix_ns)
{
	time_t s = (time_t)(unix_ns / 1000000000);
	struct tm tm;
	char text[40];

	if (!localtime_r(&s, &tm) || !strftime(text, sizeof(text), "%H:%M:%S", &tm))
		return "?";
	return arena_strdup(a, text);
}

static struct value trend_json(struct arena *a, const struct trend *t)
{
	struct value v = value_object(a);

	value_put(a, v, "trend", value_str(TREND_NAMES[t->kind]));
	value_put(a, v, "confidence",
		  t->kind == TREND_UNKNOWN ? value_null()
					   : value_str(CONFIDENCE_NAMES[t->confidence]));
	value_put(a, v, "per_min", value_double(t->slope * 60));
	value_put(a, v, "per_min_low", value_double(t->low * 60));
	value_put(a, v, "per_min_high", value_double(t->high * 60));
	value_put(a, v, "first", value_double(t->first));
	value_put(a, v, "last", value_double(t->last));
	value_put(a, v, "points", value_uint(t->n));
	return v;
}

static void add_line_rows(struct arena *a, struct table *t, const struct story *s)
{
	for (unsigned i = 0; i < N_LINES; i++) {
		const struct trend *x = &s->line[i];
		uint64_t peak = s->peak ? s->peak->l.resident[i] : 0;
		struct row *r = table_row(a, t, 0);

		if (peak < 512 << 10 && x->kind != TREND_RISING)
			r->flags |= ROW_QUIET;
		r->cells[COL_LINE] = value_str(LINES[i].id);
		r->cells[COL_TITLE] = value_str(LINES[i].title);
		r->cells[COL_PEAK] = value_uint_if(s->peak != NULL, peak);
		r->cells[COL_FIRST] = value_int((int64_t)x->first);
		r->cells[COL_LAST] = value_int((int64_t)x->last);
		r->cells[COL_RISE] = value_int((int64_t)x->rise);
		r->cells[COL_RATE] = value_int((int64_t)(x->slope * 60));
		r->cells[COL_TREND] = value_str(TREND_NAMES[x->kind]);
		r->cells[COL_SURE] = x->kind == TREND_UNKNOWN
					     ? value_null()
					     : value_str(CONFIDENCE_NAMES[x->confidence]);
	}
}

void recording_leaf(struct arena *a, const char *stack, const char **ret_func, const char **ret_at)
{
	const char *text = arena_strndup(a, stack, strcspn(stack, "\n")),
		   *space = strrchr(text, ' ');

	*ret_func = space ? arena_strndup(a, text, (size_t)(space - text)) : text;
	*ret_at = space ? space + 1 : "";
}

struct table *recording_sites_table(struct arena *a, const struct site_row *v, uint32_t n, bool all)
{
	struct table *t = TABLE_NEW(a, SITE_COLUMNS);

	for (uint32_t i = 0; i < n; i++) {
		struct row *r = table_row(a, t, 0);
		const char *func, *at;

		recording_leaf(a, v[i].stack, &func, &at);
		r->cells[COL_SITE] = value_str(func);
		r->cells[COL_SITE_FILE] = value_str(at);
		r->cells[COL_OBJECTS] = value_int(v[i].inuse_objects);
		r->cells[COL_SPACE] = value_int(v[i].inuse_space);
		r->cells[COL_STACK] = value_str(v[i].stack);
	}
	t->limit = all ? 0 : 6;
	return t;
}

struct value recording_target_json(struct arena *a, const struct recording_info *i)
{
	struct value v = value_object(a);

	value_put(a, v, "pid", value_int(i->pid));
	value_put(a, v, "exe", value_str(i->exe));
	value_put(a, v, "go", value_str(i->go));
	return v;
}

static struct value gc_json(struct arena *a, const struct story *s)
{
	struct value v = value_object(a);

	value_put(a, v, "cycles", value_uint(s->cycles_done));
	value_put(a, v, "late", value_uint(s->late));
	value_put(a, v, "forced", value_uint(s->forced));
	value_put(a, v, "per_s", value_double(s->gc_per_s));
	value_put(a, v, "cpu", value_double(s->gc_cpu));
	value_put(a, v, "pause_total_ns", value_uint(s->pause_total_ns));
	value_put(a, v, "pause_max_ns", value_uint(s->pause_max_ns));
	value_put(a, v, "pause_median_ns", value_uint(s->pause_median_ns));
	value_put(a, v, "marked", trend_json(a, &s->marked));
	return v;
}

static void put_json(const struct story *s, struct report *r, struct table *lines,
		     struct table *sites)
{
	struct arena *a = r->mem;
	struct value peak = value_object(a), growing = value_array(a), words = value_array(a),
		     limit;

	report_put(r, "target", recording_target_json(a, &s->info));
	report_put(r, "began", value_str(rfc3339(a, s->info.began_unix_ns)));
	report_put(r, "seconds", value_double((double)(s->to_ns - s->from_ns) / 1e9));
	report_put(r, "ended", s->info.ended_ns >= 0 ? value_str(s->info.why) : value_null());
	report_put(r, "samples", value_uint(s->n_samples));
	report_put(r, "ledgers", value_uint(s->n_ledgers));
	value_put(a, peak, "t", value_double((double)s->peak_t_ns / 1e9));
	value_put(a, peak, "at", value_str(rfc3339(a, s->info.began_unix_ns + s->peak_t_ns)));
	value_put(a, peak, "rss", value_uint(s->peak_rss));
	value_put(a, peak, "ledger_t",
		  s->peak ? value_double((double)s->peak->t_ns / 1e9) : value_null());
	value_put(a, peak, "ledger_rss",
		  value_uint_if(s->peak != NULL, s->peak ? s->peak->l.rss : 0));
	value_put(a, peak, "cause", value_str(s->peak ? s->peak->l.cause : NULL));
	value_put(a, peak, "sites", table_json(a, sites));
	report_put(r, "peak", peak);
	report_put(r, "rss", trend_json(a, &s->rss));
	report_put(r, "goroutines", trend_json(a, &s->goroutines));
	report_put(r, "lines", table_json(a, lines));
	for (uint32_t i = 0; i < s->n_sites; i++) {
		struct value v = trend_json(a, &s->sites[i].trend);

		value_put(a, v, "stack", value_str(s->sites[i].stack));
		value_push(a, growing, v);
	}
	report_put(r, "sites", growing);
	report_put(r, "gc", gc_json(a, s));
	limit = s->limit == UNKNOWN ? value_null() : value_object(a);
	if (s->limit != UNKNOWN) {
		value_put(a, limit, "bytes", value_uint(s->limit));
		value_put(a, limit, "used", value_uint(s->limit_now));
		value_put(a, limit, "what", value_str(s->limit_name));
		value_put(a, limit, "seconds_left", value_double(s->seconds_left));
	}
	report_put(r, "limit", limit);
	for (uint32_t i = 0; i < s->n_words; i++)
		value_push(a, words, value_str(s->words[i]));
	report_put(r, "words", words);
}

static void add_gc_line(const struct story *s, struct report *r)
{
	struct block *b = report_block(r, BLOCK_ITEMS, "GC:");
	char total[UNIT_TEXT], most[UNIT_TEXT], mid[UNIT_TEXT];

	block_item(r, b,
		   arena_printf(r->mem, "%llu cycles, %.2f a second",
				(unsigned long long)s->cycles_done, s->gc_per_s));
	if (s->n_cycles)
		block_item(r, b,
			   arena_printf(r->mem, "paused %s in all, %s at most, median %s",
					unit_duration(total, (int64_t)s->pause_total_ns),
					unit_duration(most, (int64_t)s->pause_max_ns),
					unit_duration(mid, (int64_t)s->pause_median_ns)));
	if (!isnan(s->gc_cpu))
		block_item(r, b,
			   arena_printf(r->mem, "%.1f %% of GOMAXPROCS time", s->gc_cpu * 100));
	if (s->late)
		block_item(r, b,
			   arena_printf(r->mem, "%llu seen late", (unsigned long long)s->late));
}

void recording_report(const struct story *s, const char *name, struct arena *a, bool all,
		      struct report *r)
{
	struct table *lines = TABLE_NEW(a, LINE_COLUMNS),
		     *sites = recording_sites_table(a, s->peak_sites, s->n_peak_sites, all);
	const char *exe = strrchr(s->info.exe, '/');
	struct value notes = value_array(a);
	char length[UNIT_TEXT], peak[UNIT_TEXT];
	struct block *b;

	report_init(r, a, "whyrss.recording/1");
	add_line_rows(a, lines, s);
	table_sort(a, lines, "peak", NULL);
	lines->title = "what filled memory at the peak, and how each line went";
	sites->title = "call sites at the peak";
	put_json(s, r, lines, sites);
	b = report_block(r, BLOCK_HEADLINE,
			 arena_printf(a, "%s · %s · pid %lld · %s", name,
				      exe ? exe + 1 : s->info.exe, (long long)s->info.pid,
				      s->info.go));
	block_item(r, b,
		   arena_printf(a, "%s from %s", unit_duration(length, s->to_ns - s->from_ns),
				clock_words(a, s->info.began_unix_ns + s->from_ns)));
	block_item(r, b,
		   arena_printf(a, "peak %s at %s", unit_bytes(peak, s->peak_rss),
				clock_words(a, s->info.began_unix_ns + s->peak_t_ns)));
	for (uint32_t i = 0; i < s->n_words; i++)
		report_block(r, i ? BLOCK_TEXT : BLOCK_VERDICT, s->words[i]);
	report_block(r, BLOCK_GAP, NULL);
	report_table(r, lines);
	r->main = lines;
	if (s->n_peak_sites) {
		report_block(r, BLOCK_GAP, NULL);
		report_table(r, sites);
	}
	report_block(r, BLOCK_GAP, NULL);
	add_gc_line(s, r);
	if (s->info.ended_ns < 0)
		report_note(r, notes,
			    "The recording has no end: it still runs, or was cut off; all "
			    "that it wrote is here.");
	else if (*s->info.why)
		report_note(r, notes, arena_printf(a, "It ended: %s.", s->info.why));
	if (s->clock_set_ns)
		report_note(
			r, notes,
			arena_printf(a,
				     "The wall clock was set %s %s, %s after it began; t goes on "
				     "evenly, times of day are as the clock had them.",
				     unit_duration(length, llabs(s->clock_set_ns)),
				     s->clock_set_ns > 0 ? "forward" : "back",
				     unit_duration(peak, s->clock_set_t_ns)));
	if (s->damaged) {
		report_note(r, notes, s->damage);
		r->partial = true;
	}
	report_put(r, "notes", notes);
}
