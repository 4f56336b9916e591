/*
 * Where a report goes: standard output, a file, or through another program (dot, a viewer).
 * Children get a file or a pipe, never a shell.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "front/pprof.h"

#define SOURCE_FILE_MAX ((size_t)64 << 20)

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

static bool write_all(int fd, const char *s, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t w = write(fd, s + done, n - done);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return false;
		done += (size_t)w;
	}
	return true;
}

/* Where a report goes while it is still being made. */
struct drain {
	int fd;
	int failed; /* errno; 0: nothing did */
};

static bool drain_flush(void *ctx, struct str *out)
{
	struct drain *d = ctx;

	if (!d->failed && !write_all(d->fd, out->s, out->n))
		d->failed = errno;
	out->n = 0;
	return !d->failed;
}

/* --- other programs --- */

/* Runs a program with `in` at its standard input; its output is added to *out. */
static bool filter_through(const char *const *argv, const struct str *in, struct str *out,
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
			reading = n > 0 || (n < 0 && errno == EINTR);
			out->s[out->n] = '\0';
		}
	}
	if (to[1] >= 0)
		close(to[1]);
	close(from[0]);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return err_os(err, ERR_OS, "%s", argv[0]);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return err_set(err, ERR_OS, "%s: not found; install graphviz, or take -dot",
			       argv[0]);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return err_set(err, ERR_OS, "%s: failed with %s %d", argv[0],
			       WIFEXITED(status) ? "exit code" : "signal",
			       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return true;
}

static bool draw(const char *format, struct str *report, struct err *err)
{
	char option[16];
	const char *const argv[] = {"dot", option, NULL};
	struct str picture = {0};

	snprintf(option, sizeof(option), "-T%s", format);
	if (!filter_through(argv, report, &picture, err)) {
		str_free(&picture);
		return false;
	}
	str_free(report);
	*report = picture;
	return true;
}

/* --- files --- */

/* "profile001.svg" in this folder: the first that is free. */
static bool save_new(const char *dir, const char *prefix, const char *suffix,
		     const struct str *report, char path[static 256], struct err *err)
{
	for (int i = 1; i < 10000; i++) {
		CLEANUP(cleanup_fd) int fd = -1;

		snprintf(path, 256, "%s%s%03d.%s", dir, prefix, i, suffix);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd < 0 && errno == EEXIST)
			continue;
		if (fd < 0 || !write_all(fd, report->s, report->n))
			break;
		return true;
	}
	return err_os(err, ERR_OS, "%s", path);
}

/* The first viewer that is there, with the file; BROWSER first where a browser is wanted. */
static bool view(const struct pprof_command *cmd, const struct str *report, struct err *err)
{
	static const char browsers[] =
		"chrome|google-chrome|chromium|firefox|sensible-browser|xdg-open";
	const char *names[2] = {NULL, cmd->viewers};
	const char *tmp = getenv("TMPDIR");
	char dir[128], path[256];

	if (!strcmp(cmd->viewers, "@")) {
		names[0] = getenv("BROWSER");
		names[1] = browsers;
	}
	snprintf(dir, sizeof(dir), "%s/", tmp ? tmp : "/tmp");
	if (!save_new(dir, "pprof", *cmd->suffix ? cmd->suffix : cmd->dot, report, path, err))
		return false;
	for (unsigned i = 0; i < 2; i++)
		for (const char *p = names[i] ? names[i] : ""; *p; p += *p == '|') {
			size_t n = strcspn(p, "|");
			char name[128], *argv[4], *save_ptr;
			int status, argc = 0;
			pid_t pid;

			snprintf(name, sizeof(name), "%.*s", (int)n, p);
			p += n;
			for (char *w = strtok_r(name, " ", &save_ptr); w && argc < 2;
			     w = strtok_r(NULL, " ", &save_ptr))
				argv[argc++] = w;
			argv[argc++] = path;
			argv[argc] = NULL;
			pid = fork();
			if (!pid) {
				execvp(argv[0], argv);
				_exit(127);
			}
			if (pid < 0 || waitpid(pid, &status, 0) < 0)
				return err_os(err, ERR_OS, "%s", argv[0]);
			if (!WIFEXITED(status) || WEXITSTATUS(status) != 127)
				return true;
		}
	return err_set(err, ERR_OS, "%s: no program to show it; the report is in %s", cmd->name,
		       path);
}

/* Straight to a file or standard output, in pieces. */
static bool show_plain(const struct pprof *p, const struct pprof_config *c,
		       const struct pprof_command *cmd, const char *pattern, struct pprof_env *env,
		       struct str *out, struct str *messages, struct err *err)
{
	const char *path = c->v[PPROF_OUTPUT].s;
	CLEANUP(cleanup_fd) int fd = -1;
	struct drain d = {.fd = STDOUT_FILENO};
	struct str text = {0};
	bool ok;

	env->ctx = &d;
	env->flush = drain_flush;
	if (!*path) {
		ok = pprof_report(p, c, cmd, pattern, env, out, messages, err);
		env->ctx = NULL;
		return ok;
	}
	/* A file is not touched before the report has something to say. */
	env->flush = NULL;
	if (cmd->format == PPROF_RAW || cmd->format == PPROF_TRACES) {
		str_addf(messages, "Generating report in %s\n", path);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (fd < 0) {
			env->ctx = NULL;
			return err_os(err, ERR_OS, "%s", path);
		}
		d.fd = fd;
		env->flush = drain_flush;
	}
	ok = pprof_report(p, c, cmd, pattern, env, &text, messages, err);
	env->ctx = NULL;
	if (ok && fd < 0) {
		str_addf(messages, "Generating report in %s\n", path);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		d.fd = fd;
	}
	if (ok && (fd < 0 || !drain_flush(&d, &text))) {
		errno = d.failed ? d.failed : errno;
		ok = err_os(err, ERR_OS, "%s", path);
	}
	str_free(&text);
	return ok;
}

bool pprof_show(const struct pprof *p, const struct pprof_config *c,
		const struct pprof_command *cmd, const char *pattern, bool shell, struct str *out,
		struct str *messages, struct err *err)
{
	const char *output = c->v[PPROF_OUTPUT].s;
	bool to_new = *cmd->suffix && !*output && (shell || isatty(STDOUT_FILENO) == 1);
	CLEANUP(cleanup_free) char *cwd = getcwd(NULL, 0);
	struct pprof_env env = {.read_file = read_source, .cwd = cwd};
	struct str report = {0};
	char path[256];
	bool ok;

	if (!*cmd->dot && !to_new && (!*cmd->viewers || *output))
		return show_plain(p, c, cmd, pattern, &env, out, messages, err);
	ok = pprof_report(p, c, cmd, pattern, &env, &report, messages, err);
	if (ok && *cmd->dot)
		ok = draw(cmd->dot, &report, err);
	if (ok && *output) {
		CLEANUP(cleanup_fd)
		int fd = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

		str_addf(messages, "Generating report in %s\n", output);
		if (fd < 0 || !write_all(fd, report.s, report.n))
			ok = err_os(err, ERR_OS, "%s", output);
	} else if (ok && *cmd->viewers) {
		ok = view(cmd, &report, err);
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
