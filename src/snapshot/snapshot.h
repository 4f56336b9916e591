/*
 * The waist: one target at one moment, decoded. Below it code touches a process and knows Go's
 * insides; above it everything is a pure function of `struct snapshot`, which is immutable once
 * built.
 *
 * Glossary
 *   OS page   4096 bytes, what the kernel maps and counts.
 *   Go page   8192 bytes, what the Go page allocator hands out.
 *   span      a run of Go pages with one purpose: objects of one size class, one large object,
 * stacks, GC work buffers. slot      room for one object of a span's size class; a hole is a free
 * slot. chunk     4 MiB of heap address space with one bitmap in the page allocator. arena     64
 * MiB of heap address space (Go's word; glibc's arenas are another thing). bucket    the heap
 * profile's record of one allocation stack and size. sample    one allocation that the profiler
 * picked; a bucket counts them. resident  in memory now, as the kernel counts RSS: present, not the
 * zero page. live      marked by the last finished GC cycle. new: allocated since. dead: found
 * unmarked, not yet swept.
 */
#ifndef SNAPSHOT_SNAPSHOT_H
#define SNAPSHOT_SNAPSHOT_H

#include "base/arena.h"
#include "target/osfacts.h"

#define GO_PAGE		8192U
#define GO_SIZE_CLASSES 68
/** Object sizes of the size classes; class 0 is a large object. The same in Go 1.18 to 1.27
 * (runtime/sizeclasses.go). */
extern const uint32_t GO_CLASS_SIZE[GO_SIZE_CLASSES];

struct addr_range {
	taddr start, end;
};

/** SPAN_NONE is an unused place in heap.spans, with no pages. */
enum span_state { SPAN_NONE, SPAN_HEAP, SPAN_STACK, SPAN_WORKBUF };

enum span_flag {
	SPAN_UNSWEPT = 1,    /* its survivors are known, its dead are not yet free */
	SPAN_CACHED = 2,     /* some P allocates from it */
	SPAN_USER_ARENA = 4, /* GOEXPERIMENT=arenas */
	SPAN_TORN = 8,	     /* counts and bits disagreed after all tries: counted by allocCount */
};

/** One span in use. 32 bytes: a large heap has a million of them. */
struct span {
	taddr start;
	uint32_t npages;   /* Go pages */
	uint32_t elemsize; /* bytes of a slot; for class 0 see span_elemsize() */
	uint32_t bits;	   /* place in heap.bits, in units of SPAN_BITS_UNIT: see span_allocated and
			      span_survivors */
	uint16_t nelems;
	uint16_t live, fresh, dead; /* slots; the rest of nelems are holes. fresh = heap.new */
	uint8_t spanclass;	    /* class << 1 | noscan */
	uint8_t flags : 5;
	bool has_bits : 1; /* false: all slots are of one kind (span_uniform), or it could not be
			      read */
	uint8_t state : 2; /* enum span_state */
};

static inline bytes span_bytes(const struct span *s)
{
	return (bytes)s->npages * GO_PAGE;
}
static inline bytes span_elemsize(const struct span *s)
{
	/* a chunk of a user arena is one object that ends before the chunk's bitmap */
	return s->spanclass < 2 && !(s->flags & SPAN_USER_ARENA) ? span_bytes(s) : s->elemsize;
}
static inline bytes span_tail(const struct span *s)
{
	return s->state == SPAN_HEAP ? span_bytes(s) - s->nelems * span_elemsize(s) : 0;
}

enum page_use {
	PAGES_FREE,	/* the runtime keeps them, physically backed as far as it knows */
	PAGES_RELEASED, /* returned to the OS, or never used */
};

/** A run of Go pages that no span has. */
struct page_run {
	taddr start;
	uint32_t npages;
	uint8_t use;	/* enum page_use */
	uint8_t cached; /* held by a P's page cache */
};

/** Which span each Go page of a 4 MiB chunk belongs to. */
struct span_chunk {
	uint64_t key;	    /* address >> 22 */
	uint32_t span[512]; /* index + 1 into heap.spans; 0: none */
};

struct heap {
	struct span *spans; /* in no order, some places unused: use span_find, walk `chunks`, or
			       look at `state` */
	uint32_t n_spans;
	struct span_chunk **chunks; /* ascending by key */
	uint32_t n_chunks;
	uint8_t *bits;
	struct page_run *runs; /* ascending */
	uint32_t n_runs;
	struct addr_range *in_use; /* ranges that the page allocator manages, ascending */
	uint32_t n_in_use;
	bytes large_waste; /* of large objects: span bytes behind the size that was asked for */
	uint32_t torn;	   /* spans whose bits and counts still disagreed */
};

/** What a piece of memory that the runtime asked for outside the heap is for. Maps one to one to
 * ledger lines. */
enum region_kind {
	REGION_MSPAN,
	REGION_MCACHE,
	REGION_GC,
	REGION_PROFILER,
	REGION_OTHER,
	REGION_KINDS,
};

/** A piece of runtime memory. More specific pieces come before those that enclose them. */
struct region {
	taddr start, end;
	uint8_t kind;	/* enum region_kind */
	uint8_t detail; /* an index into REGION_NAMES, for `whyrss maps` and notes */
};
enum region_detail {
	RD_MSPANS,
	RD_MCACHES,
	RD_GCBITS,
	RD_HEAP_ARENA,
	RD_ARENA_MAP,
	RD_SUMMARY,
	RD_CHUNKS,
	RD_SCAV_INDEX,
	RD_SPAN_QUEUE,
	RD_BUCKETS,
	RD_BUCKHASH,
	RD_ALLSPANS,
	RD_PERSISTENT,
	RD_GSTACK,
	RD_DETAILS,
};
extern const char *const REGION_NAMES[RD_DETAILS];

enum stack_use {
	STACK_GOROUTINE, /* used from sp up, spare below */
	STACK_FREE,	 /* nobody's: pool, per-P cache, large list, a dead goroutine's */
	STACK_OS,	 /* a thread's: g0, gsignal, pthread, main */
};

/** One stack, in a heap span or not. */
struct stack {
	taddr lo, hi;
	taddr sp; /* STACK_GOROUTINE: lo when it runs (all counts as used); STACK_OS: what is known,
		     else lo */
	uint32_t g;   /* index of its goroutine, UINT32_MAX none */
	uint8_t use;  /* enum stack_use */
	bool in_heap; /* lies in a stack span: part of StackInuse */
};

/** Go's own numbers for the states (runtime2.go), with the scan bit taken off. */
enum g_status {
	G_IDLE,
	G_RUNNABLE,
	G_RUNNING,
	G_SYSCALL,
	G_WAITING,
	G_DEAD = 6,
	G_COPYSTACK = 8,
	G_PREEMPTED,
	G_LEAKED,
	G_DEADEXTRA
};

struct goroutine {
	uint64_t goid;
	taddr addr, pc, sp; /* pc and sp where it is parked; 0 while it runs */
	taddr gopc,
		startpc; /* inside the go statement; entry of the function it was started with */
	taddr stack_lo, stack_hi;
	int64_t wait_ns; /* how long it has been waiting, -1 unknown (set by the GC only: see the
			    note) */
	/* NEED_TRACES: frames from the innermost in snapshot.trace, 0: none, as while it runs;
	 * labels in snapshot.labels */
	uint32_t trace, n_trace, label, n_labels;
	taddr label_set; /* of runtime/pprof; 0: none */
	uint32_t order;	 /* NEED_TRACES: its place in allgs */
	uint64_t parent; /* goid of the one that started it; 0 unknown (before 1.21) */
	bool locked;	 /* to its thread */
	uint32_t status; /* enum g_status */
	uint16_t waitreason;
	bool system;	   /* a goroutine of the runtime itself */
	const char *state; /* "chan receive", "select", "running", … as a traceback words it; shared
			      strings */
};

/** A physical frame of a goroutine's stack. */
struct trace_frame {
	taddr pc;
	uint32_t size; /* bytes, its return address included */
	bool exact;    /* the pc itself is what is executed; else it is a return address */
};

/** A label of runtime/pprof: unsafe bytes inside. */
struct label {
	const char *key, *value;
};

/** One function and line as a person reads it. */
struct place {
	taddr pc;
	const char *func, *file; /* "" unknown; unsafe bytes inside */
	int32_t line;
};

/** One frame at a pc, as the runtime symbolizes it; strings live as long as the session. */
struct code_frame {
	taddr pc;	    /* what the line is of: the pc asked for, in outer frames the call */
	taddr entry;	    /* of the physical function */
	const char *func;   /* as runtime.Frame.Function: "main.f[...]"; unsafe bytes inside */
	const char *symbol; /* with the type arguments in full */
	const char *file;   /* "?" unknown */
	int32_t line, start_line; /* 0 unknown */
	bool inlined;		  /* into the frame that follows */
	bool wrapper; /* made by the compiler: left out where it only passes a call on */
};

/** A mapping of code, as runtime/pprof lists them. */
struct exec_map {
	taddr start, end;
	uint64_t offset;
	const char *path, *build_id; /* build_id: GNU's, in hex; "" none */
};

/** The runtime's counters, plain sums, and what the Ps have not flushed yet. Times in ns. */
struct counters {
	/* heapStatsDelta summed over its three generations */
	int64_t committed, released, inHeap, inStacks, inWorkBufs, inPtrScalarBits;
	uint64_t tinyAllocCount, largeAlloc, largeAllocCount, largeFree, largeFreeCount;
	uint64_t smallAllocCount[GO_SIZE_CLASSES], smallFreeCount[GO_SIZE_CLASSES];
	/* in the mcaches, not in the above */
	uint64_t flush_small[GO_SIZE_CLASSES], flush_tiny;
	uint64_t cached_free_bytes; /* free slots of cached spans: heapLive counts them as allocated
				     */
	/* mstats */
	uint64_t stacks_sys, mspan_sys, mcache_sys, buckhash_sys, gcMiscSys, other_sys;
	uint64_t last_gc_unix, last_gc_nanotime, pause_total_ns, pause_ns[256], pause_end[256];
	uint32_t numgc, numforcedgc;
	double gc_cpu_fraction;
	bool enablegc;
	uint64_t lastHeapInUse;
	uint64_t mspan_inuse, mcache_inuse;
	/* the pacer */
	int32_t gcPercent;   /* -1: off */
	int64_t memoryLimit; /* INT64_MAX: none */
	uint64_t heapMinimum, heapLive, heapMarked, heapScan, lastHeapScan, lastStackScan,
		maxStackScan, globalsScan;
	uint64_t gcPercentHeapGoal, sweepDistMinTrigger, triggered, runway, lastHeapGoal;
	uint64_t heapInUse, heapReleased, heapFree, totalAlloc, totalFree, mappedReady;
	uint64_t heapGoal, trigger; /* computed as the runtime does */
	bool limit_rules;	    /* the goal above comes from the memory limit, not from GOGC */
	/* the collector */
	uint32_t gcphase; /* 0 off, 1 mark, 2 mark termination */
	uint32_t sweepgen, cycles;
	bool user_forced; /* the running or last cycle was forced by runtime.GC */
	int64_t heap0, heap1,
		heap2; /* heapLive at the start, end and after the mark of the last cycle */
	int64_t t_mark_start, t_mark_end, t_end; /* nanotime */
	bool has_cpu;
	int64_t cpu_gc_assist, cpu_gc_dedicated, cpu_gc_idle, cpu_gc_pause, cpu_gc_total;
	int64_t cpu_scav_assist, cpu_scav_bg, cpu_scav_total, cpu_idle, cpu_user, cpu_total;
	uint32_t limiter_last_enabled; /* GC cycle; 0 never */
	uint64_t scav_bg,
		scav_eager; /* bytes released since the start, where the release counts them */
	/* the scheduler */
	uint32_t gomaxprocs;
	uint64_t goroutines, goroutines_created,
		threads; /* as runtime.NumGoroutine and /sched/threads count them */
	uint64_t ncgocall;
	int64_t mutex_wait;
	int64_t nanotime;	 /* the target's clock when it was read (CLOCK_MONOTONIC) */
	uint64_t starting_stack; /* startingStackSize; 0: not read */
	/* histograms of runtime/metrics, n_histogram counts each: underflow first, then 160 and
	 * overflow last, or 720 (1.18, 1.19); NULL: not there */
	uint32_t n_histogram;
	uint64_t *h_sched_latency, *h_stop_gc, *h_stop_other, *h_pause_gc, *h_pause_other;
};

/** One record of the memory profile. Counts as published: what runtime.MemProfile would answer now.
 */
struct mem_bucket {
	taddr addr;
	uint64_t allocs, frees, alloc_bytes, free_bytes;
	uint64_t now_allocs, now_frees; /* with all cycles in flight: exact number of sampled
					   objects at this moment */
	uint64_t size;			/* of each object */
	uint32_t stk, nstk;		/* pcs in profile.pcs */
};

/** A sampled object that is allocated. */
struct sampled {
	taddr at;	 /* its slot */
	uint32_t span;	 /* in heap.spans */
	uint32_t bucket; /* in profile.buckets */
};

/** One record of the block or the mutex profile, as the runtime holds it. */
struct contention_record {
	double count;
	int64_t cycles; /* of the processor's counter */
	uint32_t stk, nstk;
};
struct contention {
	struct contention_record *v; /* in the order of the runtime's list */
	uint32_t n;
	taddr *pcs;
};

struct profile {
	bool enabled;	/* rate > 0 and the program links runtime.MemProfile */
	int64_t rate;	/* MemProfileRate; 0 off */
	uint32_t cycle; /* NumGC that the published numbers describe */
	struct mem_bucket *buckets;
	uint32_t n_buckets;
	taddr *pcs;
	uint64_t n_pcs;
	int64_t inuse_space, inuse_objects; /* unsampled and summed as pprof does */
	double error;	    /* relative standard error of inuse_space; NaN without samples */
	bytes bucket_bytes; /* memory that the buckets themselves take */
	uint32_t
		stack_depth; /* pcs that a stack is cut at: 32, since 1.23 GODEBUG profstackdepth */
	/* NEED_CONTENTION */
	struct contention block, mutex;
	int64_t block_rate, mutex_fraction; /* 0: off */
	int64_t ticks_per_second;	    /* of the counter; 0: not known, as in a core */
};

/** What the C allocator of the process is known to be. */
enum native_kind { NATIVE_NONE, NATIVE_GLIBC, NATIVE_UNKNOWN };

/** A piece of C heap with the bytes in use of each of its OS pages. */
struct native_range {
	taddr start, end; /* page-aligned outwards */
	uint16_t *used;	  /* bytes in use a page (0 … 4096); NULL: all of it */
	uint16_t *mine;	  /* bytes of each page that belong to this heap; NULL: all 4096 */
	taddr kept_top; /* free from here to the end, and malloc_trim leaves it; 0: nothing is so */
	uint8_t what;	/* 0 main heap, 1 arena, 2 chunk of its own (mmap threshold) */
};

struct native {
	enum native_kind kind;
	const char *libc;	     /* path or name of the allocator, "" unknown */
	struct native_range *ranges; /* ascending, not overlapping */
	uint32_t n_ranges;
	uint32_t arenas;
	bytes used, free, tcache_free, fast_free, top_free,
		mmapped; /* free includes the three after it, but mmapped */
	uint64_t chunks_used, chunks_free, mmapped_chunks;
	struct addr_range *thread_stacks; /* pthread stacks, guard pages left out */
	uint32_t n_thread_stacks;
	uint32_t cached_stacks; /* of them: without a thread, kept by glibc */
};

enum image_part { IMAGE_TEXT, IMAGE_RODATA, IMAGE_DATA, IMAGE_LIB };

/** A segment of the program or of a library, bss included. */
struct image_range {
	taddr start, end;
	uint8_t part; /* enum image_part */
};

/** The Go module that the snapshot describes and the others in the process. */
struct go_module {
	const char *path; /* file it is mapped from */
	const char *version;
	taddr base; /* load bias */
	taddr text, etext;
};

/** Sentences for the user about what could not be read or known. */
struct notes {
	const char **v;
	uint32_t n, cap;
	bool partial; /* something that was asked for is missing: exit code 3 */
};

/** A large object and the small views that keep it. */
struct small_view {
	bytes size; /* of the object */
	bytes seen; /* bytes of its views */
	uint32_t views;
};

/** Large pointer-free objects that only small slices or substrings point into. */
struct small_views {
	bool looked; /* false: they could not matter, or too much would have to be read */
	uint64_t objects, views; /* a header that was copied is counted twice */
	bytes size;		 /* of the objects */
	bytes seen;		 /* bytes of the views */
	bytes unseen;		 /* of the objects: in memory, and no view reaches them */
	bytes growable; /* of unseen: a slice's capacity goes on, and append could use them */
	struct small_view example; /* the one that wastes most */
};

struct read_facts {
	int64_t at_unix_ns;
	int64_t took_ns, stopped_ns;
	uint32_t skew; /* GC cycles that passed while reading */
	int64_t drift; /* RSS after minus before */
	uint32_t tries;
	bool consistent;
};

/** Parts of a snapshot. A view names those that it needs, and no more is read. */
enum need {
	NEED_COUNTERS = 1,
	NEED_SPANS = 2,
	NEED_STACKS = 4, /* goroutines and all stacks */
	NEED_PROFILE = 8,
	NEED_REGIONS = 16,
	NEED_NATIVE = 32,
	NEED_PAGES = 64,	/* residency */
	NEED_MEMORY = 127,	/* every line of the ledger */
	NEED_SMALL_VIEWS = 128, /* with NEED_SPANS and NEED_STACKS */
	NEED_LEDGER = 255,
	NEED_CONTENTION = 256,	/* with NEED_PROFILE: block and mutex records */
	NEED_TRACES = 512,	/* with NEED_STACKS: each goroutine's frames and labels */
	NEED_TRACE_ARGS = 1024, /* and the arguments of each frame */
	NEED_SAMPLES = 2048,	/* with NEED_SPANS and NEED_PROFILE: the sampled objects */
	/* What a capture is made for. Whatever looks into objects of the program is kept there as
	 * a result (goruntime/saved.c), never as memory. */
	NEED_CAPTURE = NEED_LEDGER | NEED_CONTENTION | NEED_SAMPLES,
	NEED_CAPTURE_STACKS = NEED_CAPTURE | NEED_TRACES | NEED_TRACE_ARGS,
};

struct snapshot {
	struct arena mem;
	enum { SNAPSHOT_PROCESS, SNAPSHOT_CORE, SNAPSHOT_CAPTURE } kind;
	const struct os_facts *os;
	const char *go_version; /* "go1.26.8" */
	int go_major, go_minor, go_patch;
	bool stripped, cgo, have_go; /* have_go false: OS facts only */
	const char *layout_from;     /* "recorded for go1.26.8", "DWARF", … */
	struct read_facts read;
	struct counters *counters;
	struct heap heap;
	struct stack *stacks;
	uint32_t n_stacks;
	struct goroutine *goroutines;
	uint32_t n_goroutines;
	struct trace_frame *trace;
	const char **trace_args; /* beside each frame: "0x1, {0x2, 0x3}"; NULL: not asked for */
	struct label *labels;
	taddr (*create_stacks)[32]; /* m.createstack of each thread: where it was made; mostly 0 */
	uint32_t n_create_stacks;
	bool trace_labels; /* debug.tracebacklabels: tracebacks show labels */
	struct region *regions;
	uint32_t n_regions;
	struct profile profile;
	struct sampled *sampled; /* NEED_SAMPLES */
	uint32_t n_sampled;
	struct native native;
	struct image_range *images; /* ascending, not overlapping */
	uint32_t n_images;
	struct exec_map *exec_maps; /* ascending */
	uint32_t n_exec_maps;
	struct go_module module; /* the main one */
	struct go_module *others;
	uint32_t n_others;
	int32_t madvdontneed, harddecommit,
		disablethp; /* GODEBUG as the runtime holds it; -1 unknown */
	/* notes of what a capture keeps as results: native, pools, small views */
	struct aside_note {
		uint32_t need;
		bool partial;
		const char *text;
	} * aside_notes;
	uint32_t n_aside_notes;
	bytes pool_bytes; /* bytes reachable in sync.Pool, UINT64_MAX unknown */
	struct small_views small_views;
	struct notes notes;
	/** Function, file and line of a pc of the Go program; owned by the session that built the
	 * snapshot. */
	struct place (*place)(const struct snapshot *s, taddr pc);
	/** All frames at a pc, innermost first; how many, 0: no Go function. */
	uint32_t (*frames)(const struct snapshot *s, taddr pc, struct code_frame *ret,
			   uint32_t max);
	void *place_ctx;
};

#define SPAN_BITS_UNIT 8U
/** All slots live, all new, all dead or all holes: such a span keeps no bits. */
static inline bool span_uniform(const struct span *s)
{
	return s->live == s->nelems || s->fresh == s->nelems || s->dead == s->nelems ||
	       (s->live == 0 && s->fresh == 0 && s->dead == 0);
}
/** One bit a slot: allocated. (nelems + 7) / 8 bytes; only where has_bits. */
static inline uint8_t *span_allocated(const struct heap *h, const struct span *s)
{
	return h->bits + (size_t)s->bits * SPAN_BITS_UNIT;
}
/** One bit a slot: allocated, and marked by the last finished GC cycle. */
static inline uint8_t *span_survivors(const struct heap *h, const struct span *s)
{
	return span_allocated(h, s) + (s->nelems + 7U) / 8;
}

enum slot_kind { SLOT_LIVE, SLOT_NEW, SLOT_DEAD, SLOT_HOLE };
/** What slot i of a heap span is. */
enum slot_kind span_slot(const struct heap *h, const struct span *s, uint32_t i);

/** Adds a note (once: equal texts are dropped). */
void note_add(struct snapshot *s, bool partial, const char *fmt, ...) PRINTF_LIKE(3, 4);

/** The stack span or heap span that holds `at`, NULL when none does. */
const struct span *span_find(const struct heap *h, taddr at);

/** The chunk of the heap's index that holds `at`, NULL when the heap does not reach there. */
struct span_chunk *span_chunk_find(const struct heap *h, taddr at);

/** How far the OOM kill is: bytes that can still be added to what the kernel cannot take back
 * before it kills. False: no limit. */
bool cgroup_oom_distance(const struct cgroup_facts *c, bytes *ret);

/** Sorts ranges and joins those that touch; returns how many are left. */
uint32_t ranges_merge(struct addr_range *v, uint32_t n);

#endif
