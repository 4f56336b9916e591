/*
 * `whyrss run`: starts a program and watches it from its first moment. Its input and output are its
 * own, signals to this program are passed on, and it ends with the program's exit code. GODEBUG is
 * left alone but with --gctrace.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/unit.h"
#include "front/gctrace.h"
#include "front/sandbox.h"
#include "front/watch.h"
#include "series/recording.h"

#define SECOND	  INT64_C(1000000000)
#define ATTACH_NS (2 * SECOND) /* a program that is no Go program by then is none */

struct program {
	pid_t pid;
	int signals;  /* a signalfd */
	int trace_fd; /* its stderr with --gctrace; -1 */
	bool ended;
	int status;
	bool watching;
	struct watch w;		   /* only while it is watched */
	struct ledger_keeper keep; /* of the recording; keep.rec NULL: none */
	bytes asked;		   /* the peak for which a ledger was asked for */
	struct lines_event most;   /* the ledger with the largest RSS */
	struct trace_reader trace;
	/* what was seen */
	uint64_t cycles, late, pause_ns, pause_max, rss_max, heap_max;
	int64_t seen_ns;
};

static const int PASSED[] = {SIGINT,  SIGTERM, SIGHUP,	SIGQUIT, SIGUSR1,
			     SIGUSR2, SIGCONT, SIGTSTP, SIGWINCH};

static void signal_set(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < ARRAY_LEN(PASSED); i++)
		sigaddset(set, PASSED[i]);
	sigaddset(set, SIGCHLD);
}

/* In the child. The pipe tells the parent why it could not be started; exec closes it. */
static void start_child(char *const *argv, int report, int err_fd, const sigset_t *mask)
{
	int code;

	sigprocmask(SIG_SETMASK, mask, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (err_fd >= 0)
		dup2(err_fd, STDERR_FILENO);
	execvp(argv[0], argv);
	code = errno;
	if (write(report, &code, sizeof(code)) < 0)
		_exit(126);
	_exit(code == ENOENT ? 127 : 126);
}

static bool start(struct program *p, char *const *argv, bool gctrace, struct err *err)
{
	int report[2], trace[2] = {-1, -1}, code = 0;
	sigset_t set, mask;

	signal_set(&set);
	sigprocmask(SIG_BLOCK, &set, &mask);
	p->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p->signals < 0 || pipe2(report, O_CLOEXEC) != 0 ||
	    (gctrace && pipe2(trace, O_CLOEXEC) != 0))
		return err_os(err, ERR_OS, "starting %.100s", argv[0]);
	p->pid = fork();
	if (p->pid == 0)
		start_child(argv, report[1], trace[1], &mask);
	close(report[1]);
	if (trace[1] >= 0)
		close(trace[1]);
	p->trace_fd = trace[0];
	if (p->pid < 0) {
		close(report[0]);
		return err_os(err, ERR_OS, "starting %.100s", argv[0]);
	}
	if (read(report[0], &code, sizeof(code)) == sizeof(code)) {
		close(report[0]);
		waitpid(p->pid, NULL, 0);
		errno = code;
		return err_os(err, ERR_OS, "%.100s can't be started", argv[0]);
	}
	close(report[0]);
	return true;
}

static void take(void *ctx, const struct event *e)
{
	struct program *p = ctx;
	struct err err = {0};

	p->seen_ns = MAX(p->seen_ns, e->t_ns);
	if (e->kind == EVENT_SAMPLE) {
		p->rss_max = MAX(p->rss_max, e->sample.rss);
		p->heap_max = MAX(p->heap_max, e->sample.heap_live);
		if (p->w.lines && new_peak(&p->asked, e->sample.rss))
			lines_now(p->w.lines);
	}
	if (e->kind == EVENT_GC) {
		p->cycles++;
		p->late += e->gc.late;
		if (e->gc.pause_ns != UNKNOWN) {
			p->pause_ns += e->gc.pause_ns;
			p->pause_max = MAX(p->pause_max, e->gc.pause_ns);
		}
	}
	if (e->kind == EVENT_LINES && e->lines.rss > p->most.rss)
		p->most = e->lines;
	if (e->kind != EVENT_LINES && p->keep.rec && !p->keep.failed &&
	    !recording_add(p->keep.rec, e, &err))
		keeper_failed(&p->keep, &err);
}

/* Signals to us go to it; what the terminal sends, it has got already. */
static void take_signals(struct program *p)
{
	struct signalfd_siginfo si;

	while (read(p->signals, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD) {
			if (waitpid(p->pid, &p->status, WNOHANG) == p->pid)
				p->ended = true;
		} else if (si.ssi_code != SI_KERNEL && !p->ended) {
			kill(p->pid, (int)si.ssi_signo);
		}
	}
}

static void take_trace(struct program *p)
{
	char piece[16384];
	ssize_t n = read(p->trace_fd, piece, sizeof(piece));

	if (n > 0)
		trace_feed(&p->trace, piece, (size_t)n);
	else if (n == 0 || errno != EINTR)
		cleanup_fd(&p->trace_fd);
}

/* Waits for signals, its trace, or the time; what comes is taken. */
static void wait_program(struct program *p, int64_t ns)
{
	struct pollfd v[2] = {{p->signals, POLLIN, 0}, {p->trace_fd, POLLIN, 0}};
	struct timespec t = {MAX(ns, 0) / SECOND, MAX(ns, 0) % SECOND};

	if (ppoll(v, 2, &t, NULL) <= 0)
		return;
	if (v[0].revents)
		take_signals(p);
	if (v[1].revents)
		take_trace(p);
}

/* Tries until its runtime runs. False: it is no Go program, or has ended. */
static bool attach(struct program *p, double hz, struct err *err)
{
	const struct source_word word = {.kind = SOURCE_PROCESS, .pid = (int)p->pid};
	const struct watch_options o = {.hz = hz};
	int64_t began = clock_now(), step = SECOND / 1000;

	while (!p->ended && clock_now() - began < ATTACH_NS) {
		if (watch_open_word(&word, &o, &p->w, err)) {
			/* GOMAXPROCS is set when the runtime is ready */
			if (sampler_words(p->w.sampler)->c.gomaxprocs)
				return p->watching = true;
			watch_close(&p->w);
			err_set(err, ERR_NOT_GO, "its runtime never got ready");
		}
		wait_program(p, step);
		step = MIN(step * 2, SECOND / 20);
	}
	return false;
}

static bool open_recording(struct program *p, const struct options *o, double hz, struct err *err)
{
	struct recording_info info = {.pid = p->pid,
				      .exe = p->w.source->t->os->exe,
				      .go = go_version(p->w.source->g),
				      .go_minor = sampler_minor(p->w.sampler),
				      .hz = hz,
				      .limit = UNKNOWN};

	p->keep.began = sampler_began(p->w.sampler, &info.began_unix_ns);
	p->keep.name = p->w.source->name;
	return recording_create(o->v[OPT_OUTPUT].text, &info, &p->keep.rec, err);
}

static void watch_program(struct program *p)
{
	struct err err = {0};
	struct event e;

	/* Without it nothing but RSS by line is missing. */
	(void)lines_open((int)p->pid, 0, p->keep.rec ? ledger_keep : NULL, &p->keep, &p->w.lines,
			 &err);
	while (!p->ended && p->watching) {
		int64_t wait = sampler_due(p->w.sampler) - clock_now();

		wait_program(p, wait);
		if (p->w.lines && lines_take(p->w.lines, &e)) {
			e.t_ns = MAX(e.t_ns - sampler_began(p->w.sampler, NULL), 0);
			take(p, &e);
		}
		if (clock_now() >= sampler_due(p->w.sampler) &&
		    !sampler_step(p->w.sampler, take, p, &err)) {
			watch_close(&p->w);
			p->watching = false;
		}
	}
}

/* What was largest in the ledger with the most. */
static void add_lines(const struct program *p, struct str *to)
{
	bool taken[N_LINES] = {false};
	char text[UNIT_TEXT];

	str_addf(to, "whyrss: of %s then", unit_bytes(text, p->most.rss));
	for (unsigned n = 0; n < 5; n++) {
		unsigned best = 0;

		for (unsigned i = 0; i < N_LINES; i++)
			if (taken[best] ||
			    (!taken[i] && p->most.resident[i] > p->most.resident[best]))
				best = i;
		taken[best] = true;
		str_addf(to, "%s %s %s", n ? "," : ":", LINES[best].id,
			 unit_bytes(text, p->most.resident[best]));
	}
	str_add(to, "\n");
}

static void add_summary(struct program *p, struct str *to)
{
	char text[4][UNIT_TEXT];

	str_addf(to, "whyrss: %llu GC cycles in %s", (unsigned long long)p->cycles,
		 unit_duration(text[0], p->seen_ns));
	if (p->cycles)
		str_addf(to, ", paused %s in all, %s at most",
			 unit_duration(text[1], (int64_t)p->pause_ns),
			 unit_duration(text[2], (int64_t)p->pause_max));
	str_addf(to, "; RSS up to %s", unit_bytes(text[3], p->rss_max));
	str_addf(to, ", heap up to %s\n", unit_bytes(text[3], p->heap_max));
	if (p->most.rss)
		add_lines(p, to);
}

static bool take_command(const struct request *q, struct arena *a, char ***ret, struct err *err)
{
	char **argv = ARENA_ARRAY(a, char *, OPTION_WORDS + q->n_rest + 2);
	uint32_t n = 0, words = q->n_words;

	if (q->rest)
		words = words > q->n_rest ? words - q->n_rest : 0;
	for (uint32_t i = 0; i < words; i++)
		argv[n++] = arena_strdup(a, q->words[i]);
	for (uint32_t i = 0; q->rest && i < q->n_rest; i++)
		argv[n++] = arena_strdup(a, q->rest[i]);
	*ret = argv;
	return n ||
	       err_set(err, ERR_USAGE, "run: PROGRAM is missing: whyrss run -- PROGRAM ARGUMENTS");
}

static void set_gctrace(struct arena *a)
{
	const char *now = getenv("GODEBUG");

	setenv("GODEBUG", now && *now ? arena_printf(a, "%s,gctrace=1", now) : "gctrace=1", 1);
}

int program_run(const struct request *q, const struct outlet *to, struct str *messages)
{
	CLEANUP(arena_free) struct arena a = {0};
	const struct options *o = &q->options;
	struct watch_options wo = {0};
	struct program p = {.trace_fd = -1,
			    .signals = -1,
			    .w = {.signals = -1},
			    .keep = {.last_whole = -1, .lock = PTHREAD_MUTEX_INITIALIZER}};
	bool gctrace = option_set(o, OPT_GCTRACE);
	struct err err = {0}, why = {0};
	char **argv;

	arena_init(&a, 0);
	if (!take_command(q, &a, &argv, &err) || !watch_options_take(o, &wo, &err)) {
		message_add(messages, &err);
		return EXIT_USAGE;
	}
	if (gctrace)
		set_gctrace(&a);
	trace_init(&p.trace, STDERR_FILENO, false);
	if (!start(&p, argv, gctrace, &err)) {
		message_add(messages, &err);
		return EXIT_FAILED;
	}
	sandbox_command(SANDBOX_CHILD | (option_set(o, OPT_OUTPUT) ? SANDBOX_WRITE : 0), p.pid);
	if (!attach(&p, wo.hz, &why) && !p.ended)
		str_addf(messages, "whyrss: it is not watched: %s\n", why.msg);
	if (p.watching && option_set(o, OPT_OUTPUT) && !open_recording(&p, o, wo.hz, &err))
		message_add(messages, &err);
	if (p.watching)
		watch_program(&p);
	while (!p.ended)
		wait_program(&p, SECOND);
	while (p.trace_fd >=
	       0) { /* what it printed last; a child of it may keep it open for ever */
		struct pollfd v = {p.trace_fd, POLLIN, 0};

		if (poll(&v, 1, 200) <= 0)
			break;
		take_trace(&p);
	}
	if (p.watching)
		watch_close(&p.w);
	if (p.keep.rec && (!recording_end(p.keep.rec, p.seen_ns, "the program has ended",
					  p.keep.failed ? NULL : &p.keep.err) ||
			   p.keep.failed)) {
		err_in(&p.keep.err, "the recording ends early, what was written is kept");
		message_add(messages, &p.keep.err);
	}
	if (p.seen_ns)
		add_summary(&p, messages);
	trace_summary(&p.trace, messages, style_choose(to, o).utf8);
	trace_free(&p.trace);
	cleanup_fd(&p.signals);
	return WIFEXITED(p.status) ? WEXITSTATUS(p.status) : 128 + WTERMSIG(p.status);
}
