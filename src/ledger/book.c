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

/** The part of a range that lies in one chunk. */
struct piece {
	uint32_t chunk;
	taddr base, from, to; /* base: of the chunk */
};

/** The piece behind the last one, `p` zeroed before the first; false when no chunk is left. Claims
 * come in runs, so the chunk of the last one is tried first. */
static bool next_piece(struct book *b, taddr start, taddr end, struct piece *p)
{
	const struct pages *s = b->pages;
	uint64_t key = start >> PAGES_CHUNK_SHIFT;
	uint32_t i = p->to != 0					? p->chunk + 1
		     : b->hint < s->n && s->key[b->hint] == key ? b->hint
								: pages_find(s, start);
	if (i >= s->n || s->key[i] << PAGES_CHUNK_SHIFT >= end)
		return false;
	taddr base = s->key[i] << PAGES_CHUNK_SHIFT;
	*p = (struct piece){i, base, MAX(start, base),
			    MIN(end, base + ((taddr)1 << PAGES_CHUNK_SHIFT))};
	b->hint = i;
	return true;
}

static uint32_t page_of(const struct piece *p, taddr at)
{
	return (uint32_t)((at - p->base) >> OS_PAGE_SHIFT);
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
	struct piece p = {0};
	while (next_piece(b, start, end, &p)) {
		const struct page_chunk *c = b->pages->chunk[p.chunk];
		uint16_t *used = used_of(b, p.chunk);
		taddr from = p.from;
		for (uint32_t pg = page_of(&p, from); from < p.to; pg++) {
			taddr stop = MIN(p.to, p.base + ((taddr)(pg + 1) << OS_PAGE_SHIFT));
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
	struct piece p = {0};
	while (next_piece(b, start, end, &p)) {
		uint16_t *used = used_of(b, p.chunk);
		for (uint32_t pg = page_of(&p, p.from); pg < page_of(&p, p.to); pg++)
			used[pg] = OS_PAGE;
	}
}

enum book_state book_take_whole(struct book *b, taddr start, taddr end)
{
	bool any = false, gap = false;
	taddr at = start;
	struct piece p = {0};
	while (next_piece(b, start, end, &p)) {
		const struct page_chunk *c = b->pages->chunk[p.chunk];
		const uint16_t *used = b->used[p.chunk];
		gap |= p.from > at;
		at = p.to;
		for (uint32_t pg = page_of(&p, p.from); pg < page_of(&p, p.to); pg++) {
			bool resident = bit_of(c, PAGE_RESIDENT, pg);
			any |= resident || bit_of(c, PAGE_SWAPPED, pg);
			gap |= !resident || (used != NULL && used[pg] != 0);
		}
		if (any && gap)
			return BOOK_MIXED;
	}
	if (!any)
		return BOOK_ABSENT;
	if (gap || at < end)
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
