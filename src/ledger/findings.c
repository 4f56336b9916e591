/*
 * From a ledger to an answer: runs the rules of findings.def, keeps what is worth a word, puts it
 * in order and says it in one sentence. The rules themselves are in cause_*.c; nothing here knows
 * any of them, but for the one that turns the question around (RSS below Go's own number).
 */
#include "ledger/cause.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static const struct rule RULES[] = {
#define FINDING(fn, id, part, normal, title, clause) {cause_##fn, id, title, clause, part, normal},
#include "ledger/findings.def"
#undef FINDING
};

/* What goes unnoticed in any program: of one cause, and of the whole gap. */
#define SMALL_PART (16 * MIB)
#define SMALL_GAP  (24 * MIB)
#define NORMAL_GAP 25U /* percent of RSS */

bytes cause_line(const struct study *t, enum line_id id)
{
	return cause_by_pages(t) ? t->l->line[id].resident : t->l->line[id].bytes;
}

bytes cause_part_of_line(const struct study *t, enum line_id id, bytes n)
{
	const struct line_sum *line = &t->l->line[id];

	if (!cause_by_pages(t) || line->resident >= line->bytes)
		return n;
	return (bytes)((double)MIN(n, line->bytes) / (double)line->bytes * (double)line->resident);
}

bool cause_claim(struct study *t, struct finding *f, int64_t n)
{
	f->c.bytes = n;
	f->told = llabs(n) >= (int64_t)MIB && llabs(n) >= llabs(t->gap) / 100;
	return f->told;
}

void cause_evidence(struct study *t, struct finding *f, const char *fmt, ...)
{
	struct str text = {0};
	va_list ap;

	if (f->c.n_evidence == CAUSE_EVIDENCE)
		return;
	va_start(ap, fmt);
	str_vaddf(&text, fmt, ap);
	va_end(ap);
	f->c.evidence[f->c.n_evidence++] = arena_strdup(t->a, text.s);
	str_free(&text);
}

void cause_action(struct study *t, struct finding *f, int64_t saves, const char *fmt, ...)
{
	struct str text = {0};
	struct action *to;
	char *tab;
	va_list ap;

	if (f->c.n_actions == CAUSE_ACTIONS)
		return;
	va_start(ap, fmt);
	str_vaddf(&text, fmt, ap);
	va_end(ap);
	to = &f->c.actions[f->c.n_actions++];
	to->what = arena_strdup(t->a, text.s);
	str_free(&text);
	tab = strchr(to->what, '\t');
	to->costs = tab ? tab + 1 : "nothing";
	if (tab)
		*tab = '\0';
	to->saves = MAX(saves, 0);
}

const char *cause_bytes(struct study *t, bytes n)
{
	char text[UNIT_TEXT];

	return arena_strdup(t->a, unit_bytes(text, n));
}

const char *cause_count(struct study *t, uint64_t n)
{
	char text[UNIT_TEXT];

	return arena_strdup(t->a, unit_count(text, n));
}

const char *cause_duration(struct study *t, int64_t ns)
{
	char text[UNIT_TEXT];

	return arena_strdup(t->a, unit_duration(text, ns));
}

int cause_percent(double part, double whole)
{
	double p = whole > 0 ? part / whole * 100 : 0;

	return p > 9999 ? 9999 : p < -9999 ? -9999 : (int)(p < 0 ? p - 0.5 : p + 0.5);
}

const char *cause_tail_of(const char *path)
{
	const char *s = path + strlen(path);

	for (int parts = 0; s > path; s--)
		if (s[-1] == '/' && ++parts == 2)
			break;
	return s;
}

bool cause_oom_distance(const struct study *t, bytes *ret)
{
	return t->cgroup && cgroup_oom_distance(t->cgroup, ret);
}

/* Where residency is not known: what is not a file's and not returned is taken to be in memory. */
static bytes rss_by_bytes(const struct ledger *l)
{
	static const enum line_id not_in[] = {
		LINE_HEAP_RELEASED, LINE_BINARY_TEXT, LINE_BINARY_RODATA, LINE_LIBS,
		LINE_FILES,	    LINE_SHM,	      LINE_KERNEL};
	bytes sum = 0;

	for (unsigned i = 0; i < N_LINES; i++)
		sum += l->line[i].bytes;
	for (size_t i = 0; i < ARRAY_LEN(not_in); i++)
		sum -= l->line[not_in[i]].bytes;
	return sum;
}

static void look_at_profile(struct study *t)
{
	const struct profile *p = &t->s->profile;
	double published = (double)p->inuse_space;
	int64_t more = p->inuse_space - (int64_t)t->l->line[LINE_HEAP_LIVE].bytes;

	for (uint32_t i = 0; i < p->n_buckets; i++) {
		const struct mem_bucket *b = &p->buckets[i];
		double n = (double)b->now_allocs - (double)b->now_frees, size = (double)b->size;
		if (b->size > 0)
			t->profile_now +=
				n * size / (p->rate > 1 ? -expm1(-size / (double)p->rate) : 1);
	}
	if (more > 0 && fabs(t->profile_now - published) <= published / 50)
		t->counted_new = MIN((bytes)more, t->l->line[LINE_HEAP_NEW].bytes);
}

static struct study study_of(const struct ledger *l, struct arena *a)
{
	static const struct counters no_counters = {.memoryLimit = INT64_MAX,
						    .triggered = UINT64_MAX};
	static const struct os_facts no_os = {
		.exe = "", .thp_enabled = "", .lazy_free = UINT64_MAX, .max_ptes_none = -1};
	struct study t = {.l = l, .s = l->s, .a = a};

	t.os = l->s->os ? l->s->os : &no_os;
	t.c = l->s->counters ? l->s->counters : &no_counters;
	t.cgroup = t.os->cgroup;
	t.pacer = pacer_of(t.c, l->s->go_minor);
	t.rss = l->residency || l->held ? l->rss : rss_by_bytes(l);
	t.gap = (int64_t)t.rss - l->s->profile.inuse_space;
	for (unsigned i = LINE_HEAP_LIVE; i <= LINE_HEAP_DEAD; i++)
		t.objects += l->line[i].bytes;
	if (l->s->profile.enabled)
		look_at_profile(&t);
	return t;
}

/* RSS is below what Go says, the profile or HeapAlloc: then that comes first, however small it is.
 */
static bool turns_the_question(const struct study *t, const struct finding *f)
{
	return f->rule->run == cause_not_a_gap && f->told && (t->gap < 0 || t->rss < t->objects);
}

/* What makes RSS smaller is beside the question as long as RSS is the larger number. */
static bool is_beside(const struct study *t, const struct finding *f)
{
	return f->c.bytes < 0 && !turns_the_question(t, f);
}

/* As much of the cause as a healthy program may have. */
static bool part_is_normal(const struct study *t, const struct finding *f)
{
	return llabs(f->c.bytes) <= (int64_t)MAX(t->rss / 100 * f->rule->normal, SMALL_PART);
}

/* Every part of the gap is what a healthy program has, and so is their sum. */
static bool gap_is_normal(const struct study *t, const struct finding *f)
{
	int64_t sum = 0;

	for (size_t i = 0; i < ARRAY_LEN(RULES); i++) {
		if (f[i].rule->part != GAP || f[i].rule->normal == 100 || is_beside(t, &f[i]))
			continue;
		if (!part_is_normal(t, &f[i]) || turns_the_question(t, &f[i]))
			return false;
		sum += MAX(f[i].c.bytes, 0);
	}
	return sum <= (int64_t)MAX(t->rss / 100 * NORMAL_GAP, SMALL_GAP);
}

static int by_size(const void *a, const void *b)
{
	const struct finding *x = a, *y = b;
	int64_t nx = llabs(x->c.bytes), ny = llabs(y->c.bytes);

	return nx != ny ? (nx < ny) - (nx > ny) : (x->rule > y->rule) - (x->rule < y->rule);
}

/* What the verdict is about: the largest part of the gap, else the largest of what is not one.
 * Returns n when all of them are beside the question. */
static uint32_t lead_of(const struct study *t, const struct finding *f, uint32_t n)
{
	uint32_t aside = n;

	for (uint32_t i = 0; i < n; i++) {
		if (is_beside(t, &f[i]))
			continue;
		if (f[i].rule->part == GAP)
			return i;
		aside = MIN(aside, i);
	}
	return aside;
}

/* Keeps what is worth a word at the front, largest first; returns how many. */
static uint32_t choose(const struct study *t, struct finding *f, bool normal)
{
	uint32_t n = 0;
	bool turned = false;

	for (size_t i = 0; i < ARRAY_LEN(RULES); i++)
		turned |= turns_the_question(t, &f[i]);
	for (size_t i = 0; i < ARRAY_LEN(RULES); i++) {
		enum finding_part part = f[i].rule->part;
		bool wanted = part == ASIDE || (part == GAP ? !normal : normal || turned);
		bool usual = part == GAP && part_is_normal(t, &f[i]) &&
			     llabs(f[i].c.bytes) < llabs(t->gap) / 20;
		if (f[i].told && wanted && (!usual || turns_the_question(t, &f[i])))
			f[n++] = f[i];
	}
	qsort(f, n, sizeof *f, by_size);
	for (uint32_t i = 1; i < n; i++) {
		struct finding first = f[i];
		if (!turns_the_question(t, &first))
			continue;
		memmove(f + 1, f, i * sizeof *f);
		f[0] = first;
	}
	return lead_of(t, f, n) < n ? n : 0;
}

static const char *gap_in_words(const struct study *t)
{
	const char *what = t->l->residency ? "RSS"
			   : t->l->held	   ? "what the core holds"
					   : "what is accounted for";
	char text[UNIT_TEXT];
	const char *n = unit_bytes(text, (bytes)llabs(t->gap));

	if (!t->s->profile.enabled)
		return arena_printf(t->a, "%s is %s", what, n);
	return arena_printf(t->a, "%s is %s %s the heap profile", what, n,
			    t->gap < 0 ? "below" : "above");
}

/* The parts of a gap in which nothing stands out: "the program's own file (9.0 MiB), …" and as
 * evidence. */
static void nothing_wrong(struct study *t, const struct finding *all, struct finding *ret,
			  struct str *verdict)
{
	static const struct rule rule = {.id = "nothing-wrong", .part = GAP};
	struct finding parts[ARRAY_LEN(RULES)];
	uint32_t n = 0, said = 0;
	bytes oom;

	*ret = (struct finding){.rule = &rule, .told = true};
	ret->c = (struct cause){.id = rule.id,
				.title = "nothing unusual",
				.bytes = t->gap,
				.share = t->gap ? 1 : 0};
	ret->c.confidence = t->l->residency ? CERTAIN : LIKELY;
	for (size_t i = 0; i < ARRAY_LEN(RULES); i++)
		if (all[i].rule->part == GAP && llabs(all[i].c.bytes) >= (int64_t)(256 * KIB))
			parts[n++] = all[i];
	qsort(parts, n, sizeof *parts, by_size);
	str_addf(verdict, "Nothing unusual: %s", gap_in_words(t));
	for (uint32_t i = 0; i < MIN(n, 6); i++) {
		const struct cause *c = &parts[i].c;
		char text[UNIT_TEXT];
		const char *size = c->bytes < 0 ? unit_delta(text, c->bytes)
						: unit_bytes(text, (bytes)c->bytes);
		if (c->bytes > 0 && said < 3)
			str_addf(verdict, "%s%s (%s)", said++ ? ", " : ", mostly ", c->title, size);
		cause_evidence(t, ret, "%s: %s", c->title, size);
	}
	if (t->c->heapGoal && t->c->heapGoal != UINT64_MAX && t->c->gcPercent >= 0)
		cause_evidence(t, ret, "the heap may grow to %s before the next GC ends (GOGC=%d)",
			       cause_bytes(t, t->c->heapGoal), t->c->gcPercent);
	if (cause_oom_distance(t, &oom))
		cause_evidence(t, ret, "the OOM kill is %s away, of a limit of %s",
			       cause_bytes(t, oom), cause_bytes(t, t->cgroup->limit));
}

static void say_first(struct study *t, const struct finding *f, struct str *verdict)
{
	const char *size = cause_bytes(t, (bytes)llabs(f->c.bytes));
	const char *whole = t->s->profile.enabled ? "the gap" : t->l->held ? "the core" : "RSS";
	int percent = cause_percent(f->c.share, 1);

	if (f->rule->run == cause_not_a_gap)
		str_addf(verdict, "%s: %s",
			 t->gap < 0
				 ? gap_in_words(t)
				 : arena_printf(t->a, "RSS is below what Go counts as allocated"),
			 f->clause);
	else if (f->rule->part != GAP)
		str_addf(verdict, "%s, which is normal; what stands out is %s: %s", gap_in_words(t),
			 f->c.title, f->clause);
	else if (percent > 105 || percent < 0)
		str_addf(verdict, "The largest cause is %s, %s: %s", f->c.title, size, f->clause);
	else if (percent >= 95)
		str_addf(verdict, "%s of %s (%s) comes from %s: %s",
			 percent >= 100 ? "All" : "Nearly all", whole, size, f->c.title, f->clause);
	else if (percent >= 50)
		str_addf(verdict, "Most of %s (%d %%, %s) comes from %s: %s", whole, percent, size,
			 f->c.title, f->clause);
	else
		str_addf(verdict, "The largest part of %s (%d %%, %s) comes from %s: %s", whole,
			 percent, size, f->c.title, f->clause);
}

/* One sentence: the leading cause, what comes next where that is not most of it, and what must
 * not be missed. */
static void say(struct study *t, const struct finding *f, uint32_t n, struct str *verdict)
{
	uint32_t lead = lead_of(t, f, n), next = lead + 1;
	bytes oom;

	say_first(t, &f[lead], verdict);
	while (next < n && (f[next].rule->part != GAP || is_beside(t, &f[next])))
		next++;
	if (next < n && f[lead].rule->part == GAP && f[lead].c.share > 0 && f[lead].c.share < 0.7 &&
	    f[next].c.share >= 0.1)
		str_addf(verdict, "; then %s (%d %%)", f[next].c.title,
			 cause_percent(f[next].c.share, 1));
	for (uint32_t i = 0; i < n; i++)
		if (i != lead && f[i].rule->run == cause_limit_misfit &&
		    !strstr(f[lead].clause, f[i].c.title))
			str_addf(verdict, "; and %s", f[i].c.title);
	if (cause_oom_distance(t, &oom) && oom < t->cgroup->limit / 100 * 15)
		str_addf(verdict, "; the OOM kill is %s away", cause_bytes(t, oom));
}

void findings_build(struct ledger *l, struct arena *a)
{
	struct study t = study_of(l, a);
	struct finding all[ARRAY_LEN(RULES) + 1], kept[ARRAY_LEN(RULES) + 1];
	struct str verdict = {0};
	uint32_t n;

	memset(all, 0, sizeof all);
	for (size_t i = 0; i < ARRAY_LEN(RULES); i++) {
		const struct rule *r = &RULES[i];
		all[i] = (struct finding){.rule = r, .clause = r->clause};
		all[i].c = (struct cause){.id = r->id, .title = r->title, .confidence = CERTAIN};
		r->run(&t, &all[i]);
		all[i].c.share = t.gap ? (double)all[i].c.bytes / (double)llabs(t.gap) : 0;
	}
	memcpy(kept, all, sizeof kept);
	n = choose(&t, kept, gap_is_normal(&t, all));
	if (!l->s->have_go)
		str_add(&verdict,
			"No Go runtime was found, so only what the kernel says is known: ");
	if (n == 0) {
		nothing_wrong(&t, all, &kept[0], &verdict);
		n = 1;
	} else {
		say(&t, kept, n, &verdict);
	}
	str_add(&verdict, ".");
	verdict.s[0] = (char)toupper((unsigned char)verdict.s[0]);
	l->causes = ARENA_ARRAY(a, struct cause, n);
	for (uint32_t i = 0; i < n; i++)
		l->causes[i] = kept[i].c;
	l->n_causes = n;
	l->verdict = arena_strdup(a, verdict.s);
	str_free(&verdict);
}
