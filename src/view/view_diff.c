/*
 * What changed between two targets, most often the same program at two times: the ledger's lines,
 * the bridge, causes, the profile by allocation site, spans by size class. Everything is `after`
 * minus `before`; what either side does not know is null.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/unit.h"
#include "ledger/ledger.h"
#include "snapshot/sampling.h"
#include "view/view.h"

#define DOT	   " \xc2\xb7 " /* U+00B7 */
#define QUIET	   ((int64_t)64 << 10)
#define SITES_MOST 20U
#define SITES_JSON 1000U
#define CLASSES	   (2U * GO_SIZE_CLASSES)

struct side {
	const struct snapshot *s;
	const char *target;
	struct ledger *l;
};

struct pair {
	struct side a, b;
	bool residency; /* of both */
};

static int64_t signed_bytes(bytes n)
{
	return (int64_t)MIN(n, (bytes)INT64_MAX);
}

static void put_pair(struct arena *m, struct value o, const char *key, bool known, bytes a, bytes b)
{
	struct value v = value_object(m);

	value_put(m, v, "a", value_uint_if(known, a));
	value_put(m, v, "b", value_uint_if(known, b));
	value_put(m, v, "delta", value_int_if(known, signed_bytes(b) - signed_bytes(a)));
	value_put(m, o, key, v);
}

static struct value side_json(struct arena *m, const struct side *x)
{
	struct subject in = {.s = x->s, .target = x->target};
	struct value o = value_object(m);
	const struct value *v;
	struct report r;

	report_init(&r, m, "");
	(void)subject_head(&in, &r);
	v = value_get(&r.json, "target");
	if (v)
		value_put(m, o, "target", *v);
	v = value_get(&r.json, "read");
	if (v)
		value_put(m, o, "read", *v);
	return o;
}

/* ---- Lines and bridge ---- */

enum { LINE_ID, LINE_A, LINE_B, LINE_DELTA, LINE_RES_A, LINE_RES_B, LINE_RES };
static const struct column LINE_COLUMNS[] = {
	{"id", NULL, COLUMN_TEXT, 0},	     {"a_bytes", NULL, COLUMN_MIB, 0},
	{"b_bytes", NULL, COLUMN_MIB, 0},    {"bytes", NULL, COLUMN_STEP, 0},
	{"a_resident", NULL, COLUMN_MIB, 0}, {"b_resident", NULL, COLUMN_MIB, 0},
	{"resident", NULL, COLUMN_STEP, 0},
};

static struct table *lines_table(struct arena *m, const struct pair *p)
{
	struct table *t = TABLE_NEW(m, LINE_COLUMNS);

	for (unsigned i = 0; i < N_LINES; i++) {
		const struct line_sum *x = &p->a.l->line[i], *y = &p->b.l->line[i];
		struct row *row = table_row(m, t, ROW_DATA);

		row->cells[LINE_ID] = value_str(LINES[i].id);
		row->cells[LINE_A] = value_uint(x->bytes);
		row->cells[LINE_B] = value_uint(y->bytes);
		row->cells[LINE_DELTA] = value_int(signed_bytes(y->bytes) - signed_bytes(x->bytes));
		row->cells[LINE_RES_A] = value_uint_if(p->a.l->residency, x->resident);
		row->cells[LINE_RES_B] = value_uint_if(p->b.l->residency, y->resident);
		row->cells[LINE_RES] = value_int_if(
			p->residency, signed_bytes(y->resident) - signed_bytes(x->resident));
	}
	return t;
}

enum { BR_ID, BR_A, BR_B, BR_DELTA, BR_TITLE, BR_BAR };
static const struct column BRIDGE_COLUMNS[] = {
	{"id", NULL, COLUMN_TEXT, 0},	{"a", "before", COLUMN_MIB, 2},
	{"b", "after", COLUMN_MIB, 3},	{"delta", "change", COLUMN_STEP, 0},
	{NULL, "MiB", COLUMN_PROSE, 0}, {NULL, "", COLUMN_BAR, 1},
};

static struct table *bridge_table(struct arena *m, const struct pair *p)
{
	struct table *t = TABLE_NEW(m, BRIDGE_COLUMNS);

	for (unsigned i = 0; i < N_BRIDGE; i++) {
		bool end = i == BRIDGE_PROFILE || i == BRIDGE_RSS;
		bool of_a = p->a.l->residency || i <= BRIDGE_FREE,
		     of_b = p->b.l->residency || i <= BRIDGE_FREE;
		int64_t x = end ? p->a.l->bridge[i].sum : p->a.l->bridge[i].delta,
			y = end ? p->b.l->bridge[i].sum : p->b.l->bridge[i].delta, d = y - x;
		bool quiet = !end && (!of_a || !of_b || (d < QUIET && d > -QUIET));
		struct row *row = table_row(m, t, quiet ? ROW_QUIET : 0U);

		row->cells[BR_ID] = value_str(BRIDGE_INFO[i].id);
		row->cells[BR_A] = value_int_if(of_a, x);
		row->cells[BR_B] = value_int_if(of_b, y);
		row->cells[BR_DELTA] = value_int_if(of_a && of_b, d);
		row->cells[BR_TITLE] = value_str(i == BRIDGE_PROFILE ? "heap profile"
						 : i == BRIDGE_RSS   ? "RSS"
								     : BRIDGE_INFO[i].title);
		row->cells[BR_BAR] = value_int_if(of_a && of_b, d);
	}
	return t;
}

/* ---- Causes ---- */

enum { CA_ID, CA_A, CA_B, CA_DELTA, CA_TITLE };
static const struct column CAUSE_COLUMNS[] = {
	{"id", NULL, COLUMN_TEXT, 0},	   {"a", "before", COLUMN_MIB, 2},
	{"b", "after", COLUMN_MIB, 3},	   {"delta", "change", COLUMN_STEP, 0},
	{NULL, "causes", COLUMN_PROSE, 0},
};

static const struct cause *cause_of(const struct ledger *l, const char *id)
{
	for (uint32_t i = 0; i < l->n_causes; i++)
		if (!strcmp(l->causes[i].id, id))
			return &l->causes[i];
	return NULL;
}

static void add_cause(struct arena *m, struct table *t, const struct cause *x,
		      const struct cause *y)
{
	int64_t a = x ? x->bytes : 0, b = y ? y->bytes : 0;
	struct row *row = table_row(m, t, llabs(b - a) < QUIET ? ROW_QUIET : 0U);

	row->cells[CA_ID] = value_str(y ? y->id : x->id);
	row->cells[CA_A] = value_int_if(x != NULL, a);
	row->cells[CA_B] = value_int_if(y != NULL, b);
	row->cells[CA_DELTA] = value_int(b - a);
	row->cells[CA_TITLE] = value_str(y ? y->title : x->title);
}

static struct table *causes_table(struct arena *m, const struct pair *p)
{
	struct table *t = TABLE_NEW(m, CAUSE_COLUMNS);

	for (uint32_t i = 0; i < p->b.l->n_causes; i++)
		add_cause(m, t, cause_of(p->a.l, p->b.l->causes[i].id), &p->b.l->causes[i]);
	for (uint32_t i = 0; i < p->a.l->n_causes; i++)
		if (!cause_of(p->b.l, p->a.l->causes[i].id))
			add_cause(m, t, &p->a.l->causes[i], NULL);
	return t;
}

/* ---- The profile by site ---- */

struct site {
	const char *func, *file;
	int32_t line;
	int64_t space[2], objects[2]; /* before, after */
};

struct sites {
	struct arena *m;
	VEC(struct site) v;
	uint32_t *hash, mask;
};

static uint32_t site_hash(const char *func, int32_t line)
{
	uint32_t h = 2166136261U ^ (uint32_t)line;

	for (; *func; func++)
		h = (h ^ (unsigned char)*func) * 16777619U;
	return h;
}

static void sites_grow(struct sites *t)
{
	uint32_t n = t->mask ? (t->mask + 1) * 2 : 1024;

	t->hash = ARENA_ARRAY(t->m, uint32_t, n);
	t->mask = n - 1;
	for (uint32_t i = 0; i < t->v.n; i++) {
		uint32_t s = site_hash(t->v.v[i].func, t->v.v[i].line) & t->mask;

		while (t->hash[s])
			s = (s + 1) & t->mask;
		t->hash[s] = i + 1;
	}
}

static struct site *site_get(struct sites *t, const char *func, const char *file, int32_t line)
{
	uint32_t s;

	if (t->v.n * 2 >= t->mask)
		sites_grow(t);
	s = site_hash(func, line) & t->mask;
	for (; t->hash[s]; s = (s + 1) & t->mask) {
		struct site *x = &t->v.v[t->hash[s] - 1];

		if (x->line == line && !strcmp(x->func, func))
			return x;
	}
	*VEC_PUSH(t->m, &t->v) = (struct site){
		.func = arena_strdup(t->m, func), .file = arena_strdup(t->m, file), .line = line};
	t->hash[s] = t->v.n;
	return &t->v.v[t->v.n - 1];
}

/* The line that allocates: the first frame that is not the runtime's. */
static struct site *site_of(struct sites *t, const struct snapshot *s, const struct mem_bucket *b)
{
	const struct code_frame *best = NULL;
	struct code_frame f[32], first;

	for (uint32_t i = 0; i < b->nstk; i++) {
		taddr pc = s->profile.pcs[b->stk + i];
		uint32_t n = pc ? s->frames(s, pc - 1, f, ARRAY_LEN(f)) : 0;

		for (uint32_t k = 0; k < n; k++) {
			if (!best) {
				first = f[k];
				best = &first;
			}
			if (strncmp(f[k].func, "runtime.", 8) != 0)
				return site_get(t, f[k].func, f[k].file, f[k].line);
		}
	}
	return best ? site_get(t, best->func, best->file, best->line) : site_get(t, "?", "", 0);
}

static void add_sites(struct sites *t, const struct snapshot *s, unsigned which)
{
	const struct profile *p = &s->profile;

	for (uint32_t i = 0; i < p->n_buckets; i++) {
		const struct mem_bucket *b = &p->buckets[i];
		int64_t count = (int64_t)(b->allocs - b->frees),
			size = (int64_t)(b->alloc_bytes - b->free_bytes), objects, space;
		struct site *x;

		/* garbage must not make sums of it */
		if (count <= 0 || size <= 0 || size > (int64_t)1 << 46)
			continue;
		sample_scale(count, size, p->rate, &objects, &space);
		if (space > (int64_t)1 << 46)
			continue;
		x = site_of(t, s, b);
		x->space[which] += space;
		x->objects[which] += objects;
	}
}

static int by_change(const void *a, const void *b)
{
	const struct site *x = a, *y = b;
	int64_t m = llabs(x->space[1] - x->space[0]), n = llabs(y->space[1] - y->space[0]);

	return m != n ? (m < n) - (m > n) : strcmp(x->func, y->func);
}

enum { SI_FUNC, SI_FILE, SI_LINE, SI_A, SI_B, SI_DELTA, SI_OA, SI_OB, SI_OBJECTS, SI_WHERE };
static const struct column SITE_COLUMNS[] = {
	{"func", NULL, COLUMN_TEXT, 0},		 {"file", NULL, COLUMN_TEXT, 0},
	{"line", NULL, COLUMN_COUNT, 0},	 {"a_space", "before", COLUMN_MIB, 2},
	{"b_space", "after", COLUMN_MIB, 3},	 {"space", "change", COLUMN_STEP, 0},
	{"a_objects", NULL, COLUMN_COUNT, 0},	 {"b_objects", NULL, COLUMN_COUNT, 0},
	{"objects", "objects", COLUMN_COUNT, 1}, {NULL, "heap profile, in use", COLUMN_TEXT, 0},
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static struct table *sites_table(struct arena *m, const struct pair *p)
{
	struct table *t = TABLE_NEW(m, SITE_COLUMNS);
	struct sites all = {.m = m};

	add_sites(&all, p->a.s, 0);
	add_sites(&all, p->b.s, 1);
	if (all.v.n)
		qsort(all.v.v, all.v.n, sizeof(*all.v.v), by_change);
	for (uint32_t i = 0; i < MIN(all.v.n, SITES_JSON); i++) {
		const struct site *x = &all.v.v[i];
		int64_t d = x->space[1] - x->space[0];
		struct row *row =
			table_row(m, t, llabs(d) < QUIET || i >= SITES_MOST ? ROW_QUIET : 0U);

		row->cells[SI_FUNC] = value_str(x->func);
		row->cells[SI_FILE] = value_str(x->file);
		row->cells[SI_LINE] = value_int(x->line);
		row->cells[SI_A] = value_int(x->space[0]);
		row->cells[SI_B] = value_int(x->space[1]);
		row->cells[SI_DELTA] = value_int(d);
		row->cells[SI_OA] = value_int(x->objects[0]);
		row->cells[SI_OB] = value_int(x->objects[1]);
		row->cells[SI_OBJECTS] = value_int(x->objects[1] - x->objects[0]);
		row->cells[SI_WHERE] =
			value_str(*x->file ? arena_printf(m, "%s (%s:%d)", x->func,
							  base_name(x->file), x->line)
					   : x->func);
	}
	return t;
}

/* ---- Spans ---- */

struct class_sum {
	uint64_t spans;
	bytes size, live, holes; /* live: objects, dead ones too */
};

static struct class_sum *classes_of(struct arena *m, const struct heap *h)
{
	struct class_sum *v = ARENA_ARRAY(m, struct class_sum, CLASSES);

	for (uint32_t i = 0; i < h->n_spans; i++) {
		const struct span *s = &h->spans[i];
		uint32_t used = (uint32_t)s->live + s->fresh + s->dead;
		struct class_sum *c = &v[MIN(s->spanclass, CLASSES - 1)];

		if (s->state != SPAN_HEAP)
			continue;
		c->spans++;
		c->size += span_bytes(s);
		c->live += used * span_elemsize(s);
		c->holes += (s->nelems - MIN(used, s->nelems)) * span_elemsize(s);
	}
	return v;
}

enum { SP_SIZE, SP_SCAN, SP_A, SP_B, SP_DELTA, SP_HA, SP_HB, SP_HOLES, SP_SPANS, SP_TITLE };
static const struct column SPAN_COLUMNS[] = {
	{"size", NULL, COLUMN_COUNT, 0},      {"scan", NULL, COLUMN_TEXT, 0},
	{"a_bytes", "before", COLUMN_MIB, 2}, {"b_bytes", "after", COLUMN_MIB, 3},
	{"bytes", "change", COLUMN_STEP, 0},  {"a_holes", NULL, COLUMN_MIB, 0},
	{"b_holes", NULL, COLUMN_MIB, 0},     {"holes", "in holes", COLUMN_STEP, 0},
	{"spans", "spans", COLUMN_COUNT, 1},  {NULL, "spans of objects of", COLUMN_TEXT, 0},
};

static struct table *spans_table(struct arena *m, const struct pair *p)
{
	const struct class_sum *x = classes_of(m, &p->a.s->heap), *y = classes_of(m, &p->b.s->heap);
	struct table *t = TABLE_NEW(m, SPAN_COLUMNS);

	for (uint32_t i = 0; i < CLASSES; i++) {
		uint32_t size = GO_CLASS_SIZE[i / 2];
		bool scan = !(i & 1);
		int64_t d = signed_bytes(y[i].size) - signed_bytes(x[i].size),
			holes = signed_bytes(y[i].holes) - signed_bytes(x[i].holes);
		struct row *row;

		if (!x[i].spans && !y[i].spans)
			continue;
		row = table_row(
			m, t, llabs(d) < 16 * QUIET && llabs(holes) < 16 * QUIET ? ROW_QUIET : 0U);
		row->cells[SP_SIZE] = value_uint_if(size != 0, size);
		row->cells[SP_SCAN] = value_bool(scan);
		row->cells[SP_A] = value_uint(x[i].size);
		row->cells[SP_B] = value_uint(y[i].size);
		row->cells[SP_DELTA] = value_int(d);
		row->cells[SP_HA] = value_uint(x[i].holes);
		row->cells[SP_HB] = value_uint(y[i].holes);
		row->cells[SP_HOLES] = value_int(holes);
		row->cells[SP_SPANS] = value_int((int64_t)(y[i].spans - x[i].spans));
		row->cells[SP_TITLE] =
			value_str(size ? arena_printf(m, "%u B %s", size, scan ? "scan" : "noscan")
				       : arena_printf(m, "large, %s", scan ? "scan" : "noscan"));
	}
	return t;
}

/* ---- The answer ---- */

/* "RSS grew by 300.0 MiB: holes between objects +181.9 MiB, free pages kept +80.0 MiB." */
static const char *verdict(struct arena *m, const struct pair *p)
{
	int64_t rss = signed_bytes(p->b.l->rss) - signed_bytes(p->a.l->rss);
	bool taken[N_BRIDGE] = {false};
	struct str s = {0};
	char text[UNIT_TEXT];
	const char *ret;
	uint32_t n = 0;

	if (!p->residency)
		str_add(&s, "What changed, as far as both sides know it: ");
	else if (llabs(rss) < QUIET)
		str_add(&s, "RSS is the same");
	else
		str_addf(&s, "RSS %s by %s", rss > 0 ? "grew" : "fell",
			 unit_bytes(text, (bytes)llabs(rss)));
	for (; n < 4; n++) {
		int64_t most = 0;
		unsigned best = 0;

		for (unsigned i = BRIDGE_PROFILE; i < BRIDGE_RSS; i++) {
			int64_t d = p->b.l->bridge[i].delta - p->a.l->bridge[i].delta;

			if (taken[i] || (!p->residency && i > BRIDGE_FREE) ||
			    llabs(d) <= llabs(most))
				continue;
			most = d;
			best = i;
		}
		if (llabs(most) < 16 * QUIET || (n > 1 && llabs(most) < llabs(rss) / 20))
			break;
		taken[best] = true;
		str_addf(&s, "%s%s %s",
			 n		? ", "
			 : p->residency ? ": "
					: "",
			 best == BRIDGE_PROFILE ? "the heap profile" : BRIDGE_INFO[best].title,
			 unit_delta(text, most));
	}
	if (!n && !p->residency)
		str_add(&s, "nothing to speak of");
	str_add(&s, ".");
	ret = arena_strdup(m, s.s);
	str_free(&s);
	return ret;
}

static void add_head(struct report *r, const struct pair *p)
{
	struct arena *m = r->mem;
	int64_t ns = p->b.s->read.at_unix_ns - p->a.s->read.at_unix_ns;
	const char *x = subject_program(p->a.s, m), *y = subject_program(p->b.s, m);
	char text[UNIT_TEXT], mib[UNIT_TEXT];
	struct block *b;

	b = report_block(r, BLOCK_HEADLINE,
			 strcmp(x, y) != 0 ? arena_printf(m, "%s → %s", x, y)
			 : p->a.s->os->pid != p->b.s->os->pid
				 ? arena_printf(m, "%s" DOT "pid %d → %d", y, p->a.s->os->pid,
						p->b.s->os->pid)
				 : arena_printf(m, "%s" DOT "pid %d", y, p->b.s->os->pid));
	if (p->a.s->kind != SNAPSHOT_CORE && p->b.s->kind != SNAPSHOT_CORE)
		block_item(r, b,
			   arena_printf(m, "%s %s", unit_duration(text, llabs(ns)),
					ns < 0 ? "before" : "later"));
	if (p->residency) {
		unit_mib(mib, signed_bytes(p->a.l->rss));
		block_item(r, b,
			   arena_printf(m, "RSS %s → %s MiB", mib,
					unit_mib(text, signed_bytes(p->b.l->rss))));
	}
}

static void add_notes(struct report *r, const struct pair *p)
{
	struct value list = value_array(r->mem);
	const struct side *sides[] = {&p->a, &p->b};

	for (unsigned i = 0; i < 2; i++) {
		const struct notes *n = &sides[i]->s->notes;

		for (uint32_t k = 0; k < n->n; k++)
			report_note(r, list,
				    arena_printf(r->mem, "%s: %s", sides[i]->target, n->v[k]));
		r->partial |= n->partial || sides[i]->s->n_others > 0;
	}
	if (strcmp(p->a.s->go_version, p->b.s->go_version) != 0)
		report_note(r, list,
			    arena_printf(r->mem, "two releases: %s and %s", p->a.s->go_version,
					 p->b.s->go_version));
	report_put(r, "notes", list);
	r->partial |= !p->residency;
}

bool view_diff_run(const struct subject *in, const struct options *o, struct arena *a,
		   struct report *ret, struct err *err)
{
	struct pair p = {.a = {in->before, in->before_target, ARENA_NEW(a, struct ledger)},
			 .b = {in->s, in->target, ARENA_NEW(a, struct ledger)}};
	struct table *bridge, *causes, *sites, *spans, *lines;
	struct value os, profile;
	struct block *b;

	(void)o;
	if (!in->before)
		return err_set(err, ERR_USAGE, "diff: two targets are needed");
	ledger_build(p.a.s, a, NULL, NULL, p.a.l);
	ledger_build(p.b.s, a, NULL, NULL, p.b.l);
	p.residency = p.a.l->residency && p.b.l->residency;
	lines = lines_table(a, &p);
	bridge = bridge_table(a, &p);
	causes = causes_table(a, &p);
	sites = sites_table(a, &p);
	spans = spans_table(a, &p);

	report_init(ret, a, "whyrss.diff/1");
	report_put(ret, "a", side_json(a, &p.a));
	report_put(ret, "b", side_json(a, &p.b));
	report_put(
		ret, "seconds",
		p.a.s->kind == SNAPSHOT_CORE || p.b.s->kind == SNAPSHOT_CORE
			? value_null()
			: value_double((double)(p.b.s->read.at_unix_ns - p.a.s->read.at_unix_ns) /
				       1e9));
	os = value_object(a);
	put_pair(a, os, "rss", p.residency, p.a.l->rss, p.b.l->rss);
	put_pair(a, os, "swap", p.residency, p.a.s->os->swap, p.b.s->os->swap);
	put_pair(a, os, "page_tables", p.residency, p.a.s->os->page_tables, p.b.s->os->page_tables);
	report_put(ret, "os", os);
	profile = value_object(a);
	put_pair(a, profile, "inuse_space", true, (bytes)MAX(p.a.s->profile.inuse_space, 0),
		 (bytes)MAX(p.b.s->profile.inuse_space, 0));
	put_pair(a, profile, "inuse_objects", true, (bytes)MAX(p.a.s->profile.inuse_objects, 0),
		 (bytes)MAX(p.b.s->profile.inuse_objects, 0));
	put_pair(a, profile, "gc_cycle", true, p.a.s->profile.cycle, p.b.s->profile.cycle);
	report_put(ret, "profile", profile);
	report_put(ret, "lines", table_json(a, lines));
	report_put(ret, "bridge", table_json(a, bridge));
	report_put(ret, "causes", table_json(a, causes));
	report_put(ret, "sites", table_json(a, sites));
	report_put(ret, "spans", table_json(a, spans));
	report_put(ret, "verdict", value_str(verdict(a, &p)));
	ret->main = lines;

	add_head(ret, &p);
	report_block(ret, BLOCK_VERDICT, verdict(a, &p));
	report_block(ret, BLOCK_GAP, NULL);
	report_table(ret, bridge);
	for (unsigned i = 0; i < 3; i++) {
		struct table *t = (struct table *const[]){causes, sites, spans}[i];

		if (!t->rows.n)
			continue;
		report_block(ret, BLOCK_GAP, NULL);
		report_table(ret, t);
	}
	report_block(ret, BLOCK_GAP, NULL);
	b = report_block(ret, BLOCK_ITEMS, "next:");
	block_item(ret, b, arena_printf(a, "whyrss %s", in->before_target));
	block_item(ret, b, arena_printf(a, "whyrss %s", in->target));
	add_notes(ret, &p);
	return true;
}
