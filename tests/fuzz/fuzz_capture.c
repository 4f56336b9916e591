/*
 * A capture, or a core of a Go program: opened, read and answered by every view. Half a megabyte is
 * too much for changes of bytes anywhere, so it is changed where it means something: numbers of the
 * notes' text, and words of memory that become other pointers and lengths.
 */
#include <stdio.h>

#include "every_view.h"
#include "fuzz.h"
#include "goruntime/goruntime.h"
#include "target/core.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed);

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static bool is_digit(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* The number around `at`, between blanks or line ends, becomes another one of as many digits. */
static bool change_number(uint8_t *data, size_t n, size_t at, uint64_t *x)
{
	size_t from = at, to = at;
	uint64_t how = next_random(x);

	while (from > 0 && is_digit(data[from - 1]))
		from--;
	while (to < n && is_digit(data[to]))
		to++;
	if (from == to || from == 0 || data[from - 1] != ' ' || to == n ||
	    (data[to] != ' ' && data[to] != '\n'))
		return false;
	for (size_t i = from; i < to; i++)
		data[i] = (uint8_t)(how % 4 == 0   ? 'f'
				    : how % 4 == 1 ? (i + 1 == to ? '1' : '0')
						   : "0123456789abcdef"[next_random(x) % 16]);
	return true;
}

static void change_word(uint8_t *data, size_t n, uint64_t *x)
{
	static const uint64_t words[] = {
		0,	1,	   UINT64_MAX, (uint64_t)1 << 60, 8191, 0xc000000000,
		0x1000, INT64_MAX, 1 << 31};
	size_t at = next_random(x) % (n / 8) * 8, other = next_random(x) % (n / 8) * 8;
	uint64_t w = words[next_random(x) % ARRAY_LEN(words)];

	if (next_random(x) % 3 == 0)
		memcpy(&w, data + other, 8); /* a pointer to elsewhere, or a length of something */
	else if (next_random(x) % 3 == 0)
		w = next_random(x) >> next_random(x) % 64;
	memcpy(data + at, &w, 8);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed)
{
	uint64_t x = (uint64_t)seed << 1 | 1;

	(void)max;
	if (n < 4096)
		return n;
	for (int i = 0; i < 8; i++)
		next_random(&x);
	for (uint64_t i = next_random(&x) % 8 + 1; i > 0; i--) {
		size_t at = next_random(&x) % MIN(n, (size_t)1 << 16);

		if (next_random(&x) % 3 == 0)
			data[at] = (uint8_t)next_random(&x);
		else if (next_random(&x) % 2 == 0 || !change_number(data, n, at, &x))
			change_word(data, n, &x);
	}
	return n;
}

static void answer(struct go_session *g)
{
	struct snapshot s = {0};
	struct err err = {0};

	if (go_snapshot(g, NEED_EVERYTHING, &s, &err))
		every_view(&s);
	else
		fuzz_failed(&err);
	snapshot_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct core_options o = {.root = "/nowhere"};
	struct arena a;
	struct target *t;
	struct go_session *g;
	struct err err = {0};
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fuzz_file(data, n));
	if (!core_open(path, &o, &t, &err)) {
		fuzz_failed(&err);
		return 0;
	}
	arena_init(&a, FUZZ_MEMORY);
	if (!target_facts(t, &a, &err) || !go_open(t, &a, &g, &err)) {
		fuzz_failed(&err);
	} else {
		answer(g);
		go_close(g);
	}
	target_close(t);
	arena_free(&a);
	return 0;
}
