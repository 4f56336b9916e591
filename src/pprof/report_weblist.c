/*
 * Source with the instructions that were made of each line, as a page of HTML. What is counted and
 * shown is google/pprof's (internal/report/source.go); the page around it is our own.
 */
#include <stdlib.h>
#include <string.h>

#include "pprof/gotext.h"
#include "pprof/objects.h"
#include "pprof/report_in.h"
#include "pprof/set.h"
#include "pprof/srcfile.h"

#define RANGES_MAX   25U  /* stretches of code that are disassembled */
#define AROUND	     500U /* bytes shown around a sample */
#define NEAR	     32U  /* bytes in which a line number still goes for what has none */
#define SAME_ROUTINE 20	  /* lines between samples of one function that are shown in one piece */
#define LINES_AROUND 5
#define INDENT_MAX   4096

/* An address with samples; `loc` is the location that made it of interest, PPROF_NONE: none did. */
struct sampled {
	uint64_t addr;
	int64_t flat, cum;
	uint32_t seen; /* sample that counted it last, plus 1 */
	pindex loc;
	void *object; /* NULL: its binary can't be read */
};

struct call {
	const char *file;
	int64_t line;
};

/* An instruction, or an address whose code is not known. */
struct inst {
	uint64_t addr, linked, length;
	const char *text; /* NULL: not known */
	const char *file;
	int64_t line, flat, cum;
};

/* An instruction below a line; calls: those that were inlined between the two, outermost first. */
struct shown {
	int64_t line;
	uint32_t inst;
	uint32_t order;
	const char *function;
	const struct call *calls;
	uint32_t n_calls;
};

struct file {
	const char *name;
	VEC(struct shown) shown;
};

struct range {
	uint64_t begin, end;
	void *object;
	const char *path;
	int64_t score;
};

/* Lines of one function in one piece. */
struct piece {
	const char *function;
	int64_t begin, end; /* end is behind the last */
	int64_t flat, cum;
};

struct opened {
	const char *path;
	void *object;
};

struct weblist {
	struct report *r;
	const struct pprof_objects *objects;
	struct srcfiles sources;
	VEC(struct sampled) sampled;
	struct pprof_set by_addr;	     /* of sampled */
	uint64_t *synthetic, next_synthetic; /* by location */
	uint8_t *visited;		     /* by location */
	VEC(struct opened) opened;
	VEC(struct inst) insts;
	VEC(struct file) files;
	/* names of functions that the pattern means, and for linkers' names those for people */
	struct pprof_set interest;
	VEC(const char *) interesting;
	struct pprof_set pretty;
	VEC(const char *) pretty_from;
	VEC(const char *) pretty_to;
};

static uint64_t text_hash(const struct weblist *w, const char *s)
{
	return hash_bytes((uintptr_t)w->r->mem, s, strlen(s));
}

static bool is_interesting(const struct weblist *w, const char *name)
{
	uint32_t at = 0, i;

	while ((i = pprof_set_next(&w->interest, text_hash(w, name), &at)) != PPROF_NONE &&
	       w->interesting.v)
		if (!strcmp(w->interesting.v[i], name))
			return true;
	return false;
}

static void add_interest(struct weblist *w, const char *name)
{
	if (is_interesting(w, name))
		return;
	pprof_set_add(&w->interest, w->r->mem, text_hash(w, name), w->interesting.n);
	*VEC_PUSH(w->r->mem, &w->interesting) = name;
}

static uint32_t find_pretty(const struct weblist *w, const char *name)
{
	uint32_t at = 0, i;

	while ((i = pprof_set_next(&w->pretty, text_hash(w, name), &at)) != PPROF_NONE &&
	       w->pretty_from.v)
		if (!strcmp(w->pretty_from.v[i], name))
			break;
	return i;
}

static void add_pretty(struct weblist *w, const char *system, const char *name)
{
	uint32_t i = find_pretty(w, system);

	if (i == PPROF_NONE) {
		pprof_set_add(&w->pretty, w->r->mem, text_hash(w, system), w->pretty_from.n);
		*VEC_PUSH(w->r->mem, &w->pretty_from) = system;
		*VEC_PUSH(w->r->mem, &w->pretty_to) = name;
	} else {
		w->pretty_to.v[i] = name;
	}
}

/* --- samples --- */

static struct sampled *sampled_at(struct weblist *w, uint64_t addr)
{
	uint64_t hash = hash_mix((uintptr_t)w->r->mem, addr);
	uint32_t at = 0, i;

	while ((i = pprof_set_next(&w->by_addr, hash, &at)) != PPROF_NONE && w->sampled.v)
		if (w->sampled.v[i].addr == addr)
			return &w->sampled.v[i];
	pprof_set_add(&w->by_addr, w->r->mem, hash, w->sampled.n);
	*VEC_PUSH(w->r->mem, &w->sampled) = (struct sampled){.addr = addr, .loc = PPROF_NONE};
	return &w->sampled.v[w->sampled.n - 1];
}

static void *object_of(struct weblist *w, pindex mapping)
{
	const struct pprof_mapping *m;
	const char *path;
	struct err why = {0};
	void *object;

	if (mapping == PPROF_NONE)
		return NULL;
	m = &w->r->l.mappings[mapping];
	path = lens_text(&w->r->l, m->file);
	for (uint32_t i = 0; i < w->opened.n; i++)
		if (!strcmp(w->opened.v[i].path, path))
			return w->opened.v[i].object;
	object = w->objects ? w->objects->open(w->objects->ctx, path, m->start, m->limit, m->offset,
					       &why)
			    : NULL;
	*VEC_PUSH(w->r->mem, &w->opened) = (struct opened){path, object};
	return object;
}

static void mark(struct weblist *w, struct sampled *s, pindex loc, const struct pprof_line *line)
{
	const struct pprof_function *f;

	if (line->function == PPROF_NONE)
		return;
	f = &w->r->l.functions[line->function];
	add_interest(w, lens_text(&w->r->l, f->name));
	add_interest(w, lens_text(&w->r->l, f->system_name));
	if (s->loc == PPROF_NONE) {
		s->loc = loc;
		s->object = object_of(w, w->r->l.locations[loc].mapping);
	}
}

static bool line_matches(struct weblist *w, const struct pprof_line *line)
{
	const struct lens *l = &w->r->l;
	pstr texts[3];

	if (line->function == PPROF_NONE)
		return false;
	texts[0] = l->functions[line->function].name;
	texts[1] = l->functions[line->function].system_name;
	texts[2] = l->functions[line->function].file;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (rx_match(w->r->symbol, lens_text(l, texts[i]), lens_string(l, texts[i]).n))
			return true;
	return false;
}

/* What a location has of interest: the same every time that it is met. */
static void visit(struct weblist *w, pindex loc, struct sampled *s, bool by_address)
{
	const struct lens *l = &w->r->l;
	const struct pprof_location *at = &l->locations[loc];
	const struct pprof_line *lines = l->lines + at->line_at;
	bool whole = false;

	for (uint32_t j = 0; j < at->n_lines; j++)
		if (lines[j].function != PPROF_NONE) {
			const struct pprof_function *f = &l->functions[lines[j].function];

			add_pretty(w, lens_text(l, f->system_name), lens_text(l, f->name));
		}
	if (by_address) {
		if (at->n_lines)
			mark(w, s, loc, &lines[at->n_lines - 1]);
		return;
	}
	if (at->mapping != PPROF_NONE) {
		struct pprof_string file = lens_string(l, l->mappings[at->mapping].file);

		whole = rx_match(w->r->symbol, file.s, file.n);
	}
	for (uint32_t j = 0; j < at->n_lines; j++)
		if ((j == 0 && whole) || line_matches(w, &lines[j]))
			mark(w, s, loc, &lines[j]);
}

static void count_samples(struct weblist *w)
{
	const struct report *r = w->r;
	const struct lens *l = &r->l;
	uint64_t address = 0;
	bool by_address = go_parse_uint(rx_pattern(r->symbol), &address);

	w->visited = ARENA_ARRAY(r->mem, uint8_t, (size_t)l->n_locations + 1);
	w->synthetic = ARENA_ARRAY(r->mem, uint64_t, (size_t)l->n_locations + 1);
	w->next_synthetic = 1;
	for (uint32_t i = 0; i < r->p->n_mappings; i++)
		w->next_synthetic = MAX(w->next_synthetic, l->mappings[i].limit);
	for (uint32_t k = 0; k < l->n_samples; k++) {
		const pindex *locs;
		uint32_t n, i = lens_sample(l, k, &locs, &n), leaf = 0;
		const int64_t *values = r->p->values + (size_t)i * r->p->n_types;
		int64_t v = values[r->value];

		if (r->mean && values[0])
			v = go_div(v, values[0]);
		while (l->hidden && leaf < n && l->hidden[locs[leaf]])
			leaf++;
		for (uint32_t j = n; j-- > leaf;) {
			pindex loc = locs[j];
			uint64_t addr = l->locations[loc].address;
			struct sampled *s;

			if (l->hidden && l->hidden[loc])
				continue;
			if (!addr) {
				if (!w->synthetic[loc])
					w->synthetic[loc] = w->next_synthetic++;
				addr = w->synthetic[loc];
			}
			s = sampled_at(w, addr);
			if (s->seen != k + 1) /* a recursion counts once */
				s->cum = go_add(s->cum, v);
			s->seen = k + 1;
			if (j == leaf)
				s->flat = go_add(s->flat, v);
			if (!w->visited[loc])
				visit(w, loc, s, by_address && addr == address);
			w->visited[loc] = 1;
		}
	}
}

/* --- instructions --- */

static const char *file_name(struct weblist *w, const char *s)
{
	s += str_starts(s, "/proc/self/cwd/") ? strlen("/proc/self/cwd/") : 0;
	s += str_starts(s, "./") ? 2 : 0;
	return go_path_clean(w->r->mem, s);
}

/* Puts an instruction below the lines of all functions of interest among its frames. */
static void add_frames(struct weblist *w, uint32_t inst, const struct pprof_frame *v, uint32_t n)
{
	struct arena *a = w->r->mem;

	for (uint32_t i = 0; i < n; i++) {
		struct call *calls;
		const char *name;
		struct file *f = NULL;

		if (!is_interesting(w, v[i].function))
			continue;
		name = file_name(w, v[i].file);
		for (uint32_t k = 0; k < w->files.n && !f; k++)
			if (!strcmp(w->files.v[k].name, name))
				f = &w->files.v[k];
		if (!f) {
			f = VEC_PUSH(a, &w->files);
			*f = (struct file){.name = name};
		}
		calls = ARENA_ARRAY(a, struct call, i + 1);
		for (uint32_t k = 0; k < i; k++)
			calls[k] = (struct call){v[i - 1 - k].file, v[i - 1 - k].line};
		*VEC_PUSH(a, &f->shown) = (struct shown){.line = v[i].line,
							 .inst = inst,
							 .order = f->shown.n,
							 .function = v[i].function,
							 .calls = calls,
							 .n_calls = i};
	}
}

/* A location whose binary can't be read is shown by what the profile says of it. */
static void add_unknown(struct weblist *w, const struct sampled *s)
{
	const struct lens *l = &w->r->l;
	const struct pprof_location *at = &l->locations[s->loc];
	struct pprof_frame *v = ARENA_ARRAY(w->r->mem, struct pprof_frame, at->n_lines + 1);
	uint32_t n = 0;

	for (uint32_t j = 0; j < at->n_lines; j++) {
		const struct pprof_line *line = &l->lines[at->line_at + j];

		if (line->function == PPROF_NONE)
			continue;
		v[n++] = (struct pprof_frame){lens_text(l, l->functions[line->function].name),
					      lens_text(l, l->functions[line->function].file),
					      line->line};
	}
	*VEC_PUSH(w->r->mem, &w->insts) = (struct inst){.addr = s->addr,
							.linked = s->addr,
							.length = 1,
							.file = n ? v->file : "",
							.line = n ? v->line : 0};
	add_frames(w, w->insts.n - 1, v, n);
}

static int by_sampled(const void *a, const void *b)
{
	const struct sampled *x = a, *y = b;

	return (x->addr > y->addr) - (x->addr < y->addr);
}

static int by_score(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return (x->begin > y->begin) - (x->begin < y->begin);
}

/* Samples that are near each other, with the code around them. */
static struct range *find_ranges(struct weblist *w, uint32_t *ret_n)
{
	const struct sampled *v = w->sampled.v;
	uint32_t n = w->sampled.n, m = 0;
	struct range *ranges = ARENA_ARRAY(w->r->mem, struct range, n + 1);

	for (uint32_t i = 0, next; i < n; i = next) {
		const struct pprof_mapping *at;
		uint64_t begin = v[i].addr, end = begin;
		int64_t score = v[i].flat;

		next = i + 1;
		if (v[i].loc == PPROF_NONE || !v[i].object)
			continue;
		at = &w->r->l.mappings[w->r->l.locations[v[i].loc].mapping];
		for (; next < n; next++) {
			if (v[next].loc == PPROF_NONE || !v[next].object)
				continue;
			if (v[next].addr > end + 2 * AROUND || v[next].addr >= at->limit)
				break;
			end = v[next].addr;
			score = go_add(score, v[next].flat);
		}
		begin = at->start - begin >= AROUND ? begin - AROUND : at->start;
		end = at->limit - end >= AROUND ? end + AROUND : at->limit;
		ranges[m++] = (struct range){begin, end, v[i].object, lens_text(&w->r->l, at->file),
					     score};
	}
	qsort(ranges, m, sizeof(*ranges), by_score);
	*ret_n = MIN(m, RANGES_MAX);
	return ranges;
}

static void add_range(struct weblist *w, const struct range *x)
{
	struct arena *a = w->r->mem;
	struct pprof_insts list = {0};
	struct pprof_frame last[PPROF_FRAMES], v[PPROF_FRAMES];
	uint64_t begin, end, base, last_addr = 0, highest = 0;
	uint32_t n_last = 0;
	struct err err = {0};

	if (!w->objects->linked(x->object, x->begin, &begin) ||
	    !w->objects->linked(x->object, x->end, &end)) {
		str_addf(w->r->messages,
			 "%.200s: no code is shown at %llx: the mapping ends there\n", x->path,
			 (unsigned long long)x->begin);
		return;
	}
	if (!w->objects->disassemble(w->objects->ctx, x->path, begin, end,
				     w->r->c.v[PPROF_INTEL_SYNTAX].b, a, &list, &err)) {
		str_addf(w->r->messages, "%s\n", err.msg);
		return;
	}
	base = x->begin - begin;
	for (uint32_t i = 0; i < list.v.n; i++) {
		const struct pprof_inst *in = &list.v.v[i];
		uint64_t addr = in->addr + base;
		uint32_t n;

		if (addr <= highest)
			continue;
		highest = addr;
		n = w->objects->frames(x->object, in->addr, v);
		*VEC_PUSH(a, &w->insts) =
			(struct inst){.addr = addr,
				      .linked = in->addr,
				      .length = i + 1 < list.v.n && list.v.v[i + 1].addr > in->addr
							? list.v.v[i + 1].addr - in->addr
							: 1,
				      .text = in->text,
				      .file = n ? v->file : "",
				      .line = n ? v->line : 0};
		/* what has no line is taken for the line before, if that is near */
		if (n && v->line) {
			memcpy(last, v, n * sizeof(*v));
			n_last = n;
			last_addr = addr;
		} else if (addr - last_addr <= NEAR && n_last) {
			memcpy(v, last, n_last * sizeof(*v));
			n = n_last;
		}
		add_frames(w, w->insts.n - 1, v, n);
	}
}

/* Samples in the middle of an instruction are its own: the return address of a call. */
static void sum_samples(struct weblist *w)
{
	for (uint32_t i = 0; i < w->insts.n; i++) {
		struct inst *x = &w->insts.v[i];
		uint32_t low = 0, high = w->sampled.n;

		while (low < high) {
			uint32_t mid = low + (high - low) / 2;

			if (w->sampled.v[mid].addr < x->addr)
				low = mid + 1;
			else
				high = mid;
		}
		for (; low < w->sampled.n && w->sampled.v[low].addr - x->addr < x->length; low++) {
			x->flat = go_add(x->flat, w->sampled.v[low].flat);
			x->cum = go_add(x->cum, w->sampled.v[low].cum);
		}
	}
}

/* --- the page --- */

static void html(struct str *to, const char *s)
{
	static const char special[] = "&<>\"'";
	static const char *const as[] = {"&amp;", "&lt;", "&gt;", "&#34;", "&#39;"};

	for (; *s; s++) {
		const char *hit = strchr(special, *s);

		if (hit)
			str_add(to, as[hit - special]);
		else
			str_addn(to, s, 1);
	}
}

static int64_t indentation(const char *s)
{
	int64_t column = 0;

	for (; *s == ' ' || *s == '\t'; s++)
		column = *s == ' ' ? column + 1 : (column / 8 + 1) * 8;
	return MIN(column, INDENT_MAX);
}

/* Text behind `indent` spaces, tabs made spaces, up to column 80. */
static const char *padded(struct weblist *w, int64_t indent, const char *s)
{
	struct str line = {0};
	size_t column = (size_t)indent;
	const char *ret;

	for (int64_t i = 0; i < indent; i++)
		str_add(&line, " ");
	for (; *s; s++) {
		column += ((unsigned char)*s & 0xC0) != 0x80;
		if (*s != '\t') {
			str_addn(&line, s, 1);
			continue;
		}
		str_add(&line, " ");
		for (; column % 8; column++)
			str_add(&line, " ");
	}
	for (; column < 80; column++)
		str_add(&line, " ");
	ret = arena_strndup(w->r->mem, line.s, line.n);
	str_free(&line);
	return ret;
}

static const char *source_line(struct weblist *w, const char *file, int64_t line)
{
	const struct srcfile *f = srcfile_get(&w->sources, file, true);

	if (line < 1 || line > f->n_lines)
		return NULL;
	return arena_strndup(w->r->mem, f->lines[line - 1].s, f->lines[line - 1].n);
}

static const char *trimmed(struct weblist *w, const char *s)
{
	size_t n;

	s += strspn(s, " \t\r\v\f");
	for (n = strlen(s); n && strchr(" \t\r\v\f", s[n - 1]);)
		n--;
	return arena_strndup(w->r->mem, s, n);
}

static void value_columns(struct weblist *w, int64_t flat, int64_t cum)
{
	struct str *out = w->r->out;

	go_pad(out, 10, report_value_or_dot(w->r, flat));
	str_add(out, " ");
	go_pad(out, 10, report_value_or_dot(w->r, cum));
	str_add(out, " ");
}

static void print_insts(struct weblist *w, const struct shown *v, uint32_t n, int64_t indent)
{
	struct str *out = w->r->out;
	const struct shown *before = NULL;
	uint64_t expected = 0;

	str_add(out, "<span class=asm>");
	for (uint32_t i = 0; i < n; i++) {
		const struct inst *x = &w->insts.v[v[i].inst];
		bool same = before != NULL;

		if (i && x->addr != expected) {
			str_addf(out, " %8s ", "");
			go_pad(out, 28, "\xe2\x8b\xae");
			str_add(out, "\n");
		}
		expected = x->addr + x->length;
		for (uint32_t j = 0; j < v[i].n_calls; j++) {
			const struct call *c = &v[i].calls[j];
			const char *text;

			if (same && j < before->n_calls && before->calls[j].line == c->line &&
			    !strcmp(before->calls[j].file, c->file))
				continue;
			same = false;
			text = source_line(w, c->file, c->line);
			str_addf(out, " %8s %10s %10s %8s  <span class=inlined>", "", "", "", "");
			html(out,
			     padded(w, indent + 4 + 4 * (int64_t)j, trimmed(w, text ? text : "")));
			str_add(out, "</span> <span class=at>");
			html(out, go_path_base(w->r->mem, c->file));
			str_addf(out, ":%lld</span>\n", (long long)c->line);
		}
		before = &v[i];
		if (!x->text)
			continue;
		str_addf(out, " %8s ", "");
		value_columns(w, x->flat, x->cum);
		str_addf(out, "%8llx: ", (unsigned long long)x->linked);
		html(out, padded(w, indent + 4 + 4 * (int64_t)v[i].n_calls, x->text));
		str_add(out, " <span class=at>");
		if (*x->file) {
			html(out, go_path_base(w->r->mem, x->file));
			str_addf(out, ":%lld", (long long)x->line);
		}
		str_add(out, "</span>\n");
	}
	str_add(out, "</span>");
}

static void print_line(struct weblist *w, const struct file *f, int64_t line, const struct shown *v,
		       uint32_t n)
{
	struct str *out = w->r->out;
	const char *text = source_line(w, f->name, line);
	int64_t flat = 0, cum = 0;
	bool nested = false;

	if (!text && !n)
		return;
	if (!text)
		text = line == 0 ? "<instructions with unknown line numbers>" : "???";
	for (uint32_t i = 0; i < n; i++) {
		flat = go_add(flat, w->insts.v[v[i].inst].flat);
		cum = go_add(cum, w->insts.v[v[i].inst].cum);
		nested |= v[i].n_calls || w->insts.v[v[i].inst].text;
	}
	str_addf(out, "\n<span class=line> %6lld</span> <span class=%s>  ", (long long)line,
		 !n	  ? "none"
		 : nested ? "live"
			  : "dead");
	value_columns(w, flat, cum);
	str_addf(out, "%8s  ", "");
	html(out, text);
	str_add(out, " </span>");
	if (nested)
		print_insts(w, v, n, indentation(text));
}

static int by_line(const void *a, const void *b)
{
	const struct shown *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

/* The end of the run of one line that begins at `at`. */
static uint32_t line_end(const struct file *f, uint32_t at)
{
	uint32_t end = at;

	while (end < f->shown.n && f->shown.v[end].line == f->shown.v[at].line)
		end++;
	return end;
}

static struct piece *find_pieces(struct weblist *w, const struct file *f, uint32_t *ret_n)
{
	struct piece *v = ARENA_ARRAY(w->r->mem, struct piece, f->shown.n + 1);
	uint32_t n = 0;

	for (uint32_t i = 0, end; i < f->shown.n; i = end) {
		const struct shown *first = &f->shown.v[i];
		uint32_t pretty = find_pretty(w, first->function);
		struct piece x = {.function = pretty == PPROF_NONE ? first->function
								   : w->pretty_to.v[pretty],
				  .begin = first->line,
				  .end = first->line + 1};

		end = line_end(f, i);
		for (uint32_t k = i; k < end; k++) {
			x.flat = go_add(x.flat, w->insts.v[f->shown.v[k].inst].flat);
			x.cum = go_add(x.cum, w->insts.v[f->shown.v[k].inst].cum);
		}
		if (n && x.begin - v[n - 1].end < SAME_ROUTINE &&
		    !strcmp(v[n - 1].function, x.function)) {
			v[n - 1].end = x.end;
			v[n - 1].flat = go_add(v[n - 1].flat, x.flat);
			v[n - 1].cum = go_add(v[n - 1].cum, x.cum);
		} else {
			v[n++] = x;
		}
	}
	/* lines around; two pieces share what is between them */
	for (uint32_t i = 0; i < n; i++) {
		if (i == 0) {
			/* line 0 stands for all that have none */
			if (v[i].begin > LINES_AROUND)
				v[i].begin -= LINES_AROUND;
			else if (v[i].begin > 1)
				v[i].begin = 1;
		} else {
			int64_t half = MIN((v[i].begin - v[i - 1].end) / 2, LINES_AROUND);

			v[i - 1].end += half;
			v[i].begin -= half;
		}
	}
	if (n)
		v[n - 1].end += LINES_AROUND;
	*ret_n = n;
	return v;
}

static bool print_file(struct weblist *w, struct file *f)
{
	struct report *r = w->r;
	struct piece *v;
	uint32_t n, at = 0;

	qsort(f->shown.v, f->shown.n, sizeof(*f->shown.v), by_line);
	v = find_pieces(w, f, &n);
	for (uint32_t i = 0; i < n; i++) {
		if (!v[i].cum)
			continue;
		str_add(r->out, "<h2>");
		html(r->out, v[i].function);
		str_add(r->out, "</h2><p class=file>");
		html(r->out, f->name);
		str_add(r->out, "</p>\n<pre>\n  Total:  ");
		go_pad(r->out, 10, report_value_text(r, v[i].flat));
		str_add(r->out, " ");
		go_pad(r->out, 10, report_value_text(r, v[i].cum));
		str_addf(r->out, " (flat, cum) %s", report_percent_text(r, v[i].cum, r->total));
		for (int64_t line = v[i].begin; line < v[i].end; line++) {
			uint32_t end;

			while (at < f->shown.n && f->shown.v[at].line < line)
				at++;
			end = at < f->shown.n && f->shown.v[at].line == line ? line_end(f, at) : at;
			print_line(w, f, line, f->shown.v + at, end - at);
		}
		str_add(r->out, "\n</pre>\n");
		if (!report_flush(r))
			return false;
	}
	return true;
}

static int by_file_name(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

static void print_head(struct weblist *w)
{
	static const char style[] =
		"<style>body{font-family:sans-serif}h2{font-size:1.3em}.line,.none,.at{color:#888}"
		".inlined{color:#226}.live{cursor:pointer}.live:hover{background:#eee}"
		".asm{display:none;color:#060}.open+.asm{display:block}</style>\n"
		"<script>addEventListener('click',function(e){if(e.target.className.startsWith("
		"'live'))e.target.classList.toggle('open')})</script>\n";
	struct report *r = w->r;
	struct str labels = {0};

	str_add(r->out, "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8><title>");
	html(r->out, r->title ? r->title : "");
	str_addf(r->out, "</title>\n%s</head>\n<body>\n<div class=head>", style);
	report_profile_labels(r, &labels);
	for (char *line = labels.s; line && *line;) {
		char *end = line + strcspn(line, "\n");

		*end = '\0';
		html(r->out, line);
		str_add(r->out, "<br>\n");
		line = end + 1 < labels.s + labels.n ? end + 1 : NULL;
	}
	str_addf(r->out, "Total: %s</div>\n", report_value_text(r, r->total));
	str_free(&labels);
}

bool report_weblist(struct report *r)
{
	struct weblist w = {.r = r,
			    .objects = r->env ? r->env->objects : NULL,
			    .sources = {.mem = r->mem,
					.env = r->env,
					.search = r->c.v[PPROF_SOURCE_PATH].s,
					.trim = r->c.v[PPROF_TRIM_PATH].s}};
	struct range *ranges;
	uint32_t n;

	if (!*w.sources.search)
		w.sources.search = r->env && r->env->cwd ? r->env->cwd : "";
	count_samples(&w);
	if (!w.interesting.n)
		return err_set(r->err, ERR_FORMAT, "no matches found for regexp: %.200s",
			       rx_pattern(r->symbol));
	qsort(w.sampled.v, w.sampled.n, sizeof(*w.sampled.v), by_sampled);
	ranges = find_ranges(&w, &n);
	for (uint32_t i = 0; i < w.sampled.n; i++)
		if (w.sampled.v[i].loc != PPROF_NONE && !w.sampled.v[i].object)
			add_unknown(&w, &w.sampled.v[i]);
	for (uint32_t i = 0; i < n; i++)
		add_range(&w, &ranges[i]);
	sum_samples(&w);
	if (w.files.n)
		qsort(w.files.v, w.files.n, sizeof(*w.files.v), by_file_name);
	print_head(&w);
	for (uint32_t i = 0; i < w.files.n; i++)
		if (!print_file(&w, &w.files.v[i]))
			return true;
	str_add(r->out, "</body></html>\n");
	return true;
}
