/*
 * Opens what the user named. Files are told by their first bytes, so that a core may be called
 * anything; each kind that is not a target yet is refused in one place, source_refuse.
 */
#include "front/source.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "front/open.h"
#include "target/capture.h"
#include "target/core.h"

/* ---- What a word means ---- */

/* SOURCE_KINDS: nothing that can be opened as a file. */
static enum source_kind file_kind(const char *path)
{
	static const struct {
		enum source_kind kind;
		const char *magic;
		size_t n;
	} kinds[] = {
		{SOURCE_RECORDING, "SQLite format 3", 16},
		{SOURCE_PROFILE, "\x1f\x8b", 2},
	};
	CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	unsigned char head[20] = {0};
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
	    read(fd, head, sizeof(head)) < 4)
		return SOURCE_KINDS;
	if (str_ends(path, ".whyrss"))
		return SOURCE_CAPTURE;
	switch (core_look(fd)) {
	case CORE_FOREIGN:
		return SOURCE_CORE;
	case CORE_CAPTURE:
		return SOURCE_CAPTURE;
	case CORE_NONE:
		break;
	}
	if (!memcmp(head, "\177ELF", 4))
		return SOURCE_PROGRAM;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (!memcmp(head, kinds[i].magic, kinds[i].n))
			return kinds[i].kind;
	return SOURCE_FILE;
}

static bool is_url(const char *word)
{
	return str_starts(word, "http://") || str_starts(word, "https://");
}

/* "x.db@10:00": a recording and a moment in it. */
static bool find_moment(const char *word, struct arena *a, struct source_word *w)
{
	const char *at = strrchr(word, '@'), *path;

	if (!at || at == word || !at[1])
		return false;
	path = arena_strndup(a, word, (size_t)(at - word));
	if (file_kind(path) != SOURCE_RECORDING)
		return false;
	*w = (struct source_word){.kind = SOURCE_RECORDING, .path = path, .at = at + 1};
	return true;
}

enum source_kind source_look(const char *word)
{
	enum source_kind kind = is_url(word) ? SOURCE_URL : file_kind(word);
	CLEANUP(arena_free) struct arena a = {0};
	struct source_word w;

	arena_init(&a, 0);
	if (kind == SOURCE_KINDS && find_moment(word, &a, &w))
		return w.kind;
	return kind == SOURCE_KINDS ? SOURCE_PROCESS : kind;
}

bool source_refuse(const struct source_word *w, struct err *err)
{
	static const char *const what[SOURCE_KINDS] = {
		[SOURCE_CORE] = "a core file",
		[SOURCE_CAPTURE] = "a capture",
		[SOURCE_RECORDING] = "a recording",
		[SOURCE_PROFILE] = "a profile",
	};

	switch (w->kind) {
	case SOURCE_URL:
		return err_set(err, ERR_FORMAT,
			       "%.120s: a URL gives a profile, not a process; whyrss pprof reads "
			       "it",
			       w->path);
	case SOURCE_PROGRAM:
		return err_set(err, ERR_FORMAT,
			       "%.120s: a program, not a process; start it, or give the PID of one "
			       "that runs it",
			       w->path);
	case SOURCE_FILE:
		return err_set(err, ERR_FORMAT,
			       "%.120s: a file that is no core, capture or profile; name a running "
			       "process",
			       w->path);
	default:
		return err_set(err, ERR_FORMAT,
			       "%.120s: %s, which does not answer this; name a running process",
			       w->path, what[w->kind]);
	}
}

bool source_whole(const struct source_word *w, struct err *err)
{
	return !w->at ||
	       err_set(err, ERR_USAGE, "%.120s@%.40s: this takes the whole recording, not a moment",
		       w->path, w->at);
}

bool source_find(const char *word, struct arena *a, struct source_word *ret, struct err *err)
{
	struct source_word w = {.path = word};
	const char *at = word;
	uint64_t pid;

	if (*word >= '0' && *word <= '9' && str_u64(&at, false, &pid) && !*at) {
		if (pid == 0 || pid > INT_MAX)
			return err_set(err, ERR_USAGE,
				       "%.30s: not a PID; whyrss alone lists the Go processes",
				       word);
		*ret = (struct source_word){.kind = SOURCE_PROCESS, .pid = (int)pid};
		return true;
	}
	if (is_url(word)) {
		w.kind = SOURCE_URL;
		*ret = w;
		return true;
	}
	w.kind = file_kind(word);
	if (w.kind == SOURCE_KINDS && find_moment(word, a, &w)) {
		*ret = w;
		return true;
	}
	/* A program, and a file that could be anything, often has the name of the process. */
	if (w.kind < SOURCE_URL || (w.kind < SOURCE_KINDS && strchr(word, '/'))) {
		*ret = w;
		return true;
	}
	if (strchr(word, '/'))
		return err_set(err, ERR_FORMAT,
			       "%.120s: no such file, and a process is named without its path",
			       word);
	if (go_process_find(word, a, &w.pid, err)) {
		*ret = (struct source_word){.kind = SOURCE_PROCESS, .pid = w.pid};
		return true;
	}
	if (w.kind == SOURCE_KINDS)
		return false;
	*ret = w; /* then that it is this file is the better reason */
	return true;
}

/* ---- Opening, reading, closing ---- */

static int64_t lap(int64_t *at)
{
	int64_t was = *at;

	*at = clock_now();
	return *at - was;
}

static bool open_target(const struct source_word *w, const struct source_options *o,
			struct target **ret, struct err *err)
{
	switch (w->kind) {
	case SOURCE_PROCESS:
		return live_open(w->pid, &(struct live_options){.freeze = o->freeze, .pss = o->pss},
				 ret, err);
	case SOURCE_CORE:
	case SOURCE_CAPTURE:
		if (o->freeze)
			return err_set(err, ERR_USAGE, "--freeze: %.120s is no process", w->path);
		return core_open(w->path, &(struct core_options){.exe = o->exe}, ret, err);
	default:
		return source_refuse(w, err);
	}
}

/* A core's error names the file, and what it lacks is most likely the reason. */
static bool open_failed(struct source *s, struct err *err)
{
	const struct os_facts *os = s->t ? s->t->os : NULL;

	if (os && s->word.path)
		err_in(err, "%.100s%s%.100s", s->word.path, os->n_notes ? ": " : "",
		       os->n_notes ? os->notes[0] : "");
	source_close(s);
	return false;
}

bool source_open(const struct source_word *w, const struct source_options *o, struct source **ret,
		 struct err *err)
{
	struct source *s = calloc(1, sizeof(*s));
	int64_t at = clock_now();

	if (!s)
		return err_os(err, ERR_OS, "opening a target");
	arena_init(&s->mem, 0);
	s->began = at;
	s->word = *w;
	s->word.path = w->path ? arena_strdup(&s->mem, w->path) : NULL;
	s->name = w->path ? s->word.path : arena_printf(&s->mem, "%d", w->pid);
	if (!open_target(&s->word, o, &s->t, err))
		goto failed;
	if (o->record) {
		s->inner = s->t;
		s->t = record_open(s->inner);
		if (!s->t) {
			err_os(err, ERR_OS, "recording");
			goto failed;
		}
	}
	/* for tests: the same process with and without its symbols */
	s->t->hide_symbols = getenv("WHYRSS_HIDE_SYMBOLS") != NULL;
	s->took.open = lap(&at);
	if (!target_facts(s->t, &s->mem, err))
		goto failed;
	s->took.facts = lap(&at);
	/* A recording keeps the session as text: what was searched for it is the program's own. */
	target_hush(s->t, true);
	if (!go_open(s->t, &s->mem, &s->g, err))
		goto failed;
	target_hush(s->t, false);
	s->took.session = lap(&at);
	*ret = s;
	return true;
failed:
	return open_failed(s, err);
}

bool source_snapshot(struct source *s, uint32_t needs, struct snapshot *ret, struct err *err)
{
	int64_t at = clock_now(), began = s->began ? s->began : at;

	if (!s->began)
		s->t->stopped_ns = 0; /* of the one before */
	s->began = 0;
	if (!go_snapshot(s->g, needs, ret, err)) {
		target_thaw(s->t);
		return false;
	}
	target_thaw(s->t);
	ret->read.stopped_ns = s->t->stopped_ns;
	s->took.snapshot = lap(&at);
	ret->read.took_ns = at - began;
	return true;
}

void source_close(struct source *s)
{
	if (!s)
		return;
	if (s->g)
		go_close(s->g);
	target_close(s->t);
	target_close(s->inner);
	arena_free(&s->mem);
	free(s);
}
