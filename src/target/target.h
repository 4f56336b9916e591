/*
 * A process as bytes and OS facts: live now; an ELF core or a capture later.
 * The only layer that makes a system call on the target or parses /proc.
 */
#ifndef TARGET_TARGET_H
#define TARGET_TARGET_H

#include "target/osfacts.h"

struct target;
struct mem_span;

enum target_kind { TARGET_PROCESS, TARGET_CORE, TARGET_CAPTURE };

/** Counts of what reading did, for tests and --verbose. */
struct target_stats {
	uint64_t reads, bytes_read;
	uint64_t swapped_reads; /* reads that had to touch a swapped page */
	uint64_t zero_fills; /* bytes of never-touched anonymous pages answered with zeros, without
				a read */
	uint64_t file_bytes; /* bytes of absent file pages read from the file on disk */
};

struct target_ops {
	const char *name;
	/** Copies up to n bytes from the target; a short count means that the rest faulted. */
	size_t (*read)(struct target *t, taddr at, void *dst, size_t n);
	/** Fills t->os, all but the page tables (see target_scan). */
	bool (*facts)(struct target *t, struct arena *a, struct err *err);
	/** Fills t->os->pages; may be called again for a later moment. */
	bool (*scan)(struct target *t, struct arena *a, struct err *err);
	/** Many reads in few calls; NULL: each span is read on its own. */
	void (*read_many)(struct target *t, struct mem_span *s, size_t n);
	/** As read_many, but one call in exactly this order that asks nobody which pages are in
	 * memory; NULL: it can't be watched. */
	bool (*poll)(struct target *t, struct mem_span *s, size_t n);
	/** The kernel's count of the process' resident memory now, cheaply. */
	bool (*rss)(struct target *t, bytes *ret, struct err *err);
	/** Opens the file behind a mapping for reading (the binary as it is mapped, even when
	 * deleted); -1 and *err when it can't be had. */
	int (*open_file)(struct target *t, const struct mapping *m, struct err *err);
	/** Lets a frozen process run again and sets stopped_ns; NULL: it never froze anything. */
	void (*thaw)(struct target *t);
	/** Of a recording: what is read while it is on is not kept, since only the result is. NULL:
	 * nothing is recorded. */
	void (*hush)(struct target *t, bool on);
	/** Of a capture: what the recorded session saved with target_recording_write, with a NUL
	 * behind it. NULL: this is none. */
	const char *(*saved)(struct target *t, size_t *ret_n);
	/** A second handle for reading in another thread, NULL: not to be had. It borrows t, and is
	 * closed first. */
	struct target *(*twin)(struct target *t);
	void (*close)(struct target *t);
};

struct target {
	const struct target_ops *ops;
	enum target_kind kind;
	bool exact; /* reads must ask for no byte more than is used: what is read is recorded, or
		       was */
	struct os_facts *os; /* set by target_facts; owned by the arena given there */
	struct target_stats stats;
	bool held;	    /* no thread runs while it is read: --freeze, a core */
	int64_t stopped_ns; /* how long --freeze held it: set by target_thaw; 0 before, and without
			       it */
	bool hide_symbols;  /* for tests: as if its files had no symbol table */
	void *impl;
};

/** What may be asked of the live reader. */
struct live_options {
	const char
		*proc; /* NULL: "/proc"; another root in tests, or a host's /proc in a container */
	const char *cgroupfs; /* NULL: where /proc/self/mountinfo says, else "/sys/fs/cgroup" */
	const char *sys;      /* NULL: "/sys"; of another proc root none */
	bool freeze;	      /* stop all threads with ptrace from target_facts to target_thaw or
				 target_close */
	bool pss;	      /* also walk for PSS and LazyFree */
	enum residency_source source; /* RESIDENCY_NONE: the best there is */
};

/**
 * Opens a running process. Errors: ERR_GONE, ERR_PERM (says which capability or setting would do),
 * ERR_NOT_GO (a kernel thread), ERR_OS. The options and their strings are copied. Reading is for
 * one thread at a time. target_facts may be called again; t->os is then replaced, and the arena
 * that the old facts live in may be freed. An error of target_facts or target_scan leaves the
 * target usable.
 */
bool live_open(int pid, const struct live_options *o, struct target **ret, struct err *err);

static inline bool target_facts(struct target *t, struct arena *a, struct err *err)
{
	return t->ops->facts(t, a, err);
}
static inline bool target_scan(struct target *t, struct arena *a, struct err *err)
{
	return t->ops->scan(t, a, err);
}
static inline void target_hush(struct target *t, bool on)
{
	if (t->ops->hush)
		t->ops->hush(t, on);
}
/** Ends --freeze early, so that stopped_ns can be reported; harmless without it. */
void target_thaw(struct target *t);
/** A handle that another thread may read through while this one reads through t; NULL when there is
 * no such thing. */
static inline struct target *target_twin(struct target *t)
{
	return t->ops->twin ? t->ops->twin(t) : NULL;
}
/** Closes and frees; t may be NULL. A frozen process runs again. */
void target_close(struct target *t);

/** Raw read, short when the rest faulted. Never makes a page of the target resident, but for
 * swapped ones. */
size_t target_read(struct target *t, taddr at, void *dst, size_t n);
/** Reads all n bytes or fails with ERR_FAULT. */
bool mem_read(struct target *t, taddr at, void *dst, size_t n, struct err *err);
/** Little-endian unsigned of 1, 2, 4 or 8 bytes. */
bool mem_uint(struct target *t, taddr at, unsigned width, uint64_t *ret, struct err *err);
/**
 * The processor's counter and CLOCK_MONOTONIC in ns, both as the target's cputicks and nanotime
 * would read them now. False where there is no running target.
 */
bool target_ticks(const struct target *t, int64_t *ret_ticks, int64_t *ret_ns);
/** For mem_string: the string ends at its first NUL. */
#define MEM_NUL ((size_t)-1)
/**
 * A string of n bytes, or with n = MEM_NUL a NUL-terminated one, into the arena, NUL-terminated.
 * ERR_LIMIT when it is longer than `max` bytes, ERR_FAULT when not all of it can be read.
 */
bool mem_string(struct target *t, taddr at, size_t n, size_t max, struct arena *a, char **ret,
		struct err *err);

/** One read of a batch: `got` tells how much of it came. */
struct mem_span {
	taddr at;
	void *dst;
	uint32_t n;
	uint32_t got;
};
/** Many reads in few system calls. Faults stay inside their own span. */
void mem_read_many(struct target *t, struct mem_span *s, size_t n);

/**
 * Reads words that are read again and again, all in one system call and in this order, so that a
 * word named first and last tells whether the others changed. Only for memory that is known to be
 * present: nothing looks at the page tables. False: not all of it came, `got` tells what.
 */
bool target_poll(struct target *t, struct mem_span *s, size_t n);
/** RSS by statm: a few microseconds. Errors: ERR_GONE (also another process of that number),
 * ERR_USAGE (no process). */
bool target_rss(struct target *t, bytes *ret, struct err *err);

/** A process that the list view shows. */
struct process_row {
	int pid;
	uint32_t uid;
	char comm[64];
	const char *exe;
	bytes rss;
	bool readable; /* we may read its memory */
};
/** Every process under o->proc that has an executable, in PID order. */
bool process_list(const struct live_options *o, struct arena *a, struct process_row **ret,
		  uint32_t *ret_n, struct err *err);
/** The files that a process has mapped as code, its executable among them, each once; none when it
 * can't be read. */
uint32_t process_code(int pid, struct arena *a, struct mapping **ret);
/** Opens one of them; -1: it can't be had. */
int process_code_open(int pid, const struct mapping *m);
/** How full a cgroup is, by the tightest limit over a process' cgroups. */
struct cgroup_level {
	bytes limit;   /* UINT64_MAX: none */
	bytes current; /* what is charged */
	bytes held;    /* of it, what the kernel can't take back: an OOM kill comes at `limit` */
	uint64_t oom_kills;
};
struct cgroup_meter;
/** Finds the cgroup that will run out first; false when none with a limit can be seen. Lives in the
 * arena. */
bool cgroup_meter_open(int pid, const struct live_options *o, struct arena *a,
		       struct cgroup_meter **ret);
/** Three small files; false when they are gone. */
bool cgroup_meter_read(const struct cgroup_meter *m, struct cgroup_level *ret);

/** PIDs of a cgroup and everything below it, given as /proc/PID/cgroup names it or as a folder
 * under cgroupfs. */
bool cgroup_pids(const struct live_options *o, const char *path, struct arena *a, int **ret,
		 uint32_t *ret_n, struct err *err);

#endif
