/*
 * Goroutines and threads by their stacks: groups of equal ones as runtime/pprof counts them
 * (pprof.go, printCountProfile), and the traceback of each as the runtime prints it with debug=2
 * (traceback.go). A goroutine that runs has no stack that could be read: it is counted with the
 * words that Go has for it, over the function that it was started with.
 */
#include "view/prof_build.h"
#include "view/prof_records.h"

#include <stdlib.h>
#include <string.h>

#define RUNNING	 "goroutine running on other thread; stack unavailable"
#define MAX_TEXT ((size_t)64 << 20) /* as runtime/pprof ends there */

static bool is_running(const struct goroutine *g)
{
	return g->n_trace == 0;
}

/* --- pcs --- */

/* The frames of a physical one that a stack shows: inlined calls, without wrappers. */
static uint32_t shown_frames(const struct snapshot *s, struct trace_frame f, const char **callee,
			     struct code_frame *ret, uint32_t max)
{
	struct code_frame v[64];
	uint32_t n = s->frames(s, f.pc - !f.exact, v, ARRAY_LEN(v)), k = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (!(v[i].wrapper && prof_elides_wrapper(*callee)) && k < max)
			ret[k++] = v[i];
		*callee = v[i].symbol;
	}
	return k;
}

uint32_t goroutine_frames(const struct snapshot *s, const struct goroutine *g, taddr *ret,
			  uint32_t max, uint32_t *ret_at, uint32_t *ret_frames)
{
	const char *callee = "";
	uint32_t n = 0, frames = 0;

	for (uint32_t i = 0; i < g->n_trace && n < max; i++) {
		struct code_frame v[64];
		uint32_t k = shown_frames(s, s->trace[g->trace + i], &callee, v,
					  MIN(max - n, ARRAY_LEN(v)));

		if (frames < 2 * max)
			ret_at[frames++] = n;
		for (uint32_t j = 0; j < k; j++)
			ret[n++] = v[j].pc + 1;
	}
	*ret_frames = frames;
	return n;
}

uint32_t goroutine_stack(const struct snapshot *s, const struct goroutine *g, taddr *ret,
			 uint32_t max)
{
	uint32_t at[PROF_DEPTH * 2], frames;

	return goroutine_frames(s, g, ret, MIN(max, PROF_DEPTH), at, &frames);
}

/* --- texts of Go --- */

/* Code points that strconv.Quote leaves as they are; the rest in a form of its own. */
static bool is_print(uint32_t r)
{
	static const uint32_t not [][2] = {
		{0x7f, 0xa0},	  {0xad, 0xad},	    {0x600, 0x605},	{0x61c, 0x61c},
		{0x180e, 0x180e}, {0x1680, 0x1680}, {0x2000, 0x200f},	{0x2028, 0x202f},
		{0x205f, 0x206f}, {0x3000, 0x3000}, {0xd800, 0xf8ff},	{0xfeff, 0xfeff},
		{0xfff0, 0xfffb}, {0xfffe, 0xffff}, {0xe0000, 0xe0fff}, {0xf0000, UINT32_MAX},
	};

	for (size_t i = 0; i < ARRAY_LEN(not ); i++)
		if (r >= not [i][0] && r <= not [i][1])
			return false;
	return r >= 0x20;
}

/* One code point; 0 bytes at the end, and 1 with *ret = UINT32_MAX where it is no UTF-8. */
static unsigned code_point(const char *s, uint32_t *ret)
{
	const unsigned char *p = (const unsigned char *)s;
	unsigned n = *p < 0x80 ? 1 : *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;
	uint32_t r = n == 1 ? *p : *p & (0x7fU >> n);
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

	if (*p == 0)
		return 0;
	for (unsigned i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80) {
			*ret = UINT32_MAX;
			return 1;
		}
		r = r << 6 | (p[i] & 0x3f);
	}
	if (*p >= 0x80 && (*p < 0xc2 || *p > 0xf4 || r < least[n] || r > 0x10ffff ||
			   (r >= 0xd800 && r < 0xe000))) {
		*ret = UINT32_MAX;
		return 1;
	}
	*ret = r;
	return n;
}

/* A string as Go's %q has it. */
static void add_quoted(struct str *out, const char *s)
{
	static const char from[] = "\a\b\f\n\r\t\v\\\"", to[] = "abfnrtv\\\"";
	uint32_t r;

	str_add(out, "\"");
	for (unsigned n; (n = code_point(s, &r)) != 0; s += n) {
		const char *at = r < 0x80 ? strchr(from, (int)r) : NULL;

		if (at)
			str_addf(out, "\\%c", to[at - from]);
		else if (r == UINT32_MAX)
			str_addf(out, "\\x%02x", (unsigned char)*s);
		else if (is_print(r))
			str_addn(out, s, n);
		else if (r < 0x80)
			str_addf(out, "\\x%02x", r);
		else
			str_addf(out, r < 0x10000 ? "\\u%04x" : "\\U%08x", r);
	}
	str_add(out, "\"");
}

/* As the runtime's print quotes it. */
static void add_runtime_quoted(struct str *out, const char *s)
{
	static const char from[] = "\n\r\t\\\"", to[] = "nrt\\\"";
	uint32_t r;

	str_add(out, "\"");
	for (unsigned n; (n = code_point(s, &r)) != 0; s += n) {
		const char *at = r < 0x80 ? strchr(from, (int)r) : NULL;

		if (r == UINT32_MAX)
			r = 0xfffd;
		if (at)
			str_addf(out, "\\%c", to[at - from]);
		else if (r >= ' ' && r <= '~')
			str_addf(out, "%c", (int)r);
		else
			str_addf(out, r < 127 ? "\\x%02x" : r < 0x10000 ? "\\u%04x" : "\\U%08x", r);
	}
	str_add(out, "\"");
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_labels(const struct snapshot *s, const struct goroutine *g, struct arena *a,
		       struct str *out)
{
	const char **v = ARENA_ARRAY(a, const char *, g->n_labels + 1);

	for (uint32_t i = 0; i < g->n_labels; i++) {
		const struct label *l = &s->labels[g->label + i];
		struct str one = {0};

		add_quoted(&one, l->key);
		str_add(&one, ":");
		add_quoted(&one, l->value);
		v[i] = arena_strdup(a, one.s);
		str_free(&one);
	}
	if (g->n_labels > 1)
		qsort(v, g->n_labels, sizeof(*v), by_text);
	str_add(out, "\n# labels: {");
	for (uint32_t i = 0; i < g->n_labels; i++)
		str_addf(out, "%s%s", i ? ", " : "", v[i]);
	str_add(out, "}");
}

/* --- groups --- */

struct group {
	const char *key;
	uint32_t hash, count;
	const struct goroutine *g; /* NULL: of threads */
	const taddr *stk;
	uint32_t n_stk;
};

struct groups {
	struct arena *mem;
	VEC(struct group) v;
	uint32_t *at, n_at; /* by hash: index + 1 */
	uint32_t total;
};

static uint32_t group_slot(const struct groups *t, uint32_t hash, const char *key)
{
	uint32_t k = hash & (t->n_at - 1);

	while (t->at[k] != 0 && t->v.v &&
	       (t->v.v[t->at[k] - 1].hash != hash || strcmp(t->v.v[t->at[k] - 1].key, key) != 0))
		k = (k + 1) & (t->n_at - 1);
	return k;
}

static void group_add(struct groups *t, const struct snapshot *s, const struct goroutine *g,
		      const taddr *stk, uint32_t n)
{
	struct str key = {0};
	uint32_t hash = 2166136261U, k;

	str_add(&key, "@");
	for (uint32_t i = 0; i < n; i++)
		str_addf(&key, " 0x%llx", (unsigned long long)stk[i]);
	if (g && is_running(g))
		str_add(&key, "\n#\t" RUNNING);
	if (g && g->label_set)
		add_labels(s, g, t->mem, &key);
	for (size_t i = 0; i < key.n; i++)
		hash = (hash ^ (unsigned char)key.s[i]) * 16777619U;
	t->total++;
	k = group_slot(t, hash, key.s);
	if (t->at[k] == 0) {
		taddr *copy = ARENA_ARRAY(t->mem, taddr, n);

		memcpy(copy, stk, n * sizeof(*stk));
		*VEC_PUSH(t->mem, &t->v) = (struct group){.key = arena_strdup(t->mem, key.s),
							  .hash = hash,
							  .g = g,
							  .stk = copy,
							  .n_stk = n};
		t->at[k] = t->v.n;
		if (2 * t->v.n >= t->n_at) {
			t->n_at *= 2;
			t->at = ARENA_ARRAY(t->mem, uint32_t, t->n_at);
			for (uint32_t i = 0; i < t->v.n; i++)
				t->at[group_slot(t, t->v.v[i].hash, t->v.v[i].key)] = i + 1;
			k = group_slot(t, hash, key.s);
		}
	}
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): the slot is one of v by now */
	t->v.v[t->at[k] - 1].count++;
	str_free(&key);
}

static int by_count(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return strcmp(x->key, y->key);
}

static struct groups group_all(const struct snapshot *s, enum prof_kind kind, struct arena *a)
{
	struct groups t = {.mem = a, .n_at = 256};
	taddr stk[PROF_DEPTH];

	t.at = ARENA_ARRAY(a, uint32_t, t.n_at);
	for (uint32_t i = 0; kind == PROF_GOROUTINE && i < s->n_goroutines; i++) {
		const struct goroutine *g = &s->goroutines[i];
		uint32_t n = goroutine_stack(s, g, stk, s->profile.stack_depth);

		if (g->system)
			continue;
		if (is_running(g))
			stk[n++] = g->startpc + 1;
		group_add(&t, s, g, stk, n);
	}
	for (uint32_t i = 0; kind == PROF_THREADCREATE && i < s->n_create_stacks; i++) {
		uint32_t n = 0;

		/* until 1.22 a stack ends at its first 0, since it has all 32 words */
		while (n < 32 && (s->go_minor >= 23 || s->create_stacks[i][n] != 0))
			n++;
		group_add(&t, s, NULL, s->create_stacks[i], n);
	}
	if (t.v.n > 1)
		qsort(t.v.v, t.v.n, sizeof(*t.v.v), by_count);
	return t;
}

void build_counts(const struct snapshot *s, enum prof_kind kind, struct arena *a, struct pprof *ret)
{
	const char *const types[][2] = {{PROF_KIND[kind].name, "count"}};
	struct prof_builder *b = prof_begin(s, a, ret, types, 1);
	struct groups t = group_all(s, kind, a);

	ret->period_type = (struct pprof_value_type){pprof_str(ret, PROF_KIND[kind].name),
						     pprof_str(ret, "count")};
	ret->period = 1;
	for (uint32_t i = 0; i < t.v.n; i++) {
		const struct group *k = &t.v.v[i];
		const int64_t count = k->count;

		if (k->g && is_running(k->g))
			prof_add_name(b, RUNNING);
		(void)prof_add_stack(b, k->stk, k->n_stk);
		for (uint32_t j = 0; k->g && j < k->g->n_labels; j++)
			prof_add_label(b, s->labels[k->g->label + j].key,
				       s->labels[k->g->label + j].value);
		prof_add_sample(b, &count);
	}
	prof_end(b);
}

void counts_text(const struct snapshot *s, enum prof_kind kind, struct arena *a, struct str *out)
{
	struct groups t = group_all(s, kind, a);

	str_addf(out, "%s profile: total %u\n", PROF_KIND[kind].name, t.total);
	for (uint32_t i = 0; i < t.v.n; i++) {
		str_addf(out, "%u %s\n", t.v.v[i].count, t.v.v[i].key);
		prof_add_record(s, out, t.v.v[i].stk, t.v.v[i].n_stk, false);
	}
}

/* --- debug=2 --- */

static bool is_exported(const char *name)
{
	const char *dot, *rcvr = name + strlen("runtime.");
	size_t n;

	if (!str_starts(name, "runtime."))
		return false;
	dot = strrchr(rcvr, '.');
	if (!dot)
		return *rcvr >= 'A' && *rcvr <= 'Z';
	n = (size_t)(dot - rcvr);
	if (n >= 3 && rcvr[0] == '(' && rcvr[1] == '*' && rcvr[n - 1] == ')')
		rcvr += 2;
	return dot[1] >= 'A' && dot[1] <= 'Z' && *rcvr >= 'A' && *rcvr <= 'Z';
}

static bool is_shown(const struct snapshot *s, const struct code_frame *f, bool first,
		     const char *callee)
{
	if (f->wrapper && prof_elides_wrapper(callee))
		return false;
	if (s->go_minor >= 25 && (!strcmp(f->symbol, "runtime.runFinalizers") ||
				  !strcmp(f->symbol, "runtime.runCleanups")))
		return true;
	if (!strcmp(f->symbol, "runtime.gopanic") && !first)
		return true;
	return strchr(f->symbol, '.') &&
	       (!str_starts(f->symbol, "runtime.") || is_exported(f->symbol));
}

static const char *printed_name(const struct code_frame *f)
{
	return strcmp(f->symbol, "runtime.gopanic") ? f->func : "panic";
}

enum { INNER = 50, OUTER = 50 };

/* Prints the frames `skip` … `skip + max`, as they count for `all`; returns how many there are. */
static uint32_t add_frames(const struct snapshot *s, const struct goroutine *g, bool all,
			   uint32_t skip, uint32_t max, struct str *out)
{
	const char *callee = "";
	/* before 1.21 a traceback ends after so many frames */
	uint32_t n = 0, end = s->go_minor >= 21 ? g->n_trace : MIN(g->n_trace, INNER + OUTER);

	for (uint32_t i = 0; i < end; i++) {
		struct trace_frame t = s->trace[g->trace + i];
		struct code_frame v[64];
		uint32_t k = s->frames(s, t.pc - !t.exact, v, ARRAY_LEN(v));

		for (uint32_t j = 0; j < k; j++) {
			bool shown = all || is_shown(s, &v[j], n == 0, callee);

			callee = v[j].symbol;
			if (!shown)
				continue;
			n++;
			if (n <= skip || n > skip + max || !out)
				continue;
			str_addf(out, "%s(%s)\n\t%s:%d", printed_name(&v[j]),
				 v[j].inlined	 ? "..."
				 : s->trace_args ? s->trace_args[g->trace + i]
						 : "",
				 v[j].file, v[j].line);
			if (!v[j].inlined && t.pc > v[j].entry)
				str_addf(out, " +0x%llx", (unsigned long long)(t.pc - v[j].entry));
			str_add(out, "\n");
		}
	}
	return n;
}

static void add_created_by(const struct snapshot *s, const struct goroutine *g, struct str *out)
{
	struct code_frame v[64];
	uint32_t n = g->goid != 1 ? s->frames(s, g->gopc, v, ARRAY_LEN(v)) : 0;

	if (n == 0 || !is_shown(s, &v[n - 1], false, ""))
		return;
	str_addf(out, "created by %s", printed_name(&v[n - 1]));
	if (g->parent)
		str_addf(out, " in goroutine %llu", (unsigned long long)g->parent);
	/* the line is that of the innermost call at this pc */
	str_addf(out, "\n\t%s:%d +0x%llx\n", v[0].file, v[0].line,
		 (unsigned long long)(g->gopc + 1 - v[n - 1].entry));
}

static bool is_plain(const char *s)
{
	for (; *s; s++)
		if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
		      (*s >= '0' && *s <= '9') || *s == '.' || *s == '/' || *s == '_'))
			return false;
	return true;
}

static void add_header_labels(const struct snapshot *s, const struct goroutine *g, struct str *out)
{
	str_add(out, s->go_minor >= 27 ? " {" : " labels:{");
	for (uint32_t i = 0; i < g->n_labels; i++) {
		const struct label *l = &s->labels[g->label + i];
		const char *const part[] = {l->key, l->value};

		str_add(out, i ? ", " : "");
		for (unsigned k = 0; k < 2; k++) {
			str_add(out, k ? ": " : "");
			if (s->go_minor >= 27 && is_plain(part[k]))
				str_add(out, part[k]);
			else
				add_runtime_quoted(out, part[k]);
		}
	}
	str_add(out, "}");
}

static void add_goroutine(const struct snapshot *s, const struct goroutine *g, struct str *out)
{
	bool labels = s->trace_labels && g->n_labels > 0;

	str_addf(out, "goroutine %llu [%s", (unsigned long long)g->goid,
		 g->status == G_RUNNING ? "running" : g->state);
	if (g->wait_ns >= 60000000000)
		str_addf(out, ", %lld minutes", (long long)(g->wait_ns / 60000000000));
	if (g->locked)
		str_add(out, ", locked to thread");
	if (labels && s->go_minor < 27)
		add_header_labels(s, g, out);
	str_add(out, "]");
	if (labels && s->go_minor >= 27)
		add_header_labels(s, g, out);
	str_add(out, ":\n");
	if (is_running(g)) {
		str_add(out, "\t" RUNNING "\n");
	} else {
		bool all = add_frames(s, g, false, 0, 0, NULL) == 0;
		uint32_t n = add_frames(s, g, all, 0, INNER, out);

		if (n > INNER + OUTER)
			str_addf(out, "...%u frames elided...\n", n - INNER - OUTER);
		if (n > INNER)
			(void)add_frames(s, g, all, n > INNER + OUTER ? n - OUTER : INNER, OUTER,
					 out);
		if (n == INNER + OUTER && s->go_minor < 21)
			str_add(out, "...additional frames elided...\n");
	}
	add_created_by(s, g, out);
}

struct ordered {
	uint32_t order, i;
};

static int by_order(const void *a, const void *b)
{
	const struct ordered *x = a, *y = b;

	return (x->order > y->order) - (x->order < y->order);
}

void goroutines_text(const struct snapshot *s, struct arena *a, struct str *out)
{
	struct ordered *v = ARENA_ARRAY(a, struct ordered, s->n_goroutines);
	bool any = false;

	for (uint32_t i = 0; i < s->n_goroutines; i++)
		v[i] = (struct ordered){s->goroutines[i].order, i};
	if (s->n_goroutines > 1)
		qsort(v, s->n_goroutines, sizeof(*v), by_order);
	for (uint32_t i = 0; i < s->n_goroutines && out->n < MAX_TEXT; i++) {
		const struct goroutine *g = &s->goroutines[v[i].i];

		if (g->system)
			continue;
		if (any)
			str_add(out, "\n");
		any = true;
		add_goroutine(s, g, out);
	}
	if (out->n > MAX_TEXT) {
		out->n = MAX_TEXT;
		out->s[MAX_TEXT] = '\0';
	}
}
