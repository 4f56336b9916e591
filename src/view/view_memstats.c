/*
 * runtime.MemStats and runtime/metrics of a program that does not print them. The arithmetic is
 * memstats.c's; this puts names, units and meanings beside it.
 */
#include <stdio.h>
#include <string.h>

#include "base/unit.h"
#include "view/memstats.h"
#include "view/view.h"

/* Each field's group, in the order of the fields. */
static const enum memstat_group GROUP_OF[] = {
#define MEMSTAT(name, unit, where, text) MEMSTAT_##where,
#define MEMSTAT_ARRAY(name)
#include "view/memstats.def"
#undef MEMSTAT
#undef MEMSTAT_ARRAY
};

static const char *const GROUPS[MEMSTAT_GROUPS] = {
	[MEMSTAT_HEAP] = "heap",
	[MEMSTAT_STACK] = "stacks",
	[MEMSTAT_RUNTIME] = "the runtime's own",
	[MEMSTAT_OBJECTS] = "objects since the start",
	[MEMSTAT_GC] = "garbage collection",
	[MEMSTAT_FIXED] = "kept for compatibility",
};

#define MEMSTAT_VALUE_BYTES(x) value_uint(x)
#define MEMSTAT_VALUE_COUNT(x) value_uint(x)
#define MEMSTAT_VALUE_TIME(x)  value_uint(x)
#define MEMSTAT_VALUE_WHEN(x)  value_uint(x)
#define MEMSTAT_VALUE_RATIO(x) value_double(x)
#define MEMSTAT_VALUE_BOOL(x)  value_bool(x)

static struct value array_PauseNs(struct arena *a, const struct memstats *m)
{
	struct value list = value_array(a);

	for (size_t i = 0; i < ARRAY_LEN(m->PauseNs); i++)
		value_push(a, list, value_uint(m->PauseNs[i]));
	return list;
}

static struct value array_PauseEnd(struct arena *a, const struct memstats *m)
{
	struct value list = value_array(a);

	for (size_t i = 0; i < ARRAY_LEN(m->PauseEnd); i++)
		value_push(a, list, value_uint(m->PauseEnd[i]));
	return list;
}

static struct value array_BySize(struct arena *a, const struct memstats *m)
{
	struct value list = value_array(a);

	for (size_t i = 0; i < ARRAY_LEN(m->BySize); i++) {
		struct value o = value_object(a);

		value_put(a, o, "Size", value_uint(m->BySize[i].Size));
		value_put(a, o, "Mallocs", value_uint(m->BySize[i].Mallocs));
		value_put(a, o, "Frees", value_uint(m->BySize[i].Frees));
		value_push(a, list, o);
	}
	return list;
}

static const char *figure(struct arena *a, const struct snapshot *s, enum memstat_kind kind,
			  struct value v)
{
	char text[UNIT_TEXT];

	switch (kind) {
	case MEMSTAT_BYTES:
		return arena_strdup(a, unit_bytes(text, v.u));
	case MEMSTAT_COUNT:
		return arena_strdup(a, unit_count(text, v.u));
	case MEMSTAT_TIME:
		return arena_strdup(a, unit_duration(text, (int64_t)v.u));
	case MEMSTAT_WHEN:
		if (!v.u)
			return "never";
		if (s->kind == SNAPSHOT_CORE) /* how long before it died is not known */
			return rfc3339(a, (int64_t)v.u);
		if (s->read.at_unix_ns < (int64_t)v.u)
			return "now";
		return arena_printf(a, "%s ago",
				    unit_duration(text, s->read.at_unix_ns - (int64_t)v.u));
	case MEMSTAT_RATIO:
		return arena_printf(a, "%.2f %%", v.d * 100);
	case MEMSTAT_BOOL:
		return v.b ? "true" : "false";
	}
	return "";
}

enum { COL_FIELD, COL_VALUE, COL_FIGURE, COL_MEANING };
static const struct column COLUMNS[] = {
	[COL_FIELD] = {"field", "", COLUMN_TEXT, 0},
	[COL_VALUE] = {"value", NULL, COLUMN_COUNT, 0},
	[COL_FIGURE] = {NULL, "", COLUMN_FIGURE, 0},
	[COL_MEANING] = {NULL, "", COLUMN_PROSE, 1},
};

static void add_row(struct arena *a, struct table *t, const char *field, struct value v,
		    const char *shown, const char *meaning)
{
	struct row *row = table_row(a, t, 0);

	row->cells[COL_FIELD] = value_str(field);
	row->cells[COL_VALUE] = v;
	row->cells[COL_FIGURE] = value_str(shown);
	row->cells[COL_MEANING] = value_str(meaning);
}

/* What a metric's unit makes of its value; histograms as how many they count. */
static const char *metric_figure(struct arena *a, const char *name, const struct value *v)
{
	char text[UNIT_TEXT];
	bool seconds = strstr(name, "seconds") != NULL;

	switch (v->kind) {
	case VALUE_UINT:
		if (strstr(name, ":bytes"))
			return v->u == INT64_MAX ? "none" : arena_strdup(a, unit_bytes(text, v->u));
		return v->u == UINT64_MAX ? "off" : arena_strdup(a, unit_count(text, v->u));
	case VALUE_DOUBLE:
		return seconds ? arena_strdup(a, unit_duration(text, (int64_t)(v->d * 1e9)))
			       : arena_printf(a, "%g", v->d);
	case VALUE_OBJECT: {
		const struct value *counts = value_get(v, "counts");
		uint64_t n = 0;

		for (uint32_t i = 0; i < value_count(counts); i++)
			n += counts->list->items.v[i].v.u;
		return arena_printf(a, "%s samples", unit_count(text, n));
	}
	default:
		return "unknown";
	}
}

static void add_metrics(struct report *r, struct value metrics)
{
	struct table *t = TABLE_NEW(r->mem, COLUMNS);

	t->title = "runtime/metrics";
	t->no_heading = true;
	for (uint32_t i = 0; i < metrics.list->items.n; i++) {
		const struct value_item *m = &metrics.list->items.v[i];

		add_row(r->mem, t, m->key, m->v, metric_figure(r->mem, m->key, &m->v), "");
	}
	report_block(r, BLOCK_GAP, NULL);
	report_table(r, t);
}

/* The fields by group: what a person looks for stands together. */
static struct table *grouped(struct arena *a, const struct table *all)
{
	struct table *t = TABLE_NEW(a, COLUMNS);

	t->no_heading = true;
	for (unsigned k = 0; k < MEMSTAT_GROUPS; k++) {
		const char *title = GROUPS[k];

		for (uint32_t i = 0; i < all->rows.n; i++) {
			struct row *row;

			if (GROUP_OF[i] != k)
				continue;
			row = table_row(a, t, k == MEMSTAT_FIXED ? ROW_QUIET : 0);
			row->cells = all->rows.v[i].cells;
			row->group = title;
			title = NULL;
		}
	}
	return t;
}

bool view_memstats_run(const struct subject *in, const struct options *o, struct arena *a,
		       struct report *ret, struct err *err)
{
	const struct counters *c = in->s->counters;
	struct table *all = TABLE_NEW(a, COLUMNS);
	char now[UNIT_TEXT], goal[UNIT_TEXT], sys[UNIT_TEXT], gone[UNIT_TEXT];
	struct value metrics;
	struct memstats m;
	struct block *head;
	uint32_t unknown;

	if (!c)
		return err_set(err, ERR_NOT_GO,
			       "memstats: the runtime's counters could not be read");
	m = memstats_compute(c);
	report_init(ret, a, "whyrss.memstats/1");
#define MEMSTAT(name, unit, where, text)                                                           \
	{                                                                                          \
		struct value v = MEMSTAT_VALUE_##unit(m.name);                                     \
                                                                                                   \
		report_put(ret, #name, v);                                                         \
		add_row(a, all, #name, v, figure(a, in->s, MEMSTAT_##unit, v), text);              \
	}
#define MEMSTAT_ARRAY(name) report_put(ret, #name, array_##name(a, &m));
#include "view/memstats.def"
#undef MEMSTAT
#undef MEMSTAT_ARRAY
	metrics = gometrics_build(in->s, a, &unknown);
	report_put(ret, "metrics", metrics);
	ret->main = all;

	head = subject_head(in, ret);
	block_item(ret, head, arena_printf(a, "HeapAlloc %s", unit_bytes(now, m.HeapAlloc)));
	block_item(ret, head, arena_printf(a, "Sys %s", unit_bytes(sys, m.Sys)));
	report_block(ret, BLOCK_VERDICT,
		     arena_printf(a,
				  "Go holds %s and has returned %s; objects take %s, and the next "
				  "GC ends at about %s.",
				  unit_bytes(sys, m.Sys - m.HeapReleased),
				  unit_bytes(gone, m.HeapReleased), unit_bytes(now, m.HeapAlloc),
				  unit_bytes(goal, m.NextGC)));
	report_block(ret, BLOCK_GAP, NULL);
	report_table(ret, grouped(a, all));
	if (option_set(o, OPT_ALL))
		add_metrics(ret, metrics);
	report_block(ret, BLOCK_GAP, NULL);
	subject_foot(in, ret);
	head = report_block(ret, BLOCK_ITEMS, "next:");
	if (!option_set(o, OPT_ALL))
		block_item(ret, head, arena_printf(a, "whyrss memstats %s --all", in->target));
	block_item(ret, head, arena_printf(a, "whyrss %s", in->target));
	subject_notes(in, ret,
		      unknown ? arena_printf(a,
					     "%u of %u samples of runtime/metrics cannot be known "
					     "from outside and are null",
					     unknown, value_count(&metrics))
			      : NULL);
	return true;
}
