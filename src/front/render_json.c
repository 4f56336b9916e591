/*
 * JSON as a script wants it: whole numbers in full, other numbers in the shortest form that reads
 * back as the same double, NaN and infinities as null, members in the order in which the view put
 * them.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "front/render.h"

static void add_double(struct str *to, double d)
{
	char text[40];

	if (!isfinite(d)) {
		str_add(to, "null");
		return;
	}
	if (d == 0)
		d = 0; /* no "-0" */
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, d);
		if (strtod(text, NULL) == d)
			break;
	}
	str_add(to, text);
}

static void newline(struct str *to, bool indent, uint32_t depth)
{
	if (!indent)
		return;
	str_add(to, "\n");
	for (uint32_t i = 0; i < depth; i++)
		str_add(to, "  ");
}

/* An array of numbers stays on one line even where the rest is indented. */
static bool is_flat(const struct value *v)
{
	for (uint32_t i = 0; i < v->list->items.n; i++)
		if (v->list->items.v[i].v.kind >= VALUE_STR)
			return false;
	return true;
}

static void add_value(struct str *to, const struct value *v, bool indent, uint32_t depth)
{
	bool array = v->kind == VALUE_ARRAY;

	switch (v->kind) {
	case VALUE_NULL:
		str_add(to, "null");
		return;
	case VALUE_BOOL:
		str_add(to, v->b ? "true" : "false");
		return;
	case VALUE_INT:
		str_addf(to, "%lld", (long long)v->i);
		return;
	case VALUE_UINT:
		str_addf(to, "%llu", (unsigned long long)v->u);
		return;
	case VALUE_DOUBLE:
		add_double(to, v->d);
		return;
	case VALUE_STR:
		str_add_json(to, v->s);
		return;
	case VALUE_ARRAY:
	case VALUE_OBJECT:
		break;
	}
	if (array && is_flat(v))
		indent = false;
	str_add(to, array ? "[" : "{");
	for (uint32_t i = 0; i < v->list->items.n; i++) {
		const struct value_item *item = &v->list->items.v[i];

		if (i)
			str_add(to, ",");
		newline(to, indent, depth + 1);
		if (!array) {
			str_add_json(to, item->key);
			str_add(to, indent ? ": " : ":");
		}
		add_value(to, &item->v, indent, depth + 1);
	}
	if (v->list->items.n)
		newline(to, indent, depth);
	str_add(to, array ? "]" : "}");
}

void render_json(struct str *to, const struct value *v, bool indent)
{
	add_value(to, v, indent, 0);
}
