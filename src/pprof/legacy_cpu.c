/*
 * gperftools' CPU profile: words of 32 or 64 bits in either byte order. A header (0, 3, 0 for C++
 * or 1 for Java, the period in µs, 0), then samples (count, depth, addresses from the leaf), an end
 * mark (0, 1, 0), then a memory map as text, or Java's locations.
 */
#include <string.h>

#include "pprof/gotext.h"
#include "pprof/legacy.h"

#define STRIPPED_FRAMES 2
#define SIMILAR		32 /* one in so many samples may differ */

struct words {
	const uint8_t *at, *end; /* at NULL: a word was cut off */
	unsigned width;
	bool big;
};

static uint64_t word(struct words *w)
{
	uint64_t v = 0;

	if (!w->at || (size_t)(w->end - w->at) < w->width) {
		w->at = NULL;
		return 0;
	}
	for (unsigned i = 0; i < w->width; i++)
		v |= (uint64_t)w->at[i] << (w->big ? 8 * (w->width - 1 - i) : 8 * i);
	w->at += w->width;
	return v;
}

static enum legacy_verdict samples(struct legacy *g, struct words *w, bool adjust)
{
	while (w->at && w->at < w->end) {
		uint64_t count = word(w), depth = word(w);
		struct legacy_sample *s;

		if (!w->at || depth > (uint64_t)(w->end - w->at) / 4)
			return LEGACY_OTHER;
		s = legacy_sample(g);
		if (!s)
			return LEGACY_BAD;
		for (uint64_t i = 0; i < depth; i++) {
			uint64_t addr = word(w);

			/* callers' addresses are those behind the call */
			if (!legacy_push(g, s, addr - (adjust && i > 0)))
				return LEGACY_BAD;
		}
		if (count == 0 && depth == 1 && w->at && g->addrs[s->at] == 0) {
			g->n_samples--;
			g->n_addrs--;
			break;
		}
		s->values[0] = (int64_t)count;
		s->values[1] = go_mul((int64_t)count, g->p->period);
	}
	g->at = w->at ? (const char *)w->at : g->end;
	return LEGACY_OK;
}

/* The address that all samples but a few have as their second frame is the signal handler's. */
static void strip_handler(struct legacy *g)
{
	uint64_t margin = g->n_samples / SIMILAR, votes = 0, all = 0, addr = 0;

	for (uint64_t i = 0; i < g->n_samples; i++) { /* a majority's candidate */
		const struct legacy_sample *s = &g->samples[i];

		if (s->n < 2)
			continue;
		if (votes == 0)
			addr = g->addrs[s->at + 1];
		if (g->addrs[s->at + 1] == addr)
			votes++;
		else
			votes--;
	}
	for (uint64_t i = 0; i < g->n_samples; i++)
		all += g->samples[i].n > 1 && g->addrs[g->samples[i].at + 1] == addr;
	if (all == 0 || all < g->n_samples - margin)
		return;
	for (uint64_t i = 0; i < g->n_samples; i++) {
		struct legacy_sample *s = &g->samples[i];
		uint64_t *v = g->addrs + s->at;

		if (s->n < 2 || v[1] != addr)
			continue;
		memmove(v + 1, v + 2, (s->n - 2) * sizeof(*v));
		s->n--;
	}
}

enum legacy_verdict legacy_cpu(struct legacy *g)
{
	static const struct words kinds[] = {
		{.width = 4}, {.width = 4, .big = true}, {.width = 8}, {.width = 8, .big = true}};

	for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
		struct words w = kinds[k];
		uint64_t h[5];
		enum legacy_verdict v;

		w.at = (const uint8_t *)g->at;
		w.end = (const uint8_t *)g->end;
		for (unsigned i = 0; i < ARRAY_LEN(h); i++)
			h[i] = word(&w);
		if (!w.at || h[0] != 0 || h[1] != 3 || h[2] > 1 || h[3] == 0 || h[4] != 0)
			continue;
		g->p->period = go_mul((int64_t)h[3], 1000);
		g->p->period_type = (struct pprof_value_type){pprof_str(g->p, "cpu"),
							      pprof_str(g->p, "nanoseconds")};
		pprof_type_add(g->p, "samples", "count");
		pprof_type_add(g->p, "cpu", "nanoseconds");
		g->is_java = h[2] == 1;
		v = samples(g, &w, !g->is_java);
		if (v != LEGACY_OK)
			return v;
		if (g->is_java)
			return legacy_java_locations(g);
		for (unsigned i = 0; i < STRIPPED_FRAMES; i++)
			strip_handler(g);
		return legacy_maps(g) ? legacy_finish(g, true) : LEGACY_BAD;
	}
	return LEGACY_OTHER;
}
