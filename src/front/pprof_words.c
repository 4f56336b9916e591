/*
 * The language of go tool pprof's shell (internal/driver/interactive.go of google/pprof): words, no
 * quotes. Reading lines, history and completion are the shell's own, so that a page or a test can
 * send lines as well.
 */
#include "front/pprof_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pprof/gotext.h"

#define WORDS_MAX 64U /* and room for one more */

struct words {
	char *v[WORDS_MAX + 1];
	uint32_t n;
};

static void say(struct str *messages, const struct err *err)
{
	str_add_plain(messages, err->msg);
	str_add(messages, "\n");
}

static char *trimmed(struct arena *a, const char *s, size_t n)
{
	while (n && strchr(" \t\r\n\v\f", *s))
		s++, n--;
	while (n && strchr(" \t\r\n\v\f", s[n - 1]))
		n--;
	return arena_strndup(a, s, n);
}

static bool split(const char *line, struct arena *a, struct words *ret, struct err *err)
{
	for (const char *p = line;;) {
		size_t n;

		p += strspn(p, " \t\r\n\v\f");
		n = strcspn(p, " \t\r\n\v\f");
		if (!n)
			return true;
		if (ret->n == WORDS_MAX)
			return err_set(err, ERR_USAGE, "more than %u words", WORDS_MAX);
		ret->v[ret->n++] = arena_strndup(a, p, n);
		p += n;
	}
}

/* --- options --- */

static bool set_sample_index(struct pprof_session *s, const char *value, struct err *err)
{
	const struct pprof *p = s->p;
	uint32_t i;

	if (!pprof_sample_index(p, value, &i, err))
		return false;
	s->config.v[PPROF_SAMPLE_INDEX].s = arena_strdup(s->mem, pprof_text(p, p->types[i].type));
	return true;
}

/* name=value, or the name of a flag alone; *ret_done false: the line is neither. */
static bool assign(struct pprof_session *s, const char *line, bool *ret_done, struct err *err)
{
	const char *equals = strchr(line, '='), *value = "", *choice, *comment;
	char *name = trimmed(s->mem, line, equals ? (size_t)(equals - line) : strlen(line));

	*ret_done = pprof_option_find(name, &choice) != NULL;
	if (!*ret_done)
		return true;
	if (!equals && !pprof_option_is_flag(name))
		return err_set(err, ERR_USAGE, "please specify a value, e.g. %s=<val>", name);
	if (equals) {
		size_t n = strlen(equals + 1);

		/* what "o" prints may be sent back */
		for (const char *hit = equals; (hit = strstr(hit, "//:")); hit++) {
			comment = hit;
			n = (size_t)(comment - equals - 1);
		}
		value = trimmed(s->mem, equals + 1, n);
	}
	if (!strcmp(name, "sample_index"))
		return set_sample_index(s, value, err);
	if (choice && !*value)
		value = "1";
	return pprof_config_assign(&s->config, name, value, s->mem, err);
}

/* A value's name selects it; total_ and mean_ in front of it say how. */
static bool select_value(struct pprof_session *s, const char *word)
{
	static const struct {
		const char *prefix;
		int mean; /* -1: as it is */
	} forms[] = {{"", -1}, {"total_", 0}, {"mean_", 1}};

	for (uint32_t i = 0; i < s->p->n_types; i++)
		for (size_t f = 0; f < ARRAY_LEN(forms); f++) {
			const char *type = pprof_text(s->p, s->p->types[i].type);
			size_t n = strlen(forms[f].prefix);

			if (strncmp(word, forms[f].prefix, n) != 0 || strcmp(word + n, type) != 0)
				continue;
			s->config.v[PPROF_SAMPLE_INDEX].s = arena_strdup(s->mem, type);
			if (forms[f].mean >= 0)
				s->config.v[PPROF_MEAN].b = forms[f].mean;
			return true;
		}
	return false;
}

struct choice_list {
	const char *v[8];
	size_t n[8];
	uint32_t count;
};

static void add_choice(void *ctx, const char *word, size_t n)
{
	struct choice_list *list = ctx;
	uint32_t at = list->count;

	if (list->count == ARRAY_LEN(list->v))
		return;
	for (; at && strncmp(list->v[at - 1], word, MIN(n, list->n[at - 1])) > 0; at--) {
		list->v[at] = list->v[at - 1];
		list->n[at] = list->n[at - 1];
	}
	list->v[at] = word;
	list->n[at] = n;
	list->count++;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_options(const struct pprof_session *s, struct str *messages)
{
	char *rows[N_PPROF_OPTIONS];
	uint32_t n = 0;

	for (unsigned i = 0; i < N_PPROF_OPTIONS; i++) {
		const struct pprof_option *o = &PPROF_OPTIONS[i];
		struct str value = {0}, note = {0};
		struct choice_list choices = {0};

		if (i == PPROF_SOURCE_PATH)
			continue;
		pprof_config_text(&s->config, o, &value);
		str_add(&note, "");
		if (*o->choices) {
			pprof_option_choices(o, add_choice, &choices);
			for (uint32_t j = 0; j < choices.count; j++)
				str_addf(&note, "%s%.*s", j ? " | " : "//: [", (int)choices.n[j],
					 choices.v[j]);
			str_add(&note, "]");
		} else if (i == PPROF_SAMPLE_INDEX) {
			if (!value.n && s->p->n_types)
				str_add(&value,
					pprof_text(s->p, s->p->types[s->p->n_types - 1].type));
			for (uint32_t j = 0; j < s->p->n_types; j++)
				str_addf(&note, "%s%s", j ? " | " : "//: [",
					 pprof_text(s->p, s->p->types[j].type));
			str_add(&note, "]");
		} else if (i == PPROF_NODECOUNT && s->config.v[i].i == -1) {
			str_add(&note, "//: default");
		} else if (!value.n) {
			str_add(&value, "\"\"");
		}
		if (i == PPROF_GRANULARITY && !value.n)
			str_add(&value, "(default)");
		rows[n++] = arena_printf(s->mem, "  %-25s = %-20s %s\n", o->name, value.s, note.s);
		str_free(&value);
		str_free(&note);
	}
	qsort(rows, n, sizeof(*rows), compare_texts);
	for (uint32_t i = 0; i < n; i++)
		str_add(messages, rows[i]);
}

/* --- help --- */

static void help_all(struct str *out)
{
	str_add(out, "Reports:\n");
	for (unsigned i = 0; i < N_PPROF_COMMANDS; i++)
		str_addf(out, "  %-20s %s\n", PPROF_COMMANDS[i].name, PPROF_COMMANDS[i].help);
	str_add(out, "  o, options           options and their values\n"
		     "  q, quit, exit        leave\n"
		     "  :                    clear focus, ignore, hide, tagfocus and tagignore\n\n"
		     "Options (name=value):\n");
	for (unsigned i = 0; i < N_PPROF_OPTIONS; i++)
		str_addf(out, "  %-20s %s\n", PPROF_OPTIONS[i].name, PPROF_OPTIONS[i].help);
	str_add(out, "\n\"help NAME\" says more of one of them.\n");
}

static bool help(const char *name, struct str *out, struct err *err)
{
	const struct pprof_command *cmd = pprof_command_find(name);
	const char *choice;
	const struct pprof_option *o = pprof_option_find(name, &choice);

	if (!*name) {
		help_all(out);
		return true;
	}
	if (cmd)
		str_addf(out, "%s\n  Usage:\n    %s %s\n", cmd->help, cmd->name, cmd->args);
	else if (o)
		str_addf(out, "%s%s%s\n%s%s", o->help, choice ? ": " : "", choice ? choice : "",
			 o->more, *o->more ? "\n" : "");
	else
		return err_set(err, ERR_USAGE, "Unknown command: %.60s", name);
	return true;
}

/* --- reports --- */

/* "top10" is top with 10 in front of its arguments. */
static const struct pprof_command *find_command(struct words *w, struct arena *a)
{
	const struct pprof_command *cmd = pprof_command_find(w->v[0]);
	size_t n = strlen(w->v[0]), digits = 0;

	while (digits < n && w->v[0][n - digits - 1] >= '0' && w->v[0][n - digits - 1] <= '9')
		digits++;
	if (cmd || !digits || digits == n || w->n == WORDS_MAX)
		return cmd;
	memmove(w->v + 2, w->v + 1, (w->n - 1) * sizeof(*w->v));
	w->v[1] = arena_strdup(a, w->v[0] + n - digits);
	w->v[0] = arena_strndup(a, w->v[0], n - digits);
	w->n++;
	return pprof_command_find(w->v[0]);
}

static void add_pattern(struct arena *a, const char **to, const char *word)
{
	*to = **to && *word ? arena_printf(a, "%s|%s", *to, word) : **to ? *to : word;
}

static bool run_report(struct pprof_session *s, struct words *w, struct arena *a, struct str *out,
		       struct str *messages, struct err *err)
{
	const struct pprof_command *cmd = find_command(w, a);
	const char *pattern = NULL, *focus = "", *ignore = "";
	struct pprof_config c = s->config;
	bool tags, by_count;
	uint32_t at = 1;
	int64_t n;

	if (!cmd) {
		const char *choice;
		const struct pprof_option *o = pprof_option_find(w->v[0], &choice);

		if (o && (choice || !*o->choices))
			return err_set(err, ERR_USAGE, "did you mean: %s=%.60s", w->v[0],
				       w->n > 1 ? w->v[1] : "<val>");
		return err_set(err, ERR_USAGE, "unrecognized command: \"%.60s\"", w->v[0]);
	}
	if (cmd->pattern) {
		if (w->n < 2)
			return err_set(err, ERR_USAGE, "command %s requires an argument",
				       cmd->name);
		pattern = w->v[at++];
	}
	for (; at < w->n; at++) {
		const char *word = w->v[at];

		if (go_parse_int(word, 10, &n) && n >= INT32_MIN && n <= INT32_MAX) {
			c.v[PPROF_NODECOUNT].i = n;
		} else if (*word == '>') {
			if (!word[1] && ++at == w->n)
				return err_set(err, ERR_USAGE, "unexpected end of line after >");
			c.v[PPROF_OUTPUT].s = word[1] ? word + 1 : w->v[at];
		} else if (!strcmp(word, "-cum") || !strcmp(word, "--cum")) {
			c.v[PPROF_SORT].s = "cum";
		} else if (*word == '-') {
			add_pattern(a, &ignore, word + 1);
		} else {
			add_pattern(a, &focus, word);
		}
	}
	tags = cmd->format == PPROF_TAGS;
	if (*focus)
		c.v[tags ? PPROF_TAGFOCUS : PPROF_FOCUS].s = focus;
	if (*ignore)
		c.v[tags ? PPROF_TAGIGNORE : PPROF_IGNORE].s = ignore;
	by_count = cmd->format == PPROF_TEXT_TOP;
	if (c.v[PPROF_NODECOUNT].i == -1 && by_count)
		c.v[PPROF_NODECOUNT].i = 10;
	return pprof_show(s->p, &c, cmd, pattern, &s->shown, out, messages, err);
}

/* --- completion --- */

#define CHOICES_SHOWN 40U

struct completion {
	const char *word;  /* that is to be completed */
	struct str common; /* what all candidates begin with */
	struct str *choices;
	uint32_t n;
};

static void candidate(struct completion *c, const char *s)
{
	size_t same = 0;

	if (!c->n++)
		str_add(&c->common, s);
	while (same < c->common.n && c->common.s[same] == s[same])
		same++;
	c->common.n = same;
	if (c->n <= CHOICES_SHOWN) {
		str_add_plain(c->choices, s);
		str_add(c->choices, "\n");
	}
}

static void candidate_choice(void *ctx, const char *word, size_t n)
{
	struct completion *c = ctx;
	char text[32];

	snprintf(text, sizeof(text), "%.*s", (int)n, word);
	if (str_starts(text, c->word))
		candidate(c, text);
}

static void complete_name(struct completion *c)
{
	for (unsigned i = 0; i < N_PPROF_COMMANDS; i++)
		if (str_starts(PPROF_COMMANDS[i].name, c->word))
			candidate(c, PPROF_COMMANDS[i].name);
	for (unsigned i = 0; i < N_PPROF_OPTIONS; i++) {
		if (str_starts(PPROF_OPTIONS[i].name, c->word))
			candidate(c, PPROF_OPTIONS[i].name);
		pprof_option_choices(&PPROF_OPTIONS[i], candidate_choice, c);
	}
}

/* A name as a pattern that is one word and matches it. */
static void add_quoted(struct str *to, const char *name)
{
	if (!strpbrk(name, "\\*+?()[]{}|^$ ")) {
		str_add_plain(to, name);
		return;
	}
	for (; *name; name++) {
		if (strchr("\\*+?()[]{}|^$.", *name))
			str_addf(to, "\\%c", *name);
		else /* words end at a space */
			str_addn(to, (unsigned char)*name <= ' ' ? "." : name, 1);
	}
}

/* The only function with this in its name, or those that there are. */
static void complete_function(const struct pprof *p, struct completion *c)
{
	struct str plain = {0};
	pstr seen = 0;

	for (const char *s = c->word; *s; s++)
		if (*s != '\\')
			str_addn(&plain, s, 1);
	for (uint32_t i = 0; i < p->n_functions; i++) {
		pstr name = p->functions[i].name;

		if (name == seen || !strstr(pprof_text(p, name), plain.n ? plain.s : ""))
			continue;
		seen = name;
		if (!c->n++)
			add_quoted(&c->common, pprof_text(p, name));
		if (c->n > CHOICES_SHOWN)
			break;
		str_add_plain(c->choices, pprof_text(p, name));
		str_add(c->choices, "\n");
	}
	if (c->n > 1) { /* they have the word in common somewhere, not what they begin with */
		c->common.n = 0;
		str_add(&c->common, c->word);
	}
	str_free(&plain);
}

bool pprof_session_complete(const struct pprof_session *s, const char *line, struct str *to,
			    struct str *choices)
{
	CLEANUP(arena_free) struct arena a = {0};
	struct completion c = {.choices = choices};
	struct words w = {0};
	struct err err;
	const char *last = line + strlen(line);
	bool of_help;

	arena_init(&a, 0);
	while (last > line && !strchr(" \t", last[-1]))
		last--;
	c.word = last;
	if (!split(line, &a, &w, &err) || w.n + (*last == '\0') == 0)
		return false;
	if (!*last) /* a word that has not begun */
		w.v[w.n++] = arena_strdup(&a, "");
	of_help = w.n == 2 && !strcmp(w.v[0], "help");
	if (w.n == 1 || of_help) {
		complete_name(&c);
	} else if (strcmp(w.v[0], "tags") != 0 && find_command(&w, &a)) {
		if (*c.word == '-') {
			c.word++;
			last++;
		}
		complete_function(s->p, &c);
	}
	if (c.n) {
		str_addn(to, line, (size_t)(last - line));
		str_addn(to, c.common.s, c.common.n);
	}
	str_free(&c.common);
	return c.n > 0;
}

void pprof_session_open(struct pprof_session *s, const struct pprof *p,
			const struct pprof_config *c, const char *tools, struct arena *mem)
{
	*s = (struct pprof_session){.p = p,
				    .config = *c,
				    .mem = mem,
				    .shown = {.mem = mem, .tools = tools, .shell = true}};
	s->config.v[PPROF_COMPACT_LABELS].b = true;
}

void pprof_session_greet(const struct pprof_session *s, struct str *messages)
{
	struct err err = {0};
	struct str labels = {0};
	int64_t total;

	if (pprof_summary(s->p, &s->config, &labels, messages, &total, &err)) {
		str_addn(messages, labels.n ? labels.s : "\n", MAX(labels.n, 1));
		if (!total && s->p->n_types > 1)
			str_add(messages,
				"No samples were found with the default sample value type.\n"
				"Try \"sample_index\" command to analyze different sample "
				"values.\n");
	}
	str_free(&labels);
	str_add(messages,
		"Entering interactive mode (type \"help\" for commands, \"o\" for options)\n");
}

bool pprof_session_line(struct pprof_session *s, const char *line, struct str *out,
			struct str *messages)
{
	static const enum pprof_option_id cleared[] = {PPROF_FOCUS, PPROF_IGNORE, PPROF_HIDE,
						       PPROF_TAGFOCUS, PPROF_TAGIGNORE};
	CLEANUP(arena_free) struct arena a = {0};
	struct words w = {0};
	struct err err = {0};
	char *text, *rest;
	bool done;

	arena_init(&a, 0);
	text = trimmed(&a, line, strlen(line));
	if (!strcmp(text, ":")) {
		for (size_t i = 0; i < ARRAY_LEN(cleared); i++)
			s->config.v[cleared[i]].s = "";
		return true;
	}
	if (select_value(s, text))
		return true;
	if (!assign(s, text, &done, &err) || (!done && !split(text, &a, &w, &err)))
		say(messages, &err);
	if (done || !w.n)
		return true;
	if (!strcmp(w.v[0], "exit") || !strcmp(w.v[0], "quit") || !strcmp(w.v[0], "q"))
		return false;
	if (!strcmp(w.v[0], "o") || !strcmp(w.v[0], "options")) {
		list_options(s, messages);
		return true;
	}
	if (!strcmp(w.v[0], "help")) {
		rest = trimmed(&a, text + 4, strlen(text + 4));
		done = help(rest, messages, &err);
	} else {
		done = run_report(s, &w, &a, out, messages, &err);
	}
	if (!done)
		say(messages, &err);
	return true;
}
