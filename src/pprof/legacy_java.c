/*
 * Java's heapz and contentionz: attributes, samples, then a table that says what each "address" is,
 * which are numbers that the agent made up: they are dropped once the lines are known.
 */
#include <string.h>

#include "pprof/gotext.h"
#include "pprof/legacy.h"
#include "pprof/set.h"

#define HEAP_RATE 524288

/* The next line that is not empty, trimmed, without moving on; false when no whole line is left. */
static bool peek(struct legacy *g, struct span *ret, const char **ret_next)
{
	for (;;) {
		const char *nl = memchr(g->at, '\n', (size_t)(g->end - g->at));

		if (!nl)
			return false;
		*ret = span_trim((struct span){g->at, (size_t)(nl - g->at)});
		*ret_next = nl + 1;
		if (ret->n)
			return true;
		g->at = nl + 1;
	}
}

static bool is(struct span s, const char *text)
{
	return s.n == strlen(text) && memcmp(s.s, text, s.n) == 0;
}

static enum legacy_verdict attribute(struct legacy *g, bool heap, struct span name,
				     struct span value)
{
	struct pprof *p = g->p;
	int64_t v;

	if (is(name, "format"))
		return is(value, "java") ? LEGACY_OK : LEGACY_OTHER;
	if (is(name, "resolution")) {
		p->n_types = 0;
		pprof_type_add(p, heap ? "inuse_objects" : "contentions", "count");
		pprof_type_add(p, heap ? "inuse_space" : "delay", "");
		p->types[1].unit = span_str(g, value);
		return LEGACY_OK;
	}
	if (heap || (!is(name, "sampling period") && !is(name, "ms since reset")))
		return LEGACY_OTHER;
	if (!span_int(value, 0, &v))
		return legacy_bad(g, "an attribute is no number");
	if (is(name, "ms since reset")) {
		p->duration_nanos = go_mul(v, 1000000);
		return LEGACY_OK;
	}
	p->period_type =
		(struct pprof_value_type){pprof_str(p, "contentions"), pprof_str(p, "count")};
	p->period = v;
	return LEGACY_OK;
}

static enum legacy_verdict sample(struct legacy *g, bool heap, const struct span *part)
{
	struct legacy_sample *s = legacy_sample(g);
	int64_t *v;

	if (!s)
		return LEGACY_BAD;
	v = s->values;
	if (!legacy_push_all(g, s, part[3], 0, false))
		return LEGACY_BAD;
	/* the size comes before the count */
	if (!span_int(part[2], 0, &v[0]) || !span_int(part[1], 0, &v[1]))
		return legacy_bad(g, "a value is no number");
	if (!heap) {
		if (g->p->period) {
			v[0] = go_mul(v[0], g->p->period);
			v[1] = go_mul(v[1], g->p->period);
		}
		return LEGACY_OK;
	}
	if (v[0] == 0)
		return legacy_bad(g, "a sample's second value must not be zero");
	s->block_size = v[1] / v[0];
	s->has_block_size = true;
	legacy_unsample(&v[0], &v[1], HEAP_RATE);
	return LEGACY_OK;
}

enum legacy_verdict legacy_java(struct legacy *g)
{
	struct span line, part[LEGACY_GROUPS];
	enum legacy_verdict v = LEGACY_OK;
	const char *next;
	bool heap;

	if (!memchr(g->at, '\n', (size_t)(g->end - g->at)))
		return LEGACY_OTHER;
	legacy_line(g);
	line = span_trim(g->line);
	heap = is(line, "--- heapz 1 ---");
	if (!heap && !is(line, "--- contentionz 1 ---"))
		return LEGACY_OTHER;
	g->is_java = true;
	while (v == LEGACY_OK && peek(g, &line, &next) &&
	       legacy_match(g, RX_JAVA_ATTRIBUTE, line, part)) {
		v = attribute(g, heap, span_trim(part[1]), span_trim(part[2]));
		g->at = next;
	}
	while (v == LEGACY_OK && peek(g, &line, &next) &&
	       legacy_match(g, RX_JAVA_SAMPLE, line, part)) {
		v = sample(g, heap, part);
		g->at = next;
	}
	return v == LEGACY_OK ? legacy_java_locations(g) : v;
}

/* Functions are known by their names alone; the first one's file stays. */
static pindex function(struct legacy *g, struct pprof_set *by_name, struct span name,
		       struct span file)
{
	struct pprof_function f = {.name = span_str(g, name)};
	uint64_t hash = hash_mix((uintptr_t)g->mem, f.name);
	uint32_t at = 0, i;

	while ((i = pprof_set_next(by_name, hash, &at)) != PPROF_NONE)
		if (g->functions.v[i].name == f.name)
			return i;
	f.system_name = f.name;
	f.file = span_str(g, file);
	pprof_set_add(by_name, &g->tmp, hash, g->functions.n);
	*VEC_PUSH(&g->tmp, &g->functions) = f;
	return g->functions.n - 1;
}

enum legacy_verdict legacy_java_locations(struct legacy *g)
{
	struct span part[LEGACY_GROUPS], in[LEGACY_GROUPS];
	struct pprof_set by_name = {0};

	if (!legacy_find_places(g))
		return LEGACY_BAD;
	while (legacy_line(g)) {
		struct span name, file = {"", 0}, line = span_trim(g->line);
		struct legacy_place *l;
		int64_t number;
		uint64_t addr;
		uint32_t i;

		if (line.n == 0 || !legacy_match(g, RX_JAVA_LOCATION, line, part))
			continue;
		if (!span_hex(part[1], &addr))
			return legacy_bad(g, "an address is too large");
		i = legacy_place(g, addr);
		if (i == PPROF_NONE)
			continue; /* no sample has it */
		l = &g->places[i];
		l->line = 0;
		name = part[2];
		if (legacy_match(g, RX_JAVA_FILE_LINE, part[2], in)) {
			name = in[1];
			file = in[2];
			if (span_int(in[3], 10, &number) && number > 0)
				l->line = number;
		} else if (legacy_match(g, RX_JAVA_PATH, part[2], in)) {
			char *base =
				go_path_base(&g->tmp, arena_strndup(&g->tmp, in[2].s, in[2].n));

			name = in[1];
			file = (struct span){base, strlen(base)};
		} else if (span_has(part[2], "generated stub/JIT")) {
			name = (struct span){"STUB", 4};
		}
		l->function = function(g, &by_name, name, file);
	}
	return legacy_finish(g, false);
}
