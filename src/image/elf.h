/* ELF files by libelf: headers, symbols, notes. Only the image layer includes libelf and libdw. */
#ifndef IMAGE_ELF_H
#define IMAGE_ELF_H

#include "base/arena.h"

struct elf_section {
	const char *name;
	taddr addr; /* as linked */
	uint64_t offset, size;
	bool writable, executable, allocated, nobits;
};

struct elf_segment {
	taddr addr; /* as linked */
	uint64_t offset, file_size, mem_size;
	bool writable, executable;
};

struct elf_image {
	int fd;		   /* not owned */
	uint16_t machine;  /* EM_X86_64 … */
	bool little64;	   /* ELF64, little-endian */
	bool dynamic_type; /* ET_DYN: addresses move by a load bias */
	bool has_symtab, has_dwarf, has_interp;
	struct elf_section *sections;
	uint32_t n_sections;
	struct elf_segment *segments; /* PT_LOAD only */
	uint32_t n_segments;
	uint64_t phdr_offset;
	char build_id[64 + 1];	 /* GNU build id in hex, "" if none */
	uint64_t notes_read;	 /* bytes of notes so far: bounded */
	const char *go_build_id; /* of .note.go.buildid, "" if none */
	void *impl;
};

/** Opens an ELF file; `fd` stays open for as long as the image is used. Bad bytes: ERR_FORMAT. */
bool elf_open(int fd, struct arena *a, struct elf_image *ret, struct err *err);
void elf_close(struct elf_image *e);

/**
 * Looks up `n` symbols in .symtab (else .dynsym) in one pass; a name may hold alternatives split by
 * '|', the first that exists is taken. value[i] is the linked address, 0: none. size may be NULL.
 */
void elf_symbols(const struct elf_image *e, const char *const *names, uint32_t n, taddr *value,
		 uint64_t *size);

const struct elf_section *elf_section(const struct elf_image *e, const char *name);

/** What the Go linker wrote into .go.buildinfo. */
struct go_buildinfo {
	bool found;
	const char *version;   /* "go1.26.8" or "go1.26.8 X:…" */
	const char *main_path; /* "path" line, "" if none */
	const char *mod;       /* whole module text, "" if none */
	bool cgo;	       /* build CGO_ENABLED=1 line */
	bool fips;
};
/** Reads build info from the file. Not a Go binary: ret->found false and true returned. */
bool go_buildinfo_read(const struct elf_image *e, struct arena *a, struct go_buildinfo *ret,
		       struct err *err);

#endif
