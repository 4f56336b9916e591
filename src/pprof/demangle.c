/*
 * Names for people. A C++ name is demangled in full by whoever can (front/ loads a C++ runtime for
 * it) and then shortened here; a name that only looks like C++ is shortened by google/pprof's
 * heuristics (symbolizer.go), which Go's generic names pass unharmed.
 */
#include <string.h>

#include "base/str.h"
#include "pprof/prune.h"

/* Removes nested pairs; a name with a pair that does not match stays as it is from there. */
static void remove_pairs(char *s, char open, char close)
{
	size_t nesting = 0, first = 0;

	for (size_t i = 0; s[i]; i++) {
		if (s[i] == open) {
			if (nesting++ == 0)
				first = i;
		} else if (s[i] == close) {
			if (nesting == 0)
				return;
			if (--nesting == 0) {
				memmove(s + first, s + i + 1, strlen(s + i + 1) + 1);
				i = first - 1;
			}
		}
	}
}

static bool looks_like_cpp(const char *s)
{
	if (strstr(s, ".<") || strstr(s, "])."))
		return false; /* Java's constructors, Go's generic methods */
	return strpbrk(s, "<>[]") || strstr(s, "::");
}

/* The length of an operator's name at s ("operator<<", "operator()"), 0 when there is none. */
static size_t operator_at(const char *s)
{
	static const char *const after[] = {"()", "<<=", ">>=", "<=>", "->*", "<<",
					    ">>", "->",	 "<=",	">=",  "<",   ">"};

	if (!str_starts(s, "operator"))
		return 0;
	for (unsigned i = 0; i < ARRAY_LEN(after); i++)
		if (str_starts(s + 8, after[i]))
			return 8 + strlen(after[i]);
	return 8;
}

/* From a full name to "namespace::class::function": no parameters, templates unless asked for, no
 * return type, no qualifiers behind. */
static char *shorten(const char *full, bool templates, struct arena *a)
{
	static const char anonymous[] = "(anonymous namespace)";
	char *out = arena_alloc(a, strlen(full) + 1);
	size_t n = 0, angle = 0, round = 0;

	for (const char *s = full; *s;) {
		size_t op = angle || round ? 0 : operator_at(s);

		if (!op && !round && !angle && str_starts(s, anonymous))
			op = strlen(anonymous);
		if (op) {
			memcpy(out + n, s, op);
			n += op;
			s += op;
			continue;
		}
		if (*s == '(' && !angle)
			round++;
		else if (*s == '<' && !round)
			angle++;
		if (!round && (!angle || templates))
			out[n++] = *s;
		if (*s == ')' && !angle && round)
			round--;
		else if (*s == '>' && !round && angle)
			angle--;
		s++;
	}
	out[n] = '\0';
	/* what is left beside the name: a return type before it, "const" and "[clone …]" behind */
	for (char *space = strstr(out, " const"); space; space = NULL)
		*space = '\0';
	for (char *clone = strstr(out, " [clone"); clone; clone = NULL)
		*clone = '\0';
	if (!strstr(out, "operator") && !templates) {
		char *name = out;

		for (char *s = out; *s; s++) {
			if (str_starts(s, anonymous))
				s += strlen(anonymous) - 1;
			else if (*s == ' ')
				name = s + 1;
		}
		return name;
	}
	return out;
}

/* Rust's first scheme looks like C++: "…::h0123456789abcdef" with $…$ for what is no identifier. */
static bool rust(const char *full, char *out)
{
	static const struct {
		const char *code, *text;
	} codes[] = {{"$SP$", "@"},  {"$BP$", "*"},  {"$RF$", "&"},  {"$LT$", "<"},  {"$GT$", ">"},
		     {"$LP$", "("},  {"$RP$", ")"},  {"$C$", ","},   {"$u7e$", "~"}, {"$u20$", " "},
		     {"$u27$", "'"}, {"$u5b$", "["}, {"$u5d$", "]"}, {"$u7b$", "{"}, {"$u7d$", "}"},
		     {"$u3b$", ";"}, {"$u2b$", "+"}, {"$u22$", "\""}};
	size_t n = strlen(full), to = 0;

	if (n < 20 || !str_starts(full + n - 19, "::h") ||
	    strspn(full + n - 16, "0123456789abcdef") != 16)
		return false;
	n -= 19;
	for (size_t i = 0; i < n;) {
		unsigned k = 0;

		while (full[i] == '$' && k < ARRAY_LEN(codes) &&
		       !str_starts(full + i, codes[k].code))
			k++;
		if (full[i] == '$' && k < ARRAY_LEN(codes)) {
			out[to++] = codes[k].text[0];
			i += strlen(codes[k].code);
		} else if (full[i] == '.' && full[i + 1] == '.') {
			out[to++] = ':';
			out[to++] = ':';
			i += 2;
		} else if (full[i] == '_' && full[i + 1] == '$' && (i == 0 || full[i - 1] == ':')) {
			i++; /* an identifier may not begin with '$' */
		} else {
			out[to++] = full[i++];
		}
	}
	out[to] = '\0';
	return true;
}

const char *pprof_demangled(const char *name, enum pprof_demangle how, pprof_demangler *demangle,
			    void *ctx, struct arena *a)
{
	const char *full;
	char *out;

	/* macOS puts an underscore before every name */
	name += str_starts(name, "__Z") || str_starts(name, "__R");
	if (!demangle || (!str_starts(name, "_Z") && !str_starts(name, "_R")))
		return NULL;
	full = demangle(ctx, name, a);
	if (!full)
		return NULL;
	out = arena_alloc(a, strlen(full) * 2 + 1);
	if (rust(full, out))
		return out;
	return how == PPROF_DEMANGLE_FULL ? full
					  : shorten(full, how == PPROF_DEMANGLE_TEMPLATES, a);
}

void pprof_demangle(struct pprof *p, enum pprof_demangle how, pprof_demangler *demangle, void *ctx)
{
	struct arena tmp;

	arena_init(&tmp, 0);
	for (uint32_t i = 0; i < p->n_functions; i++) {
		struct pprof_function *f = &p->functions[i];
		const char *system = pprof_text(p, f->system_name), *name;
		struct arena_mark mark = arena_mark(&tmp);
		char *text;

		if (f->name && f->name != f->system_name)
			continue;
		name = pprof_demangled(system, how, demangle, ctx, &tmp);
		if (name) {
			f->name = pprof_str(p, name);
		} else if (how != PPROF_DEMANGLE_FULL && looks_like_cpp(system)) {
			text = arena_strdup(&tmp, system);
			remove_pairs(text, '(', ')');
			if (how == PPROF_DEMANGLE_SHORT)
				remove_pairs(text, '<', '>');
			f->name = pprof_str(p, text);
		} else {
			f->name = f->system_name;
		}
		arena_reset(&tmp, mark);
	}
	arena_free(&tmp);
}
