/*
 * Sources of profiles: files, URLs, processes and cores, any number of them, and the base that is
 * subtracted. What is merged in which order, and what is said of a source that fails, follows
 * google/pprof (internal/driver/fetch.go); an existing file wins over a process of that name.
 */
#include "front/pprof_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unit.h"
#include "front/curl.h"
#include "front/source.h"
#include "image/elf.h"
#include "pprof/codec.h"
#include "pprof/gotext.h"
#include "pprof/merge.h"
#include "pprof/prune.h"
#include "view/prof.h"

#define CHUNK	   128U /* sources that are held at the same time */
#define TIMEOUT	   60	/* seconds, where neither -timeout nor -seconds says */
#define READ_STEP  ((size_t)1 << 20)
#define CANDIDATES 8U
#define GLOB_MAX   100U

struct fetching {
	const struct pprof_sources *from;
	struct arena *a; /* for what outlives this */
	struct str *messages;
	const char *exec_name;
	bool remote, partly;
	uint32_t failed;
	struct pprof_origins origins;
};

/* --- bytes --- */

/* A whole file, of any kind, into the arena, whose limit bounds it. */
static bool read_whole(const char *path, struct arena *mem, uint8_t **ret, size_t *ret_n,
		       struct err *err)
{
	CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;
	size_t n = 0, cap;
	uint8_t *buf;

	if (fd < 0 || fstat(fd, &st) != 0)
		return err_os(err, errno == EACCES ? ERR_PERM : ERR_OS, "%s", path);
	if (S_ISDIR(st.st_mode))
		return err_set(err, ERR_FORMAT, "%s: is a directory", path);
	cap = (S_ISREG(st.st_mode) && st.st_size > 0 ? (size_t)st.st_size : READ_STEP) + 1;
	buf = arena_try(mem, cap, 1, err);
	for (;;) {
		ssize_t got;

		if (!buf)
			return err_in(err, "%s", path);
		got = read(fd, buf + n, cap - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_os(err, ERR_OS, "%s", path);
		if (got == 0)
			break;
		n += (size_t)got;
		if (n == cap) {
			uint8_t *bigger = arena_try(mem, cap * 2, 1, err);

			if (bigger)
				memcpy(bigger, buf, n);
			buf = bigger;
			cap *= 2;
		}
	}
	*ret = buf;
	*ret_n = n;
	return true;
}

/* Parses while `raw` holds `held` bytes of the limit that both share. */
static bool parse_beside(const uint8_t *d, size_t n, bytes held, struct arena *mem,
			 struct pprof *ret, struct err *err)
{
	bytes limit = mem->limit;
	bool ok;

	mem->limit = limit > held ? limit - held : 1;
	ok = pprof_parse(d, n, mem, ret, err);
	mem->limit = limit;
	return ok || err_in(err, "parsing profile");
}

static bool from_file(const char *path, struct arena *mem, struct pprof *ret, struct err *err)
{
	struct arena raw;
	uint8_t *d = NULL;
	size_t n = 0;
	bool ok;

	arena_init(&raw, MAX(arena_room(mem, 1), 1));
	ok = read_whole(path, &raw, &d, &n, err);
	if (ok && n >= 8 && memcmp(d, "PERFILE2", 8) == 0)
		ok = err_set(err, ERR_FORMAT,
			     "%s: perf's own format; convert it with perf_to_profile -i %s -o FILE "
			     "(github.com/google/perf_data_converter)",
			     path, path);
	ok = ok && (parse_beside(d, n, raw.used, mem, ret, err) || err_in(err, "%s", path));
	arena_free(&raw);
	return ok;
}

/* --- processes and cores --- */

static bool from_target(const struct source_word *w, struct arena *mem, struct pprof *ret,
			struct err *err)
{
	static const struct prof_request heap = {.kind = PROF_HEAP};
	const struct source_options o = {0};
	struct snapshot s = {0};
	struct source *src;
	bool ok;

	if (!source_open(w, &o, &src, err))
		return false;
	ok = source_snapshot(src, PROF_KIND[PROF_HEAP].needs, &s, err) &&
	     prof_build(&s, &heap, mem, ret, err);
	snapshot_free(&s);
	source_close(src);
	return ok;
}

static bool is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

/* Whether it is an ELF file of a type between `least` and `most` (2 EXEC, 3 DYN, 4 CORE). */
static bool is_elf(const char *path, unsigned least, unsigned most)
{
	CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	uint8_t head[18];

	return fd >= 0 && read(fd, head, sizeof(head)) == sizeof(head) &&
	       memcmp(head, "\177ELF", 4) == 0 && head[16] >= least && head[16] <= most &&
	       head[17] == 0;
}

static bool from_word(const char *word, struct arena *mem, struct pprof *ret, struct err *err)
{
	struct source_word w = {.kind = SOURCE_CORE, .path = word};

	if (is_file(word) && !is_elf(word, 4, 4)) {
		struct err why = {0};

		if (source_find(word, mem, &w, &why) &&
		    (w.kind == SOURCE_CORE || w.kind == SOURCE_CAPTURE))
			return from_target(&w, mem, ret, err); /* a compressed one */
		return from_file(word, mem, ret, err);
	}
	if (!is_file(word) && !source_find(word, mem, &w, err))
		return false;
	return from_target(&w, mem, ret, err);
}

/* --- mappings --- */

static const char *mapping_text(const struct pprof *p, pstr s)
{
	return pprof_text(p, s);
}

static bool same_build(struct fetching *f, const struct pprof *p, const struct pprof_mapping *m,
		       const char *path)
{
	CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct elf_image e;
	struct arena tmp;
	bool same = false;

	if (fd < 0)
		return false;
	arena_init(&tmp, 0);
	if (elf_open(fd, &tmp, &e, NULL)) {
		same = !m->build_id || !strcmp(e.build_id, mapping_text(p, m->build_id));
		if (!same)
			str_addf(f->messages,
				 "Ignoring local file %s: build-id mismatch (%s != %s)\n", path,
				 mapping_text(p, m->build_id), e.build_id);
		elf_close(&e);
	}
	arena_free(&tmp);
	return same;
}

/* The file under `dir` that google/pprof would take for this mapping; NULL: none. */
static const char *look_in(struct fetching *f, const struct pprof *p, const struct pprof_mapping *m,
			   const char *dir, struct arena *tmp)
{
	const char *file = mapping_text(p, m->file), *id = mapping_text(p, m->build_id);
	const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
	int n_dir = slash ? (int)(slash - file) : 0;
	const char *names[CANDIDATES];
	unsigned n = 0;

	if (*id) {
		names[n++] = arena_printf(tmp, "%s/%s/%s", dir, id, base);
		names[n++] = arena_printf(tmp, "%s/%s/%s", dir, file, id); /* as perf has it */
		if (strlen(id) > 2)
			names[n++] = arena_printf(tmp, "%s/%.2s/%s.debug", dir, id, id + 2);
	}
	if (*file) {
		names[n++] = arena_printf(tmp, "%s/%s", dir, base);
		names[n++] = arena_printf(tmp, "%s/%s", dir, file);
		names[n++] = arena_printf(tmp, "%s/%s.debug", dir, file);
		names[n++] = arena_printf(tmp, "%s/%.*s/.debug/%s.debug", dir, n_dir, file, base);
		names[n++] =
			arena_printf(tmp, "%s/usr/lib/debug/%.*s/%s.debug", dir, n_dir, file, base);
	}
	for (unsigned i = 0; i < n; i++)
		if (is_elf(names[i], 2, 3) && same_build(f, p, m, names[i]))
			return go_path_clean(tmp, names[i]);
	return NULL;
}

static void locate_binaries(struct fetching *f, struct pprof *p)
{
	const char *path = getenv("PPROF_BINARY_PATH"), *home = getenv("HOME");
	struct arena tmp;

	arena_init(&tmp, 0);
	if (!path || !*path)
		path = arena_printf(&tmp, "%s/pprof/binaries", home ? home : "");
	for (const char *dir = path; *dir;) {
		size_t n = strcspn(dir, ":");
		const char *one = arena_strndup(&tmp, dir, n);

		for (uint32_t i = 0; n && is_file(one) && i < p->n_mappings; i++) {
			struct arena_mark mark = arena_mark(&tmp);
			const char *found = look_in(f, p, &p->mappings[i], one, &tmp);

			if (found)
				p->mappings[i].file = pprof_str(p, found);
			arena_reset(&tmp, mark);
		}
		dir += n + (dir[n] == ':');
	}
	arena_free(&tmp);
	/* names of Go programs that tell no mappings can be looked up in a fake one */
	if (!p->n_mappings) {
		pprof_mapping_add(p, &(struct pprof_mapping){0});
		for (uint32_t i = 0; i < p->n_locations; i++)
			p->locations[i].mapping = 0;
	}
	if (*f->exec_name)
		p->mappings[0].file = pprof_str(p, f->exec_name);
	if (*f->from->build_id && !p->mappings[0].build_id)
		p->mappings[0].build_id = pprof_str(p, f->from->build_id);
}

static void remember_origins(struct fetching *f, struct pprof *p, const char *url)
{
	for (uint32_t i = 0; i < p->n_mappings; i++) {
		struct pprof_mapping *m = &p->mappings[i];

		/* a mapping without a name is called by its URL until names have been looked up */
		if (!m->build_id && !m->file)
			m->file = pprof_str(p, url);
		*VEC_PUSH(f->a, &f->origins.v) = (struct pprof_origin){
			.key = arena_strdup(f->a,
					    pprof_text(p, m->build_id ? m->build_id : m->file)),
			.url = url,
			.start = m->start};
	}
}

static void forget_origins(struct pprof *p)
{
	for (uint32_t i = 0; i < p->n_mappings; i++) {
		struct pprof_mapping *m = &p->mappings[i];
		const char *s = pprof_text(p, m->file);
		size_t n = strspn(
			s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

		if (!m->build_id && n && s[n] == ':' && (s[0] | 0x20) >= 'a' &&
		    (s[0] | 0x20) <= 'z')
			m->file = 0;
	}
}

/* --- many sources --- */

/* One source: a URL that was fetched, or a word. */
struct one {
	const char *word, *url;
	struct http_call *call;
	struct arena mem;
	struct pprof p;
	struct err err;
	bool ok;
};

/* NULL: no URL. *ret_seconds: how long it will record. */
static const char *url_of(const char *word, int seconds, struct arena *a, int *ret_seconds)
{
	return is_file(word) ? NULL : http_url(word, seconds, a, ret_seconds);
}

bool pprof_is_remote(const struct pprof_sources *from, struct arena *a)
{
	bool remote = false;
	int unused;

	for (uint32_t i = 0; i < from->n_sources; i++)
		remote |= url_of(from->sources[i], 0, a, &unused) != NULL;
	for (uint32_t i = 0; i < from->n_bases; i++)
		remote |= url_of(from->bases[i], 0, a, &unused) != NULL;
	return remote;
}

static bool download(struct fetching *f, struct one *v, uint32_t n, struct err *err)
{
	struct http_call *calls = ARENA_ARRAY(f->a, struct http_call, n);
	const struct pprof_sources *from = f->from;
	struct http_options o = {.tls_cert = from->tls_cert,
				 .tls_key = from->tls_key,
				 .tls_ca = from->tls_ca,
				 .limit = arena_room(f->a, 1)};
	uint32_t n_calls = 0;

	for (uint32_t i = 0; i < n; i++) {
		int seconds = 0, timeout;

		v[i].url = url_of(v[i].word, from->seconds, f->a, &seconds);
		if (!v[i].url)
			continue;
		str_addf(f->messages, "Fetching profile over HTTP from %s\n", v[i].url);
		if (from->seconds > 0)
			str_addf(f->messages, "Please wait... (%ds)\n", from->seconds);
		timeout = from->timeout > 0 ? from->timeout
			  : seconds > 0	    ? seconds + seconds / 2
					    : TIMEOUT;
		o.timeout = MAX(o.timeout, timeout + 5);
		v[i].call = &calls[n_calls];
		calls[n_calls++].url = v[i].url;
	}
	if (n_calls && f->messages->n) { /* it may take long: say so before */
		(void)!write(STDERR_FILENO, f->messages->s, f->messages->n);
		f->messages->n = 0;
	}
	return n_calls == 0 || http_run(calls, n_calls, &o, err);
}

static void read_one(struct fetching *f, struct one *x, struct arena *mem)
{
	if (!x->call) {
		x->ok = from_word(x->word, mem, &x->p, &x->err);
	} else if (x->call->err.kind) {
		x->err = x->call->err;
		err_in(&x->err, "%s", x->word);
	} else {
		struct str *body = &x->call->body;

		x->ok = parse_beside((const uint8_t *)(body->s ? body->s : ""), body->n, body->cap,
				     mem, &x->p, &x->err) ||
			err_in(&x->err, "%s", x->word);
		str_free(body);
	}
	if (!x->ok)
		return;
	locate_binaries(f, &x->p);
	if (x->url) {
		remember_origins(f, &x->p, x->url);
		f->remote = true;
	}
}

/* At most CHUNK sources, combined into *ret, which lives in `mem`. False without *err: none came.
 */
static bool grab_chunk(struct fetching *f, const char *const *words, uint32_t n, bool only,
		       struct arena *mem, struct pprof *ret, struct err *err)
{
	struct one *v = ARENA_ARRAY(f->a, struct one, n);
	struct pprof **ps = ARENA_ARRAY(f->a, struct pprof *, n);
	bytes limit = mem->limit, held = 0;
	uint32_t n_ok = 0;
	bool ok;

	for (uint32_t i = 0; i < n; i++)
		v[i].word = words[i];
	if (!download(f, v, n, err))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		bytes room = arena_room(mem, 1);

		/* a single one is read straight into its place; many share what is left */
		arena_init(&v[i].mem, room > held ? room - held : 1);
		read_one(f, &v[i], n == 1 ? mem : &v[i].mem);
		held += v[i].mem.used;
		if (v[i].ok) {
			ps[n_ok++] = &v[i].p;
			continue;
		}
		f->failed++;
		if (only)
			*err = v[i].err;
		else
			str_addf(f->messages, "%s\n", v[i].err.msg);
	}
	mem->limit = limit > held ? limit - held : 1;
	ok = n_ok && pprof_combine(ps, n_ok, mem, ret, err);
	if (ok && n > 1 && n_ok == 1) /* it lives in an arena that goes */
		ok = pprof_merge(ps, 1, mem, ret, err);
	mem->limit = limit;
	for (uint32_t i = 0; i < n; i++)
		arena_free(&v[i].mem);
	return ok;
}

static bool grab(struct fetching *f, const char *const *words, uint32_t n, const char *what,
		 struct arena *mem, struct pprof *ret, struct err *err)
{
	bool any = false;

	f->failed = 0;
	for (uint32_t at = 0; at < n; at += CHUNK) {
		struct pprof chunk, sum;
		struct err why = {0};

		if (!grab_chunk(f, words + at, MIN(n - at, CHUNK), n == 1, mem, &chunk, &why)) {
			if (!why.kind)
				continue;
			*err = why;
			return n == 1 ? false : err_in(err, "problem fetching %s profiles", what);
		}
		if (any && !pprof_combine((struct pprof *const[]){ret, &chunk}, 2, mem, &sum, err))
			return err_in(err, "problem fetching %s profiles", what);
		*ret = any ? sum : chunk;
		any = true;
	}
	if (!any)
		return err_set(err, ERR_FORMAT, "failed to fetch any %s profiles", what);
	if (f->failed) {
		f->partly = true;
		str_addf(f->messages, "Fetched %u %s profiles out of %u\n", n - f->failed, what, n);
	}
	return true;
}

/* --- what came over the net is kept --- */

static void save(struct fetching *f, const struct pprof *p)
{
	const char *tmpdir = getenv("PPROF_TMPDIR"), *home = getenv("HOME"),
		   *sys = getenv("TMPDIR");
	struct str data = {0}, name = {0};
	struct err err = {0};
	char dir[PATH_MAX], path[PATH_MAX + 16];
	int fd = -1;

	if (tmpdir && *tmpdir)
		snprintf(dir, sizeof(dir), "%s", tmpdir);
	else if (home && *home)
		snprintf(dir, sizeof(dir), "%s/pprof", home);
	else
		snprintf(dir, sizeof(dir), "%s", sys && *sys ? sys : "/tmp");
	if (mkdir(dir, 0755) != 0 && errno != EEXIST)
		str_addf(f->messages, "Could not use temp dir %s: %s\n", dir, strerror(errno));
	str_add(&name, "pprof.");
	if (p->n_mappings && p->mappings[0].file)
		str_addf(&name, "%s.", go_path_base(f->a, pprof_text(p, p->mappings[0].file)));
	for (uint32_t i = 0; i < p->n_types; i++)
		str_addf(&name, "%s.", pprof_text(p, p->types[i].type));
	for (char *s = name.s; *s; s++) /* a stranger's words are no path */
		if (*s == '/' || (unsigned char)*s < ' ')
			*s = '_';
	if (pprof_encode_gzip(p, &data, &err))
		for (int i = 1; fd < 0 && i < 10000; i++) {
			snprintf(path, sizeof(path), "%s/%.200s%03d.pb.gz", dir, name.s, i);
			fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
			if (fd < 0 && errno != EEXIST)
				break;
		}
	if (fd >= 0 && write(fd, data.s, data.n) == (ssize_t)data.n && close(fd) == 0)
		str_addf(f->messages, "Saved profile in %s\n", path);
	else
		str_addf(f->messages, "Could not save profile: %s\n",
			 err.kind ? err.msg : strerror(errno));
	str_free(&data);
	str_free(&name);
}

/* Which limit it was, in the words of the user; the arena's name a part of it. */
static bool limit_named(bytes limit, struct err *err)
{
	char text[UNIT_TEXT], what[sizeof(err->msg)];
	char *last;

	if (err->kind != ERR_LIMIT || !strstr(err->msg, "do not fit into the limit"))
		return false;
	snprintf(what, sizeof(what), "%s", err->msg);
	last = strrchr(what, ':');
	if (last)
		*last = '\0';
	return err_set(err, ERR_LIMIT,
		       "%.200s: reading it takes more than %s; -max-memory raises that",
		       last ? what : "the profile", unit_bytes(text, limit));
}

bool pprof_fetch(const struct pprof_sources *from, struct arena *a, struct pprof *ret,
		 bool *ret_partly, struct str *messages, struct err *err)
{
	struct fetching f = {
		.from = from, .a = a, .messages = messages, .exec_name = from->exec_name};
	const char *const *words = from->sources;
	uint32_t n = from->n_sources;
	struct pprof p, base;

	a->limit = from->max_memory ? from->max_memory : PPROF_MEMORY_DEFAULT;
	/* a program before the sources is the main binary */
	if (n > 1 && is_elf(words[0], 2, 3)) {
		f.exec_name = words[0];
		words++;
		n--;
	}
	if (!grab(&f, words, n, "source", a, &p, err) ||
	    (from->n_bases && !grab(&f, from->bases, from->n_bases, "base", a, &base, err)) ||
	    (from->n_bases &&
	     !pprof_subtract(&p, &base, from->diff_base, from->normalize, a, &p, err)))
		return limit_named(a->limit, err);
	if (from->all_frames)
		p.drop_frames = p.keep_frames = 0;
	if (!pprof_symbolize(&p, from, &f.origins, messages, err))
		return false;
	pprof_drop_frames(&p);
	forget_origins(&p);
	if (*from->comment)
		pprof_comment_add(&p, pprof_str(&p, from->comment));
	if (f.remote)
		save(&f, &p);
	*ret = p;
	*ret_partly = f.partly;
	return true;
}
