/*
 * Claims outside the Go heap: the runtime's regions, the C heap and thread stacks, and for what is
 * left the mapping itself: the program's file, a library, a file, shared memory, an anonymous
 * mapping.
 */
#include "ledger/claims.h"

#include <string.h>

static const enum line_id REGION_LINE[REGION_KINDS] = {
	[REGION_MSPAN] = LINE_RUNTIME_MSPAN, [REGION_MCACHE] = LINE_RUNTIME_MCACHE,
	[REGION_GC] = LINE_RUNTIME_GC,	     [REGION_PROFILER] = LINE_RUNTIME_PROFILER,
	[REGION_OTHER] = LINE_RUNTIME_OTHER,
};

void claim_runtime(struct book *b)
{
	const struct snapshot *s = b->s;
	bytes nested = 0, chunks = 0;
	for (uint32_t i = 0; i < s->n_regions; i++) {
		const struct region *r = &s->regions[i];
		enum line_id line = REGION_LINE[r->kind];
		bytes n = r->end - r->start;
		if (r->detail == RD_PERSISTENT) {
			chunks += n;
			book_rest(b, line, r->start, r->end);
			continue;
		}
		b->line[line].bytes += n;
		/* these come from persistentalloc, out of the chunks that are claimed last */
		if (r->detail == RD_MSPANS || r->detail == RD_MCACHES || r->detail == RD_BUCKETS)
			nested += n;
		book_claim(b, line, r->start, r->end);
	}
	b->line[LINE_RUNTIME_OTHER].bytes += chunks > nested ? chunks - nested : 0;
}

static void claim_native_page(struct book *b, taddr page, const struct native_range *r,
			      uint32_t used, uint32_t mine)
{
	taddr start = MAX(page, r->start), end = MIN(page + OS_PAGE, r->end);
	bytes room = end - start;
	mine = (uint32_t)MIN(mine, room);
	used = MIN(used, mine);
	b->line[LINE_NATIVE_USED].bytes += used;
	b->line[LINE_NATIVE_FREE].bytes += mine - used;
	/* only how many bytes of a page are whose matters, not where on it they lie */
	book_claim(b, LINE_NATIVE_USED, start, start + used);
	book_claim(b, LINE_NATIVE_FREE, start + used, start + mine);
}

void claim_native(struct book *b)
{
	const struct native *n = &b->s->native;
	for (uint32_t i = 0; i < n->n_thread_stacks; i++) {
		const struct addr_range *t = &n->thread_stacks[i];
		b->line[LINE_STACK_OS].bytes += t->end - t->start;
		book_claim(b, LINE_STACK_OS, t->start, t->end);
	}
	for (uint32_t i = 0; i < n->n_ranges; i++) {
		const struct native_range *r = &n->ranges[i];
		if (r->used == NULL) {
			b->line[LINE_NATIVE_USED].bytes += r->end - r->start;
			book_claim(b, LINE_NATIVE_USED, r->start, r->end);
			continue;
		}
		for (taddr page = r->start; page < r->end; page += OS_PAGE) {
			uint64_t k = (page - r->start) / OS_PAGE;
			claim_native_page(b, page, r, r->used[k],
					  r->mine != NULL ? r->mine[k] : OS_PAGE);
		}
	}
}

static void claim_image(struct book *b, const struct image_range *r)
{
	static const enum line_id line[] = {
		[IMAGE_TEXT] = LINE_BINARY_TEXT,
		[IMAGE_RODATA] = LINE_BINARY_RODATA,
		[IMAGE_DATA] = LINE_BINARY_DATA,
		[IMAGE_LIB] = LINE_LIBS,
	};
	b->line[line[r->part]].bytes += r->end - r->start;
	book_rest(b, line[r->part], r->start, r->end);
}

/** Address space that somebody has spoken for, so that line.bytes of a mapping counts the rest of
 * it. */
struct spoken {
	struct addr_range *v;
	uint32_t n;
};

static struct spoken spoken_for(const struct book *b)
{
	const struct snapshot *s = b->s;
	uint32_t n = 0, cap = s->heap.n_in_use + s->n_regions + s->n_images + s->native.n_ranges +
			      s->native.n_thread_stacks;
	for (uint32_t i = 0; i < s->n_stacks; i++)
		cap += !s->stacks[i].in_heap;
	struct addr_range *v = ARENA_ARRAY(b->mem, struct addr_range, cap + 1);
	for (uint32_t i = 0; i < s->heap.n_in_use; i++)
		v[n++] = s->heap.in_use[i];
	for (uint32_t i = 0; i < s->n_regions; i++)
		v[n++] = (struct addr_range){s->regions[i].start, s->regions[i].end};
	for (uint32_t i = 0; i < s->n_images; i++)
		v[n++] = (struct addr_range){s->images[i].start, s->images[i].end};
	for (uint32_t i = 0; i < s->native.n_ranges; i++)
		v[n++] = (struct addr_range){s->native.ranges[i].start, s->native.ranges[i].end};
	for (uint32_t i = 0; i < s->native.n_thread_stacks; i++)
		v[n++] = s->native.thread_stacks[i];
	for (uint32_t i = 0; i < s->n_stacks; i++) {
		if (!s->stacks[i].in_heap)
			v[n++] = (struct addr_range){s->stacks[i].lo, s->stacks[i].hi};
	}
	return (struct spoken){v, ranges_merge(v, n)};
}

static bytes unspoken(const struct spoken *s, taddr start, taddr end)
{
	bytes rest = end - start;
	uint32_t lo = 0, hi = s->n;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		if (s->v[mid].end <= start)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < s->n && s->v[lo].start < end; lo++)
		rest -= MIN(end, s->v[lo].end) - MAX(start, s->v[lo].start);
	return rest;
}

static enum line_id mapping_line(const struct snapshot *s, const struct mapping *m)
{
	if (strcmp(m->path, "[stack]") == 0)
		return LINE_STACK_OS;
	if (strcmp(m->path, "[heap]") == 0)
		return LINE_NATIVE_USED;
	if (m->flags & MAP_SPECIAL)
		return LINE_KERNEL;
	if (m->flags & MAP_FILE)
		return LINE_FILES;
	if (m->flags & (MAP_SHMEM | MAP_SHARED_))
		return LINE_SHM;
	/* the runtime's own by the kernel's word, and yet none of the runtime's structures has it
	 */
	if (strncmp(m->path, "[anon: Go:", 10) == 0)
		return LINE_UNEXPLAINED;
	for (uint32_t i = 0; i < s->heap.n_in_use; i++) {
		if (m->start < s->heap.in_use[i].end && m->end > s->heap.in_use[i].start)
			return LINE_UNEXPLAINED;
	}
	return LINE_ANON;
}

void claim_mappings(struct book *b)
{
	const struct snapshot *s = b->s;
	struct spoken spoken = spoken_for(b);
	for (uint32_t i = 0; i < s->n_images; i++)
		claim_image(b, &s->images[i]);
	for (uint32_t i = 0; i < s->os->n_maps; i++) {
		const struct mapping *m = &s->os->maps[i];
		enum line_id line = mapping_line(s, m);
		if (m->flags & (MAP_READ | MAP_WRITE | MAP_EXEC) && line != LINE_UNEXPLAINED)
			b->line[line].bytes += unspoken(&spoken, m->start, m->end);
		book_rest(b, line, m->start, m->end);
	}
}
