/*
 * profile.proto into columns, in one pass over a stream: a field that a piece of the stream cuts is
 * put together, everything else is decoded where it lies. Columns grow with what has come, so a
 * length that lies takes no memory. Samples mostly come before the tables that they point into:
 * ids are stored as they are, less one, which is already the index when a writer numbers its rows
 * from 1, as all known ones do; otherwise a last pass maps them.
 *
 * What is an error and what is ignored follows google/pprof (profile/proto.go, encode.go): an
 * unknown field is skipped, a known one of the wrong type is an error, the last value of a field
 * that should be there once counts.
 */
#include "pprof/codec.h"
#include "pprof/set.h"
#include "pprof/stream.h"
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

/* References by id, one in every `stride` bytes from `rows` on: the id less one, PPROF_NONE for id
 * 0, until link_all makes indices of them. */
struct refs {
	uint32_t *rows;
	size_t stride;
	uint32_t n;
	uint32_t max;	/* the largest id */
	bool none;	/* there is an id 0 */
	uint64_t *wide; /* the ids, once one of them does not fit into 32 bits; NULL: all fit */
	uint32_t cap_wide;
};

struct decoding {
	struct pprof *p;
	struct arena *mem, *tmp;
	struct err *err;
	pstr *pstr_of; /* index in the file's string table → pprof.strings */
	uint32_t n_raw, cap_raw;
	char *text; /* room for the next strings */
	size_t text_left;
	struct refs locs, functions, mappings; /* of samples, lines, locations */
	uint32_t cap_samples, cap_values, cap_locs, cap_labels, cap_label_at, n_labels;
	uint32_t n_values;
	uint64_t values_first, values_odd; /* of the first sample; of one that has another number */
	struct wire around;		   /* what is decoded at the moment */
	bool concatenated, empty;
	bytes limit; /* of both arenas together */
};

#define GROW_MIN  ((uint64_t)8 << 10) /* bytes */
#define TEXT_STEP ((size_t)64 << 10)

/* Room for `more` elements behind n. The step is an eighth: what is not needed is in memory too. */
static bool grow(struct decoding *d, struct arena *mem, void *vec, uint32_t n, uint32_t *cap,
		 uint64_t more, size_t size)
{
	const struct arena *other = mem == d->mem ? d->tmp : d->mem;
	void **v = vec, *to;
	uint64_t want = n + more;

	if (want >= UINT32_MAX - 1)
		return err_set(d->err, ERR_LIMIT, "more than 4 billion entries of a kind");
	want = MAX(want, *cap + MAX(*cap / 8, GROW_MIN / size));
	if ((uint64_t)*cap * size < (256U << 10))
		want = MAX(want, (uint64_t)*cap * 2);
	want = MIN(want, UINT32_MAX - 2);
	mem->limit = d->limit > other->used ? d->limit - other->used : 1;
	to = arena_resize(mem, *v, (size_t)*cap * size, want * size, d->err);
	if (!to)
		return false;
	*v = to;
	*cap = (uint32_t)want;
	return true;
}
#define ROOM_IN(mem, vec, n, cap, more)                                                            \
	((uint64_t)(n) + (more) <= (cap) || grow(d, mem, &(vec), n, &(cap), more, sizeof(*(vec))))
#define ROOM(vec, n, cap, more) ROOM_IN(d->mem, vec, n, cap, more)

/* The inside of a field. */
static struct wire inside(const struct decoding *d, const struct wire_field *f)
{
	return wire_in(&d->around, f->d, f->n);
}

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

/* --- references --- */

static uint32_t *ref_at(const struct refs *r, uint32_t i)
{
	return (uint32_t *)(void *)((char *)r->rows + i * r->stride);
}

/* From now on all ids of this kind are kept in 64 bits as well. */
static bool refs_widen(struct decoding *d, struct refs *r, uint64_t more)
{
	bool first = !r->wide;

	if (!ROOM_IN(d->tmp, r->wide, r->n, r->cap_wide, more))
		return false;
	for (uint32_t i = 0; first && i < r->n; i++)
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): grow made it */
		r->wide[i] = *ref_at(r, i) == PPROF_NONE ? 0 : (uint64_t)*ref_at(r, i) + 1;
	return true;
}

/* The next reference, of which the row is there already. */
static bool ref_add(struct decoding *d, struct refs *r, uint64_t id)
{
	if (r->wide || id > UINT32_MAX - 1) {
		if (!refs_widen(d, r, 1))
			return false;
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): grow made it */
		r->wide[r->n] = id;
	} else {
		*ref_at(r, r->n) = (uint32_t)id - 1;
		r->max = MAX(r->max, (uint32_t)id);
		r->none |= !id;
	}
	r->n++;
	return true;
}

/* --- messages --- */

/* String fields hold raw indices, clamped to 32 bits, until the table is complete. */
static pstr raw_index(const struct wire_field *f)
{
	return f->v > UINT32_MAX ? UINT32_MAX : (pstr)f->v;
}

static bool value_type(struct decoding *d, const struct wire_field *m, struct pprof_value_type *t)
{
	struct wire w = inside(d, m);
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
	struct pprof *p = d->p;
	struct wire w = inside(d, m);
	struct pprof_mapping *x;
	struct wire_field f;

	if (!want(d, m, WIRE_BYTES) || !ROOM(p->mappings, p->n_mappings, p->cap_mappings, 1))
		return false;
	x = &p->mappings[p->n_mappings++];
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
	struct pprof *p = d->p;
	struct wire w = inside(d, m);
	struct pprof_function *x;
	struct wire_field f;

	if (!want(d, m, WIRE_BYTES) || !ROOM(p->functions, p->n_functions, p->cap_functions, 1))
		return false;
	x = &p->functions[p->n_functions++];
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

static bool line(struct decoding *d, const struct wire_field *m)
{
	struct pprof *p = d->p;
	struct wire w = inside(d, m);
	uint64_t function_id = 0;
	struct pprof_line *x;
	struct wire_field f;

	if (!want(d, m, WIRE_BYTES) || !ROOM(p->lines, p->n_lines, p->cap_lines, 1))
		return false;
	x = &p->lines[p->n_lines++];
	while (wire_next(&w, &f)) {
		if (f.number < 1 || f.number > 3)
			continue;
		if (!want(d, &f, WIRE_VARINT))
			return false;
		if (f.number == 1)
			function_id = f.v;
		else if (f.number == 2)
			x->line = (int64_t)f.v;
		else if ((x->column = (int32_t)f.v) != (int64_t)f.v)
			return malformed(d, "a column number does not fit into 32 bits");
	}
	d->functions.rows = &p->lines[0].function;
	return at_end(d, &w) && ref_add(d, &d->functions, function_id);
}

static bool location(struct decoding *d, const struct wire_field *m)
{
	struct pprof *p = d->p;
	struct wire w = inside(d, m);
	uint64_t mapping_id = 0;
	struct pprof_location *x;
	struct wire_field f;

	if (!want(d, m, WIRE_BYTES) || !ROOM(p->locations, p->n_locations, p->cap_locations, 1))
		return false;
	x = &p->locations[p->n_locations++];
	x->line_at = p->n_lines;
	while (wire_next(&w, &f)) {
		if (f.number < 1 || f.number > 5)
			continue;
		if (f.number == 4) {
			if (!line(d, &f))
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
			mapping_id = f.v;
			break;
		case 3:
			x->address = f.v;
			break;
		default:
			x->is_folded = f.v != 0;
			break;
		}
	}
	x->n_lines = p->n_lines - x->line_at;
	d->mappings.rows = &p->locations[0].mapping;
	return at_end(d, &w) && ref_add(d, &d->mappings, mapping_id);
}

static bool label(struct decoding *d, const struct wire_field *m)
{
	struct pprof_label x = {0};
	struct wire w = inside(d, m);
	struct wire_field f;

	if (!want(d, m, WIRE_BYTES) || !ROOM(d->p->labels, d->n_labels, d->cap_labels, 1))
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

static bool sample_locs(struct decoding *d, const struct wire_field *f)
{
	struct wire w = inside(d, f);
	struct refs *r = &d->locs;
	uint32_t *to, max = r->max;
	uint64_t v, high = 0, zeros = 0;

	if (!ROOM(d->p->locs, r->n, d->cap_locs, f->n))
		return false;
	r->rows = d->p->locs;
	to = r->rows + r->n;
	while (!r->wide && w.at < w.end) {
		uint64_t two[2];

		if (wire_two_varints(&w, two)) {
			high |= two[0] | two[1];
			zeros += (two[0] == 0) + (two[1] == 0);
			to[0] = (uint32_t)two[0] - 1;
			to[1] = (uint32_t)two[1] - 1;
			max = MAX(max, (uint32_t)two[0]);
			max = MAX(max, (uint32_t)two[1]);
			to += 2;
			continue;
		}
		if (!wire_varint(&w, &v))
			return malformed(d, "a number is cut off");
		high |= v;
		zeros += v == 0;
		max = MAX(max, (uint32_t)v);
		*to++ = (uint32_t)v - 1; /* id 0: PPROF_NONE */
	}
	if (!r->wide && high < UINT32_MAX) {
		r->n = (uint32_t)(to - r->rows);
		r->max = max;
		r->none |= zeros != 0;
		return true;
	}
	for (w = inside(d, f); w.at < w.end;)
		if (!wire_varint(&w, &v))
			return malformed(d, "a number is cut off");
		else if (!ref_add(d, r, v))
			return false;
	return true;
}

static bool sample(struct decoding *d, const struct wire_field *m)
{
	struct pprof *p = d->p;
	uint64_t values = d->n_values, v;
	struct wire w = inside(d, m), in;
	struct wire_field f;

	if (!want(d, m, WIRE_BYTES) || !ROOM(p->loc_at, p->n_samples, d->cap_samples, 2))
		return false;
	p->loc_at[p->n_samples] = d->locs.n;
	if (p->label_at) {
		if (!ROOM(p->label_at, p->n_samples, d->cap_label_at, 2))
			return false;
		p->label_at[p->n_samples] = d->n_labels;
	}
	while (wire_next(&w, &f)) {
		if (f.number < 1 || f.number > 3)
			continue;
		if (f.number == 3) {
			/* the samples before the first label have none: zeros */
			if ((!p->label_at &&
			     !ROOM(p->label_at, 0, d->cap_label_at, (uint64_t)p->n_samples + 2)) ||
			    !label(d, &f))
				return false;
			continue;
		}
		if (f.type != WIRE_BYTES && !want(d, &f, WIRE_VARINT))
			return false;
		in = inside(d, &f);
		if (f.number == 1 && f.type == WIRE_BYTES) {
			if (!sample_locs(d, &f))
				return false;
		} else if (f.number == 1) {
			if (!ROOM(p->locs, d->locs.n, d->cap_locs, 1))
				return false;
			d->locs.rows = p->locs;
			if (!ref_add(d, &d->locs, f.v))
				return false;
		} else if (!ROOM(p->values, d->n_values, d->cap_values, MAX(f.n, 1))) {
			return false;
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
	struct wire in = inside(d, f);
	struct wire_field one = {.v = f->v};
	struct pprof *p = d->p;

	if (!ROOM(p->comments, p->n_comments, p->cap_comments, MAX(f->n, 1)))
		return false;
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

/* A string of the table: its text is kept once. */
static bool string(struct decoding *d, const struct wire_field *f)
{
	struct pprof *p = d->p;
	uint64_t hash = hash_bytes((uintptr_t)p->mem, f->d, f->n);
	uint32_t at = 0, k;

	if (!want(d, f, WIRE_BYTES) ||
	    (d->n_raw == 0 && f->n > 0 && !malformed(d, "string 0 is not \"\"")))
		return false;
	while ((k = pprof_set_next(&p->string_set, hash, &at)) != PPROF_NONE)
		/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): a field of bytes has
		 * them */
		if (p->strings[k].n == f->n && memcmp(p->strings[k].s, f->d, f->n) == 0)
			break;
	if (k == PPROF_NONE) {
		/* the set doubles, and what it was stays in the arena */
		if (f->n >= UINT32_MAX || arena_room(d->mem, sizeof(struct pprof_slot)) <
						  (uint64_t)p->string_set.cap * 2 + 64)
			return err_set(d->err, ERR_LIMIT,
				       "too many strings for the limit of memory");
		if (d->text_left <= f->n) {
			d->text_left = MAX(TEXT_STEP, f->n + 1);
			d->text = arena_try(d->mem, d->text_left, 1, d->err);
		}
		if (!d->text || !ROOM(p->strings, p->n_strings, p->cap_strings, 1))
			return false;
		memcpy(d->text, f->d, f->n); /* the rest of it is zero */
		k = p->n_strings++;
		p->strings[k] = (struct pprof_string){d->text, (uint32_t)f->n};
		pprof_set_add(&p->string_set, d->mem, hash, k);
		d->text += f->n + 1;
		d->text_left -= f->n + 1;
	}
	if (!ROOM_IN(d->tmp, d->pstr_of, d->n_raw, d->cap_raw, 1))
		return false;
	d->pstr_of[d->n_raw++] = k;
	return true;
}

/* One field of the profile. */
static bool field(struct decoding *d, const struct wire_field *f)
{
	struct pprof *p = d->p;

	switch (f->number) {
	case P_TYPE:
		return ROOM(p->types, p->n_types, p->cap_types, 1) &&
		       value_type(d, f, &p->types[p->n_types++]);
	case P_SAMPLE:
		return sample(d, f);
	case P_MAPPING:
		return mapping(d, f);
	case P_LOCATION:
		return location(d, f);
	case P_FUNCTION:
		return function(d, f);
	case P_STRING:
		return string(d, f);
	case P_TIME:
		d->concatenated = p->time_nanos != 0;
		return !d->concatenated && scalar(d, f);
	case P_PERIOD_TYPE:
		return value_type(d, f, &p->period_type);
	case P_COMMENT:
		return comments(d, f);
	case P_DROP:
	case P_KEEP:
	case P_DURATION:
	case P_PERIOD:
	case P_DEFAULT:
	case P_DOC:
		return scalar(d, f);
	default:
		return true;
	}
}

/* The fields that lie in these bytes as a whole; *ret_n bytes of them. */
static bool fields(struct decoding *d, const uint8_t *at, size_t n, size_t *ret_n)
{
	struct wire w = wire_of(at, n);
	struct wire_field f;

	d->around = w;
	while (wire_next(&w, &f))
		if (!field(d, &f))
			return false;
	*ret_n = (size_t)(w.at - at);
	return true;
}

/* Whether more bytes can't make a field of these. */
static bool hopeless(const uint8_t *at, size_t n)
{
	struct wire w = wire_of(at, n);
	uint64_t key, v;

	if (!wire_varint(&w, &key))
		return n >= 10;
	switch (key & 7) {
	case WIRE_VARINT:
	case WIRE_BYTES:
		return !wire_varint(&w, &v) && w.end - w.at >= 10;
	case WIRE_FIXED64:
	case WIRE_FIXED32:
		return false;
	default: /* groups */
		return true;
	}
}

/* What a piece of the stream ended in the middle of, with what came after it. */
struct seam {
	uint8_t *d;
	uint32_t n, cap;
};

/* Adds bytes of the piece to the seam until its field is whole; *at those that were taken. */
static bool mend(struct decoding *d, struct seam *s, const uint8_t *piece, size_t n, size_t *at)
{
	size_t done = 0;

	while (s->n && *at < n) {
		/* a length is believed as far as there are bytes: twice as many each time */
		size_t more = MIN(n - *at, MAX(s->n, 64U));

		if (!ROOM_IN(d->tmp, s->d, s->n, s->cap, more))
			return false;
		memcpy(s->d + s->n, piece + *at, more);
		if (!fields(d, s->d, s->n + more, &done))
			return false;
		if (done) { /* what follows it is read from the piece */
			*at += done - s->n;
			s->n = 0;
		} else {
			*at += more;
			s->n += (uint32_t)more;
			if (hopeless(s->d, s->n))
				return malformed(d, "a field is cut off");
		}
	}
	return true;
}

static bool message(struct decoding *d, struct stream *s)
{
	struct seam seam = {0};
	const uint8_t *piece;
	size_t n, at, done;

	d->empty = true;
	for (;;) {
		if (!stream_next(s, &piece, &n, d->err))
			return false;
		if (n == 0)
			break;
		d->empty = false;
		at = done = 0;
		if (!mend(d, &seam, piece, n, &at) || !fields(d, piece + at, n - at, &done))
			return false;
		at += done;
		if (at == n)
			continue;
		if (hopeless(piece + at, n - at))
			return malformed(d, "a field is cut off");
		if (!ROOM_IN(d->tmp, seam.d, 0, seam.cap, n - at))
			return false;
		/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): grow made it */
		memcpy(seam.d, piece + at, n - at);
		seam.n = (uint32_t)(n - at);
	}
	if (d->empty)
		return malformed(d, "empty input file");
	return seam.n == 0 || malformed(d, "a field is cut off");
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
		t->dense = arena_try(d->tmp, max, sizeof(*t->dense), d->err);
		if (!t->dense)
			return false;
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

/* Indices from ids; false when one is in no row. */
static bool refs_link(const struct decoding *d, struct refs *r, const struct ids *t)
{
	bool complete = !r->none;

	if (!r->wide && t->identity && r->max <= t->n_rows)
		return complete;
	for (uint32_t i = 0; i < r->n; i++) {
		uint32_t *row = ref_at(r, i);

		*row = ids_find(d, t, r->wide ? r->wide[i] : (uint32_t)(*row + 1));
		complete &= *row != PPROF_NONE;
	}
	return complete;
}

/* Ids into indices, and what google/pprof's CheckValid asks for. */
static bool link_all(struct decoding *d)
{
	struct pprof *p = d->p;
	struct ids mappings, functions, locations;

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
	d->locs.rows = p->locs;
	if (p->n_lines)
		d->functions.rows = &p->lines[0].function;
	if (p->n_locations)
		d->mappings.rows = &p->locations[0].mapping;
	refs_link(d, &d->mappings, &mappings);
	if (!refs_link(d, &d->functions, &functions))
		return malformed(d, "a location has a line without a function");
	return refs_link(d, &d->locs, &locations) ||
	       malformed(d, "a sample has a location that is not in the profile");
}

/* Gives back what the columns have too much, and ends the samples' ranges. */
static bool finish(struct decoding *d)
{
	struct pprof *p = d->p;
#define TRIM(vec, n, cap)                                                                          \
	do {                                                                                       \
		void *v = arena_resize(d->mem, vec, (size_t)(cap) * sizeof(*(vec)),                \
				       MAX((uint64_t)(n), 1) * sizeof(*(vec)), d->err);            \
		if (!v)                                                                            \
			return false;                                                              \
		(vec) = v;                                                                         \
		(cap) = (n);                                                                       \
	} while (0)
	if (!ROOM(p->loc_at, p->n_samples, d->cap_samples, 1) ||
	    (p->label_at && !ROOM(p->label_at, p->n_samples, d->cap_label_at, 1)))
		return false;
	p->loc_at[p->n_samples] = d->locs.n;
	if (p->label_at)
		p->label_at[p->n_samples] = d->n_labels;
	TRIM(p->locs, d->locs.n, d->cap_locs);
	TRIM(p->values, d->n_values, d->cap_values);
	TRIM(p->loc_at, p->n_samples + 1, d->cap_samples);
	TRIM(p->locations, p->n_locations, p->cap_locations);
	TRIM(p->lines, p->n_lines, p->cap_lines);
	TRIM(p->functions, p->n_functions, p->cap_functions);
	TRIM(p->strings, p->n_strings, p->cap_strings);
	if (p->label_at) {
		TRIM(p->label_at, p->n_samples + 1, d->cap_label_at);
		TRIM(p->labels, d->n_labels, d->cap_labels);
	}
#undef TRIM
	return true;
}

enum pprof_verdict pprof_decode(struct stream *s, struct arena *mem, struct pprof *ret,
				struct err *err)
{
	bytes limit = mem->limit;
	struct arena_mark mark = arena_mark(mem);
	struct err why = {0};
	struct arena tmp;
	struct pprof p;
	struct decoding d = {.p = &p,
			     .mem = mem,
			     .tmp = &tmp,
			     .err = &why,
			     .limit = mem->used + arena_room(mem, 1),
			     .locs.stride = sizeof(*p.locs),
			     .functions.stride = sizeof(*p.lines),
			     .mappings.stride = sizeof(*p.locations),
			     .values_odd = UINT64_MAX};
	bool ok, linked = false;

	arena_init(&tmp, 0);
	pprof_init(&p, mem);
	ok = message(&d, s) && finish(&d) && resolve_all(&d) && labels(&d);
	if (ok)
		linked = link_all(&d) || err_in(&why, "malformed profile");
	arena_free(&tmp);
	mem->limit = limit;
	if (ok && linked) {
		*ret = p;
		return PPROF_OK;
	}
	arena_reset(mem, mark);
	if (d.concatenated)
		err_set(&why, ERR_FORMAT, "concatenated profiles detected");
	if (err)
		*err = why;
	/* what is wrong before the links may be another format; a limit is final */
	return ok || d.concatenated || why.kind == ERR_LIMIT || d.empty ? PPROF_BAD
									: PPROF_NOT_PROTO;
}
