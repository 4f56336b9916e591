/*
 * The command line of go tool pprof, read as Go's package flag reads it: one dash or two,
 * "-flag=value" or "-flag value", and the first word that is no flag ends them. Options of the
 * report are flags by their table, reports too; what is left is the table here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/unit.h"
#include "front/pprof.h"
#include "pprof/gotext.h"

enum flag_id {
	FLAG_DIFF_BASE,
	FLAG_BASE,
	FLAG_SYMBOLIZE,
	FLAG_BUILDID,
	FLAG_TIMEOUT,
	FLAG_ADD_COMMENT,
	FLAG_ALL_FRAMES,
	FLAG_SECONDS,
	FLAG_INUSE_SPACE,
	FLAG_INUSE_OBJECTS,
	FLAG_ALLOC_SPACE,
	FLAG_ALLOC_OBJECTS,
	FLAG_TOTAL_DELAY,
	FLAG_CONTENTIONS,
	FLAG_MEAN_DELAY,
	FLAG_TOOLS,
	FLAG_HTTP,
	FLAG_NO_BROWSER,
	FLAG_TLS_CERT,
	FLAG_TLS_KEY,
	FLAG_TLS_CA,
	FLAG_MAX_MEMORY,
	N_FLAGS
};

static const struct flag {
	const char *name;
	enum pprof_kind kind;
	const char *index; /* the value that it selects: of an old heap or contention flag */
	const char *help;
} FLAGS[N_FLAGS] = {
	[FLAG_DIFF_BASE] = {"diff_base", PPROF_TEXT, NULL,
			    "profile to compare with: percentages are of it"},
	[FLAG_BASE] = {"base", PPROF_TEXT, NULL, "profile to subtract"},
	[FLAG_SYMBOLIZE] = {"symbolize", PPROF_TEXT, NULL,
			    "where names come from: none, local, fastlocal, remote, force"},
	[FLAG_BUILDID] = {"buildid", PPROF_TEXT, NULL, "build id of the program"},
	[FLAG_TIMEOUT] = {"timeout", PPROF_INT, NULL, "seconds to wait for a profile"},
	[FLAG_ADD_COMMENT] = {"add_comment", PPROF_TEXT, NULL, "a comment to put into the profile"},
	[FLAG_ALL_FRAMES] = {"all_frames", PPROF_BOOL, NULL,
			     "show the frames that the profile asks to drop"},
	[FLAG_SECONDS] = {"seconds", PPROF_INT, NULL, "how long to record, of a URL"},
	[FLAG_TOTAL_DELAY] = {"total_delay", PPROF_BOOL, "delay", "as -sample_index=delay"},
	[FLAG_MEAN_DELAY] = {"mean_delay", PPROF_BOOL, "delay", "as -sample_index=delay -mean"},
	[FLAG_CONTENTIONS] = {"contentions", PPROF_BOOL, "contentions",
			      "as -sample_index=contentions"},
	[FLAG_INUSE_SPACE] = {"inuse_space", PPROF_BOOL, "inuse_space",
			      "as -sample_index=inuse_space"},
	[FLAG_INUSE_OBJECTS] = {"inuse_objects", PPROF_BOOL, "inuse_objects",
				"as -sample_index=inuse_objects"},
	[FLAG_ALLOC_SPACE] = {"alloc_space", PPROF_BOOL, "alloc_space",
			      "as -sample_index=alloc_space"},
	[FLAG_ALLOC_OBJECTS] = {"alloc_objects", PPROF_BOOL, "alloc_objects",
				"as -sample_index=alloc_objects"},
	[FLAG_TOOLS] = {"tools", PPROF_TEXT, NULL, "where nm, objdump and addr2line are"},
	[FLAG_HTTP] = {"http", PPROF_TEXT, NULL, "serve a page at this host:port"},
	[FLAG_NO_BROWSER] = {"no_browser", PPROF_BOOL, NULL, "with -http: open no browser"},
	[FLAG_TLS_CERT] = {"tls_cert", PPROF_TEXT, NULL, "client certificate for https (PEM)"},
	[FLAG_TLS_KEY] = {"tls_key", PPROF_TEXT, NULL, "its key (PEM)"},
	[FLAG_TLS_CA] = {"tls_ca", PPROF_TEXT, NULL, "certificates to trust for https (PEM)"},
	[FLAG_MAX_MEMORY] = {"max-memory", PPROF_TEXT, NULL,
			     "largest memory that reading a profile may take"},
};

/* The order in which they are looked at decides which of two wins. */
static const enum flag_id INDEX_FLAGS[] = {
	FLAG_TOTAL_DELAY,   FLAG_MEAN_DELAY,  FLAG_CONTENTIONS,	  FLAG_INUSE_SPACE,
	FLAG_INUSE_OBJECTS, FLAG_ALLOC_SPACE, FLAG_ALLOC_OBJECTS,
};

struct parsing {
	struct arena *a;
	struct err *err;
	struct pprof_call *call;
	union pprof_value v[N_FLAGS];
	const char *choice[N_PPROF_OPTIONS]; /* that was given */
	bool command[N_PPROF_COMMANDS];
	const char *pattern[N_PPROF_COMMANDS];
};

static bool bad_value(struct parsing *ps, const char *name, const char *text)
{
	return err_set(ps->err, ERR_USAGE, "invalid value \"%.80s\" for flag -%s", text, name);
}

static bool take_value(struct parsing *ps, const char *name, enum pprof_kind kind, const char *text,
		       union pprof_value *ret)
{
	switch (kind) {
	case PPROF_BOOL:
		return go_parse_bool(text, &ret->b) || bad_value(ps, name, text);
	case PPROF_INT:
		return go_parse_int(text, 0, &ret->i) || bad_value(ps, name, text);
	case PPROF_FLOAT:
		return go_parse_float(text, &ret->f) || bad_value(ps, name, text);
	case PPROF_TEXT:
		ret->s = text;
		return true;
	}
	return false;
}

/* One flag. *value NULL: none was given with it; then *next is the following word, or NULL. Sets
 * *took_next when that was the value. */
static bool take_flag(struct parsing *ps, const char *name, const char *value, const char *next,
		      bool *took_next)
{
	const struct pprof_command *cmd = pprof_command_find(name);
	const char *choice;
	const struct pprof_option *o = pprof_option_find(name, &choice);
	const struct flag *f = NULL;
	enum pprof_kind kind;
	union pprof_value v = {0};

	if (o && !choice && *o->choices)
		o = NULL; /* only its choices are flags */
	for (unsigned i = 0; i < N_FLAGS; i++)
		if (!strcmp(FLAGS[i].name, name))
			f = &FLAGS[i];
	if (!o && !f && !cmd) {
		if (!strcmp(name, "help") || !strcmp(name, "h"))
			return err_set(ps->err, ERR_NONE, "%s", "");
		return err_set(ps->err, ERR_USAGE, "flag provided but not defined: -%.80s", name);
	}
	kind = f	? f->kind
	       : cmd	? (cmd->pattern ? PPROF_TEXT : PPROF_BOOL)
	       : choice ? PPROF_BOOL
			: o->kind;
	if (!value && kind == PPROF_BOOL)
		value = "true";
	if (!value) {
		if (!next)
			return err_set(ps->err, ERR_USAGE, "flag needs an argument: -%.80s", name);
		value = next;
		*took_next = true;
	}
	if (!take_value(ps, name, kind, value, &v))
		return false;
	if (f) {
		ps->v[f - FLAGS] = v;
	} else if (cmd) {
		ps->command[cmd - PPROF_COMMANDS] = cmd->pattern ? *v.s != '\0' : v.b;
		ps->pattern[cmd - PPROF_COMMANDS] = cmd->pattern ? v.s : NULL;
	} else if (!choice) {
		ps->call->config.v[o - PPROF_OPTIONS] = v;
	} else if (v.b) {
		const char **had = &ps->choice[o - PPROF_OPTIONS];

		if (*had && strcmp(*had, choice) != 0)
			return err_set(ps->err, ERR_USAGE, "conflicting options set: [%s %s]", *had,
				       choice);
		*had = choice;
	}
	return true;
}

/* The words that are no flags are left at argv[*ret_at …]. */
static bool take_flags(struct parsing *ps, int argc, const char *const *argv, int *ret_at)
{
	int at = 1;

	while (at < argc) {
		const char *word = argv[at], *name, *equals;
		bool took_next = false;

		if (word[0] != '-' || !word[1])
			break;
		at++;
		name = word + 1;
		if (*name == '-' && !*++name)
			break;
		if (!*name || *name == '-' || *name == '=')
			return err_set(ps->err, ERR_USAGE, "bad flag syntax: %.80s", word);
		equals = strchr(name, '=');
		if (equals)
			name = arena_strndup(ps->a, name, (size_t)(equals - name));
		if (!take_flag(ps, name, equals ? equals + 1 : NULL, at < argc ? argv[at] : NULL,
			       &took_next))
			return false;
		at += took_next;
	}
	*ret_at = at;
	return true;
}

static bool choose_command(struct parsing *ps)
{
	for (unsigned i = 0; i < N_PPROF_COMMANDS; i++) {
		if (!ps->command[i])
			continue;
		if (ps->call->command)
			return err_set(ps->err, ERR_USAGE, "must set at most one output format");
		ps->call->command = &PPROF_COMMANDS[i];
		ps->call->pattern = ps->pattern[i];
	}
	return true;
}

static void choose_index(struct parsing *ps, struct str *messages)
{
	union pprof_value *index = &ps->call->config.v[PPROF_SAMPLE_INDEX];

	for (size_t i = 0; i < ARRAY_LEN(INDEX_FLAGS); i++) {
		if (!ps->v[INDEX_FLAGS[i]].b)
			continue;
		if (*index->s)
			str_addf(messages, "Multiple value selections, ignoring -%s\n",
				 FLAGS[INDEX_FLAGS[i]].name);
		else
			index->s = FLAGS[INDEX_FLAGS[i]].index;
	}
	if (ps->v[FLAG_MEAN_DELAY].b)
		ps->call->config.v[PPROF_MEAN].b = true;
}

bool pprof_parse_flags(int argc, const char *const *argv, struct arena *a, struct pprof_call *ret,
		       struct str *messages, struct err *err)
{
	struct pprof_call call = {0};
	struct parsing ps = {.a = a, .err = err, .call = &call};
	struct pprof_sources *from = &call.from;
	bool diff;
	int at = 1;

	pprof_config_init(&call.config);
	for (unsigned i = 0; i < N_FLAGS; i++)
		if (FLAGS[i].kind == PPROF_TEXT)
			ps.v[i].s = "";
	ps.v[FLAG_SECONDS].i = ps.v[FLAG_TIMEOUT].i = -1;
	if (getenv("PPROF_TOOLS"))
		ps.v[FLAG_TOOLS].s = getenv("PPROF_TOOLS");
	if (!take_flags(&ps, argc, argv, &at))
		return false;
	for (unsigned i = 0; i < N_PPROF_OPTIONS; i++)
		if (ps.choice[i])
			call.config.v[i].s = ps.choice[i];
	if (at == argc)
		return err_set(err, ERR_USAGE,
			       "no profile source specified; give a file, a URL or a PID");
	if (!choose_command(&ps))
		return false;
	call.http = ps.v[FLAG_HTTP].s;
	call.no_browser = ps.v[FLAG_NO_BROWSER].b;
	if (call.command && *call.http)
		return err_set(err, ERR_USAGE,
			       "-http is not compatible with an output format on the command line");
	if (call.no_browser && !*call.http)
		return err_set(err, ERR_USAGE, "-no_browser only makes sense with -http");
	choose_index(&ps, messages);
	diff = *ps.v[FLAG_DIFF_BASE].s != '\0';
	if (diff && *ps.v[FLAG_BASE].s)
		return err_set(err, ERR_USAGE,
			       "-base and -diff_base flags cannot both be specified");
	if (diff || *ps.v[FLAG_BASE].s) {
		const char **bases = ARENA_ARRAY(a, const char *, 1);

		bases[0] = ps.v[diff ? FLAG_DIFF_BASE : FLAG_BASE].s;
		from->bases = bases;
		from->n_bases = 1;
		from->diff_base = diff;
	}
	from->normalize = call.config.v[PPROF_NORMALIZE].b;
	if (from->normalize && !from->n_bases)
		return err_set(err, ERR_USAGE, "must have base profile to normalize by");
	from->sources = argv + at;
	from->n_sources = (uint32_t)(argc - at);
	from->all_frames = ps.v[FLAG_ALL_FRAMES].b;
	from->exec_name = "";
	from->build_id = ps.v[FLAG_BUILDID].s;
	from->symbolize = ps.v[FLAG_SYMBOLIZE].s;
	from->comment = ps.v[FLAG_ADD_COMMENT].s;
	from->tools = ps.v[FLAG_TOOLS].s;
	from->seconds = (int)MIN(ps.v[FLAG_SECONDS].i, (int64_t)INT32_MAX);
	from->timeout = (int)MIN(ps.v[FLAG_TIMEOUT].i, (int64_t)INT32_MAX);
	from->tls_cert = ps.v[FLAG_TLS_CERT].s;
	from->tls_key = ps.v[FLAG_TLS_KEY].s;
	from->tls_ca = ps.v[FLAG_TLS_CA].s;
	if (*ps.v[FLAG_MAX_MEMORY].s &&
	    !unit_parse_bytes(ps.v[FLAG_MAX_MEMORY].s, &from->max_memory))
		return bad_value(&ps, "max-memory", ps.v[FLAG_MAX_MEMORY].s);
	*ret = call;
	return true;
}

static void help_row(struct str *to, const char *name, const char *help)
{
	str_addf(to, "  -%-20s %s\n", name, help);
}

struct choice_row {
	struct str *to;
	const struct pprof_option *o;
};

static void choice_row(void *ctx, const char *word, size_t n)
{
	const struct choice_row *row = ctx;
	bool is_default = strlen(row->o->def) == n && !strncmp(row->o->def, word, n);

	str_addf(row->to, "  -%-20.*s %s: %.*s%s\n", (int)n, word, row->o->help, (int)n, word,
		 is_default ? " (default)" : "");
}

void pprof_flags_help(struct str *to)
{
	str_add(to, "Usage: whyrss pprof [report] [options] [binary] SOURCE...\n\nReports (one; "
		    "without "
		    "one, a shell):\n");
	for (unsigned i = 0; i < N_PPROF_COMMANDS; i++) {
		char name[40];

		snprintf(name, sizeof(name), "%s%s", PPROF_COMMANDS[i].name,
			 PPROF_COMMANDS[i].pattern ? "=REGEX" : "");
		help_row(to, name, PPROF_COMMANDS[i].help);
	}
	str_add(to, "\nOptions:\n");
	for (unsigned i = 0; i < N_PPROF_OPTIONS; i++) {
		const struct pprof_option *o = &PPROF_OPTIONS[i];
		struct choice_row row = {to, o};

		if (*o->choices)
			pprof_option_choices(o, choice_row, &row);
		else
			help_row(to, o->name, o->help);
	}
	str_add(to, "\nSources:\n");
	for (unsigned i = 0; i < N_FLAGS; i++)
		help_row(to, FLAGS[i].name, FLAGS[i].help);
}
