/* The table of options and how a value is read and printed. Parsing of a command line is front's.
 */
#include "pprof/config.h"

#include <string.h>
#include <strings.h>

#include "pprof/gotext.h"

const struct pprof_option PPROF_OPTIONS[N_PPROF_OPTIONS] = {
#define OPTION(id, name, kind, def, choices, url, saved, help, more)                               \
	[PPROF_##id] = {name, PPROF_##kind, def, choices, url, saved, help, more},
#include "pprof/config.def"
#undef OPTION
};

/* As the shell takes it: more words than a flag, and nothing is yes. */
static bool read_bool(const char *text, bool *ret)
{
	static const char *const yes[] = {"true", "t", "yes", "y", "1", ""};
	static const char *const no[] = {"false", "f", "no", "n", "0"};

	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		if (!strcasecmp(text, yes[i]))
			return *ret = true;
	*ret = false;
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		if (!strcasecmp(text, no[i]))
			return true;
	return false;
}

static bool is_choice(const struct pprof_option *o, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = o->choices; *p; p += strcspn(p, "|"), p += *p == '|')
		if (n && strcspn(p, "|") == n && !strncmp(p, word, n))
			return true;
	return false;
}

void pprof_option_choices(const struct pprof_option *o,
			  void (*fn)(void *ctx, const char *word, size_t n), void *ctx)
{
	for (const char *p = o->choices; *p; p += strcspn(p, "|"), p += *p == '|')
		fn(ctx, p, strcspn(p, "|"));
}

static bool read_value(union pprof_value *v, const struct pprof_option *o, const char *text)
{
	switch (o->kind) {
	case PPROF_BOOL:
		return read_bool(text, &v->b);
	case PPROF_INT:
		return go_parse_int(text, 10, &v->i);
	case PPROF_FLOAT:
		return go_parse_float(text, &v->f);
	case PPROF_TEXT:
		v->s = text;
		return !*o->choices || is_choice(o, text);
	}
	return false;
}

void pprof_config_init(struct pprof_config *c)
{
	for (unsigned i = 0; i < N_PPROF_OPTIONS; i++)
		read_value(&c->v[i], &PPROF_OPTIONS[i], PPROF_OPTIONS[i].def);
}

const struct pprof_option *pprof_option_find(const char *name, const char **ret_choice)
{
	*ret_choice = NULL;
	for (unsigned i = 0; i < N_PPROF_OPTIONS; i++)
		if (!strcmp(PPROF_OPTIONS[i].name, name))
			return &PPROF_OPTIONS[i];
	for (unsigned i = 0; i < N_PPROF_OPTIONS; i++)
		if (is_choice(&PPROF_OPTIONS[i], name)) {
			*ret_choice = name;
			return &PPROF_OPTIONS[i];
		}
	return NULL;
}

bool pprof_option_is_flag(const char *name)
{
	const char *choice;
	const struct pprof_option *o = pprof_option_find(name, &choice);

	return o && (choice || o->kind == PPROF_BOOL);
}

bool pprof_config_set(struct pprof_config *c, const struct pprof_option *o, const char *text,
		      struct arena *a, struct err *err)
{
	static const char *const kinds[] = {"a yes or no", "a whole number", "a number",
					    "one of its choices"};
	union pprof_value v;

	if (!read_value(&v, o, text))
		return err_set(err, ERR_USAGE, "%s: \"%.60s\" is not %s", o->name, text,
			       kinds[o->kind]);
	if (o->kind == PPROF_TEXT)
		v.s = arena_strdup(a, text);
	c->v[o - PPROF_OPTIONS] = v;
	return true;
}

bool pprof_config_assign(struct pprof_config *c, const char *name, const char *text,
			 struct arena *a, struct err *err)
{
	const char *choice;
	const struct pprof_option *o = pprof_option_find(name, &choice);
	bool on;

	if (o && !choice)
		return pprof_config_set(c, o, text, a, err);
	if (o && go_parse_bool(text, &on) && on)
		return pprof_config_set(c, o, choice, a, err);
	return err_set(err, ERR_USAGE, "%.60s: no such option", name);
}

void pprof_config_text(const struct pprof_config *c, const struct pprof_option *o, struct str *to)
{
	const union pprof_value *v = &c->v[o - PPROF_OPTIONS];

	switch (o->kind) {
	case PPROF_BOOL:
		str_add(to, v->b ? "true" : "false");
		break;
	case PPROF_INT:
		str_addf(to, "%lld", (long long)v->i);
		break;
	case PPROF_FLOAT:
		go_float(to, v->f);
		break;
	case PPROF_TEXT:
		str_add(to, v->s);
		break;
	}
}
