/*
 * What a program answers at /debug/pprof/ when it imports net/http/pprof, here for those that do
 * not: the same names, parameters, formats and errors (net/http/pprof/pprof.go). Nothing is ever
 * asked of the process itself, so what would need its help is refused: a CPU profile, a trace, a
 * GC.
 */
#include "front/web_pprof.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "front/open.h"
#include "pprof/codec.h"
#include "pprof/merge.h"
#include "view/prof.h"

#define SECONDS_MAX 300U
#define STACKS_MAX  20000U
#define SYMBOLS_MAX 4096U
#define TEXT	    "text/plain; charset=utf-8"

const struct web_profile WEB_PROFILES[] = {
	{"allocs", "All past allocations, sampled.", PROF_ALLOCS, NULL},
	{"block", "Where goroutines waited for each other (rate set by the program).", PROF_BLOCK,
	 NULL},
	{"cmdline", "The command line of the process.", -1, NULL},
	{"goroutine", "The stacks of all goroutines; debug=2 as a panic shows them.",
	 PROF_GOROUTINE, NULL},
	{"heap",
	 "Objects in use, sampled; debug=1 ends in runtime.MemStats. gc=1 is not possible: a "
	 "process "
	 "is never written to.",
	 PROF_HEAP, NULL},
	{"mutex", "Who held mutexes that others waited for (rate set by the program).", PROF_MUTEX,
	 NULL},
	{"symbol", "Functions of program counters.", -1, NULL},
	{"threadcreate", "Stacks that led to the creation of threads.", PROF_THREADCREATE, NULL},
	{"space", "All resident memory of the process, not only of Go objects.", PROF_SPACE, NULL},
	{"stacks", "The memory of goroutine stacks.", PROF_STACKS, NULL},
	{"fragmentation", "Who holds the spans that have holes.", PROF_FRAGMENTATION, NULL},
	{"profile", "", -1,
	 "A CPU profile needs the process to interrupt itself: whyrss only reads. perf(1) profiles "
	 "it "
	 "from outside."},
	{"trace", "", -1,
	 "An execution trace must be switched on in the process, and whyrss never writes to it."},
	{"goroutineleak", "", -1,
	 "The leak profile needs a GC cycle in the process, and whyrss never makes it run one."},
};
const unsigned N_WEB_PROFILES = ARRAY_LEN(WEB_PROFILES);

const struct web_profile *web_profile_find(const char *name)
{
	for (unsigned i = 0; i < N_WEB_PROFILES; i++)
		if (!strcmp(WEB_PROFILES[i].name, name))
			return &WEB_PROFILES[i];
	return NULL;
}

/* As strconv.Atoi with its error ignored. */
static int64_t number(const char *text)
{
	bool minus = text && *text == '-';
	uint64_t v;

	if (!text)
		return 0;
	text += minus || *text == '+';
	if (!str_u64(&text, false, &v) || *text || v > INT32_MAX)
		return 0;
	return minus ? -(int64_t)v : (int64_t)v;
}

const char *web_pprof_check(const struct question *q, const struct web_profile *w,
			    unsigned *ret_status)
{
	const char *seconds = question_param(q, "seconds");

	*ret_status = 501;
	if (w->lack)
		return w->lack;
	*ret_status = 400;
	if (number(question_param(q, "gc")) > 0 && !strcmp(w->name, "heap"))
		return "gc=1 would make the process run a GC, and whyrss never writes to a process";
	if (!seconds || !*seconds || w->kind < 0)
		return NULL;
	if (number(seconds) <= 0)
		return "invalid value for \"seconds\" - must be a positive integer";
	if (w->kind > PROF_THREADCREATE)
		return "\"seconds\" parameter is not supported for this profile type";
	if (number(seconds) > SECONDS_MAX)
		return "profile duration exceeds the server's limit of 300 seconds";
	if (number(question_param(q, "debug")) > 0)
		return "seconds and debug params are incompatible";
	return NULL;
}

/* --- which target --- */

/* The target of the question, or the only Go process there is. *ret_borrowed: give it back. */
static struct held *target_of(struct pool *p, struct job *j, bool *ret_borrowed, struct err *err)
{
	CLEANUP(arena_free) struct arena a = {0};
	struct go_processes all;
	uint32_t n = 0;
	int pid = 0;
	struct held *h;

	*ret_borrowed = false;
	if (j->of)
		return j->of;
	arena_init(&a, 0);
	if (!go_processes(&a, &all, err))
		return NULL;
	for (uint32_t i = 0; i < all.n; i++) {
		if (!all.v[i].readable || all.v[i].why)
			continue;
		n++;
		pid = all.v[i].pid;
	}
	if (n != 1) {
		err_set(err, ERR_NOT_GO,
			"%u Go processes can be read here: name one, as in /pid/4711/debug/pprof/; "
			"/api/1/processes lists them",
			n);
		return NULL;
	}
	h = pool_borrow(p, &(struct web_name){.pid = pid});
	if (!h)
		err_set(err, ERR_LIMIT, "too many processes are being looked at");
	*ret_borrowed = h != NULL;
	return h;
}

/* --- profiles --- */

static struct answer *file_answer(const char *name, const char *suffix, struct str *data)
{
	struct answer *ret = answer_new(200, "application/octet-stream");

	ret->disposition = arena_printf(&ret->mem, "attachment; filename=\"%s%s\"", name, suffix);
	ret->body = *data;
	*data = (struct str){0};
	return ret;
}

static struct answer *text_answer(struct held *h, const struct web_profile *w, unsigned debug,
				  struct arena *a, struct err *err)
{
	const struct prof_request r = {.kind = (enum prof_kind)w->kind};
	struct answer *ret = answer_new(200, TEXT);

	/* Everything above 1 is 1 where there is no other text, as in runtime/pprof. */
	debug = debug > 1 && PROF_KIND[w->kind].text2 ? 2 : 1;
	if (prof_text(&h->snap, &r, debug, a, &ret->body, err))
		return ret;
	answer_drop(ret);
	return NULL;
}

/* The first look of two: what a profile over some seconds is the difference to. */
struct first_look {
	struct arena mem;
	struct pprof p;
};

static void first_look_free(void *state)
{
	struct first_look *f = state;

	arena_free(&f->mem);
	free(f);
}

static struct answer *encoded(const struct web_profile *w, const struct pprof *p,
			      const char *suffix, struct err *err)
{
	struct str data = {0};

	if (pprof_encode_gzip(p, &data, err))
		return file_answer(w->name, suffix, &data);
	str_free(&data);
	return NULL;
}

/* NULL without an error after the first look: the job comes back when the seconds are over, and no
 * worker waits for it. */
static struct answer *difference(struct held *h, const struct web_profile *w, struct job *j,
				 int64_t seconds, struct arena *a, struct err *err)
{
	const struct prof_request r = {.kind = (enum prof_kind)w->kind};
	struct first_look *first = j->state;
	struct pprof p, ret;

	if (!held_snapshot(h, PROF_KIND[w->kind].needs, 0, err))
		return NULL;
	if (!first) {
		first = calloc(1, sizeof(*first));
		if (!first) {
			err_set(err, ERR_LIMIT, "no memory for the first look");
			return NULL;
		}
		arena_init(&first->mem, 0);
		if (!prof_build(&h->snap, &r, &first->mem, &first->p, err)) {
			first_look_free(first);
			return NULL;
		}
		j->state = first;
		j->state_free = first_look_free;
		j->due = clock_now() + seconds * 1000000000;
		return NULL;
	}
	if (!prof_build(&h->snap, &r, a, &p, err) ||
	    !pprof_subtract(&p, &first->p, false, false, a, &ret, err))
		return NULL;
	ret.time_nanos = p.time_nanos; /* as net/http/pprof dates it */
	ret.duration_nanos = p.time_nanos - first->p.time_nanos;
	return encoded(w, &ret, "-delta", err);
}

static struct answer *profile(struct held *h, const struct web_profile *w, struct job *j,
			      struct arena *a, struct err *err)
{
	const struct prof_request r = {.kind = (enum prof_kind)w->kind};
	int64_t debug = number(question_param(j->q, "debug")),
		seconds = number(question_param(j->q, "seconds"));
	struct pprof p;

	if (seconds > 0)
		return difference(h, w, j, seconds, a, err);
	if (!held_snapshot(h, PROF_KIND[w->kind].needs, j->q->max_age, err))
		return NULL;
	if (debug > 0)
		return text_answer(h, w, (unsigned)MIN(debug, 9), a, err);
	if (!prof_build(&h->snap, &r, a, &p, err))
		return NULL;
	return encoded(w, &p, "", err);
}

/* --- what is no profile --- */

static struct answer *cmdline(struct held *h, struct job *j, struct arena *a, struct err *err)
{
	struct answer *ret;
	char *text = NULL;
	size_t n = 0;

	if (!held_snapshot(h, 0, j->q->max_age, err))
		return NULL;
	if (h->of.pid && !file_read(AT_FDCWD, arena_printf(a, "/proc/%d/cmdline", h->of.pid),
				    (size_t)4 << 20, a, &text, &n, err))
		return NULL;
	ret = answer_new(200, TEXT);
	if (!h->of.pid)
		str_add(&ret->body, h->snap.os->cmdline0);
	else if (n)
		str_addn(&ret->body, text, text[n - 1] ? n : n - 1); /* NULs between arguments */
	return ret;
}

/* "0x4a1b2c+0x4a…", by GET or POST, as `go tool pprof` asks. */
static struct answer *symbol(struct held *h, struct job *j, struct err *err)
{
	struct answer *ret;
	uint32_t n = 0;

	if (!held_snapshot(h, 0, j->q->max_age, err))
		return NULL;
	ret = answer_new(200, TEXT);
	str_add(&ret->body, "num_symbols: 1\n");
	for (uint32_t i = 0; i < j->q->n_params; i++) {
		/* '+' of a query means a space by now */
		for (const char *at = j->q->params[i].key; *at && n < SYMBOLS_MAX; n++) {
			bool hex = str_starts(at, "0x") || str_starts(at, "0X");
			const char *digits = at + (hex ? 2 : 0);
			struct place place;
			uint64_t pc;

			if (!str_u64(&digits, hex, &pc))
				break;
			place = h->snap.place(&h->snap, pc);
			if (pc && *place.func)
				str_addf(&ret->body, "%#llx %s\n", (unsigned long long)pc,
					 place.func);
			for (at = digits; *at == ' ' || *at == '+'; at++)
				;
		}
	}
	return ret;
}

static void add_html(struct str *to, const char *s)
{
	for (; *s; s++) {
		const char *as = *s == '<'   ? "&lt;"
				 : *s == '>' ? "&gt;"
				 : *s == '&' ? "&amp;"
				 : *s == '"' ? "&quot;"
					     : NULL;

		if (as)
			str_add(to, as);
		else
			str_addn(to, s, 1);
	}
}

static struct answer *page(struct held *h, struct job *j, struct arena *a, struct err *err)
{
	struct answer *ret;
	struct str *b;

	if (!held_snapshot(h, 0, j->q->max_age, err))
		return NULL;
	ret = answer_new(200, "text/html; charset=utf-8");
	b = &ret->body;
	str_add(b, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
		   "<title>/debug/pprof/</title></head><body>\n<h1>/debug/pprof/</h1>\n<p>");
	add_html(b, subject_program(&h->snap, a));
	str_addf(
		b,
		" \xc2\xb7 pid %d, read from outside by whyrss. debug=1 shows most of these as "
		"text.</p>\n<table>\n<thead><tr><th>Profile</th><th>What it is</th></tr></thead>\n",
		h->snap.os->pid);
	for (unsigned i = 0; i < N_WEB_PROFILES; i++) {
		const struct web_profile *w = &WEB_PROFILES[i];
		bool text = w->kind >= 0 && PROF_KIND[w->kind].text1;

		if (w->lack)
			continue;
		str_addf(b, "<tr><td><a href=\"%s%s\">%s</a></td><td>", w->name,
			 text ? "?debug=1" : "", w->name);
		add_html(b, w->what);
		str_add(b, "</td></tr>\n");
	}
	str_add(b, "</table>\n<p><a href=\"goroutine?debug=2\">full goroutine stack dump</a></p>\n"
		   "</body></html>\n");
	return ret;
}

struct answer *web_pprof(struct pool *p, struct job *j, struct arena *a, struct err *err)
{
	const struct web_profile *w = web_profile_find(j->q->what);
	struct answer *ret = NULL;
	bool borrowed;
	struct held *h = target_of(p, j, &borrowed, err);

	if (!h)
		return NULL;
	if (!*j->q->what)
		ret = page(h, j, a, err);
	else if (w && w->kind >= 0)
		ret = profile(h, w, j, a, err);
	else if (!strcmp(j->q->what, "cmdline"))
		ret = cmdline(h, j, a, err);
	else if (!strcmp(j->q->what, "symbol"))
		ret = symbol(h, j, err);
	else
		err_set(err, ERR_NOT_GO, "Unknown profile");
	if (borrowed)
		pool_return(p, h);
	return ret;
}
