/*
 * Merging is building a new profile from the samples of the old ones, by way of three maps of each:
 * its strings, its functions and its locations to the new ones. Order is that of first use.
 */
#include "pprof/merge.h"

#include <math.h>
#include <string.h>

#include "pprof/build.h"
#include "pprof/gotext.h"
#include "pprof/measure.h"
#include "pprof/set.h"

#define MAPPING_ROUNDING 0x1000U /* sizes of mappings are compared in such steps */

struct merging {
	struct pprof_build b;
	struct pprof *p;	 /* the new one */
	struct pprof_set by_key; /* its mappings */
	const struct pprof *src; /* the maps are of this one */
	pstr *strings;		 /* PPROF_NONE: not mapped yet, in all of these */
	pindex *mappings, *functions, *locations;
	pindex *stack; /* room for the deepest */
	struct pprof_label *labels;
	struct pprof_line *lines;
};

static pstr map_string(struct merging *m, pstr s)
{
	if (m->strings[s] == PPROF_NONE)
		m->strings[s] = pprof_strn(m->p, m->src->strings[s].s, m->src->strings[s].n);
	return m->strings[s];
}

static struct pprof_value_type map_type(struct merging *m, struct pprof_value_type t)
{
	return (struct pprof_value_type){map_string(m, t.type), map_string(m, t.unit)};
}

/* Size, offset and build id, else file: not where it lies, which ASLR decides. */
static uint64_t mapping_key(const struct pprof_mapping *m, pstr name[static 1])
{
	uint64_t size = m->limit - m->start + MAPPING_ROUNDING - 1;

	*name = m->build_id ? m->build_id : m->file;
	return size - size % MAPPING_ROUNDING;
}

static pindex map_mapping(struct merging *m, pindex i)
{
	struct pprof_mapping x;
	uint64_t size, hash;
	uint32_t at = 0, k;
	pstr name, other;

	if (i == PPROF_NONE || m->mappings[i] != PPROF_NONE)
		return i == PPROF_NONE ? i : m->mappings[i];
	x = m->src->mappings[i];
	x.file = map_string(m, x.file);
	x.build_id = map_string(m, x.build_id);
	x.kernel_relocation_symbol = map_string(m, x.kernel_relocation_symbol);
	size = mapping_key(&x, &name);
	hash = hash_mix(hash_mix(hash_mix((uintptr_t)m->p->mem, size), x.offset), name);
	while ((k = pprof_set_next(&m->by_key, hash, &at)) != PPROF_NONE) {
		const struct pprof_mapping *o = &m->p->mappings[k];

		if (mapping_key(o, &other) == size && o->offset == x.offset && other == name)
			break;
	}
	if (k == PPROF_NONE) {
		k = pprof_mapping_add(m->p, &x);
		pprof_set_add(&m->by_key, m->p->mem, hash, k);
	}
	return m->mappings[i] = k;
}

static pindex map_function(struct merging *m, pindex i)
{
	struct pprof_function f;

	if (i == PPROF_NONE || m->functions[i] != PPROF_NONE)
		return i == PPROF_NONE ? i : m->functions[i];
	f = m->src->functions[i];
	f.name = map_string(m, f.name);
	f.system_name = map_string(m, f.system_name);
	f.file = map_string(m, f.file);
	return m->functions[i] = pprof_build_function(&m->b, &f);
}

static pindex map_location(struct merging *m, pindex i)
{
	struct pprof_location l;

	if (m->locations[i] != PPROF_NONE)
		return m->locations[i];
	l = m->src->locations[i];
	if (l.mapping != PPROF_NONE) {
		uint64_t start = m->src->mappings[l.mapping].start;

		l.mapping = map_mapping(m, l.mapping);
		l.address += m->p->mappings[l.mapping].start - start;
	}
	for (uint32_t k = 0; k < l.n_lines; k++) {
		m->lines[k] = m->src->lines[l.line_at + k];
		m->lines[k].function = map_function(m, m->lines[k].function);
	}
	return m->locations[i] = pprof_build_location(&m->b, &l, m->lines, l.n_lines);
}

static bool is_zero(const struct pprof *p, uint32_t sample)
{
	const int64_t *v = &p->values[(size_t)sample * p->n_types];

	for (uint32_t i = 0; i < p->n_types; i++)
		if (v[i])
			return false;
	return true;
}

static void map_samples(struct merging *m)
{
	const struct pprof *s = m->src;

	for (uint32_t i = 0; i < s->n_samples; i++) {
		uint32_t n = s->loc_at[i + 1] - s->loc_at[i], n_labels = 0;

		if (is_zero(s, i))
			continue;
		for (uint32_t k = 0; k < n; k++)
			m->stack[k] = map_location(m, s->locs[s->loc_at[i] + k]);
		for (uint32_t k = s->label_at ? s->label_at[i] : 0;
		     s->label_at && k < s->label_at[i + 1]; k++) {
			struct pprof_label l = s->labels[k];

			l.key = map_string(m, l.key);
			l.str = map_string(m, l.str);
			l.num_unit = map_string(m, l.num_unit);
			m->labels[n_labels++] = l;
		}
		pprof_build_sample(&m->b, m->stack, n, m->labels, n_labels,
				   &s->values[(size_t)i * s->n_types]);
	}
}

/* A map of n entries, none of them known yet. */
static uint32_t *unmapped(struct arena *a, uint32_t n)
{
	uint32_t *v = ARENA_ARRAY(a, uint32_t, (size_t)n + 1);

	memset(v, 0xff, ((size_t)n + 1) * sizeof(*v));
	return v;
}

static void source(struct merging *m, const struct pprof *s, struct arena *tmp)
{
	uint32_t deepest = 0, labels = 0, lines = 0;

	for (uint32_t i = 0; i < s->n_samples; i++) {
		deepest = MAX(deepest, s->loc_at[i + 1] - s->loc_at[i]);
		if (s->label_at)
			labels = MAX(labels, s->label_at[i + 1] - s->label_at[i]);
	}
	for (uint32_t i = 0; i < s->n_locations; i++)
		lines = MAX(lines, s->locations[i].n_lines);
	m->src = s;
	m->strings = unmapped(tmp, s->n_strings);
	m->mappings = unmapped(tmp, s->n_mappings);
	m->functions = unmapped(tmp, s->n_functions);
	m->locations = unmapped(tmp, s->n_locations);
	m->stack = ARENA_ARRAY(tmp, pindex, (size_t)deepest + 1);
	m->labels = ARENA_ARRAY(tmp, struct pprof_label, (size_t)labels + 1);
	m->lines = ARENA_ARRAY(tmp, struct pprof_line, (size_t)lines + 1);
}

/* What is said once about a profile: the first one that says it, sums, extremes. */
static void header(struct merging *m, uint32_t nth, struct pprof_set *seen)
{
	const struct pprof *s = m->src;
	struct pprof *p = m->p;

	if (nth == 0) {
		for (uint32_t i = 0; i < s->n_types; i++)
			pprof_type_add(p, pprof_text(s, s->types[i].type),
				       pprof_text(s, s->types[i].unit));
		p->drop_frames = map_string(m, s->drop_frames);
		p->keep_frames = map_string(m, s->keep_frames);
		p->period_type = map_type(m, s->period_type);
	}
	if (p->time_nanos == 0 || s->time_nanos < p->time_nanos)
		p->time_nanos = s->time_nanos;
	p->duration_nanos = go_add(p->duration_nanos, s->duration_nanos);
	if (p->period == 0 || p->period < s->period)
		p->period = s->period;
	for (uint32_t i = 0; i < s->n_comments; i++) {
		pstr c = map_string(m, s->comments[i]);
		uint64_t hash = hash_mix((uintptr_t)p->mem, c);
		uint32_t at = 0, k;

		while ((k = pprof_set_next(seen, hash, &at)) != PPROF_NONE)
			if (p->comments[k] == c)
				break;
		if (k != PPROF_NONE)
			continue;
		pprof_set_add(seen, p->mem, hash, p->n_comments);
		pprof_comment_add(p, c);
	}
	if (!p->default_type)
		p->default_type = map_string(m, s->default_type);
	if (!p->doc_url)
		p->doc_url = map_string(m, s->doc_url);
}

static void type_text(struct str *to, const struct pprof *p, struct pprof_value_type t)
{
	str_add_plain(to, pprof_text(p, t.type));
	str_add(to, "/");
	str_add_plain(to, pprof_text(p, t.unit));
}

static bool same_text(const struct pprof *a, pstr x, const struct pprof *b, pstr y)
{
	return a->strings[x].n == b->strings[y].n &&
	       memcmp(a->strings[x].s, b->strings[y].s, a->strings[x].n) == 0;
}

static bool same_type(const struct pprof *a, struct pprof_value_type x, const struct pprof *b,
		      struct pprof_value_type y)
{
	return same_text(a, x.type, b, y.type) && same_text(a, x.unit, b, y.unit);
}

static bool differ(const char *what, const struct pprof *a, struct pprof_value_type x,
		   const struct pprof *b, struct pprof_value_type y, struct err *err)
{
	struct str one = {0}, two = {0};

	type_text(&one, a, x);
	type_text(&two, b, y);
	err_set(err, ERR_FORMAT, "incompatible %s types %.100s and %.100s", what, one.s, two.s);
	str_free(&one);
	str_free(&two);
	return false;
}

static bool compatible(const struct pprof *a, const struct pprof *b, struct err *err)
{
	if (!same_type(a, a->period_type, b, b->period_type))
		return differ("period", a, a->period_type, b, b->period_type, err);
	if (a->n_types != b->n_types)
		return err_set(err, ERR_FORMAT, "incompatible sample types: %u and %u of them",
			       a->n_types, b->n_types);
	for (uint32_t i = 0; i < a->n_types; i++)
		if (!same_type(a, a->types[i], b, b->types[i]))
			return differ("sample", a, a->types[i], b, b->types[i], err);
	return true;
}

bool pprof_merge(struct pprof *const *srcs, uint32_t n, struct arena *mem, struct pprof *ret,
		 struct err *err)
{
	struct pprof p;
	struct merging m = {.p = &p};
	struct pprof_set seen = {0};
	uint64_t samples = 0, locs = 0;
	struct arena tmp;
	bool zeros = false;

	for (uint32_t i = 0; i < n; i++) {
		if (i && !compatible(srcs[0], srcs[i], err))
			return false;
		samples += srcs[i]->n_samples;
		locs += srcs[i]->n_samples ? srcs[i]->loc_at[srcs[i]->n_samples] : 0;
	}
	if (locs >= UINT32_MAX || samples >= UINT32_MAX)
		return err_set(err, ERR_LIMIT, "more than 4 billion frames in all");
	arena_init(&tmp, 0);
	pprof_init(&p, mem);
	for (uint32_t i = 0; i < n; i++) {
		struct arena_mark mark = arena_mark(&tmp);

		source(&m, srcs[i], &tmp);
		header(&m, i, &seen);
		if (i == 0) {
			pprof_build_init(&m.b, &p);
			pprof_build_room(&m.b, (uint32_t)samples, (uint32_t)locs);
		}
		/* the first mapping stands for the program itself */
		if (p.n_mappings == 0 && srcs[i]->n_mappings)
			map_mapping(&m, 0);
		map_samples(&m);
		arena_reset(&tmp, mark);
	}
	arena_free(&tmp);
	for (uint32_t i = 0; i < p.n_samples && !zeros; i++)
		zeros = is_zero(&p, i);
	/* what added up to nothing goes, with the locations that only it had */
	if (zeros)
		return pprof_merge(&(struct pprof *){&p}, 1, mem, ret, err);
	*ret = p;
	return true;
}

static uint32_t find_type(const struct pprof *p, const struct pprof *q, pstr type)
{
	for (uint32_t i = 0; i < p->n_types; i++)
		if (same_text(p, p->types[i].type, q, type))
			return i;
	return PPROF_NONE;
}

/* Keeps the types pick[0 … n], in that order. */
static void pick_types(struct pprof *p, const uint32_t *pick, uint32_t n, pstr default_type)
{
	struct pprof_value_type *types = ARENA_ARRAY(p->mem, struct pprof_value_type, n);
	int64_t *values = ARENA_ARRAY(p->mem, int64_t, (size_t)n * p->n_samples + 1);

	for (uint32_t i = 0; i < n; i++)
		types[i] = p->types[pick[i]];
	for (size_t s = 0; s < p->n_samples; s++)
		for (uint32_t i = 0; i < n; i++)
			values[s * n + i] = p->values[s * p->n_types + pick[i]];
	p->types = types;
	p->n_types = p->cap_types = n;
	p->values = values;
	p->default_type = default_type;
}

static bool common_types(struct pprof *const *ps, uint32_t n, struct err *err)
{
	const struct pprof *first = ps[0];
	struct arena tmp;
	bool ok = true;

	arena_init(&tmp, 0);
	/* texts outlive the changes below: they are of strings, which stay */
	pstr *common = ARENA_ARRAY(&tmp, pstr, (size_t)first->n_types + 1);
	uint32_t *pick = ARENA_ARRAY(&tmp, uint32_t, (size_t)first->n_types + 1);
	uint32_t n_common = 0;

	for (uint32_t i = 0; i < first->n_types; i++) {
		uint64_t times = 0;

		for (uint32_t k = 0; k < n; k++)
			for (uint32_t j = 0; j < ps[k]->n_types; j++)
				times += same_text(ps[k], ps[k]->types[j].type, first,
						   first->types[i].type);
		if (times == n)
			common[n_common++] = first->types[i].type;
	}
	if (n_common == 0)
		ok = err_set(err, ERR_FORMAT, "profiles have empty common sample type list");
	for (uint32_t k = 0; ok && k < n; k++) {
		struct pprof *p = ps[k];
		bool same = n_common == p->n_types;
		pstr def = PPROF_NONE;

		for (uint32_t i = 0; ok && i < n_common; i++) {
			pick[i] = find_type(p, first, common[i]);
			if (pick[i] == PPROF_NONE) {
				ok = err_set(err, ERR_FORMAT,
					     "sample type %.100s is not in every profile",
					     pprof_text(first, common[i]));
				break;
			}
			same &= pick[i] == i;
			if (same_text(p, p->default_type, first, common[i]))
				def = p->default_type;
		}
		if (ok && !same)
			pick_types(p, pick, n_common,
				   def == PPROF_NONE ? p->types[pick[0]].type : def);
	}
	arena_free(&tmp);
	return ok;
}

/* Types that differ in a plural's s and in units of one kind measure the same. */
static bool same_measure(const struct pprof *a, struct pprof_value_type x, const struct pprof *b,
			 struct pprof_value_type y)
{
	struct pprof_string s = a->strings[x.type], t = b->strings[y.type];

	s.n -= s.n && s.s[s.n - 1] == 's';
	t.n -= t.n && t.s[t.n - 1] == 's';
	return s.n == t.n && memcmp(s.s, t.s, s.n) == 0 &&
	       measure_same_kind(pprof_text(a, x.unit), pprof_text(b, y.unit));
}

/* The profile whose unit is the finest; column PPROF_NONE is the period. */
static struct pprof_value_type *type_of(struct pprof *p, uint32_t column)
{
	return column == PPROF_NONE ? &p->period_type : &p->types[column];
}

static bool finest(struct pprof *const *ps, uint32_t n, uint32_t column, const char **ret_unit,
		   struct err *err)
{
	uint32_t min = 0;

	for (uint32_t i = 1; i < n; i++) {
		struct pprof_value_type a = *type_of(ps[min], column), b = *type_of(ps[i], column);

		if (!same_measure(ps[min], a, ps[i], b))
			return differ(column == PPROF_NONE ? "period" : "sample", ps[min], a, ps[i],
				      b, err);
		if (measure_scale(1, pprof_text(ps[i], b.unit), pprof_text(ps[min], a.unit)).value <
		    1)
			min = i;
	}
	*ret_unit = pprof_text(ps[min], type_of(ps[min], column)->unit);
	return true;
}

static bool common_units(struct pprof *const *ps, uint32_t n, struct err *err)
{
	struct arena tmp;
	const char **units, *period;
	double *ratios;
	bool ok;

	if (n < 2)
		return true;
	arena_init(&tmp, 0);
	units = ARENA_ARRAY(&tmp, const char *, ps[0]->n_types);
	ratios = ARENA_ARRAY(&tmp, double, ps[0]->n_types);
	ok = finest(ps, n, PPROF_NONE, &period, err);
	for (uint32_t i = 0; ok && i < ps[0]->n_types; i++)
		ok = finest(ps, n, i, &units[i], err);
	for (uint32_t k = 0; ok && k < n; k++) {
		struct pprof *p = ps[k];

		p->period = go_int64(
			measure_scale(p->period, pprof_text(p, p->period_type.unit), period).value);
		p->period_type.unit = pprof_str(p, period);
		for (uint32_t i = 0; i < p->n_types; i++) {
			ratios[i] =
				measure_scale(1, pprof_text(p, p->types[i].unit), units[i]).value;
			p->types[i].unit = pprof_str(p, units[i]);
		}
		pprof_scale(p, ratios);
	}
	arena_free(&tmp);
	return ok;
}

bool pprof_harmonize(struct pprof *const *ps, uint32_t n, struct err *err)
{
	return common_types(ps, n, err) && common_units(ps, n, err);
}

bool pprof_combine(struct pprof *const *ps, uint32_t n, struct arena *mem, struct pprof *ret,
		   struct err *err)
{
	if (!pprof_harmonize(ps, n, err))
		return false;
	if (n > 1)
		return pprof_merge(ps, n, mem, ret, err);
	*ret = *ps[0];
	return true;
}

void pprof_keep_samples(struct pprof *p, const bool *keep)
{
	uint32_t to = 0, locs = 0, labels = 0;

	for (uint32_t i = 0, at = 0, label = 0; i < p->n_samples; i++) {
		/* the ends of sample i, before this writes over them */
		uint32_t end = p->loc_at[i + 1], label_end = p->label_at ? p->label_at[i + 1] : 0;

		if (keep[i]) {
			p->loc_at[to] = locs;
			memmove(p->locs + locs, p->locs + at, (end - at) * sizeof(*p->locs));
			locs += end - at;
			if (p->label_at) {
				p->label_at[to] = labels;
				memmove(p->labels + labels, p->labels + label,
					(label_end - label) * sizeof(*p->labels));
				labels += label_end - label;
			}
			memmove(&p->values[(size_t)to * p->n_types],
				&p->values[(size_t)i * p->n_types],
				p->n_types * sizeof(*p->values));
			to++;
		}
		at = end;
		label = label_end;
	}
	if (!p->n_samples)
		return;
	p->n_samples = to;
	p->loc_at[to] = locs;
	if (p->label_at)
		p->label_at[to] = labels;
}

void pprof_scale(struct pprof *p, const double *ratios)
{
	struct arena tmp;
	bool *keep, changes = false;

	for (uint32_t i = 0; i < p->n_types; i++)
		changes |= ratios[i] != 1;
	if (!changes)
		return;
	arena_init(&tmp, 0);
	keep = ARENA_ARRAY(&tmp, bool, (size_t)p->n_samples + 1);
	for (uint32_t s = 0; s < p->n_samples; s++)
		for (uint32_t i = 0; i < p->n_types; i++) {
			int64_t *v = &p->values[(size_t)s * p->n_types + i];

			if (ratios[i] == 1)
				continue;
			*v = go_int64(round((double)*v * ratios[i]));
			keep[s] |= *v != 0;
		}
	pprof_keep_samples(p, keep);
	arena_free(&tmp);
}

bool pprof_normalize(struct pprof *p, const struct pprof *base, struct err *err)
{
	struct arena tmp;
	double *ratios;

	if (!compatible(p, base, err))
		return false;
	arena_init(&tmp, 0);
	ratios = ARENA_ARRAY(&tmp, double, (size_t)p->n_types + 1);
	for (uint32_t i = 0; i < p->n_types; i++) {
		int64_t of = 0, to = 0;

		for (size_t s = 0; s < p->n_samples; s++)
			of = go_add(of, p->values[s * p->n_types + i]);
		for (size_t s = 0; s < base->n_samples; s++)
			to = go_add(to, base->values[s * p->n_types + i]);
		ratios[i] = of == 0 ? 0 : (double)to / (double)of;
	}
	pprof_scale(p, ratios);
	arena_free(&tmp);
	return true;
}

void pprof_label_all(struct pprof *p, const char *key, const char *value)
{
	struct pprof_label l = {.key = pprof_str(p, key), .str = pprof_str(p, value)};
	uint32_t old = p->label_at ? p->label_at[p->n_samples] : 0, to = 0;
	uint32_t *label_at = ARENA_ARRAY(p->mem, uint32_t, (size_t)p->n_samples + 1);
	struct pprof_label *labels =
		ARENA_ARRAY(p->mem, struct pprof_label, (size_t)old + p->n_samples + 1);

	for (uint32_t i = 0; i < p->n_samples; i++) {
		label_at[i] = to;
		for (uint32_t k = p->label_at ? p->label_at[i] : 0;
		     p->label_at && k < p->label_at[i + 1]; k++)
			if (p->labels[k].is_num || p->labels[k].key != l.key)
				labels[to++] = p->labels[k];
		labels[to++] = l;
		pprof_labels_sort(p, labels + label_at[i], to - label_at[i]);
	}
	label_at[p->n_samples] = to;
	p->labels = labels;
	p->label_at = p->n_samples ? label_at : NULL;
}

bool pprof_subtract(struct pprof *p, struct pprof *base, bool diff, bool normalize,
		    struct arena *mem, struct pprof *ret, struct err *err)
{
	struct arena tmp;
	double *minus;

	if (diff)
		pprof_label_all(base, "pprof::base", "true");
	if (normalize && !pprof_normalize(p, base, err))
		return false;
	arena_init(&tmp, 0);
	minus = ARENA_ARRAY(&tmp, double, (size_t)base->n_types + 1);
	for (uint32_t i = 0; i < base->n_types; i++)
		minus[i] = -1;
	pprof_scale(base, minus);
	arena_free(&tmp);
	return pprof_combine((struct pprof *const[]){p, base}, 2, mem, ret, err);
}
