/*
 * A process that never was, for the tests of views and renderers: small, every number known,
 * nothing below the waist needed. The ledger is filled by hand, so that its wording can change
 * without changing a golden file here.
 */
#ifndef TESTS_VIEW_FIXTURE_H
#define TESTS_VIEW_FIXTURE_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/unit.h"
#include "ledger/ledger.h"
#include "view/view.h"

/* What a hostile program may call itself: an escape sequence, a right-to-left override, HTML, bytes
 * that are no UTF-8. */
#define HOSTILE                                                                                    \
	"\033[31mevil\033[0m\n\r\t\xe2\x80\xae<script>alert(1)</script>\"\\\xff\xc0\x80\xc2\x9b"   \
	"31m,=1+1"

struct fixture {
	struct arena mem;
	struct os_facts os;
	struct cgroup_facts cgroup;
	struct counters counters;
	struct snapshot s;
	struct ledger l;
	struct subject in;
	const char *func; /* what place() answers */
};

static inline struct place fixture_place(const struct snapshot *s, taddr pc)
{
	const struct fixture *f = s->place_ctx;

	if (pc >> 12 == 0x402)
		return (struct place){pc, f->func, "/src/example.com/app/serve.go",
				      (int32_t)(pc & 0xfff)};
	if (pc >> 12 == 0x403)
		return (struct place){pc, "runtime.gcenable.gowrap1",
				      "/usr/local/go/src/runtime/mgc.go", 214};
	return (struct place){pc, "", "", 0};
}

static inline void fixture_line(struct fixture *f, enum line_id id, bytes n, bytes resident,
				bytes swapped)
{
	f->l.line[id] = (struct line_sum){n, resident, swapped};
	f->l.rss += resident;
}

static inline void fixture_cause(struct cause *c, const char *id, const char *title, int64_t n,
				 double share, enum confidence sure, const char *evidence,
				 const char *what, int64_t saves, const char *costs)
{
	*c = (struct cause){
		.id = id, .title = title, .bytes = n, .share = share, .confidence = sure};
	if (evidence)
		c->evidence[c->n_evidence++] = evidence;
	if (what)
		c->actions[c->n_actions++] = (struct action){what, costs, saves};
}

static inline void fixture_ledger(struct fixture *f)
{
	struct ledger *l = &f->l;
	int64_t gap, sum = 0;

	*l = (struct ledger){.s = &f->s, .residency = true, .has_container = true};
	fixture_line(f, LINE_HEAP_LIVE, 602 * MIB, 602 * MIB, 0);
	fixture_line(f, LINE_HEAP_NEW, 449 * MIB, 449 * MIB, 0);
	fixture_line(f, LINE_HEAP_SLOTS, 20 * MIB, 18 * MIB, 1 * MIB);
	fixture_line(f, LINE_HEAP_TAIL, MIB / 4, MIB / 4, 0);
	fixture_line(f, LINE_HEAP_FREE, 263 * MIB, 263 * MIB, 0);
	fixture_line(f, LINE_HEAP_RELEASED, 100 * MIB, 0, 0);
	fixture_line(f, LINE_STACK_USED, 3 * MIB, 3 * MIB, 0);
	fixture_line(f, LINE_RUNTIME_GC, 1100 * MIB, 7 * MIB, 0);
	fixture_line(f, LINE_BINARY_TEXT, 12 * MIB, 9 * MIB, 0);
	fixture_line(f, LINE_FILES, 4096 * MIB, 1204 * MIB, 0);
	fixture_line(f, LINE_UNEXPLAINED, 4096, 4096, 0);

	f->os.rss_kernel = l->rss + 8192;
	l->bridge[BRIDGE_PROFILE].delta = f->s.profile.inuse_space;
	l->bridge[BRIDGE_SAMPLING].delta = (int64_t)(602 * MIB) - f->s.profile.inuse_space;
	l->bridge[BRIDGE_NEW].delta = (int64_t)(449 * MIB);
	l->bridge[BRIDGE_SLOTS].delta = (int64_t)(20 * MIB);
	l->bridge[BRIDGE_TAIL].delta = (int64_t)(MIB / 4);
	l->bridge[BRIDGE_FREE].delta = (int64_t)(263 * MIB);
	l->bridge[BRIDGE_UNTOUCHED].delta = -(int64_t)MIB;
	l->bridge[BRIDGE_SWAPPED].delta = -(int64_t)MIB;
	for (unsigned i = LINE_HEAP_RELEASED; i < N_LINES; i++)
		l->bridge[LINES[i].bridge].delta += (int64_t)l->line[i].resident;
	for (unsigned i = 0; i < N_BRIDGE; i++)
		l->bridge[i].sum = sum += l->bridge[i].delta;

	l->container[CONTAINER_RSS] = (struct bridge_row){(int64_t)l->rss, (int64_t)l->rss};
	for (unsigned i = CONTAINER_OTHERS; i < N_CONTAINER; i++)
		l->container[i] = (struct bridge_row){
			i == CONTAINER_INACTIVE ? -(int64_t)(64 * MIB) : (int64_t)(i * MIB), 0};
	l->container[CONTAINER_CURRENT].delta = l->container[CONTAINER_WORKING_SET].delta = 0;
	for (unsigned i = CONTAINER_OTHERS; i < N_CONTAINER; i++)
		l->container[i].sum = l->container[i - 1].sum + l->container[i].delta;

	gap = (int64_t)l->rss - f->s.profile.inuse_space;
	l->causes = ARENA_ARRAY(&f->mem, struct cause, 8);
	fixture_cause(&l->causes[l->n_causes++], "mapped-files", "mapped file snap/db",
		      (int64_t)(1204 * MIB), 1204.0 * MIB / (double)gap, CERTAIN,
		      "/var/lib/etcd/snap/db: 1204.0 MiB of 4.0 GiB mapped",
		      "not a leak: alert on anon, not on RSS", 0, "nothing");
	fixture_cause(&l->causes[l->n_causes], "gc-schedule",
		      "garbage the GC has not had to collect", (int64_t)(449 * MIB),
		      449.0 * MIB / (double)gap, LIKELY, "heap 1051 MiB of a goal of 1204 MiB",
		      "set GOGC=50", (int64_t)(280 * MIB),
		      "twice as many GC cycles: about 4 % more GC CPU");
	l->causes[l->n_causes].actions[l->causes[l->n_causes].n_actions++] = (struct action){
		"set GOMEMLIMIT=1400MiB", "more GC near the limit", (int64_t)(200 * MIB)};
	l->n_causes++;
	fixture_cause(&l->causes[l->n_causes++], "retention", "free pages kept after a spike",
		      (int64_t)(263 * MIB), 263.0 * MIB / (double)gap, CERTAIN, NULL,
		      "call debug.FreeOSMemory()", (int64_t)(263 * MIB), "a GC cycle now");
	fixture_cause(&l->causes[l->n_causes++], "stacks", "the stacks of 2,001 goroutines",
		      (int64_t)(3 * MIB), 3.0 * MIB / (double)gap, POSSIBLE, NULL, NULL, 0, NULL);
	l->verdict = "Mostly not the Go heap: 60 % of the gap is a file the program maps, and the "
		     "kernel takes that back "
		     "when it must.";
}

static inline void fixture_spans(struct fixture *f)
{
	struct span *v = ARENA_ARRAY(&f->mem, struct span, 8);
	taddr at = 0xc000000000;
	uint32_t n = 0;

	/* 64 B with pointers: one full span, one with a tenth; 1 KiB without; a large object; a
	 * stack. */
	v[n++] = (struct span){.start = at,
			       .npages = 1,
			       .elemsize = 64,
			       .nelems = 128,
			       .live = 120,
			       .fresh = 8,
			       .spanclass = 6 << 1,
			       .state = SPAN_HEAP};
	v[n++] = (struct span){.start = at + 8192,
			       .npages = 1,
			       .elemsize = 64,
			       .nelems = 128,
			       .live = 12,
			       .dead = 1,
			       .state = SPAN_HEAP,
			       .spanclass = 6 << 1,
			       .flags = SPAN_CACHED};
	v[n++] = (struct span){.start = at + 16384,
			       .npages = 1,
			       .elemsize = 1024,
			       .nelems = 8,
			       .live = 4,
			       .spanclass = 32 << 1 | 1,
			       .flags = SPAN_UNSWEPT,
			       .state = SPAN_HEAP};
	v[n++] = (struct span){.start = at + 24576,
			       .npages = 512,
			       .elemsize = 0,
			       .nelems = 1,
			       .live = 1,
			       .spanclass = 1,
			       .state = SPAN_HEAP};
	v[n++] = (struct span){.start = at + 24576 + 512 * 8192, .npages = 4, .state = SPAN_STACK};
	f->s.heap.bits = ARENA_ARRAY(&f->mem, uint8_t, 64 * n);
	for (uint32_t i = 0; i < n; i++) {
		v[i].bits = i * 64 / SPAN_BITS_UNIT;
		for (uint32_t k = 0; k < v[i].nelems; k++) {
			if (k < (uint32_t)v[i].live + v[i].fresh)
				span_allocated(&f->s.heap, &v[i])[k / 8] |= (uint8_t)(1U << k % 8);
			if (k < v[i].live)
				span_survivors(&f->s.heap, &v[i])[k / 8] |= (uint8_t)(1U << k % 8);
		}
	}
	f->s.heap.spans = v;
	f->s.heap.n_spans = n;
	f->s.heap.large_waste = 4096;
	f->s.heap.runs = ARENA_ARRAY(&f->mem, struct page_run, 2);
	f->s.heap.runs[0] =
		(struct page_run){.start = at + (8 << 20), .npages = 16, .use = PAGES_FREE};
	f->s.heap.runs[1] =
		(struct page_run){.start = at + (9 << 20), .npages = 128, .use = PAGES_RELEASED};
	f->s.heap.n_runs = 2;
}

static inline void fixture_goroutines(struct fixture *f, uint32_t n)
{
	struct goroutine *g = ARENA_ARRAY(&f->mem, struct goroutine, n + 2);

	for (uint32_t i = 0; i < n; i++)
		g[i] = (struct goroutine){.goid = 100 + i,
					  .status = G_WAITING,
					  .state = i % 4 ? "chan receive" : "select",
					  .gopc = 0x402042 + 1,
					  .startpc = 0x402050,
					  .stack_lo = 0xc000406000 + i * 8192,
					  .stack_hi = 0xc000406000 + i * 8192 + 8192,
					  .sp = 0xc000406000 + i * 8192 + 6144,
					  .wait_ns = i ? (int64_t)i * 1000000000 : -1};
	g[n] = (struct goroutine){.goid = 2,
				  .status = G_WAITING,
				  .state = "GC sweep wait",
				  .gopc = 0x403010,
				  .startpc = 0x403020,
				  .system = true,
				  .wait_ns = -1,
				  .stack_lo = 0xc000400000,
				  .stack_hi = 0xc000400800};
	g[n + 1] = (struct goroutine){.goid = 3, .status = G_DEAD, .state = "dead"};
	f->s.goroutines = g;
	f->s.n_goroutines = n + 2;
}

static inline void fixture_counters(struct counters *c)
{
	*c = (struct counters){
		.committed = 100 << 20,
		.released = 20 << 20,
		.inHeap = 80 << 20,
		.inStacks = 4 << 20,
		.inWorkBufs = 1 << 20,
		.tinyAllocCount = 7,
		.flush_tiny = 3,
		.largeAlloc = 50 << 20,
		.largeAllocCount = 5,
		.largeFree = 10 << 20,
		.largeFreeCount = 1,
		.stacks_sys = 65536,
		.mspan_sys = 200000,
		.mcache_sys = 16384,
		.buckhash_sys = 1500000,
		.gcMiscSys = 3000000,
		.other_sys = 700000,
		.numgc = 212,
		.numforcedgc = 2,
		.gc_cpu_fraction = 0.0125,
		.enablegc = true,
		.mspan_inuse = 150000,
		.mcache_inuse = 9600,
		.gcPercent = 100,
		.memoryLimit = INT64_MAX,
		.heapMarked = 30 << 20,
		.heapInUse = 80 << 20,
		.heapReleased = 20 << 20,
		.heapFree = 15 << 20,
		.mappedReady = 90 << 20,
		.heapGoal = 60 << 20,
		.has_cpu = true,
		.cpu_total = 1500000000,
		.gomaxprocs = 8,
		.goroutines = 9,
		.threads = 12,
		.ncgocall = 3,
		.mutex_wait = 250000000,
	};
	c->smallAllocCount[6] = 1000; /* 64 B */
	c->flush_small[6] = 24;
	c->smallFreeCount[6] = 400;
	c->smallAllocCount[67] = 2; /* 32 KiB */
	c->pause_total_ns = 1234567;
	c->last_gc_unix = 1764000000000000000ULL - 41000000000ULL;
	c->pause_end[211] = c->last_gc_unix;
	c->pause_ns[211] = 88000;
}

/** Everything filled; the caller may change it before it asks a view. */
static inline void fixture_open(struct fixture *f)
{
	*f = (struct fixture){.func = "example.com/app.(*Server).Serve.func1"};
	arena_init(&f->mem, 0);
	f->cgroup = (struct cgroup_facts){.path = "/kubepods/pod1/etcd",
					  .limit_path = "/kubepods/pod1/etcd",
					  .version = 2,
					  .current = 2662 * MIB,
					  .working_set = 2598 * MIB,
					  .limit = 4 * GIB,
					  .limit_current = 2662 * MIB,
					  .high = UINT64_MAX,
					  .swap_limit = UINT64_MAX,
					  .anon = 1340 * MIB,
					  .file = 1290 * MIB,
					  .kernel = 12 * MIB,
					  .slab = 6 * MIB,
					  .slab_reclaimable = 4 * MIB,
					  .inactive_file = 64 * MIB,
					  .active_file = 1226 * MIB,
					  .processes = 2};
	f->os = (struct os_facts){.pid = 4711,
				  .comm = "etcd",
				  .up_ns = 3LL * 3600 * 1000000000,
				  .exe = "/usr/local/bin/etcd",
				  .cmdline0 = "etcd",
				  .residency = RESIDENCY_SCAN,
				  .anon = 1340 * MIB,
				  .file = 1213 * MIB,
				  .hwm = 2700 * MIB,
				  .page_tables = 5 * MIB,
				  .pss = UINT64_MAX,
				  .lazy_free = UINT64_MAX,
				  .cgroup = &f->cgroup,
				  .thp_enabled = "madvise",
				  .max_ptes_none = 511};
	pages_init(&f->os.pages, &f->mem);
	(void)pages_set(&f->os.pages, 0xc000000000, 0xc000400000, PAGE_RESIDENT, NULL);
	(void)pages_set(&f->os.pages, 0x7f0000000000, 0x7f0000010000, PAGE_RESIDENT, NULL);
	(void)pages_set(&f->os.pages, 0x7f0000010000, 0x7f0000012000, PAGE_SWAPPED, NULL);
	pages_close(&f->os.pages);
	f->os.maps = ARENA_ARRAY(&f->mem, struct mapping, 4);
	f->os.maps[0] = (struct mapping){.start = 0x400000,
					 .end = 0x500000,
					 .inode = 7,
					 .dev = 1,
					 .flags = MAP_READ | MAP_EXEC | MAP_FILE,
					 .path = "/usr/local/bin/etcd"};
	f->os.maps[1] = (struct mapping){.start = 0xc000000000,
					 .end = 0xc000200000,
					 .flags = MAP_READ | MAP_WRITE,
					 .path = ""};
	f->os.maps[2] = (struct mapping){.start = 0xc000200000,
					 .end = 0xc004000000,
					 .flags = MAP_READ | MAP_WRITE,
					 .path = ""};
	f->os.maps[3] = (struct mapping){.start = 0x7f0000000000,
					 .end = 0x7f0000100000,
					 .inode = 9,
					 .dev = 1,
					 .flags = MAP_READ | MAP_SHARED_ | MAP_FILE,
					 .path = "/var/lib/etcd/member/snap/db"};
	f->os.n_maps = 4;
	fixture_counters(&f->counters);
	f->s = (struct snapshot){.os = &f->os,
				 .go_version = "go1.26.8",
				 .go_major = 1,
				 .go_minor = 26,
				 .go_patch = 8,
				 .have_go = true,
				 .layout_from = "recorded",
				 .counters = &f->counters,
				 .madvdontneed = -1,
				 .harddecommit = -1,
				 .disablethp = -1,
				 .pool_bytes = UINT64_MAX,
				 .place = fixture_place,
				 .place_ctx = f};
	f->s.profile = (struct profile){.enabled = true,
					.rate = 524288,
					.cycle = 212,
					.inuse_space = (int64_t)(557 * MIB),
					.inuse_objects = 81234,
					.error = 0.07};
	f->s.read = (struct read_facts){.at_unix_ns = 1764000000000000000,
					.took_ns = 61000000,
					.drift = -4096,
					.tries = 1,
					.consistent = true};
	arena_init(&f->s.mem, 0);
	fixture_spans(f);
	fixture_goroutines(f, 40);
	fixture_ledger(f);
	f->in = (struct subject){.s = &f->s, .target = "4711"};
}

static inline void fixture_close(struct fixture *f)
{
	arena_free(&f->s.mem);
	arena_free(&f->mem);
}

/** Every name that comes from outside becomes HOSTILE. */
static inline void fixture_poison(struct fixture *f)
{
	f->func = HOSTILE;
	f->os.exe = "/tmp/" HOSTILE;
	f->s.go_version = HOSTILE;
	f->cgroup.path = f->cgroup.limit_path = HOSTILE;
	for (uint32_t i = 0; i < f->os.n_maps; i++)
		f->os.maps[i].path = HOSTILE;
	for (uint32_t i = 0; i < f->l.n_causes; i++) {
		f->l.causes[i].title = HOSTILE;
		if (f->l.causes[i].n_evidence)
			f->l.causes[i].evidence[0] = HOSTILE;
		if (f->l.causes[i].n_actions)
			f->l.causes[i].actions[0].what = HOSTILE;
	}
	f->l.verdict = HOSTILE;
	note_add(&f->s, true, "%s", HOSTILE);
}

/** Asks a view by its name with command-line words ("--all", NULL-terminated); the ledger is the
 * fixture's own. */
static inline bool fixture_ask(struct fixture *f, const char *name, const char *const *words,
			       struct report *ret, struct err *err)
{
	const struct view *v = view_find(name);
	const char *argv[16] = {"whyrss"};
	struct arguments args;
	int argc = 1;

	for (; words && *words; words++)
		argv[argc++] = *words;
	if (!v || !arguments_parse(argc, argv, &args, err) || !view_check(v, &args.options, err))
		return false;
	if (strcmp(name, "ledger"))
		return v->run(&f->in, &args.options, &f->mem, ret, err);
	report_init(ret, &f->mem, "whyrss.ledger/1");
	ledger_report(&f->in, &f->l, option_set(&args.options, OPT_ALL), ret);
	return true;
}

#endif
