/*
 * What all views of a target say in the same words: who it is, how it was read, what is missing.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "base/unit.h"
#include "view/view.h"

#define DOT " \xc2\xb7 " /* U+00B7 */

const char *subject_program(const struct snapshot *s, struct arena *a)
{
	const char *exe = s->os->exe ? s->os->exe : "", *slash = strrchr(exe, '/');

	if (slash && slash[1])
		return slash + 1;
	return *exe ? exe : arena_strdup(a, s->os->comm);
}

const char *rfc3339(struct arena *a, int64_t unix_ns)
{
	time_t sec = (time_t)(unix_ns / 1000000000);
	struct tm tm;
	char day[40];

	if (unix_ns < 0 || !gmtime_r(&sec, &tm) || tm.tm_year > 8099)
		return NULL;
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	return arena_printf(a, "%s.%03dZ", day, (int)(unix_ns / 1000000 % 1000));
}

struct block *subject_head(const struct subject *in, struct report *r)
{
	static const char *const kinds[] = {[SNAPSHOT_PROCESS] = "process",
					    [SNAPSHOT_CORE] = "core",
					    [SNAPSHOT_CAPTURE] = "capture"};
	const struct snapshot *s = in->s;
	struct arena *a = r->mem;
	struct value target = value_object(a), read = value_object(a);
	struct str line = {0};
	char text[UNIT_TEXT];
	struct block *b;

	value_put(a, target, "kind", value_str(kinds[s->kind]));
	value_put(a, target, "pid", value_int(s->os->pid));
	value_put(a, target, "exe", value_str(s->os->exe));
	value_put(a, target, "go", value_str(s->go_version));
	value_put(a, target, "arch", value_str("amd64"));
	value_put(a, target, "stripped", value_bool(s->stripped));
	value_put(a, target, "cgo", value_bool(s->cgo));
	value_put(a, target, "layout", value_str(s->layout_from));
	report_put(r, "target", target);

	value_put(a, read, "at", value_str(rfc3339(a, s->read.at_unix_ns)));
	value_put(a, read, "ms", value_double((double)s->read.took_ns / 1e6));
	value_put(a, read, "stopped_ms", value_double((double)s->read.stopped_ns / 1e6));
	value_put(a, read, "skew", value_uint(s->read.skew));
	value_put(a, read, "drift", value_int(s->read.drift));
	value_put(a, read, "tries", value_uint(s->read.tries));
	value_put(a, read, "consistent", value_bool(s->read.consistent));
	report_put(r, "read", read);

	str_add(&line, subject_program(s, a));
	str_addf(&line, DOT "%spid %d",
		 s->kind == SNAPSHOT_CORE      ? "core of "
		 : s->kind == SNAPSHOT_CAPTURE ? "capture of "
					       : "",
		 s->os->pid);
	if (s->go_version)
		str_addf(&line, DOT "%s", s->go_version);
	if (s->os->up_ns > 0)
		str_addf(&line, DOT "up %s", unit_duration(text, s->os->up_ns));
	b = report_block(r, BLOCK_HEADLINE, arena_strdup(a, line.s));
	str_free(&line);
	return b;
}

void subject_notes(const struct subject *in, struct report *r, const char *own)
{
	const struct notes *n = &in->s->notes;
	struct value list = value_array(r->mem);

	for (uint32_t i = 0; i < n->n; i++)
		report_note(r, list, n->v[i]);
	if (own)
		report_note(r, list, own);
	report_put(r, "notes", list);
	r->partial = n->partial || in->s->n_others > 0;
}

struct block *subject_foot(const struct subject *in, struct report *r)
{
	const struct read_facts *f = &in->s->read;
	struct block *b = report_block(r, BLOCK_ITEMS, NULL);
	char took[UNIT_TEXT], stop[UNIT_TEXT];

	block_item(r, b,
		   in->s->kind == SNAPSHOT_CORE
			   ? arena_printf(r->mem, "read in %s", unit_duration(took, f->took_ns))
		   : f->stopped_ns > 0
			   ? arena_printf(r->mem, "read in %s, the process was stopped for %s",
					  unit_duration(took, f->took_ns),
					  unit_duration(stop, f->stopped_ns))
			   : arena_printf(r->mem, "read in %s, nothing stopped",
					  unit_duration(took, f->took_ns)));
	if (f->skew)
		block_item(r, b,
			   arena_printf(r->mem, "%u GC cycle%s passed meanwhile", f->skew,
					f->skew == 1 ? "" : "s"));
	if (!f->consistent)
		block_item(r, b, "not fully consistent: --freeze gives an exact answer");
	return b;
}

bool subject_table(struct report *r, struct table *t, const struct options *o, const char *sort,
		   uint32_t limit, struct err *err)
{
	const struct option_value *n = &o->v[OPT_LIMIT];

	if (!table_sort(r->mem, t, option_set(o, OPT_SORT) ? o->v[OPT_SORT].text : sort, err))
		return false;
	t->limit = option_set(o, OPT_ALL) ? 0 : limit;
	if (n->set) {
		t->limit = (uint32_t)MIN(n->number, (uint64_t)UINT32_MAX);
		t->limit_all = true;
	}
	r->main = t;
	return true;
}
