/*
 * What is the same for every kind of target: exact reads, numbers, strings and batches on top of
 * the one operation that may come back short. Holds no state and makes no system call on it.
 */
#include "target/target.h"

#include <assert.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

void target_thaw(struct target *t)
{
	if (t && t->ops->thaw)
		t->ops->thaw(t);
}

void target_close(struct target *t)
{
	if (t)
		t->ops->close(t);
}

size_t target_read(struct target *t, taddr at, void *dst, size_t n)
{
	/* Nothing lies at the very end of the address space, so a range that wraps is cut there. */
	if (n > UINT64_MAX - at)
		n = (size_t)(UINT64_MAX - at);
	return n ? t->ops->read(t, at, dst, n) : 0;
}

bool mem_read(struct target *t, taddr at, void *dst, size_t n, struct err *err)
{
	size_t got = target_read(t, at, dst, n);

	if (got == n)
		return true;
	err_set(err, ERR_FAULT, "%zu bytes at %#llx: %s", n, (unsigned long long)at,
		got ? "the end cannot be read" : "not readable");
	if (err)
		err->addr = at + got;
	return false;
}

bool mem_uint(struct target *t, taddr at, unsigned width, uint64_t *ret, struct err *err)
{
	unsigned char b[8] = {0};
	uint64_t v = 0;

	assert(width == 1 || width == 2 || width == 4 || width == 8);
	if (!mem_read(t, at, b, width, err))
		return false;
	for (unsigned i = width; i-- > 0;)
		v = v << 8 | b[i];
	*ret = v;
	return true;
}

/* The length of a NUL-terminated string of at most `max` bytes. */
static bool string_length(struct target *t, taddr at, size_t max, size_t *ret, struct err *err)
{
	size_t n = 0;

	while (n <= max) {
		char piece[256];
		size_t got = target_read(t, at + n, piece, MIN(sizeof(piece), max + 1 - n));
		const char *end = memchr(piece, '\0', got);

		if (end) {
			*ret = n + (size_t)(end - piece);
			return true;
		}
		n += got;
		if (got < sizeof(piece) && n <= max) {
			err_set(err, ERR_FAULT, "string at %#llx: not readable to its end",
				(unsigned long long)at);
			if (err)
				err->addr = at + n;
			return false;
		}
	}
	return err_set(err, ERR_LIMIT, "string at %#llx: longer than %zu bytes",
		       (unsigned long long)at, max);
}

bool mem_string(struct target *t, taddr at, size_t n, size_t max, struct arena *a, char **ret,
		struct err *err)
{
	struct arena_mark m = arena_mark(a);
	char *s;

	if (n == MEM_NUL && !string_length(t, at, MIN(max, MEM_NUL - 1), &n, err))
		return false;
	if (n > max)
		return err_set(err, ERR_LIMIT, "string at %#llx: %zu bytes, more than %zu",
			       (unsigned long long)at, n, max);
	s = arena_try(a, (uint64_t)n + 1, 1, err);
	if (!s)
		return false;
	if (!mem_read(t, at, s, n, err)) {
		arena_reset(a, m);
		return false;
	}
	*ret = s;
	return true;
}

void mem_read_many(struct target *t, struct mem_span *s, size_t n)
{
	if (t->ops->read_many) {
		t->ops->read_many(t, s, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		s[i].got = (uint32_t)target_read(t, s[i].at, s[i].dst, s[i].n);
}

bool target_poll(struct target *t, struct mem_span *s, size_t n)
{
	return t->ops->poll && t->ops->poll(t, s, n);
}

bool target_rss(struct target *t, bytes *ret, struct err *err)
{
	if (!t->ops->rss)
		return err_set(err, ERR_USAGE, "not a running process: its memory does not change");
	return t->ops->rss(t, ret, err);
}

bool target_ticks(const struct target *t, int64_t *ret_ticks, int64_t *ret_ns)
{
	enum { TRIES = 32, NEAR_NS = 2000 };
	int64_t best = INT64_MAX;

	/* one counter and one clock for all processes of a machine */
	if (t->kind != TARGET_PROCESS)
		return false;
	/* of several pairs the one that was read least far apart: a busy machine takes the
	 * processor away in between */
	for (unsigned k = 0; k < TRIES && best > NEAR_NS; k++) {
		struct timespec a, b;
		int64_t ticks, ns, apart;

		if (clock_gettime(CLOCK_MONOTONIC, &a) != 0)
			return false;
		ticks = (int64_t)__rdtsc();
		if (clock_gettime(CLOCK_MONOTONIC, &b) != 0)
			return false;
		ns = a.tv_sec * 1000000000LL + a.tv_nsec;
		apart = b.tv_sec * 1000000000LL + b.tv_nsec - ns;
		if (apart < best) {
			best = apart;
			*ret_ticks = ticks;
			*ret_ns = ns + apart / 2;
		}
	}
	return true;
}
