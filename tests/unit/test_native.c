/*
 * src/native/ against real processes: C programs with a known heap say what malloc itself counts,
 * and the walk from outside must come to the same bytes. Then a program that never rests, and
 * targets that lie.
 *
 * WHYRSS_TEST_LD, when set, is put in front of the programs' command line:
 * "DIR/ld-linux-x86-64.so.2
 * --library-path DIR" runs all of it with another glibc. WHYRSS_TEST_FILTER picks tests by name,
 * WHYRSS_TEST_ROUNDS sets how often memory is damaged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "native/native.h"

static char dir[] = "/tmp/whyrss-native-XXXXXX";
static bool have_static;

/* ---- Programs ---- */

struct program {
	int pid, in;
	char out[128];
};

static double seconds_of(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds(void)
{
	return seconds_of(CLOCK_MONOTONIC);
}

/* Whether the file ends with the line "end 1". */
static bool has_end(const char *path)
{
	char tail[8] = "";
	FILE *f = fopen(path, "r");
	bool yes;

	if (!f)
		return false;
	yes = fseek(f, -6, SEEK_END) == 0 && fread(tail, 1, 6, f) == 6 &&
	      strcmp(tail, "end 1\n") == 0;
	fclose(f);
	return yes;
}

/* Starts DIR/name with `args` behind the name of its output file, and waits until it has told all.
 */
static void program_start(struct program *p, const char *name, const char *args,
			  const char *tunables)
{
	const char *ld = getenv("WHYRSS_TEST_LD");
	char line[1024];
	double until = seconds() + 60;
	int in[2];

	snprintf(p->out, sizeof(p->out), "%s/%s.out", dir, name);
	unlink(p->out);
	snprintf(line, sizeof(line), "%s%s exec %s %s/%s %s %s", tunables ? "GLIBC_TUNABLES=" : "",
		 tunables ? tunables : "", ld && !strstr(name, "static") ? ld : "", dir, name,
		 p->out, args);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (p->pid == 0) {
		dup2(in[0], 0);
		execl("/bin/sh", "sh", "-c", line, NULL);
		_exit(127);
	}
	close(in[0]);
	p->in = in[1];
	while (!has_end(p->out)) {
		int status;

		if (waitpid(p->pid, &status, WNOHANG) != 0)
			fail_msg("%s ended, status %d", line, status);
		if (seconds() > until)
			fail_msg("%s did not get ready", line);
		usleep(2000);
	}
}

static void program_stop(struct program *p)
{
	close(p->in);
	kill(p->pid, SIGKILL);
	waitpid(p->pid, NULL, 0);
}

/* ---- What a program said ---- */

struct block {
	taddr at;
	uint64_t usable;
};

struct said {
	uint64_t arena, uordblks, fordblks, fsmblks, keepcost, hblks, hblkhd, failed, blocks, end;
	struct block *block;
	struct addr_range stack[64];
	uint32_t n_block, n_stack;
	bytes main_system, other_system; /* from malloc_info */
	uint32_t arenas;
};

static void said_read(const struct program *p, struct said *s)
{
	const struct {
		const char *name;
		uint64_t *to;
	} names[] = {{"arena", &s->arena},	 {"uordblks", &s->uordblks},
		     {"fordblks", &s->fordblks}, {"fsmblks", &s->fsmblks},
		     {"keepcost", &s->keepcost}, {"hblks", &s->hblks},
		     {"hblkhd", &s->hblkhd},	 {"failed", &s->failed},
		     {"blocks", &s->blocks},	 {"end", &s->end}};
	char name[32], path[160], line[256];
	unsigned long long a, b;
	FILE *f = fopen(p->out, "r");

	memset(s, 0, sizeof(*s));
	s->block = malloc(3000000 * sizeof(*s->block));
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		int n = sscanf(line, "%31s %llu %llu", name, &a, &b);

		assert_true(n >= 2);
		if (strcmp(name, "block") == 0)
			s->block[s->n_block++] = (struct block){a, b};
		else if (strcmp(name, "stack") == 0)
			s->stack[s->n_stack++] = (struct addr_range){a, b};
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			if (strcmp(name, names[i].name) == 0)
				*names[i].to = a;
	}
	fclose(f);
	assert_int_equal(s->end, 1);
	assert_int_equal(s->failed, 0);
	assert_int_equal(s->blocks, s->n_block);
	snprintf(path, sizeof(path), "%s.xml", p->out);
	f = fopen(path, "r");
	assert_non_null(f);
	for (bool heap = false; fgets(line, sizeof(line), f);) {
		if (strstr(line, "<heap nr"))
			heap = true;
		if (heap && sscanf(line, "<system type=\"current\" size=\"%llu\"/>", &a) == 1) {
			*(s->arenas++ ? &s->other_system : &s->main_system) += a;
			heap = false;
		}
	}
	fclose(f);
}

/* ---- Reading ---- */

struct reading {
	struct target *t;
	struct arena mem, out;
	struct snapshot s;
	struct native n;
	double took;
};

static void reading_open(struct reading *r, int pid)
{
	struct live_options o = {.proc = "/proc", .cgroupfs = "/sys/fs/cgroup"};
	struct err err = {0};

	memset(r, 0, sizeof(*r));
	arena_init(&r->mem, 0);
	arena_init(&r->out, 0);
	arena_init(&r->s.mem, 0);
	if (!live_open(pid, &o, &r->t, &err) || !target_facts(r->t, &r->mem, &err) ||
	    !target_scan(r->t, &r->mem, &err))
		fail_msg("%s", err.msg);
	r->s.cgo = true;
}

static void reading_close(struct reading *r)
{
	target_close(r->t);
	arena_free(&r->mem);
	arena_free(&r->out);
	arena_free(&r->s.mem);
}

/* Resident pages, as the kernel counts them. */
static unsigned long rss_of(int pid)
{
	unsigned long size, rss = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu", &size, &rss), 2);
	fclose(f);
	return rss;
}

static void reading_run(struct reading *r)
{
	static const struct native_taken nothing;
	/* CPU time: on a loaded machine the same work takes longer */
	double start = seconds_of(CLOCK_PROCESS_CPUTIME_ID);

	native_read(r->t, &nothing, NULL, 0, &r->out, &r->s, &r->n);
	r->took = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - start;
}

/* What holds of every answer, whatever the target: order, bounds, sums. */
static void check_sound(const struct reading *r)
{
	const struct native *n = &r->n;
	bytes used = 0, all = 0;

	for (uint32_t i = 0; i < n->n_ranges; i++) {
		const struct native_range *v = &n->ranges[i];
		uint64_t pages = (v->end - v->start) / OS_PAGE;

		assert_true(v->start < v->end && v->start % OS_PAGE == 0 && v->end % OS_PAGE == 0);
		assert_true(i == 0 || n->ranges[i - 1].end <= v->start);
		for (uint64_t k = 0; k < pages; k++) {
			uint32_t mine = v->mine ? v->mine[k] : OS_PAGE,
				 u = v->used ? v->used[k] : mine;

			if (u > mine || mine > OS_PAGE)
				fail_msg("page %llu: %u of %u used", (unsigned long long)k, u,
					 mine);
			used += u;
			all += mine;
		}
	}
	assert_int_equal(used, n->used);
	assert_int_equal(all - used, n->free);
	assert_true(n->mmapped <= n->used);
	for (uint32_t i = 0; i < n->n_thread_stacks; i++) {
		const struct addr_range *v = &n->thread_stacks[i];

		assert_true(v->start < v->end && v->start % OS_PAGE == 0 && v->end % OS_PAGE == 0);
		assert_true(i == 0 || n->thread_stacks[i - 1].end <= v->start);
		for (uint32_t k = 0; k < n->n_ranges; k++)
			assert_true(n->ranges[k].end <= v->start || v->end <= n->ranges[k].start);
	}
}

static void print_notes(const struct reading *r)
{
	for (uint32_t i = 0; i < r->s.notes.n; i++)
		print_message("  note: %s\n", r->s.notes.v[i]);
}

/* Bytes of the program's blocks on each page of a range must be in use there. */
static bytes check_blocks(const struct native *n, const struct said *s)
{
	bytes sum = 0;
	uint32_t **own = calloc(n->n_ranges, sizeof(*own));

	for (uint32_t i = 0; i < n->n_ranges; i++)
		own[i] = n->ranges[i].used
				 ? calloc((n->ranges[i].end - n->ranges[i].start) / OS_PAGE, 4)
				 : NULL;
	for (uint32_t b = 0; b < s->n_block; b++) {
		/* A chunk in use is its 8-byte size and what the program may use. */
		taddr lo = s->block[b].at - 8, hi = s->block[b].at + s->block[b].usable;
		uint32_t i = 0;

		while (i < n->n_ranges && n->ranges[i].end <= lo)
			i++;
		if (i == n->n_ranges || n->ranges[i].start > lo)
			fail_msg("a block at %llx is in no range", (unsigned long long)lo);
		assert_true(hi <= n->ranges[i].end);
		if (!own[i])
			continue;
		sum += hi - lo;
		while (lo < hi) {
			taddr stop = MIN(hi, round_down(lo, OS_PAGE) + OS_PAGE);

			own[i][(lo - n->ranges[i].start) / OS_PAGE] += (uint32_t)(stop - lo);
			lo = stop;
		}
	}
	for (uint32_t i = 0; i < n->n_ranges; i++) {
		/* The last 8 bytes of a chunk lie in its successor: a page may be 8 bytes ahead. */
		for (uint64_t k = 0;
		     own[i] && k < (n->ranges[i].end - n->ranges[i].start) / OS_PAGE; k++)
			if (own[i][k] > n->ranges[i].used[k] + 8U)
				fail_msg("page %llx: %u bytes of blocks, %u in use",
					 (unsigned long long)(n->ranges[i].start + k * OS_PAGE),
					 own[i][k], n->ranges[i].used[k]);
		free(own[i]);
	}
	free(own);
	return sum;
}

/* Runs a program, reads it, and compares to the byte. */
static void compare(const char *name, const char *args, const char *tunables)
{
	struct program p;
	struct said s;
	struct reading r;
	bytes front, blocks, what[3] = {0}, overhead;
	unsigned threads = (unsigned)atoi(args);
	unsigned long rss;

	program_start(&p, name, args, tunables);
	said_read(&p, &s);
	reading_open(&r, p.pid);
	rss = rss_of(p.pid);
	reading_run(&r);
	assert_int_equal(rss_of(p.pid), rss); /* looking at it made it no larger */
	print_message("%s %s %s: %.2f ms, used %llu free %llu tcache %llu fast %llu mmapped %llu\n",
		      name, args, tunables ? tunables : "", r.took * 1e3,
		      (unsigned long long)r.n.used, (unsigned long long)r.n.free,
		      (unsigned long long)r.n.tcache_free, (unsigned long long)r.n.fast_free,
		      (unsigned long long)r.n.mmapped);
	print_notes(&r);
	check_sound(&r);
	assert_int_equal(r.s.notes.n, 0);
	assert_int_equal(r.n.kind, NATIVE_GLIBC);
	for (uint32_t i = 0; i < r.n.n_ranges; i++)
		what[r.n.ranges[i].what] += r.n.ranges[i].end - r.n.ranges[i].start;
	/* A static program has its TLS in front of the heap; malloc does not count that. */
	front = what[0] - s.main_system;
	if (strstr(name, "static"))
		assert_true(front > 0 && front < 16384);
	else
		assert_int_equal(front, 0);
	assert_int_equal(what[1], s.other_system);
	assert_int_equal(what[2], r.n.mmapped);
	assert_int_equal(r.n.arenas, s.arenas);
	assert_int_equal(r.n.used - r.n.mmapped - front + r.n.tcache_free, s.uordblks);
	assert_int_equal(r.n.free - r.n.tcache_free, s.fordblks);
	assert_int_equal(r.n.fast_free, s.fsmblks);
	assert_int_equal(r.n.mmapped_chunks, s.hblks);
	/* 2.43 counts 16 bytes too many at every mremap. */
	assert_true(r.n.mmapped == s.hblkhd ||
		    (s.hblkhd > r.n.mmapped && s.hblkhd - r.n.mmapped < 1024));
	assert_true(r.n.top_free >= s.keepcost && r.n.top_free <= s.fordblks);

	/*
	 * What is in use besides the program's blocks: a few streams, each arena's own struct, each
	 * thread's cache and TLS. A cache that was missed would be up to 240 KiB more.
	 */
	blocks = check_blocks(&r.n, &s);
	assert_true(blocks <= r.n.used - r.n.mmapped);
	overhead = r.n.used - r.n.mmapped - front - blocks;
	if (overhead > 8192 + (threads + 1) * 4096 + s.arenas * 4096 +
			       (strchr(args, 'h') ? 12304 : 0) + (strchr(args, 'n') ? 8192 : 0) +
			       s.n_block / 500)
		fail_msg("%llu bytes in use that are no block", (unsigned long long)overhead);

	for (uint32_t i = 0; i < s.n_stack; i++) {
		bool found = false;

		for (uint32_t k = 0; k < r.n.n_thread_stacks; k++) {
			const struct addr_range *v = &r.n.thread_stacks[k];

			/* glibc's answer counts the guard in some releases. */
			found |= v->end == s.stack[i].end &&
				 (v->start == s.stack[i].start ||
				  v->start == s.stack[i].start + OS_PAGE);
		}
		assert_true(found);
	}
	assert_int_equal(r.n.n_thread_stacks - r.n.cached_stacks, threads);
	if (strchr(args, 'e'))
		assert_true(r.n.cached_stacks > 0);
	reading_close(&r);
	program_stop(&p);
	free(s.block);
}

static void same_as_malloc_info(void **state)
{
	static const char *const args[] = {
		"0 0 f 1",    "0 0 s 2",    "3 0 sfl 3",  "2 1 sfa 4",	 "4 2 sflarme 5",
		"2 0 b 6",    "0 0 h 7",    "0 0 n 8",	  "1 0 nsfla 9", "2 0 t 10",
		"2 0 slt 11", "0 0 F 12",   "1 0 sc 13",  "8 0 sfe 14",	 "3 0 aramlr 15",
		"2 0 hsf 16", "1 0 ulu 17", "2 0 slv 18",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(args); i++)
		compare("patterns", args[i], NULL);
}

static void same_in_a_static_program(void **state)
{
	static const char *const args[] = {"0 0 f 1", "3 0 sfl 2", "4 2 sflarme 3", "1 0 nsf 4",
					   "0 0 h 5"};

	(void)state;
	if (!have_static)
		skip();
	for (size_t i = 0; i < ARRAY_LEN(args); i++)
		compare("patterns-static", args[i], NULL);
}

static void same_with_tunables(void **state)
{
	static const char *const tunables[] = {
		"glibc.malloc.tcache_count=0",
		"glibc.malloc.tcache_count=200",
		"glibc.malloc.mxfast=160",
		"glibc.malloc.perturb=165",
		"glibc.malloc.mmap_threshold=20000",
		"glibc.malloc.mmap_max=0",
		"glibc.malloc.top_pad=1000000",
		"glibc.malloc.arena_max=1",
		"glibc.malloc.hugetlb=1",
		"glibc.malloc.hugetlb=2",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(tunables); i++)
		compare("patterns", "3 0 sflr 20", tunables[i]);
}

/* More fast chunks than are remembered: they are told by their looks, and a note says so. */
static void tells_many_fast_chunks(void **state)
{
	struct program p;
	struct said s;
	struct reading r;

	(void)state;
	program_start(&p, "patterns", "1 0 G 1", NULL);
	said_read(&p, &s);
	reading_open(&r, p.pid);
	reading_run(&r);
	check_sound(&r);
	print_message("2.2 million fast chunks: %.0f ms\n", r.took * 1e3);
	assert_int_equal(r.n.used + r.n.free, s.arena);
	assert_in_range(r.n.free, s.fordblks, s.fordblks + 8192);
	/* 2.43 has no fast bins. */
	assert_int_equal(r.s.notes.n, s.fsmblks > 0);
	assert_true(r.n.fast_free >= s.fsmblks && r.n.fast_free <= s.fsmblks + 4096);
	reading_close(&r);
	program_stop(&p);
	free(s.block);
}

/* ---- A program that never rests ---- */

static void never_fails_under_load(void **state)
{
	struct program p;
	double worst = 0, sum = 0;
	uint32_t with_notes = 0;

	(void)state;
	program_start(&p, "churn", "", NULL);
	for (int i = 0; i < 200; i++) {
		struct reading r;
		bytes mapped = 0;

		reading_open(&r, p.pid);
		reading_run(&r);
		check_sound(&r);
		assert_int_equal(r.n.kind, NATIVE_GLIBC);
		assert_true(r.n.n_thread_stacks >= 4);
		for (uint32_t k = 0; k < r.t->os->n_maps; k++)
			if (r.t->os->maps[k].flags & MAP_WRITE)
				mapped += r.t->os->maps[k].end - r.t->os->maps[k].start;
		assert_true(r.n.used + r.n.free <= mapped);
		/* Four threads hold 2/3 of 20,000 blocks of some 1.2 KiB on average, and as much
		 * free. */
		assert_true(r.n.used > (20 << 20));
		worst = MAX(worst, r.took);
		sum += r.took;
		with_notes += r.s.notes.n > 0;
		if (i % 40 == 0)
			print_notes(&r);
		reading_close(&r);
	}
	print_message("churn: %.2f ms on average, %.2f at worst; %u of 200 walks had a note\n",
		      sum / 200 * 1e3, worst * 1e3, with_notes);
	program_stop(&p);
}

/* ---- Targets that lie ---- */

enum lie { LIE_RANDOM, LIE_ZERO, LIE_21, LIE_SELF, LIE_HUGE, LIE_FAULT, LIES, LIE_COPY };

/* A target whose bytes are made up, or those of a process once read, with some of them changed. */
struct fake {
	struct target t;
	struct os_facts os;
	enum lie lie;
	uint64_t seed;
	uint64_t reads, swapped_reads;
	uint8_t **copy; /* of each mapping, NULL: not readable */
	bool true_libc; /* libc's own data, and the first page of each arena, are the copy all the
			   same */
};

static uint64_t mix(uint64_t v)
{
	v ^= v >> 31;
	v *= 0x7fb5d329728ea185;
	v ^= v >> 27;
	v *= 0x81dadef4bc2dd44d;
	return v ^ v >> 33;
}

static uint64_t fake_word(const struct fake *f, taddr at)
{
	switch (f->lie) {
	case LIE_RANDOM: {
		uint64_t v = mix(at ^ f->seed);

		/* Half of it looks like something. */
		return v & 1   ? v
		       : v & 2 ? 0x21 + (v >> 8 & 0x3f0)
		       : v & 4 ? at - 16
			       : f->os.maps[v % f->os.n_maps].start + (v >> 40);
	}
	case LIE_21:
		return 0x21;
	case LIE_SELF: /* everything is an empty bin, or points to itself */
		return at % 16 ? at - 24 : at - 16;
	case LIE_HUGE:
		return ((uint64_t)1 << 60) + 1;
	default:
		return 0;
	}
}

static size_t fake_read(struct target *t, taddr at, void *dst, size_t n)
{
	struct fake *f = t->impl;
	const struct mapping *m = map_find(&f->os, at);
	uint8_t *to = dst;

	f->reads++;
	if (!m)
		return 0;
	n = MIN(n, m->end - at);
	if (f->true_libc && f->copy[m - f->os.maps] &&
	    (strstr(m->path, "libc") || at % (64 << 20) < OS_PAGE)) {
		if (!strstr(m->path, "libc"))
			n = MIN(n, OS_PAGE - at % OS_PAGE);
		memcpy(to, f->copy[m - f->os.maps] + (at - m->start), n);
		return n;
	}
	if (f->lie == LIE_FAULT)
		return 0;
	if (f->lie == LIE_COPY) {
		const uint8_t *from = f->copy[m - f->os.maps];

		if (!from)
			return 0;
		f->swapped_reads += pages_next(&f->os.pages, round_down(at, OS_PAGE), at + n,
					       PAGE_SWAPPED, true) < at + n;
		memcpy(to, from + (at - m->start), n);
		return n;
	}
	for (size_t i = 0; i < n; i++) {
		uint64_t v = fake_word(f, round_down(at + i, 8));

		if ((at + i) % 8 == 0 && n - i >= 8) {
			memcpy(to + i, &v, 8);
			i += 7;
		} else {
			to[i] = (uint8_t)(v >> (at + i) % 8 * 8);
		}
	}
	return n;
}

static const struct target_ops FAKE_OPS = {.name = "fake", .read = fake_read};

static void lies_end_quickly(void **state)
{
	struct mapping maps[] = {
		{.start = 0x400000,
		 .end = 0x500000,
		 .flags = MAP_READ | MAP_WRITE | MAP_FILE,
		 .path = "/bin/x"},
		{.start = 0x10000000,
		 .end = 0x10000000 + (64ULL << 20),
		 .flags = MAP_READ | MAP_WRITE,
		 .path = "[heap]"},
		{.start = 0x7f0000000000,
		 .end = 0x7f0040000000,
		 .flags = MAP_READ | MAP_WRITE,
		 .path = ""},
		{.start = 0x7f1000000000,
		 .end = 0x7f2000000000,
		 .flags = MAP_READ | MAP_WRITE,
		 .path = ""},
		{.start = 0x7f8000000000,
		 .end = 0x7f8000002000,
		 .flags = MAP_READ | MAP_WRITE | MAP_FILE,
		 .path = "/lib/libc.so.6"},
		{.start = 0x7f8000002000,
		 .end = 0x7f8000010000,
		 .flags = MAP_READ | MAP_WRITE,
		 .path = ""},
		{.start = 0x7ffff0000000, .end = 0x7ffff0100000, .flags = 0, .path = ""},
		{.start = 0x7ffff0100000,
		 .end = 0x7ffff0900000,
		 .flags = MAP_READ | MAP_WRITE,
		 .path = ""},
	};
	struct os_thread threads[] = {{.tid = 1, .sp = 0x7ffff0800000},
				      {.tid = 2, .sp = 1},
				      {.tid = 3, .sp = UINT64_MAX}};

	(void)state;
	for (int lie = 0; lie < LIES * 4; lie++) {
		struct fake f = {.lie = (enum lie)(lie % LIES), .seed = (uint64_t)lie};
		struct reading r = {.t = &f.t};
		struct arena pages;

		arena_init(&pages, 0);
		arena_init(&r.out, (bytes)1 << 30);
		arena_init(&r.s.mem, 0);
		r.s.cgo = true;
		f.t = (struct target){.ops = &FAKE_OPS, .os = &f.os, .impl = &f};
		f.os = (struct os_facts){.maps = maps,
					 .n_maps = ARRAY_LEN(maps),
					 .threads = threads,
					 .n_threads = 3,
					 .exe = "/bin/x"};
		pages_init(&f.os.pages, &pages);
		if (lie / LIES & 1) {
			f.os.residency = RESIDENCY_SCAN;
			for (size_t i = 0; i < ARRAY_LEN(maps); i++)
				assert_true(pages_set(
					&f.os.pages, maps[i].start,
					maps[i].start + MIN(maps[i].end - maps[i].start, 32u << 20),
					i % 3 ? PAGE_RESIDENT : PAGE_SWAPPED, NULL));
		}
		pages_close(&f.os.pages);
		/* The second half has no libc: main_arena would be in the program. */
		if (lie / LIES & 2)
			maps[4].path = "/lib/other.so";
		reading_run(&r);
		print_message("lie %d: kind %d, %.0f ms, %llu reads, %u notes\n", lie, r.n.kind,
			      r.took * 1e3, (unsigned long long)f.reads, r.s.notes.n);
		check_sound(&r);
		assert_true(r.n.kind == NATIVE_UNKNOWN);
		assert_true(r.s.notes.n > 0);
		assert_true(r.took < 5);
		arena_free(&r.out);
		arena_free(&r.s.mem);
		arena_free(&pages);
	}
}

/* Copies what a process has in writable memory, so that reading it again gives the same. */
static void fake_copy(struct fake *f, struct reading *real)
{
	f->os = *real->t->os;
	f->t = (struct target){.ops = &FAKE_OPS, .os = &f->os, .impl = f};
	f->copy = calloc(f->os.n_maps, sizeof(*f->copy));
	for (uint32_t i = 0; i < f->os.n_maps; i++) {
		const struct mapping *m = &f->os.maps[i];

		if (!(m->flags & MAP_WRITE) || m->end - m->start > (256u << 20))
			continue;
		f->copy[i] = calloc(1, m->end - m->start);
		for (taddr at = m->start; at < m->end; at += OS_PAGE)
			(void)!target_read(real->t, at, f->copy[i] + (at - m->start), OS_PAGE);
	}
}

static void fake_free(struct fake *f)
{
	for (uint32_t i = 0; i < f->os.n_maps; i++)
		free(f->copy[i]);
	free(f->copy);
}

/* A heap of which a part is swapped out: that part is not read, counts as used, and a note says so.
 */
static void leaves_swapped_pages_alone(void **state)
{
	struct program p;
	struct said s;
	struct reading real, r = {0};
	struct fake f = {.lie = LIE_COPY};
	const struct pages *was;
	struct arena mem;
	taddr lo = 0, hi = 0;

	(void)state;
	program_start(&p, "patterns", "0 0 ss 1", NULL);
	said_read(&p, &s);
	reading_open(&real, p.pid);
	reading_run(&real);
	fake_copy(&f, &real);
	program_stop(&p);
	arena_init(&mem, 0);
	arena_init(&r.out, 0);
	arena_init(&r.s.mem, 0);
	was = &real.t->os->pages;
	pages_init(&f.os.pages, &mem);
	for (uint32_t i = 0; i < f.os.n_maps; i++) {
		const struct mapping *m = &f.os.maps[i];

		if (strcmp(m->path, "[heap]") == 0) {
			lo = m->start + (1u << 20);
			hi = lo + (1u << 20);
			assert_true(hi < m->end);
		}
		for (taddr at = m->start; at < m->end; at += OS_PAGE)
			if (pages_is(was, at, PAGE_RESIDENT))
				assert_true(pages_set(
					&f.os.pages, at, at + OS_PAGE,
					at >= lo && at < hi ? PAGE_SWAPPED : PAGE_RESIDENT, NULL));
	}
	pages_close(&f.os.pages);
	r.t = &f.t;
	reading_run(&r);
	check_sound(&r);
	print_notes(&r);
	assert_int_equal(r.n.kind, NATIVE_GLIBC);
	assert_int_equal(f.swapped_reads, 0);
	assert_int_equal(r.s.notes.n, 1);
	assert_non_null(strstr(r.s.notes.v[0], "swapped"));
	assert_int_equal(r.n.used + r.n.free, real.n.used + real.n.free);
	assert_true(r.n.used > real.n.used && r.n.used < real.n.used + (1u << 20));
	/* Outside of it every page is as before, but for the ends and chunks of lists that lead
	 * through it. */
	for (uint32_t i = 0; i < r.n.n_ranges; i++) {
		const struct native_range *v = &r.n.ranges[i];
		uint32_t other = 0;

		for (taddr at = v->start; v->used && at < v->end; at += OS_PAGE) {
			uint64_t k = (at - v->start) / OS_PAGE;

			if (at >= lo && at < hi)
				assert_int_equal(v->used[k], OS_PAGE);
			else
				other += v->used[k] != real.n.ranges[i].used[k];
		}
		print_message("%u of %llu other pages differ\n", other,
			      (unsigned long long)((v->end - v->start) / OS_PAGE));
		assert_true(other < 300);
	}
	fake_free(&f);
	arena_free(&mem);
	arena_free(&r.out);
	arena_free(&r.s.mem);
	reading_close(&real);
	free(s.block);
}

/* The bytes of a real process, with words changed: pointers into its own memory, sizes, flags,
 * anything. */
static void damage_ends_quickly(void **state)
{
	struct program p;
	struct reading real;
	struct fake f = {.lie = LIE_COPY, .seed = 1};
	double worst = 0;
	uint32_t with_notes = 0, unknown = 0;
	uint64_t *where;
	uint32_t n_where = 0;
	int rounds = getenv("WHYRSS_TEST_ROUNDS") ? atoi(getenv("WHYRSS_TEST_ROUNDS")) : 400;

	(void)state;
	program_start(&p, "patterns", "2 0 sfln 30", NULL);
	reading_open(&real, p.pid);
	reading_run(&real);
	assert_int_equal(real.n.kind, NATIVE_GLIBC);
	fake_copy(&f, &real);
	program_stop(&p);
	/* Words that matter: of libc's data, of arenas, chunk headers. */
	where = malloc(4000000 * sizeof(*where));
	for (uint32_t i = 0; i < f.os.n_maps; i++) {
		const struct mapping *m = &f.os.maps[i];

		for (taddr at = m->start; f.copy[i] && at + 8 <= m->end && n_where < 4000000;
		     at += 8) {
			uint64_t v;

			memcpy(&v, f.copy[i] + (at - m->start), 8);
			if (v && v != 0x5a5a5a5a5a5a5a5a && v != UINT64_MAX)
				where[n_where++] = at;
		}
	}
	assert_true(n_where > 1000);
	/* libc says the truth, the heaps are lies. */
	f.true_libc = true;
	for (f.lie = LIE_RANDOM; f.lie < LIES; f.lie++) {
		struct reading r = {.t = &f.t};

		arena_init(&r.out, (bytes)1 << 30);
		arena_init(&r.s.mem, 0);
		reading_run(&r);
		print_message("heaps lie %d: kind %d, %.0f ms, used %llu free %llu\n", f.lie,
			      r.n.kind, r.took * 1e3, (unsigned long long)r.n.used,
			      (unsigned long long)r.n.free);
		print_notes(&r);
		check_sound(&r);
		assert_int_equal(r.n.kind, NATIVE_GLIBC);
		assert_true(r.s.notes.n > 0);
		assert_true(r.took < 5);
		arena_free(&r.out);
		arena_free(&r.s.mem);
	}
	f.true_libc = false;
	f.lie = LIE_COPY;
	for (int round = 0; round < rounds; round++) {
		struct reading r = {.t = &f.t};
		struct {
			uint8_t *at;
			uint64_t was;
		} undo[2000];
		unsigned changes = 1 + (unsigned)(mix((uint64_t)round) % (round % 2 ? 64 : 2000));

		for (unsigned i = 0; i < changes; i++) {
			uint64_t v = mix((uint64_t)round * 1000 + i), to = mix(v);
			/* Half of the changes hit libc's few pages or the start of an arena. */
			taddr at = where[to % n_where];
			const struct mapping *m;

			if (v & 1) {
				for (uint32_t tries = 0; tries < 1000; tries++) {
					at = where[mix(to + tries) % n_where];
					m = map_find(&f.os, at);
					if (strstr(m->path, "libc.so") || at % (64 << 20) < 4096 ||
					    m->end - m->start <= 65536)
						break;
				}
			}
			m = map_find(&f.os, at);
			undo[i].at = f.copy[m - f.os.maps] + (at - m->start);
			memcpy(&undo[i].was, undo[i].at, 8);
			switch (v >> 8 & 7) {
			case 0:
				to = where[mix(to) % n_where];
				break;
			case 1:
				to = where[mix(to) % n_where] & ~(uint64_t)15;
				break;
			case 2:
				to = undo[i].was ^ (uint64_t)1 << (to & 63);
				break;
			case 3:
				to = 0;
				break;
			case 4:
				to = undo[i].was + 16 * (to & 255);
				break;
			case 5:
				to = (to & 0xfff0) | (to >> 20 & 7);
				break;
			case 6:
				to = (uint64_t)1 << (to & 63);
				break;
			default:
				break;
			}
			memcpy(undo[i].at, &to, 8);
		}
		arena_init(&r.out, (bytes)1 << 30);
		arena_init(&r.s.mem, 0);
		reading_run(&r);
		check_sound(&r);
		worst = MAX(worst, r.took);
		with_notes += r.s.notes.n > 0;
		unknown += r.n.kind == NATIVE_UNKNOWN;
		if (r.took > 2)
			fail_msg("round %d took %.1f s", round, r.took);
		for (unsigned i = changes; i-- > 0;)
			memcpy(undo[i].at, &undo[i].was, 8);
		arena_free(&r.out);
		arena_free(&r.s.mem);
	}
	print_message("damaged %d times: %.1f ms at worst, %u with a note, %u not recognised\n",
		      rounds, worst * 1e3, with_notes, unknown);
	fake_free(&f);
	free(where);
	reading_close(&real);
}

/* ---- Other allocators, and none ---- */

static void names_other_allocators(void **state)
{
	static const char *const paths[] = {"/usr/lib/libjemalloc.so.2", "/lib/ld-musl-x86_64.so.1",
					    "/opt/libtcmalloc.so.4"};
	static const char *const names[] = {"jemalloc", "musl", "tcmalloc"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct mapping maps[] = {
			{.start = 0x400000,
			 .end = 0x500000,
			 .flags = MAP_READ | MAP_WRITE | MAP_FILE,
			 .path = "/bin/x"},
			{.start = 0x1000000,
			 .end = 0x1021000,
			 .flags = MAP_READ | MAP_WRITE,
			 .path = "[heap]"},
			{.start = 0x7f8000000000,
			 .end = 0x7f8000002000,
			 .flags = MAP_READ | MAP_WRITE | MAP_FILE,
			 .path = paths[i]},
		};
		struct fake f = {.lie = LIE_ZERO};
		struct reading r = {.t = &f.t};

		f.t = (struct target){.ops = &FAKE_OPS, .os = &f.os, .impl = &f};
		f.os = (struct os_facts){.maps = maps, .n_maps = ARRAY_LEN(maps), .exe = "/bin/x"};
		arena_init(&r.out, 0);
		arena_init(&r.s.mem, 0);
		reading_run(&r);
		check_sound(&r);
		assert_int_equal(r.n.kind, NATIVE_UNKNOWN);
		assert_string_equal(r.n.libc, names[i]);
		assert_int_equal(r.n.n_ranges, 1);
		assert_int_equal(r.n.used, 0x21000);
		assert_null(r.n.ranges[0].used);
		assert_int_equal(r.s.notes.n, 1);
		assert_non_null(strstr(r.s.notes.v[0], names[i]));
		arena_free(&r.out);
		arena_free(&r.s.mem);
	}
}

/* A pure Go program: no libc, perhaps a bss that the kernel calls [heap]. Nothing is read. */
static void costs_nothing_without_libc(void **state)
{
	struct mapping maps[2000];
	struct addr_range bss = {0x1000000, 0x1021000};
	struct native_taken taken = {&bss, 1};
	struct fake f = {.lie = LIE_ZERO};
	struct reading r = {.t = &f.t};
	double start;

	(void)state;
	f.t = (struct target){.ops = &FAKE_OPS, .os = &f.os, .impl = &f};
	f.os = (struct os_facts){.maps = maps, .n_maps = ARRAY_LEN(maps), .exe = "/bin/x"};
	maps[0] = (struct mapping){.start = 0x1000000,
				   .end = 0x1021000,
				   .flags = MAP_READ | MAP_WRITE,
				   .path = "[heap]"};
	for (size_t i = 1; i < ARRAY_LEN(maps); i++)
		maps[i] = (struct mapping){.start = 0xc000000000 + i * 0x2000,
					   .end = 0xc000001000 + i * 0x2000,
					   .flags = MAP_READ | MAP_WRITE,
					   .path = ""};
	arena_init(&r.out, 0);
	start = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
	native_read(&f.t, &taken, NULL, 0, &r.out, &r.s, &r.n);
	start = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - start;
	print_message("no libc: %.1f µs\n", start * 1e6);
	assert_int_equal(r.n.kind, NATIVE_NONE);
	assert_int_equal(r.n.n_ranges, 0);
	assert_int_equal(f.reads, 0);
	assert_int_equal(r.s.notes.n, 0);
	assert_true(start < 0.002);
	arena_free(&r.out);
}

/* Memory that is Go's is neither looked into nor claimed. */
static void leaves_taken_memory_alone(void **state)
{
	struct program p;
	struct said s;
	struct reading r;
	struct native_taken taken;
	struct addr_range v[1];
	bytes all;

	(void)state;
	program_start(&p, "patterns", "1 0 l 40", NULL);
	said_read(&p, &s);
	reading_open(&r, p.pid);
	reading_run(&r);
	all = r.n.mmapped;
	assert_int_equal(all, s.hblkhd);
	for (uint32_t i = 0; i < r.n.n_ranges; i++) {
		if (r.n.ranges[i].what == 2) {
			v[0] = (struct addr_range){r.n.ranges[i].start, r.n.ranges[i].end};
			break;
		}
	}
	taken = (struct native_taken){v, 1};
	native_read(r.t, &taken, NULL, 0, &r.out, &r.s, &r.n);
	check_sound(&r);
	assert_int_equal(r.n.mmapped, all - (v[0].end - v[0].start));
	assert_int_equal(r.s.notes.n, 1); /* one chunk was not found */
	for (uint32_t i = 0; i < r.n.n_ranges; i++)
		assert_true(r.n.ranges[i].end <= v[0].start || v[0].end <= r.n.ranges[i].start);
	reading_close(&r);
	program_stop(&p);
	free(s.block);
}

/* ---- */

static bool build(const char *source, const char *name, const char *flags)
{
	const char *tests = getenv("WHYRSS_TESTS");
	char line[1024];

	snprintf(
		line, sizeof(line),
		"${CC:-cc} -O1 -pthread -Wno-deprecated-declarations %s -o %s/%s %s/native/%s.c %s",
		flags, dir, name, tests ? tests : "tests", source,
		getenv("WHYRSS_TEST_CFLAGS") ? getenv("WHYRSS_TEST_CFLAGS") : "");
	return system(line) == 0;
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir) || !build("patterns", "patterns", "") || !build("churn", "churn", ""))
		return -1;
	have_static = build("patterns", "patterns-static", "-static 2>/dev/null");
	return 0;
}

static int teardown(void **state)
{
	char line[128];

	(void)state;
	snprintf(line, sizeof(line), "rm -r %s", dir);
	return system(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_as_malloc_info),
		cmocka_unit_test(same_in_a_static_program),
		cmocka_unit_test(same_with_tunables),
		cmocka_unit_test(never_fails_under_load),
		cmocka_unit_test(lies_end_quickly),
		cmocka_unit_test(damage_ends_quickly),
		cmocka_unit_test(names_other_allocators),
		cmocka_unit_test(costs_nothing_without_libc),
		cmocka_unit_test(leaves_taken_memory_alone),
		cmocka_unit_test(leaves_swapped_pages_alone),
		cmocka_unit_test(tells_many_fast_chunks),
	};

	if (getenv("WHYRSS_TEST_FILTER"))
		cmocka_set_test_filter(getenv("WHYRSS_TEST_FILTER"));
	return cmocka_run_group_tests(tests, setup, teardown);
}
