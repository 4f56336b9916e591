/*
 * The live reader against a child whose memory is known page by page: all three sources of
 * residency against the kernel's own smaps, reads that must not make the child larger, ended and
 * forbidden processes, --freeze. The child is this program again (--child), so that it shares no
 * page with us.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "target/procfs.h"
#include "target/residency.h"
#include "target/target.h"

#define PAGE	   4096UL
#define HUGE	   ((size_t)2 << 20)
#define FILE_PAGES 300
#define BIG	   ((size_t)64 << 20) /* mappings beyond this are a sanitizer's shadow */

/* ---- The child ---- */

/** What the child made; it writes this to its standard output once it is ready. */
struct made {
	taddr anon;	/* 64 pages: even ones written, odd ones untouched */
	taddr zero;	/* 32 pages, only read */
	taddr private;	/* the file, private and writable: 0-9 read, 10-19 written, the rest
			   untouched */
	taddr shared;	/* the file, shared: page 100 written */
	taddr readonly; /* the file, read-only, one page beyond its end */
	taddr memfd;	/* 16 pages, 4 written, 4 more written through the file only */
	taddr common;	/* shared anonymous, 8 pages, 2 written */
	taddr huge;	/* 8 MiB that may be huge: 2 MiB written, 2 MiB only read */
	taddr none;	/* 8 pages, 4 written, then without any permission */
	taddr reserved; /* 1024 pages without permission, untouched */
	taddr zeros;	/* private mapping of /dev/zero, page 1 of 4 written */
	taddr guard;	/* 4 pages, page 1 written, page 2 a guard page; 0: this kernel has none */
	taddr counters; /* 8 of uint64_t, each counted up by a thread; the 9th by SIGRTMIN */
};

#define FILL(page) ((unsigned char)((page)*7 + 1))

static taddr child_map(size_t n, int prot, int flags, int fd)
{
	void *p = mmap(NULL, n, prot, flags, fd, 0);

	if (p == MAP_FAILED)
		_exit(3);
	return (taddr)(uintptr_t)p;
}

static volatile unsigned char *child_page(taddr base, size_t page)
{
	return (volatile unsigned char *)(uintptr_t)(base + page * PAGE);
}

static void child_write(taddr base, size_t page)
{
	memset((void *)(uintptr_t)(base + page * PAGE), FILL(page), PAGE);
}

static void *child_count(void *at)
{
	for (volatile uint64_t *n = at;; (*n)++)
		if ((*n & 0xfff) == 0)
			usleep(100);
	return NULL;
}

static volatile uint64_t *child_signals;

static void child_signal(int number)
{
	(void)number;
	__atomic_fetch_add(child_signals, 1, __ATOMIC_SEQ_CST);
}

static int child_main(const char *file)
{
	enum { RW = PROT_READ | PROT_WRITE, ANON = MAP_PRIVATE | MAP_ANONYMOUS };
	int fd = open(file, O_RDWR), memfd = memfd_create("ring", 0),
	    zero = open("/dev/zero", O_RDWR);
	struct made m = {0};
	char c;

	m.anon = child_map(64 * PAGE, RW, ANON, -1);
	for (size_t i = 0; i < 64; i += 2)
		child_write(m.anon, i);
	m.zero = child_map(32 * PAGE, RW, ANON, -1);
	for (size_t i = 0; i < 32; i++)
		(void)*child_page(m.zero, i);
	m.private = child_map(FILE_PAGES * PAGE, RW, MAP_PRIVATE, fd);
	madvise((void *)(uintptr_t)m.private, FILE_PAGES * PAGE, MADV_RANDOM);
	for (size_t i = 0; i < 10; i++)
		(void)*child_page(m.private, i);
	for (size_t i = 10; i < 20; i++)
		memset((void *)(uintptr_t)(m.private + i * PAGE), 0xee, PAGE);
	m.shared = child_map(FILE_PAGES * PAGE, RW, MAP_SHARED, fd);
	*child_page(m.shared, 100) = FILL(100);
	m.readonly = child_map((FILE_PAGES + 2) * PAGE, PROT_READ, MAP_PRIVATE, fd);
	if (ftruncate(memfd, 16 * PAGE) != 0)
		_exit(3);
	m.memfd = child_map(16 * PAGE, RW, MAP_SHARED, memfd);
	for (size_t i = 0; i < 4; i++)
		child_write(m.memfd, i);
	for (size_t i = 8; i < 12; i++) {
		unsigned char page[PAGE];

		memset(page, FILL(i), PAGE);
		if (pwrite(memfd, page, PAGE, (off_t)(i * PAGE)) != (ssize_t)PAGE)
			_exit(3);
	}
	m.common = child_map(8 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1);
	child_write(m.common, 0);
	child_write(m.common, 1);
	m.huge = round_up(child_map(5 * HUGE, RW, ANON, -1), HUGE);
	madvise((void *)(uintptr_t)m.huge, 4 * HUGE, MADV_HUGEPAGE);
	memset((void *)(uintptr_t)m.huge, 0xab, HUGE);
	(void)*child_page(m.huge + HUGE, 0);
	m.none = child_map(8 * PAGE, RW, ANON, -1);
	for (size_t i = 0; i < 4; i++)
		child_write(m.none, i);
	mprotect((void *)(uintptr_t)m.none, 8 * PAGE, PROT_NONE);
	m.reserved = child_map(1024 * PAGE, PROT_NONE, ANON | MAP_NORESERVE, -1);
	m.zeros = child_map(4 * PAGE, RW, MAP_PRIVATE, zero);
	child_write(m.zeros, 1);
	m.guard = child_map(4 * PAGE, RW, ANON, -1);
	child_write(m.guard, 1);
	if (madvise((void *)(uintptr_t)(m.guard + 2 * PAGE), PAGE, 102 /* MADV_GUARD_INSTALL */) !=
	    0)
		m.guard = 0;
	m.counters = child_map(PAGE, RW, ANON, -1);
	child_signals = (uint64_t *)(uintptr_t)m.counters + 8;
	signal(SIGRTMIN, child_signal);
	for (size_t i = 0; i < 8; i++) {
		pthread_t t;

		pthread_create(&t, NULL, child_count, (uint64_t *)(uintptr_t)m.counters + i);
	}
	usleep(20000);
	if (write(STDOUT_FILENO, &m, sizeof(m)) != sizeof(m))
		_exit(3);
	/* Until the test closes its end. */
	while (read(STDIN_FILENO, &c, 1) > 0 || errno == EINTR)
		errno = 0;
	_exit(0);
}

/* ---- The test's side of it ---- */

struct child {
	pid_t pid;
	int in; /* closing it ends the child */
	struct made m;
	char file[40];
};

static void child_start(struct child *c)
{
	int to[2], from[2], fd;

	strcpy(c->file, "/tmp/whyrss-live-XXXXXX");
	fd = mkstemp(c->file);
	assert_true(fd >= 0);
	for (size_t i = 0; i < FILE_PAGES; i++) {
		unsigned char page[PAGE];

		memset(page, FILL(i), PAGE);
		/* The last page is half full. */
		assert_true(write(fd, page, i == FILE_PAGES - 1 ? PAGE / 2 : PAGE) > 0);
	}
	close(fd);
	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	assert_int_equal(pipe2(from, O_CLOEXEC), 0);
	c->pid = fork();
	if (c->pid == 0) {
		dup2(to[0], STDIN_FILENO);
		dup2(from[1], STDOUT_FILENO);
		execl("/proc/self/exe", "test_live", "--child", c->file, (char *)NULL);
		_exit(4);
	}
	close(to[0]);
	close(from[1]);
	c->in = to[1];
	assert_int_equal(read(from[0], &c->m, sizeof(c->m)), sizeof(c->m));
	close(from[0]);
}

static void child_stop(struct child *c)
{
	int status;

	close(c->in);
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	unlink(c->file);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int set_up(void **state)
{
	static struct child c; /* one child for all tests that do not end it */

	child_start(&c);
	*state = &c;
	return 0;
}

static int tear_down(void **state)
{
	child_stop(*state);
	return 0;
}

static struct target *opened(const struct child *c, const struct live_options *o, struct arena *a)
{
	struct target *t = NULL;
	struct err err = {0};

	if (!live_open(c->pid, o, &t, &err) || !target_facts(t, a, &err) ||
	    !target_scan(t, a, &err))
		fail_msg("%s", err.msg);
	return t;
}

/* A field of the smaps entry that starts at `start`. */
static bytes smaps(pid_t pid, taddr start, const char *key)
{
	struct arena a = {0};
	char *text, path[40], head[40], *entry;
	struct err err = {0};
	bytes v;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	snprintf(head, sizeof(head), "\n%llx-", (unsigned long long)start);
	if (!file_read(AT_FDCWD, path, 1 << 26, &a, &text, NULL, &err))
		fail_msg("%s", err.msg);
	entry = strstr(text, head);
	v = entry					     ? text_kib(entry, key, UINT64_MAX)
	    : strncmp(text, head + 1, strlen(head + 1)) == 0 ? text_kib(text, key, UINT64_MAX)
							     : UINT64_MAX;
	arena_free(&a);
	return v;
}

static struct proc_status status_of(pid_t pid)
{
	struct arena a = {0};
	struct proc_status st;
	char *text, path[40];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	assert_true(file_read(AT_FDCWD, path, 1 << 20, &a, &text, NULL, NULL));
	proc_status_parse(text, &st);
	arena_free(&a);
	return st;
}

/* Facts whose maps leave out a sanitizer's terabytes, which pagemap would walk page by page. */
static struct os_facts without_shadow(const struct os_facts *os, struct arena *a)
{
	struct os_facts some = *os;

	some.maps = ARENA_ARRAY(a, struct mapping, os->n_maps);
	some.n_maps = 0;
	for (uint32_t i = 0; i < os->n_maps; i++)
		if (os->maps[i].end - os->maps[i].start <= BIG)
			some.maps[some.n_maps++] = os->maps[i];
	return some;
}

static void check_against_smaps(const struct child *c, const struct os_facts *os,
				const struct pages *p, const char *source)
{
	for (uint32_t i = 0; i < os->n_maps; i++) {
		const struct mapping *m = &os->maps[i];
		bytes rss = smaps(c->pid, m->start, "Rss:"),
		      ours = pages_in(p, m->start, m->end, PAGE_RESIDENT);

		if (m->end - m->start <= BIG && ours != rss)
			fail_msg("%s: %llx-%llx %s: %llu resident, the kernel says %llu", source,
				 (unsigned long long)m->start, (unsigned long long)m->end, m->path,
				 (unsigned long long)ours, (unsigned long long)rss);
	}
}

static void every_source_agrees_with_smaps(void **state)
{
	const struct child *c = *state;
	struct arena a = {0};
	struct target *t = opened(c, NULL, &a);
	struct os_facts some = without_shadow(t->os, &a);
	struct pages p;
	struct err err = {0};
	char path[40];
	int pagemap;

	assert_true(some.n_maps > 20);
	check_against_smaps(c, &some, &t->os->pages, "best");
	snprintf(path, sizeof(path), "/proc/%d/pagemap", c->pid);
	pagemap = open(path, O_RDONLY);
	assert_true(pagemap >= 0);

	pages_init(&p, &a);
	if (!residency_pagemap(pagemap, &some, &p, &err))
		fail_msg("%s", err.msg);
	pages_close(&p);
	check_against_smaps(c, &some, &p, "pagemap");
	/* Page for page the same, not only in sum. */
	if (t->os->residency == RESIDENCY_SCAN)
		for (uint32_t i = 0; i < some.n_maps; i++)
			for (taddr at = some.maps[i].start; at < some.maps[i].end; at += PAGE)
				assert_int_equal(pages_is(&p, at, PAGE_RESIDENT),
						 pages_is(&t->os->pages, at, PAGE_RESIDENT));
	close(pagemap);
	target_close(t);

	t = opened(c, &(struct live_options){.source = RESIDENCY_SMAPS}, &a);
	assert_int_equal(t->os->residency, RESIDENCY_SMAPS);
	check_against_smaps(c, &some, &t->os->pages, "smaps");
	assert_int_equal(t->os->pages.resident, t->os->rss_kernel);
	target_close(t);
	arena_free(&a);
}

static void the_sum_is_rss(void **state)
{
	const struct child *c = *state;
	struct arena a = {0};
	struct target *t = opened(c, &(struct live_options){.pss = true}, &a);
	const struct os_facts *os = t->os;

	assert_int_equal(os->pages.resident, os->rss_kernel);
	assert_int_equal(os->anon + os->file + os->shmem, os->rss_kernel);
	assert_int_equal(os->drift, 0);
	assert_int_equal(os->pages.swapped, 0);
	assert_true(os->pss > 0 && os->pss <= os->rss_kernel);
	assert_int_equal(os->huge, smaps(c->pid, map_find(os, c->m.huge)->start, "AnonHugePages:"));
	target_close(t);
	arena_free(&a);
}

static bool resident(const struct target *t, taddr base, size_t page)
{
	return pages_is(&t->os->pages, base + page * PAGE, PAGE_RESIDENT);
}

static void known_pages_are_where_they_belong(void **state)
{
	const struct child *c = *state;
	const struct made *m = &c->m;
	struct arena a = {0};
	struct target *t = opened(c, NULL, &a);

	for (size_t i = 0; i < 64; i++)
		assert_int_equal(resident(t, m->anon, i), i % 2 == 0);
	for (size_t i = 0; i < 32; i++)
		assert_false(resident(t, m->zero, i)); /* the zero page is in nobody's RSS */
	for (size_t i = 0; i < 20; i++)
		assert_true(resident(t, m->private, i));
	assert_true(resident(t, m->shared, 100));
	for (size_t i = 0; i < 16; i++)
		assert_int_equal(resident(t, m->memfd, i), i < 4);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(resident(t, m->common, i), i < 2);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(resident(t, m->none, i), i < 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(resident(t, m->zeros, i), i == 1);
	assert_int_equal(pages_in(&t->os->pages, m->huge, m->huge + 4 * HUGE, PAGE_RESIDENT), HUGE);
	assert_int_equal(
		pages_in(&t->os->pages, m->reserved, m->reserved + 1024 * PAGE, PAGE_RESIDENT), 0);
	/* Flags of the mappings. */
	assert_true(map_find(t->os, m->memfd)->flags & MAP_SHMEM);
	assert_true(str_starts(map_find(t->os, m->memfd)->path, "/memfd:ring"));
	assert_true(map_find(t->os, m->common)->flags & MAP_SHMEM);
	assert_true(map_find(t->os, m->private)->flags & MAP_FILE);
	assert_string_equal(map_find(t->os, m->private)->path, c->file);
	assert_int_equal(map_find(t->os, m->zeros)->flags, MAP_READ | MAP_WRITE);
	assert_int_equal(map_find(t->os, m->none)->flags & (MAP_READ | MAP_WRITE | MAP_EXEC), 0);
	target_close(t);
	arena_free(&a);
}

static bool all(const unsigned char *p, size_t n, unsigned char want)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != want)
			return false;
	return true;
}

static void check_page(struct target *t, taddr base, size_t page, unsigned char want)
{
	unsigned char b[PAGE];

	memset(b, 0x55, sizeof(b));
	assert_int_equal(target_read(t, base + page * PAGE, b, PAGE), PAGE);
	if (!all(b, PAGE, want))
		fail_msg("page %zu at %#llx: %#x, not %#x", page, (unsigned long long)base, b[0],
			 want);
}

static void check_contents(const struct child *c, struct target *t)
{
	const struct made *m = &c->m;
	unsigned char b[3 * PAGE];

	for (size_t i = 0; i < 64; i++)
		check_page(t, m->anon, i, i % 2 ? 0 : FILL(i));
	for (size_t i = 0; i < 32; i++)
		check_page(t, m->zero, i, 0);
	for (size_t i = 0; i < FILE_PAGES - 1; i++) {
		check_page(t, m->private, i, i >= 10 && i < 20 ? 0xee : FILL(i));
		check_page(t, m->shared, i, FILL(i));
		check_page(t, m->readonly, i, FILL(i));
	}
	/* The file ends in the middle of its last page; behind that page is nothing. */
	memset(b, 0x55, sizeof(b));
	assert_int_equal(target_read(t, m->readonly + (FILE_PAGES - 1) * PAGE, b, 3 * PAGE), PAGE);
	assert_true(all(b, PAGE / 2, FILL(FILE_PAGES - 1)) && all(b + PAGE / 2, PAGE / 2, 0));
	for (size_t i = 0; i < 2; i++)
		check_page(t, m->common, i, FILL(i));
	for (size_t i = 0; i < 4; i++)
		check_page(t, m->none, i, FILL(i));
	for (size_t i = 0; i < 4; i++)
		check_page(t, m->zeros, i, i == 1 ? FILL(i) : 0);
	check_page(t, m->huge, 511, 0xab);
	check_page(t, m->huge, 512, 0);
	check_page(t, m->huge, 2000, 0);
	/* What the target itself would fault on. */
	if (m->guard)
		assert_int_equal(target_read(t, m->guard, b, 3 * PAGE), 2 * PAGE);
	assert_int_equal(target_read(t, m->none + 3 * PAGE, b, 2 * PAGE), PAGE);
	assert_int_equal(target_read(t, m->reserved, b, 1), 0);
	assert_int_equal(target_read(t, 0, b, 1), 0);
	assert_int_equal(target_read(t, UINT64_MAX, b, 1), 0);
	assert_int_equal(target_read(t, UINT64_MAX - 1, b, 100), 0);
	/*
	 * Shared memory that the child never touched through its mapping comes from the file, which
	 * has no name: only root can open it, others get a fault.
	 */
	for (size_t i = 0; i < 16; i++)
		if (geteuid() == 0)
			check_page(t, m->memfd, i, i < 4 || (i >= 8 && i < 12) ? FILL(i) : 0);
		else
			assert_int_equal(target_read(t, m->memfd + i * PAGE, b, PAGE),
					 i < 4 ? PAGE : 0);
	for (size_t i = 2; i < 8; i++)
		if (geteuid() == 0)
			check_page(t, m->common, i, 0);
}

static void check_same_size(const struct proc_status *before, const struct proc_status *after)
{
	assert_int_equal(before->anon, after->anon);
	assert_int_equal(before->file, after->file);
	assert_int_equal(before->shmem, after->shmem);
	assert_int_equal(before->page_tables, after->page_tables);
}

static void reads_are_right_and_make_nothing_resident(void **state)
{
	const struct child *c = *state;
	struct arena a = {0};
	struct proc_status before, after;
	struct target *t = opened(c, NULL, &a);
	unsigned char *all_of_it = malloc(BIG);

	before = status_of(c->pid);
	check_contents(c, t);
	for (uint32_t i = 0; i < t->os->n_maps; i++)
		if (t->os->maps[i].end - t->os->maps[i].start <= BIG)
			target_read(t, t->os->maps[i].start, all_of_it,
				    (size_t)(t->os->maps[i].end - t->os->maps[i].start));
	after = status_of(c->pid);
	check_same_size(&before, &after);
	assert_true(t->stats.zero_fills > 32 * PAGE);
	assert_true(t->stats.file_bytes > 200 * PAGE);
	assert_int_equal(t->stats.swapped_reads, 0);
	target_close(t);

	/* Without a page walk, or with one that only knows sums, the kernel is asked per read. */
	assert_true(live_open(c->pid, NULL, &t, NULL));
	assert_int_equal(target_read(t, c->m.anon, all_of_it, 1), 0); /* no facts, no mappings */
	assert_true(target_facts(t, &a, NULL));
	check_contents(c, t);
	target_close(t);
	t = opened(c, &(struct live_options){.source = RESIDENCY_SMAPS}, &a);
	check_contents(c, t);
	target_close(t);
	after = status_of(c->pid);
	check_same_size(&before, &after);
	free(all_of_it);
	arena_free(&a);
}

static void batches_equal_single_reads(void **state)
{
	enum { N = 6000 };
	const struct child *c = *state;
	struct arena a = {0};
	struct target *t = opened(c, NULL, &a);
	struct proc_status before = status_of(c->pid), after;
	struct mem_span *s = calloc(N, sizeof(*s));
	unsigned char *got = calloc(N, 256), one[256];
	const taddr bases[] = {c->m.anon, c->m.private, c->m.readonly, c->m.huge,   c->m.none,
			       c->m.zero, c->m.memfd,	c->m.reserved, c->m.common, 0x1000};
	unsigned seed = 5;
	uint64_t calls;

	/* Ascending runs with holes of all sizes, jumps, other mappings, faults in between. */
	for (size_t i = 0; i < N; i++) {
		taddr at = i && rand_r(&seed) % 8
				   ? s[i - 1].at + s[i - 1].n + (uint64_t)(rand_r(&seed) % 5) * 300
				   : bases[(size_t)rand_r(&seed) % ARRAY_LEN(bases)] +
					     (uint64_t)rand_r(&seed) % (64 * PAGE);

		s[i] = (struct mem_span){at, got + i * 256, (uint32_t)rand_r(&seed) % 257, 0xdead};
	}
	mem_read_many(t, s, N);
	for (size_t i = 0; i < N; i++) {
		uint32_t n = (uint32_t)target_read(t, s[i].at, one, s[i].n);

		if (s[i].got != n || memcmp(one, s[i].dst, n) != 0)
			fail_msg("span %zu: %u bytes at %#llx: %u, alone %u", i, s[i].n,
				 (unsigned long long)s[i].at, s[i].got, n);
	}
	after = status_of(c->pid);
	check_same_size(&before, &after);

	/* Neighbours are joined: 2 MiB in 64-byte pieces is one call. */
	free(s);
	free(got);
	s = calloc(HUGE / 64, sizeof(*s));
	got = calloc(HUGE, 1);
	for (size_t i = 0; i < HUGE / 64; i++)
		s[i] = (struct mem_span){c->m.huge + i * 64, got + i * 64, 64, 0};
	calls = t->stats.reads;
	mem_read_many(t, s, HUGE / 64);
	assert_int_equal(t->stats.reads - calls, 1);
	assert_true(all(got, HUGE, 0xab));
	mem_read_many(t, NULL, 0);
	free(s);
	free(got);
	target_close(t);
	arena_free(&a);
}

/* A mapping that went away after the walk: its spans fault, and only they. */
static void a_fault_stays_inside_its_span(void **state)
{
	const struct child *c = *state;
	struct arena a = {0};
	struct target *t = opened(c, NULL, &a);
	struct mapping *gone = ARENA_ARRAY(&a, struct mapping, t->os->n_maps + 1);
	unsigned char b[4][64] = {{0}};
	struct mem_span s[4] = {
		{c->m.anon, b[0], 64, 0},
		{c->m.anon + 600, b[1], 64, 0}, /* the bytes between are read, too */
		{0x10000, b[2], 64, 0},
		{c->m.huge, b[3], 64, 0}};

	/* Facts that claim a resident page where nothing is. */
	gone[0] = (struct mapping){.start = 0x10000, .end = 0x11000, .flags = MAP_READ, .path = ""};
	memcpy(gone + 1, t->os->maps, t->os->n_maps * sizeof(*gone));
	t->os->maps = gone;
	t->os->n_maps++;
	assert_true(pages_set(&t->os->pages, 0x10000, 0x11000, PAGE_RESIDENT, NULL));
	pages_close(&t->os->pages);
	mem_read_many(t, s, 4);
	assert_int_equal(s[0].got, 64);
	assert_int_equal(s[1].got, 64);
	assert_int_equal(s[2].got, 0);
	assert_int_equal(s[3].got, 64);
	assert_true(all(b[0], 128, FILL(0)) && all(b[3], 64, 0xab));
	target_close(t);
	arena_free(&a);
}

struct reader {
	struct target *t;
	const struct child *c;
	bool same;
};

static void *read_in_thread(void *arg)
{
	struct reader *r = arg;

	r->same = true;
	for (int i = 0; i < 3000; i++) {
		size_t page = (size_t)i % 64;
		unsigned char b[PAGE];

		r->same &= target_read(r->t, r->c->m.anon + page * PAGE, b, PAGE) == PAGE &&
			   all(b, PAGE, page % 2 ? 0 : FILL(page)) &&
			   target_read(r->t, r->c->m.readonly + page * PAGE, b, PAGE) == PAGE &&
			   all(b, PAGE, FILL(page));
	}
	return NULL;
}

static void a_twin_reads_in_another_thread(void **state)
{
	const struct child *c = *state;
	struct arena a = {0};
	struct target *t = opened(c, NULL, &a);
	struct reader r[2] = {{t, c, false}, {target_twin(t), c, false}};
	pthread_t other;

	assert_non_null(r[1].t);
	assert_int_equal(pthread_create(&other, NULL, read_in_thread, &r[1]), 0);
	read_in_thread(&r[0]);
	pthread_join(other, NULL);
	assert_true(r[0].same && r[1].same);
	target_close(r[1].t);
	check_page(t, c->m.anon, 0, FILL(0)); /* the first still reads */
	target_close(t);
	arena_free(&a);
}

static void strings_and_numbers(void **state)
{
	const struct child *c = *state;
	struct arena a = {0};
	struct target *t = opened(c, NULL, &a);
	struct err err = {0};
	uint64_t v;
	char *s;

	assert_true(mem_uint(t, c->m.anon + 2 * PAGE, 4, &v, &err));
	assert_int_equal(v, FILL(2) * 0x01010101U);
	assert_true(mem_uint(t, c->m.anon + 3 * PAGE - 1, 2, &v, &err)); /* across pages */
	assert_int_equal(v, FILL(2));
	/* Page 2 is full of one byte, page 3 is zeros. */
	assert_true(mem_string(t, c->m.anon + 2 * PAGE, MEM_NUL, PAGE, &a, &s, &err));
	assert_int_equal(strlen(s), PAGE);
	assert_false(mem_string(t, c->m.anon + 2 * PAGE, MEM_NUL, PAGE - 1, &a, &s, &err));
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_true(mem_string(t, c->m.anon + 2 * PAGE, 5, 5, &a, &s, &err));
	assert_int_equal(strlen(s), 5);
	assert_true(mem_string(t, 0, 0, 5, &a, &s, &err));
	assert_string_equal(s, "");
	assert_false(mem_string(t, c->m.anon, 6, 5, &a, &s, &err));
	assert_int_equal(err.kind, ERR_LIMIT);
	/* Four full pages, then four that nobody can read. */
	assert_false(mem_string(t, c->m.none + 3 * PAGE, MEM_NUL, 2 * PAGE, &a, &s, &err));
	assert_int_equal(err.kind, ERR_FAULT);
	assert_int_equal(err.addr, c->m.none + 4 * PAGE);
	assert_false(mem_read(t, c->m.none + 4 * PAGE, &v, 8, &err));
	assert_int_equal(err.kind, ERR_FAULT);
	target_close(t);
	arena_free(&a);
}

static void files_behind_mappings_open(void **state)
{
	const struct child *c = *state;
	struct arena a = {0};
	struct target *t = opened(c, NULL, &a);
	struct err err = {0};
	struct stat mine, theirs;
	const struct mapping *m = NULL;
	int fd;

	/* The program itself, as its first mapping shows it. */
	for (uint32_t i = 0; i < t->os->n_maps; i++) {
		m = &t->os->maps[i];
		if (strcmp(m->path, t->os->exe) == 0)
			break;
	}
	fd = t->ops->open_file(t, m, &err);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &theirs), 0);
	assert_int_equal(stat("/proc/self/exe", &mine), 0);
	assert_true(mine.st_ino == theirs.st_ino && mine.st_dev == theirs.st_dev);
	close(fd);
	assert_int_equal(t->ops->open_file(t, map_find(t->os, c->m.anon), &err), -1);
	assert_int_equal(err.kind, ERR_USAGE);
	target_close(t);
	arena_free(&a);
}

static void facts_of_the_child(void **state)
{
	const struct child *c = *state;
	struct arena a = {0};
	struct target *t = opened(c, NULL, &a);
	const struct os_facts *os = t->os;
	char exe[200] = "";
	uint32_t on_stack = 0;

	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	assert_string_equal(os->exe, exe);
	assert_false(os->exe_deleted);
	assert_string_equal(os->cmdline0, "test_live");
	assert_true(os->up_ns >= 0 && os->up_ns < (int64_t)300 * 1000000000);
	assert_true(os->n_cpus >= 1 && os->n_cpus <= (uint32_t)sysconf(_SC_NPROCESSORS_CONF));
	assert_true(os->machine_total > os->machine_available && os->machine_available > 0);
	assert_true(os->n_threads >= 9);
	for (uint32_t i = 0; i < os->n_threads; i++) {
		assert_true(os->threads[i].on_cpu || os->threads[i].sp);
		/* In a sanitizer's stack or in the kernel's: mapped and resident either way. */
		on_stack +=
			os->threads[i].sp && pages_is(&os->pages, os->threads[i].sp, PAGE_RESIDENT);
	}
	assert_true(on_stack >= 1);
	target_close(t);
	arena_free(&a);
}

static void sleep_ms(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&ts, NULL);
}

/* Whether any counter moves within 60 ms. */
static bool counts(const struct child *c)
{
	struct arena a = {0};
	struct target *t = opened(c, NULL, &a);
	uint64_t before[8], after[8];

	assert_true(mem_read(t, c->m.counters, before, sizeof(before), NULL));
	sleep_ms(60);
	assert_true(mem_read(t, c->m.counters, after, sizeof(after), NULL));
	target_close(t);
	arena_free(&a);
	return memcmp(before, after, sizeof(before)) != 0;
}

static void freeze_stops_everything_and_lets_go(void **state)
{
	const struct child *c = *state;

	assert_true(counts(c));
	for (int round = 0; round < 5; round++) {
		struct arena a = {0};
		struct target *t = opened(c, &(struct live_options){.freeze = true}, &a);

		assert_false(counts(c));
		for (uint32_t i = 0; i < t->os->n_threads; i++)
			assert_false(t->os->threads[i].on_cpu);
		assert_int_equal(t->stopped_ns, 0);
		if (round % 2) {
			target_thaw(t);
			assert_true(t->stopped_ns >= 60000000 &&
				    t->stopped_ns < (int64_t)20000000000);
			assert_true(counts(c));
			assert_true(target_facts(t, &a, NULL)); /* once is enough */
			assert_true(counts(c));
		}
		target_close(t);
		assert_true(counts(c));
		arena_free(&a);
	}
}

/* A thread may be about to receive a signal when it is stopped: it gets it when it runs again. */
static void freeze_loses_no_signal(void **state)
{
	const struct child *c = *state;
	struct arena a = {0};
	struct target *t = opened(c, NULL, &a);
	uint64_t before, now = 0, sent = 0;

	assert_true(mem_uint(t, c->m.counters + 64, 8, &before, NULL));
	for (int round = 0; round < 60; round++) {
		struct target *f;

		assert_true(live_open(c->pid, &(struct live_options){.freeze = true}, &f, NULL));
		for (int i = 0; i < 20; i++)
			sent += sigqueue(c->pid, SIGRTMIN, (union sigval){0}) == 0;
		assert_true(target_facts(f, &a, NULL));
		target_close(f);
	}
	for (int i = 0; i < 200 && now < before + sent; i++) {
		sleep_ms(10);
		assert_true(mem_uint(t, c->m.counters + 64, 8, &now, NULL));
	}
	assert_int_equal(now, before + sent);
	target_close(t);
	arena_free(&a);
}

static void a_killed_tracer_leaves_nothing_stopped(void **state)
{
	const struct child *c = *state;
	pid_t tool = fork();
	int status;

	if (tool == 0) {
		struct arena a = {0};
		struct target *t;

		if (live_open(c->pid, &(struct live_options){.freeze = true}, &t, NULL) &&
		    target_facts(t, &a, NULL))
			raise(SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(tool, &status, 0), tool);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_true(counts(c));
}

static void a_traced_process_cannot_be_frozen_twice(void **state)
{
	const struct child *c = *state;
	struct live_options o = {.freeze = true};
	struct arena a = {0};
	struct target *first = opened(c, &o, &a), *second;
	struct err err = {0};

	assert_true(live_open(c->pid, &o, &second, &err));
	assert_false(target_facts(second, &a, &err));
	assert_int_equal(err.kind, ERR_PERM);
	target_close(second);
	assert_false(counts(c)); /* the first still holds it */
	target_close(first);
	assert_true(counts(c));
	arena_free(&a);
}

static void ended_processes_are_gone(void **state)
{
	struct child c;
	struct arena a = {0};
	struct target *t, *other = NULL;
	struct err err = {0};
	uint64_t v;
	int status;

	(void)state;
	child_start(&c);
	t = opened(&c, NULL, &a);
	close(c.in);
	/* It ends, but nobody has waited for it. */
	for (int i = 0; i < 500 && !strstr(err.msg, "zombie"); i++) {
		if (!target_facts(t, &a, &err))
			assert_int_equal(err.kind, ERR_GONE); /* also while it is ending */
		sleep_ms(i < 400 ? 0 : 50);
	}
	assert_non_null(strstr(err.msg, "zombie"));
	assert_false(target_scan(t, &a, &err));
	assert_int_equal(err.kind, ERR_GONE);
	assert_false(live_open(c.pid, NULL, &other, &err));
	assert_int_equal(err.kind, ERR_GONE);
	/* Its memory stays as long as anyone on this machine is reading it. */
	for (int i = 0; i < 100 && mem_uint(t, c.m.anon, 8, &v, &err); i++)
		sleep_ms(20);
	assert_false(mem_uint(t, c.m.anon, 8, &v, &err));
	assert_int_equal(err.kind, ERR_FAULT);
	assert_int_equal(waitpid(c.pid, &status, 0), c.pid);
	assert_false(target_facts(t, &a, &err));
	assert_int_equal(err.kind, ERR_GONE);
	assert_false(target_scan(t, &a, &err));
	assert_int_equal(err.kind, ERR_GONE);
	assert_false(live_open(c.pid, NULL, &other, &err));
	assert_int_equal(err.kind, ERR_GONE);
	assert_null(other);
	target_close(t);
	target_close(NULL);
	unlink(c.file);
	assert_false(live_open(0, NULL, &t, &err));
	assert_false(live_open(-1, NULL, &t, &err));
	assert_false(live_open(INT32_MAX, NULL, &t, &err));
	assert_string_equal(err.msg, "no process 2147483647");
	arena_free(&a);
}

static void kernel_threads_are_no_go_processes(void **state)
{
	struct target *t;
	struct err err = {0};
	struct proc_status st;

	(void)state;
	st = status_of(2);
	if (st.has_memory || geteuid() != 0)
		skip(); /* a container: PID 2 is someone else */
	assert_false(live_open(2, NULL, &t, &err));
	assert_int_equal(err.kind, ERR_NOT_GO);
	assert_non_null(strstr(err.msg, "thread of the kernel"));
}

/* Opens the target as user nobody and returns the message; "" when it worked. */
static void as_nobody(pid_t pid, bool with_list, char *msg, size_t size)
{
	int p[2], status;
	ssize_t n;
	pid_t tool;

	assert_int_equal(pipe(p), 0);
	tool = fork();
	if (tool == 0) {
		struct target *t;
		struct err err = {0};

		if (setgid(65534) || setuid(65534))
			_exit(1);
		if (with_list) {
			struct arena a = {0};
			struct process_row *rows;
			uint32_t count;

			if (process_list(NULL, &a, &rows, &count, &err))
				for (uint32_t i = 0; i < count; i++)
					if (rows[i].pid == pid)
						snprintf(err.msg, sizeof(err.msg), "%s %d",
							 rows[i].comm, rows[i].readable);
		} else if (live_open(pid, NULL, &t, &err)) {
			target_close(t);
		} else if (err.kind != ERR_PERM) {
			strcpy(err.msg, "another kind");
		}
		if (write(p[1], err.msg, strlen(err.msg) + 1) < 0)
			_exit(1);
		_exit(0);
	}
	close(p[1]);
	n = read(p[0], msg, size - 1);
	msg[n > 0 ? n : 0] = '\0';
	close(p[0]);
	assert_int_equal(waitpid(tool, &status, 0), tool);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void refusals_say_what_would_help(void **state)
{
	const struct child *c = *state;
	char msg[400], want[400];
	int p[2], status;
	pid_t hidden;
	char ready;

	if (geteuid() != 0)
		skip();
	as_nobody(c->pid, false, msg, sizeof(msg));
	snprintf(want, sizeof(want),
		 "process %d belongs to user 0 and this is user 65534: run whyrss as that user or "
		 "root, or give "
		 "it CAP_SYS_PTRACE",
		 c->pid);
	assert_string_equal(msg, want);
	as_nobody(c->pid, true, msg, sizeof(msg));
	assert_string_equal(msg, "exe 0"); /* comm of execl("/proc/self/exe") */

	/* The same user, but a process that changed its user hides its memory. */
	assert_int_equal(pipe(p), 0);
	hidden = fork();
	if (hidden == 0) {
		if (setgid(65534) || setuid(65534) || prctl(PR_SET_DUMPABLE, 0) ||
		    write(p[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(p[0], &ready, 1), 1);
	as_nobody(hidden, false, msg, sizeof(msg));
	assert_non_null(strstr(msg, "PR_SET_DUMPABLE"));
	kill(hidden, SIGKILL);
	assert_int_equal(waitpid(hidden, &status, 0), hidden);
	close(p[0]);
	close(p[1]);
}

static void the_list_shows_the_child(void **state)
{
	const struct child *c = *state;
	struct arena a = {0};
	struct process_row *rows;
	struct err err = {0};
	uint32_t n, found = 0;

	assert_true(process_list(NULL, &a, &rows, &n, &err));
	for (uint32_t i = 0; i < n; i++) {
		assert_true(i == 0 || rows[i - 1].pid < rows[i].pid);
		if (rows[i].pid != c->pid)
			continue;
		found++;
		assert_true(rows[i].readable);
		assert_string_equal(rows[i].comm, "exe"); /* as execl("/proc/self/exe") names it */
		assert_int_equal(rows[i].uid, geteuid());
		assert_true(rows[i].rss > HUGE);
	}
	assert_int_equal(found, 1);
	arena_free(&a);
}

/* Reads known memory in one long read, one short one and a batch; 0 when all of it is right. */
static int read_all_ways(const struct child *c, bool freeze)
{
	enum { LONG = 1 << 20 };
	struct live_options o = {.freeze = freeze};
	struct arena a = {0};
	struct target *t;
	unsigned char *b = malloc(LONG), few[64];
	struct mem_span s[2] = {{c->m.huge, b, 5000, 0}, {c->m.huge + 8000, b + 5000, 5000, 0}};
	struct err err = {0};

	if (!live_open(c->pid, &o, &t, &err))
		return 2;
	if (!target_facts(t, &a, &err))
		return err.kind == ERR_USAGE ? 3 : 2;
	if (!target_scan(t, &a, &err) || t->os->pages.resident != t->os->rss_kernel)
		return 2;
	if (target_read(t, c->m.huge, b, LONG) != LONG || !all(b, LONG, 0xab))
		return 4;
	if (target_read(t, c->m.anon, few, 64) != 64 || !all(few, 64, FILL(0)))
		return 5;
	memset(b, 0, 10000);
	mem_read_many(t, s, 2);
	if (s[0].got != 5000 || s[1].got != 5000 || !all(b, 10000, 0xab))
		return 6;
	target_close(t);
	arena_free(&a);
	free(b);
	return 0;
}

static int exit_code(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* As containers have it: process_vm_readv is forbidden, /proc/PID/mem is not. */
static void a_seccomp_filter_leaves_proc_mem(void **state)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {ARRAY_LEN(filter), filter};
	pid_t tool = fork();

	if (tool == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) ||
		    process_vm_readv(1, NULL, 0, NULL, 0, 0) == 0)
			_exit(9);
		_exit(read_all_ways(*state, false));
	}
	assert_int_equal(exit_code(tool), 0);
}

/* A /proc whose numbers are not ours, as a host's in a container: its own files are all that is
 * safe. */
static void a_proc_of_another_pid_namespace_is_read_through_its_files(void **state)
{
	pid_t tool;

	if (geteuid() != 0)
		skip();
	for (int freeze = 0; freeze < 2; freeze++) {
		tool = fork();
		if (tool == 0) {
			pid_t inner;
			int status;

			if (unshare(CLONE_NEWPID) != 0)
				_exit(77);
			inner = fork();
			if (inner == 0)
				_exit(read_all_ways(*state, freeze));
			_exit(waitpid(inner, &status, 0) == inner && WIFEXITED(status)
				      ? WEXITSTATUS(status)
				      : 1);
		}
		/* ptrace by number would stop a stranger: that is refused. */
		assert_int_equal(exit_code(tool), freeze ? 3 : 0);
	}
	assert_true(counts(*state));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_source_agrees_with_smaps),
		cmocka_unit_test(the_sum_is_rss),
		cmocka_unit_test(known_pages_are_where_they_belong),
		cmocka_unit_test(reads_are_right_and_make_nothing_resident),
		cmocka_unit_test(batches_equal_single_reads),
		cmocka_unit_test(a_fault_stays_inside_its_span),
		cmocka_unit_test(a_twin_reads_in_another_thread),
		cmocka_unit_test(strings_and_numbers),
		cmocka_unit_test(files_behind_mappings_open),
		cmocka_unit_test(facts_of_the_child),
		cmocka_unit_test(the_list_shows_the_child),
		cmocka_unit_test(a_seccomp_filter_leaves_proc_mem),
		cmocka_unit_test(a_proc_of_another_pid_namespace_is_read_through_its_files),
		cmocka_unit_test(freeze_stops_everything_and_lets_go),
		cmocka_unit_test(freeze_loses_no_signal),
		cmocka_unit_test(a_killed_tracer_leaves_nothing_stopped),
		cmocka_unit_test(a_traced_process_cannot_be_frozen_twice),
		cmocka_unit_test(refusals_say_what_would_help),
		cmocka_unit_test(kernel_threads_are_no_go_processes),
		cmocka_unit_test(ended_processes_are_gone),
	};

	if (argc == 3 && strcmp(argv[1], "--child") == 0)
		return child_main(argv[2]);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
