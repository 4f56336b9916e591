/*
 * From what the user typed to something that can be asked: a word is looked at (by its content,
 * never by its name alone), opened, and gives snapshots, one or many. The command line, a server, a
 * recorder and a profile writer all open targets here.
 */
#ifndef FRONT_SOURCE_H
#define FRONT_SOURCE_H

#include "goruntime/goruntime.h"
#include "target/target.h"

/** What a word means. The first three are targets that source_open opens. */
enum source_kind {
	SOURCE_PROCESS,
	SOURCE_CORE,	  /* an ELF core, also a compressed one */
	SOURCE_CAPTURE,	  /* a core that whyrss capture wrote */
	SOURCE_RECORDING, /* a SQLite file */
	SOURCE_PROFILE,	  /* a gzip file: profile.proto, as go tool pprof writes it */
	SOURCE_URL,	  /* http:// or https:// */
	SOURCE_PROGRAM,	  /* an ELF program or library: nothing that runs */
	SOURCE_FILE,	  /* another regular file: perhaps a profile in an old text format */
	SOURCE_KINDS
};

/** A word that was looked at. */
struct source_word {
	enum source_kind kind;
	int pid;	  /* SOURCE_PROCESS */
	const char *path; /* a file's, or the URL; NULL for a process */
	const char *at;	  /* of "x.db@10:00" what is behind the '@'; NULL: the whole recording */
};

/**
 * Finds out what `word` means: a PID; with a slash a file; else a core, capture, recording or
 * profile of that name in this folder, a recording also with "@MOMENT" behind it; else the only Go
 * process of that name. Strings live in `a`
 * or are the word. Errors: ERR_NOT_GO (no such process, several), ERR_USAGE (PID 0), ERR_FORMAT (no
 * such file).
 */
bool source_find(const char *word, struct arena *a, struct source_word *ret, struct err *err);
/** By the word and the first bytes of the file that it may name alone: SOURCE_URL, a kind of file,
 * or SOURCE_PROCESS. */
enum source_kind source_look(const char *word);
/** For what takes a recording as a whole: ERR_USAGE when a moment was named. */
bool source_whole(const struct source_word *w, struct err *err);
/** Sets *err (ERR_FORMAT) to why a word of this kind is no target here; returns false. */
bool source_refuse(const struct source_word *w, struct err *err);

struct source_options {
	bool freeze, pss; /* of a process, as struct live_options has them */
	const char *exe;  /* of a core: the program, where it is elsewhere; NULL */
	bool record;	  /* keep what is read, for capture_write of `t` */
};

/** How long the parts of opening and reading took, ns. */
struct source_times {
	int64_t open, facts, session, snapshot;
};

/** A target that is open, with its session: lives until source_close. */
struct source {
	struct source_word word;
	const char *name; /* as the user would name it again: "4711", "/tmp/core" */
	struct arena mem; /* the session */
	struct target *t;
	struct target *inner; /* what a recording `t` reads; else NULL */
	struct go_session *g;
	struct source_times took;
	int64_t began; /* CLOCK_MONOTONIC; 0 once a snapshot was taken */
};

/** Opens a target and finds the Go program in it. Errors: those of live_open, core_open and
 * go_open; ERR_FORMAT for a kind that is no target. */
bool source_open(const struct source_word *w, const struct source_options *o, struct source **ret,
		 struct err *err);
/**
 * One snapshot, zero-initialised by the caller and freed with snapshot_free: it shares nothing with
 * the next one, so a source that is read for days does not grow. It needs the source open, for
 * names of functions. A frozen process runs again when this returns. ERR_GONE: the process has
 * ended or runs another program now.
 */
bool source_snapshot(struct source *s, uint32_t needs, struct snapshot *ret, struct err *err);
/** s may be NULL. */
void source_close(struct source *s);

#endif
