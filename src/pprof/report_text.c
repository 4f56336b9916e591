/* Reports that are tables of nodes: text and top; tree and peek; tags; comments. */
#include <stdlib.h>
#include <string.h>

#include "pprof/gotext.h"
#include "pprof/measure.h"
#include "pprof/pairs.h"
#include "pprof/report_in.h"

/* A cell, of `width` columns. */
static void add_value(struct report *r, int width, int64_t v)
{
	struct str s = {0};

	report_value(r, v, &s);
	go_pad(r->out, width, s.s);
	str_free(&s);
}

/* " (inline)" when all calls of the node were inlined, "(partial-inline)" when some were. */
static const char *inline_label(const struct graph *g, const struct graph_node *n)
{
	bool inlined = false, called = false;

	for (uint32_t i = 0; i < n->n_in; i++) {
		const struct graph_edge *e = &g->edges.v[g->in[n->in_at + i]];

		inlined |= !e->dead && e->inlined;
		called |= !e->dead && !e->inlined;
	}
	return !inlined ? "" : called ? " (partial-inline)" : " (inline)";
}

/* What a node's line begins with. */
static void add_columns(struct report *r, int64_t flat, int64_t sum, int64_t cum)
{
	add_value(r, 10, flat);
	str_add(r->out, " ");
	measure_percent(r->out, flat, r->total);
	str_add(r->out, " ");
	measure_percent(r->out, sum, r->total);
	str_add(r->out, " ");
	add_value(r, 10, cum);
	str_add(r->out, " ");
	measure_percent(r->out, cum, r->total);
}

bool report_text(struct report *r)
{
	struct graph g;
	int64_t sum = 0;

	graph_trimmed(&g, &r->l, &r->graph);
	report_choose_unit(r, &g);
	report_labels(r, &g, false, r->out);
	str_add(r->out, "      flat  flat%   sum%        cum   cum%\n");
	for (uint32_t k = 0; k < g.n_order && report_flush(r); k++) {
		const struct graph_node *n = &g.nodes.v[g.order[k]];
		int64_t flat = node_flat(n), cum = node_cum(n);

		sum = go_add(sum, flat);
		add_columns(r, flat, sum, cum);
		str_add(r->out, "  ");
		str_add(r->out, node_name(&g, n));
		str_add(r->out, inline_label(&g, n));
		str_add(r->out, "\n");
	}
	return true;
}

static void tree_edge(struct report *r, struct graph *g, const struct graph_edge *e, uint32_t other,
		      int64_t cum)
{
	add_value(r, 50, e->weight);
	str_add(r->out, " ");
	measure_percent(r->out, e->weight, cum);
	str_add(r->out, " |   ");
	str_add(r->out, node_name(g, &g->nodes.v[other]));
	str_add(r->out, e->inlined ? " (inline)\n" : "\n");
}

bool report_tree(struct report *r)
{
	static const char line[] =
		"----------------------------------------------------------+-------------\n";
	struct graph g;
	struct graph_edge **edges;
	uint32_t matched = 0, m;
	int64_t sum = 0;

	graph_trimmed(&g, &r->l, &r->graph);
	report_choose_unit(r, &g);
	report_labels(r, &g, false, r->out);
	str_add(r->out, line);
	str_add(r->out, "      flat  flat%   sum%        cum   cum%   calls calls% + context 	 "
			"	 \n");
	for (uint32_t k = 0; k < g.n_order && report_flush(r); k++) {
		const struct graph_node *n = &g.nodes.v[g.order[k]];
		int64_t flat = node_flat(n), cum = node_cum(n);
		const char *name = node_name(&g, n);

		if (r->symbol && !rx_match(r->symbol, name, strlen(name)))
			continue;
		matched++;
		str_add(r->out, line);
		edges = graph_edges_sorted(&g, g.in + n->in_at, n->n_in, r->mem, &m);
		for (uint32_t i = 0; i < m; i++)
			tree_edge(r, &g, edges[i], edges[i]->src, cum);
		sum = go_add(sum, flat);
		add_columns(r, flat, sum, cum);
		str_add(r->out, "                | ");
		str_add(r->out, name);
		str_add(r->out, "\n");
		edges = graph_edges_sorted(&g, g.out + n->out_at, n->n_out, r->mem, &m);
		for (uint32_t i = 0; i < m; i++)
			tree_edge(r, &g, edges[i], edges[i]->dest, cum);
	}
	if (g.n_order)
		str_add(r->out, line);
	if (r->symbol && !matched)
		return err_set(r->err, ERR_FORMAT, "no matches found for regexp: %.200s",
			       rx_pattern(r->symbol));
	return true;
}

bool report_comments(struct report *r)
{
	for (uint32_t i = 0; i < r->p->n_comments; i++) {
		str_add(r->out, pprof_text(r->p, r->p->comments[i]));
		str_add(r->out, "\n");
	}
	return true;
}

/* --- tags --- */

/* The samples that have a tag with one value. */
struct tag_value {
	pstr key, value;
	int64_t sum;
};

struct tag_sums {
	struct report *r;
	struct pairs set;
	VEC(struct tag_value) values;
};

static void count_tag(struct tag_sums *t, pstr key, pstr value, int64_t v)
{
	struct pair *at = pairs_find(&t->set, t->r->mem, key, value);

	if (!at->at) {
		*VEC_PUSH(t->r->mem, &t->values) = (struct tag_value){.key = key, .value = value};
		at->at = t->values.n;
	}
	t->values.v[at->at - 1].sum = go_add(t->values.v[at->at - 1].sum, v);
}

static void count_tags(struct tag_sums *t)
{
	struct lens *l = &t->r->l;

	for (uint32_t k = 0; k < l->n_samples; k++) {
		uint32_t i = l->sample ? l->sample[k] : k, n;
		int64_t v = l->p->values[(size_t)i * l->p->n_types + t->r->value];
		const struct pprof_label *labels = lens_labels(l, i, &n);

		for (uint32_t j = 0; j < n; j++) {
			struct str text = {0};

			if (!labels[j].is_num) {
				count_tag(t, labels[j].key, labels[j].str, v);
				continue;
			}
			measure_label(&text, labels[j].num,
				      lens_text(l, lens_unit(l, labels[j].key)), t->r->output_unit);
			count_tag(t, labels[j].key, lens_str(l, text.s, text.n), v);
			str_free(&text);
		}
	}
}

/* By key, then the largest first. */
static int compare_values(const void *a, const void *b, void *ctx)
{
	const struct tag_value *x = a, *y = b;
	const struct lens *l = ctx;
	int64_t m = go_abs(x->sum), n = go_abs(y->sum);
	int c = strcmp(lens_text(l, x->key), lens_text(l, y->key));

	if (!c)
		c = m == n ? 0 : m > n ? -1 : 1;
	return c ? c : strcmp(lens_text(l, x->value), lens_text(l, y->value));
}

/* Lines of cells that tabs end, aligned to the right as Go's text/tabwriter does with a padding of
 * one: a column is as wide as the widest cell of the lines in a row that have it. The last cell of
 * a line is no column. */
struct cell {
	const char *s;
	size_t n;
};

struct table_line {
	struct cell *cells;
	uint32_t n;
};

static void add_table(struct report *r, const char *text)
{
	VEC(struct table_line) lines = {0};
	const char *p = text;
	uint32_t most = 0;
	size_t **widths;

	while (*p) {
		VEC(struct cell) cells = {0};
		size_t n;

		for (;; p += n + 1) {
			n = strcspn(p, "\t\v\n\f");
			*VEC_PUSH(r->mem, &cells) = (struct cell){p, n};
			if (p[n] != '\t' && p[n] != '\v')
				break;
		}
		p += n + (p[n] != '\0');
		*VEC_PUSH(r->mem, &lines) = (struct table_line){cells.v, cells.n};
		most = MAX(most, cells.n);
	}
	widths = ARENA_ARRAY(r->mem, size_t *, lines.n + 1);
	for (uint32_t i = 0; i < lines.n; i++)
		widths[i] = ARENA_ARRAY(r->mem, size_t, lines.v[i].n);
	for (uint32_t column = 0; column + 1 < most; column++)
		for (uint32_t from = 0, to; from < lines.n; from = to + 1) {
			size_t width = 0;

			for (to = from; to < lines.n && column + 1 < lines.v[to].n; to++) {
				const struct cell *c = &lines.v[to].cells[column];

				width = MAX(width, go_runes(c->s, c->n) + 1);
			}
			for (uint32_t i = from; i < to; i++)
				widths[i][column] = width;
		}
	for (uint32_t i = 0; i < lines.n; i++) {
		for (uint32_t j = 0; j < lines.v[i].n; j++) {
			const char *s =
				arena_strndup(r->mem, lines.v[i].cells[j].s, lines.v[i].cells[j].n);

			go_pad(r->out, (int)widths[i][j], s);
		}
		str_add(r->out, "\n");
	}
}

bool report_tags(struct report *r)
{
	struct tag_sums t = {.r = r};
	struct str text = {0};

	count_tags(&t);
	if (t.values.n)
		qsort_r(t.values.v, t.values.n, sizeof(*t.values.v), compare_values, &r->l);
	for (uint32_t i = 0, end; i < t.values.n; i = end) {
		int64_t sum = 0;

		for (end = i; end < t.values.n && t.values.v[end].key == t.values.v[i].key; end++)
			sum = go_add(sum, t.values.v[end].sum);
		str_addf(&text, "%s:\t Total %s of %s", lens_text(&r->l, t.values.v[i].key),
			 report_value_text(r, sum), report_value_text(r, r->total));
		if (r->total > 0)
			str_addf(&text, " (%s)", report_percent_text(r, sum, r->total));
		str_add(&text, "\n");
		for (uint32_t j = i; j < end; j++) {
			int64_t v = t.values.v[j].sum;

			str_addf(&text, " \t%s", report_value_text(r, v));
			if (r->total > 0)
				str_addf(&text, " (%s)", report_percent_text(r, v, r->total));
			str_addf(&text, ":\t %s\n", lens_text(&r->l, t.values.v[j].value));
		}
		str_add(&text, "\n");
	}
	if (text.n)
		add_table(r, text.s);
	str_free(&text);
	return true;
}
