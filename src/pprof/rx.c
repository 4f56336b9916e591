/*
 * A pattern is parsed as Go's regexp/syntax parses it and written anew for PCRE2, so that what Go
 * refuses is refused here and what means something else to PCRE2 ($, \s, \v, \C …) is spelled out.
 * Only whether there is a match matters, so groups need no numbers and lazy means greedy.
 * Backtracking is bounded; where the bound is hit the DFA matcher, which does not backtrack,
 * decides.
 */
#include "pprof/rx.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define PATTERN_MAX 65536U
#define DEPTH_MAX   1000U
#define REPEAT_MAX  1000U
#define MATCH_LIMIT 200000U
#define HEAP_KIB    16384U
#define DFA_WORK    4096U

struct rx {
	struct arena *mem;
	const char *pattern;
	char *literal; /* all of the pattern, where it has no operator */
	size_t n_literal;
	pcre2_code *code;
	pcre2_match_data *data;
	pcre2_match_context *limits;
	int *dfa; /* work space, made on first use */
	bool gave_up;
};

/* --- parsing --- */

struct parser {
	struct arena *mem;
	const char *p, *start;
	struct str out;	    /* for PCRE2 */
	struct str literal; /* what the pattern means while it is nothing but text */
	bool is_literal;
	unsigned depth;
	VEC(const char *) names;
	struct err *err;
};

static bool fail(struct parser *ps, const char *code, const char *from, const char *to)
{
	return err_set(ps->err, ERR_USAGE, "error parsing regexp: %s: `%.*s`", code,
		       (int)MIN(to - from, 120), from);
}

/* The code point at *at, moving behind it; false when it is no UTF-8. */
static bool next_rune(const char **at, uint32_t *ret)
{
	const unsigned char *u = (const unsigned char *)*at;
	unsigned len = u[0] < 0x80 ? 1 : u[0] >> 5 == 6 ? 2 : u[0] >> 4 == 14 ? 3 : 4;
	static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t c = len == 1 ? u[0] : u[0] & (0x7fU >> len);

	if (len == 4 && u[0] >> 3 != 30)
		return false;
	for (unsigned i = 1; i < len; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return false;
		c = c << 6 | (u[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return false;
	*at += len;
	*ret = c;
	return true;
}

static void add_utf8(struct str *to, uint32_t c)
{
	char b[4];

	if (c < 0x80) {
		str_addn(to, (b[0] = (char)c, b), 1);
	} else if (c < 0x800) {
		b[0] = (char)(0xc0 | c >> 6);
		b[1] = (char)(0x80 | (c & 0x3f));
		str_addn(to, b, 2);
	} else if (c < 0x10000) {
		b[0] = (char)(0xe0 | c >> 12);
		b[1] = (char)(0x80 | (c >> 6 & 0x3f));
		b[2] = (char)(0x80 | (c & 0x3f));
		str_addn(to, b, 3);
	} else {
		b[0] = (char)(0xf0 | c >> 18);
		b[1] = (char)(0x80 | (c >> 12 & 0x3f));
		b[2] = (char)(0x80 | (c >> 6 & 0x3f));
		b[3] = (char)(0x80 | (c & 0x3f));
		str_addn(to, b, 4);
	}
}

static void add_literal(struct parser *ps, uint32_t c)
{
	str_addf(&ps->out, "\\x{%x}", c);
	add_utf8(&ps->literal, c);
}

static void add_operator(struct parser *ps, const char *s)
{
	ps->is_literal = false;
	str_add(&ps->out, s);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'		    ? c - '0'
	       : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
						    : -1;
}

/* \xFF or \x{10FFFF}, p behind the x. */
static bool hex_escape(const char **at, uint32_t *ret)
{
	const char *p = *at;
	uint32_t c = 0;

	if (*p == '{') {
		const char *from = ++p;

		for (; hex_digit(*p) >= 0; p++) {
			c = c * 16 + (uint32_t)hex_digit(*p);
			if (c > 0x10ffff)
				return false;
		}
		if (p == from || *p != '}')
			return false;
		p++;
	} else {
		if (hex_digit(p[0]) < 0 || hex_digit(p[1]) < 0)
			return false;
		c = (uint32_t)(hex_digit(p[0]) * 16 + hex_digit(p[1]));
		p += 2;
	}
	*at = p;
	*ret = c;
	return true;
}

/* An escape that stands for one character; p at the backslash. */
static bool char_escape(struct parser *ps, uint32_t *ret)
{
	static const char letters[] = "aftnrv", values[] = "\a\f\t\n\r\v";
	const char *from = ps->p++, *hit;
	char c = *ps->p;

	if (!c)
		return fail(ps, "trailing backslash at end of expression", "", "");
	if (c >= '0' && c <= '7' && (c == '0' || (ps->p[1] >= '0' && ps->p[1] <= '7'))) {
		uint32_t v = (uint32_t)(c - '0');

		ps->p++;
		for (int i = 0; i < 2 && *ps->p >= '0' && *ps->p <= '7'; i++)
			v = v * 8 + (uint32_t)(*ps->p++ - '0');
		*ret = v;
		return true;
	}
	if (c == 'x') {
		ps->p++;
		if (hex_escape(&ps->p, ret))
			return true;
		return fail(ps, "invalid escape sequence", from, ps->p + (*ps->p != '\0'));
	}
	hit = strchr(letters, c);
	if (hit) {
		ps->p++;
		*ret = (unsigned char)values[hit - letters];
		return true;
	}
	if ((unsigned char)c < 0x80 && c > 0 && !((c | 32) >= 'a' && (c | 32) <= 'z') &&
	    !(c >= '0' && c <= '9')) {
		ps->p++;
		*ret = (unsigned char)c;
		return true;
	}
	ps->p++;
	return fail(ps, "invalid escape sequence", from, ps->p);
}

/* What a Perl class is inside brackets; NULL: none. */
static const char *perl_class(char c)
{
	switch (c) {
	case 'd':
		return "0-9";
	case 'D':
		return "\\x{0}-\\x{2f}\\x{3a}-\\x{10ffff}";
	case 's':
		return "\\x{9}\\x{a}\\x{c}\\x{d}\\x{20}";
	case 'S':
		return "\\x{0}-\\x{8}\\x{b}\\x{e}-\\x{1f}\\x{21}-\\x{10ffff}";
	case 'w':
		return "0-9A-Za-z_";
	case 'W':
		return "\\x{0}-\\x{2f}\\x{3a}-\\x{40}\\x{5b}-\\x{5e}\\x{60}\\x{7b}-\\x{10ffff}";
	default:
		return NULL;
	}
}

/* \pN, \p{Greek}, \P{^Lu}: the name is checked by PCRE2, which knows the same ones. */
static bool unicode_class(struct parser *ps)
{
	const char *from = ps->p;
	bool negated = ps->p[1] == 'P';
	const char *name;
	size_t n;

	ps->p += 2;
	if (*ps->p == '{') {
		name = ++ps->p;
		n = strcspn(name, "}");
		if (!name[n])
			return fail(ps, "invalid character class range", from, name + n);
		ps->p += n + 1;
		if (n && *name == '^') {
			negated = !negated;
			name++;
			n--;
		}
	} else {
		name = ps->p;
		n = *name ? 1 : 0;
		ps->p += n;
	}
	if (!n || strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_") < n)
		return fail(ps, "invalid character class range", from, ps->p);
	str_addf(&ps->out, "\\%c{%.*s}", negated ? 'P' : 'p', (int)n, name);
	return true;
}

static bool posix_class(struct parser *ps, bool *ret_found)
{
	static const char *const names[] = {"alnum", "alpha", "ascii", "blank", "cntrl",
					    "digit", "graph", "lower", "print", "punct",
					    "space", "upper", "word",  "xdigit"};
	const char *from = ps->p, *end = strstr(ps->p + 2, ":]"), *name = ps->p + 2;
	bool negated = *name == '^';

	*ret_found = false;
	if (!end)
		return true;
	name += negated;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strlen(names[i]) != (size_t)(end - name) ||
		    strncmp(names[i], name, strlen(names[i])) != 0)
			continue;
		*ret_found = true;
		ps->p = end + 2;
		str_addn(&ps->out, from, (size_t)(ps->p - from));
		return true;
	}
	return fail(ps, "invalid character class range", from, end + 2);
}

static bool class_char(struct parser *ps, const char *whole, uint32_t *ret)
{
	if (!*ps->p)
		return fail(ps, "missing closing ]", whole, ps->p);
	if (*ps->p == '\\')
		return char_escape(ps, ret);
	if (!next_rune(&ps->p, ret))
		return fail(ps, "invalid UTF-8", ps->p, ps->p + strlen(ps->p));
	return true;
}

static bool bracket(struct parser *ps)
{
	const char *whole = ps->p++;
	bool first = true, found;
	uint32_t lo = 0, hi = 0;

	add_operator(ps, "[");
	if (*ps->p == '^') {
		str_add(&ps->out, "^");
		ps->p++;
	}
	for (; *ps->p != ']' || first; first = false) {
		const char *from = ps->p, *perl;

		if (!*ps->p)
			return fail(ps, "missing closing ]", whole, ps->p);
		if (ps->p[0] == '[' && ps->p[1] == ':') {
			if (!posix_class(ps, &found))
				return false;
			if (found)
				continue;
		}
		if (ps->p[0] == '\\' && (ps->p[1] | 32) == 'p') {
			if (!unicode_class(ps))
				return false;
			continue;
		}
		perl = ps->p[0] == '\\' ? perl_class(ps->p[1]) : NULL;
		if (perl) {
			str_add(&ps->out, perl);
			ps->p += 2;
			continue;
		}
		if (!class_char(ps, whole, &lo))
			return false;
		hi = lo;
		if (ps->p[0] == '-' && ps->p[1] && ps->p[1] != ']') {
			ps->p++;
			if (!class_char(ps, whole, &hi))
				return false;
			if (hi < lo)
				return fail(ps, "invalid character class range", from, ps->p);
		}
		str_addf(&ps->out, "\\x{%x}-\\x{%x}", lo, hi);
	}
	ps->p++;
	str_add(&ps->out, "]");
	return true;
}

/* "(?": flags or a name; p at the '('. Sets *ret_open when a group begins. */
static bool group_start(struct parser *ps, bool *ret_open)
{
	const char *from = ps->p, *p = ps->p + 2;
	bool minus = false, any = false;
	char flags[16];
	size_t n = 0;

	*ret_open = true;
	if ((p[0] == 'P' && p[1] == '<') || (p[0] == '<' && p[1] != '=' && p[1] != '!')) {
		const char *name = p + (*p == 'P' ? 2 : 1);
		size_t len =
			strspn(name, "0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrst"
				     "uvwxyz");

		if (name[len] != '>' || !len)
			return fail(ps, "invalid named capture", from,
				    name + len + (name[len] != '\0'));
		for (uint32_t i = 0; i < ps->names.n; i++)
			if (strlen(ps->names.v[i]) == len && !strncmp(ps->names.v[i], name, len))
				return fail(ps, "duplicate capture group name", name, name + len);
		*VEC_PUSH(ps->mem, &ps->names) = arena_strndup(ps->mem, name, len);
		ps->p = name + len + 1;
		add_operator(ps, "(?:");
		return true;
	}
	for (; *p && *p != ':' && *p != ')'; p++) {
		if (*p == '-' && !minus) {
			minus = true;
			any = false;
			flags[n++] = '-';
			continue;
		}
		if (!strchr("imsU", *p) || n >= sizeof(flags) - 2)
			return fail(ps, "invalid or unsupported Perl syntax", from, p + 1);
		any = true;
		if (*p != 'U' && !memchr(flags, *p, n)) /* U: greed, which changes no match */
			flags[n++] = *p;
	}
	if (!*p)
		return fail(ps, "missing argument to repetition operator", from, p);
	if (minus && !any)
		return fail(ps, "invalid or unsupported Perl syntax", from, p + 1);
	if (n == 1 && flags[0] == '-')
		n = 0;
	ps->is_literal = false;
	*ret_open = *p == ':';
	if (*ret_open || n)
		str_addf(&ps->out, "(?%.*s%c", (int)n, flags, *p);
	ps->p = p + 1;
	return true;
}

/* "{2,5}" at p: its end and bounds; NULL: it is text. */
static const char *repeat_end(const char *p, unsigned *lo, unsigned *hi)
{
	uint64_t v[2] = {0, 0};
	bool comma = false;

	for (int i = 0; i < 2; i++) {
		const char *from = ++p;

		for (; *p >= '0' && *p <= '9'; p++)
			v[i] = MIN(v[i] * 10 + (uint64_t)(*p - '0'), (uint64_t)REPEAT_MAX + 1);
		if ((p == from && !i) || (p - from > 1 && *from == '0'))
			return NULL;
		if (!i) {
			comma = *p == ',';
			if (!comma)
				break;
			if (p[1] == '}') {
				*lo = (unsigned)v[0];
				*hi = (unsigned)v[0];
				return p + 2;
			}
		}
	}
	if (*p != '}')
		return NULL;
	*lo = (unsigned)v[0];
	*hi = (unsigned)(comma ? v[1] : v[0]);
	return p + 1;
}

static bool parse(struct parser *ps)
{
	const char *atom = NULL; /* where the thing that can be repeated began */
	const char *last = NULL; /* where the last repetition began, if it stands right here */
	unsigned lo, hi;
	uint32_t c = 0;

	while (*ps->p) {
		const char *from = ps->p, *end = NULL;
		bool open;

		switch (*ps->p) {
		case '(':
			if (ps->depth++ >= DEPTH_MAX)
				return fail(ps, "expression nests too deeply", ps->start,
					    ps->start + strlen(ps->start));
			if (ps->p[1] == '?') {
				if (!group_start(ps, &open))
					return false;
				if (!open)
					ps->depth--;
			} else {
				add_operator(ps, "(?:");
				ps->p++;
			}
			atom = last = NULL;
			continue;
		case '|':
			add_operator(ps, "|");
			ps->p++;
			atom = last = NULL;
			continue;
		case ')':
			if (!ps->depth)
				return fail(ps, "unexpected )", ps->start,
					    ps->start + strlen(ps->start));
			ps->depth--;
			add_operator(ps, ")");
			ps->p++;
			break;
		case '^':
			add_operator(ps, "(?:^)");
			ps->p++;
			break;
		case '$':
			add_operator(ps, "(?:$)");
			ps->p++;
			break;
		case '.':
			add_operator(ps, ".");
			ps->p++;
			break;
		case '[':
			if (!bracket(ps))
				return false;
			break;
		case '*':
		case '+':
		case '?':
			end = ps->p + 1;
			goto repeat;
		case '{':
			end = repeat_end(ps->p, &lo, &hi);
			if (!end) {
				add_literal(ps, '{');
				ps->p++;
				break;
			}
			if (lo > REPEAT_MAX || hi > REPEAT_MAX || hi < lo)
				return fail(ps, "invalid repeat count", from, end);
		repeat:
			if (!atom)
				return fail(ps, "missing argument to repetition operator", from,
					    end);
			if (*end == '?')
				end++;
			if (last)
				return fail(ps, "invalid nested repetition operator", last, end);
			ps->is_literal = false;
			str_addn(&ps->out, from, (size_t)(end - from));
			ps->p = end;
			last = from;
			continue;
		case '\\':
			if (ps->p[1] == 'Q') {
				for (ps->p += 2;
				     *ps->p && !(ps->p[0] == '\\' && ps->p[1] == 'E');) {
					if (!next_rune(&ps->p, &c))
						return fail(ps, "invalid UTF-8", ps->p,
							    ps->p + strlen(ps->p));
					add_literal(ps, c);
				}
				if (*ps->p)
					ps->p += 2;
			} else if (ps->p[1] && strchr("AbBz", ps->p[1])) {
				add_operator(ps,
					     (char[]){'(', '?', ':', '\\', ps->p[1], ')', '\0'});
				ps->p += 2;
			} else if (perl_class(ps->p[1])) {
				add_operator(ps, "[");
				str_add(&ps->out, perl_class(ps->p[1]));
				str_add(&ps->out, "]");
				ps->p += 2;
			} else if ((ps->p[1] | 32) == 'p') {
				ps->is_literal = false;
				if (!unicode_class(ps))
					return false;
			} else {
				if (!char_escape(ps, &c))
					return false;
				add_literal(ps, c);
			}
			break;
		default:
			if (!next_rune(&ps->p, &c))
				return fail(ps, "invalid UTF-8", ps->p, ps->p + strlen(ps->p));
			add_literal(ps, c);
		}
		atom = from;
		last = NULL;
	}
	if (ps->depth)
		return fail(ps, "missing closing )", ps->start, ps->start + strlen(ps->start));
	return true;
}

/* --- PCRE2 in an arena --- */

static void *arena_get(size_t n, void *a)
{
	return arena_alloc(a, n);
}

static void arena_put(void *p, void *a)
{
	(void)p, (void)a;
}

static bool rx_build(struct rx *rx, const struct str *text, struct err *err)
{
	pcre2_general_context *g = pcre2_general_context_create(arena_get, arena_put, rx->mem);
	pcre2_compile_context *c = pcre2_compile_context_create(g);
	PCRE2_SIZE at;
	int code;

	pcre2_set_newline(c, PCRE2_NEWLINE_LF);
	pcre2_set_parens_nest_limit(c, DEPTH_MAX + 8);
	rx->code = pcre2_compile((PCRE2_SPTR)text->s, text->n,
				 PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY |
					 PCRE2_ALT_CIRCUMFLEX | PCRE2_NO_AUTO_CAPTURE,
				 &code, &at, c);
	if (!rx->code) {
		char why[120] = "";

		pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof(why));
		return err_set(err, ERR_USAGE, "error parsing regexp: %s: `%.120s`", why,
			       rx->pattern);
	}
	rx->data = pcre2_match_data_create(1, g);
	rx->limits = pcre2_match_context_create(g);
	pcre2_set_match_limit(rx->limits, MATCH_LIMIT);
	pcre2_set_heap_limit(rx->limits, HEAP_KIB);
	return true;
}

bool rx_compile(struct arena *a, const char *pattern, struct rx **ret, struct err *err)
{
	struct parser ps = {
		.mem = a, .p = pattern, .start = pattern, .is_literal = true, .err = err};
	struct rx *rx = ARENA_NEW(a, struct rx);
	bool ok;

	if (strlen(pattern) > PATTERN_MAX)
		return err_set(err, ERR_USAGE, "error parsing regexp: expression too large");
	rx->mem = a;
	rx->pattern = arena_strdup(a, pattern);
	ok = parse(&ps);
	if (ok && ps.is_literal) {
		rx->literal = arena_strndup(a, ps.literal.s ? ps.literal.s : "", ps.literal.n);
		rx->n_literal = ps.literal.n;
	} else if (ok) {
		ok = rx_build(rx, &ps.out, err);
	}
	str_free(&ps.out);
	str_free(&ps.literal);
	if (ok)
		*ret = rx;
	return ok;
}

bool rx_match(struct rx *rx, const char *s, size_t n)
{
	int found;

	if (!rx->code)
		return !rx->n_literal || memmem(s, n, rx->literal, rx->n_literal);
	found = pcre2_match(rx->code, (PCRE2_SPTR)s, n, 0, 0, rx->data, rx->limits);
	if (found == PCRE2_ERROR_MATCHLIMIT || found == PCRE2_ERROR_DEPTHLIMIT ||
	    found == PCRE2_ERROR_HEAPLIMIT) {
		if (!rx->dfa)
			rx->dfa = ARENA_ARRAY(rx->mem, int, DFA_WORK);
		found = pcre2_dfa_match(rx->code, (PCRE2_SPTR)s, n, 0, PCRE2_DFA_SHORTEST, rx->data,
					NULL, rx->dfa, DFA_WORK);
		rx->gave_up |= found < 0 && found != PCRE2_ERROR_NOMATCH;
	}
	return found >= 0;
}

const char *rx_pattern(const struct rx *rx)
{
	return rx->pattern;
}

bool rx_gave_up(const struct rx *rx)
{
	return rx->gave_up;
}
