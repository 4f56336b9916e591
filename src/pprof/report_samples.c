/* Reports that print every sample: traces and raw. */
#include <stdlib.h>
#include <string.h>

#include "pprof/gotext.h"
#include "pprof/measure.h"
#include "pprof/report_in.h"

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Prints each run of labels with the same key through `one`, sorted as texts, `between` them. */
static void sorted_labels(struct report *r, const struct pprof_label *v, uint32_t n,
			  const char *between,
			  void (*one)(struct report *r, const struct pprof_label *v, uint32_t n,
				      struct str *to))
{
	struct arena_mark mark = arena_mark(r->mem);
	char **texts = ARENA_ARRAY(r->mem, char *, n + 1);
	uint32_t m = 0;

	for (uint32_t i = 0, run; i < n; i += run) {
		struct str s = {0};

		run = lens_label_run(v, n, i);
		one(r, v + i, run, &s);
		texts[m++] = arena_strndup(r->mem, s.s, s.n);
		str_free(&s);
	}
	qsort(texts, m, sizeof(*texts), compare_texts);
	for (uint32_t i = 0; i < m; i++) {
		str_add(r->out, i ? between : "");
		str_add(r->out, texts[i]);
	}
	arena_reset(r->mem, mark);
}

static uint32_t count_strings(const struct pprof_label *v, uint32_t n)
{
	uint32_t i = 0;

	while (i < n && !v[i].is_num)
		i++;
	return i;
}

/* --- traces --- */

static void trace_label(struct report *r, const struct pprof_label *v, uint32_t n, struct str *to)
{
	go_pad(to, 10, lens_text(&r->l, v->key));
	str_add(to, ":  ");
	for (uint32_t i = 0; i < n; i++) {
		str_add(to, i ? " " : "");
		if (v->is_num)
			measure_label(to, v[i].num, lens_text(&r->l, lens_unit(&r->l, v->key)),
				      "auto");
		else
			str_add(to, lens_text(&r->l, v[i].str));
	}
	str_add(to, "\n");
}

/* What is printed for a place behind the column of values, made on first use. */
struct trace_line {
	const char *s;
	size_t n;
};

static const struct trace_line *trace_line(struct report *r, struct graph *g,
					   struct trace_line *lines, uint32_t place, bool inlined)
{
	struct trace_line *line = &lines[2 * (size_t)place + inlined];

	if (!line->s) {
		line->s = arena_printf(r->mem, "   %s%s\n", place_name(g, &g->places.v[place]),
				       inlined ? " (inline)" : "");
		line->n = strlen(line->s);
	}
	return line;
}

/* The first line of a stack, with what is printed above it. */
static void trace_head(struct report *r, uint32_t i)
{
	static const char line[] =
		"-----------+-------------------------------------------------------\n";
	const int64_t *values = r->p->values + (size_t)i * r->p->n_types;
	uint32_t n, strings;
	const struct pprof_label *labels = lens_labels(&r->l, i, &n);
	int64_t v = values[r->value];
	struct str text = {0};

	str_addn(r->out, line, sizeof(line) - 1);
	strings = count_strings(labels, n);
	if (n) {
		sorted_labels(r, labels, strings, "", trace_label);
		sorted_labels(r, labels + strings, n - strings, "", trace_label);
	}
	if (r->mean && values[0])
		v = go_div(v, values[0]);
	report_value(r, v, &text);
	go_pad(r->out, 10, text.s);
	str_free(&text);
}

bool report_traces(struct report *r)
{
	struct lens *l = &r->l;
	struct graph_options o = {.keep_paths = true, .trim_path = "", .source_path = ""};
	struct trace_line *lines;
	struct graph g;

	graph_places(&g, l, &o);
	lines = ARENA_ARRAY(r->mem, struct trace_line, 2 * (size_t)g.places.n + 1);
	report_profile_labels(r, r->out);
	for (uint32_t k = 0; k < l->n_samples && report_flush(r); k++) {
		const pindex *locs;
		uint32_t n, i = lens_sample(l, k, &locs, &n);
		bool first = true;

		for (uint32_t j = 0; j < n; j++) {
			uint32_t end = g.line_at[locs[j] + 1];

			if (l->hidden && l->hidden[locs[j]])
				continue;
			/* a stack can be as long as its profile */
			for (uint32_t at = g.line_at[locs[j]]; at < end && report_flush(r); at++) {
				const struct trace_line *line =
					trace_line(r, &g, lines, g.line_place[at], at + 1 < end);

				if (first)
					trace_head(r, i);
				else
					str_addn(r->out, "          ", 10);
				first = false;
				str_addn(r->out, line->s, line->n);
			}
		}
	}
	str_add(r->out, "-----------+-------------------------------------------------------\n");
	return true;
}

/* --- raw --- */

static void raw_label(struct report *r, const struct pprof_label *v, uint32_t n, struct str *to)
{
	bool units = lens_has_units(v, n);

	str_addf(to, "%s:[", lens_text(&r->l, v->key));
	for (uint32_t i = 0; i < n; i++) {
		str_add(to, i ? " " : "");
		if (!v->is_num)
			str_add(to, lens_text(&r->l, v[i].str));
		else if (units)
			str_addf(to, "%lld %s", (long long)v[i].num,
				 lens_text(&r->l, v[i].num_unit));
		else
			str_addf(to, "%lld", (long long)v[i].num);
	}
	str_add(to, "]");
}

static void raw_header(struct report *r)
{
	const struct pprof *p = r->p;
	struct str *to = r->out;
	size_t from;

	for (uint32_t i = 0; i < p->n_comments; i++)
		str_addf(to, "Comment: %s\n", pprof_text(p, p->comments[i]));
	if (p->doc_url)
		str_addf(to, "Doc: %s\n", pprof_text(p, p->doc_url));
	str_addf(to, "PeriodType: %s %s\n", pprof_text(p, p->period_type.type),
		 pprof_text(p, p->period_type.unit));
	str_addf(to, "Period: %lld\n", (long long)p->period);
	if (p->time_nanos) {
		str_add(to, "Time: ");
		go_time_long(to, p->time_nanos);
		str_add(to, "\n");
	}
	if (p->duration_nanos) {
		struct str s = {0};

		go_duration(&s, p->duration_nanos);
		str_addf(to, "Duration: %.*s\n", (int)go_prefix(s.s, 4), s.s);
		str_free(&s);
	}
	str_add(to, "Samples:\n");
	from = to->n;
	for (uint32_t i = 0; i < p->n_types; i++)
		str_addf(to, "%s/%s%s ", pprof_text(p, p->types[i].type),
			 pprof_text(p, p->types[i].unit),
			 p->types[i].type == p->default_type ? "[dflt]" : "");
	while (to->n > from && strchr(" \t\n\v\f\r", to->s[to->n - 1]))
		to->n--;
	str_add(to, "\n");
}

/* A number and a space: a large profile has millions of them, and printf takes ten times as long.
 */
static void add_id(struct str *to, uint64_t v)
{
	char text[24];
	size_t at = sizeof(text);

	text[--at] = ' ';
	do
		text[--at] = (char)('0' + v % 10);
	while (v /= 10);
	str_addn(to, text + at, sizeof(text) - at);
}

static void raw_samples(struct report *r)
{
	static const char indent[] = "                ";
	struct lens *l = &r->l;
	struct str *to = r->out;

	for (uint32_t k = 0; k < l->n_samples && report_flush(r); k++) {
		const pindex *locs;
		uint32_t n, n_labels, strings, i = lens_sample(l, k, &locs, &n);
		const struct pprof_label *labels = lens_labels(l, i, &n_labels);

		for (uint32_t j = 0; j < l->p->n_types; j++)
			str_addf(to, " %10lld",
				 (long long)l->p->values[(size_t)i * l->p->n_types + j]);
		str_add(to, ": ");
		for (uint32_t j = 0; j < n; j++)
			if (!l->hidden || !l->hidden[locs[j]])
				add_id(to, l->locations[locs[j]].id);
		str_add(to, "\n");
		strings = count_strings(labels, n_labels);
		if (strings) {
			str_add(to, indent);
			sorted_labels(r, labels, strings, " ", raw_label);
			str_add(to, "\n");
		}
		if (strings < n_labels) {
			str_add(to, indent);
			sorted_labels(r, labels + strings, n_labels - strings, " ", raw_label);
			str_add(to, "\n");
		}
	}
}

static void raw_locations(struct report *r)
{
	const struct lens *l = &r->l;
	struct str *to = r->out;

	str_add(to, "Locations\n");
	for (uint32_t i = 0; i < l->n_locations && report_flush(r); i++) {
		const struct pprof_location *loc = &l->locations[i];

		str_addf(to, "%6llu: 0x%llx ", (unsigned long long)loc->id,
			 (unsigned long long)loc->address);
		if (loc->mapping != PPROF_NONE)
			str_addf(to, "M=%llu ", (unsigned long long)l->mappings[loc->mapping].id);
		if (loc->is_folded)
			str_add(to, "[F] ");
		if (!loc->n_lines)
			str_add(to, "\n");
		for (uint32_t j = 0; j < loc->n_lines && report_flush(r); j++) {
			const struct pprof_line *line = &l->lines[loc->line_at + j];
			const struct pprof_function *f = &l->functions[line->function];

			str_addf(to, "%s%s %s:%lld:%lld s=%lld", j ? "             " : "",
				 lens_text(l, f->name), lens_text(l, f->file),
				 (long long)line->line, (long long)line->column,
				 (long long)f->start_line);
			if (f->name != f->system_name)
				str_addf(to, "(%s)", lens_text(l, f->system_name));
			str_add(to, "\n");
		}
	}
}

bool report_raw(struct report *r)
{
	const struct lens *l = &r->l;

	raw_header(r);
	raw_samples(r);
	raw_locations(r);
	str_add(r->out, "Mappings\n");
	for (uint32_t i = 0; i < r->p->n_mappings; i++) {
		const struct pprof_mapping *m = &l->mappings[i];

		str_addf(r->out, "%llu: 0x%llx/0x%llx/0x%llx %s %s %s%s%s%s\n",
			 (unsigned long long)m->id, (unsigned long long)m->start,
			 (unsigned long long)m->limit, (unsigned long long)m->offset,
			 lens_text(l, m->file), lens_text(l, m->build_id),
			 m->has_functions ? "[FN]" : "", m->has_filenames ? "[FL]" : "",
			 m->has_line_numbers ? "[LN]" : "", m->has_inline_frames ? "[IN]" : "");
	}
	return true;
}
