/*
 * Building reports. Knows nothing of terminals: how a column's type looks is the renderers' work,
 * what the cells hold is the views'.
 */
#include "view/report.h"

#include <math.h>
#include <string.h>

#include "base/str.h"

void report_init(struct report *r, struct arena *a, const char *schema)
{
	*r = (struct report){.mem = a, .json = value_object(a)};
	report_put(r, "schema", value_str(schema));
}

void report_put(struct report *r, const char *key, struct value v)
{
	value_put(r->mem, r->json, key, v);
}

struct block *report_block(struct report *r, enum block_kind kind, const char *text)
{
	struct block *b = VEC_PUSH(r->mem, &r->blocks);

	*b = (struct block){.kind = kind, .text = text};
	return b;
}

void block_item(struct report *r, struct block *b, const char *text)
{
	*VEC_PUSH(r->mem, &b->items) = text;
}

void report_table(struct report *r, struct table *t)
{
	report_block(r, BLOCK_TABLE, NULL)->table = t;
}

void report_note(struct report *r, struct value list, const char *text)
{
	value_push(r->mem, list, value_str(text));
	report_block(r, BLOCK_NOTE, text);
}

struct table *table_new(struct arena *a, const struct column *columns, uint32_t n)
{
	struct table *t = ARENA_NEW(a, struct table);

	t->columns = columns;
	t->n_columns = n;
	return t;
}

struct row *table_row(struct arena *a, struct table *t, uint32_t flags)
{
	struct row *r = VEC_PUSH(a, &t->rows);

	*r = (struct row){.cells = ARENA_ARRAY(a, struct value, t->n_columns), .flags = flags};
	return r;
}

struct sort_order {
	uint32_t column;
};

static int row_compare(const void *x, const void *y, void *ctx)
{
	const struct sort_order *o = ctx;
	const struct row *a = x, *b = y;
	const struct value *va = &a->cells[o->column], *vb = &b->cells[o->column];
	double da, db;

	if ((a->flags ^ b->flags) & ROW_SUM) /* totals stay below */
		return a->flags & ROW_SUM ? 1 : -1;
	if ((va->kind == VALUE_NULL) != (vb->kind == VALUE_NULL)) /* unknown last */
		return va->kind == VALUE_NULL ? 1 : -1;
	if (va->kind == VALUE_STR && vb->kind == VALUE_STR)
		return strcmp(va->s, vb->s);
	da = value_number(va);
	db = value_number(vb);
	if (isnan(da) || isnan(db))
		return isnan(da) - isnan(db);
	return (da < db) - (da > db);
}

/* qsort_r need not be stable; a merge sort of whole rows is, and tables are small. */
static void merge(struct row *v, struct row *tmp, uint32_t n, struct sort_order *o)
{
	uint32_t half = n / 2, i = 0, j = half, k = 0;

	if (n < 2)
		return;
	merge(v, tmp, half, o);
	merge(v + half, tmp, n - half, o);
	while (i < half && j < n)
		tmp[k++] = row_compare(&v[j], &v[i], o) < 0 ? v[j++] : v[i++];
	while (i < half)
		tmp[k++] = v[i++];
	memcpy(v, tmp, k * sizeof(*v)); /* what is left of the second half is in place */
}

bool table_sort(struct arena *a, struct table *t, const char *key, struct err *err)
{
	struct sort_order o = {0};
	struct str names = {0};
	struct row *tmp;

	for (; o.column < t->n_columns; o.column++) {
		const struct column *c = &t->columns[o.column];

		if (c->key && c->type != COLUMN_HISTOGRAM && !strcmp(c->key, key))
			break;
	}
	if (o.column == t->n_columns) {
		for (uint32_t i = 0; i < t->n_columns; i++)
			if (t->columns[i].key && t->columns[i].type != COLUMN_HISTOGRAM)
				str_addf(&names, "%s%s", names.n ? ", " : "", t->columns[i].key);
		err_set(err, ERR_USAGE, "--sort %s: no such column; there are %s", key,
			names.n ? names.s : "none");
		str_free(&names);
		return false;
	}
	tmp = arena_try(a, t->rows.n, sizeof(*tmp), err);
	if (!tmp && t->rows.n)
		return err_in(err, "sorting");
	merge(t->rows.v, tmp, t->rows.n, &o);
	return true;
}

uint32_t table_end(const struct table *t)
{
	return t->limit_all && t->limit ? MIN(t->limit, t->rows.n) : t->rows.n;
}

struct value table_json(struct arena *a, const struct table *t)
{
	struct value rows = value_array(a);

	for (uint32_t i = 0; i < table_end(t); i++) {
		const struct row *r = &t->rows.v[i];
		struct value row;

		if (r->flags & ROW_SHOWN)
			continue;
		row = value_object(a);
		for (uint32_t c = 0; c < t->n_columns; c++)
			if (t->columns[c].key)
				value_put(a, row, t->columns[c].key, r->cells[c]);
		value_push(a, rows, row);
	}
	return rows;
}
