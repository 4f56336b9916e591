/*
 * The answer to "why is RSS bigger than the heap profile": the causes with what to do about them,
 * then the bridge that adds up from one number to the other. The JSON is the contract's
 * whyrss.ledger/1. Decides nothing: which byte belongs where is ledger/book.c, what it means is
 * ledger/findings.c.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/unit.h"
#include "ledger/ledger.h"
#include "view/view.h"

#define PLUS_MINUS   "\xc2\xb1"
#define DOT	     "\xc2\xb7"
#define CAUSES_SHOWN 5
/* Less than this shows as 0.0 MiB. */
#define QUIET ((int64_t)52428)

static struct value size_or_null(bytes n)
{
	return value_uint_if(n != UINT64_MAX, n);
}

static void put_os(struct report *r, const struct ledger *l)
{
	const struct os_facts *os = l->s->os;
	struct arena *a = r->mem;
	struct value o = value_object(a);
	const struct {
		const char *key;
		bytes n;
	} more[] = {
		{"swap", os->swap},
		{"anon", os->anon},
		{"file", os->file},
		{"shmem", os->shmem},
		{"hwm", os->hwm},
		{"huge", os->huge},
		{"page_tables", os->page_tables},
		{"hugetlb", os->hugetlb},
	};

	value_put(a, o, "rss", value_uint_if(l->residency, l->rss));
	value_put(a, o, "rss_kernel", value_uint_if(l->residency, os->rss_kernel));
	value_put(a, o, "pss", size_or_null(os->pss));
	for (size_t i = 0; i < ARRAY_LEN(more); i++)
		value_put(a, o, more[i].key, value_uint_if(l->residency, more[i].n));
	value_put(a, o, "lazy_free", size_or_null(os->lazy_free));
	report_put(r, "os", o);
}

static void put_cgroup(struct report *r, const struct os_facts *os)
{
	const struct cgroup_facts *c = os->cgroup;
	struct arena *a = r->mem;
	struct value o;

	if (!c) {
		report_put(r, "cgroup", value_null());
		return;
	}
	o = value_object(a);
	value_put(a, o, "path", value_str(c->path));
	value_put(a, o, "version", value_int(c->version));
	value_put(a, o, "current", value_uint(c->current));
	value_put(a, o, "limit", size_or_null(c->limit));
	value_put(a, o, "working_set", value_uint(c->working_set));
	value_put(a, o, "anon", value_uint(c->anon));
	value_put(a, o, "file", value_uint(c->file));
	value_put(a, o, "kernel", value_uint(c->kernel));
	value_put(a, o, "slab", value_uint(c->slab));
	value_put(a, o, "shmem", value_uint(c->shmem));
	value_put(a, o, "inactive_file", value_uint(c->inactive_file));
	value_put(a, o, "active_file", value_uint(c->active_file));
	value_put(a, o, "swap", value_uint(c->swap));
	value_put(a, o, "high", size_or_null(c->high));
	value_put(a, o, "limit_path", value_str(c->limit_path));
	value_put(a, o, "limit_current", value_uint_if(c->limit_path != NULL, c->limit_current));
	value_put(a, o, "processes", value_uint(c->processes));
	value_put(a, o, "oom_kills", value_uint(c->oom_kills));
	report_put(r, "cgroup", o);
}

static void put_profile(struct report *r, const struct profile *p)
{
	struct arena *a = r->mem;
	struct value o = value_object(a);

	value_put(a, o, "enabled", value_bool(p->enabled));
	value_put(a, o, "rate", value_int(p->enabled ? p->rate : 0));
	value_put(a, o, "inuse_space", value_int(p->enabled ? p->inuse_space : 0));
	value_put(a, o, "inuse_objects", value_int(p->enabled ? p->inuse_objects : 0));
	value_put(a, o, "error", p->enabled ? value_double(p->error) : value_null());
	value_put(a, o, "gc_cycle", value_uint(p->cycle));
	report_put(r, "profile", o);
}

/* "280 MiB", "1.4 MiB": an amount inside a sentence. */
static const char *amount(struct arena *a, int64_t n)
{
	int64_t m = n < 0 ? -n : n;
	char text[UNIT_TEXT];

	if (m >= (int64_t)(10 * MIB) && m < (int64_t)(10 * GIB))
		return arena_printf(a, "%lld MiB",
				    (long long)((m + (int64_t)MIB / 2) / (int64_t)MIB));
	return arena_strdup(a, unit_bytes(text, (bytes)m));
}

/* "−280 MiB: set GOGC=50, costs 3.0 times as many GC cycles"; in brief: no more than the price's
 * first clause. */
static const char *action_text(struct arena *a, const struct action *x, bool brief)
{
	const char *costs = x->costs && strcmp(x->costs, "nothing") != 0 ? x->costs : "";
	const char *sign = x->saves > 0 ? "\xe2\x88\x92" : "+";
	int n = (int)(brief ? strcspn(costs, ":;") : strlen(costs));

	return arena_printf(a, "%s%s%s%s%s%.*s", x->saves ? sign : "",
			    x->saves ? amount(a, x->saves) : "", x->saves ? ": " : "", x->what,
			    n ? ", costs " : "", n, costs);
}

enum {
	CAUSE_RANK,
	CAUSE_ID,
	CAUSE_TITLE,
	CAUSE_SHOWN,
	CAUSE_BYTES,
	CAUSE_SHARE,
	CAUSE_SHARE_SHOWN,
	CAUSE_CONFIDENCE,
	CAUSE_EVIDENCE_,
	CAUSE_ACTIONS_,
	CAUSE_DO
};
#define CAUSE_COLUMNS(heading, whole)                                                              \
	{                                                                                          \
		[CAUSE_RANK] = {NULL, "", COLUMN_ID, 0},                                           \
		[CAUSE_ID] = {"id", NULL, COLUMN_TEXT, 0},                                         \
		[CAUSE_TITLE] = {"title", NULL, COLUMN_TEXT, 0},                                   \
		[CAUSE_SHOWN] = {NULL, heading, COLUMN_PROSE, 0},                                  \
		[CAUSE_BYTES] = {"bytes", "MiB", COLUMN_MIB, 0},                                   \
		[CAUSE_SHARE] = {"share", NULL, COLUMN_PERCENT, 0},                                \
		[CAUSE_SHARE_SHOWN] = {NULL, whole, COLUMN_PERCENT, 0},                            \
		[CAUSE_CONFIDENCE] = {"confidence", NULL, COLUMN_TEXT, 0},                         \
		[CAUSE_EVIDENCE_] = {"evidence", NULL, COLUMN_TEXT, 0},                            \
		[CAUSE_ACTIONS_] = {"actions", NULL, COLUMN_TEXT, 0},                              \
		[CAUSE_DO] = {NULL, "what to do", COLUMN_PROSE, 0},                                \
	}
static const struct column CAUSES_ABOVE[] =
	CAUSE_COLUMNS("why it is bigger than the profile", "of gap");
static const struct column CAUSES_BELOW[] =
	CAUSE_COLUMNS("why it is smaller than the profile", "of gap");
static const struct column CAUSES_ALONE[] = CAUSE_COLUMNS("what it is made of", "of RSS");
static const struct column CAUSES_CORE[] = CAUSE_COLUMNS("what the core is made of", "of gap");

/* A share tells something of a gap that is worth its name, and of a cause that widens it.
 * gap 0: a share of RSS. */
#define GAP_MIN ((int64_t)(16 * MIB))

static void add_cause(struct arena *a, struct table *t, const struct cause *c, uint32_t rank,
		      int64_t gap)
{
	double share = fabs(c->share), part = gap < 0 ? -c->share : c->share;
	bool quiet = rank > CAUSES_SHOWN || (rank > 1 && share < 0.03);
	struct row *row = table_row(a, t, quiet ? ROW_QUIET : 0);
	struct value evidence = value_array(a), actions = value_array(a);

	for (uint32_t i = 0; i < c->n_evidence; i++) {
		value_push(a, evidence, value_str(c->evidence[i]));
		*VEC_PUSH(a, &row->details) = c->evidence[i];
	}
	for (uint32_t i = 0; i < c->n_actions; i++) {
		struct value o = value_object(a);

		value_put(a, o, "do", value_str(c->actions[i].what));
		value_put(a, o, "saves", value_int(c->actions[i].saves));
		value_put(a, o, "costs", value_str(c->actions[i].costs ? c->actions[i].costs : ""));
		value_push(a, actions, o);
		if (!i && !strcmp(action_text(a, &c->actions[i], true),
				  action_text(a, &c->actions[i], false)))
			continue; /* stands in the row as it is */
		*VEC_PUSH(a, &row->details) = arena_printf(
			a, "%s%s", i && !str_starts(c->actions[i].what, "or ") ? "or " : "",
			action_text(a, &c->actions[i], false));
	}
	row->cells[CAUSE_RANK] = value_uint(rank);
	row->cells[CAUSE_ID] = value_str(c->id);
	row->cells[CAUSE_TITLE] = value_str(c->title);
	row->cells[CAUSE_SHOWN] =
		value_str(c->confidence == CERTAIN ? c->title
						   : arena_printf(a, "%s (%s)", c->title,
								  CONFIDENCE_NAMES[c->confidence]));
	row->cells[CAUSE_BYTES] = value_int(c->bytes);
	row->cells[CAUSE_SHARE] = value_double(c->share);
	row->cells[CAUSE_SHARE_SHOWN] = gap && (llabs(gap) < GAP_MIN || !(part >= 0 && part <= 2))
						? value_str(DOT)
						: value_double(part);
	row->cells[CAUSE_CONFIDENCE] = value_str(CONFIDENCE_NAMES[c->confidence]);
	row->cells[CAUSE_EVIDENCE_] = evidence;
	row->cells[CAUSE_ACTIONS_] = actions;
	row->cells[CAUSE_DO] = value_str(c->n_actions ? action_text(a, &c->actions[0], true) : "");
}

static struct table *causes_table(struct arena *a, const struct ledger *l)
{
	int64_t gap = (int64_t)l->rss - l->s->profile.inuse_space;
	const struct column *columns = !l->residency		? CAUSES_CORE
				       : !l->s->profile.enabled ? CAUSES_ALONE
				       : gap < 0		? CAUSES_BELOW
								: CAUSES_ABOVE;
	struct table *t = table_new(a, columns, (uint32_t)ARRAY_LEN(CAUSES_ABOVE));

	t->prose_lines = 3;
	for (uint32_t i = 0; i < l->n_causes; i++)
		add_cause(a, t, &l->causes[i], i + 1,
			  columns != CAUSES_ALONE && l->residency ? gap : 0);
	return t;
}

/* When the GC cycle that the profile describes ended; 0 unknown. */
static int64_t cycle_end(const struct snapshot *s)
{
	const struct counters *c = s->counters;

	if (!c || !s->profile.cycle || s->profile.cycle > c->numgc ||
	    c->numgc - s->profile.cycle >= 256)
		return 0;
	return (int64_t)c->pause_end[(s->profile.cycle + 255) % 256];
}

/* "heap profile (sampled, ±7 %; as of GC 212, 41 s ago)" */
static const char *profile_title(struct arena *a, const struct snapshot *s)
{
	const struct profile *p = &s->profile;
	int64_t end = cycle_end(s);
	struct str t = {0};
	char ago[UNIT_TEXT];
	const char *ret;

	if (!p->enabled)
		return "heap profile (profiling is off in this program)";
	str_add(&t, "heap profile (");
	if (!isnan(p->error))
		str_addf(&t, PLUS_MINUS "%.*f %%; ", p->error < 0.0095 ? 1 : 0,
			 MAX(p->error * 100, 0.1));
	if (!p->cycle)
		str_add(&t, "before the first GC");
	else
		str_addf(&t, "as of GC %u", p->cycle);
	if (end && s->kind != SNAPSHOT_CORE && s->read.at_unix_ns > end)
		str_addf(&t, ", %s ago", unit_duration(ago, s->read.at_unix_ns - end));
	str_add(&t, ")");
	ret = arena_strdup(a, t.s);
	str_free(&t);
	return ret;
}

enum {
	BRIDGE_COL_ID,
	BRIDGE_COL_DELTA,
	BRIDGE_COL_SUM,
	BRIDGE_COL_WHY,
	BRIDGE_COL_STEP,
	BRIDGE_COL_TITLE,
	BRIDGE_COL_BAR
};
static const struct column BRIDGE_COLUMNS[] = {
	[BRIDGE_COL_ID] = {"id", NULL, COLUMN_TEXT, 0},
	[BRIDGE_COL_DELTA] = {"delta", NULL, COLUMN_STEP, 0},
	[BRIDGE_COL_SUM] = {"sum", NULL, COLUMN_MIB, 0},
	[BRIDGE_COL_WHY] = {"why", NULL, COLUMN_TEXT, 0},
	[BRIDGE_COL_STEP] = {NULL, "MiB", COLUMN_STEP, 0},
	[BRIDGE_COL_TITLE] = {NULL, "", COLUMN_PROSE, 0},
	[BRIDGE_COL_BAR] = {NULL, "", COLUMN_BAR, 1},
};

static struct table *bridge_table(struct arena *a, const struct ledger *l)
{
	struct table *t = TABLE_NEW(a, BRIDGE_COLUMNS);

	t->no_heading = true;
	for (unsigned i = 0; i < N_BRIDGE; i++) {
		bool end = i == BRIDGE_PROFILE || i == BRIDGE_RSS;
		bool known = l->residency || i <= BRIDGE_FREE;
		int64_t delta = l->bridge[i].delta, shown = end ? l->bridge[i].sum : delta;
		bool quiet = !end && (!known || (shown < QUIET && shown > -QUIET));
		struct row *row = table_row(a, t, (end ? ROW_SUM : 0U) | (quiet ? ROW_QUIET : 0U));

		row->cells[BRIDGE_COL_ID] = value_str(BRIDGE_INFO[i].id);
		row->cells[BRIDGE_COL_DELTA] = value_int_if(known, delta);
		row->cells[BRIDGE_COL_SUM] = value_int_if(known, l->bridge[i].sum);
		row->cells[BRIDGE_COL_WHY] = value_str(BRIDGE_INFO[i].why);
		row->cells[BRIDGE_COL_STEP] = value_int_if(known, shown);
		row->cells[BRIDGE_COL_TITLE] = value_str(
			i == BRIDGE_PROFILE ? profile_title(a, l->s) : BRIDGE_INFO[i].title);
		row->cells[BRIDGE_COL_BAR] = value_int_if(known, shown);
	}
	return t;
}

enum {
	LINE_COL_ID,
	LINE_COL_BYTES,
	LINE_COL_RESIDENT,
	LINE_COL_SWAPPED,
	LINE_COL_TITLE,
	LINE_COL_WHY
};
static const struct column LINE_COLUMNS[] = {
	[LINE_COL_ID] = {"id", "line", COLUMN_TEXT, 0},
	[LINE_COL_BYTES] = {"bytes", "size", COLUMN_MIB, 0},
	[LINE_COL_RESIDENT] = {"resident", "resident", COLUMN_MIB, 0},
	[LINE_COL_SWAPPED] = {"swapped", "swapped", COLUMN_MIB, 0},
	[LINE_COL_TITLE] = {NULL, "what it is (MiB)", COLUMN_TEXT, 2},
	[LINE_COL_WHY] = {NULL, "", COLUMN_PROSE, 1},
};

static struct table *lines_table(struct arena *a, const struct ledger *l)
{
	struct table *t = TABLE_NEW(a, LINE_COLUMNS);
	struct line_sum sum = {0};
	struct row *row;

	for (unsigned i = 0; i < N_LINES; i++) {
		const struct line_sum *x = &l->line[i];

		row = table_row(a, t, 0);
		row->cells[LINE_COL_ID] = value_str(LINES[i].id);
		row->cells[LINE_COL_BYTES] = value_uint(x->bytes);
		row->cells[LINE_COL_RESIDENT] = value_uint_if(l->residency, x->resident);
		row->cells[LINE_COL_SWAPPED] = value_uint_if(l->residency, x->swapped);
		row->cells[LINE_COL_TITLE] = value_str(LINES[i].title);
		row->cells[LINE_COL_WHY] = value_str(LINES[i].why);
		sum.resident += x->resident;
		sum.swapped += x->swapped;
	}
	row = table_row(a, t, ROW_SUM | ROW_SHOWN);
	row->cells[LINE_COL_ID] = value_str("all");
	row->cells[LINE_COL_RESIDENT] = value_uint_if(l->residency, sum.resident);
	row->cells[LINE_COL_SWAPPED] = value_uint_if(l->residency, sum.swapped);
	row->cells[LINE_COL_TITLE] = value_str("RSS, page by page");
	return t;
}

enum {
	CONTAINER_COL_ID,
	CONTAINER_COL_DELTA,
	CONTAINER_COL_SUM,
	CONTAINER_COL_STEP,
	CONTAINER_COL_TITLE,
	CONTAINER_COL_WHY
};
static const struct column CONTAINER_COLUMNS[] = {
	[CONTAINER_COL_ID] = {"id", NULL, COLUMN_TEXT, 0},
	[CONTAINER_COL_DELTA] = {"delta", NULL, COLUMN_MIB, 0},
	[CONTAINER_COL_SUM] = {"sum", NULL, COLUMN_MIB, 0},
	[CONTAINER_COL_STEP] = {NULL, "MiB", COLUMN_STEP, 0},
	[CONTAINER_COL_TITLE] = {NULL, "from RSS to the container's number", COLUMN_TEXT, 0},
	[CONTAINER_COL_WHY] = {NULL, "", COLUMN_PROSE, 1},
};

static struct table *container_table(struct arena *a, const struct ledger *l)
{
	struct table *t = TABLE_NEW(a, CONTAINER_COLUMNS);

	for (unsigned i = 0; i < N_CONTAINER; i++) {
		bool end =
			i == CONTAINER_RSS || i == CONTAINER_CURRENT || i == CONTAINER_WORKING_SET;
		struct row *row = table_row(a, t, end ? ROW_SUM : 0);

		row->cells[CONTAINER_COL_ID] = value_str(CONTAINER_INFO[i].id);
		row->cells[CONTAINER_COL_DELTA] = value_int(l->container[i].delta);
		row->cells[CONTAINER_COL_SUM] = value_int(l->container[i].sum);
		row->cells[CONTAINER_COL_STEP] =
			value_int(end ? l->container[i].sum : l->container[i].delta);
		row->cells[CONTAINER_COL_TITLE] = value_str(CONTAINER_INFO[i].title);
		row->cells[CONTAINER_COL_WHY] = value_str(CONTAINER_INFO[i].why);
	}
	return t;
}

const char *container_line(struct arena *a, const struct cgroup_facts *c)
{
	char now[UNIT_TEXT], limit[UNIT_TEXT], left[UNIT_TEXT];
	bytes spare;

	if (!c->limit_path || !cgroup_oom_distance(c, &spare))
		return arena_printf(a, "container: %s counted, no limit",
				    unit_bytes(now, c->current));
	return arena_printf(a, "container: %s of %s counted, OOM kill %s away",
			    unit_bytes(now, c->limit_current), unit_bytes(limit, c->limit),
			    unit_bytes(left, spare));
}

static void add_foot(const struct subject *in, struct report *r, const struct ledger *l)
{
	struct block *b = subject_foot(in, r);
	bytes lost = l->line[LINE_UNEXPLAINED].resident;
	char text[UNIT_TEXT];

	if (l->residency && l->rss) {
		double share = 100.0 * (double)lost / (double)l->rss;

		block_item(r, b,
			   lost && share < 0.005
				   ? arena_printf(r->mem, "unexplained %s (<0.01 %%)",
						  unit_bytes(text, lost))
				   : arena_printf(r->mem, "unexplained %s (%.*f %%)",
						  unit_bytes(text, lost),
						  !lost || share >= 0.995 ? 0 : 2, share));
	}
	if (l->s->os->cgroup)
		block_item(r, b, container_line(r->mem, l->s->os->cgroup));
}

/* Which view shows more of a cause. */
static const char *more_about(const char *cause)
{
	static const struct {
		const char *cause, *view;
	} more[] = {
		{"fragmentation", "spans"},  {"span-tail", "spans"},
		{"retention", "spans"},	     {"goroutines", "goroutines"},
		{"stacks", "goroutines"},    {"mapped-files", "maps"},
		{"native-leak", "maps"},     {"native-retention", "maps"},
		{"raw-mmap", "maps"},	     {"released-not-gone", "maps"},
		{"gc-schedule", "memstats"}, {"limit-misfit", "memstats"},
	};

	for (size_t i = 0; i < ARRAY_LEN(more); i++)
		if (!strcmp(more[i].cause, cause))
			return more[i].view;
	return NULL;
}

static void add_next(const struct subject *in, struct report *r, const struct ledger *l)
{
	const char *seen[4] = {"ledger --all"};
	uint32_t n = 0;
	struct block *b = report_block(r, BLOCK_ITEMS, "next:");

	for (uint32_t i = 0; i < l->n_causes && n < ARRAY_LEN(seen) - 1; i++) {
		const char *view = more_about(l->causes[i].id);
		bool again = !view;

		for (uint32_t k = 0; k < n && !again; k++)
			again = !strcmp(seen[k], view);
		if (!again)
			seen[n++] = view;
	}
	for (uint32_t i = 0; i < n; i++)
		block_item(r, b, arena_printf(r->mem, "whyrss %s %s", seen[i], in->target));
	block_item(r, b, arena_printf(r->mem, "whyrss %s --all", in->target));
}

static void add_head(const struct subject *in, struct report *r, const struct ledger *l)
{
	const struct profile *p = &in->s->profile;
	struct block *b = subject_head(in, r);
	char text[UNIT_TEXT];

	block_item(r, b,
		   l->residency
			   ? arena_printf(r->mem, "RSS %s MiB", unit_mib(text, (int64_t)l->rss))
			   : "RSS unknown");
	if (!p->enabled) {
		block_item(r, b, "heap profile off");
		return;
	}
	block_item(r, b,
		   arena_printf(r->mem, "heap profile %s MiB", unit_mib(text, p->inuse_space)));
	if (l->residency)
		block_item(r, b,
			   arena_printf(r->mem, "gap %s MiB",
					unit_mib(text, (int64_t)l->rss - p->inuse_space)));
}

void ledger_report(const struct subject *in, const struct ledger *l, bool all, struct report *ret)
{
	struct arena *a = ret->mem;
	struct table *lines = lines_table(a, l), *bridge = bridge_table(a, l),
		     *causes = causes_table(a, l);
	struct table *container = l->has_container ? container_table(a, l) : NULL;
	bool calm = l->n_causes == 1 && !strcmp(l->causes[0].id, "nothing-wrong");

	add_head(in, ret, l);
	put_os(ret, l);
	put_cgroup(ret, in->s->os);
	put_profile(ret, &in->s->profile);
	report_put(ret, "lines", table_json(a, lines));
	report_put(ret, "bridge", table_json(a, bridge));
	report_put(ret, "container", container ? table_json(a, container) : value_null());
	report_put(ret, "causes", table_json(a, causes));
	report_put(ret, "verdict", value_str(l->verdict));
	ret->main = lines;

	if (l->verdict)
		report_block(ret, BLOCK_VERDICT, l->verdict);
	report_block(ret, BLOCK_GAP, NULL);
	if (causes->rows.n && (all || !calm)) {
		report_table(ret, causes);
		report_block(ret, BLOCK_GAP, NULL);
	}
	report_table(ret, bridge);
	report_block(ret, BLOCK_GAP, NULL);
	if (all) {
		report_table(ret, lines);
		report_block(ret, BLOCK_GAP, NULL);
	}
	if (all && container) {
		report_table(ret, container);
		report_block(ret, BLOCK_GAP, NULL);
	}
	add_foot(in, ret, l);
	add_next(in, ret, l);
	subject_notes(in, ret, NULL);
	if (!l->residency)
		ret->partial = true;
}

bool view_ledger_run(const struct subject *in, const struct options *o, struct arena *a,
		     struct report *ret, struct err *err)
{
	struct ledger *l = ARENA_NEW(a, struct ledger);

	(void)err;
	ledger_build(in->s, a, NULL, NULL, l);
	report_init(ret, a, "whyrss.ledger/1");
	ledger_report(in, l, option_set(o, OPT_ALL), ret);
	return true;
}
