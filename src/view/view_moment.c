/*
 * What a recording says of one moment, and what changed between two. Each part has its own time:
 * samples are dense, ledgers come once a second at most, call sites once a minute and at each new
 * peak.
 */
#include "view/view_recording.h"

#include <stdlib.h>
#include <string.h>

#include "base/unit.h"

#define QUIET ((int64_t)64 << 10)

static double seconds(int64_t ns)
{
	return (double)ns / 1e9;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Of a metric: what its unit makes of it for people. */
static struct value amount(struct arena *a, const struct metric_info *m, uint64_t v)
{
	char text[UNIT_TEXT];

	if (v == UNKNOWN)
		return value_null();
	if (!strcmp(m->unit, "bytes"))
		return value_str(arena_strdup(a, unit_bytes(text, v)));
	if (!strcmp(m->unit, "ns"))
		return value_str(arena_strdup(a, unit_duration(text, (int64_t)MIN(v, INT64_MAX))));
	return value_str(arena_printf(a, "%llu%s", (unsigned long long)v,
				      !strcmp(m->unit, "percent") ? " %" : ""));
}

static struct value sample_json(struct arena *a, const struct sample_row *s)
{
	struct value v = value_object(a);

	value_put(a, v, "t", value_double(seconds(s->t_ns)));
	for (unsigned i = 0; i < N_METRICS; i++) {
		uint64_t x = metric_get(&s->s, &METRICS[i]);

		value_put(a, v, METRICS[i].name, value_uint_if(x != UNKNOWN, x));
	}
	return v;
}

static struct value moment_json(struct arena *a, const struct moment_side *x)
{
	const struct moment *m = x->m;
	struct value v = value_object(a);

	value_put(a, v, "target", recording_target_json(a, &x->s->info));
	value_put(a, v, "t", value_double(seconds(m->t_ns)));
	value_put(a, v, "at", value_str(rfc3339(a, m->sample->unix_ns)));
	value_put(a, v, "ledger_t",
		  m->ledger ? value_double(seconds(m->ledger->t_ns)) : value_null());
	value_put(a, v, "sites_t",
		  m->with_sites ? value_double(seconds(m->with_sites->t_ns)) : value_null());
	value_put(a, v, "cause", value_str(m->ledger ? m->ledger->l.cause : NULL));
	return v;
}

/* A part that is of another time than was asked for says so. */
static void note_times(struct arena *a, const struct moment_side *x, struct report *r,
		       struct value notes)
{
	const struct {
		const char *what;
		const struct ledger_row *row;
		int64_t least;
	} parts[] = {{"the lines", x->m->ledger, INT64_C(2000000000)},
		     {"the call sites", x->m->with_sites, INT64_C(2000000000)}};
	char text[UNIT_TEXT];

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		int64_t off = parts[i].row ? parts[i].row->t_ns - x->m->t_ns : 0;

		if (!parts[i].row)
			report_note(r, notes,
				    arena_printf(a, "%s: %s were not recorded.", x->name,
						 parts[i].what));
		else if (llabs(off) > parts[i].least)
			report_note(r, notes,
				    arena_printf(a, "%s: %s are those of %s, %s %s.", x->name,
						 parts[i].what,
						 clock_words(a, parts[i].row->unix_ns),
						 unit_duration(text, llabs(off)),
						 off < 0 ? "before" : "later"));
	}
	if (x->s->damaged) {
		report_note(r, notes, x->s->damage);
		r->partial = true;
	}
}

/* ---- One moment ---- */

enum { COL_LINE, COL_RESIDENT, COL_TITLE };
static const struct column LINE_COLUMNS[] = {
	[COL_LINE] = {"id", "line", COLUMN_TEXT, 0},
	[COL_RESIDENT] = {"resident", "MiB", COLUMN_MIB, 0},
	[COL_TITLE] = {NULL, "", COLUMN_TEXT, 1},
};

enum { COL_METRIC, COL_VALUE, COL_HELP };
static const struct column METRIC_COLUMNS[] = {
	[COL_METRIC] = {"name", "measured", COLUMN_TEXT, 0},
	[COL_VALUE] = {"value", "", COLUMN_FIGURE, 0},
	[COL_HELP] = {NULL, "", COLUMN_TEXT, 1},
};

static const char *moment_verdict(struct arena *a, const struct moment *m)
{
	char rss[UNIT_TEXT], profile[UNIT_TEXT], live[UNIT_TEXT];
	const struct lines_event *l = m->ledger ? &m->ledger->l : NULL;
	bool known = l && l->profile != UNKNOWN;

	return arena_printf(a, "RSS %s, live heap %s%s%s%s%s.", unit_bytes(rss, m->sample->s.rss),
			    unit_bytes(live, m->sample->s.heap_live),
			    known ? ", heap profile " : "",
			    known ? unit_bytes(profile, l->profile) : "",
			    l && l->cause ? "; first cause: " : "", l && l->cause ? l->cause : "");
}

void moment_report(const struct story *s, const struct moment *m, const char *name, struct arena *a,
		   bool all, struct report *r)
{
	const struct moment_side x = {s, m, name};
	struct table *lines = TABLE_NEW(a, LINE_COLUMNS), *words = TABLE_NEW(a, METRIC_COLUMNS),
		     *sites = recording_sites_table(a, m->sites, m->n_sites, all);
	struct value notes = value_array(a), head;
	char text[UNIT_TEXT];
	struct block *b;

	report_init(r, a, "whyrss.moment/1");
	for (unsigned i = 0; i < N_LINES; i++) {
		uint64_t v = m->ledger ? m->ledger->l.resident[i] : 0;
		struct row *row = table_row(a, lines, v < (uint64_t)QUIET ? ROW_QUIET : 0U);

		row->cells[COL_LINE] = value_str(LINES[i].id);
		row->cells[COL_TITLE] = value_str(LINES[i].title);
		row->cells[COL_RESIDENT] = value_uint_if(m->ledger != NULL, v);
	}
	table_sort(a, lines, "resident", NULL);
	for (unsigned i = 0; i < N_METRICS; i++) {
		uint64_t v = metric_get(&m->sample->s, &METRICS[i]);
		struct row *row = table_row(a, words, v == UNKNOWN ? ROW_QUIET : 0U);

		row->cells[COL_METRIC] = value_str(METRICS[i].name);
		row->cells[COL_VALUE] = amount(a, &METRICS[i], v);
		row->cells[COL_HELP] = value_str(METRICS[i].help);
	}
	head = moment_json(a, &x);
	for (uint32_t i = 0; i < value_count(&head); i++)
		report_put(r, head.list->items.v[i].key, head.list->items.v[i].v);
	report_put(r, "rss", value_uint(m->sample->s.rss));
	report_put(r, "ledger_rss",
		   value_uint_if(m->ledger != NULL, m->ledger ? m->ledger->l.rss : 0));
	report_put(r, "profile",
		   value_uint_if(m->ledger && m->ledger->l.profile != UNKNOWN,
				 m->ledger ? m->ledger->l.profile : 0));
	report_put(r, "lines", table_json(a, lines));
	report_put(r, "sample", sample_json(a, m->sample));
	report_put(r, "sites", table_json(a, sites));
	r->main = lines;

	b = report_block(r, BLOCK_HEADLINE,
			 arena_printf(a, "%s · %s · pid %lld · %s", name, base_name(s->info.exe),
				      (long long)s->info.pid, s->info.go));
	block_item(r, b,
		   arena_printf(a, "%s, %s after it began", clock_words(a, m->sample->unix_ns),
				unit_duration(text, m->sample->t_ns)));
	report_block(r, BLOCK_VERDICT, moment_verdict(a, m));
	report_block(r, BLOCK_GAP, NULL);
	if (m->ledger) {
		report_table(r, lines);
		report_block(r, BLOCK_GAP, NULL);
	}
	report_table(r, words);
	if (m->n_sites) {
		report_block(r, BLOCK_GAP, NULL);
		sites->title = "call sites, in use";
		report_table(r, sites);
	}
	note_times(a, &x, r, notes);
	report_put(r, "notes", notes);
}

/* ---- Two moments ---- */

enum { DIFF_ID, DIFF_A, DIFF_B, DIFF_STEP, DIFF_TITLE, DIFF_BAR };
static const struct column DIFF_COLUMNS[] = {
	[DIFF_ID] = {"id", "line", COLUMN_TEXT, 0},
	[DIFF_A] = {"a_resident", "before", COLUMN_MIB, 2},
	[DIFF_B] = {"b_resident", "after", COLUMN_MIB, 3},
	[DIFF_STEP] = {"resident", "change", COLUMN_STEP, 0},
	[DIFF_TITLE] = {NULL, "MiB", COLUMN_TEXT, 0},
	[DIFF_BAR] = {NULL, "", COLUMN_BAR, 1},
};

enum { MD_NAME, MD_A, MD_B, MD_HELP };
static const struct column METRIC_DIFF_COLUMNS[] = {
	[MD_NAME] = {"name", "measured", COLUMN_TEXT, 0},
	[MD_A] = {NULL, "before", COLUMN_FIGURE, 0},
	[MD_B] = {NULL, "after", COLUMN_FIGURE, 0},
	[MD_HELP] = {NULL, "", COLUMN_TEXT, 1},
};

enum { SD_FUNC, SD_AT, SD_A, SD_B, SD_STEP, SD_WHERE, SD_STACK };
static const struct column SITE_DIFF_COLUMNS[] = {
	[SD_FUNC] = {"func", NULL, COLUMN_TEXT, 0},
	[SD_AT] = {"at", NULL, COLUMN_TEXT, 0},
	[SD_A] = {"a_space", "before", COLUMN_MIB, 2},
	[SD_B] = {"b_space", "after", COLUMN_MIB, 3},
	[SD_STEP] = {"space", "change", COLUMN_STEP, 0},
	[SD_WHERE] = {NULL, "call sites, in use", COLUMN_TEXT, 0},
	[SD_STACK] = {"stack", NULL, COLUMN_TEXT, 0},
};

struct site_pair {
	const char *stack;
	int64_t space[2];
};

static int by_stack(const void *a, const void *b)
{
	const struct site_pair *x = a, *y = b;

	return strcmp(x->stack, y->stack);
}

static int by_change(const void *a, const void *b)
{
	const struct site_pair *x = a, *y = b;
	int64_t m = llabs(x->space[1] - x->space[0]), n = llabs(y->space[1] - y->space[0]);

	return m != n ? (m < n) - (m > n) : strcmp(x->stack, y->stack);
}

/* Both sides' rows in one list, those of the same stack joined. */
static uint32_t join_sites(struct arena *a, const struct moment *x, const struct moment *y,
			   struct site_pair **ret)
{
	struct site_pair *v = ARENA_ARRAY(a, struct site_pair, x->n_sites + y->n_sites + 1);
	const struct moment *sides[2] = {x, y};
	uint32_t n = 0, kept = 0;

	for (unsigned k = 0; k < 2; k++)
		for (uint32_t i = 0; i < sides[k]->n_sites; i++) {
			v[n].stack = sides[k]->sites[i].stack;
			v[n++].space[k] =
				MIN(MAX(sides[k]->sites[i].inuse_space, 0), INT64_C(1) << 50);
		}
	qsort(v, n, sizeof(*v), by_stack);
	for (uint32_t i = 0; i < n; i++) {
		if (kept && !strcmp(v[kept - 1].stack, v[i].stack)) {
			v[kept - 1].space[0] += v[i].space[0];
			v[kept - 1].space[1] += v[i].space[1];
		} else {
			v[kept++] = v[i];
		}
	}
	qsort(v, kept, sizeof(*v), by_change);
	*ret = v;
	return kept;
}

static struct table *site_diff(struct arena *a, const struct moment *x, const struct moment *y,
			       bool all)
{
	struct table *t = TABLE_NEW(a, SITE_DIFF_COLUMNS);
	struct site_pair *v;
	uint32_t n = join_sites(a, x, y, &v);

	for (uint32_t i = 0; i < n; i++) {
		int64_t d = v[i].space[1] - v[i].space[0];
		struct row *row = table_row(a, t, llabs(d) < QUIET ? ROW_QUIET : 0U);
		const char *func, *at;

		recording_leaf(a, v[i].stack, &func, &at);
		row->cells[SD_FUNC] = value_str(func);
		row->cells[SD_AT] = value_str(at);
		row->cells[SD_A] = value_int(v[i].space[0]);
		row->cells[SD_B] = value_int(v[i].space[1]);
		row->cells[SD_STEP] = value_int(d);
		row->cells[SD_WHERE] = value_str(arena_printf(a, "%s (%s)", func, base_name(at)));
		row->cells[SD_STACK] = value_str(v[i].stack);
	}
	t->limit = all ? 0 : 10;
	return t;
}

static struct table *line_diff(struct arena *a, const struct moment *x, const struct moment *y)
{
	struct table *t = TABLE_NEW(a, DIFF_COLUMNS);
	bool known = x->ledger && y->ledger;

	for (unsigned i = 0; i < N_LINES; i++) {
		int64_t v = x->ledger ? (int64_t)x->ledger->l.resident[i] : 0,
			w = y->ledger ? (int64_t)y->ledger->l.resident[i] : 0;
		struct row *row = table_row(a, t, llabs(w - v) < QUIET ? ROW_QUIET : 0U);

		row->cells[DIFF_ID] = value_str(LINES[i].id);
		row->cells[DIFF_A] = value_int_if(x->ledger != NULL, v);
		row->cells[DIFF_B] = value_int_if(y->ledger != NULL, w);
		row->cells[DIFF_STEP] = value_int_if(known, w - v);
		row->cells[DIFF_TITLE] = value_str(LINES[i].title);
		row->cells[DIFF_BAR] = value_int_if(known, w - v);
	}
	return t;
}

static struct table *metric_diff(struct arena *a, const struct moment *x, const struct moment *y)
{
	struct table *t = TABLE_NEW(a, METRIC_DIFF_COLUMNS);

	for (unsigned i = 0; i < N_METRICS; i++) {
		uint64_t v = metric_get(&x->sample->s, &METRICS[i]),
			 w = metric_get(&y->sample->s, &METRICS[i]);
		struct row *row = table_row(a, t, v == w ? ROW_QUIET : 0U);

		row->cells[MD_NAME] = value_str(METRICS[i].name);
		row->cells[MD_A] = amount(a, &METRICS[i], v);
		row->cells[MD_B] = amount(a, &METRICS[i], w);
		row->cells[MD_HELP] = value_str(METRICS[i].help);
	}
	return t;
}

/* "RSS grew by 300.0 MiB: heap.live +181.9 MiB, native.used +80.0 MiB." */
static const char *diff_verdict(struct arena *a, const struct moment *x, const struct moment *y)
{
	int64_t rss;
	bool taken[N_LINES] = {false};
	char text[UNIT_TEXT];
	const char *said;

	if (!x->ledger || !y->ledger)
		return "One of the two moments has no ledger, so only what was measured is "
		       "compared.";
	rss = (int64_t)y->ledger->l.rss - (int64_t)x->ledger->l.rss;
	said = llabs(rss) < QUIET ? "RSS is the same"
				  : arena_printf(a, "RSS %s by %s", rss > 0 ? "grew" : "fell",
						 unit_bytes(text, (bytes)llabs(rss)));
	for (unsigned n = 0; n < 4; n++) {
		int64_t most = 0;
		unsigned best = 0;

		for (unsigned i = 0; i < N_LINES; i++) {
			int64_t d = (int64_t)y->ledger->l.resident[i] -
				    (int64_t)x->ledger->l.resident[i];

			if (taken[i] || llabs(d) <= llabs(most))
				continue;
			most = d;
			best = i;
		}
		if (llabs(most) < 16 * QUIET || (n > 1 && llabs(most) < llabs(rss) / 20))
			break;
		taken[best] = true;
		said = arena_printf(a, "%s%s %s %s", said, n ? "," : ":", LINES[best].id,
				    unit_delta(text, most));
	}
	return arena_printf(a, "%s.", said);
}

static struct value metric_json(struct arena *a, const struct moment *x, const struct moment *y)
{
	struct value v = value_object(a);

	for (unsigned i = 0; i < N_METRICS; i++) {
		uint64_t p = metric_get(&x->sample->s, &METRICS[i]),
			 q = metric_get(&y->sample->s, &METRICS[i]);
		struct value o = value_object(a);

		value_put(a, o, "a", value_uint_if(p != UNKNOWN, p));
		value_put(a, o, "b", value_uint_if(q != UNKNOWN, q));
		value_put(a, o, "delta",
			  value_int_if(p != UNKNOWN && q != UNKNOWN, (int64_t)q - (int64_t)p));
		value_put(a, v, METRICS[i].name, o);
	}
	return v;
}

void moment_diff_report(const struct moment_side *x, const struct moment_side *y, struct arena *a,
			bool all, struct report *r)
{
	struct table *lines = line_diff(a, x->m, y->m), *words = metric_diff(a, x->m, y->m),
		     *sites = site_diff(a, x->m, y->m, all);
	int64_t ns = y->m->sample->unix_ns - x->m->sample->unix_ns;
	const char *verdict = diff_verdict(a, x->m, y->m);
	struct value notes = value_array(a);
	char text[UNIT_TEXT], before[UNIT_TEXT], after[UNIT_TEXT];
	struct block *b;

	report_init(r, a, "whyrss.diff/1");
	report_put(r, "a", moment_json(a, x));
	report_put(r, "b", moment_json(a, y));
	report_put(r, "seconds", value_double(seconds(ns)));
	report_put(r, "lines", table_json(a, lines));
	report_put(r, "sample", metric_json(a, x->m, y->m));
	report_put(r, "sites", table_json(a, sites));
	report_put(r, "verdict", value_str(verdict));
	r->main = lines;

	b = report_block(
		r, BLOCK_HEADLINE,
		arena_printf(a, "%s → %s · %s", x->name, y->name, base_name(y->s->info.exe)));
	block_item(r, b,
		   arena_printf(a, "%s %s", unit_duration(text, llabs(ns)),
				ns < 0 ? "before" : "later"));
	block_item(r, b,
		   arena_printf(a, "RSS %s → %s MiB",
				unit_mib(before, (int64_t)x->m->sample->s.rss),
				unit_mib(after, (int64_t)y->m->sample->s.rss)));
	report_block(r, BLOCK_VERDICT, verdict);
	report_block(r, BLOCK_GAP, NULL);
	if (x->m->ledger && y->m->ledger) {
		report_table(r, lines);
		report_block(r, BLOCK_GAP, NULL);
	}
	if (sites->rows.n) {
		report_table(r, sites);
		report_block(r, BLOCK_GAP, NULL);
	}
	report_table(r, words);
	note_times(a, x, r, notes);
	note_times(a, y, r, notes);
	if (x->s->info.pid != y->s->info.pid || strcmp(x->s->info.exe, y->s->info.exe) != 0)
		report_note(r, notes, "two different processes");
	report_put(r, "notes", notes);
}
