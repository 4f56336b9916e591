/* Interning of functions, locations and samples into the columns of a growing profile. */
#include "pprof/build.h"

#include <string.h>

#include "pprof/set.h"

#define ROOM(b, array, n, cap)                                                                     \
	vec_room((b)->p->mem, (void **)(void *)&(array), (n), &(cap), sizeof(*(array)))

void pprof_build_init(struct pprof_build *b, struct pprof *p)
{
	*b = (struct pprof_build){.p = p};
	ROOM(b, p->loc_at, 0, b->cap_loc_at);
	p->loc_at[0] = 0;
}

static uint64_t seed(const struct pprof_build *b)
{
	return (uintptr_t)b->p->mem;
}

/* Makes one array at least `want` long, keeping its first n. */
static void room(struct arena *mem, void **v, uint32_t n, uint32_t *cap, uint32_t want, size_t size)
{
	void *to;

	if (want <= *cap)
		return;
	to = arena_alloc(mem, (size_t)want * size);
	if (n)
		memcpy(to, *v, (size_t)n * size);
	*v = to;
	*cap = want;
}

void pprof_build_room(struct pprof_build *b, uint32_t samples, uint32_t locs)
{
	struct pprof *p = b->p;
	uint64_t values = (uint64_t)samples * p->n_types;

	room(p->mem, (void **)(void *)&p->loc_at, p->n_samples + 1, &b->cap_loc_at, samples + 1,
	     sizeof(*p->loc_at));
	room(p->mem, (void **)(void *)&p->locs, p->loc_at[p->n_samples], &b->cap_locs, locs,
	     sizeof(*p->locs));
	room(p->mem, (void **)(void *)&p->values, b->n_values, &b->cap_values,
	     (uint32_t)MIN(values, UINT32_MAX - 1), sizeof(*p->values));
	pprof_set_room(&b->samples, p->mem, samples);
}

pindex pprof_build_function(struct pprof_build *b, const struct pprof_function *f)
{
	struct pprof *p = b->p;
	uint64_t hash = hash_mix(hash_mix(seed(b), (uint64_t)f->name << 32 | f->system_name),
				 (uint64_t)f->file << 32 ^ (uint64_t)f->start_line);
	uint32_t at = 0, i;

	while ((i = pprof_set_next(&b->functions, hash, &at)) != PPROF_NONE) {
		const struct pprof_function *o = &p->functions[i];

		if (o->name == f->name && o->system_name == f->system_name && o->file == f->file &&
		    o->start_line == f->start_line)
			return i;
	}
	ROOM(b, p->functions, p->n_functions, p->cap_functions);
	i = p->n_functions++;
	p->functions[i] = *f;
	p->functions[i].id = (uint64_t)i + 1;
	pprof_set_add(&b->functions, p->mem, hash, i);
	return i;
}

static uint64_t hash_line(uint64_t h, const struct pprof_line *l)
{
	return hash_mix(hash_mix(h, (uint64_t)l->function << 32 ^ (uint64_t)l->line),
			(uint64_t)l->column);
}

pindex pprof_build_location(struct pprof_build *b, const struct pprof_location *l,
			    const struct pprof_line *lines, uint32_t n)
{
	struct pprof *p = b->p;
	uint64_t hash = hash_mix(hash_mix(seed(b), l->address),
				 (uint64_t)l->mapping << 32 | n << 1 | l->is_folded);
	uint32_t at = 0, i, k;

	for (k = 0; k < n; k++)
		hash = hash_line(hash, &lines[k]);
	while ((i = pprof_set_next(&b->locations, hash, &at)) != PPROF_NONE) {
		const struct pprof_location *o = &p->locations[i];

		if (o->address != l->address || o->mapping != l->mapping || o->n_lines != n ||
		    o->is_folded != l->is_folded)
			continue;
		for (k = 0; k < n; k++) {
			const struct pprof_line *x = &p->lines[o->line_at + k];

			if (x->function != lines[k].function || x->line != lines[k].line ||
			    x->column != lines[k].column)
				break;
		}
		if (k == n)
			return i;
	}
	ROOM(b, p->locations, p->n_locations, p->cap_locations);
	i = p->n_locations++;
	p->locations[i] = *l;
	p->locations[i].id = (uint64_t)i + 1;
	p->locations[i].line_at = p->n_lines;
	p->locations[i].n_lines = n;
	for (k = 0; k < n; k++) {
		ROOM(b, p->lines, p->n_lines, p->cap_lines);
		p->lines[p->n_lines++] = lines[k];
	}
	pprof_set_add(&b->locations, p->mem, hash, i);
	return i;
}

static bool same_labels(const struct pprof_label *x, const struct pprof_label *y, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (x[i].key != y[i].key || x[i].str != y[i].str || x[i].num != y[i].num ||
		    x[i].num_unit != y[i].num_unit || x[i].is_num != y[i].is_num)
			return false;
	return true;
}

/* Puts the labels behind those of all samples, in order; they stay there if the sample is new. */
static struct pprof_label *stage_labels(struct pprof_build *b, const struct pprof_label *labels,
					uint32_t n)
{
	struct pprof *p = b->p;

	if (!n)
		return NULL;
	for (uint32_t i = 0; i < n; i++) {
		ROOM(b, p->labels, b->n_labels + i, b->cap_labels);
		p->labels[b->n_labels + i] = labels[i];
	}
	pprof_labels_sort(p, p->labels + b->n_labels, n);
	return p->labels + b->n_labels;
}

uint32_t pprof_build_sample(struct pprof_build *b, const pindex *locs, uint32_t n_locs,
			    const struct pprof_label *labels, uint32_t n_labels,
			    const int64_t *values)
{
	struct pprof *p = b->p;
	const struct pprof_label *l = stage_labels(b, labels, n_labels);
	uint64_t hash = hash_bytes(seed(b), locs, n_locs * sizeof(*locs));
	uint32_t at = 0, i, n_all = p->loc_at[p->n_samples];

	for (uint32_t k = 0; k < n_labels; k++)
		hash = hash_mix(hash_mix(hash, (uint64_t)l[k].key << 32 | l[k].str),
				(uint64_t)l[k].num ^ (uint64_t)l[k].num_unit << 32);
	while (!b->keep_equal && (i = pprof_set_next(&b->samples, hash, &at)) != PPROF_NONE) {
		uint32_t label_at = p->label_at ? p->label_at[i] : 0;

		if (p->loc_at[i + 1] - p->loc_at[i] != n_locs ||
		    (p->label_at ? p->label_at[i + 1] - label_at : 0) != n_labels ||
		    (n_locs && memcmp(p->locs + p->loc_at[i], locs, n_locs * sizeof(*locs)) != 0) ||
		    (n_labels && !same_labels(p->labels + label_at, l, n_labels)))
			continue;
		for (uint32_t k = 0; k < p->n_types; k++) /* wraps around, as Go's does */
			p->values[(size_t)i * p->n_types + k] =
				(int64_t)((uint64_t)p->values[(size_t)i * p->n_types + k] +
					  (uint64_t)values[k]);
		return i;
	}
	i = p->n_samples;
	for (uint32_t k = 0; k < n_locs; k++) {
		ROOM(b, p->locs, n_all, b->cap_locs);
		p->locs[n_all++] = locs[k];
	}
	for (uint32_t k = 0; k < p->n_types; k++) {
		ROOM(b, p->values, b->n_values, b->cap_values);
		p->values[b->n_values++] = values[k];
	}
	ROOM(b, p->loc_at, i + 1, b->cap_loc_at);
	p->loc_at[i + 1] = n_all;
	if (n_labels || p->label_at) {
		/* the first labels: all samples before have none */
		while (b->cap_label_at <= i + 1)
			ROOM(b, p->label_at, b->cap_label_at, b->cap_label_at);
		b->n_labels += n_labels;
		p->label_at[i + 1] = b->n_labels;
	}
	p->n_samples++;
	if (!b->keep_equal)
		pprof_set_add(&b->samples, p->mem, hash, i);
	return i;
}
