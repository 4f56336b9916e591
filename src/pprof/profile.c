/*
 * The empty profile, its strings and their interning. Everything else that makes profiles stands
 * on these: decode.c, the legacy formats, merge.c and whoever reads one out of a process.
 */
#include "pprof/profile.h"

#include <string.h>

#include "pprof/set.h"

uint64_t hash_bytes(uint64_t h, const void *d, size_t n)
{
	const uint8_t *p = d;
	uint64_t v;

	h = hash_mix(h, n);
	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&v, p, 8);
		h = hash_mix(h, v);
	}
	v = 0;
	if (n)
		memcpy(&v, p, n);
	return hash_mix(h, v);
}

static void put(struct pprof_set *s, struct pprof_slot e)
{
	uint32_t at = e.hash & (s->cap - 1);

	while (s->slots[at].at)
		at = (at + 1) & (s->cap - 1);
	s->slots[at] = e;
}

void pprof_set_room(struct pprof_set *s, struct arena *mem, uint32_t n)
{
	struct pprof_set bigger = {.n = s->n, .cap = s->cap ? s->cap : 64};

	while ((uint64_t)n * 3 > (uint64_t)bigger.cap * 2 && bigger.cap < 1U << 31)
		bigger.cap *= 2;
	if (bigger.cap == s->cap)
		return;
	bigger.slots = arena_resize(mem, NULL, 0, bigger.cap * sizeof(*s->slots), NULL);
	if (!bigger.slots) /* which ends the program with a sentence */
		bigger.slots = ARENA_ARRAY(mem, struct pprof_slot, bigger.cap);
	for (uint32_t i = 0; i < s->cap; i++)
		if (s->slots[i].at)
			put(&bigger, s->slots[i]);
	(void)arena_resize(mem, s->slots, s->cap * sizeof(*s->slots), 0, NULL);
	*s = bigger;
}

uint32_t pprof_set_next(const struct pprof_set *s, uint64_t hash, uint32_t *at)
{
	if (!s->cap)
		return PPROF_NONE;
	for (;; (*at)++) {
		struct pprof_slot e = s->slots[((uint32_t)hash + *at) & (s->cap - 1)];

		if (!e.at)
			return PPROF_NONE;
		if (e.hash == (uint32_t)hash) {
			(*at)++;
			return e.at - 1;
		}
	}
}

void pprof_set_add(struct pprof_set *s, struct arena *mem, uint64_t hash, uint32_t index)
{
	pprof_set_room(s, mem, s->n + 1);
	put(s, (struct pprof_slot){.hash = (uint32_t)hash, .at = index + 1});
	s->n++;
}

void pprof_init(struct pprof *p, struct arena *mem)
{
	*p = (struct pprof){.mem = mem};
	pprof_strn(p, "", 0);
}

pstr pprof_strn(struct pprof *p, const char *s, size_t n)
{
	uint64_t hash = hash_bytes((uintptr_t)p->mem, s, n);
	uint32_t at = 0, i;

	while ((i = pprof_set_next(&p->string_set, hash, &at)) != PPROF_NONE)
		if (p->strings[i].n == n && memcmp(p->strings[i].s, s, n) == 0)
			return i;
	vec_room(p->mem, (void **)(void *)&p->strings, p->n_strings, &p->cap_strings,
		 sizeof(*p->strings));
	p->strings[p->n_strings] = (struct pprof_string){arena_strndup(p->mem, s, n), (uint32_t)n};
	pprof_set_add(&p->string_set, p->mem, hash, p->n_strings);
	return p->n_strings++;
}

pstr pprof_str(struct pprof *p, const char *s)
{
	return pprof_strn(p, s, strlen(s));
}

int pprof_str_compare(const struct pprof *p, pstr a, pstr b)
{
	struct pprof_string x = p->strings[a], y = p->strings[b];
	int c = a == b ? 0 : memcmp(x.s, y.s, MIN(x.n, y.n));

	return c ? c : (x.n > y.n) - (x.n < y.n);
}

void pprof_type_add(struct pprof *p, const char *type, const char *unit)
{
	struct pprof_value_type t = {pprof_str(p, type), pprof_str(p, unit)};

	vec_room(p->mem, (void **)(void *)&p->types, p->n_types, &p->cap_types, sizeof(t));
	p->types[p->n_types++] = t;
}

void pprof_comment_add(struct pprof *p, pstr comment)
{
	vec_room(p->mem, (void **)(void *)&p->comments, p->n_comments, &p->cap_comments,
		 sizeof(comment));
	p->comments[p->n_comments++] = comment;
}

pindex pprof_mapping_add(struct pprof *p, const struct pprof_mapping *m)
{
	vec_room(p->mem, (void **)(void *)&p->mappings, p->n_mappings, &p->cap_mappings,
		 sizeof(*m));
	p->mappings[p->n_mappings] = *m;
	p->mappings[p->n_mappings].id = p->n_mappings + 1;
	return p->n_mappings++;
}

/* Strings before numbers, then by key. */
static bool label_after(const struct pprof *p, const struct pprof_label *a,
			const struct pprof_label *b)
{
	if (a->is_num != b->is_num)
		return a->is_num;
	return pprof_str_compare(p, a->key, b->key) > 0;
}

/* A stable merge sort of what is in `v`, with `tmp` of the same length. */
static void labels_merge(const struct pprof *p, struct pprof_label *v, struct pprof_label *tmp,
			 uint32_t n)
{
	uint32_t half = n / 2, i = 0, j = half;

	if (n < 2)
		return;
	labels_merge(p, v, tmp, half);
	labels_merge(p, v + half, tmp, n - half);
	for (uint32_t k = 0; k < n; k++)
		tmp[k] = j == n || (i < half && !label_after(p, &v[i], &v[j])) ? v[i++] : v[j++];
	memcpy(v, tmp, n * sizeof(*v));
}

void pprof_labels_sort(const struct pprof *p, struct pprof_label *labels, uint32_t n)
{
	bool sorted = true;

	for (uint32_t i = 1; i < n && sorted; i++)
		sorted = !label_after(p, &labels[i - 1], &labels[i]);
	if (sorted)
		return;
	struct arena_mark m = arena_mark(p->mem);
	labels_merge(p, labels, ARENA_ARRAY(p->mem, struct pprof_label, n), n);
	arena_reset(p->mem, m);
}
