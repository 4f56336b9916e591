/*
 * The call graph of a profile: a node for each place that the granularity tells apart, an edge for
 * each call between two of them. Or a tree, in which a place has a node for each path that leads to
 * it.
 */
#ifndef PPROF_GRAPH_H
#define PPROF_GRAPH_H

#include "pprof/gotext.h"
#include "pprof/lens.h"
#include "pprof/report.h"

/** What a node stands for. */
struct graph_place {
	pstr name, file, object;
	uint64_t address;
	int64_t start_line, line, column;
	const char *printable; /* NULL until place_name() made it */
};

struct graph_node {
	uint32_t place;	      /* index; in a graph that is no tree also the node's own */
	uint32_t parent_edge; /* of a tree; PPROF_NONE: a root */
	int64_t flat, flat_div, cum, cum_div;
	int64_t score;			     /* what it is sorted by in pictures */
	bool listed;			     /* is in graph.order */
	bool inlined;			     /* some location has it as an inlined frame */
	uint32_t in_at, n_in, out_at, n_out; /* in graph.in, graph.out */
};

struct graph_edge {
	uint32_t src, dest;
	int64_t weight, weight_div;
	uint32_t seen; /* the sample that was counted last */
	bool residual; /* nodes between the two were left out */
	bool inlined;
	bool dead;
};

/** Samples of a node that have some tag. */
struct graph_tag {
	uint32_t node;
	bool numeric;
	pstr group; /* of a numeric one: the string tags that it occurs with */
	pstr name, unit;
	int64_t value;
	int64_t flat, flat_div, cum, cum_div;
	bool dead;
};

struct graph {
	struct lens *l;
	const struct graph_options *o;
	VEC(struct graph_place) places;
	uint32_t *line_at;    /* of each location: its nodes, one for each line, at least one */
	uint32_t *line_place; /* place of each; graph.places */
	bool places_made;
	VEC(struct graph_node) nodes;
	uint32_t *order; /* the nodes that are shown, sorted */
	uint32_t n_order;
	bool *kept; /* by place: what an earlier step left; NULL: all */
	VEC(struct graph_edge) edges;
	uint32_t *in, *out;	    /* edge indices by node */
	VEC(struct graph_tag) tags; /* sorted by node once the graph is built */
	uint32_t *tag_at;	    /* of each node, one more than nodes */
	/* what trimming did */
	uint32_t original, dropped_nodes, dropped_edges;
};

struct graph_options {
	uint32_t value; /* index of the sample value */
	bool mean;	/* divide by value 0 */
	bool tree, visual, cum_sort, drop_negative;
	bool objects;		/* tell mapped files and start lines apart */
	bool edges, tags;	/* are wanted */
	bool inline_edges_only; /* no more edges than tell what was inlined */
	bool keep_paths;	/* of files, as they are */
	struct rx *touching;	/* only edges at nodes of which it matches the name; NULL: all */
	const char *trim_path, *source_path, *unit;
	int64_t node_count;
	double node_fraction, edge_fraction;
};

/** The places of all lines, and no nodes. */
void graph_places(struct graph *g, struct lens *l, const struct graph_options *o);
/** All nodes, unsorted, with what the options ask for. */
void graph_all(struct graph *g, struct lens *l, const struct graph_options *o);
/** The nodes that matter, sorted. */
void graph_trimmed(struct graph *g, struct lens *l, const struct graph_options *o);

const char *place_name(struct graph *g, struct graph_place *p);
/** The parts of place_name joined by `between`; `name` and `file` are printed for the place's. */
void place_name_parts(const struct lens *l, const struct graph_place *p, const char *name,
		      const char *file, const char *between, struct str *to);
/** place_name of a node. */
const char *node_name(struct graph *g, const struct graph_node *n);
static inline int64_t node_flat(const struct graph_node *n)
{
	return n->flat_div ? go_div(n->flat, n->flat_div) : n->flat;
}
static inline int64_t node_cum(const struct graph_node *n)
{
	return n->cum_div ? go_div(n->cum, n->cum_div) : n->cum;
}
static inline int64_t edge_value(const struct graph_edge *e)
{
	return e->weight_div ? go_div(e->weight, e->weight_div) : e->weight;
}

/** The edges v[0 … n], those that are dead left out, heaviest first; *ret_n of them, in `mem`. */
struct graph_edge **graph_edges_sorted(struct graph *g, const uint32_t *v, uint32_t n,
				       struct arena *mem, uint32_t *ret_n);
/** Sorts tags by weight, then name. */
void graph_tags_sort(const struct lens *l, struct graph_tag **v, uint32_t n, bool flat);

/** A path without the prefixes that `trim` names; else up to the last part of a search directory.
 */
const char *srcfile_trim(const char *path, const char *trim, const char *search);

#endif
