/*
 * Filters are the engine's own (src/pprof): patterns are Go's, so the page finds what `go tool
 * pprof` finds. The page draws; it gets every frame with its line, and merges them as it likes.
 */
#include "front/web_stacks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "front/web_pprof.h"
#include "front/web_shelf.h"
#include "pprof/codec.h"
#include "pprof/gotext.h"
#include "pprof/lens.h"
#include "pprof/report.h"
#include "view/prof.h"

#define STACKS_MAX 20000U
#define TEXT_MAX   ((size_t)32 << 20)
#define SOURCE_MAX ((size_t)4 << 20)
#define TAGS_CHARS 200U /* each key is a frame in every stack */
#define JSON	   "application/json; charset=utf-8"

/* --- stacks --- */

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

static void add_text(struct str *b, const struct lens *l, pstr s)
{
	str_add_json(b, lens_text(l, s));
}

/* Frames are the profile's lines, then one for each location that has none. */
static void add_frames(struct str *b, const struct lens *l)
{
	uint32_t unknown = 0;

	str_add(b, ",\"functions\":[");
	for (uint32_t i = 0; i < l->n_functions; i++) {
		str_add(b, i ? ",[" : "[");
		add_text(b, l, l->functions[i].name);
		str_add(b, ",");
		add_text(b, l, l->functions[i].file);
		str_add(b, "]");
	}
	for (uint32_t i = 0; i < l->n_locations; i++)
		if (!l->locations[i].n_lines) {
			str_addf(b, "%s[\"0x%llx\",\"\"]", l->n_functions + unknown ? "," : "",
				 (unsigned long long)l->locations[i].address);
			unknown++;
		}
	str_add(b, "],\"frames\":[");
	for (uint32_t i = 0; i < l->n_lines; i++)
		str_addf(b, "%s[%u,%lld]", i ? "," : "", l->lines[i].function,
			 (long long)l->lines[i].line);
	for (uint32_t i = 0; i < unknown; i++)
		str_addf(b, "%s[%u,0]", l->n_lines + i ? "," : "", l->n_functions + i);
	str_add(b, "]");
}

static void add_labels(struct str *b, const struct lens *l, uint32_t i)
{
	uint32_t n;
	const struct pprof_label *v = lens_labels(l, i, &n);

	if (!n)
		return;
	str_add(b, ",\"l\":[");
	for (uint32_t k = 0; k < n; k++) {
		str_add(b, k ? ",[" : "[");
		add_text(b, l, v[k].key);
		str_add(b, ",");
		if (v[k].is_num)
			str_addf(b, "\"%lld\"", (long long)v[k].num);
		else
			add_text(b, l, v[k].str);
		str_add(b, "]");
	}
	str_add(b, "]");
}

static void add_sample(struct str *b, const struct lens *l, const uint32_t *unknown, uint32_t k)
{
	const pindex *locs;
	uint32_t n, i = lens_sample(l, k, &locs, &n);
	bool first = true;

	str_add(b, "{\"v\":[");
	for (uint32_t t = 0; t < l->p->n_types; t++)
		str_addf(b, "%s%lld", t ? "," : "",
			 (long long)l->p->values[(size_t)i * l->p->n_types + t]);
	str_add(b, "],\"s\":[");
	for (uint32_t at = 0; at < n; at++) {
		const struct pprof_location *loc = &l->locations[locs[at]];

		if (l->hidden && l->hidden[locs[at]])
			continue;
		for (uint32_t f = 0; f < MAX(loc->n_lines, 1U); f++) {
			str_addf(b, "%s%u", first ? "" : ",",
				 loc->n_lines ? loc->line_at + f : l->n_lines + unknown[locs[at]]);
			first = false;
		}
	}
	str_add(b, "]");
	add_labels(b, l, i);
	str_add(b, "}");
}

/* The types, and the sum of each over the whole profile: what percentages are of. */
static bool add_types(struct str *b, const struct pprof *p, struct err *err)
{
	uint32_t first;

	str_add(b, "{\"schema\":\"whyrss.stacks/1\",\"types\":[");
	for (uint32_t t = 0; t < p->n_types; t++) {
		str_add(b, t ? ",{\"type\":" : "{\"type\":");
		str_add_json(b, pprof_text(p, p->types[t].type));
		str_add(b, ",\"unit\":");
		str_add_json(b, pprof_text(p, p->types[t].unit));
		str_add(b, "}");
	}
	str_add(b, "],\"totals\":[");
	for (uint32_t t = 0; t < p->n_types; t++) {
		int64_t sum = 0;

		for (uint32_t i = 0; i < p->n_samples; i++)
			sum = go_add(sum, p->values[(size_t)i * p->n_types + t]);
		str_addf(b, "%s%lld", t ? "," : "", (long long)sum);
	}
	if (!pprof_sample_index(p, "", &first, err))
		return false;
	str_addf(b, "],\"default\":%u", first);
	return true;
}

static bool stacks_json(const struct lens *l, const char *note, const struct str *messages,
			struct str *b, struct err *err)
{
	const struct pprof *p = l->p;
	struct order *order = arena_try(l->mem, (uint64_t)l->n_samples + 1, sizeof(*order), err);
	uint32_t *unknown = arena_try(l->mem, (uint64_t)l->n_locations + 1, sizeof(*unknown), err);
	uint32_t n = 0, shown = MIN(l->n_samples, STACKS_MAX);

	if (!order || !unknown || !add_types(b, p, err))
		return false;
	for (uint32_t k = 0; k < l->n_samples; k++) {
		uint32_t i = l->sample ? l->sample[k] : k;
		int64_t most = 0;

		for (uint32_t t = 0; t < p->n_types; t++) {
			int64_t v = p->values[(size_t)i * p->n_types + t];

			most = MAX(most, v < 0 ? -(v + 1) : v);
		}
		order[k] = (struct order){most, k};
	}
	if (l->n_samples > STACKS_MAX)
		qsort(order, l->n_samples, sizeof(*order), larger_first);
	for (uint32_t i = 0; i < l->n_locations; i++)
		if (!l->locations[i].n_lines)
			unknown[i] = n++;
	add_frames(b, l);
	str_add(b, ",\"samples\":[");
	for (uint32_t i = 0; i < shown; i++) {
		str_add(b, i ? ",\n" : "");
		add_sample(b, l, unknown, order[i].sample);
	}
	str_addf(b, "],\"left_out\":%u", l->n_samples - shown);
	if (note || messages->n) {
		str_add(b, ",\"note\":");
		str_add_json(b, note ? note : messages->s);
	}
	str_add(b, "}\n");
	return true;
}

static bool write_stacks(const struct pprof *p, struct pprof_config *c, const char *note,
			 struct arena *a, struct str *out, struct err *err)
{
	struct str messages = {0};
	struct lens l;
	bool ok;

	lens_open(&l, p, false, a, &messages);
	lens_add_tag_frames(&l, c);
	ok = lens_filter(&l, c, err);
	if (ok) {
		c->v[PPROF_GRANULARITY].s = "addresses"; /* the page merges what it wants to */
		lens_aggregate(&l, c);
		ok = stacks_json(&l, note, &messages, out, err);
	}
	str_free(&messages);
	return ok;
}

/* --- which profile, and what is asked of it --- */

/* The page's parameters: those that google/pprof's page has, and the options' names. */
static bool take_config(const struct question *q, struct arena *a, struct pprof_config *ret,
			struct err *err)
{
	pprof_config_init(ret);
	for (uint32_t i = 0; i < q->n_params; i++) {
		const char *key = q->params[i].key, *value = q->params[i].value;
		bool taken = !strcmp(key, "max_age") || !strcmp(key, "token") ||
			     !strcmp(key, "pattern") || !strcmp(key, "call_tree");

		for (unsigned o = 0; o < N_PPROF_OPTIONS && !taken; o++) {
			const struct pprof_option *option = &PPROF_OPTIONS[o];

			if ((strcmp(option->url, key) != 0 && strcmp(option->name, key) != 0) ||
			    !(option->saved || o == PPROF_SAMPLE_INDEX))
				continue;
			if ((o == PPROF_TAGROOT || o == PPROF_TAGLEAF) &&
			    strlen(value) > TAGS_CHARS)
				return err_set(err, ERR_USAGE, "%s: too many keys", option->name);
			if (!pprof_config_set(ret, option, value, a, err))
				return false;
			taken = true;
		}
		if (!taken)
			return err_set(err, ERR_USAGE, "%.40s: profiles take no such parameter",
				       key);
	}
	return true;
}

static const char OFF[] =
	"Heap profiling is off in this process: MemProfileRate is 0, as in every program that does "
	"not import runtime/pprof or net/http/pprof.";

/* The profile that a question is about. */
struct subject_profile {
	const struct pprof *p;
	struct pprof built;
	const struct shelved *shelved;
	const char *note;
};

static bool find_profile(struct pool *p, struct job *j, const char *kind, struct arena *a,
			 struct subject_profile *ret, struct err *err)
{
	const struct web_profile *w = web_profile_find(kind);
	struct prof_request r = {0};

	*ret = (struct subject_profile){0};
	if (j->q->of.profile) {
		ret->shelved = shelf_borrow(pool_shelf(p), j->q->of.profile);
		if (!ret->shelved)
			return err_set(err, ERR_GONE,
				       "this profile is not here any more: send it again");
		ret->p = &ret->shelved->p;
		return true;
	}
	if (!w || w->kind < 0)
		return err_set(err, ERR_USAGE, "%.40s: no such profile", kind);
	if (!held_snapshot(j->of, PROF_KIND[w->kind].needs, j->q->max_age, err))
		return false;
	r.kind = (enum prof_kind)w->kind;
	if (!prof_build(&j->of->snap, &r, a, &ret->built, err))
		return false;
	ret->p = &ret->built;
	if ((r.kind == PROF_HEAP || r.kind == PROF_ALLOCS) && !j->of->snap.profile.enabled)
		ret->note = OFF;
	return true;
}

static void leave_profile(struct pool *p, const struct subject_profile *s)
{
	if (s->shelved)
		shelf_return(pool_shelf(p), s->shelved);
}

bool web_stacks_write(const struct snapshot *s, int kind, struct arena *a, struct str *out,
		      struct err *err)
{
	const struct prof_request r = {.kind = (enum prof_kind)kind};
	bool heap = r.kind == PROF_HEAP || r.kind == PROF_ALLOCS;
	struct pprof_config c;
	struct pprof prof;

	pprof_config_init(&c);
	return prof_build(s, &r, a, &prof, err) &&
	       write_stacks(&prof, &c, heap && !s->profile.enabled ? OFF : NULL, a, out, err);
}

struct answer *web_stacks(struct pool *p, struct job *j, struct arena *a, struct err *err)
{
	struct subject_profile of;
	struct answer *ret;
	struct pprof_config c;

	if (!take_config(j->q, a, &c, err) || !find_profile(p, j, j->q->what, a, &of, err))
		return NULL;
	ret = answer_new(200, JSON);
	if (!write_stacks(of.p, &c, of.note, a, &ret->body, err)) {
		answer_drop(ret);
		ret = NULL;
	}
	leave_profile(p, &of);
	return ret;
}

/* --- source text --- */

struct reader {
	const struct pprof *p;
	bool strict; /* only what every user of this machine may read */
};

static bool is_named(const struct pprof *p, const char *path)
{
	for (uint32_t i = 0; i < p->n_functions; i++)
		if (!strcmp(pprof_text(p, p->functions[i].file), path))
			return true;
	return false;
}

static bool is_source(const char *path)
{
	static const char *const ends[] = {".go",  ".s",   ".S",   ".c",  ".h",	   ".cc",    ".cpp",
					   ".cxx", ".hpp", ".inc", ".rs", ".java", ".proto", ".y"};

	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (str_ends(path, ends[i]))
			return true;
	return false;
}

/* Every folder on the way can be searched by everybody. */
static bool way_is_open(struct arena *a, const char *path)
{
	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		struct stat st;

		if (stat(arena_strndup(a, path, (size_t)(slash - path)), &st) != 0 ||
		    !(st.st_mode & S_IXOTH))
			return false;
	}
	return true;
}

/*
 * A profile names files, and a stranger may have made it: only regular files that the profile
 * names, that are source by their name once links are followed, and are text. Of a profile that was
 * sent, and as root, nothing that another user could not read himself.
 */
static const char *read_source(void *ctx, const char *path, struct arena *a, size_t *ret_n,
			       int *ret_errno)
{
	const struct reader *r = ctx;
	CLEANUP(cleanup_free) char *real = NULL;
	struct err err = {0};
	struct stat st;
	char *text;

	*ret_errno = EACCES;
	if (*path != '/' || !is_named(r->p, path) || !is_source(path))
		return NULL;
	real = realpath(path, NULL);
	if (!real || stat(real, &st) != 0) {
		*ret_errno = errno;
		return NULL;
	}
	if (!S_ISREG(st.st_mode) || !is_source(real) || st.st_size > (off_t)SOURCE_MAX ||
	    ((r->strict || geteuid() == 0) && (!(st.st_mode & S_IROTH) || !way_is_open(a, real))))
		return NULL;
	if (!file_read(AT_FDCWD, real, SOURCE_MAX, a, &text, ret_n, &err)) {
		*ret_errno = err.os ? err.os : EIO;
		return NULL;
	}
	return memchr(text, '\0', *ret_n) ? NULL : text;
}

/* --- reports --- */

/* Those that say something to a person or a program, and whose size has a bound. */
static const enum pprof_command_id REPORTS[] = {
	PPROF_CMD_TOP,	  PPROF_CMD_TREE,  PPROF_CMD_PEEK,     PPROF_CMD_LIST,
	PPROF_CMD_TRACES, PPROF_CMD_TAGS,  PPROF_CMD_RAW,      PPROF_CMD_COMMENTS,
	PPROF_CMD_DOT,	  PPROF_CMD_PROTO, PPROF_CMD_TOPPROTO,
};

static const struct pprof_command *report_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(REPORTS); i++)
		if (!strcmp(PPROF_COMMANDS[REPORTS[i]].name, name))
			return &PPROF_COMMANDS[REPORTS[i]];
	return NULL;
}

/* Keeps all, up to a bound. */
static bool enough(void *ctx, struct str *out)
{
	(void)ctx;
	return out->n < TEXT_MAX;
}

static struct answer *make_report(const struct pprof *p, const struct pprof_config *c,
				  const struct pprof_command *cmd, const char *pattern, bool strict,
				  struct err *err)
{
	struct reader reader = {.p = p, .strict = strict};
	const struct pprof_env env = {
		.ctx = &reader, .read_file = read_source, .flush = enough, .cwd = ""};
	bool file = *cmd->suffix;
	struct answer *ret =
		answer_new(200, file ? "application/octet-stream" : "text/plain; charset=utf-8");
	struct str messages = {0};
	bool ok = pprof_report(p, c, cmd, pattern, &env, &ret->body, &messages, err);

	if (file)
		ret->disposition = arena_printf(&ret->mem, "attachment; filename=\"whyrss-%s.%s\"",
						cmd->name, cmd->suffix);
	str_free(&messages);
	if (ok)
		return ret;
	answer_drop(ret);
	return NULL;
}

struct answer *web_text(struct pool *p, struct job *j, struct arena *a, struct err *err)
{
	const char *slash = strchr(j->q->what, '/'), *pattern = question_param(j->q, "pattern");
	const char *name = slash ? slash + 1 : j->q->what;
	const struct pprof_command *cmd = report_find(name);
	struct subject_profile of;
	struct pprof_config c;
	struct answer *ret;

	if (!cmd || !slash != !!j->q->of.profile) {
		err_set(err, ERR_GONE, "%.40s: no such report", name);
		return NULL;
	}
	if (cmd->pattern && !pattern) {
		err_set(err, ERR_USAGE, "%s: give pattern=REGEXP", name);
		return NULL;
	}
	if (!take_config(j->q, a, &c, err) ||
	    !find_profile(p, j,
			  slash ? arena_strndup(a, j->q->what, (size_t)(slash - j->q->what)) : "",
			  a, &of, err))
		return NULL;
	c.v[PPROF_CALL_TREE].b = false; /* its size has no bound */
	ret = make_report(of.p, &c, cmd, cmd->pattern ? pattern : NULL,
			  of.shelved && !of.shelved->given, err);
	leave_profile(p, &of);
	return ret;
}

/* --- the shelf --- */

struct answer *web_upload(struct pool *p, struct job *j, struct arena *a, struct err *err)
{
	const char *name = question_param(j->q, "name");
	const struct shelved *of;
	struct answer *ret;

	(void)a;
	if (!shelf_add(pool_shelf(p), name && *name ? name : "a profile", false,
		       (const uint8_t *)(j->q->body.s ? j->q->body.s : ""), j->q->body.n, &of, err))
		return NULL;
	ret = answer_new(201, JSON);
	shelved_write(of, &ret->body);
	str_add(&ret->body, "\n");
	shelf_return(pool_shelf(p), of);
	return ret;
}

struct answer *web_shelf(struct pool *p, struct job *j, struct arena *a, struct err *err)
{
	struct answer *ret = answer_new(200, JSON);

	(void)j;
	(void)a;
	(void)err;
	shelf_list(pool_shelf(p), &ret->body);
	return ret;
}
