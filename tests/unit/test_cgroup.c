/*
 * Recorded /proc and cgroup trees (tests/fake/proc): facts, the smaps fallback, both cgroup
 * versions, and what a reader without memory, pagemap or permission does. Nothing here looks at the
 * running machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "target/cgroup.h"
#include "target/target.h"

/* A tree of tests/fake/proc as options; the strings live in the arena. */
static struct live_options tree(struct arena *a, const char *name)
{
	const char *tests = getenv("WHYRSS_TESTS");

	if (!tests)
		tests = "tests";
	return (struct live_options){
		.proc = arena_printf(a, "%s/fake/proc/%s/proc", tests, name),
		.cgroupfs = arena_printf(a, "%s/fake/proc/%s/cgroup", tests, name),
		.sys = arena_printf(a, "%s/fake/proc/%s/sys", tests, name),
	};
}

static struct target *opened(const struct live_options *o, int pid, struct arena *a)
{
	struct target *t = NULL;
	struct err err = {0};

	if (!live_open(pid, o, &t, &err) || !target_facts(t, a, &err))
		fail_msg("%s", err.msg);
	return t;
}

static void facts_are_read(void **state)
{
	struct arena a = {0};
	struct live_options o = tree(&a, "v2");
	struct target *t;
	const struct os_facts *os;

	(void)state;
	o.pss = true;
	t = opened(&o, 4711, &a);
	os = t->os;
	assert_int_equal(os->pid, 4711);
	assert_string_equal(os->comm, "shop) S (x");
	assert_int_equal(os->start_ticks, 60000);
	assert_int_equal(os->up_ns, (int64_t)100500 * 1000000); /* 700.5 s − 60000 ticks of 10 ms */
	assert_string_equal(os->exe, "/usr/local/bin/shop");
	assert_true(os->exe_deleted);
	assert_string_equal(os->cmdline0, "/usr/local/bin/shop");
	assert_string_equal(os->pid_ns_note, "It is process 7 in its own PID namespace.");
	assert_int_equal(os->rss_kernel, 8008 << 10);
	assert_int_equal(os->anon, 6304 << 10);
	assert_int_equal(os->file, 1624 << 10);
	assert_int_equal(os->shmem, 80 << 10);
	assert_int_equal(os->hwm, 8520 << 10);
	assert_int_equal(os->swap, 1056 << 10);
	assert_int_equal(os->page_tables, 120 << 10);
	assert_int_equal(os->vm_size, 1230000 << 10);
	assert_int_equal(os->hugetlb, 2 << 20);
	assert_int_equal(os->pss, 7000 << 10);
	assert_int_equal(os->lazy_free, 256 << 10);
	assert_int_equal(os->machine_total, (bytes)16384000 << 10);
	assert_int_equal(os->machine_available, (bytes)8192000 << 10);
	assert_string_equal(os->thp_enabled, "madvise");
	assert_int_equal(os->max_ptes_none, 0);
	assert_int_equal(os->n_cpus, 3); /* of 8, by the pod's quota of 2.5 */
	assert_int_equal(os->residency, RESIDENCY_NONE);
	target_close(t);
	arena_free(&a);
}

static void mappings_keep_their_names(void **state)
{
	struct arena a = {0};
	struct live_options o = tree(&a, "v2");
	struct target *t = opened(&o, 4711, &a);
	const struct os_facts *os = t->os;

	(void)state;
	assert_int_equal(os->n_maps, 14);
	assert_string_equal(map_find(os, 0xc000000000)->path, "[anon: Go: heap]");
	assert_string_equal(map_find(os, 0xc000900000)->path, "[anon: Go: heap reservation]");
	assert_string_equal(map_find(os, 0x7f0000400000)->path, "[anon: Go: immortal metadata]");
	assert_int_equal(map_find(os, 0x7f0000440000)->flags,
			 MAP_READ | MAP_WRITE | MAP_SHARED_ | MAP_SHMEM | MAP_DELETED);
	assert_string_equal(map_find(os, 0x7f0000440000)->path, "/memfd:ring buffer");
	assert_int_equal(map_find(os, 0x7f0000480000)->flags,
			 MAP_READ | MAP_WRITE | MAP_SHARED_ | MAP_SHMEM);
	assert_true(map_find(os, 0x7f0000000000)->flags & MAP_HUGETLB);
	assert_int_equal(map_find(os, 0x400000)->flags, MAP_READ | MAP_EXEC | MAP_FILE);
	assert_int_equal(map_find(os, 0xffffffffff600000)->flags, MAP_EXEC | MAP_SPECIAL);
	target_close(t);
	arena_free(&a);
}

static void threads_tell_their_stack(void **state)
{
	struct arena a = {0};
	struct live_options o = tree(&a, "v2");
	struct target *t = opened(&o, 4711, &a);

	(void)state;
	assert_int_equal(t->os->n_threads, 3);
	for (uint32_t i = 0; i < 3; i++) {
		const struct os_thread *th = &t->os->threads[i];

		switch (th->tid) {
		case 4711:
			assert_true(th->on_cpu);
			assert_int_equal(th->sp, 0);
			break;
		case 4712:
			assert_false(th->on_cpu);
			assert_int_equal(th->sp, 0x7fffa0001000);
			assert_int_equal(th->pc, 0x46e5c3);
			break;
		case 4713: /* outside of a system call */
			assert_int_equal(th->sp, 0xc000081f58);
			assert_int_equal(th->pc, 0x401234);
			break;
		default:
			fail_msg("thread %d", th->tid);
		}
	}
	target_close(t);
	arena_free(&a);
}

static bytes in(const struct os_facts *os, taddr at, enum page_bit bit)
{
	const struct mapping *m = map_find(os, at);

	return pages_in(&os->pages, m->start, m->end, bit);
}

static void smaps_gives_the_sums_per_mapping(void **state)
{
	struct arena a = {0};
	struct live_options o = tree(&a, "v2");
	struct target *t = opened(&o, 4711, &a);
	const struct os_facts *os = t->os;
	struct err err = {0};
	uint64_t v = 77;

	(void)state;
	if (!target_scan(t, &a, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(os->residency, RESIDENCY_SMAPS);
	assert_int_equal(os->pages.resident, os->rss_kernel);
	assert_int_equal(os->pages.swapped, os->swap);
	assert_int_equal(os->huge, 2 << 20);
	assert_int_equal(os->drift, 0);
	assert_int_equal(in(os, 0xc000000000, PAGE_RESIDENT), 6 << 20);
	assert_int_equal(in(os, 0xc000000000, PAGE_SWAPPED), 1 << 20);
	assert_int_equal(in(os, 0xc000000000, PAGE_HUGE), 2 << 20);
	assert_int_equal(in(os, 0x7f0000000000, PAGE_RESIDENT), 0);
	assert_int_equal(in(os, 0x400000, PAGE_RESIDENT), 1 << 20);
	assert_int_equal(in(os, 0x780000, PAGE_SWAPPED), 32 << 10);
	assert_int_equal(in(os, 0x7fffa0034000, PAGE_RESIDENT), 4096);
	/* No memory is recorded here: a read comes back empty, and says so. */
	assert_false(mem_uint(t, 0xc000000000, 8, &v, &err));
	assert_int_equal(err.kind, ERR_FAULT);
	assert_int_equal(err.addr, 0xc000000000);
	assert_int_equal(v, 77);
	target_close(t);
	arena_free(&a);
}

static void sources_that_are_missing_are_an_error(void **state)
{
	static const enum residency_source missing[] = {RESIDENCY_SCAN, RESIDENCY_PAGEMAP};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(missing); i++) {
		struct arena a = {0};
		struct live_options o = tree(&a, "v2");
		struct target *t;
		struct err err = {0};

		o.source = missing[i];
		t = opened(&o, 4711, &a);
		assert_false(target_scan(t, &a, &err));
		assert_int_equal(err.kind, ERR_OS);
		target_close(t);
		arena_free(&a);
	}
}

static void version_2_takes_the_tightest_limit(void **state)
{
	struct arena a = {0};
	struct live_options o = tree(&a, "v2");
	struct target *t = opened(&o, 4711, &a);
	const struct cgroup_facts *c = t->os->cgroup;

	(void)state;
	assert_non_null(c);
	assert_int_equal(c->version, 2);
	assert_string_equal(c->path, "/kubepods.slice/pod1.slice/shop.scope");
	assert_int_equal(c->current, 800000000);
	assert_int_equal(c->working_set, 600000000);
	assert_int_equal(c->limit, 1 << 30);
	assert_string_equal(c->limit_path, "/kubepods.slice/pod1.slice");
	assert_int_equal(c->limit_current, 900000000);
	assert_int_equal(c->high, 1000000000);
	assert_int_equal(c->swap_limit, 128 << 20);
	assert_int_equal(c->anon, 500000000);
	assert_int_equal(c->file, 250000000);
	assert_int_equal(c->shmem, 81920);
	assert_int_equal(c->kernel, 30000000);
	assert_int_equal(c->slab, 20000000);
	assert_int_equal(c->slab_reclaimable, 15000000);
	assert_int_equal(c->sock, 4096);
	assert_int_equal(c->page_tables, 2000000);
	assert_int_equal(c->kernel_stack, 1000000);
	assert_int_equal(c->mapped_file, 100000000);
	assert_int_equal(c->inactive_file, 200000000);
	assert_int_equal(c->active_file, 50000000);
	assert_int_equal(c->swap, 1081344);
	assert_int_equal(c->oom_kills, 1);
	assert_int_equal(c->max_events, 12);
	/* 4711 itself, 4720, and 4721 twice, which a file may repeat; a 0 is not visible here. */
	assert_int_equal(c->processes, 4);
	assert_int_equal(c->others_rss, (1000 + 200 + 200) * 4096);
	assert_int_equal(c->others_anon, (700 + 150 + 150) * 4096);
	target_close(t);
	arena_free(&a);
}

static void version_1_wins_where_it_has_the_controller(void **state)
{
	struct arena a = {0};
	struct live_options o = tree(&a, "v1");
	struct target *t = opened(&o, 815, &a);
	const struct cgroup_facts *c = t->os->cgroup;

	(void)state;
	assert_non_null(c);
	assert_int_equal(c->version, 1);
	assert_string_equal(c->path, "/docker/4711");
	assert_int_equal(c->current, 100000000);
	assert_int_equal(c->working_set, 0); /* never below 0 */
	assert_int_equal(c->limit, 512 << 20);
	assert_string_equal(c->limit_path, "/docker");
	assert_int_equal(c->limit_current, 400000000);
	assert_int_equal(c->high, UINT64_MAX);
	assert_int_equal(c->swap_limit, 256 << 20);
	assert_int_equal(c->anon, 60000000);
	assert_int_equal(c->file, 120000000);
	assert_int_equal(c->shmem, 1000);
	assert_int_equal(c->kernel, 7000000);
	assert_int_equal(c->sock, 4096);
	assert_int_equal(c->mapped_file, 30000000);
	assert_int_equal(c->inactive_file, 110000000);
	assert_int_equal(c->swap, 4096);
	assert_int_equal(c->oom_kills, 5);
	assert_int_equal(c->max_events, 17);
	assert_int_equal(c->processes, 2);
	assert_int_equal(c->others_rss, 70 * 4096);
	assert_int_equal(c->others_anon, 50 * 4096);
	assert_int_equal(t->os->n_cpus, 2); /* cpu.cfs_quota_us: 1.5 */
	assert_null(t->os->pid_ns_note);
	target_close(t);
	arena_free(&a);
}

/* A throw-away tree: /proc with one process whose cgroup and mountinfo files are as given. */
struct made {
	char root[40];
	struct arena a;
	struct live_options o;
};

static void put(struct made *m, const char *name, const char *text)
{
	char *path = arena_printf(&m->a, "%s/%s", m->root, name);
	FILE *f;

	for (char *p = strchr(path + strlen(m->root) + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		mkdir(path, 0700);
		*p = '/';
	}
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static struct made make(const char *cgroup, const char *mountinfo)
{
	struct made m = {.root = "/tmp/whyrss-cgroup-XXXXXX"};

	assert_non_null(mkdtemp(m.root));
	put(&m, "proc/5/stat", "5 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20\n");
	put(&m, "proc/5/status", "VmSize:\t 8 kB\nVmRSS:\t 4 kB\n");
	put(&m, "proc/5/maps", "1000-2000 r--p 0 00:00 0\n");
	put(&m, "proc/5/cgroup", cgroup);
	put(&m, "proc/self/mountinfo", mountinfo);
	m.o.proc = arena_printf(&m.a, "%s/proc", m.root);
	return m;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void unmake(struct made *m)
{
	nftw(m->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	arena_free(&m->a);
}

/* In a container: only the part below a bind mount's root is visible, under its own name. */
static void a_bind_mount_hides_the_path_above(void **state)
{
	struct made m = make("4:memory:/docker/ab/inner\n0::/\n", "");
	struct target *t;

	(void)state;
	put(&m, "proc/self/mountinfo",
	    arena_printf(&m.a,
			 "30 1 0:9 / /other rw - cgroup cgroup rw,cpu\n"
			 "31 1 0:9 /docker/ab %s/a\\040mount rw - cgroup cgroup rw,memory\n",
			 m.root));
	put(&m, "a mount/inner/memory.usage_in_bytes", "500\n");
	put(&m, "a mount/inner/memory.limit_in_bytes", "9223372036854771712\n");
	put(&m, "a mount/inner/memory.stat",
	    "hierarchical_memory_limit 700\ntotal_inactive_file 100\n");
	put(&m, "a mount/memory.usage_in_bytes", "600\n");
	put(&m, "a mount/memory.limit_in_bytes", "800\n");
	t = opened(&m.o, 5, &m.a);
	assert_non_null(t->os->cgroup);
	assert_string_equal(t->os->cgroup->path, "/docker/ab/inner");
	assert_int_equal(t->os->cgroup->working_set, 400);
	/* The kernel tells of a tighter limit above what is mounted. */
	assert_int_equal(t->os->cgroup->limit, 700);
	assert_string_equal(t->os->cgroup->limit_path, "/docker/ab");
	assert_int_equal(t->os->cgroup->limit_current, 600);
	assert_int_equal(t->os->n_cpus, 0); /* no Cpus_allowed, no quota file */
	target_close(t);

	put(&m, "proc/5/cgroup", "4:memory:/docker/abc\n"); /* not below /docker/ab */
	t = opened(&m.o, 5, &m.a);
	assert_null(t->os->cgroup);
	target_close(t);
	unmake(&m);
}

static void what_is_not_visible_is_no_cgroup(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"nonsense",
		"0::\n",
		"0::/../outside\n",
		"0::/a/..\n",
		"0::/gone (deleted)\n",
		"4:cpu:/x\n",
		"4:memory:relative\n",
		"4:memory:/..\n",
	};
	struct made m = make("", "");

	(void)state;
	put(&m, "proc/self/mountinfo",
	    arena_printf(&m.a, "31 1 0:9 / %s/in rw - cgroup2 cgroup rw\n", m.root));
	/* Whoever follows ".." finds this. */
	put(&m, "memory.current", "1\n");
	put(&m, "outside/memory.current", "1\n");
	put(&m, "in/a/memory.stat", "anon 1\n");
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct target *t;

		put(&m, "proc/5/cgroup", texts[i]);
		t = opened(&m.o, 5, &m.a);
		if (t->os->cgroup)
			fail_msg("%s: %s", texts[i], t->os->cgroup->path);
		target_close(t);
	}
	unmake(&m);
}

/* The controller is not enabled in the leaf: the ancestor that has it is charged. Odd numbers are
 * none. */
static void the_nearest_ancestor_with_the_controller_counts(void **state)
{
	struct made m = make("0::/a/b\n", "");
	const struct cgroup_facts *c;
	struct target *t;

	(void)state;
	put(&m, "proc/self/mountinfo",
	    arena_printf(&m.a, "31 1 0:9 / %s/in rw - cgroup2 cgroup rw\n", m.root));
	put(&m, "in/a/b/cgroup.procs", "5\n");
	put(&m, "in/a/memory.current", "5000\n");
	put(&m, "in/a/memory.max", "max\n");
	put(&m, "in/a/memory.swap.max", "-1\n");
	put(&m, "in/a/memory.stat",
	    "inactive_file 99999999999999999999999\nanon x\nslab 1\npagetables 2\n"
	    "kernel_stack 4\npercpu 8\n");
	t = opened(&m.o, 5, &m.a);
	c = t->os->cgroup;
	assert_non_null(c);
	assert_string_equal(c->path, "/a");
	assert_int_equal(c->working_set, 5000);
	assert_int_equal(c->limit, UINT64_MAX);
	assert_null(c->limit_path);
	assert_int_equal(c->swap_limit, UINT64_MAX);
	assert_int_equal(c->anon, 0);
	assert_int_equal(c->kernel, 15); /* before Linux 5.18 there is no sum */
	assert_int_equal(c->processes, 1);
	target_close(t);
	unmake(&m);
}

static void the_tightest_limit_may_lie_far_above(void **state)
{
	struct made m = make("0::/x/y/z\n", "");
	const struct cgroup_facts *c;
	struct target *t;

	(void)state;
	put(&m, "proc/self/mountinfo",
	    arena_printf(&m.a, "31 1 0:9 / %s/in rw - cgroup2 cgroup rw\n", m.root));
	put(&m, "in/x/y/z/memory.current", "1000\n");
	put(&m, "in/x/y/z/memory.max", "9000\n");
	put(&m, "in/x/y/z/memory.high", "2000\n");
	put(&m, "in/x/y/memory.max", "max\n");
	put(&m, "in/x/y/memory.high", "3000\n");
	put(&m, "in/x/memory.max", "8000\n");
	put(&m, "in/x/memory.current", "7500\n");
	put(&m, "in/x/memory.swap.max", "0\n");
	put(&m, "in/x/y/z/cpu.max", "800000 100000\n");
	put(&m, "in/x/cpu.max", "50000 100000\n");
	t = opened(&m.o, 5, &m.a);
	c = t->os->cgroup;
	assert_non_null(c);
	assert_int_equal(c->limit, 8000);
	assert_int_equal(c->limit_current, 7500);
	assert_string_equal(c->limit_path, "/x");
	assert_int_equal(c->high, 2000);
	assert_int_equal(c->swap_limit, 0);
	put(&m, "proc/5/status", "VmSize:\t 8 kB\nVmRSS:\t 4 kB\nCpus_allowed:\tff\n");
	assert_true(target_facts(t, &m.a, NULL));
	assert_int_equal(t->os->n_cpus, 1);
	target_close(t);
	unmake(&m);
}

/* What whyrss watch waits by: the tightest limit, against what the kernel can't take back. */
static void the_meter_of_version_2(void **state)
{
	struct made m = make("0::/x/y\n", "");
	struct cgroup_meter *meter;
	struct cgroup_level now;

	(void)state;
	put(&m, "proc/self/mountinfo",
	    arena_printf(&m.a, "31 1 0:9 / %s/in rw - cgroup2 cgroup rw\n", m.root));
	put(&m, "in/x/y/memory.current", "5000\n");
	put(&m, "in/x/y/memory.max", "max\n");
	assert_false(cgroup_meter_open(5, &m.o, &m.a, &meter)); /* there is no limit */
	put(&m, "in/x/y/memory.max", "9000\n");
	put(&m, "in/x/memory.max", "8000\n");
	put(&m, "in/x/memory.current", "7500\n");
	put(&m, "in/x/memory.stat",
	    "anon 4000\nfile 2500\nkernel 1000\ninactive_file 1500\nactive_file 500\n"
	    "slab_reclaimable 300\nslab 700\n");
	put(&m, "in/x/memory.events",
	    "low 0\nhigh 3\nmax 12\noom 2\noom_kill 1\n"
	    "oom_group_kill 0\n");
	assert_true(cgroup_meter_open(5, &m.o, &m.a, &meter));
	assert_true(cgroup_meter_read(meter, &now));
	assert_int_equal(now.limit, 8000);
	assert_int_equal(now.current, 7500);
	assert_int_equal(now.held, 7500 - 1500 - 500 - 300);
	assert_int_equal(now.oom_kills, 1);
	/* numbers that are read one after the other need not fit together */
	put(&m, "in/x/memory.current", "100\n");
	assert_true(cgroup_meter_read(meter, &now));
	assert_int_equal(now.held, 0);
	put(&m, "in/x/memory.events", "");
	put(&m, "in/x/memory.stat", "garbage");
	assert_true(cgroup_meter_read(meter, &now));
	assert_int_equal(now.held, 100);
	assert_int_equal(now.oom_kills, 0);
	put(&m, "in/x/memory.current", "");
	assert_false(cgroup_meter_read(meter, &now)); /* it is gone */
	unmake(&m);
}

static void the_meter_of_version_1(void **state)
{
	struct made m = make("3:memory:/x\n", "");
	struct cgroup_meter *meter;
	struct cgroup_level now;

	(void)state;
	put(&m, "proc/self/mountinfo",
	    arena_printf(&m.a, "31 1 0:9 / %s/in rw - cgroup cgroup rw,memory\n", m.root));
	put(&m, "in/x/memory.usage_in_bytes", "5000\n");
	put(&m, "in/x/memory.limit_in_bytes", "9223372036854771712\n"); /* none */
	put(&m, "in/x/memory.stat",
	    "cache 9\nhierarchical_memory_limit 6000\n"
	    "total_inactive_file 700\ntotal_active_file 300\n");
	put(&m, "in/x/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
	/* of an ancestor that can't be seen from here, the limit is known */
	assert_true(cgroup_meter_open(5, &m.o, &m.a, &meter));
	put(&m, "in/memory.usage_in_bytes", "5500\n");
	put(&m, "in/memory.stat", "total_inactive_file 700\ntotal_active_file 300\n");
	put(&m, "in/memory.oom_control", "oom_kill 4\n");
	assert_true(cgroup_meter_read(meter, &now));
	assert_int_equal(now.limit, 6000);
	assert_int_equal(now.held, 4500);
	assert_int_equal(now.oom_kills, 4);
	put(&m, "in/x/memory.limit_in_bytes", "5500\n");
	assert_true(cgroup_meter_open(5, &m.o, &m.a, &meter));
	assert_true(cgroup_meter_read(meter, &now));
	assert_int_equal(now.limit, 5500);
	assert_int_equal(now.held, 4000);
	unmake(&m);
}

static void a_reused_pid_is_noticed(void **state)
{
	struct made m = make("", "");
	struct target *t = opened(&m.o, 5, &m.a);
	struct err err = {0};

	(void)state;
	assert_true(target_facts(t, &m.a, &err));
	put(&m, "proc/5/stat", "5 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4243 20\n");
	assert_false(target_facts(t, &m.a, &err));
	assert_int_equal(err.kind, ERR_GONE);
	assert_string_equal(err.msg,
			    "process 5 has ended, and its number was given to another one");
	put(&m, "proc/5/stat", "5 (x) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20\n");
	assert_false(target_facts(t, &m.a, &err));
	assert_int_equal(err.kind, ERR_GONE);
	put(&m, "proc/5/stat", "garbage");
	assert_false(target_facts(t, &m.a, &err));
	assert_int_equal(err.kind, ERR_FORMAT);
	target_close(t);
	unmake(&m);
}

static void hostile_files_are_errors_not_crashes(void **state)
{
	struct made m = make("", "");
	struct target *t = opened(&m.o, 5, &m.a);
	char *endless = arena_alloc(&m.a, (1 << 20) + 100);
	struct err err = {0};

	(void)state;
	put(&m, "proc/5/maps", "1000-2000 r--p 0 00:00 0\ngarbage\n");
	assert_false(target_facts(t, &m.a, &err));
	assert_int_equal(err.kind, ERR_FORMAT);
	put(&m, "proc/5/maps", "1000-2000 r--p 0 00:00 0\n");
	put(&m, "proc/5/smaps",
	    "Rss: 12 kB\n9000-8000 x\n1000-2000 r--p 0 00:00 0\nRss: 99999999999999 kB\nSwap: 8 "
	    "kB\n"
	    "AnonHugePages: 18446744073709551615 kB\n5000-6000 r--p 0 00:00 0\nRss: 4 kB\n");
	put(&m, "proc/5/task/xyz/syscall", "");
	put(&m, "proc/5/task/99999999999999/syscall", "");
	put(&m, "proc/5/task/7/syscall", "1 0xzz 0x");
	assert_true(target_facts(t, &m.a, &err));
	assert_int_equal(t->os->n_threads, 1);
	assert_int_equal(t->os->threads[0].sp, 0);
	assert_true(target_scan(t, &m.a, &err));
	assert_int_equal(t->os->pages.resident, 4096); /* no more than the mapping */
	assert_int_equal(t->os->pages.swapped, 0);
	memset(endless, 'x', (1 << 20) + 99);
	put(&m, "proc/5/status", endless);
	assert_false(target_facts(t, &m.a, &err));
	assert_int_equal(err.kind, ERR_LIMIT);
	target_close(t);
	unmake(&m);
}

static void pids_of_a_cgroup(void **state)
{
	struct arena a = {0};
	struct live_options o = tree(&a, "v2");
	struct err err = {0};
	int *pids = NULL;
	uint32_t n = 0;
	static const int want[] = {4711, 4720, 4721};

	(void)state;
	assert_true(cgroup_pids(&o, "/kubepods.slice", &a, &pids, &n, &err));
	assert_int_equal(n, 3);
	assert_memory_equal(pids, want, sizeof(want));
	assert_true(cgroup_pids(
		&o, arena_printf(&a, "%s/kubepods.slice/pod1.slice/shop.scope/below", o.cgroupfs),
		&a, &pids, &n, &err));
	assert_int_equal(n, 1);
	assert_int_equal(pids[0], 4721);
	assert_false(cgroup_pids(&o, "/none", &a, &pids, &n, &err));
	assert_int_equal(err.kind, ERR_USAGE);
	assert_false(cgroup_pids(&o, "/kubepods.slice/../..", &a, &pids, &n, &err));
	o = tree(&a, "v1");
	assert_true(cgroup_pids(&o, "docker/4711", &a, &pids, &n, &err));
	assert_int_equal(n, 2);
	assert_int_equal(pids[0], 815);
	arena_free(&a);
}

static void the_list_has_what_can_be_listed(void **state)
{
	struct arena a = {0};
	struct live_options o = tree(&a, "v2");
	struct process_row *rows;
	struct err err = {0};
	uint32_t n;

	(void)state;
	/* 4720 and 4721 have no status there, as when they ended meanwhile. */
	assert_true(process_list(&o, &a, &rows, &n, &err));
	assert_int_equal(n, 1);
	assert_int_equal(rows[0].pid, 4711);
	assert_int_equal(rows[0].uid, 1000);
	assert_string_equal(rows[0].comm, "shop) S (x");
	assert_string_equal(rows[0].exe, "/usr/local/bin/shop");
	assert_int_equal(rows[0].rss, 8008 << 10);
	assert_false(rows[0].readable);
	o.proc = "/nonexistent";
	assert_false(process_list(&o, &a, &rows, &n, &err));
	assert_int_equal(err.kind, ERR_OS);
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facts_are_read),
		cmocka_unit_test(mappings_keep_their_names),
		cmocka_unit_test(threads_tell_their_stack),
		cmocka_unit_test(smaps_gives_the_sums_per_mapping),
		cmocka_unit_test(sources_that_are_missing_are_an_error),
		cmocka_unit_test(version_2_takes_the_tightest_limit),
		cmocka_unit_test(version_1_wins_where_it_has_the_controller),
		cmocka_unit_test(a_bind_mount_hides_the_path_above),
		cmocka_unit_test(what_is_not_visible_is_no_cgroup),
		cmocka_unit_test(the_nearest_ancestor_with_the_controller_counts),
		cmocka_unit_test(the_tightest_limit_may_lie_far_above),
		cmocka_unit_test(the_meter_of_version_2),
		cmocka_unit_test(the_meter_of_version_1),
		cmocka_unit_test(a_reused_pid_is_noticed),
		cmocka_unit_test(hostile_files_are_errors_not_crashes),
		cmocka_unit_test(pids_of_a_cgroup),
		cmocka_unit_test(the_list_has_what_can_be_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
