/*
 * elf.c, buildinfo.c and dwarf.c on a small ELF file that is made here byte by byte (DWARF 4 and
 * 5), whole, cut short and with every byte damaged, and on real Go programs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "base/str.h"
#include "goprobe.h"
#include "image/dwarf.h"
#include "image/elf.h"

/* -- a file made here ---------------------------------------------------------------------------
 */

#define CODE	    0x400000U /* the address of file offset 0 */
#define DATA	    0x500000U
#define DATA_OFFSET 0x400U
#define INFO	    (DATA_OFFSET + 0x20U) /* of the build info */

struct made {
	uint8_t b[8192];
	uint32_t n;
};

static uint32_t add(struct made *m, const void *what, size_t n)
{
	uint32_t at = m->n;

	assert_true(m->n + n <= sizeof(m->b));
	memcpy(m->b + m->n, what, n);
	m->n += (uint32_t)n;
	return at;
}

static uint32_t add8(struct made *m, uint8_t v)
{
	return add(m, &v, 1);
}
static uint32_t add16(struct made *m, uint16_t v)
{
	return add(m, &v, 2);
}
static uint32_t add32(struct made *m, uint32_t v)
{
	return add(m, &v, 4);
}
static uint32_t add64(struct made *m, uint64_t v)
{
	return add(m, &v, 8);
}
static uint32_t add_text(struct made *m, const char *s)
{
	return add(m, s, strlen(s) + 1);
}

static void put32(struct made *m, uint32_t at, uint32_t v)
{
	memcpy(m->b + at, &v, sizeof(v));
}

enum abbrev {
	A_UNIT = 1,
	A_STRUCT,
	A_MEMBER,
	A_BASE,
	A_TYPEDEF,
	A_ARRAY,
	A_COUNT,
	A_VARIABLE,
	A_POINTER,
	A_MEMBER_EXPR,
	A_BOUND,
	A_FUNC,
	N_ABBREVS
};

/* Forms: 08 string, 0b data1, 0f udata, 10 ref_addr, 18 exprloc. */
/* clang-format off */
static const uint8_t ABBREVS[] = {
	A_UNIT,        0x11, 1, 0x03, 0x08, 0,    0,                      /* name */
	A_STRUCT,      0x13, 1, 0x03, 0x08, 0x0b, 0x0f, 0,    0,          /* name, size */
	A_MEMBER,      0x0d, 0, 0x03, 0x08, 0x38, 0x0f, 0x49, 0x10, 0, 0, /* name, offset, type */
	A_BASE,        0x24, 0, 0x03, 0x08, 0x0b, 0x0b, 0,    0,          /* name, size */
	A_TYPEDEF,     0x16, 0, 0x03, 0x08, 0x49, 0x10, 0,    0,          /* name, type */
	A_ARRAY,       0x01, 1, 0x49, 0x10, 0,    0,                      /* type */
	A_COUNT,       0x21, 0, 0x37, 0x0f, 0,    0,                      /* count */
	A_VARIABLE,    0x34, 0, 0x03, 0x08, 0x49, 0x10, 0,    0,          /* name, type */
	A_POINTER,     0x0f, 0, 0x49, 0x10, 0,    0,                      /* type */
	A_MEMBER_EXPR, 0x0d, 0, 0x03, 0x08, 0x38, 0x18, 0x49, 0x10, 0, 0, /* name, offset, type */
	A_BOUND,       0x21, 0, 0x2f, 0x0f, 0,    0,                      /* upper bound */
	A_FUNC,        0x15, 0, 0x03, 0x08, 0,    0,                      /* name */
	0,
};
/* clang-format on */

/* Entries refer to each other by their offset in .debug_info, which starts at `base`. */
static uint32_t base_type(struct made *m, uint32_t base, const char *name, uint8_t size)
{
	uint32_t at = add8(m, A_BASE) - base;

	add_text(m, name);
	add8(m, size);
	return at;
}

static uint32_t named(struct made *m, uint32_t base, enum abbrev what, const char *name,
		      uint32_t type)
{
	uint32_t at = add8(m, (uint8_t)what) - base;

	add_text(m, name);
	add32(m, type);
	return at;
}

static uint32_t structure(struct made *m, uint32_t base, const char *name, uint8_t size)
{
	uint32_t at = add8(m, A_STRUCT) - base;

	add_text(m, name);
	add8(m, size);
	return at;
}

static void member(struct made *m, const char *name, uint8_t off, uint32_t type)
{
	add8(m, A_MEMBER);
	add_text(m, name);
	add8(m, off);
	add32(m, type);
}

static uint32_t array(struct made *m, uint32_t base, uint32_t type, uint8_t count, bool bound)
{
	uint32_t at = add8(m, A_ARRAY) - base;

	add32(m, type);
	add8(m, bound ? A_BOUND : A_COUNT);
	add8(m, bound ? (uint8_t)(count - 1) : count);
	add8(m, 0);
	return at;
}

static uint32_t unit(struct made *m, int version, const char *name)
{
	uint32_t at = add32(m, 0);

	add16(m, (uint16_t)version);
	if (version >= 5) {
		add8(m, 1); /* DW_UT_compile */
		add8(m, 8);
		add32(m, 0);
	} else {
		add32(m, 0);
		add8(m, 8);
	}
	add8(m, A_UNIT);
	add_text(m, name);
	return at;
}

static void unit_end(struct made *m, uint32_t at)
{
	add8(m, 0);
	put32(m, at, m->n - at - 4);
}

static void dwarf_make(struct made *m, int version)
{
	uint32_t base = m->n, u, u8, u32, u64, state, box, pointer, boxes, grid, anonymous, two,
		 func, hollow;

	u = unit(m, version, "main");
	structure(m, base, "runtime.thing", 1); /* of the right name in the wrong unit */
	add8(m, 0);
	unit_end(m, u);

	u = unit(m, version, "runtime");
	u8 = base_type(m, base, "uint8", 1);
	u32 = base_type(m, base, "uint32", 4);
	u64 = base_type(m, base, "uint64", 8);
	state = named(m, base, A_TYPEDEF, "runtime.state", u8);
	state = named(m, base, A_TYPEDEF, "runtime.stateAlias", state);
	box = structure(m, base, "runtime.box", 2);
	member(m, "_", 0, u8);
	member(m, "s", 1, state);
	add8(m, 0);
	pointer = add8(m, A_POINTER) - base;
	add32(m, box);
	boxes = array(m, base, box, 3, false);
	grid = array(m, base, boxes, 2, true);
	func = add8(m, A_FUNC) - base;
	add_text(m, "func()");
	hollow = array(m, base, u64, 0, false);
	structure(m, base, "runtime.thing", 96);
	member(m, "a", 0, u32);
	member(m, "box", 4, box);
	member(m, "p", 8, pointer);
	member(m, "boxes", 16, boxes);
	member(m, "grid", 24, grid);
	member(m, "fn", 40, func);
	add8(m, A_MEMBER_EXPR);
	add_text(m, "old");
	add8(m, 3);
	add8(m, 0x23); /* DW_OP_plus_uconst 200 */
	add8(m, 0xc8);
	add8(m, 0x01);
	add32(m, u64);
	member(m, "none", 88, hollow);
	add8(m, 0);
	structure(m, base, "sync.Pool", 24);
	member(m, "local", 8, u64);
	add8(m, 0);
	anonymous = structure(m, base, "struct { x uint32; y uint64 }", 16);
	member(m, "x", 0, u32);
	member(m, "y", 8, u64);
	add8(m, 0);
	two = array(m, base, anonymous, 2, false);
	unit_end(m, u);

	u = unit(m, version, "sync");
	named(m, base, A_VARIABLE, "sync.pools", two);
	named(m, base, A_VARIABLE, "runtime.pools", u8); /* not where a variable of runtime is */
	unit_end(m, u);
	u = unit(m, version, "runtime");
	named(m, base, A_VARIABLE, "runtime.pools", two);
	named(m, base, A_VARIABLE, "runtime.word", u64);
	unit_end(m, u);
}

enum section {
	S_NULL,
	S_GNU,
	S_GO,
	S_INFO,
	S_SYMTAB,
	S_STRTAB,
	S_ABBREV,
	S_DEBUG,
	S_NAMES,
	N_SECTIONS
};

/* dwarf 0: no debug sections (they are named otherwise). pointers: the older format of build info.
 */
static void make(struct made *m, int dwarf, bool pointers)
{
	static const char MODULES[] =
		"0123456789abcdefpath\texample.com/cmd\nmod\texample.com\tv1\n"
		"build\tCGO_ENABLED=1\n0123456789abcde";
	uint32_t at[N_SECTIONS + 1] = {0}, names[N_SECTIONS], strings[3], phdr;
	Elf64_Ehdr *eh = (Elf64_Ehdr *)(void *)m->b;

	memset(m, 0, sizeof(*m));
	m->n = sizeof(*eh);
	memcpy(eh->e_ident, ELFMAG, SELFMAG);
	eh->e_ident[EI_CLASS] = ELFCLASS64;
	eh->e_ident[EI_DATA] = ELFDATA2LSB;
	eh->e_ident[EI_VERSION] = EV_CURRENT;
	eh->e_type = ET_EXEC;
	eh->e_machine = EM_X86_64;
	eh->e_version = EV_CURRENT;
	eh->e_ehsize = sizeof(*eh);
	eh->e_phentsize = sizeof(Elf64_Phdr);
	eh->e_shentsize = sizeof(Elf64_Shdr);
	eh->e_phoff = phdr = m->n;
	eh->e_phnum = 3;
	m->n += 3 * (uint32_t)sizeof(Elf64_Phdr);

	at[S_GNU] = add32(m, 4);
	add32(m, 3);
	add32(m, 3);
	add(m, "GNU", 4);
	add(m, "\xab\xcd\x01", 4);
	at[S_GO] = add32(m, 4);
	add32(m, 7);
	add32(m, 4);
	add(m, "Go\0", 4);
	add(m, "go-id/x", 8);
	/* In the code segment: a magic that a scan must not stop at. */
	m->n = 0x200;
	add(m, "\xff Go buildinf:\x08\x02", 16);
	m->n += 16;
	add8(m, 0xff);

	m->n = INFO;
	at[S_INFO] = add(m, "\xff Go buildinf:", 14);
	add8(m, 8);
	add8(m, pointers ? 0 : 2);
	if (pointers) {
		add64(m, DATA + 0x100);
		add64(m, DATA + 0x110);
		m->n = DATA_OFFSET + 0x100;
		add64(m, DATA + 0x120);
		add64(m, 8);
		add64(m, DATA + 0x130);
		add64(m, sizeof(MODULES));
		add(m, "go1.17.3", 8);
		m->n = DATA_OFFSET + 0x130;
	} else {
		add(m, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
		add8(m, 8);
		add(m, "go1.26.8", 8);
		add8(m, sizeof(MODULES));
	}
	add(m, MODULES, sizeof(MODULES)); /* with its NUL, which is a byte of the frame */
	at[S_SYMTAB] = m->n = DATA_OFFSET + 0x200;
	m->n += 4 * (uint32_t)sizeof(Elf64_Sym);
	at[S_STRTAB] = add8(m, 0);
	strings[0] = add_text(m, "runtime.mheap_") - at[S_STRTAB];
	strings[1] = add_text(m, "runtime.new") - at[S_STRTAB];
	strings[2] = add_text(m, "runtime.undefined") - at[S_STRTAB];
	for (uint32_t i = 0; i < 3; i++) {
		Elf64_Sym s = {.st_name = strings[i],
			       .st_shndx = i == 2 ? SHN_UNDEF : 1,
			       .st_value = DATA + 0x10 * (i + 1),
			       .st_size = 100 + i};

		memcpy(m->b + at[S_SYMTAB] + (i + 1) * sizeof(s), &s, sizeof(s));
	}
	at[S_ABBREV] = add(m, ABBREVS, sizeof(ABBREVS));
	at[S_DEBUG] = m->n;
	dwarf_make(m, dwarf ? dwarf : 4);
	at[S_NAMES] = add8(m, 0);
	names[S_NULL] = 0;
	names[S_GNU] = add_text(m, ".note.gnu.build-id") - at[S_NAMES];
	names[S_GO] = add_text(m, ".note.go.buildid") - at[S_NAMES];
	names[S_INFO] = add_text(m, ".go.buildinfo") - at[S_NAMES];
	names[S_SYMTAB] = add_text(m, ".symtab") - at[S_NAMES];
	names[S_STRTAB] = add_text(m, ".strtab") - at[S_NAMES];
	names[S_ABBREV] = add_text(m, dwarf ? ".debug_abbrev" : ".foo") - at[S_NAMES];
	names[S_DEBUG] = add_text(m, dwarf ? ".debug_info" : ".bar") - at[S_NAMES];
	names[S_NAMES] = add_text(m, ".shstrtab") - at[S_NAMES];
	at[N_SECTIONS] = m->n;
	m->n = (m->n + 7) & ~7U;

	eh->e_shoff = m->n;
	eh->e_shnum = N_SECTIONS;
	eh->e_shstrndx = S_NAMES;
	for (uint32_t i = 0; i < N_SECTIONS; i++) {
		Elf64_Shdr s = {.sh_name = names[i], .sh_offset = at[i], .sh_addralign = 1};

		if (i > 0)
			s.sh_size = at[i + 1] - at[i];
		s.sh_type = i == S_NULL			    ? SHT_NULL
			    : i == S_GNU || i == S_GO	    ? SHT_NOTE
			    : i == S_SYMTAB		    ? SHT_SYMTAB
			    : i == S_STRTAB || i == S_NAMES ? SHT_STRTAB
							    : SHT_PROGBITS;
		if (i == S_GNU || i == S_GO || i == S_INFO) {
			s.sh_addr = i == S_INFO ? DATA + at[i] - DATA_OFFSET : CODE + at[i];
			s.sh_flags = SHF_ALLOC | (i == S_INFO ? SHF_WRITE : 0);
		}
		if (i == S_GNU || i == S_GO)
			s.sh_addralign = 4;
		if (i == S_GO)
			s.sh_size = 24;
		if (i == S_SYMTAB) {
			s.sh_link = S_STRTAB;
			s.sh_entsize = sizeof(Elf64_Sym);
		}
		add(m, &s, sizeof(s));
	}
	((Elf64_Phdr *)(void *)(m->b + phdr))[0] = (Elf64_Phdr){.p_type = PT_LOAD,
								.p_flags = PF_R | PF_X,
								.p_vaddr = CODE,
								.p_filesz = DATA_OFFSET,
								.p_memsz = DATA_OFFSET};
	((Elf64_Phdr *)(void *)(m->b + phdr))[1] = (Elf64_Phdr){.p_type = PT_LOAD,
								.p_flags = PF_R | PF_W,
								.p_vaddr = DATA,
								.p_offset = DATA_OFFSET,
								.p_filesz = 0x200,
								.p_memsz = 0x3000};
	((Elf64_Phdr *)(void *)(m->b + phdr))[2] =
		(Elf64_Phdr){.p_type = PT_NOTE,
			     .p_flags = PF_R,
			     .p_vaddr = CODE + at[S_GNU],
			     .p_offset = at[S_GNU],
			     .p_filesz = at[S_GO] + 24 - at[S_GNU],
			     .p_memsz = at[S_GO] + 24 - at[S_GNU],
			     .p_align = 4};
}

static int file_of(const struct made *m, uint32_t n)
{
	int fd = memfd_create("test_image", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, m->b, n), n);
	return fd;
}

/* -- headers, symbols, build info ---------------------------------------------------------------
 */

static void test_headers(void **state)
{
	struct made m;
	struct arena a;
	struct elf_image e;
	struct err err = {0};
	const struct elf_section *s;

	(void)state;
	make(&m, 4, false);
	CLEANUP(cleanup_fd) int fd = file_of(&m, m.n);
	arena_init(&a, 0);
	if (!elf_open(fd, &a, &e, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(e.machine, EM_X86_64);
	assert_true(e.little64);
	assert_false(e.dynamic_type);
	assert_true(e.has_symtab);
	assert_true(e.has_dwarf);
	assert_false(e.has_interp);
	assert_int_equal(e.phdr_offset, 64);
	assert_string_equal(e.build_id, "abcd01");
	assert_string_equal(e.go_build_id, "go-id/x");
	assert_int_equal(e.n_segments, 2);
	assert_true(e.segments[0].executable && !e.segments[0].writable);
	assert_true(!e.segments[1].executable && e.segments[1].writable);
	assert_int_equal(e.segments[1].addr, DATA);
	assert_int_equal(e.segments[1].offset, DATA_OFFSET);
	assert_int_equal(e.segments[1].file_size, 0x200);
	assert_int_equal(e.segments[1].mem_size, 0x3000);
	assert_int_equal(e.n_sections, N_SECTIONS - 1);
	s = elf_section(&e, ".go.buildinfo");
	assert_non_null(s);
	assert_int_equal(s->addr, DATA + 0x20);
	assert_int_equal(s->offset, INFO);
	assert_true(s->writable && s->allocated && !s->executable && !s->nobits);
	assert_null(elf_section(&e, ".none"));
	elf_close(&e);
	elf_close(&e);
	arena_free(&a);
}

static void test_symbols(void **state)
{
	static const char *const NAMES[] = {"runtime.mheap_",
					    "runtime.old|runtime.new|runtime.mheap_",
					    "runtime.mheap_|runtime.new",
					    "runtime.mhea",
					    "runtime.mheap_x|runtime.undefined",
					    "",
					    "runtime.new"};
	struct made m;
	struct arena a;
	struct elf_image e;
	struct err err = {0};
	taddr v[ARRAY_LEN(NAMES)];
	uint64_t size[ARRAY_LEN(NAMES)];

	(void)state;
	make(&m, 4, false);
	CLEANUP(cleanup_fd) int fd = file_of(&m, m.n);
	arena_init(&a, 0);
	assert_true(elf_open(fd, &a, &e, &err));
	elf_symbols(&e, NAMES, ARRAY_LEN(NAMES), v, size);
	assert_int_equal(v[0], DATA + 0x10);
	assert_int_equal(size[0], 100);
	assert_int_equal(v[1], DATA + 0x20);
	assert_int_equal(size[1], 101);
	assert_int_equal(v[2], DATA + 0x10);
	assert_int_equal(v[3], 0);
	assert_int_equal(v[4], 0);
	assert_int_equal(size[4], 0);
	assert_int_equal(v[5], 0);
	assert_int_equal(v[6], DATA + 0x20);
	elf_symbols(&e, NAMES, 1, v, NULL);
	assert_int_equal(v[0], DATA + 0x10);
	elf_close(&e);
	arena_free(&a);
}

static void check_info(const struct made *m, const char *version)
{
	struct arena a;
	struct elf_image e;
	struct err err = {0};
	struct go_buildinfo b;
	CLEANUP(cleanup_fd) int fd = file_of(m, m->n);

	arena_init(&a, 0);
	assert_true(elf_open(fd, &a, &e, &err));
	assert_true(go_buildinfo_read(&e, &a, &b, &err));
	assert_int_equal(b.found, version != NULL);
	if (version) {
		assert_string_equal(b.version, version);
		assert_string_equal(b.main_path, "example.com/cmd");
		assert_string_equal(
			b.mod,
			"path\texample.com/cmd\nmod\texample.com\tv1\nbuild\tCGO_ENABLED=1\n");
		assert_true(b.cgo);
		assert_false(b.fips);
	} else {
		assert_string_equal(b.version, "");
		assert_string_equal(b.main_path, "");
	}
	elf_close(&e);
	arena_free(&a);
}

static void test_buildinfo(void **state)
{
	struct made m;
	Elf64_Ehdr *eh = (Elf64_Ehdr *)(void *)m.b;

	(void)state;
	for (int pointers = 0; pointers <= 1; pointers++) {
		const char *version = pointers ? "go1.17.3" : "go1.26.8";

		make(&m, 4, pointers);
		check_info(&m, version);
		/* Without section headers it is found by its magic, behind the one in the code. */
		eh->e_shoff = eh->e_shnum = eh->e_shstrndx = 0;
		check_info(&m, version);
		/* No magic any more. */
		m.b[INFO + 3] = 'g';
		check_info(&m, NULL);
	}
	/* A length that goes beyond the file. */
	make(&m, 4, false);
	m.b[INFO + 32] = 0xff;
	m.b[INFO + 33] = 0x7f;
	check_info(&m, NULL);
	/* A length that goes beyond the segment, in the other format. */
	make(&m, 4, true);
	m.b[DATA_OFFSET + 0x100 + 9] = 1;
	check_info(&m, NULL);
}

/* -- DWARF ---------------------------------------------------------------------------------------
 */

static const struct {
	const char *type, *paths;
	bool found;
	uint32_t off, width;
} QUERIES[] = {
	{"runtime.thing", "", true, 0, 96},
	{"runtime.thing", "a", true, 0, 4},
	{"runtime.thing", "nope|a", true, 0, 4},
	{"runtime.thing", "box.s|a", true, 5, 1},
	{"runtime.thing", "box.s.x|box", true, 4, 2},
	{"runtime.thing", "p", true, 8, 8},
	{"runtime.thing", "p.s", false, 0, 0}, /* pointers are not followed */
	{"runtime.thing", "boxes", true, 16, 6},
	{"runtime.thing", "boxes[2].s", true, 21, 1},
	{"runtime.thing", "boxes[3].s", false, 0, 0},
	{"runtime.thing", "boxes.s", false, 0, 0},
	{"runtime.thing", "grid", true, 24, 12},
	{"runtime.thing", "grid[1]", true, 30, 6},
	{"runtime.thing", "grid[1][2].s", true, 35, 1},
	{"runtime.thing", "grid[2]", false, 0, 0},
	{"runtime.thing", "grid[", false, 0, 0},
	{"runtime.thing", "a[0]", false, 0, 0},
	{"runtime.thing", "fn", true, 40, 8},
	{"runtime.thing", "old", true, 200, 8},
	{"runtime.thing", "none", true, 88, 0},
	{"runtime.thing", "none[0]", false, 0, 0},
	{"runtime.thing", "aa", false, 0, 0},
	{"runtime.stateAlias", "", true, 0, 1},
	{"runtime.nothing", "", false, 0, 0},
	{"sync.Pool", "local", true, 8, 8},
	{"var:sync.pools", "", true, 0, 32},
	{"var:sync.pools", "[1].y", true, 24, 8},
	{"var:runtime.pools", "[1]", true, 16, 16},
	{"var:runtime.word", "", true, 0, 8},
	{"var:runtime.thing", "", false, 0, 0},
	{"runtime.word", "", false, 0, 0},
};

static void queries(struct dwarf_query q[static ARRAY_LEN(QUERIES)])
{
	for (size_t i = 0; i < ARRAY_LEN(QUERIES); i++)
		q[i] = (struct dwarf_query){.type = QUERIES[i].type,
					    .paths = QUERIES[i].paths,
					    .found = true,
					    .off = 1,
					    .width = 1};
}

static void test_dwarf(void **state)
{
	struct made m;
	struct err err = {0};
	struct dwarf_query q[ARRAY_LEN(QUERIES)];

	(void)state;
	for (int version = 4; version <= 5; version++) {
		make(&m, version, false);
		CLEANUP(cleanup_fd) int fd = file_of(&m, m.n);
		queries(q);
		if (!dwarf_resolve(fd, q, ARRAY_LEN(q), &err))
			fail_msg("DWARF %d: %s", version, err.msg);
		for (size_t i = 0; i < ARRAY_LEN(q); i++)
			if (q[i].found != QUERIES[i].found || q[i].off != QUERIES[i].off ||
			    q[i].width != QUERIES[i].width)
				fail_msg("DWARF %d, %s %s: %d, %u, %u", version, q[i].type,
					 q[i].paths, q[i].found, q[i].off, q[i].width);
	}
	make(&m, 0, false);
	CLEANUP(cleanup_fd) int fd = file_of(&m, m.n);
	assert_false(dwarf_resolve(fd, q, ARRAY_LEN(q), &err));
	assert_int_equal(err.kind, ERR_FORMAT);
}

/* A compressed section may not claim to be larger than zlib can make it. */
static void test_bomb(void **state)
{
	struct made m;
	struct err err = {0};
	struct dwarf_query q[ARRAY_LEN(QUERIES)];
	Elf64_Ehdr *eh = (Elf64_Ehdr *)(void *)m.b;
	Elf64_Shdr *s;
	Elf64_Chdr c = {
		.ch_type = ELFCOMPRESS_ZLIB, .ch_size = (uint64_t)1 << 40, .ch_addralign = 1};

	(void)state;
	make(&m, 4, false);
	s = (Elf64_Shdr *)(void *)(m.b + eh->e_shoff) + S_DEBUG;
	s->sh_flags = SHF_COMPRESSED;
	memcpy(m.b + s->sh_offset, &c, sizeof(c));
	CLEANUP(cleanup_fd) int fd = file_of(&m, m.n);
	queries(q);
	assert_false(dwarf_resolve(fd, q, ARRAY_LEN(q), &err));
	assert_int_equal(err.kind, ERR_LIMIT);
}

/* -- damage --------------------------------------------------------------------------------------
 */

static void read_all(const struct made *m, uint32_t n)
{
	static const char *const NAMES[] = {"runtime.mheap_", "runtime.old|runtime.new"};
	CLEANUP(cleanup_fd) int fd = file_of(m, n);
	struct dwarf_query q[ARRAY_LEN(QUERIES)];
	struct arena a;
	struct elf_image e;
	struct err err = {0};
	struct go_buildinfo b;
	taddr v[2];

	arena_init(&a, (bytes)64 << 20);
	if (elf_open(fd, &a, &e, &err)) {
		elf_symbols(&e, NAMES, ARRAY_LEN(NAMES), v, NULL);
		elf_section(&e, ".text");
		assert_true(go_buildinfo_read(&e, &a, &b, &err));
		if (b.found)
			assert_true(strlen(b.version) > 0 && strlen(b.mod) < sizeof(m->b));
		elf_close(&e);
	} else {
		assert_int_equal(err.kind, ERR_FORMAT);
	}
	queries(q);
	err = (struct err){0};
	if (!dwarf_resolve(fd, q, ARRAY_LEN(q), &err))
		assert_true(err.kind == ERR_FORMAT || err.kind == ERR_LIMIT);
	arena_free(&a);
}

static void test_cut(void **state)
{
	struct made m;

	(void)state;
	for (int version = 4; version <= 5; version++) {
		make(&m, version, version == 5);
		for (uint32_t n = 0; n < m.n; n++)
			read_all(&m, n);
	}
}

static void test_damaged(void **state)
{
	static const uint8_t WITH[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	struct made m, damaged;

	(void)state;
	for (int version = 4; version <= 5; version++) {
		make(&m, version, version == 5);
		for (uint32_t at = 0; at < m.n; at++)
			for (size_t i = 0; i < ARRAY_LEN(WITH); i++) {
				damaged = m;
				damaged.b[at] = WITH[i];
				if (memcmp(&damaged, &m, sizeof(m)) != 0)
					read_all(&damaged, m.n);
			}
	}
}

/* -- real programs -------------------------------------------------------------------------------
 */

static void test_probes(void **state)
{
	static const char *const NAMES[] = {"runtime.mheap_", "main.main", "runtime.nothing"};
	struct arena a;
	char **names, path[600], version[80];
	uint32_t n, symbols = 0;

	(void)state;
	arena_init(&a, 0);
	n = probe_list(&a, &names);
	for (uint32_t i = 0; i < n; i++) {
		struct elf_image e;
		struct go_buildinfo b;
		struct err err = {0};
		struct dwarf_query q = {.type = "runtime.mheap", .paths = ""};
		taddr v[3];
		uint64_t size[3];

		snprintf(path, sizeof(path), "%s/%s", probe_dir(), names[i]);
		CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (!elf_open(fd, &a, &e, &err) || !go_buildinfo_read(&e, &a, &b, &err))
			fail_msg("%s: %s", names[i], err.msg);
		/* go1.25.3+x says "go1.25.3 X:x", and from 1.26 on "go1.26.0-X:x". */
		snprintf(version, sizeof(version), "%.*s", (int)strcspn(names[i], "+"), names[i]);
		assert_true(b.found);
		assert_true(str_starts(b.version, version));
		if (strchr(names[i], '+'))
			assert_true(strcmp(strstr(b.version, "X:") + 2,
					   strchr(names[i], '+') + 1) == 0);
		else
			assert_string_equal(b.version, version);
		assert_string_equal(b.main_path, "probe");
		assert_false(b.cgo);
		assert_true(e.little64 && e.has_symtab && e.has_dwarf && e.n_segments >= 3);
		assert_true(strlen(e.go_build_id) > 40);
		elf_symbols(&e, NAMES, 3, v, size);
		assert_true(v[0] != 0 && v[1] != 0 && v[2] == 0);
		/* Two ways to the same number. */
		if (!dwarf_resolve(fd, &q, 1, &err))
			fail_msg("%s: %s", names[i], err.msg);
		assert_true(q.found);
		assert_int_equal(q.width, size[0]);
		symbols++;
		elf_close(&e);
	}
	arena_free(&a);
	print_message("%u probes\n", symbols);
	if (n == 0)
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),	  cmocka_unit_test(test_symbols),
		cmocka_unit_test(test_buildinfo), cmocka_unit_test(test_dwarf),
		cmocka_unit_test(test_bomb),	  cmocka_unit_test(test_cut),
		cmocka_unit_test(test_damaged),	  cmocka_unit_test(test_probes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
