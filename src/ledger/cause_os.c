/*
 * Causes outside of the Go heap: stacks, C memory, mappings, the program's file, and what the
 * container is charged for beside RSS.
 */
#include "ledger/cause.h"

#include <stdlib.h>
#include <string.h>

#define SITES 4096U /* creation sites of goroutines that are told apart */
#define FAT                                                                                        \
	(32 * KIB) /* an average goroutine stack from which the size matters more than the number  \
		    */

struct site {
	taddr gopc;
	uint32_t n;
};

struct crowd {
	uint64_t n;	 /* goroutines, those of the runtime left out */
	bytes stacks;	 /* of all of them */
	struct site top; /* the site that started most */
};

static struct crowd crowd_of(const struct study *t)
{
	struct site *table = ARENA_ARRAY(t->a, struct site, 2 * SITES);
	struct crowd r = {0};
	uint32_t used = 0;

	for (uint32_t i = 0; i < t->s->n_goroutines; i++) {
		const struct goroutine *g = &t->s->goroutines[i];
		uint32_t at = (uint32_t)(g->gopc * UINT64_C(0x9e3779b97f4a7c15) >>
					 51); /* 13 bits: 2 * SITES */
		if (g->status == G_DEAD || g->stack_hi <= g->stack_lo)
			continue;
		r.stacks += g->stack_hi - g->stack_lo;
		if (g->system)
			continue;
		r.n++;
		while (table[at].n && table[at].gopc != g->gopc)
			at = (at + 1) % (2 * SITES);
		if (!table[at].n && used++ >= SITES)
			continue;
		table[at] = (struct site){g->gopc, table[at].n + 1};
		if (table[at].n > r.top.n)
			r.top = table[at];
	}
	return r;
}

static const char *place_text(struct study *t, taddr pc)
{
	struct place p = t->s->place && pc ? t->s->place(t->s, pc - 1) : (struct place){0};

	if (!p.func || !*p.func)
		return arena_printf(t->a, "pc 0x%llx", (unsigned long long)pc);
	return p.file && *p.file
		       ? arena_printf(t->a, "%s (%s:%d)", p.func, cause_tail_of(p.file), p.line)
		       : p.func;
}

/* What the goroutines of one site wait for, most of them, and for how long. */
static void site_evidence(struct study *t, struct finding *f, const struct crowd *c)
{
	uint32_t waiting[256] = {0}, most = 0;
	const char *state[256] = {0};
	int64_t longest = -1;

	for (uint32_t i = 0; i < t->s->n_goroutines; i++) {
		const struct goroutine *g = &t->s->goroutines[i];
		unsigned why = g->waitreason & 255;
		if (g->gopc != c->top.gopc || g->system || g->status == G_DEAD)
			continue;
		waiting[why]++;
		state[why] = g->state;
		longest = MAX(longest, g->wait_ns);
		if (waiting[why] > waiting[most])
			most = why;
	}
	cause_evidence(t, f, "%s of %s were started in %s", cause_count(t, c->top.n),
		       cause_count(t, c->n), place_text(t, c->top.gopc));
	if (waiting[most] > 0 && state[most])
		cause_evidence(t, f, "%s of these are in \"%s\"%s", cause_count(t, waiting[most]),
			       state[most],
			       longest < 0 ? ""
					   : arena_printf(t->a, ", the longest for %s",
							  cause_duration(t, longest)));
}

static bytes goroutine_stacks(const struct study *t)
{
	return cause_line(t, LINE_STACK_USED) + cause_line(t, LINE_STACK_SPARE);
}

void cause_goroutines(struct study *t, struct finding *f)
{
	struct crowd c = crowd_of(t);
	bool crowd;

	if (c.n == 0 || c.stacks / c.n >= FAT || !cause_claim(t, f, (int64_t)goroutine_stacks(t)))
		return;
	crowd = c.n >= 1000 && c.top.n > c.n / 2;
	f->c.title = arena_printf(t->a, "the stacks of %s goroutines", cause_count(t, c.n));
	f->clause = crowd ? arena_printf(t->a, "%s of them started in %s", cause_count(t, c.top.n),
					 place_text(t, c.top.gopc))
			  : "their number matters, not their size";
	cause_evidence(t, f, "%s goroutines, %s of stack each on average", cause_count(t, c.n),
		       cause_bytes(t, c.stacks / c.n));
	site_evidence(t, f, &c);
	if (crowd)
		cause_evidence(t, f,
			       "so many that wait at one place look like a leak; a number that "
			       "grows over time decides");
	cause_action(t, f, (int64_t)(goroutine_stacks(t) / c.n * c.top.n),
		     "%s; see `whyrss goroutines`\ta change of the program",
		     crowd ? "let them end: a timeout or a context for what they wait for"
			   : "bound how many run at once");
}

void cause_stacks(struct study *t, struct finding *f)
{
	struct crowd c = crowd_of(t);
	bytes own = c.n && c.stacks / c.n >= FAT ? goroutine_stacks(t) : 0,
	      spare = own ? cause_line(t, LINE_STACK_SPARE) : 0;
	bytes nobody = cause_line(t, LINE_STACK_FREE), os = cause_line(t, LINE_STACK_OS);

	if (!cause_claim(t, f, (int64_t)(own + nobody + os)))
		return;
	if (own > nobody + os) {
		f->c.title = arena_printf(t->a, "large goroutine stacks, %s each",
					  cause_bytes(t, c.stacks / c.n));
		f->clause = spare > own / 2 ? "most of it is spare: a stack shrinks only when less "
					      "than a quarter of it is in use"
					    : "they are deep";
		cause_evidence(t, f,
			       "%s goroutines, %s of stack each on average; in memory %s, below "
			       "the stack pointers %s",
			       cause_count(t, c.n), cause_bytes(t, c.stacks / c.n),
			       cause_bytes(t, own), cause_bytes(t, spare));
		site_evidence(t, f, &c);
		cause_action(t, f, (int64_t)spare,
			     "do the deep part of the work in a goroutine that ends\ta new stack "
			     "each time");
		cause_action(t, f, 0, "see who they are: `whyrss goroutines`\tnothing");
	} else if (os > nobody) {
		f->c.title = "thread stacks";
		f->clause = "each thread keeps what its stack once used";
	} else {
		f->c.title = "stacks that no goroutine has any more";
		f->clause = "kept for new goroutines; a GC frees whole spans of them";
	}
	if (nobody >= MIB)
		cause_evidence(t, f, "free and cached stacks: %s", cause_bytes(t, nobody));
	if (os >= MIB)
		cause_evidence(t, f, "stacks of %u threads: %s in memory", t->os->n_threads,
			       cause_bytes(t, os));
	if (os >= own + nobody)
		cause_action(t, f, 0,
			     "lower the number of threads that block in C or in system calls\ta "
			     "change of the program");
}

void cause_native_leak(struct study *t, struct finding *f)
{
	const struct native *n = &t->s->native;
	bytes used = cause_line(t, LINE_NATIVE_USED);

	if (!cause_claim(t, f, (int64_t)used))
		return;
	f->c.confidence = (int64_t)used > t->gap / 2 ? LIKELY : POSSIBLE;
	cause_evidence(t, f, "%s in memory%s%s", cause_bytes(t, used),
		       *(n->libc ? n->libc : "") ? ", allocator " : "", n->libc ? n->libc : "");
	if (n->kind == NATIVE_GLIBC)
		cause_evidence(t, f,
			       "%s chunks in use, %s of them mapped on their own (%s); malloc "
			       "counts %s in use and %s free",
			       cause_count(t, n->chunks_used + n->mmapped_chunks),
			       cause_count(t, n->mmapped_chunks), cause_bytes(t, n->mmapped),
			       cause_bytes(t, n->used), cause_bytes(t, n->free));
	else
		cause_evidence(t, f,
			       "the C allocator is not one that is known here: what it keeps free "
			       "is in this number");
	if (t->c->ncgocall > 0)
		cause_evidence(t, f,
			       "%s calls from Go to C so far; Go's heap profile sees nothing of "
			       "what they allocate",
			       cause_count(t, t->c->ncgocall));
	cause_evidence(t, f, "a leak or a cache: one look cannot tell, growth over time does");
	cause_action(t, f, 0, "look again in some minutes, whether it grew: `whyrss PID`\tnothing");
	cause_action(t, f, 0,
		     "find who allocates it: heaptrack, memleak of bcc, the library's own "
		     "statistics\ta slower program: while the "
		     "first two run");
}

/*
 * What malloc_trim can give back: whole pages without a byte in use that are in memory. It leaves
 * the tops of thread arenas (malloc/malloc.c, mtrim: only the main arena's top is cut): *ret_tops.
 */
static bytes whole_free_pages(const struct study *t, bytes *ret_tops)
{
	const struct native *n = &t->s->native;
	bytes sum = 0, tops = 0;

	for (uint32_t i = 0; i < n->n_ranges; i++) {
		const struct native_range *r = &n->ranges[i];
		for (taddr at = r->start, k = 0; r->used && at < r->end; at += OS_PAGE, k++)
			if (r->used[k] == 0 && (!r->mine || r->mine[k] == OS_PAGE) &&
			    (!cause_by_pages(t) || pages_is(&t->os->pages, at, PAGE_RESIDENT)))
				*(r->kept_top && at >= r->kept_top ? &tops : &sum) += OS_PAGE;
	}
	*ret_tops = tops;
	/* Chunks in the threads' caches are in use for malloc_trim. */
	return MIN(sum, n->free - MIN(n->free, n->tcache_free));
}

void cause_native_retention(struct study *t, struct finding *f)
{
	const struct native *n = &t->s->native;
	bytes kept = cause_line(t, LINE_NATIVE_FREE), total = n->used + n->free;
	uint32_t cpus = t->os->n_cpus ? t->os->n_cpus : 1;
	bytes whole, tops;

	if (!cause_claim(t, f, (int64_t)kept))
		return;
	whole = MIN(whole_free_pages(t, &tops), kept);
	tops = MIN(tops, kept - whole);
	f->c.title = "free C memory that malloc keeps";
	f->clause = tops > kept / 2
			    ? "most of it is the tops of thread arenas, which malloc_trim leaves"
		    : whole < kept / 4
			    ? "it is fragmented: chunks in use share its pages, so malloc_trim "
			      "cannot help"
			    : arena_printf(t->a,
					   "it was freed, and malloc did not return it (%u "
					   "arenas)",
					   n->arenas);
	cause_evidence(t, f, "%s of the C heap's %s are free (%d %%), %s of them in memory",
		       cause_bytes(t, n->free), cause_bytes(t, total),
		       cause_percent((double)n->free, (double)total), cause_bytes(t, kept));
	cause_evidence(t, f, "at the tops of arenas %s, in fast bins %s, in thread caches %s",
		       cause_bytes(t, n->top_free), cause_bytes(t, n->fast_free),
		       cause_bytes(t, n->tcache_free));
	cause_evidence(t, f, "%u arenas on %u CPUs; glibc makes up to 8 for each CPU", n->arenas,
		       cpus);
	cause_evidence(
		t, f,
		"malloc_trim can return %s of it, whole free pages; %s are tops of thread arenas, "
		"%s share a page with chunks in use or are in thread caches, and these it cannot",
		cause_bytes(t, whole), cause_bytes(t, tops), cause_bytes(t, kept - whole - tops));
	if (whole >= kept / 4)
		cause_action(t, f, (int64_t)whole,
			     "call malloc_trim(0) after the spike\tsome milliseconds: with the "
			     "arenas locked; it returns whole free pages only");
	if (tops >= kept / 4)
		cause_action(t, f, (int64_t)(tops - MIN(tops, n->arenas * 128 * KIB)),
			     "set MALLOC_TRIM_THRESHOLD_=131072 and restart: free() then cuts the "
			     "tops\tmore page faults: when that memory is used again");
	if (n->arenas > 2)
		cause_action(t, f, 0,
			     "set MALLOC_ARENA_MAX=2 and restart; it may save up to %s\tthreads in "
			     "C wait for each other's malloc",
			     cause_bytes(t, kept / n->arenas * (n->arenas - 2)));
	cause_action(t, f, 0,
		     "use an allocator that returns memory by itself (jemalloc with "
		     "background_thread)\tanother library");
}

/** A file with all of its mappings. */
struct file_sum {
	const char *path;
	bytes in, mapped;
	bool deleted;
};

static int by_in(const void *a, const void *b)
{
	const struct file_sum *x = a, *y = b;

	return (x->in < y->in) - (x->in > y->in);
}

static bool overlaps(taddr start, taddr end, const struct mapping *m)
{
	return start < m->end && end > m->start;
}

/* A segment of the program or of a library. */
static bool in_image(const struct snapshot *s, const struct mapping *m)
{
	for (uint32_t i = 0; i < s->n_images; i++)
		if (overlaps(s->images[i].start, s->images[i].end, m))
			return true;
	return false;
}

/* Data files of the process, the most resident first; the mappings of one file follow each other.
 * Returns how many. */
static uint32_t data_files(const struct study *t, struct file_sum *f, uint32_t cap)
{
	const struct os_facts *os = t->os;
	uint32_t n = 0;

	for (uint32_t i = 0; i < os->n_maps && n < cap; i++) {
		const struct mapping *m = &os->maps[i];
		bytes in = cause_by_pages(t) ? pages_in(&os->pages, m->start, m->end, PAGE_RESIDENT)
					     : m->end - m->start;
		if (!(m->flags & MAP_FILE) || in == 0 || in_image(t->s, m))
			continue;
		if (n > 0 && !strcmp(f[n - 1].path, m->path)) {
			f[n - 1].in += in;
			f[n - 1].mapped += m->end - m->start;
		} else {
			f[n++] = (struct file_sum){m->path, in, m->end - m->start,
						   m->flags & MAP_DELETED};
		}
	}
	qsort(f, n, sizeof *f, by_in);
	return n;
}

void cause_mapped_files(struct study *t, struct finding *f)
{
	struct file_sum *file;
	bytes in = cause_line(t, LINE_FILES);
	uint32_t n;

	if (!cause_claim(t, f, (int64_t)in))
		return;
	file = ARENA_ARRAY(t->a, struct file_sum, 1024);
	n = data_files(t, file, 1024);
	if (n > 0 && file[0].in > in / 2)
		f->c.title = arena_printf(t->a, "the mapped file %s", cause_tail_of(file[0].path));
	for (uint32_t i = 0; i < MIN(n, 3); i++)
		cause_evidence(t, f, "%s%s: %s of %s mapped are in memory", file[i].path,
			       file[i].deleted ? " (deleted)" : "", cause_bytes(t, file[i].in),
			       cause_bytes(t, file[i].mapped));
	cause_evidence(t, f,
		       "page cache that the program maps: clean pages are taken back before "
		       "anything is killed");
	if (t->cgroup)
		cause_evidence(t, f,
			       "the container counts %s of mapped files; %s of page cache are "
			       "inactive and not in its working set",
			       cause_bytes(t, t->cgroup->mapped_file),
			       cause_bytes(t, t->cgroup->inactive_file));
	cause_action(t, f, 0, "not a leak: alert on RssAnon, not on RSS\tnothing");
	cause_action(t, f, (int64_t)in,
		     "call madvise(MADV_DONTNEED) on what is not needed now\treads: from the disk "
		     "when it is needed again");
}

void cause_shared_memory(struct study *t, struct finding *f)
{
	bytes in = cause_line(t, LINE_SHM);
	unsigned said = 0;

	if (!cause_claim(t, f, (int64_t)in))
		return;
	for (uint32_t i = 0; i < t->os->n_maps && said < 3; i++) {
		const struct mapping *m = &t->os->maps[i];
		bytes here = m->flags & MAP_SHMEM
				     ? pages_in(&t->os->pages, m->start, m->end, PAGE_RESIDENT)
				     : 0;
		if (here < in / 10 + 1)
			continue;
		cause_evidence(t, f, "%s: %s in memory",
			       *m->path ? m->path : "shared anonymous memory",
			       cause_bytes(t, here));
		said++;
	}
	cause_evidence(t, f,
		       "it cannot be taken back but to swap, and lives until the last user unmaps "
		       "and removes it");
	cause_action(t, f, (int64_t)in, "remove or shrink what made it\ta change of the program");
}

/* Whether Go, malloc or a thread has something in the mapping: then it is not what raw_mmap looks
 * for. */
static bool has_owner(const struct study *t, const struct mapping *m)
{
	const struct snapshot *s = t->s;
	bool is = in_image(s, m);

	for (uint32_t i = 0; i < s->heap.n_in_use && !is; i++)
		is = overlaps(s->heap.in_use[i].start, s->heap.in_use[i].end, m);
	for (uint32_t i = 0; i < s->n_regions && !is; i++)
		is = overlaps(s->regions[i].start, s->regions[i].end, m);
	for (uint32_t i = 0; i < s->native.n_ranges && !is; i++)
		is = overlaps(s->native.ranges[i].start, s->native.ranges[i].end, m);
	for (uint32_t i = 0; i < s->native.n_thread_stacks && !is; i++)
		is = overlaps(s->native.thread_stacks[i].start, s->native.thread_stacks[i].end, m);
	return is || m->path[0] == '[';
}

void cause_raw_mmap(struct study *t, struct finding *f)
{
	bytes in = cause_line(t, LINE_ANON);
	unsigned said = 0;

	if (!cause_claim(t, f, (int64_t)in))
		return;
	for (uint32_t i = 0; i < t->os->n_maps && said < 4; i++) {
		const struct mapping *m = &t->os->maps[i];
		bytes size = m->end - m->start, here;
		if (m->flags & (MAP_FILE | MAP_SHMEM | MAP_SPECIAL | MAP_HUGETLB) || size < in / 20)
			continue;
		here = cause_by_pages(t) ? pages_in(&t->os->pages, m->start, m->end, PAGE_RESIDENT)
					 : size;
		if (here < in / 20 + 1 || has_owner(t, m))
			continue;
		cause_evidence(t, f, "%s at 0x%llx, %s of it in memory", cause_bytes(t, size),
			       (unsigned long long)m->start, cause_bytes(t, here));
		said++;
	}
	if (t->s->native.kind == NATIVE_UNKNOWN) {
		f->c.confidence = LIKELY;
		f->clause = "mapped by the program, a library, or the C allocator, which is not "
			    "one that is known here";
		cause_evidence(t, f,
			       "the C allocator (%s) is not known here: this may be its memory",
			       t->s->native.libc ? t->s->native.libc : "?");
	} else {
		cause_evidence(t, f,
			       "anonymous mappings that neither Go nor malloc made: off-heap "
			       "caches and arenas do this (fastcache, ristretto, "
			       "badger, syscall.Mmap)");
	}
	cause_action(t, f, (int64_t)in,
		     "make the cache that maps it smaller\ta change of settings or of the program");
	cause_action(t, f, 0,
		     "see the addresses: `whyrss maps`\tnothing; strace -f -e trace=mmap shows who "
		     "maps more");
}

void cause_profiler_overhead(struct study *t, struct finding *f)
{
	const struct profile *p = &t->s->profile;
	bytes in = cause_line(t, LINE_RUNTIME_PROFILER), deep = 0;

	if (!cause_claim(t, f, (int64_t)in))
		return;
	cause_evidence(t, f, "%s allocation stacks, %s of them; BuckHashSys is %s",
		       cause_count(t, p->n_buckets), cause_bytes(t, p->bucket_bytes),
		       cause_bytes(t, t->c->buckhash_sys));
	cause_evidence(t, f,
		       "one sample every %s bytes; a stack that allocated once is kept for ever",
		       cause_count(t, (uint64_t)MAX(p->rate, 0)));
	for (uint32_t i = 0; i < p->n_buckets; i++)
		deep += 8 * (MAX(p->buckets[i].nstk, 32U) - 32);
	if (t->s->go_minor >= 23 && deep >= MIB) {
		cause_evidence(
			t, f,
			"since Go 1.23 stacks of 128 frames are told apart, 32 before (go#69590)");
		cause_action(t, f, (int64_t)deep,
			     "set GODEBUG=profstackdepth=32 and restart\tthe depth of stacks in "
			     "the profile");
	}
	cause_action(t, f, 0,
		     "raise runtime.MemProfileRate at the start of main\ta coarser profile");
}

void cause_runtime_overhead(struct study *t, struct finding *f)
{
	bytes span = cause_line(t, LINE_RUNTIME_MSPAN), gc = cause_line(t, LINE_RUNTIME_GC),
	      cache = cause_line(t, LINE_RUNTIME_MCACHE), other = cause_line(t, LINE_RUNTIME_OTHER);

	if (!cause_claim(t, f, (int64_t)(span + gc + cache + other)))
		return;
	cause_evidence(t, f, "span structs %s (MSpanSys %s, in use %s)", cause_bytes(t, span),
		       cause_bytes(t, t->c->mspan_sys), cause_bytes(t, t->c->mspan_inuse));
	cause_evidence(t, f,
		       "GC bitmaps, heap index, page-allocator tables, work buffers %s; per-P "
		       "caches %s; other %s",
		       cause_bytes(t, gc), cause_bytes(t, cache), cause_bytes(t, other));
	cause_evidence(
		t, f,
		"it follows the largest heap that there was: these records are never returned");
}

void cause_globals(struct study *t, struct finding *f)
{
	if (!cause_claim(t, f, (int64_t)cause_line(t, LINE_BINARY_DATA)))
		return;
	cause_evidence(t, f, "data and bss of the program: %s, %s of it in memory",
		       cause_bytes(t, t->l->line[LINE_BINARY_DATA].bytes),
		       cause_bytes(t, (bytes)f->c.bytes));
	cause_action(t, f, 0, "see which: go tool nm -size -sort size PROGRAM\tnothing");
}

void cause_binary(struct study *t, struct finding *f)
{
	bytes text = cause_line(t, LINE_BINARY_TEXT), rodata = cause_line(t, LINE_BINARY_RODATA),
	      libs = cause_line(t, LINE_LIBS);
	bytes kernel = cause_line(t, LINE_KERNEL);

	if (!cause_claim(t, f, (int64_t)(text + rodata + libs + kernel)))
		return;
	cause_evidence(t, f, "code %s, read-only data %s, shared libraries %s",
		       cause_bytes(t, text), cause_bytes(t, rodata), cause_bytes(t, libs));
	cause_evidence(t, f,
		       "only what ran or was read is in memory; several processes of the same "
		       "program share it");
	cause_action(t, f, 0, "leave it; the kernel takes it back when it must\tnothing");
}

void cause_unexplained(struct study *t, struct finding *f)
{
	if (!cause_claim(t, f, (int64_t)cause_line(t, LINE_UNEXPLAINED)))
		return;
	cause_evidence(t, f, "resident pages that no rule of the ledger claims, %d %% of RSS",
		       cause_percent((double)f->c.bytes, (double)t->rss));
	cause_action(t, f, 0, "report it, with the output of `whyrss maps`\tnothing");
}

/* Only where the process is what the cgroup is for: a login session's tells nothing of it. 0: not
 * so, or little. */
static bytes charged_beside(const struct study *t)
{
	const struct cgroup_facts *g = t->cgroup;
	bytes known;

	if (!g || !t->l->residency || g->processes > 4 || g->others_rss > t->rss / 2)
		return 0;
	known = t->rss + g->others_rss;
	return g->current > known + MAX(t->rss / 4, 32 * MIB) ? g->current - known : 0;
}

void cause_container_metric(struct study *t, struct finding *f)
{
	const struct cgroup_facts *g = t->cgroup;
	bytes beside = charged_beside(t), oom;

	if (!beside || !cause_claim(t, f, (int64_t)beside))
		return;
	f->c.title = "page cache and kernel memory that the container is charged for";
	f->clause = arena_printf(t->a,
				 "the container's number is %s, RSS %s, and the kernel takes cache "
				 "back before it kills",
				 cause_bytes(t, g->current), cause_bytes(t, t->rss));
	cause_evidence(t, f, "container: current %s, working set %s; RSS %s",
		       cause_bytes(t, g->current), cause_bytes(t, g->working_set),
		       cause_bytes(t, t->rss));
	cause_evidence(
		t, f,
		"page cache %s, of it active %s, which the working set includes, and inactive %s",
		cause_bytes(t, g->file), cause_bytes(t, g->active_file),
		cause_bytes(t, g->inactive_file));
	cause_evidence(t, f,
		       "kernel memory %s, of it slab %s (%s can be taken back), page tables %s; "
		       "sockets %s; tmpfs %s",
		       cause_bytes(t, g->kernel), cause_bytes(t, g->slab),
		       cause_bytes(t, g->slab_reclaimable), cause_bytes(t, g->page_tables),
		       cause_bytes(t, g->sock), cause_bytes(t, g->shmem));
	if (g->processes > 1)
		cause_evidence(t, f, "%u processes in it; the others have %s of RSS", g->processes,
			       cause_bytes(t, g->others_rss));
	if (cause_oom_distance(t, &oom))
		cause_evidence(t, f, "the OOM kill is %s away, of a limit of %s",
			       cause_bytes(t, oom), cause_bytes(t, g->limit));
	cause_action(t, f, 0,
		     "alert on anonymous memory, not on usage or the working set\tnothing");
	cause_action(t, f, 0,
		     "call posix_fadvise(POSIX_FADV_DONTNEED) on files that are written "
		     "once\tslower reads");
}

void cause_page_tables(struct study *t, struct finding *f)
{
	bytes n = t->os->page_tables;

	/* 8 bytes for each page of 4 KiB: 0.2 % of dense memory. */
	if (n < 16 * MIB || n < t->rss / 50 || !cause_claim(t, f, (int64_t)n))
		return;
	f->clause = "not in RSS, but the container is charged for them; they outlive the pages "
		    "that they led to";
	cause_evidence(t, f, "VmPTE %s for %s of RSS; dense memory needs %s", cause_bytes(t, n),
		       cause_bytes(t, t->rss), cause_bytes(t, t->rss / 512));
	cause_evidence(t, f,
		       "VmSize %s: large mappings that are touched here and there, or were given "
		       "back page by page (go#43402)",
		       cause_bytes(t, t->os->vm_size));
	cause_action(t, f, (int64_t)(n - MIN(n, t->rss / 512)),
		     "unmap the sparse ranges; see `whyrss maps`\ta change of the program");
}
