/*
 * Bump allocation in a stack of blocks. Small requests share malloc'ed blocks that double up to
 * BLOCK_MAX; a large one gets a mapping of its own, so that its memory goes back to the system the
 * moment it is freed, and comes zeroed without being touched. Not thread-safe: one arena, one
 * thread. Under AddressSanitizer whatever is not handed out is poisoned, with a gap between
 * neighbours.
 */
#include "base/arena.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif

#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION((p), (n))
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#define GAP	       16U
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#define GAP	       0U
#endif

#define ALIGN	  16U
#define BLOCK_MIN ((size_t)8 << 10)
#define BLOCK_MAX ((size_t)256 << 10)
/* From here on a request is mapped on its own: a shared block would waste too much of its end. */
#define LARGE	  ((size_t)128 << 10)
#define HUGE_FROM ((size_t)8 << 20) /* then huge pages are worth their rounding */

struct arena_block {
	struct arena_block *below;
	size_t cap; /* bytes behind this header */
	size_t at;  /* of them in use; Σ over all blocks = arena.used */
	bool mapped;
	bool alone; /* one array of arena_resize has all of it */
	char pad[6];
} __attribute__((aligned(ALIGN)));

static char *block_bytes(struct arena_block *b)
{
	return (char *)(b + 1);
}

void arena_init(struct arena *a, bytes limit)
{
	*a = (struct arena){.limit = limit ? limit : ARENA_LIMIT_DEFAULT};
}

static bytes limit_of(const struct arena *a)
{
	return a->limit ? a->limit : ARENA_LIMIT_DEFAULT;
}

static void pop(struct arena *a)
{
	struct arena_block *b = a->top;

	a->top = b->below;
	a->used -= b->at;
	UNPOISON(block_bytes(b), b->cap);
	if (b->mapped)
		munmap(b, sizeof(*b) + b->cap);
	else
		free(b);
}

void arena_free(struct arena *a)
{
	while (a->top)
		pop(a);
	assert(a->used == 0);
}

static struct arena_block *push(struct arena *a, size_t need)
{
	struct arena_block *b;
	size_t cap = BLOCK_MIN;
	bool mapped = need >= LARGE;

	if (mapped) {
		cap = (size_t)round_up(need + sizeof(*b), OS_PAGE) - sizeof(*b);
		b = mmap(NULL, sizeof(*b) + cap, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (b == MAP_FAILED)
			return NULL;
		/* A fault for every 4 KiB of a million spans costs as much as reading them. */
		if (cap >= HUGE_FROM)
			madvise(b, sizeof(*b) + cap, MADV_HUGEPAGE);
	} else {
		if (a->top && !a->top->mapped)
			cap = MIN(a->top->cap * 2, BLOCK_MAX);
		cap = MAX(cap, need);
		b = malloc(sizeof(*b) + cap);
		if (!b)
			return NULL;
	}
	b->below = a->top;
	b->cap = cap;
	b->at = 0;
	b->mapped = mapped;
	b->alone = false;
	POISON(block_bytes(b), cap);
	a->top = b;
	return b;
}

/* NULL: `n` bytes do not fit into the limit or into the machine. */
static void *take(struct arena *a, uint64_t n)
{
	struct arena_block *b = a->top;
	size_t need;
	char *p;

	if (n > SIZE_MAX / 2 || n > (a->used < limit_of(a) ? limit_of(a) - a->used : 0))
		return NULL;
	need = (size_t)round_up(n, ALIGN) + GAP;
	/* A mapped block's fresh pages are zero; everything else is cleared here. */
	if (!b || b->alone || need > b->cap - b->at || (need >= LARGE && !b->mapped)) {
		b = push(a, need);
		if (!b)
			return NULL;
	}
	p = block_bytes(b) + b->at;
	UNPOISON(p, (size_t)n);
	if (!b->mapped || b->at != 0)
		memset(p, 0, (size_t)n);
	b->at += need;
	a->used += need;
	return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
	void *p = take(a, n);

	if (!p) {
		fprintf(stderr,
			"whyrss: out of memory: %zu more bytes were needed and this step may hold "
			"%llu MiB\n",
			n, (unsigned long long)(limit_of(a) >> 20));
		exit(1);
	}
	return p;
}

static void *no_room(const struct arena *a, uint64_t count, size_t size, struct err *err)
{
	err_set(err, ERR_LIMIT, "%llu × %zu bytes do not fit into the limit of %llu MiB",
		(unsigned long long)count, size, (unsigned long long)(limit_of(a) >> 20));
	return NULL;
}

void *arena_try(struct arena *a, uint64_t count, size_t size, struct err *err)
{
	void *p = NULL;
	uint64_t n;

	if (!__builtin_mul_overflow(count, (uint64_t)size, &n))
		p = take(a, n);
	if (!p)
		no_room(a, count, size, err);
	return p;
}

uint64_t arena_room(const struct arena *a, size_t size)
{
	bytes limit = limit_of(a);

	return a->used >= limit ? 0 : (limit - a->used) / MAX(size, 1);
}

/* The place in the stack of the block that p has alone; NULL: p is within a shared one. */
static struct arena_block **block_of(struct arena *a, const void *p)
{
	struct arena_block **b = &a->top;

	while (*b && !((*b)->alone && block_bytes(*b) == p))
		b = &(*b)->below;
	return *b ? b : NULL;
}

/* A fault for each page costs several times what they cost together. */
static void fault_in(void *from, void *to)
{
	uintptr_t at = round_up((uintptr_t)from, OS_PAGE);

	/* NOLINTNEXTLINE(performance-no-int-to-ptr): the next page's address */
	if ((uintptr_t)to > at)
		(void)madvise((void *)at, (uintptr_t)to - at, MADV_POPULATE_WRITE);
}

void *arena_resize(struct arena *a, void *p, size_t have, uint64_t want, struct err *err)
{
	struct arena_block **at = have >= LARGE ? block_of(a, p) : NULL, *b;
	size_t was, n;
	void *to;

	if (!at && want <= have)
		return want ? p : NULL;
	if (!at) {
		to = arena_try(a, want, 1, err);
		if (to && have)
			memcpy(to, p, have);
		if (to && want >= LARGE) {
			a->top->alone = true;
			fault_in((char *)to + have, (char *)to + want);
		}
		return to;
	}
	b = *at;
	was = b->at;
	if (!want) {
		*at = b->below;
		a->used -= was;
		munmap(b, sizeof(*b) + b->cap);
		return NULL;
	}
	if (want > SIZE_MAX / 4 || want > limit_of(a) - MIN(limit_of(a), a->used - was))
		return no_room(a, want, 1, err);
	/* one that was large stays a mapping, or it would not be found */
	n = (size_t)round_up(MAX(want, LARGE), ALIGN) + GAP;
	UNPOISON(block_bytes(b), b->cap);
	if (n > b->cap || n < was) {
		/* A mapping that moves costs every thread its translations: moves are rare, since
		 * there is twice as much address space as memory. */
		size_t cap = (size_t)round_up((n > b->cap ? 2 * n : n) + sizeof(*b), OS_PAGE);

		to = mremap(b, sizeof(*b) + b->cap, cap, MREMAP_MAYMOVE);
		if (to == MAP_FAILED)
			return no_room(a, want, 1, err);
		*at = b = to;
		b->cap = cap - sizeof(*b);
	}
	a->used = a->used - was + n;
	b->at = n;
	to = block_bytes(b);
	if (n > was)
		fault_in((char *)to + was, (char *)to + n);
	else
		memset((char *)to + want, 0, b->cap - (size_t)want);
	POISON((char *)to + n, b->cap - n);
	return to;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *p = arena_alloc(a, n + 1);

	if (n)
		memcpy(p, s, n);
	return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return arena_strdup(a, "");
	p = arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}

struct arena_mark arena_mark(const struct arena *a)
{
	return (struct arena_mark){.top = a->top, .at = a->top ? a->top->at : 0};
}

void arena_reset(struct arena *a, struct arena_mark m)
{
	while (a->top != m.top) {
		assert(a->top); /* the mark was of this arena, and taken before */
		pop(a);
	}
	if (a->top) {
		assert(m.at <= a->top->at);
		a->used -= a->top->at - m.at;
		a->top->at = (size_t)m.at;
		POISON(block_bytes(a->top) + m.at, a->top->cap - (size_t)m.at);
	}
}

void vec_room(struct arena *a, void **v, uint32_t n, uint32_t *cap, size_t size)
{
	uint32_t bigger;
	void *to;

	if (n < *cap)
		return;
	assert(*cap < UINT32_MAX);
	bigger = *cap > UINT32_MAX / 2 ? UINT32_MAX : MAX(*cap * 2, 8);
	to = arena_alloc(a, (size_t)bigger * size);
	if (n)
		memcpy(to, *v, (size_t)n * size);
	*v = to;
	*cap = bigger;
}
