/*
 * Everything that describes the command line is made here from options.def and views.def, so that
 * it cannot be out of step with the parser. Pure: writes into strings.
 */
#include "front/help.h"

#include <string.h>

#include "base/unit.h"
#include "ledger/ledger.h"
#include "series/recording.h"

#define WHAT "why RSS of a Go process is bigger than its heap profile"

static const char TARGET_IS[] =
	"TARGET is a PID, or a process name when only one Go process has it. The process needs no "
	"preparation: it is never "
	"written to, never stopped (but with --freeze), and never made larger.";

static const struct {
	const char *code, *means;
} EXITS[] = {
	{"0", "answered"},
	{"1", "failed: one line on stderr says what, why, and what to do"},
	{"2", "wrong usage"},
	{"3", "answered in part: the notes say what is missing"},
};

static const struct {
	const char *line, *means;
} EXAMPLES[] = {
	{"whyrss", "which Go processes are there"},
	{"whyrss etcd", "why is etcd so big"},
	{"whyrss 4711 --all", "with evidence and every line"},
	{"whyrss spans 4711 --sort tail_bytes", "size classes, by what they waste at span ends"},
	{"whyrss 4711 --json | jq .causes", "for scripts"},
};

static const char *option_label(struct arena *a, const struct option_info *o)
{
	return arena_printf(a, "%s--%s%s%s",
			    o->letter ? arena_printf(a, "-%c, ", o->letter) : "    ", o->name,
			    *o->arg ? "=" : "", o->arg);
}

static const char *option_help(struct arena *a, const struct option_info *o)
{
	return o->kind == OPTION_CHOICE ? arena_printf(a, "%s: %s", o->help, o->choices) : o->help;
}

enum { COL_NAME, COL_HELP, COL_VIEWS, COL_LABEL, COL_TEXT };
static const struct column COLUMNS[] = {
	[COL_NAME] = {"name", NULL, COLUMN_TEXT, 0},   [COL_HELP] = {"help", NULL, COLUMN_TEXT, 0},
	[COL_VIEWS] = {"views", NULL, COLUMN_TEXT, 0}, [COL_LABEL] = {NULL, "", COLUMN_TEXT, 0},
	[COL_TEXT] = {NULL, "", COLUMN_PROSE, 0},
};

static struct table *help_table(struct arena *a, const char *title)
{
	struct table *t = TABLE_NEW(a, COLUMNS);

	t->title = title;
	t->no_heading = true;
	return t;
}

static void add(struct arena *a, struct table *t, const char *name, const char *label,
		const char *help, const char *views)
{
	struct row *r = table_row(a, t, 0);

	r->cells[COL_NAME] = value_str(name);
	r->cells[COL_HELP] = value_str(help);
	r->cells[COL_VIEWS] = value_str(views);
	r->cells[COL_LABEL] = value_str(label);
	r->cells[COL_TEXT] = value_str(help);
}

static void put_table(struct report *r, const char *key, struct table *t)
{
	report_put(r, key, table_json(r->mem, t));
	report_block(r, BLOCK_GAP, NULL);
	report_table(r, t);
}

/* "spans, maps": where an option goes; "" everywhere. */
static const char *option_where(struct arena *a, const struct option_info *o)
{
	const char *ret = "";

	if (!strcmp(o->views, "*"))
		return "";
	for (const char *s = o->views; *s;) {
		size_t n = strcspn(s, " ");
		const char *word = *s == '@' ? "with a TARGET" : s;

		ret = arena_printf(a, "%s%s%.*s", ret, *ret ? ", " : " (",
				   *s == '@' ? (int)strlen(word) : (int)n, word);
		s += n + (s[n] == ' ');
	}
	return arena_printf(a, "%s)", ret);
}

static struct table *option_table(struct arena *a, const struct view *view)
{
	struct table *t = help_table(a, "options");

	for (unsigned i = 0; i < N_OPTIONS; i++) {
		const struct option_info *o = &OPTIONS[i];

		if (!view || view_takes(view, (enum option_id)i)) {
			const char *help = option_help(a, o);

			add(a, t, o->name, option_label(a, o), help, o->views);
			if (!view)
				t->rows.v[t->rows.n - 1].cells[COL_TEXT] = value_str(
					arena_printf(a, "%s%s", help, option_where(a, o)));
		}
	}
	return t;
}

static void help_all(struct arena *a, struct report *r)
{
	struct table *views = help_table(a, "views (ledger when none is named)"),
		     *more = help_table(a, "examples");
	struct table *exits = help_table(a, "exit codes");
	struct block *b;

	b = report_block(r, BLOCK_HEADLINE, "whyrss " WHYRSS_VERSION ": " WHAT);
	(void)b;
	report_block(r, BLOCK_GAP, NULL);
	report_block(r, BLOCK_TEXT, "usage: whyrss [VIEW] TARGET [options]");
	report_block(r, BLOCK_TEXT,
		     "       whyrss                            the Go processes that may be read");
	report_block(r, BLOCK_GAP, NULL);
	report_block(r, BLOCK_TEXT, TARGET_IS);
	for (unsigned i = 0; i < N_VIEWS; i++)
		if (!(VIEWS[i].flags & VIEW_HIDDEN))
			add(a, views, VIEWS[i].name,
			    arena_printf(a, "%s %s", VIEWS[i].name, VIEWS[i].args), VIEWS[i].help,
			    NULL);
	put_table(r, "views", views);
	put_table(r, "options", option_table(a, NULL));
	for (size_t i = 0; i < ARRAY_LEN(EXAMPLES); i++)
		add(a, more, EXAMPLES[i].line, EXAMPLES[i].line, EXAMPLES[i].means, NULL);
	put_table(r, "examples", more);
	for (size_t i = 0; i < ARRAY_LEN(EXITS); i++)
		add(a, exits, EXITS[i].code, EXITS[i].code, EXITS[i].means, NULL);
	put_table(r, "exit_codes", exits);
}

void help_report(struct arena *a, const struct view *view, struct report *ret)
{
	report_init(ret, a, "whyrss.help/1");
	if (!view) {
		help_all(a, ret);
		return;
	}
	report_block(ret, BLOCK_HEADLINE, arena_printf(a, "whyrss %s: %s", view->name, view->help));
	report_put(ret, "view", value_str(view->name));
	report_block(ret, BLOCK_GAP, NULL);
	report_block(ret, BLOCK_TEXT,
		     arena_printf(a, "usage: whyrss %s%s%s [options]", view->name,
				  *view->args ? " " : "", view->args));
	if (*view->more) {
		report_block(ret, BLOCK_GAP, NULL);
		report_block(ret, BLOCK_TEXT, view->more);
	}
	if (view->flags & VIEW_TARGET) {
		report_block(ret, BLOCK_GAP, NULL);
		report_block(ret, BLOCK_TEXT, TARGET_IS);
	}
	put_table(ret, "options", option_table(a, view));
}

/* --- manual page --- */

static void roff(struct str *to, const char *s)
{
	if (*s == '.' || *s == '\'')
		str_add(to, "\\&");
	for (; *s; s++) {
		if (*s == '\\')
			str_add(to, "\\e");
		else if (*s == '-')
			str_add(to, "\\-");
		else
			str_addn(to, s, 1);
	}
	str_add(to, "\n");
}

static void roff_option(struct str *to, const struct option_info *o)
{
	str_add(to, ".TP\n.B ");
	if (o->letter)
		str_addf(to, "\\-%c\\fR, \\fB", o->letter);
	str_addf(to, "\\-\\-%s", o->name);
	if (*o->arg)
		str_addf(to, "\\fR=\\fI%s", o->arg);
	str_add(to, "\n");
	roff(to, o->help);
	if (o->kind == OPTION_CHOICE) {
		str_add(to, "One of ");
		roff(to, o->choices);
	}
	if (strcmp(o->views, "*") != 0 && strcmp(o->views, "@") != 0) {
		str_add(to, "Goes with ");
		roff(to, o->views);
	}
}

void help_man(struct str *to)
{
	str_add(to, ".\\\" Made by whyrss man from options.def and views.def: do not edit.\n");
	str_add(to, ".TH WHYRSS 1 \"\" \"whyrss " WHYRSS_VERSION "\" \"User Commands\"\n");
	str_add(to, ".SH NAME\nwhyrss \\- " WHAT "\n");
	str_add(to, ".SH SYNOPSIS\n.B whyrss\n.RI [ VIEW ]\n.I TARGET\n.RI [ options ]\n.br\n.B "
		    "whyrss\n");
	str_add(to, ".SH DESCRIPTION\nReads a running Go process from outside, counts which of its "
		    "pages are in memory, and "
		    "tells what each is for: a bridge that adds up from the heap profile's "
		    "inuse_space to RSS, the causes "
		    "of the difference, and what can be done about each.\n.PP\n");
	roff(to, TARGET_IS);
	str_add(to,
		".PP\nWithout arguments it lists the Go processes that may be read.\n.SH VIEWS\n");
	for (unsigned i = 0; i < N_VIEWS; i++) {
		if (VIEWS[i].flags & VIEW_HIDDEN)
			continue;
		if (*VIEWS[i].args)
			str_addf(to, ".TP\n.BI \"%s \" %s\n", VIEWS[i].name, VIEWS[i].args);
		else
			str_addf(to, ".TP\n.B %s\n", VIEWS[i].name);
		roff(to, VIEWS[i].help);
		if (*VIEWS[i].more) {
			str_add(to, ".br\n");
			roff(to, VIEWS[i].more);
		}
	}
	str_add(to, ".SH OPTIONS\n");
	for (unsigned i = 0; i < N_OPTIONS; i++)
		roff_option(to, &OPTIONS[i]);
	str_add(to, ".SH EXIT STATUS\n");
	for (size_t i = 0; i < ARRAY_LEN(EXITS); i++) {
		str_addf(to, ".TP\n.B %s\n", EXITS[i].code);
		roff(to, EXITS[i].means);
	}
	str_add(to, ".SH ENVIRONMENT\n.TP\n.B NO_COLOR\nWhen set to anything, no colours unless "
		    "\\-\\-color=always.\n"
		    ".TP\n.BR LC_ALL \", \" LC_CTYPE \", \" LANG\nA locale that is not UTF\\-8 "
		    "gets bars and dots in ASCII.\n");
	str_add(to, ".SH EXAMPLES\n");
	for (size_t i = 0; i < ARRAY_LEN(EXAMPLES); i++) {
		str_add(to, ".TP\n.B ");
		roff(to, EXAMPLES[i].line);
		roff(to, EXAMPLES[i].means);
	}
	str_add(to, ".SH SEE ALSO\n.BR proc (5),\n.BR pmap (1),\n.BR smem (8)\n");
}

/* --- completion --- */

static void add_words(struct str *to, uint32_t not_flags, const char *sep)
{
	bool first = true;

	for (unsigned i = 0; i < N_VIEWS; i++) {
		if (VIEWS[i].flags & (not_flags | VIEW_HIDDEN))
			continue;
		str_addf(to, "%s%s", first ? "" : sep, VIEWS[i].name);
		first = false;
	}
}

static void add_option_words(struct str *to, const struct view *view)
{
	for (unsigned i = 0; i < N_OPTIONS; i++)
		if (!view || view_takes(view, (enum option_id)i))
			str_addf(to, "%s--%s", i ? " " : "", OPTIONS[i].name);
}

static void add_choice_word(void *ctx, const char *word, size_t n)
{
	struct str *to = ctx;

	if (to->n && to->s[to->n - 1] != '"' && to->s[to->n - 1] != '\'')
		str_add(to, " ");
	str_addn(to, word, n);
}

/*
 * Names of processes are foreign, and compgen -W expands what it is given: only PIDs and names of
 * plain characters are offered.
 */
#define TARGET_WORDS                                                                               \
	" processes --csv 2>/dev/null | awk -F, 'NR > 1 { if ($1 ~ /^[0-9]+$/) print $1; "         \
	"if ($2 ~ /^[A-Za-z0-9._-]+$/) print $2 }'"

static void bash(struct str *to)
{
	str_add(to, "# bash completion for whyrss, made by: whyrss completion bash\n_whyrss()\n{\n"
		    "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} view= "
		    "options i\n\tlocal views=\"");
	add_words(to, 0, " ");
	str_add(to, "\"\n\t[[ $cur == = ]] && cur=\n"
		    "\t[[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD-2]}\n"
		    "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		    "\t\tcase \" $views \" in *\" ${COMP_WORDS[i]} \"*) view=${COMP_WORDS[i]}; "
		    "break ;; esac\n\tdone\n"
		    "\tcase $prev in\n");
	for (unsigned i = 0; i < N_OPTIONS; i++) {
		const struct option_info *o = &OPTIONS[i];

		if (o->kind == OPTION_FLAG)
			continue;
		str_addf(to, "\t--%s", o->name);
		if (o->letter)
			str_addf(to, " | -%c", o->letter);
		str_add(to, ") ");
		if (o->kind == OPTION_CHOICE) {
			str_add(to, "COMPREPLY=($(compgen -W \"");
			option_choices(o, add_choice_word, to);
			str_add(to, "\" -- \"$cur\")); ");
		} else if (i == OPT_CGROUP) {
			str_add(to, "COMPREPLY=($(compgen -d -- \"${cur:-/sys/fs/cgroup/}\")); ");
		}
		str_add(to, "return ;;\n");
	}
	str_add(to, "\thelp) COMPREPLY=($(compgen -W \"$views\" -- \"$cur\")); return ;;\n"
		    "\tcompletion) COMPREPLY=($(compgen -W \"bash zsh fish\" -- \"$cur\")); return "
		    ";;\n\tesac\n"
		    "\tif [[ $cur == -* ]]; then\n\t\tcase $view in\n");
	for (unsigned i = 0; i < N_VIEWS; i++) {
		if (VIEWS[i].flags & VIEW_HIDDEN)
			continue;
		str_addf(to, "\t\t%s) options=\"", VIEWS[i].name);
		add_option_words(to, &VIEWS[i]);
		str_add(to, "\" ;;\n");
	}
	str_add(to, "\t\t*) options=\"");
	add_option_words(to, &VIEWS[VIEW_ID_LEDGER]);
	str_add(to,
		"\" ;;\n\t\tesac\n\t\tCOMPREPLY=($(compgen -W \"$options\" -- "
		"\"$cur\"))\n\t\treturn\n\tfi\n"
		"\t[[ $view ]] && views=\n"
		"\tCOMPREPLY=($(compgen -W \"$views $(\"$1\"" TARGET_WORDS ")\" -- \"$cur\"))\n}\n"
		"complete -o default -F _whyrss whyrss\n");
}

/* Inside single quotes of a shell; zsh's _arguments also wants brackets and colons escaped. */
static void quoted(struct str *to, const char *s, const char *escape)
{
	for (; *s; s++) {
		if (*s == '\'')
			str_add(to, "'\\''");
		else if (strchr(escape, *s))
			str_addf(to, "\\%c", *s);
		else
			str_addn(to, s, 1);
	}
}

static void zsh(struct str *to)
{
	str_add(to, "#compdef whyrss\n# zsh completion for whyrss, made by: whyrss completion "
		    "zsh\n_whyrss_first() {\n"
		    "\tlocal -a views\n\tviews=(\n");
	for (unsigned i = 0; i < N_VIEWS; i++) {
		if (VIEWS[i].flags & VIEW_HIDDEN)
			continue;
		str_addf(to, "\t\t'%s:", VIEWS[i].name);
		quoted(to, VIEWS[i].help, "\\");
		str_add(to, "'\n");
	}
	str_add(to,
		"\t)\n\t_describe -t views view views\n\t_whyrss_target\n}\n"
		"_whyrss_target() {\n\tlocal -a targets\n\ttargets=(${(f)\"$(whyrss" TARGET_WORDS
		")\"})\n"
		"\t_describe -t targets target targets\n\t_files\n}\n_whyrss() {\n\t_arguments "
		"\\\n");
	for (unsigned i = 0; i < N_OPTIONS; i++) {
		const struct option_info *o = &OPTIONS[i];

		if (o->letter)
			str_addf(to, "\t\t'(-%c --%s)'{-%c%s,--%s%s}'[", o->letter, o->name,
				 o->letter, *o->arg ? "+" : "", o->name, *o->arg ? "=" : "");
		else
			str_addf(to, "\t\t'--%s%s[", o->name, *o->arg ? "=" : "");
		quoted(to, o->help, "[]:\\");
		str_add(to, "]");
		if (o->kind == OPTION_CHOICE) {
			struct str words = {0};

			option_choices(o, add_choice_word, &words);
			str_addf(to, ":%s:(%s)", o->arg, words.s);
			str_free(&words);
		} else if (i == OPT_CGROUP) {
			str_addf(to, ":%s:_files -W /sys/fs/cgroup -/", o->arg);
		} else if (*o->arg) {
			str_addf(to, ":%s: ", o->arg);
		}
		str_add(to, "' \\\n");
	}
	str_add(to, "\t\t'1: :_whyrss_first' \\\n\t\t'2: :_whyrss_target'\n}\n_whyrss \"$@\"\n");
}

static void fish(struct str *to)
{
	str_add(to,
		"# fish completion for whyrss, made by: whyrss completion fish\n"
		"complete -c whyrss -f\n"
		"complete -c whyrss -a '(whyrss processes --csv 2>/dev/null | string replace -rf "
		"\"^([0-9]+),([^,]*),.*\" \"\\$1\\t\\$2\")'\n");
	for (unsigned i = 0; i < N_VIEWS; i++) {
		if (VIEWS[i].flags & VIEW_HIDDEN)
			continue;
		str_addf(to, "complete -c whyrss -n __fish_use_subcommand -a %s -d '",
			 VIEWS[i].name);
		quoted(to, VIEWS[i].help, "\\");
		str_add(to, "'\n");
	}
	for (unsigned i = 0; i < N_OPTIONS; i++) {
		const struct option_info *o = &OPTIONS[i];

		str_addf(to, "complete -c whyrss -l %s", o->name);
		if (o->letter)
			str_addf(to, " -s %c", o->letter);
		if (*o->arg)
			str_add(to, " -x");
		if (o->kind == OPTION_CHOICE) {
			str_add(to, " -a '");
			option_choices(o, add_choice_word, to);
			str_add(to, "'");
		}
		str_add(to, " -d '");
		quoted(to, o->help, "\\");
		str_add(to, "'\n");
	}
	str_add(to, "complete -c whyrss -n '__fish_seen_subcommand_from completion' -a 'bash zsh "
		    "fish'\n"
		    "complete -c whyrss -n '__fish_seen_subcommand_from help' -a '");
	add_words(to, 0, " ");
	str_add(to, "'\n");
}

bool help_completion(struct str *to, const char *shell)
{
	static const struct {
		const char *name;
		void (*write)(struct str *to);
	} shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};

	for (size_t i = 0; i < ARRAY_LEN(shells); i++) {
		if (strcmp(shells[i].name, shell) != 0)
			continue;
		shells[i].write(to);
		return true;
	}
	return false;
}

/* --- reference --- */

/* A cell of a Markdown table. */
static void cell(struct str *to, const char *s)
{
	str_add(to, "| ");
	for (; *s; s++) {
		if (*s == '|')
			str_add(to, "\\");
		str_addn(to, s, 1);
	}
	str_add(to, " ");
}

static void markdown_row(struct str *to, const char *const *cells, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		cell(to, cells[i]);
	str_add(to, "|\n");
}

#define ROW(to, ...)                                                                               \
	markdown_row((to), (const char *const[]){__VA_ARGS__},                                     \
		     (uint32_t)ARRAY_LEN(((const char *const[]){__VA_ARGS__})))

static void reference_command_line(struct str *to)
{
	struct arena a = {0};

	arena_init(&a, 0);
	str_add(to, "# Command line\n\n`whyrss [VIEW] TARGET [options]`\n\n");
	str_add(to, TARGET_IS);
	str_add(to, "\n\n## Views\n\n| view | answers |\n| --- | --- |\n");
	for (unsigned i = 0; i < N_VIEWS; i++)
		if (!(VIEWS[i].flags & VIEW_HIDDEN))
			ROW(to,
			    arena_printf(&a, "`%s%s%s`", VIEWS[i].name, *VIEWS[i].args ? " " : "",
					 VIEWS[i].args),
			    arena_printf(&a, "%s%s%s", VIEWS[i].help, *VIEWS[i].more ? ". " : "",
					 VIEWS[i].more));
	str_add(to, "\n## Options\n\n| option | does | goes with |\n| --- | --- | --- |\n");
	for (unsigned i = 0; i < N_OPTIONS; i++) {
		const struct option_info *o = &OPTIONS[i];

		ROW(to,
		    arena_printf(&a, "%s`--%s%s%s`",
				 o->letter ? arena_printf(&a, "`-%c`, ", o->letter) : "", o->name,
				 *o->arg ? "=" : "", o->arg),
		    option_help(&a, o),
		    !strcmp(o->views, "*")   ? "everything"
		    : !strcmp(o->views, "@") ? "views of a target"
					     : o->views);
	}
	str_add(to, "\n## Exit codes\n\n| code | means |\n| --- | --- |\n");
	for (size_t i = 0; i < ARRAY_LEN(EXITS); i++)
		ROW(to, EXITS[i].code, EXITS[i].means);
	arena_free(&a);
}

static void reference_ledger(struct str *to)
{
	str_add(to, "# Ledger\n\n## Lines\n\nEvery resident page is on one line; the lines add up "
		    "to RSS.\n\n"
		    "| line | what | why | row of the bridge |\n| --- | --- | --- | --- |\n");
	for (unsigned i = 0; i < N_LINES; i++)
		ROW(to, LINES[i].id, LINES[i].title, LINES[i].why, BRIDGE_INFO[LINES[i].bridge].id);
	str_add(to, "\n## Bridge\n\nFrom the heap profile's number to RSS, in this order.\n\n"
		    "| row | what | why |\n| --- | --- | --- |\n");
	for (unsigned i = 0; i < N_BRIDGE; i++)
		ROW(to, BRIDGE_INFO[i].id, BRIDGE_INFO[i].title, BRIDGE_INFO[i].why);
	str_add(to, "\n## Container\n\nFrom RSS to the number that the container's graph shows.\n\n"
		    "| row | what | why |\n| --- | --- | --- |\n");
	for (unsigned i = 0; i < N_CONTAINER; i++)
		ROW(to, CONTAINER_INFO[i].id, CONTAINER_INFO[i].title, CONTAINER_INFO[i].why);
	str_add(to, "\n## Causes\n\nWhat makes the gap between the profile's number and RSS, and "
		    "what is asked about beside it.\n\n"
		    "| cause | what | | its bytes |\n| --- | --- | --- | --- |\n");
#define GAP					     "a part of the gap"
#define ASIDE					     "beside the gap"
#define CHECK					     "beside the gap; told only when nothing else is unusual"
#define FINDING(fn, id, part, normal, title, clause) ROW(to, id, title, clause, part);
#include "ledger/findings.def"
#undef FINDING
#undef GAP
#undef ASIDE
#undef CHECK
	ROW(to, "nothing-wrong", "no cause is worth a word", "a healthy program of this size",
	    "the gap");
}

static void reference_memstats(struct str *to)
{
	str_add(to, "# MemStats\n\nThe fields of `runtime.MemStats`, read from outside.\n\n"
		    "| field | meaning |\n| --- | --- |\n");
#define MEMSTAT(name, unit, where, text) ROW(to, #name, text);
#define MEMSTAT_ARRAY(name)
#include "view/memstats.def"
#undef MEMSTAT
#undef MEMSTAT_ARRAY
	str_add(to, "\n`PauseNs`, `PauseEnd` (256 each, a ring) and `BySize` (61) are in the JSON "
		    "only.\n\n"
		    "## runtime/metrics\n\nUnder `metrics`, each with its value or null where it "
		    "cannot be known:\n\n");
#define METRIC(name, value) str_add(to, "- `" name "`\n");
#include "view/gometrics.def"
#undef METRIC
}

static void metric_rows(struct str *to, const struct metric_info *m, unsigned n)
{
	str_add(to, "\n| name | unit | what it is |\n| --- | --- | --- |\n");
	for (unsigned i = 0; i < n; i++)
		str_addf(to, "| `%s` | %s | %s |\n", m[i].name, m[i].unit, m[i].help);
}

static void reference_recording(struct str *to)
{
	str_add(to, "# What is measured over time\n\nMembers of the lines of `whyrss live --json`, "
		    "and columns "
		    "of a recording (`docs/recording.md`).\n\n## Samples: `\"type\":\"sample\"`, "
		    "table `sample`\n");
	metric_rows(to, METRICS, N_METRICS);
	str_add(to, "\n## GC cycles: `\"type\":\"gc\"`, table `cycle`\n");
	metric_rows(to, CYCLES, N_CYCLES);
	str_add(to, "\n## The tables and views of a recording\n\n```sql\n");
	recording_schema(to);
	str_add(to, "```\n");
}

bool help_reference(struct str *to, const char *part)
{
	static const struct {
		const char *name;
		void (*write)(struct str *to);
	} parts[] = {{"command-line", reference_command_line},
		     {"ledger", reference_ledger},
		     {"memstats", reference_memstats},
		     {"recording", reference_recording}};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (strcmp(parts[i].name, part) != 0)
			continue;
		str_add(to, "<!-- Made by tools/gen-docs.sh from the tables: do not edit. -->\n");
		parts[i].write(to);
		return true;
	}
	return false;
}
