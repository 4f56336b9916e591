/*
 * From a profile and options to a report: what the command changes in the options, filters, total,
 * granularity, then the printer. The order of these steps is google/pprof's
 * (internal/driver/driver.go), since it decides what percentages are of. Also what all printers
 * share: values, units, headers.
 */
#include "pprof/report.h"

#include <string.h>

#include "pprof/gotext.h"
#include "pprof/measure.h"
#include "pprof/report_in.h"

const struct pprof_command PPROF_COMMANDS[N_PPROF_COMMANDS] = {
#define COMMAND(id, name, format, pattern, dot, viewers, suffix, help, args)                       \
	[PPROF_CMD_##id] = {name, PPROF_##format, pattern, dot, viewers, suffix, help, args},
#include "pprof/commands.def"
#undef COMMAND
};

const struct pprof_command *pprof_command_find(const char *name)
{
	for (unsigned i = 0; i < N_PPROF_COMMANDS; i++)
		if (!strcmp(PPROF_COMMANDS[i].name, name))
			return &PPROF_COMMANDS[i];
	return NULL;
}

/* --- values --- */

void report_value(const struct report *r, int64_t v, struct str *to)
{
	if (r->ratio > 0 && r->ratio != 1)
		v = go_int64((double)v * r->ratio);
	measure_label(to, v, r->unit, r->output_unit);
}

static const char *kept_text(const struct report *r, struct str *s)
{
	const char *ret = arena_strndup(r->mem, s->s, s->n);

	str_free(s);
	return ret;
}

const char *report_value_text(const struct report *r, int64_t v)
{
	struct str s = {0};

	report_value(r, v, &s);
	return kept_text(r, &s);
}

const char *report_value_or_dot(const struct report *r, int64_t v)
{
	return v ? report_value_text(r, v) : ".";
}

const char *report_percent_text(const struct report *r, int64_t v, int64_t total)
{
	struct str s = {0};

	measure_percent(&s, v, total);
	return kept_text(r, &s);
}

bool report_flush(struct report *r)
{
	if (!r->env || !r->env->flush || r->out->n < 1U << 20)
		return true;
	return r->env->flush(r->env->ctx, r->out);
}

void report_choose_unit(struct report *r, const struct graph *g)
{
	int64_t min = 0, max = r->total;
	const char *min_unit, *max_unit, *unit;

	if (strcmp(r->output_unit, "minimum") != 0 || !g->n_order)
		return;
	for (uint32_t k = 0; k < g->n_order; k++) {
		const struct graph_node *n = &g->nodes.v[g->order[k]];
		int64_t v = go_abs(node_flat(n));

		if (!v)
			v = go_abs(node_cum(n));
		if (v > 0 && (!min || v < min))
			min = v;
	}
	if (!min)
		min = max;
	if (r->ratio > 0 && r->ratio != 1) {
		min = go_int64((double)min * r->ratio);
		max = go_int64((double)max * r->ratio);
	}
	unit = min_unit = measure_scale(min, r->unit, "minimum").unit;
	max_unit = measure_scale(max, r->unit, "minimum").unit;
	/* A hundredth of the larger unit is still to be seen, but callgrind has whole numbers only.
	 */
	if (strcmp(min_unit, max_unit) != 0 && go_mul(min, 100) < max &&
	    r->cmd->format != PPROF_CALLGRIND)
		unit = measure_scale(go_mul(100, min), r->unit, "minimum").unit;
	r->output_unit = *unit ? unit : r->unit;
}

/* The sum of |value|; of the base's samples alone where there are such. */
static int64_t sum_samples(const struct report *r)
{
	const struct lens *l = &r->l;
	int64_t total = 0, div = 0, base = 0, base_div = 0;

	for (uint32_t k = 0; k < l->n_samples; k++) {
		uint32_t i = l->sample ? l->sample[k] : k;
		const int64_t *values = r->p->values + (size_t)i * r->p->n_types;
		int64_t v = go_abs(values[r->value]), d = r->mean ? values[0] : 0;

		total = go_add(total, v);
		div = go_add(div, d);
		if (lens_is_base(l, i)) {
			base = go_add(base, v);
			base_div = go_add(base_div, d);
		}
	}
	if (base > 0) {
		total = base;
		div = base_div;
	}
	return div ? go_div(total, div) : total;
}

/* --- headers --- */

void report_profile_labels(const struct report *r, struct str *to)
{
	const struct pprof *p = r->p;

	if (p->n_mappings && p->mappings[0].file)
		str_addf(to, "File: %s\n",
			 go_path_base(r->mem, pprof_text(p, p->mappings[0].file)));
	if (p->n_mappings && p->mappings[0].build_id)
		str_addf(to, "Build ID: %s\n", pprof_text(p, p->mappings[0].build_id));
	for (uint32_t i = 0; i < p->n_comments; i++)
		if (*pprof_text(p, p->comments[i]) != '#')
			str_addf(to, "%s\n", pprof_text(p, p->comments[i]));
	if (*r->type)
		str_addf(to, "Type: %s\n", r->type);
	if (p->doc_url)
		str_addf(to, "Doc: %s\n", pprof_text(p, p->doc_url));
	if (p->time_nanos) {
		str_add(to, "Time: ");
		go_time(to, p->time_nanos);
		str_add(to, "\n");
	}
	if (p->duration_nanos) {
		struct measure m = measure_scale(r->total, r->unit, "nanoseconds");

		str_add(to, "Duration: ");
		measure_label(to, p->duration_nanos, "nanoseconds", "auto");
		str_addf(to, ", Total samples = %s ", report_value_text(r, r->total));
		if (!strcmp(m.unit, "ns") && m.value != 0)
			str_addf(to, "(%s)",
				 report_percent_text(r, go_int64(m.value), p->duration_nanos));
		str_add(to, "\n");
	}
}

static void filter_labels(const struct report *r, struct str *to)
{
	static const enum pprof_option_id filters[] = {
		PPROF_FOCUS,	PPROF_IGNORE,	 PPROF_HIDE,	PPROF_SHOW,    PPROF_SHOW_FROM,
		PPROF_TAGFOCUS, PPROF_TAGIGNORE, PPROF_TAGSHOW, PPROF_TAGHIDE,
	};
	bool first = true;

	for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
		const char *v = r->c.v[filters[i]].s, *s;
		size_t n;

		if (!*v)
			continue;
		if (first)
			str_add(to, "Active filters:\n");
		first = false;
		s = arena_printf(r->mem, "%s=%s", PPROF_OPTIONS[filters[i]].name, v);
		n = strlen(s);
		str_addf(to, "   %.*s%s\n", (int)MIN(n, 80), s, n > 80 ? "\xe2\x80\xa6" : "");
	}
}

static void dropped_label(const struct report *r, uint32_t n, const char *what, const char *by,
			  double fraction, struct str *to)
{
	int64_t cutoff = go_abs(go_int64((double)r->total * fraction));

	if (n)
		str_addf(to, "Dropped %u %s%s (%s <= %s)\n", n, what, n > 1 ? "s" : "", by,
			 report_value_text(r, cutoff));
}

static const char *trim_left(const char *s)
{
	return s + strspn(s, " ");
}

void report_labels(const struct report *r, const struct graph *g, bool full, struct str *to)
{
	int64_t shown = 0;

	for (uint32_t k = 0; k < g->n_order; k++)
		shown = go_add(shown, node_flat(&g->nodes.v[g->order[k]]));
	if (full || !r->c.v[PPROF_COMPACT_LABELS].b)
		report_profile_labels(r, to);
	filter_labels(r, to);
	str_addf(to, "Showing nodes accounting for %s, %s of %s total\n",
		 report_value_text(r, shown), trim_left(report_percent_text(r, shown, r->total)),
		 report_value_text(r, r->total));
	if (r->total) {
		dropped_label(r, g->dropped_nodes, "node", "cum", r->c.v[PPROF_NODEFRACTION].f, to);
		if (full)
			dropped_label(r, g->dropped_edges, "edge", "freq",
				      r->c.v[PPROF_EDGEFRACTION].f, to);
		if (g->n_order && g->n_order < g->original)
			str_addf(to, "Showing top %u nodes out of %u\n", g->n_order, g->original);
	}
	if (full)
		str_add(to, "\nSee https://git.io/JfYMW for how to read the graph\n");
}

/* --- from options to the printer --- */

bool pprof_sample_index(const struct pprof *p, const char *name, uint32_t *ret, struct err *err)
{
	const char *short_name = !strncmp(name, "inuse_", 6) ? name + 6 : name;
	struct str names = {0};
	int64_t n;

	if (!p->n_types)
		return err_set(err, ERR_FORMAT, "profile has no samples");
	*ret = p->n_types - 1;
	if (!*name) {
		for (uint32_t i = p->n_types; i-- > 0 && p->default_type;)
			if (p->types[i].type == p->default_type)
				*ret = i;
		return true;
	}
	if (go_parse_int(name, 10, &n)) {
		if (n < 0 || n >= p->n_types)
			return err_set(err, ERR_USAGE,
				       "sample_index %s is outside the range [0..%u]", name,
				       p->n_types - 1);
		*ret = (uint32_t)n;
		return true;
	}
	for (uint32_t i = 0; i < p->n_types; i++) {
		const char *type = pprof_text(p, p->types[i].type);

		if (!strcmp(type, name) || !strcmp(type, short_name)) {
			*ret = i;
			return true;
		}
		str_addf(&names, "%s%s", i ? " " : "", type);
	}
	err_set(err, ERR_USAGE, "sample_index \"%.60s\" must be one of: [%.200s]", name, names.s);
	str_free(&names);
	return false;
}

/* What a command needs, whatever the options say. */
static void command_options(const struct pprof_command *cmd, struct pprof_config *c)
{
	enum pprof_command_id id = (enum pprof_command_id)(cmd - PPROF_COMMANDS);
	bool trim = c->v[PPROF_TRIM].b;
	int64_t *count = &c->v[PPROF_NODECOUNT].i;

	switch (id) {
	case PPROF_CMD_DISASM: /* one place for each address, or its samples count twice */
		trim = false;
		c->v[PPROF_GRANULARITY].s = "addresses";
		c->v[PPROF_NOINLINES].b = true;
		break;
	case PPROF_CMD_WEBLIST:
		trim = false;
		c->v[PPROF_GRANULARITY].s = "addresses";
		c->v[PPROF_NOINLINES].b = false;
		break;
	case PPROF_CMD_PEEK:
		trim = false;
		break;
	case PPROF_CMD_LIST:
		trim = false;
		c->v[PPROF_GRANULARITY].s = "lines";
		break;
	case PPROF_CMD_TEXT:
	case PPROF_CMD_TOP:
	case PPROF_CMD_TOPPROTO:
		if (*count == -1)
			*count = 0;
		break;
	default:
		if (*count == -1)
			*count = 80;
	}
	if (cmd->format == PPROF_PROTO || cmd->format == PPROF_RAW ||
	    cmd->format == PPROF_CALLGRIND) {
		trim = false;
		c->v[PPROF_GRANULARITY].s = "addresses";
	}
	if (!trim) {
		*count = 0;
		c->v[PPROF_NODEFRACTION].f = 0;
		c->v[PPROF_EDGEFRACTION].f = 0;
	}
}

static void graph_options(struct report *r)
{
	const union pprof_value *v = r->c.v;
	enum pprof_format f = r->cmd->format;
	bool drawn = f == PPROF_DOT || f == PPROF_CALLGRIND;

	r->graph = (struct graph_options){
		.value = r->value,
		.mean = r->mean,
		.tree = v[PPROF_CALL_TREE].b && drawn,
		.visual = f == PPROF_DOT,
		.cum_sort = !strcmp(v[PPROF_SORT].s, "cum"),
		.drop_negative = v[PPROF_DROP_NEGATIVE].b,
		.objects = f == PPROF_RAW || f == PPROF_LIST || f == PPROF_WEBLIST ||
			   f == PPROF_DISASM || f == PPROF_CALLGRIND,
		.edges = drawn || f == PPROF_TREE,
		.tags = f == PPROF_DOT,
		.inline_edges_only = f == PPROF_TEXT_TOP,
		.touching = f == PPROF_TREE ? r->symbol : NULL,
		.trim_path = v[PPROF_TRIM_PATH].s,
		.source_path = v[PPROF_SOURCE_PATH].s,
		.unit = v[PPROF_UNIT].s,
		.node_count = v[PPROF_NODECOUNT].i,
		.node_fraction = v[PPROF_NODEFRACTION].f,
		.edge_fraction = v[PPROF_EDGEFRACTION].f,
	};
}

/* The options' share of the report. */
static bool report_open(struct report *r, struct err *err)
{
	const struct pprof *p = r->p;
	double divide_by = r->c.v[PPROF_DIVIDE_BY].f;

	if (!pprof_sample_index(p, r->c.v[PPROF_SAMPLE_INDEX].s, &r->value, err))
		return false;
	r->mean = r->c.v[PPROF_MEAN].b;
	r->type = pprof_text(p, p->types[r->value].type);
	if (r->mean)
		r->type = arena_printf(r->mem, "mean_%s", r->type);
	r->unit = pprof_text(p, p->types[r->value].unit);
	r->output_unit = r->c.v[PPROF_UNIT].s;
	if (divide_by == 0)
		return err_set(err, ERR_USAGE, "zero divisor specified");
	r->ratio = 1 / divide_by;
	if (p->n_mappings && p->mappings[0].file)
		r->title = go_path_base(r->mem, pprof_text(p, p->mappings[0].file));
	return true;
}

static bool (*const PRINTERS[])(struct report *r) = {
	[PPROF_CALLGRIND] = report_callgrind,
	[PPROF_COMMENTS] = report_comments,
	[PPROF_DISASM] = report_disasm,
	[PPROF_DOT] = report_dot,
	[PPROF_LIST] = report_list,
	[PPROF_PROTO] = report_proto,
	[PPROF_RAW] = report_raw,
	[PPROF_TAGS] = report_tags,
	[PPROF_TEXT_TOP] = report_text,
	[PPROF_TOPPROTO] = report_topproto,
	[PPROF_TRACES] = report_traces,
	[PPROF_TREE] = report_tree,
	[PPROF_WEBLIST] = report_weblist,
};

bool pprof_report(const struct pprof *p, const struct pprof_config *c,
		  const struct pprof_command *cmd, const char *pattern, const struct pprof_env *env,
		  struct str *out, struct str *messages, struct err *err)
{
	CLEANUP(arena_free) struct arena mem = {0};
	struct report r = {.p = p,
			   .mem = &mem,
			   .c = *c,
			   .cmd = cmd,
			   .env = env,
			   .out = out,
			   .messages = messages,
			   .err = err};
	bool relative = c->v[PPROF_RELATIVE_PERCENTAGES].b;

	arena_init(&mem, 0);
	lens_open(&r.l, p, env && env->last, &mem, messages);
	command_options(cmd, &r.c);
	lens_add_tag_frames(&r.l, &r.c);
	if (relative && !lens_filter(&r.l, &r.c, err))
		return false;
	if (!report_open(&r, err))
		return false;
	if (pattern && !rx_compile(&mem, pattern, &r.symbol, err))
		return err_in(err, "parsing argument regexp %.60s", pattern);
	r.total = sum_samples(&r);
	if (!relative && !lens_filter(&r.l, &r.c, err))
		return false;
	lens_aggregate(&r.l, &r.c);
	graph_options(&r);
	return PRINTERS[cmd->format](&r);
}

bool pprof_summary(const struct pprof *p, const struct pprof_config *c, struct str *out,
		   struct str *messages, int64_t *ret_total, struct err *err)
{
	CLEANUP(arena_free) struct arena mem = {0};
	struct report r = {.p = p, .mem = &mem, .c = *c};

	arena_init(&mem, 0);
	lens_open(&r.l, p, false, &mem, messages);
	if (!report_open(&r, err))
		return false;
	*ret_total = r.total = sum_samples(&r);
	report_profile_labels(&r, out);
	return true;
}
