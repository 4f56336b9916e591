/*
 * Where a report goes: standard output, a file, or through another program (dot, a viewer).
 * Children get a file or a pipe, never a shell.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "front/pprof.h"
#include "pprof/layout.h"

#define SOURCE_FILE_MAX ((size_t)64 << 20)
#define PICTURE_MAX	((bytes)1 << 30)

static const char *read_source(void *ctx, const char *path, struct arena *a, size_t *ret_n,
			       int *ret_errno)
{
	struct err err = {0};
	char *text;

	(void)ctx;
	if (file_read(AT_FDCWD, path, SOURCE_FILE_MAX, a, &text, ret_n, &err))
		return text;
	*ret_errno = err.os ? err.os : EIO;
	return NULL;
}

/* Where a report goes while it is still being made. */
struct drain {
	int fd;	    /* -1: of a file that is not open yet */
	int failed; /* errno; 0: nothing did */
	const char *path;
	struct str *messages;
};

static bool drain_flush(void *ctx, struct str *out)
{
	struct drain *d = ctx;

	if (isatty(d->fd) == 1)
		str_make_plain(out);
	if (!d->failed && !file_write(d->fd, out->s, out->n))
		d->failed = errno;
	out->n = 0;
	return !d->failed;
}

/* --- other programs --- */

bool pprof_filter(const char *const *argv, const struct str *in, bytes limit, struct str *out,
		  struct err *err)
{
	int to[2], from[2], status;
	size_t done = 0;
	bool reading = true;
	pid_t pid;

	if (pipe2(to, O_CLOEXEC) != 0)
		return err_os(err, ERR_OS, "pipe");
	if (pipe2(from, O_CLOEXEC) != 0) {
		err_os(err, ERR_OS, "pipe");
		close(to[0]);
		close(to[1]);
		return false;
	}
	pid = fork();
	if (!pid) {
		dup2(to[0], STDIN_FILENO);
		dup2(from[1], STDOUT_FILENO);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	fcntl(to[1], F_SETFL, O_NONBLOCK);
	while (pid > 0 && reading) {
		struct pollfd fds[2] = {{.fd = from[0], .events = POLLIN},
					{.fd = to[1], .events = POLLOUT}};
		ssize_t n;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (to[1] >= 0 && fds[1].revents) {
			n = write(to[1], in->s + done, in->n - done);
			if (n > 0)
				done += (size_t)n;
			if (done == in->n || (n < 0 && errno != EAGAIN && errno != EINTR)) {
				close(to[1]);
				to[1] = -1;
			}
		}
		if (fds[0].revents) {
			str_room(out, 1U << 16);
			n = read(from[0], out->s + out->n, 1U << 16);
			if (n > 0)
				out->n += (size_t)n;
			reading = (n > 0 || (n < 0 && errno == EINTR)) && out->n < limit;
			out->s[out->n] = '\0';
		}
	}
	if (to[1] >= 0)
		close(to[1]);
	close(from[0]);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return err_os(err, ERR_OS, "%s", argv[0]);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
		err_set(err, ERR_OS, "%s: not found", argv[0]);
		err->os = ENOENT;
		return false;
	}
	if (out->n >= limit)
		return err_set(err, ERR_LIMIT, "%s: prints more than %llu MB", argv[0],
			       (unsigned long long)(limit >> 20));
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return err_set(err, ERR_OS, "%s: failed with %s %d", argv[0],
			       WIFEXITED(status) ? "exit code" : "signal",
			       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return true;
}

/* Without dot, a picture of our own: SVG only. */
static bool draw(const char *format, struct str *report, struct str *messages, struct err *err)
{
	char option[16];
	const char *const argv[] = {"dot", option, NULL};
	struct str picture = {0};
	bool ok;

	snprintf(option, sizeof(option), "-T%s", format);
	ok = pprof_filter(argv, report, PICTURE_MAX, &picture, err);
	if (!ok && err->os == ENOENT && !strcmp(format, "svg")) {
		struct arena a;

		arena_init(&a, 0);
		picture.n = 0;
		str_add(messages,
			"dot is not installed: the picture is simpler than graphviz' own\n");
		ok = layout_svg(report->s ? report->s : "", &a, &picture, err);
		arena_free(&a);
	}
	if (!ok) {
		str_free(&picture);
		return err_in(err,
			      "failed to execute dot; is graphviz installed? -svg goes without");
	}
	str_free(report);
	*report = picture;
	return true;
}

/* --- files --- */

/* "profile001.svg" in this folder: the first that is free. */
static bool save_new(const char *dir, const char *prefix, const char *suffix,
		     const struct str *report, char path[static PATH_MAX], struct err *err)
{
	for (int i = 1; i < 10000; i++) {
		CLEANUP(cleanup_fd) int fd = -1;

		snprintf(path, PATH_MAX, "%s%s%03d.%s", dir, prefix, i, suffix);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd < 0 && errno == EEXIST)
			continue;
		if (fd < 0 || !file_write(fd, report->s, report->n))
			break;
		return true;
	}
	return err_os(err, ERR_OS, "%s", path);
}

static int64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void pprof_shown_end(struct pprof_shown *shown)
{
	int64_t rest = shown->last_ms + 1000 - clock_ms();

	if (shown->files.n && rest > 0)
		poll(NULL, 0, (int)MIN(rest, 1000));
	for (uint32_t i = 0; i < shown->files.n; i++)
		unlink(shown->files.v[i]);
	shown->files.n = 0;
}

/* Starts argv; false: there is no such program. background: it goes on when this returns. */
static bool start(char *const *argv, bool background, int *ret_status)
{
	int failed[2], why = 0;
	pid_t pid;

	*ret_status = 0;
	if (pipe2(failed, O_CLOEXEC) != 0)
		return false;
	pid = fork();
	if (!pid) {
		/* a grandchild in the background is nobody's to wait for */
		if (background && fork())
			_exit(0);
		execvp(argv[0], argv);
		why = errno;
		(void)!write(failed[1], &why, sizeof(why));
		_exit(127);
	}
	close(failed[1]);
	if (read(failed[0], &why, sizeof(why)) <= 0)
		why = 0;
	close(failed[0]);
	if (pid > 0)
		waitpid(pid, ret_status, 0);
	return pid > 0 && !why;
}

/* Starts the first that is there of programs split by '|', with a file or an address. */
static bool start_first(char *names, char *what, bool background, struct arena *mem,
			int *ret_status)
{
	for (char *p = names; *p;) {
		size_t n = strcspn(p, "|");
		char *name = arena_strndup(mem, p, n), *argv[16], *save_ptr;
		int argc = 0;

		p += n + (p[n] == '|');
		for (char *w = strtok_r(name, " ", &save_ptr); w && argc < 14;
		     w = strtok_r(NULL, " ", &save_ptr))
			argv[argc++] = w;
		argv[argc] = what;
		argv[argc + 1] = NULL;
		if (argc && start(argv, background, ret_status))
			return true;
	}
	return false;
}

/* Browsers, the user's own first. */
static void browsers(struct str *to)
{
	const char *own = getenv("BROWSER"), *desk = getenv("DISPLAY");

	str_addf(to, "%s%schrome|google-chrome|chromium|firefox|sensible-browser%s",
		 own && *own ? own : "", own && *own ? "|" : "", desk && *desk ? "|xdg-open" : "");
}

bool pprof_browse(const char *url, struct arena *mem)
{
	struct str names = {0};
	int status;
	bool ok;

	browsers(&names);
	ok = start_first(names.s, arena_strdup(mem, url), true, mem, &status);
	str_free(&names);
	return ok;
}

/* Gives the report to the first viewer that is there. */
static bool view(const struct pprof_command *cmd, const struct str *report,
		 struct pprof_shown *shown, struct err *err)
{
	const char *tmp = getenv("TMPDIR");
	char dir[PATH_MAX - 32], path[PATH_MAX];
	struct str names = {0};
	bool found;
	int status = 0;

	snprintf(dir, sizeof(dir), "%s/", tmp && *tmp ? tmp : "/tmp");
	if (!save_new(dir, "pprof", cmd->suffix, report, path, err))
		return false;
	*VEC_PUSH(shown->mem, &shown->files) = arena_strdup(shown->mem, path);
	if (!strcmp(cmd->viewers, "@"))
		browsers(&names);
	else
		str_add(&names, cmd->viewers);
	found = start_first(names.s, path, shown->shell, shown->mem, &status);
	shown->last_ms = clock_ms();
	if (!found)
		err_set(err, ERR_OS, "%s: none of the programs that show it is there: %.150s",
			cmd->name, names.s);
	str_free(&names);
	if (!found)
		return false;
	if (WIFEXITED(status) && WEXITSTATUS(status))
		return err_set(err, ERR_OS, "%s: the viewer ended with exit code %d", cmd->name,
			       WEXITSTATUS(status));
	return true;
}

/* Writes what there is to the file of option `output`, which is made at the first call. */
static bool file_flush(void *ctx, struct str *out)
{
	struct drain *d = ctx;

	if (d->fd < 0 && !d->failed) {
		str_addf(d->messages, "Generating report in %s\n", d->path);
		d->fd = open(d->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		d->failed = d->fd < 0 ? errno : 0;
	}
	return drain_flush(d, out);
}

/* Straight to a file or standard output, in pieces. A file is not touched before there is
 * something to write: a report that can't be made leaves an old one as it is. */
static bool show_plain(const struct pprof *p, const struct pprof_config *c,
		       const struct pprof_command *cmd, const char *pattern, struct pprof_env *env,
		       struct str *out, struct str *messages, struct err *err)
{
	const char *path = c->v[PPROF_OUTPUT].s;
	struct drain d = {.fd = *path ? -1 : STDOUT_FILENO, .path = path, .messages = messages};
	struct str text = {0};
	size_t had = out->n;
	bool ok;

	env->ctx = &d;
	env->flush = *path ? file_flush : drain_flush;
	ok = pprof_report(p, c, cmd, pattern, env, *path ? &text : out, messages, err);
	env->ctx = NULL;
	if (!ok) /* half a report is none */
		out->n = MIN(out->n, had);
	if (ok && *path && !file_flush(&d, &text)) {
		errno = d.failed;
		ok = err_os(err, ERR_OS, "%s", path);
	}
	if (*path && d.fd >= 0)
		close(d.fd);
	str_free(&text);
	return ok;
}

bool pprof_show(const struct pprof *p, const struct pprof_config *c,
		const struct pprof_command *cmd, const char *pattern, struct pprof_shown *shown,
		struct str *out, struct str *messages, struct err *err)
{
	const char *output = c->v[PPROF_OUTPUT].s;
	bool to_new = *cmd->suffix && !*output && !*cmd->viewers &&
		      (shown->shell || isatty(STDOUT_FILENO) == 1);
	CLEANUP(cleanup_free) char *cwd = getcwd(NULL, 0);
	struct pprof_binaries binaries;
	struct pprof_objects objects;
	struct pprof_env env = {
		.read_file = read_source, .last = !shown->shell, .cwd = cwd, .objects = &objects};
	struct str report = {0};
	char path[PATH_MAX];
	bool ok;

	pprof_binaries_open(&binaries, shown->tools, shown->mem, &objects);
	if (!*cmd->dot && !to_new && (!*cmd->viewers || *output))
		return show_plain(p, c, cmd, pattern, &env, out, messages, err);
	ok = pprof_report(p, c, cmd, pattern, &env, &report, messages, err);
	if (ok && *cmd->dot)
		ok = draw(cmd->dot, &report, messages, err);
	if (ok && *output) {
		CLEANUP(cleanup_fd)
		int fd = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

		str_addf(messages, "Generating report in %s\n", output);
		if (fd < 0 || !file_write(fd, report.s, report.n))
			ok = err_os(err, ERR_OS, "%s", output);
	} else if (ok && *cmd->viewers) {
		ok = view(cmd, &report, shown, err);
	} else if (ok && to_new) {
		ok = save_new("", "profile", cmd->suffix, &report, path, err);
		if (ok)
			str_addf(messages, "Generating report in %s\n", path);
	} else if (ok) {
		str_addn(out, report.s, report.n);
	}
	str_free(&report);
	return ok;
}
