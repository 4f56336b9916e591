/*
 * profile.proto into columns. The message is walked twice: once to count, so that every array is
 * allocated at its final size and a length that lies meets the arena's limit before any memory is
 * touched; once to decode. Samples mostly come before the tables that they point into: their
 * location ids are stored as they are, less one, which is already the index when a writer numbers
 * them from 1, as all known ones do; otherwise a last pass maps them.
 *
 * What is an error and what is ignored follows google/pprof (profile/proto.go, encode.go): an
 * unknown field is skipped, a known one of the wrong type is an error, the last value of a field
 * that should be there once counts.
 */
#include "pprof/codec.h"
#include "pprof/set.h"
#include "pprof/wire.h"

/* Of a message: field numbers, as profile.proto has them. */
enum {
	P_TYPE = 1,
	P_SAMPLE,
	P_MAPPING,
	P_LOCATION,
	P_FUNCTION,
	P_STRING,
	P_DROP,
	P_KEEP,
	P_TIME,
	P_DURATION,
	P_PERIOD_TYPE,
	P_PERIOD,
	P_COMMENT,
	P_DEFAULT,
	P_DOC,
};

struct counts {
	uint64_t types, samples, locs, values, labels, mappings, locations, lines, functions,
		strings, text, comments;
};

/* The ids of one table: dense when they are few and small, else a set. */
struct ids {
	pindex *dense; /* by id - 1 */
	uint64_t n;    /* of dense */
	struct pprof_set set;
	const uint8_t *rows; /* of the table */
	size_t stride;	     /* a row's first field is its id */
	uint32_t n_rows;
	bool identity; /* row i has id i + 1 */
};

struct decoding {
	struct pprof *p;
	struct arena *mem, *tmp;
	struct err *err;
	struct counts n;
	struct pprof_string *raw; /* the string table as the file has it, in the file's bytes */
	uint32_t n_raw;
	pstr *pstr_of; /* raw index → pprof.strings */
	/* location ids less one, of all samples: narrow lie in p->locs already */
	bool wide; /* an id does not fit into 32 bits: all of them go to wide_locs */
	bool need_wide;
	uint64_t *wide_locs;
	uint32_t n_locs, n_labels;
	uint64_t n_values;
	uint64_t values_first, values_odd; /* of the first sample; of one that has another number */
};

static bool malformed(struct decoding *d, const char *what)
{
	return err_set(d->err, ERR_FORMAT, "%s", what);
}

static bool want(struct decoding *d, const struct wire_field *f, unsigned type)
{
	return f->type == type || malformed(d, "a field has the wrong type");
}

/* Whether a loop over wire_next ended because the message did. */
static bool at_end(struct decoding *d, const struct wire *w)
{
	return w->at == w->end || malformed(d, "a field is cut off");
}

static void count(const uint8_t *at, size_t n, struct counts *c)
{
	struct wire w = wire_of(at, n), in;
	struct wire_field f, g;

	while (wire_next(&w, &f))
		switch (f.number) {
		case P_TYPE:
			c->types++;
			break;
		case P_SAMPLE:
			c->samples++;
			in = wire_of(f.d, f.n);
			while (wire_next(&in, &g)) {
				uint64_t of =
					g.type == WIRE_BYTES ? wire_count_varints(g.d, g.n) : 1;

				c->locs += g.number == 1 ? of : 0;
				c->values += g.number == 2 ? of : 0;
				c->labels += g.number == 3;
			}
			break;
		case P_MAPPING:
			c->mappings++;
			break;
		case P_LOCATION:
			c->locations++;
			in = wire_of(f.d, f.n);
			while (wire_next(&in, &g))
				c->lines += g.number == 4;
			break;
		case P_FUNCTION:
			c->functions++;
			break;
		case P_STRING:
			c->strings++;
			c->text += f.n + 1;
			break;
		case P_COMMENT:
			c->comments += f.type == WIRE_BYTES ? wire_count_varints(f.d, f.n) : 1;
			break;
		default:
			break;
		}
}

static bool limits(struct decoding *d)
{
	const struct counts *c = &d->n;
	struct pprof *p = d->p;
	uint64_t most = MAX(MAX(MAX(c->samples, c->locs), MAX(c->values, c->labels)),
			    MAX(MAX(c->locations, c->lines), MAX(c->functions, c->strings)));

	if (MAX(most, MAX(c->mappings, c->comments)) >= UINT32_MAX - 1)
		return err_set(d->err, ERR_LIMIT, "more than 4 billion entries of a kind");
#define TAKE(to, mem, n)                                                                           \
	do {                                                                                       \
		(to) = arena_try(mem, MAX(n, 1), sizeof(*(to)), d->err);                           \
		if (!(to))                                                                         \
			return false;                                                              \
	} while (0)
	TAKE(p->types, d->mem, c->types);
	TAKE(p->mappings, d->mem, c->mappings);
	TAKE(p->functions, d->mem, c->functions);
	TAKE(p->locations, d->mem, c->locations);
	TAKE(p->lines, d->mem, c->lines);
	TAKE(p->loc_at, d->mem, c->samples + 1);
	TAKE(p->locs, d->mem, c->locs);
	TAKE(p->values, d->mem, c->values);
	if (c->labels) {
		TAKE(p->label_at, d->mem, c->samples + 1);
		TAKE(p->labels, d->mem, c->labels);
	}
	TAKE(p->comments, d->mem, c->comments);
	TAKE(d->raw, d->tmp, c->strings);
	p->cap_types = (uint32_t)c->types;
	p->cap_mappings = (uint32_t)c->mappings;
	p->cap_functions = (uint32_t)c->functions;
	p->cap_locations = (uint32_t)c->locations;
	p->cap_lines = (uint32_t)c->lines;
	p->cap_comments = (uint32_t)c->comments;
	return true;
}

/* String fields hold raw indices, clamped to 32 bits, until the table is complete. */
static pstr raw_index(const struct wire_field *f)
{
	return f->v > UINT32_MAX ? UINT32_MAX : (pstr)f->v;
}

static bool value_type(struct decoding *d, const struct wire_field *m, struct pprof_value_type *t)
{
	struct wire w = wire_of(m->d, m->n);
	struct wire_field f;

	if (!want(d, m, WIRE_BYTES))
		return false;
	*t = (struct pprof_value_type){0};
	while (wire_next(&w, &f))
		if (f.number == 1 || f.number == 2) {
			if (!want(d, &f, WIRE_VARINT))
				return false;
			*(f.number == 1 ? &t->type : &t->unit) = raw_index(&f);
		}
	return at_end(d, &w);
}

static bool mapping(struct decoding *d, const struct wire_field *m)
{
	struct pprof_mapping *x = &d->p->mappings[d->p->n_mappings++];
	struct wire w = wire_of(m->d, m->n);
	struct wire_field f;

	if (!want(d, m, WIRE_BYTES))
		return false;
	while (wire_next(&w, &f)) {
		if (f.number < 1 || f.number > 10)
			continue;
		if (!want(d, &f, WIRE_VARINT))
			return false;
		switch (f.number) {
		case 1:
			x->id = f.v;
			break;
		case 2:
			x->start = f.v;
			break;
		case 3:
			x->limit = f.v;
			break;
		case 4:
			x->offset = f.v;
			break;
		case 5:
			x->file = raw_index(&f);
			break;
		case 6:
			x->build_id = raw_index(&f);
			break;
		case 7:
			x->has_functions = f.v != 0;
			break;
		case 8:
			x->has_filenames = f.v != 0;
			break;
		case 9:
			x->has_line_numbers = f.v != 0;
			break;
		default:
			x->has_inline_frames = f.v != 0;
			break;
		}
	}
	return at_end(d, &w);
}

static bool function(struct decoding *d, const struct wire_field *m)
{
	struct pprof_function *x = &d->p->functions[d->p->n_functions++];
	struct wire w = wire_of(m->d, m->n);
	struct wire_field f;

	if (!want(d, m, WIRE_BYTES))
		return false;
	while (wire_next(&w, &f)) {
		if (f.number < 1 || f.number > 5)
			continue;
		if (!want(d, &f, WIRE_VARINT))
			return false;
		switch (f.number) {
		case 1:
			x->id = f.v;
			break;
		case 2:
			x->name = raw_index(&f);
			break;
		case 3:
			x->system_name = raw_index(&f);
			break;
		case 4:
			x->file = raw_index(&f);
			break;
		default:
			x->start_line = (int64_t)f.v;
			break;
		}
	}
	return at_end(d, &w);
}

/* Mapping and function ids of locations wait for their tables here, one u64 a location and a line.
 */
struct pending {
	uint64_t *mapping_id, *function_id;
};

static bool line(struct decoding *d, const struct wire_field *m, struct pending *late)
{
	struct pprof_line *x = &d->p->lines[d->p->n_lines];
	uint64_t *function_id = &late->function_id[d->p->n_lines++];
	struct wire w = wire_of(m->d, m->n);
	struct wire_field f;

	if (!want(d, m, WIRE_BYTES))
		return false;
	while (wire_next(&w, &f)) {
		if (f.number < 1 || f.number > 3)
			continue;
		if (!want(d, &f, WIRE_VARINT))
			return false;
		if (f.number == 1)
			*function_id = f.v;
		else
			*(f.number == 2 ? &x->line : &x->column) = (int64_t)f.v;
	}
	return at_end(d, &w);
}

static bool location(struct decoding *d, const struct wire_field *m, struct pending *late)
{
	uint64_t *mapping_id = &late->mapping_id[d->p->n_locations];
	struct pprof_location *x = &d->p->locations[d->p->n_locations++];
	struct wire w = wire_of(m->d, m->n);
	struct wire_field f;

	if (!want(d, m, WIRE_BYTES))
		return false;
	x->line_at = d->p->n_lines;
	while (wire_next(&w, &f)) {
		if (f.number < 1 || f.number > 5)
			continue;
		if (f.number == 4) {
			if (!line(d, &f, late))
				return false;
			continue;
		}
		if (!want(d, &f, WIRE_VARINT))
			return false;
		switch (f.number) {
		case 1:
			x->id = f.v;
			break;
		case 2:
			*mapping_id = f.v;
			break;
		case 3:
			x->address = f.v;
			break;
		default:
			x->is_folded = f.v != 0;
			break;
		}
	}
	x->n_lines = d->p->n_lines - x->line_at;
	return at_end(d, &w);
}

static bool label(struct decoding *d, const struct wire_field *m)
{
	struct pprof_label x = {0};
	struct wire w = wire_of(m->d, m->n);
	struct wire_field f;

	if (!want(d, m, WIRE_BYTES))
		return false;
	while (wire_next(&w, &f)) {
		if (f.number < 1 || f.number > 4)
			continue;
		if (!want(d, &f, WIRE_VARINT))
			return false;
		switch (f.number) {
		case 1:
			x.key = raw_index(&f);
			break;
		case 2:
			x.str = raw_index(&f);
			break;
		case 3:
			x.num = (int64_t)f.v;
			break;
		default:
			x.num_unit = raw_index(&f);
			break;
		}
	}
	/* is_num says which of the two it is once the strings are known: see labels() */
	d->p->labels[d->n_labels++] = x;
	return at_end(d, &w);
}

static bool sample_locs(struct decoding *d, struct wire w)
{
	uint32_t *to = d->p->locs + d->n_locs, *start = to;
	uint64_t v, high = 0;

	if (d->wide) {
		while (w.at < w.end) {
			if (!wire_varint(&w, &v))
				return malformed(d, "a number is cut off");
			d->wide_locs[d->n_locs++] = v - 1;
		}
		return true;
	}
	while (w.at < w.end) {
		if (!wire_varint(&w, &v))
			return malformed(d, "a number is cut off");
		high |= v;
		*to++ = (uint32_t)v - 1; /* id 0: PPROF_NONE */
	}
	d->n_locs += (uint32_t)(to - start);
	d->need_wide |= high >= UINT32_MAX;
	return true;
}

static bool sample(struct decoding *d, const struct wire_field *m)
{
	struct pprof *p = d->p;
	uint64_t values = d->n_values, v;
	struct wire w = wire_of(m->d, m->n), in;
	struct wire_field f;

	if (!want(d, m, WIRE_BYTES))
		return false;
	p->loc_at[p->n_samples] = d->n_locs;
	if (p->label_at)
		p->label_at[p->n_samples] = d->n_labels;
	while (wire_next(&w, &f)) {
		if (f.number < 1 || f.number > 3)
			continue;
		if (f.number == 3) {
			if (!label(d, &f))
				return false;
			continue;
		}
		if (f.type != WIRE_BYTES && !want(d, &f, WIRE_VARINT))
			return false;
		in = wire_of(f.d, f.n);
		if (f.number == 1 && f.type == WIRE_BYTES) {
			if (!sample_locs(d, in))
				return false;
		} else if (f.number == 1) {
			if (d->wide)
				d->wide_locs[d->n_locs++] = f.v - 1;
			else
				p->locs[d->n_locs++] = (uint32_t)f.v - 1;
			d->need_wide |= f.v >= UINT32_MAX;
		} else if (f.type == WIRE_VARINT) {
			p->values[d->n_values++] = (int64_t)f.v;
		} else {
			while (in.at < in.end) {
				if (!wire_varint(&in, &v))
					return malformed(d, "a number is cut off");
				p->values[d->n_values++] = (int64_t)v;
			}
		}
	}
	values = d->n_values - values;
	if (p->n_samples++ == 0)
		d->values_first = values;
	else if (values != d->values_first && d->values_odd == UINT64_MAX)
		d->values_odd = values;
	return at_end(d, &w);
}

static bool comments(struct decoding *d, const struct wire_field *f)
{
	struct wire in = wire_of(f->d, f->n);
	struct wire_field one = {.v = f->v};

	if (f->type != WIRE_BYTES) {
		d->p->comments[d->p->n_comments++] = raw_index(f);
		return want(d, f, WIRE_VARINT);
	}
	while (in.at < in.end) {
		if (!wire_varint(&in, &one.v))
			return malformed(d, "a number is cut off");
		d->p->comments[d->p->n_comments++] = raw_index(&one);
	}
	return true;
}

/* The rest: numbers, and strings by raw index. */
static bool scalar(struct decoding *d, const struct wire_field *f)
{
	struct pprof *p = d->p;

	if (!want(d, f, WIRE_VARINT))
		return false;
	switch (f->number) {
	case P_DROP:
		p->drop_frames = raw_index(f);
		break;
	case P_KEEP:
		p->keep_frames = raw_index(f);
		break;
	case P_TIME:
		p->time_nanos = (int64_t)f->v;
		break;
	case P_DURATION:
		p->duration_nanos = (int64_t)f->v;
		break;
	case P_PERIOD:
		p->period = (int64_t)f->v;
		break;
	case P_DEFAULT:
		p->default_type = raw_index(f);
		break;
	default:
		p->doc_url = raw_index(f);
		break;
	}
	return true;
}

static bool message(struct decoding *d, const uint8_t *at, size_t n, struct pending *late,
		    bool *ret_concatenated)
{
	struct pprof *p = d->p;
	struct wire w = wire_of(at, n);
	struct wire_field f;
	bool ok = true;

	while (ok && wire_next(&w, &f))
		switch (f.number) {
		case P_TYPE:
			ok = value_type(d, &f, &p->types[p->n_types++]);
			break;
		case P_SAMPLE:
			ok = sample(d, &f);
			break;
		case P_MAPPING:
			ok = mapping(d, &f);
			break;
		case P_LOCATION:
			ok = location(d, &f, late);
			break;
		case P_FUNCTION:
			ok = function(d, &f);
			break;
		case P_STRING:
			ok = want(d, &f, WIRE_BYTES) &&
			     (d->n_raw > 0 || f.n == 0 || malformed(d, "string 0 is not \"\""));
			d->raw[d->n_raw++] =
				(struct pprof_string){(const char *)f.d, (uint32_t)f.n};
			break;
		case P_TIME:
			*ret_concatenated = p->time_nanos != 0;
			ok = !*ret_concatenated && scalar(d, &f);
			break;
		case P_PERIOD_TYPE:
			ok = value_type(d, &f, &p->period_type);
			break;
		case P_COMMENT:
			ok = comments(d, &f);
			break;
		case P_DROP:
		case P_KEEP:
		case P_DURATION:
		case P_PERIOD:
		case P_DEFAULT:
		case P_DOC:
			ok = scalar(d, &f);
			break;
		default:
			break;
		}
	if (!ok)
		return false;
	p->loc_at[p->n_samples] = d->n_locs;
	if (p->label_at)
		p->label_at[p->n_samples] = d->n_labels;
	return at_end(d, &w);
}

/* The string table, each text once. */
static bool strings(struct decoding *d)
{
	struct pprof *p = d->p;
	char *text = arena_try(d->mem, MAX(d->n.text, 1), 1, d->err);

	TAKE(d->pstr_of, d->tmp, d->n_raw);
	if (!text)
		return false;
	p->strings = NULL;
	TAKE(p->strings, d->mem, (uint64_t)d->n_raw + 1);
	p->cap_strings = d->n_raw + 1;
	p->strings[0] = (struct pprof_string){"", 0};
	p->n_strings = 1;
	p->string_set = (struct pprof_set){0};
	if (arena_room(d->mem, sizeof(struct pprof_slot)) < (uint64_t)d->n_raw * 4 + 64)
		return err_set(d->err, ERR_LIMIT, "too many strings for the limit of memory");
	pprof_set_room(&p->string_set, d->mem, d->n_raw + 1);
	pprof_set_add(&p->string_set, d->mem, hash_bytes((uintptr_t)p->mem, "", 0), 0);
	for (uint32_t i = 0; i < d->n_raw; i++) {
		struct pprof_string r = d->raw[i];
		uint64_t hash = hash_bytes((uintptr_t)p->mem, r.s, r.n);
		uint32_t at = 0, k;

		while ((k = pprof_set_next(&p->string_set, hash, &at)) != PPROF_NONE)
			if (p->strings[k].n == r.n && memcmp(p->strings[k].s, r.s, r.n) == 0)
				break;
		if (k == PPROF_NONE) {
			k = p->n_strings++;
			if (r.n)
				memcpy(text, r.s, r.n);
			p->strings[k] = (struct pprof_string){text, r.n};
			pprof_set_add(&p->string_set, d->mem, hash, k);
			text += (size_t)r.n + 1;
		}
		d->pstr_of[i] = k;
	}
	return true;
}

static bool resolve(struct decoding *d, pstr *s)
{
	if (*s >= d->n_raw)
		return malformed(d, "a string is not in the string table");
	*s = d->pstr_of[*s];
	return true;
}

/* Raw string indices into those of pprof.strings, everywhere. */
static bool resolve_all(struct decoding *d)
{
	static const char kernel[] = "[kernel.kallsyms]";
	struct pprof *p = d->p;
	bool ok = resolve(d, &p->drop_frames) && resolve(d, &p->keep_frames) &&
		  resolve(d, &p->doc_url) && resolve(d, &p->default_type) &&
		  resolve(d, &p->period_type.type) && resolve(d, &p->period_type.unit);

	for (uint32_t i = 0; ok && i < p->n_types; i++)
		ok = resolve(d, &p->types[i].type) && resolve(d, &p->types[i].unit);
	for (uint32_t i = 0; ok && i < p->n_mappings; i++) {
		struct pprof_mapping *m = &p->mappings[i];

		ok = resolve(d, &m->file) && resolve(d, &m->build_id);
	}
	for (uint32_t i = 0; ok && i < p->n_functions; i++) {
		struct pprof_function *f = &p->functions[i];

		ok = resolve(d, &f->name) && resolve(d, &f->system_name) && resolve(d, &f->file);
	}
	for (uint32_t i = 0; ok && i < p->n_comments; i++)
		ok = resolve(d, &p->comments[i]);
	for (uint32_t i = 0; ok && i < p->n_mappings; i++) {
		struct pprof_mapping *m = &p->mappings[i];

		if (str_starts(pprof_text(p, m->file), kernel))
			m->kernel_relocation_symbol =
				pprof_strn(p, p->strings[m->file].s + strlen(kernel),
					   p->strings[m->file].n - strlen(kernel));
	}
	return ok;
}

/* Labels: which are numbers, without those that say nothing, sorted within each sample. */
static bool labels(struct decoding *d)
{
	struct pprof *p = d->p;
	uint32_t to = 0;

	if (!p->label_at)
		return true;
	for (uint32_t i = 0, at = 0; i < p->n_samples; i++) {
		uint32_t end = p->label_at[i + 1];

		p->label_at[i] = to;
		for (; at < end; at++) {
			struct pprof_label l = p->labels[at];

			l.is_num = l.str == 0;
			if (!resolve(d, &l.key))
				return false;
			if (l.is_num && l.num == 0 && l.num_unit == 0)
				continue;
			if (!resolve(d, l.is_num ? &l.num_unit : &l.str))
				return false;
			if (l.is_num)
				l.str = 0;
			else
				l.num = 0, l.num_unit = 0;
			p->labels[to++] = l;
		}
		if (arena_room(p->mem, sizeof(struct pprof_label)) < to - p->label_at[i] + 16)
			return err_set(d->err, ERR_LIMIT, "too many labels of one sample");
		pprof_labels_sort(p, p->labels + p->label_at[i], to - p->label_at[i]);
	}
	p->label_at[p->n_samples] = to;
	if (to == 0)
		p->label_at = NULL;
	return true;
}

static uint64_t row_id(const struct ids *t, uint32_t i)
{
	uint64_t id;

	memcpy(&id, t->rows + i * t->stride, sizeof(id));
	return id;
}

/* Learns a table's ids; says which one is there twice, or 0. */
static bool ids_learn(struct decoding *d, struct ids *t, const void *rows, size_t stride,
		      uint32_t n, const char *what)
{
	uint64_t max = 0;

	*t = (struct ids){.rows = rows, .stride = stride, .n_rows = n, .identity = true};
	for (uint32_t i = 0; i < n; i++) {
		uint64_t id = row_id(t, i);

		if (id == 0)
			return err_set(d->err, ERR_FORMAT, "a %s has the reserved id 0", what);
		t->identity &= id == (uint64_t)i + 1;
		max = MAX(max, id);
	}
	if (t->identity)
		return true;
	if (max <= (uint64_t)n * 4 + 1024) {
		t->n = max;
		TAKE(t->dense, d->tmp, max);
		memset(t->dense, 0xff, max * sizeof(*t->dense));
	} else if (arena_room(d->tmp, sizeof(struct pprof_slot)) < (uint64_t)n * 4 + 64) {
		return err_set(d->err, ERR_LIMIT, "too many %ss for the limit of memory", what);
	} else {
		pprof_set_room(&t->set, d->tmp, n);
	}
	for (uint32_t i = 0; i < n; i++) {
		uint64_t id = row_id(t, i);
		uint32_t at = 0, k;

		if (t->dense) {
			k = t->dense[id - 1];
			t->dense[id - 1] = i;
		} else {
			uint64_t hash = hash_mix((uintptr_t)d->mem, id);

			while ((k = pprof_set_next(&t->set, hash, &at)) != PPROF_NONE)
				if (row_id(t, k) == id)
					break;
			if (k == PPROF_NONE)
				pprof_set_add(&t->set, d->tmp, hash, i);
		}
		if (k != PPROF_NONE)
			return err_set(d->err, ERR_FORMAT, "two %ss have the id %llu", what,
				       (unsigned long long)id);
	}
	return true;
}

static pindex ids_find(const struct decoding *d, const struct ids *t, uint64_t id)
{
	uint32_t at = 0, k;

	if (t->identity)
		return id - 1 < t->n_rows ? (pindex)(id - 1) : PPROF_NONE;
	if (t->dense)
		return id - 1 < t->n ? t->dense[id - 1] : PPROF_NONE;
	while ((k = pprof_set_next(&t->set, hash_mix((uintptr_t)d->mem, id), &at)) != PPROF_NONE)
		if (row_id(t, k) == id)
			break;
	return k;
}

/* Ids into indices, and what google/pprof's CheckValid asks for. */
static bool link_all(struct decoding *d, const struct pending *late)
{
	struct pprof *p = d->p;
	struct ids mappings, functions, locations;
	bool complete = true;

	if (p->n_types == 0 && p->n_samples != 0)
		return malformed(d, "missing sample type information");
	if (p->n_samples && (d->values_first != p->n_types || d->values_odd != UINT64_MAX))
		return err_set(d->err, ERR_FORMAT, "mismatch: sample has %llu values vs. %u types",
			       (unsigned long long)(d->values_first != p->n_types ? d->values_first
										  : d->values_odd),
			       p->n_types);
	if (!ids_learn(d, &mappings, p->mappings, sizeof(*p->mappings), p->n_mappings, "mapping") ||
	    !ids_learn(d, &functions, p->functions, sizeof(*p->functions), p->n_functions,
		       "function") ||
	    !ids_learn(d, &locations, p->locations, sizeof(*p->locations), p->n_locations,
		       "location"))
		return false;
	for (uint32_t i = 0; i < p->n_locations; i++) {
		struct pprof_location *l = &p->locations[i];

		l->mapping = ids_find(d, &mappings, late->mapping_id[i]);
		for (uint32_t k = l->line_at; k < l->line_at + l->n_lines; k++) {
			p->lines[k].function = ids_find(d, &functions, late->function_id[k]);
			if (p->lines[k].function == PPROF_NONE)
				return err_set(d->err, ERR_FORMAT,
					       "location %llu has a line without a function",
					       (unsigned long long)l->id);
		}
	}
	if (d->wide || !locations.identity) {
		for (uint32_t i = 0; i < d->n_locs; i++) {
			uint64_t id = d->wide ? d->wide_locs[i] + 1 : (uint64_t)p->locs[i] + 1;

			/* narrow: PPROF_NONE stands for id 0, for nothing else */
			p->locs[i] = !d->wide && p->locs[i] == PPROF_NONE
					     ? PPROF_NONE
					     : ids_find(d, &locations, id);
			complete &= p->locs[i] != PPROF_NONE;
		}
	} else {
		pindex max = 0;

		for (uint32_t i = 0; i < d->n_locs; i++)
			max = MAX(max, p->locs[i]);
		complete = d->n_locs == 0 || max < p->n_locations;
	}
	return complete || malformed(d, "a sample has a location that is not in the profile");
}

/* What is needed on the way at most: the string table, ids, and slots of the sets of ids. */
static uint64_t tmp_bound(const struct counts *c, bool wide)
{
	__extension__ typedef unsigned __int128 big;
	big b = (big)c->strings * 20 + (big)c->lines * 8 + (big)c->locations * 8 +
		((big)c->mappings + c->functions + c->locations) * 32 +
		(wide ? (big)c->locs * 8 : 0) + (1U << 16);

	return b > UINT64_MAX ? UINT64_MAX : (uint64_t)b;
}

static enum pprof_verdict decode(struct decoding *d, const uint8_t *at, size_t n)
{
	struct pending late = {0};
	struct err why = {0}, *err = d->err;
	bool concatenated = false, ok;

	if (!limits(d))
		return PPROF_BAD;
	late.mapping_id = arena_try(d->tmp, MAX(d->n.locations, 1), sizeof(uint64_t), err);
	late.function_id = arena_try(d->tmp, MAX(d->n.lines, 1), sizeof(uint64_t), err);
	if (!late.mapping_id || !late.function_id)
		return PPROF_BAD;
	if (d->wide) {
		d->wide_locs = arena_try(d->tmp, MAX(d->n.locs, 1), sizeof(uint64_t), err);
		if (!d->wide_locs)
			return PPROF_BAD;
	}
	if (!message(d, at, n, &late, &concatenated)) {
		if (!concatenated)
			return PPROF_NOT_PROTO;
		err_set(err, ERR_FORMAT, "concatenated profiles detected");
		return PPROF_BAD;
	}
	if (d->need_wide && !d->wide)
		return PPROF_OK; /* the caller comes again */
	/* a limit is final, all else may be the bytes of another format */
	d->err = &why;
	ok = strings(d) && resolve_all(d) && labels(d);
	d->err = err;
	if (!ok) {
		err_set(err, why.kind, "%s", why.msg);
		return why.kind == ERR_LIMIT ? PPROF_BAD : PPROF_NOT_PROTO;
	}
	if (!link_all(d, &late)) {
		err_in(err, "malformed profile");
		return PPROF_BAD;
	}
	return PPROF_OK;
}

enum pprof_verdict pprof_decode(const uint8_t *at, size_t n, struct arena *mem, struct pprof *ret,
				struct err *err)
{
	bytes limit = mem->limit ? mem->limit : ARENA_LIMIT_DEFAULT;
	struct arena_mark mark = arena_mark(mem);
	struct counts counts = {0};
	enum pprof_verdict v;
	struct arena tmp;
	struct pprof p;

	if (n == 0) {
		err_set(err, ERR_FORMAT, "empty input file");
		return PPROF_BAD;
	}
	count(at, n, &counts);
	for (bool wide = false;; wide = true) { /* twice at most */
		struct decoding d = {.mem = mem,
				     .tmp = &tmp,
				     .p = &p,
				     .err = err,
				     .n = counts,
				     .wide = wide,
				     .values_odd = UINT64_MAX};
		uint64_t bound = tmp_bound(&counts, wide);

		if (bound >= arena_room(mem, 1)) {
			err_set(err, ERR_LIMIT, "decoding it takes more than %llu MiB of memory",
				(unsigned long long)(limit >> 20));
			return PPROF_BAD;
		}
		arena_init(&tmp, bound);
		mem->limit = limit - bound; /* both together keep to the limit */
		pprof_init(&p, mem);
		v = decode(&d, at, n);
		arena_free(&tmp);
		mem->limit = limit;
		if (v == PPROF_OK && (wide || !d.need_wide)) {
			*ret = p;
			return v;
		}
		arena_reset(mem, mark);
		if (v != PPROF_OK)
			return v;
	}
}
