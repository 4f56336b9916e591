/* Offsets of fields out of DWARF by libdw. Knows no Go release. */
#ifndef IMAGE_DWARF_H
#define IMAGE_DWARF_H

#include "base/arena.h"

struct dwarf_query {
	const char *type;  /* "runtime.mspan" or "var:runtime.debug" */
	const char *paths; /* "state.s.value|state", "" for the whole, "[1].x" for array elements */
	bool found;	   /* out */
	uint32_t off, width; /* out */
};

/** Answers all queries from the types of an ELF file's DWARF. ERR_FORMAT when there is none. */
bool dwarf_resolve(int elf_fd, struct dwarf_query *q, uint32_t n, struct err *err);

#endif
