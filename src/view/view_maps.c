/*
 * Every mapping with what is in memory of it, and to which lines of the ledger that goes:
 * /proc/PID/smaps with the question "what is it for" answered. Listens to the ledger being built,
 * so that the sums are the ledger's own.
 */
#include <string.h>

#include "base/str.h"
#include "base/unit.h"
#include "ledger/ledger.h"
#include "view/view.h"

/* Less than this shows as 0.0 MiB. */
#define SMALL ((bytes)52428)

struct map_lines {
	bytes resident[N_LINES];
};

struct listener {
	const struct os_facts *os;
	struct map_lines *lines;  /* one a mapping */
	struct map_lines outside; /* claimed where no mapping is: a bug, kept to be shown */
	uint32_t at;		  /* the mapping that was hit last */
};

/* Index of the mapping that holds `at`, n_maps when none does. */
static uint32_t map_index(struct listener *l, taddr at)
{
	const struct os_facts *os = l->os;
	const struct mapping *m;

	if (l->at < os->n_maps && os->maps[l->at].start <= at && at < os->maps[l->at].end)
		return l->at;
	m = map_find(os, at);
	return m ? l->at = (uint32_t)(m - os->maps) : os->n_maps;
}

static void hear(void *ctx, enum line_id line, taddr start, taddr end, bytes resident)
{
	struct listener *l = ctx;

	/* A claim may run over several mappings: each gets what is resident there, the last one
	 * what is left. */
	while (resident && start < end) {
		uint32_t i = map_index(l, start);
		taddr stop = i < l->os->n_maps ? MIN(end, l->os->maps[i].end) : end;
		bytes part = resident;

		if (stop < end)
			part = MIN(part, pages_in(&l->os->pages, start, stop, PAGE_RESIDENT));
		(i < l->os->n_maps ? &l->lines[i] : &l->outside)->resident[line] += part;
		resident -= part;
		start = stop;
	}
}

enum {
	COL_START,
	COL_END,
	COL_ADDRESS,
	COL_PERMS,
	COL_SIZE,
	COL_RESIDENT,
	COL_TEXT_SIZE,
	COL_TEXT_RESIDENT,
	COL_SWAPPED,
	COL_HUGE,
	COL_PATH,
	COL_DELETED,
	COL_LINES,
	COL_FOR,
};
static const struct column COLUMNS[] = {
	[COL_START] = {"start", NULL, COLUMN_TEXT, 0},
	[COL_END] = {"end", NULL, COLUMN_TEXT, 0},
	[COL_ADDRESS] = {NULL, "address", COLUMN_TEXT, 3},
	[COL_PERMS] = {"perms", "perms", COLUMN_TEXT, 5},
	[COL_SIZE] = {"size", NULL, COLUMN_BYTES, 0},
	[COL_RESIDENT] = {"resident", NULL, COLUMN_BYTES, 0},
	[COL_TEXT_SIZE] = {NULL, "size", COLUMN_MIB, 2},
	[COL_TEXT_RESIDENT] = {NULL, "resident", COLUMN_MIB, 0},
	[COL_SWAPPED] = {"swapped", "swapped", COLUMN_MIB, 2},
	[COL_HUGE] = {"huge", "huge", COLUMN_MIB, 4},
	[COL_PATH] = {"path", "mapping", COLUMN_PATH, 0},
	[COL_DELETED] = {"deleted", NULL, COLUMN_TEXT, 0},
	[COL_LINES] = {"lines", NULL, COLUMN_TEXT, 0},
	[COL_FOR] = {NULL, "what for (MiB)", COLUMN_PROSE, 0},
};

static const char *address(struct arena *a, taddr at)
{
	return arena_printf(a, "0x%llx", (unsigned long long)at);
}

/* "heap.live 512.0, heap.free 30.1": the largest first. */
static const char *lines_text(struct arena *a, const struct map_lines *m, uint32_t most)
{
	bool taken[N_LINES] = {0};
	struct str s = {0};
	const char *ret;
	uint32_t n = 0;

	for (;;) {
		int best = -1;
		char mib[UNIT_TEXT];

		for (int i = 0; i < N_LINES; i++)
			if (!taken[i] && m->resident[i] &&
			    (best < 0 || m->resident[i] > m->resident[best]))
				best = i;
		if (best < 0)
			break;
		if (n && (n == most || m->resident[best] < SMALL)) {
			if (n == most && m->resident[best] >= SMALL)
				str_add(&s, ", \xe2\x80\xa6");
			break;
		}
		n++;
		taken[best] = true;
		str_addf(&s, "%s%s %s", s.n ? ", " : "", LINES[best].id,
			 unit_mib(mib, (int64_t)m->resident[best]));
	}
	ret = arena_strdup(a, s.s ? s.s : "");
	str_free(&s);
	return ret;
}

/* "In memory: Go heap 263.9 MiB, mapped files 100.0, C heap 64.1, stacks 60.2." */
static const char *verdict(struct arena *a, const struct map_lines *sum)
{
	bytes by[N_BRIDGE] = {
		0}; /* indexed by row of the bridge: what people call a kind of memory */
	struct str s = {0};
	const char *ret;
	uint32_t n = 0;

	for (int i = 0; i < N_LINES; i++)
		by[i <= LINE_HEAP_RELEASED ? BRIDGE_PROFILE : LINES[i].bridge] += sum->resident[i];
	str_add(&s, "In memory:");
	for (; n < 5; n++) {
		int best = 0;
		char mib[UNIT_TEXT];

		for (int i = 1; i < N_BRIDGE; i++)
			if (by[i] > by[best])
				best = i;
		if (by[best] < SMALL)
			break;
		str_addf(&s, "%s %s %s%s", n ? "," : "",
			 best == BRIDGE_PROFILE ? "the Go heap" : BRIDGE_INFO[best].title,
			 unit_mib(mib, (int64_t)by[best]), n ? "" : " MiB");
		by[best] = 0;
	}
	str_add(&s, n ? "." : " next to nothing.");
	ret = arena_strdup(a, s.s);
	str_free(&s);
	return ret;
}

static struct value lines_json(struct arena *a, const struct map_lines *m, bool residency)
{
	struct value o = value_object(a);

	if (!residency)
		return value_null();

	for (int i = 0; i < N_LINES; i++)
		if (m->resident[i])
			value_put(a, o, LINES[i].id, value_uint(m->resident[i]));
	return o;
}

static void add_mapping(struct arena *a, struct table *t, const struct os_facts *os,
			const struct mapping *m, const struct map_lines *lines, bool all)
{
	bool residency = os->residency != RESIDENCY_NONE;
	bytes resident = pages_in(&os->pages, m->start, m->end, PAGE_RESIDENT);
	bytes swapped = pages_in(&os->pages, m->start, m->end, PAGE_SWAPPED);
	struct row *row = table_row(a, t, !resident && !swapped ? ROW_QUIET : 0);

	row->cells[COL_START] = value_str(address(a, m->start));
	row->cells[COL_END] = value_str(address(a, m->end));
	row->cells[COL_ADDRESS] = value_str(arena_printf(a, "%llx", (unsigned long long)m->start));
	row->cells[COL_PERMS] = value_str(arena_printf(
		a, "%c%c%c%c", m->flags & MAP_READ ? 'r' : '-', m->flags & MAP_WRITE ? 'w' : '-',
		m->flags & MAP_EXEC ? 'x' : '-', m->flags & MAP_SHARED_ ? 's' : 'p'));
	row->cells[COL_SIZE] = row->cells[COL_TEXT_SIZE] = value_uint(m->end - m->start);
	row->cells[COL_RESIDENT] = row->cells[COL_TEXT_RESIDENT] =
		value_uint_if(residency, resident);
	row->cells[COL_SWAPPED] = value_uint_if(residency, swapped);
	row->cells[COL_HUGE] =
		value_uint_if(residency, pages_in(&os->pages, m->start, m->end, PAGE_HUGE));
	row->cells[COL_PATH] = value_str(m->path && *m->path ? m->path : "[anon]");
	row->cells[COL_DELETED] = value_bool(m->flags & MAP_DELETED);
	row->cells[COL_LINES] = lines_json(a, lines, residency);
	row->cells[COL_FOR] = value_str(lines_text(a, lines, all ? N_LINES : 2));
}

bool view_maps_run(const struct subject *in, const struct options *o, struct arena *a,
		   struct report *ret, struct err *err)
{
	const struct os_facts *os = in->s->os;
	struct ledger *l = ARENA_NEW(a, struct ledger);
	struct listener ear = {.os = os};
	struct table *t = TABLE_NEW(a, COLUMNS);
	struct map_lines *sum = ARENA_NEW(a, struct map_lines);
	char text[UNIT_TEXT];
	struct value total;
	struct block *b;
	struct row *row;

	ear.lines = arena_try(a, (uint64_t)os->n_maps + 1, sizeof(*ear.lines), err);
	if (!ear.lines)
		return err_in(err, "maps");
	ledger_build(in->s, a, hear, &ear, l);
	report_init(ret, a, "whyrss.maps/1");
	b = subject_head(in, ret);
	block_item(ret, b, arena_printf(a, "%u mappings", os->n_maps));
	if (l->residency)
		block_item(ret, b, arena_printf(a, "RSS %s MiB", unit_mib(text, (int64_t)l->rss)));
	for (uint32_t i = 0; i < os->n_maps; i++) {
		add_mapping(a, t, os, &os->maps[i], &ear.lines[i], option_set(o, OPT_ALL));
		for (int k = 0; k < N_LINES; k++)
			sum->resident[k] += ear.lines[i].resident[k];
	}
	if (!subject_table(ret, t, o, "resident", 20, err))
		return false;
	total = value_object(a);
	value_put(a, total, "resident", value_uint_if(l->residency, l->rss));
	value_put(a, total, "swapped", value_uint_if(l->residency, os->pages.swapped));
	value_put(a, total, "pss", value_uint_if(os->pss != UINT64_MAX, os->pss));
	value_put(a, total, "lines", lines_json(a, sum, l->residency));
	report_put(ret, "total", total);
	report_put(ret, "maps", table_json(a, t));

	row = table_row(a, t, ROW_SHOWN | ROW_SUM);
	row->cells[COL_TEXT_RESIDENT] = value_uint_if(l->residency, l->rss);
	row->cells[COL_SWAPPED] = value_uint_if(l->residency, os->pages.swapped);
	row->cells[COL_HUGE] = value_uint_if(l->residency, os->pages.huge);
	row->cells[COL_PATH] = value_str("all");
	row->cells[COL_FOR] = value_str(lines_text(a, sum, 4));
	if (l->residency)
		report_block(ret, BLOCK_VERDICT, verdict(a, sum));
	report_block(ret, BLOCK_GAP, NULL);
	report_table(ret, t);
	report_block(ret, BLOCK_GAP, NULL);
	subject_foot(in, ret);
	b = report_block(ret, BLOCK_ITEMS, "next:");
	block_item(ret, b, arena_printf(a, "whyrss %s", in->target));
	block_item(ret, b, arena_printf(a, "whyrss maps %s --sort size", in->target));
	subject_notes(in, ret, NULL);
	if (!l->residency)
		ret->partial = true;
	return true;
}
