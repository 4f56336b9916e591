/*
 * Memory maps behind legacy profiles: lines as in /proc/PID/maps, or brief ones, possibly with a
 * log's prefix and with variables (build=/path, then $build). What makes the first mapping the
 * program itself, and where a location belongs, follows google/pprof's heuristics
 * (massageMappings, remapMappingIDs): the formats do not say.
 */
#include <string.h>

#include "pprof/legacy.h"

#define VARIABLES_MAX 1000
#define LINE_MAX_LEN  65536U		  /* after variables are replaced */
#define PAIRS_MAX     ((uint64_t)1 << 32) /* locations × mappings that are compared */
#define EXE_START     0x400000U

struct variable {
	struct span name, value;
};

bool legacy_is_map_start(struct span line)
{
	return span_has(line, "--- Memory map: ---") || span_has(line, "MAPPED_LIBRARIES:");
}

/* "$name" by its value, the first variable of that name; false when the line grows too long. */
static bool expand(struct legacy *g, struct span *line, const struct variable *v, uint32_t n)
{
	char *out;
	size_t len = 0;

	if (n == 0 || !line->n || !memchr(line->s, '$', line->n))
		return true;
	out = arena_alloc(&g->tmp, LINE_MAX_LEN);
	for (size_t i = 0; i < line->n;) {
		struct span part = {line->s + i, 1};
		uint32_t k = n;

		if (line->s[i] == '$')
			for (k = 0; k < n; k++)
				if (v[k].name.n <= line->n - i - 1 &&
				    memcmp(v[k].name.s, line->s + i + 1, v[k].name.n) == 0)
					break;
		i += k < n ? v[k].name.n + 1 : 1;
		if (k < n)
			part = v[k].value;
		if (part.n > LINE_MAX_LEN - len)
			return false;
		memcpy(out + len, part.s, part.n);
		len += part.n;
	}
	*line = (struct span){out, len};
	return true;
}

static bool entry(struct legacy *g, struct span line, bool *ret_known)
{
	struct span p[LEGACY_GROUPS], perm, file, offset, build = {"", 0};
	struct pprof_mapping m = {0};

	*ret_known = true;
	if (legacy_match(g, RX_MAPS, line, p)) {
		perm = p[3];
		offset = p[4];
		file = p[5];
	} else if (legacy_match(g, RX_BRIEF_MAPS, line, p)) {
		perm = p[3];
		file = p[4];
		offset = p[5];
		build = p[6];
	} else {
		*ret_known = false;
		return true;
	}
	if (perm.n && !memchr(perm.s, 'x', perm.n))
		return true;
	if (!span_hex(p[1], &m.start) || !span_hex(p[2], &m.limit) ||
	    (offset.n && !span_hex(offset, &m.offset))) {
		*ret_known = false;
		return true;
	}
	m.file = span_str(g, file);
	m.build_id = span_str(g, build);
	if (g->maps.n >= UINT32_MAX / 2)
		return err_set(g->err, ERR_LIMIT, "too many mappings");
	*VEC_PUSH(&g->tmp, &g->maps) = m;
	return true;
}

bool legacy_maps(struct legacy *g)
{
	VEC(struct variable) variables = {0};

	while (legacy_line(g)) {
		struct span line = g->line, part[LEGACY_GROUPS];
		struct arena_mark mark = arena_mark(&g->tmp);
		const char *equals;
		uint32_t before = g->maps.n;
		bool known;

		if (legacy_match(g, RX_LOG_INFO, line, part)) {
			line.s += part[0].n;
			line.n -= part[0].n;
		}
		if (!expand(g, &line, variables.v, variables.n))
			continue;
		if (!entry(g, line, &known))
			return false;
		equals = line.n ? memchr(line.s, '=', line.n) : NULL;
		if (!known && equals && variables.n < VARIABLES_MAX) {
			struct variable v = {
				span_trim((struct span){line.s, (size_t)(equals - line.s)}),
				span_trim((struct span){equals + 1,
							line.n - (size_t)(equals + 1 - line.s)})};

			*VEC_PUSH(&g->tmp, &variables) = v;
		} else if (g->maps.n == before && line.s != g->line.s && line.n) {
			arena_reset(&g->tmp, mark); /* an expanded line that said nothing */
		}
	}
	return true;
}

/* Two halves of one mapping: addresses and, where they are known, offsets meet. */
static bool adjacent(const struct pprof_mapping *a, const struct pprof_mapping *b)
{
	return (!a->file || !b->file || a->file == b->file) &&
	       (!a->build_id || !b->build_id || a->build_id == b->build_id) &&
	       a->limit == b->start &&
	       (!a->offset || !b->offset || a->offset + (a->limit - a->start) == b->offset);
}

static bool is_program(struct legacy *g, const struct pprof_mapping *m)
{
	static const char deleted[] = "(deleted)";
	struct span s = {g->p->strings[m->file].s, g->p->strings[m->file].n};
	struct span part[LEGACY_GROUPS];

	/* a file's name has no spaces here, so that it may only be all of the name, or at its end
	 */
	while (s.n >= strlen(deleted) &&
	       memcmp(s.s + s.n - strlen(deleted), deleted, strlen(deleted)) == 0)
		s.n -= strlen(deleted);
	s = span_trim(s);
	return s.n && s.s[0] != '[' && !legacy_match(g, RX_LIBRARY, s, part);
}

static void arrange(struct legacy *g)
{
	struct pprof_mapping *m = g->maps.v;
	uint32_t n = 0;

	for (uint32_t i = 0; i < g->maps.n; i++) {
		if (n && adjacent(&m[n - 1], &m[i])) {
			m[n - 1].limit = m[i].limit;
			if (m[i].file)
				m[n - 1].file = m[i].file;
			if (m[i].build_id)
				m[n - 1].build_id = m[i].build_id;
			continue;
		}
		m[n++] = m[i];
	}
	g->maps.n = n;
	for (uint32_t i = 0; i < n; i++)
		if (is_program(g, &m[i])) {
			struct pprof_mapping first = m[0];

			m[0] = m[i];
			m[i] = first;
			break;
		}
}

static pindex find(struct legacy *g, uint64_t addr, pindex *fake)
{
	struct pprof_mapping *m = g->maps.v;

	for (uint32_t i = 0; i < g->maps.n; i++)
		if (m[i].start <= addr && addr < m[i].limit)
			return i;
	/* some handlers leave out the first part of a mapping that is split */
	for (uint32_t i = 0; i < g->maps.n; i++)
		if (m[i].offset && m[i].start - m[i].offset <= addr && addr < m[i].start) {
			m[i].start -= m[i].offset;
			m[i].offset = 0;
			return i;
		}
	if (*fake == PPROF_NONE) {
		*fake = g->maps.n;
		*VEC_PUSH(&g->tmp, &g->maps) = (struct pprof_mapping){.limit = UINT64_MAX};
	}
	return *fake;
}

bool legacy_assign(struct legacy *g, pindex *ret_mapping_of)
{
	pindex fake = PPROF_NONE;

	if (!g->is_java)
		arrange(g);
	if (g->maps.n > 1 && g->maps.v[0].limit == g->maps.v[1].start &&
	    span_starts((struct span){g->p->strings[g->maps.v[0].file].s,
				      g->p->strings[g->maps.v[0].file].n},
			"/anon_hugepage")) {
		g->maps.n--;
		memmove(g->maps.v, g->maps.v + 1, g->maps.n * sizeof(*g->maps.v));
	}
	if (g->maps.n && g->maps.v[0].start - g->maps.v[0].offset == EXE_START) {
		g->maps.v[0].start = EXE_START;
		g->maps.v[0].offset = 0;
	}
	if ((uint64_t)g->n_places * g->maps.n > PAIRS_MAX)
		return err_set(g->err, ERR_LIMIT, "%u locations in %u mappings are too many",
			       g->n_places, g->maps.n);
	for (uint32_t i = 0; i < g->n_places; i++) {
		bool none = g->places[i].addr == 0 || g->places[i].function != PPROF_NONE;

		ret_mapping_of[i] = none ? PPROF_NONE : find(g, g->places[i].addr, &fake);
	}
	return true;
}
