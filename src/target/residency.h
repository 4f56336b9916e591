/* Internal to target/: which pages are in memory, by the three sources that kernels offer. */
#ifndef TARGET_RESIDENCY_H
#define TARGET_RESIDENCY_H

#include "target/osfacts.h"

/** Bits of a /proc/PID/pagemap entry. */
#define PM_PFN	     (((uint64_t)1 << 55) - 1) /* all zero without CAP_SYS_ADMIN */
#define PM_EXCLUSIVE ((uint64_t)1 << 56)
#define PM_GUARD     ((uint64_t)1 << 58) /* Linux 6.15: MADV_GUARD_INSTALL, which also says swapped */
#define PM_FILE	     ((uint64_t)1 << 61)
#define PM_SWAPPED   ((uint64_t)1 << 62)
#define PM_PRESENT   ((uint64_t)1 << 63)

/** Reads n entries from page number `page`; returns how many came (fewer at the end of the address
 * space). */
size_t pagemap_read(int pagemap, uint64_t page, uint64_t *entry, size_t n);

/**
 * Fill `p` (initialised, not yet closed) with the pages of os->maps. `pagemap` is an open
 * /proc/PID/pagemap. residency_scan sets *ret_missing and returns false with ERR_OS when this
 * kernel has no PAGEMAP_SCAN (before 6.7).
 */
bool residency_scan(int pagemap, const struct os_facts *os, struct pages *p, bool *ret_missing,
		    struct err *err);
bool residency_pagemap(int pagemap, const struct os_facts *os, struct pages *p, struct err *err);
/** From smaps in the folder of the process: how many pages of each mapping, but not which. */
bool residency_smaps(int dir, const struct os_facts *os, struct pages *p, struct err *err);

#endif
