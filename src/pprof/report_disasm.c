/* Instructions of functions with the samples at each (google/pprof's printAssembly). */
#include <stdlib.h>
#include <string.h>

#include "pprof/gotext.h"
#include "pprof/objects.h"
#include "pprof/report_in.h"

#define AKA_MAX 64U

/* A function of a binary: all names at one address. */
struct routine {
	void *object;
	const char *file;
	uint64_t start, end; /* linked, both inclusive */
	const char *name[AKA_MAX];
	uint32_t n_names;
	uint32_t *nodes, n_nodes;
};

struct disasm {
	struct report *r;
	const struct pprof_objects *objects;
	struct graph g;
	bool by_address;
	uint64_t address;
	VEC(struct routine) routines;
};

static bool matches(struct disasm *d, const char *name)
{
	const char *shorter[3];
	uint32_t n;

	if (rx_match(d->r->symbol, name, strlen(name)))
		return true;
	n = d->objects->demangle(d->objects->ctx, name, d->r->mem, shorter);
	for (uint32_t i = 0; i < n; i++)
		if (rx_match(d->r->symbol, shorter[i], strlen(shorter[i])))
			return true;
	return false;
}

/* The symbols v[0 … n] are at one address, the next symbol begins behind `end`. */
static void add_group(struct disasm *d, void *object, const char *file,
		      const struct pprof_symbol *v, uint32_t n, uint64_t end)
{
	struct routine x = {.object = object, .file = file, .start = v[0].addr, .end = end};

	if (d->by_address && d->address >= v[0].addr && d->address <= end)
		for (; x.n_names < n && x.n_names < AKA_MAX; x.n_names++)
			x.name[x.n_names] = v[x.n_names].name;
	for (uint32_t i = 0; i < n && !x.n_names; i++)
		if (matches(d, v[i].name))
			x.name[x.n_names++] = v[i].name;
	if (x.n_names)
		*VEC_PUSH(d->r->mem, &d->routines) = x;
}

static void find_routines(struct disasm *d, const struct pprof_mapping *m, const char *file)
{
	struct err why = {0};
	void *object = d->objects->open(d->objects->ctx, file, m->start, m->limit, m->offset, &why);
	struct pprof_symbol *v = NULL;
	uint32_t n, end;

	if (!object) {
		str_addf(d->r->messages, "%s\n", why.msg);
		return;
	}
	n = d->objects->symbols(object, d->r->mem, &v);
	for (uint32_t i = 0; i < n; i = end) {
		for (end = i + 1; end < n && v[end].addr == v[i].addr;)
			end++;
		add_group(d, object, file, v + i, end - i, end < n ? v[end].addr - 1 : UINT64_MAX);
	}
}

static bool place_of(struct disasm *d, uint32_t node, const struct routine *x, uint64_t *ret)
{
	return d->objects->linked(x->object, d->g.places.v[node].address, ret) &&
	       *ret >= x->start && *ret <= x->end;
}

static int by_node_address(const void *a, const void *b, void *ctx)
{
	const struct graph *g = ctx;
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	uint64_t p = g->places.v[i].address, q = g->places.v[j].address;

	return p != q ? (p > q) - (p < q) : (i > j) - (i < j);
}

static void take_nodes(struct disasm *d, struct routine *x)
{
	uint64_t at;
	uint32_t n = 0;

	for (uint32_t k = 0; k < d->g.n_order; k++)
		n += place_of(d, d->g.order[k], x, &at);
	x->nodes = ARENA_ARRAY(d->r->mem, uint32_t, n + 1);
	for (uint32_t k = 0; k < d->g.n_order; k++)
		if (place_of(d, d->g.order[k], x, &at))
			x->nodes[x->n_nodes++] = d->g.order[k];
	qsort_r(x->nodes, x->n_nodes, sizeof(*x->nodes), by_node_address, &d->g);
}

static int by_name(const void *a, const void *b)
{
	const struct routine *x = a, *y = b;
	int c = strcmp(x->name[0], y->name[0]);

	return c ? c : (x->start > y->start) - (x->start < y->start);
}

static void print_inst(struct report *r, const struct pprof_inst *in, int64_t flat, int64_t cum,
		       const char *where)
{
	struct str *out = r->out;
	size_t n = strlen(in->text);

	if (*where && n >= 40) {
		go_pad(out, 74, "");
		str_addf(out, ";%s\n", where);
	}
	go_pad(out, 10, report_value_or_dot(r, flat));
	str_add(out, " ");
	go_pad(out, 10, report_value_or_dot(r, cum));
	str_addf(out, " %10llx: ", (unsigned long long)in->addr);
	if (*where && n < 40) {
		go_pad_right(out, 40, in->text);
		str_addf(out, ";%s\n", where);
	} else {
		str_addf(out, "%s\n", in->text);
	}
}

static void print_routine(struct disasm *d, const struct routine *x,
			  const struct pprof_insts *insts)
{
	struct report *r = d->r;
	const char *function = "", *file = "";
	int64_t line = 0;
	uint32_t s = 0;

	for (uint32_t i = 0; i < insts->v.n; i++) {
		const struct pprof_inst *in = &insts->v.v[i];
		uint64_t next = i + 1 < insts->v.n ? insts->v.v[i + 1].addr : UINT64_MAX, at;
		struct graph_node sum = {0};
		const char *fn = in->function, *where = "";
		const char *base = *in->file ? go_path_base(r->mem, in->file) : "";
		int64_t at_line = in->line;

		/* samples in the middle of an instruction are its own: the return address of a call
		 */
		for (; s < x->n_nodes; s++) {
			const struct graph_node *n = &d->g.nodes.v[x->nodes[s]];
			const struct graph_place *p = &d->g.places.v[x->nodes[s]];

			if (!d->objects->linked(x->object, p->address, &at) || at >= next)
				break;
			sum.flat = go_add(sum.flat, n->flat);
			sum.flat_div = go_add(sum.flat_div, n->flat_div);
			sum.cum = go_add(sum.cum, n->cum);
			sum.cum_div = go_add(sum.cum_div, n->cum_div);
			if (p->file && !*base)
				base = go_path_base(r->mem, lens_text(&r->l, p->file));
			if (p->line && !at_line)
				at_line = p->line;
			if (p->name && !*fn)
				fn = lens_text(&r->l, p->name);
		}
		/* what has not changed since the line before is not said again */
		if (strcmp(fn, function) != 0 || strcmp(base, file) != 0 || at_line != line) {
			function = fn;
			file = base;
			line = at_line;
			where = arena_printf(r->mem, "%s%s%s", fn, *fn ? " " : "", base);
			if (*base && line)
				where = arena_printf(r->mem, "%s:%lld", where, (long long)line);
		}
		print_inst(r, in, node_flat(&sum), node_cum(&sum), where);
	}
}

bool report_disasm(struct report *r)
{
	struct disasm d = {.r = r, .objects = r->env ? r->env->objects : NULL};
	const struct pprof *p = r->p;
	bool any = false;

	if (!d.objects)
		return err_set(r->err, ERR_USAGE, "disasm: no binaries can be read here");
	d.by_address = go_parse_uint(rx_pattern(r->symbol), &d.address);
	graph_all(&d.g, &r->l, &r->graph);
	for (uint32_t i = 0; i < p->n_mappings; i++) {
		const struct pprof_mapping *m = &r->l.mappings[i];
		const char *file = lens_text(&r->l, m->file);
		bool wanted = d.by_address && m->start <= d.address && d.address <= m->limit;

		for (uint32_t k = 0; k < d.g.n_order && !wanted && *file; k++) {
			const struct graph_place *at = &d.g.places.v[d.g.order[k]];
			struct pprof_string name = lens_string(&r->l, at->name);

			wanted = at->object && !strcmp(lens_text(&r->l, at->object), file) &&
				 rx_match(r->symbol, name.s, name.n);
		}
		if (wanted)
			find_routines(&d, m, file);
	}
	for (uint32_t i = 0; i < d.routines.n; i++) {
		take_nodes(&d, &d.routines.v[i]);
		any |= d.routines.v[i].n_nodes > 0;
	}
	if (!any && !d.by_address)
		return err_set(r->err, ERR_FORMAT, "no matches found for regexp %.200s",
			       rx_pattern(r->symbol));
	if (!any)
		return err_set(r->err, ERR_FORMAT,
			       d.routines.n ? "address 0x%llx found in binary, but the "
					      "corresponding symbols do not have samples in the "
					      "profile"
					    : "no matches found for address 0x%llx",
			       (unsigned long long)d.address);
	qsort(d.routines.v, d.routines.n, sizeof(*d.routines.v), by_name);
	str_addf(r->out, "Total: %s\n", report_value_text(r, r->total));
	for (uint32_t i = 0; i < d.routines.n; i++) {
		const struct routine *x = &d.routines.v[i];
		struct pprof_insts insts = {0};
		int64_t flat = 0, cum = 0;

		if (!x->n_nodes)
			continue;
		for (uint32_t k = 0; k < x->n_nodes; k++) {
			flat = go_add(flat, d.g.nodes.v[x->nodes[k]].flat);
			cum = go_add(cum, d.g.nodes.v[x->nodes[k]].cum);
		}
		if (!d.objects->disassemble(d.objects->ctx, x->file, x->start,
					    x->end == UINT64_MAX ? x->end : x->end + 1,
					    r->c.v[PPROF_INTEL_SYNTAX].b, r->mem, &insts, r->err))
			return false;
		str_addf(r->out, "ROUTINE ======================== %s\n", x->name[0]);
		for (uint32_t k = 1; k < x->n_names; k++)
			str_addf(r->out, "    AKA ======================== %s\n", x->name[k]);
		go_pad(r->out, 10, report_value_text(r, flat));
		str_add(r->out, " ");
		go_pad(r->out, 10, report_value_text(r, cum));
		str_addf(r->out, " (flat, cum) %s of Total\n",
			 report_percent_text(r, cum, r->total));
		print_routine(&d, x, &insts);
	}
	return true;
}
