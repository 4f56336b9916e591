/*
 * Binaries for reports on instructions: addresses, frames and symbols by elfutils, instructions by
 * the objdump that google/pprof would take (LLVM's, else that of binutils; flag -tools says where
 * else to look), or by capstone where there is none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "front/pprof.h"
#include "image/code.h"
#include "image/symbolize.h"
#include "pprof/prune.h"

#define LISTING_MAX ((bytes)256 << 20)
#define CODE_MAX    ((uint64_t)16 << 20) /* that capstone is given */
#define LLVM_OLDEST 8			 /* its objdump knows the options since then */

struct object {
	struct symbolizer *s;
	uint64_t start, limit, offset, base;
	bool based, good; /* the base is that of the first address that was asked for */
};

/* --- addresses, frames, symbols --- */

/* Stays open: one program, few binaries. */
static void *object_open(void *ctx, const char *file, uint64_t start, uint64_t limit,
			 uint64_t offset, struct err *err)
{
	struct pprof_binaries *b = ctx;
	struct symbolizer *s;
	struct object *o;

	if (!symbolizer_open(file, false, &s, err))
		return NULL;
	o = ARENA_NEW(b->mem, struct object);
	*o = (struct object){.s = s, .start = start, .limit = limit, .offset = offset};
	return o;
}

static bool object_linked(void *object, uint64_t addr, uint64_t *ret)
{
	struct object *o = object;

	if (o->start < o->limit && (addr < o->start || addr >= o->limit))
		return false;
	if (!o->based)
		o->good = symbolizer_base(o->s, o->start, o->limit, o->offset, addr, &o->base);
	o->based = true;
	*ret = addr - o->base;
	return o->good;
}

static uint32_t object_frames(void *object, uint64_t linked,
			      struct pprof_frame ret[static PPROF_FRAMES])
{
	struct object *o = object;
	struct symbol_frame v[SYMBOL_FRAMES];
	uint32_t n = symbolizer_frames(o->s, linked, v);

	n = MIN(n, PPROF_FRAMES);
	for (uint32_t i = 0; i < n; i++)
		ret[i] = (struct pprof_frame){v[i].function, v[i].file, v[i].line};
	return n;
}

struct symbols {
	struct pprof_symbol *v;
	uint32_t n;
};

static void take_symbol(void *ctx, uint64_t addr, const char *name)
{
	struct symbols *to = ctx;

	to->v[to->n++] = (struct pprof_symbol){addr, name};
}

static int by_addr_name(const void *a, const void *b)
{
	const struct pprof_symbol *x = a, *y = b;

	return x->addr != y->addr ? (x->addr > y->addr) - (x->addr < y->addr)
				  : strcmp(x->name, y->name);
}

static uint32_t object_symbols(void *object, struct arena *a, struct pprof_symbol **ret)
{
	struct object *o = object;
	struct symbols to = {
		.v = ARENA_ARRAY(a, struct pprof_symbol, symbolizer_n_symbols(o->s) + 1)};

	symbolizer_symbols(o->s, take_symbol, &to);
	qsort(to.v, to.n, sizeof(*to.v), by_addr_name);
	*ret = to.v;
	return to.n;
}

static uint32_t names_of(void *ctx, const char *name, struct arena *a, const char *ret[3])
{
	static const enum pprof_demangle how[] = {PPROF_DEMANGLE_FULL, PPROF_DEMANGLE_TEMPLATES,
						  PPROF_DEMANGLE_SHORT};
	struct pprof_binaries *b = ctx;
	uint32_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(how); i++) {
		ret[n] = pprof_demangled(name, how[i], cpp_demangle, &b->cpp, a);
		n += ret[n] != NULL;
	}
	return n;
}

/* --- instructions --- */

static bool look_at(struct pprof_binaries *b, const char *path, const char *name)
{
	const char *full =
		*path ? arena_printf(b->mem, "%s/%s", path, name) : arena_strdup(b->mem, name);
	const char *const argv[] = {full, "--version", NULL};
	struct str none = {0}, text = {0};
	struct err err;
	const char *llvm;

	if ((*path && access(full, X_OK) != 0) ||
	    !pprof_filter(argv, &none, 1 << 20, &text, &err)) {
		str_free(&text);
		return false;
	}
	llvm = text.n ? strstr(text.s, "LLVM version ") : NULL;
	b->llvm = llvm && atoi(llvm + strlen("LLVM version ")) >= LLVM_OLDEST;
	if (b->llvm || (text.n && strstr(text.s, "GNU objdump")))
		b->objdump = full;
	str_free(&text);
	return b->objdump != NULL;
}

/* "objdump:DIR" names it for this tool, "DIR" for all; without, PATH is searched. */
static void find_objdump(struct pprof_binaries *b)
{
	static const char *const names[] = {"llvm-objdump", "objdump"};

	b->looked = true;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		for (int own = 1; own >= 0; own--)
			for (const char *p = b->tools ? b->tools : "";; p++) {
				size_t n = strcspn(p, ",");
				char *one = arena_strndup(b->mem, p, n);
				bool is_own = str_starts(one, "objdump:");
				bool other = str_starts(one, "nm:") ||
					     str_starts(one, "addr2line:") ||
					     str_starts(one, "llvm-symbolizer:");

				if (!other && is_own == (own == 1) &&
				    look_at(b, one + (is_own ? strlen("objdump:") : 0), names[i]))
					return;
				p += n;
				if (!*p)
					break;
			}
}

/* What objdump said last of where it is. */
struct listing {
	struct arena *a;
	struct pprof_insts *to;
	const char *function, *file;
	int64_t line;
};

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* "  401000:  text" */
static bool take_inst(struct listing *l, const char *s)
{
	const char *end = s;
	uint64_t addr;

	if (!is_hex(*s) || !str_u64(&end, true, &addr) || *end != ':' || !strchr(" \t", end[1]) ||
	    !end[1])
		return false;
	*VEC_PUSH(l->a, &l->to->v) = (struct pprof_inst){addr, end + 1 + strspn(end + 1, " \t"),
							 l->function, l->file, l->line};
	return true;
}

/* "; path:12", "path:12" */
static bool take_place(struct listing *l, char *s)
{
	char *colon = NULL;
	uint64_t line;
	const char *at;

	for (char *c = s; (c = strchr(c, ':')); c++)
		if (c[1] >= '0' && c[1] <= '9')
			colon = c;
	if (!colon)
		return false;
	at = colon + 1;
	s += *s == ';';
	s += s < colon && strchr(" \t", *s);
	if (str_u64(&at, false, &line) && line <= UINT32_MAX) {
		l->file = arena_strndup(l->a, s, (size_t)(colon - s));
		l->line = (int64_t)line;
	}
	return true;
}

/* "name():", "; name():", "401000 <name>:" */
static bool take_function(struct listing *l, char *s)
{
	char *from = s + (*s == ';'), *end = NULL;

	from += *from && strchr(" \t", *from);
	for (char *c = from; (c = strstr(c, "():")); c++)
		end = c;
	if (end && end > from && !strchr(" \t", *from)) {
		l->function = arena_strndup(l->a, from, (size_t)(end - from));
		return true;
	}
	end = strrchr(s, ':');
	if (!end)
		return false;
	while (is_hex(*s))
		s++;
	s += s < end && strchr(" \t", *s);
	l->function = arena_strndup(l->a, s, (size_t)(end - s));
	return true;
}

static void read_listing(struct listing *l, char *text)
{
	for (char *line = text; line && *line;) {
		char *end = line + strcspn(line, "\n"), *next = *end ? end + 1 : NULL, *s = line;

		*end = '\0';
		s += strspn(s, " \t\r\v\f");
		while (end > s && strchr(" \t\r\v\f", end[-1]))
			*--end = '\0';
		if (!take_inst(l, s) && !take_place(l, s) && !take_function(l, s)) {
			l->function = l->file = "";
			l->line = 0;
		}
		line = next;
	}
}

static bool by_objdump(const struct pprof_binaries *b, const char *file, uint64_t begin,
		       uint64_t end, bool intel, struct arena *a, struct pprof_insts *ret,
		       struct err *err)
{
	char *start = arena_printf(a, "--start-address=%#llx", (unsigned long long)begin);
	char *stop = arena_printf(a, "--stop-address=%#llx", (unsigned long long)end);
	const char *argv[12] = {
		b->objdump,	  "--disassemble", "--demangle", "--no-show-raw-insn",
		"--line-numbers", start,	   stop};
	struct listing l = {.a = a, .to = ret, .function = "", .file = ""};
	struct str none = {0}, text = {0};
	size_t n = 7;
	bool ok;

	if (intel && b->llvm)
		argv[n++] = "--x86-asm-syntax=intel";
	if (intel && !b->llvm) {
		argv[n++] = "-M";
		argv[n++] = "intel";
	}
	argv[n++] = *file == '-' ? arena_printf(a, "./%s", file) : file;
	ok = pprof_filter(argv, &none, LISTING_MAX, &text, err);
	if (ok && text.n)
		read_listing(&l, arena_strndup(a, text.s, text.n));
	str_free(&text);
	return ok;
}

struct printing {
	struct arena *a;
	struct symbolizer *s;
	struct pprof_insts *to;
};

static void print_inst(void *ctx, taddr at, const char *text)
{
	struct printing *to = ctx;
	struct symbol_frame v[SYMBOL_FRAMES];
	uint32_t n = symbolizer_frames(to->s, at, v);

	*VEC_PUSH(to->a, &to->to->v) = (struct pprof_inst){
		at, arena_strdup(to->a, text), n ? arena_strdup(to->a, v[n - 1].function) : "",
		n ? arena_strdup(to->a, v[0].file) : "", n ? v[0].line : 0};
}

static bool by_capstone(const char *file, uint64_t begin, uint64_t end, bool intel, struct arena *a,
			struct pprof_insts *ret, struct err *err)
{
	struct printing to = {.a = a, .to = ret};
	uint64_t n = end - begin;
	void *code;
	bool ok;

	if (n > CODE_MAX)
		return err_set(err, ERR_LIMIT,
			       "%.120s: a function of %llu bytes; objdump is needed", file,
			       (unsigned long long)n);
	if (!symbolizer_open(file, false, &to.s, err))
		return false;
	code = arena_alloc(a, n + 1);
	ok = symbolizer_read(to.s, begin, code, n) ||
	     err_set(err, ERR_FORMAT, "%.120s: no code at %llx", file, (unsigned long long)begin);
	ok = ok && code_print(code, n, begin, intel, print_inst, &to, err);
	symbolizer_close(to.s);
	return ok;
}

static bool disassemble(void *ctx, const char *file, uint64_t begin, uint64_t end, bool intel,
			struct arena *a, struct pprof_insts *ret, struct err *err)
{
	struct pprof_binaries *b = ctx;

	if (!b->looked)
		find_objdump(b);
	return b->objdump ? by_objdump(b, file, begin, end, intel, a, ret, err)
			  : by_capstone(file, begin, end, intel, a, ret, err);
}

void pprof_binaries_open(struct pprof_binaries *b, const char *tools, struct arena *mem,
			 struct pprof_objects *ret)
{
	*b = (struct pprof_binaries){.mem = mem, .tools = tools};
	*ret = (struct pprof_objects){.ctx = b,
				      .open = object_open,
				      .linked = object_linked,
				      .frames = object_frames,
				      .symbols = object_symbols,
				      .demangle = names_of,
				      .disassemble = disassemble};
}
