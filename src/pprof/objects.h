/* Binaries as reports on instructions need them; front/ gives it, so that nothing here does I/O. */
#ifndef PPROF_OBJECTS_H
#define PPROF_OBJECTS_H

#include "base/arena.h"

/** An instruction as a disassembler printed it. Texts are never NULL. */
struct pprof_inst {
	uint64_t addr; /* as linked */
	const char *text, *function, *file;
	int64_t line; /* 0: not known */
};

struct pprof_insts {
	VEC(struct pprof_inst) v;
};

struct pprof_frame {
	const char *function, *file; /* "": not known; the linker's names */
	int64_t line;
};

struct pprof_symbol {
	uint64_t addr; /* as linked */
	const char *name;
};

#define PPROF_FRAMES 64U

/** An open binary is a void pointer that lives as long as this. */
struct pprof_objects {
	void *ctx;
	/** The file of a mapping; NULL: *err says why. */
	void *(*open)(void *ctx, const char *file, uint64_t start, uint64_t limit, uint64_t offset,
		      struct err *err);
	/** The linked address of one in the mapping; false: it is none. */
	bool (*linked)(void *object, uint64_t addr, uint64_t *ret);
	/** Frames at a linked address, innermost first; how many. */
	uint32_t (*frames)(void *object, uint64_t linked,
			   struct pprof_frame ret[static PPROF_FRAMES]);
	/** All symbols by address, then name; how many. */
	uint32_t (*symbols)(void *object, struct arena *a, struct pprof_symbol **ret);
	/** The short names of one that is mangled, at most 3; how many. */
	uint32_t (*demangle)(void *ctx, const char *name, struct arena *a, const char *ret[3]);
	/** The instructions at linked addresses [begin, end). Errors: ERR_OS, ERR_FORMAT. */
	bool (*disassemble)(void *ctx, const char *file, uint64_t begin, uint64_t end, bool intel,
			    struct arena *a, struct pprof_insts *ret, struct err *err);
};

#endif
