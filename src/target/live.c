/*
 * A running process. Facts come from /proc, memory from process_vm_readv, and the rule about memory
 * is: the target never grows because we looked. A page that is in memory is read; a page of private
 * anonymous memory that is not, reads as the zeros that it would be; an absent file page is read
 * from the file; only a swapped page is touched, since nothing else will do. One thread at a time.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "target/cgroup.h"
#include "target/freeze.h"
#include "target/maps.h"
#include "target/procfs.h"
#include "target/residency.h"
#include "target/target.h"

#define THREADS_MAX (1U << 20)
#define FILES	    16 /* of mappings kept open */
#define SHORT_READ  ((size_t)64 << 10)
#define BATCH	    IOV_MAX
/* Reading across a hole this small is cheaper than one more range for the kernel to pin. */
#define GAP_MAX	    1024U
#define BATCH_BYTES ((size_t)256 << 20) /* far below what one call may move */

struct open_file {
	uint32_t dev;
	uint64_t inode;
	int fd;
};

struct live {
	struct target t;
	struct live_options o; /* its strings in `mem` */
	struct arena mem;
	int pid;
	int tid; /* of a thread that has the memory: the leader's, unless that ended before them */
	int dir; /* /proc/TID: stays with this process, whoever gets its number later */
	int leader;	      /* /proc/PID while dir is another thread's; -1: dir is it */
	int mem_fd;	      /* /proc/PID/mem; -1: a recorded tree */
	int pagemap;	      /* -1: cannot be had */
	int statm;	      /* -1: not opened yet */
	uint64_t start_ticks; /* of thread tid, to tell whether it is another process' by now */
	uint64_t up_ticks;    /* when the process started */
	uint32_t shm_dev;
	bool vm_readv; /* process_vm_readv works and means the same process */
	bool own_pids; /* this proc is of our own PID namespace */
	uint32_t hint; /* index of the mapping that was read last */
	struct freeze *freeze;
	struct open_file files[FILES];
	uint32_t n_files, next_file;
};

static struct live *live_of(struct target *t)
{
	return t->impl;
}

static bool failed(struct live *l, const char *what, struct err *err)
{
	return proc_failed(proc_root(&l->o), l->dir, l->pid, what, err);
}

/* ---- Memory ---- */

/* Whether os->pages tells page for page what was in memory. smaps says how many pages of a mapping
 * are, not which: no ground to read by. */
static bool is_scanned(const struct live *l)
{
	enum residency_source from = l->t.os->residency;

	return from == RESIDENCY_SCAN || from == RESIDENCY_PAGEMAP;
}

static const struct mapping *mapping_at(struct live *l, taddr at)
{
	const struct os_facts *os = l->t.os;
	const struct mapping *m;

	if (!os)
		return NULL;
	if (l->hint < os->n_maps &&
	    at - os->maps[l->hint].start < os->maps[l->hint].end - os->maps[l->hint].start)
		return &os->maps[l->hint];
	m = map_find(os, at);
	if (m)
		l->hint = (uint32_t)(m - os->maps);
	return m;
}

/*
 * Reads pages that are in memory (or swapped). A short read is quicker through /proc/PID/mem, which
 * also reads what has no read permission; a long one is copied once less by process_vm_readv.
 */
static size_t read_memory(struct live *l, const struct mapping *m, taddr at, char *dst, size_t n)
{
	size_t done = 0;

	l->t.stats.reads++;
	if (l->vm_readv && m->flags & MAP_READ && (n > SHORT_READ || l->mem_fd < 0)) {
		struct iovec to = {dst, n}, from = {(void *)(uintptr_t)at, n};
		ssize_t got = process_vm_readv(l->tid, &to, 1, &from, 1, 0);

		if (got < 0 && (errno == ENOSYS || errno == EPERM))
			l->vm_readv = false; /* a seccomp filter, as containers have it */
		done = got > 0 ? (size_t)got : 0;
	}
	while (done < n && l->mem_fd >= 0) {
		ssize_t got = pread(l->mem_fd, dst + done, n - done, (off_t)(at + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		done += (size_t)got;
	}
	l->t.stats.bytes_read += done;
	return done;
}

static int live_open_file(struct target *t, const struct mapping *m, struct err *err);

/* The file behind a mapping, kept open; -1 when it cannot be had. */
static int file_of(struct live *l, const struct mapping *m)
{
	struct open_file *f;
	int fd;

	for (uint32_t i = 0; i < l->n_files; i++)
		if (l->files[i].dev == m->dev && l->files[i].inode == m->inode)
			return l->files[i].fd;
	fd = live_open_file(&l->t, m, NULL);
	/* A failure is kept too: asking again for each page would not change it. */
	f = &l->files[l->next_file];
	if (l->n_files == FILES)
		cleanup_fd(&f->fd);
	else
		l->n_files++;
	l->next_file = (l->next_file + 1) % FILES;
	*f = (struct open_file){m->dev, m->inode, fd};
	return fd;
}

static void forget_files(struct live *l)
{
	for (uint32_t i = 0; i < l->n_files; i++)
		cleanup_fd(&l->files[i].fd);
	l->n_files = l->next_file = 0;
}

/* Reads absent pages of a file mapping from the file. Its last page ends in zeros; behind is a
 * fault. */
static size_t read_file(struct live *l, const struct mapping *m, taddr at, char *dst, size_t n)
{
	int fd = file_of(l, m);
	uint64_t offset = m->offset + (at - m->start);
	struct stat st;
	size_t done = 0;

	if (fd < 0 || offset > INT64_MAX - n)
		return 0;
	while (done < n) {
		ssize_t got = pread(fd, dst + done, n - done, (off_t)(offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		done += (size_t)got;
	}
	if (done < n && fstat(fd, &st) == 0) {
		uint64_t end = round_up((uint64_t)st.st_size, OS_PAGE);
		size_t tail = offset + done < end ? (size_t)MIN(end - offset - done, n - done) : 0;

		memset(dst + done, 0, tail);
		done += tail;
	}
	l->t.stats.file_bytes += done;
	return done;
}

/* Answers for pages that are not in memory and not swapped, without touching them. */
static size_t read_absent(struct live *l, const struct mapping *m, taddr at, char *dst, size_t n)
{
	if (m->flags & (MAP_FILE | MAP_SHMEM))
		return read_file(l, m, at, dst, n);
	/* A private hugetlb mapping of no file is anonymous too, and a touch would take a whole
	 * huge page. */
	if (m->flags & MAP_SPECIAL ||
	    (m->flags & MAP_HUGETLB && strcmp(m->path, "/anon_hugepage") != 0))
		return 0;
	/* Address space that is only reserved holds nothing: the target itself would fault there.
	 */
	if (!(m->flags & (MAP_READ | MAP_WRITE | MAP_EXEC)))
		return 0;
	memset(dst, 0, n);
	l->t.stats.zero_fills += n;
	return n;
}

/*
 * Without a pagemap nothing tells which pages are in memory. Then anonymous memory is read as it
 * is: an absent page becomes the shared zero page, which is not in RSS. Files that the program
 * cannot have written through the mapping are read from the file.
 */
static size_t read_blind(struct live *l, const struct mapping *m, taddr at, char *dst, size_t n)
{
	if (m->flags & (MAP_SPECIAL | MAP_HUGETLB))
		return 0;
	if (m->flags & (MAP_FILE | MAP_SHMEM) &&
	    (m->flags & MAP_SHARED_ || !(m->flags & MAP_WRITE))) {
		size_t done = read_file(l, m, at, dst, n);

		if (done)
			return done;
	}
	return read_memory(l, m, at, dst, n);
}

enum page_state { STATE_ABSENT, STATE_PRESENT, STATE_SWAPPED, STATE_GUARD };

static enum page_state state_of(uint64_t entry)
{
	if (entry & PM_PRESENT)
		return STATE_PRESENT;
	if (entry & PM_GUARD)
		return STATE_GUARD;
	return entry & PM_SWAPPED ? STATE_SWAPPED : STATE_ABSENT;
}

/* Reads a range of one mapping, asking the kernel now which of its pages are in memory. */
static size_t read_asking(struct live *l, const struct mapping *m, taddr at, char *dst, size_t n)
{
	uint64_t entry[512];
	size_t done = 0;

	while (done < n) {
		uint64_t first = (at + done) >> OS_PAGE_SHIFT;
		uint64_t last = (at + n - 1) >> OS_PAGE_SHIFT;
		size_t want = (size_t)MIN(last - first + 1, (uint64_t)ARRAY_LEN(entry));
		size_t have = l->pagemap < 0 ? 0 : pagemap_read(l->pagemap, first, entry, want);

		if (have == 0)
			return done + (l->pagemap < 0
					       ? read_blind(l, m, at + done, dst + done, n - done)
					       : 0);
		for (size_t i = 0, next; i < have; i = next) {
			enum page_state is = state_of(entry[i]);
			taddr from = MAX(at, (first + i) << OS_PAGE_SHIFT), to;
			size_t part, got;

			for (next = i + 1; next < have && state_of(entry[next]) == is; next++)
				;
			to = MIN(at + n, (first + next) << OS_PAGE_SHIFT);
			part = (size_t)(to - from);
			if (is == STATE_GUARD)
				got = 0; /* the target itself would fault */
			else if (is == STATE_ABSENT)
				got = read_absent(l, m, from, dst + (from - at), part);
			else
				got = read_memory(l, m, from, dst + (from - at), part);
			l->t.stats.swapped_reads += is == STATE_SWAPPED;
			done += got;
			if (got < part)
				return done;
		}
	}
	return done;
}

/* Reads a range of one mapping: what the page walk found in memory at once, the rest by asking. */
static size_t read_mapping(struct live *l, const struct mapping *m, taddr at, char *dst, size_t n)
{
	const struct pages *p = &l->t.os->pages;
	taddr end = at + n, from = at;

	/* vsyscall, [vvar] and device memory: no page there is ever in RSS, and none may be
	 * touched. */
	if (m->flags & MAP_SPECIAL && strcmp(m->path, "[vdso]") != 0)
		return 0;
	if (!is_scanned(l))
		return read_asking(l, m, at, dst, n);
	while (from < end) {
		bool resident = pages_is(p, from, PAGE_RESIDENT);
		taddr to = pages_next(p, from, end, PAGE_RESIDENT, !resident);
		size_t part = (size_t)(to - from);
		/* A page that came into memory after the walk is seen, too: the kernel is asked
		 * again. */
		size_t got = resident ? read_memory(l, m, from, dst + (from - at), part)
				      : read_asking(l, m, from, dst + (from - at), part);

		from += got;
		if (got < part)
			break;
	}
	return (size_t)(from - at);
}

static size_t live_read(struct target *t, taddr at, void *dst, size_t n)
{
	struct live *l = live_of(t);
	size_t done = 0;

	while (done < n) {
		const struct mapping *m = mapping_at(l, at + done);
		size_t part, got;

		if (!m)
			break;
		part = (size_t)MIN(m->end - (at + done), (taddr)(n - done));
		got = read_mapping(l, m, at + done, (char *)dst + done, part);
		done += got;
		if (got < part)
			break;
	}
	return done;
}

/* Whether a span is readable by process_vm_readv without making anything resident. */
static bool is_plain(struct live *l, const struct mem_span *s)
{
	const struct mapping *m;

	if (!l->t.os || !is_scanned(l) || !l->vm_readv || s->n == 0)
		return false;
	m = mapping_at(l, s->at);
	return m && m->flags & MAP_READ && !(m->flags & MAP_SPECIAL) && s->n <= m->end - s->at &&
	       pages_next(&l->t.os->pages, s->at, s->at + s->n, PAGE_RESIDENT, false) ==
		       s->at + s->n;
}

/* Ranges of one process_vm_readv call; the two sides are cut differently but are equally long. */
struct batch {
	struct iovec to[BATCH], from[BATCH];
	unsigned n_to, n_from;
	size_t total;
	char sink[GAP_MAX]; /* takes the bytes of small holes */
};

/* Adds a range to one side, joined to the last where it continues it. There is room. */
static void add_range(struct iovec *v, unsigned *n, void *base, size_t len)
{
	if (*n && (char *)v[*n - 1].iov_base + v[*n - 1].iov_len == base)
		v[*n - 1].iov_len += len;
	else
		v[(*n)++] = (struct iovec){base, len};
}

/*
 * The hole that is read across between two spans of a batch. Both ends of one this small lie on
 * pages that are in memory, and so does all of it.
 */
static size_t gap_between(const struct mem_span *before, const struct mem_span *s)
{
	taddr end = before->at + before->n;

	return s->at > end && s->at - end <= GAP_MAX ? (size_t)(s->at - end) : 0;
}

/* Adds a span; `before` is the one that was added last, or NULL. False: the batch is full. */
static bool batch_add(struct batch *b, const struct mem_span *before, const struct mem_span *s)
{
	size_t gap = before ? gap_between(before, s) : 0;

	if (before && b->total + s->n > BATCH_BYTES)
		return false;
	if (b->n_to + 2 > BATCH || b->n_from + 1 > BATCH)
		return false;
	if (gap) {
		b->from[b->n_from - 1].iov_len += gap;
		b->to[b->n_to++] = (struct iovec){b->sink, gap};
	}
	add_range(b->to, &b->n_to, s->dst, s->n);
	add_range(b->from, &b->n_from, (void *)(uintptr_t)s->at, s->n);
	b->total += gap + s->n;
	return true;
}

/*
 * Reads the n spans that batch_add took. The one that a fault cuts short is read again on its own,
 * and those behind it are left to the caller. Returns how many spans are done.
 */
static size_t batch_read(struct live *l, struct batch *b, struct mem_span *s, size_t n)
{
	ssize_t r = process_vm_readv(l->tid, b->to, b->n_to, b->from, b->n_from, 0);
	size_t got = r > 0 ? (size_t)r : 0, at = 0;

	if (r < 0 && (errno == ENOSYS || errno == EPERM))
		l->vm_readv = false;
	l->t.stats.reads++;
	l->t.stats.bytes_read += got;
	for (size_t i = 0; i < n; i++) {
		at += (i ? gap_between(&s[i - 1], &s[i]) : 0) + s[i].n;
		if (at > got) {
			s[i].got = (uint32_t)live_read(&l->t, s[i].at, s[i].dst, s[i].n);
			return i + 1;
		}
		s[i].got = s[i].n;
	}
	return n;
}

static void live_read_many(struct target *t, struct mem_span *s, size_t n)
{
	struct live *l = live_of(t);
	struct batch b;

	for (size_t i = 0; i < n;) {
		size_t taken = 0;

		b.n_to = b.n_from = 0;
		b.total = 0;
		while (i + taken < n && is_plain(l, &s[i + taken]) &&
		       batch_add(&b, taken ? &s[i + taken - 1] : NULL, &s[i + taken]))
			taken++;
		if (taken) {
			i += batch_read(l, &b, &s[i], taken);
		} else {
			s[i].got = (uint32_t)target_read(t, s[i].at, s[i].dst, s[i].n);
			i++;
		}
	}
}

#define POLL_MAX 64U /* spans of one call; more are read one by one */

static bool live_poll(struct target *t, struct mem_span *s, size_t n)
{
	struct live *l = live_of(t);
	struct iovec to[POLL_MAX], from[POLL_MAX];
	size_t got = 0;

	for (size_t i = 0; i < n; i += POLL_MAX) {
		size_t part = MIN(n - i, (size_t)POLL_MAX), at = 0;

		for (size_t k = 0; k < part; k++) {
			to[k] = (struct iovec){s[i + k].dst, s[i + k].n};
			from[k] = (struct iovec){(void *)(uintptr_t)s[i + k].at, s[i + k].n};
		}
		got = 0;
		if (l->vm_readv) {
			ssize_t r = process_vm_readv(l->tid, to, part, from, part, 0);

			if (r < 0 && (errno == ENOSYS || errno == EPERM))
				l->vm_readv = false;
			got = r > 0 ? (size_t)r : 0;
		}
		l->t.stats.reads++;
		l->t.stats.bytes_read += got;
		for (size_t k = 0; k < part; at += s[i + k++].n) {
			struct mem_span *m = &s[i + k];

			m->got = at + m->n <= got ? m->n : 0;
			if (!m->got && !l->vm_readv && l->mem_fd >= 0) {
				ssize_t r = pread(l->mem_fd, m->dst, m->n, (off_t)m->at);

				m->got = r > 0 ? (uint32_t)r : 0;
			}
			if (m->got != m->n)
				return false;
		}
	}
	return true;
}

/* ---- Files of mappings ---- */

static int live_open_file(struct target *t, const struct mapping *m, struct err *err)
{
	struct live *l = live_of(t);
	int fd;

	if (!(m->flags & (MAP_FILE | MAP_SHMEM))) {
		err_set(err, ERR_USAGE, "there is no file behind the mapping at %#llx",
			(unsigned long long)m->start);
		return -1;
	}
	fd = proc_mapped_file(l->dir, m);
	if (fd >= 0)
		return fd;
	if (m->flags & MAP_DELETED)
		err_set(err, ERR_OS,
			"%s was deleted after process %d mapped it: only root can still open it",
			m->path, l->pid);
	else
		err_set(err, ERR_OS,
			"%s as process %d mapped it cannot be opened: it was replaced, or lies "
			"where this user may not look",
			m->path, l->pid);
	return -1;
}

/* ---- Facts ---- */

/* A folder entry that is a number above 0. */
static bool parse_id(const char *name, int *ret)
{
	uint64_t v;

	if (!str_u64(&name, false, &v) || *name || v == 0 || v > INT_MAX)
		return false;
	*ret = (int)v;
	return true;
}

static bool is_zombie(const struct proc_stat *st)
{
	return st->state == 'Z' || st->state == 'X';
}

/*
 * A leader can end before its threads (pthread_exit in main of a C program that holds Go): its own
 * folder then shows no memory, and /proc/TID of a thread that lives shows all of it.
 */
static bool follow_thread(struct live *l, struct proc_stat *ret)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	const char *root = proc_root(&l->o);
	int fd = openat(l->dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(cleanup_dir) DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (!d)
		cleanup_fd(&fd);
	for (struct dirent *e; d && (e = readdir(d));) {
		CLEANUP(cleanup_fd) int dir = -1;
		struct proc_status status;
		struct proc_stat st;
		int tid;

		if (!parse_id(e->d_name, &tid) || tid == l->tid)
			continue;
		dir = open(arena_printf(&scratch, "%s/%d", root, tid),
			   O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0 || !proc_stat_read(dir, tid, &st, NULL) || is_zombie(&st) ||
		    !proc_status_read(dir, tid, &status, NULL) || !status.has_memory ||
		    status.tgid != (uint64_t)l->pid)
			continue;
		if (l->leader < 0)
			l->leader = l->dir;
		else
			close(l->dir);
		l->dir = dir;
		dir = -1;
		l->tid = tid;
		l->start_ticks = st.start_ticks; /* its number, too, could be given away */
		*ret = st;
		return true;
	}
	return false;
}

/* Ends in ERR_GONE for another process or a zombie. */
static bool check_alive(struct live *l, struct proc_stat *st, struct err *err)
{
	/* The thread that was followed can end before the process does. */
	if (l->leader >= 0 && !proc_stat_read(l->dir, l->pid, st, NULL)) {
		close(l->dir);
		l->dir = l->leader;
		l->leader = -1;
		l->tid = l->pid;
		l->start_ticks = l->up_ticks;
	}
	if (!proc_stat_read(l->dir, l->pid, st, err))
		return false;
	if (l->start_ticks && st->start_ticks != l->start_ticks)
		return err_set(err, ERR_GONE,
			       "process %d has ended, and its number was given to another one",
			       l->pid);
	if (!l->start_ticks)
		l->start_ticks = l->up_ticks = st->start_ticks;
	if (is_zombie(st) && !follow_thread(l, st))
		return err_set(
			err, ERR_GONE,
			"process %d has ended: it is a zombie that its parent has not waited for",
			l->pid);
	return true;
}

/* A thread of the kernel has no memory to ask about; a process that just ended has none left. */
static bool check_user_process(struct live *l, struct err *err)
{
	struct proc_status status;
	struct proc_stat st;

	if (!proc_status_read(l->dir, l->pid, &status, err))
		return false;
	if (status.has_memory)
		return true;
	if (!check_alive(l, &st, err))
		return false;
	if (st.kernel_thread)
		return err_set(
			err, ERR_NOT_GO,
			"process %d (%s) is a thread of the kernel: it has no memory of its own",
			l->pid, st.comm);
	return err_set(err, ERR_GONE, "process %d has ended", l->pid);
}

static void read_status(const struct proc_status *st, struct os_facts *os)
{
	os->rss_kernel = st->rss;
	os->anon = st->anon;
	os->file = st->file;
	os->shmem = st->shmem;
	os->hwm = st->hwm;
	os->swap = st->swap;
	os->page_tables = st->page_tables;
	os->vm_size = st->vm_size;
	os->hugetlb = st->hugetlb;
}

/* "running", or "nr args… sp pc" where nr is -1 outside of a system call. */
static void parse_syscall(const char *text, struct os_thread *t)
{
	uint64_t last[2] = {0};
	bool any = false;

	if (str_starts(text, "running")) {
		t->on_cpu = true;
		return;
	}
	for (const char *p = text; (p = strstr(p, "0x"));) {
		uint64_t v;

		p += 2;
		if (!str_u64(&p, true, &v))
			return;
		last[0] = last[1];
		last[1] = v;
		any = true;
	}
	/* "-1 0xSP 0xPC" has no arguments, so that two numbers are enough. */
	if (any) {
		t->sp = last[0];
		t->pc = last[1];
	}
}

static bool read_threads(struct live *l, struct arena *a, struct os_facts *os, struct err *err)
{
	int fd = openat(l->dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(cleanup_dir) DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	VEC(struct os_thread) v = {0};

	if (!d) {
		bool recorded = errno == ENOENT && l->mem_fd < 0;

		cleanup_fd(&fd);
		return recorded || failed(l, "task", err);
	}
	for (struct dirent *e; v.n < THREADS_MAX && (e = readdir(d));) {
		CLEANUP(arena_free) struct arena scratch = {0};
		struct os_thread t = {0};
		char *text;

		if (!parse_id(e->d_name, &t.tid))
			continue;
		if (file_read(fd, arena_printf(&scratch, "%d/syscall", t.tid), 4096, &scratch,
			      &text, NULL, NULL))
			parse_syscall(text, &t);
		*VEC_PUSH(a, &v) = t;
	}
	os->threads = v.v;
	os->n_threads = v.n;
	return true;
}

static bool read_maps(struct live *l, struct arena *a, struct os_facts *os, struct err *err)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	struct fs_table fs = {.shm_dev = l->shm_dev};
	struct err why = {0};
	char *text;
	size_t n;

	if (file_read(l->dir, "mountinfo", PROC_TEXT_MAX, &scratch, &text, NULL, NULL))
		fs_table_parse(text, &scratch, &fs);
	if (!file_read(l->dir, "maps", MAPS_TEXT_MAX, &scratch, &text, &n, &why)) {
		errno = why.os;
		return why.os ? failed(l, "maps", err)
			      : err_set(err, why.kind, "process %d: %s", l->pid, why.msg);
	}
	if (!maps_parse(text, n, &fs, a, &os->maps, &os->n_maps, err))
		return err_in(err, "process %d", l->pid);
	return true;
}

static void read_names(struct live *l, struct arena *a, struct os_facts *os)
{
	static const char deleted[] = " (deleted)";
	CLEANUP(arena_free) struct arena scratch = {0};
	char *text;
	size_t n;

	os->exe = os->cmdline0 = "";
	if (file_link(l->dir, "exe", a, &text, NULL)) {
		os->exe = text;
		n = strlen(text);
		if (str_ends(text, deleted)) {
			os->exe_deleted = true;
			text[n - (sizeof(deleted) - 1)] = '\0';
		}
	}
	if (file_read(l->dir, "cmdline", PROC_TEXT_MAX, &scratch, &text, NULL, NULL))
		os->cmdline0 = arena_strdup(a, text);
}

/* The word in brackets of "always [madvise] never". */
static const char *chosen_word(const char *text, struct arena *a)
{
	const char *open = strchr(text, '['), *close = open ? strchr(open, ']') : NULL;

	return close ? arena_strndup(a, open + 1, (size_t)(close - open - 1)) : "";
}

static void read_machine(struct live *l, struct arena *a, struct os_facts *os)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	const char *root = proc_root(&l->o), *sys = proc_sys(&l->o);
	char *text;

	if (file_read(AT_FDCWD, arena_printf(&scratch, "%s/meminfo", root), PROC_TEXT_MAX, &scratch,
		      &text, NULL, NULL)) {
		os->machine_total = text_kib(text, "MemTotal:", 0);
		os->machine_available = text_kib(text, "MemAvailable:", 0);
	}
	if (file_read(AT_FDCWD, arena_printf(&scratch, "%s/uptime", root), 4096, &scratch, &text,
		      NULL, NULL)) {
		const char *at = text;
		uint64_t s, hundredths = 0;
		int64_t hz = sysconf(_SC_CLK_TCK);

		if (str_u64(&at, false, &s) && *at++ == '.' && str_u64(&at, false, &hundredths) &&
		    s < INT64_MAX / 1000000000 && l->up_ticks < INT64_MAX / 1000000000) {
			os->up_ns = (int64_t)s * 1000000000 +
				    (int64_t)(hundredths % 100) * 10000000 -
				    (int64_t)l->up_ticks * (1000000000 / hz);
			os->up_ns = MAX(os->up_ns, 0);
		}
	}
	os->thp_enabled = "";
	os->max_ptes_none = -1;
	if (!sys)
		return;
	if (file_read(AT_FDCWD,
		      arena_printf(&scratch, "%s/kernel/mm/transparent_hugepage/enabled", sys),
		      4096, &scratch, &text, NULL, NULL))
		os->thp_enabled = chosen_word(text, a);
	if (file_read(AT_FDCWD,
		      arena_printf(&scratch,
				   "%s/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none",
				   sys),
		      4096, &scratch, &text, NULL, NULL)) {
		uint64_t v = text_u64(text, "", INT_MAX);

		os->max_ptes_none = (int)MIN(v, (uint64_t)INT_MAX);
	}
}

/* CPUs that it may use: what sched_getaffinity tells the Go runtime, and the cgroup's quota. */
static uint32_t count_cpus(struct live *l, const struct proc_status *st)
{
	uint32_t n = st->n_cpus, quota = cgroup_cpus(&l->o, l->dir);
	cpu_set_t *set = l->own_pids ? CPU_ALLOC(8192) : NULL;
	size_t size = CPU_ALLOC_SIZE(8192);

	/* Cpus_allowed also counts CPUs that could be plugged in. */
	if (set && sched_getaffinity(l->tid, size, set) == 0)
		n = (uint32_t)CPU_COUNT_S(size, set);
	if (set)
		CPU_FREE(set);
	return MIN(n, quota);
}

static void read_rollup(struct live *l, struct os_facts *os)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	char *text;

	if (file_read(l->dir, "smaps_rollup", PROC_TEXT_MAX, &scratch, &text, NULL, NULL)) {
		os->pss = text_kib(text, "Pss:", UINT64_MAX);
		os->lazy_free = text_kib(text, "LazyFree:", UINT64_MAX);
	}
}

/* Opened anew for every set of facts: the old ones belong to the program before an exec. */
static bool open_memory(struct live *l, struct err *err)
{
	int mem = openat(l->dir, "mem", O_RDONLY | O_CLOEXEC);
	int pagemap;

	if (mem < 0 && !(errno == ENOENT && !l->own_pids))
		return failed(l, "mem", err);
	pagemap = openat(l->dir, "pagemap", O_RDONLY | O_CLOEXEC);
	cleanup_fd(&l->mem_fd);
	cleanup_fd(&l->pagemap);
	cleanup_fd(&l->statm);
	l->mem_fd = mem;
	l->pagemap = pagemap;
	return true;
}

static bool start_freeze(struct live *l, struct err *err)
{
	CLEANUP(cleanup_fd) int task = -1;

	if (!l->own_pids)
		return err_set(err, ERR_USAGE,
			       "process %d cannot be stopped from here: its number is of another "
			       "PID namespace",
			       l->pid);
	task = openat(l->dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return task < 0 ? failed(l, "task", err) : freeze_start(l->pid, task, &l->freeze, err);
}

static void live_thaw(struct target *t)
{
	struct live *l = live_of(t);

	if (l->freeze) {
		int64_t ns = freeze_end(l->freeze);

		t->stopped_ns = MAX(ns, 1);
		t->held = false;
		l->freeze = NULL;
	}
}

static bool read_facts(struct live *l, struct arena *a, struct os_facts **ret, struct err *err)
{
	struct proc_stat st;
	struct proc_status status;
	struct os_facts *os;

	if (!check_alive(l, &st, err) || !open_memory(l, err))
		return false;
	os = ARENA_NEW(a, struct os_facts);
	os->pid = l->pid;
	memcpy(os->comm, st.comm, sizeof(os->comm));
	os->start_ticks = l->up_ticks;
	os->pss = os->lazy_free = UINT64_MAX;
	read_names(l, a, os);
	if (!proc_status_read(l->dir, l->pid, &status, err) || !read_maps(l, a, os, err))
		return false;
	if (os->n_maps == 0 && !check_user_process(l, err))
		return false;
	read_status(&status, os);
	if (status.ns_depth > 1)
		os->pid_ns_note = arena_printf(a, "It is process %llu in its own PID namespace.",
					       (unsigned long long)status.ns_pid);
	if (!read_threads(l, a, os, err))
		return false;
	read_machine(l, a, os);
	os->cgroup = cgroup_read(&l->o, l->dir, l->pid, a);
	os->n_cpus = count_cpus(l, &status);
	if (l->o.pss)
		read_rollup(l, os);
	pages_init(&os->pages, a);
	*ret = os;
	return true;
}

static bool live_facts(struct target *t, struct arena *a, struct err *err)
{
	struct live *l = live_of(t);
	struct os_facts *os = NULL;
	bool fresh = l->o.freeze && !l->freeze && t->stopped_ns == 0;

	if (fresh && !start_freeze(l, err))
		return false;
	if (!read_facts(l, a, &os, err)) {
		if (fresh) {
			live_thaw(t);
			t->stopped_ns = 0; /* the next call may try again */
		}
		return false;
	}
	t->os = os;
	t->held = l->freeze != NULL;
	l->hint = 0;
	forget_files(l);
	return true;
}

/* Walks with the source that was asked for, or the best that works. */
static bool walk_pages(struct live *l, struct pages *p, struct arena *a, enum residency_source *ret,
		       struct err *err)
{
	struct os_facts *os = l->t.os;
	enum residency_source only = l->o.source;
	struct err why = {0};
	bool missing = false;

	if (l->pagemap >= 0 && (only == RESIDENCY_NONE || only == RESIDENCY_SCAN)) {
		*ret = RESIDENCY_SCAN;
		if (residency_scan(l->pagemap, os, p, &missing, &why))
			return true;
		if (only == RESIDENCY_SCAN || !missing)
			goto fail;
		pages_init(p, a);
	}
	if (l->pagemap >= 0 && (only == RESIDENCY_NONE || only == RESIDENCY_PAGEMAP)) {
		*ret = RESIDENCY_PAGEMAP;
		if (residency_pagemap(l->pagemap, os, p, &why))
			return true;
		if (only == RESIDENCY_PAGEMAP || why.kind == ERR_LIMIT)
			goto fail;
		pages_init(p, a);
	}
	*ret = RESIDENCY_SMAPS;
	if (only == RESIDENCY_SCAN || only == RESIDENCY_PAGEMAP)
		return err_set(err, ERR_OS, "process %d: there is no pagemap", l->pid);
	return residency_smaps(l->dir, os, p, err);
fail:
	if (err)
		*err = why;
	return err_in(err, "process %d", l->pid);
}

/* Bytes on huge pages where the page walk cannot tell. */
static bytes huge_of_rollup(struct live *l)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	char *text;

	if (!file_read(l->dir, "smaps_rollup", PROC_TEXT_MAX, &scratch, &text, NULL, NULL))
		return 0;
	return text_kib(text, "AnonHugePages:", 0) + text_kib(text, "ShmemPmdMapped:", 0) +
	       text_kib(text, "FilePmdMapped:", 0);
}

static bool live_scan(struct target *t, struct arena *a, struct err *err)
{
	struct live *l = live_of(t);
	struct os_facts *os = t->os;
	struct proc_stat st;
	struct proc_status before, after;
	enum residency_source source;
	struct pages p;

	if (!os)
		return err_set(err, ERR_USAGE,
			       "the pages of process %d were asked for before its mappings",
			       l->pid);
	pages_init(&p, a);
	if (!proc_status_read(l->dir, l->pid, &before, err) ||
	    !walk_pages(l, &p, a, &source, err) || !proc_status_read(l->dir, l->pid, &after, err) ||
	    !check_alive(l, &st, err))
		return false;
	if (!after.has_memory)
		return err_set(err, ERR_GONE, "process %d has ended", l->pid);
	pages_close(&p);
	os->pages = p;
	os->residency = source;
	read_status(&after, os);
	os->drift = (int64_t)(after.rss - before.rss);
	os->huge = source == RESIDENCY_PAGEMAP ? huge_of_rollup(l) : p.huge;
	return true;
}

/* The file stays with its process: another one of the same number is never meant. */
static bool live_rss(struct target *t, bytes *ret, struct err *err)
{
	struct live *l = live_of(t);
	char text[128];
	const char *at = text;
	uint64_t size, pages;
	ssize_t n;

	if (l->statm < 0)
		l->statm = openat(l->dir, "statm", O_RDONLY | O_CLOEXEC);
	if (l->statm < 0)
		return failed(l, "statm", err);
	n = pread(l->statm, text, sizeof(text) - 1, 0);
	if (n < 0)
		return failed(l, "statm", err);
	text[n] = '\0';
	if (!str_u64(&at, false, &size) || *at++ != ' ' || !str_u64(&at, false, &pages))
		return err_set(err, ERR_FORMAT, "process %d: statm is not in its known form",
			       l->pid);
	if (size == 0)
		return err_set(err, ERR_GONE, "process %d has ended", l->pid);
	*ret = pages * OS_PAGE;
	return true;
}

/* ---- Opening and closing ---- */

static void live_close(struct target *t)
{
	struct live *l = live_of(t);

	live_thaw(t);
	forget_files(l);
	cleanup_fd(&l->mem_fd);
	cleanup_fd(&l->pagemap);
	cleanup_fd(&l->statm);
	cleanup_fd(&l->leader);
	cleanup_fd(&l->dir);
	arena_free(&l->mem);
	free(l);
}

static void twin_close(struct target *t)
{
	forget_files(live_of(t));
	free(live_of(t));
}

static struct target *live_twin(struct target *t)
{
	static const struct target_ops twin_ops = {
		.name = "live, twin",
		.read = live_read,
		.read_many = live_read_many,
		.open_file = live_open_file,
		.close = twin_close,
	};
	struct live *l = malloc(sizeof(*l));

	if (!l)
		return NULL;
	*l = *live_of(t);
	l->n_files = l->next_file = 0;
	l->t.ops = &twin_ops;
	l->t.impl = l;
	l->t.stats = (struct target_stats){0};
	return &l->t;
}

static const struct target_ops live_ops = {
	.name = "live",
	.read = live_read,
	.facts = live_facts,
	.scan = live_scan,
	.read_many = live_read_many,
	.poll = live_poll,
	.rss = live_rss,
	.open_file = live_open_file,
	.thaw = live_thaw,
	.twin = live_twin,
	.close = live_close,
};

/* Whether the numbers of this proc are those that our system calls mean. */
static bool is_own_proc(const char *root, struct arena *scratch)
{
	struct statfs fs;
	char *self;

	return statfs(root, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC &&
	       file_link(AT_FDCWD, arena_printf(scratch, "%s/self", root), scratch, &self, NULL) &&
	       strcmp(self, arena_printf(scratch, "%d", (int)getpid())) == 0;
}

/* The device of the kernel's internal tmpfs; UINT32_MAX when it does not say. */
static uint32_t internal_tmpfs(void)
{
	CLEANUP(cleanup_fd) int fd = memfd_create("whyrss", MFD_CLOEXEC);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 ? dev_number(st.st_dev) : UINT32_MAX;
}

static const char *copy(struct arena *a, const char *s)
{
	return s ? arena_strdup(a, s) : NULL;
}

bool live_open(int pid, const struct live_options *o, struct target **ret, struct err *err)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	const char *root = proc_root(o);
	struct live *l;
	struct proc_stat st;
	int dir = pid <= 0 ? -1
			   : open(arena_printf(&scratch, "%s/%d", root, pid),
				  O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0) {
		if (pid <= 0 || errno == ENOENT || errno == ESRCH)
			return err_set(err, ERR_GONE, "no process %d", pid);
		return err_os(err, errno == EACCES || errno == EPERM ? ERR_PERM : ERR_OS, "%s/%d",
			      root, pid);
	}
	l = calloc(1, sizeof(*l));
	if (!l) {
		close(dir);
		return err_os(err, ERR_OS, "process %d", pid);
	}
	arena_init(&l->mem, 0);
	l->pid = l->tid = pid;
	l->dir = dir;
	l->leader = l->mem_fd = l->pagemap = l->statm = -1;
	if (o)
		l->o = *o;
	l->o.proc = copy(&l->mem, l->o.proc);
	l->o.cgroupfs = copy(&l->mem, l->o.cgroupfs);
	l->o.sys = copy(&l->mem, l->o.sys);
	l->own_pids = l->vm_readv = is_own_proc(root, &scratch);
	l->shm_dev = l->own_pids ? internal_tmpfs() : UINT32_MAX;
	l->t = (struct target){.ops = &live_ops, .kind = TARGET_PROCESS, .impl = l};
	if (!check_alive(l, &st, err) || !check_user_process(l, err) || !open_memory(l, err)) {
		live_close(&l->t);
		return false;
	}
	*ret = &l->t;
	return true;
}
