/*
 * Finds the Go program in a process: which mapped files are Go, the main one's symbols, its
 * release, its layout. The layout is the one recorded for exactly this release, else DWARF's, else
 * the nearest record's; whichever it is, it is believed only when the runtime's own sizes agree
 * with it (mheap_.spanalloc.size and its like).
 */
#include "goruntime/find.h"
#include "goruntime/rt.h"
#include "goruntime/saved.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_IMAGES 512U
#define FIND_TRIES 4

static void session_note(struct go_session *g, const char *text)
{
	const char **v = ARENA_ARRAY(g->mem, const char *, g->n_session_notes + 1);
	if (g->n_session_notes > 0)
		memcpy(v, g->session_notes, g->n_session_notes * sizeof *v);
	v[g->n_session_notes++] = text;
	g->session_notes = v;
}

static struct image_file *image_of(struct go_session *g, const struct mapping *m)
{
	for (uint32_t i = 0; i < g->n_images; i++) {
		if (g->images[i].dev == m->dev && g->images[i].inode == m->inode)
			return &g->images[i];
	}
	return NULL;
}

/** The load bias by which a segment came to lie at this mapping; false when no segment did. */
static bool image_bias(const struct elf_image *e, const struct mapping *m, taddr *ret)
{
	for (uint32_t i = 0; i < e->n_segments; i++) {
		const struct elf_segment *s = &e->segments[i];
		if (!s->executable || m->offset < round_down(s->offset, OS_PAGE) ||
		    m->offset >= s->offset + s->file_size)
			continue;
		*ret = m->start - m->offset - (s->addr - s->offset);
		return true;
	}
	return false;
}

static void image_ranges(struct go_session *g, struct image_file *f, const struct elf_image *e)
{
	f->ranges = ARENA_ARRAY(g->mem, struct image_range, e->n_segments);
	for (uint32_t i = 0; i < e->n_segments; i++) {
		const struct elf_segment *s = &e->segments[i];
		taddr start = f->bias + s->addr, end = start + s->mem_size;
		if (end < start || s->mem_size > (bytes)1 << 46)
			continue;
		f->ranges[f->n_ranges++] =
			(struct image_range){.start = round_down(start, OS_PAGE),
					     .end = round_up(end, OS_PAGE),
					     .part = s->executable ? IMAGE_TEXT
						     : s->writable ? IMAGE_DATA
								   : IMAGE_RODATA};
	}
}

/** Looks at every file that is mapped as code. */
static bool find_images(struct go_session *g, struct err *err)
{
	const struct os_facts *os = g->t->os;
	g->images = ARENA_ARRAY(g->mem, struct image_file, MAX_IMAGES);
	struct err why = {0}, no_exe = {0};
	for (uint32_t i = 0; i < os->n_maps && g->n_images < MAX_IMAGES; i++) {
		const struct mapping *m = &os->maps[i];
		if (!(m->flags & MAP_EXEC) || !(m->flags & (MAP_FILE | MAP_SHMEM)) ||
		    m->inode == 0 || image_of(g, m) != NULL)
			continue;
		struct image_file *f = &g->images[g->n_images];
		*f = (struct image_file){.path = m->path,
					 .dev = m->dev,
					 .inode = m->inode,
					 .version = "",
					 .build_id = ""};
		CLEANUP(cleanup_fd) int fd = g->t->ops->open_file(g->t, m, &why);
		struct elf_image e;
		if (fd < 0 || !elf_open(fd, g->mem, &e, &why)) {
			if (strcmp(m->path, os->exe) == 0)
				no_exe = why;
			continue;
		}
		f->build_id = arena_strdup(g->mem, e.build_id);
		struct go_buildinfo info = {0};
		if (e.machine != EM_X86_64 || !e.little64) {
			elf_close(&e);
			/* anything may map such a file; only the program itself decides */
			if (strcmp(m->path, os->exe) != 0)
				continue;
			return err_set(
				err, ERR_RELEASE,
				"%s is built for another architecture: whyrss reads amd64 only",
				m->path);
		}
		if (image_bias(&e, m, &f->bias)) {
			image_ranges(g, f, &e);
			if (go_buildinfo_read(&e, g->mem, &info, NULL) && info.found) {
				const char *mheap = "runtime.mheap_";
				taddr at = 0;
				bool exe = strcmp(m->path, os->exe) == 0;
				/* a plugin has none */
				if (!exe)
					elf_symbols(&e, &mheap, 1, &at, NULL);
				f->go = true;
				f->own_runtime = exe || !e.has_symtab || at != 0;
				f->version = info.version;
				if (strcmp(m->path, os->exe) == 0 || g->main == NULL) {
					g->cgo = info.cgo || e.has_interp;
					g->stripped = !e.has_symtab;
				}
			}
			if (strcmp(m->path, os->exe) == 0 && f->go)
				g->main = f;
			g->n_images++;
		}
		elf_close(&e);
	}
	/* a Go library inside a C, Python or Java process */
	for (uint32_t i = 0; i < g->n_images && g->main == NULL; i++) {
		if (g->images[i].go)
			g->main = &g->images[i];
	}
	if (g->main != NULL)
		return true;
	if (g->n_images == 0 && no_exe.kind == ERR_NONE)
		no_exe = why;
	if (no_exe.kind != ERR_NONE) {
		*err = no_exe;
		return g->t->kind == TARGET_CORE
			       ? false
			       : err_in(err, "the executable of process %d can't be read", os->pid);
	}
	return err_set(err, ERR_NOT_GO,
		       "process %d (%s) is not a Go program: none of its %u mapped programs and "
		       "libraries has Go build information",
		       os->pid, os->comm, g->n_images);
}

const struct mapping *main_mapping(const struct go_session *g)
{
	for (uint32_t i = 0; i < g->t->os->n_maps; i++) {
		const struct mapping *m = &g->t->os->maps[i];
		if (m->dev == g->main->dev && m->inode == g->main->inode && m->flags & MAP_EXEC)
			return m;
	}
	return NULL;
}

/** What the symbol tables say, load bias added; a stripped program has none, or a few dynamic ones.
 */
static void read_symbols(struct go_session *g, const struct elf_image *e, uint64_t *size)
{
	const char **names = ARENA_ARRAY(g->mem, const char *, N_SYMBOL_ROWS);
	taddr *value = symbols_array(&g->sym);
	if (g->t->hide_symbols)
		return;
	for (uint32_t i = 0; i < N_SYMBOL_ROWS; i++)
		names[i] = SYMBOL_ROWS[i].names;
	elf_symbols(e, names, N_SYMBOL_ROWS, value, size);
	for (uint32_t i = 0; i < N_SYMBOL_ROWS; i++)
		value[i] += value[i] != 0 ? g->main->bias : 0;
}

/** A note in one sentence: how the variables were found. */
static void note_found(struct go_session *g, const struct find_report *r)
{
	uint32_t how[FOUND_CODE + 1] = {0};
	char names[200] = "";
	for (uint32_t i = 0; i < N_SYMBOL_ROWS; i++) {
		size_t len = strlen(names);
		how[r->v[i].how]++;
		/* of a release that has it */
		if (r->v[i].how == FOUND_NOT &&
		    find_since((enum symbol_index)i) <= g->release.minor)
			snprintf(names + len, sizeof names - len, "%s%s", len > 0 ? ", " : "",
				 SYMBOL_ROWS[i].id);
	}
	uint32_t n = how[FOUND_BOTH] + how[FOUND_CODE] + how[FOUND_SCAN];
	if (n == 0)
		return;
	session_note(g,
		     arena_printf(g->mem,
				  "no symbol table: %u of the runtime's variables were found by "
				  "their invariants and by its code, %u by its code, %u by their "
				  "invariants%s%s",
				  how[FOUND_BOTH], how[FOUND_CODE], how[FOUND_SCAN],
				  names[0] ? "; not found: " : "", names));
}

/** Fills in what no symbol told, by the layout that the session has now. */
static bool complete_symbols(struct go_session *g, int tries, struct err *err)
{
	const taddr *value = symbols_array(&g->sym);
	bool complete = !g->stripped;
	for (uint32_t i = 0; i < N_SYMBOL_ROWS && complete; i++)
		complete = value[i] != 0 || !SYMBOL_ROWS[i].required;
	if (complete)
		return true;
	struct symbols told = g->sym;
	struct err why = {0};
	for (int i = 0; i < tries; i++) {
		g->sym = told; /* a running program can tear what is read */
		if (find_globals(g, &g->sym, g->found, &why))
			return true;
		/* what it mapped since it was opened can't be read before its mappings are listed
		 * anew */
		if (g->t->held || g->t->kind != TARGET_PROCESS || !target_facts(g->t, g->mem, NULL))
			break;
		g->os = g->t->os;
	}
	if (err != NULL)
		*err = why;
	return false;
}

/** The runtime says how large its structs are: does the layout agree? */
static bool layout_checks(struct go_session *g, const struct layout *l, struct err *err)
{
	const struct {
		const char *name;
		struct field where;
		uint32_t size;
	} v[] = {
		{"mspan", l->mheap_spanalloc_size, l->mspan_size.width},
		{"mcache", l->mheap_cachealloc_size, l->mcache_size.width},
		{"specialprofile", l->mheap_specialprofilealloc_size, l->specialprofile_size.width},
	};
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		uint64_t said;
		if (!mem_uint(g->t, g->sym.mheap + v[i].where.off, v[i].where.width, &said, err))
			return err_in(err, "mheap_");
		if (said != v[i].size)
			return err_set(err, ERR_RELEASE,
				       "%s is %llu bytes here and %u in the layout", v[i].name,
				       (unsigned long long)said, v[i].size);
	}
	return true;
}

/** Whether the session's layout is that of the program that runs. */
static bool layout_fits(struct go_session *g, int tries, struct err *err)
{
	struct symbols told = g->sym;
	if (complete_symbols(g, tries, err) && layout_checks(g, &g->layout, err))
		return true;
	g->sym = told;
	return false;
}

/** How sure the nearest record is: what of it could be checked. */
static void note_nearest(struct go_session *g, const char *dwarf)
{
	uint32_t of = 0, hold = find_verify(g, &g->sym, &of);
	session_note(g, arena_printf(g->mem,
				     "%s has no recorded layout (%s): read with that of %s, whose "
				     "checks pass; the invariants of %u of %u of the runtime's "
				     "variables hold",
				     g->release.text, dwarf, g->layout.recorded_as, hold, of));
}

static bool choose_layout(struct go_session *g, int fd, struct err *err)
{
	struct err why = {0}, dwarf = {0};
	struct layout *l = &g->layout;
	bool recorded = layout_recorded(&g->release, l);
	if (recorded) {
		if (layout_fits(g, FIND_TRIES, &why)) {
			g->layout_from = arena_printf(g->mem, "recorded for %s", l->recorded_as);
			return true;
		}
		session_note(g,
			     arena_printf(g->mem,
					  "the layout recorded for %s does not fit this build: %s",
					  g->release.text, why.msg));
	}
	if (layout_dwarf(fd, l, &dwarf) && layout_fits(g, FIND_TRIES, &dwarf)) {
		g->layout_from = "DWARF";
		if (!recorded)
			session_note(
				g, arena_printf(g->mem,
						"%s has no recorded layout: read with what its "
						"DWARF says, which its own struct sizes agree with",
						g->release.text));
		return true;
	}
	if (layout_nearest(&g->release, l) && layout_fits(g, FIND_TRIES, &why)) {
		g->layout_from = arena_printf(g->mem, "nearest record, %s", l->recorded_as);
		note_nearest(g, dwarf.msg);
		return true;
	}
	return err_set(err, ERR_RELEASE, "%s: no layout fits: %s; DWARF: %s", g->release.text,
		       why.kind != ERR_NONE ? why.msg : "no record", dwarf.msg);
}

/* Newer than any record: the nearest ones are tried from here on down. */
#define NEWEST_MINOR 40
#define OLDEST_MINOR 18

/**
 * Of a program that does not say its release (obfuscators take it away): the record by which most
 * of the runtime's variables can be found and hold, the newest one of these.
 */
static bool guess_release(struct go_session *g, struct err *err)
{
	struct symbols told = g->sym, best_sym = {0};
	struct layout best = {0};
	struct go_release best_release = {0};
	struct find_report best_found = {0};
	uint32_t most = 0, most_of = 0, most_agree = 0, fit = 0, nearly = 0;
	char last[sizeof best.recorded_as] = "";
	struct err why = {0}, closest = {0};
	for (int i = 2 * NEWEST_MINOR + 1; i >= 2 * OLDEST_MINOR; i--) {
		char text[32];
		snprintf(text, sizeof text, "go1.%d.%d", i / 2, i % 2 ? 99 : 0);
		if (!go_release_parse(text, &g->release) ||
		    !layout_nearest(&g->release, &g->layout) ||
		    strcmp(last, g->layout.recorded_as) == 0)
			continue;
		snprintf(last, sizeof last, "%s", g->layout.recorded_as);
		/* the release that the record begins with */
		snprintf(text, sizeof text, "%.*s", (int)strcspn(last, "\xe2"), last);
		if (!go_release_parse(text, &g->release))
			continue;
		g->sym = told;
		uint32_t of = 0, hold = layout_fits(g, 1, &why) ? find_verify(g, &g->sym, &of) : 0;
		uint32_t found = 0, agree = 0;
		for (uint32_t k = 0; k < N_SYMBOLS; k++) {
			found += g->found->v[k].how != FOUND_NOT;
			agree += g->found->v[k].how == FOUND_BOTH;
		}
		fit += hold > 0;
		if (hold == 0 && found >= nearly) {
			nearly = found;
			closest = why;
		}
		/* a layout that is nearly right makes the two ways disagree first */
		if (hold > most || (hold > 0 && hold == most && agree > most_agree)) {
			most = hold, most_of = of, most_agree = agree;
			best = g->layout, best_sym = g->sym, best_release = g->release;
			best_found = *g->found;
		}
	}
	if (most == 0)
		return err_set(err, ERR_RELEASE,
			       "“%.20s” is no Go release, and no record fits; the nearest: %s",
			       g->main->version, closest.msg);
	g->layout = best, g->sym = best_sym, g->release = best_release;
	*g->found = best_found;
	g->layout_from = arena_printf(g->mem, "record that fits, %s", best.recorded_as);
	session_note(g,
		     arena_printf(g->mem,
				  "the program does not say which Go release built it (“%.40s”): "
				  "read as %s, by whose layout most is found; %u records pass the "
				  "checks; the invariants of %u of %u of the runtime's variables "
				  "hold",
				  g->main->version, best.recorded_as, fit, most, most_of));
	return true;
}

/** The modules that this runtime keeps are plugins: their files have no runtime of their own, which
 * a stripped one's symbol table can't tell. */
static void find_plugins(struct go_session *g)
{
	const struct layout *l = &g->layout;
	uint64_t text, at = g->sym.firstmoduledata;
	for (uint32_t n = 0; at != 0 && n < MAX_MODULES; n++) {
		if (!mem_uint(g->t, at + l->moduledata_text.off, 8, &text, NULL) ||
		    !mem_uint(g->t, at + l->moduledata_next.off, 8, &at, NULL))
			return;
		for (uint32_t i = 0; i < g->n_images; i++) {
			struct image_file *f = &g->images[i];
			for (uint32_t k = 0; k < f->n_ranges && f != g->main; k++)
				if (text >= f->ranges[k].start && text < f->ranges[k].end)
					f->own_runtime = false;
		}
	}
}

#define MAX_WAIT_REASONS 128U

/** The texts of g.waitreason; size is the symbol's, 0: as many as look like it. */
static void read_wait_reasons(struct go_session *g, uint64_t size)
{
	uint32_t n = (uint32_t)MIN(size / 16, MAX_WAIT_REASONS);
	struct {
		uint64_t ptr, len;
	} v[MAX_WAIT_REASONS] = {0};
	if (g->sym.waitReasonStrings == 0)
		return;
	if (n == 0)
		n = MAX_WAIT_REASONS;
	n = (uint32_t)(target_read(g->t, g->sym.waitReasonStrings, v, n * sizeof v[0]) /
		       sizeof v[0]);
	const char **names = ARENA_ARRAY(g->mem, const char *, n);
	for (uint32_t i = 0; i < n; i++) {
		char *s = NULL;
		if (v[i].len > 64 && size == 0) {
			n = i;
			break;
		}
		names[i] = mem_string(g->t, v[i].ptr, v[i].len, 64, g->mem, &s, NULL) ? s : "";
	}
	g->wait_reasons = names;
	g->n_wait_reasons = n;
}

/** runtime.buildVersion of the running program; the file's build info where that can't be read.
 * *ret_told: whether it is a release at all. */
static bool read_release(struct go_session *g, bool *ret_told, struct err *err)
{
	struct {
		uint64_t ptr, len;
	} word;
	char *text = NULL;
	*ret_told = true;
	if (g->sym.buildVersion == 0 ||
	    target_read(g->t, g->sym.buildVersion, &word, sizeof word) != sizeof word ||
	    !mem_string(g->t, word.ptr, word.len, 90, g->mem, &text, NULL) ||
	    !go_release_parse(text, &g->release)) {
		*ret_told = go_release_parse(g->main->version, &g->release);
		if (!*ret_told)
			return true;
	}
	if (g->release.major != 1 || g->release.minor < 18)
		return err_set(err, ERR_RELEASE, "%s is older than Go 1.18", g->release.text);
	return true;
}

bool go_open(struct target *t, struct arena *session, struct go_session **ret, struct err *err)
{
	struct go_session *g = ARENA_NEW(session, struct go_session);
	g->t = t;
	g->os = t->os;
	g->mem = session;
	g->main_fd = -1;
	if (t->ops->saved != NULL) {
		size_t n;
		const char *text = t->ops->saved(t, &n);
		*ret = g;
		if (!session_load(g, text, n, err))
			return false;
		t->held = g->saved->held;
		return true;
	}
	if (!find_images(g, err))
		return false;
	const struct mapping *m = main_mapping(g);
	CLEANUP(cleanup_fd) int fd = m != NULL ? t->ops->open_file(t, m, err) : -1;
	struct elf_image e;
	if (fd < 0 || !elf_open(fd, session, &e, err))
		return err_in(err, "%s", g->main->path);
	g->stripped = !e.has_symtab;
	uint64_t *size = ARENA_ARRAY(session, uint64_t, N_SYMBOL_ROWS);
	g->stripped |= t->hide_symbols;
	g->found = ARENA_NEW(session, struct find_report);
	read_symbols(g, &e, size);
	elf_close(&e);
	bool told;
	if (!read_release(g, &told, err))
		return false;
	if (told ? !choose_layout(g, fd, err) : !guess_release(g, err))
		return false;
	note_found(g, g->found);
	find_plugins(g);
	for (uint32_t i = 0; i < N_SYMBOL_ROWS; i++) {
		if (strcmp(SYMBOL_ROWS[i].id, "waitReasonStrings") == 0)
			read_wait_reasons(g, size[i]);
	}
	uint64_t iscgo = 0;
	if (g->sym.iscgo != 0 && mem_uint(t, g->sym.iscgo, 1, &iscgo, NULL))
		g->cgo = iscgo != 0;
	*ret = g;
	return true;
}

void go_later(struct go_session *g)
{
	g->n_snapshots++;
}

void go_close(struct go_session *g)
{
	(void)g; /* all of it lies in the session's arena */
}
