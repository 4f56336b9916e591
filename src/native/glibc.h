/*
 * glibc's malloc as it lies in memory, and the state of one walk over it. Internal to src/native/.
 *
 * What is taken for granted (malloc/malloc.c and malloc/arena.c of glibc 2.26 to 2.43, amd64):
 * - A chunk starts with two words: prev_size, valid when the chunk before is free, and size, whose
 *   low bits are PREV_INUSE, IS_MMAPPED and NON_MAIN_ARENA. Sizes and addresses are multiples
 * of 16.
 * - A chunk is in a bin when PREV_INUSE of its successor is clear. Fast bins and the threads'
 * caches leave it set: these chunks are known only from their lists.
 * - An arena's memory ends with `top`, or with fence posts: two chunks of 16 bytes (main arena),
 * one of 16 and one of 0 (heap of a thread arena).
 */
#ifndef NATIVE_GLIBC_H
#define NATIVE_GLIBC_H

#include "native/native.h"

enum chunk_flag {
	CHUNK_PREV_INUSE = 1,
	CHUNK_MMAPPED = 2,
	CHUNK_NON_MAIN = 4,
	CHUNK_FLAGS = 7,
};

#define CHUNK_ALIGN	16U
#define CHUNK_MIN	32U
#define ARENA_BINS	127U
#define ARENA_FAST	10U
#define ARENA_MAX	(1U << 14)
#define HEAP_MAX_SIZE	((bytes)64 << 20)
#define ARENA_STATE_MAX 2200U
#define NON_CONTIGUOUS	2U

/** Fields of malloc_state that keep their distance to &bins[0] in every release. */
#define FROM_BINS_TOP	  (-16)
#define FROM_BINS_LAST	  ((int)(ARENA_BINS - 1) * 16) /* bin 127, which malloc never fills */
#define FROM_BINS_NEXT	  2048
#define FROM_BINS_THREADS 2064
#define FROM_BINS_SYSTEM  2072
#define FROM_BINS_END	  2088

/** Where malloc_state has its bins; what lies before them differs between releases. */
struct glibc_layout {
	const char *releases;
	uint32_t bins;
	uint32_t n_fast; /* fast bins, ending 16 bytes before the bins */
};

/** One malloc_state. */
struct glibc_arena {
	taddr at, top;
	bytes system_mem;
	uint32_t flags;
	taddr fast[ARENA_FAST]; /* heads, read before the walk */
};

/** A piece of an arena: [heap], an extension of the main arena, or a heap of a thread arena. */
struct zone {
	taddr start, end; /* whole pages */
	taddr first;	  /* the first chunk */
	uint32_t arena;	  /* index; 0 the main one */
	uint32_t skip;	  /* bytes of the first page that are somebody else's */
	bool thread;
	bool brk;	/* its top is what malloc_trim gives back; other zones' tops stay */
	taddr top;	/* the top chunk, 0: it has none, or was not walked */
	uint16_t *used; /* a page; NULL: not walked */
};

/** What mp_ says; `at` is the address of its sbrk_base. */
struct glibc_par {
	bool known;
	taddr at;
	uint32_t n_mmaps_off; /* below `at` */
	uint64_t n_mmaps;
	bytes mmapped_mem;
	taddr sbrk_base;
	bytes hp_pagesize;
};

#define WINDOW_SIZE (256U << 10)

/** A piece of the target, read ahead; buf has WINDOW_SIZE bytes. */
struct window {
	uint8_t *buf;
	taddr at;
	uint32_t n, want;
};

/** A chunk that may be in a fast bin: its address with the bin in the low bits, and what it would
 * point to. */
struct fast_chunk {
	taddr at, next;
};

/** A chunk that looks like a thread's cache. */
struct tcache_look {
	taddr mem; /* the struct */
	uint32_t bins;
	uint32_t width; /* of a count */
	bool slots;	/* the counts are of empty places (2.42 on) */
	uint32_t data;	/* offset in walk.tcache_data */
};

struct thread_stack {
	taddr start, end;
	bool alive; /* some thread has it */
	bool weak;  /* without a guard: the program's own memory, perhaps malloc's */
};

struct walk {
	struct target *t;
	const struct os_facts *os;
	struct snapshot *s;
	struct arena *out; /* what the caller keeps */
	struct arena *scratch;
	const struct native_taken *taken;
	bool residency; /* the page set tells something */

	const struct glibc_layout *layout;
	struct glibc_par par;
	VEC(struct glibc_arena) arenas;
	VEC(struct zone) zones;		 /* sorted by start before the walk */
	VEC(struct addr_range) own;	 /* chunks that malloc mapped */
	VEC(struct thread_stack) stacks; /* ascending */
	bool inner_guards;		 /* stacks' guards are no mappings of their own (2.42 on) */

	struct window win, side;
	struct fast_chunk *fast; /* ascending */
	uint32_t n_fast, cap_fast;
	bool fast_more; /* there were more than fit */
	bool mangled;	/* lists are safe-linked (2.32 on) */
	VEC(struct tcache_look) tcaches;
	VEC(uint64_t) tcache_data;

	uint64_t chunks_used, chunks_free;
	bytes top_free, tcache_free, fast_free;
	bytes lost;	     /* could not be walked: counted as used */
	bytes lost_swapped;  /* of that: because headers are on swapped pages */
	uint64_t steps_left; /* chunks */
	uint64_t peeks_left; /* reads of the search for a chunk boundary */
	uint64_t dark_left;  /* bytes on pages that were not resident when they were scanned */
};

static inline uint64_t word_at(const uint8_t *p)
{
	uint64_t v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

/* glibc_find.c */
/** Finds main_arena in [lo, hi) and, from it, all arenas and mp_. `*ret_unused`: there is one that
 * was never used. */
bool glibc_find(struct walk *w, taddr lo, taddr hi, bool *ret_unused);
/** Reads the counters of mp_ anew. */
void glibc_par_read(struct walk *w);

/* glibc_zones.c */
/** The [heap] as one range: its mappings can be several. False: there is none. */
bool heap_range(const struct os_facts *os, struct addr_range *ret);
/** Fills w->zones with the memory of all arenas but extensions of the main one. */
void zones_find(struct walk *w);
/** Chunks of their own and extensions of the main arena, in the anonymous mappings that nothing
 * else claims. */
void mapped_find(struct walk *w);
bool map_is_anon(const struct mapping *m);
/** All that is taken or was found so far, ascending, in the scratch arena; with_stacks: but weak
 * ones. */
struct native_taken busy_make(struct walk *w, bool with_stacks);

/* glibc_walk.c */
/** Walks every zone chunk by chunk: fills used[], counts, remembers what may be in a list. */
void zones_walk(struct walk *w);
/** Takes [at, at + n) off the used bytes of its zone; returns how much of it counted as used. */
bytes zone_unuse(struct walk *w, taddr at, bytes n);
struct zone *zone_find(struct walk *w, taddr at);
/** Follows headers from `at`; the end of the main-arena memory that starts there, 0 when it is
 * none. */
taddr extent_end(struct walk *w, taddr at, taddr limit);
/** Whether part of [at, at + n) is known to be swapped: reading it would bring it back. */
bool is_asleep(const struct walk *w, taddr at, size_t n);
/** Reads n bytes, but not from pages that are known to be swapped. */
bool read_awake(struct walk *w, taddr at, void *dst, size_t n);

/* glibc_lists.c */
/** Remembers a chunk that looks like a tcache_perthread_struct. `body` is its memory. */
void tcache_look(struct walk *w, taddr mem, bytes size, const uint8_t *body);
/** Walks the lists of the threads' caches and of the fast bins, and takes their chunks off the used
 * bytes. */
void lists_walk(struct walk *w);
/** Tells from the heads whether lists are safe-linked. */
void lists_probe(struct walk *w);

/* stacks.c */
/** Thread stacks, with glibc's TCB at their top or by their shape. */
void stacks_find(struct walk *w, const struct addr_range *g0, uint32_t n_g0, bool glibc);
/** Where guards are no mappings: stacks without a thread, in the memory that is still nobody's. */
void stacks_find_inner(struct walk *w);

/* native.c */
/** Parts of [lo, hi) that are not taken, one after another: the first at or above *at. False: no
 * more. */
bool untaken_next(const struct native_taken *taken, taddr *at, taddr hi, struct addr_range *ret);
bool is_taken(const struct native_taken *taken, taddr lo, taddr hi);

#endif
