/* The page accounts; see book.h. One uint16_t a page of the chunks that hold anything: 3 MiB for a
 * 6 GiB process. */
#include "ledger/book.h"

#include <string.h>

void book_open(struct book *b, const struct snapshot *s, struct arena *a, claim_observer observe,
	       void *ctx)
{
	*b = (struct book){
		.s = s, .pages = &s->os->pages, .mem = a, .observe = observe, .ctx = ctx};
	b->used = ARENA_ARRAY(a, uint16_t *, b->pages->n);
}

static uint16_t *used_of(struct book *b, uint32_t chunk)
{
	if (b->used[chunk] == NULL)
		b->used[chunk] = ARENA_ARRAY(b->mem, uint16_t, PAGES_PER_CHUNK);
	return b->used[chunk];
}

/** The chunk that holds `at`, or the next one above it. Claims come in runs, so the last one is
 * tried first. */
static uint32_t chunk_from(struct book *b, taddr at)
{
	const struct pages *p = b->pages;
	uint64_t key = at >> PAGES_CHUNK_SHIFT;
	if (b->hint < p->n && p->key[b->hint] == key)
		return b->hint;
	return b->hint = pages_find(p, at);
}

static bool bit_of(const struct page_chunk *c, enum page_bit which, uint32_t page)
{
	return c->bit[which][page / 64] >> (page % 64) & 1;
}

struct span_take {
	bytes resident, swapped, refused;
};

static struct span_take take(struct book *b, taddr start, taddr end)
{
	struct span_take t = {0};
	const struct pages *p = b->pages;
	for (uint32_t i = chunk_from(b, start); i < p->n && p->key[i] << PAGES_CHUNK_SHIFT < end;
	     i++) {
		taddr base = p->key[i] << PAGES_CHUNK_SHIFT;
		taddr from = MAX(start, base),
		      to = MIN(end, base + ((taddr)1 << PAGES_CHUNK_SHIFT));
		const struct page_chunk *c = p->chunk[i];
		uint16_t *used = used_of(b, i);
		b->hint = i;
		for (uint32_t pg = (uint32_t)((from - base) >> OS_PAGE_SHIFT); from < to; pg++) {
			taddr stop = MIN(to, base + ((taddr)(pg + 1) << OS_PAGE_SHIFT));
			uint32_t want = (uint32_t)(stop - from);
			from = stop;
			bool resident = bit_of(c, PAGE_RESIDENT, pg);
			if (!resident && !bit_of(c, PAGE_SWAPPED, pg))
				continue;
			uint32_t got = MIN(want, OS_PAGE - used[pg]);
			used[pg] = (uint16_t)(used[pg] + got);
			if (resident) {
				t.resident += got;
				t.refused += want - got;
			} else {
				t.swapped += got;
			}
		}
	}
	return t;
}

static bytes claim(struct book *b, enum line_id line, taddr start, taddr end, bool rest)
{
	if (end <= start)
		return 0;
	struct span_take t = take(b, start, end);
	b->line[line].resident += t.resident;
	b->line[line].swapped += t.swapped;
	b->claimed_resident += t.resident;
	if (!rest)
		b->overclaimed += t.refused;
	if (b->observe != NULL && t.resident != 0)
		b->observe(b->ctx, line, start, end, t.resident);
	return t.resident;
}

bytes book_claim(struct book *b, enum line_id line, taddr start, taddr end)
{
	return claim(b, line, start, end, false);
}

bytes book_rest(struct book *b, enum line_id line, taddr start, taddr end)
{
	return claim(b, line, start, end, true);
}

/** Marks the pages of [start, end) as wholly claimed. */
static void mark_pages(struct book *b, taddr start, taddr end)
{
	const struct pages *p = b->pages;
	for (uint32_t i = chunk_from(b, start); i < p->n && p->key[i] << PAGES_CHUNK_SHIFT < end;
	     i++) {
		taddr base = p->key[i] << PAGES_CHUNK_SHIFT;
		taddr from = MAX(start, base),
		      to = MIN(end, base + ((taddr)1 << PAGES_CHUNK_SHIFT));
		uint16_t *used = used_of(b, i);
		for (uint32_t pg = (uint32_t)((from - base) >> OS_PAGE_SHIFT);
		     pg < (uint32_t)((to - base) >> OS_PAGE_SHIFT); pg++)
			used[pg] = OS_PAGE;
	}
}

enum book_state book_take_whole(struct book *b, taddr start, taddr end)
{
	const struct pages *p = b->pages;
	bool any = false, gap = false;
	taddr at = start;
	for (uint32_t i = chunk_from(b, start); at < end; i++) {
		if (i == p->n || p->key[i] << PAGES_CHUNK_SHIFT >= end) {
			gap = true;
			break;
		}
		taddr base = p->key[i] << PAGES_CHUNK_SHIFT,
		      stop = MIN(end, base + ((taddr)1 << PAGES_CHUNK_SHIFT));
		gap |= base > at;
		at = MAX(at, base);
		const struct page_chunk *c = p->chunk[i];
		const uint16_t *used = b->used[i];
		for (uint32_t pg = (uint32_t)((at - base) >> OS_PAGE_SHIFT); at < stop;
		     pg++, at += OS_PAGE) {
			bool resident = bit_of(c, PAGE_RESIDENT, pg);
			any |= resident || bit_of(c, PAGE_SWAPPED, pg);
			gap |= !resident || (used != NULL && used[pg] != 0);
		}
		if (any && gap)
			return BOOK_MIXED;
	}
	if (!any)
		return BOOK_ABSENT;
	if (gap)
		return BOOK_MIXED;
	mark_pages(b, start, end);
	return BOOK_WHOLE;
}

void book_credit(struct book *b, enum line_id line, taddr start, taddr end, bytes n)
{
	if (n == 0)
		return;
	b->line[line].resident += n;
	b->claimed_resident += n;
	if (b->observe != NULL)
		b->observe(b->ctx, line, start, end, n);
}
