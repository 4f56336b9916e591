/*
 * Functions, files and lines at addresses of an ELF file, out of its DWARF and, where that says
 * nothing, its symbol table: what addr2line -aif answers, without a process for it.
 */
#ifndef IMAGE_SYMBOLIZE_H
#define IMAGE_SYMBOLIZE_H

#include "base/arena.h"

struct symbolizer;

/** Texts live as long as the symbolizer; "" where nothing is known. Names are the linker's. */
struct symbol_frame {
	const char *function, *file;
	int line, column;
	int start_line; /* of the function; 0 when it is not known */
};

#define SYMBOL_FRAMES 64U

/**
 * Opens a file; only_names: no DWARF, names out of the symbol table only. Errors: ERR_OS,
 * ERR_FORMAT (no ELF file).
 */
bool symbolizer_open(const char *path, bool only_names, struct symbolizer **ret, struct err *err);
void symbolizer_close(struct symbolizer *s);
/** The GNU build id in hex, "" for none. */
const char *symbolizer_build_id(const struct symbolizer *s);
/**
 * What is to be taken from addresses in a mapping of the file to get those that the file is linked
 * to; `addr` is one of them. False: the mapping is of no segment of this file.
 */
bool symbolizer_base(const struct symbolizer *s, uint64_t start, uint64_t limit, uint64_t offset,
		     uint64_t addr, uint64_t *ret);
/** Frames at a linked address, innermost first; returns how many, 0 when nothing is known. */
uint32_t symbolizer_frames(struct symbolizer *s, uint64_t addr,
			   struct symbol_frame ret[static SYMBOL_FRAMES]);

/** All named symbols but files and sections; fn is called in the order of their addresses. */
void symbolizer_symbols(const struct symbolizer *s,
			void (*fn)(void *ctx, uint64_t addr, const char *name), void *ctx);
uint32_t symbolizer_n_symbols(const struct symbolizer *s);
/** Reads n bytes of the file at a linked address. False: it has none there. */
bool symbolizer_read(const struct symbolizer *s, uint64_t addr, void *to, size_t n);

#endif
