/* Every answer that can be made of a snapshot, whatever is in it: all views as text, JSON and CSV,
 * and all profiles in all forms. The ledger's sums must hold. */
#ifndef TESTS_EVERY_VIEW_H
#define TESTS_EVERY_VIEW_H

#include <stdlib.h>

#include "base/str.h"
#include "base/unit.h"
#include "front/render.h"
#include "ledger/ledger.h"
#include "pprof/codec.h"
#include "view/prof.h"
#include "view/view.h"

/** What a snapshot has to hold for it. */
#define NEED_EVERYTHING NEED_CAPTURE_STACKS

static inline void every_must(bool holds)
{
	if (!holds)
		abort();
}

static inline void every_error(const struct err *err)
{
	every_must(err->kind != ERR_NONE && err->msg[0] != '\0');
}

static inline void every_ledger(const struct snapshot *s, struct arena *a)
{
	struct ledger l;
	bytes sum = 0;

	ledger_build(s, a, NULL, NULL, &l);
	if (!l.residency)
		return;
	for (uint32_t i = 0; i < N_LINES; i++)
		sum += l.line[i].resident;
	every_must(sum == l.rss && l.rss == s->os->pages.resident);
	every_must(l.bridge[BRIDGE_RSS].sum == (int64_t)l.rss);
}

static inline void every_report(const struct report *r)
{
	static const struct text_style style = {.width = 100, .utf8 = true, .cut = true};
	static const struct text_style whole = {.width = 200, .utf8 = true, .all = true};
	struct str out = {0};

	render_text(&out, r, &style);
	render_text(&out, r, &whole);
	render_csv(&out, r);
	render_json(&out, &r->json, false);
	str_free(&out);
}

static inline void every_profile(const struct snapshot *s, const struct prof_request *q,
				 struct arena *a)
{
	struct pprof p;
	struct err err = {0};
	struct str out = {0};

	if (prof_build(s, q, a, &p, &err))
		pprof_encode(&p, &out);
	else
		every_error(&err);
	for (unsigned debug = 1; debug <= 2; debug++) {
		err = (struct err){0};
		if (!prof_text(s, q, debug, a, &out, &err))
			every_error(&err);
	}
	str_free(&out);
}

static inline void every_view(const struct snapshot *s)
{
	const struct subject in = {.s = s, .target = "1"};
	const struct subject two = {.s = s, .target = "1", .before = s, .before_target = "2"};
	static const struct options o;
	struct arena a;

	for (unsigned i = 0; i < N_VIEWS; i++) {
		struct report r;
		struct err err = {0};

		if (!VIEWS[i].run || i == VIEW_ID_PROFILE || i == VIEW_ID_PROCESSES)
			continue;
		arena_init(&a, GIB);
		if (VIEWS[i].run(VIEWS[i].flags & VIEW_TWO ? &two : &in, &o, &a, &r, &err))
			every_report(&r);
		else
			every_error(&err);
		arena_free(&a);
	}
	for (int kind = 0; kind < PROF_KINDS; kind++)
		for (int now = 0; now <= (kind <= PROF_ALLOCS); now++) {
			arena_init(&a, GIB);
			every_profile(s,
				      &(struct prof_request){.kind = (enum prof_kind)kind,
							     .now = now,
							     .errors = kind <= PROF_ALLOCS},
				      &a);
			arena_free(&a);
		}
	arena_init(&a, GIB);
	every_ledger(s, &a);
	arena_free(&a);
}

#endif
