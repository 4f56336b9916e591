/* The pclntab without a symbol that leads to it: its header's shape, functions by name. */
#ifndef IMAGE_PCLNFIND_H
#define IMAGE_PCLNFIND_H

#include "image/pclntab.h"

/** debug/gosym's pcHeader since Go 1.18; offsets are from the header. */
struct pcln_header {
	uint32_t magic;
	uint64_t n_funcs, n_files;
	uint64_t funcnames, cus, files, pcs, funcs;
};
#define PCLN_HEADER_SIZE 72

/** Whether n bytes begin with a header whose numbers hold together. The magic is not looked at:
 * obfuscators change it. */
bool pcln_header_parse(const void *p, size_t n, struct pcln_header *ret);
/** Whether the magic is one of Go 1.18 or later's. */
bool pcln_magic_known(uint32_t magic);

/** A function by its name in the pclntab. */
struct pcln_wanted {
	const char *name;
	taddr entry, end; /* 0: there is none of this name */
};
/**
 * Looks `n` names up in a pclntab's tables: one pass over the names, one over the functions.
 * Errors: ERR_FAULT, ERR_LIMIT. What is not found keeps entry 0.
 */
bool pcln_lookup(const struct pcln_module *m, pcln_read read, void *ctx, struct arena *scratch,
		 struct pcln_wanted *w, uint32_t n, struct err *err);

#endif
