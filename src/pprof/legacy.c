/*
 * The text formats that programs had before profile.proto, as google/pprof reads them
 * (profile/legacy_profile.go): heap profiles of gperftools and of Go's debug=1, counts (goroutine,
 * threadcreate), threadz, contention. Their samples are stacks of addresses; functions come from
 * symbolization. The patterns are facts of the formats and are matched by PCRE2, with a limit.
 */
#include "pprof/legacy.h"

#include <math.h>
#include <string.h>

#include "pprof/build.h"
#include "pprof/gotext.h"
#include "pprof/set.h"

#define MATCH_LIMIT 200000U
#define HEX_RANGE   "\\s*(?:0x)?([[:xdigit:]]+)[\\s-]?\\s*(?:0x)?([[:xdigit:]]+):?"
#define HEAP_TOTALS "heap profile: *(\\d+): *(\\d+) *\\[ *(\\d+): *(\\d+) *\\] "

static const char *const PATTERNS[N_RX] = {
	[RX_COUNT_START] = "\\A(\\S+) profile: total \\d+\\z",
	[RX_COUNT] = "\\A(\\d+) @((?: 0x[0-9a-f]+)+)\\z",
	[RX_HEAP_HEADER] = HEAP_TOTALS "*@ *(heap[_a-z0-9]*)/?(\\d*)",
	[RX_GROWTH_HEADER] = HEAP_TOTALS "@ growthz?",
	[RX_FRAGMENTATION_HEADER] = HEAP_TOTALS "@ fragmentationz?",
	[RX_HEAP_SAMPLE] = "(-?\\d+): *(-?\\d+) *\\[ *(\\d+): *(\\d+) *] @([ x0-9a-f]*)",
	[RX_CONTENTION_SAMPLE] = "(\\d+) *(\\d+) @([ x0-9a-f]*)",
	[RX_THREADZ] = "--- threadz \\d+ ---",
	[RX_THREAD] = "--- Thread ([[:xdigit:]]+) \\(name: (.*)/(\\d+)\\) stack: ---",
	[RX_LOG_INFO] = "^[^\\[\\]]+:[0-9]+]\\s",
	[RX_MAPS] = "^" HEX_RANGE "(?:\\s+([-rwxp]+))?(?:\\s+([[:xdigit:]]+))?"
		    "\\s+[[:xdigit:]]+:[[:xdigit:]]+\\s+[[:digit:]]+(?:\\s+(\\S+))?",
	[RX_BRIEF_MAPS] = "^" HEX_RANGE "(?:\\s+([-rwxp]+))?(?:\\s+(\\S+))?"
			  "(?:\\s+\\(@([[:xdigit:]]+)\\))?(?:\\s+([[:xdigit:]]+))?",
	[RX_LIBRARY] = "[.]so$|[.]so[._][0-9]+",
	[RX_JAVA_ATTRIBUTE] = "([\\w ]+)=([\\w ]+)",
	[RX_JAVA_SAMPLE] = " *(\\d+) +(\\d+) +@ +([ x0-9a-f]*)",
	[RX_JAVA_LOCATION] = "^\\s*0x([[:xdigit:]]+)\\s+(.*)\\s*$",
	[RX_JAVA_FILE_LINE] = "^(.*)\\s+\\((.+):(-?[[:digit:]]+)\\)$",
	[RX_JAVA_PATH] = "^(.*)\\s+\\((.*)\\)$",
};

bool legacy_line(struct legacy *g)
{
	const char *nl;

	g->line = (struct span){"", 0};
	if (g->at == g->end)
		return false;
	nl = memchr(g->at, '\n', (size_t)(g->end - g->at));
	g->line = (struct span){g->at, (size_t)((nl ? nl : g->end) - g->at)};
	g->at = nl ? nl + 1 : g->end;
	if (g->line.n && g->line.s[g->line.n - 1] == '\r')
		g->line.n--;
	return true;
}

bool legacy_match(struct legacy *g, enum legacy_pattern which, struct span s,
		  struct span groups[static LEGACY_GROUPS])
{
	PCRE2_SIZE *at = pcre2_get_ovector_pointer(g->match), where;
	int code, n;

	if (!g->rx[which])
		g->rx[which] = pcre2_compile((PCRE2_SPTR)PATTERNS[which], PCRE2_ZERO_TERMINATED,
					     PCRE2_DOLLAR_ENDONLY, &code, &where, NULL);
	if (!g->rx[which])
		return false;
	n = pcre2_match(g->rx[which], (PCRE2_SPTR)(s.n ? s.s : ""), s.n, 0, 0, g->match, g->limits);
	if (n < 0)
		return false;
	for (int i = 0; i < LEGACY_GROUPS; i++)
		groups[i] = i < n && at[2 * i] != PCRE2_UNSET
				    ? (struct span){s.s + at[2 * i], at[2 * i + 1] - at[2 * i]}
				    : (struct span){NULL, 0};
	return true;
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

struct span span_trim(struct span s)
{
	while (s.n && is_space(s.s[0]))
		s.s++, s.n--;
	while (s.n && is_space(s.s[s.n - 1]))
		s.n--;
	return s;
}

bool span_starts(struct span s, const char *with)
{
	return s.n >= strlen(with) && memcmp(s.s, with, strlen(with)) == 0;
}

bool span_has(struct span s, const char *what)
{
	return s.n && memmem(s.s, s.n, what, strlen(what)) != NULL;
}

bool span_int(struct span s, int base, int64_t *ret)
{
	char text[72];

	if (s.n >= sizeof(text))
		return false;
	if (s.n)
		memcpy(text, s.s, s.n);
	text[s.n] = '\0';
	return strlen(text) == s.n && go_parse_int(text, base, ret);
}

bool span_hex(struct span s, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.s[i];
		unsigned digit = c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;

		if (digit > 15 || v >> 60)
			return false;
		v = v << 4 | digit;
	}
	*ret = v;
	return s.n > 0;
}

pstr span_str(struct legacy *g, struct span s)
{
	return pprof_strn(g->p, s.n ? s.s : "", s.n);
}

enum legacy_verdict legacy_bad(struct legacy *g, const char *what)
{
	err_set(g->err, ERR_FORMAT, "malformed profile: %s", what);
	return LEGACY_BAD;
}

struct legacy_sample *legacy_sample(struct legacy *g)
{
	struct legacy_sample *s;

	if (g->n_samples == g->max_samples) {
		err_set(g->err, ERR_LIMIT, "too many samples");
		return NULL;
	}
	s = &g->samples[g->n_samples++];
	*s = (struct legacy_sample){.at = g->n_addrs};
	return s;
}

bool legacy_push(struct legacy *g, struct legacy_sample *s, uint64_t addr)
{
	if (g->n_addrs == g->max_addrs)
		return err_set(g->err, ERR_LIMIT, "too many addresses");
	g->addrs[g->n_addrs++] = addr;
	s->n++;
	return true;
}

bool legacy_push_all(struct legacy *g, struct legacy_sample *s, struct span text, uint64_t less,
		     bool spare_leaf)
{
	for (size_t i = 0; i + 2 < text.n; i++) {
		size_t end = i + 2;
		uint64_t addr;

		if (text.s[i] != '0' || text.s[i + 1] != 'x')
			continue;
		while (end < text.n && ((text.s[end] >= '0' && text.s[end] <= '9') ||
					(text.s[end] >= 'a' && text.s[end] <= 'f')))
			end++;
		if (end == i + 2)
			continue;
		if (!span_hex((struct span){text.s + i + 2, end - i - 2}, &addr))
			return err_set(g->err, ERR_FORMAT,
				       "malformed sample: an address has more than 64 bits");
		if (!legacy_push(g, s, spare_leaf && s->n == 0 ? addr : addr - less))
			return false;
		i = end - 1;
	}
	return true;
}

void legacy_unsample(int64_t *count, int64_t *size, int64_t rate)
{
	double scale;

	if (*count == 0 || *size == 0) {
		*count = *size = 0;
		return;
	}
	if (rate <= 1)
		return;
	/* runtime/pprof's scaleHeapSample: a sample of size s was taken with 1 - exp(-s / rate) */
	scale = 1 / (1 - exp(-((double)*size / (double)*count) / (double)rate));
	*count = go_int64((double)*count * scale);
	*size = go_int64((double)*size * scale);
}

static bool is_blank(struct span line)
{
	line = span_trim(line);
	return line.n == 0 || line.s[0] == '#';
}

/* Reads on to the memory map, and reads it; then the profile is complete. */
static enum legacy_verdict finish_with_maps(struct legacy *g, bool drop_twin_leaf)
{
	while (!legacy_is_map_start(g->line) && legacy_line(g))
		;
	return legacy_maps(g) ? legacy_finish(g, drop_twin_leaf) : LEGACY_BAD;
}

static void set_period(struct legacy *g, struct span type, const char *unit, int64_t period)
{
	g->p->period_type = (struct pprof_value_type){span_str(g, type), pprof_str(g->p, unit)};
	g->p->period = period;
}

static enum legacy_verdict count_profile(struct legacy *g)
{
	struct span part[LEGACY_GROUPS];

	while (legacy_line(g) && is_blank(g->line))
		;
	if (!legacy_match(g, RX_COUNT_START, g->line, part))
		return LEGACY_OTHER;
	set_period(g, part[1], "count", 1);
	pprof_type_add(g->p, pprof_text(g->p, g->p->period_type.type), "count");
	while (legacy_line(g)) {
		struct legacy_sample *s;

		if (is_blank(g->line))
			continue;
		if (span_starts(g->line, "---"))
			break;
		s = legacy_sample(g);
		if (!s)
			return LEGACY_BAD;
		if (!legacy_match(g, RX_COUNT, g->line, part) ||
		    !span_int(part[1], 0, &s->values[0]))
			return legacy_bad(g, "a line is not of the form \"count @ addresses\"");
		/* onto the call, from behind it */
		if (!legacy_push_all(g, s, part[2], 1, false))
			return LEGACY_BAD;
	}
	return finish_with_maps(g, false);
}

static enum legacy_verdict heap_values(struct legacy *g, struct legacy_sample *s,
				       const struct span *count_size, int64_t *to, bool unsample)
{
	int64_t count, size;

	if (!span_int(count_size[0], 10, &count) || !span_int(count_size[1], 10, &size))
		return legacy_bad(g, "a value does not fit into 64 bits");
	if (count == 0 && size != 0)
		return legacy_bad(g, "bytes without objects");
	if (count != 0) {
		s->block_size = go_div(size, count);
		if (unsample)
			legacy_unsample(&count, &size, g->p->period);
	}
	to[0] = count;
	to[1] = size;
	return LEGACY_OK;
}

static bool same(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.s, b.s, a.n) == 0);
}

static bool is(struct span s, const char *text)
{
	return same(s, (struct span){text, strlen(text)});
}

/* Which heap profile it is: sets the period; false: none that is known. */
static bool heap_header(struct legacy *g, bool *ret_alloc, bool *ret_unsample)
{
	static const struct span zero = {"0", 1};
	struct span part[LEGACY_GROUPS];
	int64_t rate = 0;

	g->p->period = 1;
	if (!legacy_match(g, RX_HEAP_HEADER, g->line, part))
		return legacy_match(g, RX_GROWTH_HEADER, g->line, part) ||
		       legacy_match(g, RX_FRAGMENTATION_HEADER, g->line, part);
	if (part[6].n && !span_int(part[6], 10, &rate))
		return false;
	*ret_alloc = (!same(part[3], part[1]) && !same(part[3], zero)) ||
		     (!same(part[4], part[2]) && !same(part[4], zero));
	if (is(part[5], "heapprofile"))
		return true;
	*ret_unsample = true;
	/* Go writes twice its rate there: runtime/pprof, writeHeapInternal */
	g->p->period = is(part[5], "heap") ? rate / 2 : rate;
	return is(part[5], "heap") || is(part[5], "heapz_v2") || is(part[5], "heap_v2");
}

static enum legacy_verdict heap_profile(struct legacy *g)
{
	bool alloc = false, unsample = false;
	struct span part[LEGACY_GROUPS];
	enum legacy_verdict v = LEGACY_OK;

	if (!legacy_line(g) || !heap_header(g, &alloc, &unsample))
		return LEGACY_OTHER;
	set_period(g, (struct span){"space", 5}, "bytes", g->p->period);
	if (alloc) {
		pprof_type_add(g->p, "alloc_objects", "count");
		pprof_type_add(g->p, "alloc_space", "bytes");
	}
	pprof_type_add(g->p, alloc ? "inuse_objects" : "objects", "count");
	pprof_type_add(g->p, alloc ? "inuse_space" : "space", "bytes");
	while (v == LEGACY_OK && legacy_line(g)) {
		struct legacy_sample *s;

		if (is_blank(g->line))
			continue;
		if (legacy_is_map_start(g->line))
			break;
		if (!legacy_match(g, RX_HEAP_SAMPLE, span_trim(g->line), part))
			return legacy_bad(g, "a line of the heap profile is no sample");
		s = legacy_sample(g);
		if (!s)
			return LEGACY_BAD;
		s->has_block_size = true;
		if (alloc)
			v = heap_values(g, s, part + 3, s->values, unsample);
		if (v == LEGACY_OK)
			v = heap_values(g, s, part + 1, s->values + (alloc ? 2 : 0), unsample);
		if (v == LEGACY_OK && !legacy_push_all(g, s, part[5], 1, false))
			v = LEGACY_BAD;
	}
	return v == LEGACY_OK ? finish_with_maps(g, false) : v;
}

/* "name = value" before the samples; *ret_hz are the ticks of a second. */
static enum legacy_verdict contention_attributes(struct legacy *g, int64_t *ret_hz)
{
	while (legacy_line(g)) {
		struct span line = span_trim(g->line), name, value;
		const char *equals;
		int64_t v;

		if (is_blank(line))
			continue;
		equals = memchr(line.s, '=', line.n);
		if (span_starts(line, "---") || !equals)
			break;
		name = span_trim((struct span){line.s, (size_t)(equals - line.s)});
		value = span_trim(
			(struct span){equals + 1, line.n - (size_t)(equals + 1 - line.s)});
		if (is(name, "discarded samples"))
			continue;
		if (!span_int(value, 0, &v))
			return LEGACY_OTHER;
		if (is(name, "cycles/second"))
			*ret_hz = v;
		else if (is(name, "sampling period"))
			g->p->period = v;
		else if (is(name, "ms since reset"))
			g->p->duration_nanos = go_mul(v, 1000000);
		else
			return LEGACY_OTHER; /* Java's has a format and a resolution */
	}
	return LEGACY_OK;
}

static enum legacy_verdict contention_profile(struct legacy *g)
{
	struct span part[LEGACY_GROUPS];
	int64_t hz = 0, delay, count;

	if (!legacy_line(g) ||
	    (!span_starts(g->line, "--- contentionz ") && !span_starts(g->line, "--- mutex:") &&
	     !span_starts(g->line, "--- contention:")))
		return LEGACY_OTHER;
	set_period(g, (struct span){"contentions", 11}, "count", 1);
	pprof_type_add(g->p, "contentions", "count");
	pprof_type_add(g->p, "delay", "nanoseconds");
	if (contention_attributes(g, &hz) != LEGACY_OK)
		return LEGACY_OTHER;
	do {
		struct span line = span_trim(g->line);
		struct legacy_sample *s;

		if (span_starts(line, "---"))
			break;
		if (is_blank(line))
			continue;
		if (!legacy_match(g, RX_CONTENTION_SAMPLE, line, part))
			return LEGACY_OTHER;
		if (!span_int(part[1], 10, &delay) || !span_int(part[2], 10, &count))
			return legacy_bad(g, "a value does not fit into 64 bits");
		if (g->p->period > 0) {
			if (hz > 0)
				delay = go_int64((double)delay * (double)g->p->period /
						 ((double)hz / 1e9));
			count = go_mul(count, g->p->period);
		}
		s = legacy_sample(g);
		if (!s || !legacy_push_all(g, s, part[3], 1, false))
			return LEGACY_BAD;
		s->values[0] = count;
		s->values[1] = delay;
	} while (legacy_line(g));
	return finish_with_maps(g, false);
}

/* One thread's lines, up to the next "---"; a thread with the stack of the one before has none. */
static enum legacy_verdict thread(struct legacy *g)
{
	struct legacy_sample *s = legacy_sample(g);
	bool again = false;

	if (!s)
		return LEGACY_BAD;
	s->values[0] = 1;
	while (legacy_line(g)) {
		if (span_starts(span_trim(g->line), "---"))
			break;
		if (span_has(g->line, "same as previous thread"))
			again = true;
		else if (!legacy_push_all(g, s, g->line, 1, true))
			return LEGACY_BAD;
	}
	g->line = span_trim(g->line);
	if (again || s->n == 0) {
		g->n_addrs = s->at;
		g->n_samples--;
		if (g->n_samples)
			s[-1].values[0]++;
	}
	return LEGACY_OK;
}

static enum legacy_verdict thread_profile(struct legacy *g)
{
	static const struct span type = {"thread", 6};
	struct span part[LEGACY_GROUPS];
	enum legacy_verdict v = LEGACY_OK;

	while (legacy_line(g) && is_blank(g->line))
		;
	if (legacy_match(g, RX_THREADZ, g->line, part)) {
		while (legacy_line(g))
			if (legacy_is_map_start(g->line) || span_starts(g->line, "-"))
				break;
	} else if (!legacy_match(g, RX_THREAD, g->line, part)) {
		return LEGACY_OTHER;
	}
	set_period(g, type, "count", 1);
	pprof_type_add(g->p, "thread", "count");
	while (v == LEGACY_OK && !legacy_is_map_start(g->line) &&
	       !span_starts(g->line, "---- no stack trace for")) {
		if (!legacy_match(g, RX_THREAD, g->line, part))
			return LEGACY_OTHER;
		v = thread(g);
	}
	return v == LEGACY_OK ? finish_with_maps(g, true) : v;
}

bool legacy_find_places(struct legacy *g)
{
	g->places = arena_try(&g->tmp, g->n_addrs + 1, sizeof(*g->places), g->err);
	if (!g->places)
		return false;
	for (uint64_t i = 0; i < g->n_samples; i++)
		for (uint64_t k = 0; k < g->samples[i].n; k++) {
			uint64_t addr = g->addrs[g->samples[i].at + k];

			if (legacy_place(g, addr) != PPROF_NONE)
				continue;
			if (arena_room(&g->tmp, 2 * sizeof(struct pprof_slot)) <
			    (uint64_t)g->place_set.cap * 2 + 128)
				return err_set(g->err, ERR_LIMIT, "too many addresses");
			pprof_set_add(&g->place_set, &g->tmp, hash_mix((uintptr_t)g->mem, addr),
				      g->n_places);
			g->places[g->n_places++] =
				(struct legacy_place){.addr = addr, .function = PPROF_NONE};
		}
	return true;
}

uint32_t legacy_place(const struct legacy *g, uint64_t addr)
{
	uint32_t at = 0, i;

	while ((i = pprof_set_next(&g->place_set, hash_mix((uintptr_t)g->mem, addr), &at)) !=
	       PPROF_NONE)
		if (g->places[i].addr == addr)
			break;
	return i;
}

/* Functions in the order in which locations use them. */
static bool put_functions(struct legacy *g)
{
	struct pprof *p = g->p;
	pindex *number = arena_try(&g->tmp, (uint64_t)g->functions.n + 1, sizeof(*number), g->err);

	if (!number)
		return false;
	memset(number, 0xff, g->functions.n * sizeof(*number));
	for (uint32_t i = 0; i < g->n_places; i++) {
		pindex f = g->places[i].function;

		if (f == PPROF_NONE)
			continue;
		if (number[f] == PPROF_NONE) {
			number[f] = p->n_functions;
			p->functions[p->n_functions] = g->functions.v[f];
			p->functions[p->n_functions].id = (uint64_t)p->n_functions + 1;
			p->n_functions++;
		}
		p->lines[p->n_lines] =
			(struct pprof_line){.function = number[f], .line = g->places[i].line};
		p->locations[i].line_at = p->n_lines++;
		p->locations[i].n_lines = 1;
	}
	return true;
}

enum legacy_verdict legacy_finish(struct legacy *g, bool drop_twin_leaf)
{
	struct pprof *p = g->p;
	struct pprof_label block = {.key = pprof_str(p, "bytes"), .is_num = true};
	pindex *mapping_of;
	uint32_t n = 0;

	if (!g->places && !legacy_find_places(g))
		return LEGACY_BAD;
#define TAKE(to, n)                                                                                \
	do {                                                                                       \
		(to) = arena_try(g->mem, (uint64_t)(n) + 1, sizeof(*(to)), g->err);                \
		if (!(to))                                                                         \
			return LEGACY_BAD;                                                         \
	} while (0)
	mapping_of = arena_try(&g->tmp, (uint64_t)g->n_places + 1, sizeof(*mapping_of), g->err);
	if (!mapping_of || !legacy_assign(g, mapping_of))
		return LEGACY_BAD;
	TAKE(p->mappings, g->maps.n);
	TAKE(p->locations, g->n_places);
	TAKE(p->lines, g->n_places);
	TAKE(p->functions, g->functions.n);
	TAKE(p->loc_at, g->n_samples);
	TAKE(p->locs, g->n_addrs);
	TAKE(p->values, g->n_samples * MAX(p->n_types, 1));
	for (uint32_t i = 0; i < g->maps.n; i++) {
		p->mappings[i] = g->maps.v[i];
		p->mappings[i].id = (uint64_t)i + 1;
	}
	p->n_mappings = p->cap_mappings = g->maps.n;
	for (uint32_t i = 0; i < g->n_places; i++)
		p->locations[i] = (struct pprof_location){
			.id = (uint64_t)i + 1,
			.address = g->is_java ? 0 : g->places[i].addr,
			.mapping = mapping_of[i],
		};
	p->n_locations = p->cap_locations = g->n_places;
	if (!put_functions(g))
		return LEGACY_BAD;
	p->cap_functions = p->n_functions;
	p->cap_lines = p->n_lines;
	if (p->n_types == 0 && g->n_samples)
		return legacy_bad(g, "missing sample type information");
	for (uint32_t i = 0; i < g->n_samples; i++) {
		const struct legacy_sample *s = &g->samples[i];
		const uint64_t *v = g->addrs + s->at;

		p->loc_at[i] = n;
		for (uint64_t k = 0; k < s->n; k++) {
			/* a handler may tell the leaf twice: as it is, and as a caller, less one */
			if (drop_twin_leaf && k == 1 && v[0] == v[1] + 1)
				continue;
			p->locs[n++] = legacy_place(g, v[k]);
		}
		for (uint32_t t = 0; t < p->n_types; t++)
			p->values[(size_t)i * p->n_types + t] = s->values[t];
		if (!s->has_block_size)
			continue;
		if (!p->label_at) { /* one label of every sample, or of none */
			TAKE(p->label_at, g->n_samples);
			TAKE(p->labels, g->n_samples);
		}
		block.num = s->block_size;
		p->label_at[i] = i;
		p->labels[i] = block;
	}
	p->n_samples = (uint32_t)g->n_samples;
	p->loc_at[p->n_samples] = n;
	if (p->label_at)
		p->label_at[p->n_samples] = p->n_samples;
	return LEGACY_OK;
}

/* Frames that the profilers themselves leave in these stacks, by google/pprof's addLegacyFrameInfo.
 */
static const char ALLOC_DROP[] =
	"calloc|cfree|malloc|free|memalign|do_memalign|(__)?posix_memalign|pvalloc|valloc|realloc|"
	"tcmalloc::.*|tc_calloc|tc_cfree|tc_malloc|tc_free|tc_memalign|tc_posix_memalign|tc_"
	"pvalloc|"
	"tc_valloc|tc_realloc|tc_new|tc_delete|tc_newarray|tc_deletearray|tc_new_nothrow|"
	"tc_newarray_nothrow|malloc_zone_malloc|malloc_zone_calloc|malloc_zone_valloc|"
	"malloc_zone_realloc|malloc_zone_memalign|malloc_zone_free|runtime\\..*|BaseArena::.*|"
	"(::)?do_malloc_no_errno|(::)?do_malloc_pages|(::)?do_malloc|DoSampledAllocation|"
	"MallocedMemBlock::MallocedMemBlock|_M_allocate|__builtin_(vec_)?delete|"
	"__builtin_(vec_)?new|__gnu_cxx::new_allocator::allocate|__libc_malloc|"
	"__malloc_alloc_template::allocate|allocate|cpp_alloc|operator new(\\[\\])?|"
	"simple_alloc::allocate";
static const char ALLOC_KEEP[] = "runtime\\.panic|runtime\\.reflectcall|runtime\\.call[0-9]*";
static const char CPU_DROP[] = "ProfileData::Add|ProfileData::prof_handler|"
			       "CpuProfiler::prof_handler|__pthread_sighandler|__restore";
static const char LOCK_DROP[] =
	"RecordLockProfileData|(base::)?RecordLockProfileData.*|(base::)?SubmitMutexProfileData.*|"
	"(base::)?SubmitSpinLockProfileData.*|(base::Mutex::)?AwaitCommon.*|(base::Mutex::)?Unlock."
	"*|"
	"(base::Mutex::)?UnlockSlow.*|(base::Mutex::)?ReaderUnlock.*|(base::MutexLock::)?~"
	"MutexLock.*|"
	"(Mutex::)?AwaitCommon.*|(Mutex::)?Unlock.*|(Mutex::)?UnlockSlow.*|(Mutex::)?ReaderUnlock.*"
	"|"
	"(MutexLock::)?~MutexLock.*|(SpinLock::)?Unlock.*|(SpinLock::)?SlowUnlock.*|"
	"(SpinLockHolder::)?~SpinLockHolder.*";

static bool types_are(const struct pprof *p, const char *const *names, uint32_t n)
{
	if (p->n_types != n)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (strcmp(pprof_text(p, p->types[i].type), names[i]) != 0)
			return false;
	return true;
}

static void uninteresting_frames(struct pprof *p)
{
	static const char *const heaps[][2] = {{"allocations", "size"},
					       {"objects", "space"},
					       {"inuse_objects", "inuse_space"},
					       {"alloc_objects", "alloc_space"}};
	static const char *const both[] = {"alloc_objects", "alloc_space", "inuse_objects",
					   "inuse_space"};
	static const char *const lock[] = {"contentions", "delay"};
	bool heap = types_are(p, both, ARRAY_LEN(both));

	for (unsigned i = 0; i < ARRAY_LEN(heaps); i++)
		heap |= types_are(p, heaps[i], 2);
	p->drop_frames = pprof_str(p, heap		      ? ALLOC_DROP
				      : types_are(p, lock, 2) ? LOCK_DROP
							      : CPU_DROP);
	p->keep_frames = pprof_str(p, heap ? ALLOC_KEEP : "");
}

bool pprof_legacy(const uint8_t *d, size_t n, struct arena *mem, struct pprof *ret, struct err *err)
{
	static legacy_parser *const parsers[] = {legacy_cpu,	 heap_profile,	     count_profile,
						 thread_profile, contention_profile, legacy_java};
	struct legacy g = {.mem = mem, .err = err};
	bytes limit = mem->limit ? mem->limit : ARENA_LIMIT_DEFAULT;
	struct arena_mark mark = arena_mark(mem);
	enum legacy_verdict v = LEGACY_OTHER;
	struct pprof p;

	g.match = pcre2_match_data_create(LEGACY_GROUPS, NULL);
	g.limits = pcre2_match_context_create(NULL);
	if (!g.match || !g.limits)
		return err_set(err, ERR_LIMIT, "out of memory");
	pcre2_set_match_limit(g.limits, MATCH_LIMIT);
	pcre2_set_heap_limit(g.limits, 20000);
	for (unsigned i = 0; v == LEGACY_OTHER && i < ARRAY_LEN(parsers); i++) {
		/* half for the way, half for the result */
		bytes half = MAX(arena_room(mem, 1) / 2, 1);

		arena_init(&g.tmp, half);
		mem->limit = limit - half;
		pprof_init(&p, mem);
		g.p = &p;
		g.at = (const char *)d;
		g.end = g.at + n;
		g.line = (struct span){"", 0};
		g.maps.n = g.maps.cap = g.functions.n = g.functions.cap = 0;
		g.is_java = false;
		g.places = NULL;
		g.n_places = 0;
		g.place_set = (struct pprof_set){0};
		g.n_addrs = g.n_samples = 0;
		/* no address takes fewer than three bytes, no sample fewer than eight */
		g.max_addrs = n / 3 + 1;
		g.max_samples = n / 8 + 1;
		g.addrs = arena_try(&g.tmp, g.max_addrs, sizeof(*g.addrs), err);
		g.samples = arena_try(&g.tmp, g.max_samples, sizeof(*g.samples), err);
		v = g.addrs && g.samples && g.max_samples < UINT32_MAX ? parsers[i](&g)
								       : LEGACY_BAD;
		if (v == LEGACY_OK) {
			uninteresting_frames(&p);
			*ret = p;
		}
		arena_free(&g.tmp);
		mem->limit = limit;
		if (v != LEGACY_OK)
			arena_reset(mem, mark);
	}
	for (unsigned i = 0; i < N_RX; i++)
		pcre2_code_free(g.rx[i]);
	pcre2_match_data_free(g.match);
	pcre2_match_context_free(g.limits);
	return v == LEGACY_OK ||
	       (v == LEGACY_OTHER && err_set(err, ERR_FORMAT, "unrecognized profile format"));
}
