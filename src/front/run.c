/*
 * Runs a request: opens the target, reads a snapshot of no more than the view needs, asks the view,
 * renders. Prints nothing itself: main.c writes what comes back.
 */
#include "front/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/unit.h"
#include "front/help.h"
#include "front/open.h"
#include "front/pprof.h"
#include "front/replay.h"
#include "front/source.h"
#include "front/watch.h"
#include "front/web.h"
#include "front/web_report.h"

#define PIPE_WIDTH 100U
#define WIDTH_MAX  1000U

struct text_style style_choose(const struct outlet *out, const struct options *o)
{
	struct text_style s = {.width = out->width,
			       .cut = out->terminal,
			       .all = option_set(o, OPT_ALL),
			       .utf8 = true};
	const char *charset = out->locale ? strchr(out->locale, '.') : NULL;
	bool dumb = out->term && !strcmp(out->term, "dumb");

	if (!out->terminal || !s.width)
		s.width = PIPE_WIDTH;
	if (option_set(o, OPT_WIDTH)) {
		s.width = (uint32_t)MIN(o->v[OPT_WIDTH].number, (uint64_t)WIDTH_MAX);
		s.cut = true;
	}
	s.width = MAX(s.width, WIDTH_MIN);
	switch ((enum option_color)o->v[OPT_COLOR].choice) {
	case COLOR_AUTO:
		s.colour = out->terminal && !out->no_color && !dumb;
		break;
	case COLOR_ALWAYS:
		s.colour = true;
		break;
	case COLOR_NEVER:
		break;
	}
	/* Without a locale, as in most containers, terminals are UTF-8 all the same. */
	if (charset)
		s.utf8 = !strncasecmp(charset, ".utf-8", 6) || !strncasecmp(charset, ".utf8", 5);
	else if (out->locale)
		s.utf8 = strcmp(out->locale, "C") != 0 && strcmp(out->locale, "POSIX") != 0;
	return s;
}

void message_add(struct str *messages, const struct err *err)
{
	str_add(messages, "whyrss: ");
	str_add_plain(messages, err->msg);
	if ((err->kind == ERR_NOT_GO || err->kind == ERR_GONE) &&
	    !strchr(err->msg, ';')) /* says what to do already */
		str_add(messages, "; whyrss alone lists the Go processes");
	str_add(messages, "\n");
}

/* --- timings for --verbose --- */

enum phase {
	PHASE_OPEN,
	PHASE_FACTS,
	PHASE_SESSION,
	PHASE_SNAPSHOT,
	PHASE_VIEW,
	PHASE_RENDER,
	PHASES
};

struct stopwatch {
	int64_t at;
	int64_t took[PHASES];
};

static void lap(struct stopwatch *w, enum phase p)
{
	int64_t t = clock_now();

	w->took[p] += t - w->at;
	w->at = t;
}

static void add_verbose(struct str *to, const struct stopwatch *w, const struct target_stats *st,
			const struct snapshot *s)
{
	static const char *const names[PHASES] = {"open",     "facts", "session",
						  "snapshot", "view",  "render"};
	char bytes_read[UNIT_TEXT], zeros[UNIT_TEXT], file[UNIT_TEXT];

	str_add(to, "whyrss:");
	for (unsigned i = 0; i < PHASES; i++)
		str_addf(to, "%s %s %.1f ms", i ? "," : "", names[i], (double)w->took[i] / 1e6);
	str_addf(to,
		 "\nwhyrss: %llu reads, %s of memory, %s of zeros not read, %s from files, %llu "
		 "reads of swapped pages\n",
		 (unsigned long long)st->reads, unit_bytes(bytes_read, st->bytes_read),
		 unit_bytes(zeros, st->zero_fills), unit_bytes(file, st->file_bytes),
		 (unsigned long long)st->swapped_reads);
	str_addf(to,
		 "whyrss: layout %s; %u spans, %u goroutines, %u mappings, %u threads; residency "
		 "from %s\n",
		 s->layout_from ? s->layout_from : "unknown", s->heap.n_spans, s->n_goroutines,
		 s->os->n_maps, s->os->n_threads,
		 (const char *const[]){"nothing", "PAGEMAP_SCAN", "pagemap",
				       "smaps"}[s->os->residency]);
}

/* --- files --- */

/* Text of a stranger for a terminal: safe, with its lines and tabs. */
static void add_safe_lines(struct str *out, const char *s, size_t n)
{
	struct str piece = {0};

	for (size_t i = 0; i <= n; i++) {
		if (i < n && s[i] != '\n' && s[i] != '\t') {
			str_addn(&piece, s + i, 1);
			continue;
		}
		str_add_plain(out, piece.s ? piece.s : "");
		piece.n = 0;
		if (piece.s)
			piece.s[0] = '\0';
		if (i < n)
			str_addn(out, s + i, 1);
	}
	str_free(&piece);
}

static bool put_file(const struct report_file *f, const struct view *v, const struct outlet *to,
		     struct str *out, struct err *err)
{
	CLEANUP(cleanup_fd) int fd = -1;

	if (!f->path && f->text && to->terminal) {
		add_safe_lines(out, f->data, f->n);
		return true;
	}
	if (!f->path && to->terminal)
		return err_set(err, ERR_USAGE,
			       "%s: the answer is not for a terminal; give -o FILE%s", v->name,
			       v->run ? " (`whyrss FILE` shows it), or --debug 1 for text" : "");
	if (!f->path) {
		str_addn(out, f->data, f->n);
		return true;
	}
	fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
	if (fd < 0)
		return err_os(err, ERR_OS, "%.120s", f->path);
	for (size_t done = 0; done < f->n;) {
		ssize_t n = write(fd, f->data + done, f->n - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_os(err, ERR_OS, "%.120s", f->path);
		done += (size_t)n;
	}
	return true;
}

/* Where there is no report around an answer, its notes go to stderr. */
static void add_notes(const struct report *r, struct str *messages)
{
	const struct value *notes = value_get(&r->json, "notes");

	for (uint32_t i = 0; i < value_count(notes); i++) {
		str_add(messages, "whyrss: ");
		str_add_plain(messages, notes->list->items.v[i].v.s);
		str_add(messages, "\n");
	}
}

/* --- one answer --- */

static bool add_report(const struct request *q, const struct outlet *to, const struct report *r,
		       struct str *out, struct err *err)
{
	struct text_style style = style_choose(to, &q->options);

	if (option_set(&q->options, OPT_JSON)) {
		render_json(out, &r->json, to->terminal);
		str_add(out, "\n");
		return true;
	}
	if (option_set(&q->options, OPT_CSV)) {
		if (!render_csv(out, r))
			return err_set(err, ERR_USAGE, "%s: has no table for --csv; take --json",
				       q->view->name);
		return true;
	}
	if (out->n)
		str_add(out, "\n"); /* between the processes of a cgroup */
	render_text(out, r, &style);
	return true;
}

static void cleanup_snapshot(struct snapshot *s)
{
	snapshot_free(s);
}

static void cleanup_source(struct source **s)
{
	source_close(*s);
}

/* What the summary of a cgroup takes from the answers. */
struct gathered {
	struct arena *mem;
	VEC(struct cgroup_process) v;
	struct cgroup_facts *facts; /* of the process that is nearest to the top; NULL: unknown */
};

static void gather(struct gathered *to, const struct snapshot *s, const struct report *r, int pid)
{
	const struct cgroup_facts *c = s->os->cgroup;
	const struct value *causes = value_get(&r->json, "causes"), *first = NULL;

	if (value_count(causes))
		first = value_get(&causes->list->items.v[0].v, "title");
	*VEC_PUSH(to->mem, &to->v) = (struct cgroup_process){
		.pid = pid,
		.program = arena_strdup(to->mem, subject_program(s, to->mem)),
		.cause = first && first->kind == VALUE_STR ? arena_strdup(to->mem, first->s) : "",
		.rss = s->os->rss_kernel,
		.rss_known = s->os->residency != RESIDENCY_NONE,
		.profile = s->profile.inuse_space,
		.profile_known = s->profile.enabled,
	};
	if (c && (!to->facts || strlen(c->path) < strlen(to->facts->path))) {
		to->facts = ARENA_NEW(to->mem, struct cgroup_facts);
		*to->facts = *c;
		to->facts->path = arena_strdup(to->mem, c->path);
		to->facts->limit_path = c->limit_path ? arena_strdup(to->mem, c->limit_path) : NULL;
	}
}

/* `all` NULL: nothing is gathered. */
static enum exit_code run_target(const struct request *q, const struct outlet *to,
				 const struct source_word *word, struct gathered *all,
				 struct str *out, struct str *messages)
{
	CLEANUP(arena_free) struct arena answer = {0};
	CLEANUP(cleanup_source) struct source *source = NULL;
	CLEANUP(cleanup_snapshot) struct snapshot snap = {0};
	const struct source_options o = {
		.freeze = option_set(&q->options, OPT_FREEZE),
		.pss = option_set(&q->options, OPT_PSS),
		.exe = option_set(&q->options, OPT_EXE) ? q->options.v[OPT_EXE].text : NULL};
	struct stopwatch w = {0};
	struct subject subject = {.s = &snap};
	struct report r;
	struct err err = {0};

	arena_init(&answer, 0);
	if (!source_open(word, &o, &source, &err) ||
	    !source_snapshot(source,
			     q->view->run ? view_needs(q->view, &q->options) : web_report_needs(),
			     &snap, &err))
		goto failed;
	w.at = clock_now();
	subject.target = source->name;
	if (!(q->view->run ? q->view->run : web_report_run)(&subject, &q->options, &answer, &r,
							    &err))
		goto failed;
	lap(&w, PHASE_VIEW);
	if (all)
		gather(all, &snap, &r, word->pid);
	if (r.file.data) {
		if (!put_file(&r.file, q->view, to, out, &err))
			goto failed;
		if (!r.file.path) {
			add_notes(&r, messages);
			return r.partial ? EXIT_PARTIAL : EXIT_ANSWERED;
		}
	}
	if (!add_report(q, to, &r, out, &err))
		goto failed;
	lap(&w, PHASE_RENDER);
	if (option_set(&q->options, OPT_VERBOSE)) {
		w.took[PHASE_OPEN] = source->took.open;
		w.took[PHASE_FACTS] = source->took.facts;
		w.took[PHASE_SESSION] = source->took.session;
		w.took[PHASE_SNAPSHOT] = source->took.snapshot;
		add_verbose(messages, &w, &source->t->stats, &snap);
	}
	return r.partial ? EXIT_PARTIAL : EXIT_ANSWERED;
failed:
	message_add(messages, &err);
	return err.kind == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

/* A question about two targets, each with a session of its own. */
static enum exit_code run_two(const struct request *q, const struct outlet *to, struct str *out,
			      struct str *messages)
{
	CLEANUP(arena_free) struct arena answer = {0};
	CLEANUP(cleanup_source) struct source *first = NULL;
	CLEANUP(cleanup_source) struct source *second = NULL;
	CLEANUP(cleanup_snapshot) struct snapshot before = {0};
	CLEANUP(cleanup_snapshot) struct snapshot after = {0};
	const struct source_options o = {0};
	struct source_word a, b;
	struct subject subject = {.s = &after, .before = &before};
	struct report r;
	struct err err = {0};

	arena_init(&answer, 0);
	if (!source_find(q->target, &answer, &a, &err) ||
	    !source_find(q->second, &answer, &b, &err))
		goto failed;
	if (a.kind == SOURCE_RECORDING || b.kind == SOURCE_RECORDING) {
		if (!replay_diff(&a, &b, (const char *const[]){q->target, q->second}, &answer,
				 option_set(&q->options, OPT_ALL), &r, &err) ||
		    !add_report(q, to, &r, out, &err))
			goto failed;
		return r.partial ? EXIT_PARTIAL : EXIT_ANSWERED;
	}
	if (!source_open(&a, &o, &first, &err) ||
	    !source_snapshot(first, q->view->needs, &before, &err) ||
	    !source_open(&b, &o, &second, &err) ||
	    !source_snapshot(second, q->view->needs, &after, &err))
		goto failed;
	subject.before_target = first->name;
	subject.target = second->name;
	if (!q->view->run || !q->view->run(&subject, &q->options, &answer, &r, &err) ||
	    !add_report(q, to, &r, out, &err))
		goto failed;
	return r.partial ? EXIT_PARTIAL : EXIT_ANSWERED;
failed:
	message_add(messages, &err);
	return err.kind == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

/* Each Go process of a cgroup; JSON gives one document a line. The ledger as text: a summary, and
 * the answers with --all. */
static enum exit_code run_cgroup(const struct request *q, const struct outlet *to, struct str *out,
				 struct str *messages)
{
	CLEANUP(arena_free) struct arena a = {0};
	struct str single = {0};
	struct gathered all = {.mem = &a};
	bool brief = q->view == &VIEWS[VIEW_ID_LEDGER] && !option_set(&q->options, OPT_JSON) &&
		     !option_set(&q->options, OPT_CSV);
	const char *path = q->options.v[OPT_CGROUP].text, *version;
	struct outlet plain = *to;
	uint32_t n, answered = 0, failed = 0, partial = 0;
	struct err err = {0};
	int *pids;

	arena_init(&a, 0);
	if (!cgroup_pids(&(struct live_options){0}, path, &a, &pids, &n, &err)) {
		message_add(messages, &err);
		return EXIT_FAILED;
	}
	if (option_set(&q->options, OPT_JSON))
		plain.terminal = false;
	for (uint32_t i = 0; i < n; i++) {
		enum exit_code code;

		if (!go_process_check(pids[i], &a, &version))
			continue;
		code = run_target(q, &plain,
				  &(struct source_word){.kind = SOURCE_PROCESS, .pid = pids[i]},
				  brief ? &all : NULL, brief ? &single : out, messages);
		if (code == EXIT_USAGE) {
			str_free(&single);
			return code;
		}
		answered += code != EXIT_FAILED;
		failed += code == EXIT_FAILED;
		partial += code == EXIT_PARTIAL;
	}
	if (brief && answered) {
		struct report r;

		report_init(&r, &a, "whyrss.cgroup/1");
		cgroup_report(path, all.facts, failed, all.v.v, all.v.n, &r);
		(void)add_report(q, to, &r, out, &err); /* text: nothing can fail */
		if (option_set(&q->options, OPT_ALL)) {
			str_add(out, "\n");
			str_addn(out, single.s, single.n);
		}
	}
	str_free(&single);
	if (!answered && !failed) {
		err_set(&err, ERR_NOT_GO,
			"--cgroup %.120s: no Go process among its %u; give the path as "
			"/proc/PID/cgroup shows it",
			path, n);
		str_add(messages, "whyrss: ");
		str_add_plain(messages, err.msg);
		str_add(messages, "\n");
	}
	if (!answered)
		return EXIT_FAILED;
	return failed || partial ? EXIT_PARTIAL : EXIT_ANSWERED;
}

static enum exit_code run_processes(const struct request *q, const struct outlet *to,
				    struct str *out, struct str *messages)
{
	CLEANUP(arena_free) struct arena a = {0};
	struct go_processes all;
	struct subject subject = {0};
	struct report r;
	struct err err = {0};

	arena_init(&a, 0);
	if (!go_processes(&a, &all, &err)) {
		message_add(messages, &err);
		return EXIT_FAILED;
	}
	subject = (struct subject){.processes = all.v,
				   .n_processes = all.n,
				   .n_hidden = all.hidden,
				   .root = geteuid() == 0};
	if (q->view->run(&subject, &q->options, &a, &r, &err) && add_report(q, to, &r, out, &err))
		return EXIT_ANSWERED;
	message_add(messages, &err);
	return err.kind == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

static enum exit_code run_help(const struct request *q, const struct view *v,
			       const struct outlet *to, struct str *out, struct str *messages)
{
	CLEANUP(arena_free) struct arena a = {0};
	struct report r;
	struct err err = {0};

	arena_init(&a, 0);
	help_report(&a, v, &r);
	if (add_report(q, to, &r, out, &err))
		return EXIT_ANSWERED;
	message_add(messages, &err);
	return EXIT_USAGE;
}

/* help, completion, man, reference: views that front/ answers. */
static enum exit_code run_own(const struct request *q, const struct outlet *to, struct str *out,
			      struct str *messages)
{
	enum view_id id = (enum view_id)(q->view - VIEWS);
	struct err err = {0};

	switch (id) {
	case VIEW_ID_HELP:
		return run_help(q, q->word ? view_find(q->word) : NULL, to, out, messages);
	case VIEW_ID_SERVE:
		return serve_run(q, messages);
	case VIEW_ID_MAN:
		help_man(out);
		return EXIT_ANSWERED;
	case VIEW_ID_COMPLETION:
		if (q->word && help_completion(out, q->word))
			return EXIT_ANSWERED;
		err_set(&err, ERR_USAGE,
			"completion: %.40s: not a shell that is known; give bash, zsh or fish",
			q->word ? q->word : "nothing");
		break;
	case VIEW_ID_REFERENCE:
		if (q->word && help_reference(out, q->word))
			return EXIT_ANSWERED;
		err_set(&err, ERR_USAGE,
			"reference: give command-line, ledger, memstats or recording");
		break;
	default:
		err_set(&err, ERR_USAGE, "%s: nothing answers this", q->view->name);
	}
	message_add(messages, &err);
	return EXIT_USAGE;
}

/* A recording answers what it is about as a whole, or one moment; other views need a process. */
static enum exit_code run_recording(const struct request *q, const struct outlet *to,
				    const struct source_word *word, struct str *out,
				    struct str *messages)
{
	CLEANUP(arena_free) struct arena a = {0};
	struct replay replay;
	struct report r;
	struct err err = {0};
	bool ok, all = option_set(&q->options, OPT_ALL);

	arena_init(&a, 0);
	if (!replay_open(word->path, &replay, &err)) {
		message_add(messages, &err);
		return EXIT_FAILED;
	}
	ok = (word->at ? replay_moment_report(&replay, q->target, word->at, &a, all, &r, &err)
		       : replay_report(&replay, word->path, &a, all, &r, &err)) &&
	     add_report(q, to, &r, out, &err);
	replay_close(&replay);
	if (ok)
		return r.partial ? EXIT_PARTIAL : EXIT_ANSWERED;
	message_add(messages, &err);
	return err.kind == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

/* A profile, or a file that may be one in an older format: its top table. */
static enum exit_code run_profile(const struct request *q, const struct source_word *w,
				  struct str *out, struct str *messages)
{
	size_t said = messages->n;
	enum exit_code code;
	struct err err = {0};

	if (w->kind != SOURCE_FILE &&
	    (option_set(&q->options, OPT_JSON) || option_set(&q->options, OPT_CSV))) {
		err_set(&err, ERR_USAGE,
			"%.120s: a profile has no ledger to print as JSON; whyrss pprof -proto, "
			"-raw and -top read it",
			w->path);
		message_add(messages, &err);
		return EXIT_USAGE;
	}
	code = pprof_top(w->path, out, messages);
	if (code == EXIT_FAILED && w->kind == SOURCE_FILE) {
		messages->n = said;
		source_refuse(w, &err);
		message_add(messages, &err);
	}
	return code;
}

enum exit_code request_run(const struct request *q, const struct outlet *to, struct str *out,
			   struct str *messages)
{
	CLEANUP(arena_free) struct arena a = {0};
	struct source_word word;
	struct err err = {0};

	arena_init(&a, 0);
	if (option_set(&q->options, OPT_VERSION)) {
		str_add(out, "whyrss " WHYRSS_VERSION "\n");
		return EXIT_ANSWERED;
	}
	if (option_set(&q->options, OPT_HELP))
		return run_help(q, q->view, to, out, messages);
	if (q->view->flags & VIEW_WATCH)
		return watch_run(q, to, messages);
	if (!q->view->run && !(q->view->flags & VIEW_TARGET))
		return run_own(q, to, out, messages);
	if (q->view->flags & VIEW_TWO)
		return run_two(q, to, out, messages);
	if (!(q->view->flags & VIEW_TARGET))
		return run_processes(q, to, out, messages);
	if (option_set(&q->options, OPT_CGROUP))
		return run_cgroup(q, to, out, messages);
	if (!source_find(q->target, &a, &word, &err)) {
		message_add(messages, &err);
		return err.kind == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
	}
	if (q->view == &VIEWS[VIEW_ID_LEDGER]) {
		if (word.kind == SOURCE_RECORDING)
			return run_recording(q, to, &word, out, messages);
		if (word.kind == SOURCE_PROFILE || word.kind == SOURCE_URL ||
		    word.kind == SOURCE_FILE)
			return run_profile(q, &word, out, messages);
	}
	return run_target(q, to, &word, NULL, out, messages);
}
