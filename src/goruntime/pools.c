/*
 * What lies parked in sync.Pool: per P one private value and a chain of rings, and the same of the
 * last cycle's victims (sync/pool.go, poolqueue.go). A value counts with its own slot and with the
 * pointer-free slots that its first words point to: a pooled *[]byte or *bytes.Buffer is small, and
 * its buffer is what matters.
 */
#include "goruntime/rt.h"

#include <string.h>

#define MAX_POOLS   65536U
#define MAX_VALUES  (1U << 20)
#define MAX_RING    (1U << 20)
#define MAX_CHAIN   64U
#define VALUE_WORDS 8U

struct pools_reader {
	struct reading *r;
	bytes sum;
	uint32_t values;
	taddr *seen; /* open addressing: slots that are counted */
	uint32_t mask;
};

/** Counts the slot that holds `at`, once; returns its span. */
static const struct span *count_slot(struct pools_reader *w, taddr at, bool only_noscan)
{
	const struct span *s = span_find(&w->r->s->heap, at);
	if (s == NULL || s->state != SPAN_HEAP || (only_noscan && !(s->spanclass & 1)))
		return NULL;
	bytes elem = span_elemsize(s);
	taddr slot = s->start + round_down(at - s->start, elem);
	uint32_t i = (uint32_t)(slot * 0x9E3779B97F4A7C15ULL >> 40) & w->mask;
	for (uint32_t step = 0; w->seen[i] != 0; i = (i + 1) & w->mask) {
		if (w->seen[i] == slot || ++step > 64)
			return NULL;
	}
	w->seen[i] = slot;
	w->sum += elem;
	return s;
}

static void take_value(struct pools_reader *w, const uint64_t eface[2])
{
	if (eface[0] == 0 || eface[1] == 0 || w->values == MAX_VALUES)
		return;
	w->values++;
	const struct span *s = count_slot(w, eface[1], false);
	uint64_t word[VALUE_WORDS];
	if (s == NULL || s->spanclass & 1)
		return;
	size_t n = MIN(span_elemsize(s), sizeof word);
	if (target_read(w->r->t, eface[1], word, n) != n)
		return;
	for (size_t i = 0; i < n / 8; i++)
		count_slot(w, word[i], true);
}

static void take_ring(struct pools_reader *w, const uint8_t *elt)
{
	struct go_slice vals = get_slice(elt, w->r->l->poolChainElt_vals);
	if (vals.len > MAX_RING)
		return;
	uint64_t v[64][2];
	for (uint64_t i = 0; i < vals.len; i += ARRAY_LEN(v)) {
		size_t n = (size_t)MIN(vals.len - i, ARRAY_LEN(v));
		if (target_read(w->r->t, vals.ptr + i * 16, v, n * 16) != n * 16)
			return;
		for (size_t k = 0; k < n; k++)
			take_value(w, v[k]);
	}
}

static void take_locals(struct pools_reader *w, taddr at, uint64_t n)
{
	const struct layout *l = w->r->l;
	uint8_t d[256], elt[128];
	if (l->poolLocal_size.width > sizeof d || l->poolChainElt_size.width > sizeof elt ||
	    n > 4096)
		return;
	for (uint64_t i = 0; i < n && at != 0; i++) {
		uint64_t private[2];
		if (target_read(w->r->t, at + i * l->poolLocal_size.width, d,
				l->poolLocal_size.width) != l->poolLocal_size.width)
			return;
		memcpy(private, d + l->poolLocal_private.off, sizeof private);
		take_value(w, private);
		taddr chain = load(d + l->poolLocal_head.off, 8);
		for (uint32_t k = 0; k < MAX_CHAIN && chain != 0; k++) {
			if (target_read(w->r->t, chain, elt, l->poolChainElt_size.width) !=
			    l->poolChainElt_size.width)
				break;
			take_ring(w, elt);
			chain = load(elt + l->poolChainElt_prev.off, 8);
		}
	}
}

static bool take_pools(struct pools_reader *w, taddr list)
{
	const struct layout *l = w->r->l;
	struct go_slice all;
	uint8_t d[128];
	if (list == 0 || target_read(w->r->t, list, &all, sizeof all) != sizeof all ||
	    all.len > MAX_POOLS)
		return false;
	for (uint64_t i = 0; i < all.len; i++) {
		uint64_t pool;
		if (!mem_uint(w->r->t, all.ptr + 8 * i, 8, &pool, NULL) ||
		    target_read(w->r->t, pool, d, l->pool_size.width) != l->pool_size.width)
			continue;
		take_locals(w, get(d, l->pool_local), get(d, l->pool_localSize));
		take_locals(w, get(d, l->pool_victim), get(d, l->pool_victimSize));
	}
	return true;
}

void read_pools(struct reading *r)
{
	const struct layout *l = r->l;
	r->s->pool_bytes = UINT64_MAX;
	if (l->pool_size.width == 0 || l->pool_size.width > 128 || l->poolLocal_size.width == 0 ||
	    l->poolChainElt_vals.width == 0)
		return;
	struct arena_mark mark = arena_mark(&r->scratch);
	struct pools_reader w = {.r = r, .mask = (1U << 17) - 1};
	w.seen = ARENA_ARRAY(&r->scratch, taddr, w.mask + 1);
	bool all = take_pools(&w, r->g->sym.allPools), old = take_pools(&w, r->g->sym.oldPools);
	if (all || old)
		r->s->pool_bytes = w.sum;
	arena_reset(&r->scratch, mark);
}
