/*
 * Layered drawing after Sugiyama: edges that close a cycle are turned around, a node's layer is the
 * longest path to it, edges over several layers get a point in each between them, layers are sorted
 * by the mean place of the neighbours, and places are pulled towards the neighbours. What is read
 * is the text that report_graph.c makes, line by line.
 */
#include "pprof/layout.h"

#include <stdlib.h>
#include <string.h>

#include "pprof/gotext.h"
#include "pprof/set.h"

#define NODES_MAX   4000U
#define EDGES_MAX   20000U
#define POINTS_MAX  200000U /* places in layers, those of edges included */
#define SWEEPS	    12
#define PULLS	    24
#define GAP	    24.0 /* between boxes, in the units of the picture */
#define LAYER_GAP   64.0
#define POINT_WIDTH 12.0
#define CHAR_WIDTH  0.62 /* of the letters' size */
#define LINE_HEIGHT 1.2
#define MARGIN	    16.0
#define NONE	    UINT32_MAX

enum { AT_LABEL, AT_TOOLTIP, AT_COLOR, AT_FILL, AT_SIZE, AT_WIDTH, AT_STYLE, AT_ID, N_ATTRIBUTES };
static const char *const ATTRIBUTES[N_ATTRIBUTES] = {"label",	 "tooltip",  "color", "fillcolor",
						     "fontsize", "penwidth", "style", "id"};

struct box {
	const char *at[N_ATTRIBUTES];
	double size; /* of its letters */
	double width, height;
	uint32_t point;
	uint8_t state; /* of the search for cycles: 0 new, 1 open, 2 done */
	uint32_t rank;
	uint32_t out_at, n_out;
};

struct edge {
	const char *at[N_ATTRIBUTES];
	uint32_t from, to;	   /* boxes */
	bool turned;		   /* goes up */
	uint32_t points, n_points; /* between the two, from the upper to the lower one */
};

/* A place in a layer: a box, or where an edge passes. */
struct point {
	uint32_t box; /* NONE: an edge's */
	uint32_t rank, place;
	double width, x, mean;
	uint32_t up_at, n_up, down_at, n_down; /* in picture.links */
};

struct layer {
	uint32_t *v, n;
	double y, height;
};

struct picture {
	struct arena *a;
	struct pprof_set by_name;
	VEC(struct box) boxes;
	VEC(const char *) names;
	VEC(struct edge) edges;
	VEC(struct point) points;
	uint32_t *links;
	struct layer *layers;
	uint32_t n_layers;
	const char *legend, *title;
	double width, height;
};

/* --- reading --- */

static uint32_t box_of(struct picture *p, const char *name, size_t n)
{
	uint64_t hash = hash_bytes((uintptr_t)p->a, name, n);
	uint32_t at = 0, i;

	while ((i = pprof_set_next(&p->by_name, hash, &at)) != PPROF_NONE && p->names.v)
		if (strlen(p->names.v[i]) == n && !memcmp(p->names.v[i], name, n))
			return i;
	pprof_set_add(&p->by_name, p->a, hash, p->boxes.n);
	*VEC_PUSH(p->a, &p->names) = arena_strndup(p->a, name, n);
	*VEC_PUSH(p->a, &p->boxes) = (struct box){.size = 8};
	return p->boxes.n - 1;
}

/* A value behind '=': a word, or text in quotes whose line ends are made '\n'. */
static const char *read_value(struct picture *p, const char **at)
{
	struct str s = {0};
	const char *c = *at, *ret;

	str_add(&s, "");
	if (*c != '"') {
		size_t n = strcspn(c, " ]");

		str_addn(&s, c, n);
		c += n;
	} else {
		for (c++; *c && *c != '"' && *c != '\n'; c++) {
			if (*c == '\\' && (c[1] == 'n' || c[1] == 'l')) {
				str_add(&s, "\n");
				c++;
			} else if (*c == '\\' && (c[1] == '"' || c[1] == '\\')) {
				str_addn(&s, ++c, 1);
			} else {
				str_addn(&s, c, 1);
			}
		}
		c += *c == '"';
	}
	*at = c;
	ret = arena_strndup(p->a, s.s, s.n);
	str_free(&s);
	return ret;
}

/* "[label="x" id="node1" …]" */
static void read_attributes(struct picture *p, const char *c, const char *ret[N_ATTRIBUTES])
{
	for (unsigned i = 0; i < N_ATTRIBUTES; i++)
		ret[i] = "";
	for (;;) {
		const char *name = c += strspn(c, " "), *value;
		size_t n = strcspn(c, " =]\n");

		c += n;
		c += strspn(c, " ");
		if (*c != '=')
			return;
		c++;
		c += strspn(c, " ");
		value = read_value(p, &c);
		for (unsigned i = 0; i < N_ATTRIBUTES; i++)
			if (strlen(ATTRIBUTES[i]) == n && !memcmp(ATTRIBUTES[i], name, n))
				ret[i] = value;
	}
}

static void measure_text(const char *text, double size, double *ret_width, double *ret_height)
{
	double width = 0, height = 0;

	for (const char *s = text; *s; s += *s == '\n') {
		size_t n = strcspn(s, "\n");

		width = MAX(width, (double)go_runes(s, n) * size * CHAR_WIDTH);
		height += size * LINE_HEIGHT;
		s += n;
	}
	*ret_width = width;
	*ret_height = height;
}

static bool read_line(struct picture *p, const char *line, struct err *err)
{
	size_t n = strspn(line, "N_0123456789");
	const char *open = line + n;
	struct box *b;
	struct edge e = {0};

	if (str_starts(line, "subgraph")) {
		const char *at = strstr(line, "label="), *end = strchr(line, '\n');

		if (at && (!end || at < end)) {
			at += strlen("label=");
			p->legend = read_value(p, &at);
		}
		return true;
	}
	if (*line != 'N' || !n)
		return true;
	if (str_starts(open, " [")) {
		uint32_t i = box_of(p, line, n);

		b = &p->boxes.v[i];
		read_attributes(p, open + 2, b->at);
		if (*b->at[AT_SIZE])
			b->size = MAX(1, MIN(100, atof(b->at[AT_SIZE])));
		measure_text(b->at[AT_LABEL], b->size, &b->width, &b->height);
		b->width += b->size;
		b->height += b->size;
	} else if (str_starts(open, " -> N")) {
		const char *to = open + 4;
		size_t m = strspn(to, "N_0123456789");

		e.from = box_of(p, line, n);
		e.to = box_of(p, to, m);
		read_attributes(p, to + m + (to[m] == ' ') + (to[m] == ' ' && to[m + 1] == '['),
				e.at);
		*VEC_PUSH(p->a, &p->edges) = e;
	}
	if (p->boxes.n > NODES_MAX || p->edges.n > EDGES_MAX)
		return err_set(err, ERR_LIMIT,
			       "more than %u boxes or %u edges; dot draws them, -nodecount leaves "
			       "some out",
			       NODES_MAX, EDGES_MAX);
	return true;
}

/* --- layers --- */

static int by_source(const void *x, const void *y)
{
	const struct edge *a = x, *b = y;

	return (a->from > b->from) - (a->from < b->from);
}

/* Depth first from the heaviest box; an edge to one that is still open closes a cycle. */
static void turn_cycles(struct picture *p)
{
	uint32_t *stack = ARENA_ARRAY(p->a, uint32_t, p->boxes.n + 1);
	uint32_t *next = ARENA_ARRAY(p->a, uint32_t, p->boxes.n + 1), depth;

	for (uint32_t root = 0; root < p->boxes.n; root++) {
		if (p->boxes.v[root].state)
			continue;
		stack[0] = root;
		depth = 1;
		p->boxes.v[root].state = 1;
		while (depth) {
			struct box *b = &p->boxes.v[stack[depth - 1]];
			struct edge *e;

			if (next[stack[depth - 1]] == b->n_out) {
				b->state = 2;
				depth--;
				continue;
			}
			e = &p->edges.v[b->out_at + next[stack[depth - 1]]++];
			if (p->boxes.v[e->to].state == 1) {
				e->turned = true;
			} else if (!p->boxes.v[e->to].state) {
				p->boxes.v[e->to].state = 1;
				stack[depth++] = e->to;
			}
		}
	}
}

static uint32_t upper(const struct edge *e)
{
	return e->turned ? e->to : e->from;
}

static uint32_t lower(const struct edge *e)
{
	return e->turned ? e->from : e->to;
}

/* Without cycles, at most as many rounds as there are layers. */
static void rank(struct picture *p)
{
	bool changed = true;

	for (uint32_t round = 0; changed && round <= p->boxes.n; round++) {
		changed = false;
		for (uint32_t i = 0; i < p->edges.n; i++) {
			const struct edge *e = &p->edges.v[i];
			const struct box *u = &p->boxes.v[upper(e)];
			struct box *l = &p->boxes.v[lower(e)];

			if (e->from != e->to && l->rank <= u->rank) {
				l->rank = u->rank + 1;
				changed = true;
			}
		}
	}
	for (uint32_t i = 0; i < p->boxes.n; i++)
		p->n_layers = MAX(p->n_layers, p->boxes.v[i].rank + 1);
}

static uint32_t add_point(struct picture *p, uint32_t box, uint32_t at, double width)
{
	*VEC_PUSH(p->a, &p->points) = (struct point){.box = box, .rank = at, .width = width};
	return p->points.n - 1;
}

static bool add_points(struct picture *p, struct err *err)
{
	for (uint32_t i = 0; i < p->boxes.n; i++)
		p->boxes.v[i].point =
			add_point(p, i, p->boxes.v[i].rank, MAX(p->boxes.v[i].width, 20));
	for (uint32_t i = 0; i < p->edges.n; i++) {
		struct edge *e = &p->edges.v[i];
		uint32_t from = p->boxes.v[upper(e)].rank, to = p->boxes.v[lower(e)].rank;

		e->points = p->points.n;
		for (uint32_t at = from + 1; at < to && e->from != e->to; at++) {
			add_point(p, NONE, at, POINT_WIDTH);
			e->n_points++;
			if (p->points.n > POINTS_MAX)
				return err_set(err, ERR_LIMIT,
					       "edges over too many layers; dot draws "
					       "them, -nodecount leaves some out");
		}
	}
	return true;
}

/* The neighbours of each point, above and below. */
static void link_points(struct picture *p)
{
	uint32_t n_links = 0, at = 0;

	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < p->edges.n; i++) {
			const struct edge *e = &p->edges.v[i];
			uint32_t above = p->boxes.v[upper(e)].point;

			if (e->from == e->to)
				continue;
			for (uint32_t k = 0; k <= e->n_points; k++) {
				uint32_t below = k < e->n_points ? e->points + k
								 : p->boxes.v[lower(e)].point;
				struct point *u = &p->points.v[above], *l = &p->points.v[below];

				if (pass) {
					p->links[u->down_at + u->n_down] = below;
					p->links[l->up_at + l->n_up] = above;
				}
				u->n_down++;
				l->n_up++;
				n_links += 2;
				above = below;
			}
		}
		if (pass)
			break;
		p->links = ARENA_ARRAY(p->a, uint32_t, n_links + 1);
		for (uint32_t i = 0; i < p->points.n; i++) {
			struct point *x = &p->points.v[i];

			x->up_at = at;
			at += x->n_up;
			x->down_at = at;
			at += x->n_down;
			x->n_up = x->n_down = 0;
		}
	}
}

static void fill_layers(struct picture *p)
{
	p->layers = ARENA_ARRAY(p->a, struct layer, p->n_layers + 1);
	for (uint32_t i = 0; i < p->points.n; i++)
		p->layers[p->points.v[i].rank].n++;
	for (uint32_t k = 0; k < p->n_layers; k++) {
		p->layers[k].v = ARENA_ARRAY(p->a, uint32_t, p->layers[k].n + 1);
		p->layers[k].n = 0;
	}
	for (uint32_t i = 0; i < p->points.n; i++) {
		struct layer *l = &p->layers[p->points.v[i].rank];

		p->points.v[i].place = l->n;
		l->v[l->n++] = i;
	}
}

static int by_mean(const void *x, const void *y, void *ctx)
{
	const struct point *v = ctx, *a = &v[*(const uint32_t *)x], *b = &v[*(const uint32_t *)y];

	if (a->mean != b->mean)
		return a->mean < b->mean ? -1 : 1;
	return (a->place > b->place) - (a->place < b->place);
}

static void sort_layer(struct picture *p, struct layer *l, bool by_upper)
{
	for (uint32_t i = 0; i < l->n; i++) {
		struct point *x = &p->points.v[l->v[i]];
		uint32_t n = by_upper ? x->n_up : x->n_down;
		const uint32_t *links = p->links + (by_upper ? x->up_at : x->down_at);
		double sum = 0;

		for (uint32_t k = 0; k < n; k++)
			sum += p->points.v[links[k]].place;
		x->mean = n ? sum / n : x->place;
	}
	qsort_r(l->v, l->n, sizeof(*l->v), by_mean, p->points.v);
	for (uint32_t i = 0; i < l->n; i++)
		p->points.v[l->v[i]].place = i;
}

/* --- places --- */

/* Left to right with the least distance, then all moved to where they want to be on the whole. */
static void spread(struct picture *p, const struct layer *l)
{
	double x = -1e18, off = 0;

	for (uint32_t i = 0; i < l->n; i++) {
		struct point *at = &p->points.v[l->v[i]];

		at->x = MAX(at->mean, x + at->width / 2);
		x = at->x + at->width / 2 + GAP;
		off += at->mean - at->x;
	}
	for (uint32_t i = 0; i < l->n; i++)
		p->points.v[l->v[i]].x += off / l->n;
}

static void pull(struct picture *p, const struct layer *l)
{
	for (uint32_t i = 0; i < l->n; i++) {
		struct point *x = &p->points.v[l->v[i]];
		uint32_t n = x->n_up + x->n_down;
		double sum = 0;

		/* up_at … and down_at … follow each other */
		for (uint32_t k = 0; k < n; k++)
			sum += p->points.v[p->links[x->up_at + k]].x;
		x->mean = n ? sum / n : x->x;
	}
	spread(p, l);
}

static void place(struct picture *p)
{
	double y = MARGIN, left = 1e18, right = -1e18, legend_width = 0, legend_height = 0;

	for (uint32_t k = 0; k < p->n_layers; k++) {
		for (uint32_t i = 0; i < p->layers[k].n; i++)
			p->points.v[p->layers[k].v[i]].mean = 0;
		spread(p, &p->layers[k]);
	}
	for (int i = 0; i < PULLS; i++)
		for (uint32_t k = 0; k < p->n_layers; k++)
			pull(p, &p->layers[i % 2 ? p->n_layers - 1 - k : k]);
	if (p->legend) {
		measure_text(p->legend, 12, &legend_width, &legend_height);
		y += legend_height + 2 * MARGIN;
	}
	for (uint32_t k = 0; k < p->n_layers; k++) {
		struct layer *l = &p->layers[k];

		for (uint32_t i = 0; i < l->n; i++) {
			const struct point *x = &p->points.v[l->v[i]];

			left = MIN(left, x->x - x->width / 2);
			right = MAX(right, x->x + x->width / 2);
			if (x->box != NONE)
				l->height = MAX(l->height, p->boxes.v[x->box].height);
		}
		l->y = y + l->height / 2;
		y += l->height + LAYER_GAP;
	}
	for (uint32_t i = 0; i < p->points.n; i++)
		p->points.v[i].x += MARGIN - left;
	p->width = MAX(p->points.n ? right - left : 0, legend_width + MARGIN) + 2 * MARGIN;
	p->height = y - LAYER_GAP + MARGIN;
}

/* --- printing --- */

static void xml(struct str *to, const char *s, size_t n)
{
	for (; n; s++, n--) {
		if (*s == '&')
			str_add(to, "&amp;");
		else if (*s == '<')
			str_add(to, "&lt;");
		else if (*s == '>')
			str_add(to, "&gt;");
		else if (*s == '"')
			str_add(to, "&quot;");
		else if ((unsigned char)*s >= ' ')
			str_addn(to, s, 1);
		else
			str_add(to, " ");
	}
}

static void text_lines(struct str *to, const char *text, double x, double y, double size,
		       const char *anchor)
{
	for (const char *s = text; *s; s += *s == '\n') {
		size_t n = strcspn(s, "\n");

		y += size * LINE_HEIGHT;
		str_addf(to, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.0f\" text-anchor=\"%s\">",
			 x, y - size * 0.3, size, anchor);
		xml(to, s, n);
		str_add(to, "</text>");
		s += n;
	}
}

/* Only what is a colour: the file is foreign. */
static const char *color(const char *s, const char *otherwise)
{
	return *s == '#' && strlen(s) == 7 && strspn(s + 1, "0123456789abcdef") == 6 ? s
										     : otherwise;
}

static void print_box(const struct picture *p, const struct box *b, uint32_t number, struct str *to)
{
	const struct point *at = &p->points.v[b->point];
	double y = p->layers[at->rank].y - b->height / 2;

	str_addf(to, "<g id=\"node%u\" class=\"node\"><title>", number);
	xml(to, b->at[AT_TOOLTIP], strlen(b->at[AT_TOOLTIP]));
	str_addf(to,
		 "</title><rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\" "
		 "stroke=\"%s\"/>",
		 at->x - b->width / 2, y, b->width, b->height, color(b->at[AT_FILL], "#f8f8f8"),
		 color(b->at[AT_COLOR], "#000000"));
	text_lines(to, b->at[AT_LABEL], at->x, y + b->size / 2, b->size, "middle");
	str_add(to, "</g>\n");
}

static void print_edge(const struct picture *p, const struct edge *e, struct str *to)
{
	const struct box *u = &p->boxes.v[upper(e)], *l = &p->boxes.v[lower(e)];
	const struct point *at = &p->points.v[u->point];
	double x = at->x, y = p->layers[u->rank].y + u->height / 2, label_x, label_y;
	double width = MIN(10, MAX(1, atof(e->at[AT_WIDTH])));
	const char *dots = strstr(e->at[AT_STYLE], "dotted") ? " stroke-dasharray=\"2 3\"" : "";

	str_add(to, "<g class=\"edge\"><title>");
	xml(to, e->at[AT_TOOLTIP], strlen(e->at[AT_TOOLTIP]));
	str_addf(to,
		 "</title><path fill=\"none\" stroke=\"%s\" stroke-width=\"%.0f\"%s %s=\"url(#a)\" "
		 "d=\"",
		 color(e->at[AT_COLOR], "#000000"), width, dots,
		 e->turned ? "marker-start" : "marker-end");
	if (e->from == e->to) { /* a loop at its right side */
		double side = x + u->width / 2, middle = p->layers[u->rank].y;

		str_addf(to, "M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f", side, middle - 8,
			 side + 30, middle - 20, side + 30, middle + 20, side, middle + 8);
		label_x = side + 26;
		label_y = middle;
	} else {
		str_addf(to, "M%.1f %.1f", x, y);
		label_x = x;
		label_y = y;
		for (uint32_t k = 0; k <= e->n_points; k++) {
			const struct point *next =
				&p->points.v[k < e->n_points ? e->points + k : l->point];
			double to_x = next->x, to_y = p->layers[next->rank].y;

			if (k == e->n_points)
				to_y -= l->height / 2 + 4;
			str_addf(to, "C%.1f %.1f %.1f %.1f %.1f %.1f", x, (y + to_y) / 2, to_x,
				 (y + to_y) / 2, to_x, to_y);
			if (k == e->n_points / 2) {
				label_x = (x + to_x) / 2;
				label_y = (y + to_y) / 2;
			}
			x = to_x;
			y = to_y;
		}
	}
	str_add(to, "\"/>");
	text_lines(to, e->at[AT_LABEL], label_x + 3, label_y - 6, 9, "start");
	str_add(to, "</g>\n");
}

static void print(const struct picture *p, struct str *to)
{
	str_addf(to,
		 "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg "
		 "xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
		 "viewBox=\"0 0 %.0f %.0f\" font-family=\"Helvetica,Arial,sans-serif\">\n"
		 "<defs><marker id=\"a\" markerUnits=\"userSpaceOnUse\" markerWidth=\"10\" "
		 "markerHeight=\"8\" refX=\"6\" refY=\"4\" orient=\"auto-start-reverse\"><path "
		 "d=\"M0 0L10 4L0 8z\"/></marker></defs>\n"
		 "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
		 p->width, p->height, p->width, p->height);
	if (p->legend) {
		double width, height;

		measure_text(p->legend, 12, &width, &height);
		str_addf(to,
			 "<g class=\"legend\"><rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
			 "height=\"%.1f\" fill=\"#f8f8f8\" stroke=\"#000000\"/>",
			 MARGIN, MARGIN, width + MARGIN, height + MARGIN / 2);
		text_lines(to, p->legend, MARGIN * 1.5, MARGIN, 12, "start");
		str_add(to, "</g>\n");
	}
	for (uint32_t i = 0; i < p->edges.n; i++)
		print_edge(p, &p->edges.v[i], to);
	for (uint32_t i = 0; i < p->boxes.n; i++)
		print_box(p, &p->boxes.v[i], i + 1, to);
	str_add(to, "</svg>\n");
}

bool layout_svg(const char *dot, struct arena *a, struct str *svg, struct err *err)
{
	struct picture p = {.a = a};

	if (!str_starts(dot, "digraph"))
		return err_set(err, ERR_FORMAT, "no graph to draw");
	for (const char *line = dot; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (!read_line(&p, line, err))
			return false;
	if (p.edges.n)
		qsort(p.edges.v, p.edges.n, sizeof(*p.edges.v), by_source);
	for (uint32_t i = 0; i < p.edges.n; i++) {
		struct box *b = &p.boxes.v[p.edges.v[i].from];

		if (!b->n_out++)
			b->out_at = i;
	}
	turn_cycles(&p);
	rank(&p);
	if (!add_points(&p, err))
		return false;
	link_points(&p);
	fill_layers(&p);
	for (int i = 0; i < SWEEPS; i++)
		for (uint32_t k = 0; k < p.n_layers; k++)
			sort_layer(&p, &p.layers[i % 2 ? p.n_layers - 1 - k : k], i % 2 == 0);
	place(&p);
	print(&p, svg);
	return true;
}
