/* Memory that dies together. Three lifetimes exist: session, snapshot, scratch. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/base.h"
#include "base/err.h"

struct arena_block;

/** A bump allocator. `limit` bounds the bytes ever held; 0 means ARENA_LIMIT_DEFAULT. */
struct arena {
	struct arena_block *top;
	bytes used;
	bytes limit;
};

#define ARENA_LIMIT_DEFAULT ((bytes)4 << 30)

/** Where an arena stood, for arena_reset. */
struct arena_mark {
	struct arena_block *top;
	bytes at;
};

void arena_init(struct arena *a, bytes limit);
/** Frees everything. The arena can be used again. */
void arena_free(struct arena *a);

/**
 * Zeroed memory that lives as long as the arena. Never NULL: when the limit or the machine's memory
 * is reached the program ends with one sentence and exit code 1, so that sizes which come from
 * outside must be bounded before, or taken with arena_try.
 */
void *arena_alloc(struct arena *a, size_t n);
/** As arena_alloc, but NULL and *err (ERR_LIMIT) when it does not fit. For sizes that come from
 * outside. */
void *arena_try(struct arena *a, uint64_t count, size_t size, struct err *err);
/** The largest number of `size`d elements that arena_try would still grant. */
uint64_t arena_room(const struct arena *a, size_t size);

/**
 * An array that becomes larger or smaller: `have` bytes at p, which arena_resize gave (NULL: none
 * yet), are kept as far as they fit into `want`. What is new is zero and, where it is much, in
 * memory already. A large array moves without being copied and leaves nothing behind; marks that
 * were taken since its first call are void. want 0 gives a large one back, and NULL. NULL and *err
 * (ERR_LIMIT) when it does not fit.
 */
void *arena_resize(struct arena *a, void *p, size_t have, uint64_t want, struct err *err);

char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

/** Frees what was allocated since the mark was taken. */
struct arena_mark arena_mark(const struct arena *a);
void arena_reset(struct arena *a, struct arena_mark m);

#define ARENA_NEW(a, T)	     ((T *)arena_alloc((a), sizeof(T)))
#define ARENA_ARRAY(a, T, n) ((T *)arena_alloc((a), sizeof(T) * (size_t)(n)))

/**
 * A growing array: declare `VEC(struct x) xs`, push with `*VEC_PUSH(arena, &xs) = value`.
 * Growth doubles; what the old array held stays in the arena until it is freed.
 */
#define VEC(T)                                                                                     \
	struct {                                                                                   \
		T *v;                                                                              \
		uint32_t n, cap;                                                                   \
	}
#define VEC_PUSH(a, vec)                                                                           \
	(vec_room((a), (void **)(void *)&(vec)->v, (vec)->n, &(vec)->cap, sizeof(*(vec)->v)),      \
	 &(vec)->v[(vec)->n++])
void vec_room(struct arena *a, void **v, uint32_t n, uint32_t *cap, size_t size);

#endif
