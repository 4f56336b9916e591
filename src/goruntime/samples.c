/*
 * The objects that the heap profile has sampled and that are allocated: each carries a special
 * record on its span that names the profile's bucket (runtime/mheap.go, specialprofile). This is
 * how a call site is known to hold this very address.
 */
#include "goruntime/rt.h"

#include <string.h>

#define SPECIAL_BLOCKS 64U
#define MAX_CHAIN      65536U /* specials of one span */
#define MAX_SAMPLES    (64U << 20)

struct bucket_index {
	const struct mem_bucket *buckets;
	uint32_t *at; /* by hash of the address: index + 1 */
	uint32_t mask;
};

static uint32_t bucket_slot(const struct bucket_index *x, taddr at)
{
	uint32_t k = (uint32_t)((at * 0x9E3779B97F4A7C15ULL) >> 32) & x->mask;
	while (x->at[k] != 0 && x->buckets[x->at[k] - 1].addr != at)
		k = (k + 1) & x->mask;
	return k;
}

/* runtime/mheap.go, _KindSpecialProfile: 2, then 3 with weak pointers, then 4 with tiny blocks */
static uint64_t profile_kind(const struct go_session *g)
{
	return g->release.minor <= 22 ? 2 : g->release.minor <= 24 ? 3 : 4;
}

void read_samples(struct reading *r)
{
	const struct layout *l = r->l;
	struct snapshot *s = r->s;
	uint32_t n = s->profile.n_buckets, size = l->specialprofile_size.width, dropped = 0;
	struct bucket_index x = {.buckets = s->profile.buckets, .mask = 255};
	struct blocks *blocks = blocks_new(r->t, &r->scratch, SPECIAL_BLOCKS);
	VEC(struct sampled) v = {0};
	uint8_t d[64];
	if (size == 0 || size > sizeof d)
		return;
	while (x.mask < 2 * n)
		x.mask = 2 * x.mask + 1;
	x.at = ARENA_ARRAY(&r->scratch, uint32_t, x.mask + 1);
	for (uint32_t i = 0; i < n; i++)
		x.at[bucket_slot(&x, x.buckets[i].addr)] = i + 1;
	for (uint32_t i = 0; i < r->specials.n; i++) {
		const struct span *p = &s->heap.spans[r->specials.v[i].span];
		bytes elem = span_elemsize(p);
		uint64_t last = 0;
		uint32_t steps = 0;
		taddr at = r->specials.v[i].at;
		for (; at != 0 && steps < MAX_CHAIN && v.n < MAX_SAMPLES; steps++) {
			/* every kind of special is at least as large as its head */
			if (!blocks_read(blocks, at, d, size))
				break;
			uint64_t offset = get(d, l->special_offset);
			if (offset < last || offset >= p->nelems * elem)
				break; /* freed and taken for another span meanwhile */
			last = offset;
			if (get(d, l->special_kind) == profile_kind(r->g)) {
				uint32_t k = x.at[bucket_slot(&x, get(d, l->specialprofile_b))];
				if (k != 0)
					*VEC_PUSH(r->mem, &v) = (struct sampled){
						.at = p->start + offset / elem * elem,
						.span = r->specials.v[i].span,
						.bucket = k - 1};
				else
					dropped++; /* newer than the list of buckets */
			}
			at = get(d, l->special_next);
		}
		dropped += at != 0;
	}
	s->sampled = v.v;
	s->n_sampled = v.n;
	if (dropped > 0)
		note_add(s, false,
			 "%u lists of sampled objects changed while they were read: some call "
			 "sites have fewer of them",
			 dropped);
}
