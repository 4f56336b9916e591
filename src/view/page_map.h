/*
 * The address space page by page: which line of the ledger has most of each page, and how full the
 * pages of the Go heap are. For a picture: the ledger's sums are not made from this. Pure.
 */
#ifndef VIEW_PAGE_MAP_H
#define VIEW_PAGE_MAP_H

#include "ledger/ledger.h"
#include "view/report.h"

#define CELL_ABSENT	 63U  /* no page in memory */
#define CELL_HUGE	 64U  /* on a huge page */
#define CELL_SWAPPED	 128U /* swapped out */
#define CELL_NO_SPAN	 255U /* not of a heap span */
#define CELLS_MAX	 ((uint64_t)2 << 20)
#define MAP_SEGMENTS_MAX 65536U

/** Equal cells in a row. */
struct cell_run {
	uint32_t n;
	uint8_t line; /* enum line_id or CELL_ABSENT, with CELL_HUGE and CELL_SWAPPED */
	uint8_t used; /* percent of the page that objects take; CELL_NO_SPAN */
};

/** A stretch of the address space that has pages in memory. */
struct map_segment {
	taddr start, end;
	const struct mapping *of; /* the first; neighbours of the same name are joined */
	uint32_t run_at, n_runs;
};

struct page_map {
	uint32_t unit; /* OS pages a cell */
	struct map_segment *segments;
	uint32_t n_segments;
	VEC(struct cell_run) runs;
};

/** Draws it. Errors: ERR_LIMIT. */
bool page_map_build(const struct snapshot *s, struct arena *a, struct page_map *ret,
		    struct err *err);
/** What lies at an address: mapping, span, stack, free pages, runtime structure. */
void page_at(const struct snapshot *s, taddr at, struct arena *a, struct report *ret);

#endif
