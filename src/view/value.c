/*
 * The tree that a report's JSON is made of. Lists grow in the arena of the report and die with it;
 * members are looked up by walking, as no object here has more than a hundred.
 */
#include "view/value.h"

#include <math.h>
#include <string.h>

static struct value list_new(struct arena *a, enum value_kind kind)
{
	return (struct value){.kind = kind, .list = ARENA_NEW(a, struct value_list)};
}

struct value value_array(struct arena *a)
{
	return list_new(a, VALUE_ARRAY);
}

struct value value_object(struct arena *a)
{
	return list_new(a, VALUE_OBJECT);
}

void value_push(struct arena *a, struct value array, struct value v)
{
	*VEC_PUSH(a, &array.list->items) = (struct value_item){NULL, v};
}

void value_put(struct arena *a, struct value object, const char *key, struct value v)
{
	*VEC_PUSH(a, &object.list->items) = (struct value_item){key, v};
}

const struct value *value_get(const struct value *object, const char *key)
{
	if (!object || object->kind != VALUE_OBJECT)
		return NULL;
	for (uint32_t i = 0; i < object->list->items.n; i++)
		if (!strcmp(object->list->items.v[i].key, key))
			return &object->list->items.v[i].v;
	return NULL;
}

uint32_t value_count(const struct value *v)
{
	return v && (v->kind == VALUE_ARRAY || v->kind == VALUE_OBJECT) ? v->list->items.n : 0;
}

double value_number(const struct value *v)
{
	switch (v->kind) {
	case VALUE_INT:
		return (double)v->i;
	case VALUE_UINT:
		return (double)v->u;
	case VALUE_DOUBLE:
		return v->d;
	case VALUE_BOOL:
		return v->b;
	default:
		return NAN;
	}
}
