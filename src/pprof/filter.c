/*
 * Filters. Patterns are tried once on each string, tags once on each key, locations are decided
 * once; a sample then costs a look at a table for each of its frames. Order and meaning follow
 * google/pprof (internal/driver/driver_focus.go, profile/filter.go, profile/prune.go): each filter
 * sees what the ones before it left.
 */
#include <stdio.h>
#include <string.h>

#include "pprof/gotext.h"
#include "pprof/lens.h"
#include "pprof/measure.h"

/* A pattern with what it said about each string of the profile. */
struct pattern {
	struct rx *rx; /* NULL: not given */
	uint8_t *said; /* by pstr: 0 not asked, 1 no, 2 yes */
};

static bool pattern_open(struct lens *l, const struct pprof_config *c, enum pprof_option_id o,
			 struct pattern *ret, struct err *err)
{
	*ret = (struct pattern){0};
	if (!*c->v[o].s)
		return true;
	ret->said = ARENA_ARRAY(l->mem, uint8_t, l->p->n_strings + l->own.n);
	return rx_compile(l->mem, c->v[o].s, &ret->rx, err) ||
	       err_in(err, "parsing %s regexp", PPROF_OPTIONS[o].name);
}

static bool says(const struct lens *l, struct pattern *x, pstr s)
{
	if (!x->said[s]) {
		struct pprof_string t = lens_string(l, s);

		x->said[s] = rx_match(x->rx, t.s, t.n) ? 2 : 1;
	}
	return x->said[s] == 2;
}

static bool line_matches(const struct lens *l, struct pattern *x, const struct pprof_line *line)
{
	const struct pprof_function *f = &l->functions[line->function];

	return says(l, x, f->name) || says(l, x, f->file);
}

static bool mapping_matches(const struct lens *l, struct pattern *x,
			    const struct pprof_location *loc)
{
	return loc->mapping != PPROF_NONE && says(l, x, l->mappings[loc->mapping].file);
}

static bool location_matches(const struct lens *l, struct pattern *x,
			     const struct pprof_location *loc)
{
	for (uint32_t i = 0; i < loc->n_lines; i++)
		if (line_matches(l, x, &l->lines[loc->line_at + i]))
			return true;
	return mapping_matches(l, x, loc);
}

/* Keeps the lines for which the pattern says `want`. */
static void keep_lines(struct lens *l, struct pattern *x, struct pprof_location *loc, bool want)
{
	uint32_t n = 0;

	if (mapping_matches(l, x, loc)) {
		if (!want)
			loc->n_lines = 0;
		return;
	}
	for (uint32_t i = 0; i < loc->n_lines; i++)
		if (line_matches(l, x, &l->lines[loc->line_at + i]) == want)
			l->lines[loc->line_at + n++] = l->lines[loc->line_at + i];
	loc->n_lines = n;
}

/* Makes room for samples' own stack ends. */
static void own_ends(struct lens *l)
{
	uint32_t n = l->n_samples;
	uint32_t *begin, *end;

	if (l->begin)
		return;
	begin = ARENA_ARRAY(l->mem, uint32_t, n + 1);
	end = ARENA_ARRAY(l->mem, uint32_t, n + 1);
	for (uint32_t k = 0; k < n; k++) {
		uint32_t i = l->sample ? l->sample[k] : k;

		begin[k] = l->p->loc_at[i];
		end[k] = l->p->loc_at[i + 1];
	}
	l->begin = begin;
	l->end = end;
}

/* Makes room for a choice of samples. */
static void own_samples(struct lens *l)
{
	if (l->sample)
		return;
	l->sample = ARENA_ARRAY(l->mem, uint32_t, l->n_samples + 1);
	for (uint32_t k = 0; k < l->n_samples; k++)
		l->sample[k] = k;
}

static void keep_sample(struct lens *l, uint32_t to, uint32_t k)
{
	l->sample[to] = l->sample[k];
	if (l->begin) {
		l->begin[to] = l->begin[k];
		l->end[to] = l->end[k];
	}
}

static void warn(struct lens *l, bool matched, const char *what)
{
	if (!matched)
		str_addf(l->messages, "%s expression matched no samples\n", what);
}

/* --- focus, ignore, hide, show --- */

enum { PLAIN, FOCUSED, IGNORED };

static void filter_names(struct lens *l, struct pattern *focus, struct pattern *ignore,
			 struct pattern *hide, struct pattern *show)
{
	bool fm = !focus->rx, im = !ignore->rx, hm = !hide->rx, sm = !show->rx, any_hidden = false;
	uint8_t *state;
	uint32_t kept = 0;

	if (!focus->rx && !ignore->rx && !hide->rx && !show->rx)
		return;
	state = ARENA_ARRAY(l->mem, uint8_t, l->n_locations + 1);
	l->hidden = ARENA_ARRAY(l->mem, bool, l->n_locations + 1);
	for (uint32_t i = 0; i < l->n_locations; i++) {
		struct pprof_location *loc = &l->locations[i];

		if (ignore->rx && location_matches(l, ignore, loc)) {
			im = true;
			state[i] = IGNORED;
		} else if (!focus->rx || location_matches(l, focus, loc)) {
			fm = true;
			state[i] = FOCUSED;
		}
		if (hide->rx && location_matches(l, hide, loc)) {
			hm = true;
			keep_lines(l, hide, loc, false);
			l->hidden[i] = !loc->n_lines;
		}
		if (show->rx) {
			keep_lines(l, show, loc, true);
			/* one that never had lines may still be shown by its mapping's name, but
			 * then it has none to show either */
			l->hidden[i] = !loc->n_lines;
			sm |= loc->n_lines != 0;
		}
		any_hidden |= l->hidden[i];
	}
	own_samples(l);
	for (uint32_t k = 0; k < l->n_samples; k++) {
		const pindex *locs;
		uint32_t n;
		bool focused = false, ignored = false, visible = !any_hidden;

		lens_sample(l, k, &locs, &n);
		for (uint32_t i = 0; i < n && !ignored; i++) {
			focused |= state[locs[i]] == FOCUSED;
			ignored = state[locs[i]] == IGNORED;
			visible |= !l->hidden[locs[i]];
		}
		if (focused && !ignored && visible)
			keep_sample(l, kept++, k);
	}
	l->n_samples = kept;
	if (!any_hidden)
		l->hidden = NULL;
	warn(l, fm, "Focus");
	warn(l, im, "Ignore");
	warn(l, hm, "Hide");
	warn(l, sm, "Show");
}

/* --- show_from --- */

static bool shows_from(struct lens *l, struct pattern *x, struct pprof_location *loc)
{
	if (mapping_matches(l, x, loc))
		return true;
	for (uint32_t i = loc->n_lines; i-- > 0;)
		if (line_matches(l, x, &l->lines[loc->line_at + i])) {
			loc->n_lines = i + 1;
			return true;
		}
	return false;
}

static void filter_show_from(struct lens *l, struct pattern *x)
{
	bool *from, matched = false;
	uint32_t kept = 0;

	if (!x->rx)
		return;
	from = ARENA_ARRAY(l->mem, bool, l->n_locations + 1);
	for (uint32_t i = 0; i < l->n_locations; i++)
		matched |= from[i] = shows_from(l, x, &l->locations[i]);
	own_samples(l);
	own_ends(l);
	for (uint32_t k = 0; k < l->n_samples; k++) {
		const pindex *locs;
		uint32_t n;

		lens_sample(l, k, &locs, &n);
		while (n && (!from[locs[n - 1]] || (l->hidden && l->hidden[locs[n - 1]])))
			n--;
		if (!n)
			continue;
		l->end[k] = l->begin[k] + n;
		keep_sample(l, kept++, k);
	}
	l->n_samples = kept;
	warn(l, matched, "ShowFrom");
}

/* --- tagfocus, tagignore --- */

struct tag_filter {
	const char *key; /* NULL: any */
	/* a range of numbers … */
	bool is_range, has_min, has_max;
	double min, max;
	const char *unit;
	/* … or patterns */
	VEC(struct rx *) rx;
};

/* "32kb" at *at: digits and letters. */
static bool range_number(const char **at, const char **ret_from, int64_t *ret_v,
			 const char **ret_unit, struct arena *a, bool *ret_overflow)
{
	const char *p = *at, *from, *unit;

	/* the first place where it can begin */
	while (*p && !((*p >= '0' && *p <= '9') ||
		       ((*p == '+' || *p == '-') && p[1] >= '0' && p[1] <= '9')))
		p++;
	if (!*p)
		return false;
	from = p;
	p += *p == '+' || *p == '-';
	p += strspn(p, "0123456789");
	*ret_overflow = !go_parse_int(arena_strndup(a, from, (size_t)(p - from)), 10, ret_v);
	unit = p;
	while ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z'))
		p++;
	*ret_unit = arena_strndup(a, unit, (size_t)(p - unit));
	*ret_from = from;
	*at = p;
	return true;
}

/* 32kb, :64kb, 4mb:, 12kb:64mb; anything else is no range. */
static bool tag_range(struct lens *l, const char *text, struct tag_filter *f, struct err *err)
{
	const char *at = text, *from, *to, *unit, *second, *second_unit;
	bool overflow;
	int64_t v, w;
	struct measure m, m2;

	if (!range_number(&at, &from, &v, &unit, l->mem, &overflow))
		return true;
	if (overflow)
		return err_set(err, ERR_USAGE, "%.60s: the number is too large", text);
	m = measure_scale(v, unit, unit);
	to = at;
	f->unit = m.unit;
	if (range_number(&at, &second, &w, &second_unit, l->mem, &overflow)) {
		if (from != text || *to != ':' || second != to + 1 || *at)
			return true;
		if (overflow)
			return err_set(err, ERR_USAGE, "%.60s: the number is too large", text);
		m2 = measure_scale(w, second_unit, m.unit);
		if (strcmp(m.unit, m2.unit) != 0)
			return true;
		*f = (struct tag_filter){.key = f->key,
					 .is_range = true,
					 .has_min = true,
					 .has_max = true,
					 .min = m.value,
					 .max = m2.value,
					 .unit = m.unit};
		return true;
	}
	if (from == text && !*to)
		f->has_min = f->has_max = true;
	else if (from == text && !strcmp(to, ":"))
		f->has_min = true;
	else if (from == text + 1 && *text == ':' && !*to)
		f->has_max = true;
	f->is_range = f->has_min || f->has_max;
	f->min = f->max = m.value;
	return true;
}

static bool tag_filter_open(struct lens *l, const struct pprof_config *c, enum pprof_option_id o,
			    struct tag_filter **ret, struct err *err)
{
	const char *text = c->v[o].s, *equals = strchr(text, '=');
	struct tag_filter *f;

	*ret = NULL;
	if (!*text)
		return true;
	f = ARENA_NEW(l->mem, struct tag_filter);
	if (equals) {
		f->key = arena_strndup(l->mem, text, (size_t)(equals - text));
		if (!*f->key)
			f->key = NULL;
		text = equals + 1;
	}
	if (!tag_range(l, text, f, err))
		return err_in(err, "%s", PPROF_OPTIONS[o].name);
	*ret = f;
	if (f->is_range) {
		str_addf(l->messages, "%s:Interpreted '%s' as range, not regexp\n",
			 PPROF_OPTIONS[o].name, text);
		return true;
	}
	for (;; text++) {
		size_t n = strcspn(text, ",");

		if (!rx_compile(l->mem, arena_strndup(l->mem, text, n), VEC_PUSH(l->mem, &f->rx),
				err))
			return err_in(err, "parsing %s regexp", PPROF_OPTIONS[o].name);
		text += n;
		if (!*text)
			return true;
	}
}

static bool in_range(const struct tag_filter *f, int64_t v, const char *unit)
{
	struct measure m = measure_scale(v, unit, f->unit);

	return !strcmp(m.unit, f->unit) && (!f->has_min || m.value >= f->min) &&
	       (!f->has_max || m.value <= f->max);
}

static bool tag_filter_matches(struct lens *l, const struct tag_filter *f,
			       const struct pprof_label *v, uint32_t n)
{
	struct str text = {0};
	uint32_t matched = 0;

	if (f->is_range) {
		for (uint32_t i = 0; i < n; i++)
			if (v[i].is_num && (!f->key || !strcmp(f->key, lens_text(l, v[i].key))) &&
			    in_range(f, v[i].num, lens_text(l, lens_unit(l, v[i].key))))
				return true;
		return false;
	}
	if (f->key) {
		for (uint32_t i = 0; i < n; i++) {
			struct pprof_string s = lens_string(l, v[i].str);

			if (v[i].is_num || strcmp(f->key, lens_text(l, v[i].key)) != 0)
				continue;
			for (uint32_t r = 0; r < f->rx.n; r++)
				if (rx_match(f->rx.v[r], s.s, s.n))
					return true;
		}
		return false;
	}
	/* every pattern must match one "key:value" */
	for (uint32_t r = 0; r < f->rx.n && matched == r; r++)
		for (uint32_t i = 0; i < n && matched == r; i++) {
			struct pprof_string k = lens_string(l, v[i].key),
					    s = lens_string(l, v[i].str);

			if (v[i].is_num)
				continue;
			text.n = 0;
			str_addn(&text, k.s, k.n);
			str_add(&text, ":");
			str_addn(&text, s.s, s.n);
			matched += rx_match(f->rx.v[r], text.s, text.n);
		}
	str_free(&text);
	return matched == f->rx.n;
}

static void filter_by_tag(struct lens *l, const struct tag_filter *focus,
			  const struct tag_filter *ignore)
{
	bool fm = !focus, im = !ignore;
	uint32_t kept = 0;

	if (!focus && !ignore)
		return;
	own_samples(l);
	for (uint32_t k = 0; k < l->n_samples; k++) {
		uint32_t n;
		const struct pprof_label *v = lens_labels(l, l->sample[k], &n);
		bool focused = !focus || tag_filter_matches(l, focus, v, n);
		bool ignored = ignore && tag_filter_matches(l, ignore, v, n);

		fm |= focused;
		im |= ignored;
		if (focused && !ignored)
			keep_sample(l, kept++, k);
	}
	l->n_samples = kept;
	warn(l, fm, "TagFocus");
	warn(l, im, "TagIgnore");
}

/* --- tagshow, taghide --- */

static void filter_tags(struct lens *l, struct pattern *show, struct pattern *hide)
{
	bool sm = !show->rx, hm = !hide->rx;

	if (!show->rx && !hide->rx)
		return;
	for (uint32_t k = 0; k < l->n_samples; k++) {
		uint32_t i = l->sample ? l->sample[k] : k, n = 0;
		const struct pprof_label *v = NULL;

		if (l->p->label_at) {
			v = l->p->labels + l->p->label_at[i];
			n = l->p->label_at[i + 1] - l->p->label_at[i];
		}
		for (uint32_t j = 0; j < n; j++) {
			bool shown = !show->rx || says(l, show, v[j].key);
			bool hidden = hide->rx && says(l, hide, v[j].key);

			sm |= shown;
			hm |= hidden;
			if (!shown || hidden)
				lens_hide_tag(l, v[j].key);
		}
	}
	warn(l, sm, "TagShow");
	warn(l, hm, "TagHide");
}

/* --- prune_from --- */

/* A function's name without its arguments; "(anonymous namespace)" and "operator()" are no
 * arguments. */
static size_t simple_name(const char *s, size_t n, const char **ret)
{
	static const char *const reserved[] = {"(anonymous namespace)", "operator()"};

	if (n && *s == '.')
		s++, n--;
	*ret = s;
	for (size_t i = 0; i < n; i++) {
		size_t skip = 0;

		for (size_t r = 0; r < ARRAY_LEN(reserved) && !skip; r++)
			if (!strncmp(s + i, reserved[r], strlen(reserved[r])))
				skip = strlen(reserved[r]);
		if (skip)
			i += skip - 1;
		else if (s[i] == '(')
			return i;
	}
	return n;
}

static void filter_prune_from(struct lens *l, struct pattern *x)
{
	bool *beneath;

	if (!x->rx)
		return;
	beneath = ARENA_ARRAY(l->mem, bool, l->n_locations + 1);
	for (uint32_t i = 0; i < l->n_locations; i++) {
		struct pprof_location *loc = &l->locations[i];

		for (uint32_t j = 0; j < loc->n_lines && !beneath[i]; j++) {
			pstr name = l->functions[l->lines[loc->line_at + j].function].name;
			struct pprof_string s = lens_string(l, name);
			const char *simple;

			if (!s.n)
				continue;
			if (!x->said[name]) {
				size_t n = simple_name(s.s, s.n, &simple);

				x->said[name] = rx_match(x->rx, simple, n) ? 2 : 1;
			}
			if (x->said[name] == 2) {
				beneath[i] = true;
				loc->line_at += j;
				loc->n_lines -= j;
			}
		}
	}
	own_ends(l);
	for (uint32_t k = 0; k < l->n_samples; k++) {
		const pindex *locs;
		uint32_t n, i = 0;

		lens_sample(l, k, &locs, &n);
		while (i < n && (!beneath[locs[i]] || (l->hidden && l->hidden[locs[i]])))
			i++;
		if (i < n)
			l->begin[k] += i;
	}
}

bool lens_filter(struct lens *l, const struct pprof_config *c, struct err *err)
{
	struct pattern focus, ignore, hide, show, show_from, tagshow, taghide, prune_from;
	const struct {
		enum pprof_option_id option;
		struct pattern *x;
	} patterns[] = {
		{PPROF_FOCUS, &focus},	       {PPROF_IGNORE, &ignore},
		{PPROF_HIDE, &hide},	       {PPROF_SHOW, &show},
		{PPROF_SHOW_FROM, &show_from}, {PPROF_PRUNE_FROM, &prune_from},
		{PPROF_TAGSHOW, &tagshow},     {PPROF_TAGHIDE, &taghide},
	};
	struct tag_filter *tagfocus, *tagignore;

	for (size_t i = 0; i < ARRAY_LEN(patterns); i++)
		if (!pattern_open(l, c, patterns[i].option, patterns[i].x, err))
			return false;
	if (!tag_filter_open(l, c, PPROF_TAGFOCUS, &tagfocus, err) ||
	    !tag_filter_open(l, c, PPROF_TAGIGNORE, &tagignore, err))
		return false;
	filter_names(l, &focus, &ignore, &hide, &show);
	filter_show_from(l, &show_from);
	filter_by_tag(l, tagfocus, tagignore);
	filter_tags(l, &tagshow, &taghide);
	filter_prune_from(l, &prune_from);
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++)
		if (patterns[i].x->rx && rx_gave_up(patterns[i].x->rx))
			return err_set(err, ERR_LIMIT, "%s: the pattern %.80s takes too many steps",
				       PPROF_OPTIONS[patterns[i].option].name,
				       rx_pattern(patterns[i].x->rx));
	return true;
}
