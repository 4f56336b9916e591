/*
 * Goroutines and stacks (runtime/stack.go, runtime2.go): allgs for the goroutines, allm for the
 * threads' g0 and gsignal stacks. What a stack span holds beside these is free: pools, per-P caches
 * and dead goroutines' stacks need no walk, since the rest of the span is theirs.
 */
#include "goruntime/rt.h"

#include <string.h>

#define MAX_GS	   (64U << 20)
#define MAX_MS	   (1U << 20)
#define G_SCAN_BIT 0x1000U

struct gs_reader {
	struct reading *r;
	uint32_t cap, running, torn;
};

static bool in_stack_span(const struct reading *r, taddr lo, taddr hi)
{
	const struct span *s = span_find(&r->s->heap, lo);
	return s != NULL && s->state == SPAN_STACK && hi <= s->start + span_bytes(s);
}

/**
 * A stack that has a mapping of its own: GODEBUG=efence=1 takes them from the OS (stack.go,
 * stackalloc). Memory of the heap that is no stack span is a read that was torn instead.
 */
static bool has_own_mapping(const struct reading *r, taddr lo, taddr hi)
{
	const struct heap *h = &r->s->heap;
	const struct mapping *m = map_find(r->s->os, lo);
	if ((lo | hi) % OS_PAGE != 0 || hi <= lo || m == NULL || hi > m->end ||
	    !(m->flags & MAP_READ) || !(m->flags & MAP_WRITE) ||
	    m->flags & (MAP_FILE | MAP_SHMEM | MAP_SHARED_ | MAP_SPECIAL))
		return false;
	for (uint32_t i = 0; i < h->n_in_use; i++) {
		if (lo < h->in_use[i].end && hi > h->in_use[i].start)
			return false;
	}
	return true;
}

static void add_stack(struct reading *r, taddr lo, taddr hi, taddr sp, uint32_t g,
		      enum stack_use use)
{
	struct snapshot *s = r->s;
	if (lo == 0 || hi <= lo || hi - lo > (bytes)1 << 30)
		return;
	struct stack k = {.lo = lo,
			  .hi = hi,
			  .sp = sp < lo || sp > hi ? lo : sp,
			  .g = g,
			  .use = (uint8_t)use,
			  .in_heap = in_stack_span(r, lo, hi)};
	s->stacks[s->n_stacks++] = k;
}

static const char *state_text(const struct reading *r, uint32_t status, uint16_t reason)
{
	static const char *const names[] = {"idle",	 "runnable",  "running", "syscall",
					    "waiting",	 "?",	      "dead",	 "?",
					    "copystack", "preempted", "leaked",	 "dead"};
	if (status == G_WAITING && reason < r->g->n_wait_reasons &&
	    r->g->wait_reasons[reason][0] != 0)
		return r->g->wait_reasons[reason];
	return status < ARRAY_LEN(names) ? names[status] : "?";
}

bool goroutine_decode(const struct reading *r, taddr at, const uint8_t *d, struct goroutine *ret)
{
	const struct layout *l = r->l;
	uint32_t status = (uint32_t)get(d, l->g_atomicstatus) & ~G_SCAN_BIT;
	struct goroutine g = {.addr = at,
			      .status = status,
			      .goid = get(d, l->g_goid),
			      .gopc = get(d, l->g_gopc),
			      .startpc = get(d, l->g_startpc),
			      .stack_lo = get(d, l->g_stack_lo),
			      .stack_hi = get(d, l->g_stack_hi),
			      .waitreason = (uint16_t)get(d, l->g_waitreason),
			      .label_set = get(d, l->g_labels),
			      .parent = get(d, l->g_parentGoid),
			      .locked = get(d, l->g_lockedm) != 0,
			      .wait_ns = -1};
	g.gopc -= g.gopc != 0; /* a return address: the call is the byte before it */
	if (status == G_DEAD || status == G_DEADEXTRA || status == G_IDLE)
		return false; /* its stack, if it kept one, is the rest of a stack span */
	if (status == G_SYSCALL) {
		g.sp = get(d, l->g_syscallsp);
		g.pc = get(d, l->g_syscallpc);
	} else if (status != G_RUNNING && status != G_COPYSTACK) {
		g.sp = get(d, l->g_sched_sp);
		g.pc = get(d, l->g_sched_pc);
	}
	if (g.sp < g.stack_lo || g.sp > g.stack_hi)
		g.sp = g.pc = 0;
	int64_t since = (int64_t)get(d, l->g_waitsince);
	if ((status == G_WAITING || status == G_SYSCALL) && since > 0 &&
	    r->s->counters->nanotime > since)
		g.wait_ns = r->s->counters->nanotime - since;
	g.state = state_text(r, status, g.waitreason);
	*ret = g;
	return true;
}

static void take_g(void *ctx, taddr at, const uint8_t *d, bool ok)
{
	struct gs_reader *w = ctx;
	struct reading *r = w->r;
	struct goroutine g;
	if (!ok || r->s->n_goroutines == w->cap) {
		w->torn++;
		return;
	}
	if (!goroutine_decode(r, at, d, &g))
		return;
	if (!in_stack_span(r, g.stack_lo, g.stack_hi) &&
	    !has_own_mapping(r, g.stack_lo, g.stack_hi)) {
		w->torn++;
		return;
	}
	w->running += g.sp == 0;
	uint32_t i = r->s->n_goroutines++;
	r->s->goroutines[i] = g;
	add_stack(r, g.stack_lo, g.stack_hi, g.sp != 0 ? g.sp : g.stack_lo, i, STACK_GOROUTINE);
}

/** The stack of a g that is not a goroutine: g0, gsignal, gcrash. */
static bool os_stack(struct reading *r, taddr g)
{
	const struct layout *l = r->l;
	uint8_t d[1024];
	uint32_t size = MIN(l->g_size.width, sizeof d);
	if (g == 0 || target_read(r->t, g, d, size) != size)
		return false;
	taddr lo = get(d, l->g_stack_lo), hi = get(d, l->g_stack_hi);
	if (hi <= lo)
		return false;
	/* a thread's stack by pthread begins and ends within a page */
	if (in_stack_span(r, lo, hi) || has_own_mapping(r, lo, hi))
		add_stack(r, lo, hi, lo, UINT32_MAX, STACK_OS);
	else
		*VEC_PUSH(r->mem, &r->g0_stacks) = (struct addr_range){lo, hi};
	return true;
}

static void read_threads(struct reading *r, uint32_t cap, uint32_t room)
{
	const struct layout *l = r->l;
	const struct symbols *y = &r->g->sym;
	uint8_t *d = arena_alloc(&r->scratch, l->m_size.width);
	uint64_t at = 0;
	(void)mem_uint(r->t, y->allm, 8, &at, NULL);
	uint32_t n = 0;
	for (; at != 0 && n < MAX_MS && r->s->n_stacks + 2 < cap; n++) {
		if (target_read(r->t, at, d, l->m_size.width) != l->m_size.width)
			break;
		os_stack(r, get(d, l->m_g0));
		os_stack(r, get(d, l->m_gsignal));
		r->s->counters->ncgocall += get(d, l->m_ncgocall);
		if (l->m_createstack.width == sizeof *r->s->create_stacks &&
		    r->s->n_create_stacks < room)
			memcpy(r->s->create_stacks[r->s->n_create_stacks++],
			       d + l->m_createstack.off, l->m_createstack.width);
		at = get(d, l->m_alllink);
	}
	if (at != 0)
		reading_broke(r, "the runtime's list of threads breaks off after %u of them", n);
	os_stack(r, y->gcrash);
}

/** Far more goroutines than the heap has room for are none: each is an object there. */
static uint64_t most_goroutines(const struct reading *r)
{
	const struct heap *h = &r->s->heap;
	bytes sum = 0;
	for (uint32_t i = 0; i < h->n_spans; i++)
		sum += h->spans[i].state == SPAN_HEAP ? span_bytes(&h->spans[i]) : 0;
	return MIN(2 * sum, r->s->os->vm_size) / MAX(r->l->g_size.width, 64U) + (1U << 16);
}

bool read_stacks(struct reading *r, struct err *err)
{
	struct snapshot *s = r->s;
	struct go_slice allgs;
	if (!mem_read(r->t, r->g->sym.allgs, &allgs, sizeof allgs, err))
		return err_in(err, "allgs");
	if (allgs.len > MAX_GS || allgs.len > most_goroutines(r))
		return err_set(err, ERR_FORMAT, "allgs has %llu entries",
			       (unsigned long long)allgs.len);
	struct arena_mark mark = arena_mark(&r->scratch);
	uint32_t n = (uint32_t)allgs.len, threads = 2 * (s->os->n_threads + 256) + 64;
	taddr *at = arena_try(&r->scratch, n, sizeof *at, err);
	if (at == NULL || !mem_read(r->t, allgs.ptr, at, (size_t)n * sizeof *at, err))
		return err_in(err, "allgs");
	s->goroutines = arena_try(r->mem, n, sizeof *s->goroutines, err);
	s->stacks = arena_try(r->mem, (uint64_t)n + threads, sizeof *s->stacks, err);
	s->create_stacks = arena_try(r->mem, threads, sizeof *s->create_stacks, err);
	if (s->goroutines == NULL || s->stacks == NULL || s->create_stacks == NULL)
		return err_in(err, "allgs");
	struct gs_reader w = {.r = r, .cap = n};
	gather(r->t, &r->scratch, at, n, r->l->g_size.width, take_g, &w);
	read_threads(r, n + threads, threads);
	if (w.running > 0)
		note_add(s, false,
			 "%u goroutine%s ran while being read: the whole stack counts as used",
			 w.running, w.running == 1 ? "" : "s");
	if (w.torn > 0)
		note_add(s, false,
			 "%u goroutine%s changed stacks while being read: counted as stack.free",
			 w.torn, w.torn == 1 ? "" : "s");
	arena_reset(&r->scratch, mark);
	return true;
}
