/*
 * A relative path is looked for in each directory of the search path and in all directories above
 * it, an absolute one where it says (internal/report/source.go of google/pprof).
 */
#include "pprof/srcfile.h"

#include <errno.h>
#include <string.h>

#include "pprof/gotext.h"
#include "pprof/graph.h"

#define LINE_MAX_BYTES 65536U /* Go's bufio.Scanner stops at a longer line */

static const char *read_file(struct srcfiles *s, const char *path, size_t *ret_n, int *ret_errno)
{
	*ret_errno = ENOENT;
	return s->env && s->env->read_file
		       ? s->env->read_file(s->env->ctx, path, s->mem, ret_n, ret_errno)
		       : NULL;
}

static const char *open_source(struct srcfiles *s, const char *path, size_t *ret_n,
			       const char **ret_error)
{
	const char *wanted = srcfile_trim(path, s->trim, s->search), *text;
	size_t n;
	int why;

	if (*wanted == '/') {
		text = read_file(s, wanted, ret_n, &why);
		if (!text)
			*ret_error = arena_printf(s->mem, "open %s: %s", wanted,
						  why == ENOENT	  ? "no such file or directory"
						  : why == EACCES ? "permission denied"
								  : strerror(why));
		return text;
	}
	for (const char *p = s->search; *p; p += n, p += *p == ':') {
		char *dir;

		n = strcspn(p, ":");
		dir = arena_strndup(s->mem, p, n);
		for (;;) {
			char *slash, *full = *dir ? arena_printf(s->mem, "%s/%s", dir, wanted)
						  : arena_strdup(s->mem, wanted);

			text = read_file(s, go_path_clean(s->mem, full), ret_n, &why);
			if (text)
				return text;
			slash = strrchr(dir, '/');
			if (!strcmp(dir, "/") || !strcmp(dir, "."))
				break;
			/* filepath.Dir */
			if (!slash)
				dir = arena_strdup(s->mem, ".");
			else
				dir = go_path_clean(
					s->mem,
					arena_strndup(s->mem, dir, (size_t)(slash - dir) + 1));
		}
	}
	*ret_error = arena_printf(s->mem, "could not find file %s on path %s", wanted, s->search);
	return NULL;
}

static void split_lines(struct srcfiles *s, struct srcfile *to, const char *text, size_t n)
{
	VEC(struct srcfile_line) lines = {0};
	const char *end = text + n;

	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t len = (size_t)((newline ? newline : end) - text);

		if (len >= LINE_MAX_BYTES)
			break;
		*VEC_PUSH(s->mem, &lines) =
			(struct srcfile_line){text, len && text[len - 1] == '\r' ? len - 1 : len};
		text += len + (newline != NULL);
	}
	to->lines = lines.v;
	to->n_lines = lines.n;
}

const struct srcfile *srcfile_get(struct srcfiles *s, const char *path, bool read)
{
	struct srcfile *to;
	const char *text;
	size_t n = 0;

	for (uint32_t i = 0; i < s->v.n; i++)
		if (!strcmp(s->v.v[i]->path, path))
			return s->v.v[i];
	if (!read)
		return NULL;
	to = ARENA_NEW(s->mem, struct srcfile);
	to->path = path;
	text = open_source(s, path, &n, &to->error);
	if (text)
		split_lines(s, to, text, n);
	*VEC_PUSH(s->mem, &s->v) = to;
	return to;
}
