/*
 * What no endpoint can tell: all of RSS as one profile (memory_space), the memory of goroutine
 * stacks by frame (stack_space), and whose objects keep holes resident (hole_space).
 *
 * A sampled allocation stands for 1/p others, as everywhere in heap profiles. Here the total of
 * each size class is known besides, from the spans, so that a class' bytes are shared among its
 * samples in proportion to what they stand for (a ratio estimate, stratified by size class): the
 * profile adds up to what is in memory, and no class can be over- or underestimated. A class
 * without any sample stays without a call site and says so.
 *
 * go#79179 proposes memory_space for the runtime itself: virtual frames at the root say what the
 * memory is for.
 */
#include "view/prof_build.h"
#include "view/prof_records.h"

#include <stdlib.h>
#include <string.h>

#include "ledger/ledger.h"
#include "snapshot/sampling.h"

#define NOT_SAMPLED "(no sample in this size class)"

/* Small classes one by one, large objects by the power of two of their pages. */
enum { STRATA = GO_SIZE_CLASSES + 34, KINDS = 5 };

static uint32_t stratum_of(const struct span *s)
{
	uint32_t class = s->spanclass >> 1;

	if (class != 0 && class < GO_SIZE_CLASSES && !(s->flags & SPAN_USER_ARENA))
		return class;
	return GO_SIZE_CLASSES + 31U - (uint32_t)__builtin_clz(s->npages | 1);
}

struct space {
	const struct snapshot *s;
	struct arena *mem;
	bytes heap[KINDS][STRATA]; /* resident, by line − LINE_HEAP_LIVE */
	bytes plain[N_LINES];
	bytes *hole;  /* resident holes of each span */
	bytes *stack; /* resident of each entry of s->stacks, used then spare */
	bytes *map;   /* resident of each mapping and line MAP_LINES */
	const struct stack **by_lo;
	uint32_t hint;
};

static int stack_order(const void *a, const void *b)
{
	const struct stack *x = *(const struct stack *const *)a,
			   *y = *(const struct stack *const *)b;

	return (x->lo > y->lo) - (x->lo < y->lo);
}

static uint32_t stack_find(const struct space *w, taddr at)
{
	uint32_t lo = 0, hi = w->s->n_stacks;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (w->by_lo[mid]->hi <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < w->s->n_stacks && at >= w->by_lo[lo]->lo
		       ? (uint32_t)(w->by_lo[lo] - w->s->stacks)
		       : UINT32_MAX;
}

/* Lines whose bytes are told apart by the mapping that they lie in. */
static const enum line_id MAP_LINES[] = {LINE_LIBS, LINE_FILES, LINE_SHM, LINE_ANON, LINE_KERNEL};

static uint32_t map_line(enum line_id line)
{
	uint32_t k = 0;

	while (k < ARRAY_LEN(MAP_LINES) && MAP_LINES[k] != line)
		k++;
	return k;
}

static void hear(void *ctx, enum line_id line, taddr start, taddr end, bytes resident)
{
	struct space *w = ctx;
	uint32_t k;

	(void)end;
	if (line <= LINE_HEAP_TAIL) {
		const struct span *s = span_find(&w->s->heap, start);

		if (!s) { /* cannot be: the claims are spans */
			w->plain[line] += resident;
			return;
		}
		w->heap[line][stratum_of(s)] += resident;
		if (line == LINE_HEAP_SLOTS)
			w->hole[s - w->s->heap.spans] += resident;
		return;
	}
	if ((line == LINE_STACK_USED || line == LINE_STACK_SPARE) &&
	    (k = stack_find(w, start)) != UINT32_MAX) {
		w->stack[2 * k + (line == LINE_STACK_SPARE)] += resident;
		return;
	}
	k = map_line(line);
	if (k < ARRAY_LEN(MAP_LINES)) {
		const struct mapping *m = map_find(w->s->os, start);

		if (m) {
			w->map[(size_t)(m - w->s->os->maps) * ARRAY_LEN(MAP_LINES) + k] += resident;
			return;
		}
	}
	w->plain[line] += resident;
}

static void listen(struct space *w, const struct snapshot *s, struct arena *a, struct ledger *l)
{
	*w = (struct space){.s = s, .mem = a};
	w->hole = ARENA_ARRAY(a, bytes, s->heap.n_spans);
	w->stack = ARENA_ARRAY(a, bytes, 2 * (size_t)s->n_stacks);
	w->map = ARENA_ARRAY(a, bytes, s->os->n_maps * ARRAY_LEN(MAP_LINES));
	w->by_lo = ARENA_ARRAY(a, const struct stack *, s->n_stacks);
	for (uint32_t i = 0; i < s->n_stacks; i++)
		w->by_lo[i] = &s->stacks[i];
	if (s->n_stacks > 1)
		qsort(w->by_lo, s->n_stacks, sizeof(*w->by_lo), stack_order);
	ledger_build(s, a, hear, w, l);
}

/* --- what samples stand for --- */

struct weighted {
	uint32_t bucket, stratum;
	uint8_t kind; /* enum slot_kind of the sample */
	double weight, holes;
	bytes charged; /* holes that lie in its own span */
};

/* What one object of a size stands for. */
static double multiplier(const struct snapshot *s, uint64_t size)
{
	int64_t count, bytes_;

	sample_scale(1, (int64_t)MIN(size, (uint64_t)INT64_MAX / 2), s->profile.rate, &count,
		     &bytes_);
	return size ? (double)bytes_ / (double)size : 1;
}

static struct weighted *weigh(const struct space *w, uint32_t *ret_n)
{
	const struct snapshot *s = w->s;
	struct weighted *v = ARENA_ARRAY(w->mem, struct weighted, s->n_sampled);
	uint32_t *in_span = ARENA_ARRAY(w->mem, uint32_t, s->heap.n_spans);
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n_sampled; i++)
		in_span[s->sampled[i].span]++;
	for (uint32_t i = 0; i < s->n_sampled; i++) {
		const struct sampled *x = &s->sampled[i];
		const struct span *p = &s->heap.spans[x->span];
		bytes elem = span_elemsize(p);
		enum slot_kind kind = span_slot(&s->heap, p, (uint32_t)((x->at - p->start) / elem));
		double m = multiplier(s, s->profile.buckets[x->bucket].size);
		uint32_t objects = (uint32_t)p->live + p->fresh + p->dead;

		if (kind == SLOT_HOLE || p->state != SPAN_HEAP)
			continue; /* swept meanwhile */
		v[n++] = (struct weighted){
			.bucket = x->bucket,
			.stratum = stratum_of(p),
			.kind = (uint8_t)kind,
			.weight = m * (double)pages_in(&s->os->pages, x->at, x->at + elem,
						       PAGE_RESIDENT),
			.holes = objects ? m * (double)w->hole[x->span] / objects : 0,
			.charged = w->hole[x->span] / in_span[x->span],
		};
	}
	*ret_n = n;
	return v;
}

static int weighted_order(const void *a, const void *b)
{
	const struct weighted *x = a, *y = b;

	if (x->stratum != y->stratum)
		return x->stratum < y->stratum ? -1 : 1;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return (x->bucket > y->bucket) - (x->bucket < y->bucket);
}

/* --- samples --- */

static void add_site(struct prof_builder *b, const struct mem_bucket *m)
{
	const taddr *stk = b->s->profile.pcs + m->stk;
	uint32_t skip = 0;
	struct code_frame f;

	while (skip < m->nstk && b->s->frames(b->s, stk[skip], &f, 1) != 0 &&
	       prof_is_runtime(b->s, f.symbol))
		skip++;
	if (skip == m->nstk)
		skip = 0;
	(void)prof_add_stack(b, stk + skip, m->nstk - skip);
}

/* "heap: live objects" are two frames, the general one at the root. */
static void add_root(struct prof_builder *b, const char *title)
{
	const char *colon = strstr(title, ": ");
	char root[64];

	if (!colon || (size_t)(colon - title) >= sizeof(root)) {
		prof_add_name(b, title);
		return;
	}
	memcpy(root, title, (size_t)(colon - title));
	root[colon - title] = '\0';
	prof_add_name(b, colon + 2);
	prof_add_name(b, root);
}

static void end_sample(struct prof_builder *b, bytes n, bytes size)
{
	const int64_t v = (int64_t)n;

	if (size)
		prof_add_number(b, "bytes", (int64_t)size, "bytes");
	prof_add_sample(b, &v);
}

static bytes stratum_size(uint32_t stratum)
{
	return stratum < GO_SIZE_CLASSES ? GO_CLASS_SIZE[stratum] : 0;
}

/* Shares `total` among v[0 … n] by weight; the rest of each division goes on to the next. */
static void share(struct prof_builder *b, const struct weighted *v, uint32_t n, bytes total,
		  double sum, bool holes, const char *title)
{
	bytes given = 0;
	double seen = 0;

	for (uint32_t i = 0, k; i < n; i = k) {
		bytes upto;

		for (k = i; k < n && v[k].bucket == v[i].bucket; k++)
			seen += holes ? v[k].holes : v[k].weight;
		upto = k == n ? total : MIN(total, (bytes)((double)total * (seen / sum)));
		upto = MAX(upto, given);
		if (upto > given) {
			add_site(b, &b->s->profile.buckets[v[i].bucket]);
			add_root(b, title);
			end_sample(b, upto - given, stratum_size(v[i].stratum));
		}
		given = upto;
	}
}

/* A line of the heap by call site, size class for size class. */
static void add_heap_line(struct prof_builder *b, const struct space *w, enum line_id line,
			  const struct weighted *v, uint32_t n)
{
	uint32_t i = 0;

	for (uint32_t stratum = 0; stratum < STRATA; stratum++) {
		uint32_t from;
		bytes total = w->heap[line][stratum];
		double sum = 0;

		while (i < n && (v[i].stratum < stratum ||
				 (v[i].stratum == stratum && v[i].kind < (uint8_t)line)))
			i++;
		for (from = i; i < n && v[i].stratum == stratum && v[i].kind == (uint8_t)line; i++)
			sum += v[i].weight;
		if (total == 0)
			continue;
		if (sum > 0) {
			share(b, v + from, i - from, total, sum, false, LINES[line].title);
		} else {
			prof_add_name(b, NOT_SAMPLED);
			add_root(b, LINES[line].title);
			end_sample(b, total, stratum_size(stratum));
		}
	}
}
_Static_assert((int)LINE_HEAP_LIVE == (int)SLOT_LIVE && (int)LINE_HEAP_NEW == (int)SLOT_NEW &&
		       (int)LINE_HEAP_DEAD == (int)SLOT_DEAD &&
		       (int)LINE_HEAP_SLOTS == (int)SLOT_HOLE && (int)LINE_HEAP_TAIL == KINDS - 1,
	       "the heap's lines are the kinds of slots, and tails");

/* Stacks by the function that runs on them and the one that started it. */
static void add_stacks(struct prof_builder *b, const struct space *w)
{
	const struct snapshot *s = w->s;

	for (uint32_t i = 0; i < s->n_stacks; i++) {
		const struct stack *k = &s->stacks[i];
		const struct goroutine *g = k->g < s->n_goroutines ? &s->goroutines[k->g] : NULL;

		for (unsigned spare = 0; spare < 2; spare++) {
			if (w->stack[2 * i + spare] == 0)
				continue;
			if (g) {
				taddr pc[2] = {g->startpc + 1, g->gopc + 1};

				(void)prof_add_stack(b, pc, g->gopc ? 2 : 1);
			}
			add_root(b, LINES[spare ? LINE_STACK_SPARE : LINE_STACK_USED].title);
			end_sample(b, w->stack[2 * i + spare], 0);
		}
	}
}

static void build_space(const struct snapshot *s, struct arena *a, struct pprof *ret)
{
	static const char *const types[][2] = {{"memory_space", "bytes"}};
	struct prof_builder *b = prof_begin(s, a, ret, types, 1);
	struct space *w = ARENA_NEW(a, struct space);
	struct ledger *l = ARENA_NEW(a, struct ledger);
	struct weighted *v;
	bytes done[N_LINES] = {0};
	uint32_t n;

	b->build.keep_equal = false;
	ret->period_type =
		(struct pprof_value_type){pprof_str(ret, "space"), pprof_str(ret, "bytes")};
	ret->period = s->profile.rate;
	listen(w, s, a, l);
	v = weigh(w, &n);
	if (n > 1)
		qsort(v, n, sizeof(*v), weighted_order);
	for (enum line_id line = LINE_HEAP_LIVE; line <= LINE_HEAP_DEAD; line++)
		add_heap_line(b, w, line, v, n);
	for (enum line_id line = LINE_HEAP_SLOTS; line <= LINE_HEAP_TAIL; line++) {
		for (uint32_t i = 0; i < STRATA; i++) {
			if (w->heap[line][i] == 0)
				continue;
			add_root(b, LINES[line].title);
			end_sample(b, w->heap[line][i], stratum_size(i));
		}
	}
	for (enum line_id line = LINE_HEAP_LIVE; line <= LINE_HEAP_TAIL; line++)
		for (uint32_t i = 0; i < STRATA; i++)
			done[line] += w->heap[line][i];
	add_stacks(b, w);
	for (uint32_t i = 0; i < s->n_stacks; i++) {
		done[LINE_STACK_USED] += w->stack[2 * i];
		done[LINE_STACK_SPARE] += w->stack[2 * i + 1];
	}
	for (uint32_t i = 0; i < s->os->n_maps; i++) {
		for (uint32_t k = 0; k < ARRAY_LEN(MAP_LINES); k++) {
			bytes m = w->map[i * ARRAY_LEN(MAP_LINES) + k];

			if (m == 0)
				continue;
			if (*s->os->maps[i].path)
				prof_add_name(b, s->os->maps[i].path);
			add_root(b, LINES[MAP_LINES[k]].title);
			end_sample(b, m, 0);
			done[MAP_LINES[k]] += m;
		}
	}
	/* all else as the ledger has it: what is left of each line */
	for (uint32_t i = 0; i < N_LINES; i++) {
		if (l->line[i].resident <= done[i])
			continue;
		add_root(b, LINES[i].title);
		end_sample(b, l->line[i].resident - done[i], 0);
	}
	prof_end(b);
}

/* --- fragmentation --- */

static void build_fragmentation(const struct snapshot *s, struct arena *a, struct pprof *ret)
{
	static const char *const types[][2] = {{"sampled_hole_space", "bytes"},
					       {"hole_space", "bytes"}};
	static const char title[] = "heap: holes in spans in use";
	struct prof_builder *b = prof_begin(s, a, ret, types, 2);
	struct space *w = ARENA_NEW(a, struct space);
	struct ledger *l = ARENA_NEW(a, struct ledger);
	struct weighted *v;
	uint32_t n, i = 0;
	bytes charged_all = 0;

	b->build.keep_equal = false;
	ret->default_type = pprof_str(ret, "hole_space");
	ret->period_type =
		(struct pprof_value_type){pprof_str(ret, "space"), pprof_str(ret, "bytes")};
	ret->period = s->profile.rate;
	listen(w, s, a, l);
	v = weigh(w, &n);
	for (uint32_t k = 0; k < n; k++)
		v[k].kind = 0; /* whatever the object is: it holds the span */
	if (n > 1)
		qsort(v, n, sizeof(*v), weighted_order);
	for (uint32_t stratum = 0; stratum < STRATA; stratum++) {
		bytes total = w->heap[LINE_HEAP_SLOTS][stratum], given = 0;
		double sum = 0, seen = 0;
		uint32_t from = i;

		for (; i < n && v[i].stratum == stratum; i++)
			sum += v[i].holes;
		for (uint32_t j = from, k; j < i; j = k) {
			bytes charged = 0, upto;
			int64_t values[2];

			for (k = j; k < i && v[k].bucket == v[j].bucket; k++) {
				charged += v[k].charged;
				seen += v[k].holes;
			}
			upto = sum > 0 ? MIN(total, (bytes)((double)total * (seen / sum))) : 0;
			upto = k == i && sum > 0 ? total : MAX(upto, given);
			values[0] = (int64_t)charged;
			values[1] = (int64_t)(upto - given);
			charged_all += charged;
			given = upto;
			if (values[0] == 0 && values[1] == 0)
				continue;
			add_site(b, &s->profile.buckets[v[j].bucket]);
			add_root(b, title);
			if (stratum_size(stratum))
				prof_add_number(b, "bytes", (int64_t)stratum_size(stratum),
						"bytes");
			prof_add_sample(b, values);
		}
		if (given < total) {
			const int64_t values[2] = {0, (int64_t)(total - given)};

			prof_add_name(b, NOT_SAMPLED);
			add_root(b, title);
			if (stratum_size(stratum))
				prof_add_number(b, "bytes", (int64_t)stratum_size(stratum),
						"bytes");
			prof_add_sample(b, values);
		}
	}
	if (charged_all < l->line[LINE_HEAP_SLOTS].resident) {
		const int64_t values[2] = {
			(int64_t)(l->line[LINE_HEAP_SLOTS].resident - charged_all), 0};

		prof_add_name(b, "(unattributed: no sampled object in the span)");
		add_root(b, title);
		prof_add_sample(b, values);
	}
	prof_end(b);
}

/* --- stacks --- */

/* Goroutines with equal frames, next to each other. */
static int trace_order(const void *a, const void *b, void *ctx)
{
	const struct snapshot *s = ctx;
	const struct goroutine *x = &s->goroutines[(*(const struct stack *const *)a)->g],
			       *y = &s->goroutines[(*(const struct stack *const *)b)->g];

	if (x->n_trace != y->n_trace)
		return x->n_trace < y->n_trace ? -1 : 1;
	if (x->n_trace == 0)
		return (x->startpc > y->startpc) - (x->startpc < y->startpc);
	return memcmp(&s->trace[x->trace], &s->trace[y->trace], x->n_trace * sizeof(*s->trace));
}

/* The stacks of `count` goroutines that stand in the same place: each frame has its own bytes, the
 * outermost one also what lies above it. */
static void add_frames(struct prof_builder *b, const struct goroutine *g, uint32_t count,
		       bytes used, bytes spare)
{
	const struct snapshot *s = b->s;
	taddr stk[PROF_DEPTH], start = g->startpc + 1;
	uint32_t at[2 * PROF_DEPTH], frames = 0, n;

	if (g->n_trace == 0) {
		prof_add_name(b, "(running: how much is used is not known)");
		(void)prof_add_stack(b, &start, 1);
		end_sample(b, used + spare, 0);
		return;
	}
	n = goroutine_frames(s, g, stk, PROF_DEPTH, at, &frames);
	for (uint32_t j = 0; j < frames; j++) {
		bool last = j + 1 == frames;
		bytes size = MIN(used, (bytes)s->trace[g->trace + j].size * count);

		if (prof_add_stack(b, stk + at[j], n - at[j]) == 0)
			prof_add_name(b, "runtime.goexit"); /* which no stack shows */
		end_sample(b, last ? used : size, 0);
		used -= size;
	}
	if (spare > 0) {
		prof_add_name(b, "(spare: below the stack pointer)");
		(void)prof_add_stack(b, &start, 1);
		end_sample(b, spare, 0);
	}
}

static void build_stacks(const struct snapshot *s, struct arena *a, struct pprof *ret)
{
	static const char *const types[][2] = {{"stack_space", "bytes"}};
	struct prof_builder *b = prof_begin(s, a, ret, types, 1);
	const struct stack **v = ARENA_ARRAY(a, const struct stack *, s->n_stacks);
	bytes in_stacks = 0, spans = 0, threads = 0;
	uint32_t n = 0;

	b->build.keep_equal = false;
	ret->period_type =
		(struct pprof_value_type){pprof_str(ret, "stack_space"), pprof_str(ret, "bytes")};
	ret->period = 1;
	for (uint32_t i = 0; i < s->n_stacks; i++) {
		const struct stack *k = &s->stacks[i];

		if (!k->in_heap && k->use != STACK_GOROUTINE)
			continue;
		in_stacks += k->in_heap ? k->hi - k->lo : 0;
		if (k->g < s->n_goroutines)
			v[n++] = k;
		else
			threads += k->hi - k->lo;
	}
	if (n > 1)
		qsort_r(v, n, sizeof(*v), trace_order, (void *)(uintptr_t)s);
	for (uint32_t i = 0, k; i < n; i = k) {
		bytes used = 0, spare = 0;

		for (k = i;
		     k < n && (k == i || trace_order(&v[i], &v[k], (void *)(uintptr_t)s) == 0);
		     k++) {
			const struct goroutine *g = &s->goroutines[v[k]->g];
			taddr sp = g->n_trace && g->sp > v[k]->lo && g->sp <= v[k]->hi ? g->sp
										       : v[k]->sp;

			used += v[k]->hi - sp;
			spare += sp - v[k]->lo;
		}
		add_frames(b, &s->goroutines[v[i]->g], k - i, used, spare);
	}
	if (threads > 0) {
		prof_add_name(b, LINES[LINE_STACK_OS].title);
		end_sample(b, threads, 0);
	}
	for (uint32_t i = 0; i < s->heap.n_spans; i++)
		if (s->heap.spans[i].state == SPAN_STACK)
			spans += span_bytes(&s->heap.spans[i]);
	if (spans > in_stacks) {
		prof_add_name(b, LINES[LINE_STACK_FREE].title);
		end_sample(b, spans - in_stacks, 0);
	}
	prof_end(b);
}

bool prof_build_space(const struct snapshot *s, const struct prof_request *q, struct arena *a,
		      struct pprof *ret, struct err *err)
{
	if (q->kind != PROF_STACKS && s->os->residency == RESIDENCY_NONE)
		return err_set(err, ERR_FORMAT,
			       "--kind %s: which pages were in memory is not known here; take "
			       "heap, or the process itself",
			       PROF_KIND[q->kind].name);
	if (q->kind == PROF_SPACE)
		build_space(s, a, ret);
	else if (q->kind == PROF_STACKS)
		build_stacks(s, a, ret);
	else
		build_fragmentation(s, a, ret);
	return true;
}
