/*
 * One process, live, or one recording at a moment: a headline, a plot with the GC cycles, and a
 * panel of rows: lines, bridge, call sites or causes. The ledger is read in the thread of
 * series/lines.h and copied.
 */
#include "front/tui.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/unit.h"

#undef LINES
#include <ncurses.h>

#define SECOND	  INT64_C(1000000000)
#define SITE_ROWS 64U

static void copy(char *to, size_t size, const char *s)
{
	snprintf(to, size, "%s", s ? s : "");
}

/* "main.f /a/b/x.go:12\n…" as "main.f (x.go:12)". */
static void copy_site(char *to, size_t size, const char *stack)
{
	size_t n = strcspn(stack, "\n"), at = n;
	const char *file;

	while (at > 0 && stack[at - 1] != ' ')
		at--;
	file = stack + at;
	for (const char *p = file; p < stack + n; p++)
		if (*p == '/')
			file = p + 1;
	if (at == 0)
		snprintf(to, size, "%.*s", (int)MIN(n, size), stack);
	else
		snprintf(to, size, "%.*s (%.*s)", (int)(at - 1), stack, (int)(stack + n - file),
			 file);
}

/* ---- A process ---- */

/* In the reader's thread. */
static void take_ledger(void *ctx, const struct event *e, const struct ledger *l)
{
	CLEANUP(arena_free) struct arena a = {0};
	struct tui_one *o = ctx;
	struct tui_ledger *t = calloc(1, sizeof(*t));
	struct site_row *sites;

	(void)e;
	if (!t)
		return;
	arena_init(&a, 0);
	t->known = true;
	t->residency = l->residency;
	t->rss = l->rss;
	t->profile = l->s->profile.enabled ? l->s->profile.inuse_space : -1;
	memcpy(t->bridge, l->bridge, sizeof(t->bridge));
	for (unsigned i = 0; i < N_LINES; i++)
		t->line[i] = l->line[i].resident;
	t->n_sites = snapshot_sites(l->s, SITE_ROWS, &a, &sites);
	for (uint32_t i = 0; i < t->n_sites; i++) {
		copy_site(t->site[i].where, sizeof(t->site[i].where), sites[i].stack);
		t->site[i].space = sites[i].inuse_space;
		t->site[i].objects = sites[i].inuse_objects;
	}
	for (uint32_t i = 0; i < l->n_causes && t->n_causes < ARRAY_LEN(t->cause); i++) {
		const struct cause *c = &l->causes[i];

		copy(t->cause[t->n_causes].title, sizeof(t->cause[0].title), c->title);
		copy(t->cause[t->n_causes].what, sizeof(t->cause[0].what),
		     c->n_actions ? c->actions[0].what : "");
		t->cause[t->n_causes++].bytes = c->bytes;
	}
	copy(t->first, sizeof(t->first), l->n_causes ? l->causes[0].id : "");
	pthread_mutex_lock(&o->lock);
	o->fresh = *t;
	pthread_mutex_unlock(&o->lock);
	free(t);
}

static void take(void *ctx, const struct event *e)
{
	struct tui_one *o = ctx;
	uint32_t i = o->n % TUI_HISTORY;

	switch (e->kind) {
	case EVENT_SAMPLE:
		o->last = e->sample;
		o->rss[i] = (double)e->sample.rss;
		o->live[i] = (double)e->sample.heap_live;
		o->n++;
		o->gc[o->n % TUI_HISTORY] = false;
		break;
	case EVENT_GC:
		o->gc[i] = true;
		o->cycles++;
		o->last_gc = e->gc;
		break;
	case EVENT_LINES:
		pthread_mutex_lock(&o->lock);
		o->ledger = o->fresh;
		pthread_mutex_unlock(&o->lock);
		break;
	case EVENT_END:
		break;
	}
}

bool tui_one_open(struct tui_one *o, int pid, const char *name, struct err *err)
{
	const struct source_word word = {.kind = SOURCE_PROCESS, .pid = pid};
	const struct watch_options options = {
		.hz = 10, .lines_every = LINES_EVERY_NS, .ledger = take_ledger, .ledger_ctx = o};
	enum tui_panel panel = o->panel;

	memset(o, 0, sizeof(*o));
	o->panel = panel;
	o->pid = pid;
	copy(o->name, sizeof(o->name), name);
	pthread_mutex_init(&o->lock, NULL);
	return watch_open_word(&word, &options, &o->w, err);
}

bool tui_one_step(struct tui_one *o, struct err *err)
{
	if (o->replay)
		return true;
	for (int i = 0; i < 200; i++) { /* until a sample came, a tenth of a second at most */
		uint32_t before = o->n;

		if (!watch_step(&o->w, -1, SECOND / 10, take, o, err))
			return false;
		if (o->n != before)
			break;
	}
	return true;
}

void tui_one_close(struct tui_one *o)
{
	if (!o->replay)
		watch_close(&o->w);
}

/* ---- A recording ---- */

static bool seek(struct tui_one *o, int64_t t_ns, struct err *err)
{
	CLEANUP(arena_free) struct arena a = {0};
	const struct story *s = &o->replay->story;
	struct tui_ledger *l = &o->ledger;
	struct moment m;

	arena_init(&a, 0);
	t_ns = MIN(MAX(t_ns, s->from_ns), s->to_ns);
	if (!story_moment(o->replay->rec, s, t_ns, &a, &m, err))
		return false;
	o->t_ns = t_ns;
	o->last = m.sample->s;
	memset(l, 0, sizeof(*l));
	l->profile = -1;
	if (m.ledger) {
		l->known = true;
		l->rss = m.ledger->l.rss;
		l->profile = m.ledger->l.profile == UNKNOWN ? -1 : (int64_t)m.ledger->l.profile;
		memcpy(l->line, m.ledger->l.resident, sizeof(l->line));
		copy(l->first, sizeof(l->first), m.ledger->l.cause);
	}
	l->n_sites = MIN(m.n_sites, SITE_ROWS);
	for (uint32_t i = 0; i < l->n_sites; i++) {
		copy_site(l->site[i].where, sizeof(l->site[i].where), m.sites[i].stack);
		l->site[i].space = m.sites[i].inuse_space;
		l->site[i].objects = m.sites[i].inuse_objects;
	}
	return true;
}

bool tui_one_replay(struct tui_one *o, struct replay *r, const char *at, struct err *err)
{
	const char *exe = strrchr(r->story.info.exe, '/');
	int64_t t = r->story.to_ns;

	memset(o, 0, sizeof(*o));
	o->replay = r;
	o->pid = (int)r->story.info.pid;
	copy(o->name, sizeof(o->name), exe ? exe + 1 : r->story.info.exe);
	pthread_mutex_init(&o->lock, NULL);
	return (!at || replay_time(r, at, &t, err)) && seek(o, t, err);
}

/* The whole recording in `shown` points, and where the moment is among them. */
static void fill_from_story(struct tui_one *o, uint32_t shown)
{
	const struct story *s = &o->replay->story;
	uint64_t before = s->samples[0].s.num_gc;

	shown = MIN(shown, s->n_samples);
	o->n = shown;
	o->cursor = 0;
	for (uint32_t i = 0; i < shown; i++) {
		const struct sample_row *x =
			&s->samples[shown > 1 ? (uint64_t)i * (s->n_samples - 1) / (shown - 1) : 0];

		o->rss[i] = (double)x->s.rss;
		o->live[i] = (double)x->s.heap_live;
		o->gc[i] = x->s.num_gc != before;
		before = x->s.num_gc;
		if (x->t_ns <= o->t_ns)
			o->cursor = i;
	}
}

static bool step_replay(struct tui_one *o, int key)
{
	const struct story *s = &o->replay->story;
	int64_t all = s->to_ns - s->from_ns, t = o->t_ns;
	struct err err = {0};

	switch (key) {
	case KEY_LEFT:
	case ',':
		t -= MAX(all / 200, SECOND);
		break;
	case KEY_RIGHT:
	case '.':
		t += MAX(all / 200, SECOND);
		break;
	case '<':
		t -= all / 10;
		break;
	case '>':
		t += all / 10;
		break;
	case KEY_HOME:
		t = s->from_ns;
		break;
	case KEY_END:
		t = s->to_ns;
		break;
	case 'p':
		t = s->peak_t_ns;
		break;
	default:
		return false;
	}
	(void)seek(o, t, &err); /* what can't be read leaves the moment as it was */
	return true;
}

bool tui_one_key(struct tui_one *o, int key)
{
	switch (key) {
	case '\t':
	case KEY_F(5):
		o->panel = (enum tui_panel)((o->panel + 1) % N_PANELS);
		o->scroll = 0;
		return true;
	case KEY_BTAB:
		o->panel = (enum tui_panel)((o->panel + N_PANELS - 1) % N_PANELS);
		o->scroll = 0;
		return true;
	case KEY_UP:
	case 'k':
		o->scroll = MAX(o->scroll - 1, 0);
		return true;
	case KEY_DOWN:
	case 'j':
		o->scroll++;
		return true;
	case KEY_PPAGE:
		o->scroll = MAX(o->scroll - 10, 0);
		return true;
	case KEY_NPAGE:
		o->scroll += 10;
		return true;
	default:
		if (key >= '1' && key < '1' + N_PANELS) {
			o->panel = (enum tui_panel)(key - '1');
			o->scroll = 0;
			return true;
		}
		return o->replay && step_replay(o, key);
	}
}

/* ---- Drawing ---- */

/* Two values as columns of braille, 2 x 4 dots a character; without UTF-8 of letters. */
static void draw_plot(const struct tui_one *o, bool utf8, int y0, int rows, int cols)
{
	static const uint8_t dot[4][2] = {{1, 8}, {2, 16}, {4, 32}, {64, 128}};
	uint32_t shown = MIN(MIN(o->n, TUI_HISTORY - 1), (uint32_t)cols * 2);
	double most = 1;
	char text[UNIT_TEXT];

	for (uint32_t i = o->n - shown; i < o->n; i++)
		most = fmax(most, fmax(o->rss[i % TUI_HISTORY], o->live[i % TUI_HISTORY]));
	for (int r = 0; r < rows; r++) {
		tui_putf(y0 + r, 0, "%10s",
			 r == 0		 ? unit_bytes(text, (bytes)most)
			 : r == rows - 1 ? "0"
					 : "");
		move(y0 + r, 11);
		for (uint32_t c = 0; c * 2 < shown; c++) {
			uint8_t bits = 0;

			for (uint32_t k = 0; k < 2 && c * 2 + k < shown; k++) {
				uint32_t i = (o->n - shown + c * 2 + k) % TUI_HISTORY;
				double v[2] = {o->rss[i] / most, o->live[i] / most};

				for (int what = 0; what < 2; what++) {
					int d = rows * 4 - 1 - (int)(v[what] * (rows * 4 - 1));

					if (d / 4 == r)
						bits |= dot[d % 4][k];
				}
			}
			if (utf8 && bits)
				printw("%c%c%c", 0xe2, 0xa0 | bits >> 6, 0x80 | (bits & 63));
			else
				addch(bits ? '*' : ' ');
		}
	}
	tui_putf(y0 + rows, 0, "%10s", "GC");
	move(y0 + rows, 11);
	for (uint32_t c = 0; c * 2 < shown; c++) {
		uint32_t i = o->n - shown + c * 2;
		bool here = o->replay && (o->cursor == i || o->cursor == i + 1);

		addch(here						       ? '^' | A_BOLD
		      : o->gc[i % TUI_HISTORY] || o->gc[(i + 1) % TUI_HISTORY] ? '|'
									       : ' ');
	}
}

struct panel_row {
	int64_t v;
	const char *name, *what;
	bool sign;
};

static int by_size(const void *a, const void *b)
{
	const struct panel_row *x = a, *y = b;

	return (x->v < y->v) - (x->v > y->v);
}

/* The rows of the panel that is chosen. */
static uint32_t panel_rows(const struct tui_one *o, struct panel_row v[TUI_ROWS],
			   char names[TUI_ROWS][UNIT_TEXT])
{
	const struct tui_ledger *l = &o->ledger;
	uint32_t n = 0;

	switch (o->panel) {
	case PANEL_LINES:
		for (unsigned i = 0; i < N_LINES && l->known; i++)
			v[n++] = (struct panel_row){(int64_t)l->line[i], ledger_lines[i].id,
						    ledger_lines[i].title, false};
		qsort(v, n, sizeof(*v), by_size);
		break;
	case PANEL_BRIDGE:
		for (unsigned i = 0; i < N_BRIDGE && l->known && !o->replay; i++) {
			bool end = i == BRIDGE_PROFILE || i == BRIDGE_RSS;

			if (end || (l->bridge[i].delta && (l->residency || i <= BRIDGE_FREE)))
				v[n++] = (struct panel_row){
					end ? l->bridge[i].sum : l->bridge[i].delta,
					BRIDGE_INFO[i].id,
					i == BRIDGE_PROFILE ? "heap profile"
					: i == BRIDGE_RSS   ? "RSS"
							    : BRIDGE_INFO[i].title,
					!end};
		}
		break;
	case PANEL_SITES:
		for (uint32_t i = 0; i < l->n_sites; i++) {
			snprintf(names[n], UNIT_TEXT, "%lld", (long long)l->site[i].objects);
			v[n] = (struct panel_row){l->site[i].space, names[n], l->site[i].where,
						  false};
			n++;
		}
		break;
	case PANEL_CAUSES:
		for (uint32_t i = 0; i < l->n_causes; i++) {
			v[n++] = (struct panel_row){l->cause[i].bytes, "", l->cause[i].title, true};
			if (*l->cause[i].what)
				v[n++] = (struct panel_row){0, "  do:", l->cause[i].what, false};
		}
		break;
	case N_PANELS:
		break;
	}
	return n;
}

static void draw_panel(struct tui_one *o, int y0, int rows)
{
	static const char *const titles[N_PANELS] = {"1 lines", "2 bridge", "3 call sites",
						     "4 causes"};
	static const char *const empty[N_PANELS] = {
		"no ledger yet", "no ledger yet",
		"no call sites: profiling is off, or too little is in use",
		"no cause: nothing is wrong, or no ledger yet"};
	struct panel_row v[TUI_ROWS];
	char names[TUI_ROWS][UNIT_TEXT];
	uint32_t n = panel_rows(o, v, names);
	double most = 1;
	int x = 0, room = getmaxx(stdscr);

	for (unsigned i = 0; i < N_PANELS; i++) {
		if (i == o->panel)
			attron(A_REVERSE);
		tui_putf(y0, x, " %s ", titles[i]);
		attroff(A_REVERSE);
		x += (int)strlen(titles[i]) + 3;
	}
	rows--;
	if (rows <= 0)
		return;
	if (!n)
		tui_put(y0 + 1, 1,
			o->replay && o->panel == PANEL_BRIDGE
				? "the bridge is not recorded: its lines are under 1"
			: o->replay && o->panel == PANEL_CAUSES && *o->ledger.first
				? o->ledger.first
				: empty[o->panel]);
	o->scroll = MIN(o->scroll, MAX((int)n - rows, 0));
	for (uint32_t i = 0; i < n; i++)
		most = fmax(most, fabs((double)v[i].v));
	for (int i = 0; i < rows && i + o->scroll < (int)n; i++) {
		const struct panel_row *r = &v[i + o->scroll];
		char text[UNIT_TEXT] = "";
		int bar = (int)(fabs((double)r->v) / most * MAX(room - 76, 0));

		if (r->v || o->panel != PANEL_CAUSES) {
			if (r->sign)
				unit_delta(text, r->v);
			else
				unit_bytes(text, (bytes)MAX(r->v, 0));
		}
		tui_putf(y0 + 1 + i, 0, "%-15.15s ", r->name);
		/* by columns: the minus of unit_delta has three bytes */
		tui_put(y0 + 1 + i, 28 - (int)(strlen(text) - (*text == '\xe2' ? 2 : 0)), text);
		tui_put(y0 + 1 + i, 30, r->what);
		if (o->panel != PANEL_CAUSES && bar > 0) {
			move(y0 + 1 + i, 76);
			for (int k = 0; k < bar; k++)
				addch((r->v < 0 ? '-' : ' ') | A_REVERSE);
		}
	}
}

static void draw_head(const struct tui_one *o)
{
	const struct sample *s = &o->last;
	char v[4][UNIT_TEXT], when[64] = "";
	struct str b = {0};

	if (o->replay) {
		time_t at = (time_t)((o->replay->story.info.began_unix_ns + o->t_ns) / SECOND);
		struct tm tm;

		if (localtime_r(&at, &tm))
			strftime(when, sizeof(when), "  recorded, at %H:%M:%S", &tm);
	}
	str_addf(&b, "%s  pid %d  RSS %s", o->name, o->pid, unit_bytes(v[0], s->rss));
	if (o->ledger.known && o->ledger.profile >= 0)
		str_addf(&b, "  profile %s  gap %s", unit_bytes(v[1], (bytes)o->ledger.profile),
			 unit_delta(v[2], (int64_t)o->ledger.rss - o->ledger.profile));
	str_addf(&b, "%s%s%s", *o->ledger.first ? "  " : "", o->ledger.first, when);
	tui_put(0, 0, b.s);
	b.n = 0;
	str_addf(&b, "heap %s of goal %s  goroutines %llu  GC %llu", unit_bytes(v[0], s->heap_live),
		 s->heap_goal == UNKNOWN ? "off" : unit_bytes(v[1], s->heap_goal),
		 (unsigned long long)s->goroutines, (unsigned long long)s->num_gc);
	if (o->cycles && o->last_gc.pause_ns != UNKNOWN)
		str_addf(&b, " (last paused %s)",
			 unit_duration(v[2], (int64_t)o->last_gc.pause_ns));
	tui_put(1, 0, b.s);
	str_free(&b);
}

void tui_one_draw(struct tui_one *o, bool utf8)
{
	int height = getmaxy(stdscr), width = getmaxx(stdscr), plot = (height - 6) / 2, y = 2;

	draw_head(o);
	if (plot >= 2 && width >= 24) {
		int cols = MIN(width - 12, (int)(TUI_HISTORY - 1) / 2);

		if (o->replay)
			fill_from_story(o, (uint32_t)cols * 2);
		if (o->n)
			draw_plot(o, utf8, y, plot, cols);
		y += plot + 1;
		tui_put(y++, 11,
			o->replay ? "upper dots RSS, lower the live heap; ^ this moment"
				  : "upper dots RSS, lower the live heap; | a GC cycle");
	}
	draw_panel(o, y, height - y - 1);
	tui_keys(o->replay ? "F1 help  Left/Right step  < > far  Home/End  p peak  Tab view  q quit"
			   : "F1 help  Tab F5 view  Up/Down scroll  Esc back  F10 quit");
}
