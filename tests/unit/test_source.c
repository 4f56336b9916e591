/*
 * What words mean, and one session over time: a source that is asked again and again gives
 * snapshots of their own, keeps its size, and says so when the process has ended.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "front/source.h"

static enum source_kind kind_of(const char *name, const void *content, size_t n)
{
	struct arena a;
	struct source_word w = {.kind = SOURCE_KINDS};
	char path[] = "/tmp/whyrss-source-XXXXXX", full[128];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, n), n);
	close(fd);
	snprintf(full, sizeof(full), "%s%s", path, name);
	assert_int_equal(rename(path, full), 0);
	arena_init(&a, 0);
	source_find(full, &a, &w, NULL);
	unlink(full);
	arena_free(&a);
	return w.kind;
}

static void test_words(void **state)
{
	char core[64] = "\177ELF\2\1\1", program[64] = "\177ELF\2\1\1";
	struct source_word w;
	struct arena a;
	struct err err = {0};

	(void)state;
	core[16] = 4;
	program[16] = 3;
	assert_int_equal(kind_of("", core, sizeof(core)), SOURCE_CORE);
	assert_int_equal(kind_of("", program, sizeof(program)), SOURCE_PROGRAM);
	assert_int_equal(kind_of("", "SQLite format 3\0", 16), SOURCE_RECORDING);
	assert_int_equal(kind_of("", "\x1f\x8b\x08\0", 4), SOURCE_PROFILE);
	assert_int_equal(kind_of("", "heap profile: 1: 2", 18), SOURCE_FILE);
	arena_init(&a, 0);
	assert_true(source_find("4711", &a, &w, &err));
	assert_int_equal(w.kind, SOURCE_PROCESS);
	assert_int_equal(w.pid, 4711);
	assert_true(source_find("https://localhost/debug/pprof/heap", &a, &w, &err));
	assert_int_equal(w.kind, SOURCE_URL);
	assert_false(source_find("0", &a, &w, &err));
	assert_int_equal(err.kind, ERR_USAGE);
	assert_false(source_find("/no/such/file", &a, &w, &err));
	assert_int_equal(err.kind, ERR_FORMAT);
	arena_free(&a);
}

static pid_t start(int *in)
{
	char cmd[1024], path[512], line[4096];
	int to[2], from[2];
	FILE *f;
	pid_t pid;

	snprintf(cmd, sizeof(cmd),
		 "cd %s/live && python3 -c 'import demos; print(demos.build(\"nothing\"))'",
		 getenv("WHYRSS_TESTS"));
	f = popen(cmd, "r");
	assert_non_null(f);
	assert_non_null(fgets(path, sizeof(path), f));
	assert_int_equal(pclose(f), 0);
	path[strcspn(path, "\n")] = '\0';
	assert_int_equal(pipe(to) | pipe(from), 0);
	pid = fork();
	if (pid == 0) {
		dup2(to[0], 0);
		dup2(from[1], 1);
		close(to[1]);
		close(from[0]);
		execl(path, path, NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	f = fdopen(from[0], "r");
	assert_non_null(fgets(line, sizeof(line), f)); /* it says that it is ready */
	*in = to[1];
	return pid;
}

static void test_many_snapshots(void **state)
{
	struct source_word w = {.kind = SOURCE_PROCESS};
	struct source *s;
	struct snapshot first = {0}, last = {0};
	struct err err = {0};
	bytes used = 0;
	int in;

	(void)state;
	w.pid = start(&in);
	if (!source_open(&w, &(struct source_options){0}, &s, &err))
		fail_msg("%s", err.msg);
	assert_true(source_snapshot(s, NEED_LEDGER, &first, &err));
	for (int i = 0; i < 20; i++) {
		struct snapshot snap = {0};

		if (!source_snapshot(s, NEED_LEDGER, &snap, &err))
			fail_msg("%s", err.msg);
		assert_ptr_not_equal(snap.os, first.os);
		assert_true(snap.os->pages.resident > 0);
		if (i == 0)
			used = s->mem.used;
		snapshot_free(&snap);
	}
	assert_int_equal(s->mem.used, used);
	/* an old snapshot is whole when newer ones are gone */
	assert_true(first.os->n_maps > 0 && first.os->maps[0].end > first.os->maps[0].start);
	assert_true(pages_in(&first.os->pages, 0, UINT64_MAX, PAGE_RESIDENT) ==
		    first.os->pages.resident);
	kill(w.pid, SIGKILL);
	waitpid(w.pid, NULL, 0);
	assert_false(source_snapshot(s, NEED_LEDGER, &last, &err));
	assert_int_equal(err.kind, ERR_GONE);
	close(in);
	snapshot_free(&first);
	source_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_many_snapshots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
