/*
 * What must hold at the address of each of the runtime's variables, whatever the program does. The
 * same invariants serve twice: at the address that the code names, and, where they are narrow
 * enough to hold at one place only, as a search over all of the program's data. Offsets are the
 * layout's, so that a layout of another release fails here.
 *
 * Everything that is followed comes from outside: each chain and each array has a bound, and reads
 * that fault are "does not hold".
 */
#include "base/unit.h"
#include "goruntime/find.h"

#include <string.h>

#define MAX_CHAIN    (1U << 16)
#define MAX_PS	     4096U
#define MAX_GS	     ((uint64_t)1 << 28)
#define SAMPLE	     48U /* elements of a list that are looked at */
#define ADDRESS_END  ((taddr)1 << 47)
#define CHUNK_BYTES  ((bytes)256 << 10) /* persistentChunkSize, malloc.go */
#define BUCKET_HASH  179999U		/* buckHashSize, mprof.go */
#define BUCKET_DEPTH 1100U
#define STACK_ORDERS 4U
#define LARGE_LISTS  35U /* heapAddrBits - pageShift, stack.go */
#define MIN_PAGE     4096U
#define ZERO_PAGES   32U
/* A real program takes some 40,000; one full of false lists must end as well. */
#define MAX_READS (1U << 25)

/* fixalloc (mfixalloc.go): the statistic's address follows inuse in every release. */
#define STAT_BEHIND_INUSE 8U

static uint64_t data_uint(const struct finder *f, taddr at, uint32_t width)
{
	return in_data(f, at, width) ? load(f->data + (at - f->lo), width) : 0;
}

static uint64_t word(const struct finder *f, taddr at)
{
	return data_uint(f, at, 8);
}

static uint64_t field_of(const struct finder *f, taddr at, struct field x)
{
	return data_uint(f, at + x.off, x.width);
}

static bool rd(struct finder *f, taddr at, void *dst, size_t n)
{
	if (f->reads >= MAX_READS)
		return false;
	f->reads++;
	if (in_data(f, at, n)) {
		memcpy(dst, f->data + (at - f->lo), n);
		return true;
	}
	return at >= MIN_PAGE && at < ADDRESS_END && blocks_read(f->blocks, at, dst, n);
}

static uint64_t rd_uint(struct finder *f, taddr at, uint32_t width)
{
	uint8_t b[8];
	return rd(f, at, b, width) ? load(b, width) : 0;
}

static uint64_t rd_field(struct finder *f, taddr at, struct field x)
{
	return rd_uint(f, at + x.off, x.width);
}

static bool is_pointer(uint64_t v)
{
	return v >= MIN_PAGE && v < ADDRESS_END && v % 8 == 0;
}

/** In the program's variables or outside of all that its file brings: where the runtime's structs
 * are. */
static bool is_allocated(const struct finder *f, uint64_t v)
{
	const struct image_file *m = f->g->main;
	if (!is_pointer(v) || in_data(f, v, 8))
		return is_pointer(v);
	for (uint32_t i = 0; i < m->n_ranges; i++)
		if (v >= m->ranges[i].start && v < m->ranges[i].end)
			return false;
	return true;
}

static bool slice_at(const struct finder *f, taddr at, uint64_t max, struct go_slice *ret)
{
	if (!in_data(f, at, sizeof *ret))
		return false;
	memcpy(ret, f->data + (at - f->lo), sizeof *ret);
	return is_pointer(ret->ptr) && ret->len > 0 && ret->len <= ret->cap && ret->cap <= max;
}

static bool has_text(struct finder *f, uint64_t ptr, const char *text)
{
	char buf[64];
	size_t n = strlen(text);
	return n <= sizeof buf && rd(f, ptr, buf, n) && memcmp(buf, text, n) == 0;
}

/* -- the heap -------------------------------------------------------------------------------- */

static taddr span_of(struct finder *f, taddr arenas, taddr at)
{
	uint64_t i = (at - ARENA_BASE_OFFSET) / HEAP_ARENA_BYTES;
	taddr ha = i < (1U << 22) ? rd_uint(f, arenas + 8 * i, 8) : 0;
	return ha == 0 ? 0
		       : rd_uint(f,
				 ha + f->l->heapArena_spans.off +
					 8 * ((at / GO_PAGE) % (HEAP_ARENA_BYTES / GO_PAGE)),
				 8);
}

static bool fits_mheap(struct finder *f, taddr at)
{
	const struct layout *l = f->l;
	struct go_slice all;
	if (field_of(f, at, l->mheap_spanalloc_size) != l->mspan_size.width ||
	    field_of(f, at, l->mheap_cachealloc_size) != l->mcache_size.width ||
	    field_of(f, at, l->mheap_specialprofilealloc_size) != l->specialprofile_size.width ||
	    !slice_at(f, at + l->mheap_allspans.off, (uint64_t)1 << 32, &all))
		return false;
	taddr arenas = field_of(f, at, l->mheap_arenas);
	uint32_t good = 0, bad = 0;
	for (uint64_t i = 0; i < MIN(all.len, SAMPLE); i++) {
		taddr sp = rd_uint(f, all.ptr + 8 * i, 8);
		uint64_t state = rd_field(f, sp, l->mspan_state);
		if (state == 0)
			continue; /* on the free list */
		if ((state == 1 || state == 2) &&
		    span_of(f, arenas, rd_field(f, sp, l->mspan_startAddr)) == sp)
			good++;
		else
			bad++;
	}
	return good > 0 && bad <= good / 4;
}

/** What the allocators of mheap_ say about where memstats counts their memory. */
static bool fits_memstats(struct finder *f, taddr at)
{
	const struct layout *l = f->l;
	const struct {
		struct field inuse, stat;
	} v[] = {{l->mheap_spanalloc_inuse, l->mstats_mspan_sys},
		 {l->mheap_cachealloc_inuse, l->mstats_mcache_sys},
		 {l->mheap_specialprofilealloc_inuse, l->mstats_other_sys}};
	for (size_t i = 0; i < ARRAY_LEN(v); i++)
		if (word(f, f->y.mheap + v[i].inuse.off + STAT_BEHIND_INUSE) != at + v[i].stat.off)
			return false;
	return f->y.mheap != 0;
}

/** heapMinimum is 4 MiB × GOGC/100; with the GC off it keeps its last value. */
static bool minimum_fits(int32_t percent, uint64_t minimum)
{
	uint64_t four = (uint64_t)4 << 20;
	if (percent < 0)
		return minimum > 0 && minimum % (four / 100) <= 100;
	return minimum == four * (uint64_t)percent / 100;
}

static bool fits_gcController(struct finder *f, taddr at)
{
	const struct layout *l = f->l;
	int32_t percent = (int32_t)field_of(f, at, l->gcController_gcPercent);
	uint64_t in_use = field_of(f, f->y.mheap, l->mheap_pagesInUse) * GO_PAGE;
	uint64_t marked = field_of(f, at, l->gcController_heapMarked);
	/* all zeros is GOGC=0 only where something tells that it is there */
	if (f->y.mheap == 0 || percent < -1 || (percent == 0 && f->scanning) ||
	    !minimum_fits(percent, field_of(f, at, l->gcController_heapMinimum)) ||
	    !in_data(f, at, l->gcController_heapMarked.off + 8))
		return false;
	if (l->gcController_heapInUse.width == 0) { /* 1.18 */
		uint64_t goal = field_of(f, at, l->gcController_heapGoal);
		uint64_t trigger = field_of(f, at, l->gcController_trigger);
		uint64_t live = field_of(f, at, l->gcController_heapLive);
		uint64_t numgc = field_of(f, f->y.memstats, l->mstats_numgc);
		return goal >= marked && (goal < (uint64_t)1 << 46 || percent < 0) &&
		       marked <= in_use + (in_use >> 2) + MIB && live > 0 &&
		       live <= in_use + (in_use >> 2) + MIB && trigger > 0 && trigger <= goal &&
		       (marked > 0 || numgc == 0);
	}
	uint64_t used = field_of(f, at, l->gcController_heapInUse);
	uint64_t ready = field_of(f, at, l->gcController_mappedReady);
	uint64_t off = used > in_use ? used - in_use : in_use - used;
	return used % GO_PAGE == 0 && used > 0 &&
	       field_of(f, at, l->gcController_heapFree) % GO_PAGE == 0 &&
	       field_of(f, at, l->gcController_heapReleased) % GO_PAGE == 0 && ready >= used &&
	       ready < (uint64_t)1 << 46 && off <= in_use / 4 + 16 * MIB &&
	       field_of(f, at, l->gcController_totalAlloc) >=
		       field_of(f, at, l->gcController_totalFree);
}

static bool chunk_has(const taddr *chunk, uint32_t n, taddr at)
{
	for (uint32_t i = 0; i < n; i++)
		if (at >= chunk[i] && at - chunk[i] < CHUNK_BYTES)
			return true;
	return false;
}

/** The list of chunks of memory that is never freed: all span records lie in them. */
static bool fits_persistentChunks(struct finder *f, taddr at)
{
	struct go_slice all;
	taddr head = word(f, at);
	if (!is_allocated(f, head) || head % MIN_PAGE != 0 || f->y.mheap == 0 ||
	    !slice_at(f, f->y.mheap + f->l->mheap_allspans.off, (uint64_t)1 << 32, &all))
		return false;
	struct arena_mark mark = arena_mark(&f->mem);
	VEC(taddr) chunks = {0};
	bool ok = true;
	taddr p = head;
	for (; p != 0 && ok && chunks.n < MAX_CHAIN; p = rd_uint(f, p, 8)) {
		ok = is_allocated(f, p) && p % MIN_PAGE == 0;
		*VEC_PUSH(&f->mem, &chunks) = p;
	}
	ok = ok && p == 0;
	f->rank = chunks.n;
	for (uint64_t i = 0; ok && i < MIN(all.len, SAMPLE); i++)
		ok = chunk_has(chunks.v, chunks.n, rd_uint(f, all.ptr + 8 * i, 8));
	arena_reset(&f->mem, mark);
	return ok;
}

/** The lists of arenas of mark bits: the bits of the heap's spans lie in them. */
static bool fits_gcBitsArenas(struct finder *f, taddr at)
{
	const struct layout *l = f->l;
	const struct field list[] = {l->gcBitsArenas_next, l->gcBitsArenas_current,
				     l->gcBitsArenas_previous, l->gcBitsArenas_free};
	struct go_slice all;
	if (field_of(f, at, l->gcBitsArenas_next) == 0 &&
	    field_of(f, at, l->gcBitsArenas_current) == 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		taddr p = field_of(f, at, list[i]);
		if (p != 0 && (!is_allocated(f, p) || p % MIN_PAGE != 0))
			return false;
	}
	if (f->y.mheap == 0 ||
	    !slice_at(f, f->y.mheap + l->mheap_allspans.off, (uint64_t)1 << 32, &all))
		return false;
	struct arena_mark mark = arena_mark(&f->mem);
	VEC(taddr) v = {0};
	uint64_t arenas = 0;
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		taddr p = field_of(f, at, list[i]);
		if (i == 3) { /* free ones: for the rank, they hold nobody's bits */
			for (; p != 0 && arenas < MAX_CHAIN; arenas++)
				p = rd_field(f, p, l->gcBitsArena_next);
			break;
		}
		for (; p != 0 && v.n < MAX_CHAIN; p = rd_field(f, p, l->gcBitsArena_next))
			*VEC_PUSH(&f->mem, &v) = p;
	}
	uint32_t good = 0, bad = 0;
	for (uint64_t i = 0; i < MIN(all.len, SAMPLE); i++) {
		taddr sp = rd_uint(f, all.ptr + 8 * i, 8);
		if (rd_field(f, sp, l->mspan_state) != 1)
			continue;
		const struct field which[] = {l->mspan_gcmarkBits, l->mspan_allocBits};
		for (size_t w = 0; w < ARRAY_LEN(which); w++) {
			taddr bits = rd_field(f, sp, which[w]);
			bool in = bits == 0;
			for (uint32_t k = 0; k < v.n && !in; k++)
				in = bits >= v.v[k] && bits - v.v[k] < l->gcBitsArena_size.width;
			good += in;
			bad += !in;
		}
	}
	f->rank = arenas + v.n;
	arena_reset(&f->mem, mark);
	return good > 0 && bad <= good / 4;
}

/** A span record of stacks. */
static bool is_stack_span(struct finder *f, taddr sp, uint64_t elem)
{
	return is_allocated(f, sp) && rd_field(f, sp, f->l->mspan_state) == 2 &&
	       (elem == 0 || rd_field(f, sp, f->l->mspan_elemsize) == elem);
}

static bool fits_stackpool(struct finder *f, taddr at)
{
	const struct layout *l = f->l;
	if (!in_data(f, at, (uint64_t)STACK_ORDERS * l->stackpoolItem_size.width))
		return false;
	uint32_t some = 0;
	for (uint32_t k = 0; k < STACK_ORDERS; k++) {
		/* {mu, span{first, last}}: stack.go, mheap.go */
		taddr list = at + k * l->stackpoolItem_size.width + l->stackpoolItem_span.off;
		taddr first = word(f, list), last = word(f, list + 8);
		if ((first == 0) != (last == 0) ||
		    (first != 0 &&
		     (!is_stack_span(f, first, 2048U << k) || !is_stack_span(f, last, 2048U << k) ||
		      is_stack_span(f, word(f, list - 8), 2048U << k))))
			return false;
		some += first != 0;
	}
	return some >= 2;
}

static bool fits_stackLarge(struct finder *f, taddr at)
{
	const struct layout *l = f->l;
	for (uint32_t k = 0; k < LARGE_LISTS; k++) {
		taddr list = at + l->stackLarge_free.off + k * l->mSpanList_size.width;
		taddr first = word(f, list + l->mSpanList_first.off);
		if (!in_data(f, list, l->mSpanList_size.width))
			return false;
		if (first != 0 &&
		    (!is_stack_span(f, first, 0) || rd_field(f, first, l->mspan_npages) >> k != 1))
			return false;
	}
	return true;
}

/* -- goroutines, threads, processors --------------------------------------------------------- */

static bool is_g(struct finder *f, taddr g)
{
	const struct layout *l = f->l;
	if (!is_pointer(g))
		return false;
	taddr lo = rd_field(f, g, l->g_stack_lo), hi = rd_field(f, g, l->g_stack_hi);
	uint64_t status = rd_field(f, g, l->g_atomicstatus) & ~(uint64_t)0x1000;
	return (lo == 0 ? hi == 0 : hi > lo && hi - lo <= GIB) && status < 32 &&
	       rd_field(f, g, l->g_goid) < (uint64_t)1 << 48;
}

/** In a function of the program or of one of its plugins. */
static bool is_code(const struct finder *f, taddr pc)
{
	for (uint32_t i = 0; i < f->n_texts; i++)
		if (pc >= f->text[i].start && pc < f->text[i].end)
			return true;
	return false;
}

/** Slots of goroutines; a library's first one is not the goroutine 1, so what tells is where they
 * start. */
static bool fits_allgs(struct finder *f, taddr at)
{
	const struct layout *l = f->l;
	struct go_slice s;
	uint32_t started = 0, elsewhere = 0;
	if (!slice_at(f, at, MAX_GS, &s) || !is_allocated(f, s.ptr))
		return false;
	for (uint64_t i = 0; i < MIN(s.len, SAMPLE); i++) {
		taddr g = rd_uint(f, s.ptr + 8 * i, 8), pc = rd_field(f, g, l->g_startpc);
		if (!is_g(f, g))
			return false;
		if (is_code(f, pc))
			started += rd_field(f, g, l->g_goid) > 0;
		else
			elsewhere += pc != 0;
	}
	return started > elsewhere;
}

static bool fits_allglen(struct finder *f, taddr at)
{
	uint64_t len = word(f, f->y.allgs + 8), v = word(f, at);
	return f->y.allgs != 0 && v > 0 && v <= len + SAMPLE && v + SAMPLE >= len;
}

static bool fits_allp(struct finder *f, taddr at)
{
	const struct layout *l = f->l;
	struct go_slice s;
	if (!slice_at(f, at, MAX_PS, &s))
		return false;
	for (uint64_t i = 0; i < s.len; i++) {
		taddr p = rd_uint(f, s.ptr + 8 * i, 8);
		if (!is_pointer(p) || !rd(f, p + l->p_id.off, &(uint32_t){0}, 4) ||
		    rd_field(f, p, l->p_id) != i || rd_field(f, p, l->p_status) > 4)
			return false;
	}
	taddr mc = rd_field(f, rd_uint(f, s.ptr, 8), l->p_mcache);
	for (uint32_t k = 2; k < 136; k += 19)
		if (!is_pointer(rd_uint(f, mc + l->mcache_alloc.off + 8 * k, 8)))
			return false;
	return true;
}

/** All threads: each one's g0 points back at it, and the first of all is a variable itself. */
static bool fits_allm(struct finder *f, taddr at)
{
	const struct layout *l = f->l;
	taddr m = word(f, at), last = 0;
	uint32_t n = 0;
	for (; m != 0 && n < MAX_CHAIN; n++) {
		taddr g0 = is_allocated(f, m) ? rd_field(f, m, l->m_g0) : 0;
		if (!is_pointer(g0) || rd_field(f, g0, l->g_m) != m)
			return false;
		last = m;
		m = rd_field(f, m, l->m_alllink);
	}
	if (n < 2 || m != 0 || !in_data(f, last, l->m_size.width))
		return false;
	f->rank = n;
	return true;
}

/** What the list of threads says once it is known. */
static void take_threads(struct finder *f)
{
	taddr m = f->y.allm != 0 && f->n_ms == 0 ? word(f, f->y.allm) : 0;
	for (; m != 0 && f->n_ms < MAX_CHAIN; f->n_ms++) {
		f->oldest_m = m;
		m = rd_field(f, m, f->l->m_alllink);
	}
}

static bool fits_m0(struct finder *f, taddr at)
{
	take_threads(f);
	return at != 0 && at == f->oldest_m && in_data(f, at, f->l->m_size.width);
}

static bool fits_g0(struct finder *f, taddr at)
{
	return f->y.m0 != 0 && field_of(f, f->y.m0, f->l->m_g0) == at &&
	       field_of(f, at, f->l->g_m) == f->y.m0;
}

static bool fits_gcrash(struct finder *f, taddr at)
{
	taddr lo = field_of(f, at, f->l->g_stack_lo), hi = field_of(f, at, f->l->g_stack_hi);
	/* proc.go: gcrash.stack = stackalloc(16384), both guards 1000 above */
	return is_allocated(f, lo) && hi - lo == 16384 && word(f, at + 16) == lo + 1000 &&
	       word(f, at + 24) == lo + 1000;
}

static bool fits_sched(struct finder *f, taddr at)
{
	const struct layout *l = f->l;
	struct go_slice gs;
	take_threads(f);
	uint64_t newest = 0, mnext = field_of(f, at, l->sched_mnext);
	uint64_t freed = field_of(f, at, l->sched_nmfreed), gen = field_of(f, at, l->sched_goidgen);
	if (gen == 0 || gen > (uint64_t)1 << 48 || !in_data(f, at, l->sched_size.width) ||
	    f->n_ms == 0 || mnext < freed || mnext - freed > f->n_ms + 4 ||
	    mnext - freed + 4 < f->n_ms || field_of(f, at, l->sched_nmidle) > mnext ||
	    !slice_at(f, f->y.allgs, MAX_GS, &gs))
		return false;
	for (uint64_t i = 0; i < MIN(gs.len, SAMPLE); i++)
		newest = MAX(newest,
			     rd_field(f, rd_uint(f, gs.ptr + 8 * (gs.len - 1 - i), 8), l->g_goid));
	/* a pointer to an m; since 1.26 to a node in one, with the node's offset */
	taddr idle = word(f, at + l->sched_midle.off);
	bool whole = l->sched_midle.width == 8;
	uint64_t system = field_of(f, at, l->sched_ngsys) & UINT32_MAX;
	uint64_t since = field_of(f, at, l->sched_procresizetime); /* a nanotime, set at start */
	uint64_t n_idle = field_of(f, at, l->sched_nmidle) & UINT32_MAX;
	uint64_t ps = f->y.allp != 0 ? word(f, f->y.allp + 8) : MAX_PS;
	return (n_idle > 0) == (idle != 0) && n_idle <= f->n_ms &&
	       (field_of(f, at, l->sched_nmsys) & UINT32_MAX) <= f->n_ms &&
	       (field_of(f, at, l->sched_runq_size) & UINT32_MAX) <= gs.len &&
	       (field_of(f, at, l->sched_npidle) & UINT32_MAX) <= ps && newest <= gen &&
	       system > 0 && system <= gs.len && since > 0 && since < (uint64_t)1 << 62 &&
	       field_of(f, at, l->sched_totaltime) < (uint64_t)1 << 62 &&
	       (idle == 0 || (is_allocated(f, idle) &&
			      (!whole || rd_field(f, rd_field(f, idle, l->m_g0), l->g_m) == idle)));
}

static bool fits_gomaxprocs(struct finder *f, taddr at)
{
	return f->y.allp != 0 && data_uint(f, at, 4) == word(f, f->y.allp + 8);
}

/** The span record that stands for "none" in every mcache: a variable, and the one found there most
 * often. */
static bool fits_emptymspan(struct finder *f, taddr at)
{
	struct go_slice s;
	if (f->emptymspan == 0 && f->y.allp != 0 && slice_at(f, f->y.allp, MAX_PS, &s)) {
		for (uint64_t i = 0; i < MIN(s.len, SAMPLE); i++) {
			taddr mc = rd_field(f, rd_uint(f, s.ptr + 8 * i, 8), f->l->p_mcache);
			for (uint32_t k = 0; k < 136 && mc != 0; k++) {
				taddr sp = rd_uint(f, mc + f->l->mcache_alloc.off + 8 * k, 8);
				if (in_data(f, sp, f->l->mspan_size.width))
					f->emptymspan = sp;
			}
		}
	}
	return at == f->emptymspan && at != 0;
}

/* -- the collector --------------------------------------------------------------------------- */

/** The end of the last cycle stands in two places, written one after the other (mgc.go). */
static bool fits_work(struct finder *f, taddr at)
{
	const struct layout *l = f->l;
	uint64_t numgc = field_of(f, f->y.memstats, l->mstats_numgc);
	uint64_t cycles = field_of(f, at, l->work_cycles) & UINT32_MAX;
	uint64_t last = field_of(f, f->y.memstats, l->mstats_last_gc_nanotime);
	if (f->y.memstats == 0 || !in_data(f, at, l->work_heap2.off + 8) || cycles < numgc ||
	    cycles > numgc + 1)
		return false;
	if (numgc == 0)
		return field_of(f, at, l->work_tEnd) == 0;
	return field_of(f, at, l->work_tEnd) == last &&
	       field_of(f, at, l->work_heap1) < (uint64_t)1 << 46;
}

static bool fits_gcphase(struct finder *f, taddr at)
{
	return in_data(f, at, 4) && data_uint(f, at, 4) <= 2;
}

static bool fits_gcCPULimiter(struct finder *f, taddr at)
{
	struct field x = f->l->gcCPULimiter_lastEnabledCycle;
	return x.width != 0 && in_data(f, at, x.off + x.width) &&
	       field_of(f, at, x) <= field_of(f, f->y.memstats, f->l->mstats_numgc) + 1;
}

static bool fits_any_address(struct finder *f, taddr at)
{
	return in_data(f, at, 8);
}

/* -- profiles -------------------------------------------------------------------------------- */

/** A bucket's hash is that of its stack and size (mprof.go, stkbucket). */
static bool is_bucket(struct finder *f, taddr at, uint64_t typ)
{
	const struct layout *l = f->l;
	if (!is_allocated(f, at) || rd_field(f, at, l->bucket_typ) != typ)
		return false;
	uint64_t n = rd_field(f, at, l->bucket_nstk), size = rd_field(f, at, l->bucket_bytes);
	uint64_t pc[BUCKET_DEPTH], h = 0, text = 0;
	if (n == 0 || n > BUCKET_DEPTH || !rd(f, at + l->bucket_size.width, pc, n * 8))
		return false;
	for (uint64_t i = 0; i < n; i++) {
		h += pc[i];
		h += h << 10;
		h ^= h >> 6;
		text += is_code(f, pc[i]);
	}
	h += size;
	h += h << 10;
	h ^= h >> 6;
	h += h << 3;
	h ^= h >> 11;
	return h == rd_field(f, at, l->bucket_hash) && text > 0;
}

static bool fits_mbuckets(struct finder *f, taddr at)
{
	return is_bucket(f, word(f, at), 1);
}
static bool fits_bbuckets(struct finder *f, taddr at)
{
	return is_bucket(f, word(f, at), 2);
}
static bool fits_xbuckets(struct finder *f, taddr at)
{
	return is_bucket(f, word(f, at), 3);
}

static bool fits_buckhash(struct finder *f, taddr at)
{
	const struct layout *l = f->l;
	taddr table = word(f, at), heads[] = {f->y.mbuckets, f->y.bbuckets, f->y.xbuckets}, b = 0;
	for (size_t i = 0; i < ARRAY_LEN(heads) && b == 0; i++)
		b = heads[i] != 0 ? word(f, heads[i]) : 0;
	if (!is_allocated(f, table) || b == 0)
		return false;
	taddr p = rd_uint(f, table + 8 * (rd_field(f, b, l->bucket_hash) % BUCKET_HASH), 8);
	for (uint32_t i = 0; p != 0 && p != b && i < MAX_CHAIN; i++)
		p = rd_field(f, p, l->bucket_next);
	return p == b;
}

/** The profile's cycle is advanced by each GC, once. */
static bool fits_mProfCycle(struct finder *f, taddr at)
{
	uint64_t v = data_uint(f, at, 4) >> (f->g->release.minor >= 19);
	uint64_t numgc = field_of(f, f->y.memstats, f->l->mstats_numgc);
	return in_data(f, at, 4) && f->y.memstats != 0 && v <= numgc + 2 && v + 2 >= numgc;
}

static bool fits_rate(struct finder *f, taddr at)
{
	return in_data(f, at, 8) && word(f, at) < (uint64_t)1 << 46;
}

/* -- the rest -------------------------------------------------------------------------------- */

static bool fits_buildVersion(struct finder *f, taddr at)
{
	const char *text = f->g->main->version;
	uint64_t n = strlen(text);
	return n > 0 && word(f, at + 8) == n && has_text(f, word(f, at), text);
}

static bool fits_firstmoduledata(struct finder *f, taddr at)
{
	return at == f->moduledata;
}

static bool fits_waitReasonStrings(struct finder *f, taddr at)
{
	static const char second[] = "GC assist marking"; /* after "" */
	return word(f, at + 8) == 0 && word(f, at + 24) == sizeof second - 1 &&
	       has_text(f, word(f, at + 16), second);
}

static bool fits_flag(struct finder *f, taddr at)
{
	return in_data(f, at, 1) && data_uint(f, at, 1) <= 1;
}

static bool fits_count(struct finder *f, taddr at)
{
	return in_data(f, at, 8) && word(f, at) < (uint64_t)1 << 48;
}

static bool fits_small_count(struct finder *f, taddr at)
{
	return in_data(f, at, 4) && data_uint(f, at, 4) < 100000;
}

static bool is_power_of_two(uint64_t v)
{
	return v != 0 && (v & (v - 1)) == 0;
}

static bool fits_physHugePageSize(struct finder *f, taddr at)
{
	uint64_t v = word(f, at);
	return in_data(f, at, 8) && (v == 0 || (is_power_of_two(v) && v > MIN_PAGE && v <= GIB));
}

static bool fits_startingStackSize(struct finder *f, taddr at)
{
	uint64_t v = data_uint(f, at, 4);
	return is_power_of_two(v) && v >= 2048 && v <= GIB;
}

static bool fits_debug(struct finder *f, taddr at)
{
	const struct field v[] = {f->l->debug_madvdontneed, f->l->debug_harddecommit,
				  f->l->debug_disablethp};
	for (size_t i = 0; i < ARRAY_LEN(v); i++)
		if (!in_data(f, at + v[i].off, 4) || (v[i].width == 4 && field_of(f, at, v[i]) > 1))
			return false;
	return true;
}

static bool fits_runtimeInitTime(struct finder *f, taddr at)
{
	uint64_t v = word(f, at);
	uint64_t last = field_of(f, f->y.memstats, f->l->mstats_last_gc_nanotime);
	return v > 0 && v < (uint64_t)1 << 62 && (last == 0 || v <= last);
}

/** A slice of *sync.Pool. */
static bool fits_pools(struct finder *f, taddr at)
{
	struct go_slice s;
	if (!slice_at(f, at, 1U << 20, &s))
		return in_data(f, at, sizeof s) && word(f, at) == 0 && word(f, at + 8) == 0;
	for (uint64_t i = 0; i < MIN(s.len, SAMPLE); i++) {
		taddr p = rd_uint(f, s.ptr + 8 * i, 8);
		if (!is_pointer(p) || rd_field(f, p, f->l->pool_localSize) > MAX_PS ||
		    rd_field(f, p, f->l->pool_victimSize) > MAX_PS)
			return false;
	}
	return true;
}

/** iface.go, itabTableType: size, a power of two, count, and as many entries as it counts. */
static bool fits_itabTable(struct finder *f, taddr at)
{
	taddr t = word(f, at);
	uint64_t head[2], e[512], count = 0;
	if (!is_allocated(f, t) || !rd(f, t, head, sizeof head) || !is_power_of_two(head[0]) ||
	    head[0] < 512 || head[0] > 1U << 22 || head[1] == 0 || head[1] > head[0])
		return false;
	for (uint64_t i = 0; i < head[0]; i += ARRAY_LEN(e)) {
		if (!rd(f, t + 16 + 8 * i, e, sizeof e))
			return false;
		for (size_t k = 0; k < ARRAY_LEN(e); k++)
			count += e[k] != 0;
	}
	return count == head[1];
}

/** mfinal.go, finblock: {alllink, next, cnt, …}. */
static bool fits_finblock(struct finder *f, taddr at)
{
	uint8_t b[24];
	taddr p = word(f, at);
	return is_allocated(f, p) && rd(f, p, b, sizeof b) && load(b + 16, 4) <= 101 &&
	       (load(b, 8) == 0 || is_pointer(load(b, 8))) &&
	       (load(b + 8, 8) == 0 || is_pointer(load(b + 8, 8)));
}

static bool fits_string(struct finder *f, taddr at)
{
	char text[4096];
	uint64_t n = word(f, at + 8);
	if (!in_data(f, at, 16) || n > sizeof text || (n > 0 && !rd(f, word(f, at), text, n)))
		return false;
	for (uint64_t i = 0; i < n; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return true;
}

/* -- the table ------------------------------------------------------------------------------- */

struct check {
	enum symbol_index symbol;
	bool (*fits)(struct finder *, taddr);
	uint32_t step; /* of the search, the variable's alignment; 0: holds at too many places to
			  search */
	uint32_t same; /* bytes: places that hold the same are one, and the lowest is taken */
	enum { DATA, ZEROED } in; /* zeros in the file, so not in .data and .noptrdata */
	bool nil;		  /* zero is fine where code or a symbol says that it is there */
};

static const struct check CHECKS[] = {
	{SYM_firstmoduledata, fits_firstmoduledata, 8, 0, DATA, false},
	{SYM_mheap, fits_mheap, 8, 0, ZEROED, false},
	{SYM_memstats, fits_memstats, 8, 0, ZEROED, false},
	{SYM_gcController, fits_gcController, 8, 0, ZEROED, false},
	{SYM_allgs, fits_allgs, 8, 24, ZEROED, false},
	{SYM_allglen, fits_allglen, 0, 0, ZEROED, false},
	{SYM_allm, fits_allm, 8, 8, ZEROED, false},
	{SYM_allp, fits_allp, 8, 24, ZEROED, false},
	{SYM_m0, fits_m0, 8, 0, ZEROED, false},
	{SYM_g0, fits_g0, 8, 0, ZEROED, false},
	{SYM_gcrash, fits_gcrash, 8, 0, ZEROED, false},
	{SYM_sched, fits_sched, 8, 0, ZEROED, false},
	{SYM_gomaxprocs, fits_gomaxprocs, 0, 0, ZEROED, false},
	{SYM_emptymspan, fits_emptymspan, 8, 0, ZEROED, false},
	{SYM_persistentChunks, fits_persistentChunks, 8, 8, ZEROED, false},
	{SYM_gcBitsArenas, fits_gcBitsArenas, 8, 0, ZEROED, false},
	{SYM_stackpool, fits_stackpool, 8, 0, ZEROED, true},
	{SYM_stackLarge, fits_stackLarge, 0, 0, ZEROED, false},
	{SYM_work, fits_work, 8, 0, ZEROED, false},
	{SYM_gcphase, fits_gcphase, 0, 0, ZEROED, false},
	{SYM_gcCPULimiter, fits_gcCPULimiter, 0, 0, ZEROED, false},
	{SYM_mbuckets, fits_mbuckets, 8, 8, ZEROED, true},
	{SYM_bbuckets, fits_bbuckets, 8, 8, ZEROED, true},
	{SYM_xbuckets, fits_xbuckets, 8, 8, ZEROED, true},
	{SYM_buckhash, fits_buckhash, 8, 8, ZEROED, true},
	{SYM_mProfCycle, fits_mProfCycle, 0, 0, ZEROED, false},
	{SYM_MemProfileRate, fits_rate, 0, 0, ZEROED, false},
	{SYM_blockprofilerate, fits_rate, 0, 0, ZEROED, false},
	{SYM_mutexprofilerate, fits_rate, 0, 0, ZEROED, false},
	{SYM_buildVersion, fits_buildVersion, 8, 0, DATA, false},
	{SYM_waitReasonStrings, fits_waitReasonStrings, 8, 0, DATA, false},
	{SYM_iscgo, fits_flag, 0, 0, ZEROED, false},
	{SYM_ncgocall, fits_count, 0, 0, ZEROED, false},
	{SYM_physHugePageSize, fits_physHugePageSize, 0, 0, ZEROED, false},
	{SYM_debug, fits_debug, 0, 0, ZEROED, false},
	{SYM_startingStackSize, fits_startingStackSize, 0, 0, ZEROED, false},
	{SYM_allPools, fits_pools, 0, 0, ZEROED, false},
	{SYM_oldPools, fits_pools, 0, 0, ZEROED, false},
	{SYM_runtimeInitTime, fits_runtimeInitTime, 0, 0, ZEROED, true},
	{SYM_itabTable, fits_itabTable, 8, 0, DATA, false},
	{SYM_finq, fits_finblock, 0, 0, ZEROED, true},
	{SYM_allfin, fits_finblock, 0, 0, ZEROED, true},
	{SYM_gcCleanups, fits_any_address, 0, 0, ZEROED, false},
	{SYM_godebugDefault, fits_string, 0, 0, ZEROED, false},
	{SYM_extraMInUse, fits_small_count, 0, 0, ZEROED, false},
	{SYM_extraMLength, fits_small_count, 0, 0, ZEROED, false},
	{SYM_profLock, fits_any_address, 0, 0, ZEROED, false},
	{SYM_ticks, fits_any_address, 0, 0, ZEROED, false},
};

const uint32_t N_CHECKS = ARRAY_LEN(CHECKS);

enum symbol_index find_order(uint32_t k)
{
	return CHECKS[k].symbol;
}

static const struct check *check_of(enum symbol_index i)
{
	uint32_t k = 0;
	while (CHECKS[k].symbol != i)
		k++;
	return &CHECKS[k];
}

bool find_fits(struct finder *f, enum symbol_index i, taddr at, bool told)
{
	const struct check *c = check_of(i);
	if (c->fits(f, at))
		return true;
	return told && c->nil && in_data(f, at, 8) && word(f, at) == 0;
}

/** One more place; the one that has more of what is looked for wins, e.g. the longer list. */
static void take_place(struct finder *f, const struct check *c, struct found *v, uint64_t *rank,
		       taddr at)
{
	if (v->places > 0 && f->rank < *rank)
		return;
	if (v->places == 0 || f->rank > *rank) {
		*rank = f->rank;
		v->scan = at;
		v->places = 1;
	} else if (c->same == 0 ||
		   memcmp(f->data + (at - f->lo), f->data + (v->scan - f->lo), c->same) != 0) {
		v->places++;
	} else {
		v->scan = MIN(v->scan, at);
	}
}

void find_by_scan(struct finder *f, enum symbol_index i)
{
	const struct check *c = check_of(i);
	struct found *v = &f->report->v[i];
	uint64_t rank = 0;
	if (c->step == 0)
		return;
	f->scanning = true;
	for (uint32_t p = 0; p < f->n_parts; p++) {
		if (c->in == ZEROED && !f->part[p].zeroed)
			continue;
		for (taddr at = round_up(f->part[p].start, c->step); at < f->part[p].end;
		     at += c->step) {
			if (f->reads >= MAX_READS) {
				v->places = 2; /* not all of them were looked at: no opinion */
				break;
			}
			/* no variable begins with so many zeros: mheap_ is the largest one */
			uint64_t page = (at - f->lo) / OS_PAGE, used = f->next_used[page];
			if (used > page + ZERO_PAGES) {
				at = f->lo + (used - ZERO_PAGES) * OS_PAGE - c->step;
				continue;
			}
			f->rank = 0;
			if (in_data(f, at, MAX(c->same, 8)) && c->fits(f, at))
				take_place(f, c, v, &rank, at);
		}
	}
	f->scanning = false;
	if (v->places > 1)
		v->scan = 0;
}
