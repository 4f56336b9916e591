/*
 * From a question to an answer: views as the command line gives them, the memory map, profiles,
 * metrics. Everything is made from one snapshot of the target.
 */
#include "front/web_answer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "front/open.h"
#include "front/render.h"
#include "front/web_metrics.h"
#include "front/web_pprof.h"
#include "front/web_report.h"
#include "front/web_stacks.h"
#include "view/page_map.h"

#define JSON "application/json; charset=utf-8"

static const char *target_word(struct arena *a, const struct web_name *of)
{
	return of->pid ? arena_printf(a, "%d", of->pid) : of->file;
}

static struct answer *json_answer(const struct report *r)
{
	struct answer *ret = answer_new(200, JSON);

	render_json(&ret->body, &r->json, false);
	str_add(&ret->body, "\n");
	return ret;
}

static struct answer *report_answer(const struct question *q, const struct report *r,
				    struct err *err)
{
	struct answer *ret;

	if (!option_set(&q->options, OPT_CSV))
		return json_answer(r);
	ret = answer_new(200, "text/csv; charset=utf-8");
	if (render_csv(&ret->body, r)) {
		ret->disposition = arena_printf(&ret->mem, "attachment; filename=\"whyrss-%s.csv\"",
						q->view->name);
		return ret;
	}
	answer_drop(ret);
	err_set(err, ERR_USAGE, "%s: has no table for csv", q->view->name);
	return NULL;
}

static struct answer *processes(struct pool *p, struct job *j, struct arena *a, struct err *err)
{
	struct go_processes all;
	struct subject subject;
	struct report r;

	(void)p;
	if (!go_processes(a, &all, err))
		return NULL;
	subject = (struct subject){.processes = all.v,
				   .n_processes = all.n,
				   .n_hidden = all.hidden,
				   .root = geteuid() == 0};
	if (!j->q->view->run(&subject, &j->q->options, a, &r, err))
		return NULL;
	return report_answer(j->q, &r, err);
}

static struct answer *view(struct pool *p, struct job *j, struct arena *a, struct err *err)
{
	struct subject subject = {.target = target_word(a, &j->q->of)};
	struct report r;

	(void)p;
	if (!held_snapshot(j->of, view_needs(j->q->view, &j->q->options), j->q->max_age, err))
		return NULL;
	subject.s = &j->of->snap;
	if (!j->q->view->run(&subject, &j->q->options, a, &r, err))
		return NULL;
	if (r.file.data) {
		struct answer *ret = answer_new(200, r.file.text ? "text/plain; charset=utf-8"
								 : "application/octet-stream");

		str_addn(&ret->body, r.file.data, r.file.n);
		return ret;
	}
	return report_answer(j->q, &r, err);
}

/* Runs as flat numbers, three each: cells, line, percent in use. */
bool web_pages_write(const struct snapshot *s, struct arena *a, struct str *b, struct err *err)
{
	struct page_map m;

	if (!page_map_build(s, a, &m, err))
		return false;
	str_addf(b, "{\"schema\":\"whyrss.pages/1\",\"unit\":%u,\"lines\":[", m.unit * OS_PAGE);
	for (int i = 0; i < N_LINES; i++)
		str_addf(b, "%s\"%s\"", i ? "," : "", LINES[i].id);
	str_add(b, "],\"segments\":[");
	for (uint32_t i = 0; i < m.n_segments; i++) {
		const struct map_segment *g = &m.segments[i];

		str_addf(b, "%s{\"start\":\"0x%llx\",\"path\":", i ? "," : "",
			 (unsigned long long)g->start);
		str_add_json(b, *g->of->path ? g->of->path : "[anon]");
		str_add(b, ",\"runs\":[");
		for (uint32_t k = 0; k < g->n_runs; k++) {
			const struct cell_run *r = &m.runs.v[g->run_at + k];

			str_addf(b, "%s%u,%u,%u", k ? "," : "", r->n, r->line, r->used);
		}
		str_add(b, "]}");
	}
	str_add(b, "]}\n");
	return true;
}

static struct answer *map(struct pool *p, struct job *j, struct arena *a, struct err *err)
{
	struct answer *ret;

	(void)p;
	if (!held_snapshot(j->of, 0, j->q->max_age, err))
		return NULL;
	ret = answer_new(200, JSON);
	if (web_pages_write(&j->of->snap, a, &ret->body, err))
		return ret;
	answer_drop(ret);
	return NULL;
}

static struct answer *at(struct pool *p, struct job *j, struct arena *a, struct err *err)
{
	const char *text = question_param(j->q, "address");
	uint64_t address;
	struct report r;

	(void)p;
	if (!text || !str_starts(text, "0x") || (text += 2, !str_u64(&text, true, &address)) ||
	    *text) {
		err_set(err, ERR_USAGE, "at: give address=0x…");
		return NULL;
	}
	if (!held_snapshot(j->of, NEED_SAMPLES, j->q->max_age, err))
		return NULL;
	page_at(&j->of->snap, address, a, &r);
	return json_answer(&r);
}

static struct answer *metrics(struct pool *p, struct job *j, struct arena *a, struct err *err)
{
	struct answer *ret = answer_new(200, "text/plain; version=0.0.4; charset=utf-8");

	if (web_metrics(p, question_param(j->q, "pid") != NULL, a, &ret->body, err))
		return ret;
	answer_drop(ret);
	return NULL;
}

/* --- what the page needs to know of the tables --- */

static void add_info(struct str *b, bool first, const char *id, const char *title, const char *why,
		     const char *bridge)
{
	str_add(b, first ? "{\"id\":" : ",{\"id\":");
	str_add_json(b, id);
	str_add(b, ",\"title\":");
	str_add_json(b, title);
	str_add(b, ",\"why\":");
	str_add_json(b, why);
	if (bridge) {
		str_add(b, ",\"bridge\":");
		str_add_json(b, bridge);
	}
	str_add(b, "}");
}

void web_meta_write(struct str *b, const char *const *files, uint32_t n_files, const char *start)
{
	static const struct {
		const char *name, *kind, *meaning;
	} fields[] = {
#define MEMSTAT(field, kind, group, meaning) {#field, #kind, meaning},
#define MEMSTAT_ARRAY(field)
#include "view/memstats.def"
#undef MEMSTAT
#undef MEMSTAT_ARRAY
	};

	str_add(b, "{\"version\":\"" WHYRSS_VERSION "\",\"lines\":[");
	for (unsigned i = 0; i < N_LINES; i++)
		add_info(b, !i, LINES[i].id, LINES[i].title, LINES[i].why,
			 BRIDGE_INFO[LINES[i].bridge].id);
	str_add(b, "],\"bridge\":[");
	for (unsigned i = 0; i < N_BRIDGE; i++)
		add_info(b, !i, BRIDGE_INFO[i].id, BRIDGE_INFO[i].title, BRIDGE_INFO[i].why, NULL);
	str_add(b, "],\"container\":[");
	for (unsigned i = 0; i < N_CONTAINER; i++)
		add_info(b, !i, CONTAINER_INFO[i].id, CONTAINER_INFO[i].title,
			 CONTAINER_INFO[i].why, NULL);
	str_add(b, "],\"memstats\":[");
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		str_addf(b, "%s{\"name\":\"%s\",\"kind\":\"%s\",\"meaning\":", i ? "," : "",
			 fields[i].name, fields[i].kind);
		str_add_json(b, fields[i].meaning);
		str_add(b, "}");
	}
	str_add(b, "],\"files\":[");
	for (uint32_t i = 0; i < n_files; i++) {
		str_add(b, i ? "," : "");
		str_add_json(b, files[i]);
	}
	str_add(b, "],\"start\":");
	if (start)
		str_add_json(b, start);
	else
		str_add(b, "null");
	str_add(b, "}\n");
}

struct answer *web_meta(const char *const *files, uint32_t n_files, const char *start)
{
	struct answer *ret = answer_new(200, JSON);

	web_meta_write(&ret->body, files, n_files, start);
	return ret;
}

static struct answer *report(struct pool *p, struct job *j, struct arena *a, struct err *err)
{
	struct answer *ret;

	(void)p;
	if (!held_snapshot(j->of, web_report_needs(), j->q->max_age, err))
		return NULL;
	ret = answer_new(200, "text/html; charset=utf-8");
	if (web_report_write(&j->of->snap, target_word(a, &j->q->of), a, &ret->body, err)) {
		ret->disposition = arena_printf(
			&ret->mem, "attachment; filename=\"whyrss-%d.html\"", j->q->of.pid);
		return ret;
	}
	answer_drop(ret);
	return NULL;
}

struct answer *web_answer(struct pool *p, struct job *j)
{
	static struct answer *(*const answers[])(struct pool *, struct job *, struct arena *,
						 struct err *) = {
		[ASK_PROCESSES] = processes,
		[ASK_VIEW] = view,
		[ASK_MAP] = map,
		[ASK_AT] = at,
		[ASK_STACKS] = web_stacks,
		[ASK_TEXT] = web_text,
		[ASK_PPROF] = web_pprof,
		[ASK_METRICS] = metrics,
		[ASK_REPORT] = report,
		[ASK_SHELF] = web_shelf,
		[ASK_UPLOAD] = web_upload,
	};
	CLEANUP(arena_free) struct arena a = {0};
	struct err err = {0};
	struct answer *ret;

	arena_init(&a, 0);
	ret = answers[j->q->ask](p, j, &a, &err);
	if (!ret && err.kind != ERR_NONE) {
		ret = answer_error(&err);
		if (j->q->ask == ASK_PPROF) { /* as net/http/pprof words an error */
			ret->type = "text/plain; charset=utf-8";
			ret->pprof_error = true;
			str_free(&ret->body);
			str_add(&ret->body, err.msg);
			str_add(&ret->body, "\n");
		}
	}
	return ret;
}
