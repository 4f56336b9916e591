/*
 * A recording: a SQLite file with the events of one process (docs/recording.md has its schema).
 * Written in WAL mode and in batches: what was committed survives a kill -9 and a full disk. It
 * stays below a size by keeping older data at a lower resolution. Calls on one recording are
 * serialised.
 */
#ifndef SERIES_RECORDING_H
#define SERIES_RECORDING_H

#include "series/event.h"

#define RECORDING_SCHEMA   "whyrss.recording/1"
#define RECORDING_SIZE	   ((bytes)256 << 20)
#define RECORDING_SIZE_MIN ((bytes)1 << 20)

/** What is recorded. Strings may hold unsafe bytes. */
struct recording_info {
	int64_t pid;
	const char *exe, *go; /* "go1.26.8" */
	int64_t go_minor;
	int64_t began_unix_ns;
	double hz;
	bytes limit; /* of memory: the cgroup's, else the machine's memory; UNKNOWN */
	bytes max_size;
	/* read from a recording that has ended */
	int64_t ended_ns; /* since it began; -1: it was cut off, or still runs */
	const char *why;  /* it ended; "" */
};

struct recording;

/** A new file; ERR_USAGE when there is one already. Errors of the disk: ERR_OS. */
bool recording_create(const char *path, const struct recording_info *info, struct recording **ret,
		      struct err *err);
/** A sample, a cycle or lines. Errors: ERR_LIMIT (the disk is full), ERR_OS; nothing that was
 * committed is lost. */
bool recording_add(struct recording *r, const struct event *e, struct err *err);

enum recording_mark {
	MARK_INTERVAL = 1,
	MARK_PEAK = 2, /* RSS was never higher before */
};
/** A ledger: its lines, with `json` (NULL: none) the whole of it, with its profile's call sites
 * when `sites`. */
bool recording_add_ledger(struct recording *r, const struct event *e, const struct ledger *l,
			  enum recording_mark mark, const char *json, bool sites, struct err *err);
/** Makes what was added so far permanent; done by itself once a second of recorded time. */
bool recording_commit(struct recording *r, struct err *err);
/** Bytes of a recording's file and its WAL now. */
bytes recording_file_bytes(const char *path);
/** Says why it ended, closes and frees. r may be NULL. False: the end could not be written. */
bool recording_end(struct recording *r, int64_t t_ns, const char *why, struct err *err);

/* ---- Reading; everything lives in the arena that is given ---- */

/** Opens for reading, also while it is being written. Errors: ERR_FORMAT (damaged, or of another
 * program), ERR_OS. */
bool recording_open(const char *path, struct arena *a, struct recording **ret,
		    struct recording_info *ret_info, struct err *err);
void recording_close(struct recording *r);

struct sample_row {
	int64_t t_ns, unix_ns;
	struct sample s;
};
struct cycle_row {
	int64_t t_ns, unix_ns;
	struct gc_event g;
};
struct ledger_row {
	int64_t id, t_ns, unix_ns;
	uint32_t mark; /* enum recording_mark */
	bool has_json, has_sites;
	struct lines_event l; /* cause: a string of the arena */
};
struct site_row {
	const char *stack; /* "func file:line" a line, the leaf first; unsafe bytes inside */
	int64_t inuse_objects, inuse_space;
};
/** The call sites of a snapshot's heap profile with most in use, at most `most`, as pprof scales
 * them; returns how many. */
uint32_t snapshot_sites(const struct snapshot *s, uint32_t most, struct arena *a,
			struct site_row **ret);

/** Rows in order of time, [from, to] ns since the beginning; at most `max`, then evenly thinned.
 * ERR_FORMAT when the file is damaged: rows until there are given back all the same. */
bool recording_samples(struct recording *r, int64_t from, int64_t to, uint32_t max, struct arena *a,
		       struct sample_row **ret, uint32_t *ret_n, struct err *err);
bool recording_cycles(struct recording *r, int64_t from, int64_t to, uint32_t max, struct arena *a,
		      struct cycle_row **ret, uint32_t *ret_n, struct err *err);
bool recording_ledgers(struct recording *r, int64_t from, int64_t to, uint32_t max, struct arena *a,
		       struct ledger_row **ret, uint32_t *ret_n, struct err *err);
/** The call sites that were recorded with a ledger, largest first. */
bool recording_sites(struct recording *r, int64_t ledger, struct arena *a, struct site_row **ret,
		     uint32_t *ret_n, struct err *err);
/** The whole ledger as JSON, whyrss.ledger/1; NULL when it was not kept. */
bool recording_json(struct recording *r, int64_t ledger, struct arena *a, const char **ret,
		    struct err *err);
/** The moment with the largest RSS among all samples and ledgers. */
bool recording_peak(struct recording *r, int64_t *ret_t_ns, bytes *ret_rss, struct err *err);

/** The schema as SQL, for docs and tests. Appends to `to`. */
void recording_schema(struct str *to);

#endif
