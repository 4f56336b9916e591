/*
 * Samples are walked once for the values of the nodes; nodes that are too small then need no edges,
 * so edges are counted in a second walk, between what is left. A frame costs a look at its
 * location's nodes and at a node's stamp (the sample that it was counted for last), an edge one
 * look at a hash table; nothing is allocated for a sample.
 *
 * What is counted, dropped and in which order follows google/pprof (internal/graph/graph.go).
 */
#include "pprof/graph.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "pprof/gotext.h"
#include "pprof/measure.h"
#include "pprof/pairs.h"

#define TAGS_SHOWN	  4U	 /* of a node, in a picture */
#define COUNT_BY_TWO_FROM 20000U /* samples */

/* A large array that grows leaves nothing of what it was in the arena, as VEC_PUSH does. */
#define PUSH(mem, vec)                                                                             \
	(large_room(mem, (void **)(void *)&(vec)->v, (vec)->n, &(vec)->cap, sizeof(*(vec)->v)),    \
	 &(vec)->v[(vec)->n++])

static void large_room(struct arena *mem, void **v, uint32_t n, uint32_t *cap, size_t size)
{
	uint32_t want = n + n / 4 + 256;
	void *to;

	if (n < *cap)
		return;
	assert(want > n);
	to = arena_resize(mem, *v, *cap * size, (uint64_t)want * size, NULL);
	*v = to ? to : arena_alloc(mem, (size_t)want * size);
	*cap = want;
}

/* --- places --- */

const char *srcfile_trim(const char *path, const char *trim, const char *search)
{
	static const char *const always[] = {"/proc/self/cwd/./", "/proc/self/cwd/"};
	size_t n;

	if (!*trim)
		for (const char *dir = search; *dir; dir += n, dir += *dir == ':') {
			size_t end, at;

			n = strcspn(dir, ":");
			for (end = n; end > 1 && dir[end - 1] == '/';)
				end--;
			for (at = end; at && dir[at - 1] != '/';)
				at--;
			/* filepath.Base: "." of nothing, "/" of "/" */
			for (const char *hit = path; (hit = strchr(hit, '/')); hit++) {
				const char *want = n ? dir + at : ".";
				size_t len = n ? end - at : 1;

				if (n && end == 1 && *dir == '/')
					want = dir, len = 1;
				if (!strncmp(hit + 1, want, len) && hit[1 + len] == '/')
					return hit + len + 2;
			}
		}
	for (const char *prefix = trim; *prefix; prefix += n, prefix += *prefix == ':') {
		n = strcspn(prefix, ":");
		if (n && prefix[n - 1] == '/') {
			if (!strncmp(path, prefix, n))
				return path + n;
		} else if (!strncmp(path, prefix, n) && path[n] == '/') {
			return path + n + 1;
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		if (!strncmp(path, always[i], strlen(always[i])))
			return path + strlen(always[i]);
	return path;
}

static uint64_t place_hash(const struct graph_place *p)
{
	uint64_t hash = hash_mix(hash_mix(p->name, p->file), p->object);

	hash = hash_mix(hash, p->address);
	hash = hash_mix(hash, (uint64_t)p->line);
	return hash_mix(hash, (uint64_t)p->column ^ (uint64_t)p->start_line << 20);
}

static uint32_t place_find(struct graph *g, struct pprof_set *set, const struct graph_place *p,
			   struct arena *tmp)
{
	uint64_t hash = place_hash(p);
	uint32_t at = 0, i;

	while ((i = pprof_set_next(set, hash, &at)) != PPROF_NONE) {
		const struct graph_place *q = &g->places.v[i];

		if (q->name == p->name && q->file == p->file && q->object == p->object &&
		    q->address == p->address && q->line == p->line && q->column == p->column &&
		    q->start_line == p->start_line)
			return i;
	}
	*PUSH(g->l->mem, &g->places) = *p;
	pprof_set_add(set, tmp, hash, g->places.n - 1);
	return g->places.n - 1;
}

/* Trims and cleans the files' names. Trimming is done anew for each graph, as the original does it:
 * it may find another prefix behind the first. */
static bool trim_files(struct graph *g, pstr *clean, struct arena *tmp)
{
	struct lens *l = g->l;
	uint32_t n = l->p->n_strings + l->own.n;
	pstr *trimmed = ARENA_ARRAY(tmp, pstr, n); /* + 1; 0: not known */
	bool changed = false;

	for (uint32_t i = 0; i < l->n_functions; i++) {
		pstr file = l->functions[i].file;

		if (!trimmed[file]) {
			const char *from = lens_text(l, file);
			const char *to = g->o->keep_paths ? from
							  : srcfile_trim(from, g->o->trim_path,
									 g->o->source_path);
			const char *neat;

			trimmed[file] = to == from ? file + 1 : lens_str(l, to, strlen(to)) + 1;
			neat = *to ? go_path_clean(l->mem, to) : "";
			clean[file] = lens_str(l, neat, strlen(neat));
		}
		changed |= trimmed[file] != file + 1;
	}
	for (uint32_t i = 0; i < l->n_functions; i++)
		l->functions[i].file = trimmed[l->functions[i].file] - 1;
	return changed;
}

/* Finds the place of each line; false when nothing changed since the last time. */
static bool make_places(struct graph *g)
{
	struct lens *l = g->l;
	uint32_t n_strings = l->p->n_strings + l->own.n, n = 0;
	uint32_t *known = NULL; /* of a function: its only place + 1 */
	struct pprof_set set = {0};
	CLEANUP(arena_free) struct arena tmp = {0};
	pstr *clean = ARENA_ARRAY(&tmp, pstr, n_strings + 1);
	pstr *file_of = ARENA_ARRAY(&tmp, pstr, l->n_functions + 1);
	bool changed;

	for (uint32_t i = 0; i < l->n_functions; i++)
		file_of[i] = l->functions[i].file;
	changed = trim_files(g, clean, &tmp);
	if (g->places_made && !changed)
		return false;
	g->places_made = true;
	for (uint32_t i = 0; i < l->n_locations; i++)
		n += MAX(l->locations[i].n_lines, 1);
	g->line_at = ARENA_ARRAY(l->mem, uint32_t, l->n_locations + 1);
	g->line_place = ARENA_ARRAY(l->mem, uint32_t, n + 1);
	for (uint32_t i = 0; i < g->places.n; i++)
		pprof_set_add(&set, &tmp, place_hash(&g->places.v[i]), i);
	if (!g->o->objects)
		known = ARENA_ARRAY(&tmp, uint32_t, l->n_functions + 1);
	n = 0;
	for (uint32_t i = 0; i < l->n_locations; i++) {
		const struct pprof_location *loc = &l->locations[i];
		pstr object = loc->mapping != PPROF_NONE ? l->mappings[loc->mapping].file : 0;
		struct graph_place p = {.address = loc->address, .object = object};

		g->line_at[i] = n;
		if (!loc->n_lines)
			g->line_place[n++] = place_find(g, &set, &p, &tmp);
		for (uint32_t j = 0; j < loc->n_lines; j++) {
			const struct pprof_line *line = &l->lines[loc->line_at + j];
			const struct pprof_function *f = &l->functions[line->function];
			bool only =
				known && f->name && !loc->address && !line->line && !line->column;

			if (only && known[line->function]) {
				g->line_place[n++] = known[line->function] - 1;
				continue;
			}
			p = (struct graph_place){.name = f->name,
						 .file = clean[file_of[line->function]],
						 .address = loc->address,
						 .line = line->line,
						 .column = line->column};
			if (g->o->objects || !f->name) {
				p.object = object;
				p.start_line = f->start_line;
			}
			g->line_place[n] = place_find(g, &set, &p, &tmp);
			if (only)
				known[line->function] = g->line_place[n] + 1;
			n++;
		}
	}
	g->line_at[l->n_locations] = n;
	if (g->places.n) {
		g->places.v =
			arena_resize(l->mem, g->places.v, g->places.cap * sizeof(*g->places.v),
				     g->places.n * sizeof(*g->places.v), NULL);
		g->places.cap = g->places.n;
	}
	return true;
}

void place_name_parts(const struct lens *l, const struct graph_place *p, const char *name,
		      const char *file, const char *between, struct str *to)
{
	size_t from = to->n;

	str_add(to, "");
	if (p->address)
		str_addf(to, "%016llx", (unsigned long long)p->address);
	if (*name)
		str_addf(to, "%s%s", to->n > from ? between : "", name);
	if (p->line) {
		str_addf(to, "%s%s:%lld", to->n > from ? between : "", file, (long long)p->line);
		if (p->column)
			str_addf(to, ":%lld", (long long)p->column);
	} else if (*file) {
		str_addf(to, "%s%s", to->n > from ? between : "", file);
	} else if (*name) {
		return;
	} else if (p->object) {
		char *base = go_path_base(l->mem, lens_text(l, p->object));

		str_addf(to, "%s[%s]", to->n > from ? between : "", base);
	} else {
		str_addf(to, "%s<unknown>", to->n > from ? between : "");
	}
}

const char *place_name(struct graph *g, struct graph_place *p)
{
	struct str s = {0};

	if (p->printable)
		return p->printable;
	if (!p->address && !p->line && !p->file && p->name)
		return p->printable = lens_text(g->l, p->name);
	place_name_parts(g->l, p, lens_text(g->l, p->name), lens_text(g->l, p->file), " ", &s);
	p->printable = arena_strndup(g->l->mem, s.s, s.n);
	str_free(&s);
	return p->printable;
}

const char *node_name(struct graph *g, const struct graph_node *n)
{
	return place_name(g, &g->places.v[n->place]);
}

/* --- tags --- */

struct tagging {
	struct graph *g;
	struct pairs label, numeric; /* (node, name), (node, group and name) → tag */
	struct pairs group_names;    /* (group, name) → a number for the pair */
	struct pprof_set joined;     /* label lists → the text of all of them */
	VEC(struct {
		uint32_t sample;
		pstr text;
	})
	joins;
	uint32_t n_group_names;
	pstr bytes_key;
	/* of the sample at hand */
	pstr labels;
	const struct pprof_label *nums;
	uint32_t n_nums;
};

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "key:value\nkey:value" (the \n as two characters) of the string tags v[0 … n]. */
static pstr join_labels(struct tagging *t, uint32_t sample, const struct pprof_label *v, uint32_t n)
{
	struct lens *l = t->g->l;
	uint64_t hash = 0;
	uint32_t at = 0, i;
	struct str s = {0};
	char **texts;
	pstr ret;

	if (!n)
		return 0;
	for (uint32_t j = 0; j < n; j++)
		hash = hash_mix(hash_mix(hash, v[j].key), v[j].str);
	while ((i = pprof_set_next(&t->joined, hash, &at)) != PPROF_NONE) {
		uint32_t m;
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): i is a place in joins */
		const struct pprof_label *w = lens_labels(l, t->joins.v[i].sample, &m);
		bool same = true;

		while (m && w[m - 1].is_num)
			m--;
		for (uint32_t j = 0; j < n && same; j++)
			same = w && m == n && v[j].key == w[j].key && v[j].str == w[j].str;
		if (same)
			return t->joins.v[i].text;
	}
	texts = ARENA_ARRAY(l->mem, char *, n);
	for (uint32_t j = 0; j < n; j++)
		texts[j] = arena_printf(l->mem, "%s:%s", lens_text(l, v[j].key),
					lens_text(l, v[j].str));
	qsort(texts, n, sizeof(*texts), compare_texts);
	for (uint32_t j = 0; j < n; j++)
		str_addf(&s, "%s%s", j ? "\\n" : "", texts[j]);
	ret = lens_str(l, s.s, s.n);
	str_free(&s);
	VEC_PUSH(l->mem, &t->joins);
	t->joins.v[t->joins.n - 1].sample = sample;
	t->joins.v[t->joins.n - 1].text = ret;
	pprof_set_add(&t->joined, l->mem, hash, t->joins.n - 1);
	return ret;
}

static void tags_of_sample(struct tagging *t, uint32_t sample)
{
	uint32_t n, strings = 0;
	const struct pprof_label *v = lens_labels(t->g->l, sample, &n);

	while (strings < n && !v[strings].is_num)
		strings++;
	t->labels = join_labels(t, sample, v, strings);
	t->nums = NULL;
	t->n_nums = 0;
	for (uint32_t i = strings; i < n; i++)
		if (v[i].key == t->bytes_key) {
			t->nums = v + i;
			t->n_nums = lens_label_run(v, n, i);
			break;
		}
}

static void tag_count(struct graph_tag *tag, int64_t w, int64_t dw, bool flat)
{
	if (flat) {
		tag->flat = go_add(tag->flat, w);
		tag->flat_div = go_add(tag->flat_div, dw);
	} else {
		tag->cum = go_add(tag->cum, w);
		tag->cum_div = go_add(tag->cum_div, dw);
	}
}

static void tag_node(struct tagging *t, uint32_t node, int64_t w, int64_t dw, bool flat)
{
	struct graph *g = t->g;
	struct arena *mem = g->l->mem;

	if (t->labels) {
		struct pair *at = pairs_find(&t->label, mem, node, t->labels);

		if (!at->at) {
			*VEC_PUSH(mem, &g->tags) =
				(struct graph_tag){.node = node, .name = t->labels};
			at->at = g->tags.n;
		}
		tag_count(&g->tags.v[at->at - 1], w, dw, flat);
	}
	for (uint32_t i = 0; i < t->n_nums; i++) {
		pstr unit = lens_unit(g->l, t->bytes_key), name;
		struct str text = {0};
		struct pair *at;

		measure_label(&text, t->nums[i].num, lens_text(g->l, unit), g->o->unit);
		name = lens_str(g->l, text.s, text.n);
		str_free(&text);
		at = pairs_find(&t->group_names, mem, t->labels, name);
		if (!at->at)
			at->at = ++t->n_group_names;
		at = pairs_find(&t->numeric, mem, node, at->at);
		if (!at->at) {
			*VEC_PUSH(mem, &g->tags) = (struct graph_tag){.node = node,
								      .numeric = true,
								      .group = t->labels,
								      .name = name,
								      .unit = unit,
								      .value = t->nums[i].num};
			at->at = g->tags.n;
		}
		tag_count(&g->tags.v[at->at - 1], w, dw, flat);
	}
}

/* --- walks over the samples --- */

static void count_node(struct graph_node *n, int64_t w, int64_t dw, bool flat)
{
	if (flat) {
		n->flat = go_add(n->flat, w);
		n->flat_div = go_add(n->flat_div, dw);
	} else {
		n->cum = go_add(n->cum, w);
		n->cum_div = go_add(n->cum_div, dw);
	}
}

static uint32_t sample_value(const struct graph *g, uint32_t k, const pindex **locs, uint32_t *n,
			     int64_t *w, int64_t *dw)
{
	uint32_t i = lens_sample(g->l, k, locs, n);
	const int64_t *v = g->l->p->values + (size_t)i * g->l->p->n_types;

	*w = v[g->o->value];
	*dw = g->o->mean ? v[0] : 0;
	return i;
}

/* What a location is to the walk over values, in one look: its only node, or one of these. */
#define FRAME_HIDDEN (UINT32_MAX - 1)
#define FRAME_LINES  UINT32_MAX /* look at its lines */

static uint32_t *frames_of(const struct graph *g, struct arena *mem)
{
	const struct lens *l = g->l;
	uint32_t *frames = ARENA_ARRAY(mem, uint32_t, l->n_locations + 1);

	for (uint32_t i = 0; i < l->n_locations; i++) {
		uint32_t from = g->line_at[i];

		frames[i] = l->hidden && l->hidden[i]	    ? FRAME_HIDDEN
			    : g->line_at[i + 1] - from == 1 ? g->line_place[from]
							    : FRAME_LINES;
	}
	return frames;
}

/* The values of a node, apart from it so that those of all nodes fit into the cache. */
struct tally {
	int64_t flat, cum;
	uint32_t seen; /* the sample that was counted last, + 1 */
};

/* What one thread counts: samples[from … to]. */
struct counting {
	const struct graph *g;
	const uint32_t *frames;
	uint32_t from, to;
	struct tally *tally;
	struct divisor {
		int64_t flat, cum;
	} * divisors; /* of the means; NULL: none are asked for */
};

static inline void count_cum(struct counting *c, uint32_t node, uint32_t k, int64_t w, int64_t dw)
{
	struct tally *t = &c->tally[node];

	if (t->seen == k + 1)
		return;
	t->seen = k + 1;
	t->cum = go_add(t->cum, w);
	if (dw)
		c->divisors[node].cum = go_add(c->divisors[node].cum, dw);
}

static void *count_values(void *ctx)
{
	struct counting *c = ctx;
	const struct graph *g = c->g;

	for (uint32_t k = c->from; k < c->to; k++) {
		uint32_t n, last = PPROF_NONE;
		const pindex *locs;
		int64_t w, dw;

		sample_value(g, k, &locs, &n, &w, &dw);
		if (!w && !dw)
			continue;
		for (uint32_t i = n; i-- > 0;) {
			uint32_t frame = c->frames[locs[i]];

			if (frame < FRAME_HIDDEN) {
				last = frame;
				count_cum(c, last, k, w, dw);
			} else if (frame == FRAME_LINES) {
				uint32_t from = g->line_at[locs[i]], to = g->line_at[locs[i] + 1];

				while (to-- > from) {
					last = g->line_place[to];
					count_cum(c, last, k, w, dw);
				}
			}
		}
		if (last != PPROF_NONE) {
			c->tally[last].flat = go_add(c->tally[last].flat, w);
			if (dw)
				c->divisors[last].flat = go_add(c->divisors[last].flat, dw);
		}
	}
	return NULL;
}

/* Makes the nodes, with their flat and cum. Sums wrap around, so those of two halves add up to
 * those of the whole; the second core takes one of them where there is much to do. */
static void walk_values(struct graph *g)
{
	const struct lens *l = g->l;
	struct counting half[2];
	uint32_t n_halves = 1, n = g->nodes.n + 1;
	struct arena scratch[2] = {{0}, {0}}; /* frames and what the second thread counts: 1 */
	bool threaded = false;
	pthread_t thread;
	cpu_set_t cpus;

	if (l->n_samples >= COUNT_BY_TWO_FROM && sched_getaffinity(0, sizeof(cpus), &cpus) == 0 &&
	    CPU_COUNT(&cpus) > 1)
		n_halves = 2;
	for (uint32_t h = 0; h < n_halves; h++) {
		half[h] =
			(struct counting){.g = g,
					  .from = h ? half[0].to : 0,
					  .to = h + 1 == n_halves ? l->n_samples : l->n_samples / 2,
					  .tally = ARENA_ARRAY(&scratch[h], struct tally, n)};
		half[h].frames = h ? half[0].frames : frames_of(g, &scratch[1]);
		if (g->o->mean)
			half[h].divisors = ARENA_ARRAY(&scratch[h], struct divisor, n);
	}
	if (n_halves == 2)
		threaded = pthread_create(&thread, NULL, count_values, &half[1]) == 0;
	for (uint32_t h = 0; h < n_halves - threaded; h++)
		count_values(&half[h]);
	if (threaded)
		pthread_join(thread, NULL);
	for (uint32_t i = 0; n_halves == 2 && i < n; i++) {
		struct tally *t = &half[0].tally[i];
		struct divisor *d = half[0].divisors;

		t->flat = go_add(t->flat, half[1].tally[i].flat);
		t->cum = go_add(t->cum, half[1].tally[i].cum);
		if (d) {
			d[i].flat = go_add(d[i].flat, half[1].divisors[i].flat);
			d[i].cum = go_add(d[i].cum, half[1].divisors[i].cum);
		}
	}
	arena_free(&scratch[1]); /* before the nodes are touched */
	for (uint32_t i = 0; i < g->nodes.n; i++) {
		const struct divisor *d = half[0].divisors;

		g->nodes.v[i] = (struct graph_node){.place = i,
						    .parent_edge = PPROF_NONE,
						    .flat = half[0].tally[i].flat,
						    .cum = half[0].tally[i].cum,
						    .flat_div = d ? d[i].flat : 0,
						    .cum_div = d ? d[i].cum : 0};
	}
	arena_free(&scratch[0]);
}

/* What a location is to the walk over edges. */
enum { LOC_GONE, LOC_HIDDEN, LOC_KEPT }; /* gone: it has nodes, and none of them is kept */

static uint8_t *kinds_of(const struct graph *g)
{
	const struct lens *l = g->l;
	uint8_t *kinds = ARENA_ARRAY(l->mem, uint8_t, l->n_locations + 1);

	for (uint32_t i = 0; i < l->n_locations; i++) {
		kinds[i] = l->hidden && l->hidden[i] ? LOC_HIDDEN : LOC_GONE;
		for (uint32_t j = g->line_at[i]; j < g->line_at[i + 1] && !kinds[i]; j++)
			kinds[i] = !g->kept || g->kept[g->line_place[j]] ? LOC_KEPT : LOC_GONE;
	}
	return kinds;
}

struct edging {
	struct graph *g;
	struct pairs set;
	bool *at_node;	/* edges that touch one of these are wanted; NULL: all */
	bool into_only; /* … as their destination */
};

static void count_edge(struct edging *x, uint32_t src, uint32_t dest, int64_t w, int64_t dw,
		       uint32_t stamp, bool residual, bool inlined)
{
	struct graph *g = x->g;
	struct graph_edge *e;
	struct pair *at;

	if (x->at_node && !x->at_node[dest] && (x->into_only || !x->at_node[src]))
		return;
	at = pairs_find(&x->set, g->l->mem, src, dest);
	if (at->at) {
		e = &g->edges.v[at->at - 1];
		if (e->seen == stamp)
			return;
		e->weight = go_add(e->weight, w);
		e->weight_div = go_add(e->weight_div, dw);
		e->residual |= residual;
		e->inlined &= inlined;
	} else {
		e = PUSH(g->l->mem, &g->edges);
		at->at = g->edges.n;
		*e = (struct graph_edge){.src = src,
					 .dest = dest,
					 .weight = w,
					 .weight_div = dw,
					 .residual = residual,
					 .inlined = inlined};
	}
	e->seen = stamp;
}

/* Edges between the nodes that are kept, and tags. */
static void walk_edges(struct graph *g, struct edging *x, struct tagging *t)
{
	const struct lens *l = g->l;
	uint32_t *seen = t ? ARENA_ARRAY(l->mem, uint32_t, g->nodes.n + 1) : NULL;
	const uint8_t *kinds = kinds_of(g);

	for (uint32_t k = 0; k < l->n_samples; k++) {
		uint32_t n, i, parent = PPROF_NONE;
		bool residual = false;
		const pindex *locs;
		int64_t w, dw;

		i = sample_value(g, k, &locs, &n, &w, &dw);
		if (!w && !dw)
			continue;
		if (t)
			tags_of_sample(t, i);
		for (i = n; i-- > 0;) {
			uint32_t loc = locs[i], from, to, end;

			if (kinds[loc] != LOC_KEPT) {
				residual |= kinds[loc] == LOC_GONE;
				continue;
			}
			from = g->line_at[loc];
			end = to = g->line_at[loc + 1];
			while (to-- > from) {
				uint32_t node = g->line_place[to];

				if (g->kept && !g->kept[node]) {
					residual = true;
					continue;
				}
				if (t && seen[node] != k + 1) {
					seen[node] = k + 1;
					tag_node(t, node, w, dw, false);
				}
				if (parent != PPROF_NONE && parent != node)
					count_edge(x, parent, node, w, dw, k + 1, residual,
						   to != end - 1);
				parent = node;
				residual = false;
			}
		}
		if (t && parent != PPROF_NONE && !residual)
			tag_node(t, parent, w, dw, true);
	}
}

/* A tree: nodes, edges and tags in one walk. */
static void walk_tree(struct graph *g, struct tagging *t)
{
	const struct lens *l = g->l;
	struct pairs set = {0};

	for (uint32_t k = 0; k < l->n_samples; k++) {
		uint32_t n, i, parent = PPROF_NONE;
		const pindex *locs;
		int64_t w, dw;

		i = sample_value(g, k, &locs, &n, &w, &dw);
		if (!w && !dw)
			continue;
		if (t)
			tags_of_sample(t, i);
		for (i = n; i-- > 0;) {
			uint32_t loc = locs[i], from, to, end;

			if (l->hidden && l->hidden[loc])
				continue;
			from = g->line_at[loc];
			end = to = g->line_at[loc + 1];
			while (to-- > from) {
				struct pair *at =
					pairs_find(&set, l->mem, parent, g->line_place[to]);
				struct graph_node *node;
				bool inlined = to != end - 1;

				if (!at->at) {
					*PUSH(l->mem, &g->nodes) =
						(struct graph_node){.place = g->line_place[to],
								    .parent_edge = PPROF_NONE};
					at->at = g->nodes.n;
					if (parent != PPROF_NONE) {
						g->nodes.v[at->at - 1].parent_edge = g->edges.n;
						*PUSH(l->mem, &g->edges) =
							(struct graph_edge){.src = parent,
									    .dest = at->at - 1,
									    .inlined = inlined};
					}
				}
				node = &g->nodes.v[at->at - 1];
				count_node(node, w, dw, false);
				if (t)
					tag_node(t, at->at - 1, w, dw, false);
				if (node->parent_edge != PPROF_NONE) {
					struct graph_edge *e = &g->edges.v[node->parent_edge];

					e->weight = go_add(e->weight, w);
					e->weight_div = go_add(e->weight_div, dw);
					e->inlined &= inlined;
				}
				parent = at->at - 1;
			}
		}
		if (parent != PPROF_NONE) {
			count_node(&g->nodes.v[parent], w, dw, true);
			if (t)
				tag_node(t, parent, w, dw, true);
		}
	}
	if (set.v)
		pairs_free(&set, l->mem);
}

/* --- what is in the graph --- */

static void list_nodes(struct graph *g)
{
	g->order = ARENA_ARRAY(g->l->mem, uint32_t, g->nodes.n + 1);
	g->n_order = 0;
	for (uint32_t i = 0; i < g->nodes.n; i++) {
		struct graph_node *n = &g->nodes.v[i];
		bool negative = n->flat < 0 || (!n->flat && n->cum < 0);

		n->listed = (n->cum || n->flat) && !(g->o->drop_negative && negative);
		if (n->listed)
			g->order[g->n_order++] = i;
	}
}

static void index_edges(struct graph *g)
{
	uint32_t in = 0, out = 0;

	for (uint32_t i = 0; i < g->nodes.n; i++)
		g->nodes.v[i].n_in = g->nodes.v[i].n_out = 0;
	for (uint32_t i = 0; i < g->edges.n; i++)
		if (!g->edges.v[i].dead) {
			g->nodes.v[g->edges.v[i].dest].n_in++;
			g->nodes.v[g->edges.v[i].src].n_out++;
		}
	for (uint32_t i = 0; i < g->nodes.n; i++) {
		g->nodes.v[i].in_at = in;
		g->nodes.v[i].out_at = out;
		in += g->nodes.v[i].n_in;
		out += g->nodes.v[i].n_out;
		g->nodes.v[i].n_in = g->nodes.v[i].n_out = 0;
	}
	g->in = ARENA_ARRAY(g->l->mem, uint32_t, in + 1);
	g->out = ARENA_ARRAY(g->l->mem, uint32_t, out + 1);
	for (uint32_t i = 0; i < g->edges.n; i++) {
		struct graph_node *src, *dest;

		if (g->edges.v[i].dead)
			continue;
		src = &g->nodes.v[g->edges.v[i].src];
		dest = &g->nodes.v[g->edges.v[i].dest];
		g->in[dest->in_at + dest->n_in++] = i;
		g->out[src->out_at + src->n_out++] = i;
	}
}

static int compare_tag_nodes(const void *a, const void *b)
{
	const struct graph_tag *x = a, *y = b;

	return (x->node > y->node) - (x->node < y->node);
}

static void index_tags(struct graph *g)
{
	uint32_t at = 0;

	if (g->tags.n)
		qsort(g->tags.v, g->tags.n, sizeof(*g->tags.v), compare_tag_nodes);
	g->tag_at = ARENA_ARRAY(g->l->mem, uint32_t, g->nodes.n + 1);
	for (uint32_t i = 0; i <= g->nodes.n; i++) {
		while (at < g->tags.n && g->tags.v[at].node < i)
			at++;
		g->tag_at[i] = at;
	}
}

static struct tagging tagging_open(struct graph *g)
{
	struct tagging t = {.g = g, .bytes_key = lens_str(g->l, "bytes", 5)};

	lens_hide_tag(g->l, g->l->base_key); /* says nothing about a node */
	return t;
}

static void build_nodes(struct graph *g)
{
	make_places(g);
	g->nodes.n = g->nodes.cap = g->places.n;
	g->nodes.v = ARENA_ARRAY(g->l->mem, struct graph_node, g->nodes.n + 1);
	walk_values(g);
	for (uint32_t i = 0; i < g->l->n_locations; i++)
		for (uint32_t j = g->line_at[i]; j + 1 < g->line_at[i + 1]; j++)
			g->nodes.v[g->line_place[j]].inlined = true;
	list_nodes(g);
}

static void build_tree(struct graph *g)
{
	struct tagging t;

	make_places(g);
	if (g->o->tags)
		t = tagging_open(g);
	walk_tree(g, g->o->tags ? &t : NULL);
	list_nodes(g);
	index_edges(g);
	index_tags(g);
}

static void build_edges(struct graph *g)
{
	struct edging x = {.g = g, .into_only = g->o->inline_edges_only};
	struct tagging t;
	bool any = false;

	g->edges.n = 0;
	g->tags.n = 0;
	if (g->o->inline_edges_only || g->o->touching) {
		x.at_node = ARENA_ARRAY(g->l->mem, bool, g->nodes.n + 1);
		for (uint32_t k = 0; k < g->n_order; k++) {
			uint32_t i = g->order[k];
			const char *name;

			if (g->o->inline_edges_only) {
				x.at_node[i] = g->nodes.v[i].inlined;
			} else {
				name = node_name(g, &g->nodes.v[i]);
				x.at_node[i] = rx_match(g->o->touching, name, strlen(name));
			}
			any |= x.at_node[i];
		}
	} else {
		any = g->o->edges;
	}
	if (g->o->tags)
		t = tagging_open(g);
	if (any || g->o->tags)
		walk_edges(g, &x, g->o->tags ? &t : NULL);
	if (x.set.v)
		pairs_free(&x.set, g->l->mem);
	index_edges(g);
	index_tags(g);
}

void graph_places(struct graph *g, struct lens *l, const struct graph_options *o)
{
	*g = (struct graph){.l = l, .o = o};
	make_places(g);
}

void graph_all(struct graph *g, struct lens *l, const struct graph_options *o)
{
	*g = (struct graph){.l = l, .o = o};
	build_nodes(g);
}

/* --- order --- */

/* "{Name OrigName Address File StartLine Lineno Columnno Objfile}", the last word in Go's order. */
static int compare_places(const struct lens *l, const struct graph_place *a,
			  const struct graph_place *b)
{
	struct str s[2] = {{0}, {0}};
	int c;

	if (a == b)
		return 0;
	for (int i = 0; i < 2; i++) {
		const struct graph_place *p = i ? b : a;

		str_addf(&s[i], "{%s  %llu %s %lld %lld %lld %s}", lens_text(l, p->name),
			 (unsigned long long)p->address, lens_text(l, p->file),
			 (long long)p->start_line, (long long)p->line, (long long)p->column,
			 lens_text(l, p->object));
	}
	c = strcmp(s[0].s, s[1].s);
	str_free(&s[0]);
	str_free(&s[1]);
	return c;
}

static int compare_names(struct graph *g, const struct graph_node *a, const struct graph_node *b)
{
	struct graph_place *p = &g->places.v[a->place], *q = &g->places.v[b->place];

	if (p == q)
		return 0;
	if (p->address && q->address && p->address != q->address)
		return p->address < q->address ? -1 : 1;
	return strcmp(place_name(g, p), place_name(g, q));
}

/* Larger in absolute value first. */
static int compare_sizes(int64_t a, int64_t b)
{
	int64_t x = go_abs(a), y = go_abs(b);

	return x == y ? 0 : x > y ? -1 : 1;
}

struct sorting {
	struct graph *g;
	bool visual, cum;
};

static int compare_nodes(const void *a, const void *b, void *ctx)
{
	const struct sorting *s = ctx;
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	const struct graph_node *m = &s->g->nodes.v[i], *n = &s->g->nodes.v[j];
	bool by_flat = !s->visual && !s->cum;
	int c = s->visual ? compare_sizes(m->score, n->score)
		: s->cum  ? compare_sizes(m->cum, n->cum)
			  : compare_sizes(m->flat, n->flat);

	if (!c)
		c = compare_names(s->g, m, n);
	if (!c)
		c = by_flat ? compare_sizes(m->cum, n->cum) : compare_sizes(m->flat, n->flat);
	if (!c)
		c = compare_places(s->g->l, &s->g->places.v[m->place], &s->g->places.v[n->place]);
	return c ? c : i < j ? -1 : i > j;
}

static int compare_edges(const void *a, const void *b, void *ctx)
{
	const struct graph_edge *d = *(struct graph_edge *const *)a,
				*e = *(struct graph_edge *const *)b;
	struct graph *g = ctx;
	int c = compare_sizes(d->weight, e->weight);

	if (!c)
		c = strcmp(node_name(g, &g->nodes.v[d->src]), node_name(g, &g->nodes.v[e->src]));
	if (!c)
		c = strcmp(node_name(g, &g->nodes.v[d->dest]), node_name(g, &g->nodes.v[e->dest]));
	if (!c)
		c = (d->src > e->src) - (d->src < e->src);
	return c ? c : (d->dest > e->dest) - (d->dest < e->dest);
}

struct graph_edge **graph_edges_sorted(struct graph *g, const uint32_t *v, uint32_t n,
				       struct arena *mem, uint32_t *ret_n)
{
	struct graph_edge **ret = ARENA_ARRAY(mem, struct graph_edge *, n + 1);

	*ret_n = 0;
	for (uint32_t i = 0; i < n; i++)
		if (!g->edges.v[v[i]].dead)
			ret[(*ret_n)++] = &g->edges.v[v[i]];
	qsort_r(ret, *ret_n, sizeof(struct graph_edge *), compare_edges, g);
	return ret;
}

struct tag_sorting {
	const struct lens *l;
	bool flat;
};

static int compare_tags(const void *a, const void *b, void *ctx)
{
	const struct graph_tag *x = *(struct graph_tag *const *)a,
			       *y = *(struct graph_tag *const *)b;
	const struct tag_sorting *s = ctx;
	int c = s->flat ? 0 : compare_sizes(x->cum, y->cum);

	if (!c)
		c = compare_sizes(x->flat, y->flat);
	return c ? c : strcmp(lens_text(s->l, x->name), lens_text(s->l, y->name));
}

void graph_tags_sort(const struct lens *l, struct graph_tag **v, uint32_t n, bool flat)
{
	struct tag_sorting s = {l, flat};

	qsort_r(v, n, sizeof(*v), compare_tags, &s);
}

/* As Go's math.Log2: exact for powers of two. */
static double go_log2(double x)
{
	int exponent;
	double part = frexp(x, &exponent);

	return part == 0.5 ? exponent - 1 : log(part) * (1 / M_LN2) + exponent;
}

/* How much there is to see at one side of a node: the entropy of its edges' weights. */
static double edges_entropy(struct graph *g, const uint32_t *v, uint32_t n, int64_t self)
{
	CLEANUP(arena_free) struct arena tmp = {0};
	double score = 0, part;
	int64_t total = self;
	uint32_t m;
	struct graph_edge **e = graph_edges_sorted(g, v, n, &tmp, &m);

	for (uint32_t i = 0; i < m; i++)
		if (e[i]->weight > 0)
			total = go_add(total, e[i]->weight);
	if (!total)
		return 0;
	for (uint32_t i = 0; i < m; i++) {
		part = (double)go_abs(e[i]->weight) / (double)total;
		score += -part * go_log2(part);
	}
	if (self > 0) {
		part = (double)self / (double)total;
		score += -part * go_log2(part);
	}
	return score;
}

static uint32_t count_live(const struct graph *g, const uint32_t *v, uint32_t n)
{
	uint32_t live = 0;

	for (uint32_t i = 0; i < n; i++)
		live += !g->edges.v[v[i]].dead;
	return live;
}

static void score_nodes(struct graph *g)
{
	for (uint32_t k = 0; k < g->n_order; k++) {
		struct graph_node *n = &g->nodes.v[g->order[k]];
		const uint32_t *in = g->in + n->in_at, *out = g->out + n->out_at;
		double score = 0;

		score += count_live(g, in, n->n_in) ? edges_entropy(g, in, n->n_in, 0) : 1;
		score +=
			count_live(g, out, n->n_out) ? edges_entropy(g, out, n->n_out, n->flat) : 1;
		n->score = go_add(go_int64(score * (double)n->cum), n->flat);
	}
}

static void sort_nodes(struct graph *g)
{
	struct sorting s = {.g = g, .visual = g->o->visual, .cum = g->o->cum_sort};

	if (s.visual)
		score_nodes(g);
	qsort_r(g->order, g->n_order, sizeof(*g->order), compare_nodes, &s);
}

/* --- trimming --- */

/* Keeps only the nodes that are marked (by node), in their order. */
static void keep_marked(struct graph *g, const bool *marked)
{
	uint32_t n = 0;

	for (uint32_t k = 0; k < g->n_order; k++) {
		uint32_t i = g->order[k];

		g->nodes.v[i].listed = marked[i];
		if (marked[i])
			g->order[n++] = i;
	}
	g->n_order = n;
}

/* A node that goes hands its children to its parent; those of a root become roots. Parents come
 * before their children in g->nodes. Nodes that were never listed stay where they are. */
static void trim_tree(struct graph *g, const bool *marked)
{
	uint32_t n = g->nodes.n;
	uint32_t *up =
		ARENA_ARRAY(g->l->mem, uint32_t, n + 1); /* of a node that goes: who takes over */
	bool *gone = ARENA_ARRAY(g->l->mem, bool, n + 1);

	for (uint32_t i = 0; i < n; i++) {
		struct graph_node *node = &g->nodes.v[i];
		struct graph_edge *e = NULL;

		gone[i] = node->listed && !marked[i];
		up[i] = PPROF_NONE;
		if (node->parent_edge != PPROF_NONE)
			e = &g->edges.v[node->parent_edge];
		if (e && e->dead) /* too small */
			e = NULL;
		if (e && gone[e->src]) {
			uint32_t parent = e->src;

			e->residual = true;
			if (up[parent] == PPROF_NONE) {
				e->dead = true;
				node->parent_edge = PPROF_NONE;
				e = NULL;
			} else {
				e->inlined &= g->edges.v[g->nodes.v[parent].parent_edge].inlined;
				e->src = up[parent];
			}
		}
		if (gone[i] && e) {
			up[i] = e->src;
			e->dead = true;
		}
	}
	keep_marked(g, marked);
	index_edges(g);
}

static void trim_tags(struct graph *g, int64_t cutoff)
{
	for (uint32_t i = 0; i < g->tags.n; i++) {
		struct graph_tag *t = &g->tags.v[i];

		if (g->nodes.v[t->node].listed && go_abs(t->flat) < cutoff &&
		    go_abs(t->cum) < cutoff)
			t->dead = true;
	}
}

static uint32_t trim_edges(struct graph *g, int64_t cutoff)
{
	uint32_t dropped = 0;

	for (uint32_t i = 0; i < g->edges.n; i++) {
		struct graph_edge *e = &g->edges.v[i];

		if (e->dead || !g->nodes.v[e->dest].listed || go_abs(e->weight) >= cutoff)
			continue;
		e->dead = true;
		dropped++;
	}
	return dropped;
}

/* Whether e.src reaches e.dest without e. */
static bool is_redundant(struct graph *g, const struct graph_edge *e, uint32_t *seen,
			 uint32_t stamp, uint32_t *queue)
{
	uint32_t n = 0;

	queue[n++] = e->dest;
	seen[e->dest] = stamp;
	for (uint32_t at = 0; at < n; at++) {
		const struct graph_node *node = &g->nodes.v[queue[at]];

		for (uint32_t i = 0; i < node->n_in; i++) {
			const struct graph_edge *in = &g->edges.v[g->in[node->in_at + i]];

			if (in->dead || in == e || seen[in->src] == stamp)
				continue;
			if (in->src == e->src)
				return true;
			seen[in->src] = stamp;
			queue[n++] = in->src;
		}
	}
	return false;
}

/* Residual edges say nothing new where another path leads from one end to the other. */
static void remove_redundant(struct graph *g)
{
	uint32_t *seen = ARENA_ARRAY(g->l->mem, uint32_t, g->nodes.n + 1);
	uint32_t *queue = ARENA_ARRAY(g->l->mem, uint32_t, g->nodes.n + 1);
	uint32_t stamp = 0, n;

	for (uint32_t k = g->n_order; k-- > 0;) {
		const struct graph_node *node = &g->nodes.v[g->order[k]];
		struct graph_edge **in =
			graph_edges_sorted(g, g->in + node->in_at, node->n_in, g->l->mem, &n);

		while (n-- > 0 && in[n]->residual)
			if (is_redundant(g, in[n], seen, ++stamp, queue))
				in[n]->dead = true;
	}
}

static uint32_t count_tags(const struct graph *g, uint32_t node)
{
	uint32_t n = 0;

	for (uint32_t i = g->tag_at[node]; i < g->tag_at[node + 1]; i++)
		n += !g->tags.v[i].dead && g->tags.v[i].flat != 0;
	return n;
}

/* How many nodes from the front are within the node count; tags count in a picture. */
static uint32_t nodes_within(const struct graph *g)
{
	int64_t limit = g->o->node_count, count = 0;

	for (uint32_t k = 0; k < g->n_order && g->o->visual; k++) {
		count += MIN(count_tags(g, g->order[k]), TAGS_SHOWN) + 1;
		if (count >= limit) {
			limit = (int64_t)k + 1;
			break;
		}
	}
	return (uint32_t)MIN(limit, (int64_t)g->n_order);
}

/* Takes what is marked for a new graph: the values of nodes don't depend on which others there are,
 * so only if the files' names changed meanwhile must they be counted anew. */
static void rebuild(struct graph *g, const bool *marked)
{
	uint32_t n_places = g->places.n;
	bool *kept = ARENA_ARRAY(g->l->mem, bool, n_places + 1);

	for (uint32_t k = 0; k < g->n_order; k++)
		kept[g->order[k]] = marked[g->order[k]];
	g->kept = kept;
	keep_marked(g, marked);
	if (!make_places(g))
		return;
	g->kept = ARENA_ARRAY(g->l->mem, bool, g->places.n + 1); /* new places are not kept */
	memcpy(g->kept, kept, n_places * sizeof(*kept));
	build_nodes(g);
	keep_marked(g, g->kept);
}

void graph_trimmed(struct graph *g, struct lens *l, const struct graph_options *o)
{
	int64_t total = 0, node_cutoff, edge_cutoff;
	bool *marked;
	uint32_t kept = 0;

	*g = (struct graph){.l = l, .o = o};
	if (o->tree)
		build_tree(g);
	else
		build_nodes(g);
	for (uint32_t k = 0; k < g->n_order; k++)
		total = go_add(total, g->nodes.v[g->order[k]].flat);
	node_cutoff = go_abs(go_int64((double)total * o->node_fraction));
	edge_cutoff = go_abs(go_int64((double)total * o->edge_fraction));

	if (node_cutoff > 0) {
		marked = ARENA_ARRAY(l->mem, bool, g->nodes.n + 1);
		for (uint32_t k = 0; k < g->n_order; k++) {
			uint32_t i = g->order[k];

			marked[i] = go_abs(g->nodes.v[i].cum) >= node_cutoff;
			kept += marked[i];
		}
		if (kept != g->n_order) {
			g->dropped_nodes = g->n_order - kept;
			if (o->tree)
				trim_tree(g, marked);
			else
				rebuild(g, marked);
		}
	}
	g->original = g->n_order;

	if (!o->tree && o->visual)
		build_edges(g);
	sort_nodes(g);
	if (o->node_count > 0) {
		trim_tags(g, node_cutoff);
		trim_edges(g, edge_cutoff);
		kept = nodes_within(g);
		if (kept != g->n_order) {
			marked = ARENA_ARRAY(l->mem, bool, g->nodes.n + 1);
			for (uint32_t k = 0; k < kept; k++)
				marked[g->order[k]] = true;
			if (o->tree) {
				trim_tree(g, marked);
			} else {
				rebuild(g, marked);
				if (o->visual)
					build_edges(g);
			}
			sort_nodes(g);
		}
	}
	if (!o->tree && !o->visual)
		build_edges(g);

	trim_tags(g, node_cutoff);
	g->dropped_edges = trim_edges(g, edge_cutoff);
	if (o->visual)
		remove_redundant(g);
}
