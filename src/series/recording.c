/*
 * Writing and reading recordings. The tables are made from metrics.def and lines.def. A foreign
 * file is read with the schema distrusted and its work bounded: it may be anything.
 */
#include "series/recording.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define APPLICATION_ID 0x57525353 /* "WRSS" */
#define SECOND	       INT64_C(1000000000)
#define BATCH_NS       SECOND
#define ROWS_AT_ONCE   4000U /* of one transaction */
#define SITES_MAX      200U  /* of one profile, largest first */
#define FRAMES_MAX     48U
#define THIN_PIECES    32U	    /* after one batch */
#define READ_STEPS     400000000ULL /* of SQLite's machine, for one question to a file */
#define TIME_MOST      INT64_C(4000000000000000000) /* ns; of such any two can be subtracted, twice */
#define JSON_MAX       (4 << 20)

enum statement { ADD_SAMPLE, ADD_CYCLE, ADD_LEDGER, ADD_SITE, ADD_STACK, N_STATEMENTS };

struct recording {
	sqlite3 *db;
	sqlite3_stmt *st[N_STATEMENTS];
	pthread_mutex_t lock;
	char *path;
	bytes max_size;
	bool in_batch, reading;
	int64_t batch_from;
	uint32_t batch_rows;
	int64_t last_ledger_t;
	uint64_t steps; /* of the progress handler */
	struct {
		bool on;
		unsigned table;
		int64_t from, cut, width;
	} thin; /* what is being thinned */
};

/* "heap.live" is the column heap_live. */
static void add_line_column(struct str *to, unsigned line)
{
	for (const char *p = LINES[line].id; *p; p++)
		str_addn(to, *p == '.' ? "_" : p, 1);
}

void recording_schema(struct str *to)
{
	str_add(to, "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;\n");
	str_add(to, "CREATE TABLE sample (t INTEGER PRIMARY KEY, unix_ns INTEGER");
	for (unsigned i = 0; i < N_METRICS; i++)
		str_addf(to, ", %s INTEGER", METRICS[i].name);
	str_add(to, ");\nCREATE TABLE cycle (n INTEGER PRIMARY KEY, t INTEGER, unix_ns INTEGER, "
		    "late INTEGER, forced INTEGER");
	for (unsigned i = 0; i < N_CYCLES; i++)
		str_addf(to, ", %s INTEGER", CYCLES[i].name);
	str_add(to, ");\nCREATE TABLE ledger (id INTEGER PRIMARY KEY, t INTEGER, unix_ns INTEGER, "
		    "mark INTEGER, rss INTEGER, profile INTEGER, cgroup_current INTEGER, "
		    "cgroup_limit INTEGER, cost_ns INTEGER, cause TEXT");
	for (unsigned i = 0; i < N_LINES; i++) {
		str_add(to, ", ");
		add_line_column(to, i);
		str_add(to, " INTEGER");
	}
	str_add(to, ", json TEXT);\n"
		    "CREATE INDEX ledger_t ON ledger (t);\n"
		    "CREATE TABLE stack (id INTEGER PRIMARY KEY, frames TEXT UNIQUE);\n"
		    "CREATE TABLE site (ledger INTEGER, stack INTEGER, inuse_objects INTEGER, "
		    "inuse_space INTEGER, PRIMARY KEY (ledger, stack)) WITHOUT ROWID;\n"
		    "CREATE VIEW peak AS SELECT * FROM ledger ORDER BY rss DESC LIMIT 1;\n"
		    "CREATE VIEW peak_sites AS SELECT inuse_space, inuse_objects, frames FROM site "
		    "JOIN stack ON stack.id = site.stack WHERE ledger = (SELECT ledger FROM site "
		    "JOIN ledger ON ledger.id = site.ledger ORDER BY rss DESC LIMIT 1) "
		    "ORDER BY inuse_space DESC;\n"
		    "CREATE VIEW rss_by_line AS");
	for (unsigned i = 0; i < N_LINES; i++) {
		str_addf(to, "%s SELECT t, unix_ns, '%s' AS line, ", i ? " UNION ALL" : "",
			 LINES[i].id);
		add_line_column(to, i);
		str_add(to, " AS resident FROM ledger");
	}
	str_add(to,
		";\nCREATE VIEW minute AS SELECT t / 60000000000 AS minute, count(*) AS samples, "
		"min(rss) AS rss_min, avg(rss) AS rss_avg, max(rss) AS rss_max, "
		"avg(heap_live) AS heap_live_avg, max(heap_live) AS heap_live_max, "
		"max(goroutines) AS goroutines_max, max(num_gc) - min(num_gc) AS cycles FROM "
		"sample GROUP BY 1;\n");
}

/* ---- Errors ---- */

static bool failed(struct recording *r, const char *what, struct err *err)
{
	int code = sqlite3_extended_errcode(r->db), os = sqlite3_system_errno(r->db);

	switch (code & 0xff) {
	case SQLITE_FULL:
		return err_set(err, ERR_LIMIT, "%.120s: %s: no room left for it", r->path, what);
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		return err_set(err, ERR_FORMAT,
			       "%.120s: damaged, or not a recording: %s; what can be read of it is "
			       "read",
			       r->path, sqlite3_errmsg(r->db));
	case SQLITE_INTERRUPT:
		return err_set(err, ERR_LIMIT,
			       "%.120s: reading it takes more work than any recording does",
			       r->path);
	case SQLITE_IOERR:
		if (os == ENOSPC || os == EFBIG || os == EDQUOT)
			return err_set(err, ERR_LIMIT, "%.120s: %s: %s", r->path, what,
				       strerror(os));
		break;
	default:
		break;
	}
	if (os)
		return err_set(err, ERR_OS, "%.120s: %s: %s", r->path, what, strerror(os));
	return err_set(err, r->reading ? ERR_FORMAT : ERR_OS, "%.120s: %s: %s", r->path, what,
		       sqlite3_errmsg(r->db));
}

static bool run(struct recording *r, const char *sql, const char *what, struct err *err)
{
	return sqlite3_exec(r->db, sql, NULL, NULL, NULL) == SQLITE_OK || failed(r, what, err);
}

static void dispose(struct recording *r)
{
	for (unsigned i = 0; i < N_STATEMENTS; i++)
		sqlite3_finalize(r->st[i]);
	sqlite3_close_v2(r->db);
	pthread_mutex_destroy(&r->lock);
	free(r->path);
	free(r);
}

static struct recording *make(const char *path, struct err *err)
{
	struct recording *r = calloc(1, sizeof(*r));

	if (r)
		r->path = strdup(path);
	if (!r || !r->path) {
		free(r);
		err_os(err, ERR_OS, "%.120s", path);
		return NULL;
	}
	pthread_mutex_init(&r->lock, NULL);
	return r;
}

/* ---- Writing ---- */

static bool prepare(struct recording *r, enum statement which, const char *sql, struct err *err)
{
	return sqlite3_prepare_v3(r->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &r->st[which], NULL) ==
		       SQLITE_OK ||
	       failed(r, "preparing", err);
}

static void add_marks(struct str *to, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		str_add(to, i ? ",?" : "?");
}

static bool prepare_all(struct recording *r, struct err *err)
{
	struct str s = {0};
	bool ok;

	str_add(&s, "INSERT OR REPLACE INTO sample VALUES (");
	add_marks(&s, 2 + N_METRICS);
	str_add(&s, ")");
	ok = prepare(r, ADD_SAMPLE, s.s, err);
	s.n = 0;
	str_add(&s, "INSERT OR IGNORE INTO cycle VALUES (");
	add_marks(&s, 5 + N_CYCLES);
	str_add(&s, ")");
	ok = ok && prepare(r, ADD_CYCLE, s.s, err);
	s.n = 0;
	str_add(&s, "INSERT INTO ledger VALUES (NULL,");
	add_marks(&s, 10 + N_LINES);
	str_add(&s, ")");
	ok = ok && prepare(r, ADD_LEDGER, s.s, err);
	str_free(&s);
	return ok && prepare(r, ADD_SITE, "INSERT OR REPLACE INTO site VALUES (?,?,?,?)", err) &&
	       prepare(r, ADD_STACK,
		       "INSERT INTO stack (frames) VALUES (?) ON CONFLICT DO UPDATE SET frames = "
		       "excluded.frames RETURNING id",
		       err);
}

static void bind_u64(sqlite3_stmt *st, int at, uint64_t v)
{
	if (v == UNKNOWN)
		sqlite3_bind_null(st, at);
	else
		sqlite3_bind_int64(st, at, (sqlite3_int64)MIN(v, (uint64_t)INT64_MAX));
}

static bool step(struct recording *r, enum statement which, struct err *err)
{
	int code = sqlite3_step(r->st[which]);

	sqlite3_reset(r->st[which]);
	return code == SQLITE_DONE || code == SQLITE_ROW || failed(r, "writing", err);
}

static bool put_meta(struct recording *r, const char *key, const char *text, int64_t number,
		     struct err *err)
{
	sqlite3_stmt *st;
	bool ok = sqlite3_prepare_v2(r->db, "INSERT OR REPLACE INTO meta VALUES (?,?)", -1, &st,
				     NULL) == SQLITE_OK;

	if (!ok)
		return failed(r, "writing", err);
	sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
	if (text)
		sqlite3_bind_text(st, 2, text, -1, SQLITE_STATIC);
	else
		sqlite3_bind_int64(st, 2, number);
	ok = sqlite3_step(st) == SQLITE_DONE;
	sqlite3_finalize(st);
	return ok || failed(r, "writing", err);
}

static bool put_info(struct recording *r, const struct recording_info *i, struct err *err)
{
	return put_meta(r, "schema", RECORDING_SCHEMA, 0, err) &&
	       put_meta(r, "whyrss", WHYRSS_VERSION, 0, err) &&
	       put_meta(r, "pid", NULL, i->pid, err) && put_meta(r, "exe", i->exe, 0, err) &&
	       put_meta(r, "go", i->go, 0, err) &&
	       put_meta(r, "go_minor", NULL, i->go_minor, err) &&
	       put_meta(r, "began_unix_ns", NULL, i->began_unix_ns, err) &&
	       put_meta(r, "hz_millis", NULL, (int64_t)(i->hz * 1000), err) &&
	       put_meta(r, "max_size", NULL, (int64_t)i->max_size, err) &&
	       (i->limit == UNKNOWN || put_meta(r, "limit", NULL, (int64_t)i->limit, err));
}

bool recording_create(const char *path, const struct recording_info *info, struct recording **ret,
		      struct err *err)
{
	struct recording *r;
	struct str sql = {0};
	bool ok;

	if (access(path, F_OK) == 0)
		return err_set(err, ERR_USAGE,
			       "%.120s: exists already; a recording is always a new file", path);
	r = make(path, err);
	if (!r)
		return false;
	r->max_size = MAX(info->max_size ? info->max_size : RECORDING_SIZE, RECORDING_SIZE_MIN);
	if (sqlite3_open_v2(path, &r->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
			    NULL) != SQLITE_OK) {
		failed(r, "creating it", err);
		dispose(r);
		return false;
	}
	str_addf(&sql,
		 "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; "
		 "PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 0; "
		 "PRAGMA cache_size = -2048; PRAGMA application_id = %d; BEGIN;",
		 APPLICATION_ID);
	recording_schema(&sql);
	ok = run(r, sql.s, "creating it", err) && put_info(r, info, err) &&
	     run(r, "COMMIT", "creating it", err) && prepare_all(r, err);
	str_free(&sql);
	if (!ok) {
		dispose(r);
		return false;
	}
	*ret = r;
	return true;
}

static bytes file_bytes(const char *path, const char *suffix)
{
	struct str name = {0};
	struct stat st;
	bytes n = 0;

	str_addf(&name, "%s%s", path, suffix);
	if (stat(name.s, &st) == 0)
		n = (bytes)st.st_size;
	str_free(&name);
	return n;
}

bytes recording_file_bytes(const char *path)
{
	return file_bytes(path, "") + file_bytes(path, "-wal");
}

static int64_t pragma(struct recording *r, const char *sql)
{
	sqlite3_stmt *st;
	int64_t v = 0;

	if (sqlite3_prepare_v2(r->db, sql, -1, &st, NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW)
		v = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return v;
}

/* What is thinned: its key, which row of a stretch stays, and which stay in any case. */
static const struct thinned {
	const char *table, *key, *by, *keep;
} THINNED[] = {
	{"sample", "t", "rss", "0"},
	{"cycle", "n", "pause_ns", "0"},
	{"ledger", "t", "rss", "json IS NOT NULL"},
};

/*
 * All but the newest quarter of a table keeps one row in each stretch of time of the same length,
 * twice the present average: what is dense gets thinner, what was thinned before stays. Of samples
 * and ledgers it is the row with the largest RSS, so that every peak is kept, of cycles the one
 * with the longest pause. Rows are taken out and put back, since deleting some would free no page.
 */
/* A transaction must be small beside the whole file. */
static unsigned rows_at_once(const struct recording *r)
{
	return (unsigned)MIN(r->max_size / 4096, (bytes)ROWS_AT_ONCE);
}

static bool thin_chunk(struct recording *r, struct err *err)
{
	const struct thinned *t = &THINNED[r->thin.table];
	const char *table = t->table, *key = t->key;
	struct str s = {0};
	int64_t from = r->thin.from, to;
	bool ok;

	str_addf(
		&s,
		"SELECT coalesce(max(%s), 0) FROM (SELECT %s FROM %s WHERE %s > %lld AND %s < %lld "
		"ORDER BY %s LIMIT %u)",
		key, key, table, key, (long long)from, key, (long long)r->thin.cut, key,
		rows_at_once(r));
	to = pragma(r, s.s);
	r->thin.from = to;
	if (to <= from) { /* this table is done */
		r->thin.on = false;
		str_free(&s);
		return true;
	}
	s.n = 0;
	str_addf(&s,
		 "BEGIN; CREATE TEMP TABLE kept AS SELECT * FROM %s WHERE %s IN (SELECT k FROM "
		 "(SELECT %s AS k, (%s) AS p, row_number() OVER (PARTITION BY %s / %lld ORDER BY "
		 "coalesce(%s, 0) DESC) AS best FROM %s WHERE %s > %lld AND %s <= %lld) WHERE best "
		 "= 1 "
		 "OR p); DELETE FROM %s WHERE %s > %lld AND %s <= %lld; INSERT INTO %s SELECT * "
		 "FROM kept ORDER BY %s; DROP TABLE kept; COMMIT;",
		 table, key, key, t->keep, key, (long long)r->thin.width, t->by, table, key,
		 (long long)from, key, (long long)to, table, key, (long long)from, key,
		 (long long)to, table, key);
	ok = run(r, s.s, "thinning", err);
	if (!ok)
		sqlite3_exec(r->db, "ROLLBACK; DROP TABLE IF EXISTS temp.kept", NULL, NULL, NULL);
	str_free(&s);
	return ok;
}

/* Chooses what is thinned next, one table after the other. */
static void thin_begin(struct recording *r)
{
	const struct thinned *t;
	struct str s = {0};
	int64_t first, n;

	r->thin.table = (r->thin.table + 1) % (unsigned)ARRAY_LEN(THINNED);
	t = &THINNED[r->thin.table];
	str_addf(&s, "SELECT count(*) FROM %s", t->table);
	n = pragma(r, s.s) * 3 / 4;
	s.n = 0;
	str_addf(&s, "SELECT min(%s) FROM %s", t->key, t->table);
	first = pragma(r, s.s);
	s.n = 0;
	str_addf(&s, "SELECT %s FROM %s ORDER BY %s LIMIT 1 OFFSET %lld", t->key, t->table, t->key,
		 (long long)n);
	r->thin.cut = pragma(r, s.s);
	str_free(&s);
	r->thin.on = n >= 16 && r->thin.cut > first;
	if (r->thin.on)
		r->thin.width = MAX((r->thin.cut - first) / n * 2, 2);
	r->thin.from = first - 1;
}

/* What a profile or a whole ledger says of an older moment goes first, but for the highest peak. */
static bool thin_blobs(struct recording *r, struct err *err)
{
	return run(
		r,
		"BEGIN; UPDATE ledger SET json = NULL WHERE json IS NOT NULL AND id % 2 = 0 AND id "
		"NOT "
		"IN (SELECT id FROM ledger WHERE json IS NOT NULL ORDER BY rss DESC LIMIT 8) AND "
		"id < (SELECT max(id) * 3 / 4 FROM ledger);"
		"DELETE FROM site WHERE ledger NOT IN (SELECT id FROM ledger) OR (ledger % 2 = 0 "
		"AND "
		"ledger NOT IN (SELECT id FROM ledger WHERE id IN (SELECT ledger FROM site) ORDER "
		"BY "
		"rss DESC LIMIT 4) AND ledger < (SELECT max(id) * 3 / 4 FROM ledger));"
		"DELETE FROM stack WHERE id NOT IN (SELECT stack FROM site);"
		"COMMIT;",
		"thinning", err);
}

static bytes used_bytes(struct recording *r)
{
	return (bytes)(pragma(r, "PRAGMA page_count") - pragma(r, "PRAGMA freelist_count")) * 4096;
}

static bool empty_wal(struct recording *r, struct err *err)
{
	return file_bytes(r->path, "-wal") <= MIN(r->max_size / 16, (bytes)4 << 20) ||
	       run(r, "PRAGMA wal_checkpoint(TRUNCATE)", "writing", err);
}

/*
 * Called after each batch. The WAL is moved into the file before it gets large, and thinning begins
 * long before the file is full and goes on in pieces, each a transaction of its own.
 */
static bool keep_size(struct recording *r, struct err *err)
{
	if (!empty_wal(r, err))
		return false;
	if (!r->thin.on && recording_file_bytes(r->path) < r->max_size / 2)
		return true;
	for (unsigned i = 0; i < THIN_PIECES; i++) {
		if (!r->thin.on) {
			if (used_bytes(r) < r->max_size / 10 * 6)
				return true;
			thin_begin(r);
			if (r->thin.table == 0 && !thin_blobs(r, err))
				return false;
		} else if (!thin_chunk(r, err)) {
			return false;
		}
		if (!empty_wal(r, err))
			return false;
	}
	return true;
}

static bool commit(struct recording *r, struct err *err)
{
	if (!r->in_batch)
		return true;
	r->in_batch = false;
	r->batch_rows = 0;
	if (!run(r, "COMMIT", "writing", err)) {
		sqlite3_exec(r->db, "ROLLBACK", NULL, NULL, NULL);
		return false;
	}
	return keep_size(r, err);
}

static bool begin(struct recording *r, int64_t t, struct err *err)
{
	if (r->in_batch &&
	    (t - r->batch_from >= BATCH_NS || r->batch_rows >= rows_at_once(r) ||
	     t < r->batch_from) &&
	    !commit(r, err))
		return false;
	if (!r->in_batch) {
		if (!run(r, "BEGIN", "writing", err))
			return false;
		r->in_batch = true;
		r->batch_from = t;
	}
	r->batch_rows++;
	return true;
}

static bool add_sample(struct recording *r, const struct event *e, struct err *err)
{
	sqlite3_stmt *st = r->st[ADD_SAMPLE];

	sqlite3_bind_int64(st, 1, e->t_ns);
	sqlite3_bind_int64(st, 2, e->unix_ns);
	for (unsigned i = 0; i < N_METRICS; i++)
		bind_u64(st, (int)i + 3, metric_get(&e->sample, &METRICS[i]));
	return step(r, ADD_SAMPLE, err);
}

static bool add_cycle(struct recording *r, const struct event *e, struct err *err)
{
	sqlite3_stmt *st = r->st[ADD_CYCLE];

	sqlite3_bind_int64(st, 1, (sqlite3_int64)e->gc.n);
	if (e->gc.t_known) {
		sqlite3_bind_int64(st, 2, e->t_ns);
		sqlite3_bind_int64(st, 3, e->unix_ns);
	} else {
		sqlite3_bind_null(st, 2);
		sqlite3_bind_null(st, 3);
	}
	sqlite3_bind_int(st, 4, e->gc.late);
	if (e->gc.forced < 0)
		sqlite3_bind_null(st, 5);
	else
		sqlite3_bind_int(st, 5, e->gc.forced);
	for (unsigned i = 0; i < N_CYCLES; i++)
		bind_u64(st, (int)i + 6, metric_get(&e->gc, &CYCLES[i]));
	return step(r, ADD_CYCLE, err);
}

static bool add_lines(struct recording *r, const struct event *e, unsigned mark, const char *json,
		      struct err *err)
{
	sqlite3_stmt *st = r->st[ADD_LEDGER];
	const struct lines_event *l = &e->lines;
	int at = 1;

	sqlite3_bind_int64(st, at++, e->t_ns);
	sqlite3_bind_int64(st, at++, e->unix_ns);
	sqlite3_bind_int(st, at++, (int)mark);
	bind_u64(st, at++, l->rss);
	bind_u64(st, at++, l->profile);
	bind_u64(st, at++, l->cgroup_current);
	bind_u64(st, at++, l->cgroup_limit);
	bind_u64(st, at++, l->cost_ns);
	sqlite3_bind_text(st, at++, l->cause, -1, SQLITE_STATIC); /* NULL binds null */
	for (unsigned i = 0; i < N_LINES; i++)
		bind_u64(st, at++, l->resident[i]);
	sqlite3_bind_text(st, at, json, -1, SQLITE_STATIC);
	return step(r, ADD_LEDGER, err);
}

bool recording_add(struct recording *r, const struct event *e, struct err *err)
{
	bool ok;

	pthread_mutex_lock(&r->lock);
	ok = begin(r, e->t_ns, err);
	switch (e->kind) {
	case EVENT_SAMPLE:
		ok = ok && add_sample(r, e, err);
		break;
	case EVENT_GC:
		ok = ok && add_cycle(r, e, err);
		break;
	case EVENT_LINES:
		ok = ok && add_lines(r, e, 0, NULL, err);
		break;
	case EVENT_END:
		break;
	}
	pthread_mutex_unlock(&r->lock);
	return ok;
}

/* ---- Call sites ---- */

struct site {
	const struct mem_bucket *b;
	double objects, space;
};

static int by_space(const void *a, const void *b)
{
	const struct site *x = a, *y = b;

	return (x->space < y->space) - (x->space > y->space);
}

static void add_frames(const struct snapshot *s, const struct mem_bucket *b, struct str *to)
{
	bool leaf = true;

	for (uint32_t i = 0; i < b->nstk && i < FRAMES_MAX; i++) {
		struct place p = s->place(s, s->profile.pcs[b->stk + i] - 1);

		/* as runtime/pprof: the runtime's own frames at the leaf are left out */
		if (leaf &&
		    (str_starts(p.func, "runtime.") || str_starts(p.func, "internal/runtime/")) &&
		    i + 1 < b->nstk)
			continue;
		leaf = false;
		str_addf(to, "%s%s %s:%d", to->n ? "\n" : "", *p.func ? p.func : "?", p.file,
			 p.line);
	}
}

uint32_t snapshot_sites(const struct snapshot *s, uint32_t most, struct arena *a,
			struct site_row **ret)
{
	const struct profile *p = &s->profile;
	struct site *v = ARENA_ARRAY(a, struct site, p->n_buckets + 1);
	struct site_row *rows;
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->n_buckets; i++) {
		const struct mem_bucket *b = &p->buckets[i];
		int64_t count = (int64_t)(b->allocs - b->frees);
		double size = (double)b->size, scale;

		if (count <= 0 || size <= 0 || count > INT64_C(1) << 40)
			continue;
		scale = p->rate <= 1 ? 1 : 1 / (1 - exp(-size / (double)p->rate));
		v[n++] = (struct site){b, (double)count * scale, (double)count * size * scale};
	}
	qsort(v, n, sizeof(*v), by_space);
	n = MIN(n, most);
	rows = ARENA_ARRAY(a, struct site_row, n + 1);
	for (uint32_t i = 0; i < n; i++) {
		struct str frames = {0};

		add_frames(s, v[i].b, &frames);
		rows[i] = (struct site_row){frames.s ? arena_strdup(a, frames.s) : "?",
					    (int64_t)MIN(v[i].objects, 9e18),
					    (int64_t)MIN(v[i].space, 9e18)};
		str_free(&frames);
	}
	*ret = rows;
	return n;
}

static bool add_sites(struct recording *r, int64_t ledger, const struct snapshot *s,
		      struct err *err)
{
	CLEANUP(arena_free) struct arena a = {0};
	struct site_row *v;
	uint32_t n;
	bool ok = true;

	arena_init(&a, 0);
	n = snapshot_sites(s, SITES_MAX, &a, &v);
	for (uint32_t i = 0; i < n && ok; i++) {
		sqlite3_stmt *st = r->st[ADD_STACK];
		int64_t id = 0;

		sqlite3_bind_text(st, 1, v[i].stack, -1, SQLITE_STATIC);
		ok = sqlite3_step(st) == SQLITE_ROW;
		if (ok)
			id = sqlite3_column_int64(st, 0);
		else
			failed(r, "writing", err);
		sqlite3_reset(st);
		if (!ok)
			break;
		st = r->st[ADD_SITE];
		sqlite3_bind_int64(st, 1, ledger);
		sqlite3_bind_int64(st, 2, id);
		sqlite3_bind_int64(st, 3, v[i].inuse_objects);
		sqlite3_bind_int64(st, 4, v[i].inuse_space);
		ok = step(r, ADD_SITE, err);
	}
	return ok;
}

bool recording_add_ledger(struct recording *r, const struct event *e, const struct ledger *l,
			  enum recording_mark mark, const char *json, bool sites, struct err *err)
{
	bool ok;

	pthread_mutex_lock(&r->lock);
	ok = begin(r, e->t_ns, err) && add_lines(r, e, mark, json, err);
	if (ok && sites)
		ok = add_sites(r, sqlite3_last_insert_rowid(r->db), l->s, err);
	pthread_mutex_unlock(&r->lock);
	return ok;
}

bool recording_commit(struct recording *r, struct err *err)
{
	bool ok;

	pthread_mutex_lock(&r->lock);
	ok = commit(r, err);
	pthread_mutex_unlock(&r->lock);
	return ok;
}

bool recording_end(struct recording *r, int64_t t_ns, const char *why, struct err *err)
{
	bool ok;

	if (!r)
		return true;
	ok = commit(r, err) && run(r, "BEGIN", "writing", err) &&
	     put_meta(r, "ended_ns", NULL, t_ns, err) && put_meta(r, "ended_why", why, 0, err) &&
	     run(r, "COMMIT", "writing", err) &&
	     run(r, "PRAGMA wal_checkpoint(TRUNCATE)", "writing", err);
	dispose(r);
	return ok;
}

/* ---- Reading ---- */

static int count_steps(void *ctx)
{
	struct recording *r = ctx;

	r->steps += 10000;
	return r->steps > READ_STEPS;
}

static bool check_schema(struct recording *r, struct err *err)
{
	sqlite3_stmt *st = NULL;
	bool ok;
	int code;

	r->steps = 0;
	code = sqlite3_prepare_v2(
		r->db,
		"SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN "
		"('meta', 'sample', 'cycle', 'ledger', 'stack', 'site')",
		-1, &st, NULL);
	if (code != SQLITE_OK)
		return failed(r, "opening it", err);
	code = sqlite3_step(st);
	ok = code == SQLITE_ROW && sqlite3_column_int(st, 0) == 6;
	if (code != SQLITE_ROW)
		failed(r, "opening it", err);
	sqlite3_finalize(st);
	if (code != SQLITE_ROW)
		return false;
	if (!ok || pragma(r, "PRAGMA application_id") != APPLICATION_ID)
		return err_set(
			err, ERR_FORMAT,
			"%.120s: a SQLite file of another program, not a recording of whyrss",
			r->path);
	return true;
}

static bool read_info(struct recording *r, struct arena *a, struct recording_info *ret,
		      struct err *err)
{
	sqlite3_stmt *st;
	bool known = false;
	int code;

	*ret = (struct recording_info){
		.exe = "", .go = "", .limit = UNKNOWN, .ended_ns = -1, .why = ""};
	if (sqlite3_prepare_v2(r->db, "SELECT key, value FROM meta LIMIT 1000", -1, &st, NULL) !=
	    SQLITE_OK)
		return failed(r, "opening it", err);
	while ((code = sqlite3_step(st)) == SQLITE_ROW) {
		const char *key = (const char *)sqlite3_column_text(st, 0);
		const char *text = (const char *)sqlite3_column_text(st, 1);
		int64_t v = sqlite3_column_int64(st, 1);
		const struct {
			const char *key;
			int64_t *to;
		} numbers[] = {{"pid", &ret->pid},
			       {"go_minor", &ret->go_minor},
			       {"began_unix_ns", &ret->began_unix_ns},
			       {"ended_ns", &ret->ended_ns},
			       {"limit", (int64_t *)&ret->limit},
			       {"max_size", (int64_t *)&ret->max_size}};
		const struct {
			const char *key;
			const char **to;
		} texts[] = {{"exe", &ret->exe}, {"go", &ret->go}, {"ended_why", &ret->why}};

		if (!key || !text)
			continue;
		for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
			if (!strcmp(key, numbers[i].key))
				*numbers[i].to = v;
		for (size_t i = 0; i < ARRAY_LEN(texts); i++)
			if (!strcmp(key, texts[i].key))
				*texts[i].to = arena_strdup(a, text);
		if (!strcmp(key, "hz_millis"))
			ret->hz = (double)v / 1000;
		known |= !strcmp(key, "schema") && !strcmp(text, RECORDING_SCHEMA);
	}
	sqlite3_finalize(st);
	ret->began_unix_ns = MIN(MAX(ret->began_unix_ns, 0), TIME_MOST);
	ret->ended_ns = MIN(MAX(ret->ended_ns, -1), TIME_MOST);
	if (code != SQLITE_DONE)
		return failed(r, "opening it", err);
	if (!known)
		return err_set(err, ERR_FORMAT, "%.120s: a recording of another version of whyrss",
			       r->path);
	return true;
}

/* One that nobody writes any more, in a folder where no WAL index may be made, is read as it lies.
 */
static bool open_file(struct recording *r, struct err *err)
{
	struct str uri = {0};
	bool ok;

	if (sqlite3_open_v2(r->path, &r->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) ==
		    SQLITE_OK &&
	    sqlite3_exec(r->db, "SELECT 1 FROM sqlite_schema", NULL, NULL, NULL) == SQLITE_OK)
		return true;
	if ((sqlite3_errcode(r->db) & 0xff) != SQLITE_CANTOPEN &&
	    (sqlite3_errcode(r->db) & 0xff) != SQLITE_READONLY)
		return failed(r, "opening it", err);
	sqlite3_close_v2(r->db);
	str_add(&uri, "file:");
	for (const char *p = r->path; *p; p++)
		str_addf(&uri, strchr("?#%", *p) ? "%%%02x" : "%c", (unsigned char)*p);
	str_add(&uri, "?immutable=1");
	ok = sqlite3_open_v2(uri.s, &r->db,
			     SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
			     NULL) == SQLITE_OK;
	str_free(&uri);
	return ok || failed(r, "opening it", err);
}

bool recording_open(const char *path, struct arena *a, struct recording **ret,
		    struct recording_info *ret_info, struct err *err)
{
	struct recording *r = make(path, err);

	if (!r)
		return false;
	r->reading = true;
	if (!open_file(r, err))
		goto failed;
	sqlite3_busy_timeout(r->db, 2000);
	sqlite3_db_config(r->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(r->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_limit(r->db, SQLITE_LIMIT_LENGTH, 16 << 20);
	sqlite3_progress_handler(r->db, 10000, count_steps, r);
	if (!check_schema(r, err) || !read_info(r, a, ret_info, err))
		goto failed;
	*ret = r;
	return true;
failed:
	dispose(r);
	return false;
}

void recording_close(struct recording *r)
{
	if (r)
		dispose(r);
}

/* A time that a foreign file names may be anything. */
static int64_t column_time(sqlite3_stmt *st, int at)
{
	return MIN(MAX(sqlite3_column_int64(st, at), 0), TIME_MOST);
}

static uint64_t column_u64(sqlite3_stmt *st, int at)
{
	int64_t v;

	if (sqlite3_column_type(st, at) != SQLITE_INTEGER)
		return UNKNOWN;
	v = sqlite3_column_int64(st, at);
	return v < 0 ? UNKNOWN : (uint64_t)v;
}

/*
 * "SELECT columns FROM table" between two times, every k-th row of the numbered rows when there are
 * more than `max`. The statement is bound and ready to step.
 */
static bool select_rows(struct recording *r, const char *columns, const char *table, int64_t from,
			int64_t to, uint32_t max, sqlite3_stmt **ret, struct err *err)
{
	struct str s = {0};
	sqlite3_stmt *st = NULL;
	int64_t n = 0;
	bool ok;

	r->steps = 0;
	str_addf(&s, "SELECT count(*) FROM %s WHERE t BETWEEN ? AND ?", table);
	ok = sqlite3_prepare_v2(r->db, s.s, -1, &st, NULL) == SQLITE_OK;
	if (ok) {
		sqlite3_bind_int64(st, 1, from);
		sqlite3_bind_int64(st, 2, to);
		if (sqlite3_step(st) == SQLITE_ROW)
			n = sqlite3_column_int64(st, 0);
		else
			n = 1; /* damaged: what there is of it */
	}
	sqlite3_finalize(st);
	s.n = 0;
	if (n > max)
		str_addf(&s,
			 "SELECT %s FROM (SELECT *, row_number() OVER (ORDER BY t) AS i FROM %s "
			 "WHERE t BETWEEN ?1 AND ?2) WHERE i %% ?3 = 0 OR i = 1 ORDER BY t",
			 columns, table);
	else
		str_addf(&s, "SELECT %s FROM %s WHERE t BETWEEN ?1 AND ?2 ORDER BY t", columns,
			 table);
	ok = ok && sqlite3_prepare_v2(r->db, s.s, -1, &st, NULL) == SQLITE_OK;
	str_free(&s);
	if (!ok)
		return failed(r, "reading", err);
	sqlite3_bind_int64(st, 1, from);
	sqlite3_bind_int64(st, 2, to);
	if (n > max)
		sqlite3_bind_int64(st, 3, (n + max - 1) / MAX(max, 1));
	*ret = st;
	return true;
}

/* What the last step came to. */
static bool read_end(struct recording *r, sqlite3_stmt *st, int code, struct err *err)
{
	bool ok = code == SQLITE_DONE || failed(r, "reading", err);

	sqlite3_finalize(st);
	return ok;
}

bool recording_samples(struct recording *r, int64_t from, int64_t to, uint32_t max, struct arena *a,
		       struct sample_row **ret, uint32_t *ret_n, struct err *err)
{
	struct str columns = {0};
	VEC(struct sample_row) v = {0};
	sqlite3_stmt *st = NULL;
	bool ok;
	int code;

	*ret_n = 0;
	str_add(&columns, "t, unix_ns");
	for (unsigned i = 0; i < N_METRICS; i++)
		str_addf(&columns, ", %s", METRICS[i].name);
	ok = select_rows(r, columns.s, "sample", from, to, max, &st, err);
	str_free(&columns);
	if (!ok)
		return false;
	while ((code = sqlite3_step(st)) == SQLITE_ROW && v.n < max + 2) {
		struct sample_row *row = VEC_PUSH(a, &v);

		row->t_ns = column_time(st, 0);
		row->unix_ns = column_time(st, 1);
		for (unsigned i = 0; i < N_METRICS; i++)
			*metric_of(&row->s, &METRICS[i]) = column_u64(st, (int)i + 2);
	}
	*ret = v.v;
	*ret_n = v.n;
	return read_end(r, st, code == SQLITE_ROW ? SQLITE_DONE : code, err);
}

bool recording_cycles(struct recording *r, int64_t from, int64_t to, uint32_t max, struct arena *a,
		      struct cycle_row **ret, uint32_t *ret_n, struct err *err)
{
	struct str columns = {0};
	VEC(struct cycle_row) v = {0};
	sqlite3_stmt *st = NULL;
	bool ok;
	int code;

	*ret_n = 0;
	str_add(&columns, "t, unix_ns, n, late, forced");
	for (unsigned i = 0; i < N_CYCLES; i++)
		str_addf(&columns, ", %s", CYCLES[i].name);
	ok = select_rows(r, columns.s, "cycle", from, to, max, &st, err);
	str_free(&columns);
	if (!ok)
		return false;
	while ((code = sqlite3_step(st)) == SQLITE_ROW && v.n < max + 2) {
		struct cycle_row *row = VEC_PUSH(a, &v);

		row->t_ns = column_time(st, 0);
		row->unix_ns = column_time(st, 1);
		row->g.n = (uint64_t)sqlite3_column_int64(st, 2);
		row->g.late = sqlite3_column_int(st, 3) != 0;
		row->g.forced = sqlite3_column_type(st, 4) == SQLITE_NULL
					? -1
					: sqlite3_column_int(st, 4) != 0;
		row->g.t_known = true;
		for (unsigned i = 0; i < N_CYCLES; i++)
			*metric_of(&row->g, &CYCLES[i]) = column_u64(st, (int)i + 5);
	}
	*ret = v.v;
	*ret_n = v.n;
	return read_end(r, st, code == SQLITE_ROW ? SQLITE_DONE : code, err);
}

bool recording_ledgers(struct recording *r, int64_t from, int64_t to, uint32_t max, struct arena *a,
		       struct ledger_row **ret, uint32_t *ret_n, struct err *err)
{
	struct str columns = {0};
	VEC(struct ledger_row) v = {0};
	sqlite3_stmt *st = NULL;
	bool ok;
	int code;

	*ret_n = 0;
	str_add(&columns,
		"t, unix_ns, id, mark, json IS NOT NULL, id IN (SELECT ledger FROM site), rss, "
		"profile, cgroup_current, cgroup_limit, cost_ns, cause");
	for (unsigned i = 0; i < N_LINES; i++) {
		str_add(&columns, ", ");
		add_line_column(&columns, i);
	}
	ok = select_rows(r, columns.s, "ledger", from, to, max, &st, err);
	str_free(&columns);
	if (!ok)
		return false;
	while ((code = sqlite3_step(st)) == SQLITE_ROW && v.n < max + 2) {
		struct ledger_row *row = VEC_PUSH(a, &v);
		const char *cause = (const char *)sqlite3_column_text(st, 11);

		*row = (struct ledger_row){
			.t_ns = column_time(st, 0),
			.unix_ns = column_time(st, 1),
			.id = sqlite3_column_int64(st, 2),
			.mark = (uint32_t)sqlite3_column_int(st, 3),
			.has_json = sqlite3_column_int(st, 4) != 0,
			.has_sites = sqlite3_column_int(st, 5) != 0,
			.l = {.rss = column_u64(st, 6),
			      .profile = column_u64(st, 7),
			      .cgroup_current = column_u64(st, 8),
			      .cgroup_limit = column_u64(st, 9),
			      .cost_ns = column_u64(st, 10),
			      .cause = cause ? arena_strndup(a, cause, strnlen(cause, 64)) : NULL}};
		for (unsigned i = 0; i < N_LINES; i++) {
			uint64_t x = column_u64(st, (int)i + 12);

			row->l.resident[i] = x == UNKNOWN ? 0 : x;
		}
	}
	*ret = v.v;
	*ret_n = v.n;
	return read_end(r, st, code == SQLITE_ROW ? SQLITE_DONE : code, err);
}

bool recording_sites(struct recording *r, int64_t ledger, struct arena *a, struct site_row **ret,
		     uint32_t *ret_n, struct err *err)
{
	VEC(struct site_row) v = {0};
	sqlite3_stmt *st;
	int code;

	*ret_n = 0;
	r->steps = 0;
	if (sqlite3_prepare_v2(r->db,
			       "SELECT frames, inuse_objects, inuse_space FROM site JOIN stack ON "
			       "stack.id = site.stack WHERE ledger = ? ORDER BY inuse_space DESC",
			       -1, &st, NULL) != SQLITE_OK)
		return failed(r, "reading", err);
	sqlite3_bind_int64(st, 1, ledger);
	while ((code = sqlite3_step(st)) == SQLITE_ROW && v.n < SITES_MAX) {
		const char *text = (const char *)sqlite3_column_text(st, 0);

		*VEC_PUSH(a, &v) = (struct site_row){
			arena_strndup(a, text ? text : "", text ? strnlen(text, 65536) : 0),
			sqlite3_column_int64(st, 1), sqlite3_column_int64(st, 2)};
	}
	*ret = v.v;
	*ret_n = v.n;
	return read_end(r, st, code == SQLITE_ROW ? SQLITE_DONE : code, err);
}

bool recording_json(struct recording *r, int64_t ledger, struct arena *a, const char **ret,
		    struct err *err)
{
	sqlite3_stmt *st;
	int code;

	*ret = NULL;
	r->steps = 0;
	if (sqlite3_prepare_v2(r->db, "SELECT json FROM ledger WHERE id = ?", -1, &st, NULL) !=
	    SQLITE_OK)
		return failed(r, "reading", err);
	sqlite3_bind_int64(st, 1, ledger);
	code = sqlite3_step(st);
	if (code == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(st, 0);

		if (text && sqlite3_column_bytes(st, 0) < JSON_MAX)
			*ret = arena_strdup(a, text);
		code = SQLITE_DONE;
	}
	return read_end(r, st, code, err);
}

bool recording_peak(struct recording *r, int64_t *ret_t_ns, bytes *ret_rss, struct err *err)
{
	sqlite3_stmt *st;
	int code;

	r->steps = 0;
	if (sqlite3_prepare_v2(
		    r->db,
		    "SELECT t, rss FROM (SELECT t, rss FROM sample UNION ALL SELECT t, rss "
		    "FROM ledger) ORDER BY rss DESC LIMIT 1",
		    -1, &st, NULL) != SQLITE_OK)
		return failed(r, "reading", err);
	code = sqlite3_step(st);
	if (code == SQLITE_ROW) {
		uint64_t rss = column_u64(st, 1);

		*ret_t_ns = column_time(st, 0);
		*ret_rss = rss == UNKNOWN ? 0 : rss;
		code = SQLITE_DONE;
	} else if (code == SQLITE_DONE) {
		*ret_t_ns = 0;
		*ret_rss = 0;
	}
	return read_end(r, st, code, err);
}
