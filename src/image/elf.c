/*
 * ELF files by libelf: what the program headers, section headers, notes and symbol tables say.
 * Files come from outside, so every count has a limit, and a missing section table (packed or
 * "sstrip"ped files) is normal. Reads by pread and not by mmap: a file that is cut while it is
 * read then gives an error and no SIGBUS. Knows nothing of Go but the name of its build id note.
 */
#include "image/elf.h"

#include <assert.h>
#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <string.h>

#define MAX_SECTIONS	  20000
#define MAX_SEGMENTS	  1024
#define MAX_NOTES	  ((bytes)1 << 20) /* of all note segments and sections of a file */
#define MAX_NAME	  512		   /* of a symbol or section that is looked for */
#define MAX_NAMES	  4096 /* wanted by one elf_symbols call, alternatives counted */
#define NOTE_GNU_BUILD_ID 3
#define NOTE_GO_BUILD_ID  4

/* Takes the build ids out of a run of notes. */
static void notes_read(struct elf_image *e, struct arena *a, uint64_t offset, uint64_t size,
		       uint64_t align)
{
	Elf_Data *d;
	size_t at = 0, name_at, desc_at;
	GElf_Nhdr h;

	if (size == 0 || size > MAX_NOTES - MIN(e->notes_read, MAX_NOTES))
		return;
	e->notes_read += size;
	d = elf_getdata_rawchunk(e->impl, (int64_t)offset, size,
				 align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
	while (d && (at = gelf_getnote(d, at, &h, &name_at, &desc_at)) > 0) {
		const char *name = (const char *)d->d_buf + name_at;
		const unsigned char *desc = (const unsigned char *)d->d_buf + desc_at;

		if (h.n_type == NOTE_GNU_BUILD_ID && h.n_namesz == 4 &&
		    memcmp(name, "GNU", 4) == 0) {
			size_t n = MIN(h.n_descsz, (sizeof(e->build_id) - 1) / 2);

			for (size_t i = 0; i < n; i++)
				snprintf(e->build_id + 2 * i, 3, "%02x", desc[i]);
		} else if (h.n_type == NOTE_GO_BUILD_ID && h.n_namesz == 4 &&
			   memcmp(name, "Go\0", 4) == 0) {
			e->go_build_id =
				arena_strndup(a, (const char *)desc, MIN(h.n_descsz, 1024));
		}
	}
}

static void sections_read(struct elf_image *e, struct arena *a)
{
	size_t n, names;
	Elf_Scn *scn = NULL;
	GElf_Shdr h;

	if (elf_getshdrnum(e->impl, &n) != 0 || n == 0 || n > MAX_SECTIONS)
		return;
	if (elf_getshdrstrndx(e->impl, &names) != 0)
		return;
	e->sections = ARENA_ARRAY(a, struct elf_section, n);
	while (e->n_sections < n && (scn = elf_nextscn(e->impl, scn))) {
		struct elf_section *s = &e->sections[e->n_sections];
		const char *name;

		if (!gelf_getshdr(scn, &h))
			continue;
		name = elf_strptr(e->impl, names, h.sh_name);
		s->name = name ? arena_strndup(a, name, strnlen(name, MAX_NAME)) : "";
		s->addr = h.sh_addr;
		s->offset = h.sh_offset;
		s->size = h.sh_size;
		s->writable = h.sh_flags & SHF_WRITE;
		s->executable = h.sh_flags & SHF_EXECINSTR;
		s->allocated = h.sh_flags & SHF_ALLOC;
		s->nobits = h.sh_type == SHT_NOBITS;
		e->n_sections++;
		if (h.sh_type == SHT_SYMTAB)
			e->has_symtab = true;
		if (h.sh_size > 0 && !s->nobits &&
		    (strcmp(s->name, ".debug_info") == 0 || strcmp(s->name, ".zdebug_info") == 0))
			e->has_dwarf = true;
		if (h.sh_type == SHT_NOTE)
			notes_read(e, a, h.sh_offset, h.sh_size, h.sh_addralign);
	}
}

static void segments_read(struct elf_image *e, struct arena *a)
{
	size_t n;
	GElf_Phdr h;

	if (elf_getphdrnum(e->impl, &n) != 0 || n == 0 || n > MAX_SEGMENTS)
		return;
	e->segments = ARENA_ARRAY(a, struct elf_segment, n);
	for (size_t i = 0; i < n; i++) {
		struct elf_segment *s = &e->segments[e->n_segments];

		if (!gelf_getphdr(e->impl, (int)i, &h))
			continue;
		if (h.p_type == PT_INTERP)
			e->has_interp = true;
		if (h.p_type == PT_NOTE)
			notes_read(e, a, h.p_offset, h.p_filesz, h.p_align);
		if (h.p_type != PT_LOAD)
			continue;
		s->addr = h.p_vaddr;
		s->offset = h.p_offset;
		s->file_size = h.p_filesz;
		s->mem_size = h.p_memsz;
		s->writable = h.p_flags & PF_W;
		s->executable = h.p_flags & PF_X;
		e->n_segments++;
	}
}

bool elf_open(int fd, struct arena *a, struct elf_image *ret, struct err *err)
{
	struct elf_image e = {.fd = fd, .go_build_id = ""};
	GElf_Ehdr h;

	if (elf_version(EV_CURRENT) == EV_NONE)
		return err_set(err, ERR_FORMAT, "libelf: %s", elf_errmsg(-1));
	e.impl = elf_begin(fd, ELF_C_READ, NULL);
	if (!e.impl)
		return err_set(err, ERR_FORMAT, "no ELF file: %s", elf_errmsg(-1));
	if (elf_kind(e.impl) != ELF_K_ELF || !gelf_getehdr(e.impl, &h)) {
		elf_end(e.impl);
		return err_set(err, ERR_FORMAT, "no ELF file");
	}
	e.machine = h.e_machine;
	e.little64 = h.e_ident[EI_CLASS] == ELFCLASS64 && h.e_ident[EI_DATA] == ELFDATA2LSB;
	e.dynamic_type = h.e_type == ET_DYN;
	e.phdr_offset = h.e_phoff;
	segments_read(&e, a);
	sections_read(&e, a);
	*ret = e;
	return true;
}

void elf_close(struct elf_image *e)
{
	if (e->impl)
		elf_end(e->impl);
	e->impl = NULL;
}

const struct elf_section *elf_section(const struct elf_image *e, const char *name)
{
	for (uint32_t i = 0; i < e->n_sections; i++)
		if (strcmp(e->sections[i].name, name) == 0)
			return &e->sections[i];
	return NULL;
}

/* One wanted spelling of a symbol: a slot of an open-addressed table, empty while name is NULL. */
struct wanted {
	const char *name; /* not terminated */
	size_t len;
	uint32_t index; /* of the caller's names */
	uint32_t rank;	/* 1 for the first alternative; smaller wins */
};

/* Of the length and the last bytes: a program has tens of thousands of long names, and few are
 * wanted. */
static uint32_t name_hash(const char *s, size_t n)
{
	uint64_t tail = 0;
	size_t k = MIN(n, sizeof(tail));

	memcpy(&tail, s + n - k, k);
	return (uint32_t)((tail ^ n) * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

/* The symbol section to search: .symtab, or .dynsym when the file was stripped. */
static Elf_Scn *symbol_section(Elf *elf, GElf_Shdr *ret)
{
	Elf_Scn *scn = NULL, *dynamic = NULL;
	GElf_Shdr h;

	while ((scn = elf_nextscn(elf, scn))) {
		if (!gelf_getshdr(scn, &h))
			continue;
		if (h.sh_type == SHT_SYMTAB) {
			*ret = h;
			return scn;
		}
		if (h.sh_type == SHT_DYNSYM && !dynamic) {
			*ret = h;
			dynamic = scn;
		}
	}
	return dynamic;
}

void elf_symbols(const struct elf_image *e, const char *const *names, uint32_t n, taddr *value,
		 uint64_t *size)
{
	struct arena tmp;
	struct wanted *table;
	uint32_t *rank; /* of what value[i] was taken from; 0: none yet */
	uint32_t n_names = 0, slots = 16;
	GElf_Shdr h;
	Elf_Scn *scn;
	Elf_Data *d, *text;

	for (uint32_t i = 0; i < n; i++) {
		value[i] = 0;
		if (size)
			size[i] = 0;
		n_names++;
		for (const char *s = names[i]; *s; s++)
			n_names += *s == '|';
	}
	assert(n_names <= MAX_NAMES);
	scn = symbol_section(e->impl, &h);
	d = scn ? elf_getdata(scn, NULL) : NULL;
	text = scn ? elf_getdata(elf_getscn(e->impl, h.sh_link), NULL) : NULL;
	if (!d || !text || !text->d_buf || h.sh_entsize == 0)
		return;

	arena_init(&tmp, 0);
	while (slots < 2 * n_names)
		slots *= 2;
	table = ARENA_ARRAY(&tmp, struct wanted, slots);
	rank = ARENA_ARRAY(&tmp, uint32_t, n);
	for (uint32_t i = 0; i < n; i++) {
		const char *s = names[i];

		for (uint32_t r = 1;; r++) {
			size_t len = strcspn(s, "|");
			uint32_t k = name_hash(s, len) & (slots - 1);

			while (table[k].name)
				k = (k + 1) & (slots - 1);
			table[k] = (struct wanted){s, len, i, r};
			if (!s[len])
				break;
			s += len + 1;
		}
	}
	for (size_t i = 0; i < h.sh_size / h.sh_entsize; i++) {
		GElf_Sym sym;
		const char *name;
		size_t len;

		if (!gelf_getsym(d, (int)i, &sym))
			break;
		if (sym.st_shndx == SHN_UNDEF || sym.st_value == 0)
			continue;
		/* Not elf_strptr, nor strlen: a hostile table is one long name for all symbols. */
		if (sym.st_name >= text->d_size)
			continue;
		name = (const char *)text->d_buf + sym.st_name;
		len = strnlen(name, MIN(text->d_size - sym.st_name, MAX_NAME));
		if (len == text->d_size - sym.st_name || len == MAX_NAME)
			continue;
		for (uint32_t k = name_hash(name, len) & (slots - 1); table[k].name;
		     k = (k + 1) & (slots - 1)) {
			const struct wanted *w = &table[k];

			if (w->len != len || memcmp(w->name, name, len) != 0)
				continue;
			if (rank[w->index] != 0 && rank[w->index] <= w->rank)
				continue;
			rank[w->index] = w->rank;
			value[w->index] = sym.st_value;
			if (size)
				size[w->index] = sym.st_size;
		}
	}
	arena_free(&tmp);
}
