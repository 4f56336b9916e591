/*
 * What the kernel said of a process, written so that it can be read back as it was. Text where a
 * person may want to look (zstd -d, strings), LEB128 where there is much. Whatever a file says, the
 * mappings that come back are ascending and do not overlap, and lists are limited.
 */
#include "target/facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAPS_LIMIT    1000000U
#define THREADS_LIMIT (1U << 20)
#define RUNS_LIMIT    ((size_t)2 << 20)
#define PAGES_LIMIT   ((uint64_t)1 << 28) /* 1 TiB */

enum fact_kind { FACT_U64, FACT_I64, FACT_U32, FACT_INT, FACT_BOOL, FACT_TEXT };

struct fact {
	const char *key;
	enum fact_kind kind;
	size_t at;
};

#define OS(kind, name)                                                                             \
	{                                                                                          \
		"os." #name, FACT_##kind, offsetof(struct os_facts, name)                          \
	}
#define CGROUP(kind, name)                                                                         \
	{                                                                                          \
		"cgroup." #name, FACT_##kind, offsetof(struct cgroup_facts, name)                  \
	}

static const struct fact OS_FACTS[] = {
	OS(INT, pid),	       OS(U64, start_ticks),   OS(I64, up_ns),
	OS(TEXT, exe),	       OS(BOOL, exe_deleted),  OS(TEXT, cmdline0),
	OS(TEXT, pid_ns_note), OS(BOOL, partial),      OS(I64, at_unix_ns),
	OS(I64, monotonic_ns), OS(U32, residency),     OS(U64, rss_kernel),
	OS(I64, drift),	       OS(U64, anon),	       OS(U64, file),
	OS(U64, shmem),	       OS(U64, hwm),	       OS(U64, swap),
	OS(U64, page_tables),  OS(U64, vm_size),       OS(U64, hugetlb),
	OS(U64, pss),	       OS(U64, lazy_free),     OS(U64, huge),
	OS(U32, n_cpus),       OS(U64, machine_total), OS(U64, machine_available),
	OS(TEXT, thp_enabled), OS(INT, max_ptes_none),
};

static const struct fact CGROUP_FACTS[] = {
	CGROUP(TEXT, path),	    CGROUP(TEXT, limit_path),	CGROUP(INT, version),
	CGROUP(U64, current),	    CGROUP(U64, working_set),	CGROUP(U64, limit),
	CGROUP(U64, limit_current), CGROUP(U64, high),		CGROUP(U64, swap_limit),
	CGROUP(U64, anon),	    CGROUP(U64, file),		CGROUP(U64, shmem),
	CGROUP(U64, kernel),	    CGROUP(U64, slab),		CGROUP(U64, slab_reclaimable),
	CGROUP(U64, sock),	    CGROUP(U64, page_tables),	CGROUP(U64, kernel_stack),
	CGROUP(U64, mapped_file),   CGROUP(U64, inactive_file), CGROUP(U64, active_file),
	CGROUP(U64, swap),	    CGROUP(U64, oom_kills),	CGROUP(U64, max_events),
	CGROUP(U32, processes),	    CGROUP(U64, others_rss),	CGROUP(U64, others_anon),
};

void text_write(struct str *to, const char *s)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c < 0x20 || c == '\\' || c == 0x7f)
			str_addf(to, "\\x%02x", c);
		else
			str_addn(to, s, 1);
	}
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void text_read(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] == 'x' && hex_digit(s[2]) >= 0 && hex_digit(s[3]) >= 0) {
			char c = (char)((unsigned)hex_digit(s[2]) * 16 + (unsigned)hex_digit(s[3]));

			if (c)
				*to++ = c;
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

static void fact_write(struct str *to, const struct fact *f, const void *base)
{
	const char *at = (const char *)base + f->at;
	const char *text = NULL;
	uint64_t u = 0;
	int64_t i = 0;
	uint32_t w = 0;
	int n = 0;
	bool b = false;

	str_addf(to, "%s ", f->key);
	switch (f->kind) {
	case FACT_U64:
		memcpy(&u, at, sizeof(u));
		str_addf(to, "%llu", (unsigned long long)u);
		break;
	case FACT_I64:
		memcpy(&i, at, sizeof(i));
		str_addf(to, "%lld", (long long)i);
		break;
	case FACT_U32:
		memcpy(&w, at, sizeof(w));
		str_addf(to, "%u", w);
		break;
	case FACT_INT:
		memcpy(&n, at, sizeof(n));
		str_addf(to, "%d", n);
		break;
	case FACT_BOOL:
		memcpy(&b, at, sizeof(b));
		str_addf(to, "%d", b);
		break;
	case FACT_TEXT:
		memcpy(&text, at, sizeof(text));
		text_write(to, text ? text : "");
		break;
	}
	str_add(to, "\n");
}

static bool fact_read(const struct fact *f, char *value, void *base, struct arena *a)
{
	char *at = (char *)base + f->at;
	bool negative = *value == '-';
	const char *digits = value + negative, *text;
	uint64_t u = 0;
	int64_t i;
	uint32_t w;
	int n;
	bool b;

	if (f->kind == FACT_TEXT) {
		text_read(value);
		text = arena_strdup(a, value);
		memcpy(at, &text, sizeof(text));
		return true;
	}
	if (!str_u64(&digits, false, &u) || *digits)
		return false;
	i = negative ? (int64_t)-u : (int64_t)MIN(u, (uint64_t)INT64_MAX);
	switch (f->kind) {
	case FACT_U64:
		memcpy(at, &u, sizeof(u));
		break;
	case FACT_I64:
		memcpy(at, &i, sizeof(i));
		break;
	case FACT_U32:
		w = (uint32_t)MIN(u, (uint64_t)UINT32_MAX);
		memcpy(at, &w, sizeof(w));
		break;
	case FACT_INT:
		n = (int)MAX(MIN(i, (int64_t)INT32_MAX), (int64_t)INT32_MIN);
		memcpy(at, &n, sizeof(n));
		break;
	case FACT_BOOL:
		b = u != 0;
		memcpy(at, &b, sizeof(b));
		break;
	case FACT_TEXT:
		break;
	}
	return true;
}

void facts_write(const struct os_facts *os, struct str *to)
{
	str_addf(to, "whyrss capture %u\n", CAPTURE_VERSION);
	str_add(to, "os.comm ");
	text_write(to, os->comm);
	str_add(to, "\n");
	for (size_t i = 0; i < ARRAY_LEN(OS_FACTS); i++)
		fact_write(to, &OS_FACTS[i], os);
	for (size_t i = 0; os->cgroup && i < ARRAY_LEN(CGROUP_FACTS); i++)
		fact_write(to, &CGROUP_FACTS[i], os->cgroup);
	for (uint32_t i = 0; i < os->n_notes; i++) {
		str_add(to, "note ");
		text_write(to, os->notes[i]);
		str_add(to, "\n");
	}
	for (uint32_t i = 0; i < os->n_threads; i++)
		str_addf(to, "thread %d %llx %llx %d\n", os->threads[i].tid,
			 (unsigned long long)os->threads[i].sp,
			 (unsigned long long)os->threads[i].pc, os->threads[i].on_cpu);
	for (uint32_t i = 0; i < os->n_maps; i++) {
		const struct mapping *m = &os->maps[i];

		str_addf(to, "map %llx %llx %llx %llx %x %x ", (unsigned long long)m->start,
			 (unsigned long long)m->end, (unsigned long long)m->offset,
			 (unsigned long long)m->inode, m->dev, m->flags);
		text_write(to, m->path);
		str_add(to, "\n");
	}
}

/* ---- Reading ---- */

/* n hexadecimal numbers, each with a blank or the end behind it. */
static bool numbers(const char **at, uint64_t *v, int n)
{
	for (int i = 0; i < n; i++) {
		if (!str_u64(at, true, &v[i]) || (**at && **at != ' '))
			return false;
		*at += **at == ' ';
	}
	return true;
}

struct facts_reader {
	struct arena *a;
	struct os_facts *os;
	VEC(struct mapping) maps;
	VEC(struct os_thread) threads;
	VEC(const char *) notes;
};

static bool map_read(struct facts_reader *r, char *value, struct err *err)
{
	const char *at = value;
	taddr last = r->maps.n ? r->maps.v[r->maps.n - 1].end : 0;
	uint64_t v[6];

	if (!numbers(&at, v, 6) || v[1] <= v[0] || v[0] < last || v[0] % OS_PAGE ||
	    v[1] % OS_PAGE || v[4] > UINT32_MAX || v[5] > UINT32_MAX)
		return err_set(err, ERR_FORMAT, "a mapping of it makes no sense");
	if (r->maps.n == MAPS_LIMIT)
		return err_set(err, ERR_LIMIT, "it has more than %u mappings", MAPS_LIMIT);
	text_read(value + (at - value));
	*VEC_PUSH(r->a, &r->maps) = (struct mapping){.start = v[0],
						     .end = v[1],
						     .offset = v[2],
						     .inode = v[3],
						     .dev = (uint32_t)v[4],
						     .flags = (uint32_t)v[5],
						     .path = arena_strdup(r->a, at)};
	return true;
}

static bool line_read(struct facts_reader *r, char *key, char *value, struct err *err)
{
	struct os_facts *os = r->os;

	if (!strcmp(key, "map"))
		return map_read(r, value, err);
	if (!strcmp(key, "thread")) {
		const char *at = value;
		char *end;
		struct os_thread t = {.tid = (int)strtol(value, &end, 10)};
		uint64_t v[3];

		at = end + (*end == ' ');
		if (!numbers(&at, v, 3) || r->threads.n == THREADS_LIMIT)
			return err_set(err, ERR_FORMAT, "a thread of it makes no sense");
		t.sp = v[0];
		t.pc = v[1];
		t.on_cpu = v[2];
		*VEC_PUSH(r->a, &r->threads) = t;
		return true;
	}
	if (!strcmp(key, "note") && r->notes.n < 16) {
		text_read(value);
		*VEC_PUSH(r->a, &r->notes) = arena_strdup(r->a, value);
		return true;
	}
	if (!strcmp(key, "os.comm")) {
		text_read(value);
		snprintf(os->comm, sizeof(os->comm), "%s", value);
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(OS_FACTS); i++)
		if (!strcmp(key, OS_FACTS[i].key))
			return fact_read(&OS_FACTS[i], value, os, r->a) ||
			       err_set(err, ERR_FORMAT, "%.40s of it is no number", key);
	for (size_t i = 0; i < ARRAY_LEN(CGROUP_FACTS); i++) {
		if (strcmp(key, CGROUP_FACTS[i].key) != 0)
			continue;
		if (!os->cgroup) {
			os->cgroup = ARENA_NEW(r->a, struct cgroup_facts);
			os->cgroup->path = "";
		}
		return fact_read(&CGROUP_FACTS[i], value, os->cgroup, r->a) ||
		       err_set(err, ERR_FORMAT, "%.40s of it is no number", key);
	}
	return true; /* a later version's */
}

bool facts_read(char *text, size_t n, struct arena *a, struct os_facts *ret, struct err *err)
{
	struct os_facts os = {.exe = "",
			      .cmdline0 = "",
			      .thp_enabled = "",
			      .pss = UINT64_MAX,
			      .lazy_free = UINT64_MAX,
			      .max_ptes_none = -1};
	struct facts_reader r = {.a = a, .os = &os};
	char *line = text, *end = text + n;
	unsigned version = 0;

	if (sscanf(text, "whyrss capture %u", &version) != 1 || version == 0)
		return err_set(err, ERR_FORMAT, "not a capture");
	if (version > CAPTURE_VERSION)
		return err_set(err, ERR_FORMAT,
			       "a capture of version %u, which a newer whyrss wrote; this one "
			       "reads version %u",
			       version, CAPTURE_VERSION);
	while (line < end) {
		char *stop = memchr(line, '\n', (size_t)(end - line)), *blank;

		if (!stop)
			stop = end;
		*stop = '\0';
		blank = strchr(line, ' ');
		if (blank) {
			*blank = '\0';
			if (!line_read(&r, line, blank + 1, err))
				return false;
		}
		line = stop + 1;
	}
	if (os.pid_ns_note && !*os.pid_ns_note)
		os.pid_ns_note = NULL;
	if (os.cgroup && os.cgroup->limit_path && !*os.cgroup->limit_path)
		os.cgroup->limit_path = NULL;
	if (os.residency > RESIDENCY_SMAPS)
		os.residency = RESIDENCY_NONE;
	os.maps = r.maps.v;
	os.n_maps = r.maps.n;
	os.threads = r.threads.v;
	os.n_threads = r.threads.n;
	os.notes = r.notes.v;
	os.n_notes = r.notes.n;
	*ret = os;
	return true;
}

/* ---- Runs ---- */

static void leb_write(struct str *to, uint64_t v)
{
	do {
		char c = (char)(v & 0x7f);

		v >>= 7;
		if (v)
			c = (char)(c | 0x80);
		str_addn(to, &c, 1);
	} while (v);
}

static bool leb_read(const char **at, const char *end, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
		unsigned char c = (unsigned char)*(*at)++;

		v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

void runs_write(const struct byte_run *v, size_t n, struct str *to)
{
	taddr at = 0;

	leb_write(to, n);
	for (size_t i = 0; i < n; i++) {
		leb_write(to, v[i].start - at);
		leb_write(to, v[i].end - v[i].start);
		at = v[i].end;
	}
}

/* The next run behind `last`; false at bad data. */
static bool run_next(const char **at, const char *end, taddr last, struct byte_run *ret)
{
	uint64_t gap, len;

	if (!leb_read(at, end, &gap) || !leb_read(at, end, &len) || gap > UINT64_MAX - last ||
	    len == 0 || len > UINT64_MAX - last - gap)
		return false;
	*ret = (struct byte_run){last + gap, last + gap + len};
	return true;
}

bool runs_read(const char *at, size_t n, size_t max, struct arena *a, struct byte_run **ret,
	       size_t *ret_n, struct err *err)
{
	const char *end = at + n;
	struct byte_run *v;
	uint64_t count;
	taddr last = 0;

	if (!leb_read(&at, end, &count) || count > n)
		return err_set(err, ERR_FORMAT, "its list of bytes is cut off");
	if (count > max)
		return err_set(err, ERR_LIMIT, "its list of bytes is too long");
	v = arena_try(a, count + 1, sizeof(*v), err);
	if (!v)
		return false;
	for (uint64_t i = 0; i < count; i++) {
		if (!run_next(&at, end, last, &v[i]))
			return err_set(err, ERR_FORMAT, "its list of bytes is cut off");
		last = v[i].end;
	}
	*ret = v;
	*ret_n = count;
	return true;
}

void pages_write(const struct pages *p, struct str *to)
{
	struct str runs = {0};

	for (enum page_bit bit = 0; bit < PAGE_BITS; bit++) {
		uint64_t n = 0;
		taddr last = 0, open = 0;

		runs.n = 0;
		for (uint32_t i = 0; i < p->n; i++) {
			taddr base = p->key[i] << PAGES_CHUNK_SHIFT,
			      end = base + ((taddr)1 << PAGES_CHUNK_SHIFT), at = base;

			while (at < end) {
				taddr from = pages_next(p, at, end, bit, true), to_;

				if (from == end)
					break;
				to_ = pages_next(p, from, end, bit, false);
				if (!n || from != open) {
					/* the run before ends at `open` */
					if (n)
						leb_write(&runs, (open - last) >> OS_PAGE_SHIFT);
					if (n)
						last = open;
					leb_write(&runs, (from - last) >> OS_PAGE_SHIFT);
					last = from;
					n++;
				}
				open = to_;
				at = to_;
			}
		}
		if (n)
			leb_write(&runs, (open - last) >> OS_PAGE_SHIFT);
		leb_write(to, n);
		if (runs.n)
			str_addn(to, runs.s, runs.n);
	}
	str_free(&runs);
}

bool pages_read(const char *at, size_t n, struct pages *ret, struct err *err)
{
	const char *end = at + n;
	uint64_t total = 0, runs = 0;

	for (enum page_bit bit = 0; bit < PAGE_BITS; bit++) {
		uint64_t count;
		taddr last = 0;

		if (!leb_read(&at, end, &count))
			return err_set(err, ERR_FORMAT, "its list of pages is cut off");
		for (uint64_t i = 0; i < count; i++) {
			struct byte_run r;

			if (!run_next(&at, end, last, &r) || r.end > UINT64_MAX >> OS_PAGE_SHIFT)
				return err_set(err, ERR_FORMAT, "its list of pages is cut off");
			last = r.end;
			total += r.end - r.start;
			if (total > PAGES_LIMIT || ++runs > RUNS_LIMIT)
				return err_set(err, ERR_LIMIT, "its list of pages is too long");
			if (!pages_set(ret, r.start << OS_PAGE_SHIFT, r.end << OS_PAGE_SHIFT, bit,
				       err))
				return false;
		}
	}
	pages_close(ret);
	return true;
}
