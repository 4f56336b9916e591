/* Memory over time without a process: recordings, trends, logs, forecasts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "series/recording.h"
#include "series/story.h"
#include "series/trend.h"

#define SECOND INT64_C(1000000000)
#define MIB    ((uint64_t)1 << 20)

static char *fresh_path(void)
{
	static char path[64];
	static int n;

	/* in memory: the disk's own speed is not what is tested */
	snprintf(path, sizeof(path), "%s/whyrss-test-%d-%d.db",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (int)getpid(), n++);
	unlink(path);
	return path;
}

static void remove_all(const char *path)
{
	char name[96];
	static const char *const ends[] = {"", "-wal", "-shm"};

	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
}

static struct recording_info info_of(bytes max)
{
	return (struct recording_info){.pid = 4711,
				       .exe = "/bin/etcd",
				       .go = "go1.26.8",
				       .go_minor = 26,
				       .began_unix_ns = INT64_C(1700000000) * SECOND,
				       .hz = 10,
				       .limit = 4096 * MIB,
				       .max_size = max};
}

static struct event sample_at(int64_t t, uint64_t rss)
{
	struct event e = {
		.kind = EVENT_SAMPLE, .t_ns = t, .unix_ns = INT64_C(1700000000) * SECOND + t};

	for (unsigned i = 0; i < N_METRICS; i++)
		*metric_of(&e.sample, &METRICS[i]) = rss / 2 + i * 4096 + (uint64_t)t % 999;
	e.sample.rss = rss;
	e.sample.memory_limit = UNKNOWN;
	e.sample.num_gc = (uint64_t)(t / SECOND);
	return e;
}

/* A day at 10 Hz with a cycle a second and a ledger every 5 s, into a file that holds a tenth of
 * it. */
static void test_a_day_keeps_its_size(void **state)
{
	const bytes max = 24 * MIB;
	const int64_t day = 86400 * SECOND, peak_at = 12345 * SECOND + SECOND / 10 * 3;
	struct recording_info info = info_of(max), back;
	CLEANUP(arena_free) struct arena a = {0};
	const char *path = fresh_path();
	struct recording *r;
	struct sample_row *samples;
	struct ledger_row *ledgers;
	struct cycle_row *cycles;
	struct err err = {0};
	bytes largest = 0, rss;
	int64_t t, peak_t;
	uint32_t n, empty = 0;

	(void)state;
	assert_true(recording_create(path, &info, &r, &err));
	for (t = 0; t < day; t += SECOND / 10) {
		struct event e = sample_at(
			t, t == peak_at ? 3000 * MIB : 500 * MIB + (uint64_t)(t / SECOND) * 1000);

		assert_true(recording_add(r, &e, &err));
		if (t % SECOND == 0) {
			struct event g = {.kind = EVENT_GC,
					  .t_ns = t,
					  .unix_ns = t,
					  .gc = {.n = (uint64_t)(t / SECOND) + 1,
						 .t_known = true,
						 .pause_ns = 50000,
						 .heap_marked = 200 * MIB,
						 .heap_goal = 400 * MIB,
						 .heap_end = 390 * MIB}};

			assert_true(recording_add(r, &g, &err));
		}
		if (t % (5 * SECOND) == 0) {
			struct event l = {.kind = EVENT_LINES, .t_ns = t, .unix_ns = t};

			l.lines.rss = 500 * MIB;
			l.lines.cgroup_limit = l.lines.cgroup_current = UNKNOWN;
			l.lines.resident[LINE_HEAP_LIVE] = 300 * MIB;
			l.lines.cause = "gc-schedule";
			assert_true(recording_add(r, &l, &err));
		}
		if (t % (60 * SECOND) == 0)
			largest = MAX(largest, recording_file_bytes(path));
	}
	largest = MAX(largest, recording_file_bytes(path));
	assert_true(recording_end(r, day, "the day is over", &err));
	assert_true(largest <= max);
	assert_true(recording_file_bytes(path) >= max / 5);

	arena_init(&a, 0);
	assert_true(recording_open(path, &a, &r, &back, &err));
	assert_int_equal(back.pid, 4711);
	assert_string_equal(back.go, "go1.26.8");
	assert_int_equal(back.ended_ns, day);
	assert_string_equal(back.why, "the day is over");
	assert_true(recording_peak(r, &peak_t, &rss, &err));
	assert_int_equal(peak_t, peak_at); /* a peak of one sample is still there */
	assert_int_equal(rss, 3000 * MIB);
	/* Every hour is still there, and the last minutes at full rate. */
	for (int64_t hour = 0; hour < 24; hour++) {
		assert_true(recording_samples(r, hour * 3600 * SECOND, (hour + 1) * 3600 * SECOND,
					      100, &a, &samples, &n, &err));
		empty += n < 20;
	}
	assert_int_equal(empty, 0);
	assert_true(recording_samples(r, day - 60 * SECOND, day, 10000, &a, &samples, &n, &err));
	assert_int_equal(n, 600);
	assert_true(samples[0].s.memory_limit == UNKNOWN);
	assert_true(recording_ledgers(r, 0, day, 100000, &a, &ledgers, &n, &err));
	assert_true(n > 500 && ledgers[0].l.resident[LINE_HEAP_LIVE] == 300 * MIB);
	assert_true(recording_cycles(r, 0, day, 100000, &a, &cycles, &n, &err));
	assert_true(n > 2000 && cycles[n - 1].g.n == 86400);
	recording_close(r);
	remove_all(path);
}

static void test_an_existing_file_is_kept(void **state)
{
	struct recording_info info = info_of(0);
	const char *path = fresh_path();
	struct recording *r;
	struct err err = {0};
	FILE *f = fopen(path, "w");

	(void)state;
	fputs("mine", f);
	fclose(f);
	assert_false(recording_create(path, &info, &r, &err));
	assert_int_equal(err.kind, ERR_USAGE);
	unlink(path);
}

/* Cut at every kind of place, and overwritten with noise: a sentence or rows, never a crash. */
static void test_damaged_files(void **state)
{
	struct recording_info info = info_of(0), back;
	const char *path = fresh_path();
	struct recording *r;
	struct err err = {0};
	char *whole;
	size_t size;
	FILE *f;

	(void)state;
	assert_true(recording_create(path, &info, &r, &err));
	for (int64_t t = 0; t < 600 * SECOND; t += SECOND / 10) {
		struct event e = sample_at(t, 100 * MIB);

		assert_true(recording_add(r, &e, &err));
	}
	assert_true(recording_end(r, 600 * SECOND, "done", &err));
	f = fopen(path, "r");
	fseek(f, 0, SEEK_END);
	size = (size_t)ftell(f);
	rewind(f);
	whole = malloc(size);
	assert_int_equal(fread(whole, 1, size, f), size);
	fclose(f);
	srand(1);
	for (unsigned i = 0; i < 60; i++) {
		CLEANUP(arena_free) struct arena a = {0};
		char *copy = malloc(size);
		size_t keep = i < 30 ? size * i / 30 : size;
		struct story story;

		memcpy(copy, whole, size);
		for (unsigned k = 0; i >= 30 && k < 2000; k++)
			copy[100 + (size_t)rand() % (size - 100)] = (char)rand();
		f = fopen(path, "w");
		fwrite(copy, 1, keep, f);
		fclose(f);
		free(copy);
		arena_init(&a, 0);
		err = (struct err){0};
		if (!recording_open(path, &a, &r, &back, &err)) {
			assert_true(*err.msg);
			continue;
		}
		if (!story_read(r, &back, INT64_MIN, INT64_MAX, &a, &story, &err))
			assert_true(*err.msg);
		recording_close(r);
	}
	free(whole);
	remove_all(path);
}

/* A C leak under a flat Go heap: named, with its rate and what is left until the limit. */
static void test_a_leak_in_words(void **state)
{
	struct recording_info info = info_of(0), back;
	CLEANUP(arena_free) struct arena a = {0};
	const char *path = fresh_path();
	struct recording *r;
	struct story story;
	struct err err = {0};
	bool named = false;

	(void)state;
	assert_true(recording_create(path, &info, &r, &err));
	for (int64_t t = 0; t <= 2400 * SECOND; t += SECOND) {
		uint64_t leaked = (uint64_t)(t / SECOND) * 54188; /* 3.1 MiB a minute */
		struct event e = sample_at(t, 200 * MIB + leaked),
			     l = {.kind = EVENT_LINES, .t_ns = t};

		e.sample.heap_marked = 50 * MIB + (uint64_t)(t / SECOND % 7) * 10000;
		assert_true(recording_add(r, &e, &err));
		l.lines.rss = e.sample.rss;
		l.lines.cgroup_limit = l.lines.cgroup_current = UNKNOWN;
		l.lines.resident[LINE_NATIVE_USED] =
			20 * MIB + leaked + (uint64_t)(t / SECOND % 5) * 50000;
		l.lines.resident[LINE_HEAP_LIVE] = e.sample.heap_marked;
		if (t % (5 * SECOND) == 0)
			assert_true(recording_add(r, &l, &err));
	}
	assert_true(recording_end(r, 2400 * SECOND, "done", &err));
	arena_init(&a, 0);
	assert_true(recording_open(path, &a, &r, &back, &err));
	assert_true(story_read(r, &back, INT64_MIN, INT64_MAX, &a, &story, &err));
	assert_int_equal(story.line[LINE_NATIVE_USED].kind, TREND_RISING);
	assert_int_equal(story.line[LINE_HEAP_LIVE].kind, TREND_FLAT);
	/* 4096 − 200 − 124 MiB at 3.1 MiB a minute: 1217 min */
	assert_true(fabs(story.seconds_left / 60 - 1217) < 12);
	for (uint32_t i = 0; i < story.n_words; i++)
		named |= strstr(story.words[i], "native.used grows 3.1 MiB/min for 40 min") &&
			 strstr(story.words[i], "leak in C code");
	assert_true(named);
	recording_close(r);
	remove_all(path);
}

static struct trend trend(double (*fn)(unsigned i), unsigned n, double least)
{
	CLEANUP(arena_free) struct arena a = {0};
	double t[4000], v[4000];
	struct trend r;

	arena_init(&a, 0);
	for (unsigned i = 0; i < n; i++) {
		t[i] = i;
		v[i] = fn(i);
	}
	trend_of(t, v, n, least, &a, &r);
	return r;
}

static double noise(unsigned i)
{
	return (double)((i * 2654435761U) >> 20) / 4096.0 - 0.5; /* −0.5 … 0.5 */
}
static double leak(unsigned i)
{
	/* 1000 a second under noise, and a wild value now and then */
	return 1e6 + 1000.0 * i + 20000 * noise(i) + (i % 17 == 3 ? 5e7 : 0);
}
static double flat(unsigned i)
{
	return 1e6 + 20000 * noise(i);
}
static double plateau(unsigned i)
{
	return 1e6 + 1e6 * (1 - exp(-(double)i / 60)) + 5000 * noise(i);
}
static double sawtooth(unsigned i)
{
	return 1e6 + 1e6 * (i % 25) / 25.0;
}
static double falling(unsigned i)
{
	return 1e7 - 5000.0 * i + 20000 * noise(i);
}

static void test_trends(void **state)
{
	struct trend r = trend(leak, 1000, 1000);

	(void)state;
	assert_int_equal(r.kind, TREND_RISING);
	assert_int_equal(r.confidence, 2);
	assert_true(fabs(r.slope - 1000) < 30 && r.low <= 1000 && r.high >= 1000);
	assert_int_equal(trend(flat, 1000, 1000).kind, TREND_FLAT);
	assert_int_equal(trend(plateau, 600, 1000).kind, TREND_LEVELLING);
	assert_int_equal(trend(plateau, 60, 1000).kind,
			 TREND_RISING); /* of which nobody can tell yet */
	r = trend(sawtooth, 1000, 1000);
	assert_true(r.kind == TREND_UNSTEADY || r.kind == TREND_FLAT);
	assert_int_equal(trend(falling, 500, 1000).kind, TREND_FALLING);
	assert_int_equal(trend(leak, 3, 1000).kind, TREND_UNKNOWN);
	assert_int_equal(trend(leak, 0, 1000).kind, TREND_UNKNOWN);
	assert_int_equal(trend(leak, 4000, 1000).kind, TREND_RISING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_day_keeps_its_size),
		cmocka_unit_test(test_an_existing_file_is_kept),
		cmocka_unit_test(test_damaged_files),
		cmocka_unit_test(test_trends),
		cmocka_unit_test(test_a_leak_in_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
