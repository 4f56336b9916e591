/*
 * Bulk reads from the target. Runtime structures are small and many, but they lie side by side:
 * reading them in runs of address order costs a few thousand system calls where one call each would
 * cost a million. Nothing here decodes; nothing here makes a page resident (target_read sees to
 * that).
 */
#include "goruntime/rt.h"

#include <string.h>

struct blocks {
	struct target *t;
	uint32_t n, max, mask, hand;
	struct block {
		taddr at;	/* of the block; 1: empty */
		uint16_t pages; /* bit k: page k of it could be read */
		uint8_t *data;
	} * v;
	uint32_t *hash; /* index + 1 into v */
	uint8_t *room;	/* of all blocks: untouched until one is used */
};

struct blocks *blocks_new(struct target *t, struct arena *a, uint32_t max_blocks)
{
	struct blocks *b = ARENA_NEW(a, struct blocks);
	b->t = t;
	b->max = max_blocks;
	b->room = ARENA_ARRAY(a, uint8_t, (size_t)max_blocks * BLOCK_SIZE);
	for (b->mask = 64; b->mask < max_blocks * 4; b->mask *= 2)
		;
	b->v = ARENA_ARRAY(a, struct block, max_blocks);
	b->hash = ARENA_ARRAY(a, uint32_t, b->mask);
	b->mask--;
	return b;
}

static uint32_t block_slot(const struct blocks *b, taddr at)
{
	return (uint32_t)((at >> BLOCK_SHIFT) * 0x9E3779B97F4A7C15ULL >> 32) & b->mask;
}

/* Open addressing without deletion marks: the table is rebuilt when a block is replaced, which is
 * rare by design. */
static void blocks_rehash(struct blocks *b)
{
	memset(b->hash, 0, ((size_t)b->mask + 1) * sizeof *b->hash);
	for (uint32_t i = 0; i < b->n; i++) {
		uint32_t s = block_slot(b, b->v[i].at);
		while (b->hash[s] != 0)
			s = (s + 1) & b->mask;
		b->hash[s] = i + 1;
	}
}

/** Reads a block; at the border of a mapping page by page, once, and not each thing in it on its
 * own. */
static void block_fill(struct target *t, struct block *k)
{
	size_t got = target_read(t, k->at, k->data, BLOCK_SIZE);
	k->pages = 0;
	for (uint32_t i = 0; i < BLOCK_SIZE / OS_PAGE; i++) {
		size_t off = (size_t)i * OS_PAGE;
		if (got >= off + OS_PAGE ||
		    target_read(t, k->at + off, k->data + off, OS_PAGE) == OS_PAGE)
			k->pages |= (uint16_t)(1U << i);
	}
}

/** Whether n bytes at an offset of a block were read. */
static bool block_has(const struct block *k, size_t off, size_t n)
{
	for (size_t i = off / OS_PAGE; i <= (off + n - 1) / OS_PAGE; i++)
		if (!(k->pages & 1U << i))
			return false;
	return true;
}

static struct block *block_get(struct blocks *b, taddr at)
{
	uint32_t s = block_slot(b, at);
	for (; b->hash[s] != 0; s = (s + 1) & b->mask) {
		if (b->v[b->hash[s] - 1].at == at)
			return &b->v[b->hash[s] - 1];
	}
	struct block *k;
	if (b->n < b->max) {
		k = &b->v[b->n++];
		k->data = b->room + (size_t)b->n * BLOCK_SIZE - BLOCK_SIZE;
		k->at = at;
		b->hash[s] = b->n;
	} else {
		k = &b->v[b->hand];
		b->hand = (b->hand + 1) % b->max;
		k->at = at;
		blocks_rehash(b);
	}
	block_fill(b->t, k);
	return k;
}

void blocks_forget(struct blocks *b)
{
	b->n = b->hand = 0;
	memset(b->hash, 0, ((size_t)b->mask + 1) * sizeof *b->hash);
}

bool blocks_read(struct blocks *b, taddr at, void *dst, size_t n)
{
	uint8_t *to = dst;
	if (b->t->exact)
		return target_read(b->t, at, dst, n) == n;
	while (n > 0) {
		taddr base = round_down(at, BLOCK_SIZE);
		struct block *k = block_get(b, base);
		size_t off = (size_t)(at - base), part = MIN(n, BLOCK_SIZE - off);
		if (block_has(k, off, part))
			memcpy(to, k->data + off, part);
		else if (target_read(b->t, at, to, part) != part)
			return false; /* perhaps it can be read by now */
		at += part, to += part, n -= part;
	}
	return true;
}

void sort_addrs(struct arena *scratch, taddr *v, uint32_t n)
{
	uint32_t i = 1;
	while (i < n && v[i - 1] <= v[i])
		i++;
	if (i >= n)
		return;
	taddr lo = v[0], hi = v[0];
	for (i = 1; i < n; i++) {
		lo = MIN(lo, v[i]);
		hi = MAX(hi, v[i]);
	}
	struct arena_mark mark = arena_mark(scratch);
	taddr *tmp = ARENA_ARRAY(scratch, taddr, n), *from = v, *to = tmp;
	uint32_t *count = ARENA_ARRAY(scratch, uint32_t, 1 << 11);
	/* the differences from the lowest address, 11 bits at a time; structs are 8-aligned */
	for (unsigned shift = 3; shift < 64 && (hi - lo) >> shift != 0; shift += 11) {
		memset(count, 0, sizeof(uint32_t) << 11);
		for (i = 0; i < n; i++)
			count[(from[i] - lo) >> shift & 2047]++;
		for (uint32_t k = 0, sum = 0; k < 2048; k++) {
			uint32_t c = count[k];
			count[k] = sum;
			sum += c;
		}
		for (i = 0; i < n; i++)
			to[count[(from[i] - lo) >> shift & 2047]++] = from[i];
		taddr *swap = from;
		from = to;
		to = swap;
	}
	if (from != v)
		memcpy(v, from, n * sizeof *v);
	arena_reset(scratch, mark);
}

#define GATHER_BYTES (256U << 10) /* stays in the processor's cache */
#define GATHER_RUNS  64U
#define EXACT_RUNS   512U

void gather(struct target *t, struct arena *scratch, taddr *at, uint32_t n, uint32_t size,
	    gather_fn fn, void *ctx)
{
	if (n == 0 || size == 0 || size > GATHER_BYTES / 4)
		return;
	sort_addrs(scratch, at, n);
	struct arena_mark mark = arena_mark(scratch);
	uint8_t *buf = arena_alloc(scratch, GATHER_BYTES);
	uint8_t *one = arena_alloc(scratch, size);
	uint32_t max = t->exact ? EXACT_RUNS : GATHER_RUNS;
	struct mem_span *run = ARENA_ARRAY(scratch, struct mem_span, max);
	uint32_t *first = ARENA_ARRAY(scratch, uint32_t, max + 1);
	for (uint32_t i = 0; i < n;) {
		uint32_t runs = 0, used = 0;
		while (i < n && runs < max && used + size <= GATHER_BYTES) {
			uint32_t from = i;
			taddr end = at[i] + size;
			/* A gap is bridged only inside one OS page: that page is resident for its
			 * neighbours' sake. */
			for (i++; i < n && at[i] - at[from] + size <= GATHER_BYTES - used &&
				  at[i] >= at[i - 1];
			     i++) {
				if (at[i] > end && t->exact)
					break;
				if (at[i] > end &&
				    (at[i] - 1) >> OS_PAGE_SHIFT != (end - 1) >> OS_PAGE_SHIFT &&
				    at[i] >> OS_PAGE_SHIFT != (end - 1) >> OS_PAGE_SHIFT)
					break;
				end = MAX(end, at[i] + size);
			}
			first[runs] = from;
			run[runs++] = (struct mem_span){
				.at = at[from], .dst = buf + used, .n = (uint32_t)(end - at[from])};
			used += (uint32_t)(end - at[from]);
		}
		first[runs] = i;
		mem_read_many(t, run, runs);
		for (uint32_t k = 0; k < runs; k++) {
			for (uint32_t j = first[k]; j < first[k + 1]; j++) {
				uint64_t off = at[j] - run[k].at;
				if (off + size <= run[k].got)
					fn(ctx, at[j], (uint8_t *)run[k].dst + off, true);
				else
					fn(ctx, at[j], one,
					   target_read(t, at[j], one, size) == size);
			}
		}
	}
	arena_reset(scratch, mark);
}
