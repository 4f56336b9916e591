/*
 * The C allocator of a process, seen from outside: which one it is, what its memory holds, and the
 * stacks of its threads. glibc is walked chunk by chunk. Of any other allocator only [heap] is
 * known to be its memory. The bytes in use include the allocator's own: headers, arena structs,
 * fence posts.
 */
#include "native/native.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "base/unit.h"
#include "native/glibc.h"

/* Allocators that programs put in the place of libc's, by the names of their libraries. */
static const struct {
	const char *in, *name;
} OTHERS[] = {
	{"libjemalloc", "jemalloc"},	 {"libtcmalloc", "tcmalloc"},
	{"libmimalloc", "mimalloc"},	 {"libsnmalloc", "snmalloc"},
	{"librpmalloc", "rpmalloc"},	 {"libhoard", "Hoard"},
	{"libtbbmalloc", "TBB malloc"},	 {"libscudo", "Scudo"},
	{"libasan", "AddressSanitizer"}, {"libmesh", "Mesh"},
};

#define FIND_TRIES 3
#define STEPS_MAX  ((uint64_t)1 << 29)
#define PEEKS_MAX  ((uint64_t)1 << 20)
#define DARK_MAX   ((uint64_t)256 << 20)
#define FAST_MAX   (2U << 20)

bool untaken_next(const struct native_taken *taken, taddr *at, taddr hi, struct addr_range *ret)
{
	uint32_t lo = 0, n = taken->n;

	while (lo < n) {
		uint32_t mid = (lo + n) / 2;

		if (taken->v[mid].end <= *at)
			lo = mid + 1;
		else
			n = mid;
	}
	for (; lo < taken->n && taken->v[lo].start <= *at; lo++)
		*at = MAX(*at, taken->v[lo].end);
	if (*at >= hi)
		return false;
	ret->start = *at;
	ret->end = lo < taken->n ? MIN(hi, taken->v[lo].start) : hi;
	*at = ret->end;
	return true;
}

bool is_taken(const struct native_taken *taken, taddr lo, taddr hi)
{
	struct addr_range r;
	taddr at = lo;

	return lo < hi && (!untaken_next(taken, &at, hi, &r) || r.start != lo || r.end != hi);
}

/* What the mappings say of the process' C library. */
struct libc {
	const struct mapping *glibc; /* its writable one */
	const char *glibc_path;
	const char *other; /* name of another allocator, or of musl */
	bool heap, exe_data;
	taddr lo, hi; /* where main_arena can lie */
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool name_is_glibc(const char *name)
{
	return strcmp(name, "libc.so.6") == 0 || str_starts(name, "libc.so.6 ") ||
	       (str_starts(name, "libc-2.") && strstr(name, ".so"));
}

/* Writable private mappings of one file, and the anonymous one behind them, its bss. */
static void data_extend(const struct os_facts *os, uint32_t i, struct libc *ret)
{
	const struct mapping *m = &os->maps[i];
	const struct mapping *next = i + 1 < os->n_maps ? m + 1 : NULL;

	if (!ret->hi)
		ret->lo = m->start;
	ret->hi = m->end;
	if (next && next->start == m->end && (next->flags & MAP_WRITE) && next->path[0] == '\0')
		ret->hi = next->end;
}

static void libc_find(const struct os_facts *os, bool cgo, struct libc *ret)
{
	const char *last = "";

	for (uint32_t i = 0; i < os->n_maps; i++) {
		const struct mapping *m = &os->maps[i];
		const char *name;

		if (m->path[0] == '[') {
			ret->heap |= strcmp(m->path, "[heap]") == 0;
			continue;
		}
		if (!(m->flags & MAP_FILE))
			continue;
		name = base_name(m->path);
		if (name_is_glibc(name)) {
			if (!ret->glibc_path)
				ret->glibc_path = m->path;
			if ((m->flags & MAP_WRITE) && strcmp(m->path, ret->glibc_path) == 0)
				data_extend(os, i, ret);
		}
		if (strcmp(m->path, last) == 0)
			continue;
		last = m->path;
		if (str_starts(name, "ld-musl-") || str_starts(name, "libc.musl-"))
			ret->other = "musl";
		for (size_t k = 0; k < ARRAY_LEN(OTHERS); k++) {
			if (str_starts(name, OTHERS[k].in))
				ret->other = OTHERS[k].name;
		}
	}
	if (ret->glibc_path || ret->other || (!ret->heap && !cgo))
		return;
	/* Linked statically, if at all: then its data is the program's own. */
	for (uint32_t i = 0; i < os->n_maps; i++) {
		const struct mapping *m = &os->maps[i];

		if ((m->flags & MAP_FILE) && (m->flags & MAP_WRITE) && os->exe &&
		    str_starts(m->path, os->exe))
			data_extend(os, i, ret);
	}
}

/* Whether [heap] is more than the end of a bss that is spoken for. */
static bool heap_is_free(const struct os_facts *os, const struct native_taken *taken)
{
	struct addr_range heap, piece;
	taddr at;

	if (!heap_range(os, &heap))
		return false;
	at = heap.start;
	return untaken_next(taken, &at, heap.end, &piece);
}

static void arenas_walk(struct walk *w)
{
	lists_probe(w);
	w->cap_fast = FAST_MAX;
	w->fast = arena_try(w->scratch, FAST_MAX, sizeof(*w->fast), NULL);
	if (!w->fast)
		w->cap_fast = 0;
	zones_walk(w);
	lists_walk(w);
}

static int range_cmp(const void *a, const void *b)
{
	const struct native_range *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

/* Regions and chunks as ranges of the snapshot, with their sums. */
static void ranges_make(struct walk *w, struct native *ret)
{
	struct native_range *v = arena_alloc(w->out, sizeof(*v) * (w->zones.n + w->own.n + 1));
	uint32_t n = 0;

	for (uint32_t i = 0; i < w->zones.n; i++) {
		const struct zone *r = &w->zones.v[i];
		uint64_t pages = (r->end - r->start) >> OS_PAGE_SHIFT;
		bytes used = 0, all = r->end - r->start - r->skip;

		v[n] = (struct native_range){
			.start = r->start,
			.end = r->end,
			.used = r->used,
			.kept_top = r->brk ? 0 : r->top,
			.what = r->thread ? 1 : 0,
		};
		if (r->used && r->skip) {
			v[n].mine = ARENA_ARRAY(w->out, uint16_t, pages);
			for (uint64_t k = 0; k < pages; k++)
				v[n].mine[k] = OS_PAGE;
			v[n].mine[0] = (uint16_t)(OS_PAGE - r->skip);
		}
		for (uint64_t k = 0; r->used && k < pages; k++) {
			/* Headers of a changing heap can overlap. */
			uint16_t most = v[n].mine ? v[n].mine[k] : OS_PAGE;

			if (r->used[k] > most)
				r->used[k] = most;
			used += r->used[k];
		}
		if (!r->used)
			used = all;
		ret->used += used;
		ret->free += all - used;
		n++;
	}
	for (uint32_t i = 0; i < w->own.n; i++) {
		v[n++] = (struct native_range){
			.start = w->own.v[i].start, .end = w->own.v[i].end, .what = 2};
		ret->mmapped += w->own.v[i].end - w->own.v[i].start;
	}
	ret->used += ret->mmapped;
	ret->mmapped_chunks = w->own.n;
	qsort(v, n, sizeof(*v), range_cmp);
	for (uint32_t i = 1; i < n; i++)
		assert(v[i].start >= v[i - 1].end);
	ret->ranges = v;
	ret->n_ranges = n;
}

/* [heap] as a whole, of an allocator that is not known. */
static void heap_take(struct walk *w, struct native *ret)
{
	struct addr_range heap, piece;
	taddr at;

	if (!heap_range(w->os, &heap))
		return;
	ret->ranges = ARENA_NEW(w->out, struct native_range);
	at = heap.start;
	while (untaken_next(w->taken, &at, heap.end, &piece)) {
		taddr start = round_up(piece.start, OS_PAGE);

		if (piece.end != heap.end || start >= piece.end)
			continue;
		ret->ranges[0] = (struct native_range){.start = start, .end = piece.end};
		ret->n_ranges = 1;
		ret->used = piece.end - start;
	}
}

/* Stacks that do not lie in malloc's memory: a program may have its stacks from there. */
static void stacks_make(struct walk *w, struct native *ret)
{
	const struct native_taken busy = busy_make(w, false);

	ret->thread_stacks = ARENA_ARRAY(w->out, struct addr_range, w->stacks.n + 1);
	for (uint32_t i = 0; i < w->stacks.n; i++) {
		const struct thread_stack *s = &w->stacks.v[i];

		if (is_taken(&busy, s->start, s->end))
			continue;
		ret->thread_stacks[ret->n_thread_stacks++] = (struct addr_range){s->start, s->end};
		ret->cached_stacks += !s->alive;
	}
}

static void unknown_read(struct walk *w, const char *name, const struct addr_range *g0,
			 uint32_t n_g0, struct native *ret)
{
	ret->kind = NATIVE_UNKNOWN;
	ret->libc = name;
	heap_take(w, ret);
	stacks_find(w, g0, n_g0, false);
	stacks_make(w, ret);
	note_add(w->s, false,
		 "the C allocator%s%s is not one that can be walked: %s its other mappings are "
		 "on the line anon",
		 name[0] ? ", " : "", name[0] ? name : "",
		 ret->n_ranges ? "[heap] counts as in use," : "it has no [heap],");
}

void native_read(struct target *t, const struct native_taken *taken,
		 const struct addr_range *g0_stacks, uint32_t n_g0, struct arena *a,
		 struct snapshot *s, struct native *ret)
{
	CLEANUP(arena_free) struct arena scratch;
	struct libc libc = {0};
	struct walk w = {.t = t,
			 .os = t->os,
			 .s = s,
			 .out = a,
			 .scratch = &scratch,
			 .taken = taken,
			 .steps_left = STEPS_MAX,
			 .peeks_left = PEEKS_MAX,
			 .dark_left = DARK_MAX};
	bool unused = false, found = false;

	*ret = (struct native){.kind = NATIVE_NONE, .libc = ""};
	arena_init(&scratch, 0);
	libc_find(t->os, s->cgo, &libc);
	if (libc.heap)
		libc.heap = heap_is_free(t->os, taken);
	if (!libc.glibc_path && !libc.other && !libc.heap && !s->cgo)
		return;
	w.residency = t->os->residency != RESIDENCY_NONE;
	w.side = (struct window){.buf = arena_alloc(&scratch, WINDOW_SIZE)};
	if (libc.other) {
		unknown_read(&w, libc.other, g0_stacks, n_g0, ret);
		return;
	}
	ret->libc = libc.glibc_path ? libc.glibc_path : "glibc (static)";
	/* An arena that is being made, or a page on its way to another place, hides it for a
	 * moment. */
	for (int i = 0; i < FIND_TRIES; i++) {
		if (i > 0)
			nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
		found = glibc_find(&w, libc.lo, libc.hi, &unused) || unused;
		if (found)
			break;
	}
	if (!found) {
		unknown_read(&w, libc.glibc_path ? libc.glibc_path : "", g0_stacks, n_g0, ret);
		return;
	}
	ret->kind = NATIVE_GLIBC;
	if (w.arenas.n)
		zones_find(&w);
	stacks_find(&w, g0_stacks, n_g0, true);
	if (w.arenas.n) {
		mapped_find(&w);
		if (w.inner_guards || (w.layout && w.layout->n_fast == 0))
			stacks_find_inner(&w);
		arenas_walk(&w);
	}
	ranges_make(&w, ret);
	stacks_make(&w, ret);
	ret->arenas = w.arenas.n;
	ret->tcache_free = w.tcache_free;
	ret->fast_free = w.fast_free;
	ret->top_free = w.top_free;
	ret->chunks_used = w.chunks_used + w.own.n;
	ret->chunks_free = w.chunks_free;
}
