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

#include "series/gctrace.h"
#include "series/recording.h"
#include "series/story.h"
#include "series/trend.h"
#include "series/whatif.h"

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

/* One line of each format that there was. */
static void test_gctrace_formats(void **state)
{
	static const struct {
		const char *line;
		uint64_t n;
		double pause, start, end, marked, goal;
		bool forced;
	} gc[] = {
		{"gc8(4): 2+9+745+0 us, 2 -> 4 MB, 21 (21-0) objects, 2 goroutines, 15/0/0 sweeps, "
		 "0(0) handoff, "
		 "0(0) steal, 0/0/0 yields",
		 8, 0.756, 2, 2, 4, -1, false}, /* 1.4 */
		{"gc #2 @0.003s 4%: 0.14+0.31+0.030+0.40+0.08 ms clock, 0.56+0.31+0+0/0.4/0.8+0.3 "
		 "ms cpu, 4->4->0 MB, "
		 "5 MB goal, 4 P (forced)",
		 2, 0.22, 4, 4, 0, 5, true}, /* 1.5 */
		{"gc 3 @1.5s 4%: 0.14+0.31+0.030+0.40+0.08 ms clock, 0.56+0.31+0+0/0.4/0.8+0.3 ms "
		 "cpu, 4->6->1 MB, "
		 "7 MB goal, 4 P",
		 3, 0.22, 4, 6, 1, 7, false},
		{"gc 12 @0.281s 2%: 0.019+1.2+0.004 ms clock, 0.15+0.5/1.1/0.8+0.03 ms cpu, "
		 "47->48->22 MB, 49 MB goal, "
		 "8 P",
		 12, 0.023, 47, 48, 22, 49, false}, /* 1.6 to 1.17 */
		{"gc 1 @0.004s 1%: 0.011+0.26+0.003 ms clock, 0.09+0.1/0.2/0+0.03 ms cpu, 3->4->0 "
		 "MB, 4 MB goal, 0 MB "
		 "stacks, 0 MB globals, 8 P",
		 1, 0.014, 3, 4, 0, 4, false}, /* 1.18 on */
		{"gc 5 @2.004s 1% (checking for goroutine leaks): 0.011+0.26+0.003 ms clock, "
		 "0.09+0.1/0.2/0+0.03 ms cpu, "
		 "3->4->0 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 8 P (forced)",
		 5, 0.014, 3, 4, 0, 4, true}, /* 1.26 */
		{"2024-05-01T10:00:00Z pod-1 gc 9 @0.4s 1%: 0.1+2+0.2 ms clock, 0.1+0/0/0+0.1 ms "
		 "cpu, 3->4->2 MB, 4 MB "
		 "goal, 8 P",
		 9, 0.3, 3, 4, 2, 4, false}, /* behind what a log puts in front */
	};
	static const char *const others[] = {
		"",
		"gc",
		"gc 1",
		"gc 1 @",
		"gc 1 @0.1s 1%: ",
		"gc of garbage",
		"scav",
		"scvg",
		"scvg0: ",
		"gc 1 @0.004s 1%: 0.011+0.26+0.003 ms clock, 0.09+0.1/0.2/0+0.03 ms cpu, 3->4",
		"[GC (Allocation Failure) 512K->400K(2048K), 0.0011 secs]", /* Java */
		"gc 99999999999999999999999999999999999999999999999999 @1s 1%: 1+1+1 ms clock",
		"pacer: assist ratio=+1.0e+000 (scan 0 MB in 4->4 MB) workers=2++0",
	};
	struct gctrace_line l;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(gc); i++) {
		gctrace_parse(gc[i].line, &l);
		assert_int_equal(l.kind, GCTRACE_GC);
		assert_int_equal(l.gc.n, gc[i].n);
		assert_true(fabs(l.gc.pause_ms - gc[i].pause) < 1e-9);
		assert_true(l.gc.start_mib == gc[i].start && l.gc.end_mib == gc[i].end &&
			    l.gc.marked_mib == gc[i].marked && l.gc.goal_mib == gc[i].goal &&
			    l.gc.forced == gc[i].forced);
	}
	gctrace_parse(gc[0].line, &l);
	assert_int_equal(l.gc.goroutines, 2);
	gctrace_parse(gc[3].line, &l);
	assert_true(l.gc.cpu_assist == 0.5 && l.gc.cpu_background == 1.1 && l.gc.cpu_idle == 0.8);
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		gctrace_parse(others[i], &l);
		assert_int_equal(l.kind, GCTRACE_OTHER);
	}
	gctrace_parse("scvg0: inuse: 3, idle: 12, sys: 15, released: 1, consumed: 14 (MB)",
		      &l); /* to 1.13 */
	assert_true(l.kind == GCTRACE_SCAV && l.scav.idle_mib == 12 && l.scav.consumed_mib == 14);
	gctrace_parse("scvg-1: 2048 KB released", &l);
	assert_true(l.kind == GCTRACE_SCAV && l.scav.work_mib == 2);
	gctrace_parse("scav 1 1024 KiB work, 2048 KiB total, 50% util (forced)", &l); /* to 1.18 */
	assert_true(l.kind == GCTRACE_SCAV && l.scav.work_mib == 1 && l.scav.returned_mib == 2 &&
		    l.scav.forced);
	gctrace_parse("scav 1024 KiB work, 2048 KiB total, 50% util", &l); /* 1.19, 1.20 */
	assert_true(l.kind == GCTRACE_SCAV && l.scav.work_mib == 1 && l.scav.util == 0.5);
	gctrace_parse("scav 1024 KiB work (bg), 1024 KiB work (eager), 4096 KiB now, 71% util",
		      &l); /* 1.21 on */
	assert_true(l.kind == GCTRACE_SCAV && l.scav.work_mib == 2 && l.scav.returned_mib == 4);
}

/* 60 MiB alive, 60 MiB/s, GOGC=100: a cycle a second; what other settings must come to by
 * arithmetic. */
static void test_what_if(void **state)
{
	CLEANUP(arena_free) struct arena a = {0};
	static struct sample_row samples[300];
	static struct cycle_row cycles[30];
	struct whatif_input in = {26, samples, ARRAY_LEN(samples), cycles, ARRAY_LEN(cycles)};
	struct whatif_setting set = {100, PACE_NO_LIMIT};
	struct whatif w;
	struct err err = {0};

	(void)state;
	arena_init(&a, 0);
	for (uint32_t i = 0; i < 300; i++) {
		struct sample *s = &samples[i].s;

		samples[i].t_ns = i * SECOND / 10;
		for (unsigned k = 0; k < N_METRICS; k++)
			*metric_of(s, &METRICS[k]) = 0;
		s->total_alloc = i * 6 * MIB;
		s->heap_live = s->heap_inuse = 60 * MIB + i % 10 * 6 * MIB;
		s->rss = 130 * MIB;
		s->heap_idle = s->rss - 10 * MIB - s->heap_inuse;
		s->go_total = 125 * MIB;
		s->heap_marked = 60 * MIB;
		s->num_gc = i / 10;
		s->gogc = 100;
		s->memory_limit = UNKNOWN;
		s->gc_cpu_ns = i * 1000000;
		s->cpu_ns = i * 100000000;
		s->idle_ns = i * 50000000;
	}
	for (uint32_t i = 0; i < 30; i++) {
		cycles[i].t_ns = (i + 1) * SECOND;
		cycles[i].g = (struct gc_event){.n = i + 1,
						.t_known = true,
						.heap_marked = 60 * MIB,
						.heap_goal = 120 * MIB,
						.heap_end = 118 * MIB,
						.heap_start = 116 * MIB,
						.mark_ns = 30000000};
	}
	assert_true(whatif_run(&in, &set, &a, &w, &err));
	assert_true(fabs(w.then.heap_peak / w.now.heap_peak - 1) < 0.03);
	assert_true(fabs(w.then.gc_per_s / w.now.gc_per_s - 1) < 0.08);
	set.gogc = 50;
	assert_true(whatif_run(&in, &set, &a, &w, &err));
	assert_true(fabs(w.then.heap_peak / (90.0 * (double)MIB) - 1) < 0.05);
	assert_true(w.then.gc_per_s > 1.8 && w.then.gc_per_s < 2.3 && w.then.gc_cpu > 0.017);
	set = (struct whatif_setting){-1, 300 * MIB};
	assert_true(whatif_run(&in, &set, &a, &w, &err));
	assert_true(w.by_limit && !w.spiral && w.then.heap_peak > 250.0 * (double)MIB &&
		    w.then.heap_peak < 295.0 * (double)MIB);
	set = (struct whatif_setting){100, 50 * MIB};
	assert_true(whatif_run(&in, &set, &a, &w, &err));
	assert_true(w.spiral);
	assert_true(whatif_advise(&in, 400 * MIB, &a, &w, &err));
	assert_true(w.then.gc_per_s < 0.4 && w.then.rss <= 400.0 * (double)MIB);
	assert_false(whatif_advise(&in, 50 * MIB, &a, &w, &err));
	assert_int_equal(err.kind, ERR_LIMIT);
	in.n_samples = 2;
	assert_false(whatif_run(&in, &set, &a, &w, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_day_keeps_its_size),
		cmocka_unit_test(test_an_existing_file_is_kept),
		cmocka_unit_test(test_damaged_files),
		cmocka_unit_test(test_trends),
		cmocka_unit_test(test_gctrace_formats),
		cmocka_unit_test(test_what_if),
		cmocka_unit_test(test_a_leak_in_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
