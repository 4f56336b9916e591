/* src/snapshot/pacer.c against values worked out by hand, and src/ledger/findings.c on ledgers made
 * by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/unit.h"
#include "ledger/ledger.h"
#include "snapshot/pacer.h"

/* ---- the pacer ---- */

static const struct pacer HUNDRED = {.go_minor = 26,
				     .gogc = 100,
				     .limit = PACE_NO_LIMIT,
				     .marked = 100 * MIB,
				     .roots = MIB,
				     .triggered = UINT64_MAX};

static void goal_follows_gogc(void **state)
{
	struct pacer p = HUNDRED;

	(void)state;
	assert_int_equal(pacer_gogc_goal(&p), 201 * MIB); /* 100 + 101 * 100 % */
	p.gogc = 50;
	assert_int_equal(pacer_gogc_goal(&p), 100 * MIB + 101 * MIB / 2);
	p.gogc = -1;
	assert_int_equal(pacer_gogc_goal(&p), UINT64_MAX);
	/* the minimum heap is 4 MiB * GOGC / 100 */
	p = (struct pacer){.go_minor = 26,
			   .gogc = 100,
			   .limit = PACE_NO_LIMIT,
			   .marked = 100 * KIB,
			   .roots = 300 * KIB};
	assert_int_equal(pacer_gogc_goal(&p), 4 * MIB);
	p.gogc = 50;
	assert_int_equal(pacer_gogc_goal(&p), 2 * MIB);
	p.gogc = 400;
	p.marked = 16 * MIB;
	assert_int_equal(pacer_gogc_goal(&p), 16 * MIB + 4 * (16 * MIB + 300 * KIB));
}

static void trigger_is_clamped(void **state)
{
	struct pacer p = HUNDRED;
	struct pace r = pacer_decide(&p);

	(void)state;
	/* way = 101 MiB = 64 * 1654784; at most goal - 4 MiB, as that is above 100 MiB + 61 *
	 * 1654784 */
	assert_int_equal(r.goal, 201 * MIB);
	assert_int_equal(r.trigger, 197 * MIB);
	assert_false(r.by_limit);
	p.runway = 10 * MIB;
	assert_int_equal(pacer_decide(&p).trigger, 191 * MIB);
	p.runway = 50 * MIB;
	assert_int_equal(pacer_decide(&p).trigger, 179322880); /* 100 MiB + 45 * 1654784 */
	p.runway = 500 * MIB;
	assert_int_equal(pacer_decide(&p).trigger, 179322880);
	/* a small heap: 61/64 of the way, which is above goal - 4 MiB */
	p = (struct pacer){.go_minor = 26,
			   .gogc = 100,
			   .limit = PACE_NO_LIMIT,
			   .marked = 6400,
			   .triggered = UINT64_MAX};
	assert_int_equal(pacer_decide(&p).goal, 4194304);
	assert_int_equal(pacer_decide(&p).trigger, 6400 + (4194304 - 6400) / 64 * 61);
	/* sweeping needs room: it moves the goal and the trigger */
	p = HUNDRED;
	p.sweep_min = 230 * MIB;
	assert_int_equal(pacer_decide(&p).goal, 230 * MIB);
	assert_int_equal(pacer_decide(&p).trigger, 230 * MIB);
	/* a cycle that began late moves the goal */
	p = HUNDRED;
	p.triggered = 205 * MIB;
	assert_int_equal(pacer_decide(&p).goal, 205 * MIB + 64 * KIB);
}

static void limit_makes_a_goal(void **state)
{
	struct pacer p = HUNDRED;

	(void)state;
	assert_int_equal(pacer_limit_goal(&p), UINT64_MAX);
	p.limit = 512 * MIB;
	p.nonheap = 12 * MIB;
	assert_int_equal(pacer_limit_goal(&p), 485 * MIB); /* 500 MiB less 3 % */
	p.go_minor = 20;
	assert_int_equal(pacer_limit_goal(&p), 499 * MIB); /* less 1 MiB */
	p.go_minor = 18;
	assert_int_equal(pacer_limit_goal(&p), UINT64_MAX);
	p.go_minor = 26;
	p.over = 10 * MIB;
	assert_int_equal(pacer_limit_goal(&p), 490 * MIB - 490 * MIB / 100 * 3);
	p.over = 0;
	p.marked = 490 * MIB;
	assert_int_equal(pacer_limit_goal(&p), 490 * MIB); /* never below the live heap */
	p.nonheap = 600 * MIB;
	assert_int_equal(pacer_limit_goal(&p), 490 * MIB);
	/* the tighter one rules, and then nothing moves it up */
	p = HUNDRED;
	p.limit = 150 * MIB;
	p.nonheap = 10 * MIB;
	p.sweep_min = 300 * MIB;
	assert_true(pacer_decide(&p).by_limit);
	assert_int_equal(pacer_decide(&p).goal, 140 * MIB - 140 * MIB / 100 * 3);
	assert_true(pacer_decide(&p).trigger < pacer_decide(&p).goal);
	p.limit = 90 * MIB; /* cannot be met: back to back */
	assert_int_equal(pacer_decide(&p).goal, 100 * MIB);
	assert_int_equal(pacer_decide(&p).trigger, 100 * MIB);
}

static void go118_has_its_own_clamps(void **state)
{
	struct pacer p = HUNDRED;

	(void)state;
	p.go_minor = 18;
	assert_int_equal(pacer_decide(&p).goal, 201 * MIB);
	assert_int_equal(pacer_decide(&p).trigger,
			 201 * MIB); /* its upper clamp lets it reach the goal */
	p.runway = 10 * MIB;
	assert_int_equal(pacer_decide(&p).trigger, 191 * MIB);
	p.runway = 50 * MIB;
	assert_int_equal(pacer_decide(&p).trigger, 178991923); /* 100 MiB + 0.7 * 101 MiB */
	p = (struct pacer){.go_minor = 18,
			   .gogc = 100,
			   .limit = PACE_NO_LIMIT,
			   .marked = 100 * KIB,
			   .roots = 300 * KIB};
	assert_int_equal(pacer_decide(&p).trigger, 4 * MIB);
	assert_int_equal(pacer_decide(&p).goal, 4 * MIB);
	p.limit = 1 * MIB; /* there is no such thing */
	assert_int_equal(pacer_decide(&p).goal, 4 * MIB);
}

static void limit_for_a_goal_gives_it(void **state)
{
	static const bytes goals[] = {0,	 1,	    5 * MIB,	    35 * MIB,
				      201 * MIB, 999999999, (bytes)40 << 30};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(goals); i++)
		for (int minor = 19; minor <= 27; minor++) {
			struct pacer p = {
				.go_minor = minor, .gogc = 100, .nonheap = 7 * MIB + 12345};
			p.limit = pacer_limit_for(&p, goals[i]);
			assert_int_equal(p.limit % MIB, 0);
			assert_true(pacer_limit_goal(&p) >= goals[i]);
			p.limit -= 2 * MIB;
			assert_true(pacer_limit_goal(&p) < MAX(goals[i], 2 * MIB));
		}
}

static void inputs_come_from_the_counters(void **state)
{
	struct counters c = {.gcPercent = 100,
			     .memoryLimit = 50 << 20,
			     .heapMarked = 20 * MIB,
			     .lastStackScan = 3,
			     .globalsScan = 4,
			     .runway = 5,
			     .sweepDistMinTrigger = 6,
			     .triggered = UINT64_MAX,
			     .mappedReady = 60 * MIB,
			     .heapFree = 10 * MIB,
			     .totalAlloc = 100 * MIB,
			     .totalFree = 75 * MIB};
	struct pacer p = pacer_of(&c, 26);

	(void)state;
	assert_int_equal(p.marked, 20 * MIB);
	assert_int_equal(p.roots, 7);
	assert_int_equal(p.nonheap, 25 * MIB);
	assert_int_equal(p.over, 10 * MIB);
	assert_int_equal(p.limit, 50 * MIB);
	assert_int_equal(pacer_of(&c, 18).limit, PACE_NO_LIMIT);
	c.memoryLimit = INT64_MAX;
	assert_int_equal(pacer_of(&c, 26).limit, PACE_NO_LIMIT);
	assert_int_equal(pacer_of(&c, 26).over, 0);
}

static void forecasts(void **state)
{
	(void)state;
	/* half of the room: twice as often */
	assert_true(pacer_frequency(100 * MIB, 200 * MIB, 150 * MIB) == 2.0);
	assert_true(pacer_frequency(100, 200, 500) == 0.25);
	assert_true(isfinite(pacer_frequency(100, 100, 100)));
	/* 3 % become 6 % of a machine with time to spare; 40 % of a busy one become 80 of 140 parts
	 */
	assert_true(fabs(pacer_gc_share(0.03, 0.5, 2) - 0.06) < 1e-12);
	assert_true(fabs(pacer_gc_share(0.4, 0, 2) - 0.8 / 1.4) < 1e-12);
	assert_true(fabs(pacer_gc_share(0.4, 0.1, 3) - 1.2 / 1.7) < 1e-12);
	assert_true(pacer_gc_share(0, 0, 5) == 0);
	/* (100 / 200) * 300 MiB and 10 % */
	assert_int_equal(pacer_retained(100 * MIB, 200 * MIB, 300 * MIB), 165 * MIB);
	assert_int_equal(pacer_retained(100, 0, 300), UINT64_MAX);
	assert_int_equal(pacer_retained(UINT64_MAX, 1, UINT64_MAX), UINT64_MAX);
	assert_int_equal(pacer_retained(3, 3, 1), 4096); /* rounded up to a page */
}

/* ---- the findings ---- */

struct scene {
	struct arena a;
	struct os_facts os;
	struct cgroup_facts cgroup;
	struct counters c;
	struct snapshot s;
	struct ledger l;
};

static struct place no_place(const struct snapshot *s, taddr pc)
{
	(void)s;
	return (struct place){.pc = pc, .func = "", .file = ""};
}

/* A small healthy program: 60 MiB live, all of it in the profile, a binary and a runtime. */
static struct scene *scene_new(void)
{
	struct scene *e = calloc(1, sizeof *e);

	assert_non_null(e);
	arena_init(&e->a, 0);
	e->os = (struct os_facts){.exe = "/bin/x",
				  .thp_enabled = "madvise",
				  .max_ptes_none = 511,
				  .lazy_free = UINT64_MAX,
				  .pss = UINT64_MAX,
				  .n_cpus = 2,
				  .residency = RESIDENCY_SCAN};
	pages_init(&e->os.pages, &e->a);
	e->c = (struct counters){.gcPercent = 100,
				 .memoryLimit = INT64_MAX,
				 .triggered = UINT64_MAX,
				 .enablegc = true,
				 .heapMarked = 60 * MIB,
				 .heapGoal = 120 * MIB,
				 .trigger = 115 * MIB,
				 .numgc = 7,
				 .numforcedgc = 2,
				 .last_gc_nanotime = 100000000000,
				 .nanotime = 141000000000,
				 .gomaxprocs = 2,
				 .has_cpu = true,
				 .cpu_total = 100000000000,
				 .cpu_gc_total = 3000000000,
				 .cpu_gc_idle = 1000000000,
				 .cpu_idle = 80000000000,
				 .heapInUse = 64 * MIB,
				 .lastHeapInUse = 64 * MIB,
				 .lastHeapGoal = 120 * MIB,
				 .mappedReady = 70 * MIB,
				 .totalAlloc = 60 * MIB};
	e->s.os = &e->os;
	e->s.counters = &e->c;
	e->s.have_go = true;
	e->s.go_version = "go1.26.8";
	e->s.go_major = 1;
	e->s.go_minor = 26;
	e->s.go_patch = 8;
	e->s.madvdontneed = 1;
	e->s.pool_bytes = UINT64_MAX;
	e->s.place = no_place;
	e->s.profile = (struct profile){.enabled = true,
					.rate = 524288,
					.cycle = 7,
					.inuse_space = 60 << 20,
					.error = 0.02};
	e->s.read.at_unix_ns = INT64_C(1700000000000000000);
	e->s.native.libc = "";
	e->l.s = &e->s;
	e->l.residency = true;
	e->l.line[LINE_HEAP_LIVE] = (struct line_sum){60 * MIB, 60 * MIB, 0};
	e->l.line[LINE_BINARY_TEXT] = (struct line_sum){2 * MIB, 2 * MIB, 0};
	e->l.line[LINE_RUNTIME_GC] = (struct line_sum){3 * MIB, 1 * MIB, 0};
	return e;
}

static void put(struct scene *e, enum line_id id, bytes n)
{
	e->l.line[id] = (struct line_sum){n, n, 0};
}

static const struct cause *cause_find(const struct scene *e, const char *id)
{
	for (uint32_t i = 0; i < e->l.n_causes; i++)
		if (!strcmp(e->l.causes[i].id, id))
			return &e->l.causes[i];
	return NULL;
}

static int64_t rss_now(const struct scene *e)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < N_LINES; i++)
		sum += (int64_t)e->l.line[i].resident;
	return sum;
}

/* What must hold of every answer. */
static void check_answer(const struct scene *e)
{
	const struct ledger *l = &e->l;
	int64_t gap = (int64_t)l->rss - e->s.profile.inuse_space;

	assert_true(l->n_causes >= 1);
	assert_non_null(l->verdict);
	assert_true(strlen(l->verdict) > 20 && l->verdict[strlen(l->verdict) - 1] == '.');
	assert_null(strchr(l->verdict, '\n'));
	assert_null(strchr(l->verdict, '\t'));
	for (uint32_t i = 0; i < l->n_causes; i++) {
		const struct cause *c = &l->causes[i];
		assert_true(*c->id && *c->title);
		if (c->n_evidence < 1 || c->n_evidence > CAUSE_EVIDENCE)
			fail_msg("%s has %u pieces of evidence", c->id, c->n_evidence);
		for (uint32_t k = 0; k < c->n_evidence; k++)
			assert_true(*c->evidence[k]);
		for (uint32_t k = 0; k < c->n_actions; k++) {
			assert_true(*c->actions[k].what && *c->actions[k].costs &&
				    c->actions[k].saves >= 0);
			assert_null(strchr(c->actions[k].costs, '\t'));
		}
		if (l->residency && gap)
			assert_true(fabs(c->share - (double)c->bytes / (double)llabs(gap)) <=
				    1e-9 * fabs(c->share));
		if (i > 1 || (i == 1 && strcmp(l->causes[0].id, "not-a-gap") != 0))
			assert_true(llabs(c->bytes) <= llabs(l->causes[i - 1].bytes));
		assert_true(strcmp(c->id, "nothing-wrong") != 0 || l->n_causes == 1);
	}
}

static void explain(struct scene *e)
{
	e->l.rss = (bytes)rss_now(e);
	pages_close(&e->os.pages);
	findings_build(&e->l, &e->a);
	if (getenv("VERBOSE")) {
		printf("\n%s\n", e->l.verdict);
		for (uint32_t i = 0; i < e->l.n_causes; i++) {
			const struct cause *c = &e->l.causes[i];
			printf("  %s %lld KiB %.0f %% %s [%s]\n", c->id,
			       (long long)(c->bytes / 1024), c->share * 100, c->title,
			       CONFIDENCE_NAMES[c->confidence]);
			for (uint32_t k = 0; k < c->n_evidence; k++)
				printf("    - %s\n", c->evidence[k]);
			for (uint32_t k = 0; k < c->n_actions; k++)
				printf("    > %s | saves %lld MiB | costs %s\n", c->actions[k].what,
				       (long long)(c->actions[k].saves / (int64_t)MIB),
				       c->actions[k].costs);
		}
	}
	check_answer(e);
}

static void scene_free(struct scene *e)
{
	arena_free(&e->a);
	free(e);
}

static const struct cause *first_is(const struct scene *e, const char *id, int64_t n)
{
	assert_string_equal(e->l.causes[0].id, id);
	assert_int_equal(e->l.causes[0].bytes, n);
	return &e->l.causes[0];
}

static bool says(const struct cause *c, const char *what)
{
	for (uint32_t i = 0; i < c->n_evidence; i++)
		if (strstr(c->evidence[i], what))
			return true;
	for (uint32_t i = 0; i < c->n_actions; i++)
		if (strstr(c->actions[i].what, what) || strstr(c->actions[i].costs, what))
			return true;
	return strstr(c->title, what) != NULL;
}

static void assert_says(const struct cause *c, const char *what)
{
	assert_non_null(c);
	if (!says(c, what)) {
		for (uint32_t i = 0; i < c->n_evidence; i++)
			print_error("%s\n", c->evidence[i]);
		fail_msg("nothing of %s says: %s", c->id, what);
	}
}

static void healthy_program_has_nothing_wrong(void **state)
{
	struct scene *e = scene_new();

	(void)state;
	explain(e);
	first_is(e, "nothing-wrong", 3 << 20);
	assert_int_equal(e->l.n_causes, 1);
	assert_non_null(strstr(e->l.verdict, "3.0 MiB above the heap profile"));
	scene_free(e);

	/* a large one, with 15 % of garbage and 3 % of free pages */
	e = scene_new();
	e->s.profile.inuse_space = INT64_C(6) << 30;
	put(e, LINE_HEAP_LIVE, (bytes)6 << 30);
	put(e, LINE_HEAP_NEW, (bytes)1 << 30);
	put(e, LINE_HEAP_FREE, 200 * MIB);
	explain(e);
	assert_string_equal(e->l.causes[0].id, "nothing-wrong");
	scene_free(e);

	/* a small program that is mostly its own file: anchors.md, caddy */
	e = scene_new();
	e->s.profile.inuse_space = 16 << 20;
	put(e, LINE_HEAP_LIVE, 6 * MIB);
	put(e, LINE_HEAP_SLOTS, 2 * MIB);
	put(e, LINE_BINARY_TEXT, 30 * MIB);
	put(e, LINE_BINARY_RODATA, 13 * MIB);
	explain(e);
	assert_string_equal(e->l.causes[0].id, "nothing-wrong");
	assert_non_null(
		strstr(e->l.verdict, "the program's own file and its libraries (43.0 MiB)"));
	scene_free(e);
}

static void garbage_is_the_schedule(void **state)
{
	struct scene *e = scene_new();
	const struct cause *c;

	(void)state;
	e->c.gcPercent = 300;
	e->c.heapGoal = 240 * MIB;
	e->c.trigger = 200 * MIB;
	put(e, LINE_HEAP_NEW, 110 * MIB);
	put(e, LINE_HEAP_DEAD, 5 * MIB);
	explain(e);
	c = first_is(e, "gc-schedule", 115 << 20);
	assert_int_equal(c->confidence, LIKELY); /* what is new may be live */
	assert_says(c, "allocated since the last GC (live or garbage)");
	assert_says(c, "saves up to that");
	assert_says(c, "allocated since GC 7, 41 s ago: 110.0 MiB");
	assert_says(c, "heap 175.0 MiB of a goal of 240.0 MiB (GOGC=300); the next GC starts at "
		       "200.0 MiB");
	assert_says(c, "they took 2.0 % of the CPU time");
	assert_says(c, "a GC 2 to 3 min after the last one: in 2 min at the latest");
	/* room 180 -> 60 MiB: a third of the garbage stays, three times as many cycles */
	assert_says(c, "set GOGC=100");
	assert_says(c, "about 4.0 % more CPU time for the GC: 3.0 times as many cycles, 6.0 % "
		       "instead of 2.0 %");
	assert_true(llabs(c->actions[0].saves - (int64_t)(115 * MIB * 2 / 3)) < 1000000);
	assert_says(c, "set GOMEMLIMIT=");
	assert_non_null(strstr(e->l.verdict,
			       "GOGC=300 lets the heap grow from 60.0 MiB live to 240.0 MiB"));
	scene_free(e);

	/* nothing ever starts a GC */
	e = scene_new();
	e->c.gcPercent = -1;
	e->c.heapGoal = UINT64_MAX;
	put(e, LINE_HEAP_NEW, 500 * MIB);
	explain(e);
	c = first_is(e, "gc-schedule", 500 << 20);
	assert_says(c, "no goal");
	assert_non_null(strstr(e->l.verdict, "GOGC=off without GOMEMLIMIT"));
	assert_non_null(cause_find(e, "limit-misfit"));
	scene_free(e);

	/* found dead by the last GC: certain */
	e = scene_new();
	put(e, LINE_HEAP_DEAD, 110 * MIB);
	explain(e);
	assert_int_equal(first_is(e, "gc-schedule", 110 << 20)->confidence, CERTAIN);
	scene_free(e);

	/* no GC has run: nothing to forecast from */
	e = scene_new();
	e->c.numgc = 0;
	e->c.heapMarked = 0;
	e->c.last_gc_nanotime = 0;
	e->c.gcPercent = 1000;
	e->s.profile.inuse_space = 0;
	put(e, LINE_HEAP_LIVE, 0);
	put(e, LINE_HEAP_NEW, 300 * MIB);
	explain(e);
	c = first_is(e, "gc-schedule", 300 << 20);
	assert_says(c, "allocated, and no GC has run yet");
	assert_false(says(c, "set GOGC") || says(c, "GOMEMLIMIT") || says(c, "(0 B)"));
	e->c.gcPercent = -1;
	explain(e);
	assert_false(says(cause_find(e, "limit-misfit"), "set GOMEMLIMIT="));
	scene_free(e);

	/* 1.18 has no limit to advise */
	e = scene_new();
	e->s.go_minor = 18;
	put(e, LINE_HEAP_NEW, 110 * MIB);
	explain(e);
	assert_false(says(&e->l.causes[0], "GOMEMLIMIT"));
	scene_free(e);
}

static void free_pages_are_retention(void **state)
{
	struct scene *e = scene_new();
	const struct cause *c;

	(void)state;
	/* after a spike under GOGC=off and a limit: the goal did not change, so all of it is kept
	 */
	e->c.gcPercent = -1;
	e->c.memoryLimit = 512 << 20;
	e->c.heapGoal = e->c.lastHeapGoal = 480 * MIB;
	e->c.lastHeapInUse = 240 * MIB;
	e->c.heapFree = 180 * MIB;
	e->c.mappedReady = 260 * MIB;
	e->c.limit_rules = true;
	put(e, LINE_HEAP_FREE, 180 * MIB);
	e->l.line[LINE_HEAP_FREE].resident = 176 * MIB;
	explain(e);
	c = first_is(e, "retention", 176 << 20);
	assert_says(c, "HeapIdle − HeapReleased = 180.0 MiB on 23,040 pages of 8 KiB, 176.0 MiB of "
		       "it in memory");
	assert_says(c, "leaves 264.0 MiB"); /* 240 MiB and 10 % */
	assert_says(c, "Go counts 244.0 MiB as not returned, 236.0 MiB of it resident");
	assert_says(c, "debug.FreeOSMemory(), which is temporary");
	assert_false(
		says(c, "spike")); /* nothing tells it from room that the heap is about to use */
	assert_non_null(
		strstr(e->l.verdict, "the heap may grow by 420.0 MiB before the next GC ends"));
	scene_free(e);

	/* more than the heap can use before the next GC: that was a spike */
	e = scene_new();
	e->c.heapFree = 90 * MIB;
	e->c.lastHeapInUse = 190 * MIB;
	e->os.hwm = 400 * MIB;
	put(e, LINE_HEAP_FREE, 90 * MIB);
	explain(e);
	c = first_is(e, "retention", 90 << 20);
	assert_says(c, "kept after a spike");
	assert_says(c, "RSS was 400.0 MiB at its peak");
	assert_non_null(
		strstr(e->l.verdict, "the runtime does not return them before the next GC"));
	scene_free(e);

	/* the goal fell to a quarter: most of it goes back by itself, at the speed so far */
	e = scene_new();
	e->c.lastHeapGoal = 480 * MIB;
	e->c.lastHeapInUse = 240 * MIB;
	e->c.heapFree = 176 * MIB;
	e->c.scav_bg = 100 * MIB;
	e->c.cpu_scav_bg = 100000000; /* 1000 MiB a CPU second: 20 MiB a second on 2 Ps */
	put(e, LINE_HEAP_FREE, 176 * MIB);
	explain(e);
	c = first_is(e, "retention", 176 << 20);
	/* keeps 240 / 4 + 10 % = 66 of 240 MiB */
	assert_says(c, "leaves 66.0 MiB");
	assert_says(c, "about 20.0 MiB a second");
	assert_string_equal(c->actions[0].what, "wait about 9 s");
	assert_int_equal(c->actions[0].saves, 174 * MIB);
	assert_non_null(strstr(e->l.verdict, "returning 174.0 MiB of it by itself"));
	scene_free(e);
}

static void holes_are_fragmentation(void **state)
{
	struct scene *e = scene_new();
	struct span *v = ARENA_ARRAY(&e->a, struct span, 100);
	const struct cause *c;

	(void)state;
	/* 90 spans of 64-byte objects (class 6) with 128 slots, 12 taken; 10 of 1152 bytes with 7
	 * slots, all taken */
	for (uint32_t i = 0; i < 100; i++) {
		bool small = i < 90;
		v[i] = (struct span){.start = 0xc000000000 + i * 8192,
				     .npages = 1,
				     .state = SPAN_HEAP,
				     .elemsize = small ? 64 : 1152,
				     .spanclass = (uint8_t)((small ? 6 : 33) << 1),
				     .nelems = small ? 128 : 7,
				     .live = small ? 12 : 7};
	}
	e->s.heap.spans = v;
	e->s.heap.n_spans = 100;
	put(e, LINE_HEAP_SLOTS, 120 * MIB);
	explain(e);
	c = first_is(e, "fragmentation", 120 << 20);
	assert_says(c,
		    "objects of 64 bytes: 652.5 KiB of holes in 90 spans, 9 % of the slots taken");
	assert_false(says(c, "1152"));
	assert_says(c, "652.5 KiB of the holes are in spans that are at most a quarter full");
	scene_free(e);
}

static void tails(void **state)
{
	struct scene *e = scene_new();
	struct span *v = ARENA_ARRAY(&e->a, struct span, 3);

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		v[i] = (struct span){.start = 0xc000000000 + i * 16384,
				     .npages = 2,
				     .state = SPAN_HEAP,
				     .elemsize = 4864,
				     .spanclass = (uint8_t)(45 << 1 | 1),
				     .nelems = 3,
				     .live = 3};
	e->s.heap.spans = v;
	e->s.heap.n_spans = 3;
	put(e, LINE_HEAP_TAIL, 40 * MIB);
	explain(e);
	assert_says(
		first_is(e, "span-tail", 40 << 20),
		"objects of 4864 bytes: 5.2 KiB behind the last slot of 3 spans, 1.8 KiB in each");
	scene_free(e);
}

static void released_pages_that_stay(void **state)
{
	struct scene *e = scene_new();
	struct page_run run = {.start = 0xc000200000, .npages = 128 * 180, .use = PAGES_RELEASED};
	const struct cause *c;

	(void)state;
	e->s.madvdontneed = 0;
	put(e, LINE_HEAP_RELEASED, 180 * MIB);
	explain(e);
	assert_says(first_is(e, "released-not-gone", 180 << 20), "madvdontneed=0");
	scene_free(e);

	e = scene_new();
	e->s.heap.runs = &run;
	e->s.heap.n_runs = 1;
	e->os.huge = 180 * MIB;
	assert_true(pages_set(&e->os.pages, run.start, run.start + 180 * MIB, PAGE_RESIDENT, NULL));
	assert_true(pages_set(&e->os.pages, run.start, run.start + 180 * MIB, PAGE_HUGE, NULL));
	put(e, LINE_HEAP_RELEASED, 180 * MIB);
	explain(e);
	c = first_is(e, "released-not-gone", 180 << 20);
	assert_says(c, "180.0 MiB of these in huge pages");
	assert_says(c, "max_ptes_none 511");
	assert_says(c, "disablethp=1");
	assert_null(cause_find(e, "regression"));
	scene_free(e);

	/* 1.21.2 asks for them itself */
	e = scene_new();
	e->s.go_minor = 21;
	e->s.go_patch = 2;
	e->s.go_version = "go1.21.2";
	e->os.huge = 180 * MIB;
	put(e, LINE_HEAP_RELEASED, 180 * MIB);
	explain(e);
	assert_says(cause_find(e, "regression"), "go#64332");
	assert_int_equal(cause_find(e, "regression")->confidence, POSSIBLE);
	scene_free(e);
}

static void below_the_profile_is_not_a_gap(void **state)
{
	struct scene *e = scene_new();

	(void)state;
	e->l.line[LINE_HEAP_LIVE].bytes = 360 * MIB;
	e->s.profile.inuse_space = 360 << 20;
	explain(e);
	assert_says(first_is(e, "not-a-gap", -(INT64_C(300) << 20)), "(the zero page): 300.0 MiB");
	assert_non_null(strstr(e->l.verdict, "RSS is 297.0 MiB below the heap profile"));
	scene_free(e);

	e = scene_new();
	e->l.line[LINE_HEAP_LIVE] = (struct line_sum){100 * MIB, 60 * MIB, 40 * MIB};
	e->s.profile.inuse_space = 100 << 20;
	explain(e);
	assert_says(first_is(e, "not-a-gap", -(INT64_C(40) << 20)),
		    "40.0 MiB of the heap are in swap");
	scene_free(e);

	/* the profile counts what is gone */
	e = scene_new();
	e->s.profile.inuse_space = 210 << 20;
	explain(e);
	first_is(e, "not-a-gap", -(INT64_C(150) << 20));
	assert_non_null(strstr(e->l.verdict, "did not find any more"));
	scene_free(e);

	/* no profile, but less in memory than Go has allocated (pebble in anchors.md); C memory is
	 * more than what is missing */
	e = scene_new();
	e->s.profile = (struct profile){.error = NAN};
	e->l.line[LINE_HEAP_LIVE] = (struct line_sum){1900 * MIB, 700 * MIB, 0};
	put(e, LINE_NATIVE_USED, 300 * MIB);
	explain(e);
	assert_string_equal(e->l.causes[0].id, "not-a-gap");
	assert_non_null(cause_find(e, "profile-off"));
	assert_non_null(cause_find(e, "native-leak"));
	scene_free(e);

	/* a ballast beside a real gap: in its place by size */
	e = scene_new();
	e->l.line[LINE_HEAP_LIVE].bytes = 160 * MIB;
	e->s.profile.inuse_space = 160 << 20;
	put(e, LINE_NATIVE_USED, 500 * MIB);
	explain(e);
	assert_string_equal(e->l.causes[0].id, "native-leak");
	assert_int_equal(cause_find(e, "not-a-gap")->bytes, -(INT64_C(100) << 20));
	scene_free(e);

	/* more is missing than any one cause adds, and RSS is above all that Go counts: not what
	 * the verdict is about */
	e = scene_new();
	e->l.line[LINE_HEAP_FREE].bytes = 200 * MIB;
	put(e, LINE_STACK_OS, 50 * MIB);
	explain(e);
	first_is(e, "not-a-gap", -(INT64_C(200) << 20));
	assert_null(strstr(e->l.verdict, "below"));
	assert_non_null(
		strstr(e->l.verdict, "Most of the gap (94 %, 50.0 MiB) comes from thread stacks"));
	/* and alone it is none */
	put(e, LINE_STACK_OS, 0);
	explain(e);
	first_is(e, "nothing-wrong", 3 << 20);
	scene_free(e);
}

static void profile_off_and_stale(void **state)
{
	struct scene *e = scene_new();
	struct mem_bucket b = {.allocs = 40, .frees = 0, .now_allocs = 400, .size = 524288};

	(void)state;
	e->s.profile = (struct profile){.error = NAN};
	put(e, LINE_HEAP_LIVE, 120 * MIB);
	explain(e);
	assert_says(first_is(e, "profile-off", 120 << 20), "runtime.MemProfile");
	assert_non_null(strstr(e->l.verdict, "live heap is 98 % of RSS"));
	assert_non_null(strstr(e->l.verdict, "Nearly all of RSS (120.0 MiB)"));
	assert_null(strstr(e->l.verdict, "of the gap"));
	scene_free(e);

	/* a quarter of the heap is in memory: so of what the profile lacks */
	e = scene_new();
	e->s.profile.inuse_space = 20 << 20;
	e->l.line[LINE_HEAP_LIVE] = (struct line_sum){420 * MIB, 105 * MIB, 0};
	put(e, LINE_NATIVE_USED, 400 * MIB);
	explain(e);
	assert_int_equal(cause_find(e, "profile-stale")->bytes, 100 << 20);
	scene_free(e);

	e = scene_new();
	e->s.profile.inuse_space = 20 << 20;
	e->s.profile.cycle = 6;
	e->s.profile.buckets = &b;
	e->s.profile.n_buckets = 1;
	put(e, LINE_HEAP_LIVE, 170 * MIB);
	explain(e);
	assert_says(first_is(e, "profile-stale", 150 << 20),
		    "describes GC 6; the last one was GC 7, 41 s ago");
	assert_int_equal(e->l.causes[0].confidence, CERTAIN);
	assert_says(&e->l.causes[0], "it would say 316.4 MiB"); /* 400 * 0.5 MiB / (1 - 1/e) */
	scene_free(e);

	/* the samples in flight do not have it either */
	e = scene_new();
	e->s.profile.inuse_space = 20 << 20;
	put(e, LINE_HEAP_LIVE, 170 * MIB);
	explain(e);
	assert_int_equal(first_is(e, "profile-stale", 150 << 20)->confidence, LIKELY);
	assert_says(&e->l.causes[0], "no samples");
	scene_free(e);

	/* within the error of sampling: not a finding */
	e = scene_new();
	e->s.profile.inuse_space = 500 << 20;
	e->s.profile.error = 0.07;
	put(e, LINE_HEAP_LIVE, 570 * MIB);
	explain(e);
	assert_string_equal(e->l.causes[0].id, "nothing-wrong");
	scene_free(e);
}

static struct place leak_place(const struct snapshot *s, taddr pc)
{
	(void)s;
	return (struct place){.pc = pc,
			      .func = "main.handleRequest",
			      .file = "/src/app/server/main.go",
			      .line = 42};
}

static void add_goroutines(struct scene *e, uint32_t n, bytes stack)
{
	struct goroutine *g = ARENA_ARRAY(&e->a, struct goroutine, n);

	for (uint32_t i = 0; i < n; i++)
		g[i] = (struct goroutine){.goid = i,
					  .gopc = i % 10 ? 0x401000 : 0x400000 + i,
					  .stack_lo = 0xc000000000,
					  .wait_ns = -1,
					  .stack_hi = 0xc000000000 + stack,
					  .status = G_WAITING,
					  .waitreason = 15,
					  .state = "chan send"};
	e->s.goroutines = g;
	e->s.n_goroutines = n;
	e->s.place = leak_place;
}

static void many_goroutines_or_fat_ones(void **state)
{
	struct scene *e = scene_new();
	const struct cause *c;

	(void)state;
	add_goroutines(e, 60000, 2048);
	put(e, LINE_STACK_USED, 80 * MIB);
	put(e, LINE_STACK_SPARE, 40 * MIB);
	explain(e);
	c = first_is(e, "goroutines", 120 << 20);
	assert_says(c, "the stacks of 60,000 goroutines");
	assert_says(c, "54,000 of 60,000 were started in main.handleRequest (server/main.go:42)");
	assert_says(c, "54,000 of these are in \"chan send\"");
	assert_says(c, "leak");
	assert_null(cause_find(e, "stacks"));
	scene_free(e);

	e = scene_new();
	add_goroutines(e, 600, 256 * KIB);
	put(e, LINE_STACK_USED, 40 * MIB);
	put(e, LINE_STACK_SPARE, 110 * MIB);
	explain(e);
	c = first_is(e, "stacks", 150 << 20);
	assert_says(c, "large goroutine stacks, 256.0 KiB each");
	assert_null(cause_find(e, "goroutines"));
	scene_free(e);

	e = scene_new();
	e->os.n_threads = 200;
	put(e, LINE_STACK_OS, 90 * MIB);
	explain(e);
	assert_says(first_is(e, "stacks", 90 << 20), "200 threads");
	scene_free(e);
}

static void c_memory(void **state)
{
	struct scene *e = scene_new();
	const struct cause *c;

	(void)state;
	e->s.native = (struct native){.kind = NATIVE_GLIBC,
				      .libc = "libc.so.6",
				      .arenas = 2,
				      .used = 150 * MIB,
				      .chunks_used = 12345};
	put(e, LINE_NATIVE_USED, 150 * MIB);
	explain(e);
	c = first_is(e, "native-leak", 150 << 20);
	assert_int_equal(c->confidence, LIKELY);
	assert_says(c, "12,345 chunks");
	assert_says(c, "growth over time");
	scene_free(e);

	e = scene_new();
	e->s.native = (struct native){.kind = NATIVE_GLIBC,
				      .libc = "",
				      .arenas = 8,
				      .used = 10 * MIB,
				      .free = 150 * MIB,
				      .top_free = MIB};
	put(e, LINE_NATIVE_USED, 10 * MIB);
	put(e, LINE_NATIVE_FREE, 148 * MIB);
	explain(e);
	c = first_is(e, "native-retention", 148 << 20);
	assert_says(
		c,
		"150.0 MiB of the C heap's 160.0 MiB are free (94 %), 148.0 MiB of them in memory");
	assert_says(c, "set MALLOC_ARENA_MAX=2 and restart; it may save up to 111.0 MiB");
	assert_says(c, "malloc_trim can return 0 B of it"); /* no whole page is free */
	for (uint32_t i = 0; i < c->n_actions; i++)
		assert_int_equal(c->actions[i].saves, 0);
	scene_free(e);
}

/* Only pages that are free as a whole, malloc's own and in memory can be trimmed. */
static void trim_returns_whole_pages(void **state)
{
	enum { PAGES = 40960 }; /* 160 MiB */
	static uint16_t used[PAGES], mine[PAGES];
	struct native_range r = {.start = 0x7f0000000000,
				 .end = 0x7f0000000000 + PAGES * OS_PAGE,
				 .used = used,
				 .mine = mine,
				 .what = 1};

	(void)state;
	for (int how = 0; how < 3; how++) {
		bool fragmented = how == 1, top = how == 2;
		struct scene *e = scene_new();
		const struct cause *c;
		for (uint32_t i = 0; i < PAGES; i++) {
			used[i] = fragmented ? 16 : 0;
			mine[i] = OS_PAGE;
		}
		r.kept_top = top ? r.start + 4 * OS_PAGE : 0;
		mine[0] = 100; /* the others: another's, used, not in memory */
		used[1] = 8;
		e->s.native = (struct native){.kind = NATIVE_GLIBC,
					      .libc = "",
					      .arenas = 1,
					      .ranges = &r,
					      .n_ranges = 1,
					      .free = 160 * MIB};
		assert_true(pages_set(&e->os.pages, r.start, r.end - OS_PAGE, PAGE_RESIDENT, NULL));
		put(e, LINE_NATIVE_FREE, 160 * MIB);
		explain(e);
		c = first_is(e, "native-retention", 160 << 20);
		assert_int_equal(says(c, "call malloc_trim(0)"), !fragmented && !top);
		if (fragmented)
			assert_non_null(strstr(e->l.verdict, "malloc_trim cannot help"));
		else if (top)
			assert_non_null(strstr(e->l.verdict, "which malloc_trim leaves"));
		else
			assert_int_equal(c->actions[0].saves, (PAGES - 3) * OS_PAGE);
		if (top) { /* what the threshold saves: all but 128 KiB of it */
			assert_true(says(c, "MALLOC_TRIM_THRESHOLD_"));
			assert_int_equal(c->actions[0].saves, (PAGES - 5) * OS_PAGE - 128 * KIB);
		}
		scene_free(e);
	}
}

/* The ids that scripts rely on are in the table and in its reference. */
static void the_contract_s_causes_are_there(void **state)
{
	static const char *const CONTRACT[] = {
		"gc-schedule",
		"retention",
		"fragmentation",
		"released-not-gone",
		"container-metric",
		"native-leak",
		"native-retention",
		"mapped-files",
		"goroutines",
		"stacks",
		"map-never-shrinks",
		"small-view-pins-big-array",
		"pool",
		"limit-misfit",
		"profile-off",
		"profile-stale",
		"profiler-overhead",
		"span-tail",
		"raw-mmap",
		"page-tables",
		"regression",
		"not-a-gap",
		"nothing-wrong",
	};
	static const char *const TABLE[] = {
#define FINDING(fn, id, part, normal, title, clause) id,
#include "ledger/findings.def"
#undef FINDING
		"nothing-wrong",
	};
	static char text[1 << 18];
	const char *tests = getenv("WHYRSS_TESTS");
	char path[4096], cell[80];
	FILE *in;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(CONTRACT); i++) {
		bool found = false;
		for (size_t k = 0; k < ARRAY_LEN(TABLE); k++)
			found |= !strcmp(CONTRACT[i], TABLE[k]);
		if (!found)
			fail_msg("no cause %s", CONTRACT[i]);
	}
	if (!tests)
		skip(); /* meson sets it */
	snprintf(path, sizeof path, "%s/../docs/ref/ledger.md", tests);
	in = fopen(path, "r");
	assert_non_null(in);
	text[fread(text, 1, sizeof text - 1, in)] = '\0';
	fclose(in);
	for (size_t i = 0; i < ARRAY_LEN(TABLE); i++) {
		snprintf(cell, sizeof cell, "\n| %s |", TABLE[i]);
		if (!strstr(text, cell))
			fail_msg("docs/ref/ledger.md has no cause %s", TABLE[i]);
	}
}

/* Whether a "`whyrss WORD" of the text names what there is: a view, or PID. */
static bool names_a_view(const char *at)
{
	static const char *const VIEWS[] = {"ledger",	 "memstats", "spans", "goroutines", "maps",
					    "processes", "profile",  "help",  "PID"};
	size_t n = strspn(at, "abcdefghijklmnopqrstuvwxyzPID-");

	for (size_t i = 0; i < ARRAY_LEN(VIEWS); i++)
		if (strlen(VIEWS[i]) == n && !strncmp(at, VIEWS[i], n))
			return true;
	return false;
}

static void only_commands_that_exist_are_named(void **state)
{
	static const char *const FILES[] = {"findings.c", "findings.def", "cause_gc.c",
					    "cause_heap.c", "cause_os.c"};
	static char text[1 << 20];
	const char *tests = getenv("WHYRSS_TESTS");
	unsigned seen = 0;

	(void)state;
	if (!tests)
		skip(); /* meson sets it */
	for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
		char path[4096];
		FILE *in;
		snprintf(path, sizeof path, "%s/../src/ledger/%s", tests, FILES[i]);
		in = fopen(path, "r");
		assert_non_null(in);
		text[fread(text, 1, sizeof text - 1, in)] = '\0';
		fclose(in);
		for (const char *s = text; (s = strstr(s, "`whyrss")) != NULL; seen++) {
			s += strlen("`whyrss");
			if (*s != ' ' || !names_a_view(s + 1))
				fail_msg("%s names `whyrss%.20s", FILES[i], s);
		}
	}
	assert_true(seen > 3);
}

static void mappings(void **state)
{
	struct scene *e = scene_new();
	struct mapping maps[] = {
		{.start = 0x400000,
		 .end = 0x800000,
		 .flags = MAP_FILE | MAP_EXEC | MAP_READ,
		 .path = "/bin/x"},
		{.start = 0x7f0000000000,
		 .end = 0x7f0010000000,
		 .flags = MAP_FILE | MAP_READ,
		 .path = "/var/lib/etcd/member/snap/db"},
		{.start = 0x7f1000000000,
		 .end = 0x7f1000a00000,
		 .flags = MAP_FILE | MAP_READ | MAP_DELETED,
		 .path = "/tmp/gone"},
		{.start = 0x7f2000000000,
		 .end = 0x7f2010000000,
		 .flags = MAP_READ | MAP_WRITE,
		 .path = ""},
	};
	struct image_range image = {0x400000, 0x800000, IMAGE_TEXT};

	(void)state;
	e->os.maps = maps;
	e->os.n_maps = ARRAY_LEN(maps);
	e->s.images = &image;
	e->s.n_images = 1;
	assert_true(pages_set(&e->os.pages, 0x7f0000000000, 0x7f0000000000 + 200 * MIB,
			      PAGE_RESIDENT, NULL));
	assert_true(pages_set(&e->os.pages, 0x7f1000000000, 0x7f1000000000 + 8 * MIB, PAGE_RESIDENT,
			      NULL));
	put(e, LINE_FILES, 208 * MIB);
	explain(e);
	assert_says(first_is(e, "mapped-files", 208 << 20), "the mapped file snap/db");
	assert_says(&e->l.causes[0],
		    "/var/lib/etcd/member/snap/db: 200.0 MiB of 256.0 MiB mapped are in memory");
	assert_says(&e->l.causes[0], "/tmp/gone (deleted): 8.0 MiB");
	assert_false(says(&e->l.causes[0], "/bin/x"));
	assert_non_null(strstr(e->l.verdict, "Nearly all of the gap (208.0 MiB) comes from the "
					     "mapped file snap/db: the kernel takes"));
	scene_free(e);

	e = scene_new();
	e->os.maps = maps;
	e->os.n_maps = ARRAY_LEN(maps);
	assert_true(pages_set(&e->os.pages, 0x7f2000000000, 0x7f2000000000 + 180 * MIB,
			      PAGE_RESIDENT, NULL));
	put(e, LINE_ANON, 180 * MIB);
	explain(e);
	assert_says(first_is(e, "raw-mmap", 180 << 20),
		    "256.0 MiB at 0x7f2000000000, 180.0 MiB of it in memory");
	scene_free(e);
}

static void limits(void **state)
{
	struct scene *e = scene_new();
	const struct cause *c;

	(void)state;
	/* below the live heap */
	e->c.memoryLimit = 48 << 20;
	e->c.limit_rules = true;
	e->c.heapGoal = 60 * MIB;
	e->c.limiter_last_enabled = 5;
	for (int i = 0; i < 7; i++)
		e->c.pause_end[i] = 1700000000000000000 - 1000000000;
	explain(e);
	c = first_is(e, "limit-misfit", 0);
	assert_int_equal(e->l.n_causes, 1);
	assert_says(c, "GOMEMLIMIT=48.0 MiB, which is less than what the heap needs");
	assert_says(c, "last at work in GC 5, 2 cycles ago");
	assert_non_null(strstr(e->l.verdict, "7 times in the last minute"));
	scene_free(e);

	/* no room for what is not Go's: 100 MiB of C memory, 256 MiB of container,
	 * GOMEMLIMIT=240MiB */
	e = scene_new();
	e->cgroup = (struct cgroup_facts){.path = "/x",
					  .version = 2,
					  .limit = 256 * MIB,
					  .limit_current = 180 * MIB,
					  .current = 180 * MIB,
					  .high = UINT64_MAX,
					  .swap_limit = UINT64_MAX,
					  .processes = 1};
	e->os.cgroup = &e->cgroup;
	e->c.memoryLimit = 240 << 20;
	put(e, LINE_NATIVE_USED, 100 * MIB);
	explain(e);
	c = cause_find(e, "limit-misfit");
	assert_says(c, "GOMEMLIMIT=240.0 MiB in a container of 256.0 MiB");
	assert_says(c, "set GOMEMLIMIT=148MiB"); /* 256 - 100, less 5 % */
	assert_string_equal(e->l.causes[0].id, "native-leak");
	assert_non_null(strstr(e->l.verdict, "; and GOMEMLIMIT=240.0 MiB in a container"));
	scene_free(e);

	/* none at all, and the goal does not fit */
	e = scene_new();
	e->cgroup = (struct cgroup_facts){.path = "/x",
					  .version = 2,
					  .limit = 128 * MIB,
					  .limit_current = 120 * MIB,
					  .current = 70 * MIB,
					  .high = UINT64_MAX,
					  .swap_limit = UINT64_MAX,
					  .processes = 1};
	e->os.cgroup = &e->cgroup;
	explain(e);
	c = first_is(e, "limit-misfit", 0);
	assert_says(c, "no GOMEMLIMIT in a container of 128.0 MiB");
	assert_int_equal(c->confidence, LIKELY);
	assert_non_null(strstr(e->l.verdict, "the OOM kill is 8.0 MiB away"));
	scene_free(e);
}

static void containers_and_page_tables(void **state)
{
	struct scene *e = scene_new();
	const struct cause *c;

	(void)state;
	e->cgroup = (struct cgroup_facts){.path = "/kubepods/x",
					  .version = 2,
					  .limit = 4096 * MIB,
					  .limit_current = 400 * MIB,
					  .high = UINT64_MAX,
					  .swap_limit = UINT64_MAX,
					  .current = 400 * MIB,
					  .working_set = 380 * MIB,
					  .processes = 1,
					  .file = 320 * MIB,
					  .active_file = 300 * MIB,
					  .inactive_file = 20 * MIB,
					  .kernel = 10 * MIB,
					  .slab = 6 * MIB};
	e->os.cgroup = &e->cgroup;
	explain(e);
	c = first_is(e, "container-metric", (400 - 63) << 20);
	assert_says(c, "current 400.0 MiB, working set 380.0 MiB; RSS 63.0 MiB");
	assert_says(c, "the OOM kill is 3.9 GiB away, of a limit of 4.0 GiB");
	/* a login session: nothing to say */
	e->cgroup.processes = 40;
	explain(e);
	assert_string_equal(e->l.causes[0].id, "nothing-wrong");
	scene_free(e);

	e = scene_new();
	e->os.page_tables = 128 * MIB;
	e->os.vm_size = (bytes)64 << 30;
	explain(e);
	assert_says(first_is(e, "page-tables", 128 << 20), "VmPTE 128.0 MiB for 63.0 MiB of RSS");
	assert_non_null(strstr(
		e->l.verdict,
		"3.0 MiB above the heap profile, which is normal; what stands out is page tables"));
	scene_free(e);
}

static void runtime_and_rest(void **state)
{
	static const struct {
		enum line_id line;
		const char *id;
	} each[] = {
		{LINE_RUNTIME_PROFILER, "profiler-overhead"},
		{LINE_RUNTIME_MSPAN, "runtime-overhead"},
		{LINE_BINARY_DATA, "globals"},
		{LINE_SHM, "shared-memory"},
		{LINE_UNEXPLAINED, "unexplained"},
		{LINE_STACK_FREE, "stacks"},
		{LINE_ANON, "raw-mmap"},
		{LINE_FILES, "mapped-files"},
		{LINE_HEAP_FREE, "retention"},
		{LINE_HEAP_SLOTS, "fragmentation"},
		{LINE_HEAP_TAIL, "span-tail"},
		{LINE_HEAP_DEAD, "gc-schedule"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(each); i++) {
		struct scene *e = scene_new();
		put(e, LINE_RUNTIME_GC, 0);
		put(e, each[i].line, 90 * MIB);
		explain(e);
		first_is(e, each[i].id, 90 << 20);
		assert_true(fabs(e->l.causes[0].share - 90.0 / 92) < 1e-9);
		scene_free(e);
	}
}

static struct place map_place(const struct snapshot *s, taddr pc)
{
	static const char *const func[] = {"internal/runtime/maps.newarray",
					   "internal/runtime/maps.(*table).grow",
					   "runtime.mapassign_fast64", "main.fill"};

	(void)s;
	return (struct place){
		.pc = pc, .func = pc < ARRAY_LEN(func) ? func[pc] : "other.f", .file = ""};
}

static void maps_and_pools(void **state)
{
	struct scene *e = scene_new();
	taddr pcs[] = {1, 2, 3, 4, 9, 9};
	struct mem_bucket b[] = {{.allocs = 40, .size = MIB, .stk = 0, .nstk = 4},
				 {.allocs = 2, .size = MIB, .stk = 4, .nstk = 2}};

	(void)state;
	e->s.profile.buckets = b;
	e->s.profile.n_buckets = 2;
	e->s.profile.pcs = pcs;
	e->s.profile.n_pcs = ARRAY_LEN(pcs);
	e->s.place = map_place;
	explain(e);
	assert_string_equal(e->l.causes[0].id, "map-never-shrinks");
	assert_int_equal(e->l.causes[0].confidence, POSSIBLE);
	assert_says(&e->l.causes[0], "main.fill");
	/* only a hint: when something else stands out it is not worth a word */
	put(e, LINE_NATIVE_USED, 200 * MIB);
	explain(e);
	assert_null(cause_find(e, "map-never-shrinks"));
	scene_free(e);

	e = scene_new();
	e->s.pool_bytes = 40 * MIB;
	explain(e);
	first_is(e, "pool", 40 << 20);
	/* beside another cause too, and the verdict is about that one */
	put(e, LINE_NATIVE_USED, 30 * MIB);
	explain(e);
	first_is(e, "pool", 40 << 20);
	assert_non_null(strstr(e->l.verdict, "C memory in use"));
	scene_free(e);
}

static void arrays_kept_by_small_views(void **state)
{
	struct scene *e = scene_new();
	taddr pcs[] = {5, 4};
	struct mem_bucket b = {.allocs = 600, .size = 64 * KIB, .stk = 0, .nstk = 2};
	const struct cause *c;

	(void)state;
	e->s.small_views = (struct small_views){.looked = true,
						.objects = 600,
						.views = 700,
						.size = 40 * MIB,
						.seen = 9 * KIB,
						.unseen = 38 * MIB,
						.growable = 10 * MIB,
						.example = {64 * KIB, 16, 1}};
	e->s.profile.buckets = &b;
	e->s.profile.n_buckets = 1;
	e->s.profile.pcs = pcs;
	e->s.profile.n_pcs = ARRAY_LEN(pcs);
	e->s.place = map_place;
	explain(e);
	first_is(e, "small-view-pins-big-array", 38 << 20);
	c = &e->l.causes[0];
	assert_int_equal(c->confidence, LIKELY);
	assert_says(c, "600 live objects");
	assert_says(c, "allocated in other.f");
	assert_int_equal(c->actions[0].saves, 38 << 20);
	e->s.small_views.growable = 38 * MIB;
	explain(e);
	assert_int_equal(e->l.causes[0].confidence, POSSIBLE);
	/* less than a tenth of RSS is no cause */
	e->s.small_views.unseen = 5 * MIB;
	explain(e);
	assert_null(cause_find(e, "small-view-pins-big-array"));
	scene_free(e);
}

static void cores_without_residency(void **state)
{
	struct scene *e = scene_new();

	(void)state;
	for (unsigned i = 0; i < N_LINES; i++)
		e->l.line[i].resident = e->l.line[i].swapped = 0;
	e->l.residency = false;
	e->os.residency = RESIDENCY_NONE;
	e->l.line[LINE_HEAP_FREE].bytes = 300 * MIB;
	e->l.line[LINE_HEAP_RELEASED].bytes = 900 * MIB;
	e->l.line[LINE_FILES].bytes = 900 * MIB;
	explain(e);
	assert_string_equal(e->l.causes[0].id, "mapped-files");
	assert_non_null(cause_find(e, "retention"));
	assert_null(cause_find(e, "released-not-gone"));
	assert_null(cause_find(e, "not-a-gap"));
	scene_free(e);
}

static void no_go_at_all(void **state)
{
	struct scene *e = scene_new();

	(void)state;
	e->s.have_go = false;
	e->s.counters = NULL;
	e->s.profile = (struct profile){.error = NAN};
	put(e, LINE_HEAP_LIVE, 0);
	put(e, LINE_ANON, 100 * MIB);
	explain(e);
	assert_string_equal(e->l.causes[0].id, "raw-mmap");
	assert_non_null(strstr(e->l.verdict, "No Go runtime"));
	scene_free(e);
}

static uint64_t random_word(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Sizes of any order, and now and then garbage: a target may be hostile. */
static uint64_t random_size(uint64_t *seed)
{
	uint64_t r = random_word(seed);

	switch (r % 16) {
	case 0:
		return UINT64_MAX - r % 3;
	case 1:
		return 0;
	default:
		return random_word(seed) >> (24 + r % 40);
	}
}

static void hostile_numbers_are_survived(void **state)
{
	uint64_t seed = 88172645463325252;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		struct scene *e = scene_new();
		uint64_t *c = (uint64_t *)&e->c;
		for (unsigned i = 0; i < N_LINES; i++)
			e->l.line[i] = (struct line_sum){random_word(&seed) >> 24,
							 random_word(&seed) >>
								 (30 + random_word(&seed) % 30),
							 random_word(&seed) >> 40};
		if (round % 2)
			for (size_t i = 0; i < sizeof e->c / 8 - 8; i++)
				c[i] = random_size(&seed);
		e->c.enablegc = round & 2;
		e->c.limit_rules = e->c.has_cpu = e->c.user_forced = false;
		e->s.profile.inuse_space = (int64_t)(random_word(&seed) >> 26) - (round % 7 == 0);
		e->s.profile.enabled = round & 4;
		e->s.go_minor = 18 + round % 10;
		e->s.go_patch = round % 5;
		e->cgroup = (struct cgroup_facts){.path = "",
						  .limit = random_size(&seed),
						  .high = random_size(&seed),
						  .current = random_size(&seed),
						  .limit_current = random_size(&seed),
						  .slab = random_size(&seed),
						  .processes = round % 5u,
						  .others_rss = random_size(&seed),
						  .file = random_size(&seed)};
		e->os.cgroup = round & 8 ? &e->cgroup : NULL;
		e->os.page_tables = random_size(&seed);
		e->s.native.arenas = round % 3u;
		explain(e);
		scene_free(e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goal_follows_gogc),
		cmocka_unit_test(trigger_is_clamped),
		cmocka_unit_test(limit_makes_a_goal),
		cmocka_unit_test(go118_has_its_own_clamps),
		cmocka_unit_test(limit_for_a_goal_gives_it),
		cmocka_unit_test(inputs_come_from_the_counters),
		cmocka_unit_test(forecasts),
		cmocka_unit_test(healthy_program_has_nothing_wrong),
		cmocka_unit_test(garbage_is_the_schedule),
		cmocka_unit_test(free_pages_are_retention),
		cmocka_unit_test(holes_are_fragmentation),
		cmocka_unit_test(tails),
		cmocka_unit_test(released_pages_that_stay),
		cmocka_unit_test(below_the_profile_is_not_a_gap),
		cmocka_unit_test(profile_off_and_stale),
		cmocka_unit_test(many_goroutines_or_fat_ones),
		cmocka_unit_test(c_memory),
		cmocka_unit_test(trim_returns_whole_pages),
		cmocka_unit_test(the_contract_s_causes_are_there),
		cmocka_unit_test(only_commands_that_exist_are_named),
		cmocka_unit_test(mappings),
		cmocka_unit_test(limits),
		cmocka_unit_test(containers_and_page_tables),
		cmocka_unit_test(runtime_and_rest),
		cmocka_unit_test(maps_and_pools),
		cmocka_unit_test(arrays_kept_by_small_views),
		cmocka_unit_test(cores_without_residency),
		cmocka_unit_test(no_go_at_all),
		cmocka_unit_test(hostile_numbers_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
