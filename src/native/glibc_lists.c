/*
 * Free chunks that look as if they were in use: those of the threads' caches (tcache) and of the
 * fast bins. A cache is itself a chunk of a known size, found by what it must hold: a count for
 * every list, and lists of chunks of the right sizes. Lists change while they are read; each step
 * is checked, and a list that breaks is given up where it breaks, which misattributes a few chunks
 * and nothing more.
 */
#include "native/glibc.h"

#include <stdlib.h>
#include <string.h>

#define TCACHES_MAX    (1U << 15)
#define ENTRIES_MAX    (1U << 20)
#define LIST_MAX       UINT16_MAX
#define FAST_READS_MAX (1U << 16) /* chunks of fast bins that are read one by one */
#define SMALL_BINS     64U
#define MIN_LARGE      0x410U /* lists from the 65th on hold chunks from here */

/* Counts and lists agree: what is counted has a list, in the memory of the arenas. */
static bool look_is_good(struct walk *w, const uint64_t *count, const taddr *entry, uint32_t bins,
			 bool slots)
{
	uint64_t full = 0;
	bool any = false;

	for (uint32_t i = 0; slots && i < bins; i++)
		full = MAX(full, count[i]);
	for (uint32_t i = 0; i < bins; i++) {
		bool empty = slots ? count[i] == full || entry[i] == 0 : count[i] == 0;

		if (empty != (entry[i] == 0) || entry[i] % CHUNK_ALIGN)
			return false;
		any |= !empty;
	}
	for (uint32_t i = 0; any && i < bins; i++) {
		if (entry[i] && !zone_find(w, entry[i]))
			return false;
	}
	return any;
}

void tcache_look(struct walk *w, taddr mem, bytes size, const uint8_t *body)
{
	struct tcache_look look = {.mem = mem, .bins = SMALL_BINS, .width = 2};
	uint64_t count[76];
	taddr entry[76];

	if (size < 0x290) {
		look.width = 1;
	} else if (size >= 0x300) {
		look.bins = 76;
		look.slots = true;
	}
	for (uint32_t i = 0; i < look.bins; i++) {
		const uint8_t *c = body + i * look.width;

		count[i] = look.width == 1 ? c[0] : (uint64_t)c[0] | (uint64_t)c[1] << 8;
		entry[i] = word_at(body + look.bins * look.width + i * 8);
		/* Nearly all chunks of this size are something else, and fail here. */
		if (entry[i] % CHUNK_ALIGN || (!look.slots && (count[i] == 0) != (entry[i] == 0)))
			return;
	}
	if (w->tcaches.n == TCACHES_MAX || !look_is_good(w, count, entry, look.bins, look.slots))
		return;
	look.data = w->tcache_data.n;
	for (uint32_t i = 0; i < look.bins; i++)
		*VEC_PUSH(w->scratch, &w->tcache_data) = entry[i];
	for (uint32_t i = 0; i < look.bins; i++)
		*VEC_PUSH(w->scratch, &w->tcache_data) = look.slots ? LIST_MAX : count[i];
	*VEC_PUSH(w->scratch, &w->tcaches) = look;
}

static taddr unmangle(const struct walk *w, taddr at, uint64_t next)
{
	return w->mangled ? next ^ at >> OS_PAGE_SHIFT : next;
}

/* Whether `next`, the word at `at`, links to nothing or to a chunk, safe-linked or not. */
static bool links(struct walk *w, taddr at, uint64_t next, bool mangled)
{
	if (mangled)
		next ^= at >> OS_PAGE_SHIFT;
	return next == 0 || (next % CHUNK_ALIGN == 0 && zone_find(w, next));
}

void lists_probe(struct walk *w)
{
	uint32_t plain = 0, mangled = 0, n = 0;

	w->mangled = true;
	for (uint32_t i = 0; i < w->arenas.n && n < 64; i++) {
		for (uint32_t k = 0; k < w->layout->n_fast; k++) {
			taddr at = w->arenas.v[i].fast[k] + 16;
			uint64_t next;

			if (at == 16 || !zone_find(w, at) ||
			    !read_awake(w, at, &next, sizeof(next)))
				continue;
			mangled += links(w, at, next, true);
			plain += links(w, at, next, false);
			n++;
		}
	}
	if (n)
		w->mangled = mangled >= plain;
}

/* A list of a thread's cache on its way. */
struct list {
	uint32_t look, bin;
	uint64_t left;
	taddr at; /* memory of the chunk to read next */
};

struct entry {
	taddr chunk;
	bytes size;
	uint64_t key;
	uint32_t look;
};

struct lists {
	struct walk *w;
	VEC(struct list) lists;
	VEC(struct entry) entries;
};

static bool entry_size_is(uint32_t bin, bytes size)
{
	return bin < SMALL_BINS ? size == CHUNK_MIN + bin * CHUNK_ALIGN : size >= MIN_LARGE;
}

/* Takes one step in all lists at once; drops those that ended or broke. */
static void lists_step(struct lists *q, struct mem_span *span, uint64_t (*got)[4])
{
	struct walk *w = q->w;
	uint32_t n = 0;

	for (uint32_t i = 0; i < q->lists.n; i++)
		span[i] = (struct mem_span){.at = q->lists.v[i].at - 16, .dst = got[i], .n = 32};
	mem_read_many(w->t, span, q->lists.n);
	for (uint32_t i = 0; i < q->lists.n; i++) {
		struct list l = q->lists.v[i];
		bytes size = got[i][1] & ~(uint64_t)15;

		if (span[i].got != 32 || (got[i][1] & (CHUNK_MMAPPED | 8)) ||
		    !entry_size_is(l.bin, size) || q->entries.n == ENTRIES_MAX)
			continue;
		*VEC_PUSH(w->scratch, &q->entries) =
			(struct entry){l.at - 16, size, got[i][3], l.look};
		l.at = unmangle(w, l.at, got[i][2]);
		if (--l.left == 0 || l.at == 0 || l.at % CHUNK_ALIGN || !zone_find(w, l.at) ||
		    is_asleep(w, l.at - 16, 32))
			continue;
		q->lists.v[n++] = l;
	}
	q->lists.n = n;
}

static int entry_cmp(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return (x->chunk > y->chunk) - (x->chunk < y->chunk);
}

/* The key that most entries have: random, one a process (2.34 on). Boyer and Moore's vote. */
static uint64_t key_common(const struct lists *q)
{
	uint64_t key = 0;
	uint32_t votes = 0;

	for (uint32_t i = 0; i < q->entries.n; i++) {
		if (votes == 0)
			key = q->entries.v[i].key;
		votes = q->entries.v[i].key == key ? votes + 1 : votes - 1;
	}
	return key;
}

/* Told by its looks: fast_overflow counts it, in whatever list it is. */
static bool is_told_by_looks(struct walk *w, const struct entry *e)
{
	const struct zone *z = zone_find(w, e->chunk);
	uint64_t bin = (e->size - CHUNK_MIN) / CHUNK_ALIGN;

	return w->fast_more && w->mangled && z && bin < w->layout->n_fast &&
	       w->arenas.v[z->arena].fast[bin];
}

/* Chunks of the caches off the used bytes, each once. */
static void entries_take(struct lists *q)
{
	struct walk *w = q->w;
	uint64_t key = key_common(q);
	taddr last = 0;

	if (q->entries.n)
		qsort(q->entries.v, q->entries.n, sizeof(*q->entries.v), entry_cmp);
	for (uint32_t i = 0; i < q->entries.n; i++) {
		const struct entry *e = &q->entries.v[i];
		const struct tcache_look *look = &w->tcaches.v[e->look];
		bytes n;

		/* 2.29 to 2.33 keep the cache's address there, 2.28 nothing. */
		if (e->chunk == last || (look->width > 1 && e->key != key && e->key != look->mem))
			continue;
		last = e->chunk;
		if (is_told_by_looks(w, e))
			continue;
		n = zone_unuse(w, e->chunk, e->size);
		if (!n)
			continue;
		w->tcache_free += n;
		w->chunks_free++;
		w->chunks_used -= w->chunks_used > 0;
	}
}

/* Safe-linked or not, by the first chunks of the lists. */
static void mangling_learn(struct lists *q)
{
	struct walk *w = q->w;
	uint32_t plain = 0, mangled = 0;

	for (uint32_t i = 0; i < q->lists.n && i < 256; i++) {
		uint64_t next;

		if (!read_awake(w, q->lists.v[i].at, &next, sizeof(next)))
			continue;
		plain += links(w, q->lists.v[i].at, next, false);
		mangled += links(w, q->lists.v[i].at, next, true);
	}
	if (plain || mangled)
		w->mangled = mangled >= plain;
}

static void tcaches_walk(struct walk *w)
{
	struct lists q = {.w = w};
	struct mem_span *span;
	uint64_t(*got)[4];

	for (uint32_t i = 0; i < w->tcaches.n; i++) {
		const struct tcache_look *look = &w->tcaches.v[i];

		for (uint32_t k = 0; k < look->bins; k++) {
			taddr at = w->tcache_data.v[look->data + k];

			if (at && q.lists.n < ENTRIES_MAX && !is_asleep(w, at - 16, 32))
				*VEC_PUSH(w->scratch, &q.lists) = (struct list){
					i, k, w->tcache_data.v[look->data + look->bins + k], at};
		}
	}
	if (!q.lists.n)
		return;
	mangling_learn(&q);
	span = ARENA_ARRAY(w->scratch, struct mem_span, q.lists.n);
	got = arena_alloc(w->scratch, q.lists.n * sizeof(*got));
	for (uint32_t i = 0; i < LIST_MAX && q.lists.n && q.entries.n < ENTRIES_MAX; i++)
		lists_step(&q, span, got);
	entries_take(&q);
}

/* The remembered chunk of this address and bin; `hint` is where the last one was found. */
static struct fast_chunk *fast_find(struct walk *w, taddr at, uint32_t *hint)
{
	uint32_t lo = 0, hi = w->n_fast;

	/* Lists mostly run along the memory, one way or the other. */
	for (uint32_t i = *hint ? *hint - 1 : 0; i < w->n_fast && i <= *hint + 1; i++) {
		if (w->fast[i].at == at) {
			*hint = i;
			return &w->fast[i];
		}
	}
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (w->fast[mid].at < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == w->n_fast || w->fast[lo].at != at)
		return NULL;
	*hint = lo;
	return &w->fast[lo];
}

#define FAST_DONE 1U /* in fast_chunk.next: was taken */

static void fast_list(struct walk *w, uint32_t arena, uint32_t bin, taddr at, uint32_t *reads)
{
	bytes size = CHUNK_MIN + bin * CHUNK_ALIGN;
	uint32_t hint = 0;

	while (at && at % CHUNK_ALIGN == 0) {
		struct fast_chunk *c = fast_find(w, at | bin, &hint);
		const struct zone *r;
		uint64_t b[3];
		taddr next;

		if (c) {
			if (c->next & FAST_DONE)
				return;
			next = c->next;
			c->next |= FAST_DONE;
		} else {
			/* Freed since the walk, or one of too many. */
			r = zone_find(w, at);
			if (!*reads || !r || r->arena != arena ||
			    !read_awake(w, at, b, sizeof(b)) || (b[1] & ~(uint64_t)7) != size)
				return;
			(*reads)--;
			next = unmangle(w, at + 16, b[2]);
		}
		w->fast_free += zone_unuse(w, at, size);
		w->chunks_free++;
		w->chunks_used -= w->chunks_used > 0;
		at = next;
	}
}

static void fast_walk(struct walk *w)
{
	uint32_t reads = FAST_READS_MAX;
	taddr head[ARENA_FAST];
	size_t n = w->layout->n_fast * sizeof(*head);

	/* Too many to follow their lists: what looks like one counts, as in fast_overflow. */
	for (uint32_t i = 0; w->fast_more && w->mangled && i < w->n_fast; i++) {
		bytes size = CHUNK_MIN + w->fast[i].at % CHUNK_ALIGN * CHUNK_ALIGN;

		w->fast_free += zone_unuse(w, round_down(w->fast[i].at, CHUNK_ALIGN), size);
		w->chunks_free++;
		w->chunks_used -= w->chunks_used > 0;
	}
	for (uint32_t i = 0; !(w->fast_more && w->mangled) && n && i < w->arenas.n; i++) {
		const struct glibc_arena *a = &w->arenas.v[i];

		/* Anew: they were read before the walk. */
		if (target_read(w->t, a->at + w->layout->bins - 96, head, n) != n)
			continue;
		for (uint32_t k = 0; k < w->layout->n_fast; k++)
			fast_list(w, i, k, head[k], &reads);
	}
	if (w->fast_more)
		note_add(w->s, false, "malloc's fast bins hold more than %u chunks: %s",
			 w->cap_fast,
			 w->mangled ? "they were told by their looks"
				    : "some of them count as in use");
}

void lists_walk(struct walk *w)
{
	tcaches_walk(w);
	fast_walk(w);
}
