/*
 * pclntab.c against what Go's own runtime says of thousands of pcs (tests/unit/go/frames.go), and
 * against a small table made here, whole and with its bytes damaged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <time.h>

#include "goprobe.h"
#include "goruntime/layout.h"
#include "image/elf.h"
#include "image/pclntab.h"

/* -- tables of an executable that is not running ---------------------------------------------- */

struct file {
	struct elf_image elf;
	uint64_t reads;
};

static size_t file_read_at(void *ctx, taddr at, void *dst, size_t n)
{
	struct file *f = ctx;

	f->reads++;
	for (uint32_t i = 0; i < f->elf.n_segments; i++) {
		const struct elf_segment *s = &f->elf.segments[i];

		if (at >= s->addr && at - s->addr < s->file_size) {
			ssize_t got = pread(f->elf.fd, dst, MIN(n, s->file_size - (at - s->addr)),
					    (off_t)(s->offset + (at - s->addr)));
			return got < 0 ? 0 : (size_t)got;
		}
	}
	return 0;
}

static uint64_t word(const uint8_t *d, struct field f)
{
	uint64_t v;

	memcpy(&v, d + f.off, sizeof(v));
	return v;
}

static void slice(const uint8_t *d, struct field f, taddr *at, uint64_t *len)
{
	*at = word(d, f);
	*len = word(d, (struct field){f.off + 8, 8});
}

static void open_file(const char *path, struct file *f, struct arena *a, struct pcln **ret)
{
	static const char *const NAMES[] = {"runtime.firstmoduledata"};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct err err = {0};
	struct layout l;
	struct go_release release;
	struct go_buildinfo info;
	struct pcln_module m = {0};
	uint8_t d[1024];
	taddr at;

	assert_true(fd >= 0);
	assert_true(elf_open(fd, a, &f->elf, &err));
	if (!layout_dwarf(fd, &l, &err))
		fail_msg("%s: %s", path, err.msg);
	assert_true(go_buildinfo_read(&f->elf, a, &info, &err));
	assert_true(go_release_parse(info.version, &release));
	elf_symbols(&f->elf, NAMES, 1, &at, NULL);
	assert_true(at != 0);
	assert_int_equal(file_read_at(f, at, d, l.moduledata_size.width), l.moduledata_size.width);
	m.pcheader = word(d, l.moduledata_pcHeader);
	m.text = word(d, l.moduledata_text);
	m.etext = word(d, l.moduledata_etext);
	m.minpc = word(d, l.moduledata_minpc);
	m.maxpc = word(d, l.moduledata_maxpc);
	m.gofunc = word(d, l.moduledata_gofunc);
	slice(d, l.moduledata_funcnametab, &m.funcnametab, &m.funcnametab_len);
	slice(d, l.moduledata_cutab, &m.cutab, &m.cutab_len);
	slice(d, l.moduledata_filetab, &m.filetab, &m.filetab_len);
	slice(d, l.moduledata_pctab, &m.pctab, &m.pctab_len);
	slice(d, l.moduledata_pclntable, &m.pclntable, &m.pclntable_len);
	slice(d, l.moduledata_ftab, &m.ftab, &m.ftab_len);
	m.one_bracket = release.minor < 27;
	if (!pcln_open(&m, file_read_at, f, a, ret, &err))
		fail_msg("%s: %s", path, err.msg);
}

/* Compares with the program's own words. Before 1.23 the runtime shows the innermost frame only. */
static void compare(const char *release, uint32_t *ret_pcs, uint32_t *ret_inlined)
{
	char path[512], line[8192];
	struct arena a;
	struct file f = {0};
	struct pcln *p = NULL;
	struct pcln_frame frames[PCLN_FRAMES];
	uint32_t n = 0, got, at = 0, pcs = 0, inlined = 0, bad = 0;
	long minor = strtol(release + 2, NULL, 10);
	bool all = minor >= 23;
	uint8_t wrapper = minor <= 21 ? 21 : minor <= 24 ? 22 : 23;
	taddr pc = 0;
	FILE *out;

	if (!go_program("frames", release, path)) {
		print_message("%s: no toolchain here\n", release);
		return;
	}
	arena_init(&a, 0);
	open_file(path, &f, &a, &p);
	out = popen(path, "r");
	assert_non_null(out);
	while (fgets(line, sizeof(line), out)) {
		char *next = line, *func, *file;
		unsigned long long entry;
		long row;

		if (!strchr(line, '\t')) {
			if (all && at != n && bad++ < 10)
				print_message("%s: %llx has %u frames, here %u\n", release,
					      (unsigned long long)pc, at, n);
			pc = strtoull(line, NULL, 16);
			got = pcln_frames(p, pc, frames, PCLN_FRAMES);
			inlined += got > 1;
			n = 0; /* the runtime leaves wrappers out that call something (but a panic)
				*/
			for (uint32_t i = 0; i < got; i++)
				if (i == 0 || frames[i].func_id != wrapper)
					frames[n++] = frames[i];
			at = 0;
			pcs++;
			continue;
		}
		func = strsep(&next, "\t");
		file = strsep(&next, "\t");
		assert_int_equal(sscanf(next, "%ld\t%llx", &row, &entry), 2);
		/* 1.18 shows no name for the function whose name is the table's first. */
		if ((at >= n || (*func && strcmp(frames[at].func, func) != 0) ||
		     strcmp(frames[at].file, file) != 0 || frames[at].line != row ||
		     frames[at].entry != entry) &&
		    bad++ < 10)
			print_message("%s: %llx frame %u is %s %s:%ld, here %s %s:%d\n", release,
				      (unsigned long long)pc, at, func, file, row,
				      at < n ? frames[at].func : "-",
				      at < n ? frames[at].file : "-", at < n ? frames[at].line : 0);
		at++;
	}
	assert_int_equal(pclose(out), 0);
	assert_int_equal(bad, 0);
	assert_true(pcs > 3000);
	assert_true(inlined > 300);
	close(f.elf.fd);
	elf_close(&f.elf);
	arena_free(&a);
	*ret_pcs += pcs;
	*ret_inlined += inlined;
}

static void test_as_the_runtime(void **state)
{
	static const char *const RELEASES[] = {"1.18.10", "1.19.13", "1.20.14", "1.21.13",
					       "1.22.12", "1.23.12", "1.24.13", "1.25.10",
					       "1.26.8",  "1.27.4"};
	uint32_t pcs = 0, inlined = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(RELEASES); i++)
		compare(RELEASES[i], &pcs, &inlined);
	print_message("%u pcs, %u of them inlined\n", pcs, inlined);
	if (pcs == 0)
		skip();
}

/* A second look-up comes from what is kept: it reads nothing, and says the same. */
static void test_kept(void **state)
{
	char path[512];
	struct arena a;
	struct file f = {0};
	struct pcln *p;
	struct pcln_frame one[PCLN_FRAMES], two[PCLN_FRAMES], outer;
	uint64_t reads;
	uint32_t found = 0;

	(void)state;
	if (!go_program("frames", "1.26.8", path))
		skip();
	arena_init(&a, 0);
	open_file(path, &f, &a, &p);
	for (taddr pc = 0x401000; pc < 0x480000; pc += 61) {
		uint32_t n = pcln_frames(p, pc, one, PCLN_FRAMES);

		reads = f.reads;
		assert_int_equal(pcln_frames(p, pc, two, PCLN_FRAMES), n);
		assert_int_equal(f.reads, reads);
		for (uint32_t i = 0; i < n; i++) {
			assert_ptr_equal(one[i].func, two[i].func);
			assert_ptr_equal(one[i].file, two[i].file);
			assert_int_equal(one[i].line, two[i].line);
			assert_int_equal(one[i].entry, two[i].entry);
			assert_int_equal(one[i].pc, two[i].pc);
		}
		assert_int_equal(pcln_frames(p, pc, two, 1), MIN(n, 1));
		assert_int_equal(pcln_func(p, pc, &outer), n > 0);
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(one[i].inlined, i + 1 < n);
		if (n > 0) {
			assert_ptr_equal(outer.func, one[n - 1].func);
			assert_false(outer.inlined);
			found++;
		}
	}
	assert_true(found > 5000);
	assert_int_equal(pcln_frames(p, 0, one, PCLN_FRAMES), 0);
	assert_int_equal(pcln_frames(p, UINT64_MAX, one, PCLN_FRAMES), 0);
	close(f.elf.fd);
	elf_close(&f.elf);
	arena_free(&a);
}

/* -- a table made here --------------------------------------------------------------------------
 */

/*
 * Two functions at TEXT: "main.A" (0x40 bytes) with "main.T[int].M[string]" inlined in its bytes
 * 0x10 to 0x20, which in turn has "main.G[go.shape.[]int]" inlined in 0x18 to 0x20; and "main.B".
 */
#define BASE  0x500000U
#define TEXT  0x401000U
#define NAMES 0x100U
#define FILES 0x200U
#define CUS   0x280U
#define PCTAB 0x300U
#define FUNCS 0x400U
#define TREE  0x600U
#define SIZE  0x700U

struct made {
	uint8_t b[SIZE];
	size_t n; /* readable */
	struct pcln_module m;
};

static size_t made_read(void *ctx, taddr at, void *dst, size_t n)
{
	struct made *t = ctx;

	if (at < BASE || at - BASE >= t->n)
		return 0;
	n = MIN(n, t->n - (at - BASE));
	memcpy(dst, t->b + (at - BASE), n);
	return n;
}

static void put32(uint8_t *at, uint32_t v)
{
	memcpy(at, &v, sizeof(v));
}

static uint32_t put_text(uint8_t *table, uint32_t *at, const char *s)
{
	uint32_t off = *at;

	strcpy((char *)table + off, s);
	*at += (uint32_t)strlen(s) + 1;
	return off;
}

/* A pc-value table of pairs (value, pcs it holds for), ended by a 0. */
static uint32_t put_values(uint8_t *table, uint32_t *at, const int pairs[][2], size_t n)
{
	uint32_t off = *at;
	int value = -1;

	for (size_t i = 0; i < n; i++) {
		int d = pairs[i][0] - value;

		table[(*at)++] = (uint8_t)(d < 0 ? -d * 2 - 1 : d * 2);
		table[(*at)++] = (uint8_t)pairs[i][1];
		value = pairs[i][0];
	}
	table[(*at)++] = 0;
	return off;
}

static void put_func(uint8_t *f, bool old, uint32_t entry, uint32_t name, uint32_t pcfile,
		     uint32_t pcln, uint32_t inl_index, uint32_t tree)
{
	uint32_t size = old ? 40 : 44;

	put32(f, entry);
	put32(f + 4, name);
	put32(f + 20, pcfile);
	put32(f + 24, pcln);
	put32(f + 28, 3); /* npcdata */
	put32(f + 32, 1); /* cuOffset */
	if (!old)
		put32(f + 36, 7); /* startLine */
	f[size - 1] = 4;	  /* nfuncdata */
	put32(f + size + 8, inl_index);
	for (uint32_t i = 0; i < 4; i++)
		put32(f + size + 12 + 4 * i, i == 3 ? tree : UINT32_MAX);
}

static void put_inlined(uint8_t *t, bool old, uint32_t name, uint32_t parent_pc,
			uint32_t start_line)
{
	if (old) {
		put32(t + 12, name);
		put32(t + 16, parent_pc);
	} else {
		put32(t + 4, name);
		put32(t + 8, parent_pc);
		put32(t + 12, start_line);
	}
}

static void make(struct made *t, bool old)
{
	uint32_t names = 1, files = 1, values = 1, a, b, method, generic, pcfile, pcln, index;
	uint8_t *funcs = t->b + FUNCS;

	memset(t, 0, sizeof(*t));
	t->n = SIZE;
	put32(t->b, old ? 0xfffffff0U : 0xfffffff1U);
	t->b[6] = 1;
	t->b[7] = 8;
	a = put_text(t->b + NAMES, &names, "main.A");
	b = put_text(t->b + NAMES, &names, "main.B");
	method = put_text(t->b + NAMES, &names, "main.T[int].M[string]");
	generic = put_text(t->b + NAMES, &names, "main.G[go.shape.[]int].func1");
	put32(t->b + CUS + 4, put_text(t->b + FILES, &files, "a.go"));
	put32(t->b + CUS + 8, put_text(t->b + FILES, &files, "b.go"));
	put32(t->b + CUS + 12, UINT32_MAX);
	pcfile = put_values(t->b + PCTAB, &values, (const int[][2]){{0, 0x18}, {1, 0x20}, {2, 8}},
			    3);
	pcln = put_values(t->b + PCTAB, &values,
			  (const int[][2]){{10, 0x10}, {20, 8}, {30, 8}, {11, 0x20}}, 4);
	index = put_values(t->b + PCTAB, &values,
			   (const int[][2]){{-1, 0x10}, {0, 8}, {1, 8}, {-1, 0x20}}, 4);
	put32(funcs, 0); /* ftab: entry and header, twice, and the end */
	put32(funcs + 4, 0x40);
	put32(funcs + 8, 0x40);
	put32(funcs + 12, 0xc0);
	put32(funcs + 16, 0x80);
	put_func(funcs + 0x40, old, 0, a, pcfile, pcln, index, 0);
	put_func(funcs + 0xc0, old, 0x40, b, 0, pcln, 0, UINT32_MAX);
	put_inlined(t->b + TREE, old, method, 0x8, 40);
	put_inlined(t->b + TREE + (old ? 20 : 16), old, generic, 0x10, 50);
	t->m = (struct pcln_module){.pcheader = BASE,
				    .text = TEXT,
				    .etext = TEXT + 0x80,
				    .minpc = TEXT,
				    .maxpc = TEXT + 0x80,
				    .gofunc = BASE + TREE,
				    .funcnametab = BASE + NAMES,
				    .funcnametab_len = names,
				    .filetab = BASE + FILES,
				    .filetab_len = files,
				    .cutab = BASE + CUS,
				    .cutab_len = 4,
				    .pctab = BASE + PCTAB,
				    .pctab_len = values,
				    .pclntable = BASE + FUNCS,
				    .pclntable_len = TREE - FUNCS,
				    .ftab = BASE + FUNCS,
				    .ftab_len = 3};
}

static void test_made(void **state)
{
	(void)state;
	for (int old = 0; old <= 1; old++) {
		struct made t;
		struct arena a;
		struct pcln *p;
		struct pcln_frame f[PCLN_FRAMES];
		struct err err = {0};

		make(&t, old);
		arena_init(&a, 0);
		assert_true(pcln_open(&t.m, made_read, &t, &a, &p, &err));
		assert_int_equal(pcln_frames(p, TEXT - 1, f, PCLN_FRAMES), 0);
		assert_int_equal(pcln_frames(p, TEXT + 0x80, f, PCLN_FRAMES), 0);

		assert_int_equal(pcln_frames(p, TEXT + 0xf, f, PCLN_FRAMES), 1);
		assert_string_equal(f[0].func, "main.A");
		assert_string_equal(f[0].file, "a.go");
		assert_int_equal(f[0].line, 10);
		assert_int_equal(f[0].start_line, old ? 0 : 7);
		assert_int_equal(f[0].entry, TEXT);

		assert_int_equal(pcln_frames(p, TEXT + 0x1f, f, PCLN_FRAMES), 3);
		assert_string_equal(f[0].func, "main.G[...].func1");
		assert_string_equal(f[0].file, "b.go");
		assert_int_equal(f[0].line, 30);
		assert_int_equal(f[0].start_line, old ? 0 : 50);
		assert_int_equal(f[0].pc, TEXT + 0x1f);
		assert_true(f[0].inlined);
		assert_string_equal(f[1].func, "main.T[...].M[...]");
		assert_string_equal(f[1].file, "a.go");
		assert_int_equal(f[1].line, 20);
		assert_int_equal(f[1].pc, TEXT + 0x10);
		assert_string_equal(f[2].func, "main.A");
		assert_int_equal(f[2].line, 10);
		assert_int_equal(f[2].pc, TEXT + 8);
		assert_false(f[2].inlined);

		/* No file table: the function is known all the same. */
		assert_true(pcln_func(p, TEXT + 0x40, f));
		assert_string_equal(f[0].func, "main.B");
		assert_string_equal(f[0].file, "?");
		assert_int_equal(f[0].entry, TEXT + 0x40);
		arena_free(&a);

		t.m.one_bracket = true;
		arena_init(&a, 0);
		assert_true(pcln_open(&t.m, made_read, &t, &a, &p, &err));
		assert_int_equal(pcln_frames(p, TEXT + 0x1f, f, PCLN_FRAMES), 3);
		assert_string_equal(f[0].func, "main.G[...].func1");
		assert_string_equal(f[1].func, "main.T[...]");
		arena_free(&a);
	}
}

static void test_header(void **state)
{
	struct made t;
	struct arena a;
	struct pcln *p;
	struct err err = {0};

	(void)state;
	arena_init(&a, 0);
	make(&t, false);
	t.b[0] = 0xf2;
	assert_false(pcln_open(&t.m, made_read, &t, &a, &p, &err));
	assert_int_equal(err.kind, ERR_FORMAT);
	make(&t, false);
	t.b[7] = 4;
	assert_false(pcln_open(&t.m, made_read, &t, &a, &p, &err));
	make(&t, false);
	t.n = 4;
	assert_false(pcln_open(&t.m, made_read, &t, &a, &p, &err));
	assert_int_equal(err.kind, ERR_FAULT);
	assert_int_equal(err.addr, BASE);
	make(&t, false);
	t.m.filetab_len = UINT64_MAX;
	assert_false(pcln_open(&t.m, made_read, &t, &a, &p, &err));
	t.m.filetab_len = 0;
	t.m.ftab_len = 0;
	assert_false(pcln_open(&t.m, made_read, &t, &a, &p, NULL));
	arena_free(&a);
}

/* Every byte damaged in several ways, and every length cut: no crash, no endless loop, frames
 * within bounds. */
static void test_damaged(void **state)
{
	static const uint8_t WITH[] = {0, 1, 0x7f, 0x80, 0xff};

	(void)state;
	for (uint32_t run = 0; run < 2 * SIZE * (ARRAY_LEN(WITH) + 1); run++) {
		struct made t;
		struct arena a;
		struct pcln *p;
		struct pcln_frame f[PCLN_FRAMES];
		uint32_t at = run / 2 % SIZE, how = run / 2 / SIZE;

		make(&t, run % 2);
		if (how < ARRAY_LEN(WITH))
			t.b[at] = WITH[how];
		else
			t.n = at;
		arena_init(&a, 0);
		if (pcln_open(&t.m, made_read, &t, &a, &p, NULL)) {
			for (taddr pc = TEXT; pc < TEXT + 0x80; pc += 7) {
				uint32_t n = pcln_frames(p, pc, f, PCLN_FRAMES);

				assert_true(n <= PCLN_FRAMES);
				for (uint32_t i = 0; i < n; i++)
					assert_true(strlen(f[i].func) < 4096 &&
						    strlen(f[i].file) < 4096);
			}
		}
		arena_free(&a);
	}
}

/* Inlined calls that name each other as parents end at PCLN_FRAMES, with the function itself last.
 */
static void test_endless_tree(void **state)
{
	struct made t;
	struct arena a;
	struct pcln *p;
	struct pcln_frame f[PCLN_FRAMES];

	(void)state;
	make(&t, false);
	put32(t.b + TREE + 16 + 8, 0x18);
	arena_init(&a, 0);
	assert_true(pcln_open(&t.m, made_read, &t, &a, &p, NULL));
	assert_int_equal(pcln_frames(p, TEXT + 0x1f, f, PCLN_FRAMES), PCLN_FRAMES);
	assert_string_equal(f[PCLN_FRAMES - 1].func, "main.A");
	assert_false(f[PCLN_FRAMES - 1].inlined);
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made),	cmocka_unit_test(test_header),
		cmocka_unit_test(test_damaged), cmocka_unit_test(test_endless_tree),
		cmocka_unit_test(test_kept),	cmocka_unit_test(test_as_the_runtime),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
