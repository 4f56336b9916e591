/*
 * Two screens: the list of Go processes, and one process with its lines, plots, GC cycles and
 * goroutines. Everything is drawn anew ten times a second at most; ncurses sends what changed.
 */
#include <locale.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/unit.h"
#include "front/top.h"
#include "front/watch.h"

#undef LINES
#include <ncurses.h>

/* ncurses' LINES is the number of rows; the table of the ledger's lines is ledger_lines here. */
#define LINES_ROWS getmaxy(stdscr)

#define SECOND	   INT64_C(1000000000)
#define LIST_EVERY (2 * SECOND) /* the list, and the ledger of one of its processes */
#define HISTORY	   512U
#define LEAST_X	   50
#define LEAST_Y	   12
#define KEY_ESC	   27
#define CTRL_C	   3

enum sort { BY_RSS, BY_GAP, BY_PID, N_SORTS };

struct tui {
	bool utf8;
	const int *pids;
	uint32_t n_pids;
	struct top_rows rows;
	int selected; /* PID */
	enum sort sort;
	/* one process */
	bool open;
	struct watch w;
	double rss[HISTORY], live[HISTORY], goal[HISTORY];
	bool gc[HISTORY];
	uint32_t n; /* samples so far; the ring's end */
	struct sample last;
	struct lines_event lines;
	bool have_lines;
	uint64_t cycles;
	struct gc_event last_gc;
	char message[200];
};

static void safe(char *to, size_t size, const char *s)
{
	struct str b = {0};

	str_add_plain(&b, s);
	snprintf(to, size, "%s", b.s ? b.s : "");
	str_free(&b);
}

/* ---- The list ---- */

static int by_rss(const void *a, const void *b)
{
	const struct top_row *x = a, *y = b;

	return (x->rss < y->rss) - (x->rss > y->rss);
}
static int by_gap(const void *a, const void *b)
{
	const struct top_row *x = a, *y = b;

	return (x->gap < y->gap) - (x->gap > y->gap);
}
static int by_pid(const void *a, const void *b)
{
	const struct top_row *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

static uint32_t selected_at(struct tui *t)
{
	for (uint32_t i = 0; i < t->rows.n; i++)
		if (t->rows.v[i].pid == t->selected)
			return i;
	if (t->rows.n)
		t->selected = t->rows.v[0].pid;
	return 0;
}

/* The processes, and the ledger of the one that was read longest ago. */
static bool refresh_list(struct tui *t, struct err *err)
{
	static int (*const orders[N_SORTS])(const void *, const void *) = {by_rss, by_gap, by_pid};
	struct top_row *oldest = NULL;

	if (!top_list(&t->rows, t->pids, t->n_pids, err))
		return false;
	for (uint32_t i = 0; i < t->rows.n; i++) {
		struct top_row *r = &t->rows.v[i];

		if (!*r->why && (!oldest || r->read_at < oldest->read_at))
			oldest = r;
	}
	if (oldest)
		top_read(oldest);
	qsort(t->rows.v, t->rows.n, sizeof(*t->rows.v), orders[t->sort]);
	return true;
}

static void draw_list(struct tui *t)
{
	static const char *const sorts[N_SORTS] = {"RSS", "gap", "PID"};
	uint32_t at = selected_at(t), rows = (uint32_t)MAX(LINES_ROWS - 3, 1), from;

	from = at >= rows ? at - rows + 1 : 0;
	mvprintw(0, 0, "whyrss top: %u Go processes, by %s", t->rows.n, sorts[t->sort]);
	attron(A_REVERSE);
	mvprintw(1, 0, "%7s %-16s %9s %9s %9s %7s  %-*s", "PID", "program", "RSS MiB", "profile",
		 "gap", "gorout.", MAX(COLS - 64, 1), "first cause");
	attroff(A_REVERSE);
	for (uint32_t i = from; i < t->rows.n && i - from < rows; i++) {
		const struct top_row *r = &t->rows.v[i];
		char rss[UNIT_TEXT], profile[UNIT_TEXT] = "", gap[UNIT_TEXT] = "", name[64],
				     cause[128], count[UNIT_TEXT] = "";

		safe(name, sizeof(name), r->program);
		safe(cause, sizeof(cause), r->read ? r->cause : r->why);
		unit_mib(rss, (int64_t)r->rss);
		if (r->read && r->profile >= 0)
			unit_mib(profile, r->profile);
		if (r->read) {
			unit_mib(gap, r->gap);
			snprintf(count, sizeof(count), "%llu", (unsigned long long)r->goroutines);
		}
		if (i == at)
			attron(A_BOLD | A_REVERSE);
		mvprintw((int)(i - from) + 2, 0, "%7d %-16.16s %9s %9s %9s %7s  %.*s", r->pid, name,
			 rss, profile, gap, count, MAX(COLS - 64, 1), cause);
		attroff(A_BOLD | A_REVERSE);
	}
	mvprintw(LINES_ROWS - 1, 0, "%.*s", COLS - 1,
		 *t->message ? t->message : "Up/Down choose  Enter look at it  s sort  q quit");
}

/* ---- One process ---- */

static void take(void *ctx, const struct event *e)
{
	struct tui *t = ctx;
	uint32_t i = t->n % HISTORY;

	switch (e->kind) {
	case EVENT_SAMPLE:
		t->last = e->sample;
		t->rss[i] = (double)e->sample.rss;
		t->live[i] = (double)e->sample.heap_live;
		t->goal[i] = e->sample.heap_goal == UNKNOWN ? 0 : (double)e->sample.heap_goal;
		t->n++;
		t->gc[t->n % HISTORY] = false;
		break;
	case EVENT_GC:
		t->gc[i] = true;
		t->cycles++;
		t->last_gc = e->gc;
		break;
	case EVENT_LINES:
		t->lines = e->lines;
		t->have_lines = true;
		break;
	case EVENT_END:
		break;
	}
}

static bool open_one(struct tui *t)
{
	const struct source_word word = {.kind = SOURCE_PROCESS, .pid = t->selected};
	const struct watch_options o = {.hz = 10, .lines_every = LINES_EVERY_NS};
	struct err err = {0};

	t->n = 0;
	t->cycles = 0;
	t->have_lines = false;
	t->gc[0] = false;
	if (watch_open_word(&word, &o, &t->w, &err))
		return t->open = true;
	safe(t->message, sizeof(t->message), err.msg);
	return false;
}

/* Two values as columns of braille, 2 x 4 dots a character; without UTF-8 of letters. */
static void draw_plot(struct tui *t, int y0, int rows, int cols)
{
	static const uint8_t dot[4][2] = {{1, 8}, {2, 16}, {4, 32}, {64, 128}};
	uint32_t shown = MIN(MIN(t->n, HISTORY - 1), (uint32_t)cols * 2);
	double most = 1;
	char text[UNIT_TEXT];

	for (uint32_t i = t->n - shown; i < t->n; i++)
		most = fmax(most, fmax(t->rss[i % HISTORY], t->live[i % HISTORY]));
	for (int r = 0; r < rows; r++) {
		move(y0 + r, 0);
		printw("%10s ", r == 0 ? unit_bytes(text, (bytes)most) : r == rows - 1 ? "0" : "");
		for (uint32_t c = 0; c * 2 < shown; c++) {
			uint8_t bits = 0;

			for (uint32_t k = 0; k < 2 && c * 2 + k < shown; k++) {
				uint32_t i = (t->n - shown + c * 2 + k) % HISTORY;
				double v[2] = {t->rss[i] / most, t->live[i] / most};

				for (int what = 0; what < 2; what++) {
					int d = rows * 4 - 1 - (int)(v[what] * (rows * 4 - 1));

					if (d / 4 == r)
						bits |= dot[d % 4][k];
				}
			}
			if (t->utf8 && bits)
				printw("%c%c%c", 0xe2, 0xa0 | bits >> 6, 0x80 | (bits & 63));
			else
				addch(bits ? '*' : ' ');
		}
	}
	move(y0 + rows, 0);
	printw("%10s ", "GC");
	for (uint32_t c = 0; c * 2 < shown; c++)
		addch(t->gc[(t->n - shown + c * 2) % HISTORY] ||
				      t->gc[(t->n - shown + c * 2 + 1) % HISTORY]
			      ? '|'
			      : ' ');
}

static void draw_lines(struct tui *t, int y0, int rows)
{
	unsigned at[N_LINES];
	int n = 0;

	for (unsigned i = 0; i < N_LINES; i++) {
		int k = n++;

		for (; k > 0 && t->lines.resident[at[k - 1]] < t->lines.resident[i]; k--)
			at[k] = at[k - 1];
		at[k] = i;
	}
	for (int i = 0; i < MIN(n, rows); i++) {
		uint64_t v = t->lines.resident[at[i]];
		int bar = t->lines.rss
				  ? (int)((double)v / (double)t->lines.rss * MAX(COLS - 70, 10))
				  : 0;
		char text[UNIT_TEXT];

		mvprintw(y0 + i, 0, "%-16s %9s MiB  %-36.36s ", ledger_lines[at[i]].id,
			 unit_mib(text, (int64_t)v), ledger_lines[at[i]].title);
		for (int k = 0; k < bar; k++)
			addch(' ' | A_REVERSE);
	}
}

static void draw_one(struct tui *t)
{
	const struct sample *s = &t->last;
	int plot = MAX((LINES_ROWS - 7) / 2, 2), y = plot + 4;
	char v[6][UNIT_TEXT], name[64] = "";

	for (uint32_t i = 0; i < t->rows.n; i++)
		if (t->rows.v[i].pid == t->selected)
			safe(name, sizeof(name), t->rows.v[i].program);
	mvprintw(0, 0, "%s  pid %d  RSS %s", name, t->selected, unit_bytes(v[0], s->rss));
	if (t->have_lines && t->lines.profile != UNKNOWN)
		printw("  profile %s  gap %s", unit_bytes(v[1], t->lines.profile),
		       unit_delta(v[2], (int64_t)(t->lines.rss - t->lines.profile)));
	if (t->have_lines && t->lines.cause)
		printw("  %s", t->lines.cause);
	mvprintw(1, 0, "heap %s of goal %s  goroutines %llu  GC %llu",
		 unit_bytes(v[3], s->heap_live),
		 s->heap_goal == UNKNOWN ? "off" : unit_bytes(v[4], s->heap_goal),
		 (unsigned long long)s->goroutines, (unsigned long long)s->num_gc);
	if (t->cycles && t->last_gc.pause_ns != UNKNOWN)
		printw(" (last paused %s)", unit_duration(v[5], (int64_t)t->last_gc.pause_ns));
	if (t->n)
		draw_plot(t, 2, plot, MAX(COLS - 12, 10));
	mvprintw(plot + 3, 0, "%10s upper dots RSS, lower the live heap; | a GC cycle", "");
	if (t->have_lines)
		draw_lines(t, y, LINES_ROWS - y - 1);
	mvprintw(LINES_ROWS - 1, 0, "%.*s", COLS - 1,
		 *t->message ? t->message : "Esc back  q quit");
}

static void draw(struct tui *t)
{
	erase();
	if (COLS < LEAST_X || LINES_ROWS < LEAST_Y)
		mvprintw(0, 0, "%.*s", MAX(COLS - 1, 1), "too small: 50 x 12 at least");
	else if (t->open)
		draw_one(t);
	else
		draw_list(t);
	refresh();
}

/* Whether the terminal is gone: its signal may be blocked for the loop of a watch. */
static bool hung_up(void)
{
	struct pollfd p = {STDIN_FILENO, POLLIN, 0};

	return poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR | POLLNVAL);
}

/* False: the user has seen enough. */
static bool take_key(struct tui *t, int key)
{
	uint32_t at = selected_at(t);
	bool back = key == KEY_ESC || key == KEY_LEFT || key == KEY_BACKSPACE;

	t->message[0] = '\0';
	if (key == 'q' || key == KEY_F(10) || key == CTRL_C)
		return false;
	if (t->open && back) {
		watch_close(&t->w);
		t->open = false;
	} else if (!t->open && (key == KEY_UP || key == 'k') && at > 0) {
		t->selected = t->rows.v[at - 1].pid;
	} else if (!t->open && (key == KEY_DOWN || key == 'j') && at + 1 < t->rows.n) {
		t->selected = t->rows.v[at + 1].pid;
	} else if (!t->open && (key == 's' || key == KEY_F(6))) {
		t->sort = (enum sort)((t->sort + 1) % N_SORTS);
	} else if (!t->open && (key == '\n' || key == KEY_ENTER || key == KEY_RIGHT) && t->rows.n) {
		open_one(t);
	}
	return true;
}

enum exit_code tui_run(const int *pids, uint32_t n_pids, bool utf8, struct err *err)
{
	struct tui *t = calloc(1, sizeof(*t));
	int64_t since = LIST_EVERY;
	bool ok = true, on = true;
	SCREEN *screen;

	if (!t)
		return err_os(err, ERR_OS, "top"), EXIT_FAILED;
	t->utf8 = utf8;
	t->pids = pids;
	t->n_pids = n_pids;
	if (!setlocale(LC_ALL, "") || (utf8 && MB_CUR_MAX == 1))
		setlocale(LC_ALL, "C.UTF-8");
	setlocale(LC_NUMERIC, "C");
	screen = newterm(NULL, stdout, stdin);
	if (!screen) {
		free(t);
		err_set(err, ERR_OS, "this terminal (TERM) is not known; pipe it for one table");
		return EXIT_FAILED;
	}
	raw();
	noecho();
	keypad(stdscr, true);
	set_escdelay(50);
	curs_set(0);
	if (n_pids == 1) {
		t->selected = pids[0];
		ok = top_list(&t->rows, pids, n_pids, err);
		if (ok && !open_one(t))
			ok = err_set(err, ERR_NOT_GO, "%s", t->message);
	}
	while (ok && on) {
		int key;

		if (t->open) {
			struct err why = {0};

			for (int i = 0; i < 200 && t->open;
			     i++) { /* until a tenth of a second has passed */
				int64_t before = t->n;

				if (!watch_step(&t->w, -1, SECOND / 10, take, t, &why)) {
					on = t->w.state != WATCH_SIGNAL;
					safe(t->message, sizeof(t->message), why.msg);
					watch_close(&t->w);
					t->open = false;
					ok = n_pids != 1 || t->w.state != WATCH_GONE;
					if (!ok)
						*err = why;
				}
				if (t->n != before)
					break;
			}
		} else if (since >= LIST_EVERY) {
			ok = refresh_list(t, err);
			since = 0;
		}
		draw(t);
		timeout(t->open ? 0 : 100);
		key = getch();
		since += SECOND / 10;
		if (key != ERR && on)
			on = take_key(t, key);
		else if (hung_up())
			on = false;
	}
	endwin();
	delscreen(screen);
	if (t->open)
		watch_close(&t->w);
	top_free(&t->rows);
	free(t);
	return ok ? EXIT_ANSWERED : EXIT_FAILED;
}
