/* From arguments to a request: which view, of what, with which options. Pure, so that a test can
 * ask it anything. */
#include <string.h>

#include "front/run.h"

static bool is_named(const struct view *v, const char *name)
{
	return v && !strcmp(v->name, name);
}

static bool unknown_view(const char *word, struct err *err)
{
	const char *names[N_VIEWS], *near;
	uint32_t n = 0;

	for (unsigned i = 0; i < N_VIEWS; i++)
		if (!(VIEWS[i].flags & VIEW_HIDDEN))
			names[n++] = VIEWS[i].name;
	near = word_nearest(word, names, n);
	if (near)
		return err_set(err, ERR_USAGE, "%.40s: no such view; did you mean %s?", word, near);
	return err_set(err, ERR_USAGE, "%.40s: no such view; whyrss help lists them", word);
}

/* The first of several words is no view: the wrong order, two targets, or a typing error. */
static bool not_a_view_first(const struct arguments *args, struct err *err)
{
	const char *first = args->words[0], *second = args->words[1];

	if (view_find(second))
		return err_set(err, ERR_USAGE, "%.40s: the view comes first: whyrss %s %.40s",
			       first, second, first);
	if (*first && !first[strspn(first, "0123456789")])
		return err_set(err, ERR_USAGE, "%.40s: more than one target; give one, or --cgroup",
			       second);
	return unknown_view(first, err);
}

static bool check_words(const struct request *q, uint32_t n_words, const char *extra,
			struct err *err)
{
	const struct view *v = q->view;
	bool cgroup = option_set(&q->options, OPT_CGROUP);

	if (n_words > 1 && (v->flags & VIEW_TARGET))
		return err_set(err, ERR_USAGE, "%.40s: more than one target; give one, or --cgroup",
			       extra);
	if (v->flags & VIEW_TWO)
		return n_words == 2 ||
		       err_set(err, ERR_USAGE,
			       "%s: give two targets: PIDs, process names, cores or "
			       "captures",
			       v->name);
	if (n_words > 1 && !(v->flags & VIEW_MANY))
		return err_set(err, ERR_USAGE, "%.40s: one argument too many; see whyrss help %s",
			       extra, v->name);
	if (!(v->flags & VIEW_TARGET)) {
		if (n_words && !*v->args)
			return err_set(err, ERR_USAGE, "%s: takes no argument", v->name);
		return true;
	}
	if (cgroup && n_words)
		return err_set(err, ERR_USAGE, "%.40s: either TARGET or --cgroup, not both", extra);
	if (!cgroup && !n_words)
		return err_set(err, ERR_USAGE,
			       "%s: TARGET is missing; give a PID or a process name, whyrss alone "
			       "lists them",
			       v->name);
	return true;
}

bool request_parse(int argc, const char *const *argv, struct request *ret, struct err *err)
{
	struct request q = {0};
	struct arguments args;
	const char *word;
	uint32_t at = 0;

	if (!arguments_parse(argc, argv, &args, err))
		return false;
	q.options = args.options;
	if (args.n_words)
		q.view = view_find(args.words[0]);
	if (q.view)
		at = 1;
	else if (args.n_words > 1)
		return not_a_view_first(&args, err);
	else
		q.view = &VIEWS[args.n_words || option_set(&q.options, OPT_CGROUP)
					? VIEW_ID_LEDGER
					: VIEW_ID_PROCESSES];

	word = at < args.n_words ? args.words[at] : NULL;
	if (option_set(&q.options, OPT_VERSION) || option_set(&q.options, OPT_HELP)) {
		*ret = q; /* whatever else is there */
		if (!at)
			ret->view = NULL;
		return true;
	}
	if (q.view->flags & VIEW_WATCH) {
		for (uint32_t i = at; i < args.n_words; i++)
			q.words[q.n_words++] = args.words[i];
		q.rest = args.rest;
		q.n_rest = args.n_rest;
		if (!view_check(q.view, &q.options, err))
			return false;
		*ret = q;
		return true;
	}
	if (!check_words(&q, args.n_words - at, args.n_words - at > 1 ? args.words[at + 1] : word,
			 err))
		return false;
	if (word && !*word)
		return err_set(err, ERR_USAGE, "TARGET is empty; give a PID or a process name");
	for (uint32_t i = at; i < args.n_words && q.view->flags & VIEW_MANY; i++)
		q.words[q.n_words++] = args.words[i];
	if (q.view->flags & VIEW_TWO)
		q.second = args.words[at + 1];
	if (q.second && !*q.second)
		return err_set(err, ERR_USAGE, "TARGET is empty; give a PID or a process name");
	if (q.view->flags & (VIEW_TARGET | VIEW_TWO))
		q.target = word;
	else
		q.word = word;
	if (is_named(q.view, "help") && word && !view_find(word))
		return unknown_view(word, err);
	if (option_set(&q.options, OPT_JSON) && option_set(&q.options, OPT_CSV))
		return err_set(err, ERR_USAGE, "--json and --csv: take one of them");
	if (option_set(&q.options, OPT_WIDTH) && q.options.v[OPT_WIDTH].number < WIDTH_MIN)
		return err_set(err, ERR_USAGE, "--width %.20s: less than %u columns",
			       q.options.v[OPT_WIDTH].text, WIDTH_MIN);
	if (!view_check(q.view, &q.options, err))
		return false;
	*ret = q;
	return true;
}
