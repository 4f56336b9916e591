/*
 * A profile as profile.proto. The string table is made anew in the order in which the strings are
 * first used, as google/pprof's encoder does, so that equal profiles are equal bytes, whatever
 * they were made of. Lengths are known before they are written: every message is sized first.
 */
#include <libdeflate.h>
#include <string.h>

#include "pprof/codec.h"
#include "pprof/wire.h"

#define GZIP_LEVEL 6

struct encoding {
	const struct pprof *p;
	struct str *out;
	struct arena *tmp;
	uint32_t *number; /* of each of p->strings in the new table; 0: none yet, or "" */
	pstr *order;	  /* the new table */
	uint32_t n_order;
};

static size_t varint_size(uint64_t v)
{
	return (size_t)(63 - __builtin_clzll(v | 1)) / 7 + 1;
}

static void put_varint(struct str *out, uint64_t v)
{
	str_room(out, 10);
	for (; v >= 0x80; v >>= 7)
		out->s[out->n++] = (char)(v | 0x80);
	out->s[out->n++] = (char)v;
}

static void put_key(struct str *out, unsigned number, unsigned type)
{
	put_varint(out, number << 3 | type);
}

/* Numbers of 0 are left out. Field numbers here are below 16: a key is one byte. */
static size_t number_size(uint64_t v)
{
	return v ? 1 + varint_size(v) : 0;
}

static void put_number(struct str *out, unsigned field, uint64_t v)
{
	if (!v)
		return;
	put_key(out, field, WIRE_VARINT);
	put_varint(out, v);
}

static void put_length(struct str *out, unsigned field, size_t n)
{
	put_key(out, field, WIRE_BYTES);
	put_varint(out, n);
}

static uint64_t string(struct encoding *e, pstr s)
{
	if (s == 0)
		return 0;
	if (e->number[s] == 0) {
		e->number[s] = e->n_order;
		e->order[e->n_order++] = s;
	}
	return e->number[s];
}

static void put_type(struct encoding *e, unsigned field, struct pprof_value_type t)
{
	uint64_t type = string(e, t.type), unit = string(e, t.unit);

	put_length(e->out, field, number_size(type) + number_size(unit));
	put_number(e->out, 1, type);
	put_number(e->out, 2, unit);
}

/* More than two numbers are packed. */
static size_t list_size(const uint64_t *v, uint32_t n)
{
	size_t size = 0;

	for (uint32_t i = 0; i < n; i++)
		size += varint_size(v[i]);
	return n > 2 ? size + 1 + varint_size(size) : size + n;
}

static void put_list(struct str *out, unsigned field, const uint64_t *v, uint32_t n)
{
	size_t size = 0;

	if (n > 2) {
		for (uint32_t i = 0; i < n; i++)
			size += varint_size(v[i]);
		put_length(out, field, size);
	}
	for (uint32_t i = 0; i < n; i++) {
		if (n <= 2)
			put_key(out, field, WIRE_VARINT);
		put_varint(out, v[i]);
	}
}

static size_t label_size(struct encoding *e, const struct pprof_label *l)
{
	return number_size(string(e, l->key)) + number_size(string(e, l->str)) +
	       number_size((uint64_t)l->num) + number_size(string(e, l->num_unit));
}

static void put_samples(struct encoding *e)
{
	const struct pprof *p = e->p;
	uint32_t deepest = 0;
	uint64_t *ids;

	for (uint32_t i = 0; i < p->n_samples; i++)
		deepest = MAX(deepest, p->loc_at[i + 1] - p->loc_at[i]);
	ids = ARENA_ARRAY(e->tmp, uint64_t, (size_t)deepest + 1);
	for (uint32_t i = 0; i < p->n_samples; i++) {
		const uint64_t *values = (const uint64_t *)&p->values[(size_t)i * p->n_types];
		uint32_t n = p->loc_at[i + 1] - p->loc_at[i];
		uint32_t from = p->label_at ? p->label_at[i] : 0;
		uint32_t to = p->label_at ? p->label_at[i + 1] : 0;
		size_t size;

		for (uint32_t k = 0; k < n; k++)
			ids[k] = p->locations[p->locs[p->loc_at[i] + k]].id;
		size = list_size(ids, n) + list_size(values, p->n_types);
		for (uint32_t k = from; k < to; k++) {
			size_t of = label_size(e, &p->labels[k]);

			size += 1 + varint_size(of) + of;
		}
		put_length(e->out, 2, size);
		put_list(e->out, 1, ids, n);
		put_list(e->out, 2, values, p->n_types);
		for (uint32_t k = from; k < to; k++) {
			const struct pprof_label *l = &p->labels[k];

			put_length(e->out, 3, label_size(e, l));
			put_number(e->out, 1, string(e, l->key));
			put_number(e->out, 2, string(e, l->str));
			put_number(e->out, 3, (uint64_t)l->num);
			put_number(e->out, 4, string(e, l->num_unit));
		}
	}
}

static void put_mapping(struct encoding *e, const struct pprof_mapping *m)
{
	const uint64_t v[] = {
		m->id,
		m->start,
		m->limit,
		m->offset,
		string(e, m->file),
		string(e, m->build_id),
		m->has_functions,
		m->has_filenames,
		m->has_line_numbers,
		m->has_inline_frames,
	};
	size_t size = 0;

	for (unsigned i = 0; i < ARRAY_LEN(v); i++)
		size += number_size(v[i]);
	put_length(e->out, 3, size);
	for (unsigned i = 0; i < ARRAY_LEN(v); i++)
		put_number(e->out, i + 1, v[i]);
}

static uint64_t function_id(const struct pprof *p, const struct pprof_line *l)
{
	return l->function == PPROF_NONE ? 0 : p->functions[l->function].id;
}

static size_t line_size(const struct pprof *p, const struct pprof_line *l)
{
	return number_size(function_id(p, l)) + number_size((uint64_t)l->line) +
	       number_size((uint64_t)l->column);
}

static void put_location(struct encoding *e, const struct pprof_location *l)
{
	const struct pprof *p = e->p;
	uint64_t mapping = l->mapping == PPROF_NONE ? 0 : p->mappings[l->mapping].id;
	size_t size = number_size(l->id) + number_size(mapping) + number_size(l->address) +
		      number_size(l->is_folded);

	for (uint32_t i = 0; i < l->n_lines; i++) {
		size_t of = line_size(p, &p->lines[l->line_at + i]);

		size += 1 + varint_size(of) + of;
	}
	put_length(e->out, 4, size);
	put_number(e->out, 1, l->id);
	put_number(e->out, 2, mapping);
	put_number(e->out, 3, l->address);
	for (uint32_t i = 0; i < l->n_lines; i++) {
		const struct pprof_line *line = &p->lines[l->line_at + i];

		put_length(e->out, 4, line_size(p, line));
		put_number(e->out, 1, function_id(p, line));
		put_number(e->out, 2, (uint64_t)line->line);
		put_number(e->out, 3, (uint64_t)line->column);
	}
	put_number(e->out, 5, l->is_folded);
}

static void put_function(struct encoding *e, const struct pprof_function *f)
{
	const uint64_t v[] = {f->id, string(e, f->name), string(e, f->system_name),
			      string(e, f->file), (uint64_t)f->start_line};
	size_t size = 0;

	for (unsigned i = 0; i < ARRAY_LEN(v); i++)
		size += number_size(v[i]);
	put_length(e->out, 5, size);
	for (unsigned i = 0; i < ARRAY_LEN(v); i++)
		put_number(e->out, i + 1, v[i]);
}

/* Numbers the strings in the order of google/pprof's preEncode, which is not that of the fields. */
static void number_strings(struct encoding *e)
{
	const struct pprof *p = e->p;
	uint32_t n_labels = p->label_at ? p->label_at[p->n_samples] : 0;

	e->order[e->n_order++] = 0;
	for (uint32_t i = 0; i < p->n_types; i++)
		(void)(string(e, p->types[i].type) + string(e, p->types[i].unit));
	for (uint32_t i = 0; i < n_labels; i++) {
		string(e, p->labels[i].key);
		string(e, p->labels[i].str);
		string(e, p->labels[i].num_unit);
	}
	for (uint32_t i = 0; i < p->n_mappings; i++) {
		string(e, p->mappings[i].file);
		string(e, p->mappings[i].build_id);
	}
	for (uint32_t i = 0; i < p->n_functions; i++) {
		string(e, p->functions[i].name);
		string(e, p->functions[i].system_name);
		string(e, p->functions[i].file);
	}
	string(e, p->drop_frames);
	string(e, p->keep_frames);
	string(e, p->period_type.type);
	string(e, p->period_type.unit);
	for (uint32_t i = 0; i < p->n_comments; i++)
		string(e, p->comments[i]);
	string(e, p->default_type);
	string(e, p->doc_url);
}

void pprof_encode(const struct pprof *p, struct str *out)
{
	struct arena tmp;
	struct encoding e = {.p = p, .out = out, .tmp = &tmp};
	uint64_t *comments;

	arena_init(&tmp, 0);
	e.number = ARENA_ARRAY(&tmp, uint32_t, p->n_strings);
	e.order = ARENA_ARRAY(&tmp, pstr, (size_t)p->n_strings + 1);
	comments = ARENA_ARRAY(&tmp, uint64_t, (size_t)p->n_comments + 1);
	number_strings(&e);
	for (uint32_t i = 0; i < p->n_types; i++)
		put_type(&e, 1, p->types[i]);
	put_samples(&e);
	for (uint32_t i = 0; i < p->n_mappings; i++)
		put_mapping(&e, &p->mappings[i]);
	for (uint32_t i = 0; i < p->n_locations; i++)
		put_location(&e, &p->locations[i]);
	for (uint32_t i = 0; i < p->n_functions; i++)
		put_function(&e, &p->functions[i]);
	for (uint32_t i = 0; i < e.n_order; i++) {
		struct pprof_string s = p->strings[e.order[i]];

		put_length(out, 6, s.n);
		str_addn(out, s.s, s.n);
	}
	put_number(out, 7, string(&e, p->drop_frames));
	put_number(out, 8, string(&e, p->keep_frames));
	put_number(out, 9, (uint64_t)p->time_nanos);
	put_number(out, 10, (uint64_t)p->duration_nanos);
	if (p->period_type.type || p->period_type.unit)
		put_type(&e, 11, p->period_type);
	put_number(out, 12, (uint64_t)p->period);
	for (uint32_t i = 0; i < p->n_comments; i++)
		comments[i] = string(&e, p->comments[i]);
	put_list(out, 13, comments, p->n_comments);
	put_key(out, 14, WIRE_VARINT); /* google/pprof writes this one even when it is 0 */
	put_varint(out, string(&e, p->default_type));
	put_number(out, 15, string(&e, p->doc_url));
	arena_free(&tmp);
}

bool pprof_encode_gzip(const struct pprof *p, struct str *out, struct err *err)
{
	struct libdeflate_compressor *z = libdeflate_alloc_compressor(GZIP_LEVEL);
	struct str plain = {0};
	size_t n = 0;

	if (z) {
		pprof_encode(p, &plain);
		str_room(out, libdeflate_gzip_compress_bound(z, plain.n));
		n = libdeflate_gzip_compress(z, plain.s, plain.n, out->s + out->n,
					     out->cap - out->n - 1);
		out->n += n;
		out->s[out->n] = '\0';
		libdeflate_free_compressor(z);
		str_free(&plain);
	}
	return n > 0 || err_set(err, ERR_LIMIT, "out of memory for the compression");
}
