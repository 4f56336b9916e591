/*
 * The terminal interface: the loop, the keys, the list of Go processes. Everything is drawn anew
 * ten times a second at most; ncurses sends what changed. Keys are htop's where it has them; none
 * changes a process.
 */
#include <ctype.h>
#include <locale.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "base/unit.h"
#include "front/tui.h"

#undef LINES
#include <ncurses.h>

#define SECOND	   INT64_C(1000000000)
#define LIST_EVERY (2 * SECOND) /* the list, and the ledger of one of its processes */
#define LEAST_X	   20
#define LEAST_Y	   4
#define KEY_ESC	   27
#define CTRL_C	   3
#define CTRL_L	   12
#define LINE_MAX   1024

enum sort { BY_RSS, BY_GAP, BY_PID, BY_PROGRAM, BY_GOROUTINES, N_SORTS };
enum prompt { PROMPT_NONE, PROMPT_SEARCH, PROMPT_FILTER };

struct tui {
	bool utf8;
	const int *pids;
	uint32_t n_pids;
	struct top_rows rows;
	int selected; /* PID */
	enum sort sort;
	bool inverted, help;
	enum prompt prompt;
	char typed[64], filter[64];
	bool open; /* `one` is shown */
	struct tui_one one;
	char message[200];
};

/* ---- Putting text ---- */

void tui_put(int y, int x, const char *text)
{
	struct str safe = {0};
	wchar_t wide[LINE_MAX];
	mbstate_t state = {0};
	const char *from;
	int room = getmaxx(stdscr) - x, n = 0;

	if (y < 0 || y >= getmaxy(stdscr) || room <= 0)
		return;
	str_add_plain(&safe, text);
	from = safe.s ? safe.s : "";
	while (*from && n < LINE_MAX - 1) {
		size_t used = mbrtowc(&wide[n], from, 8, &state);
		int columns;

		if (used == 0 || used > 8) { /* not text of this locale */
			wide[n] = L'?';
			used = 1;
			state = (mbstate_t){0};
		}
		columns = wcwidth(wide[n]);
		if (columns < 0) {
			wide[n] = L'?';
			columns = 1;
		}
		if (columns > room)
			break;
		room -= columns;
		from += used;
		n++;
	}
	mvaddnwstr(y, x, wide, n);
	str_free(&safe);
}

void tui_putf(int y, int x, const char *format, ...)
{
	char text[LINE_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	tui_put(y, x, text);
}

void tui_keys(const char *keys)
{
	attron(A_REVERSE);
	tui_putf(getmaxy(stdscr) - 1, 0, "%-*s", getmaxx(stdscr) - 1, keys);
	attroff(A_REVERSE);
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
static int by_program(const void *a, const void *b)
{
	const struct top_row *x = a, *y = b;

	return strcmp(x->program, y->program);
}
static int by_goroutines(const void *a, const void *b)
{
	const struct top_row *x = a, *y = b;

	return (x->goroutines < y->goroutines) - (x->goroutines > y->goroutines);
}

static const struct {
	const char *name;
	int key;
	int (*order)(const void *, const void *);
} SORTS[N_SORTS] = {
	[BY_RSS] = {"RSS", 'M', by_rss},
	[BY_GAP] = {"gap", 'G', by_gap},
	[BY_PID] = {"PID", 'N', by_pid},
	[BY_PROGRAM] = {"program", 'P', by_program},
	[BY_GOROUTINES] = {"goroutines", 'R', by_goroutines},
};

static void order_list(struct tui *t)
{
	struct top_row *v = t->rows.v;
	uint32_t n = t->rows.n;

	if (n)
		qsort(v, n, sizeof(*v), SORTS[t->sort].order);
	for (uint32_t i = 0; t->inverted && i < n / 2; i++) {
		struct top_row x = v[i];

		v[i] = v[n - 1 - i];
		v[n - 1 - i] = x;
	}
}

static bool holds(const char *text, const char *part)
{
	for (; *text; text++) {
		size_t k = 0;

		while (part[k] &&
		       tolower((unsigned char)text[k]) == tolower((unsigned char)part[k]))
			k++;
		if (!part[k])
			return true;
	}
	return !*part;
}

static bool matches(const struct top_row *r, const char *part)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", r->pid);
	return holds(r->program, part) || holds(pid, part) || holds(r->cause, part);
}

/* The rows that the filter leaves, by their place in the list; returns how many. */
static uint32_t visible(const struct tui *t, uint32_t *ret)
{
	const char *part = t->prompt == PROMPT_FILTER ? t->typed : t->filter;
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->rows.n; i++)
		if (matches(&t->rows.v[i], part))
			ret[n++] = i;
	return n;
}

/* The processes, and the ledger of the one that was read longest ago. */
static bool refresh_list(struct tui *t, struct err *err)
{
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
	order_list(t);
	return true;
}

static uint32_t selected_at(struct tui *t, const uint32_t *rows, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (t->rows.v[rows[i]].pid == t->selected)
			return i;
	if (n)
		t->selected = t->rows.v[rows[0]].pid;
	return 0;
}

static void draw_row(const struct top_row *r, int y)
{
	char rss[UNIT_TEXT], profile[UNIT_TEXT] = "", gap[UNIT_TEXT] = "", count[UNIT_TEXT] = "";

	unit_mib(rss, (int64_t)r->rss);
	if (r->read && r->profile >= 0)
		unit_mib(profile, r->profile);
	if (r->read) {
		unit_mib(gap, r->gap);
		snprintf(count, sizeof(count), "%llu", (unsigned long long)r->goroutines);
	}
	tui_putf(y, 0, "%*s", getmaxx(stdscr) - 1, "");
	tui_putf(y, 0, "%7d", r->pid);
	tui_put(y, 8, r->program);
	tui_putf(y, 25, "%9s %9s %9s %7s", rss, profile, gap, count);
	tui_put(y, 64, r->read ? r->cause : r->why);
}

static void draw_list(struct tui *t)
{
	uint32_t *rows = calloc(t->rows.n + 1, sizeof(*rows)), n, at, room, from;
	int height = getmaxy(stdscr), width = getmaxx(stdscr);

	if (!rows)
		return;
	n = visible(t, rows);
	at = selected_at(t, rows, n);
	room = (uint32_t)MAX(height - 3, 1);
	from = at >= room ? at - room + 1 : 0;
	tui_putf(0, 0, "whyrss top: %u Go processes, by %s%s%s%s", n, SORTS[t->sort].name,
		 t->inverted ? ", turned" : "", *t->filter ? ", those with " : "", t->filter);
	attron(A_REVERSE);
	tui_putf(1, 0, "%-*s", width, "");
	tui_putf(1, 0, "%7s %-16s %9s %9s %9s %7s  %s", "PID", "program", "RSS MiB", "profile",
		 "gap", "gorout.", "first cause");
	attroff(A_REVERSE);
	for (uint32_t i = from; i < n && i - from < room; i++) {
		if (i == at)
			attron(A_BOLD | A_REVERSE);
		draw_row(&t->rows.v[rows[i]], (int)(i - from) + 2);
		attroff(A_BOLD | A_REVERSE);
	}
	if (t->prompt != PROMPT_NONE)
		tui_putf(height - 1, 0, "%s: %s_", t->prompt == PROMPT_SEARCH ? "Search" : "Filter",
			 t->typed);
	else if (*t->message)
		tui_put(height - 1, 0, t->message);
	else
		tui_keys("F1 help  Enter look  F3 search  F4 filter  F6 sort  F10 quit");
	free(rows);
}

static void draw_help(void)
{
	static const char *const text[] = {
		"whyrss top: nothing here changes a process",
		"",
		"Up Down PgUp PgDn Home End   choose",
		"Enter Right                  look at one process",
		"F3 /                         search by program, PID or cause",
		"F4 \\                         show only those that have it",
		"F6 s                         next order",
		"M G N P R                    by RSS, gap, PID, program, goroutines",
		"I                            turn the order",
		"",
		"One process, or a recording:",
		"Tab F5 1 2 3 4               lines, bridge, call sites, causes",
		"Up Down PgUp PgDn            scroll",
		"Left Right < > Home End p    in a recording: earlier, later, its peak",
		"Esc Left Backspace           back",
		"",
		"F10 q                        quit",
	};

	for (size_t i = 0; i < ARRAY_LEN(text); i++)
		tui_put((int)i, 0, text[i]);
	tui_keys("any key: back");
}

static void draw(struct tui *t)
{
	erase();
	if (getmaxx(stdscr) < LEAST_X || getmaxy(stdscr) < LEAST_Y)
		tui_put(0, 0, "too small");
	else if (t->help)
		draw_help();
	else if (t->open)
		tui_one_draw(&t->one, t->utf8);
	else
		draw_list(t);
	refresh();
}

/* ---- Keys ---- */

static bool open_one(struct tui *t)
{
	const char *name = "";
	struct err err = {0};

	for (uint32_t i = 0; i < t->rows.n; i++)
		if (t->rows.v[i].pid == t->selected)
			name = t->rows.v[i].program;
	t->open = tui_one_open(&t->one, t->selected, name, &err);
	if (!t->open)
		snprintf(t->message, sizeof(t->message), "%s", err.msg);
	return t->open;
}

/* Whether the terminal is gone: its signal may be blocked for the loop of a watch. */
static bool hung_up(void)
{
	struct pollfd p = {STDIN_FILENO, POLLIN, 0};

	return poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR | POLLNVAL);
}

static void select_row(struct tui *t, int64_t by, bool from_end)
{
	uint32_t *rows = calloc(t->rows.n + 1, sizeof(*rows)), n;
	int64_t at;

	if (!rows)
		return;
	n = visible(t, rows);
	at = (int64_t)selected_at(t, rows, n) + by;
	if (from_end)
		at = by < 0 ? 0 : (int64_t)n - 1;
	if (n)
		t->selected = t->rows.v[rows[MIN(MAX(at, 0), (int64_t)n - 1)]].pid;
	free(rows);
}

/* The next one that has what was typed, from the one that is selected on (or behind it). */
static void search(struct tui *t, bool behind)
{
	uint32_t *rows = calloc(t->rows.n + 1, sizeof(*rows)), n, at;

	if (!rows)
		return;
	n = visible(t, rows);
	at = selected_at(t, rows, n);
	for (uint32_t i = 0; i < n; i++) {
		const struct top_row *r = &t->rows.v[rows[(at + i + behind) % n]];

		if (matches(r, t->typed)) {
			t->selected = r->pid;
			break;
		}
	}
	free(rows);
}

static void take_typed(struct tui *t, int key)
{
	size_t n = strlen(t->typed);

	if (key == KEY_ESC) {
		if (t->prompt == PROMPT_FILTER)
			t->filter[0] = '\0';
		t->prompt = PROMPT_NONE;
	} else if (key == '\n' || key == KEY_ENTER) {
		if (t->prompt == PROMPT_FILTER)
			memcpy(t->filter, t->typed, sizeof(t->filter));
		t->prompt = PROMPT_NONE;
	} else if (key == KEY_BACKSPACE || key == 127 || key == 8) {
		if (n)
			t->typed[n - 1] = '\0';
	} else if (key == KEY_F(3) && t->prompt == PROMPT_SEARCH) {
		search(t, true);
		return;
	} else if (key >= ' ' && key < 127 && n + 1 < sizeof(t->typed)) {
		t->typed[n] = (char)key;
		t->typed[n + 1] = '\0';
	}
	if (t->prompt == PROMPT_SEARCH)
		search(t, false);
}

static void take_list_key(struct tui *t, int key)
{
	int page = MAX(getmaxy(stdscr) - 3, 1);

	for (unsigned i = 0; i < N_SORTS; i++)
		if (key == SORTS[i].key) {
			t->sort = (enum sort)i;
			order_list(t);
		}
	switch (key) {
	case KEY_UP:
	case 'k':
		select_row(t, -1, false);
		break;
	case KEY_DOWN:
	case 'j':
		select_row(t, 1, false);
		break;
	case KEY_PPAGE:
		select_row(t, -page, false);
		break;
	case KEY_NPAGE:
		select_row(t, page, false);
		break;
	case KEY_HOME:
		select_row(t, -1, true);
		break;
	case KEY_END:
		select_row(t, 1, true);
		break;
	case KEY_F(3):
	case '/':
	case KEY_F(4):
	case '\\':
		t->prompt = key == '/' || key == KEY_F(3) ? PROMPT_SEARCH : PROMPT_FILTER;
		t->typed[0] = '\0';
		break;
	case KEY_F(6):
	case 's':
		t->sort = (enum sort)((t->sort + 1) % N_SORTS);
		order_list(t);
		break;
	case 'I':
		t->inverted = !t->inverted;
		order_list(t);
		break;
	case '\n':
	case KEY_ENTER:
	case KEY_RIGHT:
		if (t->rows.n)
			open_one(t);
		break;
	default:
		break;
	}
}

/* False: the user has seen enough. */
static bool take_key(struct tui *t, int key)
{
	bool back = key == KEY_ESC || key == KEY_LEFT || key == KEY_BACKSPACE || key == 127;

	t->message[0] = '\0';
	if (key == CTRL_C || key == KEY_F(10))
		return false;
	if (key == CTRL_L) {
		clear();
	} else if (t->help) {
		t->help = false;
	} else if (t->prompt != PROMPT_NONE) {
		take_typed(t, key);
	} else if (key == 'q') {
		return false;
	} else if (key == KEY_F(1) || key == 'h' || key == '?') {
		t->help = true;
	} else if (!t->open) {
		take_list_key(t, key);
	} else if (!tui_one_key(&t->one, key) && back && !t->one.replay) {
		tui_one_close(&t->one);
		t->open = false;
	}
	return true;
}

/* ---- The loop ---- */

static bool screen_open(bool utf8, SCREEN **ret, struct err *err)
{
	if (!setlocale(LC_ALL, "") || (utf8 && MB_CUR_MAX == 1))
		setlocale(LC_ALL, "C.UTF-8");
	setlocale(LC_NUMERIC, "C");
	*ret = newterm(NULL, stdout, stdin);
	if (!*ret)
		return err_set(err, ERR_OS,
			       "this terminal (TERM) is not known; pipe it for one table");
	raw();
	noecho();
	keypad(stdscr, true);
	set_escdelay(50);
	curs_set(0);
	return true;
}

/* Until the user or the process ends it. A process that was all there is to see ends it too. */
static bool run(struct tui *t, struct err *err)
{
	int64_t since = LIST_EVERY;
	bool ok = true, on = true;

	while (ok && on) {
		int key;

		if (t->open) {
			struct err why = {0};

			if (!tui_one_step(&t->one, &why)) {
				enum watch_state state = t->one.w.state;

				on = state != WATCH_SIGNAL;
				snprintf(t->message, sizeof(t->message), "%s", why.msg);
				tui_one_close(&t->one);
				t->open = false;
				ok = t->n_pids != 1 || state != WATCH_GONE;
				if (!ok)
					*err = why;
			}
		} else if (since >= LIST_EVERY) {
			ok = refresh_list(t, err);
			since = 0;
		}
		draw(t);
		timeout(t->open && !t->one.replay ? 0 : 100);
		key = getch();
		since += SECOND / 10;
		if (key != ERR && on)
			on = take_key(t, key);
		else if (hung_up())
			on = false;
	}
	return ok;
}

static struct tui *tui_begin(bool utf8, SCREEN **screen, struct err *err)
{
	struct tui *t = calloc(1, sizeof(*t));

	if (!t) {
		err_os(err, ERR_OS, "top");
		return NULL;
	}
	t->utf8 = utf8;
	if (screen_open(utf8, screen, err))
		return t;
	free(t);
	return NULL;
}

static void tui_end(struct tui *t, SCREEN *screen)
{
	endwin();
	delscreen(screen);
	if (t->open)
		tui_one_close(&t->one);
	top_free(&t->rows);
	free(t);
}

enum exit_code tui_run(const int *pids, uint32_t n_pids, bool utf8, struct err *err)
{
	SCREEN *screen;
	struct tui *t = tui_begin(utf8, &screen, err);
	bool ok = true;

	if (!t)
		return EXIT_FAILED;
	t->pids = pids;
	t->n_pids = n_pids;
	if (n_pids == 1) {
		t->selected = pids[0];
		ok = top_list(&t->rows, pids, n_pids, err);
		if (ok && !open_one(t))
			ok = err_set(err, ERR_NOT_GO, "%s", t->message);
	}
	ok = ok && run(t, err);
	tui_end(t, screen);
	return ok ? EXIT_ANSWERED : EXIT_FAILED;
}

enum exit_code tui_replay(struct replay *r, const char *at, bool utf8, struct err *err)
{
	SCREEN *screen;
	struct tui *t = tui_begin(utf8, &screen, err);
	bool ok;

	if (!t)
		return EXIT_FAILED;
	ok = tui_one_replay(&t->one, r, at, err);
	t->open = ok;
	t->n_pids = 1;
	ok = ok && run(t, err);
	tui_end(t, screen);
	return ok ? EXIT_ANSWERED : EXIT_FAILED;
}
