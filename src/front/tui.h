/* What the two files of the terminal interface share: tui.c has the loop, the keys and the list,
 * tui_one.c the screen of one process or recording. */
#ifndef FRONT_TUI_H
#define FRONT_TUI_H

#include "front/replay.h"
#include "front/top.h"
#include "front/watch.h"

#include <pthread.h>

#define TUI_HISTORY 512U
#define TUI_ROWS    96U /* of a panel */

enum tui_panel { PANEL_LINES, PANEL_BRIDGE, PANEL_SITES, PANEL_CAUSES, N_PANELS };

/** What a ledger says, copied out of its reader's thread. */
struct tui_ledger {
	bool known, residency;
	bytes rss;
	int64_t profile; /* -1: none */
	uint64_t line[N_LINES];
	struct bridge_row bridge[N_BRIDGE];
	uint32_t n_sites, n_causes;
	struct {
		char where[160];
		int64_t space, objects;
	} site[TUI_ROWS];
	struct {
		char title[120], what[120];
		int64_t bytes;
	} cause[12];
	char first[40]; /* id of the first cause */
};

struct tui_one {
	int pid;
	char name[64];
	enum tui_panel panel;
	int scroll;
	/* a process */
	struct watch w;
	pthread_mutex_t lock; /* of `fresh` */
	struct tui_ledger fresh;
	/* a recording */
	struct replay *replay; /* NULL: a process */
	int64_t t_ns;
	struct moment moment;
	/* what is drawn */
	struct tui_ledger ledger;
	double rss[TUI_HISTORY], live[TUI_HISTORY];
	bool gc[TUI_HISTORY];
	uint32_t n, cursor; /* samples so far, the ring's end; the cursor is of a recording */
	struct sample last;
	uint64_t cycles;
	struct gc_event last_gc;
};

/** One line from column x on, cut at the terminal's edge; `text` may hold unsafe bytes. */
void tui_put(int y, int x, const char *text);
void tui_putf(int y, int x, const char *format, ...) __attribute__((format(printf, 3, 4)));
/** The bar of keys in the last row, as "F1Help F5View". */
void tui_keys(const char *keys);

bool tui_one_open(struct tui_one *o, int pid, const char *name, struct err *err);
/** at: a moment to begin with; NULL: its end. */
bool tui_one_replay(struct tui_one *o, struct replay *r, const char *at, struct err *err);
void tui_one_close(struct tui_one *o);
/** Waits up to a tenth of a second for what is new. False: it is over, o->w.state and *err say why.
 */
bool tui_one_step(struct tui_one *o, struct err *err);
/** A key that this screen knows; false: another one. */
bool tui_one_key(struct tui_one *o, int key);
void tui_one_draw(struct tui_one *o, bool utf8);

#endif
