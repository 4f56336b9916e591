/*
 * The runtime's variables without a symbol table. moduledata is found by its shape, in memory, so
 * that neither section headers nor the pclntab's magic are needed; it says where the program's
 * data lie and which functions there are. Each variable is then looked for in two ways that know
 * nothing of each other: by what must hold at its address (find_checks.c), and by the runtime's own
 * instructions (find_code.c, finders.def).
 *
 * An address is believed when both agree, when the invariants hold at one place and no code speaks,
 * or when the code speaks and the invariants hold there. Everything else is "not found".
 */
#include "goruntime/find.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DATA	((bytes)256 << 20)
#define MAX_ZEROED	((bytes)4 << 20)
#define MAX_FILLED	((bytes)16 << 20)
#define MAX_MODULE_SCAN ((bytes)256 << 20)
#define SCAN_STEP	((size_t)1 << 20)
#define MODULE_MAX	1024U
#define FIND_BLOCKS	256U
#define MAX_REFRESH	8U

struct pcln_module module_tables(const struct layout *l, const uint8_t *d)
{
	struct pcln_module m = {.pcheader = get(d, l->moduledata_pcHeader),
				.text = get(d, l->moduledata_text),
				.etext = get(d, l->moduledata_etext),
				.minpc = get(d, l->moduledata_minpc),
				.maxpc = get(d, l->moduledata_maxpc),
				.gofunc = get(d, l->moduledata_gofunc)};
	const struct {
		struct field f;
		taddr *at;
		uint64_t *len;
	} v[] = {
		{l->moduledata_funcnametab, &m.funcnametab, &m.funcnametab_len},
		{l->moduledata_cutab, &m.cutab, &m.cutab_len},
		{l->moduledata_filetab, &m.filetab, &m.filetab_len},
		{l->moduledata_pctab, &m.pctab, &m.pctab_len},
		{l->moduledata_pclntable, &m.pclntable, &m.pclntable_len},
		{l->moduledata_ftab, &m.ftab, &m.ftab_len},
	};
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct go_slice s = get_slice(d, v[i].f);
		*v[i].at = s.ptr;
		*v[i].len = s.len;
	}
	return m;
}

/** Whether the bytes at d look like a moduledata: its tables lie behind a pclntab's header, as that
 * header says. */
static bool is_moduledata(struct target *t, const struct layout *l, const uint8_t *d)
{
	struct pcln_module m = module_tables(l, d);
	struct pcln_header h;
	uint8_t b[PCLN_HEADER_SIZE];
	if (m.pcheader == 0 || m.pcheader % 8 != 0 || m.funcnametab <= m.pcheader ||
	    m.cutab <= m.funcnametab || m.filetab <= m.cutab || m.pctab <= m.filetab ||
	    m.pclntable <= m.pctab || m.ftab != m.pclntable || m.etext <= m.text)
		return false;
	return target_read(t, m.pcheader, b, sizeof b) == sizeof b &&
	       pcln_header_parse(b, sizeof b, &h) && m.funcnametab == m.pcheader + h.funcnames &&
	       m.cutab == m.pcheader + h.cus && m.filetab == m.pcheader + h.files &&
	       m.pctab == m.pcheader + h.pcs && m.pclntable == m.pcheader + h.funcs &&
	       m.ftab_len == h.n_funcs + 1;
}

taddr find_moduledata(struct go_session *g, const struct image_file *f, struct arena *scratch)
{
	const struct layout *l = &g->layout;
	uint32_t size = l->moduledata_size.width;
	bytes left = MAX_MODULE_SCAN;
	if (size == 0 || size > MODULE_MAX)
		return 0;
	struct arena_mark mark = arena_mark(scratch);
	uint8_t *buf = arena_alloc(scratch, SCAN_STEP + MODULE_MAX);
	taddr found = 0;
	for (uint32_t i = 0; i < f->n_ranges && found == 0; i++) {
		const struct image_range *r = &f->ranges[i];
		if (r->part != IMAGE_DATA)
			continue;
		for (taddr at = r->start; at < r->end && found == 0 && left > 0; at += SCAN_STEP) {
			size_t want = (size_t)MIN(SCAN_STEP + MODULE_MAX, r->end - at);
			/* the end can lie behind what is mapped: read as far as it goes */
			size_t n = target_read(g->t, at, buf, want);
			left -= MIN(left, SCAN_STEP);
			for (size_t k = 0; k + size <= n && k < SCAN_STEP && found == 0; k += 8) {
				/* the first word points at the header, the second one behind it */
				uint64_t head = load(buf + k, 8), names = load(buf + k + 8, 8);
				if (head != 0 && names > head && names - head < (1U << 16) &&
				    is_moduledata(g->t, l, buf + k))
					found = at + k;
			}
		}
	}
	arena_reset(scratch, mark);
	return found;
}

static bool take_parts(struct finder *f, const uint8_t *d, struct err *err)
{
	const struct layout *l = f->l;
	const struct {
		struct field start, end;
		bool pointers, zeroed;
	} v[] = {
		{l->moduledata_noptrdata, l->moduledata_enoptrdata, false, false},
		{l->moduledata_data, l->moduledata_edata, true, false},
		{l->moduledata_bss, l->moduledata_ebss, true, true},
		{l->moduledata_noptrbss, l->moduledata_enoptrbss, false, true},
	};
	f->lo = UINT64_MAX;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct data_part p = {get(d, v[i].start), get(d, v[i].end), v[i].pointers,
				      v[i].zeroed};
		if (p.start > p.end || p.end >= (taddr)1 << 47)
			return err_set(err, ERR_FORMAT,
				       "its moduledata says nonsense about where its data are");
		if (p.start == p.end)
			continue;
		/* the linker sorts a section by size: what comes so late is larger than all of the
		 * runtime's */
		p.end = MIN(p.end, p.start + (p.zeroed ? MAX_ZEROED : MAX_FILLED));
		f->part[f->n_parts++] = p;
		f->lo = MIN(f->lo, p.start);
		f->hi = MAX(f->hi, p.end);
	}
	/* 1.26 and later keep it in a section of its own */
	struct data_part own = {f->moduledata, f->moduledata + l->moduledata_size.width, true,
				false};
	bool inside = false;
	for (uint32_t i = 0; i < f->n_parts; i++)
		inside |= own.start >= f->part[i].start && own.end <= f->part[i].end;
	if (!inside)
		f->part[f->n_parts++] = own;
	f->lo = MIN(f->lo, own.start);
	f->hi = MAX(f->hi, own.end);
	if (f->n_parts == 1 || f->hi - f->lo > MAX_DATA)
		return err_set(err, ERR_FORMAT,
			       "its moduledata says nonsense about where its data are");
	return true;
}

/** For each page the next one, itself included, that is not all zeros. */
static void mark_used(struct finder *f)
{
	size_t n = (size_t)(f->hi - f->lo), pages = n / OS_PAGE + 1;
	f->next_used = ARENA_ARRAY(&f->mem, uint32_t, pages + 1);
	f->next_used[pages] = (uint32_t)pages;
	for (size_t i = pages; i-- > 0;) {
		const uint8_t *p = f->data + i * OS_PAGE;
		size_t len = MIN(OS_PAGE, n - MIN(n, i * OS_PAGE));
		bool zero = len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
		f->next_used[i] = zero ? f->next_used[i + 1] : (uint32_t)i;
	}
}

/** All of the variables in one buffer; what faults stays zero. */
static void read_parts(struct finder *f)
{
	for (uint32_t i = 0; i < f->n_parts; i++) {
		taddr at = f->part[i].start;
		while (at < f->part[i].end) {
			size_t want = (size_t)(f->part[i].end - at);
			size_t got = target_read(f->t, at, f->data + (at - f->lo), want);
			at = round_down(at + MIN(got, want), OS_PAGE) + OS_PAGE;
		}
	}
}

static bool read_data(struct finder *f, struct err *err)
{
	f->data = arena_try(&f->mem, f->hi - f->lo + 8, 1, err);
	if (f->data == NULL)
		return false;
	read_parts(f);
	mark_used(f);
	return true;
}

static void part_order(struct finder *f)
{
	for (uint32_t i = 1; i < f->n_parts; i++)
		for (uint32_t k = i; k > 0 && f->part[k].start < f->part[k - 1].start; k--) {
			struct data_part p = f->part[k];
			f->part[k] = f->part[k - 1];
			f->part[k - 1] = p;
		}
}

/** The code of all modules: where goroutines begin. */
static void take_texts(struct finder *f, const uint8_t *d)
{
	struct field next = f->l->moduledata_next;
	uint8_t other[MODULE_MAX];
	while (f->n_texts < MAX_MODULES) {
		f->text[f->n_texts++] = (struct addr_range){get(d, f->l->moduledata_text),
							    get(d, f->l->moduledata_etext)};
		taddr at = get(d, next);
		if (at == 0 || target_read(f->t, at, other, f->l->moduledata_size.width) !=
				       f->l->moduledata_size.width)
			break;
		d = other;
	}
}

static bool finder_open(struct finder *f, struct err *err)
{
	uint8_t d[MODULE_MAX];
	f->moduledata = find_moduledata(f->g, f->g->main, &f->mem);
	f->report->moduledata = f->moduledata;
	if (f->moduledata == 0)
		return err_set(err, ERR_FORMAT,
			       "no moduledata of Go is in the memory of %s: packed, or another "
			       "release",
			       f->g->main->path);
	if (target_read(f->t, f->moduledata, d, f->l->moduledata_size.width) !=
	    f->l->moduledata_size.width)
		return err_set(err, ERR_FAULT, "moduledata");
	f->tables = module_tables(f->l, d);
	take_texts(f, d);
	if (!take_parts(f, d, err))
		return false;
	part_order(f);
	if (!read_data(f, err))
		return false;
	f->blocks = blocks_new(f->t, &f->mem, FIND_BLOCKS);
	return true;
}

/**
 * Whether an address that the code names is right. The program runs on while it is searched, and on
 * a busy machine for long: what does not hold is looked at again with nothing read before.
 */
static bool code_holds(struct finder *f, enum symbol_index i, bool told)
{
	for (;;) {
		if (find_fits(f, i, f->report->v[i].code, told))
			return true;
		if (f->refreshed++ >= MAX_REFRESH)
			return false;
		read_parts(f);
		blocks_forget(f->blocks);
		f->n_ms = 0; /* the list of threads is walked anew too */
	}
}

/** Decides about one variable. */
static void decide(struct finder *f, enum symbol_index i)
{
	struct found *v = &f->report->v[i];
	taddr *at = &symbols_array(&f->y)[i];
	if (*at != 0) {
		v->how = FOUND_SYMBOL;
		return;
	}
	find_by_scan(f, i);
	if (v->code != 0 && v->code == v->scan)
		v->how = FOUND_BOTH;
	else if (v->code != 0 && v->scan == 0 && code_holds(f, i, true))
		v->how = FOUND_CODE;
	else if (v->code == 0 && v->scan != 0)
		v->how = FOUND_SCAN;
	/* they contradict each other: places that alias each other, and the code knows which */
	else if (v->code != 0 && v->scan != 0 && find_fits(f, i, v->code, false))
		v->how = FOUND_CODE;
	*at = v->how == FOUND_SCAN ? v->scan : v->how != FOUND_NOT ? v->code : 0;
}

static bool missing(const struct finder *f, struct err *err)
{
	char names[160] = "";
	const taddr *at = symbols_array((struct symbols *)&f->y);
	uint32_t n = 0;
	for (uint32_t i = 0; i < N_SYMBOLS; i++) {
		if (at[i] != 0 || !SYMBOL_ROWS[i].required)
			continue;
		if (n++ < 6) {
			size_t len = strlen(names);
			snprintf(names + len, sizeof names - len, "%s%s", len > 0 ? ", " : "",
				 SYMBOL_ROWS[i].id);
		}
	}
	if (n == 0)
		return false;
	err_set(err, ERR_RELEASE,
		"%s has no symbol table%s, and %u of the runtime's variables could not be found by "
		"the layout of %s: %s%s",
		f->g->main->path, f->report->names ? "" : " and no names of functions", n,
		f->l->recorded_as[0] ? f->l->recorded_as : "its DWARF", names, n > 6 ? " …" : "");
	return true;
}

bool find_globals(struct go_session *g, struct symbols *y, struct find_report *report,
		  struct err *err)
{
	struct finder f = {.g = g, .t = g->t, .l = &g->layout, .y = *y, .report = report};
	*report = (struct find_report){0};
	arena_init(&f.mem, (bytes)1 << 30);
	bool ok = finder_open(&f, err);
	if (ok) {
		find_by_code(&f);
		for (uint32_t k = 0; k < N_CHECKS; k++)
			decide(&f, find_order(k));
		ok = !missing(&f, err);
	}
	if (ok)
		*y = f.y;
	arena_free(&f.mem);
	return ok;
}

uint32_t find_verify(struct go_session *g, const struct symbols *y, uint32_t *of)
{
	struct find_report report = {0};
	struct finder f = {.g = g, .t = g->t, .l = &g->layout, .y = *y, .report = &report};
	uint32_t hold = 0;
	*of = 0;
	arena_init(&f.mem, (bytes)1 << 30);
	if (finder_open(&f, NULL)) {
		for (uint32_t k = 0; k < N_CHECKS; k++) {
			enum symbol_index i = find_order(k);
			taddr at = symbols_array(&f.y)[i];
			if (at == 0)
				continue;
			++*of;
			hold += find_fits(&f, i, at, true);
		}
	}
	arena_free(&f.mem);
	return hold;
}
