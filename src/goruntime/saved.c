/*
 * A session as lines of text: what was found of the program (addresses of its globals, the layout,
 * its images), and results whose memory is not for a capture. Names, not positions, so that an
 * older capture is read by a newer whyrss. What comes back is checked as if it were hostile: a
 * field lies in its type, ranges ascend, a page has no more bytes than it has.
 */
#include "goruntime/saved.h"

#include <string.h>

#include "base/str.h"

#define IMAGES_LIMIT 512U
#define RANGES_LIMIT 256U /* of one image */
#define NOTES_LIMIT  64U
#define NATIVE_LIMIT (1U << 20)
#define PAGES_LIMIT  ((uint64_t)64 << 20) /* of all C heaps: 256 GiB */

/* ---- Writing ---- */

static void add_text(struct str *to, const char *s)
{
	for (; s && *s; s++) {
		unsigned char c = (unsigned char)*s;
		if (c < 0x20 || c == '\\' || c == 0x7f)
			str_addf(to, "\\x%02x", c);
		else
			str_addn(to, s, 1);
	}
	str_add(to, "\n");
}

static void add_number(struct str *to, uint64_t v)
{
	str_addf(to, " %llx", (unsigned long long)v);
}

static void add_line(struct str *to, const char *key, const char *text)
{
	str_addf(to, "%s ", key);
	add_text(to, text);
}

/* Values of pages, equal neighbours as "value*count". */
static void add_pages(struct str *to, const char *key, const uint16_t *v, uint64_t n)
{
	str_add(to, key);
	for (uint64_t i = 0, k; i < n; i = k) {
		for (k = i + 1; k < n && v[k] == v[i]; k++)
			;
		str_addf(to, k - i > 1 ? " %x*%llx" : " %x", v[i], (unsigned long long)(k - i));
	}
	str_add(to, "\n");
}

static uint64_t native_pages(const struct native_range *r)
{
	return (r->end - r->start + OS_PAGE - 1) / OS_PAGE;
}

static void save_native(const struct native *n, struct str *to)
{
	str_addf(to, "native");
	const uint64_t v[] = {n->kind,	      n->arenas,      n->used,		 n->free,
			      n->tcache_free, n->fast_free,   n->top_free,	 n->mmapped,
			      n->chunks_used, n->chunks_free, n->mmapped_chunks, n->cached_stacks};
	for (size_t i = 0; i < ARRAY_LEN(v); i++)
		add_number(to, v[i]);
	str_add(to, " ");
	add_text(to, n->libc);
	for (uint32_t i = 0; i < n->n_ranges; i++) {
		const struct native_range *r = &n->ranges[i];
		str_addf(to, "native.range %llx %llx %x\n", (unsigned long long)r->start,
			 (unsigned long long)r->end, r->what);
		if (r->kept_top != 0)
			str_addf(to, "native.top %llx\n", (unsigned long long)r->kept_top);
		if (r->used != NULL)
			add_pages(to, "native.used", r->used, native_pages(r));
		if (r->mine != NULL)
			add_pages(to, "native.mine", r->mine, native_pages(r));
	}
	for (uint32_t i = 0; i < n->n_thread_stacks; i++)
		str_addf(to, "native.stack %llx %llx\n",
			 (unsigned long long)n->thread_stacks[i].start,
			 (unsigned long long)n->thread_stacks[i].end);
}

static void save_results(const struct snapshot *s, struct str *to)
{
	const struct small_views *v = &s->small_views;
	str_addf(to, "ticks_per_second %llx\n",
		 (unsigned long long)MAX(s->profile.ticks_per_second, 0));
	str_addf(to, "pool_bytes %llx\n", (unsigned long long)s->pool_bytes);
	str_add(to, "small_views");
	const uint64_t w[] = {v->looked,       v->objects,	v->views,    v->size,
			      v->seen,	       v->unseen,	v->growable, v->example.size,
			      v->example.seen, v->example.views};
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		add_number(to, w[i]);
	str_add(to, "\n");
	save_native(&s->native, to);
	for (uint32_t i = 0; i < s->n_aside_notes; i++) {
		const struct aside_note *n = &s->aside_notes[i];
		str_addf(to, "result_note %x %x ", n->need, n->partial);
		add_text(to, n->text);
	}
}

void go_save(const struct go_session *g, const struct snapshot *s, bool stacks, bool held,
	     struct str *to)
{
	struct layout l = g->layout;
	struct symbols y = g->sym;
	const struct field *f = layout_fields(&l);
	const taddr *at = symbols_array(&y);
	add_line(to, "release", g->release.text);
	add_line(to, "layout_from", g->layout_from);
	str_addf(to, "flags %x %x\n", g->stripped, g->cgo);
	str_addf(to, "stacks %x %x\n", stacks, held);
	for (uint32_t i = 0; l.source == LAYOUT_DWARF && i < N_FIELD_ROWS; i++)
		if (f[i].width != 0)
			str_addf(to, "field %s %x %x\n", FIELD_ROWS[i].id, f[i].off, f[i].width);
	for (uint32_t i = 0; i < N_SYMBOL_ROWS; i++)
		if (at[i] != 0)
			str_addf(to, "symbol %s %llx\n", SYMBOL_ROWS[i].id,
				 (unsigned long long)at[i]);
	for (uint32_t i = 0; i < g->n_images; i++) {
		const struct image_file *m = &g->images[i];
		str_addf(to, "image %x %llx %llx %x %x %x ", m->dev, (unsigned long long)m->inode,
			 (unsigned long long)m->bias, m == g->main, m->go, m->own_runtime);
		add_text(to, m->path);
		add_line(to, "image.version", m->version);
		add_line(to, "image.build_id", m->build_id);
		for (uint32_t k = 0; k < m->n_ranges; k++)
			str_addf(to, "image.range %llx %llx %x\n",
				 (unsigned long long)m->ranges[k].start,
				 (unsigned long long)m->ranges[k].end, m->ranges[k].part);
	}
	for (uint32_t i = 0; i < g->n_wait_reasons; i++)
		add_line(to, "wait_reason", g->wait_reasons[i]);
	for (uint32_t i = 0; i < g->n_session_notes; i++)
		add_line(to, "note", g->session_notes[i]);
	save_results(s, to);
}

/* ---- Reading ---- */

struct loader {
	struct go_session *g;
	struct saved *saved;
	struct image_file *image; /* the last */
	uint32_t n_ranges;
	uint64_t n_pages;
	VEC(struct native_range) ranges;
	VEC(struct addr_range) stacks;
	VEC(const char *) reasons;
	VEC(const char *) notes;
	VEC(struct aside_note) results;
	VEC(struct image_range) image_ranges;
};

/* n numbers, each with a blank or the end behind it. */
static bool take_numbers(const char **at, uint64_t *v, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!str_u64(at, true, &v[i]) || (**at != '\0' && **at != ' '))
			return false;
		*at += **at == ' ';
	}
	return true;
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *take_text(struct arena *a, const char *s)
{
	char *copy = arena_strdup(a, s), *to = copy;
	for (; *s != '\0'; s++) {
		if (s[0] == '\\' && s[1] == 'x' && hex(s[2]) >= 0 && hex(s[3]) >= 0) {
			char c = (char)(hex(s[2]) << 4 | hex(s[3]));
			if (c != '\0')
				*to++ = c;
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
	return copy;
}

/* "used" or "mine" of the last range, as add_pages wrote it. */
static bool take_pages(struct loader *w, const char *at, bool mine)
{
	if (w->ranges.n == 0)
		return false;
	struct native_range *r = &w->ranges.v[w->ranges.n - 1];
	uint64_t n = native_pages(r), i = 0;
	if ((w->n_pages += n) > PAGES_LIMIT)
		return false;
	uint16_t *v = arena_try(w->g->mem, n, sizeof *v, NULL);
	if (v == NULL)
		return false;
	while (*at != '\0') {
		uint64_t value, count = 1;
		if (!str_u64(&at, true, &value) || value > OS_PAGE)
			return false;
		if (*at == '*' && (at++, !str_u64(&at, true, &count)))
			return false;
		if ((*at != '\0' && *at != ' ') || count > n - i)
			return false;
		at += *at == ' ';
		while (count-- > 0)
			v[i++] = (uint16_t)value;
	}
	if (i != n)
		return false;
	if (mine)
		r->mine = v;
	else
		r->used = v;
	return true;
}

static bool load_native(struct loader *w, const char *key, const char *at)
{
	struct native *n = &w->saved->native;
	uint64_t v[12];
	if (strcmp(key, "native") == 0) {
		if (!take_numbers(&at, v, 12) || v[0] > NATIVE_UNKNOWN)
			return false;
		*n = (struct native){.kind = (enum native_kind)v[0],
				     .libc = take_text(w->g->mem, at),
				     .arenas = (uint32_t)v[1],
				     .used = v[2],
				     .free = v[3],
				     .tcache_free = v[4],
				     .fast_free = v[5],
				     .top_free = v[6],
				     .mmapped = v[7],
				     .chunks_used = v[8],
				     .chunks_free = v[9],
				     .mmapped_chunks = v[10],
				     .cached_stacks = (uint32_t)v[11]};
		return true;
	}
	if (strcmp(key, "native.range") == 0) {
		taddr last = w->ranges.n > 0 ? w->ranges.v[w->ranges.n - 1].end : 0;
		if (!take_numbers(&at, v, 3) || v[0] < last || v[1] <= v[0] ||
		    w->ranges.n == NATIVE_LIMIT)
			return false;
		*VEC_PUSH(w->g->mem, &w->ranges) =
			(struct native_range){.start = v[0], .end = v[1], .what = (uint8_t)v[2]};
		return true;
	}
	if (strcmp(key, "native.top") == 0) {
		struct native_range *r = w->ranges.n > 0 ? &w->ranges.v[w->ranges.n - 1] : NULL;
		if (!take_numbers(&at, v, 1) || r == NULL || v[0] < r->start || v[0] >= r->end)
			return false;
		r->kept_top = v[0];
		return true;
	}
	if (strcmp(key, "native.stack") == 0) {
		if (!take_numbers(&at, v, 2) || v[1] <= v[0] || w->stacks.n == NATIVE_LIMIT)
			return false;
		*VEC_PUSH(w->g->mem, &w->stacks) = (struct addr_range){v[0], v[1]};
		return true;
	}
	if (strcmp(key, "native.used") == 0 || strcmp(key, "native.mine") == 0)
		return take_pages(w, at, key[7] == 'm');
	return true;
}

static bool load_image(struct loader *w, const char *key, const char *at)
{
	struct go_session *g = w->g;
	uint64_t v[6];
	if (strcmp(key, "image") == 0) {
		if (!take_numbers(&at, v, 6) || g->n_images == IMAGES_LIMIT)
			return false;
		struct image_file *m = &g->images[g->n_images++];
		*m = (struct image_file){.dev = (uint32_t)v[0],
					 .inode = v[1],
					 .bias = v[2],
					 .go = v[4] != 0,
					 .own_runtime = v[5] != 0,
					 .path = take_text(g->mem, at),
					 .version = "",
					 .build_id = ""};
		m->ranges = ARENA_ARRAY(g->mem, struct image_range, RANGES_LIMIT);
		w->image = m;
		if (v[3] != 0)
			g->main = m;
		return true;
	}
	if (w->image == NULL)
		return false;
	if (strcmp(key, "image.build_id") == 0) {
		w->image->build_id = take_text(g->mem, at);
		return true;
	}
	if (strcmp(key, "image.version") == 0) {
		w->image->version = take_text(g->mem, at);
		return true;
	}
	if (!take_numbers(&at, v, 3) || v[1] <= v[0] || v[2] > IMAGE_LIB ||
	    w->image->n_ranges == RANGES_LIMIT)
		return false;
	w->image->ranges[w->image->n_ranges++] =
		(struct image_range){.start = v[0], .end = v[1], .part = (uint8_t)v[2]};
	return true;
}

static bool load_name(struct loader *w, bool field, char *at)
{
	char *blank = strchr(at, ' ');
	const char *rest = blank != NULL ? blank + 1 : "";
	uint64_t v[2];
	if (blank == NULL || !take_numbers(&rest, v, field ? 2 : 1))
		return false;
	*blank = '\0';
	for (uint32_t i = 0; field && i < N_FIELD_ROWS; i++) {
		if (strcmp(at, FIELD_ROWS[i].id) == 0 && v[0] <= UINT32_MAX && v[1] <= UINT32_MAX)
			layout_fields(&w->g->layout)[i] =
				(struct field){(uint32_t)v[0], (uint32_t)v[1]};
	}
	for (uint32_t i = 0; !field && i < N_SYMBOL_ROWS; i++) {
		if (strcmp(at, SYMBOL_ROWS[i].id) == 0)
			symbols_array(&w->g->sym)[i] = v[0];
	}
	return true;
}

static bool load_line(struct loader *w, const char *key, char *value)
{
	struct go_session *g = w->g;
	const char *at = value;
	uint64_t v[10];
	if (strcmp(key, "field") == 0 || strcmp(key, "symbol") == 0)
		return load_name(w, key[0] == 'f', value);
	if (str_starts(key, "image"))
		return load_image(w, key, at);
	if (str_starts(key, "native"))
		return load_native(w, key, at);
	if (strcmp(key, "release") == 0)
		return go_release_parse(take_text(g->mem, at), &g->release);
	if (strcmp(key, "layout_from") == 0) {
		g->layout_from = take_text(g->mem, at);
		return true;
	}
	if (strcmp(key, "flags") == 0) {
		if (!take_numbers(&at, v, 2))
			return false;
		g->stripped = v[0] != 0;
		g->cgo = v[1] != 0;
		return true;
	}
	if (strcmp(key, "stacks") == 0) {
		if (!take_numbers(&at, v, 2))
			return false;
		w->saved->stacks = v[0] != 0;
		w->saved->held = v[1] != 0;
		return true;
	}
	if (strcmp(key, "pool_bytes") == 0)
		return take_numbers(&at, &w->saved->pool_bytes, 1);
	if (strcmp(key, "ticks_per_second") == 0) {
		if (!take_numbers(&at, v, 1))
			return false;
		w->saved->ticks_per_second = (int64_t)MIN(v[0], (uint64_t)INT64_MAX);
		return true;
	}
	if (strcmp(key, "result_note") == 0) {
		if (!take_numbers(&at, v, 2) || w->results.n == NOTES_LIMIT)
			return false;
		*VEC_PUSH(g->mem, &w->results) =
			(struct aside_note){(uint32_t)v[0], v[1] != 0, take_text(g->mem, at)};
		return true;
	}
	if (strcmp(key, "small_views") == 0) {
		if (!take_numbers(&at, v, 10))
			return false;
		w->saved->small_views = (struct small_views){
			.looked = v[0] != 0,
			.objects = v[1],
			.views = v[2],
			.size = v[3],
			.seen = v[4],
			.unseen = v[5],
			.growable = v[6],
			.example = {.size = v[7], .seen = v[8], .views = (uint32_t)v[9]}};
		return true;
	}
	if (strcmp(key, "wait_reason") == 0 && w->reasons.n < 128)
		*VEC_PUSH(g->mem, &w->reasons) = take_text(g->mem, at);
	else if (strcmp(key, "note") == 0 && w->notes.n < NOTES_LIMIT)
		*VEC_PUSH(g->mem, &w->notes) = take_text(g->mem, at);
	return true; /* what a newer version adds is passed over */
}

/* This program's own record where the process was read with one; what DWARF told is checked. */
static bool load_layout(struct go_session *g, struct err *err)
{
	struct layout *l = &g->layout;
	if (strcmp(g->layout_from, "DWARF") == 0) {
		l->source = LAYOUT_DWARF;
		return layout_plausible(l, &g->release, err);
	}
	return layout_recorded(&g->release, l) || layout_nearest(&g->release, l) ||
	       err_set(err, ERR_RELEASE, "%s has no record", g->release.text);
}

bool session_load(struct go_session *g, const char *text, size_t n, struct err *err)
{
	struct loader w = {.g = g, .saved = ARENA_NEW(g->mem, struct saved)};
	CLEANUP(arena_free) struct arena scratch = {0};
	arena_init(&scratch, 0);
	g->images = ARENA_ARRAY(g->mem, struct image_file, IMAGES_LIMIT);
	*w.saved = (struct saved){.native = {.libc = ""}, .pool_bytes = UINT64_MAX};
	for (const char *at = text, *end = text + n; at < end;) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		struct arena_mark mark = arena_mark(&scratch);
		size_t len = (size_t)((stop != NULL ? stop : end) - at);
		char *line = arena_strndup(&scratch, at, len), *blank = strchr(line, ' ');
		if (blank != NULL) {
			*blank = '\0';
			if (!load_line(&w, line, blank + 1))
				return err_set(err, ERR_FORMAT,
					       "a capture with a damaged session (%.40s)", line);
		} else if (strcmp(line, "native.used") == 0) {
			return err_set(err, ERR_FORMAT, "a capture with a damaged session");
		}
		arena_reset(&scratch, mark);
		at += len + 1;
	}
	if (g->main == NULL || g->release.major != 1 || g->release.minor < 18 ||
	    g->layout_from == NULL)
		return err_set(err, ERR_FORMAT, "a capture without its session");
	if (!load_layout(g, err))
		return err_in(err, "a capture with a damaged layout");
	w.saved->native.ranges = w.ranges.v;
	w.saved->native.n_ranges = w.ranges.n;
	w.saved->native.thread_stacks = w.stacks.v;
	w.saved->native.n_thread_stacks = w.stacks.n;
	w.saved->notes = w.results.v;
	w.saved->n_notes = w.results.n;
	g->wait_reasons = w.reasons.v;
	g->n_wait_reasons = w.reasons.n;
	g->session_notes = w.notes.v;
	g->n_session_notes = w.notes.n;
	g->saved = w.saved;
	return true;
}
