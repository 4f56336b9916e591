/*
 * Frames that the profiler put there itself: from the root on, the first location that matches
 * after one that does not is cut off, with all that it called. A location whose inlined frames
 * match only in part keeps the outer ones.
 */
#include "pprof/prune.h"

#include <string.h>

#include "base/str.h"
#include "pprof/rx.h"

enum { UNKNOWN, BORING, INTERESTING }; /* of each function */
enum { STAYS, GOES, GOES_BENEATH };    /* of each location */

/* Without the dot of PowerPC's ABI, and without what looks like a parameter list. */
static size_t simplify(const char **name, size_t n)
{
	static const char *const reserved[] = {"(anonymous namespace)", "operator()"};
	const char *s = *name;

	if (n && *s == '.')
		s++, n--;
	*name = s;
	for (size_t i = 0; i < n;) {
		size_t skip = 0;

		for (unsigned k = 0; k < ARRAY_LEN(reserved); k++)
			if (n - i >= strlen(reserved[k]) &&
			    memcmp(s + i, reserved[k], strlen(reserved[k])) == 0)
				skip = strlen(reserved[k]);
		if (!skip && s[i] == '(')
			return i;
		i += skip ? skip : 1;
	}
	return n;
}

static bool is_boring(const struct pprof *p, pindex f, struct rx *drop, struct rx *keep,
		      uint8_t *known)
{
	struct pprof_string s = p->strings[p->functions[f].name];
	const char *name = s.s;
	size_t n;

	if (s.n == 0)
		return false;
	if (known[f] == UNKNOWN) {
		n = simplify(&name, s.n);
		known[f] = rx_match(drop, name, n) && !(keep && rx_match(keep, name, n))
				   ? BORING
				   : INTERESTING;
	}
	return known[f] == BORING;
}

/* Where the sample's stack begins after pruning. */
static uint32_t prune(const struct pprof *p, const uint8_t *what, uint32_t begin, uint32_t end)
{
	bool user = false;

	for (uint32_t i = end; i > begin; i--) {
		uint8_t w = what[p->locs[i - 1]];

		if (w == STAYS)
			user = true;
		else if (user)
			return w == GOES ? i : i - 1;
	}
	return begin;
}

static struct rx *compile(const struct pprof *p, pstr pattern, struct arena *tmp)
{
	struct rx *rx = NULL;

	if (!rx_compile(tmp, arena_printf(tmp, "^(%s)$", pprof_text(p, pattern)), &rx, NULL))
		return NULL;
	return rx;
}

void pprof_drop_frames(struct pprof *p)
{
	struct rx *drop, *keep = NULL;
	uint8_t *known, *what;
	struct arena tmp;
	uint32_t to = 0;
	bool any = false;

	if (!p->drop_frames)
		return;
	arena_init(&tmp, 0);
	drop = compile(p, p->drop_frames, &tmp);
	if (drop && p->keep_frames)
		keep = compile(p, p->keep_frames, &tmp);
	if (!drop || (p->keep_frames && !keep)) {
		arena_free(&tmp);
		return;
	}
	known = ARENA_ARRAY(&tmp, uint8_t, (size_t)p->n_functions + 1);
	what = ARENA_ARRAY(&tmp, uint8_t, (size_t)p->n_locations + 1);
	for (uint32_t i = 0; i < p->n_locations; i++) {
		struct pprof_location *l = &p->locations[i];
		uint32_t k = l->n_lines;

		while (k > 0 &&
		       !is_boring(p, p->lines[l->line_at + k - 1].function, drop, keep, known))
			k--;
		if (k == 0)
			continue;
		any = true;
		what[i] = k == l->n_lines ? GOES : GOES_BENEATH;
		if (k < l->n_lines) {
			l->line_at += k;
			l->n_lines -= k;
		}
	}
	for (uint32_t i = 0, begin = 0; any && i < p->n_samples; i++) {
		uint32_t end = p->loc_at[i + 1], from = prune(p, what, begin, end);

		p->loc_at[i] = to;
		memmove(p->locs + to, p->locs + from, (end - from) * sizeof(*p->locs));
		to += end - from;
		begin = end;
	}
	if (any && p->n_samples)
		p->loc_at[p->n_samples] = to;
	arena_free(&tmp);
}
