/*
 * Which pages of a process are in memory: a sparse set of 4 MiB chunks with one bit a page.
 * "Resident" here is what the kernel counts in RSS: present, not the zero page, not special.
 */
#ifndef TARGET_PAGES_H
#define TARGET_PAGES_H

#include "base/arena.h"

#define PAGES_CHUNK_SHIFT 22
#define PAGES_PER_CHUNK	  (1U << (PAGES_CHUNK_SHIFT - OS_PAGE_SHIFT)) /* 1024 */
#define PAGES_WORDS	  (PAGES_PER_CHUNK / 64)

enum page_bit { PAGE_RESIDENT, PAGE_SWAPPED, PAGE_HUGE, PAGE_BITS };

struct page_chunk {
	uint64_t bit[PAGE_BITS][PAGES_WORDS];
	uint32_t resident; /* pages, kept by pages_close */
	uint32_t swapped;
};

/** Chunks in address order. Built by pages_set in any order of addresses, then sealed by
 * pages_close. */
struct pages {
	struct arena *mem;
	uint64_t *key;		   /* address >> PAGES_CHUNK_SHIFT, ascending once closed */
	struct page_chunk **chunk; /* chunk[i] covers key[i] */
	uint32_t n, cap;
	bytes resident, swapped, huge; /* totals, set by pages_close */
};

void pages_init(struct pages *p, struct arena *mem);
/** Marks [from, to), page-aligned. Marking twice is harmless: PAGEMAP_SCAN can repeat ranges. */
bool pages_set(struct pages *p, taddr from, taddr to, enum page_bit bit, struct err *err);
/** Sorts and counts. After this the set is immutable and may be read by any thread. */
void pages_close(struct pages *p);

/** Index of the chunk that covers `at`, or of the first chunk above it (p->n: none). */
uint32_t pages_find(const struct pages *p, taddr at);
bool pages_is(const struct pages *p, taddr at, enum page_bit bit);
/** Bytes (not whole pages) of [from, to) that lie on pages with this bit. */
bytes pages_in(const struct pages *p, taddr from, taddr to, enum page_bit bit);
/** First address >= from and < to on a page with (want) or without (!want) the bit; `to` when there
 * is none. */
taddr pages_next(const struct pages *p, taddr from, taddr to, enum page_bit bit, bool want);

#endif
