/*
 * Memory that the runtime asked the OS for outside the heap, and what it is for. Specific pieces
 * first (span structs, per-P caches, profile buckets), then what encloses them (the 256 KiB chunks
 * of persistentalloc, runtime/malloc.go). Sources: mheap.go (arenas, gcBitsArenas),
 * mpagealloc_64bit.go (summaries), mgcscavenge.go (index), mprof.go, mgcmark_greenteagc.go (span
 * queues).
 */
#include "goruntime/rt.h"

void region_add(struct reading *r, taddr start, bytes len, enum region_kind kind,
		enum region_detail detail)
{
	if (start == 0 || len == 0 || len > (bytes)1 << 46 || start + len < start)
		return;
	*VEC_PUSH(r->mem, &r->regions->v) = (struct region){.start = start,
							    .end = start + len,
							    .kind = (uint8_t)kind,
							    .detail = (uint8_t)detail};
}

#define LIST_LIMIT	 (1U << 20)
#define BUCKHASH_LEN	 179999U
#define PERSISTENT_CHUNK (256U << 10)
#define SUMMARY_LEVELS	 5U
#define CHUNKS_L1	 8192U

/** Follows a list of equal pieces from `at` through the pointer at `next_off`. */
static void list_add(struct reading *r, taddr at, uint32_t next_off, bytes len,
		     enum region_kind kind, enum region_detail d)
{
	for (uint32_t i = 0; at != 0; i++) {
		uint64_t next;
		if (i == LIST_LIMIT) {
			reading_broke(r, "the runtime's list of %s does not end", REGION_NAMES[d]);
			return;
		}
		region_add(r, at, len, kind, d);
		if (!mem_uint(r->t, at + next_off, 8, &next, NULL) &&
		    !(refresh_maps(r) && mem_uint(r->t, at + next_off, 8, &next, NULL))) {
			reading_broke(
				r, "the runtime's list of %s ends at an address that can't be read",
				REGION_NAMES[d]);
			return;
		}
		at = next;
	}
}

static taddr pointer_at(struct reading *r, taddr at)
{
	uint64_t v = 0;
	return at != 0 && mem_uint(r->t, at, 8, &v, NULL) ? v : 0;
}

bool read_regions(struct reading *r, struct err *err)
{
	(void)err;
	const struct layout *l = r->l;
	const struct symbols *y = &r->g->sym;
	const struct field lists[] = {l->gcBitsArenas_free, l->gcBitsArenas_next,
				      l->gcBitsArenas_current, l->gcBitsArenas_previous};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		list_add(r, pointer_at(r, y->gcBitsArenas + lists[i].off), l->gcBitsArena_next.off,
			 l->gcBitsArena_size.width, REGION_GC, RD_GCBITS);
	for (uint32_t i = 0; i < SUMMARY_LEVELS; i++) {
		struct go_slice s = get_slice(
			r->mheap, (struct field){l->mheap_pages_summary.off + 24 * i, 24});
		region_add(r, s.ptr, s.cap * 8, REGION_GC, RD_SUMMARY);
	}
	for (uint32_t i = 0; i < CHUNKS_L1; i++) {
		taddr l2 = load(r->mheap + l->mheap_pages_chunks.off + 8 * (size_t)i, 8);
		region_add(r, l2, 8192 * (bytes)l->pallocData_size.width, REGION_GC, RD_CHUNKS);
	}
	if (l->mheap_scavIndex_chunks.width != 0) {
		struct go_slice s = get_slice(r->mheap, l->mheap_scavIndex_chunks);
		bytes elem = l->atomicScavChunkData_size.width != 0
				     ? l->atomicScavChunkData_size.width
				     : 1;
		region_add(r, s.ptr, s.cap * elem, REGION_GC, RD_SCAV_INDEX);
	}
	if (l->work_spanSPMCs_list.width != 0 && l->spanSPMC_size.width != 0) {
		/* each ring is made by persistentalloc or mmap; the nodes come from a fixalloc in
		 * the chunks below */
		taddr at = pointer_at(r, y->work + l->work_spanSPMCs_list.off);
		for (uint32_t i = 0; at != 0 && i < LIST_LIMIT; i++) {
			uint64_t cap = 0;
			(void)mem_uint(r->t, at + l->spanSPMC_cap.off, 4, &cap, NULL);
			region_add(r, pointer_at(r, at + l->spanSPMC_ring.off), cap * 8, REGION_GC,
				   RD_SPAN_QUEUE);
			at = pointer_at(r, at + l->spanSPMC_allnode_next.off);
		}
	}
	region_add(r, pointer_at(r, y->buckhash), BUCKHASH_LEN * 8, REGION_PROFILER, RD_BUCKHASH);
	list_add(r, pointer_at(r, y->persistentChunks), 0, PERSISTENT_CHUNK, REGION_OTHER,
		 RD_PERSISTENT);
	return true;
}
