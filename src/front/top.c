/*
 * The table of all Go processes with their gap and its first cause; what is on the terminal is
 * tui.c's. A profile file is a question for pprof, a recording tells its own story.
 */
#include "front/top.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/unit.h"
#include "front/open.h"
#include "front/pprof.h"
#include "front/replay.h"
#include "front/source.h"
#include "front/watch.h"
#include "ledger/ledger.h"

static bool wanted(int pid, const int *pids, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (pids[i] == pid)
			return true;
	return n == 0;
}

bool top_list(struct top_rows *t, const int *pids, uint32_t n_pids, struct err *err)
{
	CLEANUP(arena_free) struct arena a = {0};
	struct go_processes all;
	struct top_row *v;
	uint32_t n = 0;

	arena_init(&a, 0);
	if (!go_processes(&a, &all, err))
		return false;
	v = calloc(all.n + 1, sizeof(*v));
	if (!v)
		return err_os(err, ERR_OS, "the list of processes");
	for (uint32_t i = 0; i < all.n; i++) {
		const struct process_item *p = &all.v[i];
		struct top_row *r = &v[n];

		if (!wanted(p->pid, pids, n_pids))
			continue;
		n++;
		for (uint32_t k = 0; k < t->n; k++)
			if (t->v[k].pid == p->pid)
				*r = t->v[k];
		r->pid = p->pid;
		r->rss = p->rss;
		snprintf(r->program, sizeof(r->program), "%s", p->program);
		snprintf(r->go, sizeof(r->go), "%s", p->go);
		if (p->why)
			snprintf(r->why, sizeof(r->why), "%s", p->why);
		else if (!p->readable)
			snprintf(r->why, sizeof(r->why), "may not be read by this user");
	}
	free(t->v);
	*t = (struct top_rows){v, n, n};
	return true;
}

void top_read(struct top_row *r)
{
	CLEANUP(arena_free) struct arena a = {0};
	const struct source_word word = {.kind = SOURCE_PROCESS, .pid = r->pid};
	struct snapshot snap = {0};
	struct source *s = NULL;
	struct err err = {0};
	struct ledger l;

	arena_init(&a, 0);
	r->read_at = clock_now();
	if (!source_open(&word, &(struct source_options){0}, &s, &err) ||
	    !source_snapshot(s, NEED_LEDGER, &snap, &err)) {
		source_close(s);
		r->read = false;
		snprintf(r->why, sizeof(r->why), "%s", err.msg);
		return;
	}
	ledger_build(&snap, &a, NULL, NULL, &l);
	r->read = true;
	r->why[0] = '\0';
	r->rss = l.rss;
	r->profile = snap.profile.enabled ? snap.profile.inuse_space : -1;
	r->gap = (int64_t)l.rss - MAX(r->profile, 0);
	r->goroutines = snap.counters->goroutines;
	snprintf(r->cause, sizeof(r->cause), "%s", l.n_causes ? l.causes[0].id : "");
	snapshot_free(&snap);
	source_close(s);
}

void top_free(struct top_rows *t)
{
	free(t->v);
	*t = (struct top_rows){0};
}

enum { COL_PID, COL_PROGRAM, COL_GO, COL_RSS, COL_PROFILE, COL_GAP, COL_GOROUTINES, COL_CAUSE };
static const struct column COLUMNS[] = {
	[COL_PID] = {"pid", "PID", COLUMN_ID, 0},
	[COL_PROGRAM] = {"program", "program", COLUMN_TEXT, 0},
	[COL_GO] = {"go", "Go", COLUMN_TEXT, 2},
	[COL_RSS] = {"rss", "RSS MiB", COLUMN_MIB, 0},
	[COL_PROFILE] = {"profile", "profile", COLUMN_MIB, 0},
	[COL_GAP] = {"gap", "gap", COLUMN_MIB, 0},
	[COL_GOROUTINES] = {"goroutines", "gorout.", COLUMN_COUNT, 1},
	[COL_CAUSE] = {"cause", "first cause", COLUMN_TEXT, 0},
};

static void top_report(const struct top_rows *t, struct arena *a, struct report *r)
{
	struct table *table = TABLE_NEW(a, COLUMNS);

	report_init(r, a, "whyrss.top/1");
	for (uint32_t i = 0; i < t->n; i++) {
		const struct top_row *x = &t->v[i];
		struct row *row = table_row(a, table, 0);

		row->cells[COL_PID] = value_int(x->pid);
		row->cells[COL_PROGRAM] = value_str(x->program);
		row->cells[COL_GO] = value_str(x->go);
		row->cells[COL_RSS] = value_uint(x->rss);
		row->cells[COL_PROFILE] = value_int_if(x->read && x->profile >= 0, x->profile);
		row->cells[COL_GAP] = value_int_if(x->read, x->gap);
		row->cells[COL_GOROUTINES] = value_uint_if(x->read, x->goroutines);
		row->cells[COL_CAUSE] = value_str(x->read ? x->cause : NULL);
		if (!x->read)
			row->below = x->why;
	}
	table_sort(a, table, "rss", NULL);
	report_put(r, "processes", table_json(a, table));
	report_table(r, table);
	r->main = table;
}

static enum exit_code print_table(const struct request *q, const struct outlet *to, const int *pids,
				  uint32_t n_pids, struct str *messages)
{
	CLEANUP(arena_free) struct arena a = {0};
	struct top_rows t = {0};
	struct err err = {0};
	struct report r;
	uint32_t unread = 0;

	arena_init(&a, 0);
	if (!top_list(&t, pids, n_pids, &err))
		goto failed;
	if (n_pids && !t.n) {
		err_set(&err, ERR_NOT_GO, "process %d: no Go process", pids[0]);
		goto failed;
	}
	for (uint32_t i = 0; i < t.n; i++) {
		if (!*t.v[i].why)
			top_read(&t.v[i]);
		unread += !t.v[i].read;
	}
	top_report(&t, &a, &r);
	put_report(&r, &q->options, to);
	top_free(&t);
	return n_pids && unread ? EXIT_PARTIAL : EXIT_ANSWERED;
failed:
	top_free(&t);
	message_add(messages, &err);
	return err.kind == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

/* A file: a profile's top table as `whyrss pprof -top FILE`, or what a recording says. */
static enum exit_code top_file(const struct request *q, const struct outlet *to,
			       const struct source_word *w, bool on_screen, struct str *messages)
{
	CLEANUP(arena_free) struct arena a = {0};
	struct str out = {0};
	struct err err = {0};
	struct replay replay;
	enum exit_code code = EXIT_ANSWERED;
	struct report r;

	arena_init(&a, 0);
	if (w->kind != SOURCE_RECORDING) {
		code = pprof_top(w->path, &out, messages);
	} else if (replay_open(w->path, &replay, &err)) {
		struct text_style style = style_choose(to, &q->options);

		if (on_screen) {
			code = tui_replay(&replay, w->at, style.utf8, &err);
			replay_close(&replay);
			if (code != EXIT_ANSWERED)
				message_add(messages, &err);
			return code;
		}
		if (w->at ? !replay_moment_report(&replay, q->words[0], w->at, &a, false, &r, &err)
			  : !replay_report(&replay, w->path, &a, false, &r, &err)) {
			replay_close(&replay);
			message_add(messages, &err);
			return err.kind == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
		}
		if (option_set(&q->options, OPT_JSON))
			render_json(&out, &r.json, to->terminal);
		else
			render_text(&out, &r, &style);
		replay_close(&replay);
	} else {
		message_add(messages, &err);
		return EXIT_FAILED;
	}
	put_out(&out);
	str_free(&out);
	return code;
}

enum exit_code top_run(const struct request *q, const struct outlet *to, struct str *messages)
{
	CLEANUP(arena_free) struct arena a = {0};
	struct err err = {0};
	int pids[OPTION_WORDS];
	bool on_screen = to->terminal && !option_set(&q->options, OPT_JSON) &&
			 isatty(STDIN_FILENO) == 1 && to->term;

	arena_init(&a, 0);
	for (uint32_t i = 0; i < q->n_words; i++) {
		struct source_word w;

		if (!source_find(q->words[i], &a, &w, &err)) {
			message_add(messages, &err);
			return err.kind == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
		}
		if (w.kind != SOURCE_PROCESS)
			return top_file(q, to, &w, on_screen, messages);
		pids[i] = w.pid;
	}
	if (!on_screen)
		return print_table(q, to, pids, q->n_words, messages);
	return tui_run(pids, q->n_words, style_choose(to, &q->options).utf8, &err) == EXIT_ANSWERED
		       ? EXIT_ANSWERED
		       : (message_add(messages, &err), EXIT_FAILED);
}
