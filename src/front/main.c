/*
 * The program's entry: looks at where the output goes, has the request run, writes what came back.
 * Nothing else in this program prints or exits.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/file.h"
#include "front/pprof.h"
#include "front/run.h"
#include "front/sandbox.h"
#include "front/source.h"

/* A closed descriptor 0, 1 or 2 would be taken by the next file that is opened. */
static void keep_standard_files(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) < 0)
			_exit(EXIT_FAILED);
}

static const char *env(const char *name)
{
	const char *s = getenv(name);

	return s && *s ? s : NULL;
}

static struct outlet outlet_look(void)
{
	struct outlet o = {.terminal = isatty(STDOUT_FILENO) == 1,
			   .term = env("TERM"),
			   .no_color = env("NO_COLOR") != NULL};
	struct winsize w;

	o.locale = env("LC_ALL");
	if (!o.locale)
		o.locale = env("LC_CTYPE");
	if (!o.locale)
		o.locale = env("LANG");
	if (o.terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0)
		o.width = w.ws_col;
	return o;
}

/* What a command may do is a property of its view, of its options, and of what it is to read. */
static void give_up_rights(const struct request *q)
{
	static const struct {
		enum view_flag view;
		unsigned allow;
	} views[] = {{VIEW_WRITES, SANDBOX_WRITE}, {VIEW_NET, SANDBOX_WRITE | SANDBOX_NET}};
	static const struct {
		enum option_id option;
		unsigned allow;
	} options[] = {{OPT_OUTPUT, SANDBOX_WRITE},
		       {OPT_JUNIT, SANDBOX_WRITE},
		       {OPT_FREEZE, SANDBOX_STOP}};
	static const unsigned sources[SOURCE_KINDS] = {
		[SOURCE_RECORDING] = SANDBOX_WRITE, /* SQLite's index of what was written last */
		[SOURCE_PROFILE] = SANDBOX_CODE,    /* it may hold names of C++ */
		[SOURCE_FILE] = SANDBOX_CODE,
		[SOURCE_URL] = SANDBOX_NET | SANDBOX_WRITE, /* what came is kept */
	};
	const char *const *words = q->words;
	unsigned allow = 0;

	if (!q->view || !(q->view->flags & (VIEW_READS | VIEW_WRITES | VIEW_NET)))
		return; /* it starts a program, and does this after it */
	for (size_t i = 0; i < ARRAY_LEN(views); i++)
		allow |= q->view->flags & views[i].view ? views[i].allow : 0;
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		allow |= option_set(&q->options, options[i].option) ? options[i].allow : 0;
	for (uint32_t i = 0; i < q->n_words; i++)
		allow |= sources[source_look(words[i])];
	allow |= q->target ? sources[source_look(q->target)] : 0;
	allow |= q->second ? sources[source_look(q->second)] : 0;
	sandbox_command(allow, 0);
}

int main(int argc, char **argv)
{
	struct str out = {0}, messages = {0};
	struct outlet to;
	struct request q;
	struct err err = {0};
	enum exit_code code;

	signal(SIGPIPE, SIG_IGN);
	keep_standard_files();
	to = outlet_look();
	if (argc > 1 && !strcmp(argv[1], "pprof")) {
		code = pprof_run(argc - 1, (const char *const *)argv + 1, &out, &messages);
	} else if (request_parse(argc, (const char *const *)argv, &q, &err)) {
		give_up_rights(&q);
		code = request_run(&q, &to, &out, &messages);
	} else {
		message_add(&messages, &err);
		code = EXIT_USAGE;
	}
	/* A reader that has seen enough, as head(1), is no failure. */
	if (!file_write(STDOUT_FILENO, out.s, out.n) && errno != EPIPE) {
		str_addf(&messages, "whyrss: standard output: %s\n", strerror(errno));
		code = EXIT_FAILED;
	}
	str_make_plain(&messages); /* a name from a file may be in one */
	file_write(STDERR_FILENO, messages.s, messages.n);
	str_free(&out);
	str_free(&messages);
	return code;
}
