/* Views: tables, options, the arithmetic of MemStats, and that every answer adds up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "view/memstats.h"
#include "view_fixture.h"

static const struct column T_COLUMNS[] = {{"name", "name", COLUMN_TEXT, 0},
					  {"n", "n", COLUMN_COUNT, 0},
					  {NULL, "shown", COLUMN_TEXT, 0}};

static void add(struct arena *a, struct table *t, const char *name, struct value n, uint32_t flags)
{
	struct row *r = table_row(a, t, flags);

	r->cells[0] = value_str(name);
	r->cells[1] = n;
}

static void names_are(const struct table *t, const char *want)
{
	char got[64] = "";

	for (uint32_t i = 0; i < t->rows.n; i++)
		strcat(got, t->rows.v[i].cells[0].s);
	assert_string_equal(got, want);
}

static void test_table(void **state)
{
	struct arena a;
	struct table *t;
	struct value json;
	struct err err = {0};

	(void)state;
	arena_init(&a, 0);
	t = TABLE_NEW(&a, T_COLUMNS);
	add(&a, t, "b", value_uint(1), 0);
	add(&a, t, "T", value_uint(99), ROW_SUM | ROW_SHOWN);
	add(&a, t, "x", value_null(), 0);
	add(&a, t, "c", value_int(-5), 0);
	add(&a, t, "a", value_uint(1), 0);
	add(&a, t, "d", value_double(1e18), ROW_QUIET);
	assert_true(table_sort(&a, t, "n", &err));
	names_are(
		t,
		"dbacxT"); /* largest first, equals as they were, unknown last, totals below all */
	assert_true(table_sort(&a, t, "name", &err));
	names_are(t, "abcdxT");
	assert_false(table_sort(&a, t, "shown", &err));
	assert_int_equal(err.kind, ERR_USAGE);
	assert_non_null(strstr(err.msg, "name, n"));

	json = table_json(&a, t);
	assert_int_equal(value_count(&json), 5); /* the total is for people */
	assert_int_equal(value_count(&json.list->items.v[0].v), 2);
	assert_int_equal(value_get(&json.list->items.v[3].v, "n")->kind, VALUE_DOUBLE);
	t->limit = 2;
	json = table_json(&a, t);
	assert_int_equal(value_count(&json), 5); /* a limit of ours is for people only */
	t->limit_all = true;
	json = table_json(&a, t);
	assert_int_equal(value_count(&json), 2);
	arena_free(&a);
}

static void test_options(void **state)
{
	static const struct {
		const char *line[6];
		const char *fails; /* part of the message; NULL: parses */
	} cases[] = {
		{{"--json", "4711"}, NULL},
		{{"-aj", "4711"}, NULL},
		{{"--limit", "5"}, NULL},
		{{"--limit=5"}, NULL},
		{{"-n5"}, NULL},
		{{"-n", "5", "-w", "120"}, NULL},
		{{"--color=never"}, NULL},
		{{"--", "--json"}, NULL},
		{{"-"}, NULL},
		{{"--jsn"}, "did you mean --json?"},
		{{"--colour=never"}, "did you mean --color?"},
		{{"--frobnicate"}, "no such option"},
		{{"-Z"}, "no such option"},
		{{"--limit"}, "N is missing"},
		{{"-n"}, "N is missing"},
		{{"--limit=-1"}, "not a number"},
		{{"--limit=5x"}, "not a number"},
		{{"--limit=99999999999999999999"}, "not a number"},
		{{"--limit="}, "not a number"},
		{{"--json=1"}, "takes no value"},
		{{"--color=pink"}, "not one of auto|always|never"},
		{{"--cgroup="}, "PATH is missing"},
		{{"--by=moon"}, "not one of"},
		{{"--=x"}, "no such option"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *argv[8] = {"whyrss"};
		int argc = 1;
		struct arguments a;
		struct err err = {0};
		bool ok;

		for (const char *const *p = cases[i].line; *p; p++)
			argv[argc++] = *p;
		ok = arguments_parse(argc, argv, &a, &err);
		if (ok != !cases[i].fails ||
		    (!ok && (err.kind != ERR_USAGE || !strstr(err.msg, cases[i].fails))))
			fail_msg("%s: %s", cases[i].line[0], err.msg);
	}
}

static void test_option_values(void **state)
{
	const char *argv[] = {"whyrss", "spans", "-n", "7", "--by=start",
			      "-ja",	"etcd",	 "--", "-x"};
	struct arguments a;
	struct err err = {0};

	(void)state;
	assert_true(arguments_parse(9, argv, &a, &err));
	assert_int_equal(a.n_words, 3);
	assert_string_equal(a.words[1], "etcd");
	assert_string_equal(a.words[2], "-x");
	assert_int_equal(a.options.v[OPT_LIMIT].number, 7);
	assert_int_equal(a.options.v[OPT_BY].choice, BY_START);
	assert_true(option_set(&a.options, OPT_JSON) && option_set(&a.options, OPT_ALL));
	assert_false(option_set(&a.options, OPT_CSV));
	assert_int_equal(a.options.v[OPT_COLOR].choice, COLOR_AUTO);
}

static void test_memstats(void **state)
{
	struct fixture f;
	struct memstats m;
	double b[TIME_BUCKETS + 1];

	(void)state;
	fixture_open(&f);
	m = memstats_compute(&f.counters);
	assert_int_equal(m.TotalAlloc, (50 << 20) + 1024 * 64 + 2 * 32768);
	assert_int_equal(m.HeapAlloc, m.TotalAlloc - (10 << 20) - 400 * 64);
	assert_int_equal(m.Alloc, m.HeapAlloc);
	assert_int_equal(m.Mallocs, 5 + 1024 + 2 + 10);
	assert_int_equal(m.Frees, 1 + 400 + 10);
	assert_int_equal(m.HeapObjects, 4 + 624 + 2);
	assert_int_equal(m.HeapSys, (80 + 20 + 15) << 20);
	assert_int_equal(m.HeapSys, m.HeapInuse + m.HeapIdle);
	assert_int_equal(m.StackSys, (4 << 20) + 65536);
	assert_int_equal(m.GCSys, 3000000 + (1 << 20));
	assert_int_equal(m.Sys,
			 m.HeapSys + m.StackSys + 200000 + 16384 + 1500000 + m.GCSys + 700000);
	assert_int_equal(m.BySize[6].Size, 64);
	assert_int_equal(m.BySize[6].Mallocs, 1024);
	assert_true(m.EnableGC && !m.DebugGC && m.Lookups == 0);
	/* 1.18 counts a cached span whole beforehand: what is to be flushed is negative there. */
	f.counters.flush_small[6] = (uint64_t)-24;
	m = memstats_compute(&f.counters);
	assert_int_equal(m.BySize[6].Mallocs, 976);

	time_buckets(b);
	assert_true(isinf(b[0]) && b[0] < 0 && isinf(b[TIME_BUCKETS]) && b[TIME_BUCKETS] > 0);
	assert_true(b[1] == 0 && b[2] == 64e-9 && b[4] == 192e-9 && b[5] == 256e-9 &&
		    b[6] == 320e-9 && b[9] == 512e-9);
	assert_true(b[TIME_BUCKETS - 1] == 140737.488355328);
	for (unsigned i = 1; i <= TIME_BUCKETS; i++)
		assert_true(b[i] > b[i - 1]);
	fixture_close(&f);
}

static const struct value *member(const struct report *r, const char *path)
{
	const struct value *v = &r->json;
	char part[64];

	while (*path) {
		size_t n = strcspn(path, "/");

		snprintf(part, sizeof part, "%.*s", (int)n, path);
		v = v->kind == VALUE_ARRAY ? &v->list->items.v[atoi(part)].v : value_get(v, part);
		assert_non_null(v);
		path += n + (path[n] == '/');
	}
	return v;
}

static void test_metrics(void **state)
{
	struct fixture f;
	struct report r;
	struct err err = {0};
	uint64_t *h;

	(void)state;
	fixture_open(&f);
	assert_true(fixture_ask(&f, "memstats", NULL, &r, &err));
	assert_string_equal(member(&r, "schema")->s, "whyrss.memstats/1");
	assert_int_equal(value_count(member(&r, "PauseNs")), 256);
	assert_int_equal(value_count(member(&r, "BySize")), 61);
	struct value metrics = *member(&r, "metrics");
	const struct value *v = value_get(&metrics, "/memory/classes/heap/free:bytes");
	assert_int_equal(v->u, (100 - 80 - 4 - 1) << 20);
	v = value_get(&metrics, "/memory/classes/heap/unused:bytes");
	/* not flushed: 1000 of 64 B, not 1024 */
	assert_int_equal(v->u, (80 << 20) - ((40 << 20) + 600 * 64 + 2 * 32768));
	v = value_get(&metrics, "/gc/gomemlimit:bytes");
	assert_int_equal(v->u, INT64_MAX);
	v = value_get(&metrics, "/gc/heap/allocs-by-size:bytes");
	assert_int_equal(value_count(value_get(v, "counts")), 68);
	assert_int_equal(value_count(value_get(v, "buckets")), 69);
	assert_int_equal(value_get(v, "counts")->list->items.v[5].v.u, 1000);
	assert_int_equal(value_get(v, "counts")->list->items.v[67].v.u, 5);
	assert_int_equal(value_get(v, "buckets")->list->items.v[6].v.u, 65);
	assert_int_equal(value_get(&metrics, "/gc/finalizers/queued:finalizers")->kind, VALUE_NULL);
	assert_int_equal(value_get(&metrics, "/sched/latencies:seconds")->kind, VALUE_NULL);
	assert_true(value_count(member(&r, "notes")) == 1);
	assert_false(r.partial);

	f.counters.gcPercent = -1; /* off */
	f.counters.n_histogram = TIME_BUCKETS;
	f.counters.h_sched_latency = h = ARENA_ARRAY(&f.mem, uint64_t, TIME_BUCKETS);
	h[0] = 1;
	h[TIME_BUCKETS - 1] = 2;
	assert_true(fixture_ask(&f, "memstats", NULL, &r, &err));
	metrics = *member(&r, "metrics");
	assert_true(value_get(&metrics, "/gc/gogc:percent")->u == UINT64_MAX);
	v = value_get(&metrics, "/sched/latencies:seconds");
	assert_int_equal(value_count(value_get(v, "counts")), TIME_BUCKETS);
	assert_int_equal(value_get(v, "counts")->list->items.v[TIME_BUCKETS - 1].v.u, 2);
	f.counters.has_cpu = false; /* before 1.20 the histograms had another shape */
	f.counters.n_histogram = TIME_BUCKETS_119;
	f.counters.h_sched_latency = h = ARENA_ARRAY(&f.mem, uint64_t, TIME_BUCKETS_119);
	h[TIME_BUCKETS_119 - 1] = 3;
	assert_true(fixture_ask(&f, "memstats", NULL, &r, &err));
	metrics = *member(&r, "metrics");
	v = value_get(&metrics, "/sched/latencies:seconds");
	assert_int_equal(value_count(value_get(v, "buckets")), TIME_BUCKETS_119 + 1);
	assert_int_equal(value_get(v, "counts")->list->items.v[TIME_BUCKETS_119 - 1].v.u, 3);
	/* of the values below 16 ns each has its own, then there are 16 for each power of two */
	assert_true(value_get(v, "buckets")->list->items.v[3].v.d == 2e-9);
	assert_true(value_get(v, "buckets")->list->items.v[34].v.d == 34e-9);
	assert_int_equal(value_get(&metrics, "/sync/mutex/wait/total:seconds")->kind, VALUE_NULL);
	fixture_close(&f);
}

static void test_ledger_adds_up(void **state)
{
	struct fixture f;
	struct report r;
	struct err err = {0};
	int64_t sum = 0;
	uint64_t lines = 0;

	(void)state;
	fixture_open(&f);
	assert_true(fixture_ask(&f, "ledger", NULL, &r, &err));
	static const char *const keys[] = {"schema",	"target",  "read",  "os",
					   "cgroup",	"profile", "lines", "bridge",
					   "container", "causes",  "notes"};
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		assert_non_null(value_get(&r.json, keys[i]));
	assert_int_equal(value_count(member(&r, "lines")), N_LINES);
	assert_int_equal(value_count(member(&r, "bridge")), N_BRIDGE);
	assert_int_equal(value_count(member(&r, "container")), N_CONTAINER);
	for (unsigned i = 0; i < N_LINES; i++) {
		const struct value *row = &member(&r, "lines")->list->items.v[i].v;

		assert_string_equal(value_get(row, "id")->s, LINES[i].id);
		lines += value_get(row, "resident")->u;
	}
	assert_int_equal(lines, member(&r, "os/rss")->u);
	for (unsigned i = 0; i < N_BRIDGE; i++) {
		const struct value *row = &member(&r, "bridge")->list->items.v[i].v;

		assert_string_equal(value_get(row, "id")->s, BRIDGE_INFO[i].id);
		sum += value_get(row, "delta")->i;
		assert_int_equal(value_get(row, "sum")->i, sum);
		assert_non_null(value_get(row, "why")->s);
	}
	assert_int_equal(sum, member(&r, "os/rss")->u);
	assert_int_equal(member(&r, "bridge/0/sum")->i, member(&r, "profile/inuse_space")->i);
	assert_int_equal(member(&r, "bridge/20/delta")->i, 0);
	assert_int_equal(member(&r, "os/pss")->kind, VALUE_NULL);
	assert_string_equal(member(&r, "read/at")->s, "2025-11-24T16:00:00.000Z");
	assert_string_equal(member(&r, "causes/1/actions/0/do")->s, "set GOGC=50");
	assert_int_equal(member(&r, "causes/1/actions/0/saves")->i, 280 * MIB);
	assert_string_equal(member(&r, "causes/1/confidence")->s, "likely");
	assert_int_equal(value_count(member(&r, "causes/0/evidence")), 1);
	assert_false(r.partial);
	fixture_close(&f);
}

static void test_ledger_unknowns(void **state)
{
	struct fixture f;
	struct report r;
	struct err err = {0};

	(void)state;
	fixture_open(&f);
	f.l.residency = false;
	f.l.has_container = false;
	f.os.cgroup = NULL;
	f.os.residency = RESIDENCY_NONE;
	f.s.profile.enabled = false;
	f.s.profile.inuse_space = 12345; /* must not be shown */
	f.s.profile.error = NAN;
	assert_true(fixture_ask(&f, "ledger", NULL, &r, &err));
	assert_true(r.partial);
	assert_int_equal(member(&r, "os/rss")->kind, VALUE_NULL);
	assert_int_equal(member(&r, "os/rss_kernel")->kind, VALUE_NULL);
	assert_int_equal(member(&r, "cgroup")->kind, VALUE_NULL);
	assert_int_equal(member(&r, "container")->kind, VALUE_NULL);
	assert_int_equal(member(&r, "lines/0/resident")->kind, VALUE_NULL);
	assert_int_equal(member(&r, "lines/0/bytes")->u, 602 * MIB);
	assert_int_equal(member(&r, "bridge/6/delta")->i, 263 * MIB); /* free */
	for (unsigned i = BRIDGE_UNTOUCHED; i < N_BRIDGE; i++)
		assert_int_equal(value_get(&member(&r, "bridge")->list->items.v[i].v, "sum")->kind,
				 VALUE_NULL);
	assert_int_equal(member(&r, "profile/rate")->i, 0);
	assert_int_equal(member(&r, "profile/inuse_space")->i, 0);
	assert_int_equal(member(&r, "profile/error")->kind, VALUE_NULL);
	assert_false(member(&r, "profile/enabled")->b);
	fixture_close(&f);
}

static void test_spans(void **state)
{
	struct fixture f;
	struct report r;
	struct err err = {0};
	uint64_t spans = 0;

	(void)state;
	fixture_open(&f);
	assert_true(fixture_ask(&f, "spans", NULL, &r, &err));
	assert_int_equal(value_count(member(&r, "classes")), 2);
	assert_int_equal(member(&r, "classes/0/size")->u, 64); /* most bytes in holes first */
	assert_true(member(&r, "classes/0/scan")->b);
	assert_int_equal(member(&r, "classes/0/hole_bytes")->u, (128 - 13) * 64);
	assert_int_equal(member(&r, "classes/0/holes")->u, 115);
	assert_int_equal(member(&r, "classes/0/cached_spans")->u, 1);
	assert_int_equal(member(&r, "classes/0/occupancy_histogram/1")->u, 1);
	assert_int_equal(member(&r, "classes/0/occupancy_histogram/9")->u, 1);
	assert_int_equal(member(&r, "classes/1/occupancy_histogram/5")->u, 1);
	assert_false(member(&r, "classes/1/scan")->b);
	assert_int_equal(member(&r, "large/spans")->u, 1);
	assert_int_equal(member(&r, "large/rounding_bytes")->u, 4096);
	assert_int_equal(member(&r, "large/hole_bytes")->u, 0);
	assert_int_equal(member(&r, "total/bytes")->u, 3 * 8192 + 512 * 8192);
	assert_int_equal(member(&r, "total/resident")->u, 4 << 20);
	assert_int_equal(member(&r, "stack_spans/bytes")->u, 4 * 8192);
	assert_int_equal(member(&r, "free_pages/bytes")->u, 16 * 8192);
	assert_int_equal(member(&r, "released_pages/bytes")->u, 128 * 8192);
	for (int i = 0; i < 10; i++)
		spans += member(&r, "total/occupancy_histogram")->list->items.v[i].v.u;
	assert_int_equal(spans, 4);
	/* span bytes = objects + holes + tails */
	assert_int_equal(member(&r, "total/bytes")->u,
			 member(&r, "total/hole_bytes")->u + member(&r, "total/tail_bytes")->u +
				 (128 + 13) * 64 + 4 * 1024 + 512 * 8192);

	assert_true(fixture_ask(
		&f, "spans", (const char *const[]){"--sort=spans", "--limit=1", NULL}, &r, &err));
	assert_int_equal(value_count(member(&r, "classes")), 1);
	assert_int_equal(member(&r, "total/spans")->u, 4);
	assert_false(
		fixture_ask(&f, "spans", (const char *const[]){"--sort=moon", NULL}, &r, &err));
	assert_int_equal(err.kind, ERR_USAGE);
	assert_false(fixture_ask(&f, "spans", (const char *const[]){"--by=state", NULL}, &r, &err));
	assert_non_null(strstr(err.msg, "not an option of spans"));
	f.s.heap.n_spans = 0;
	assert_true(fixture_ask(&f, "spans", NULL, &r, &err));
	assert_int_equal(value_count(member(&r, "classes")), 0);
	fixture_close(&f);
}

static void test_goroutines(void **state)
{
	struct fixture f;
	struct report r;
	struct err err = {0};

	(void)state;
	fixture_open(&f);
	assert_true(fixture_ask(&f, "goroutines", NULL, &r, &err));
	assert_int_equal(value_count(member(&r, "groups")), 3);
	assert_int_equal(member(&r, "total/count")->u, 41); /* the dead one is none */
	assert_int_equal(member(&r, "total/system")->u, 1);
	assert_int_equal(member(&r, "groups/0/count")->u, 30);
	assert_string_equal(member(&r, "groups/0/state")->s, "chan receive");
	assert_int_equal(member(&r, "groups/0/line")->i,
			 0x42); /* the go statement, not what comes after */
	assert_string_equal(member(&r, "groups/0/file")->s, "/src/example.com/app/serve.go");
	assert_int_equal(member(&r, "groups/0/used_bytes")->u, 30 * 2048);
	assert_int_equal(member(&r, "groups/0/spare_bytes")->u, 30 * 6144);
	assert_int_equal(member(&r, "groups/0/longest_wait_ns")->i, 39000000000);
	assert_int_equal(member(&r, "groups/0/goid")->u, 139);
	assert_int_equal(member(&r, "groups/2/longest_wait_ns")->kind, VALUE_NULL);

	assert_true(
		fixture_ask(&f, "goroutines", (const char *const[]){"--by=site", NULL}, &r, &err));
	assert_int_equal(value_count(member(&r, "groups")), 2);
	assert_int_equal(member(&r, "groups/0/state")->kind, VALUE_NULL); /* several */
	assert_true(
		fixture_ask(&f, "goroutines", (const char *const[]){"--by=state", NULL}, &r, &err));
	assert_int_equal(value_count(member(&r, "groups")), 3);
	assert_int_equal(member(&r, "groups/0/created_by")->kind, VALUE_NULL);
	assert_true(
		fixture_ask(&f, "goroutines", (const char *const[]){"--by=start", NULL}, &r, &err));
	assert_int_equal(value_count(member(&r, "groups")), 2);
	f.s.n_goroutines = 0;
	assert_true(fixture_ask(&f, "goroutines", NULL, &r, &err));
	assert_int_equal(member(&r, "total/count")->u, 0);
	fixture_close(&f);
}

static void test_maps(void **state)
{
	struct fixture f;
	struct report r;
	struct err err = {0};
	uint64_t sum = 0;

	(void)state;
	fixture_open(&f);
	assert_true(fixture_ask(&f, "maps", NULL, &r, &err));
	assert_int_equal(value_count(member(&r, "maps")), 4);
	assert_int_equal(member(&r, "total/resident")->u, (4 << 20) + 65536);
	for (uint32_t i = 0; i < 4; i++) {
		const struct value *m = &member(&r, "maps")->list->items.v[i].v,
				   *lines = value_get(m, "lines");
		uint64_t in = 0;

		for (uint32_t k = 0; k < value_count(lines); k++)
			in += lines->list->items.v[k].v.u;
		assert_int_equal(in,
				 value_get(m, "resident")->u); /* every resident byte has a line */
		sum += in;
	}
	assert_int_equal(sum, member(&r, "total/resident")->u);
	assert_int_equal(member(&r, "maps/0/resident")->u, 2 << 20);
	assert_int_equal(member(&r, "total/swapped")->u, 8192);
	fixture_close(&f);
}

static void test_processes(void **state)
{
	static const struct process_item items[] = {
		{.pid = 10,
		 .program = "small",
		 .comm = "small",
		 .exe = "/bin/small",
		 .go = "go1.20",
		 .rss = 5 << 20,
		 .readable = true,
		 .why = "stripped"},
		{.pid = 11,
		 .program = HOSTILE,
		 .comm = "x",
		 .exe = HOSTILE,
		 .go = HOSTILE,
		 .rss = 7 << 20,
		 .readable = true},
		{.pid = 12,
		 .program = "shut",
		 .comm = "shut",
		 .exe = "",
		 .go = "go1.26.8",
		 .rss = 9 << 20,
		 .readable = false},
	};
	struct fixture f;
	struct report r;
	struct err err = {0};

	(void)state;
	fixture_open(&f);
	f.in = (struct subject){.processes = items, .n_processes = 3, .n_hidden = 4};
	assert_true(fixture_ask(&f, "processes", NULL, &r, &err));
	assert_int_equal(value_count(member(&r, "processes")), 2);
	assert_int_equal(member(&r, "processes/0/pid")->i, 11); /* the largest first */
	assert_string_equal(member(&r, "processes/1/go")->s, "go1.20");
	assert_true(member(&r, "processes/0/explainable")->b);
	assert_int_equal(member(&r, "processes/0/why")->kind, VALUE_NULL);
	assert_false(member(&r, "processes/1/explainable")->b);
	assert_string_equal(member(&r, "processes/1/why")->s, "stripped");
	assert_int_equal(value_count(member(&r, "notes")), 2);
	assert_true(fixture_ask(&f, "processes", (const char *const[]){"--all", NULL}, &r, &err));
	assert_int_equal(value_count(member(&r, "processes")), 3);
	fixture_close(&f);
}

static void test_tables_of_views(void **state)
{
	(void)state;
	for (unsigned i = 0; i < N_OPTIONS; i++) {
		const struct option_info *o = &OPTIONS[i];

		assert_true(*o->help);
		assert_true((o->kind == OPTION_FLAG) == !*o->arg);
		assert_true((o->kind == OPTION_CHOICE) == (*o->choices != '\0'));
		for (unsigned k = 0; k < i; k++) {
			assert_string_not_equal(o->name, OPTIONS[k].name);
			assert_true(!o->letter || o->letter != OPTIONS[k].letter);
		}
		/* every view that an option names exists */
		if (strcmp(o->views, "*") && o->views[0] != '@') {
			unsigned named = 1, taken = 0;

			for (const char *p = o->views; *p; p++)
				named += *p == ' ';
			for (unsigned v = 0; v < N_VIEWS; v++)
				taken += view_takes(&VIEWS[v], (enum option_id)i);
			assert_int_equal(named, taken);
		}
	}
	for (unsigned i = 0; i < N_VIEWS; i++)
		assert_true(*VIEWS[i].help && view_find(VIEWS[i].name) == &VIEWS[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),		cmocka_unit_test(test_options),
		cmocka_unit_test(test_option_values),	cmocka_unit_test(test_memstats),
		cmocka_unit_test(test_metrics),		cmocka_unit_test(test_ledger_adds_up),
		cmocka_unit_test(test_ledger_unknowns), cmocka_unit_test(test_spans),
		cmocka_unit_test(test_goroutines),	cmocka_unit_test(test_maps),
		cmocka_unit_test(test_processes),	cmocka_unit_test(test_tables_of_views),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
