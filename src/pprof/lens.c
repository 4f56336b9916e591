/* Copies of the tables, strings of its own, tags and their units, pseudo frames, granularity. */
#include "pprof/lens.h"

#include <stdlib.h>
#include <string.h>

#include "pprof/gotext.h"
#include "pprof/measure.h"

enum lens_tag { TAG_SHOWN, TAG_HIDDEN };

pstr lens_str(struct lens *l, const char *s, size_t n)
{
	uint64_t hash = hash_bytes((uintptr_t)l->p->mem, s, n);
	uint32_t at = 0, i;

	while ((i = pprof_set_next(&l->p->string_set, hash, &at)) != PPROF_NONE)
		if (l->p->strings[i].n == n && !memcmp(l->p->strings[i].s, s, n))
			return i;
	at = 0;
	while ((i = pprof_set_next(&l->own_set, hash, &at)) != PPROF_NONE)
		if (l->own.v[i].n == n && !memcmp(l->own.v[i].s, s, n))
			return l->p->n_strings + i;
	*VEC_PUSH(l->mem, &l->own) =
		(struct pprof_string){arena_strndup(l->mem, s, n), (uint32_t)n};
	pprof_set_add(&l->own_set, l->mem, hash, l->own.n - 1);
	return l->p->n_strings + l->own.n - 1;
}

/* --- tags --- */

bool lens_tag_shown(const struct lens *l, pstr key)
{
	return !l->tag_state || l->tag_state[key] == TAG_SHOWN;
}

void lens_hide_tag(struct lens *l, pstr key)
{
	if (key >= l->p->n_strings)
		return; /* not the profile's, so no sample has it */
	if (!l->tag_state)
		l->tag_state = ARENA_ARRAY(l->mem, uint8_t, l->p->n_strings);
	l->tag_state[key] = TAG_HIDDEN;
}

const struct pprof_label *lens_labels(const struct lens *l, uint32_t i, uint32_t *ret_n)
{
	const struct pprof_label *v;
	struct pprof_label *kept;
	uint32_t n, m = 0;

	*ret_n = 0;
	if (!l->p->label_at)
		return NULL;
	v = l->p->labels + l->p->label_at[i];
	n = l->p->label_at[i + 1] - l->p->label_at[i];
	*ret_n = n;
	for (uint32_t j = 0; j < n && l->tag_state; j++)
		m += l->tag_state[v[j].key] != TAG_SHOWN;
	if (!m)
		return v;
	kept = ARENA_ARRAY(l->mem, struct pprof_label, n - m + 1);
	*ret_n = 0;
	for (uint32_t j = 0; j < n; j++)
		if (l->tag_state[v[j].key] == TAG_SHOWN)
			kept[(*ret_n)++] = v[j];
	return kept;
}

uint32_t lens_label_run(const struct pprof_label *v, uint32_t n, uint32_t at)
{
	uint32_t i = at + 1;

	while (i < n && v[i].key == v[at].key && v[i].is_num == v[at].is_num)
		i++;
	return i - at;
}

bool lens_has_units(const struct pprof_label *v, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (v[i].num_unit)
			return true;
	return false;
}

bool lens_is_base(const struct lens *l, uint32_t i)
{
	const struct pprof *p = l->p;

	if (!p->label_at || l->base_key >= p->n_strings || !lens_tag_shown(l, l->base_key))
		return false;
	for (uint32_t j = p->label_at[i]; j < p->label_at[i + 1]; j++)
		if (p->labels[j].key == l->base_key && !p->labels[j].is_num &&
		    p->labels[j].str == l->base_value)
			return true;
	return false;
}

pstr lens_unit(const struct lens *l, pstr key)
{
	for (uint32_t i = 0; i < l->units.n; i++)
		if (l->units.v[i].key == key)
			return l->units.v[i].unit;
	return 0;
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Other units than the first one of a key are named, and not used. */
static void find_units(struct lens *l)
{
	VEC(struct lens_unit) others = {0};
	const struct pprof *p = l->p;
	uint32_t n = p->label_at ? p->label_at[p->n_samples] : 0;
	const char *text;

	for (uint32_t i = 0; i < n; i++) {
		const struct pprof_label *v = &p->labels[i];
		struct lens_unit *u = NULL;
		bool known = false;

		if (!v->is_num)
			continue;
		for (uint32_t j = 0; j < l->units.n && !u; j++)
			if (l->units.v[j].key == v->key)
				u = &l->units.v[j];
		if (!u) {
			u = VEC_PUSH(l->mem, &l->units);
			*u = (struct lens_unit){.key = v->key};
		}
		if (!u->unit)
			u->unit = v->num_unit;
		if (!v->num_unit || v->num_unit == u->unit)
			continue;
		for (uint32_t j = 0; j < others.n && !known; j++)
			known = others.v[j].key == v->key && others.v[j].unit == v->num_unit;
		if (!known)
			*VEC_PUSH(l->mem, &others) = (struct lens_unit){v->key, v->num_unit};
	}
	for (uint32_t i = 0; i < l->units.n; i++) {
		struct lens_unit *u = &l->units.v[i];
		const char **names = ARENA_ARRAY(l->mem, const char *, others.n + 1);
		uint32_t m = 0;

		for (uint32_t j = 0; j < others.n; j++)
			if (others.v[j].key == u->key)
				names[m++] = lens_text(l, others.v[j].unit);
		qsort(names, m, sizeof(*names), compare_strings);
		for (uint32_t j = 0; j < m; j++) {
			if (!j)
				str_addf(l->messages,
					 "For tag %s used unit %s, also encountered unit(s) ",
					 lens_text(l, u->key), lens_text(l, u->unit));
			str_addf(l->messages, "%s%s", j ? ", " : "", names[j]);
		}
		if (m)
			str_add(l->messages, "\n");
		text = lens_text(l, u->key);
		if (!u->unit)
			u->unit = !strcmp(text, "alignment") || !strcmp(text, "request")
					  ? lens_str(l, "bytes", 5)
					  : u->key;
	}
}

/* --- opening --- */

static void *copy(struct arena *a, const void *from, uint32_t n, size_t size)
{
	void *to = arena_alloc(a, (n + 1) * size);

	if (n)
		memcpy(to, from, n * size);
	return to;
}

void lens_open(struct lens *l, const struct pprof *p, bool last, struct arena *mem,
	       struct str *messages)
{
	*l = (struct lens){.p = p, .mem = mem, .messages = messages, .locs = p->locs};
	l->n_samples = p->n_samples;
	l->n_functions = l->cap_functions = p->n_functions;
	l->n_lines = l->cap_lines = p->n_lines;
	l->n_locations = l->cap_locations = p->n_locations;
	if (last) {
		l->functions = p->functions;
		l->lines = p->lines;
		l->locations = p->locations;
	} else {
		l->functions = copy(mem, p->functions, p->n_functions, sizeof(*p->functions));
		l->lines = copy(mem, p->lines, p->n_lines, sizeof(*p->lines));
		l->locations = copy(mem, p->locations, p->n_locations, sizeof(*p->locations));
	}
	l->mappings = copy(mem, p->mappings, p->n_mappings, sizeof(*p->mappings));
	l->base_key = lens_str(l, "pprof::base", 11);
	l->base_value = lens_str(l, "true", 4);
	find_units(l);
}

/* --- frames of tags --- */

struct tag_frames {
	struct lens *l;
	const char *unit;
	VEC(const char *) root, leaf; /* keys */
	bool root_matched, leaf_matched;
	struct pprof_set set; /* of the locations made here */
	uint32_t first;	      /* the first of them */
	uint64_t function_id, location_id;
};

static void split_keys(struct arena *a, const char *text, void *vec)
{
	VEC(const char *) *keys = vec;

	for (; *text; text += strcspn(text, ","), text += *text == ',')
		if (strcspn(text, ","))
			*VEC_PUSH(a, keys) = arena_strndup(a, text, strcspn(text, ","));
}

/* All values of a key in a sample, joined by ','; *matched when there is one. */
static void tag_values(struct tag_frames *t, const struct pprof_label *v, uint32_t n,
		       const char *key, struct str *to, bool *matched)
{
	const char *comma = "";

	for (uint32_t i = 0, run; i < n; i += run) {
		bool units;

		run = lens_label_run(v, n, i);
		if (strcmp(lens_text(t->l, v[i].key), key) != 0)
			continue;
		units = v[i].is_num && lens_has_units(v + i, run);
		for (uint32_t j = i; j < i + run; j++) {
			str_add(to, comma);
			comma = ",";
			*matched = true;
			if (!v[i].is_num)
				str_add(to, lens_text(t->l, v[j].str));
			else if (units)
				measure_label(to, v[j].num, lens_text(t->l, v[j].num_unit),
					      t->unit);
			else
				measure_label(to, v[j].num, "", "");
		}
	}
}

static pindex tag_location(struct tag_frames *t, const char *name, const char *key)
{
	struct lens *l = t->l;
	pstr n = lens_str(l, name, strlen(name)), k = lens_str(l, key, strlen(key));
	uint64_t hash = hash_mix(n, k);
	uint32_t at = 0, i;

	while ((i = pprof_set_next(&t->set, hash, &at)) != PPROF_NONE) {
		const struct pprof_function *f =
			&l->functions[l->lines[l->locations[i].line_at].function];

		if (f->name == n && f->file == k)
			return i;
	}
	vec_room(l->mem, (void **)(void *)&l->functions, l->n_functions, &l->cap_functions,
		 sizeof(*l->functions));
	l->functions[l->n_functions] =
		(struct pprof_function){.id = t->function_id++, .name = n, .file = k};
	vec_room(l->mem, (void **)(void *)&l->lines, l->n_lines, &l->cap_lines, sizeof(*l->lines));
	l->lines[l->n_lines] = (struct pprof_line){.function = l->n_functions++};
	vec_room(l->mem, (void **)(void *)&l->locations, l->n_locations, &l->cap_locations,
		 sizeof(*l->locations));
	l->locations[l->n_locations] = (struct pprof_location){.id = t->location_id++,
							       .mapping = PPROF_NONE,
							       .line_at = l->n_lines++,
							       .n_lines = 1};
	pprof_set_add(&t->set, l->mem, hash, l->n_locations);
	return l->n_locations++;
}

/* Both lists go from the last key to the first: the last leaf key is the leaf, the first root key
 * the root. */
static uint32_t add_frames(struct tag_frames *t, const char *const *keys, uint32_t n_keys,
			   uint32_t sample, pindex *to, bool *matched)
{
	uint32_t n;
	const struct pprof_label *v = lens_labels(t->l, sample, &n);
	struct str text = {0};

	for (uint32_t i = n_keys; i-- > 0;) {
		text.n = 0;
		str_add(&text, "");
		tag_values(t, v, n, keys[i], &text, matched);
		*to++ = tag_location(t, text.s, keys[i]);
	}
	str_free(&text);
	return n_keys;
}

void lens_add_tag_frames(struct lens *l, const struct pprof_config *c)
{
	struct tag_frames t = {.l = l, .unit = c->v[PPROF_UNIT].s};
	const struct pprof *p = l->p;
	uint64_t room;
	uint32_t at = 0;
	pindex *locs;

	split_keys(l->mem, c->v[PPROF_TAGROOT].s, &t.root);
	split_keys(l->mem, c->v[PPROF_TAGLEAF].s, &t.leaf);
	if (t.root.n + t.leaf.n && p->n_samples) {
		for (uint32_t i = 0; i < l->n_locations; i++)
			t.location_id = MAX(t.location_id, l->locations[i].id);
		for (uint32_t i = 0; i < l->n_functions; i++)
			t.function_id = MAX(t.function_id, l->functions[i].id);
		t.location_id++;
		t.function_id++;
		room = p->loc_at[p->n_samples] + (uint64_t)p->n_samples * (t.root.n + t.leaf.n);
		locs = ARENA_ARRAY(l->mem, pindex, room);
		l->begin = ARENA_ARRAY(l->mem, uint32_t, p->n_samples);
		l->end = ARENA_ARRAY(l->mem, uint32_t, p->n_samples);
		for (uint32_t i = 0; i < p->n_samples; i++) {
			uint32_t n = p->loc_at[i + 1] - p->loc_at[i];
			pindex *root = ARENA_ARRAY(l->mem, pindex, t.root.n + 1);

			l->begin[i] = at;
			/* the roots' locations are made first */
			add_frames(&t, t.root.v, t.root.n, i, root, &t.root_matched);
			at += add_frames(&t, t.leaf.v, t.leaf.n, i, locs + at, &t.leaf_matched);
			memcpy(locs + at, p->locs + p->loc_at[i], n * sizeof(*locs));
			at += n;
			memcpy(locs + at, root, t.root.n * sizeof(*locs));
			at += t.root.n;
			l->end[i] = at;
		}
		l->locs = locs;
	}
	if (*c->v[PPROF_TAGROOT].s && !t.root_matched)
		str_add(l->messages, "TagRoot expression matched no samples\n");
	if (*c->v[PPROF_TAGLEAF].s && !t.leaf_matched)
		str_add(l->messages, "TagLeaf expression matched no samples\n");
}

/* --- granularity --- */

/* What each granularity keeps; the first is what no granularity means. */
static const struct granularity {
	const char *name;
	bool function, file, line, address;
} GRANULARITIES[] = {
	{"", true, false, false, false},
	{"functions", true, false, false, false},
	{"filefunctions", true, true, false, false},
	{"files", false, true, false, false},
	{"lines", true, true, true, false},
	{"addresses", true, true, true, true},
};

void lens_aggregate(struct lens *l, const struct pprof_config *c)
{
	const struct granularity *g = GRANULARITIES;
	bool inlines = !c->v[PPROF_NOINLINES].b, columns = c->v[PPROF_SHOWCOLUMNS].b;

	while (strcmp(g->name, c->v[PPROF_GRANULARITY].s) != 0)
		g++;
	if (g->address && inlines)
		return; /* nothing is merged */
	for (uint32_t i = 0; i < l->p->n_mappings; i++) {
		l->mappings[i].has_inline_frames &= inlines;
		l->mappings[i].has_functions &= g->function;
		l->mappings[i].has_filenames &= g->file;
		l->mappings[i].has_line_numbers &= g->line;
	}
	for (uint32_t i = 0; i < l->n_functions; i++) {
		if (!g->function)
			l->functions[i].name = l->functions[i].system_name = 0;
		if (!g->file)
			l->functions[i].file = 0;
	}
	for (uint32_t i = 0; i < l->n_locations; i++) {
		struct pprof_location *loc = &l->locations[i];

		if (!inlines && loc->n_lines > 1) {
			loc->line_at += loc->n_lines - 1;
			loc->n_lines = 1;
		}
		if (!g->address)
			loc->address = 0;
	}
	for (uint32_t i = 0; i < l->n_lines; i++) {
		if (!g->line)
			l->lines[i].line = 0;
		if (!g->line || !columns)
			l->lines[i].column = 0;
	}
}
