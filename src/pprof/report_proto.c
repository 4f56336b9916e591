/* Reports that are profiles again: what the filters left, and the top entries as a profile. */
#include <string.h>

#include "pprof/codec.h"
#include "pprof/gotext.h"
#include "pprof/measure.h"
#include "pprof/report_in.h"

/* The strings of the profile and the lens' own as one table. */
static void take_strings(struct report *r, struct pprof *q)
{
	const struct lens *l = &r->l;

	q->n_strings = l->p->n_strings + l->own.n;
	q->strings = ARENA_ARRAY(r->mem, struct pprof_string, q->n_strings);
	memcpy(q->strings, l->p->strings, l->p->n_strings * sizeof(*q->strings));
	if (l->own.n)
		memcpy(q->strings + l->p->n_strings, l->own.v, l->own.n * sizeof(*q->strings));
}

static void take_samples(struct report *r, struct pprof *q)
{
	const struct lens *l = &r->l;
	uint64_t n_locs = 0, n_labels = 0;
	uint32_t at = 0, label_at = 0;

	for (uint32_t k = 0; k < l->n_samples; k++) {
		const pindex *locs;
		uint32_t n, i = lens_sample(l, k, &locs, &n);

		n_locs += n;
		n_labels += l->p->label_at ? l->p->label_at[i + 1] - l->p->label_at[i] : 0;
	}
	q->n_samples = l->n_samples;
	q->values = ARENA_ARRAY(r->mem, int64_t, (size_t)q->n_samples * q->n_types + 1);
	q->loc_at = ARENA_ARRAY(r->mem, uint32_t, q->n_samples + 1);
	q->locs = ARENA_ARRAY(r->mem, pindex, n_locs + 1);
	if (l->p->label_at) {
		q->label_at = ARENA_ARRAY(r->mem, uint32_t, q->n_samples + 1);
		q->labels = ARENA_ARRAY(r->mem, struct pprof_label, n_labels + 1);
	}
	for (uint32_t k = 0; k < l->n_samples; k++) {
		const struct pprof_label *labels;
		const pindex *locs;
		uint32_t n, n_l, i = lens_sample(l, k, &locs, &n);

		for (uint32_t j = 0; j < q->n_types; j++) {
			int64_t v = l->p->values[(size_t)i * q->n_types + j];

			if (r->ratio > 0 && r->ratio != 1)
				v = go_int64((double)v * r->ratio);
			q->values[(size_t)k * q->n_types + j] = v;
		}
		for (uint32_t j = 0; j < n; j++)
			if (!l->hidden || !l->hidden[locs[j]])
				q->locs[at++] = locs[j];
		q->loc_at[k + 1] = at;
		labels = lens_labels(l, i, &n_l);
		if (n_l)
			memcpy(q->labels + label_at, labels, n_l * sizeof(*labels));
		label_at += n_l;
		if (q->label_at)
			q->label_at[k + 1] = label_at;
	}
}

bool report_proto(struct report *r)
{
	const struct lens *l = &r->l;
	struct pprof q = *r->p;

	take_strings(r, &q);
	q.mem = r->mem;
	q.mappings = l->mappings;
	q.functions = l->functions;
	q.n_functions = l->n_functions;
	q.lines = l->lines;
	q.n_lines = l->n_lines;
	q.locations = l->locations;
	q.n_locations = l->n_locations;
	take_samples(r, &q);
	return pprof_encode_gzip(&q, r->out, r->err);
}

bool report_topproto(struct report *r)
{
	const struct pprof *p = r->p;
	struct pprof q = {.mem = r->mem,
			  .time_nanos = p->time_nanos,
			  .duration_nanos = p->duration_nanos,
			  .period = p->period,
			  .period_type = p->period_type,
			  .n_types = 2};
	struct pprof_set set = {0};
	struct graph g;
	uint32_t n;

	graph_trimmed(&g, &r->l, &r->graph);
	report_choose_unit(r, &g);
	n = g.n_order;
	q.types = ARENA_ARRAY(r->mem, struct pprof_value_type, 2);
	q.types[0].type = lens_str(&r->l, "cum", 3);
	q.types[1].type = lens_str(&r->l, "flat", 4);
	q.types[0].unit = q.types[1].unit = lens_str(&r->l, r->output_unit, strlen(r->output_unit));
	q.functions = ARENA_ARRAY(r->mem, struct pprof_function, n + 1);
	q.locations = ARENA_ARRAY(r->mem, struct pprof_location, n + 1);
	q.lines = ARENA_ARRAY(r->mem, struct pprof_line, n + 1);
	q.values = ARENA_ARRAY(r->mem, int64_t, 2 * (size_t)n + 1);
	q.loc_at = ARENA_ARRAY(r->mem, uint32_t, n + 1);
	q.locs = ARENA_ARRAY(r->mem, pindex, n + 1);
	q.n_locations = q.n_lines = q.n_samples = n;
	for (uint32_t k = 0; k < n; k++) {
		const struct graph_node *node = &g.nodes.v[g.order[k]];
		const struct graph_place *place = &g.places.v[node->place];
		uint64_t hash =
			hash_mix(hash_mix(place->name, place->file), (uint64_t)place->start_line);
		uint32_t at = 0, f;

		while ((f = pprof_set_next(&set, hash, &at)) != PPROF_NONE)
			if (q.functions[f].name == place->name &&
			    q.functions[f].file == place->file &&
			    q.functions[f].start_line == place->start_line)
				break;
		if (f == PPROF_NONE) {
			f = q.n_functions++;
			q.functions[f] = (struct pprof_function){.id = f + 1,
								 .name = place->name,
								 .file = place->file,
								 .start_line = place->start_line};
			pprof_set_add(&set, r->mem, hash, f);
		}
		q.lines[k] = (struct pprof_line){f, (int32_t)place->column, place->line};
		q.locations[k] = (struct pprof_location){.id = k + 1,
							 .address = place->address,
							 .mapping = PPROF_NONE,
							 .line_at = k,
							 .n_lines = 1};
		q.values[2 * k] =
			go_int64(measure_scale(node_cum(node), r->unit, r->output_unit).value);
		q.values[2 * k + 1] =
			go_int64(measure_scale(node_flat(node), r->unit, r->output_unit).value);
		q.locs[k] = k;
		q.loc_at[k + 1] = k + 1;
	}
	take_strings(r, &q);
	return pprof_encode_gzip(&q, r->out, r->err);
}
