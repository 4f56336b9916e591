/*
 * Causes that lie in the heap's own layout: holes, tails, pages that came back, and what sits in
 * maps and pools; and faults of known releases, which show there.
 */
#include "ledger/cause.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct class_sum {
	bytes holes, tail;
	uint64_t spans, slots, taken;
	unsigned class;
	bytes key; /* what it is sorted by */
};

static int by_key(const void *a, const void *b)
{
	const struct class_sum *x = a, *y = b;

	return (x->key < y->key) - (x->key > y->key);
}

/* Sums of the heap's spans by size class, those with most holes (or tails) first. Returns the bytes
 * in sparse spans' holes. */
static bytes sum_classes(const struct heap *h, bool tails,
			 struct class_sum sum[static GO_SIZE_CLASSES])
{
	bytes sparse = 0;

	memset(sum, 0, sizeof *sum * GO_SIZE_CLASSES);
	for (uint32_t i = 0; i < h->n_spans; i++) {
		const struct span *s = &h->spans[i];
		unsigned class = MIN(s->spanclass >> 1, GO_SIZE_CLASSES - 1),
			 taken = (unsigned)s->live + s->fresh + s->dead;
		if (s->state != SPAN_HEAP)
			continue;
		struct class_sum *c = &sum[class];
		bytes holes = (bytes)(s->nelems - MIN(taken, s->nelems)) * span_elemsize(s);
		*c = (struct class_sum){c->holes + holes,
					c->tail + span_tail(s),
					c->spans + 1,
					c->slots + s->nelems,
					c->taken + taken,
					class,
					0};
		sparse += taken * 4 <= s->nelems ? holes : 0;
	}
	for (unsigned i = 0; i < GO_SIZE_CLASSES; i++)
		sum[i].key = tails ? sum[i].tail : sum[i].holes;
	qsort(sum, GO_SIZE_CLASSES, sizeof *sum, by_key);
	return sparse;
}

static bytes heap_in_use(const struct study *t)
{
	return t->objects + t->l->line[LINE_HEAP_SLOTS].bytes + t->l->line[LINE_HEAP_TAIL].bytes;
}

void cause_fragmentation(struct study *t, struct finding *f)
{
	struct class_sum sum[GO_SIZE_CLASSES];
	bytes holes = cause_line(t, LINE_HEAP_SLOTS), all = t->l->line[LINE_HEAP_SLOTS].bytes,
	      sparse;

	if (!cause_claim(t, f, (int64_t)holes))
		return;
	sparse = sum_classes(&t->s->heap, false, sum);
	cause_evidence(t, f, "%s of free slots in spans in use, of %s in spans (HeapInuse)%s",
		       cause_bytes(t, all), cause_bytes(t, heap_in_use(t)),
		       t->l->residency
			       ? arena_printf(t->a, "; %s of them in memory", cause_bytes(t, holes))
			       : "");
	for (unsigned i = 0; i < 3 && sum[i].holes > sum[0].holes / 20; i++)
		cause_evidence(
			t, f,
			"objects of %u bytes: %s of holes in %s spans, %d %% of the slots taken",
			GO_CLASS_SIZE[sum[i].class], cause_bytes(t, sum[i].holes),
			cause_count(t, sum[i].spans),
			cause_percent((double)sum[i].taken, (double)sum[i].slots));
	if (sparse > 0)
		cause_evidence(t, f, "%s of the holes are in spans that are at most a quarter full",
			       cause_bytes(t, sparse));
	if (sum[0].key > 0)
		f->clause = arena_printf(t->a,
					 "%s of them in spans for objects of %u bytes, %d %% full, "
					 "and Go does not move objects",
					 cause_bytes(t, sum[0].holes), GO_CLASS_SIZE[sum[0].class],
					 cause_percent((double)sum[0].taken, (double)sum[0].slots));
	cause_action(t, f, (int64_t)MIN(sparse, holes),
		     "copy what survived the spike into new objects; whose: "
		     "`whyrss profile --kind fragmentation`\ta copy: %s are live; "
		     "rebuild the map, "
		     "list or cache that holds them, so that whole spans get free",
		     cause_bytes(t, t->l->line[LINE_HEAP_LIVE].bytes));
	cause_action(t, f, 0, "see how full the spans are: `whyrss spans`\tnothing");
	cause_action(t, f, 0,
		     "leave it; allocations of the same sizes fill the holes before the heap "
		     "grows\tnothing");
}

void cause_span_tail(struct study *t, struct finding *f)
{
	struct class_sum sum[GO_SIZE_CLASSES];
	bytes tail = cause_line(t, LINE_HEAP_TAIL);

	if (!cause_claim(t, f, (int64_t)tail))
		return;
	sum_classes(&t->s->heap, true, sum);
	cause_evidence(
		t, f,
		"%s of the spans in use lie behind the last slot or hold bitmaps, %d %% of "
		"HeapInuse",
		cause_bytes(t, t->l->line[LINE_HEAP_TAIL].bytes),
		cause_percent((double)t->l->line[LINE_HEAP_TAIL].bytes, (double)heap_in_use(t)));
	for (unsigned i = 0; i < 3 && sum[i].tail > 0; i++) {
		bytes span = sum[i].spans ? sum[i].tail / sum[i].spans : 0;
		cause_evidence(
			t, f,
			"objects of %u bytes: %s behind the last slot of %s spans, %s in each",
			GO_CLASS_SIZE[sum[i].class], cause_bytes(t, sum[i].tail),
			cause_count(t, sum[i].spans), cause_bytes(t, span));
	}
	if (t->s->heap.large_waste >= MIB)
		cause_evidence(t, f,
			       "large objects are rounded up to pages: %s, which the profile "
			       "counts as in use",
			       cause_bytes(t, t->s->heap.large_waste));
	if (sum[0].tail > 0)
		cause_action(t, f, (int64_t)MIN(sum[0].tail, tail),
			     "make the objects of %u bytes a little smaller\ta change of the "
			     "program; or put several into one array",
			     GO_CLASS_SIZE[sum[0].class]);
}

static void freed_lazily(struct study *t, struct finding *f)
{
	bytes lazy = t->os->lazy_free;

	f->c.title = "heap that Go freed lazily (MADV_FREE)";
	f->clause = "GODEBUG=madvdontneed=0 lets the kernel take it back only when memory is short";
	cause_evidence(
		t, f,
		"GODEBUG=madvdontneed=0: released pages stay in RSS until the kernel needs them%s",
		lazy == UINT64_MAX ? ""
				   : arena_printf(t->a, "; LazyFree is %s", cause_bytes(t, lazy)));
	cause_action(t, f, f->c.bytes,
		     "drop madvdontneed=0 from GODEBUG\tpage faults: when the heap grows again");
	cause_action(t, f, 0, "leave it, and alert on RSS less LazyFree\tnothing");
}

static void in_huge_pages(struct study *t, struct finding *f, bytes huge)
{
	int none = t->os->max_ptes_none;

	f->c.title = "heap that Go returned and that is inside huge pages";
	f->clause = "the kernel puts whole huge pages of 2 MiB over it";
	cause_evidence(t, f,
		       "the process has %s of huge pages; transparent_hugepage/enabled is %s, "
		       "khugepaged/max_ptes_none %s",
		       cause_bytes(t, t->os->huge),
		       *t->os->thp_enabled ? t->os->thp_enabled : "unknown",
		       none < 0 ? "unknown" : arena_printf(t->a, "%d", none));
	cause_action(t, f, (int64_t)huge,
		     "set khugepaged/max_ptes_none to 0\tfewer huge pages on the machine: more TLB "
		     "misses; "
		     "echo 0 > /sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none");
	if (t->s->go_minor > 21 || (t->s->go_minor == 21 && t->s->go_patch >= 6))
		cause_action(t, f, (int64_t)huge,
			     "set GODEBUG=disablethp=1\tTLB misses: no huge pages in this "
			     "program's heap");
}

void cause_released_not_gone(struct study *t, struct finding *f)
{
	bytes held = t->l->line[LINE_HEAP_RELEASED].resident, huge = 0;

	if (!t->l->residency || !cause_claim(t, f, (int64_t)held))
		return;
	for (uint32_t i = 0; i < t->s->heap.n_runs; i++) {
		const struct page_run *r = &t->s->heap.runs[i];
		taddr end = r->start + (bytes)r->npages * GO_PAGE;
		if (r->use == PAGES_RELEASED)
			huge += pages_in(&t->os->pages, r->start, end, PAGE_HUGE);
	}
	cause_evidence(t, f, "HeapReleased = %s; %s of it are in memory, %s of these in huge pages",
		       cause_bytes(t, t->l->line[LINE_HEAP_RELEASED].bytes), cause_bytes(t, held),
		       cause_bytes(t, huge));
	if (t->s->madvdontneed == 0) {
		freed_lazily(t, f);
	} else if (huge > held / 2) {
		in_huge_pages(t, f, huge);
	} else {
		f->c.confidence = LIKELY;
		cause_evidence(t, f,
			       "madvdontneed is not 0, so something touched it again or has locked "
			       "it (mlock)");
	}
}

/* Whether objects that the runtime zeroed and nobody used could be there: all of the large
 * pointerful ones are resident. */
static bytes reach_large_pointers(const struct study *t)
{
	bytes all = 0, in = 0;

	for (uint32_t i = 0; i < t->s->heap.n_spans; i++) {
		const struct span *s = &t->s->heap.spans[i];
		if (s->state != SPAN_HEAP || s->spanclass != 0)
			continue;
		all += span_bytes(s);
		in += pages_in(&t->os->pages, s->start, s->start + span_bytes(s), PAGE_RESIDENT);
	}
	return in >= all / 100 * 98 ? in : 0;
}

static bytes reach_huge(const struct study *t)
{
	return t->os->huge >= t->rss / 20 ? t->l->line[LINE_HEAP_RELEASED].resident : 0;
}

/** A fault of Go releases that shows as RSS; `reach` bounds what it can be here, 0 rules it out. */
static const struct {
	int minor, from, to; /* go1.minor.from … go1.minor.to */
	const char *issue, *what;
	bytes (*reach)(const struct study *t);
} FAULTS[] = {
	/* Up to 1.21.3 the runtime itself asked for huge pages, which fill released holes. */
	{21, 0, 3, "go#64332",
	 "the runtime asks for huge pages, and they fill what it has returned", reach_huge},
	/* The zeroing of large objects with pointers is in mallocgcLarge of 1.24.0 … 1.24.5, and
	   not in 1.24.13 and 1.25. */
	{24, 0, 5, "go#72991",
	 "large objects with pointers are zeroed even on fresh pages, so all of their pages get "
	 "resident",
	 reach_large_pointers},
};

void cause_regression(struct study *t, struct finding *f)
{
	for (size_t i = 0; i < ARRAY_LEN(FAULTS); i++) {
		bytes most = 0;
		if (t->s->go_minor == FAULTS[i].minor && t->s->go_patch >= FAULTS[i].from &&
		    t->s->go_patch <= FAULTS[i].to && t->l->residency)
			most = FAULTS[i].reach(t);
		if (most < 8 * MIB || most < t->rss / 10)
			continue;
		f->told = true;
		f->c.confidence = POSSIBLE;
		f->c.title = arena_printf(t->a, "a known fault of %s (%s)", t->s->go_version,
					  FAULTS[i].issue);
		f->clause = FAULTS[i].what;
		cause_evidence(t, f, "%s: %s; at most %s here", FAULTS[i].issue, FAULTS[i].what,
			       cause_bytes(t, most));
		cause_action(t, f, 0,
			     "build with the newest Go 1.%d or a later release\ta new build",
			     FAULTS[i].minor);
	}
}

static bool starts_with_any(const char *s, const char *const *prefix, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strncmp(s, prefix[i], strlen(prefix[i])))
			return true;
	return false;
}

/* The function that grew a map, when the stack of this bucket is that of a map's table; NULL: it is
 * not. */
static const char *map_user(const struct study *t, const struct mem_bucket *b)
{
	static const char *const MAPS[] = {"internal/runtime/maps.",  "runtime.mapassign",
					   "runtime.hashGrow",	      "runtime.growWork",
					   "runtime.makeBucketArray", "runtime.makemap"};
	static const char *const RUNTIME[] = {"runtime.", "internal/runtime/"};
	bool map = false;

	for (uint32_t i = 0; i < b->nstk && b->stk + i < t->s->profile.n_pcs; i++) {
		const char *func = t->s->place(t->s, t->s->profile.pcs[b->stk + i] - 1).func;
		map |= starts_with_any(func, MAPS, ARRAY_LEN(MAPS));
		if (!starts_with_any(func, RUNTIME, ARRAY_LEN(RUNTIME)))
			return map ? func : NULL;
	}
	return NULL;
}

void cause_map_never_shrinks(struct study *t, struct finding *f)
{
	const struct profile *p = &t->s->profile;
	double sum = 0, most = 0;
	const char *who = "", *user;

	for (uint32_t i = 0; t->s->place && i < p->n_buckets; i++) {
		const struct mem_bucket *b = &p->buckets[i];
		double seen = p->rate > 1 ? -expm1(-(double)b->size / (double)p->rate) : 1;
		double n = b->size == 0 ? 0
					: ((double)b->allocs - (double)b->frees) * (double)b->size /
						  seen;
		/* A table that matters is large: this also keeps the number of lookups small. */
		if (n < (double)p->inuse_space / 100 || !(user = map_user(t, b)))
			continue;
		sum += n;
		if (n > most) {
			most = n;
			who = user;
		}
	}
	if (sum < (double)p->inuse_space / 2 || sum < 16.0 * (double)MIB || sum > 1e18 ||
	    !cause_claim(t, f, (int64_t)sum))
		return;
	f->c.confidence = POSSIBLE;
	f->c.title = arena_printf(t->a, "tables of maps, most of them filled by %s", who);
	f->clause = "a map never gives back the room that it has grown to, so see how many entries "
		    "are left";
	cause_evidence(t, f,
		       "%s of the profile's %s are tables of maps, the largest part grown in %s",
		       cause_bytes(t, (bytes)sum), cause_bytes(t, (bytes)p->inuse_space), who);
	cause_evidence(t, f,
		       "how full they are cannot be seen here: compare len(map) times the size of "
		       "an entry with it");
	cause_action(t, f, 0,
		     "copy what is left into a new map\ta copy of what is left; useless if the map "
		     "is full");
}

void cause_pool(struct study *t, struct finding *f)
{
	bytes n = t->s->pool_bytes;

	if (n > INT64_MAX || n < 16 * MIB || n < t->rss / 10)
		return;
	cause_claim(t, f, (int64_t)n);
	f->told = true; /* however large the gap is */
	cause_evidence(
		t, f,
		"%s are reachable from sync.Pool alone or first; the profile counts them as in use",
		cause_bytes(t, n));
	cause_action(t, f, (int64_t)n,
		     "check cap() before Put, and drop buffers that are larger than usual\tnew "
		     "allocations when they are needed");
}

/* Who allocated most of the objects of this size, by the profile, which keeps sizes as they are
 * rounded up; NULL: not known. */
static const char *allocated_in(const struct study *t, bytes size)
{
	const struct profile *p = &t->s->profile;
	const struct mem_bucket *most = NULL;

	for (uint32_t i = 0; i < p->n_buckets; i++) {
		const struct mem_bucket *b = &p->buckets[i];
		if (b->size == size && b->allocs > b->frees &&
		    (!most || b->allocs - b->frees > most->allocs - most->frees))
			most = b;
	}
	for (uint32_t i = 0; t->s->place && most && i < most->nstk; i++) {
		const char *func;
		if (most->stk + i >= p->n_pcs)
			break;
		func = t->s->place(t->s, p->pcs[most->stk + i] - 1).func;
		if (*func && strncmp(func, "runtime.", 8) && strncmp(func, "strings.", 8) &&
		    strncmp(func, "bytes.", 6) && strncmp(func, "internal/", 9))
			return func;
	}
	return NULL;
}

void cause_small_view_pins_big_array(struct study *t, struct finding *f)
{
	const struct small_views *v = &t->s->small_views;
	const char *who;

	if (v->unseen < 16 * MIB || v->unseen < t->rss / 10)
		return;
	cause_claim(t, f, (int64_t)v->unseen);
	f->told = true; /* however large the gap is */
	f->c.confidence = v->growable > v->unseen / 4 * 3 ? POSSIBLE : LIKELY;
	f->clause = arena_printf(t->a, "%s that no code can reach any more; copy what is kept",
				 cause_bytes(t, v->unseen));
	who = allocated_in(t, v->example.size);
	cause_evidence(t, f,
		       "%s live objects without pointers, %s, are reached only by slices or "
		       "substrings that cover a small part of them",
		       cause_count(t, v->objects), cause_bytes(t, v->size));
	cause_evidence(
		t, f, "these %s small views show %s in all; %s in memory are out of their reach",
		cause_count(t, v->views), cause_bytes(t, v->seen), cause_bytes(t, v->unseen));
	cause_evidence(t, f, "one of them: %s, of which %s are in use%s",
		       cause_bytes(t, v->example.size), cause_bytes(t, v->example.seen),
		       who ? arena_printf(t->a, "; most of this size are allocated in %s", who)
			   : "");
	if (v->growable)
		cause_evidence(t, f,
			       "of %s the capacity of a slice goes on to the end, so that append "
			       "could still use them",
			       cause_bytes(t, v->growable));
	cause_evidence(t, f,
		       "memory has no types: words that look like a slice or a string were taken "
		       "for one, all other pointers for uses of the whole object");
	cause_action(t, f, (int64_t)v->unseen,
		     "copy what is kept: strings.Clone for substrings, bytes.Clone or "
		     "slices.Clone for slices\tone small allocation and a copy of each, %s in all",
		     cause_bytes(t, v->seen));
}
