/*
 * A profile of the target as a file for go tool pprof, or as the text of runtime/pprof. The view
 * makes the bytes and a summary of them; front/ puts them where they belong.
 */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/unit.h"
#include "pprof/codec.h"
#include "view/prof.h"
#include "view/view.h"

static const struct column COLUMNS[] = {
	{"type", "sample type", COLUMN_TEXT, 0},
	{"unit", "unit", COLUMN_TEXT, 0},
	{"total", "total", COLUMN_FIGURE, 0},
};

static struct prof_request request_of(const struct options *o)
{
	return (struct prof_request){
		.kind = (enum prof_kind)o->v[OPT_KIND].choice,
		.now = (enum option_as)o->v[OPT_AS].choice == AS_NOW,
		.errors = option_set(o, OPT_ERRORS),
	};
}

uint32_t view_profile_needs(const struct options *o)
{
	const struct prof_request q = request_of(o);

	return prof_needs(&q, o->v[OPT_DEBUG].choice);
}

static const char *figure(struct arena *a, const char *unit, int64_t v)
{
	char text[UNIT_TEXT];

	if (!strcmp(unit, "bytes") && v >= 0)
		return arena_strdup(a, unit_bytes(text, (bytes)v));
	if (!strcmp(unit, "nanoseconds"))
		return arena_strdup(a, unit_duration(text, v));
	return arena_printf(a, "%lld", (long long)v);
}

static void summary(const struct subject *in, const struct prof_request *q, const struct pprof *p,
		    const char *file, size_t n, struct arena *a, struct report *ret)
{
	struct table *t = TABLE_NEW(a, COLUMNS);
	struct value types = value_array(a);
	char size[UNIT_TEXT];

	(void)subject_head(in, ret);
	report_put(ret, "kind", value_str(PROF_KIND[q->kind].name));
	report_put(ret, "as", value_str(q->now ? "now" : "published"));
	report_put(ret, "file", value_str(file));
	report_put(ret, "file_bytes", value_uint(n));
	if (q->kind == PROF_SPACE) /* what memory_space adds up to */
		report_put(ret, "rss", value_uint(in->s->os->pages.resident));
	report_put(ret, "samples", value_uint(p->n_samples));
	report_put(ret, "locations", value_uint(p->n_locations));
	report_put(ret, "functions", value_uint(p->n_functions));
	for (uint32_t i = 0; i < p->n_types; i++) {
		const char *type = pprof_text(p, p->types[i].type),
			   *unit = pprof_text(p, p->types[i].unit);
		struct value item = value_object(a);
		struct row *r = table_row(a, t, 0);
		int64_t total = 0;

		for (uint32_t k = 0; k < p->n_samples; k++)
			total += p->values[(size_t)k * p->n_types + i];
		value_put(a, item, "type", value_str(type));
		value_put(a, item, "unit", value_str(unit));
		value_put(a, item, "total", value_int(total));
		value_push(a, types, item);
		r->cells[0] = value_str(type);
		r->cells[1] = value_str(unit);
		r->cells[2] = value_str(figure(a, unit, total));
	}
	report_put(ret, "types", types);
	report_block(ret, BLOCK_VERDICT,
		     arena_printf(a, "%s: %s profile, %u samples, %s", file,
				  PROF_KIND[q->kind].name, p->n_samples, unit_bytes(size, n)));
	report_block(ret, BLOCK_GAP, NULL);
	report_table(ret, t);
}

bool view_profile_run(const struct subject *in, const struct options *o, struct arena *a,
		      struct report *ret, struct err *err)
{
	struct prof_request q = request_of(o);
	unsigned debug = o->v[OPT_DEBUG].choice;
	bool heap = q.kind == PROF_HEAP || q.kind == PROF_ALLOCS;
	const char *file = option_set(o, OPT_OUTPUT) ? o->v[OPT_OUTPUT].text : NULL;
	const char *note = NULL;
	struct str data = {0};
	struct pprof p;

	if (!heap && option_set(o, OPT_AS))
		return err_set(err, ERR_USAGE, "--as: of heap and allocs only, not of %s",
			       PROF_KIND[q.kind].name);
	if (!heap && q.errors)
		return err_set(err, ERR_USAGE, "--errors: of heap and allocs only, not of %s",
			       PROF_KIND[q.kind].name);
	if (!file && (option_set(o, OPT_JSON) || option_set(o, OPT_CSV)))
		return err_set(err, ERR_USAGE,
			       "profile: --json and --csv are about the file that -o FILE writes");
	report_init(ret, a, "whyrss.profile/1");
	if (heap && !in->s->profile.enabled)
		note = "heap profiling is off in this process: MemProfileRate is 0, as in every "
		       "program that does not import runtime/pprof or net/http/pprof";
	if ((q.kind == PROF_BLOCK || q.kind == PROF_MUTEX) && in->s->profile.ticks_per_second == 0)
		note = "the rate of the processor's counter is not known here: delays are in its "
		       "ticks";
	if (debug > 0) {
		if (!prof_text(in->s, &q, debug, a, &data, err))
			return false;
		ret->file.text = true;
	} else {
		if (!prof_build(in->s, &q, a, &p, err))
			return false;
		if (!pprof_encode_gzip(&p, &data, err)) {
			str_free(&data);
			return false;
		}
		if (file)
			summary(in, &q, &p, file, data.n, a, ret);
	}
	ret->file.path = file;
	ret->file.data = arena_strndup(a, data.s ? data.s : "", data.n);
	ret->file.n = data.n;
	str_free(&data);
	subject_notes(in, ret, note);
	return true;
}
