/*
 * See page_map.h. Spans are looked at slot by slot, since the ledger splits a whole span by its
 * counts alone; everything else is taken from the ledger's claims.
 */
#include "view/page_map.h"

#include <string.h>

#include "view/prof_build.h"

/* What one 4 MiB chunk of pages holds. */
struct cells {
	uint8_t line[PAGES_PER_CHUNK];
	uint8_t used[PAGES_PER_CHUNK];
	uint16_t most[PAGES_PER_CHUNK]; /* bytes that its line has of the page */
};

struct drawing {
	const struct snapshot *s;
	const struct pages *pages;
	struct cells **cells; /* of each chunk */
	uint32_t hint;
};

static uint32_t chunk_of(struct drawing *d, taddr at)
{
	uint64_t key = at >> PAGES_CHUNK_SHIFT;

	if (d->hint >= d->pages->n || d->pages->key[d->hint] != key)
		d->hint = pages_find(d->pages, at);
	return d->hint;
}

static void hear(void *ctx, enum line_id line, taddr start, taddr end, bytes resident)
{
	struct drawing *d = ctx;

	(void)resident;
	if (line <= LINE_HEAP_TAIL)
		return; /* slot by slot, below */
	for (uint32_t i = chunk_of(d, start); i < d->pages->n; i++) {
		taddr base = d->pages->key[i] << PAGES_CHUNK_SHIFT;
		taddr from = MAX(start, base);
		taddr to = MIN(end, base + ((taddr)1 << PAGES_CHUNK_SHIFT));
		struct cells *c = d->cells[i];

		if (base >= end)
			break;
		while (from < to) {
			uint32_t page = (uint32_t)((from - base) >> OS_PAGE_SHIFT);
			taddr next = MIN(to, base + ((taddr)(page + 1) << OS_PAGE_SHIFT));

			if (next - from > c->most[page]) {
				c->most[page] = (uint16_t)(next - from);
				c->line[page] = (uint8_t)line;
			}
			from = next;
		}
	}
}

/* Set bits of [from, to). */
static uint32_t bits_in(const uint8_t *bits, uint32_t from, uint32_t to)
{
	uint32_t n = 0;

	for (; from < to && from % 8; from++)
		n += bits[from / 8] >> from % 8 & 1U;
	for (; from + 8 <= to; from += 8)
		n += (uint32_t)__builtin_popcount(bits[from / 8]);
	for (; from < to; from++)
		n += bits[from / 8] >> from % 8 & 1U;
	return n;
}

/* The slots that begin on a page, or the one that covers it: which kind has most of its bytes. */
static void draw_page(struct drawing *d, const struct span *p, taddr at)
{
	const struct heap *h = &d->s->heap;
	bytes elem = span_elemsize(p), offset = at - p->start;
	uint32_t i = chunk_of(d, at), page = (uint32_t)(at >> OS_PAGE_SHIFT) % PAGES_PER_CHUNK;
	uint32_t from, to, kind[4] = {0}; /* live, not marked, hole, tail */
	static const uint8_t lines[] = {LINE_HEAP_LIVE, LINE_HEAP_NEW, LINE_HEAP_SLOTS,
					LINE_HEAP_TAIL};
	uint32_t best = 0, n;
	struct cells *c;

	if (i >= d->pages->n || d->pages->key[i] != at >> PAGES_CHUNK_SHIFT || !elem)
		return;
	c = d->cells[i];
	from = (uint32_t)((offset + elem - 1) / elem);
	to = (uint32_t)((offset + OS_PAGE + elem - 1) / elem);
	if (from >= to) { /* the page lies inside one slot */
		from = (uint32_t)(offset / elem);
		to = from + 1;
	}
	n = to - from;
	to = MIN(to, (uint32_t)p->nelems);
	from = MIN(from, to);
	kind[3] = n - (to - from);
	if (p->has_bits) {
		kind[0] = bits_in(span_survivors(h, p), from, to);
		kind[1] = bits_in(span_allocated(h, p), from, to) - kind[0];
		kind[2] = to - from - kind[0] - kind[1];
	} else {
		kind[p->live ? 0 : p->fresh || p->dead ? 1 : 2] = to - from;
	}
	for (uint32_t k = 1; k < ARRAY_LEN(kind); k++)
		if (kind[k] > kind[best])
			best = k;
	c->line[page] = lines[best];
	if (best == 1 && p->flags & SPAN_UNSWEPT)
		c->line[page] = LINE_HEAP_DEAD;
	c->most[page] = OS_PAGE;
	c->used[page] = (uint8_t)(n ? (kind[0] + kind[1]) * 100 / n : 0);
}

static void draw_spans(struct drawing *d)
{
	const struct heap *h = &d->s->heap;

	for (uint32_t i = 0; i < h->n_spans; i++) {
		const struct span *p = &h->spans[i];
		taddr end = p->start + span_bytes(p), at = p->start;

		if (p->state != SPAN_HEAP)
			continue;
		while ((at = pages_next(d->pages, at, end, PAGE_RESIDENT, true)) < end) {
			draw_page(d, p, at);
			at += OS_PAGE;
		}
	}
}

/* --- from pages to runs --- */

static struct cell_run cell_at(struct drawing *d, taddr at, uint32_t unit)
{
	uint32_t of_line[CELL_ABSENT + 1] = {0}, used = 0, in_spans = 0, huge = 0, swapped = 0;
	uint32_t best = CELL_ABSENT;
	struct cell_run r = {.n = 1, .used = CELL_NO_SPAN};

	for (uint32_t k = 0; k < unit; k++, at += OS_PAGE) {
		uint32_t i = chunk_of(d, at), page = (uint32_t)(at >> OS_PAGE_SHIFT);
		const struct page_chunk *c;

		page %= PAGES_PER_CHUNK;
		if (i >= d->pages->n || d->pages->key[i] != at >> PAGES_CHUNK_SHIFT)
			continue;
		c = d->pages->chunk[i];
		if (!(c->bit[PAGE_RESIDENT][page / 64] >> page % 64 & 1)) {
			swapped += (uint32_t)(c->bit[PAGE_SWAPPED][page / 64] >> page % 64 & 1);
			continue;
		}
		huge += (uint32_t)(c->bit[PAGE_HUGE][page / 64] >> page % 64 & 1);
		of_line[d->cells[i]->line[page]]++;
		if (d->cells[i]->used[page] != CELL_NO_SPAN) {
			used += d->cells[i]->used[page];
			in_spans++;
		}
	}
	for (uint32_t l = 0; l < N_LINES; l++)
		if (of_line[l] && (best == CELL_ABSENT || of_line[l] > of_line[best]))
			best = l;
	r.line = (uint8_t)(best | (huge ? CELL_HUGE : 0) | (swapped ? CELL_SWAPPED : 0));
	if (in_spans)
		r.used = (uint8_t)(used / in_spans);
	return r;
}

static bool add_runs(struct drawing *d, struct arena *a, struct page_map *m, struct map_segment *g)
{
	bytes step = (bytes)m->unit * OS_PAGE;

	g->run_at = m->runs.n;
	for (taddr at = g->start; at < g->end; at += step) {
		struct cell_run r = cell_at(d, at, m->unit);
		struct cell_run *last = m->runs.n > g->run_at ? &m->runs.v[m->runs.n - 1] : NULL;

		if (last && last->line == r.line && last->used == r.used)
			last->n++;
		else
			*VEC_PUSH(a, &m->runs) = r;
	}
	g->n_runs = m->runs.n - g->run_at;
	return true;
}

static taddr first_page(const struct pages *p, taddr from, taddr to)
{
	return MIN(pages_next(p, from, to, PAGE_RESIDENT, true),
		   pages_next(p, from, to, PAGE_SWAPPED, true));
}

/* Behind the last page of [from, to) that is in memory or swapped; from: none is. */
static taddr behind_last(const struct pages *p, taddr from, taddr to)
{
	for (taddr at = to; at > from; at -= OS_PAGE)
		if (pages_is(p, at - OS_PAGE, PAGE_RESIDENT) ||
		    pages_is(p, at - OS_PAGE, PAGE_SWAPPED))
			return at;
	return from;
}

static bool continues(const struct map_segment *g, const struct mapping *m, taddr from)
{
	return g->end == from && !strcmp(g->of->path, m->path) &&
	       (g->of->flags & MAP_EXEC) == (m->flags & MAP_EXEC);
}

/* The parts of each mapping whose 4 MiB chunks have pages, without empty ends. */
static bool find_segments(struct drawing *d, struct arena *a, struct page_map *m, struct err *err)
{
	const struct os_facts *os = d->s->os;
	VEC(struct map_segment) v = {0};

	for (uint32_t i = 0; i < os->n_maps; i++) {
		const struct mapping *map = &os->maps[i];

		for (uint32_t c = pages_find(d->pages, map->start);
		     c < d->pages->n && d->pages->key[c] << PAGES_CHUNK_SHIFT < map->end; c++) {
			taddr base = d->pages->key[c] << PAGES_CHUNK_SHIFT;
			taddr lo = MAX(map->start, base);
			taddr hi = MIN(map->end, base + ((taddr)1 << PAGES_CHUNK_SHIFT));
			taddr from = first_page(d->pages, lo, hi), to;

			if (from >= hi)
				continue;
			to = behind_last(d->pages, from, hi);
			/* A chunk's empty ends count where its neighbour goes on. */
			if (v.n && v.v[v.n - 1].end + ((taddr)1 << PAGES_CHUNK_SHIFT) > from &&
			    v.v[v.n - 1].end >= map->start)
				v.v[v.n - 1].end = to;
			else if (v.n && continues(&v.v[v.n - 1], map, from))
				v.v[v.n - 1].end = to;
			else if (v.n == MAP_SEGMENTS_MAX)
				return err_set(err, ERR_LIMIT,
					       "more than %u mappings: too many to draw",
					       MAP_SEGMENTS_MAX);
			else
				*VEC_PUSH(a, &v) = (struct map_segment){from, to, map, 0, 0};
		}
	}
	m->segments = v.v;
	m->n_segments = v.n;
	return true;
}

bool page_map_build(const struct snapshot *s, struct arena *a, struct page_map *ret,
		    struct err *err)
{
	struct drawing d = {.s = s, .pages = &s->os->pages};
	struct ledger *l = ARENA_NEW(a, struct ledger);
	struct page_map m = {.unit = 1};
	uint64_t cells = 0;

	d.cells = arena_try(a, (uint64_t)d.pages->n + 1, sizeof(*d.cells), err);
	if (!d.cells)
		return err_in(err, "memory map");
	for (uint32_t i = 0; i < d.pages->n; i++) {
		d.cells[i] = arena_try(a, 1, sizeof(*d.cells[i]), err);
		if (!d.cells[i])
			return err_in(err, "memory map");
		memset(d.cells[i]->line, LINE_UNEXPLAINED, sizeof(d.cells[i]->line));
		memset(d.cells[i]->used, CELL_NO_SPAN, sizeof(d.cells[i]->used));
	}
	ledger_build(s, a, hear, &d, l);
	draw_spans(&d);
	if (!find_segments(&d, a, &m, err))
		return false;
	for (uint32_t i = 0; i < m.n_segments; i++)
		cells += (m.segments[i].end - m.segments[i].start) >> OS_PAGE_SHIFT;
	while (cells / m.unit > CELLS_MAX)
		m.unit *= 2;
	for (uint32_t i = 0; i < m.n_segments; i++)
		add_runs(&d, a, &m, &m.segments[i]);
	*ret = m;
	return true;
}

/* --- one address --- */

static struct value range_json(struct arena *a, taddr start, taddr end)
{
	struct value o = value_object(a);

	value_put(a, o, "start", value_str(arena_printf(a, "0x%llx", (unsigned long long)start)));
	value_put(a, o, "end", value_str(arena_printf(a, "0x%llx", (unsigned long long)end)));
	return o;
}

static struct value span_json(struct arena *a, const struct span *p)
{
	static const char *const states[] = {"none", "heap", "stack", "work buffer"};
	struct value o = range_json(a, p->start, p->start + span_bytes(p));

	value_put(a, o, "state", value_str(states[p->state]));
	value_put(a, o, "bytes", value_uint(span_bytes(p)));
	if (p->state != SPAN_HEAP)
		return o;
	value_put(a, o, "class", value_uint(p->spanclass >> 1));
	value_put(a, o, "noscan", value_bool(p->spanclass & 1));
	value_put(a, o, "slot_bytes", value_uint(span_elemsize(p)));
	value_put(a, o, "slots", value_uint(p->nelems));
	value_put(a, o, "live", value_uint(p->live));
	value_put(a, o, "new", value_uint(p->fresh));
	value_put(a, o, "dead", value_uint(p->dead));
	value_put(a, o, "holes", value_uint((uint64_t)(p->nelems - p->live - p->fresh - p->dead)));
	value_put(a, o, "tail_bytes", value_uint(span_tail(p)));
	value_put(a, o, "unswept", value_bool(p->flags & SPAN_UNSWEPT));
	value_put(a, o, "cached", value_bool(p->flags & SPAN_CACHED));
	return o;
}

static struct value slot_json(struct arena *a, const struct heap *h, const struct span *p, taddr at)
{
	bytes elem = span_elemsize(p);
	uint32_t i = elem ? (uint32_t)((at - p->start) / elem) : 0;
	struct value o;
	bool allocated, marked;

	if (!elem || i >= p->nelems)
		return value_null();
	o = range_json(a, p->start + i * elem, p->start + (i + 1) * elem);
	allocated = p->has_bits ? span_allocated(h, p)[i / 8] >> i % 8 & 1
				: p->live || p->fresh || p->dead;
	marked = p->has_bits ? span_survivors(h, p)[i / 8] >> i % 8 & 1 : p->live != 0;
	value_put(a, o, "index", value_uint(i));
	value_put(a, o, "is",
		  value_str(!allocated		      ? "hole"
			    : marked		      ? "live"
			    : p->flags & SPAN_UNSWEPT ? "dead"
						      : "new"));
	return o;
}

static void put_stack(const struct snapshot *s, taddr at, struct arena *a, struct report *r)
{
	static const char *const uses[] = {"goroutine", "free", "thread"};

	for (uint32_t i = 0; i < s->n_stacks; i++) {
		const struct stack *k = &s->stacks[i];
		struct value o;

		if (at < k->lo || at >= k->hi)
			continue;
		o = range_json(a, k->lo, k->hi);
		value_put(a, o, "of", value_str(uses[k->use]));
		if (k->use == STACK_GOROUTINE) {
			value_put(a, o, "used", value_bool(at >= k->sp));
			value_put(a, o, "used_bytes", value_uint(k->hi - k->sp));
		}
		if (k->g < s->n_goroutines) {
			const struct goroutine *g = &s->goroutines[k->g];

			value_put(a, o, "goroutine", value_uint(g->goid));
			value_put(a, o, "state", value_str(g->state));
			value_put(a, o, "created_by", value_str(s->place(s, g->gopc).func));
			value_put(a, o, "runs", value_str(s->place(s, g->startpc).func));
		}
		report_put(r, "stack", o);
		return;
	}
}

/* --- who allocated what is in a span: the profiler's samples that lie in it --- */

#define SITES_MAX  4U
#define FRAMES_MAX 8U

struct site {
	uint32_t bucket, objects;
	bool here; /* one of them is at the address */
};

/* The first frames outside of the runtime, from the call that allocated. */
static struct value site_stack(const struct snapshot *s, const struct mem_bucket *m,
			       struct arena *a)
{
	struct prof_frames it = {.s = s, .stk = s->profile.pcs + m->stk, .n = m->nstk};
	struct value ret = value_array(a);
	struct code_frame f;
	uint32_t n = 0;

	while (n < FRAMES_MAX && prof_frames_next(&it, &f)) {
		if (!n && prof_is_runtime(s, f.symbol))
			continue;
		value_push(a, ret, value_str(f.symbol));
		n++;
	}
	return ret;
}

static void put_sites(const struct snapshot *s, const struct span *p, taddr at, struct arena *a,
		      struct report *r)
{
	uint32_t span = (uint32_t)(p - s->heap.spans), n = 0;
	bytes elem = span_elemsize(p);
	struct value list = value_array(a);
	struct site v[SITES_MAX];

	for (uint32_t i = 0; i < s->n_sampled; i++) {
		const struct sampled *x = &s->sampled[i];
		bool here = at >= x->at && at < x->at + elem;
		uint32_t k = 0;

		if (x->span != span)
			continue;
		while (k < n && v[k].bucket != x->bucket)
			k++;
		if (k == SITES_MAX) {
			if (!here)
				continue;
			k--; /* the one that is asked for has its place */
			v[k] = (struct site){.bucket = x->bucket};
		} else if (k == n) {
			v[n++] = (struct site){.bucket = x->bucket};
		}
		v[k].objects++;
		v[k].here |= here;
	}
	for (uint32_t k = 0; k < n; k++) {
		const struct mem_bucket *m = &s->profile.buckets[v[k].bucket];
		struct value o = value_object(a);

		value_put(a, o, "objects", value_uint(v[k].objects));
		value_put(a, o, "bytes", value_uint(v[k].objects * m->size));
		value_put(a, o, "here", value_bool(v[k].here));
		value_put(a, o, "stack", site_stack(s, m, a));
		value_push(a, list, o);
	}
	report_put(r, "sites", list);
}

void page_at(const struct snapshot *s, taddr at, struct arena *a, struct report *ret)
{
	const struct mapping *m = map_find(s->os, at);
	const struct span *p = span_find(&s->heap, at);

	report_init(ret, a, "whyrss.at/1");
	report_put(ret, "address", value_str(arena_printf(a, "0x%llx", (unsigned long long)at)));
	report_put(ret, "resident", value_bool(pages_is(&s->os->pages, at, PAGE_RESIDENT)));
	report_put(ret, "swapped", value_bool(pages_is(&s->os->pages, at, PAGE_SWAPPED)));
	report_put(ret, "huge", value_bool(pages_is(&s->os->pages, at, PAGE_HUGE)));
	if (m) {
		struct value o = range_json(a, m->start, m->end);

		value_put(a, o, "path", value_str(*m->path ? m->path : "[anon]"));
		value_put(a, o, "perms",
			  value_str(arena_printf(a, "%c%c%c%c", m->flags & MAP_READ ? 'r' : '-',
						 m->flags & MAP_WRITE ? 'w' : '-',
						 m->flags & MAP_EXEC ? 'x' : '-',
						 m->flags & MAP_SHARED_ ? 's' : 'p')));
		report_put(ret, "mapping", o);
	}
	if (p) {
		report_put(ret, "span", span_json(a, p));
		if (p->state == SPAN_HEAP)
			report_put(ret, "slot", slot_json(a, &s->heap, p, at));
		if (p->state == SPAN_HEAP && s->sampled)
			put_sites(s, p, at, a, ret);
	}
	put_stack(s, at, a, ret);
	for (uint32_t i = 0; i < s->heap.n_runs; i++) {
		const struct page_run *f = &s->heap.runs[i];

		if (at < f->start || at >= f->start + (bytes)f->npages * GO_PAGE)
			continue;
		struct value o = range_json(a, f->start, f->start + (bytes)f->npages * GO_PAGE);
		value_put(a, o, "is", value_str(f->use == PAGES_FREE ? "free" : "released"));
		report_put(ret, "free_pages", o);
		break;
	}
	for (uint32_t i = 0; i < s->n_regions; i++) {
		const struct region *g = &s->regions[i];

		if (at < g->start || at >= g->end)
			continue;
		struct value o = range_json(a, g->start, g->end);
		value_put(a, o, "is", value_str(REGION_NAMES[g->detail]));
		report_put(ret, "runtime", o);
		break;
	}
}
