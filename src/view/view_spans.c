/*
 * The Go heap by size class: how full its spans are, which of their bytes are holes, and how much
 * of that is in memory. This is what HeapInuse minus HeapAlloc is made of.
 */
#include <string.h>

#include "base/unit.h"
#include "view/view.h"

#define DECILES	     10
#define SPAN_CLASSES (2 * GO_SIZE_CLASSES) /* class << 1 | noscan */

struct class_sum {
	uint64_t spans, slots, live, fresh, dead, cached, unswept;
	uint64_t decile[DECILES]; /* spans by how full they are */
	bytes bytes, resident, used, tail;
};

static uint64_t objects(const struct class_sum *c)
{
	return c->live + c->fresh + c->dead;
}

static uint64_t holes(const struct class_sum *c)
{
	return c->slots - MIN(c->slots, objects(c));
}

static bytes hole_bytes(const struct class_sum *c)
{
	return c->bytes - MIN(c->bytes, c->used + c->tail);
}

static void add_span(struct class_sum *to, const struct span *s, const struct os_facts *os)
{
	uint32_t used = (uint32_t)s->live + s->fresh + s->dead;

	to->spans++;
	to->bytes += span_bytes(s);
	to->resident += pages_in(&os->pages, s->start, s->start + span_bytes(s), PAGE_RESIDENT);
	if (s->state != SPAN_HEAP)
		return;
	to->slots += s->nelems;
	to->live += s->live;
	to->fresh += s->fresh;
	to->dead += s->dead;
	to->used += used * span_elemsize(s);
	to->tail += span_tail(s);
	to->cached += (s->flags & SPAN_CACHED) != 0;
	to->unswept += (s->flags & SPAN_UNSWEPT) != 0;
	if (s->nelems)
		to->decile[MIN(used * DECILES / s->nelems, DECILES - 1U)]++;
}

static void add_sum(struct class_sum *to, const struct class_sum *c)
{
	to->spans += c->spans;
	to->slots += c->slots;
	to->live += c->live;
	to->fresh += c->fresh;
	to->dead += c->dead;
	to->cached += c->cached;
	to->unswept += c->unswept;
	to->bytes += c->bytes;
	to->resident += c->resident;
	to->used += c->used;
	to->tail += c->tail;
	for (unsigned i = 0; i < DECILES; i++)
		to->decile[i] += c->decile[i];
}

enum {
	COL_CLASS,
	COL_SIZE,
	COL_SCAN,
	COL_NAME,
	COL_POINTERS,
	COL_SPANS,
	COL_SLOTS,
	COL_LIVE,
	COL_NEW,
	COL_DEAD,
	COL_HOLES,
	COL_OCCUPANCY,
	COL_HISTOGRAM,
	COL_BYTES,
	COL_RESIDENT,
	COL_HOLE_BYTES,
	COL_TAIL_BYTES,
	COL_CACHED,
	COL_UNSWEPT,
};
static const struct column COLUMNS[] = {
	[COL_CLASS] = {"class", NULL, COLUMN_ID, 0},
	[COL_SIZE] = {"size", NULL, COLUMN_BYTES, 0},
	[COL_SCAN] = {"scan", NULL, COLUMN_TEXT, 0},
	[COL_NAME] = {NULL, "size", COLUMN_FIGURE, 0},
	[COL_POINTERS] = {NULL, "", COLUMN_TEXT, 0},
	[COL_SPANS] = {"spans", "spans", COLUMN_COUNT, 3},
	[COL_SLOTS] = {"slots", "slots", COLUMN_COUNT, 8},
	[COL_LIVE] = {"live", "live", COLUMN_COUNT, 4},
	[COL_NEW] = {"new", "new", COLUMN_COUNT, 6},
	[COL_DEAD] = {"dead", "dead", COLUMN_COUNT, 7},
	[COL_HOLES] = {"holes", "holes", COLUMN_COUNT, 5},
	[COL_OCCUPANCY] = {"occupancy", "full", COLUMN_PERCENT, 0},
	[COL_HISTOGRAM] = {"occupancy_histogram", "0 %    100 %", COLUMN_HISTOGRAM, 2},
	[COL_BYTES] = {"bytes", "MiB", COLUMN_MIB, 0},
	[COL_RESIDENT] = {"resident", "resident", COLUMN_MIB, 1},
	[COL_HOLE_BYTES] = {"hole_bytes", "in holes", COLUMN_MIB, 0},
	[COL_TAIL_BYTES] = {"tail_bytes", "in tails", COLUMN_MIB, 6},
	[COL_CACHED] = {"cached_spans", "cached", COLUMN_COUNT, 9},
	[COL_UNSWEPT] = {"unswept_spans", NULL, COLUMN_COUNT, 0},
};

/* From COL_SPANS on: what a class, the large objects and the total all have. */
static void fill(struct arena *a, struct row *row, const struct class_sum *c, bool residency)
{
	struct value deciles = value_array(a);

	for (unsigned i = 0; i < DECILES; i++)
		value_push(a, deciles, value_uint(c->decile[i]));
	row->cells[COL_SPANS] = value_uint(c->spans);
	row->cells[COL_SLOTS] = value_uint(c->slots);
	row->cells[COL_LIVE] = value_uint(c->live);
	row->cells[COL_NEW] = value_uint(c->fresh);
	row->cells[COL_DEAD] = value_uint(c->dead);
	row->cells[COL_HOLES] = value_uint(holes(c));
	row->cells[COL_OCCUPANCY] =
		c->slots ? value_double((double)objects(c) / (double)c->slots) : value_null();
	row->cells[COL_HISTOGRAM] = deciles;
	row->cells[COL_BYTES] = value_uint(c->bytes);
	row->cells[COL_RESIDENT] = value_uint_if(residency, c->resident);
	row->cells[COL_HOLE_BYTES] = value_uint(hole_bytes(c));
	row->cells[COL_TAIL_BYTES] = value_uint(c->tail);
	row->cells[COL_CACHED] = value_uint(c->cached);
	row->cells[COL_UNSWEPT] = value_uint(c->unswept);
}

static struct value row_json(struct arena *a, const struct row *row)
{
	struct value o = value_object(a);

	for (unsigned i = COL_SPANS; i < ARRAY_LEN(COLUMNS); i++)
		value_put(a, o, COLUMNS[i].key, row->cells[i]);
	return o;
}

static struct value other_json(struct arena *a, const struct class_sum *c, bool residency)
{
	struct value o = value_object(a);

	value_put(a, o, "spans", value_uint(c->spans));
	value_put(a, o, "bytes", value_uint(c->bytes));
	value_put(a, o, "resident", value_uint_if(residency, c->resident));
	return o;
}

static const char *verdict(struct arena *a, const struct class_sum *all, const struct class_sum *by,
			   bytes large_waste)
{
	char in[UNIT_TEXT], of[UNIT_TEXT], most[UNIT_TEXT];
	bytes gap = hole_bytes(all), worst_gap = 0;
	unsigned worst = 0, classes = 0;
	double percent;

	if (!all->spans)
		return "No span is in use.";
	for (unsigned i = 2; i < SPAN_CLASSES; i++) {
		bytes g = hole_bytes(&by[i]);

		classes += g != 0;
		if (g > worst_gap) {
			worst_gap = g;
			worst = i;
		}
	}
	if (gap < all->bytes / 20)
		return arena_printf(
			a, "Spans are well filled: %s of %s are holes%s.", unit_bytes(in, gap),
			unit_bytes(of, all->bytes),
			large_waste > all->bytes / 20
				? arena_printf(a,
					       "; large objects waste %s by rounding up to pages",
					       unit_bytes(most, large_waste))
				: "");
	unit_bytes(in, gap);
	unit_bytes(of, all->bytes);
	percent = 100.0 * (double)gap / (double)all->bytes;
	if (worst_gap < gap / 5)
		return arena_printf(
			a, "Holes take %s of %s in spans (%.0f %%), spread over %u size classes.",
			in, of, percent, classes);
	return arena_printf(a,
			    "Holes take %s of %s in spans (%.0f %%), %s of it in objects of %u "
			    "bytes %s pointers: those "
			    "spans are %.0f %% full.",
			    in, of, percent, unit_bytes(most, worst_gap), GO_CLASS_SIZE[worst >> 1],
			    worst & 1 ? "without" : "with",
			    100.0 * (double)objects(&by[worst]) / (double)MAX(by[worst].slots, 1U));
}

static void add_free(struct report *r, const struct snapshot *s, bool residency)
{
	static const struct {
		const char *key, *title;
		uint8_t use;
	} kinds[] = {{"free_pages", "free pages kept", PAGES_FREE},
		     {"released_pages", "released pages", PAGES_RELEASED}};
	struct block *b = report_block(r, BLOCK_ITEMS, "not in spans:");
	char size[UNIT_TEXT], resident[UNIT_TEXT];

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct value o = value_object(r->mem);
		bytes n = 0, in = 0;

		for (uint32_t i = 0; i < s->heap.n_runs; i++) {
			const struct page_run *run = &s->heap.runs[i];
			bytes len = (bytes)run->npages * GO_PAGE;

			if (run->use != kinds[k].use)
				continue;
			n += len;
			in += pages_in(&s->os->pages, run->start, run->start + len, PAGE_RESIDENT);
		}
		value_put(r->mem, o, "bytes", value_uint(n));
		value_put(r->mem, o, "resident", value_uint_if(residency, in));
		report_put(r, kinds[k].key, o);
		block_item(r, b,
			   arena_printf(r->mem, "%s %s, %s of it in memory", kinds[k].title,
					unit_bytes(size, n),
					residency ? unit_bytes(resident, in) : "an unknown part"));
	}
}

bool view_spans_run(const struct subject *in, const struct options *o, struct arena *a,
		    struct report *ret, struct err *err)
{
	const struct snapshot *s = in->s;
	bool residency = s->os->residency != RESIDENCY_NONE;
	struct class_sum *by = ARENA_ARRAY(a, struct class_sum, SPAN_CLASSES);
	struct class_sum *total = ARENA_NEW(a, struct class_sum),
			 *large = ARENA_NEW(a, struct class_sum);
	struct class_sum *stacks = ARENA_NEW(a, struct class_sum),
			 *other = ARENA_NEW(a, struct class_sum);
	struct table *t = TABLE_NEW(a, COLUMNS);
	char text[UNIT_TEXT], rest[UNIT_TEXT];
	struct block *b;
	struct row *row;
	struct value o_large;

	for (uint32_t i = 0; i < s->heap.n_spans; i++) {
		const struct span *x = &s->heap.spans[i];

		if (x->state == SPAN_STACK)
			add_span(stacks, x, s->os);
		else if (x->state == SPAN_WORKBUF)
			add_span(other, x, s->os);
		else if (x->state == SPAN_HEAP && x->spanclass < SPAN_CLASSES)
			add_span(&by[x->spanclass], x, s->os);
	}
	report_init(ret, a, "whyrss.spans/1");
	b = subject_head(in, ret);
	for (unsigned i = 0; i < SPAN_CLASSES; i++) {
		add_sum(total, &by[i]);
		if (i < 2) { /* class 0: large objects, with and without pointers */
			add_sum(large, &by[i]);
			continue;
		}
		if (!by[i].spans)
			continue;
		row = table_row(a, t, 0);
		row->cells[COL_CLASS] = value_uint(i >> 1);
		row->cells[COL_SIZE] = value_uint(GO_CLASS_SIZE[i >> 1]);
		row->cells[COL_SCAN] = value_bool(!(i & 1));
		row->cells[COL_NAME] = value_str(arena_printf(a, "%u B", GO_CLASS_SIZE[i >> 1]));
		row->cells[COL_POINTERS] = value_str(i & 1 ? "noscan" : "scan");
		fill(a, row, &by[i], residency);
	}
	for (uint32_t i = 0; i < t->rows.n; i++)
		if (t->rows.v[i].cells[COL_BYTES].u < total->bytes / 50 &&
		    t->rows.v[i].cells[COL_HOLE_BYTES].u < hole_bytes(total) / 50)
			t->rows.v[i].flags |= ROW_QUIET;
	if (!subject_table(ret, t, o, "hole_bytes", 20, err))
		return false;
	report_put(ret, "classes", table_json(a, t));

	row = table_row(a, t, ROW_SHOWN | ROW_SUM);
	row->cells[COL_NAME] = value_str("large");
	fill(a, row, large, residency);
	row->cells[COL_OCCUPANCY] = row->cells[COL_HISTOGRAM] = value_null();
	o_large = row_json(a, row);
	value_put(a, o_large, "rounding_bytes", value_uint(s->heap.large_waste));
	report_put(ret, "large", o_large);
	row = table_row(a, t, ROW_SHOWN | ROW_SUM);
	row->cells[COL_NAME] = value_str("all");
	fill(a, row, total, residency);
	report_put(ret, "total", row_json(a, row));
	report_put(ret, "stack_spans", other_json(a, stacks, residency));
	report_put(ret, "work_buffer_spans", other_json(a, other, residency));
	value_put(a, ret->json, "torn_spans", value_uint(s->heap.torn));

	block_item(ret, b, arena_printf(a, "in spans %s", unit_bytes(text, total->bytes)));
	block_item(ret, b, arena_printf(a, "holes %s", unit_bytes(rest, hole_bytes(total))));
	report_block(ret, BLOCK_VERDICT, verdict(a, total, by, s->heap.large_waste));
	report_block(ret, BLOCK_GAP, NULL);
	report_table(ret, t);
	report_block(ret, BLOCK_GAP, NULL);
	add_free(ret, s, residency);
	b = report_block(ret, BLOCK_ITEMS, "besides objects:");
	block_item(ret, b, arena_printf(a, "stacks %s", unit_bytes(text, stacks->bytes)));
	block_item(ret, b, arena_printf(a, "GC work buffers %s", unit_bytes(text, other->bytes)));
	if (s->heap.large_waste)
		block_item(ret, b,
			   arena_printf(a, "large objects rounded up by %s",
					unit_bytes(text, s->heap.large_waste)));
	subject_foot(in, ret);
	b = report_block(ret, BLOCK_ITEMS, "next:");
	block_item(ret, b, arena_printf(a, "whyrss spans %s --sort occupancy", in->target));
	block_item(ret, b, arena_printf(a, "whyrss %s", in->target));
	subject_notes(in, ret, NULL);
	return true;
}
