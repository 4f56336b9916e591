/*
 * Stacks of goroutines, unwound with the pclntab's table of stack depths as the runtime does it
 * (traceback.go, unwinder): the return address lies at a known distance from the stack pointer of
 * each frame. And their labels (runtime/pprof/label.go).
 *
 * Nothing is stopped: a parked goroutine may run on while it is read. Its stack counts when its
 * status, pc and sp are the same behind the reading of it; what runs has no stack that could be
 * read, unless --freeze holds its thread.
 */
#include "base/str.h"
#include "goruntime/place.h"
#include "goruntime/rt.h"

#include <assert.h>
#include <string.h>

#define BATCH	       256U
#define CHUNK	       2048U /* of a stack: most are read whole with it */
#define MAX_FRAMES     (1U << 16)
#define MAX_ALL_FRAMES (32U << 20)
#define MAX_ARGS_TEXT  ((bytes)64 << 20) /* as runtime/pprof cuts the whole text */
#define TRACE_TRIES    4U
#define G_SCAN_BIT     0x1000U
#define MAX_ARG_INFO   128U
#define MAX_LABELS     256U
#define MAX_LABEL      4096U

struct labels_known {
	taddr at;
	uint32_t first, n;
};

struct tracer {
	struct reading *r;
	struct pcln *p;
	bool args;
	uint8_t *chunk; /* BATCH × CHUNK */
	VEC(struct trace_frame) frames;
	VEC(const char *) texts; /* arguments, one a frame, where they are asked for */
	bytes text_bytes;
	VEC(struct label) labels;
	VEC(struct labels_known) known;
	uint32_t *known_at, n_known_at; /* by hash of the address: index + 1 */
	uint32_t moved;
};

/* A stack while it is unwound: the part that was read, the rest on demand. */
struct stack_bytes {
	struct target *t;
	taddr at;
	const uint8_t *d;
	uint32_t n;
	taddr hi;
};

static bool stack_read(const struct stack_bytes *s, taddr at, void *to, uint32_t n)
{
	if (at < s->at || at + n > s->hi)
		return false;
	if (s->d && at - s->at + n <= s->n) {
		memcpy(to, s->d + (at - s->at), n);
		return true;
	}
	return target_read(s->t, at, to, n) == n;
}

/* --- arguments, as a traceback prints them (traceback.go, printArgs) --- */

enum { ARG_END = 0xff, ARG_OPEN = 0xfe, ARG_CLOSE = 0xfd, ARG_DOTS = 0xfc, ARG_FAR = 0xfb };

static bool arg_live(struct tracer *w, const struct pcln_unwind *u, uint8_t from, uint8_t off,
		     uint32_t slot)
{
	uint8_t bits;
	if (u->arg_live_info == 0 || u->arg_live_index <= 0 || off < from)
		return true;
	return !pcln_copy(w->p, u->arg_live_info + (uint32_t)u->arg_live_index + slot / 8, &bits,
			  1) ||
	       bits >> (slot % 8) & 1;
}

static const char *args_text(struct tracer *w, const struct pcln_unwind *u,
			     const struct stack_bytes *stack, taddr argp)
{
	uint8_t info[MAX_ARG_INFO], from = 0xff;
	size_t n = 0;
	while (n < sizeof info && pcln_copy(w->p, u->arg_info + n, &info[n], 1) &&
	       info[n++] != ARG_END) {
		/* an offset is followed by a size, which may be any byte */
		if (info[n - 1] < ARG_FAR &&
		    (n == sizeof info || !pcln_copy(w->p, u->arg_info + n, &info[n], 1)))
			break;
		n += info[n - 1] < ARG_FAR;
	}
	if (u->arg_live_info != 0)
		(void)pcln_copy(w->p, u->arg_live_info, &from, 1);
	struct str out = {0};
	bool start = true;
	uint32_t slot = 0;
	for (size_t i = 0; i < n && info[i] != ARG_END; i++) {
		uint8_t op = info[i];
		if (op != ARG_CLOSE && !start)
			str_add(&out, ", ");
		start = false;
		if (op == ARG_OPEN) {
			str_add(&out, "{");
			start = true;
		} else if (op == ARG_CLOSE) {
			str_add(&out, "}");
		} else if (op == ARG_DOTS) {
			str_add(&out, "...");
		} else if (op == ARG_FAR) {
			str_add(&out, "_");
		} else if (i + 1 < n) {
			uint8_t size = info[++i];
			uint64_t v = 0;
			if (!stack_read(stack, argp + op, &v, MIN(size, 8U)))
				v = 0;
			str_addf(&out, "0x%llx%s", (unsigned long long)v,
				 arg_live(w, u, from, op, slot) ? "" : "?");
			slot += op >= from;
		}
	}
	const char *text = out.s != NULL ? arena_strdup(w->r->mem, out.s) : "";
	w->text_bytes += out.n;
	str_free(&out);
	return text;
}

/* --- frames --- */

static bool is_function(struct tracer *w, taddr pc, const char *const *names, uint32_t n)
{
	struct pcln_frame f;
	if (!pcln_func(w->p, pc, &f))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		if (strcmp(f.func, names[i]) == 0)
			return true;
	}
	return false;
}

/**
 * Unwinds from pc and sp. `trap`: the pc is where a thread was interrupted, not a return address;
 * `in_syscall`: pc and sp were saved by entersyscall. False when it breaks off: at no top
 * frame and at none that leaves its stack.
 */
static bool unwind(struct tracer *w, struct goroutine *g, const struct stack_bytes *stack, taddr pc,
		   taddr sp, bool trap, bool in_syscall)
{
	static const char *const injected[] = {"runtime.sigpanic", "runtime.asyncPreempt",
					       "runtime.debugCallV2"};
	static const char *const callback[] = {"runtime.cgocallback"};
	/* before 1.21 only a panic is known to return to where it was injected */
	uint32_t n_injected = w->r->g->release.minor >= 21 ? 3 : 1, n = 0;
	uint32_t first = w->frames.n;
	bool whole = false;
	if (pc == 0) { /* a call of a nil function: its caller */
		if (!stack_read(stack, sp, &pc, 8))
			return false;
		sp += 8;
	}
	while (n < MAX_FRAMES && w->frames.n < MAX_ALL_FRAMES) {
		struct pcln_unwind u;
		if (!pcln_unwind(w->p, pc, pc, &u) || !u.has_sp || u.sp_delta < 0)
			break;
		bool exact = trap || pc <= u.entry;
		if (w->args)
			(void)pcln_unwind(w->p, pc, pc - !exact, &u);
		taddr fp = sp + (uint32_t)u.sp_delta + 8, lr = 0;
		*VEC_PUSH(w->r->mem, &w->frames) = (struct trace_frame){
			.pc = pc, .size = (uint32_t)u.sp_delta + 8, .exact = exact};
		n++;
		if (w->args)
			*VEC_PUSH(w->r->mem, &w->texts) =
				u.arg_info != 0 && w->text_bytes < MAX_ARGS_TEXT
					? args_text(w, &u, stack, fp)
					: "";
		bool writes_sp = u.flag & PCLN_SP_WRITE && !(in_syscall && n == 1) &&
				 !is_function(w, pc, callback, 1);
		whole = u.flag & PCLN_TOP_FRAME || writes_sp;
		if (whole || !stack_read(stack, fp - 8, &lr, 8) || lr == 0 ||
		    (lr == pc && fp == sp))
			break;
		trap = is_function(w, pc, injected, n_injected);
		pc = lr;
		sp = fp;
	}
	g->trace = first;
	g->n_trace = w->frames.n - first;
	return whole;
}

/* --- labels --- */

static bool go_string(struct tracer *w, const uint64_t *word, const char **ret)
{
	char *s;
	if (word[1] > MAX_LABEL ||
	    !mem_string(w->r->t, word[0], (size_t)word[1], MAX_LABEL, w->r->mem, &s, NULL))
		return false;
	*ret = s;
	return true;
}

static void add_one(struct tracer *w, const uint64_t *key, const uint64_t *value)
{
	struct label l;
	if (go_string(w, key, &l.key) && go_string(w, value, &l.value))
		*VEC_PUSH(w->r->mem, &w->labels) = l;
}

/* A map[string]string of before 1.24: runtime/map.go, hmap and bmap. */
static void map_labels(struct tracer *w, taddr map)
{
	struct {
		uint64_t count;
		uint8_t flags, b;
		uint16_t noverflow;
		uint32_t hash0;
		uint64_t buckets, old;
	} h;
	struct {
		uint8_t top[8];
		uint64_t keys[8][2], values[8][2], overflow;
	} b;
	static_assert(sizeof h == 32 && sizeof b == 272, "as the runtime lays them out");
	if (target_read(w->r->t, map, &h, sizeof h) != sizeof h || h.count > MAX_LABELS || h.b > 8)
		return;
	/* while a map grows, part of it is still in its old buckets */
	for (unsigned old = 0; old < 2; old++) {
		taddr v = old ? h.old : h.buckets;
		uint32_t n = 1U << (old && h.b > 0 ? h.b - 1 : h.b), steps = 0;
		for (uint32_t i = 0; v != 0 && i < n; i++) {
			for (taddr at = v + i * sizeof b; at != 0 && steps < 4 * MAX_LABELS;
			     at = b.overflow, steps++) {
				if (target_read(w->r->t, at, &b, sizeof b) != sizeof b)
					return;
				for (unsigned k = 0; k < 8; k++) {
					if (b.top[k] >= 5) /* minTopHash */
						add_one(w, b.keys[k], b.values[k]);
				}
			}
		}
	}
}

static void list_labels(struct tracer *w, const uint64_t *slice)
{
	uint64_t v[MAX_LABELS][4];
	uint32_t n = (uint32_t)MIN(slice[1], MAX_LABELS);
	if (target_read(w->r->t, slice[0], v, n * sizeof *v) != n * sizeof *v)
		return;
	for (uint32_t i = 0; i < n; i++)
		add_one(w, v[i], v[i] + 2);
}

static uint32_t known_slot(const struct tracer *w, taddr at)
{
	uint32_t k = (uint32_t)((at * 0x9E3779B97F4A7C15U) >> 32) & (w->n_known_at - 1);
	while (w->known_at[k] != 0 && w->known.v[w->known_at[k] - 1].at != at)
		k = (k + 1) & (w->n_known_at - 1);
	return k;
}

/* Label sets are shared: a request's goroutines have the same one. */
static void read_labels(struct tracer *w, struct goroutine *g)
{
	uint64_t word[2] = {0};
	if (g->label_set == 0)
		return;
	uint32_t k = known_slot(w, g->label_set);
	if (w->known_at[k] == 0) {
		struct labels_known l = {.at = g->label_set, .first = w->labels.n};
		if (w->r->g->release.minor >= 24) {
			if (target_read(w->r->t, g->label_set, word, 16) == 16)
				list_labels(w, word);
		} else if (mem_uint(w->r->t, g->label_set, 8, &word[0], NULL) && word[0] != 0) {
			map_labels(w, word[0]);
		}
		l.n = w->labels.n - l.first;
		*VEC_PUSH(&w->r->scratch, &w->known) = l;
		w->known_at[k] = w->known.n;
		if (2 * w->known.n >= w->n_known_at) {
			w->n_known_at *= 2;
			w->known_at = ARENA_ARRAY(&w->r->scratch, uint32_t, w->n_known_at);
			for (uint32_t i = 0; i < w->known.n; i++)
				w->known_at[known_slot(w, w->known.v[i].at)] = i + 1;
		}
		k = known_slot(w, g->label_set);
	}
	g->label = w->known.v[w->known_at[k] - 1].first;
	g->n_labels = w->known.v[w->known_at[k] - 1].n;
}

/* --- goroutines --- */

/* Whether the goroutine still stands where it stood when it was listed. */
static bool still_there(const struct tracer *w, const struct goroutine *g, const uint8_t *d)
{
	const struct layout *l = w->r->l;
	uint32_t status = (uint32_t)get(d, l->g_atomicstatus) & ~G_SCAN_BIT;
	bool in_syscall = status == G_SYSCALL;
	return get(d, l->g_goid) == g->goid && get(d, l->g_stack_hi) == g->stack_hi &&
	       (status == g->status || (status == G_WAITING && g->status == G_RUNNABLE) ||
		(status == G_RUNNABLE && g->status == G_WAITING)) &&
	       get(d, in_syscall ? l->g_syscallpc : l->g_sched_pc) == g->pc &&
	       get(d, in_syscall ? l->g_syscallsp : l->g_sched_sp) == g->sp;
}

/* A goroutine that moved: listed anew where it is parked again. */
static bool look_again(struct tracer *w, struct goroutine *g, uint8_t *d)
{
	const struct layout *l = w->r->l;
	struct goroutine now;
	if (target_read(w->r->t, g->addr, d, l->g_size.width) != l->g_size.width ||
	    !goroutine_decode(w->r, g->addr, d, &now) || now.goid != g->goid || now.sp == 0)
		return false;
	*g = now;
	return true;
}

static void trace_parked(struct tracer *w, struct goroutine *g, const uint8_t *chunk, uint32_t n,
			 uint8_t *d, bool read)
{
	uint8_t room[CHUNK];
	for (unsigned k = 0; k < TRACE_TRIES; k++) {
		struct stack_bytes s = {w->r->t, g->sp, chunk, n, g->stack_hi};
		uint32_t frames = w->frames.n, size = w->r->l->g_size.width;
		if (read || (g->sp != 0 &&
			     (n = (uint32_t)target_read(w->r->t, g->sp, room,
							MIN(CHUNK, g->stack_hi - g->sp))) > 0)) {
			if (!read)
				s = (struct stack_bytes){w->r->t, g->sp, room, n, g->stack_hi};
			/* what breaks off was most likely changed meanwhile: foreign frames alone
			 * do so each time */
			bool whole =
				unwind(w, g, &s, g->pc, g->sp, false, g->status == G_SYSCALL) ||
				k + 1 == TRACE_TRIES;
			/* the first chunk was read with others: so is the look back */
			if (!read || n < g->stack_hi - g->sp)
				read = target_read(w->r->t, g->addr, d, size) == size;
			if (whole && read && still_there(w, g, d))
				return;
			w->frames.n = frames;
			w->texts.n = w->args ? frames : 0;
			g->n_trace = 0;
		}
		read = false;
		if (!look_again(w, g, d))
			break;
	}
	w->moved++;
	g->pc = g->sp = 0; /* it runs */
}

/* Where all threads are held, that of a running goroutine has registers. */
static void trace_frozen(struct tracer *w, struct goroutine *g)
{
	const struct os_facts *os = w->r->t->os;
	uint8_t d[1024];
	taddr pc = 0, sp = 0;
	bool trap = true;
	for (uint32_t i = 0; i < os->n_threads; i++) {
		const struct os_thread *t = &os->threads[i];
		if (!t->on_cpu && t->sp >= g->stack_lo && t->sp < g->stack_hi) {
			pc = t->pc;
			sp = t->sp;
		}
	}
	if (sp == 0) { /* on its thread's g0: systemstack has saved where it left */
		const struct layout *l = w->r->l;
		if (target_read(w->r->t, g->addr, d, l->g_size.width) != l->g_size.width)
			return;
		pc = get(d, l->g_sched_pc);
		sp = get(d, l->g_sched_sp);
		trap = false;
		if (sp < g->stack_lo || sp > g->stack_hi)
			return;
	}
	struct stack_bytes s = {w->r->t, sp, NULL, 0, g->stack_hi};
	(void)unwind(w, g, &s, pc, sp, trap, false);
}

static void trace_batch(struct tracer *w, struct goroutine **v, uint32_t n)
{
	struct reading *r = w->r;
	uint32_t size = r->l->g_size.width;
	struct arena_mark mark = arena_mark(&r->scratch);
	struct mem_span *span = ARENA_ARRAY(&r->scratch, struct mem_span, 2 * n);
	uint8_t *again = ARENA_ARRAY(&r->scratch, uint8_t, (size_t)n * size);
	for (uint32_t i = 0; i < n; i++) {
		span[i] = (struct mem_span){.at = v[i]->sp,
					    .dst = w->chunk + (size_t)i * CHUNK,
					    .n = (uint32_t)MIN(CHUNK, v[i]->stack_hi - v[i]->sp)};
		span[n + i] = (struct mem_span){
			.at = v[i]->addr, .dst = again + (size_t)i * size, .n = size};
	}
	mem_read_many(r->t, span, n);
	mem_read_many(r->t, span + n, n);
	for (uint32_t i = 0; i < n; i++)
		trace_parked(w, v[i], span[i].dst, span[i].got, again + (size_t)i * size,
			     span[i].got > 0 && span[n + i].got == size);
	arena_reset(&r->scratch, mark);
}

struct listed {
	taddr at;
	uint32_t i;
};

static int listed_order(const void *a, const void *b)
{
	const struct listed *x = a, *y = b;
	return (x->at > y->at) - (x->at < y->at);
}

/* Where each goroutine stands in allgs, which only grows: the order of tracebacks. */
static void read_order(struct reading *r)
{
	struct snapshot *s = r->s;
	struct go_slice allgs;
	struct arena_mark mark = arena_mark(&r->scratch);
	if (target_read(r->t, r->g->sym.allgs, &allgs, sizeof allgs) != sizeof allgs ||
	    allgs.len > s->os->vm_size / 8)
		return;
	uint32_t n = (uint32_t)allgs.len;
	taddr *at = ARENA_ARRAY(&r->scratch, taddr, n);
	struct listed *v = ARENA_ARRAY(&r->scratch, struct listed, n);
	if (target_read(r->t, allgs.ptr, at, n * sizeof *at) == n * sizeof *at) {
		for (uint32_t i = 0; i < n; i++)
			v[i] = (struct listed){at[i], i};
		if (n > 1)
			qsort(v, n, sizeof *v, listed_order);
		for (uint32_t i = 0; i < s->n_goroutines; i++) {
			struct listed key = {.at = s->goroutines[i].addr};
			const struct listed *f = bsearch(&key, v, n, sizeof *v, listed_order);
			s->goroutines[i].order = f != NULL ? f->i : n;
		}
	}
	arena_reset(&r->scratch, mark);
}

void read_traces(struct reading *r, bool args)
{
	struct snapshot *s = r->s;
	struct goroutine *batch[BATCH];
	uint32_t n = 0;
	struct tracer w = {.r = r, .p = go_pcln(r->g), .args = args, .n_known_at = 256};
	uint64_t shown = 0;
	if (r->g->sym.debug != 0 && r->l->debug_tracebacklabels.width == 4)
		(void)mem_uint(r->t, r->g->sym.debug + r->l->debug_tracebacklabels.off, 4, &shown,
			       NULL);
	s->trace_labels = shown == 1;
	if (w.p == NULL) {
		note_add(s, true, "the pclntab can't be read: stacks of goroutines are missing");
		return;
	}
	s->profile.stack_depth = profile_depth(r);
	read_order(r);
	w.chunk = arena_alloc(&r->scratch, (size_t)BATCH * CHUNK);
	w.known_at = ARENA_ARRAY(&r->scratch, uint32_t, w.n_known_at);
	for (uint32_t i = 0; i < s->n_goroutines; i++) {
		struct goroutine *g = &s->goroutines[i];
		if (g->sp != 0)
			batch[n++] = g;
		else if (r->t->held)
			trace_frozen(&w, g);
		if (n == BATCH || (n > 0 && i + 1 == s->n_goroutines)) {
			trace_batch(&w, batch, n);
			n = 0;
		}
	}
	for (uint32_t i = 0; i < s->n_goroutines; i++)
		read_labels(&w, &s->goroutines[i]);
	s->trace = w.frames.v;
	s->trace_args = w.texts.v;
	s->labels = w.labels.v;
}
