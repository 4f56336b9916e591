/*
 * Names for locations that have none (google/pprof's symbolizer): from local files by their DWARF
 * and symbols, from the program's own symbol handler over HTTP, then shortened for people. C++
 * names are demangled by the machine's C++ runtime, which is loaded when the first one is met.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "front/curl.h"
#include "front/pprof_fetch.h"
#include "image/symbolize.h"
#include "pprof/gotext.h"
#include "pprof/prune.h"
#include "pprof/set.h"

#define ANSWER_MAX ((bytes)256 << 20)

struct modes {
	bool none, remote, local, fast, force, no_demangle;
	enum pprof_demangle how;
};

static struct modes parse_modes(const char *text, struct str *messages)
{
	struct modes m = {.remote = true, .local = true};
	bool unknown = false;

	for (const char *s = text; *s;) {
		size_t n = strcspn(s, ":");
		char w[32] = "";

		memcpy(w, s, MIN(n, sizeof(w) - 1));
		for (char *c = w; *c; c++)
			*c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c;
		if (!strcmp(w, "none") || !strcmp(w, "no")) {
			m.none = true;
		} else if (!strcmp(w, "local") || !strcmp(w, "fastlocal")) {
			m.remote = false;
			m.local = true;
			m.fast |= *w == 'f';
		} else if (!strcmp(w, "remote")) {
			m.remote = true;
			m.local = false;
		} else if (!strcmp(w, "force")) {
			m.force = true;
		} else if (!strcmp(w, "demangle=full") || !strcmp(w, "full")) {
			m.how = PPROF_DEMANGLE_FULL;
			m.force = true;
		} else if (!strcmp(w, "demangle=templates") || !strcmp(w, "templates")) {
			m.how = PPROF_DEMANGLE_TEMPLATES;
			m.force = true;
		} else if (!strcmp(w, "demangle=none")) {
			m.no_demangle = m.force = true;
		} else if (*w && strcmp(w, "demangle=default") != 0 && strcmp(w, "default") != 0) {
			unknown = true;
		}
		s += n + (s[n] == ':');
	}
	if (unknown)
		str_addf(messages,
			 "ignoring unrecognized symbolization option: %s\n"
			 "expecting -symbolize=[local|fastlocal|remote|none][:force]"
			 "[:demangle=[none|full|templates|default]\n",
			 text);
	return m;
}

/* --- functions that are new to the profile --- */

struct naming {
	struct pprof *p;
	struct arena tmp;
	struct pprof_set known; /* of the functions that were added here */
};

static pindex add_function(struct naming *g, const char *name, const char *file, int start_line)
{
	struct pprof *p = g->p;
	struct pprof_function f = {
		.name = pprof_str(p, name), .file = pprof_str(p, file), .start_line = start_line};
	uint64_t hash = hash_mix(hash_mix((uintptr_t)p->mem, f.name),
				 (uint64_t)f.file << 32 | (uint32_t)start_line);
	uint32_t at = 0, i;

	while ((i = pprof_set_next(&g->known, hash, &at)) != PPROF_NONE)
		if (p->functions[i].name == f.name && p->functions[i].file == f.file &&
		    p->functions[i].start_line == start_line)
			return i;
	f.system_name = f.name;
	f.id = (uint64_t)p->n_functions + 1;
	vec_room(p->mem, (void **)(void *)&p->functions, p->n_functions, &p->cap_functions,
		 sizeof(f));
	p->functions[p->n_functions] = f;
	pprof_set_add(&g->known, &g->tmp, hash, p->n_functions);
	return p->n_functions++;
}

static void add_line(struct pprof *p, struct pprof_location *l, pindex function, int line,
		     int column)
{
	if (l->n_lines == 0)
		l->line_at = p->n_lines;
	vec_room(p->mem, (void **)(void *)&p->lines, p->n_lines, &p->cap_lines, sizeof(*p->lines));
	p->lines[p->n_lines++] =
		(struct pprof_line){.function = function, .line = line, .column = column};
	l->n_lines++;
}

/* --- local files --- */

/* Mappings that have no file behind them, by google/pprof's Unsymbolizable. */
static bool has_no_file(const char *file)
{
	const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;

	return !*file || *base == '[' || str_starts(base, "linux-vdso") ||
	       str_starts(file, "/dev/dri/") || !strcmp(file, "//anon") ||
	       str_starts(file, "/memfd:") || str_starts(file, "http://") ||
	       str_starts(file, "https://") || str_starts(file, "https+insecure://");
}

static void name_locations(struct naming *g, pindex mapping, struct symbolizer *s)
{
	struct pprof *p = g->p;
	struct pprof_mapping *m = &p->mappings[mapping];
	struct symbol_frame v[SYMBOL_FRAMES];
	bool based = false;
	uint64_t base = 0;

	for (uint32_t i = 0; i < p->n_locations; i++) {
		struct pprof_location *l = &p->locations[i];
		uint32_t n;

		if (l->mapping != mapping)
			continue;
		/* the base is that of the first address in range, as the reference has it */
		if (m->start < m->limit && (l->address < m->start || l->address >= m->limit))
			continue;
		if (!based) {
			if (!symbolizer_base(s, m->start, m->limit, m->offset, l->address, &base))
				continue;
			based = true;
		}
		n = symbolizer_frames(s, l->address - base, v);
		if (!n)
			continue;
		l->n_lines = 0;
		l->is_folded = false;
		for (uint32_t k = 0; k < n; k++) {
			m->has_functions |= *v[k].function != '\0';
			m->has_filenames |= *v[k].file != '\0';
			m->has_line_numbers |= v[k].line != 0;
			add_line(p, l, add_function(g, v[k].function, v[k].file, v[k].start_line),
				 v[k].line, v[k].column);
		}
		m->has_inline_frames = true;
	}
}

static void name_locally(struct naming *g, const struct modes *mode, struct str *messages)
{
	struct pprof *p = g->p;
	bool *used = ARENA_ARRAY(&g->tmp, bool, (size_t)p->n_mappings + 1), missing = false;

	for (uint32_t i = 0; i < p->n_locations; i++)
		if (p->locations[i].mapping != PPROF_NONE)
			used[p->locations[i].mapping] = true;
	for (uint32_t i = 0; i < p->n_mappings; i++) {
		struct pprof_mapping *m = &p->mappings[i];
		const char *file = pprof_text(p, m->file), *id = pprof_text(p, m->build_id), *of;
		const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
		struct symbolizer *s;
		struct err err;

		if (!used[i] ||
		    (!mode->force && (m->has_functions || m->has_filenames || m->has_line_numbers)))
			continue;
		if (!*file) {
			if (i == 0)
				str_add(messages, "Main binary filename not available.\n");
			missing |= i > 0;
			continue;
		}
		if (has_no_file(file))
			continue;
		if (!symbolizer_open(file, mode->fast, &s, &err)) {
			str_addf(messages, "Local symbolization failed for %s%s%s%s: %s\n", base,
				 *id ? " (build ID " : "", id, *id ? ")" : "", err.msg);
			missing = true;
			continue;
		}
		of = symbolizer_build_id(s);
		if (*id && *of && strcmp(id, of) != 0)
			str_addf(messages,
				 "Local symbolization failed for %s (build ID %s): build ID "
				 "mismatch\n",
				 base, id);
		else
			name_locations(g, i, s);
		symbolizer_close(s);
	}
	if (missing)
		str_add(messages,
			"Some binary filenames not available. Symbolization may be incomplete.\n"
			"Try setting PPROF_BINARY_PATH to the search path for local binaries.\n");
}

/* --- the program's own handler --- */

/* Lines "0x123 name": names of addresses that were asked for, `shift` added to them. */
static void take_answer(struct naming *g, pindex mapping, const struct str *answer, uint64_t shift)
{
	struct pprof *p = g->p;
	struct pprof_set by_addr = {0};
	uint32_t at, i;

	for (i = 0; i < p->n_locations; i++)
		if (p->locations[i].mapping == mapping)
			pprof_set_add(&by_addr, &g->tmp,
				      hash_mix((uintptr_t)p->mem, p->locations[i].address), i);
	for (const char *line = answer->s; line && *line;) {
		size_t n = strcspn(line, "\n");
		char *text = arena_strndup(&g->tmp, line, n), *hex = strstr(text, "0x");
		const char *end;
		uint64_t addr;
		pindex f;

		line += n + (line[n] == '\n');
		if (!hex)
			continue;
		end = hex + 2;
		if (!str_u64(&end, true, &addr) || !strspn(end, " \t"))
			continue;
		end += strspn(end, " \t");
		addr -= shift;
		f = add_function(g, end, "", 0);
		at = 0;
		while ((i = pprof_set_next(&by_addr, hash_mix((uintptr_t)p->mem, addr), &at)) !=
		       PPROF_NONE) {
			struct pprof_location *l = &p->locations[i];

			if (l->address != addr || l->mapping != mapping)
				continue;
			l->n_lines = 0;
			add_line(p, l, f, 0, 0);
		}
	}
}

static bool ask(struct naming *g, pindex mapping, const struct pprof_origin *o, const char *url,
		const struct pprof_sources *from, struct err *err)
{
	struct http_options h = {.tls_cert = from->tls_cert,
				 .tls_key = from->tls_key,
				 .tls_ca = from->tls_ca,
				 .timeout = from->timeout > 0 ? from->timeout : 60,
				 .limit = ANSWER_MAX};
	struct pprof *p = g->p;
	uint64_t shift = o->start - p->mappings[mapping].start;
	struct http_call call = {.url = url};
	struct str query = {0};
	bool ok = true;

	for (uint32_t i = 0; i < p->n_locations; i++)
		if (p->locations[i].mapping == mapping && p->locations[i].address &&
		    !p->locations[i].n_lines)
			str_addf(&query, "%s0x%llx", query.n ? "+" : "",
				 (unsigned long long)p->locations[i].address + shift);
	if (query.n) {
		call.post = query.s;
		ok = http_run(&call, 1, &h, err);
		if (ok && call.err.kind) {
			*err = call.err;
			ok = err_in(err, "http post %s", url);
		}
		if (ok)
			take_answer(g, mapping, &call.body, shift);
		str_free(&call.body);
	}
	str_free(&query);
	return ok;
}

static bool name_remotely(struct naming *g, const struct modes *mode,
			  const struct pprof_sources *from, const struct pprof_origins *origins,
			  struct err *err)
{
	struct pprof *p = g->p;

	for (uint32_t i = 0; i < p->n_mappings; i++) {
		struct pprof_mapping *m = &p->mappings[i];

		if (!mode->force && m->has_functions)
			continue;
		for (uint32_t k = 0; k < origins->v.n; k++) {
			const struct pprof_origin *o = &origins->v.v[k];
			const char *url;

			if (strcmp(o->key, pprof_text(p, m->file)) != 0 &&
			    (!m->build_id || strcmp(o->key, pprof_text(p, m->build_id)) != 0))
				continue;
			url = http_symbolz(o->url, &g->tmp);
			if (!url)
				continue;
			if (!ask(g, i, o, url, from, err))
				return false;
			m->has_functions = true;
			break;
		}
	}
	return true;
}

/* --- demangling --- */

const char *cpp_demangle(void *ctx, const char *mangled, struct arena *a)
{
	struct cpp *c = ctx;
	int status = 0;
	char *full;
	const char *ret;

	if (!c->tried) {
		void *lib = dlopen("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL);
		void *at = lib ? dlsym(lib, "__cxa_demangle") : NULL;

		c->tried = true;
		memcpy(&c->demangle, &at, sizeof(at));
	}
	if (!c->demangle)
		return NULL;
	full = c->demangle(mangled, NULL, NULL, &status);
	ret = full && status == 0 ? arena_strdup(a, full) : NULL;
	free(full);
	return ret;
}

bool pprof_symbolize(struct pprof *p, const struct pprof_sources *from,
		     const struct pprof_origins *origins, struct str *messages, struct err *err)
{
	struct modes mode = parse_modes(from->symbolize, messages);
	struct naming g = {.p = p};
	struct cpp cpp = {0};
	bool ok = true;

	if (mode.none)
		return true;
	arena_init(&g.tmp, 0);
	if (mode.local)
		name_locally(&g, &mode, messages);
	if (mode.remote)
		ok = name_remotely(&g, &mode, from, origins, err);
	arena_free(&g.tmp);
	if (!ok)
		return false;
	if (mode.force)
		for (uint32_t i = 0; i < p->n_functions; i++)
			if (p->functions[i].name && p->functions[i].system_name)
				p->functions[i].name = p->functions[i].system_name;
	if (!mode.no_demangle)
		pprof_demangle(p, mode.how, cpp_demangle, &cpp);
	return true;
}
