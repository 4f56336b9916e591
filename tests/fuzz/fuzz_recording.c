/* A recording that someone else wrote: a SQLite file of any tables and rows, told as a story. */
#include <fcntl.h>
#include <stdio.h>

#include "front/render.h"
#include "front/replay.h"
#include "fuzz.h"

static char path[64];

static void remove_file(void)
{
	char beside[80];
	static const char *const ends[] = {"", "-wal", "-shm", "-journal"};

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		snprintf(beside, sizeof(beside), "%s%s", path, ends[i]);
		unlink(beside);
	}
}

static void put_file(const uint8_t *data, size_t n)
{
	int fd;

	if (!path[0]) {
		snprintf(path, sizeof(path), "%s/whyrss-fuzz-XXXXXX",
			 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
		fd = mkstemp(path);
		atexit(remove_file);
	} else {
		remove_file();
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	}
	if (fd < 0 || write(fd, data, n) != (ssize_t)n)
		abort();
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct text_style style = {.width = 100, .utf8 = true, .all = true};
	struct replay p = {0};
	struct str out = {0};
	struct err err = {0};
	struct arena a;
	struct report r;

	put_file(data, n);
	if (!replay_open(path, &p, &err)) {
		fuzz_failed(&err);
		return 0;
	}
	arena_init(&a, FUZZ_MEMORY);
	if (replay_report(&p, path, &a, true, &r, &err)) {
		render_text(&out, &r, &style);
		render_json(&out, &r.json, false);
	} else {
		fuzz_failed(&err);
	}
	str_free(&out);
	arena_free(&a);
	replay_close(&p);
	return 0;
}
