/*
 * Sets of array indices by hash, for interning. The hash is seeded by where the profile lies in
 * memory, so that a file cannot be made to collide; no order ever depends on it.
 */
#ifndef PPROF_SET_H
#define PPROF_SET_H

#include "pprof/profile.h"

static inline uint64_t hash_mix(uint64_t h, uint64_t v)
{
	__extension__ typedef unsigned __int128 wide;
	wide m = (wide)(h ^ v ^ 0x9e3779b97f4a7c15U) * (h | 0xd6e8feb86659fd93U);

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}
uint64_t hash_bytes(uint64_t h, const void *d, size_t n);

/** Room for n indices without growing. */
void pprof_set_room(struct pprof_set *s, struct arena *mem, uint32_t n);
/**
 * Walks the entries whose hash is `hash`: start with *at = 0; PPROF_NONE when there is no more.
 * The slot where the walk ended is where pprof_set_add puts a new one.
 */
uint32_t pprof_set_next(const struct pprof_set *s, uint64_t hash, uint32_t *at);
void pprof_set_add(struct pprof_set *s, struct arena *mem, uint64_t hash, uint32_t index);

#endif
