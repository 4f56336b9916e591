/*
 * The sparse page set: sorted 4 MiB chunks, one bit a page and property. A 6 GiB heap takes some
 * 600 KiB, and a question about a range is a binary search and a few popcounts, so that the ledger
 * can ask for every span of the heap. Knows nothing of where the bits come from.
 */
#include "target/pages.h"

#include <assert.h>
#include <string.h>

#define CHUNK_BYTES ((taddr)1 << PAGES_CHUNK_SHIFT)

void pages_init(struct pages *p, struct arena *mem)
{
	*p = (struct pages){.mem = mem};
}

/* The first index whose key is not below `key`. */
static uint32_t lower_bound(const struct pages *p, uint64_t key)
{
	const uint64_t *base = p->key;
	uint32_t n = p->n;

	while (n > 1) {
		uint32_t half = n / 2;

		base = base[half - 1] < key ? base + half : base;
		n -= half;
	}
	return (uint32_t)(base - p->key) + (n == 1 && *base < key);
}

uint32_t pages_find(const struct pages *p, taddr at)
{
	return p->n ? lower_bound(p, at >> PAGES_CHUNK_SHIFT) : 0;
}

/* Makes room for one more chunk. What the smaller arrays held stays in the arena: 1/8 of it at
 * most. */
static bool grow(struct pages *p, struct err *err)
{
	uint32_t cap = MAX(p->cap * 2, 64U);
	uint64_t *key = arena_try(p->mem, cap, sizeof(*key), err);
	struct page_chunk **chunk =
		key ? arena_try(p->mem, cap, sizeof(struct page_chunk *), err) : NULL;

	if (!chunk)
		return false;
	if (p->n) {
		memcpy(key, p->key, p->n * sizeof(*key));
		memcpy(chunk, p->chunk, p->n * sizeof(struct page_chunk *));
	}
	p->key = key;
	p->chunk = chunk;
	p->cap = cap;
	return true;
}

/* The chunk of a key, made when there is none; NULL and *err when the arena is full. */
static struct page_chunk *chunk_of(struct pages *p, uint64_t key, struct err *err)
{
	struct page_chunk *made;
	uint32_t i;

	if (p->n && p->key[p->n - 1] == key)
		return p->chunk[p->n - 1];
	i = p->n && p->key[p->n - 1] > key ? lower_bound(p, key) : p->n;
	if (i < p->n && p->key[i] == key)
		return p->chunk[i];
	if (p->n == p->cap && !grow(p, err))
		return NULL;
	made = arena_try(p->mem, 1, sizeof(*made), err);
	if (!made)
		return NULL;
	memmove(&p->key[i + 1], &p->key[i], (p->n - i) * sizeof(*p->key));
	memmove(&p->chunk[i + 1], &p->chunk[i], (p->n - i) * sizeof(struct page_chunk *));
	p->key[i] = key;
	p->chunk[i] = made;
	p->n++;
	return made;
}

/* Bits [lo, hi) of a word, 0 <= lo < hi <= 64. */
static uint64_t mask(unsigned lo, unsigned hi)
{
	return ~(uint64_t)0 >> (64 - (hi - lo)) << lo;
}

bool pages_set(struct pages *p, taddr from, taddr to, enum page_bit bit, struct err *err)
{
	assert(from % OS_PAGE == 0 && to % OS_PAGE == 0);
	while (from < to) {
		struct page_chunk *c = chunk_of(p, from >> PAGES_CHUNK_SHIFT, err);
		taddr in = from % CHUNK_BYTES; /* from the chunk's start */
		taddr n = MIN(to - from, CHUNK_BYTES - in);
		unsigned lo = (unsigned)(in >> OS_PAGE_SHIFT);
		unsigned hi = (unsigned)((in + n) >> OS_PAGE_SHIFT);

		if (!c)
			return false;
		for (unsigned w = lo / 64; w * 64 < hi; w++)
			c->bit[bit][w] |= mask(w == lo / 64 ? lo % 64 : 0, MIN(hi - w * 64, 64U));
		from += n;
	}
	return true;
}

/* Set bits among pages [lo, hi) of a chunk. */
static unsigned count(const uint64_t *bits, unsigned lo, unsigned hi)
{
	unsigned first = lo / 64, last = (hi - 1) / 64, n;

	if (first == last)
		return (unsigned)__builtin_popcountll(bits[first] & mask(lo % 64, hi - last * 64));
	n = (unsigned)__builtin_popcountll(bits[first] & mask(lo % 64, 64));
	for (unsigned w = first + 1; w < last; w++)
		n += (unsigned)__builtin_popcountll(bits[w]);
	return n + (unsigned)__builtin_popcountll(bits[last] & mask(0, hi - last * 64));
}

void pages_close(struct pages *p)
{
	p->resident = p->swapped = p->huge = 0;
	for (uint32_t i = 0; i < p->n; i++) {
		struct page_chunk *c = p->chunk[i];

		assert(i == 0 || p->key[i - 1] < p->key[i]);
		c->resident = count(c->bit[PAGE_RESIDENT], 0, PAGES_PER_CHUNK);
		c->swapped = count(c->bit[PAGE_SWAPPED], 0, PAGES_PER_CHUNK);
		p->resident += (bytes)c->resident << OS_PAGE_SHIFT;
		p->swapped += (bytes)c->swapped << OS_PAGE_SHIFT;
		p->huge += (bytes)count(c->bit[PAGE_HUGE], 0, PAGES_PER_CHUNK) << OS_PAGE_SHIFT;
	}
}

static bool has(const struct page_chunk *c, taddr at, enum page_bit bit)
{
	unsigned page = (unsigned)(at >> OS_PAGE_SHIFT) % PAGES_PER_CHUNK;

	return c->bit[bit][page / 64] >> (page % 64) & 1;
}

bool pages_is(const struct pages *p, taddr at, enum page_bit bit)
{
	uint32_t i = pages_find(p, at);

	return i < p->n && p->key[i] == at >> PAGES_CHUNK_SHIFT && has(p->chunk[i], at, bit);
}

/* Pages of [from, to) with the bit, all within one chunk and none of the ends left out. */
static bytes whole_pages(const struct page_chunk *c, taddr from, taddr to, enum page_bit bit)
{
	unsigned lo = (unsigned)(from % CHUNK_BYTES >> OS_PAGE_SHIFT);
	unsigned hi = (unsigned)((to - 1) % CHUNK_BYTES >> OS_PAGE_SHIFT) + 1;

	if (lo == 0 && hi == PAGES_PER_CHUNK && bit == PAGE_RESIDENT)
		return (bytes)c->resident << OS_PAGE_SHIFT;
	return (bytes)count(c->bit[bit], lo, hi) << OS_PAGE_SHIFT;
}

bytes pages_in(const struct pages *p, taddr from, taddr to, enum page_bit bit)
{
	bytes sum = 0;

	if (from >= to)
		return 0;
	for (uint32_t i = pages_find(p, from); i < p->n; i++) {
		taddr start = p->key[i] << PAGES_CHUNK_SHIFT;
		taddr lo = MAX(from, start), hi;

		if (start >= to)
			break;
		hi = to - start < CHUNK_BYTES ? to : start + CHUNK_BYTES;
		sum += whole_pages(p->chunk[i], lo, hi, bit);
		/* The ends may lie within a page: only their bytes inside the range count. */
		if (lo == from && from % OS_PAGE && has(p->chunk[i], from, bit))
			sum -= from % OS_PAGE;
		if (hi == to && to % OS_PAGE && has(p->chunk[i], to - 1, bit))
			sum -= OS_PAGE - to % OS_PAGE;
	}
	return sum;
}

/* The first page at or above `page` in the chunk whose bit is `want`; PAGES_PER_CHUNK: none. */
static unsigned next_in_chunk(const uint64_t *bits, unsigned page, bool want)
{
	uint64_t flip = want ? 0 : ~(uint64_t)0;
	unsigned w = page / 64;
	uint64_t v = (bits[w] ^ flip) & mask(page % 64, 64);

	while (!v && ++w < PAGES_WORDS)
		v = bits[w] ^ flip;
	return v ? w * 64 + (unsigned)__builtin_ctzll(v) : PAGES_PER_CHUNK;
}

taddr pages_next(const struct pages *p, taddr from, taddr to, enum page_bit bit, bool want)
{
	taddr at = from;

	for (uint32_t i = pages_find(p, from); at < to; i++) {
		taddr start = i < p->n ? p->key[i] << PAGES_CHUNK_SHIFT : to;
		unsigned page;

		if (start > at && !want)
			return at; /* no chunk: none of the bits */
		if (start >= to)
			return to;
		at = MAX(at, start);
		page = next_in_chunk(p->chunk[i]->bit[bit],
				     (unsigned)((at - start) >> OS_PAGE_SHIFT), want);
		if (page < PAGES_PER_CHUNK)
			return MIN(MAX(at, start + ((taddr)page << OS_PAGE_SHIFT)), to);
		if (to - start <= CHUNK_BYTES)
			return to;
		at = start + CHUNK_BYTES;
	}
	return to;
}
