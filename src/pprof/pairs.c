/* Open addressing; grows at two thirds. */
#include "pprof/pairs.h"

static uint32_t pair_slot(uint64_t key, uint32_t mask)
{
	return (uint32_t)((key * 0x9e3779b97f4a7c15U) >> 32) & mask;
}

static void pairs_grow(struct pairs *h, struct arena *a)
{
	struct pairs old = *h;

	h->mask = old.v ? old.mask * 2 + 1 : 1023;
	h->v = arena_resize(a, NULL, 0, ((uint64_t)h->mask + 1) * sizeof(*h->v), NULL);
	if (!h->v) /* which ends the program with a sentence */
		h->v = ARENA_ARRAY(a, struct pair, (size_t)h->mask + 1);
	for (uint32_t i = 0; old.v && i <= old.mask; i++)
		if (old.v[i].at) {
			uint32_t s = pair_slot(old.v[i].key, h->mask);

			while (h->v[s].at)
				s = (s + 1) & h->mask;
			h->v[s] = old.v[i];
		}
	if (old.v)
		pairs_free(&old, a);
}

void pairs_free(struct pairs *h, struct arena *a)
{
	(void)arena_resize(a, h->v, ((size_t)h->mask + 1) * sizeof(*h->v), 0, NULL);
	*h = (struct pairs){0};
}

struct pair *pairs_find(struct pairs *h, struct arena *a, uint32_t x, uint32_t y)
{
	uint64_t key = (uint64_t)x << 32 | y;
	uint32_t s;

	if (!h->v || (uint64_t)h->n * 3 > (uint64_t)h->mask * 2)
		pairs_grow(h, a);
	for (s = pair_slot(key, h->mask); h->v[s].at; s = (s + 1) & h->mask)
		if (h->v[s].key == key)
			return &h->v[s];
	h->v[s].key = key;
	h->n++;
	return &h->v[s];
}
