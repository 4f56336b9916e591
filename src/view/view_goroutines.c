/*
 * Goroutines in groups: where the go statement is, what they wait for, what their stacks take. A group that only
 * grows is a leak; one with large stacks is a recursion or a large frame.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/unit.h"
#include "view/view.h"

/* One goroutine as the sort sees it. */
struct member {
	uint64_t site;     /* the pc that groups are made by; 0: not a part of the key */
	const char *state; /* "": not a part of the key */
	uint32_t g;
};

struct group {
	uint64_t count, system, spare_known;
	bytes stack, used, spare, resident;
	int64_t wait_ns; /* the longest; -1: unknown */
	uint64_t goid;   /* of the one that waits longest */
	const struct goroutine *example;
	const char *state; /* NULL: several */
};

static int member_compare(const void *x, const void *y)
{
	const struct member *a = x, *b = y;
	int d = (a->site > b->site) - (a->site < b->site);

	return d ? d : strcmp(a->state, b->state);
}

static void add_goroutine(struct group *to, const struct goroutine *g, const struct os_facts *os)
{
	bytes stack = g->stack_hi > g->stack_lo ? g->stack_hi - g->stack_lo : 0;
	/* Of one that runs the stack pointer is not known: all of it counts as used. */
	bytes used = g->sp > g->stack_lo && g->sp <= g->stack_hi ? g->stack_hi - g->sp : stack;

	if (!to->count++) {
		to->wait_ns = -1;
		to->state = g->state;
		to->example = g;
		to->goid = g->goid;
	} else if (to->state && strcmp(to->state, g->state)) {
		to->state = NULL;
	}
	to->system += g->system;
	to->stack += stack;
	to->used += used;
	to->spare += stack - used;
	if (stack)
		to->resident += pages_in(&os->pages, g->stack_lo, g->stack_hi, PAGE_RESIDENT);
	if (g->wait_ns > to->wait_ns) {
		to->wait_ns = g->wait_ns;
		to->goid = g->goid;
	}
}

enum {
	COL_COUNT, COL_STATE, COL_FUNC, COL_FILE, COL_LINE, COL_START, COL_STACK, COL_USED, COL_SPARE, COL_RESIDENT, COL_WAIT,
	COL_GOID, COL_SYSTEM, COL_TEXT_STACK, COL_TEXT_USED, COL_TEXT_STATE, COL_TEXT_START, COL_TEXT_SITE,
};
static const struct column COLUMNS[] = {
	[COL_COUNT] = {"count", "count", COLUMN_COUNT, 0},
	[COL_STATE] = {"state", NULL, COLUMN_TEXT, 0},
	[COL_FUNC] = {"created_by", NULL, COLUMN_TEXT, 0},
	[COL_FILE] = {"file", NULL, COLUMN_PATH, 0},
	[COL_LINE] = {"line", NULL, COLUMN_ID, 0},
	[COL_START] = {"start", NULL, COLUMN_TEXT, 0},
	[COL_STACK] = {"stack_bytes", NULL, COLUMN_BYTES, 0},
	[COL_USED] = {"used_bytes", NULL, COLUMN_BYTES, 0},
	[COL_SPARE] = {"spare_bytes", NULL, COLUMN_BYTES, 0},
	[COL_RESIDENT] = {"resident", NULL, COLUMN_BYTES, 0},
	[COL_WAIT] = {"longest_wait_ns", "waits up to", COLUMN_DURATION, 2},
	[COL_GOID] = {"goid", "e.g.", COLUMN_ID, 5},
	[COL_SYSTEM] = {"system", NULL, COLUMN_COUNT, 0},
	[COL_TEXT_STACK] = {NULL, "stacks", COLUMN_BYTES, 0},
	[COL_TEXT_USED] = {NULL, "used", COLUMN_BYTES, 4},
	[COL_TEXT_STATE] = {NULL, "state", COLUMN_TEXT, 0},
	[COL_TEXT_START] = {NULL, "runs", COLUMN_TEXT, 0},
	[COL_TEXT_SITE] = {NULL, "created at", COLUMN_PATH, 3},
};

/* "main.serve" of "example.com/cmd/x/main.serve": what people call it. */
static const char *short_name(const char *func)
{
	const char *slash = strrchr(func, '/');

	return slash && slash[1] ? slash + 1 : func;
}

static struct place place_of(const struct snapshot *s, taddr pc)
{
	return s->place && pc ? s->place(s, pc) : (struct place){pc, "", "", 0};
}

static void add_group(struct arena *a, struct table *t, const struct snapshot *s, const struct group *g,
		      enum option_by by, bool residency)
{
	struct row *row = table_row(a, t, 0);
	const struct goroutine *x = g->example;
	bool site = by == BY_SITE || by == BY_SITE_STATE;
	/* gopc is where the call returns to: the line of the go statement is the one before. */
	struct place from = site ? place_of(s, x->gopc ? x->gopc - 1 : 0) : (struct place){0, "", "", 0};
	struct place start = by == BY_STATE ? (struct place){0, "", "", 0} : place_of(s, x->startpc);
	const char *base = strrchr(from.file, '/');

	row->cells[COL_COUNT] = value_uint(g->count);
	row->cells[COL_STATE] = value_str(g->state);
	row->cells[COL_FUNC] = value_str(*from.func ? from.func : NULL);
	row->cells[COL_FILE] = value_str(*from.file ? from.file : NULL);
	row->cells[COL_LINE] = value_int_if(*from.file, from.line);
	row->cells[COL_START] = value_str(*start.func ? start.func : NULL);
	row->cells[COL_STACK] = row->cells[COL_TEXT_STACK] = value_uint(g->stack);
	row->cells[COL_USED] = row->cells[COL_TEXT_USED] = value_uint(g->used);
	row->cells[COL_SPARE] = value_uint(g->spare);
	row->cells[COL_RESIDENT] = value_uint_if(residency, g->resident);
	row->cells[COL_WAIT] = value_int_if(g->wait_ns >= 0, g->wait_ns);
	row->cells[COL_GOID] = value_uint(g->goid);
	row->cells[COL_SYSTEM] = value_uint(g->system);
	row->cells[COL_TEXT_STATE] = value_str(g->state ? g->state : "several");
	row->cells[COL_TEXT_START] = value_str(short_name(start.func));
	row->cells[COL_TEXT_SITE] =
		value_str(*from.file ? arena_printf(a, "%s:%d", base && base[1] ? base + 1 : from.file, from.line)
				     : "");
}

/* Groups of [members, members + n), which are sorted; returns how many goroutines there are in the largest. */
static void add_groups(struct arena *a, struct table *t, const struct snapshot *s, const struct member *m,
		       uint32_t n, enum option_by by, struct group *ret_total)
{
	bool residency = s->os->residency != RESIDENCY_NONE;

	for (uint32_t i = 0; i < n;) {
		struct group g = {0};
		uint32_t from = i;

		for (; i < n && !member_compare(&m[from], &m[i]); i++) {
			add_goroutine(&g, &s->goroutines[m[i].g], s->os);
			add_goroutine(ret_total, &s->goroutines[m[i].g], s->os);
		}
		add_group(a, t, s, &g, by, residency);
	}
}

static const char *verdict(struct arena *a, const struct table *t, const struct group *all, enum option_by by)
{
	char count[UNIT_TEXT], stack[UNIT_TEXT], most[UNIT_TEXT], wait[UNIT_TEXT];
	const struct row *top = NULL;
	const struct value *w;

	for (uint32_t i = 0; i < t->rows.n; i++)
		if (!top || t->rows.v[i].cells[COL_COUNT].u > top->cells[COL_COUNT].u)
			top = &t->rows.v[i];
	if (!top || all->count < 20 || by == BY_STATE || top->cells[COL_COUNT].u * 2 < all->count)
		return arena_printf(a, "%s goroutine%s with %s of stacks, %s of it used.",
				    unit_count(count, all->count), all->count == 1 ? "" : "s",
				    unit_bytes(stack, all->stack), unit_bytes(most, all->used));
	w = &top->cells[COL_WAIT];
	return arena_printf(a, "%s goroutines with %s of stacks; %s of them run %s%s%s%s%s.",
			    unit_count(count, all->count), unit_bytes(stack, all->stack),
			    unit_count(most, top->cells[COL_COUNT].u),
			    top->cells[COL_TEXT_START].s && *top->cells[COL_TEXT_START].s ? top->cells[COL_TEXT_START].s
											 : "one function",
			    top->cells[COL_STATE].kind == VALUE_STR ? ", in " : "",
			    top->cells[COL_STATE].kind == VALUE_STR ? top->cells[COL_STATE].s : "",
			    w->kind == VALUE_INT ? " for up to " : "",
			    w->kind == VALUE_INT ? unit_duration(wait, w->i) : "");
}

bool view_goroutines_run(const struct subject *in, const struct options *o, struct arena *a, struct report *ret,
			 struct err *err)
{
	const struct snapshot *s = in->s;
	enum option_by by = (enum option_by)o->v[OPT_BY].choice;
	struct member *members = arena_try(a, (uint64_t)s->n_goroutines + 1, sizeof(*members), err);
	struct table *t = TABLE_NEW(a, COLUMNS);
	struct group all = {0};
	char text[UNIT_TEXT];
	struct value total;
	struct block *b;
	struct row *row;
	uint32_t n = 0;

	if (!members)
		return err_in(err, "goroutines");
	for (uint32_t i = 0; i < s->n_goroutines; i++) {
		const struct goroutine *g = &s->goroutines[i];

		if (g->status == G_IDLE || g->status == G_DEAD || g->status == G_DEADEXTRA)
			continue;
		members[n++] = (struct member){
			.g = i,
			.site = by == BY_START ? g->startpc : by == BY_STATE ? 0 : g->gopc,
			.state = by == BY_STATE || by == BY_SITE_STATE ? g->state : "",
		};
	}
	qsort(members, n, sizeof(*members), member_compare);
	report_init(ret, a, "whyrss.goroutines/1");
	b = subject_head(in, ret);
	add_groups(a, t, s, members, n, by, &all);
	if (!subject_table(ret, t, o, "count", 20, err))
		return false;
	total = value_object(a);
	value_put(a, total, "count", value_uint(all.count));
	value_put(a, total, "system", value_uint(all.system));
	value_put(a, total, "stack_bytes", value_uint(all.stack));
	value_put(a, total, "used_bytes", value_uint(all.used));
	value_put(a, total, "spare_bytes", value_uint(all.spare));
	value_put(a, total, "resident", value_uint_if(s->os->residency != RESIDENCY_NONE, all.resident));
	report_put(ret, "total", total);
	report_put(ret, "by", value_str(option_set(o, OPT_BY) ? o->v[OPT_BY].text : "site-state"));
	report_put(ret, "groups", table_json(a, t));

	block_item(ret, b, arena_printf(a, "%s goroutines", unit_count(text, all.count)));
	block_item(ret, b, arena_printf(a, "stacks %s", unit_bytes(text, all.stack)));
	report_block(ret, BLOCK_VERDICT, verdict(a, t, &all, by));
	row = table_row(a, t, ROW_SHOWN | ROW_SUM);
	row->cells[COL_COUNT] = value_uint(all.count);
	row->cells[COL_TEXT_STACK] = value_uint(all.stack);
	row->cells[COL_TEXT_USED] = value_uint(all.used);
	row->cells[COL_WAIT] = value_int_if(all.wait_ns >= 0 && n, all.wait_ns);
	report_block(ret, BLOCK_GAP, NULL);
	report_table(ret, t);
	report_block(ret, BLOCK_GAP, NULL);
	subject_foot(in, ret);
	b = report_block(ret, BLOCK_ITEMS, "next:");
	block_item(ret, b, arena_printf(a, "whyrss goroutines %s --by %s", in->target, by == BY_START ? "state" : "start"));
	block_item(ret, b, arena_printf(a, "whyrss goroutines %s --sort stack_bytes", in->target));
	subject_notes(in, ret, NULL);
	return true;
}
