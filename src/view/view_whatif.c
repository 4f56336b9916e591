/* Now and then side by side, why, and with --advise the line to put into the environment. */
#include "view/view_whatif.h"

#include <math.h>

#include "base/unit.h"

enum { COL_WHAT, COL_NOW, COL_THEN };
static const struct column COLUMNS[] = {
	[COL_WHAT] = {NULL, "", COLUMN_TEXT, 0},
	[COL_NOW] = {NULL, "now", COLUMN_FIGURE, 0},
	[COL_THEN] = {NULL, "then", COLUMN_FIGURE, 0},
};

static struct value rounded(double v)
{
	return isnan(v) ? value_null() : value_uint((uint64_t)fmax(v, 0));
}

static struct value state_json(struct arena *a, const struct whatif_state *s)
{
	struct value v = value_object(a);

	value_put(a, v, "heap_peak", rounded(s->heap_peak));
	value_put(a, v, "rss", rounded(s->rss));
	value_put(a, v, "gc_per_s", value_double(s->gc_per_s));
	value_put(a, v, "gc_cpu", value_double(s->gc_cpu));
	return v;
}

static struct value setting_json(struct arena *a, const struct whatif_setting *s)
{
	struct value v = value_object(a);

	value_put(a, v, "gogc", s->gogc < 0 ? value_null() : value_int(s->gogc));
	value_put(a, v, "memlimit", value_uint_if(s->memlimit != PACE_NO_LIMIT, s->memlimit));
	return v;
}

static const char *bytes_text(struct arena *a, double v)
{
	char text[UNIT_TEXT];

	return isnan(v) ? "?" : arena_strdup(a, unit_bytes(text, (bytes)fmax(v, 0)));
}

static void add_row(struct arena *a, struct table *t, const char *what, const char *now,
		    const char *then)
{
	struct row *r = table_row(a, t, 0);

	r->cells[COL_WHAT] = value_str(what);
	r->cells[COL_NOW] = value_str(now);
	r->cells[COL_THEN] = value_str(then);
}

static const char *setting_text(struct arena *a, const struct whatif_setting *s)
{
	const char *gogc = s->gogc < 0 ? "GOGC=off" : arena_printf(a, "GOGC=%d", s->gogc);

	if (s->memlimit == PACE_NO_LIMIT)
		return gogc;
	return arena_printf(a, "%s GOMEMLIMIT=%lluMiB", gogc,
			    (unsigned long long)(s->memlimit >> 20));
}

static const char *percent(struct arena *a, double share)
{
	return isnan(share) ? "?" : arena_printf(a, "%.1f %%", share * 100);
}

static const char *frequency(struct arena *a, double per_s)
{
	return per_s >= 0.2 ? arena_printf(a, "%.2f a second", per_s)
			    : arena_printf(a, "%.1f a minute", per_s * 60);
}

static const char *risk(const struct whatif *w)
{
	if (w->spiral)
		return "it would collect nearly all the time: do not do this";
	if (w->set.gogc < 0 && w->set.memlimit != PACE_NO_LIMIT)
		return "when the live heap grows to the limit it collects all the time (Go stops "
		       "that at half of "
		       "the CPU), and assists slow requests; raise the limit before it gets there";
	if (w->by_limit)
		return "when the live heap grows towards the limit, cycles come faster and faster";
	if (w->set.memlimit == PACE_NO_LIMIT)
		return "nothing stops the heap when what is alive grows: RSS grows with it";
	return "little: the limit takes effect only when more than now is alive";
}

void whatif_report(const struct whatif *w, const char *name, bool advice, bytes limit,
		   struct arena *a, struct report *r)
{
	struct table *t = TABLE_NEW(a, COLUMNS);
	struct value because = value_array(a);
	char text[UNIT_TEXT];

	report_init(r, a, "whyrss.what-if/1");
	report_put(r, "was", setting_json(a, &w->was));
	report_put(r, "set", setting_json(a, &w->set));
	report_put(r, "now", state_json(a, &w->now));
	report_put(r, "then", state_json(a, &w->then));
	for (uint32_t i = 0; i < w->n_because; i++)
		value_push(a, because, value_str(w->because[i]));
	report_put(r, "because", because);
	report_put(r, "seconds", value_double(w->seconds));
	report_put(r, "cycles", value_uint(w->cycles_seen));
	report_put(r, "slower", value_double(w->slower));
	report_put(r, "death_spiral", value_bool(w->spiral));
	if (advice) {
		struct value v = value_object(a);

		value_put(a, v, "under", value_uint(limit));
		value_put(a, v, "environment", value_str(setting_text(a, &w->set)));
		value_put(a, v, "risk", value_str(risk(w)));
		report_put(r, "advice", v);
	}
	report_block(r, BLOCK_HEADLINE,
		     arena_printf(a, "%s: %s → %s", name, setting_text(a, &w->was),
				  setting_text(a, &w->set)));
	if (advice) {
		report_block(r, BLOCK_VERDICT,
			     arena_printf(a, "Under %s the fewest GC cycles come with  %s",
					  unit_bytes(text, limit), setting_text(a, &w->set)));
		report_block(r, BLOCK_TEXT, arena_printf(a, "Risk: %s.", risk(w)));
	}
	add_row(a, t, "heap at the end of a cycle", bytes_text(a, w->now.heap_peak),
		bytes_text(a, w->then.heap_peak));
	add_row(a, t, "RSS at most", bytes_text(a, w->now.rss), bytes_text(a, w->then.rss));
	add_row(a, t, "GC cycles", frequency(a, w->now.gc_per_s), frequency(a, w->then.gc_per_s));
	add_row(a, t, "GC CPU", percent(a, w->now.gc_cpu), percent(a, w->then.gc_cpu));
	report_block(r, BLOCK_GAP, NULL);
	report_table(r, t);
	report_block(r, BLOCK_GAP, NULL);
	for (uint32_t i = 0; i < w->n_because; i++)
		report_block(r, BLOCK_TEXT, arena_printf(a, "· %s", w->because[i]));
}
