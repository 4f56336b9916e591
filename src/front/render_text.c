/*
 * Reports for people, in as many columns as there are. A table's cells are first made into safe
 * text, then the columns get their widths: what is least needed goes, prose wraps, names are cut,
 * and a bar takes what is left.
 */
#include <math.h>
#include <string.h>

#include "base/unit.h"
#include "front/render.h"

#define INDENT	  2U
#define GAP	  2U
#define BAR_MIN	  8U
#define BAR_MAX	  50U
#define NAME_MIN  24U
#define PROSE_MIN 20U
#define ELLIPSIS  "\xe2\x80\xa6"
#define MINUS	  "\xe2\x88\x92"
#define DOT	  "\xc2\xb7"

enum ink { INK_PLAIN, INK_BOLD, INK_DIM, INK_BAR, INK_LESS, INK_WARN };
static const char *const INKS[] = {"", "\033[1m", "\033[2m", "\033[36m", "\033[35m", "\033[33m"};

struct page {
	struct str *to;
	struct arena mem; /* scratch */
	const struct text_style *style;
	bool gap; /* the last line was empty */
};

static void ink(struct page *p, enum ink i)
{
	if (p->style->colour && i != INK_PLAIN)
		str_add(p->to, INKS[i]);
}

static void ink_off(struct page *p, enum ink i)
{
	if (p->style->colour && i != INK_PLAIN)
		str_add(p->to, "\033[0m");
}

static void spaces(struct str *to, uint32_t n)
{
	while (n--)
		str_addn(to, " ", 1);
}

/* Foreign text made safe, in the page's scratch. */
static const char *safe(struct page *p, const char *s)
{
	struct str b = {0};
	const char *ret;

	str_add_plain(&b, s ? s : "");
	ret = arena_strdup(&p->mem, b.s ? b.s : "");
	str_free(&b);
	return ret;
}

/* Safe text is valid UTF-8: the byte behind `n` characters, or the end. */
static const char *skip(const char *s, size_t n)
{
	for (; *s && n; n--)
		for (s++; (*s & 0xc0) == 0x80; s++)
			;
	return s;
}

/* Bytes of s that make one line of at most `width` columns, broken at a space where there is one.
 */
static size_t line_length(const char *s, uint32_t width, bool cut)
{
	const char *end = skip(s, width), *at = end;

	if (!*end || *end == ' ')
		return (size_t)(end - s);
	while (at > s && *at != ' ')
		at--;
	if (at > s)
		return (size_t)(at - s);
	if (cut)
		return (size_t)(end - s);
	return strcspn(s, " "); /* a word that is longer than the line: kept whole */
}

/* Wraps safe text at `width` columns, with `hang` spaces before every line but the first. Ends with
 * a newline. */
static void wrap(struct str *to, const char *text, uint32_t width, uint32_t hang)
{
	uint32_t room = width > hang + 20 ? width - hang : 20;
	bool first = true;

	do {
		size_t n = line_length(text, room, false);

		if (!first)
			spaces(to, hang);
		str_addn(to, text, n);
		str_add(to, "\n");
		for (text += n; *text == ' '; text++)
			;
		first = false;
	} while (*text);
}

/* As wrap with ink, which ends with each line: a pager may show any line alone. */
static void wrap_inked(struct page *p, const char *text, uint32_t hang, enum ink i)
{
	struct str lines = {0};

	wrap(&lines, text, p->style->width, hang);
	for (const char *at = lines.s; *at;) {
		size_t n = strcspn(at, "\n");

		ink(p, i);
		str_addn(p->to, at, n);
		ink_off(p, i);
		str_add(p->to, "\n");
		at += n + 1;
	}
	str_free(&lines);
}

/* --- cells --- */

static bool at_right(enum column_type t)
{
	switch (t) {
	case COLUMN_TEXT:
	case COLUMN_PATH:
	case COLUMN_PROSE:
	case COLUMN_BAR:
	case COLUMN_HISTOGRAM:
		return false;
	default:
		return true;
	}
}

static bool is_name(enum column_type t)
{
	return t == COLUMN_TEXT || t == COLUMN_PATH;
}

static const char *percent(struct arena *a, double share)
{
	double p = share * 100, m = fabs(p);
	const char *sign = p < 0 && m >= 0.05 ? MINUS : "";

	if (m == 0)
		return "0 %";
	if (m < 0.05)
		return "<0.1 %";
	return arena_printf(a, "%s%.*f %%", sign, m < 9.95 ? 1 : 0, m);
}

static const char *histogram(struct arena *a, const struct value *v)
{
	static const char *const blocks[] = {"\xe2\x96\x81", "\xe2\x96\x82", "\xe2\x96\x83",
					     "\xe2\x96\x84", "\xe2\x96\x85", "\xe2\x96\x86",
					     "\xe2\x96\x87", "\xe2\x96\x88"};
	struct str text = {0};
	const char *ret;
	double most = 0;

	for (uint32_t i = 0; i < value_count(v); i++)
		most = MAX(most, value_number(&v->list->items.v[i].v));
	for (uint32_t i = 0; i < value_count(v); i++) {
		double n = value_number(&v->list->items.v[i].v);

		str_add(&text,
			n > 0 ? blocks[MIN((size_t)ceil(n * 8 / most), (size_t)8) - 1] : DOT);
	}
	ret = arena_strdup(a, text.s ? text.s : "");
	str_free(&text);
	return ret;
}

static int64_t whole(const struct value *v)
{
	if (v->kind == VALUE_INT)
		return v->i;
	if (v->kind == VALUE_UINT)
		return v->u > INT64_MAX ? INT64_MAX : (int64_t)v->u;
	if (v->kind == VALUE_DOUBLE && fabs(v->d) < 9e18)
		return (int64_t)v->d;
	return 0;
}

/* The cell as safe text; for a STEP the sign comes first, with a space where there is none. */
static const char *cell_text(struct page *p, const struct column *c, const struct value *v,
			     uint32_t flags)
{
	char text[UNIT_TEXT];

	if (v->kind == VALUE_NULL)
		return at_right(c->type) && c->type != COLUMN_FIGURE && !(flags & ROW_SUM) ? "?"
											   : "";
	if (v->kind == VALUE_BOOL)
		return v->b ? "yes" : "no";
	if (v->kind == VALUE_STR)
		return safe(p, v->s);
	if ((c->type == COLUMN_MIB || c->type == COLUMN_COUNT) && !(flags & ROW_SUM) &&
	    !(fabs(value_number(v)) > 0))
		return DOT; /* nothing at all, as against a little */
	switch (c->type) {
	case COLUMN_COUNT:
		return arena_strdup(&p->mem,
				    v->kind == VALUE_INT && v->i < 0
					    ? arena_printf(&p->mem, MINUS "%s",
							   unit_count(text, -(uint64_t)v->i))
					    : unit_count(text, (uint64_t)whole(v)));
	case COLUMN_BYTES:
		return arena_strdup(&p->mem, unit_bytes(text, (bytes)whole(v)));
	case COLUMN_MIB:
		return arena_strdup(&p->mem, unit_mib(text, whole(v)));
	case COLUMN_STEP: {
		int64_t n = whole(v);
		const char *sign = flags & ROW_SUM ? " " : n < 0 ? MINUS : "+";

		return arena_printf(&p->mem, "%s %s", sign,
				    unit_mib(text, n < 0 && !(flags & ROW_SUM) ? -n : n));
	}
	case COLUMN_PERCENT:
		return percent(&p->mem, value_number(v));
	case COLUMN_DURATION:
		return arena_strdup(&p->mem, unit_duration(text, whole(v)));
	case COLUMN_HISTOGRAM:
		return histogram(&p->mem, v);
	case COLUMN_BAR:
		return "";
	default:
		return arena_printf(&p->mem, "%lld", (long long)whole(v));
	}
}

/* --- tables --- */

struct grid {
	const struct table *t;
	const struct row **rows; /* those that are shown */
	const char ***text;	 /* [row][column] */
	uint32_t n_rows, left_out;
	uint32_t *width; /* a column's; 0: not shown */
	double *most;	 /* the largest amount of a bar's column */
};

static void choose_rows(struct page *p, struct grid *g)
{
	const struct table *t = g->t;
	uint32_t seen = 0;

	g->rows = ARENA_ARRAY(&p->mem, const struct row *, t->rows.n + 1);
	for (uint32_t i = 0; i < t->rows.n; i++) {
		const struct row *r = &t->rows.v[i];

		if (r->flags & ROW_DATA)
			continue;
		if ((r->flags & ROW_QUIET) && !p->style->all) {
			g->left_out += !t->no_heading;
			continue;
		}
		if (!(r->flags & (ROW_SUM | ROW_SHOWN)) && t->limit && seen >= t->limit) {
			g->left_out++;
			continue;
		}
		seen += !(r->flags & (ROW_SUM | ROW_SHOWN));
		g->rows[g->n_rows++] = r;
	}
}

/* A column that may be left out and says nothing but zeros is. */
static bool is_idle(const struct grid *g, uint32_t c)
{
	if (!g->t->columns[c].drop)
		return false;
	for (uint32_t i = 0; i < g->n_rows; i++) {
		const struct value *v = &g->rows[i]->cells[c];

		if (v->kind == VALUE_STR ? *v->s != '\0'
					 : v->kind >= VALUE_ARRAY || fabs(value_number(v)) > 0)
			return false;
	}
	return true;
}

static void measure(struct page *p, struct grid *g)
{
	const struct table *t = g->t;

	g->width = ARENA_ARRAY(&p->mem, uint32_t, t->n_columns);
	g->most = ARENA_ARRAY(&p->mem, double, t->n_columns);
	g->text = ARENA_ARRAY(&p->mem, const char **, g->n_rows + 1);
	for (uint32_t i = 0; i < g->n_rows; i++)
		g->text[i] = ARENA_ARRAY(&p->mem, const char *, t->n_columns);
	for (uint32_t c = 0; c < t->n_columns; c++) {
		const struct column *col = &t->columns[c];

		if (!col->title || (!p->style->all && is_idle(g, c)))
			continue;
		g->width[c] = t->no_heading ? 0 : (uint32_t)str_columns(col->title);
		for (uint32_t i = 0; i < g->n_rows; i++) {
			const struct value *v = &g->rows[i]->cells[c];

			g->text[i][c] = cell_text(p, col, v, g->rows[i]->flags);
			g->width[c] = MAX(g->width[c], (uint32_t)str_columns(g->text[i][c]));
			if (col->type == COLUMN_BAR && fabs(value_number(v)) > g->most[c])
				g->most[c] = fabs(value_number(v));
		}
		if (col->type == COLUMN_BAR)
			g->width[c] = g->most[c] > 0 ? BAR_MIN : 0;
	}
}

static bool flexible(const struct page *p, const struct column *c)
{
	return c->type == COLUMN_PROSE || (p->style->cut && is_name(c->type));
}

static uint32_t least(const struct page *p, const struct grid *g, uint32_t c)
{
	const struct column *col = &g->t->columns[c];

	if (!flexible(p, col))
		return g->width[c];
	return MIN(g->width[c], col->type == COLUMN_PROSE ? PROSE_MIN : NAME_MIN);
}

/* Columns of text that the table takes at least. */
static uint32_t total_least(const struct page *p, const struct grid *g)
{
	uint32_t sum = INDENT;

	for (uint32_t c = 0; c < g->t->n_columns; c++)
		if (g->width[c])
			sum += least(p, g, c) + (sum > INDENT ? GAP : 0);
	return sum;
}

static void fit(const struct page *p, struct grid *g)
{
	uint32_t room, open = 0, bar = UINT32_MAX, n = g->t->n_columns;

	while (total_least(p, g) > p->style->width) {
		uint32_t worst = UINT32_MAX;

		for (uint32_t c = 0; c < n; c++)
			if (g->width[c] && g->t->columns[c].drop &&
			    (worst == UINT32_MAX ||
			     g->t->columns[c].drop > g->t->columns[worst].drop))
				worst = c;
		if (worst == UINT32_MAX)
			break;
		g->width[worst] = 0;
	}
	/* What the flexible columns may share: each gets its wish or its part, the most modest
	 * first. */
	room = p->style->width > INDENT ? p->style->width - INDENT : 0;
	for (uint32_t c = 0, shown = 0; c < n; c++) {
		uint32_t fixed;

		if (!g->width[c])
			continue;
		fixed = (flexible(p, &g->t->columns[c]) ? 0 : g->width[c]) + (shown++ ? GAP : 0);
		open += flexible(p, &g->t->columns[c]);
		room -= MIN(room, fixed);
		if (g->t->columns[c].type == COLUMN_BAR)
			bar = c;
	}
	while (open) {
		uint32_t modest = UINT32_MAX;

		for (uint32_t c = 0; c < n; c++)
			if (g->width[c] && !(g->width[c] & 0x80000000U) &&
			    flexible(p, &g->t->columns[c]) &&
			    (modest == UINT32_MAX || g->width[c] < g->width[modest]))
				modest = c;
		g->width[modest] = MIN(g->width[modest], MAX(room / open, least(p, g, modest)));
		room -= MIN(room, g->width[modest]);
		g->width[modest] |= 0x80000000U; /* settled */
		open--;
	}
	for (uint32_t c = 0; c < n; c++)
		g->width[c] &= 0x7fffffffU;
	if (bar != UINT32_MAX && g->width[bar])
		g->width[bar] = MIN(BAR_MAX, g->width[bar] + room);
}

static void add_bar(struct page *p, double v, double most, uint32_t width)
{
	double eighths = most > 0 ? fmin(fabs(v) / most, 1) * width * 8 : 0;
	uint32_t full, part;
	enum ink i = v < 0 ? INK_LESS : INK_BAR;
	char block[] = "\xe2\x96\x88";

	if (isnan(v) || isinf(v) || !(eighths >= 1)) /* nor is a part of infinity a number */
		return;
	full = (uint32_t)eighths / 8;
	part = (uint32_t)eighths % 8;
	ink(p, i);
	for (uint32_t k = 0; k < full; k++)
		str_add(p->to, v < 0 ? "\xe2\x96\x91" : "\xe2\x96\x88");
	if (part && v >= 0) {
		block[2] =
			(char)(block[2] + (char)(8 - part)); /* U+2588 is full, U+258F one eighth */
		str_add(p->to, block);
	} else if (part && !full) {
		str_add(p->to, "\xe2\x96\x91");
	}
	ink_off(p, i);
}

/* A name that is longer than its column, cut where it tells least. */
static const char *cut(struct page *p, const struct column *c, const char *s, uint32_t width)
{
	size_t n = str_columns(s);
	const char *head, *tail;
	size_t keep;

	if (n <= width || width < 2)
		return s;
	keep = c->type == COLUMN_PATH ? 0 : (width - 1) / 2;
	head = skip(s, keep);
	tail = skip(s, n - (width - 1 - keep));
	return arena_printf(&p->mem, "%.*s" ELLIPSIS "%s", (int)(head - s), s, tail);
}

static enum ink cell_ink(const struct grid *g, const struct row *r, uint32_t c)
{
	if (r->flags & ROW_SUM)
		return INK_BOLD;
	if (c == 0 && g->t->columns[c].type == COLUMN_ID)
		return INK_DIM;
	return INK_PLAIN;
}

static void end_line(struct page *p)
{
	while (p->to->n && p->to->s[p->to->n - 1] == ' ')
		p->to->s[--p->to->n] = '\0';
	str_add(p->to, "\n");
	p->gap = false;
}

/* The last line that prose may take: as much as fits, and a sign that there is more. */
static const char *last_line(struct page *p, const char *s, uint32_t width)
{
	size_t n = line_length(s, width, true);

	if (!s[n] || width < 2)
		return s;
	n = line_length(s, width - 1, true);
	return arena_printf(&p->mem, "%.*s" ELLIPSIS, (int)n, s);
}

/* One line of a row, the nth. *rest[c] is what is left of prose; returns whether there is more. */
static bool add_line(struct page *p, const struct grid *g, const struct row *r, const char **rest,
		     uint32_t nth)
{
	bool more = false, any = false, last = r && g->t->prose_lines == nth && !p->style->all;

	spaces(p->to, INDENT);
	for (uint32_t c = 0; c < g->t->n_columns; c++) {
		const struct column *col = &g->t->columns[c];
		const char *s = rest[c];
		uint32_t width = g->width[c], taken;
		size_t n = strlen(s), sign = 0;
		enum ink i = r ? cell_ink(g, r, c) : INK_DIM;

		if (!width)
			continue;
		if (any)
			spaces(p->to, GAP);
		any = true;
		if (r && nth == 1 && col->type == COLUMN_BAR) {
			add_bar(p, value_number(&r->cells[c]), g->most[c], width);
			continue; /* the last column */
		}
		if (col->type == COLUMN_PROSE) {
			if (last)
				s = last_line(p, s, width);
			n = line_length(s, width, p->style->cut);
		} else if (p->style->cut && is_name(col->type)) {
			s = cut(p, col, s, width);
			n = strlen(s);
		}
		if (col->type == COLUMN_STEP && r && n)
			sign = (size_t)(skip(s, 1) - s);
		taken = (uint32_t)str_columns(arena_strndup(&p->mem, s, n));
		ink(p, i);
		if (sign) {
			str_addn(p->to, s, sign);
			s += sign;
			n -= sign;
		}
		if (at_right(col->type))
			spaces(p->to, width > taken ? width - taken : 0);
		str_addn(p->to, s, n);
		ink_off(p, i);
		if (!at_right(col->type))
			spaces(p->to, width > taken ? width - taken : 0);
		if (col->type == COLUMN_PROSE) {
			for (s += n; *s == ' '; s++)
				;
			rest[c] = s;
			more |= *s != '\0';
		} else {
			rest[c] = "";
		}
	}
	end_line(p);
	return more;
}

static void add_details(struct page *p, const struct row *r)
{
	for (uint32_t i = 0; i < r->details.n; i++) {
		struct str line = {0};

		str_add(&line, DOT " ");
		str_add(&line, safe(p, r->details.v[i]));
		spaces(p->to, INDENT + 3);
		wrap_inked(p, line.s, INDENT + 5, INK_DIM);
		str_free(&line);
	}
}

/* One line under a row, cut in the middle where there is no room. */
static void add_below(struct page *p, const char *s)
{
	static const struct column line = {NULL, "", COLUMN_TEXT, 0};
	uint32_t hang = INDENT + 5;
	uint32_t room = p->style->width > hang + 20 ? p->style->width - hang : 20;

	s = safe(p, s);
	spaces(p->to, hang);
	ink(p, INK_DIM);
	str_add(p->to, p->style->cut ? cut(p, &line, s, room) : s);
	ink_off(p, INK_DIM);
	end_line(p);
}

static void add_left_out(struct page *p, struct grid *g)
{
	if (!g->left_out)
		return;
	ink(p, INK_DIM);
	str_addf(p->to, "  " ELLIPSIS " %u more: --all", g->left_out);
	ink_off(p, INK_DIM);
	end_line(p);
	g->left_out = 0;
}

static void add_title(struct page *p, const char *title)
{
	ink(p, INK_BOLD);
	spaces(p->to, INDENT);
	str_add(p->to, safe(p, title));
	ink_off(p, INK_BOLD);
	end_line(p);
}

static void add_table(struct page *p, const struct table *t)
{
	struct grid g = {.t = t};
	const char **rest = ARENA_ARRAY(&p->mem, const char *, t->n_columns);

	choose_rows(p, &g);
	measure(p, &g);
	fit(p, &g);
	if (t->title)
		add_title(p, t->title);
	if (!t->no_heading && g.n_rows) {
		for (uint32_t c = 0; c < t->n_columns; c++)
			rest[c] = t->columns[c].title ? t->columns[c].title : "";
		while (add_line(p, &g, NULL, rest, 1))
			;
	}
	for (uint32_t i = 0; i < g.n_rows; i++) {
		const struct row *r = g.rows[i];
		uint32_t nth = 1;

		if (r->group) {
			if (i && !p->gap)
				str_add(p->to, "\n");
			add_title(p, r->group);
		}
		if ((r->flags & (ROW_SUM | ROW_SHOWN)) && i)
			add_left_out(p, &g);
		memcpy(rest, g.text[i], sizeof(*rest) * t->n_columns);
		for (uint32_t c = 0; c < t->n_columns; c++)
			if (!rest[c])
				rest[c] = "";
		while (add_line(p, &g, r, rest, nth))
			nth++;
		if (r->below)
			add_below(p, r->below);
		if (p->style->all)
			add_details(p, r);
	}
	add_left_out(p, &g);
}

/* --- the other blocks --- */

static void add_headline(struct page *p, const struct block *b)
{
	const char *left = safe(p, b->text);
	struct str right = {0};
	uint32_t l = (uint32_t)str_columns(left), r;

	for (uint32_t i = 0; i < b->items.n; i++)
		str_addf(&right, "%s%s", i ? "   " : "", safe(p, b->items.v[i]));
	r = right.s ? (uint32_t)str_columns(right.s) : 0;
	if (r && l + 3 + r <= p->style->width) {
		ink(p, INK_BOLD);
		str_add(p->to, left);
		ink_off(p, INK_BOLD);
		spaces(p->to, p->style->width - l - r);
	} else {
		wrap_inked(p, left, INDENT, INK_BOLD);
		spaces(p->to, r ? INDENT : 0);
	}
	if (r) {
		str_add(p->to, right.s);
		end_line(p);
	}
	p->gap = false;
	str_free(&right);
}

static void add_paragraph(struct page *p, const struct block *b, enum ink i)
{
	wrap_inked(p, safe(p, b->text), 0, i);
	p->gap = false;
}

static void add_note(struct page *p, const struct block *b)
{
	static const char lead[] = "note:";

	spaces(p->to, INDENT);
	ink(p, INK_WARN);
	str_add(p->to, lead);
	ink_off(p, INK_WARN);
	str_add(p->to, " ");
	wrap_inked(p, safe(p, b->text), INDENT + (uint32_t)sizeof(lead), INK_PLAIN);
	p->gap = false;
}

static void add_items(struct page *p, const struct block *b)
{
	uint32_t at = INDENT, hang = INDENT;

	spaces(p->to, INDENT);
	if (b->text) {
		ink(p, INK_DIM);
		str_add(p->to, safe(p, b->text));
		ink_off(p, INK_DIM);
		at += (uint32_t)str_columns(b->text);
	}
	for (uint32_t i = 0; i < b->items.n; i++) {
		const char *s = safe(p, b->items.v[i]);
		uint32_t n = (uint32_t)str_columns(s), sep = i ? 3 : b->text ? 1 : 0;

		if (i && at + sep + n > p->style->width) {
			end_line(p);
			spaces(p->to, hang);
			at = hang;
		} else {
			str_add(p->to, sep == 3 ? " " DOT " " : sep ? " " : "");
			at += sep;
		}
		str_add(p->to, s);
		at += n;
	}
	end_line(p);
}

static void add_block(struct page *p, const struct block *b)
{
	switch (b->kind) {
	case BLOCK_HEADLINE:
		add_headline(p, b);
		break;
	case BLOCK_VERDICT:
		add_paragraph(p, b, INK_BOLD);
		break;
	case BLOCK_TEXT:
		add_paragraph(p, b, INK_PLAIN);
		break;
	case BLOCK_NOTE:
		add_note(p, b);
		break;
	case BLOCK_TABLE:
		add_table(p, b->table);
		break;
	case BLOCK_ITEMS:
		add_items(p, b);
		break;
	case BLOCK_GAP:
		if (!p->gap)
			str_add(p->to, "\n");
		p->gap = true;
		break;
	}
}

/* Every character of ours outside of ASCII has a stand-in of the same width; foreign ones become
 * '?'. */
static void to_ascii(struct str *to, const char *s)
{
	static const struct {
		const char *utf8, *ascii;
	} map[] = {
		{"\xc2\xb7", "."},     {ELLIPSIS, "~"},	      {MINUS, "-"},
		{"\xe2\x86\x92", ">"}, {"\xc2\xb1", "~"},     {"\xe2\x96\x91", "-"},
		{"\xe2\x96\x81", "_"}, {"\xe2\x96\x82", "_"}, {"\xe2\x96\x83", "-"},
		{"\xe2\x96\x84", "-"}, {"\xe2\x96\x85", "="}, {"\xe2\x96\x86", "="},
		{"\xe2\x96\x87", "#"}, {"\xc2\xb5", "u"},
	};

	while (*s) {
		const char *next = skip(s, 1);
		size_t n = (size_t)(next - s), i = 0;

		if (n == 1) {
			str_addn(to, s, 1);
		} else {
			while (i < ARRAY_LEN(map) &&
			       (strlen(map[i].utf8) != n || memcmp(map[i].utf8, s, n) != 0))
				i++;
			/* U+2588 … U+258F: a bar */
			str_add(to, i < ARRAY_LEN(map)			  ? map[i].ascii
				    : n == 3 && !memcmp(s, "\xe2\x96", 2) ? "#"
									  : "?");
		}
		s = next;
	}
}

void render_text(struct str *to, const struct report *r, const struct text_style *style)
{
	struct str out = {0};
	struct page p = {.to = &out, .style = style, .gap = true};

	arena_init(&p.mem, 0);
	for (uint32_t i = 0; i < r->blocks.n; i++)
		add_block(&p, &r->blocks.v[i]);
	arena_free(&p.mem);
	if (style->utf8 || !out.s)
		str_addn(to, out.s ? out.s : "", out.n);
	else
		to_ascii(to, out.s);
	str_free(&out);
}
