/*
 * One gauge with a closed set of labels that adds up to RSS, and a few numbers beside it. Names of
 * programs are foreign: the format's escapes are applied to every label. Processes that can't be
 * read are counted by reason, so that a hole in the sums is seen.
 */
#include "front/web_metrics.h"

#include <string.h>

#include "base/clock.h"
#include "front/open.h"
#include "ledger/ledger.h"

#define TARGETS_MAX 64U

/* The processes with one set of labels. */
struct group {
	const char *program, *go;
	int pid; /* 0: not a label */
	uint32_t processes;
	bytes line[N_LINES];
	int64_t rss, profile, gap;
	uint64_t goroutines;
	bool profile_off;
	int64_t oom_distance; /* the least; INT64_MAX: no limit */
	bytes heap_goal;
	const char *cause; /* the first one of the largest process */
	int64_t cause_rss;
};

struct refused {
	const char *why;
	uint32_t n;
};

static void add_label(struct str *out, const char *name, const char *value, bool first)
{
	struct str safe = {0};

	str_addf(out, "%s%s=\"", first ? "" : ",", name);
	str_add_plain(&safe, value);
	for (const char *s = safe.s ? safe.s : ""; *s; s++) {
		if (*s == '\\' || *s == '"')
			str_add(out, "\\");
		str_addn(out, s, 1);
	}
	str_free(&safe);
	str_add(out, "\"");
}

static void add_sample(struct str *out, const char *metric, const struct group *g, const char *name,
		       const char *value)
{
	str_addf(out, "%s{", metric);
	add_label(out, "program", g->program, true);
	add_label(out, "go_version", g->go, false);
	if (g->pid)
		str_addf(out, ",pid=\"%d\"", g->pid);
	if (name)
		add_label(out, name, value, false);
	str_add(out, "} ");
}

static struct group *group_of(struct arena *a, struct group **v, uint32_t *n, const char *program,
			      const char *go, int pid)
{
	struct group *g;

	for (uint32_t i = 0; i < *n; i++)
		if (!strcmp((*v)[i].program, program) && !strcmp((*v)[i].go, go) &&
		    (*v)[i].pid == pid)
			return &(*v)[i];
	g = &(*v)[(*n)++];
	*g = (struct group){.program = arena_strdup(a, program),
			    .go = arena_strdup(a, go),
			    .pid = pid,
			    .oom_distance = INT64_MAX};
	return g;
}

static void add_process(struct arena *a, struct group *g, const struct snapshot *s,
			const struct ledger *l)
{
	const struct cgroup_facts *c = s->os->cgroup;

	g->processes++;
	for (int i = 0; i < N_LINES; i++)
		g->line[i] += l->line[i].resident;
	g->rss += (int64_t)l->rss;
	g->profile += s->profile.inuse_space;
	g->gap += (int64_t)l->rss - s->profile.inuse_space;
	g->profile_off |= !s->profile.enabled;
	if (s->counters) {
		g->goroutines += s->counters->goroutines;
		if (s->counters->heapGoal == UINT64_MAX || g->heap_goal == UINT64_MAX)
			g->heap_goal = UINT64_MAX; /* GOGC=off and no limit */
		else
			g->heap_goal += s->counters->heapGoal;
	}
	if (c && c->limit != UINT64_MAX)
		g->oom_distance = MIN(g->oom_distance,
				      (int64_t)c->limit - (int64_t)MIN(c->limit_current, c->limit));
	if (l->n_causes && (int64_t)l->rss >= g->cause_rss) {
		g->cause = arena_strdup(a, l->causes[0].id);
		g->cause_rss = (int64_t)l->rss;
	}
}

static void refuse(struct arena *a, struct refused *v, uint32_t *n, const char *why)
{
	for (uint32_t i = 0; i < *n; i++) {
		if (strcmp(v[i].why, why) != 0)
			continue;
		v[i].n++;
		return;
	}
	v[(*n)++] = (struct refused){arena_strdup(a, why), 1};
}

static const char *reason(const struct err *err)
{
	static const char *const words[] = {
		[ERR_GONE] = "ended",	   [ERR_PERM] = "denied", [ERR_NOT_GO] = "not_go",
		[ERR_RELEASE] = "release", [ERR_FAULT] = "fault", [ERR_FORMAT] = "format",
		[ERR_LIMIT] = "limit",	   [ERR_OS] = "os",
	};

	return err->kind < ARRAY_LEN(words) && words[err->kind] ? words[err->kind] : "other";
}

static void head(struct str *out, const char *metric, const char *type, const char *help)
{
	str_addf(out, "# HELP %s %s\n# TYPE %s %s\n", metric, help, metric, type);
}

static void write_all(struct str *out, const struct group *g, uint32_t n)
{
	head(out, "whyrss_memory_bytes", "gauge",
	     "Resident memory by line of the ledger; the lines add up to the RSS of the "
	     "processes.");
	for (uint32_t i = 0; i < n; i++)
		for (int k = 0; k < N_LINES; k++) {
			add_sample(out, "whyrss_memory_bytes", &g[i], "line", LINES[k].id);
			str_addf(out, "%llu\n", (unsigned long long)g[i].line[k]);
		}
	head(out, "whyrss_processes", "gauge", "Processes that these labels stand for.");
	for (uint32_t i = 0; i < n; i++) {
		add_sample(out, "whyrss_processes", &g[i], NULL, NULL);
		str_addf(out, "%u\n", g[i].processes);
	}
	head(out, "whyrss_heap_profile_bytes", "gauge", "inuse_space of the heap profile.");
	for (uint32_t i = 0; i < n; i++) {
		add_sample(out, "whyrss_heap_profile_bytes", &g[i], NULL, NULL);
		str_addf(out, "%lld\n", (long long)g[i].profile);
	}
	head(out, "whyrss_heap_profile_enabled", "gauge",
	     "1 when every one of the processes samples its heap.");
	for (uint32_t i = 0; i < n; i++) {
		add_sample(out, "whyrss_heap_profile_enabled", &g[i], NULL, NULL);
		str_addf(out, "%d\n", !g[i].profile_off);
	}
	head(out, "whyrss_gap_bytes", "gauge", "RSS minus the heap profile's inuse_space.");
	for (uint32_t i = 0; i < n; i++) {
		add_sample(out, "whyrss_gap_bytes", &g[i], NULL, NULL);
		str_addf(out, "%lld\n", (long long)g[i].gap);
	}
	head(out, "whyrss_verdict", "gauge",
	     "1 for the first cause of the gap, of the largest of the processes.");
	for (uint32_t i = 0; i < n; i++)
		if (g[i].cause) {
			add_sample(out, "whyrss_verdict", &g[i], "cause", g[i].cause);
			str_add(out, "1\n");
		}
	head(out, "whyrss_gc_heap_goal_bytes", "gauge", "Heap size at which the next GC ends.");
	for (uint32_t i = 0; i < n; i++)
		if (g[i].heap_goal != UINT64_MAX) {
			add_sample(out, "whyrss_gc_heap_goal_bytes", &g[i], NULL, NULL);
			str_addf(out, "%llu\n", (unsigned long long)g[i].heap_goal);
		}
	head(out, "whyrss_goroutines", "gauge", "Goroutines.");
	for (uint32_t i = 0; i < n; i++) {
		add_sample(out, "whyrss_goroutines", &g[i], NULL, NULL);
		str_addf(out, "%llu\n", (unsigned long long)g[i].goroutines);
	}
	head(out, "whyrss_cgroup_oom_distance_bytes", "gauge",
	     "Memory limit of the cgroup minus its usage, the least of the processes.");
	for (uint32_t i = 0; i < n; i++)
		if (g[i].oom_distance != INT64_MAX) {
			add_sample(out, "whyrss_cgroup_oom_distance_bytes", &g[i], NULL, NULL);
			str_addf(out, "%lld\n", (long long)g[i].oom_distance);
		}
}

bool web_metrics(struct pool *p, bool by_pid, struct arena *a, struct str *out, struct err *err)
{
	struct refused *refused;
	struct go_processes all;
	struct group *groups;
	uint32_t n = 0, n_refused = 0, read = 0;
	int64_t began = clock_now();

	if (!go_processes(a, &all, err))
		return false;
	groups = arena_try(a, (uint64_t)all.n + 1, sizeof(*groups), err);
	refused = arena_try(a, 16, sizeof(*refused), err);
	if (!groups || !refused)
		return false;
	for (uint32_t i = 0; i < all.n; i++) {
		const struct process_item *at = &all.v[i];
		struct arena scratch;
		struct held *h = NULL;
		struct err why = {0};
		struct ledger *l;

		if (!at->readable || at->why || read == TARGETS_MAX) {
			refuse(a, refused, &n_refused,
			       !at->readable ? "denied"
			       : at->why     ? at->why[0] == 's' ? "stripped" : "release"
					     : "too_many");
			continue;
		}
		h = pool_borrow(p, &(struct web_name){.pid = at->pid});
		if (!h || !held_snapshot(h, 0, 5 * FRESH_NS, &why)) {
			refuse(a, refused, &n_refused, h ? reason(&why) : "too_many");
			if (h)
				pool_return(p, h);
			continue;
		}
		read++;
		/* the ledger's scratch goes, what a group keeps does not: groups are few */
		arena_init(&scratch, 0);
		l = ARENA_NEW(&scratch, struct ledger);
		ledger_build(&h->snap, &scratch, NULL, NULL, l);
		add_process(a, group_of(a, &groups, &n, at->program, at->go, by_pid ? at->pid : 0),
			    &h->snap, l);
		arena_free(&scratch);
		pool_return(p, h);
	}
	write_all(out, groups, n);
	head(out, "whyrss_targets", "gauge",
	     "Go processes of this machine by whether they were read.");
	str_addf(out, "whyrss_targets{reason=\"read\"} %u\n", read);
	for (uint32_t i = 0; i < n_refused; i++) {
		str_add(out, "whyrss_targets{");
		add_label(out, "reason", refused[i].why, true);
		str_addf(out, "} %u\n", refused[i].n);
	}
	head(out, "whyrss_scrape_duration_seconds", "gauge", "Time that this answer took.");
	str_addf(out, "whyrss_scrape_duration_seconds %.6f\n", (double)(clock_now() - began) / 1e9);
	head(out, "whyrss_scrape_pause_seconds", "gauge",
	     "Time for which the processes were stopped for it.");
	str_add(out, "whyrss_scrape_pause_seconds 0\n");
	return true;
}
