/*
 * The runtime's words that change with time, read again and again: one system call of some hundred
 * bytes. Which GC cycle the words of "the last cycle" belong to is told by the order in which the
 * runtime writes them (runtime/mgc.go: gcStart, gcMarkDone, gcMarkTermination).
 */
#ifndef GORUNTIME_WORDS_H
#define GORUNTIME_WORDS_H

#include "goruntime/goruntime.h"

/** One reading. Sizes in bytes, times in ns of the target's CLOCK_MONOTONIC unless named unix. */
struct words {
	int64_t nanotime; /* when it was read */
	int64_t unix_ns;  /* the same moment on this machine's wall clock */
	struct counters
		c;    /* filled: the pacer, heapStats' sums without allocation counts, numgc,
			 CPU times, scavenger, gcphase, cycles, gomaxprocs, heapGoal, trigger */
	bool running; /* a cycle has begun that is not finished */
	/** The fields below, and c.lastHeapGoal, are those of cycle c.numgc. False: the next one
	 * was ending. */
	bool last_known;
	bool last_cpu_known;  /* assist … idle are the last cycle's: no other has begun */
	int64_t heap1, heap2; /* heap at the end of its mark; marked */
	int64_t t_end;
	int64_t heap0, assist, dedicated, idle, t_start, t_mark, t_mark_term; /* only with
									       last_cpu_known */
};

/** One entry of the runtime's rings of 256. */
struct gc_pause {
	uint64_t ns, end_unix_ns;
};
#define GC_RING 256U

struct words_reader;

/** Prepares reading, and reads once with care for absent pages. Errors: as mem_read, ERR_USAGE (not
 * a process). */
bool words_open(struct go_session *g, struct arena *a, struct words_reader **ret, struct err *err);
/** Errors: ERR_GONE when the process ended, ERR_FAULT. */
bool words_read(struct words_reader *w, struct words *ret, struct err *err);
/** As runtime.NumGoroutine and /sched/threads, after words_read. One more system call. */
bool words_goroutines(struct words_reader *w, uint64_t *ret, struct err *err);
/** The pauses of cycles first … first + n - 1 (1 is the program's first), n <= GC_RING. The caller
 * reads numgc again to know which were overwritten meanwhile. */
bool words_pauses(struct words_reader *w, uint32_t first, uint32_t n, struct gc_pause *ret,
		  struct err *err);
/** RSS of the process, as target_rss. */
bool words_rss(struct words_reader *w, bytes *ret, struct err *err);
/** The release: 26 for Go 1.26. */
int words_minor(const struct words_reader *w);

#endif
