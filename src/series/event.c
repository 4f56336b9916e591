/* Events as JSON, one object each: the contract's names, null for what is not known. */
#include "series/event.h"

static void number(struct str *to, const char *key, uint64_t v)
{
	if (v == UNKNOWN)
		str_addf(to, ",\"%s\":null", key);
	else
		str_addf(to, ",\"%s\":%llu", key, (unsigned long long)v);
}

static void add_sample(const struct sample *s, struct str *to)
{
	number(to, "rss", s->rss);
	number(to, "heap_live", s->heap_live);
	number(to, "heap_goal", s->heap_goal);
	number(to, "heap_inuse", s->heap_inuse);
	number(to, "heap_idle", s->heap_idle);
	number(to, "heap_released", s->heap_released);
	number(to, "stacks", s->stacks);
	number(to, "goroutines", s->goroutines);
	number(to, "num_gc", s->num_gc);
	number(to, "threads", s->threads);
	number(to, "heap_trigger", s->heap_trigger);
	number(to, "heap_marked", s->marked);
	number(to, "total_alloc", s->total_alloc);
	number(to, "go_total", s->go_total);
	number(to, "memory_limit", s->memory_limit);
	str_addf(to, ",\"gogc\":%lld", (long long)s->gogc);
	number(to, "gc_cpu_ns", s->gc_ns);
	number(to, "gc_assist_ns", s->gc_assist_ns);
	number(to, "gc_idle_ns", s->gc_idle_ns);
	number(to, "cpu_ns", s->cpu_ns);
	number(to, "scavenged", s->scavenged);
}

static void add_gc(const struct gc_event *g, struct str *to)
{
	number(to, "pause_ns", g->pause_ns);
	number(to, "heap_marked", g->heap_marked);
	number(to, "heap_goal", g->heap_goal);
	str_addf(to, ",\"forced\":%s", g->forced < 0 ? "null" : g->forced ? "true" : "false");
	str_add(to, g->late ? ",\"late\":true" : ",\"late\":false");
	number(to, "heap_end", g->heap_end);
	number(to, "heap_start", g->heap_start);
	number(to, "mark_ns", g->mark_ns);
	number(to, "assist_ns", g->assist_ns);
	number(to, "dedicated_ns", g->dedicated_ns);
	number(to, "idle_ns", g->idle_ns);
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
		add_sample(&e->sample, to);
		break;
	case EVENT_GC:
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
