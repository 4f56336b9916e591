/*
 * Function names for pictures, as google/pprof shortens them (ShortenFunctionName in
 * internal/graph/graph.go): the patterns there are written out here as small matchers.
 */
#include "pprof/shorten.h"

#include <string.h>

#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define WORD   UPPER LOWER DIGITS "_"

static bool is_in(char c, const char *set)
{
	return c && strchr(set, c);
}

/* ^(.*?)/v(?:[2-9]|[1-9][0-9]+)([./].*)$ without its middle. */
static const char *drop_version(struct arena *a, const char *s)
{
	if (strchr(s, '\n'))
		return s; /* . is no newline */
	for (const char *p = s; (p = strstr(p, "/v")); p++) {
		size_t n = strspn(p + 2, DIGITS);

		if (!n || p[2] == '0' || (n == 1 && p[2] == '1') || !is_in(p[2 + n], "./"))
			continue;
		return arena_printf(a, "%.*s%s", (int)(p - s), s, p + 2 + n);
	}
	return s;
}

/* ^(?:[\w\-\.]+\/)+([^.]+\..+) : a Go function behind its package path. */
static const char *go_name(const char *s)
{
	const char *best = NULL, *p = s;

	for (;;) {
		size_t n = strspn(p, WORD "-.");

		if (!n || p[n] != '/')
			break;
		p += n + 1;
		/* the rest: something without a dot, a dot, something */
		n = strcspn(p, ".");
		if (n && p[n] == '.' && p[n + 1] && p[n + 1] != '\n')
			best = p;
	}
	return best;
}

/* ^(?:[a-z]\w*\.)*([A-Z][\w\$]*\.(?:<init>|[a-z][\w\$]*(?:\$\d+)?))(?:(?:\()|$) */
static const char *java_name(struct arena *a, const char *s)
{
	const char *p = s, *from;
	size_t n;

	while (is_in(*p, LOWER) && p[n = strspn(p, WORD)] == '.')
		p += n + 1;
	from = p;
	if (!is_in(*p, UPPER))
		return NULL;
	p += strspn(p, WORD "$");
	if (*p++ != '.')
		return NULL;
	if (!strncmp(p, "<init>", 6))
		p += 6;
	else if (is_in(*p, LOWER))
		p += strspn(p, WORD "$");
	else
		return NULL;
	return *p == '(' || !*p ? arena_strndup(a, from, (size_t)(p - from)) : NULL;
}

/* ^(?:[_a-zA-Z]\w*::)+(_*[A-Z]\w*::~?[_a-zA-Z]\w*(?:<.*>)?) : as few namespaces less than possible.
 */
static const char *cpp_name(struct arena *a, const char *s)
{
	const char *best = NULL, *p = s, *best_end = NULL;
	size_t n;

	while (is_in(*p, UPPER LOWER "_") && !strncmp(p + (n = strspn(p, WORD)), "::", 2)) {
		const char *q;

		p += n + 2;
		q = p + strspn(p, "_");
		if (!is_in(*q, UPPER))
			continue;
		q += strspn(q, WORD);
		if (strncmp(q, "::", 2) != 0)
			continue;
		q += 2;
		q += *q == '~';
		if (!is_in(*q, UPPER LOWER "_"))
			continue;
		q += strspn(q, WORD);
		if (*q == '<') { /* to the last > of the line */
			size_t line = strcspn(q, "\n");

			while (line && q[line - 1] != '>')
				line--;
			q += line;
		}
		best = p;
		best_end = q;
	}
	return best ? arena_strndup(a, best, (size_t)(best_end - best)) : NULL;
}

const char *shorten_name(struct arena *a, const char *name)
{
	static const char anonymous[] = "(anonymous namespace)::";
	const char *s = name, *found;

	if (!strncmp(s, anonymous, sizeof(anonymous) - 1))
		s += sizeof(anonymous) - 1;
	s = drop_version(a, s);
	found = go_name(s);
	if (found) /* .+ ends at the line's end */
		return arena_strndup(a, found,
				     strcspn(found, ".") + 1 +
					     strcspn(found + strcspn(found, ".") + 1, "\n"));
	found = java_name(a, s);
	if (!found)
		found = cpp_name(a, s);
	return found ? found : s;
}
