/* The few helpers of the waist: size classes, names, notes, address look-up. Decodes nothing. */
#include "snapshot/snapshot.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sizes as in runtime/sizeclasses.go, the same in every release from 1.18 to 1.27. */
const uint32_t GO_CLASS_SIZE[GO_SIZE_CLASSES] = {
	0,     8,     16,    24,    32,	   48,	  64,	 80,	96,    112,   128,   144,
	160,   176,   192,   208,   224,   240,	  256,	 288,	320,   352,   384,   416,
	448,   480,   512,   576,   640,   704,	  768,	 896,	1024,  1152,  1280,  1408,
	1536,  1792,  2048,  2304,  2688,  3072,  3200,	 3456,	4096,  4864,  5376,  6144,
	6528,  6784,  6912,  8192,  9472,  9728,  10240, 10880, 12288, 13568, 14336, 16384,
	18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768};

const char *const REGION_NAMES[RD_DETAILS] = {
	[RD_MSPANS] = "span structs",	       [RD_MCACHES] = "per-P caches",
	[RD_GCBITS] = "mark bitmaps",	       [RD_HEAP_ARENA] = "heap index",
	[RD_ARENA_MAP] = "heap arena map",     [RD_SUMMARY] = "page summaries",
	[RD_CHUNKS] = "page bitmaps",	       [RD_SCAV_INDEX] = "scavenger index",
	[RD_SPAN_QUEUE] = "span queues",       [RD_BUCKETS] = "profile buckets",
	[RD_BUCKHASH] = "profile hash table",  [RD_ALLSPANS] = "list of all spans",
	[RD_PERSISTENT] = "persistent chunks", [RD_GSTACK] = "stacks",
};

void note_add(struct snapshot *s, bool partial, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	s->notes.partial |= partial;
	for (uint32_t i = 0; i < s->notes.n; i++) {
		if (strcmp(s->notes.v[i], text) == 0)
			return;
	}
	*VEC_PUSH(&s->mem, &s->notes) = arena_strdup(&s->mem, text);
}

struct span_chunk *span_chunk_find(const struct heap *h, taddr at)
{
	uint64_t key = at >> 22;
	uint32_t lo = 0, hi = h->n_chunks;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		if (h->chunks[mid]->key < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < h->n_chunks && h->chunks[lo]->key == key ? h->chunks[lo] : NULL;
}

enum slot_kind span_slot(const struct heap *h, const struct span *s, uint32_t i)
{
	enum slot_kind other = s->flags & SPAN_UNSWEPT ? SLOT_DEAD : SLOT_NEW;
	if (!s->has_bits)
		return s->live != 0 ? SLOT_LIVE : s->fresh != 0 || s->dead != 0 ? other : SLOT_HOLE;
	if (!(span_allocated(h, s)[i / 8] >> (i % 8) & 1))
		return SLOT_HOLE;
	return span_survivors(h, s)[i / 8] >> (i % 8) & 1 ? SLOT_LIVE : other;
}

const struct span *span_find(const struct heap *h, taddr at)
{
	const struct span_chunk *c = span_chunk_find(h, at);
	uint32_t i = c == NULL ? 0 : c->span[at >> 13 & 511];
	return i == 0 ? NULL : &h->spans[i - 1];
}

bool cgroup_oom_distance(const struct cgroup_facts *c, bytes *ret)
{
	/* Before it kills, the kernel drops what it can read again. */
	bytes back = c->inactive_file + c->active_file + c->slab_reclaimable,
	      held = c->limit_current - MIN(c->limit_current, back);
	if (c->limit == UINT64_MAX)
		return false;
	*ret = c->limit - MIN(c->limit, held);
	return true;
}

static int range_order(const void *a, const void *b)
{
	const struct addr_range *x = a, *y = b;
	return (x->start > y->start) - (x->start < y->start);
}

uint32_t ranges_merge(struct addr_range *v, uint32_t n)
{
	if (n == 0)
		return 0;
	qsort(v, n, sizeof *v, range_order);
	uint32_t k = 0;
	for (uint32_t i = 1; i < n; i++) {
		if (v[i].start <= v[k].end)
			v[k].end = MAX(v[k].end, v[i].end);
		else
			v[++k] = v[i];
	}
	return k + 1;
}
