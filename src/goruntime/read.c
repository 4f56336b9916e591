/*
 * One snapshot: facts of the OS, then the runtime, then the same state words again. When a GC cycle
 * began or ended in between, mark bits may be another cycle's, so all is read again; a program that
 * collects faster than it can be read gets the last try's answer with a note and its skew.
 */
#include "base/clock.h"
#include "goruntime/place.h"
#include "goruntime/rt.h"
#include "goruntime/saved.h"
#include "native/native.h"

#include <string.h>
#include <time.h>

#define TRIES	   6U /* of a process; what does not move is read once */
#define MANY_PAGES 4U /* without an owner: worth another try */

static int image_order(const void *a, const void *b)
{
	const struct image_range *x = a, *y = b;
	return (x->start > y->start) - (x->start < y->start);
}

static void take_images(struct reading *r)
{
	struct snapshot *s = r->s;
	const struct go_session *g = r->g;
	uint32_t n = 0;
	for (uint32_t i = 0; i < g->n_images; i++)
		n += g->images[i].n_ranges;
	s->images = ARENA_ARRAY(r->mem, struct image_range, n);
	s->others = ARENA_ARRAY(r->mem, struct go_module, g->n_images);
	for (uint32_t i = 0; i < g->n_images; i++) {
		const struct image_file *f = &g->images[i];
		for (uint32_t k = 0; k < f->n_ranges; k++) {
			s->images[s->n_images] = f->ranges[k];
			if (f != g->main)
				s->images[s->n_images].part = IMAGE_LIB;
			s->n_images++;
		}
		if (f->go && f != g->main && f->own_runtime)
			s->others[s->n_others++] = (struct go_module){
				.path = f->path, .version = f->version, .base = f->bias};
	}
	qsort(s->images, s->n_images, sizeof *s->images, image_order);
	s->module = (struct go_module){
		.path = g->main->path, .version = g->release.text, .base = g->main->bias};
}

/** Mappings of code, in the selection of runtime/pprof (proto.go, parseProcSelfMaps). */
static void take_exec_maps(struct reading *r)
{
	struct snapshot *s = r->s;
	const struct go_session *g = r->g;
	s->exec_maps = ARENA_ARRAY(r->mem, struct exec_map, s->os->n_maps);
	for (uint32_t i = 0; i < s->os->n_maps; i++) {
		const struct mapping *m = &s->os->maps[i];
		struct exec_map e = {m->start, m->end, m->offset, m->path, ""};
		if (!(m->flags & MAP_EXEC) || (m->inode == 0 && *m->path == 0))
			continue;
		for (uint32_t k = 0; k < g->n_images; k++) {
			if (m->inode != 0 && g->images[k].dev == m->dev &&
			    g->images[k].inode == m->inode)
				e.build_id = g->images[k].build_id;
		}
		s->exec_maps[s->n_exec_maps++] = e;
	}
}

static void system_goroutines(struct reading *r)
{
	struct snapshot *s = r->s;
	taddr last = 0;
	bool system = false;
	for (uint32_t i = 0; i < s->n_goroutines; i++) {
		if (s->goroutines[i].startpc != last) {
			last = s->goroutines[i].startpc;
			system = go_system_func(go_place(s, last).func);
		}
		s->goroutines[i].system = system;
	}
}

/** What native_read must leave alone: Go's heap, metadata and every program and library. */
static void read_native(struct reading *r)
{
	struct snapshot *s = r->s;
	uint32_t n = 0, cap = s->heap.n_in_use + s->n_regions + s->n_images;
	struct addr_range *v = ARENA_ARRAY(&r->scratch, struct addr_range, cap);
	for (uint32_t i = 0; i < s->heap.n_in_use; i++)
		v[n++] = s->heap.in_use[i];
	for (uint32_t i = 0; i < s->n_regions; i++)
		v[n++] = (struct addr_range){s->regions[i].start, s->regions[i].end};
	for (uint32_t i = 0; i < s->n_images; i++)
		v[n++] = (struct addr_range){s->images[i].start, s->images[i].end};
	n = ranges_merge(v, n);
	struct native_taken taken = {v, n};
	native_read(r->t, &taken, r->g0_stacks.v, r->g0_stacks.n, r->mem, s, &s->native);
}

/*
 * Reads what a capture keeps as a result, or takes it from there: `read` looks into memory of the
 * program itself, which is not recorded.
 */
static void read_aside(struct reading *r, uint32_t need, void (*read)(struct reading *r))
{
	struct snapshot *s = r->s;
	const struct saved *saved = r->g->saved;
	if (saved != NULL) {
		if (need & NEED_NATIVE)
			s->native = saved->native;
		if (need & NEED_SMALL_VIEWS)
			s->small_views = saved->small_views;
		if (need & NEED_PROFILE)
			s->pool_bytes = saved->pool_bytes;
		for (uint32_t i = 0; i < saved->n_notes; i++)
			if (saved->notes[i].need == need)
				note_add(s, saved->notes[i].partial, "%s", saved->notes[i].text);
		return;
	}
	uint32_t first = s->notes.n;
	bool partial = s->notes.partial;
	s->notes.partial = false;
	target_hush(r->t, true);
	read(r);
	target_hush(r->t, false);
	uint32_t n = s->notes.n - first;
	struct aside_note *v = ARENA_ARRAY(r->mem, struct aside_note, s->n_aside_notes + n + 1);
	for (uint32_t i = 0; i < s->n_aside_notes; i++)
		v[i] = s->aside_notes[i];
	for (uint32_t i = 0; i < n; i++)
		v[s->n_aside_notes + i] =
			(struct aside_note){need, s->notes.partial, s->notes.v[first + i]};
	s->aside_notes = v;
	s->n_aside_notes += n;
	s->notes.partial |= partial;
}

bool refresh_maps(struct reading *r)
{
	struct os_facts *before = r->t->os;
	if (r->refreshed)
		return false;
	r->refreshed = true;
	if (target_facts(r->t, r->mem, NULL))
		return true;
	r->t->os = before;
	return false;
}

static bool read_once(struct reading *r, uint32_t needs, bool *torn, struct err *err)
{
	struct gc_header after;
	*torn = false;
	r->needs = needs;
	if (!read_header(r, &r->head, err) || !read_counters(r, err))
		return false;
	if (needs & (NEED_SPANS | NEED_STACKS)) {
		if (!read_arenas(r, err) || !read_chunks(r, err) || !read_pages_before(r, err) ||
		    !read_spans(r, err) || !read_pages(r, err))
			return false;
	}
	/* mark bits change meaning at the end of a mark, when sweepgen and numgc move; its start
	 * changes nothing here */
	if (!read_header(r, &after, err))
		return false;
	*torn = after.sweepgen != r->head.sweepgen || after.numgc != r->head.numgc;
	r->s->read.skew = after.numgc - r->head.numgc;
	if (needs & NEED_STACKS && !read_stacks(r, err))
		return false;
	if (needs & NEED_TRACES)
		read_traces(r, needs & NEED_TRACE_ARGS);
	if (needs & NEED_PROFILE && !read_profile(r, err))
		return false;
	if (needs & NEED_SAMPLES)
		read_samples(r);
	if (needs & NEED_CONTENTION)
		read_contentions(r);
	if (needs & NEED_PROFILE && needs & NEED_SPANS)
		read_aside(r, NEED_PROFILE, read_pools);
	if (needs & NEED_SMALL_VIEWS)
		read_aside(r, NEED_SMALL_VIEWS, read_small_views);
	if (needs & NEED_REGIONS && !read_regions(r, err))
		return false;
	/* the snapshot keeps the mappings and pages that were taken first; reads ask the kernel
	 * from here on */
	if (r->refreshed)
		r->t->os = r->os_first;
	*torn |= r->broke || (r->no_span_pages > MANY_PAGES && !r->last);
	if (r->no_span_pages > 0)
		note_add(r->s, false,
			 "%u heap pages (%u KiB) are given out and have no span: being made while "
			 "they were read",
			 r->no_span_pages, r->no_span_pages * (GO_PAGE / 1024));
	return true;
}

/*
 * The facts of one try live with the snapshot. The first try of a session takes those that the
 * program was found by; each later one asks the kernel again.
 */
static bool take_facts(struct reading *r, bool fresh, struct err *err)
{
	struct go_session *g = r->g;
	struct os_facts *os;
	if (fresh) {
		if (!target_facts(g->t, r->mem, err))
			return false;
		if (main_mapping(g) == NULL)
			return err_set(err, ERR_GONE, "process %d runs another program now",
				       g->t->os->pid);
		return true;
	}
	os = ARENA_NEW(r->mem, struct os_facts);
	*os = *g->os;
	g->t->os = os;
	return true;
}

static void start_over(struct reading *r, const struct snapshot *base)
{
	struct arena keep;
	arena_free(&r->s->mem);
	arena_free(&r->scratch);
	keep = r->s->mem;
	*r->s = *base;
	r->s->mem = keep;
	struct go_session *g = r->g;
	struct snapshot *s = r->s;
	*r = (struct reading){.g = g, .t = g->t, .l = &g->layout, .s = s, .mem = &s->mem};
	arena_init(&r->scratch, 0);
	r->regions = ARENA_NEW(&s->mem, struct region_vec);
}

bool go_snapshot(struct go_session *g, uint32_t needs, struct snapshot *ret, struct err *err)
{
	int64_t began = clock_ns(CLOCK_MONOTONIC);
	struct snapshot base = {
		.kind = g->t->kind == TARGET_CORE      ? SNAPSHOT_CORE
			: g->t->kind == TARGET_CAPTURE ? SNAPSHOT_CAPTURE
						       : SNAPSHOT_PROCESS,
		.go_version = g->release.text,
		.go_major = g->release.major,
		.go_minor = g->release.minor,
		.go_patch = g->release.patch,
		.stripped = g->stripped,
		.cgo = g->cgo,
		.have_go = true,
		.layout_from = g->layout_from,
		.madvdontneed = -1,
		.harddecommit = -1,
		.disablethp = -1,
		.pool_bytes = UINT64_MAX,
		.place = go_place,
		.frames = go_frames,
		.place_ctx = g,
	};
	arena_init(&ret->mem, 0);
	struct reading r = {.g = g, .s = ret};
	arena_init(&r.scratch, 0);
	bool torn = true, ok = true;
	uint32_t tries = 0, max = g->t->kind == TARGET_PROCESS ? TRIES : 1;
	int64_t at = 0;
	/* a fault is torn, too: an array that moved, a mapping that is newer than the list of
	 * mappings */
	while (torn && tries++ < max) {
		struct err why = {0};
		start_over(&r, &base);
		ok = take_facts(&r, tries > 1 || g->n_snapshots > 0, err);
		if (!ok)
			break;
		ret->os = g->t->os;
		at = ret->os->at_unix_ns ? ret->os->at_unix_ns : clock_ns(CLOCK_REALTIME);
		r.os_first = g->t->os;
		r.last = tries == max;
		ok = (!(needs & NEED_PAGES) || target_scan(g->t, &ret->mem, &why)) &&
		     read_once(&r, needs, &torn, &why);
		if (!ok && (why.kind != ERR_FAULT || tries == max)) {
			*err = why;
			break;
		}
		torn |= !ok;
	}
	if (ok) {
		ret->regions = r.regions->v.v;
		ret->n_regions = r.regions->v.n;
		take_images(&r);
		take_exec_maps(&r);
		if (needs & NEED_NATIVE)
			read_aside(&r, NEED_NATIVE, read_native);
		if (needs & NEED_STACKS)
			system_goroutines(&r);
		for (uint32_t i = 0; i < g->n_session_notes; i++)
			note_add(ret, false, "%s", g->session_notes[i]);
		if (needs & NEED_TRACES && g->saved != NULL && !g->saved->stacks)
			note_add(ret, true,
				 "the capture was taken without --stacks: of goroutines it has "
				 "where they began and wait, and no stacks");
		for (uint32_t i = 0; i < ret->os->n_notes; i++)
			note_add(ret, ret->os->partial, "%s", ret->os->notes[i]);
		if (torn && !r.broke)
			note_add(ret, false,
				 "the program collected garbage during each of %u readings: live, "
				 "new and dead may belong to two cycles",
				 max);
		if (ret->heap.torn > 0)
			note_add(ret, false,
				 "%u of %u spans changed while they were read: their slots are as "
				 "last seen",
				 ret->heap.torn, ret->heap.n_spans);
		for (uint32_t i = 0; i < ret->n_others; i++)
			note_add(ret, true,
				 "another Go runtime, %s in %s, is in the same process: its memory "
				 "is not broken down here",
				 ret->others[i].version, ret->others[i].path);
	}
	g->n_snapshots++;
	g->t->os = g->os; /* the snapshot's own facts die with it */
	uint32_t skew = ret->read.skew;
	ret->read = (struct read_facts){.at_unix_ns = at,
					.took_ns = clock_ns(CLOCK_MONOTONIC) - began,
					.stopped_ns = g->t->stopped_ns,
					.skew = skew,
					.drift = ok ? ret->os->drift : 0,
					.tries = MIN(tries, max),
					.consistent = !torn};
	arena_free(&r.scratch);
	if (!ok)
		snapshot_free(ret);
	return ok;
}

void snapshot_free(struct snapshot *s)
{
	arena_free(&s->mem);
}
