/*
 * The main table of a report for spreadsheets and awk: amounts in bytes and nanoseconds as in the
 * JSON, lists inside a cell as JSON.
 */
#include <string.h>

#include "front/render.h"

static void quote(struct str *to, const char *s)
{
	if (!strpbrk(s, ",\"")) {
		str_add(to, s);
		return;
	}
	str_add(to, "\"");
	for (; *s; s++)
		str_addn(to, *s == '"' ? "\"\"" : s, *s == '"' ? 2 : 1);
	str_add(to, "\"");
}

static void add_cell(struct str *to, const struct value *v)
{
	struct str text = {0};

	if (v->kind == VALUE_NULL)
		return;
	if (v->kind == VALUE_STR)
		str_add_plain(&text, v->s); /* foreign: no line breaks, no escapes */
	else
		render_json(&text, v, false);
	quote(to, text.s ? text.s : "");
	str_free(&text);
}

bool render_csv(struct str *to, const struct report *r)
{
	const struct table *t = r->main;
	bool first = true;

	if (!t)
		return false;
	for (uint32_t c = 0; c < t->n_columns; c++) {
		if (!t->columns[c].key)
			continue;
		str_addf(to, "%s%s", first ? "" : ",", t->columns[c].key);
		first = false;
	}
	str_add(to, "\n");
	for (uint32_t i = 0; i < table_end(t); i++) {
		const struct row *row = &t->rows.v[i];

		if (row->flags & ROW_SHOWN)
			continue;
		first = true;
		for (uint32_t c = 0; c < t->n_columns; c++) {
			if (!t->columns[c].key)
				continue;
			if (!first)
				str_add(to, ",");
			add_cell(to, &row->cells[c]);
			first = false;
		}
		str_add(to, "\n");
	}
	return true;
}
