/*
 * A running program whose memory lies. A real Go process is read through a target that faults the
 * n-th read, for every n, or that changes bytes of what it answers. Whatever comes: answers of all
 * views, with a balanced ledger, or one clear error, no crash (under ASan and UBSan), no hang, no
 * more memory than the arenas' limits.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../fuzz/every_view.h"
#include "goruntime/goruntime.h"

struct program {
	pid_t pid;
	int to;
};

static struct program program;

static char *demo_binary(const char *name)
{
	char cmd[1024];
	static char path[512];
	snprintf(cmd, sizeof cmd,
		 "cd %s/live && python3 -c 'import demos; print(demos.build(\"%s\"))'",
		 getenv("WHYRSS_TESTS"), name);
	FILE *f = popen(cmd, "r");
	assert_non_null(f);
	assert_non_null(fgets(path, sizeof path, f));
	assert_int_equal(pclose(f), 0);
	path[strcspn(path, "\n")] = 0;
	return path;
}

static int start(void **state)
{
	(void)state;
	int in[2], out[2];
	char line[4096];
	char *path = demo_binary("nothing");
	if (pipe(in) != 0 || pipe(out) != 0)
		return -1;
	program.pid = fork();
	if (program.pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		close(out[0]);
		execl(path, path, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	program.to = in[1];
	return read(out[0], line, sizeof line) > 0 ? 0 : -1;
}

static int stop(void **state)
{
	(void)state;
	close(program.to);
	waitpid(program.pid, NULL, 0);
	return 0;
}

/* ---- a target in front of the real one ---- */

struct liar {
	struct target_ops ops;
	const struct target_ops *real;
	uint64_t reads, fault_at;
	uint64_t lie_every; /* 0: tells the truth */
	uint64_t cycle_at;  /* the read whose pointers all point back to where they were read */
	uint64_t length_at; /* the read whose small numbers are all 2^60 */
	uint64_t seed;
	bool hide_symbols;
};

static struct liar liar;

static uint64_t next_random(void)
{
	liar.seed ^= liar.seed << 13;
	liar.seed ^= liar.seed >> 7;
	liar.seed ^= liar.seed << 17;
	return liar.seed;
}

/* Every word that could be a pointer, or every one that could be a length, becomes `w`. */
static void replace_words(uint8_t *d, size_t n, bool pointers, uint64_t w)
{
	for (size_t i = 0; i + 8 <= n; i += 8) {
		uint64_t v;
		memcpy(&v, d + i, 8);
		if (pointers ? v >= 0x400000 && v < (uint64_t)1 << 47 : v > 0 && v < 1 << 20)
			memcpy(d + i, &w, 8);
	}
}

static size_t liar_read(struct target *t, taddr at, void *dst, size_t n)
{
	if (++liar.reads == liar.fault_at)
		return 0;
	size_t got = liar.real->read(t, at, dst, n);
	if (liar.reads == liar.cycle_at)
		replace_words(dst, got, true, at);
	if (liar.reads == liar.length_at)
		replace_words(dst, got, false, (uint64_t)1 << 60);
	if (liar.lie_every != 0 && got >= 8 && liar.reads % liar.lie_every == 0) {
		static const uint64_t words[] = {0,
						 1,
						 UINT64_MAX,
						 (uint64_t)1 << 60,
						 0x7fffffffffffffff,
						 0xc000000000,
						 0x1000,
						 8191};
		for (int k = 0; k < 3; k++) {
			uint64_t off = next_random() % (got / 8) * 8,
				 w = words[next_random() % ARRAY_LEN(words)];
			if (next_random() % 4 == 0)
				w = next_random() >> (next_random() % 64);
			memcpy((char *)dst + off, &w, 8);
		}
	}
	return got;
}

/** One snapshot through the liar, and every view of it; true when it was answered. The sums of
 * every answer are checked. */
static bool ask(struct go_session *g)
{
	struct snapshot s = {0};
	struct err err = {0};
	if (!go_snapshot(g, NEED_EVERYTHING, &s, &err)) {
		assert_true(err.msg[0] != 0);
		snapshot_free(&s);
		return false;
	}
	every_view(&s);
	snapshot_free(&s);
	return true;
}

struct session {
	struct arena mem;
	struct target *t;
	struct go_session *g;
};

static bool open_session(struct session *e, struct err *err)
{
	struct live_options o = {0};
	arena_init(&e->mem, 0);
	assert_true(live_open(program.pid, &o, &e->t, err));
	liar.real = e->t->ops;
	liar.ops = *e->t->ops;
	liar.ops.read = liar_read;
	e->t->ops = &liar.ops;
	e->t->hide_symbols = liar.hide_symbols;
	return target_facts(e->t, &e->mem, err) && go_open(e->t, &e->mem, &e->g, err);
}

static void close_session(struct session *e)
{
	e->t->ops = liar.real;
	target_close(e->t);
	arena_free(&e->mem);
}

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void test_nth_read_faults(void **state)
{
	(void)state;
	struct session e;
	struct err err = {0};
	liar = (struct liar){0};
	assert_true(open_session(&e, &err));
	liar.reads = 0;
	assert_true(ask(e.g));
	uint64_t n = liar.reads, answered = 0;
	assert_true(n > 20);
	for (uint64_t i = 1; i <= n; i++) {
		liar.reads = 0;
		liar.fault_at = i;
		answered += ask(e.g);
	}
	/* most faults cost a note, not the answer */
	assert_true(answered > n / 2);
	print_message("%llu reads, %llu faults answered\n", (unsigned long long)n,
		      (unsigned long long)answered);
	close_session(&e);
}

static void test_opening_faults(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= 60; i++) {
		struct session e;
		struct err err = {0};
		liar = (struct liar){.fault_at = i};
		if (open_session(&e, &err))
			ask(e.g);
		else
			assert_true(err.msg[0] != 0);
		close_session(&e);
	}
}

static void test_lies(void **state)
{
	(void)state;
	struct session e;
	struct err err = {0};
	liar = (struct liar){0};
	assert_true(open_session(&e, &err));
	int rounds = getenv("WHYRSS_FULL") != NULL ? 3000 : 250;
	double worst = 0;
	uint64_t answered = 0;
	for (int i = 0; i < rounds; i++) {
		liar.seed = 0x9E3779B97F4A7C15ULL * (uint64_t)(i + 1);
		liar.lie_every = 1 + (uint64_t)i % 23;
		double began = seconds();
		answered += ask(e.g);
		worst = MAX(worst, seconds() - began);
	}
	print_message("%d rounds of lies, %llu answered, the slowest took %.2f s\n", rounds,
		      (unsigned long long)answered, worst);
	assert_true(worst < 20);
	liar.lie_every = 0;
	assert_true(ask(e.g)); /* the session survives */
	close_session(&e);
}

/* Lists that lead back to their own start, and lengths of 2^60, in each read in turn. */
static void test_cycles_and_lengths(void **state)
{
	(void)state;
	struct session e;
	struct err err = {0};
	double worst = 0;
	liar = (struct liar){0};
	assert_true(open_session(&e, &err));
	liar.reads = 0;
	assert_true(ask(e.g));
	uint64_t n = liar.reads, answered = 0;
	for (uint64_t i = 2; i <= 2 * n + 1; i++) {
		double began = seconds();
		liar.reads = 0;
		liar.cycle_at = i % 2 ? i / 2 : 0;
		liar.length_at = i % 2 ? 0 : i / 2;
		answered += ask(e.g);
		worst = MAX(worst, seconds() - began);
	}
	print_message("%llu rounds, %llu answered, the slowest took %.2f s\n",
		      (unsigned long long)(2 * n), (unsigned long long)answered, worst);
	assert_true(worst < 20);
	liar.cycle_at = liar.length_at = 0;
	liar.reads = 0;
	assert_true(ask(e.g));
	close_session(&e);
}

/* A program without symbols is searched for its variables: what is found is checked like what a
 * symbol told, so that a lie is an error or an answer that balances. */
static void test_searching_among_lies(void **state)
{
	(void)state;
	uint64_t rounds = getenv("WHYRSS_FULL") != NULL ? 400 : 40, opened = 0;
	double worst = 0;
	for (uint64_t i = 0; i < rounds; i++) {
		struct session e;
		struct err err = {0};
		double began = seconds();
		liar = (struct liar){.hide_symbols = true, .seed = 0x9E3779B97F4A7C15ULL * (i + 1)};
		if (i % 4 == 0)
			liar.fault_at = i / 4 + 1;
		else if (i % 4 == 1)
			liar.cycle_at = i / 4 + 1;
		else if (i % 4 == 2)
			liar.length_at = i / 4 + 1;
		else
			liar.lie_every = 1 + i / 4 % 7;
		if (open_session(&e, &err)) {
			opened++;
			ask(e.g);
		} else {
			assert_true(err.msg[0] != 0);
		}
		close_session(&e);
		worst = MAX(worst, seconds() - began);
	}
	print_message("%llu searches, %llu opened, the slowest took %.2f s\n",
		      (unsigned long long)rounds, (unsigned long long)opened, worst);
	assert_true(opened > rounds / 4 && worst < 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nth_read_faults),
		cmocka_unit_test(test_opening_faults),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_cycles_and_lengths),
		cmocka_unit_test(test_searching_among_lies),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
