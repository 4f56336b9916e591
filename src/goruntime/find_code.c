/*
 * Where the runtime's own code says that its variables are: finders.def over the functions that the
 * pclntab names. Nothing is believed here: rows are witnesses.
 */
#include "goruntime/find.h"
#include "image/code.h"

#include <string.h>

#define MAX_CODE ((size_t)64 << 10)
#define MAX_REFS 1024U

enum where { PTR = 1, NOPTR = 2, ALL = 3 };
enum use {
	ADDRESS = CODE_ADDRESS,
	LOAD = CODE_LOAD,
	STORE = CODE_STORE,
	COMPARE = CODE_COMPARE,
	ANY = CODE_ANY
};
#define ONLY 100
#define MOST 101

struct rule {
	enum symbol_index symbol;
	int since;
	const char *function;
	uint8_t use, size;
	enum where where;
	const char *callee;
	int pick;
	uint32_t delta;
};

static const struct rule RULES[] = {
#define FINDER(symbol, since, function, use, size, where, callee, pick, delta)                     \
	{SYM_##symbol, since, function, use, size, where, callee, pick, delta},
#include "goruntime/finders.def"
#undef FINDER
};

/* A function whose code was looked at. */
struct looked {
	const char *name; /* as in RULES */
	taddr entry;
	struct code_ref *refs;
	uint32_t n;
	bool read;
};

struct functions {
	struct pcln_wanted *v; /* names of functions and callees, each once */
	struct looked *looked; /* beside v */
	uint32_t n;
};

static size_t read_target(void *ctx, taddr at, void *dst, size_t n)
{
	return target_read(ctx, at, dst, n);
}

static void want(struct functions *s, const char *name)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (strcmp(s->v[i].name, name) == 0)
			return;
	if (*name)
		s->v[s->n++].name = name;
}

static uint32_t index_of(const struct functions *s, const char *name)
{
	uint32_t i = 0;
	while (i < s->n && strcmp(s->v[i].name, name) != 0)
		i++;
	return i;
}

/** Which kind of data an address is in; 0: none. */
static unsigned where_of(const struct finder *f, taddr at)
{
	for (uint32_t i = 0; i < f->n_parts; i++)
		if (at >= f->part[i].start && at < f->part[i].end)
			return f->part[i].pointers ? PTR : NOPTR;
	return 0;
}

static const struct looked *look(struct finder *f, struct functions *s, uint32_t i)
{
	struct looked *k = &s->looked[i];
	struct pcln_wanted *w = &s->v[i];
	if (k->read || w->entry == 0)
		return k;
	k->read = true;
	size_t n = (size_t)MIN(w->end - w->entry, MAX_CODE);
	struct arena_mark mark = arena_mark(&f->mem);
	struct code_ref *all = ARENA_ARRAY(&f->mem, struct code_ref, MAX_REFS);
	uint8_t *code = arena_alloc(&f->mem, n + 1);
	uint32_t found = 0;
	if (target_read(f->t, w->entry, code, n) == n)
		found = code_refs(code, n, w->entry, all, MAX_REFS);
	uint32_t kept = 0;
	for (uint32_t r = 0; r < found; r++)
		if (where_of(f, all[r].target) != 0)
			all[kept++] = all[r];
	struct code_ref few[MAX_REFS];
	memcpy(few, all, kept * sizeof *few);
	arena_reset(&f->mem, mark);
	k->refs = ARENA_ARRAY(&f->mem, struct code_ref, kept);
	memcpy(k->refs, few, kept * sizeof *few);
	k->n = kept;
	return k;
}

/** What one rule says; 0: no opinion. */
static taddr rule_say(struct finder *f, struct functions *s, const struct rule *r)
{
	const struct looked *k = look(f, s, index_of(s, r->function));
	taddr callee = *r->callee ? s->v[index_of(s, r->callee)].entry : 0;
	if (k->n == 0 || (*r->callee && callee == 0))
		return 0;
	taddr seen[MAX_REFS];
	uint32_t times[MAX_REFS], n = 0, most = 0;
	for (uint32_t i = 0; i < k->n; i++) {
		const struct code_ref *c = &k->refs[i];
		if (!(c->use & r->use) || (r->size != 0 && c->size != r->size) ||
		    !(where_of(f, c->target) & r->where) || (callee != 0 && c->call != callee))
			continue;
		uint32_t at = 0;
		while (at < n && seen[at] != c->target)
			at++;
		if (at == n) {
			seen[n] = c->target;
			times[n++] = 0;
		}
		times[at]++;
		if (times[at] > times[most])
			most = at;
	}
	int at = r->pick == ONLY ? (n == 1 ? 0 : -1) : r->pick > 0 ? r->pick - 1 : (int)n + r->pick;
	if (r->pick == MOST) {
		at = (int)most;
		for (uint32_t i = 0; i < n; i++)
			if (i != most && times[i] == times[most])
				return 0;
	}
	return at < 0 || at >= (int)n ? 0 : seen[at] - r->delta;
}

/** The address that more functions name than any other one. */
static void vote(struct found *v, const taddr *said, uint32_t n)
{
	uint32_t best = 0;
	bool tie = false;
	taddr at = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t same = 0;
		for (uint32_t k = 0; k < n; k++)
			same += said[k] == said[i];
		if (same > best) {
			best = same;
			at = said[i];
			tie = false;
		} else if (same == best && said[i] != at) {
			tie = true;
		}
	}
	v->code = tie ? 0 : at;
	v->witnesses = tie ? 0 : best;
	v->contradicted = n - best;
}

#define MAX_RULES_EACH 8U

void find_by_code(struct finder *f)
{
	struct functions s = {0};
	s.v = ARENA_ARRAY(&f->mem, struct pcln_wanted, 2 * ARRAY_LEN(RULES));
	for (size_t i = 0; i < ARRAY_LEN(RULES); i++) {
		want(&s, RULES[i].function);
		want(&s, RULES[i].callee);
	}
	s.looked = ARENA_ARRAY(&f->mem, struct looked, s.n);
	if (!pcln_lookup(&f->tables, read_target, f->t, &f->mem, s.v, s.n, NULL))
		return;
	for (uint32_t i = 0; i < s.n; i++)
		f->report->names |= s.v[i].entry != 0;
	for (uint32_t i = 0; i < N_SYMBOLS; i++) {
		taddr said[MAX_RULES_EACH];
		uint32_t n = 0;
		for (size_t k = 0; k < ARRAY_LEN(RULES); k++) {
			const struct rule *r = &RULES[k];
			if (r->symbol != i || f->g->release.minor < r->since || n == MAX_RULES_EACH)
				continue;
			said[n] = rule_say(f, &s, r);
			n += said[n] != 0;
		}
		if (n > 0)
			vote(&f->report->v[i], said, n);
	}
}

int find_since(enum symbol_index i)
{
	for (size_t k = 0; k < ARRAY_LEN(RULES); k++)
		if (RULES[k].symbol == i)
			return RULES[k].since; /* the first row is the one of all releases */
	return 18;
}
