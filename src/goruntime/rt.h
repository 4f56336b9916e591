/* What the files of this layer share: the session, the state of one snapshot being read, bulk
 * reads. */
#ifndef GORUNTIME_RT_H
#define GORUNTIME_RT_H

#include "goruntime/goruntime.h"
#include "image/elf.h"
#include "image/pclntab.h"

#include <stdlib.h>

/** A file that the process has mapped as a program or library, with all its segments, bss included.
 */
struct image_file {
	const char *path;
	uint32_t dev;
	uint64_t inode;
	taddr bias;
	bool main; /* the Go program (or the Go library) that is explained */
	bool go;
	bool own_runtime;     /* has runtime.mheap_ of its own: a plugin has not */
	const char *version;  /* Go version of a Go image, "" */
	const char *build_id; /* GNU's, "" */
	struct image_range *ranges;
	uint32_t n_ranges;
};

struct find_report;

struct go_session {
	struct target *t;
	struct arena *mem;
	struct os_facts *os; /* that the program was found by: they live as long as the session */
	uint32_t n_snapshots;
	struct go_release release;
	struct layout layout;
	struct symbols sym;
	struct image_file *images;
	uint32_t n_images;
	const struct image_file *main;
	bool stripped, cgo;
	struct find_report *found; /* how the variables were found where no symbol told */
	bool memprofile_linked;
	const char *layout_from;
	struct pcln *pcln; /* opened on first use */
	bool pcln_tried;
	int main_fd; /* the main image's file, for pclntab reads */
	const char *const *wait_reasons;
	uint32_t n_wait_reasons;
	const struct saved *saved;  /* of a capture */
	const char **session_notes; /* said in every snapshot */
	uint32_t n_session_notes;
};

/** Little-endian loads out of bytes that were read; width 0 gives 0. */
static inline uint64_t load(const void *at, uint32_t width)
{
	uint64_t v8;
	uint32_t v4;
	uint16_t v2;
	switch (width) {
	case 8:
		__builtin_memcpy(&v8, at, 8);
		return v8;
	case 4:
		__builtin_memcpy(&v4, at, 4);
		return v4;
	case 2:
		__builtin_memcpy(&v2, at, 2);
		return v2;
	case 1:
		return *(const uint8_t *)at;
	default:
		return 0;
	}
}
static inline uint64_t get(const void *base, struct field f)
{
	return load((const char *)base + f.off, f.width);
}
/** A Go slice header {ptr, len, cap}. */
struct go_slice {
	uint64_t ptr, len, cap;
};
static inline struct go_slice get_slice(const void *base, struct field f)
{
	struct go_slice s;
	__builtin_memcpy(&s, (const char *)base + f.off, sizeof s);
	return s;
}

/** The mapping of the explained program's code among the target's facts; NULL: it is not there. */
const struct mapping *main_mapping(const struct go_session *g);

/* ---- bulk reads (blocks.c) ---- */

#define BLOCK_SHIFT 16
#define BLOCK_SIZE  (1U << BLOCK_SHIFT)

/** A bounded cache of 64 KiB blocks of the target: for chains of small things that lie close
 * together. */
struct blocks;
struct blocks *blocks_new(struct target *t, struct arena *a, uint32_t max_blocks);
/** Copies n bytes; false when any of them faulted. */
/** Reads anew from now on. */
void blocks_forget(struct blocks *b);
bool blocks_read(struct blocks *b, taddr at, void *dst, size_t n);

/** Called for each address with the bytes that were read there; ok is false when they faulted. */
typedef void (*gather_fn)(void *ctx, taddr at, const uint8_t *data, bool ok);
/**
 * Reads `size` bytes at each of n addresses, in ascending order of address (at[] is sorted in
 * place), neighbours together: a million structs cost a few thousand system calls. `fn` must not
 * allocate from `scratch`.
 */
void gather(struct target *t, struct arena *scratch, taddr *at, uint32_t n, uint32_t size,
	    gather_fn fn, void *ctx);
/** Sorts addresses ascending, in O(n). */
void sort_addrs(struct arena *scratch, taddr *v, uint32_t n);

/* ---- one snapshot being read ---- */

/** State words that must be equal before and after. */
struct gc_header {
	uint32_t sweepgen, gcphase, numgc, cycles;
};

/** The first special record of a span. */
struct special_list {
	taddr at;
	uint32_t span;
};

struct reading {
	uint32_t needs;			   /* enum need */
	VEC(struct special_list) specials; /* NEED_SAMPLES: of the spans that have any */
	struct go_session *g;
	struct target *t;
	const struct layout *l;
	struct snapshot *s;
	struct arena *mem;    /* = &s->mem */
	struct arena scratch; /* freed at the end of a try */
	uint8_t *mheap;	      /* a copy of mheap_ */
	uint8_t *memstats;    /* a copy of memstats */
	uint8_t *ctl;	      /* a copy of gcController */
	uint8_t *sched;
	struct gc_header head;
	taddr *allp;
	uint32_t n_allp;
	uint8_t *ps; /* copies of the p structs, p_size each; zeroed where one faulted */
	struct arena_ref *arenas;
	uint32_t n_arenas;
	struct region_vec *regions;
	VEC(struct addr_range) g0_stacks; /* of threads, outside the heap */
	uint32_t no_span_pages; /* pages that the allocator has given out, no span has, and no
				   cache: torn or unknown */
	struct chunk_bits
		*bits_before;	   /* the page allocator's bitmaps before the spans were read */
	uint32_t n_late;	   /* spans that were found by their pages, after the others */
	struct os_facts *os_first; /* the facts that the snapshot keeps */
	bool last;		   /* no other try follows */
	bool refreshed;		   /* the list of mappings was read again in this try */
	bool broke;		   /* something could not be read to its end: worth another try */
};

/** A heapArena that exists. */
struct arena_ref {
	taddr base;		    /* of the 64 MiB */
	taddr at;		    /* of the struct */
	uint8_t inline_marks[1024]; /* pageUseSpanInlineMarkBits; zero where there is no such field
				     */
};

#define ARENA_BASE_OFFSET  0xffff800000000000ULL
#define HEAP_ARENA_BYTES   ((bytes)64 << 20)
#define PALLOC_CHUNK_PAGES 512U
#define PALLOC_CHUNK_BYTES ((bytes)PALLOC_CHUNK_PAGES * GO_PAGE)

struct region_vec {
	VEC(struct region) v;
};
/** Notes (as partial) that a structure could not be read to its end, which a running program can
 * cause: another try is worth it. */
#define reading_broke(r, ...) ((r)->broke = true, note_add((r)->s, true, __VA_ARGS__))

/** Reads the list of mappings again, once a try: a program that grows has newer ones. False when
 * that was done. */
bool refresh_maps(struct reading *r);
void region_add(struct reading *r, taddr start, bytes len, enum region_kind kind,
		enum region_detail detail);

bool read_header(struct reading *r, struct gc_header *ret, struct err *err);
bool read_counters(struct reading *r, struct err *err);
/** The pacer's words out of copies of gcController and (1.18) memstats. */
void decode_pacer(const struct layout *l, const uint8_t *ctl, const uint8_t *memstats,
		  struct counters *c);
/** The heap goal and the trigger, after decode_pacer; minor of the release. */
void decode_goal(const struct layout *l, const uint8_t *ctl, int minor, struct counters *c);
bool read_arenas(struct reading *r, struct err *err);
bool read_chunks(struct reading *r, struct err *err);
bool read_pages_before(struct reading *r, struct err *err);
bool read_spans(struct reading *r, struct err *err);
/** Reads the span that has this page now, for pages that no span of the list had; false when there
 * is none. */
bool adopt_span(struct reading *r, taddr page);
bool read_pages(struct reading *r, struct err *err);
bool read_stacks(struct reading *r, struct err *err);
/** A goroutine out of its g's bytes; false when it is dead. */
bool goroutine_decode(const struct reading *r, taddr at, const uint8_t *d, struct goroutine *ret);
/** Frames and labels of the goroutines; after read_stacks. `args`: their arguments, too. */
void read_traces(struct reading *r, bool args);
bool read_profile(struct reading *r, struct err *err);
/** Pcs that a stack of a profile is cut at. */
uint32_t profile_depth(const struct reading *r);
/** The block and the mutex profile; after read_profile. */
void read_contentions(struct reading *r);
bool read_regions(struct reading *r, struct err *err);
/** The objects that the profile has sampled; needs the spans and the profile. */
void read_samples(struct reading *r);
/** Bytes parked in sync.Pool; needs the spans. */
void read_pools(struct reading *r);
/** Large objects that only small slices keep; needs the spans and stacks. */
void read_small_views(struct reading *r);

/** The tables of a module out of the bytes of its moduledata (runtime/symtab.go); one_bracket is
 * the release's. */
struct pcln_module module_tables(const struct layout *l, const uint8_t *d);

#endif
