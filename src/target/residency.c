/*
 * The page walk. What counts is what the kernel counts in RSS: present pages without the shared
 * zero page, without hugetlb and without VM_PFNMAP ones such as [vvar]. The ioctl PAGEMAP_SCAN
 * tells all of it; /proc/PID/pagemap cannot name the zero page and has to infer it; smaps knows
 * only sums. The walk never touches a page of the target.
 */
#include "target/residency.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/str.h"
#include "target/maps.h"
#include "target/procfs.h"

/* The kernel's ABI (Documentation/admin-guide/mm/pagemap.rst); Debian 12's headers do not have it.
 */
enum scan_category {
	SCAN_PRESENT = 1 << 3,
	SCAN_SWAPPED = 1 << 4,
	SCAN_PFNZERO = 1 << 5,
	SCAN_HUGE = 1 << 6,
	SCAN_GUARD = 1 << 8, /* Linux 6.15 */
};

struct scan_region {
	uint64_t start, end, categories;
};

struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define SCAN_IOCTL   _IOWR('f', 16, struct scan_arg)
#define SCAN_REGIONS 4096U
/*
 * The kernel holds the target's mmap lock for reading while it walks: in steps, the target's own
 * mmap and munmap never wait long for us. Steps double while they find nothing, because some
 * programs reserve terabytes (race detectors) and the kernel skips what has no page table in no
 * time.
 */
#define SCAN_STEP     ((taddr)128 << 20)
#define SCAN_STEP_MAX ((taddr)1 << 40)
#define HUGE_PAGE     ((taddr)2 << 20)

size_t pagemap_read(int pagemap, uint64_t page, uint64_t *entry, size_t n)
{
	size_t want = n * sizeof(*entry), got = 0;

	while (got < want) {
		ssize_t r = pread(pagemap, (char *)entry + got, want - got,
				  (off_t)(page * sizeof(*entry) + got));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			break;
		got += (size_t)r;
	}
	return got / sizeof(*entry);
}

/* Whether a mapping's pages can be in RSS. */
static bool counts(const struct mapping *m)
{
	/* vsyscall lies above user space: no page table of the process has it. */
	return !(m->flags & MAP_HUGETLB) && m->start < (taddr)1 << 63;
}

/*
 * The zero page by its number: kpageflags has a bit for it, the huge one included. Needs
 * CAP_SYS_ADMIN, as do the page frame numbers; without it the answer is `unknown`.
 */
static bool is_zero_page(int kpageflags, uint64_t entry, bool unknown)
{
	uint64_t pfn = entry & PM_PFN, flags;

	if (kpageflags < 0 || !pfn ||
	    pread(kpageflags, &flags, sizeof(flags), (off_t)(pfn * 8)) != 8)
		return unknown;
	return flags >> 24 & 1; /* KPF_ZERO_PAGE */
}

/*
 * Whether a present page counts in RSS, from its pagemap entry. In anonymous memory a page that is
 * not exclusive is the zero page (the huge one even says "file"), or one that a fork left shared
 * between processes. With privilege the page flags decide; without it such a page counts as the
 * zero page, so that of a process whose forked child did not exec too little is found, which shows
 * as a difference to VmRSS. Pages of [vvar] and of devices, which RSS leaves out, are neither
 * exclusive nor of a file.
 */
static bool in_rss(const struct mapping *m, uint64_t entry, int kpageflags)
{
	if (entry & PM_EXCLUSIVE || m->flags & (MAP_FILE | MAP_SHMEM))
		return true;
	if (m->flags & MAP_SPECIAL)
		return entry & PM_FILE;
	return !(entry & PM_FILE) && !is_zero_page(kpageflags, entry, true);
}

struct scan {
	const struct os_facts *os;
	struct pages *p;
	int pagemap, kpageflags;
	struct scan_region *regions; /* SCAN_REGIONS of them */
	uint64_t guard;		     /* SCAN_GUARD where the kernel knows it */
};

/* A present range on huge pages. Kernels before 6.18 do not say PFNZERO of the huge zero page. */
static bool set_huge(const struct scan *s, taddr from, taddr to, struct err *err)
{
	for (taddr at = from; at < to;) {
		taddr end = MIN(round_down(at, HUGE_PAGE) + HUGE_PAGE, to);
		const struct mapping *m = map_find(s->os, at);
		uint64_t e;
		bool zero = m && pagemap_read(s->pagemap, at >> OS_PAGE_SHIFT, &e, 1) == 1 &&
			    e & PM_PRESENT && !in_rss(m, e, s->kpageflags);

		if (!zero && (!pages_set(s->p, at, end, PAGE_RESIDENT, err) ||
			      !pages_set(s->p, at, end, PAGE_HUGE, err)))
			return false;
		at = end;
	}
	return true;
}

static bool set_regions(const struct scan *s, size_t n, taddr from, taddr to, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		/* A call's regions can reach past its walk_end, and then come again: a set does not
		 * mind. */
		taddr lo = MAX(s->regions[i].start, from), hi = MIN(s->regions[i].end, to);
		uint64_t c = s->regions[i].categories;
		bool ok = true;

		if (lo >= hi || c & (SCAN_PFNZERO | SCAN_GUARD))
			continue;
		if (c & SCAN_PRESENT)
			ok = c & SCAN_HUGE ? set_huge(s, lo, hi, err)
					   : pages_set(s->p, lo, hi, PAGE_RESIDENT, err);
		else if (c & SCAN_SWAPPED)
			ok = pages_set(s->p, lo, hi, PAGE_SWAPPED, err);
		if (!ok)
			return false;
	}
	return true;
}

static bool scan_range(struct scan *s, taddr from, taddr to, struct err *err)
{
	taddr step = SCAN_STEP;

	for (taddr at = from; at < to;) {
		struct scan_arg arg = {
			.size = sizeof(arg),
			.start = at,
			.end = to - at > step ? at + step : to,
			.vec = (uint64_t)(uintptr_t)s->regions,
			.vec_len = SCAN_REGIONS,
			.category_anyof_mask = SCAN_PRESENT | SCAN_SWAPPED,
			/* Not FILE: that makes the kernel look at the struct page of every page. */
			.return_mask =
				SCAN_PRESENT | SCAN_SWAPPED | SCAN_PFNZERO | SCAN_HUGE | s->guard,
		};
		int n = ioctl(s->pagemap, SCAN_IOCTL, &arg);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EINVAL && s->guard) {
			s->guard = 0;
			continue;
		}
		if (n < 0)
			return err_os(err, errno == ESRCH ? ERR_GONE : ERR_OS, "page walk at %#llx",
				      (unsigned long long)at);
		if (!set_regions(s, (size_t)n, from, to, err))
			return false;
		/* A walk that stands still would never end: that is a kernel which lies. */
		if (arg.walk_end <= at)
			return err_set(err, ERR_OS, "page walk at %#llx: no progress",
				       (unsigned long long)at);
		at = arg.walk_end;
		step = n ? SCAN_STEP : MIN(step * 2, SCAN_STEP_MAX);
	}
	return true;
}

bool residency_scan(int pagemap, const struct os_facts *os, struct pages *p, bool *ret_missing,
		    struct err *err)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	CLEANUP(cleanup_fd) int kpageflags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	struct scan s = {
		.os = os,
		.p = p,
		.pagemap = pagemap,
		.kpageflags = kpageflags,
		.regions = ARENA_ARRAY(&scratch, struct scan_region, SCAN_REGIONS),
		.guard = SCAN_GUARD,
	};

	for (uint32_t i = 0, next; i < os->n_maps; i = next) {
		taddr end = os->maps[i].end;
		struct err why = {0};

		/* Neighbours without a hole between them are one walk. */
		for (next = i + 1; next < os->n_maps; next++) {
			if (os->maps[next].start != end ||
			    counts(&os->maps[next]) != counts(&os->maps[i]))
				break;
			end = os->maps[next].end;
		}
		if (counts(&os->maps[i]) && !scan_range(&s, os->maps[i].start, end, &why)) {
			*ret_missing = why.os == ENOTTY || why.os == EINVAL || why.os == ENOSYS ||
				       why.os == EOPNOTSUPP;
			if (err)
				*err = why;
			return false;
		}
	}
	return true;
}

/* The bit that one pagemap entry stands for; -1: none. */
static int classify(const struct mapping *m, uint64_t e, int kpageflags)
{
	if (e & PM_PRESENT)
		return in_rss(m, e, kpageflags) ? PAGE_RESIDENT : -1;
	return e & PM_SWAPPED && !(e & PM_GUARD) ? PAGE_SWAPPED : -1;
}

static bool pagemap_mapping(int pagemap, int kpageflags, const struct mapping *m, uint64_t *entry,
			    size_t cap, struct pages *p, struct err *err)
{
	uint64_t first = m->start >> OS_PAGE_SHIFT, pages = (m->end - m->start) >> OS_PAGE_SHIFT;

	for (uint64_t at = 0; at < pages;) {
		size_t want = (size_t)MIN(pages - at, (uint64_t)cap);
		size_t n = pagemap_read(pagemap, first + at, entry, want);

		for (size_t i = 0, next; i < n; i = next) {
			int is = classify(m, entry[i], kpageflags);
			taddr from = (first + at + i) << OS_PAGE_SHIFT;

			/* Runs of equal entries are common, above all of absent ones. */
			for (next = i + 1; next < n; next++)
				if (entry[next] != entry[i] &&
				    classify(m, entry[next], kpageflags) != is)
					break;
			if (is >= 0 &&
			    !pages_set(p, from, from + ((taddr)(next - i) << OS_PAGE_SHIFT),
				       (enum page_bit)is, err))
				return false;
		}
		if (n < want) /* the end of the address space, or of the process: VmRSS will tell */
			break;
		at += n;
	}
	return true;
}

bool residency_pagemap(int pagemap, const struct os_facts *os, struct pages *p, struct err *err)
{
	enum { ENTRIES = 16384 };
	CLEANUP(arena_free) struct arena scratch = {0};
	CLEANUP(cleanup_fd) int kpageflags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	uint64_t *entry = ARENA_ARRAY(&scratch, uint64_t, ENTRIES);

	if (pagemap_read(pagemap, 0, entry, 1) != 1)
		return err_os(err, ERR_OS, "pagemap");
	for (uint32_t i = 0; i < os->n_maps; i++)
		if (counts(&os->maps[i]) &&
		    !pagemap_mapping(pagemap, kpageflags, &os->maps[i], entry, ENTRIES, p, err))
			return false;
	return true;
}

/* Marks the first pages of a mapping; their number is all that smaps knows. */
static bool set_first(struct pages *p, const struct mapping *m, taddr *from, bytes n,
		      enum page_bit bit, struct err *err)
{
	taddr to = *from + MIN(round_down(n, OS_PAGE), m->end - *from);

	if (!pages_set(p, *from, to, bit, err))
		return false;
	*from = to;
	return true;
}

static bool is_huge_field(const char *line)
{
	return str_starts(line, "AnonHugePages:") || str_starts(line, "ShmemPmdMapped:") ||
	       str_starts(line, "FilePmdMapped:");
}

bool residency_smaps(int dir, const struct os_facts *os, struct pages *p, struct err *err)
{
	CLEANUP(cleanup_fd) int fd = openat(dir, "smaps", O_RDONLY | O_CLOEXEC);
	CLEANUP(cleanup_file) FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
	const struct mapping *m = NULL;
	taddr at = 0, huge_at = 0;
	char line[8192]; /* a longer line is a path, whose rest looks like no field */
	bool whole = true;

	if (!f)
		return proc_failed(NULL, dir, os->pid, "smaps", err);
	fd = -1; /* f closes it */
	while (fgets(line, sizeof(line), f)) {
		bool starts = whole;
		const char *text = line;
		taddr start, end;
		bool ok = true;

		whole = strchr(line, '\n') != NULL;
		if (!starts)
			continue;
		if (maps_range(&text, &start, &end)) {
			m = map_find(os, start);
			if (m && (m->flags & MAP_HUGETLB || m->start != start))
				m = NULL;
			at = huge_at = m ? m->start : 0;
		} else if (m && str_starts(line, "Rss:")) {
			ok = set_first(p, m, &at, text_kib(line, "Rss:", 0), PAGE_RESIDENT, err);
		} else if (m && str_starts(line, "Swap:")) {
			ok = set_first(p, m, &at, text_kib(line, "Swap:", 0), PAGE_SWAPPED, err);
		} else if (m && is_huge_field(line)) {
			ok = set_first(p, m, &huge_at, text_kib(strchr(line, ':') + 1, "", 0),
				       PAGE_HUGE, err);
		}
		if (!ok)
			return false;
	}
	return ferror(f) ? err_os(err, ERR_OS, "smaps") : true;
}
