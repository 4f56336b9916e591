/*
 * The shell of `whyrss pprof`: reads lines and prints what pprof_words.c makes of them. On a
 * terminal libedit lets them be edited. Piped lines get no prompt, as google/pprof does it.
 */
#include <histedit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "front/pprof_words.h"

#define LINE_BYTES   65536
#define HISTORY_SIZE 500

static void put(int fd, struct str *s)
{
	if (isatty(fd) == 1)
		str_make_plain(s);
	file_write(fd, s->s, s->n);
	s->n = 0;
}

/* One line, and what it printed; false: the end. */
static bool do_line(struct pprof_session *s, const char *line)
{
	struct str out = {0}, messages = {0};
	bool more = pprof_session_line(s, line, &out, &messages);

	put(STDERR_FILENO, &messages);
	put(STDOUT_FILENO, &out);
	str_free(&out);
	str_free(&messages);
	return more;
}

static char *prompt(EditLine *el)
{
	static char text[] = "(pprof) ";

	(void)el;
	return text;
}

/* The tab key: goes on as far as it is certain; where it is not, shows what there is. */
static unsigned char complete(EditLine *el, int key)
{
	struct str line = {0}, to = {0}, choices = {0};
	struct pprof_session *s = NULL;
	const LineInfo *at = el_line(el);
	unsigned char ret = CC_ERROR;

	(void)key;
	el_get(el, EL_CLIENTDATA, &s);
	str_addn(&line, at->buffer, (size_t)(at->cursor - at->buffer));
	if (s && pprof_session_complete(s, line.n ? line.s : "", &to, &choices)) {
		if (to.n != line.n || memcmp(to.s, line.s, to.n) != 0) {
			el_deletestr(el, (int)line.n);
			el_insertstr(el, to.s);
			ret = CC_REFRESH;
		} else if (choices.n) {
			(void)!write(STDOUT_FILENO, "\n", 1);
			put(STDOUT_FILENO, &choices);
			ret = CC_REDISPLAY;
		}
	}
	str_free(&line);
	str_free(&to);
	str_free(&choices);
	return ret;
}

static void edit_lines(struct pprof_session *s, EditLine *el)
{
	History *past = history_init();
	HistEvent event;
	const char *line;
	int n;

	history(past, &event, H_SETSIZE, HISTORY_SIZE);
	history(past, &event, H_SETUNIQUE, 1);
	el_set(el, EL_CLIENTDATA, s);
	el_set(el, EL_PROMPT, prompt);
	el_set(el, EL_EDITOR, "emacs");
	el_set(el, EL_SIGNAL, 1); /* the terminal is put right before a signal ends it */
	el_set(el, EL_HIST, history, past);
	el_set(el, EL_ADDFN, "pprof-complete", "complete a name", complete);
	el_set(el, EL_BIND, "^I", "pprof-complete", NULL);
	el_set(el, EL_BIND, "^R", "em-inc-search-prev", NULL);
	while ((line = el_gets(el, &n)) && n > 0) {
		if (*line != '\n')
			history(past, &event, H_ENTER, line);
		if (!do_line(s, line))
			break;
	}
	history_end(past);
}

/* A line that is too long is refused whole. */
static void read_lines(struct pprof_session *s)
{
	char *line = malloc(LINE_BYTES);
	bool skipping = false;

	while (line && fgets(line, LINE_BYTES, stdin)) {
		size_t n = strlen(line);
		bool whole = n + 1 < LINE_BYTES || line[n - 1] == '\n';

		if (!whole && !skipping)
			fprintf(stderr, "a line has more than %d bytes\n", LINE_BYTES - 2);
		if (whole && !skipping && !do_line(s, line))
			break;
		skipping = !whole;
	}
	free(line);
}

void pprof_shell(const struct pprof *p, const struct pprof_config *c, const char *tools,
		 struct arena *mem)
{
	struct str messages = {0};
	struct pprof_session s;
	EditLine *el = NULL;

	pprof_session_open(&s, p, c, tools, mem);
	pprof_session_greet(&s, &messages);
	put(STDERR_FILENO, &messages);
	str_free(&messages);
	if (isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1)
		el = el_init("whyrss", stdin, stdout, stderr);
	if (el) {
		edit_lines(&s, el);
		el_end(el);
	} else {
		read_lines(&s);
	}
	pprof_shown_end(&s.shown);
}
