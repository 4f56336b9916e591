/*
 * Addresses to frames by libdw. A compilation unit is found by .debug_aranges, else by the ranges
 * of all units (Go writes no aranges), sorted once. Names out of DWARF are linkage names; one of
 * the symbol table wins where it is longer by more than a letter, as in google/pprof.
 */
#include "image/symbolize.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/elf.h"

#define RANGES_MAX  (4U << 20)
#define SYMBOLS_MAX (16U << 20)
#define DIES_MAX    (1U << 20)
#define BLOCKS_MAX  256U /* in one another */

struct cu_range {
	uint64_t begin, end;
	Dwarf_Off cu;
};

struct sym {
	uint64_t addr, size;
	uint32_t order;
	bool data;
	const char *name;
};

struct symbolizer {
	struct arena mem;
	int fd;
	struct elf_image image;
	Elf *elf;
	Dwarf *dw;
	GElf_Half type;
	VEC(struct cu_range) ranges;
	VEC(struct sym) syms;
	const char *last_name, *last_dir, *last_path; /* of whole_path */
	Dwarf_Die function;			      /* of the last address */
	bool has_function;
};

static int by_begin(const void *x, const void *y)
{
	const struct cu_range *a = x, *b = y;

	return (a->begin > b->begin) - (a->begin < b->begin);
}

static int by_addr(const void *x, const void *y)
{
	const struct sym *a = x, *b = y;

	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	return (a->order > b->order) - (a->order < b->order);
}

static void collect_ranges(struct symbolizer *s)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die die;
	uint8_t unit;

	while (dwarf_get_units(s->dw, cu, &cu, NULL, &unit, &die, NULL) == 0) {
		ptrdiff_t at = 0;
		Dwarf_Addr base, begin, end;

		while ((at = dwarf_ranges(&die, at, &base, &begin, &end)) > 0 &&
		       s->ranges.n < RANGES_MAX)
			if (begin < end)
				*VEC_PUSH(&s->mem, &s->ranges) =
					(struct cu_range){begin, end, dwarf_dieoffset(&die)};
	}
	if (s->ranges.n)
		qsort(s->ranges.v, s->ranges.n, sizeof(*s->ranges.v), by_begin);
}

/* Symbols of a table, all kinds but files and sections, as nm lists them. */
static void collect_symbols(struct symbolizer *s, GElf_Word want)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(s->elf, scn)) != NULL) {
		GElf_Shdr sh;
		Elf_Data *data;
		GElf_Sym sym;

		if (!gelf_getshdr(scn, &sh) || sh.sh_type != want)
			continue;
		data = elf_getdata(scn, NULL);
		for (int i = 1; data && gelf_getsym(data, i, &sym) && s->syms.n < SYMBOLS_MAX;
		     i++) {
			const char *name = elf_strptr(s->elf, sh.sh_link, sym.st_name);
			unsigned type = GELF_ST_TYPE(sym.st_info);
			GElf_Shdr in;
			Elf_Scn *of = sym.st_shndx < SHN_LORESERVE
					      ? elf_getscn(s->elf, sym.st_shndx)
					      : NULL;

			if (!name || !*name || sym.st_shndx == SHN_UNDEF || type == STT_SECTION ||
			    type == STT_FILE || type == STT_TLS)
				continue;
			*VEC_PUSH(&s->mem, &s->syms) = (struct sym){
				.addr = sym.st_value,
				.size = sym.st_size,
				.order = (uint32_t)i,
				.data = !of || !gelf_getshdr(of, &in) ||
					!(in.sh_flags & SHF_EXECINSTR),
				.name = name,
			};
		}
	}
}

bool symbolizer_open(const char *path, bool only_names, struct symbolizer **ret, struct err *err)
{
	struct symbolizer *s;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	GElf_Ehdr eh;

	if (fd < 0)
		return err_os(err, ERR_OS, "%s", path);
	elf_version(EV_CURRENT);
	s = calloc(1, sizeof(*s));
	if (!s) {
		close(fd);
		return err_set(err, ERR_OS, "out of memory");
	}
	arena_init(&s->mem, 0);
	s->fd = fd;
	if (!elf_open(fd, &s->mem, &s->image, err)) {
		arena_free(&s->mem);
		free(s);
		close(fd);
		return err_in(err, "%s", path);
	}
	s->elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!s->elf || !gelf_getehdr(s->elf, &eh)) {
		symbolizer_close(s);
		return err_set(err, ERR_FORMAT, "%s: %s", path, elf_errmsg(-1));
	}
	s->type = eh.e_type;
	if (!only_names)
		s->dw = dwarf_begin_elf(s->elf, DWARF_C_READ, NULL);
	if (s->dw)
		collect_ranges(s);
	collect_symbols(s, SHT_SYMTAB);
	if (!s->syms.n)
		collect_symbols(s, SHT_DYNSYM);
	if (s->syms.n)
		qsort(s->syms.v, s->syms.n, sizeof(*s->syms.v), by_addr);
	*ret = s;
	return true;
}

void symbolizer_close(struct symbolizer *s)
{
	if (!s)
		return;
	dwarf_end(s->dw);
	elf_end(s->elf);
	elf_close(&s->image);
	arena_free(&s->mem);
	close(s->fd);
	free(s);
}

const char *symbolizer_build_id(const struct symbolizer *s)
{
	return s->image.build_id;
}

/* The segment of a mapping (elfexec.ProgramHeadersForMapping, HeaderForFileOffset). */
static bool segment_of(const struct symbolizer *s, uint64_t offset, uint64_t size, uint64_t at,
		       GElf_Phdr *ret, bool *ret_any)
{
	size_t n = 0;
	unsigned found = 0, exact = 0;
	GElf_Phdr ph, first = {0}, inside = {0};

	*ret_any = false;
	if (elf_getphdrnum(s->elf, &n) != 0)
		return false;
	for (size_t i = 0; i < n && i < 1000; i++) {
		uint64_t end, aligned, low;

		if (!gelf_getphdr(s->elf, (int)i, &ph) || ph.p_type != PT_LOAD)
			continue;
		*ret_any = true;
		end = ph.p_offset + ph.p_memsz;
		low = ph.p_vaddr & (ph.p_align - 1);
		aligned = ph.p_offset > low ? ph.p_offset - low : 0;
		if (!ph.p_filesz || offset >= end || ph.p_offset >= offset + size ||
		    offset < aligned)
			continue;
		/* one that ends in the mapping's first page belongs to the mapping before */
		if (offset > ph.p_offset && end < offset + OS_PAGE &&
		    offset + size >= end + OS_PAGE)
			continue;
		if (found++ == 0)
			first = ph;
		if (at >= ph.p_offset && at < end) {
			exact++;
			inside = ph;
		}
	}
	*ret = found == 1 ? first : inside;
	return found == 1 || exact == 1;
}

bool symbolizer_base(const struct symbolizer *s, uint64_t start, uint64_t limit, uint64_t offset,
		     uint64_t addr, uint64_t *ret)
{
	GElf_Phdr ph;
	bool any;

	*ret = 0;
	if (start == 0 && offset == 0 && (limit == UINT64_MAX || limit == 0))
		return true; /* not relocated */
	if (start >= limit)
		return false;
	if (addr < start || addr >= limit)
		return false;
	if (s->type == ET_REL) {
		*ret = start;
		return offset == 0;
	}
	if (!segment_of(s, offset, limit - start, addr - start + offset, &ph, &any)) {
		if (any)
			return false;
		*ret = s->type == ET_DYN ? start - offset : 0;
		return true;
	}
	if (s->type == ET_DYN && ph.p_vaddr == start - offset)
		*ret = offset; /* a kernel's */
	else
		*ret = start - offset + ph.p_offset - ph.p_vaddr;
	return s->type == ET_DYN || s->type == ET_EXEC;
}

static const struct sym *symbol_at(const struct symbolizer *s, uint64_t addr)
{
	uint32_t low = 0, high = s->syms.n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (s->syms.v[mid].addr <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0)
		return NULL;
	const struct sym *x = &s->syms.v[low - 1];

	if (low == s->syms.n && addr >= x->addr + x->size)
		return NULL;
	return x->data && addr >= x->addr + x->size ? NULL : x;
}

static bool find_cu(struct symbolizer *s, uint64_t addr, Dwarf_Die *ret)
{
	uint32_t low = 0, high = s->ranges.n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (s->ranges.v[mid].begin <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	/* ranges of hostile files may overlap: the last that begins before is enough for sound ones
	 */
	return low && addr < s->ranges.v[low - 1].end &&
	       dwarf_offdie(s->dw, s->ranges.v[low - 1].cu, ret);
}

static const char *die_name(Dwarf_Die *die)
{
	Dwarf_Attribute at;
	const char *name = NULL;

	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &at) ||
	    dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &at))
		name = dwarf_formstring(&at);
	if (!name && dwarf_attr_integrate(die, DW_AT_name, &at))
		name = dwarf_formstring(&at);
	return name ? name : "";
}

/* As a path from the root: the compiler's folder before what is relative to it. */
static const char *whole_path(struct symbolizer *s, Dwarf_Die *cu, const char *name)
{
	Dwarf_Attribute at;
	const char *dir = dwarf_attr(cu, DW_AT_comp_dir, &at) ? dwarf_formstring(&at) : NULL;

	if (!name || !*name || *name == '/' || !dir || !*dir)
		return name ? name : "";
	/* the same few names again and again: the last one is kept */
	if (name != s->last_name || dir != s->last_dir) {
		s->last_name = name;
		s->last_dir = dir;
		s->last_path = arena_printf(&s->mem, "%s/%s", dir, name);
	}
	return s->last_path;
}

static const char *call_file(struct symbolizer *s, Dwarf_Die *cu, Dwarf_Die *inlined)
{
	Dwarf_Attribute at;
	Dwarf_Files *files;
	Dwarf_Word n;
	size_t n_files;

	if (!dwarf_attr(inlined, DW_AT_call_file, &at) || dwarf_formudata(&at, &n) != 0 ||
	    dwarf_getsrcfiles(cu, &files, &n_files) != 0 || n >= n_files)
		return "";
	return whole_path(s, cu, dwarf_filesrc(files, n, NULL, NULL));
}

static int number(Dwarf_Die *die, unsigned what)
{
	Dwarf_Attribute at;
	Dwarf_Word n;

	return dwarf_attr(die, what, &at) && dwarf_formudata(&at, &n) == 0 && n < INT32_MAX ? (int)n
											    : 0;
}

static int decl_line(Dwarf_Die *die)
{
	Dwarf_Attribute at;
	Dwarf_Word n;

	return dwarf_attr_integrate(die, DW_AT_decl_line, &at) && dwarf_formudata(&at, &n) == 0 &&
			       n < INT32_MAX
		       ? (int)n
		       : 0;
}

/* Functions that were inlined into one another, outermost first. */
struct inlined {
	Dwarf_Die v[SYMBOL_FRAMES];
	uint32_t n;
};

/*
 * The innermost inlined function at an address, with those around it. All are looked at: Go's
 * compiler gives an inlined function addresses that the one around it lacks, so that a search which
 * leaves out what does not have the address (dwarf_getscopes) misses it.
 */
static void find_inlined(Dwarf_Die *parent, uint64_t addr, struct inlined *path,
			 struct inlined *best, uint32_t *dies, uint32_t depth)
{
	Dwarf_Die die;

	if (depth == BLOCKS_MAX || dwarf_child(parent, &die) != 0)
		return;
	do {
		int tag = dwarf_tag(&die);
		bool inlined = tag == DW_TAG_inlined_subroutine && path->n < SYMBOL_FRAMES - 1;

		if ((*dies)++ == DIES_MAX)
			return;
		if (inlined) {
			path->v[path->n++] = die;
			if (dwarf_haspc(&die, addr) == 1)
				*best = *path;
		}
		if (inlined || tag == DW_TAG_lexical_block)
			find_inlined(&die, addr, path, best, dies, depth + 1);
		path->n -= inlined;
	} while (dwarf_siblingof(&die, &die) == 0);
}

/* The function at an address, among what is in a unit or a namespace; not dwarf_getscopes: that
 * finds none where an inlined function was written in another unit. */
static bool find_function(Dwarf_Die *parent, uint64_t addr, Dwarf_Die *ret, uint32_t *dies,
			  uint32_t depth)
{
	Dwarf_Die die;

	if (depth == BLOCKS_MAX || dwarf_child(parent, &die) != 0)
		return false;
	do {
		int tag = dwarf_tag(&die);

		if ((*dies)++ == DIES_MAX)
			return false;
		if (tag == DW_TAG_subprogram && dwarf_haspc(&die, addr) == 1) {
			*ret = die;
			return true;
		}
		if ((tag == DW_TAG_namespace || tag == DW_TAG_class_type ||
		     tag == DW_TAG_structure_type || tag == DW_TAG_module) &&
		    find_function(&die, addr, ret, dies, depth + 1))
			return true;
	} while (dwarf_siblingof(&die, &die) == 0);
	return false;
}

static uint32_t dwarf_frames(struct symbolizer *s, uint64_t addr, struct symbol_frame *ret)
{
	Dwarf_Die cu;
	struct inlined path = {.n = 0}, best = {.n = 0};
	Dwarf_Line *line;
	uint32_t n = 0, dies = 0;
	const char *file = "";
	int at_line = 0, at_column = 0;

	if (!find_cu(s, addr, &cu))
		return 0;
	line = dwarf_getsrc_die(&cu, addr);
	if (line) {
		file = whole_path(s, &cu, dwarf_linesrc(line, NULL, NULL));
		dwarf_lineno(line, &at_line);
		dwarf_linecol(line, &at_column);
	}
	/* addresses come in order: often it is the same function again */
	if (!s->has_function || dwarf_haspc(&s->function, addr) != 1) {
		s->has_function = find_function(&cu, addr, &s->function, &dies, 0);
		dies = 0;
	}
	if (s->has_function) {
		find_inlined(&s->function, addr, &path, &best, &dies, 0);
		for (uint32_t i = best.n; i-- > 0;) {
			ret[n++] = (struct symbol_frame){die_name(&best.v[i]), file, at_line,
							 at_column, decl_line(&best.v[i])};
			file = call_file(s, &cu, &best.v[i]);
			at_line = number(&best.v[i], DW_AT_call_line);
			at_column = number(&best.v[i], DW_AT_call_column);
		}
		ret[n++] = (struct symbol_frame){die_name(&s->function), file, at_line, at_column,
						 decl_line(&s->function)};
	}
	if (n == 0 && *file)
		ret[n++] = (struct symbol_frame){"", file, at_line, at_column, 0};
	return n;
}

uint32_t symbolizer_frames(struct symbolizer *s, uint64_t addr,
			   struct symbol_frame ret[static SYMBOL_FRAMES])
{
	uint32_t n = s->dw ? dwarf_frames(s, addr, ret) : 0;
	const struct sym *x = symbol_at(s, addr);

	if (!x)
		return n;
	if (n == 0) {
		ret[0] = (struct symbol_frame){x->name, "", 0, 0, 0};
		return 1;
	}
	if (strlen(x->name) > strlen(ret[n - 1].function) + 1)
		ret[n - 1].function = x->name;
	return n;
}

void symbolizer_symbols(const struct symbolizer *s,
			void (*fn)(void *ctx, uint64_t addr, const char *name), void *ctx)
{
	for (uint32_t i = 0; i < s->syms.n; i++)
		fn(ctx, s->syms.v[i].addr, s->syms.v[i].name);
}

uint32_t symbolizer_n_symbols(const struct symbolizer *s)
{
	return s->syms.n;
}

bool symbolizer_read(const struct symbolizer *s, uint64_t addr, void *to, size_t n)
{
	for (uint32_t i = 0; i < s->image.n_segments; i++) {
		const struct elf_segment *x = &s->image.segments[i];

		if (addr >= x->addr && addr - x->addr < x->file_size &&
		    n <= x->file_size - (addr - x->addr))
			return pread(s->fd, to, n, (off_t)(x->offset + (addr - x->addr))) ==
			       (ssize_t)n;
	}
	return false;
}
