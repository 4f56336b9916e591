/*
 * Internal to target/: the bytes of an ELF core, and what its headers say. Parsing is a pure
 * function of the bytes, so that a fuzzer can feed it from memory.
 */
#ifndef TARGET_COREFILE_H
#define TARGET_COREFILE_H

#include "base/arena.h"

#define CORE_LOADS_MAX 1000000U		   /* as MAPS_MAX */
#define CORE_NOTES_MAX 2000000U		   /* notes that are looked at: some five a thread */
#define CORE_NOTE_MAX  ((size_t)256 << 20) /* bytes of one note that are taken into memory */
#define CORE_FILE_MAX  ((uint64_t)1 << 46)

#define COREFILE_BLOCK	(1U << 16)
#define COREFILE_BLOCKS 64U

/**
 * A file read by pread through a small cache: a file that is cut meanwhile gives a short read and
 * no signal, and its size does not matter.
 */
struct corefile {
	int fd; /* -1: mem; owned */
	const uint8_t *mem;
	uint64_t size;
	struct corefile_block {
		uint64_t at; /* UINT64_MAX: empty */
		uint32_t n;
		uint8_t *data;
	} blocks[COREFILE_BLOCKS];
	struct arena *arena; /* of the blocks */
};

/** Takes fd over. Errors: ERR_OS, ERR_FORMAT (not a regular file). */
bool corefile_open(struct corefile *f, int fd, struct arena *a, struct err *err);
/** Reads out of memory instead. */
void corefile_mem(struct corefile *f, const void *mem, size_t n, struct arena *a);
void corefile_close(struct corefile *f);
/** Short at the end of the file. */
size_t corefile_read(struct corefile *f, uint64_t at, void *dst, size_t n);

/** A PT_LOAD; loads are ascending and do not overlap. */
struct core_load {
	taddr start, end;
	uint64_t offset;
	bytes file_size; /* the bytes from `start` that the core has; the rest it left out */
	uint32_t flags;	 /* PF_R, PF_W, PF_X */
};

struct core_note {
	uint32_t type, n; /* n: bytes of the descriptor */
	char owner[8];
	uint64_t at; /* of the descriptor in the file */
};

struct core_headers {
	struct core_load *loads;
	uint32_t n_loads;
	struct core_note *notes;
	uint32_t n_notes;
	bytes missing; /* that loads should have and that the file is too short for */
	bool notes_cut;
};

/** Whether these first bytes (20 at least) of a file are an ELF core's. */
bool core_magic(const void *head, size_t n);
/** Errors: ERR_FORMAT (no ELF core of amd64), ERR_LIMIT. */
bool core_parse(struct corefile *f, struct arena *a, struct core_headers *ret, struct err *err);
/** A note's bytes in the arena, with a NUL behind them. */
bool core_note_read(struct corefile *f, const struct core_note *n, struct arena *a, char **ret,
		    struct err *err);

/** A row of NT_FILE. */
struct core_mapped {
	taddr start, end;
	uint64_t offset; /* bytes */
	const char *path;
};
/** Rows of an NT_FILE note of n bytes, ascending; strings lie in the note, whose text[n] is NUL.
 * Never fails: what is not well-formed ends it. */
uint32_t core_mapped_parse(const char *text, size_t n, struct arena *a, struct core_mapped **ret);

#endif
