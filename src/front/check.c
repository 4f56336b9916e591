/*
 * `whyrss check`: expectations about a process now, or about the peak of a recording, with an exit
 * code for CI and probes. An expectation is NAME OPERATOR VALUE.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/unit.h"
#include "front/replay.h"
#include "front/source.h"
#include "front/watch.h"
#include "ledger/ledger.h"

#define CAUSES_MAX 64U

/* What may be asked about. NaN: not known here. */
struct facts {
	double rss, profile, gap, goroutines, growth, swap, line[N_LINES];
	const char *causes[CAUSES_MAX];
	uint32_t n_causes;
};

enum compare { IS_LE, IS_GE, IS_NOT, IS_SAME, IS_LT, IS_GT, IS };
static const char *const SIGNS[] = {"<=", ">=", "!=", "==", "<", ">", "="};

struct expect {
	const char *text;
	char name[32];
	enum compare sign;
	double value;	  /* of a number */
	bool percent;	  /* of RSS */
	const char *word; /* of a cause */
	bool ok, known;
	double is;
};

static bool find_fact(const struct facts *f, const char *name, double *ret)
{
	const struct {
		const char *name;
		double v;
	} named[] = {{"rss", f->rss},	    {"profile", f->profile},
		     {"gap", f->gap},	    {"goroutines", f->goroutines},
		     {"growth", f->growth}, {"swap", f->swap}};

	for (size_t i = 0; i < ARRAY_LEN(named); i++) {
		if (!strcmp(named[i].name, name)) {
			*ret = named[i].v;
			return true;
		}
	}
	for (unsigned i = 0; i < N_LINES; i++) {
		if (!strcmp(LINES[i].id, name)) {
			*ret = f->line[i];
			return true;
		}
	}
	return false;
}

static bool expect_parse(const char *text, struct expect *ret, struct err *err)
{
	const struct facts none = {0};
	struct expect e = {.text = text};
	size_t n = strcspn(text, "<>=!");
	const char *at = text + n, *value;
	unsigned sign = 0;
	double unused;
	char *end;
	bytes size;

	while (sign < ARRAY_LEN(SIGNS) && strncmp(at, SIGNS[sign], strlen(SIGNS[sign])) != 0)
		sign++;
	if (n == 0 || n >= sizeof(e.name) || sign == ARRAY_LEN(SIGNS))
		goto wrong;
	memcpy(e.name, text, n);
	while (n && e.name[n - 1] == ' ')
		e.name[--n] = '\0';
	e.sign = (enum compare)sign;
	value = at + strlen(SIGNS[sign]);
	value += strspn(value, " ");
	if (!*value)
		goto wrong;
	if (!strcmp(e.name, "cause")) {
		if (e.sign != IS && e.sign != IS_SAME && e.sign != IS_NOT)
			goto wrong;
		e.word = value;
		*ret = e;
		return true;
	}
	if (!find_fact(&none, e.name, &unused))
		return err_set(err, ERR_USAGE,
			       "--expect %.60s: %.31s is not known; take rss, profile, gap, "
			       "goroutines, swap, growth, "
			       "cause, or a line of the ledger",
			       text, e.name);
	e.value = strtod(value, &end);
	if (!strcmp(end, "%") && *value >= '0' && *value <= '9')
		e.percent = true;
	else if (unit_parse_bytes(value, &size))
		e.value = (double)size;
	else
		goto wrong;
	*ret = e;
	return true;
wrong:
	return err_set(err, ERR_USAGE,
		       "--expect %.60s: not NAME OPERATOR VALUE, such as gap<30%%, rss<=512MiB or "
		       "cause!=native-leak",
		       text);
}

static void expect_judge(struct expect *e, const struct facts *f)
{
	double v = NAN, want = e->value;

	if (e->word) {
		bool found = false;

		for (uint32_t i = 0; i < f->n_causes; i++)
			found |= !strcmp(f->causes[i], e->word);
		e->known = true;
		e->ok = found == (e->sign != IS_NOT);
		return;
	}
	find_fact(f, e->name, &v);
	e->is = v;
	e->known = !isnan(v);
	if (!e->known)
		return;
	if (e->percent)
		want = f->rss * e->value / 100;
	e->ok = e->sign == IS_LE    ? v <= want
		: e->sign == IS_GE  ? v >= want
		: e->sign == IS_LT  ? v < want
		: e->sign == IS_GT  ? v > want
		: e->sign == IS_NOT ? v != want
				    : v == want;
}

static bool facts_of_process(const struct source_word *word, struct arena *a, struct facts *ret,
			     struct err *err)
{
	struct source *s;
	struct snapshot snap = {0};
	struct ledger l;
	bool ok;

	if (!source_open(word, &(struct source_options){0}, &s, err))
		return false;
	ok = source_snapshot(s, NEED_LEDGER, &snap, err);
	if (ok) {
		ledger_build(&snap, a, NULL, NULL, &l);
		ret->rss = l.residency ? (double)l.rss : NAN;
		ret->profile = snap.profile.enabled ? (double)snap.profile.inuse_space : NAN;
		ret->gap = l.residency ? ret->rss - (isnan(ret->profile) ? 0 : ret->profile) : NAN;
		ret->goroutines = (double)snap.counters->goroutines;
		ret->swap = (double)snap.os->swap;
		ret->growth = NAN;
		for (unsigned i = 0; i < N_LINES; i++)
			ret->line[i] = l.residency ? (double)l.line[i].resident : NAN;
		for (uint32_t i = 0; i < MIN(l.n_causes, CAUSES_MAX); i++)
			ret->causes[ret->n_causes++] = l.causes[i].id;
		snapshot_free(&snap);
	}
	source_close(s);
	return ok;
}

static bool facts_of_recording(const char *path, struct arena *a, struct facts *ret,
			       struct err *err)
{
	struct replay p;
	const struct ledger_row *at;

	if (!replay_open(path, &p, err))
		return false;
	at = p.story.peak;
	ret->rss = (double)p.story.peak_rss;
	ret->profile = at && at->l.profile != UNKNOWN ? (double)at->l.profile : NAN;
	ret->gap = at ? (double)at->l.rss - (isnan(ret->profile) ? 0 : ret->profile) : NAN;
	ret->swap = NAN;
	ret->goroutines = 0;
	for (uint32_t i = 0; i < p.story.n_samples; i++)
		if (p.story.samples[i].s.goroutines != UNKNOWN)
			ret->goroutines =
				fmax(ret->goroutines, (double)p.story.samples[i].s.goroutines);
	ret->growth = p.story.rss.kind == TREND_UNKNOWN	 ? NAN
		      : p.story.rss.kind == TREND_RISING ? p.story.rss.slope * 60
							 : 0;
	for (unsigned i = 0; i < N_LINES; i++)
		ret->line[i] = at ? (double)at->l.resident[i] : NAN;
	if (at && at->l.cause)
		ret->causes[ret->n_causes++] = arena_strdup(a, at->l.cause);
	replay_close(&p);
	return true;
}

static const char *value_text(struct arena *a, const struct expect *e, const struct facts *f)
{
	char text[UNIT_TEXT];
	struct str s = {0};
	const char *ret;

	if (!e->known)
		return "not known here";
	if (e->word) {
		for (uint32_t i = 0; i < f->n_causes; i++)
			str_addf(&s, "%s%s", i ? ", " : "", f->causes[i]);
		ret = arena_strdup(a, s.n ? s.s : "none");
		str_free(&s);
		return ret;
	}
	if (!strcmp(e->name, "goroutines"))
		return arena_printf(a, "%.0f", e->is);
	if (e->percent && f->rss > 0)
		return arena_printf(a, "%.1f %% (%s)", e->is / f->rss * 100,
				    unit_delta(text, (int64_t)e->is));
	return arena_strdup(a, unit_bytes(text, (bytes)fmax(e->is, 0)));
}

static void add_xml(struct str *to, const char *s)
{
	for (; s && *s; s++) {
		if (strchr("<>&\"'", *s))
			str_addf(to, "&#%d;", *s);
		else
			str_addn(to, (unsigned char)*s < 32 ? "?" : s, 1);
	}
}

static bool write_junit(const char *path, const char *target, const struct expect *e, uint32_t n,
			const struct facts *f, struct arena *a, struct err *err)
{
	CLEANUP(cleanup_fd) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	struct str s = {0};
	uint32_t bad = 0;
	bool ok;

	for (uint32_t i = 0; i < n; i++)
		bad += !e[i].ok;
	str_addf(&s, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"whyrss check ");
	add_xml(&s, target);
	str_addf(&s, "\" tests=\"%u\" failures=\"%u\">\n", n, bad);
	for (uint32_t i = 0; i < n; i++) {
		str_add(&s, "  <testcase classname=\"whyrss\" name=\"");
		add_xml(&s, e[i].text);
		str_add(&s, "\">");
		if (!e[i].ok) {
			str_add(&s, "<failure message=\"");
			add_xml(&s, value_text(a, &e[i], f));
			str_add(&s, "\"/>");
		}
		str_add(&s, "</testcase>\n");
	}
	str_add(&s, "</testsuite>\n");
	ok = fd >= 0 && write(fd, s.s, s.n) == (ssize_t)s.n;
	str_free(&s);
	return ok || err_os(err, ERR_OS, "%.120s", path);
}

enum exit_code check_run(const struct request *q, struct str *messages)
{
	CLEANUP(arena_free) struct arena a = {0};
	const struct option_value *o = &q->options.v[OPT_EXPECT];
	bool json = option_set(&q->options, OPT_JSON), all = true, read;
	struct expect e[OPTION_LIST_MAX] = {0};
	struct source_word word;
	struct facts f = {0};
	struct err err = {0};
	struct str out = {0};

	arena_init(&a, 0);
	if (q->n_words != 1 || !o->n_list) {
		err_set(&err, ERR_USAGE,
			"check: one TARGET and at least one --expect, such as --expect 'gap<30%%'");
		goto failed;
	}
	for (uint32_t i = 0; i < o->n_list; i++)
		if (!expect_parse(o->list[i], &e[i], &err))
			goto failed;
	if (!source_find(q->words[0], &a, &word, &err) || !source_whole(&word, &err))
		goto failed;
	read = word.kind == SOURCE_RECORDING ? facts_of_recording(word.path, &a, &f, &err)
					     : facts_of_process(&word, &a, &f, &err);
	if (!read)
		goto failed;
	str_add(&out, json ? "{\"schema\":\"whyrss.check/1\",\"expects\":[" : "");
	for (uint32_t i = 0; i < o->n_list; i++) {
		const char *is;

		expect_judge(&e[i], &f);
		all &= e[i].ok;
		is = value_text(&a, &e[i], &f);
		if (json) {
			str_add(&out, i ? ",{\"expect\":" : "{\"expect\":");
			str_add_json(&out, e[i].text);
			str_addf(&out, ",\"ok\":%s,\"value\":", e[i].ok ? "true" : "false");
			if (e[i].word || !e[i].known)
				str_add_json(&out, is);
			else
				str_addf(&out, "%.0f", e[i].is);
			str_add(&out, "}");
		} else {
			str_add(&out, e[i].ok ? "ok      " : "FAILED  ");
			str_add_plain(&out, e[i].text);
			str_addf(&out, "  is %s\n", is);
		}
	}
	if (json)
		str_addf(&out, "],\"ok\":%s}\n", all ? "true" : "false");
	put_out(&out);
	str_free(&out);
	if (option_set(&q->options, OPT_JUNIT) &&
	    !write_junit(q->options.v[OPT_JUNIT].text, q->words[0], e, o->n_list, &f, &a, &err))
		goto failed;
	return all ? EXIT_ANSWERED : EXIT_FAILED;
failed:
	message_add(messages, &err);
	return err.kind == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}
