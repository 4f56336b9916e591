/* `whyrss pprof -http=HOST:PORT`: the page of `whyrss serve`, with one profile on its shelf. */
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "front/pprof.h"
#include "front/web.h"
#include "pprof/gotext.h"

#define TRIES	100 /* to reach the server before a browser is started */
#define TRY_MS	100
#define ADDRESS 300

/* A socket of the address: bound to it, or connected. -1: it can't be. */
static int open_socket(const char *host, const char *port, bool bound)
{
	struct addrinfo want = {.ai_socktype = SOCK_STREAM}, *found;
	int fd = -1;

	if (getaddrinfo(host, port, &want, &found) != 0)
		return -1;
	fd = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, 0);
	if (fd >= 0 && (bound ? bind(fd, found->ai_addr, found->ai_addrlen)
			      : connect(fd, found->ai_addr, found->ai_addrlen)) != 0) {
		close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	return fd;
}

/* A port that is free now. */
static bool free_port(const char *host, char port[static 8])
{
	int fd = open_socket(host, "0", true);
	struct sockaddr_storage at;
	socklen_t n = sizeof(at);
	bool ok = fd >= 0 && getsockname(fd, (struct sockaddr *)&at, &n) == 0 &&
		  getnameinfo((struct sockaddr *)&at, n, NULL, 0, port, 8, NI_NUMERICSERV) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

/* As the reference has it: a host that is left out is this machine, a port that is, any. */
static bool address(const char *text, char host[static 256], char port[static 8], struct err *err)
{
	const char *colon = strrchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : 0;
	bool brackets = n >= 2 && *text == '[' && text[n - 1] == ']';

	if (!colon || n >= 256 || strlen(colon + 1) >= 8 || (!brackets && memchr(text, ':', n)))
		return err_set(err, ERR_USAGE, "-http=%.80s: give HOST:PORT, as localhost:8080",
			       text);
	snprintf(host, 256, "%.*s", (int)(brackets ? n - 2 : n), text + brackets);
	if (!*host)
		snprintf(host, 256, "127.0.0.1");
	snprintf(port, 8, "%s", colon + 1);
	if (*port)
		return true;
	return free_port(host, port) || err_set(err, ERR_OS, "-http: no free port at %.80s", host);
}

/* Waits for the server in a process of its own, then starts a browser. */
static void browse(const char *host, const char *port, const char *url, struct arena *mem)
{
	pid_t pid = fork();
	int fd = -1;

	if (pid > 0)
		waitpid(pid, NULL, 0);
	if (pid)
		return;
	if (fork())
		_exit(0);
	for (int i = 0; i < TRIES && fd < 0; i++) {
		poll(NULL, 0, TRY_MS);
		fd = open_socket(host, port, false);
	}
	if (fd >= 0)
		pprof_browse(url, mem);
	_exit(0);
}

enum exit_code pprof_http(const struct pprof_call *call, const struct pprof *p, struct arena *mem,
			  struct str *messages)
{
	const char *source = call->from.sources[call->from.n_sources - 1];
	char host[256], port[8], listen[ADDRESS], url[ADDRESS + 16];
	struct serve_options o = {.listen = listen, .profile = p, .profile_mem = mem};
	struct err err = {0};

	if (!address(call->http, host, port, &err)) {
		message_add(messages, &err);
		return err.kind == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
	}
	snprintf(listen, sizeof(listen), strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
	snprintf(url, sizeof(url), "http://%s/", listen);
	o.profile_name = go_path_base(mem, source);
	(void)!write(STDERR_FILENO, messages->s, messages->n);
	messages->n = 0;
	if (!call->no_browser && isatty(STDOUT_FILENO) == 1)
		browse(host, port, url, mem);
	return serve_with(&o, messages);
}
