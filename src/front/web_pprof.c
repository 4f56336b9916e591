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
		j->due = web_now() + seconds * 1000000000;
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

/* --- stacks for the page --- */

struct order {
	int64_t amount;
	uint32_t sample;
};

static int larger_first(const void *a, const void *b)
{
	const struct order *x = a, *y = b;

	return x->amount != y->amount ? (x->amount < y->amount) - (x->amount > y->amount)
				      : (x->sample > y->sample) - (x->sample < y->sample);
}

static uint32_t default_type(const struct pprof *p)
{
	for (uint32_t i = 0; i < p->n_types; i++)
		if (p->default_type && p->types[i].type == p->default_type)
			return i;
	return p->n_types ? p->n_types - 1 : 0;
}

static void add_number(struct str *to, int64_t v)
{
	str_addf(to, "%lld", (long long)v);
}

/* Frames are the profile's lines, then one for each location that has none. */
static void add_frames(struct str *b, const struct pprof *p)
{
	uint32_t unknown = 0;

	str_add(b, ",\"functions\":[");
	for (uint32_t i = 0; i < p->n_functions; i++) {
		str_add(b, i ? ",[" : "[");
		str_add_json(b, pprof_text(p, p->functions[i].name));
		str_add(b, ",");
		str_add_json(b, pprof_text(p, p->functions[i].file));
		str_add(b, "]");
	}
	for (uint32_t i = 0; i < p->n_locations; i++)
		if (!p->locations[i].n_lines) {
			str_addf(b, "%s[\"0x%llx\",\"\"]", p->n_functions + unknown ? "," : "",
				 (unsigned long long)p->locations[i].address);
			unknown++;
		}
	str_add(b, "],\"frames\":[");
	for (uint32_t i = 0; i < p->n_lines; i++)
		str_addf(b, "%s[%u,%lld]", i ? "," : "", p->lines[i].function,
			 (long long)p->lines[i].line);
	for (uint32_t i = 0; i < unknown; i++)
		str_addf(b, "%s[%u,0]", p->n_lines + i ? "," : "", p->n_functions + i);
	str_add(b, "]");
}

static void add_labels(struct str *b, const struct pprof *p, uint32_t i)
{
	if (!p->label_at || p->label_at[i] == p->label_at[i + 1])
		return;
	str_add(b, ",\"l\":[");
	for (uint32_t k = p->label_at[i]; k < p->label_at[i + 1]; k++) {
		const struct pprof_label *l = &p->labels[k];

		str_add(b, k > p->label_at[i] ? ",[" : "[");
		str_add_json(b, pprof_text(p, l->key));
		str_add(b, ",");
		if (l->is_num)
			str_addf(b, "\"%lld\"", (long long)l->num);
		else
			str_add_json(b, pprof_text(p, l->str));
		str_add(b, "]");
	}
	str_add(b, "]");
}

static void add_sample(struct str *b, const struct pprof *p, const uint32_t *unknown, uint32_t i)
{
	bool first = true;

	str_add(b, "{\"v\":[");
	for (uint32_t t = 0; t < p->n_types; t++) {
		str_add(b, t ? "," : "");
		add_number(b, p->values[(size_t)i * p->n_types + t]);
	}
	str_add(b, "],\"s\":[");
	for (uint32_t k = p->loc_at[i]; k < p->loc_at[i + 1]; k++) {
		const struct pprof_location *l = &p->locations[p->locs[k]];

		for (uint32_t f = 0; f < MAX(l->n_lines, 1U); f++) {
			str_addf(b, "%s%u", first ? "" : ",",
				 l->n_lines ? l->line_at + f : p->n_lines + unknown[p->locs[k]]);
			first = false;
		}
	}
	str_add(b, "]");
	add_labels(b, p, i);
	str_add(b, "}");
}

static bool stacks_json(const struct pprof *p, const char *note, struct arena *a, struct str *b,
			struct err *err)
{
	struct order *order = arena_try(a, (uint64_t)p->n_samples + 1, sizeof(*order), err);
	uint32_t *unknown = arena_try(a, (uint64_t)p->n_locations + 1, sizeof(*unknown), err);
	uint32_t n = 0, shown = MIN(p->n_samples, STACKS_MAX);

	if (!order || !unknown)
		return false;
	for (uint32_t i = 0; i < p->n_samples; i++) {
		int64_t most = 0;

		for (uint32_t t = 0; t < p->n_types; t++) {
			int64_t v = p->values[(size_t)i * p->n_types + t];

			most = MAX(most, v < 0 ? -(v + 1) : v);
		}
		order[i] = (struct order){most, i};
	}
	if (p->n_samples > STACKS_MAX)
		qsort(order, p->n_samples, sizeof(*order), larger_first);
	for (uint32_t i = 0; i < p->n_locations; i++)
		if (!p->locations[i].n_lines)
			unknown[i] = n++;
	str_add(b, "{\"schema\":\"whyrss.stacks/1\",\"types\":[");
	for (uint32_t t = 0; t < p->n_types; t++) {
		str_add(b, t ? ",{\"type\":" : "{\"type\":");
		str_add_json(b, pprof_text(p, p->types[t].type));
		str_add(b, ",\"unit\":");
		str_add_json(b, pprof_text(p, p->types[t].unit));
		str_add(b, "}");
	}
	str_addf(b, "],\"default\":%u", default_type(p));
	add_frames(b, p);
	str_add(b, ",\"samples\":[");
	for (uint32_t i = 0; i < shown; i++) {
		str_add(b, i ? ",\n" : "");
		add_sample(b, p, unknown, order[i].sample);
	}
	str_addf(b, "],\"left_out\":%u", p->n_samples - shown);
	if (note) {
		str_add(b, ",\"note\":");
		str_add_json(b, note);
	}
	str_add(b, "}\n");
	return true;
}

bool web_stacks_write(const struct snapshot *s, int kind, struct arena *a, struct str *out,
		      struct err *err)
{
	const struct prof_request r = {.kind = (enum prof_kind)kind};
	const char *note = NULL;
	struct pprof prof;

	if (!prof_build(s, &r, a, &prof, err))
		return false;
	if ((r.kind == PROF_HEAP || r.kind == PROF_ALLOCS) && !s->profile.enabled)
		note = "Heap profiling is off in this process: MemProfileRate is 0, as in every "
		       "program that does not import runtime/pprof or net/http/pprof.";
	return stacks_json(&prof, note, a, out, err);
}

struct answer *web_stacks(struct pool *p, struct job *j, struct arena *a, struct err *err)
{
	const struct web_profile *w = web_profile_find(j->q->what);
	struct answer *ret;

	(void)p;
	if (!w || w->kind < 0) {
		err_set(err, ERR_USAGE, "%.40s: no such profile", j->q->what);
		return NULL;
	}
	if (!held_snapshot(j->of, PROF_KIND[w->kind].needs, j->q->max_age, err))
		return NULL;
	ret = answer_new(200, "application/json; charset=utf-8");
	if (web_stacks_write(&j->of->snap, w->kind, a, &ret->body, err))
		return ret;
	answer_drop(ret);
	return NULL;
}
