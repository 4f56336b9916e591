/*
 * The one parser of the command line, driven by options.def. It knows GNU's forms (--name=value,
 * --name value, -n5, -n 5, -av, --) and no abbreviations: what a script says today must mean the
 * same when there are more options.
 */
#include "view/options.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

const struct option_info OPTIONS[N_OPTIONS] = {
#define OPTION(id, name, letter, kind, arg, choices, views, help)                                  \
	[OPT_##id] = {name, letter, OPTION_##kind, arg, choices, views, help},
#include "view/options.def"
#undef OPTION
};

void option_choices(const struct option_info *o, void (*fn)(void *ctx, const char *word, size_t n),
		    void *ctx)
{
	for (const char *p = o->choices; *p;) {
		size_t n = strcspn(p, "|");

		fn(ctx, p, n);
		p += n + (p[n] == '|');
	}
}

struct choice_search {
	const char *typed;
	uint32_t at, found; /* found: UINT32_MAX none */
};

static void choice_match(void *ctx, const char *word, size_t n)
{
	struct choice_search *c = ctx;

	if (strlen(c->typed) == n && !memcmp(c->typed, word, n))
		c->found = c->at;
	c->at++;
}

bool option_take(struct options *o, enum option_id id, const char *text, struct err *err)
{
	const struct option_info *info = &OPTIONS[id];
	struct option_value v = {.set = true, .text = text};
	struct choice_search c = {text, 0, UINT32_MAX};
	const char *at = text;

	switch (info->kind) {
	case OPTION_FLAG:
		if (text)
			return err_set(err, ERR_USAGE, "--%s: takes no value", info->name);
		break;
	case OPTION_NUMBER:
		if (!text || !str_u64(&at, false, &v.number) || *at)
			return err_set(err, ERR_USAGE, "--%s %s: not a number", info->name,
				       text ? text : "");
		break;
	case OPTION_LIST:
		v = o->v[id];
		v.set = true;
		v.text = text;
		if (v.n_list == OPTION_LIST_MAX)
			return err_set(err, ERR_USAGE, "--%s: given more than %d times", info->name,
				       OPTION_LIST_MAX);
		v.list[v.n_list++] = text;
		/* fall through */
	case OPTION_TEXT:
		if (!text || !*text)
			return err_set(err, ERR_USAGE, "--%s: %s is missing", info->name,
				       info->arg);
		break;
	case OPTION_CHOICE:
		if (text)
			option_choices(info, choice_match, &c);
		if (c.found == UINT32_MAX)
			return err_set(err, ERR_USAGE, "--%s %s: not one of %s", info->name,
				       text ? text : "", info->choices);
		v.choice = c.found;
		break;
	}
	o->v[id] = v;
	return true;
}

/* Edit distance of two short words, transpositions as one step; anything long is far. */
static unsigned distance(const char *a, const char *b)
{
	enum { MAX_WORD = 24 };
	unsigned d[MAX_WORD + 1][MAX_WORD + 1];
	size_t n = strlen(a), m = strlen(b);

	if (n > MAX_WORD || m > MAX_WORD)
		return UINT32_MAX;
	for (size_t i = 0; i <= n; i++) {
		for (size_t j = 0; j <= m; j++) {
			unsigned best;

			if (!i || !j) {
				d[i][j] = (unsigned)(i + j);
				continue;
			}
			best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			best = MIN(best, MIN(d[i - 1][j], d[i][j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = MIN(best, d[i - 2][j - 2] + 1);
			d[i][j] = best;
		}
	}
	return d[n][m];
}

const char *word_nearest(const char *typed, const char *const *words, uint32_t n)
{
	const char *best = NULL;
	unsigned least = 3; /* two slips of the finger */

	for (uint32_t i = 0; i < n; i++) {
		unsigned d = distance(typed, words[i]);

		if (d < least && d < strlen(words[i])) {
			least = d;
			best = words[i];
		}
	}
	return best;
}

static bool unknown(const char *typed, size_t n, struct err *err)
{
	const char *names[N_OPTIONS], *near;
	char word[32];

	snprintf(word, sizeof(word), "%.*s", (int)MIN(n, sizeof(word) - 1), typed);
	for (unsigned i = 0; i < N_OPTIONS; i++)
		names[i] = OPTIONS[i].name;
	near = word_nearest(word, names, N_OPTIONS);
	if (near)
		return err_set(err, ERR_USAGE, "--%s: no such option; did you mean --%s?", word,
			       near);
	return err_set(err, ERR_USAGE, "--%s: no such option; whyrss --help lists them", word);
}

static bool long_option(struct arguments *ret, const char *const *argv, int *i, int argc,
			struct err *err)
{
	const char *name = argv[*i] + 2;
	size_t n = strcspn(name, "=");
	const char *text = name[n] ? name + n + 1 : NULL;

	for (unsigned id = 0; id < N_OPTIONS; id++) {
		const struct option_info *o = &OPTIONS[id];

		if (strlen(o->name) != n || memcmp(o->name, name, n) != 0)
			continue;
		if (o->kind != OPTION_FLAG && !text) {
			if (*i + 1 >= argc)
				return err_set(err, ERR_USAGE, "--%s: %s is missing", o->name,
					       o->arg);
			text = argv[++*i];
		}
		return option_take(&ret->options, (enum option_id)id, text, err);
	}
	return unknown(name, n, err);
}

static bool letters(struct arguments *ret, const char *const *argv, int *i, int argc,
		    struct err *err)
{
	for (const char *p = argv[*i] + 1; *p; p++) {
		unsigned id = 0;
		const char *text = NULL;

		while (id < N_OPTIONS && OPTIONS[id].letter != *p)
			id++;
		if (id == N_OPTIONS)
			return err_set(err, ERR_USAGE,
				       "-%.1s: no such option; whyrss --help lists them", p);
		if (OPTIONS[id].kind != OPTION_FLAG) {
			if (p[1])
				text = p + 1 + (p[1] == '=');
			else if (*i + 1 < argc)
				text = argv[++*i];
			else
				return err_set(err, ERR_USAGE, "-%c: %s is missing", *p,
					       OPTIONS[id].arg);
		}
		if (!option_take(&ret->options, (enum option_id)id, text, err))
			return false;
		if (text)
			break;
	}
	return true;
}

bool arguments_parse(int argc, const char *const *argv, struct arguments *ret, struct err *err)
{
	struct arguments out = {0};
	bool options = true;

	for (int i = 1; i < argc; i++) {
		const char *s = argv[i];

		if (options && !strcmp(s, "--")) {
			options = false;
			out.rest = argv + i + 1;
			out.n_rest = (uint32_t)(argc - i - 1);
		} else if (options && str_starts(s, "--")) {
			if (!long_option(&out, argv, &i, argc, err))
				return false;
		} else if (options && s[0] == '-' && s[1]) {
			if (!letters(&out, argv, &i, argc, err))
				return false;
		} else if (out.n_words == OPTION_WORDS && !options) {
			break; /* they are in `rest` */
		} else if (out.n_words == OPTION_WORDS) {
			return err_set(err, ERR_USAGE, "%s: too many arguments", s);
		} else {
			out.words[out.n_words++] = s;
		}
	}
	*ret = out;
	return true;
}
