/* Source of functions with the samples at each line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pprof/gotext.h"
#include "pprof/measure.h"
#include "pprof/report_in.h"
#include "pprof/srcfile.h"

#define MARGIN 5 /* lines before the first and behind the last sample */

static int compare_listed(const void *a, const void *b, void *ctx)
{
	const struct graph *g = ctx;
	const struct graph_place *p = &g->places.v[*(const uint32_t *)a];
	const struct graph_place *q = &g->places.v[*(const uint32_t *)b];
	int c = strcmp(lens_text(g->l, p->name), lens_text(g->l, q->name));

	if (!c)
		c = strcmp(lens_text(g->l, p->file), lens_text(g->l, q->file));
	if (!c)
		c = (p->line > q->line) - (p->line < q->line);
	return c ? c : (p->start_line > q->start_line) - (p->start_line < q->start_line);
}

static void list_row(struct report *r, int64_t flat, int64_t cum)
{
	go_pad(r->out, 10, report_value_or_dot(r, flat));
	str_add(r->out, " ");
	go_pad(r->out, 10, report_value_or_dot(r, cum));
}

/* The nodes v[0 … n] are one function's in one file, by line. */
static void list_file(struct report *r, struct graph *g, struct srcfiles *sources,
		      const uint32_t *v, uint32_t n)
{
	const struct graph_place *first = &g->places.v[v[0]];
	const char *file = lens_text(&r->l, first->file);
	int64_t flat = 0, cum = 0, start, end;
	const struct srcfile *source;
	uint32_t at = 0;

	start = first->start_line ? first->start_line : first->line - MARGIN;
	end = go_add(first->line, MARGIN);
	for (uint32_t i = 0; i < n; i++) {
		const struct graph_place *p = &g->places.v[v[i]];
		int64_t from = p->start_line ? p->start_line : p->line - MARGIN;

		flat = go_add(flat, g->nodes.v[v[i]].flat);
		cum = go_add(cum, g->nodes.v[v[i]].cum);
		if (from < start)
			start = from;
		else
			end = MAX(end, go_add(p->line, MARGIN));
	}
	start = MAX(start, 1);
	str_addf(r->out, "ROUTINE ======================== %s in %s\n",
		 lens_text(&r->l, first->name), file);
	go_pad(r->out, 10, report_value_text(r, flat));
	str_add(r->out, " ");
	go_pad(r->out, 10, report_value_text(r, cum));
	str_addf(r->out, " (flat, cum) %s of Total\n", report_percent_text(r, cum, r->total));
	source = srcfile_get(sources, file, start <= end);
	if (!source)
		return;
	if (source->error) {
		str_addf(r->out, " Error: %s\n", source->error);
		return;
	}
	for (int64_t line = start; line <= end && line <= source->n_lines; line++) {
		struct srcfile_line text = source->lines[line - 1];

		flat = cum = 0;
		while (at < n && g->places.v[v[at]].line < line)
			at++;
		for (uint32_t i = at; i < n && g->places.v[v[i]].line == line; i++) {
			flat = go_add(flat, g->nodes.v[v[i]].flat);
			cum = go_add(cum, g->nodes.v[v[i]].cum);
		}
		list_row(r, flat, cum);
		str_addf(r->out, " %6lld:", (long long)line);
		str_addn(r->out, text.s, text.n);
		str_add(r->out, "\n");
	}
}

bool report_list(struct report *r)
{
	struct srcfiles sources = {.mem = r->mem,
				   .env = r->env,
				   .search = r->c.v[PPROF_SOURCE_PATH].s,
				   .trim = r->c.v[PPROF_TRIM_PATH].s};
	struct graph g;
	uint32_t *v, n = 0;

	graph_all(&g, &r->l, &r->graph);
	v = ARENA_ARRAY(r->mem, uint32_t, g.n_order + 1);
	for (uint32_t k = 0; k < g.n_order; k++) {
		pstr name = g.places.v[g.order[k]].name;

		if (rx_match(r->symbol, lens_text(&r->l, name), lens_string(&r->l, name).n))
			v[n++] = g.order[k];
	}
	if (!n)
		return err_set(r->err, ERR_FORMAT, "no matches found for regexp: %.200s",
			       rx_pattern(r->symbol));
	if (!*sources.search)
		sources.search = r->env && r->env->cwd ? r->env->cwd : "";
	qsort_r(v, n, sizeof(*v), compare_listed, &g);
	str_addf(r->out, "Total: %s\n", report_value_text(r, r->total));
	for (uint32_t i = 0, end; i < n; i = end) {
		const struct graph_place *p = &g.places.v[v[i]];
		bool any = false;
		uint32_t j, file_end;

		for (end = i; end < n && g.places.v[v[end]].name == p->name;)
			end++;
		for (j = i; j < end; j = file_end) {
			pstr file = g.places.v[v[j]].file;

			for (file_end = j; file_end < end && g.places.v[v[file_end]].file == file;)
				file_end++;
			if (!file)
				continue;
			any = true;
			list_file(r, &g, &sources, v + j, file_end - j);
		}
		if (!any)
			str_addf(r->out, "No source information for %s\n",
				 lens_text(&r->l, p->name));
	}
	return true;
}
