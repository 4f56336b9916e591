/*
 * The call graph for other programs: dot's and callgrind's languages. Sizes, colours and what of
 * the tags is shown follow google/pprof (internal/graph/dotgraph.go, internal/report/report.go).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pprof/gotext.h"
#include "pprof/measure.h"
#include "pprof/report_in.h"
#include "pprof/shorten.h"

#define TAGS_SHOWN 4U

/* --- dot --- */

static const char *escaped(const struct report *r, const char *s)
{
	struct str to = {0};
	const char *ret;

	str_add(&to, "");
	for (; *s; s++) {
		if (*s == '\\' || *s == '"')
			str_addn(&to, "\\", 1);
		if (*s == '\n')
			str_add(&to, "\\l");
		else
			str_addn(&to, s, 1);
	}
	ret = arena_strndup(r->mem, to.s, to.n);
	str_free(&to);
	return ret;
}

static void replace(struct str *s, const char *what, const char *with)
{
	struct str to = {0};
	const char *p = s->s, *hit;

	str_add(&to, "");
	for (; (hit = strstr(p, what)); p = hit + strlen(what)) {
		str_addn(&to, p, (size_t)(hit - p));
		str_add(&to, with);
	}
	str_add(&to, p);
	str_free(s);
	*s = to;
}

/* The name for a box: one part of it a line. */
static void node_label(const struct report *r, const struct graph_place *p, struct str *to)
{
	const char *file = lens_text(&r->l, p->file);
	struct str name = {0};

	str_add(&name, escaped(r, shorten_name(r->mem, lens_text(&r->l, p->name))));
	replace(&name, "::", "\\n");
	replace(&name, "[...]", "[\xe2\x80\xa6]"); /* type parameters stay on their line */
	replace(&name, ".", "\\n");
	place_name_parts(&r->l, p, name.s, *file ? go_path_base(r->mem, file) : "", "\\n", to);
	str_add(to, "\\n");
	str_free(&name);
}

static unsigned channel(double v)
{
	return (unsigned)(v * 255.0) & 0xff;
}

/* Red for what is added, green for what is gone, grey for little. */
static void add_color(struct str *to, double score, bool background)
{
	double saturation = background ? 0.1 : 1.0, value = background ? 0.93 : 0.7, red, green;

	score = isnan(score) ? score : fmax(-1, fmin(1, score));
	if (fabs(score) < 0.2)
		saturation *= fabs(score) / 0.2;
	if (score > 0)
		score = pow(score, 0.3);
	else if (score < 0)
		score = -pow(-score, 0.3);
	if (score < 0) {
		green = value;
		red = value * (1 + saturation * score);
	} else {
		red = value;
		green = value * (1 - saturation * score);
	}
	if (isnan(score))
		str_addf(to, "#%02x00%02x", channel(red), channel(value * (1 - saturation)));
	else
		str_addf(to, "#%02x%02x%02x", channel(red), channel(green),
			 channel(value * (1 - saturation)));
}

static double score_of(const struct report *r, int64_t v)
{
	return (double)v / (double)go_abs(r->total);
}

static const char *percent_in_label(const struct report *r, int64_t v)
{
	const char *s = report_percent_text(r, v, r->total);

	return s + strspn(s, " ");
}

static void dot_node(struct report *r, struct graph *g, uint32_t number, double max_flat)
{
	const struct graph_node *n = &g->nodes.v[g->order[number - 1]];
	const struct graph_place *p = &g->places.v[n->place];
	int64_t flat = node_flat(n), cum = node_cum(n);
	const char *flat_text = report_value_text(r, flat), *cum_text = flat_text;
	int size = 8;

	str_addf(r->out, "N%u [label=\"", number);
	node_label(r, p, r->out);
	if (flat)
		str_addf(r->out, "%s (%s)", flat_text, percent_in_label(r, flat));
	else
		str_add(r->out, "0");
	if (cum != flat) {
		cum_text = report_value_text(r, cum);
		str_addf(r->out, "%sof %s (%s)", flat ? "\\n" : " ", cum_text,
			 percent_in_label(r, cum));
	}
	if (max_flat != 0 && flat && (double)go_abs(flat) <= max_flat)
		size += (int)ceil(16.0 * sqrt((double)go_abs(flat) / max_flat));
	str_addf(r->out, "\" id=\"node%u\" fontsize=%d shape=box tooltip=\"%s (%s)\" color=\"",
		 number, size, escaped(r, node_name(g, n)), cum_text);
	add_color(r->out, score_of(r, cum), false);
	str_add(r->out, "\" fillcolor=\"");
	add_color(r->out, score_of(r, cum), true);
	str_add(r->out, "\"]\n");
}

/* --- boxes for tags --- */

static int64_t tag_flat(const struct graph_tag *t)
{
	return t->flat_div ? go_div(t->flat, t->flat_div) : t->flat;
}

static int64_t tag_cum(const struct graph_tag *t)
{
	return t->cum_div ? go_div(t->cum, t->cum_div) : t->cum;
}

static double tag_distance(const struct report *r, const struct graph_tag *t,
			   const struct graph_tag *u)
{
	double v =
		measure_scale(u->value, lens_text(&r->l, u->unit), lens_text(&r->l, t->unit)).value;

	return v < (double)t->value ? (double)t->value - v : v - (double)t->value;
}

/* One tag for a group of numbers: "64B..1kB". */
static struct graph_tag tag_merge(struct report *r, struct graph_tag **v, uint32_t n)
{
	const struct graph_tag *min = v[0], *max = v[0];
	struct graph_tag t = {.flat = v[0]->flat,
			      .flat_div = v[0]->flat_div,
			      .cum = v[0]->cum,
			      .cum_div = v[0]->cum_div};
	struct lens *l = &r->l;
	struct str name = {0};

	for (uint32_t i = 1; i < n; i++) {
		const char *unit = lens_text(l, v[i]->unit);

		if (go_int64(measure_scale(v[i]->value, unit, lens_text(l, min->unit)).value) <
		    min->value)
			min = v[i];
		if (go_int64(measure_scale(v[i]->value, unit, lens_text(l, max->unit)).value) >
		    max->value)
			max = v[i];
		t.flat = go_add(t.flat, v[i]->flat);
		t.flat_div = go_add(t.flat_div, v[i]->flat_div);
		t.cum = go_add(t.cum, v[i]->cum);
		t.cum_div = go_add(t.cum_div, v[i]->cum_div);
	}
	measure_label(&name, min->value, lens_text(l, min->unit), "auto");
	if (n > 1) {
		str_add(&name, "..");
		measure_label(&name, max->value, lens_text(l, max->unit), "auto");
	}
	t.flat = tag_flat(&t);
	t.cum = tag_cum(&t);
	t.flat_div = t.cum_div = 0;
	t.name = lens_str(l, name.s, name.n);
	str_free(&name);
	return t;
}

/* At most TAGS_SHOWN of them: each further one joins the nearest of the heaviest. */
static uint32_t collapse_tags(struct report *r, struct graph_tag **v, uint32_t n, bool flat)
{
	struct {
		struct graph_tag **v;
		uint32_t n;
	} groups[TAGS_SHOWN];
	struct graph_tag *merged = ARENA_ARRAY(r->mem, struct graph_tag, TAGS_SHOWN);

	graph_tags_sort(&r->l, v, n, flat);
	if (n <= TAGS_SHOWN)
		return n;
	for (uint32_t i = 0; i < TAGS_SHOWN; i++) {
		groups[i].v = ARENA_ARRAY(r->mem, struct graph_tag *, n);
		groups[i].v[0] = v[i];
		groups[i].n = 1;
	}
	for (uint32_t i = TAGS_SHOWN; i < n; i++) {
		double best = tag_distance(r, v[i], groups[0].v[0]);
		uint32_t to = 0;

		for (uint32_t j = 1; j < TAGS_SHOWN; j++) {
			double d = tag_distance(r, v[i], groups[j].v[0]);

			if (d < best) {
				best = d;
				to = j;
			}
		}
		groups[to].v[groups[to].n++] = v[i];
	}
	for (uint32_t i = 0; i < TAGS_SHOWN; i++) {
		merged[i] = tag_merge(r, groups[i].v, groups[i].n);
		v[i] = &merged[i];
	}
	graph_tags_sort(&r->l, v, TAGS_SHOWN, flat);
	return TAGS_SHOWN;
}

/* A tag's box and the edge that leads to it. */
static void dot_tag(struct report *r, const struct graph_tag *t, const char *box, const char *from,
		    int64_t w, bool dotted)
{
	const char *weight = report_value_text(r, w);

	str_addf(r->out, "%s [label = \"%s\" id=\"%s\" fontsize=8 shape=box3d tooltip=\"%s\"]\n",
		 box, lens_text(&r->l, t->name), box, weight);
	str_addf(r->out,
		 "%s -> %s [label=\" %s\" weight=100 tooltip=\"%s\" labeltooltip=\"%s\"%s]\n", from,
		 box, weight, weight, weight, dotted ? " style=\"dotted\"" : "");
}

/* The numeric tags of a node that occur with the string tags `group`. */
static bool dot_numbers(struct report *r, struct graph *g, uint32_t node, pstr group,
			bool flat_tags, const char *source)
{
	struct graph_tag **v =
		ARENA_ARRAY(r->mem, struct graph_tag *, g->tag_at[node + 1] - g->tag_at[node] + 1);
	uint32_t n = 0;
	bool any = false;
	char box[48];

	for (uint32_t i = g->tag_at[node]; i < g->tag_at[node + 1]; i++)
		if (g->tags.v[i].numeric && !g->tags.v[i].dead && g->tags.v[i].group == group)
			v[n++] = &g->tags.v[i];
	n = collapse_tags(r, v, n, flat_tags);
	for (uint32_t i = 0; i < n; i++) {
		bool flat = flat_tags || tag_flat(v[i]) == tag_cum(v[i]);
		int64_t w = flat ? tag_flat(v[i]) : tag_cum(v[i]);

		if (!w)
			continue;
		any = true;
		snprintf(box, sizeof(box), "N%s_%u", source, i);
		dot_tag(r, v[i], box, source, w, !flat);
	}
	return any;
}

/* Boxes for a node's tags; whether there are any. */
static bool dot_tags(struct report *r, struct graph *g, uint32_t number)
{
	uint32_t node = g->order[number - 1], n = 0, live = 0;
	const struct graph_node *at = &g->nodes.v[node];
	struct graph_tag **v =
		ARENA_ARRAY(r->mem, struct graph_tag *, g->tag_at[node + 1] - g->tag_at[node] + 1);
	bool any = false, flat_tags;
	char source[40], from[40];

	for (uint32_t i = 0; i < at->n_out; i++)
		live += !g->edges.v[g->out[at->out_at + i]].dead;
	/* a leaf has what its children had that are gone */
	flat_tags = live > 0;
	for (uint32_t i = g->tag_at[node]; i < g->tag_at[node + 1]; i++)
		if (!g->tags.v[i].numeric && !g->tags.v[i].dead)
			v[n++] = &g->tags.v[i];
	graph_tags_sort(&r->l, v, n, flat_tags);
	for (uint32_t i = 0; i < MIN(n, TAGS_SHOWN); i++) {
		int64_t w = flat_tags ? tag_flat(v[i]) : tag_cum(v[i]);

		if (!w)
			continue;
		any = true;
		snprintf(from, sizeof(from), "N%u", number);
		snprintf(source, sizeof(source), "N%u_%u", number, i);
		dot_tag(r, v[i], source, from, w, false);
		dot_numbers(r, g, node, v[i]->name, flat_tags, source);
	}
	snprintf(source, sizeof(source), "N%u", number);
	any |= dot_numbers(r, g, node, 0, flat_tags, source);
	return any;
}

static void dot_edge(struct report *r, struct graph *g, const struct graph_edge *e, uint32_t from,
		     uint32_t to, bool has_tags)
{
	int64_t w = edge_value(e), weight, width;
	const char *text = report_value_text(r, w), *tooltip;

	str_addf(r->out, "N%u -> N%u [label=\" %s%s\"", from, to, text,
		 e->inlined ? "\\n (inline)" : "");
	if (r->total) {
		weight = 1 + MIN(go_abs(go_div(go_mul(w, 100), r->total)), 100);
		width = 1 + MIN(go_abs(go_div(go_mul(w, 5), r->total)), 5);
		if (weight > 1)
			str_addf(r->out, " weight=%lld", (long long)weight);
		if (width > 1)
			str_addf(r->out, " penwidth=%lld", (long long)width);
		str_add(r->out, " color=\"");
		add_color(r->out, score_of(r, w), false);
		str_add(r->out, "\"");
	}
	tooltip = arena_printf(
		r->mem, "\"%s %s %s (%s)\"", escaped(r, node_name(g, &g->nodes.v[e->src])),
		e->residual ? "..." : "->", escaped(r, node_name(g, &g->nodes.v[e->dest])), text);
	str_addf(r->out, " tooltip=%s labeltooltip=%s", tooltip, tooltip);
	if (e->residual)
		str_add(r->out, " style=\"dotted\"");
	if (has_tags)
		str_add(r->out, " minlen=2");
	str_add(r->out, "]\n");
}

/* The header as a box: its first line names it. */
static void dot_legend(struct report *r, const struct graph *g)
{
	struct str labels = {0};
	const char *first = "";

	report_labels(r, g, true, &labels);
	labels.s[--labels.n] = '\0'; /* the last newline */
	/* Lines are joined by \l, and so are those inside of a comment. The line about how to read
	 * the graph begins with a newline of its own. A first line may have more than one, as a
	 * comment. */
	if (r->p->n_mappings && (r->p->mappings[0].file || r->p->mappings[0].build_id)) {
		first = arena_strndup(r->mem, labels.s, strcspn(labels.s, "\n"));
	} else {
		for (uint32_t i = 0; i < r->p->n_comments && !*first; i++)
			if (*pprof_text(r->p, r->p->comments[i]) != '#')
				first = pprof_text(r->p, r->p->comments[i]);
		if (!*first)
			first = arena_strndup(r->mem, labels.s, strcspn(labels.s, "\n"));
	}
	str_addf(r->out, "subgraph cluster_L { \"%s\" [shape=box fontsize=16 label=\"%s\\l\"",
		 escaped(r, first), escaped(r, labels.s));
	if (r->title)
		str_addf(r->out, " tooltip=\"%s\"", r->title);
	str_add(r->out, "] }\n");
	str_free(&labels);
}

static uint32_t *node_numbers(struct report *r, const struct graph *g)
{
	uint32_t *ret = ARENA_ARRAY(r->mem, uint32_t, g->nodes.n + 1);

	for (uint32_t k = 0; k < g->n_order; k++)
		ret[g->order[k]] = k + 1;
	return ret;
}

bool report_dot(struct report *r)
{
	uint32_t *numbers, *all, n_all = 0, m;
	struct graph_edge **edges;
	double max_flat = 0;
	struct graph g;
	bool *has_tags;

	graph_trimmed(&g, &r->l, &r->graph);
	report_choose_unit(r, &g);
	str_addf(r->out, "digraph \"%s\" {\nnode [style=filled fillcolor=\"#f8f8f8\"]\n",
		 r->title ? r->title : "unnamed");
	dot_legend(r, &g);
	numbers = node_numbers(r, &g);
	has_tags = ARENA_ARRAY(r->mem, bool, g.nodes.n + 1);
	all = ARENA_ARRAY(r->mem, uint32_t, g.edges.n + 1);
	for (uint32_t k = 0; k < g.n_order; k++)
		max_flat = fmax(max_flat, (double)go_abs(node_flat(&g.nodes.v[g.order[k]])));
	for (uint32_t k = 0; k < g.n_order; k++) {
		const struct graph_node *n = &g.nodes.v[g.order[k]];

		dot_node(r, &g, k + 1, max_flat);
		has_tags[g.order[k]] = dot_tags(r, &g, k + 1);
		for (uint32_t i = 0; i < n->n_out; i++)
			all[n_all++] = g.out[n->out_at + i];
	}
	edges = graph_edges_sorted(&g, all, n_all, r->mem, &m);
	for (uint32_t i = 0; i < m; i++)
		dot_edge(r, &g, edges[i], numbers[edges[i]->src], numbers[edges[i]->dest],
			 has_tags[edges[i]->src]);
	str_add(r->out, "}\n");
	return true;
}

/* --- callgrind --- */

/* A name is written once, then only its number: "(3) main.main", "(3)". */
struct name_numbers {
	uint32_t *of; /* by pstr */
	uint32_t cap, n;
};

static void add_numbered(struct report *r, struct name_numbers *names, const char *key, pstr s)
{
	str_addf(r->out, "%s=", key);
	if (s >= names->cap) {
		uint32_t cap = MAX(s + 1, names->cap * 2);
		uint32_t *of = ARENA_ARRAY(r->mem, uint32_t, cap);

		if (names->cap)
			memcpy(of, names->of, names->cap * sizeof(*of));
		names->of = of;
		names->cap = cap;
	}
	if (s && names->of[s]) {
		str_addf(r->out, "(%u)", names->of[s]);
	} else if (s) {
		names->of[s] = ++names->n;
		str_addf(r->out, "(%u) %s", names->n, lens_text(&r->l, s));
	}
	str_add(r->out, "\n");
}

/* An address, or its distance from the last one where that is shorter. */
static const char *address_text(const struct graph_place *last, uint64_t address, char text[2][24])
{
	snprintf(text[0], sizeof(text[0]), "0x%llx", (unsigned long long)address);
	if (!last)
		return text[0];
	if (last->address == address)
		return "*";
	snprintf(text[1], sizeof(text[1]), "%+lld", (long long)(address - last->address));
	return strlen(text[1]) < strlen(text[0]) ? text[1] : text[0];
}

/* Which function a node belongs to, as a number among those of its name and file: callgrind would
 * merge functions that only differ in their object, start line or path of calls. */
struct same_name {
	uint32_t node, rank;
	uint32_t parent; /* in a tree */
	pstr name, file, object;
	int64_t start_line, column;
};

static int compare_functions(const struct same_name *x, const struct same_name *y)
{
	if (x->parent != y->parent)
		return x->parent < y->parent ? -1 : 1;
	if (x->object != y->object)
		return x->object < y->object ? -1 : 1;
	if (x->start_line != y->start_line)
		return x->start_line < y->start_line ? -1 : 1;
	return (x->column > y->column) - (x->column < y->column);
}

static int compare_same_names(const void *a, const void *b)
{
	const struct same_name *x = a, *y = b;
	int c;

	if (x->name != y->name)
		return x->name < y->name ? -1 : 1;
	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	c = compare_functions(x, y);
	return c ? c : x->rank < y->rank ? -1 : 1;
}

static int compare_ranks(const void *a, const void *b)
{
	const struct same_name *x = a, *y = b;

	return x->rank < y->rank ? -1 : x->rank > y->rank;
}

/* The name of each node that is shown, "name [2/3]" where there are several; 0 of others. */
static pstr *distinct_names(struct report *r, struct graph *g, const uint32_t *parents)
{
	pstr *ret = ARENA_ARRAY(r->mem, pstr, g->nodes.n + 1);
	struct same_name *v = ARENA_ARRAY(r->mem, struct same_name, g->n_order + 1);
	uint32_t *first = ARENA_ARRAY(r->mem, uint32_t, g->n_order + 1); /* rank of each function */

	for (uint32_t k = 0; k < g->n_order; k++) {
		const struct graph_place *p = &g->places.v[g->nodes.v[g->order[k]].place];

		v[k] = (struct same_name){.node = g->order[k],
					  .rank = k,
					  .parent = parents ? parents[g->order[k]] : 0,
					  .name = p->name,
					  .file = p->file,
					  .object = p->object,
					  .start_line = p->start_line,
					  /* a place without address and line is a function */
					  .column = p->address || p->line ? 0 : p->column};
	}
	qsort(v, g->n_order, sizeof(*v), compare_same_names);
	for (uint32_t from = 0, to; from < g->n_order; from = to) {
		uint32_t functions = 0;

		for (to = from;
		     to < g->n_order && v[to].name == v[from].name && v[to].file == v[from].file;
		     to++) {
			/* the rank of the function's first node stands for it */
			if (to == from || compare_functions(&v[to], &v[to - 1]) != 0) {
				functions++;
				first[to] = v[to].rank;
			} else {
				first[to] = first[to - 1];
			}
		}
		if (functions == 1) {
			for (uint32_t i = from; i < to; i++)
				ret[v[i].node] = v[i].name;
			continue;
		}
		/* functions are numbered in the order in which they are shown first */
		for (uint32_t i = from; i < to; i++)
			v[i].parent = first[i];
		qsort(v + from, to - from, sizeof(*v), compare_ranks);
		for (uint32_t i = from, number = 0; i < to; i++) {
			if (v[i].parent == v[i].rank)
				first[v[i].rank] = ++number; /* each function's own slot */
		}
		for (uint32_t i = from; i < to; i++) {
			const char *s =
				arena_printf(r->mem, "%s [%u/%u]", lens_text(&r->l, v[i].name),
					     first[v[i].parent], functions);

			ret[v[i].node] = lens_str(&r->l, s, strlen(s));
		}
	}
	return ret;
}

static long long in_unit(const struct report *r, int64_t v)
{
	return (long long)go_int64(measure_scale(v, r->unit, r->output_unit).value);
}

bool report_callgrind(struct report *r)
{
	struct name_numbers objects = {0}, files = {0}, functions = {0};
	const struct graph_place *last = NULL;
	uint32_t *parents = NULL, m;
	struct graph g;
	pstr *names;

	graph_trimmed(&g, &r->l, &r->graph);
	report_choose_unit(r, &g);
	if (r->graph.tree) {
		parents = ARENA_ARRAY(r->mem, uint32_t, g.nodes.n + 1);
		for (uint32_t i = 0; i < g.nodes.n; i++)
			parents[i] = g.nodes.v[i].parent_edge == PPROF_NONE
					     ? PPROF_NONE
					     : g.edges.v[g.nodes.v[i].parent_edge].src;
	}
	names = distinct_names(r, &g, parents);
	str_addf(r->out, "positions: instr line\nevents: %s(%s)\n", r->type, r->output_unit);
	for (uint32_t k = 0; k < g.n_order && report_flush(r); k++) {
		const struct graph_node *n = &g.nodes.v[g.order[k]];
		const struct graph_place *p = &g.places.v[n->place];
		CLEANUP(arena_free) struct arena tmp = {0}; /* there may be millions of edges */
		struct graph_edge **out;
		char text[2][24];

		if (!last || p->object != last->object || p->file != last->file ||
		    p->name != last->name) {
			str_add(r->out, "\n");
			add_numbered(r, &objects, "ob", p->object);
			add_numbered(r, &files, "fl", p->file);
			add_numbered(r, &functions, "fn", p->name);
		}
		str_addf(r->out, "%s %lld %lld\n", address_text(last, p->address, text),
			 (long long)p->line, in_unit(r, node_flat(n)));
		out = graph_edges_sorted(&g, g.out + n->out_at, n->n_out, &tmp, &m);
		for (uint32_t i = 0; i < m; i++) {
			const struct graph_place *q = &g.places.v[g.nodes.v[out[i]->dest].place];

			add_numbered(r, &files, "cfl", q->file);
			add_numbered(r, &functions, "cfn", names[out[i]->dest]);
			str_addf(r->out, "calls=0 %s %lld\n* * %lld\n",
				 address_text(last, q->address, text), (long long)q->line,
				 in_unit(r, out[i]->weight));
		}
		last = p;
	}
	return true;
}
