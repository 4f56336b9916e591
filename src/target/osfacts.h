/* What the kernel says of a process, read once: mappings, page residency, counters, threads,
 * cgroup. */
#ifndef TARGET_OSFACTS_H
#define TARGET_OSFACTS_H

#include <sys/mman.h> /* so that a later one cannot turn the names below into its macros */

#include "target/pages.h"

#undef MAP_FILE
#undef MAP_HUGETLB

enum map_flag {
	MAP_READ = 1,
	MAP_WRITE = 2,
	MAP_EXEC = 4,
	MAP_SHARED_ = 8,
	MAP_FILE = 16,	   /* has an inode on a file system that is not tmpfs */
	MAP_SHMEM = 32,	   /* tmpfs, memfd, SysV, shared anonymous (/dev/zero) */
	MAP_HUGETLB = 64,  /* hugetlbfs: not in RSS */
	MAP_SPECIAL = 128, /* vdso, vvar, vsyscall, device pages: [vvar] is not in RSS */
	MAP_DELETED = 256, /* the file has no name any more */
};

/** One line of /proc/PID/maps. */
struct mapping {
	taddr start, end;
	uint64_t offset;
	uint64_t inode;
	uint32_t dev;	/* major << 20 | minor */
	uint32_t flags; /* enum map_flag */
	/*
	 * "" for an anonymous one; "[heap]", "[stack]", "[anon: Go: heap]", a file's path as the
	 * kernel writes it (a newline is "\\012"), but without " (deleted)", which is MAP_DELETED.
	 * Unsafe bytes inside.
	 */
	const char *path;
};

/** A thread of the process. */
struct os_thread {
	int tid;
	taddr sp; /* 0: unknown (it runs, or the kernel did not say) */
	taddr pc;
	bool on_cpu; /* /proc/PID/task/TID/syscall says "running" */
};

enum residency_source { RESIDENCY_NONE, RESIDENCY_SCAN, RESIDENCY_PAGEMAP, RESIDENCY_SMAPS };

/** The cgroup that has the process' memory controller. */
struct cgroup_facts {
	const char *path;	/* as /proc/PID/cgroup names it */
	const char *limit_path; /* the ancestor (or itself) whose limit is the tightest; NULL when
				   there is none */
	int version;		/* 1 or 2 */
	bytes current, working_set;
	bytes limit;	     /* UINT64_MAX: none */
	bytes limit_current; /* usage of the cgroup that `limit` belongs to */
	bytes high;	     /* v2 memory.high, tightest; UINT64_MAX: none */
	bytes swap_limit;    /* UINT64_MAX: none */
	bytes anon, file, shmem, kernel, slab, slab_reclaimable, sock, page_tables, kernel_stack;
	bytes mapped_file; /* page cache that some process maps */
	bytes inactive_file, active_file, swap;
	uint64_t oom_kills, max_events; /* memory.events, v1: oom_control */
	uint32_t processes;		/* in it and below */
	bytes others_rss;		/* RSS of the other processes in it and below */
	bytes others_anon;
};

struct os_facts {
	int pid;
	char comm[64];
	uint64_t start_ticks; /* field 22 of /proc/PID/stat: tells a reused PID */
	int64_t up_ns;	      /* age of the process */
	const char *exe;      /* /proc/PID/exe as the link says; " (deleted)" taken off */
	bool exe_deleted;
	const char *cmdline0;	  /* first argument */
	const char *pid_ns_note;  /* NULL, or a sentence about namespaces */
	const char *const *notes; /* of a core: what it lacks */
	uint32_t n_notes;
	bool partial;	      /* it lacks memory that it should have */
	int64_t at_unix_ns;   /* of a capture: when it was taken; 0: now */
	int64_t monotonic_ns; /* of a capture: CLOCK_MONOTONIC then; 0: not known, now for a process
			       */

	struct mapping *maps;
	uint32_t n_maps;
	struct pages pages;
	enum residency_source residency;

	struct os_thread *threads;
	uint32_t n_threads;

	bytes rss_kernel; /* VmRSS read next to the page walk */
	int64_t drift;	  /* VmRSS after minus before */
	bytes anon, file, shmem, hwm, swap, page_tables, vm_size, hugetlb;
	bytes pss;	 /* UINT64_MAX: not asked for */
	bytes lazy_free; /* UINT64_MAX: not asked for (comes with pss) */
	bytes huge;	 /* bytes on transparent huge pages */

	struct cgroup_facts *cgroup; /* NULL: none visible */
	uint32_t n_cpus; /* the process may run on, by its affinity and the cgroup's quota (rounded
			    up) */
	bytes machine_total, machine_available;
	const char *thp_enabled; /* the chosen word of /sys/kernel/mm/transparent_hugepage/enabled;
				    "" unknown */
	int max_ptes_none;	 /* -1 unknown */
};

/** The mapping that holds `at`, or NULL. */
const struct mapping *map_find(const struct os_facts *os, taddr at);

#endif
