/*
 * The page's own files with the answers that it would ask a server for. Names in there are
 * foreign: they stay inside JSON strings, and '<' is written so that no tag can end the block.
 */
#include "front/web_report.h"

#include <string.h>

#include "front/render.h"
#include "front/web_answer.h"
#include "front/web_asset.h"
#include "front/web_stacks.h"
#include "view/prof.h"
#include "view/view.h"

static const enum view_id REPORT_VIEWS[] = {VIEW_ID_LEDGER, VIEW_ID_SPANS, VIEW_ID_GOROUTINES,
					    VIEW_ID_MAPS, VIEW_ID_MEMSTATS};
static const enum prof_kind REPORT_PROFILES[] = {PROF_HEAP,  PROF_ALLOCS, PROF_GOROUTINE,
						 PROF_SPACE, PROF_STACKS, PROF_FRAGMENTATION};

static const char *const GROUPINGS[] = {"state", "site", "start"};

uint32_t web_report_needs(void)
{
	uint32_t needs = NEED_LEDGER;

	for (size_t i = 0; i < ARRAY_LEN(REPORT_VIEWS); i++)
		needs |= VIEWS[REPORT_VIEWS[i]].needs;
	for (size_t i = 0; i < ARRAY_LEN(REPORT_PROFILES); i++)
		needs |= PROF_KIND[REPORT_PROFILES[i]].needs;
	return needs;
}

static void add_asset(struct str *out, const char *name)
{
	for (unsigned i = 0; i < N_WEB_ASSETS; i++)
		if (!strcmp(WEB_ASSETS[i].name, name))
			str_addn(out, (const char *)WEB_ASSETS[i].bytes, WEB_ASSETS[i].n);
}

/* '<' appears inside strings only, where it may be written as an escape. */
static void add_inside(struct str *out, const struct str *json)
{
	for (size_t i = 0; i < json->n;) {
		size_t n = strcspn(json->s + i, "<");

		str_addn(out, json->s + i, n);
		i += n;
		if (i < json->n && json->s[i] == '<') {
			str_add(out, "\\u003c");
			i++;
		}
	}
}

static void add_key(struct str *json, const char *key, const char *name)
{
	str_add(json, ",\n");
	str_add_json(json, name);
	json->n--; /* its closing quote */
	str_addf(json, "/%s\":", key);
}

static bool add_views(const struct snapshot *s, const char *name, const char *target,
		      struct arena *a, struct str *json, struct err *err)
{
	struct subject subject = {.s = s, .target = target};
	struct options o = {0};

	if (!option_take(&o, OPT_ALL, NULL, err))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(REPORT_VIEWS); i++) {
		const struct view *v = &VIEWS[REPORT_VIEWS[i]];
		struct report r;

		if (!v->run(&subject, &o, a, &r, err))
			return false;
		add_key(json, v->name, name);
		render_json(json, &r.json, false);
	}
	/* the groupings of goroutines that the page offers */
	for (size_t i = 0; i < ARRAY_LEN(GROUPINGS); i++) {
		struct report r;

		if (!option_take(&o, OPT_BY, GROUPINGS[i], err) ||
		    !VIEWS[VIEW_ID_GOROUTINES].run(&subject, &o, a, &r, err))
			return false;
		add_key(json, arena_printf(a, "goroutines?by=%s", GROUPINGS[i]), name);
		render_json(json, &r.json, false);
	}
	add_key(json, "pages", name);
	return web_pages_write(s, a, json, err);
}

/* A profile that can't be made is left out: the page says so. */
static void add_profiles(const struct snapshot *s, const char *name, struct arena *a,
			 struct str *json)
{
	for (size_t i = 0; i < ARRAY_LEN(REPORT_PROFILES); i++) {
		struct str one = {0};

		if (web_stacks_write(s, REPORT_PROFILES[i], a, &one, NULL)) {
			add_key(json,
				arena_printf(a, "stacks/%s", PROF_KIND[REPORT_PROFILES[i]].name),
				name);
			str_addn(json, one.s, one.n);
		}
		str_free(&one);
	}
}

bool web_report_write(const struct snapshot *s, const char *target, struct arena *a,
		      struct str *out, struct err *err)
{
	const char *name =
		s->kind == SNAPSHOT_PROCESS ? arena_printf(a, "pid/%d", s->os->pid) : "file/0";
	struct report r;
	struct subject subject = {.s = s, .target = target};
	struct str json = {0};
	const struct value *read;
	bool ok;

	report_init(&r, a, "whyrss.report/1");
	subject_head(&subject, &r);
	read = value_get(&r.json, "read");
	str_add(&json, "{\"target\":");
	str_add_json(&json, name);
	str_add(&json, ",\"at\":");
	render_json(&json, value_get(read, "at"), false);
	str_add(&json, ",\"answers\":{\"meta\":");
	web_meta_write(&json, &target, s->kind != SNAPSHOT_PROCESS, NULL);
	ok = add_views(s, name, target, a, &json, err);
	if (ok) {
		add_profiles(s, name, a, &json);
		str_add(&json, "}}");
		str_add(out,
			"<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
			"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
			"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src "
			"'none'; "
			"script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: "
			"blob:\">\n<title>whyrss report</title>\n<link rel=\"icon\" "
			"href=\"data:,\">"
			"\n<style>");
		add_asset(out, "app.css");
		str_add(out, "</style></head>\n<body><a class=\"skip\" href=\"#main\">Skip to the "
			     "content</a><div id=\"app\"></div>\n"
			     "<script type=\"application/json\" id=\"whyrss-report\">");
		add_inside(out, &json);
		str_add(out, "</script>\n<script>");
		add_asset(out, "app.js");
		str_add(out, "</script></body></html>\n");
	}
	str_free(&json);
	return ok;
}

bool web_report_run(const struct subject *in, const struct options *o, struct arena *a,
		    struct report *ret, struct err *err)
{
	const char *file = option_set(o, OPT_OUTPUT) ? o->v[OPT_OUTPUT].text : NULL;
	struct str page = {0};

	if (!file && (option_set(o, OPT_JSON) || option_set(o, OPT_CSV)))
		return err_set(err, ERR_USAGE,
			       "report: --json and --csv are about the file that -o FILE writes");
	if (!web_report_write(in->s, in->target, a, &page, err)) {
		str_free(&page);
		return false;
	}
	report_init(ret, a, "whyrss.report/1");
	(void)subject_head(in, ret);
	report_put(ret, "file", value_str(file));
	report_put(ret, "file_bytes", value_uint(page.n));
	if (file)
		report_block(ret, BLOCK_VERDICT, arena_printf(a, "%s: open it in a browser", file));
	ret->file.path = file;
	ret->file.data = arena_strndup(a, page.s, page.n);
	ret->file.n = page.n;
	str_free(&page);
	subject_notes(in, ret, NULL);
	return true;
}
