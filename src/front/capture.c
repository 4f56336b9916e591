/*
 * whyrss capture: a snapshot of everything, read through a recording target. Names are looked up
 * while it records, so that the parts of the pclntab that views need are in it, and the program
 * itself is needed no more.
 */
#include "front/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/unit.h"
#include "front/watch.h"

#define STACK_MAX ((bytes)16 << 20) /* of one goroutine; the deepest part of a longer one */

static void cleanup_snapshot(struct snapshot *s)
{
	snapshot_free(s);
}

static void cleanup_source(struct source **s)
{
	source_close(*s);
}

static void name_pc(const struct snapshot *s, taddr pc)
{
	struct code_frame f[32];

	if (pc == 0)
		return;
	(void)s->frames(s, pc, f, ARRAY_LEN(f));
	(void)s->frames(s, pc - 1, f, ARRAY_LEN(f));
}

static void name_contention(const struct snapshot *s, const struct contention *c)
{
	for (uint32_t i = 0; i < c->n; i++)
		for (uint32_t k = 0; k < c->v[i].nstk; k++)
			name_pc(s, c->pcs[c->v[i].stk + k]);
}

/* Every function that a view can name. */
static void name_all(const struct snapshot *s)
{
	for (uint32_t i = 0; i < s->n_goroutines; i++) {
		name_pc(s, s->goroutines[i].pc);
		name_pc(s, s->goroutines[i].gopc);
		name_pc(s, s->goroutines[i].startpc);
	}
	for (uint64_t i = 0; i < s->profile.n_pcs; i++)
		name_pc(s, s->profile.pcs[i]);
	for (uint32_t i = 0; i < s->n_create_stacks; i++)
		for (unsigned k = 0; k < ARRAY_LEN(s->create_stacks[i]); k++)
			name_pc(s, s->create_stacks[i][k]);
	name_contention(s, &s->profile.block);
	name_contention(s, &s->profile.mutex);
}

/* The used part of each parked goroutine's stack, and the functions that it may return to. */
static bytes read_stacks(struct source *source, const struct snapshot *s)
{
	CLEANUP(arena_free) struct arena a = {0};
	bytes sum = 0;

	arena_init(&a, 0);
	for (uint32_t i = 0; i < s->n_goroutines; i++) {
		const struct goroutine *g = &s->goroutines[i];
		struct arena_mark mark = arena_mark(&a);
		bytes n = g->stack_hi - g->sp;
		uint64_t *v;
		size_t got;

		if (g->sp < g->stack_lo || g->sp >= g->stack_hi || g->sp % 8)
			continue;
		n = MIN(n, STACK_MAX);
		v = arena_try(&a, n / 8 + 1, 8, NULL);
		got = v ? target_read(source->t, g->sp, v, n) : 0;
		for (size_t k = 0; k < got / 8; k++)
			for (uint32_t m = 0; m < s->n_images; m++)
				if (s->images[m].part == IMAGE_TEXT && v[k] >= s->images[m].start &&
				    v[k] < s->images[m].end)
					name_pc(s, v[k]);
		sum += got;
		arena_reset(&a, mark);
	}
	return sum;
}

static const char *default_path(const struct snapshot *s, struct arena *a)
{
	time_t now = time(NULL);
	struct str name = {0};
	struct tm tm;
	char stamp[32];
	const char *ret;

	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	str_add_plain(&name, subject_program(s, a));
	for (size_t i = 0; i < name.n; i++)
		if (name.s[i] == '/' || name.s[i] == ' ' || name.s[i] == '?')
			name.s[i] = '_';
	ret = arena_printf(a, "%s%.100s-%d-%s.whyrss", name.n && name.s[0] == '.' ? "_" : "",
			   name.n ? name.s : "process", s->os->pid, stamp);
	str_free(&name);
	return ret;
}

/* Facts as they were, with the moment that they are of. */
static struct os_facts facts_of(const struct snapshot *s, struct arena *a)
{
	struct os_facts os = *s->os;
	const char **notes = ARENA_ARRAY(a, const char *, os.n_notes + 1);

	os.at_unix_ns = s->read.at_unix_ns;
	os.monotonic_ns = s->counters ? s->counters->nanotime : 0;
	for (uint32_t i = 0; i < os.n_notes; i++)
		notes[i] = os.notes[i];
	if (!s->read.consistent) {
		notes[os.n_notes++] = "the program changed while it was captured: what was read "
				      "is not of one moment";
		os.partial |= s->notes.partial;
	}
	os.notes = notes;
	return os;
}

static bool write_file(const char *path, struct source *source, const struct os_facts *os,
		       const struct str *session, struct capture_size *ret, struct err *err)
{
	CLEANUP(arena_free) struct arena a = {0};
	CLEANUP(cleanup_fd) int fd = -1;
	const char *part;
	bool ok;

	arena_init(&a, 0);
	part = arena_printf(&a, "%s.part", path);
	/* It tells of a process what only its user may know: as a core, for nobody else. */
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_os(err, ERR_OS, "%.160s", part);
	ok = capture_write(source->t, os, session->s, session->n, fd, ret, err);
	if (ok && (fsync(fd) != 0 || rename(part, path) != 0))
		ok = err_os(err, ERR_OS, "%.160s", path);
	else if (!ok)
		err_in(err, "%.160s", path);
	if (!ok)
		unlink(part);
	return ok;
}

bool capture_from(struct source *source, const struct capture_options *o, struct arena *a,
		  struct captured *ret, struct err *err)
{
	CLEANUP(cleanup_snapshot) struct snapshot snap = {0};
	struct captured c = {0};
	struct str session = {0};
	struct os_facts os;
	bool ok, held;

	if (!source_snapshot(source, o->stacks ? NEED_CAPTURE_STACKS : NEED_CAPTURE, &snap, err))
		return false;
	held = source->t->held;
	name_all(&snap);
	if (o->stacks)
		c.stacks = read_stacks(source, &snap);
	os = facts_of(&snap, a);
	c.path = o->path ? arena_strdup(a, o->path) : default_path(&snap, a);
	go_save(source->g, &snap, o->stacks, held, &session);
	ok = write_file(c.path, source, &os, &session, &c.size, err);
	str_free(&session);
	if (!ok)
		return false;
	c.program = arena_strdup(a, subject_program(&snap, a));
	c.pid = snap.os->pid;
	c.rss_known = snap.os->residency != RESIDENCY_NONE;
	c.rss = c.rss_known ? snap.os->pages.resident : 0;
	c.partial = snap.notes.partial;
	c.took_ns = snap.read.took_ns;
	c.stopped_ns = snap.read.stopped_ns;
	*ret = c;
	return true;
}

bool capture_take(const struct source_word *w, const struct capture_options *o, struct arena *a,
		  struct captured *ret, struct err *err)
{
	CLEANUP(cleanup_source) struct source *source = NULL;
	struct source_options so = o->source;

	so.record = true;
	return source_open(w, &so, &source, err) && capture_from(source, o, a, ret, err);
}

void capture_report(const struct captured *c, struct arena *a, struct report *ret)
{
	char file[UNIT_TEXT], took[UNIT_TEXT], stacks[UNIT_TEXT];
	struct block *b;

	report_init(ret, a, "whyrss.capture/1");
	report_put(ret, "program", value_str(c->program));
	report_put(ret, "pid", value_int(c->pid));
	report_put(ret, "file", value_str(c->path));
	report_put(ret, "file_bytes", value_uint(c->size.file));
	report_put(ret, "memory_bytes", value_uint(c->size.memory));
	report_put(ret, "stack_bytes", value_uint(c->stacks));
	report_put(ret, "rss", value_uint_if(c->rss_known, c->rss));
	report_put(ret, "ms", value_double((double)c->took_ns / 1e6));
	report_put(ret, "stopped_ms", value_double((double)c->stopped_ns / 1e6));
	report_block(
		ret, BLOCK_VERDICT,
		arena_printf(a, "%s (pid %d) is in %s: %s%s, %s.", c->program, c->pid, c->path,
			     unit_bytes(file, c->size.file),
			     c->rss ? arena_printf(a, ", %.2f %% of its RSS",
						   100.0 * (double)c->size.file / (double)c->rss)
				    : "",
			     c->stacks ? arena_printf(a, "with %s of goroutine stacks",
						      unit_bytes(stacks, c->stacks))
				       : "no contents of its objects or stacks"));
	b = report_block(ret, BLOCK_ITEMS, NULL);
	block_item(ret, b,
		   c->stopped_ns ? arena_printf(a, "read in %s, the process was stopped",
						unit_duration(took, c->took_ns))
				 : arena_printf(a, "read in %s, nothing stopped",
						unit_duration(took, c->took_ns)));
	b = report_block(ret, BLOCK_ITEMS, "next:");
	block_item(ret, b, arena_printf(a, "whyrss %s", c->path));
	block_item(ret, b, arena_printf(a, "whyrss diff %s LATER", c->path));
	ret->partial = c->partial;
}

bool capture_say(const struct captured *c, const struct options *o, const struct outlet *to,
		 struct arena *a)
{
	struct report r;

	capture_report(c, a, &r);
	return put_report(&r, o, to) || errno == EPIPE;
}

enum exit_code capture_run(const struct request *q, const struct outlet *to, struct str *messages)
{
	CLEANUP(arena_free) struct arena a = {0};
	const struct options *o = &q->options;
	const struct capture_options co = {
		.source = {.freeze = option_set(o, OPT_FREEZE),
			   .pss = option_set(o, OPT_PSS),
			   .exe = option_set(o, OPT_EXE) ? o->v[OPT_EXE].text : NULL},
		.stacks = option_set(o, OPT_STACKS),
		.path = option_set(o, OPT_OUTPUT) ? o->v[OPT_OUTPUT].text : NULL};
	struct source_word word;
	struct captured c;
	struct err err = {0};
	bool ok;

	arena_init(&a, 0);
	if (q->n_words != 1)
		err_set(&err, ERR_USAGE,
			"capture: give one TARGET: a PID, a process name or a core");
	ok = q->n_words == 1 && source_find(q->words[0], &a, &word, &err) &&
	     capture_take(&word, &co, &a, &c, &err);
	if (!ok) {
		message_add(messages, &err);
		return err.kind == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
	}
	ok = capture_say(&c, o, to, &a);
	return !ok ? EXIT_FAILED : c.partial ? EXIT_PARTIAL : EXIT_ANSWERED;
}
