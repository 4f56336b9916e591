/* Events as JSON, one object each: the contract's names, null for what is not known. */
#include "series/event.h"

static void number(struct str *to, const char *key, uint64_t v)
{
	if (v == UNKNOWN)
		str_addf(to, ",\"%s\":null", key);
	else
		str_addf(to, ",\"%s\":%llu", key, (unsigned long long)v);
}

const struct metric_info METRICS[] = {
#define METRIC(name, unit, help) {#name, unit, help, offsetof(struct sample, name)},
#define CYCLE(name, unit, help)
#include "series/metrics.def"
#undef METRIC
#undef CYCLE
};
const unsigned N_METRICS = ARRAY_LEN(METRICS);

const struct metric_info CYCLES[] = {
#define METRIC(name, unit, help)
#define CYCLE(name, unit, help) {#name, unit, help, offsetof(struct gc_event, name)},
#include "series/metrics.def"
#undef METRIC
#undef CYCLE
};
const unsigned N_CYCLES = ARRAY_LEN(CYCLES);

static void add_gc(const struct gc_event *g, struct str *to)
{
	str_addf(to, ",\"forced\":%s", g->forced < 0 ? "null" : g->forced ? "true" : "false");
	str_add(to, g->late ? ",\"late\":true" : ",\"late\":false");
}

static void add_lines(const struct lines_event *l, struct str *to)
{
	number(to, "rss", l->rss);
	number(to, "profile", l->profile);
	number(to, "cgroup_current", l->cgroup_current);
	number(to, "cgroup_limit", l->cgroup_limit);
	number(to, "cost_ns", l->cost_ns);
	str_add(to, ",\"cause\":");
	if (l->cause)
		str_add_json(to, l->cause);
	else
		str_add(to, "null");
	str_add(to, ",\"lines\":{");
	for (unsigned i = 0; i < N_LINES; i++)
		str_addf(to, "%s\"%s\":%llu", i ? "," : "", LINES[i].id,
			 (unsigned long long)l->resident[i]);
	str_add(to, "}");
}

void event_json(const struct event *e, struct str *to)
{
	static const char *const types[] = {"sample", "gc", "lines", "end"};

	str_addf(to, "{\"type\":\"%s\"", types[e->kind]);
	if (e->kind == EVENT_GC)
		str_addf(to, ",\"n\":%llu", (unsigned long long)e->gc.n);
	if (e->kind == EVENT_GC && !e->gc.t_known)
		str_add(to, ",\"t\":null,\"unix\":null");
	else
		str_addf(to, ",\"t\":%.6f,\"unix\":%.6f", (double)e->t_ns / 1e9,
			 (double)e->unix_ns / 1e9);
	switch (e->kind) {
	case EVENT_SAMPLE:
		for (unsigned i = 0; i < N_METRICS; i++)
			number(to, METRICS[i].name, metric_get(&e->sample, &METRICS[i]));
		break;
	case EVENT_GC:
		for (unsigned i = 0; i < N_CYCLES; i++)
			number(to, CYCLES[i].name, metric_get(&e->gc, &CYCLES[i]));
		add_gc(&e->gc, to);
		break;
	case EVENT_LINES:
		add_lines(&e->lines, to);
		break;
	case EVENT_END:
		str_add(to, ",\"why\":");
		str_add_json(to, e->why ? e->why : "");
		break;
	}
	str_add(to, "}");
}
