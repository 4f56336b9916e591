/*
 * Where each Go release keeps its runtime's fields. Records, written by tools/record-layouts from
 * the DWARF of one small program a release, serve the binaries that have no DWARF; a binary's own
 * DWARF answers for every other release. Looks nothing up in a process: whether a layout fits the
 * memory that is read is checked where that memory is read.
 */
#include "goruntime/layout.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "image/dwarf.h"

const struct field_row FIELD_ROWS[] = {
#define REQUIRED		     true
#define OPTIONAL		     false
#define FIELD(id, type, paths, need) {#id, type, paths, need},
#include "goruntime/fields.def"
#undef FIELD
};
const uint32_t N_FIELD_ROWS = ARRAY_LEN(FIELD_ROWS);

const struct symbol_row SYMBOL_ROWS[] = {
#define SYMBOL(id, names, need) {#id, names, need},
#include "goruntime/symbols.def"
#undef SYMBOL
#undef REQUIRED
#undef OPTIONAL
};
const uint32_t N_SYMBOL_ROWS = ARRAY_LEN(SYMBOL_ROWS);

enum field_index {
#define FIELD(id, type, paths, need) AT_##id,
#include "goruntime/fields.def"
#undef FIELD
	N_FIELDS
};

#define MOST_OF_TYPE ((uint64_t)1 << 22) /* the largest, heapArena, has some 1 MiB */
#define FIRST_FIELD  offsetof(struct layout, mheap_size)
static_assert(sizeof(struct layout) - FIRST_FIELD >= N_FIELDS * sizeof(struct field), "fields");
static_assert(offsetof(struct layout, mheap_sweepgen) - FIRST_FIELD == sizeof(struct field),
	      "packed");
static_assert(sizeof(struct symbols) == ARRAY_LEN(SYMBOL_ROWS) * sizeof(taddr), "symbols");

struct field *layout_fields(struct layout *l)
{
	return &l->mheap_size;
}

taddr *symbols_array(struct symbols *s)
{
	return &s->mheap;
}

/* -- records --------------------------------------------------------------------------------- */

/* A field that differs from the layout that a record builds on; width 0: it has no such field. */
struct change {
	uint16_t field;
	uint32_t off, width;
};

/* A layout: the changes against an earlier record, or against nothing when base is -1. */
struct record {
	const struct change *changes;
	uint32_t n;
	int base;
};

/* Releases go1.MINOR.FIRST to go1.MINOR.LAST, with an experiment or "", have RECORDS[record]. */
struct served {
	int minor, first, last;
	const char *experiment;
	int record;
};

/* tools/layoutdump must build while the records don't fit fields.def. */
#ifndef LAYOUT_WITHOUT_RECORDS
#define AT(id, off, width) {AT_##id, off, width},
#define RECORD(name, base) {name, ARRAY_LEN(name), base},
#include "goruntime/layouts/records.inc"
#undef AT
#undef RECORD
#else
static const struct record RECORDS[] = {{NULL, 0, -1}};
static const struct served SERVED[] = {{0, 0, -1, "", 0}};
#endif

static void record_apply(int index, struct field *fields)
{
	const struct record *r = &RECORDS[index];

	if (r->base >= 0)
		record_apply(r->base, fields);
	for (uint32_t i = 0; i < r->n; i++)
		fields[r->changes[i].field] =
			(struct field){r->changes[i].off, r->changes[i].width};
}

static void served_take(const struct served *s, enum layout_source source, struct layout *ret)
{
	const char *x = s->experiment[0] ? " X:" : "";

	*ret = (struct layout){.source = source};
	if (s->first == s->last)
		snprintf(ret->recorded_as, sizeof(ret->recorded_as), "go1.%d.%d%s%s", s->minor,
			 s->first, x, s->experiment);
	else
		snprintf(ret->recorded_as, sizeof(ret->recorded_as), "go1.%d.%d–go1.%d.%d%s%s",
			 s->minor, s->first, s->minor, s->last, x, s->experiment);
	record_apply(s->record, layout_fields(ret));
}

/* Whether a comma-separated list has the name. */
static bool list_has(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *s = list; *s; s += strcspn(s, ","), s += *s == ',')
		if (strcspn(s, ",") == n && strncmp(s, name, n) == 0)
			return true;
	return false;
}

/*
 * Whether a row is about the release's experiments: the ones that have records of their own move
 * something, all others don't, but for staticlockranking, which enlarges every lock and is for
 * work on the runtime. Two of them at once were never recorded.
 */
static bool experiments_fit(const struct served *s, const struct go_release *r)
{
	if (list_has(r->experiments, "staticlockranking"))
		return false;
	if (s->experiment[0] && !list_has(r->experiments, s->experiment))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(SERVED); i++)
		if (SERVED[i].minor == s->minor && SERVED[i].experiment[0] &&
		    strcmp(SERVED[i].experiment, s->experiment) != 0 &&
		    list_has(r->experiments, SERVED[i].experiment))
			return false;
	return true;
}

bool layout_recorded(const struct go_release *r, struct layout *ret)
{
	if (r->major != 1 || r->patch < 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(SERVED); i++) {
		const struct served *s = &SERVED[i];

		if (s->minor != r->minor || r->patch < s->first || r->patch > s->last)
			continue;
		if (!experiments_fit(s, r))
			continue;
		served_take(s, LAYOUT_RECORDED, ret);
		return true;
	}
	return false;
}

/* How far a row is from a release: the same minor release first, then below before above. */
static int64_t served_distance(const struct served *s, int minor, int patch)
{
	const int64_t a_minor = 1 << 21; /* more than any patch, as go_release_parse bounds it */
	int64_t want = minor * a_minor + patch;
	int64_t first = s->minor * a_minor + s->first, last = s->minor * a_minor + s->last;
	int64_t above = (int64_t)1 << 50;

	if (first <= want)
		return want - MIN(last, want);
	return first - want + (s->minor == minor ? a_minor / 2 : above);
}

bool layout_nearest(const struct go_release *r, struct layout *ret)
{
	const struct served *best = NULL;
	int64_t least = INT64_MAX;

	if (r->major != 1)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(SERVED); i++) {
		const struct served *s = &SERVED[i];
		/* What comes before a .0 (rc, beta, devel) is nearest to that .0. */
		int64_t distance = served_distance(s, r->minor, MAX(r->patch, 0));

		if (s->first > s->last || distance >= least || !experiments_fit(s, r))
			continue;
		best = s;
		least = distance;
	}
	if (!best)
		return false;
	served_take(best, LAYOUT_NEAREST, ret);
	return true;
}

/* -- DWARF ----------------------------------------------------------------------------------- */

bool layout_dwarf(int elf_fd, struct layout *ret, struct err *err)
{
	struct dwarf_query q[N_FIELDS];
	struct layout l = {.source = LAYOUT_DWARF};
	struct field *fields = layout_fields(&l);

	for (uint32_t i = 0; i < N_FIELDS; i++)
		q[i] = (struct dwarf_query){.type = FIELD_ROWS[i].type,
					    .paths = FIELD_ROWS[i].paths};
	if (!dwarf_resolve(elf_fd, q, N_FIELDS, err))
		return false;
	for (uint32_t i = 0; i < N_FIELDS; i++) {
		const char *paths = q[i].paths;

		if (q[i].found)
			fields[i] = (struct field){q[i].off, q[i].width};
		else if (FIELD_ROWS[i].required)
			return err_set(err, ERR_RELEASE, "its runtime has no %s%s%.*s",
				       q[i].type + (str_starts(q[i].type, "var:") ? 4 : 0),
				       paths[0] ? "." : "", (int)strcspn(paths, "|"), paths);
	}
	*ret = l;
	return true;
}

bool layout_plausible(const struct layout *l, const struct go_release *r, struct err *err)
{
	/* types that are copied into room of a fixed size */
	static const struct {
		const char *type;
		uint32_t most;
	} limits[] = {{"runtime.mspan", 512},
		      {"runtime.g", 1024},
		      {"runtime.moduledata", 1024},
		      {"runtime.gcControllerState", 1024},
		      {"var:runtime.work", 1024}};
	struct layout copy = *l, near;
	const struct field *f = layout_fields(&copy), *is = layout_fields(&near);

	if (!layout_nearest(r, &near))
		return err_set(err, ERR_RELEASE, "%s has no release near it", r->text);

	for (uint32_t i = 0; i < N_FIELDS; i++) {
		uint64_t end = (uint64_t)f[i].off + f[i].width, size = MOST_OF_TYPE;

		if (FIELD_ROWS[i].required && f[i].width == 0)
			return err_set(err, ERR_RELEASE, "%s is missing", FIELD_ROWS[i].id);
		if (f[i].width == 0)
			continue;
		if (*FIELD_ROWS[i].paths && is[i].width && f[i].width != is[i].width)
			return err_set(err, ERR_RELEASE, "%s has %u bytes", FIELD_ROWS[i].id,
				       f[i].width);
		for (uint32_t k = 0; k < N_FIELDS; k++)
			if (!*FIELD_ROWS[k].paths &&
			    !strcmp(FIELD_ROWS[k].type, FIELD_ROWS[i].type))
				size = MIN(size, f[k].width);
		for (size_t k = 0; k < ARRAY_LEN(limits); k++)
			if (!strcmp(limits[k].type, FIELD_ROWS[i].type))
				size = MIN(size, limits[k].most);
		if (end > size)
			return err_set(err, ERR_RELEASE, "%s lies outside of its type",
				       FIELD_ROWS[i].id);
	}
	return true;
}

/* -- releases -------------------------------------------------------------------------------- */

/* A number of at most 6 digits; -1 when there is none. */
static int number(const char **at)
{
	uint64_t v;

	if (**at < '0' || **at > '9' || !str_u64(at, false, &v) || v > 999999)
		return -1;
	return (int)v;
}

/* Copies the list behind " X:", or, as Go 1.26 and later word it, "-X:". */
static void experiments_parse(const char *text, char *to, size_t size)
{
	for (const char *s = strstr(text, "X:"); s; s = strstr(s + 1, "X:")) {
		size_t n = strcspn(s + 2, " )\t");

		if (s == text || (s[-1] != ' ' && s[-1] != '-'))
			continue;
		snprintf(to, size, "%.*s", (int)MIN(n, size - 1), s + 2);
		return;
	}
}

bool go_release_parse(const char *text, struct go_release *ret)
{
	struct go_release r = {.patch = -1};
	const char *s = text;
	size_t n;

	if (str_starts(s, "devel "))
		s += 6;
	if (!str_starts(s, "go"))
		return false;
	s += 2;
	r.major = number(&s);
	if (r.major < 1 || *s++ != '.')
		return false;
	r.minor = number(&s);
	if (r.minor < 0)
		return false;
	if (*s == '.') {
		s++;
		r.patch = number(&s);
		if (r.patch < 0)
			return false;
	} else if (s != text && !str_starts(text, "devel ") && !str_starts(s, "-devel") &&
		   (*s == '\0' || *s == ' ' || *s == '-')) {
		r.patch = 0; /* "go1.20": the first of a series had no number before 1.21 */
	}
	/* Behind the number: an end, a distribution's suffix, or "rc1" and "beta1". */
	if (*s && !strchr(" -+rb", *s))
		return false;
	if (*s && r.patch >= 0 && !strchr(" -+", *s))
		return false;

	for (n = 0; text[n] && n < sizeof(r.text) - 1; n++)
		r.text[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
	experiments_parse(r.text, r.experiments, sizeof(r.experiments));
	*ret = r;
	return true;
}
