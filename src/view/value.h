/* Values as JSON knows them, with whole numbers kept exact and the order of members kept. */
#ifndef VIEW_VALUE_H
#define VIEW_VALUE_H

#include "base/arena.h"

enum value_kind {
	VALUE_NULL,
	VALUE_BOOL,
	VALUE_INT,
	VALUE_UINT,
	VALUE_DOUBLE, /* NaN and infinities leave as null */
	VALUE_STR,    /* unsafe bytes inside: every renderer makes them safe in its own way */
	VALUE_ARRAY,
	VALUE_OBJECT,
};

struct value_list;

/** Small: passed and stored by value. Arrays and objects are references into the arena. */
struct value {
	enum value_kind kind;
	union {
		bool b;
		int64_t i;
		uint64_t u;
		double d;
		const char *s;
		struct value_list *list;
	};
};

/** A member of an object, or an element of an array (key NULL). */
struct value_item {
	const char *key;
	struct value v;
};

struct value_list {
	VEC(struct value_item) items;
};

static inline struct value value_null(void)
{
	return (struct value){.kind = VALUE_NULL};
}
static inline struct value value_bool(bool b)
{
	return (struct value){.kind = VALUE_BOOL, .b = b};
}
static inline struct value value_int(int64_t i)
{
	return (struct value){.kind = VALUE_INT, .i = i};
}
static inline struct value value_uint(uint64_t u)
{
	return (struct value){.kind = VALUE_UINT, .u = u};
}
static inline struct value value_double(double d)
{
	return (struct value){.kind = VALUE_DOUBLE, .d = d};
}
/** NULL gives null. */
static inline struct value value_str(const char *s)
{
	return s ? (struct value){.kind = VALUE_STR, .s = s} : value_null();
}
/** null where `known` is false. */
static inline struct value value_uint_if(bool known, uint64_t u)
{
	return known ? value_uint(u) : value_null();
}
static inline struct value value_int_if(bool known, int64_t i)
{
	return known ? value_int(i) : value_null();
}

struct value value_array(struct arena *a);
struct value value_object(struct arena *a);
/** Appends to an array. */
void value_push(struct arena *a, struct value array, struct value v);
/** Appends a member to an object; the caller never gives a key twice. */
void value_put(struct arena *a, struct value object, const char *key, struct value v);

/** The member with this key, or NULL. */
const struct value *value_get(const struct value *object, const char *key);
/** How many items an array or object has; 0 for all else. */
uint32_t value_count(const struct value *v);
/** A number as a double, for sorting and bars; NaN when it is none. */
double value_number(const struct value *v);

#endif
