/* Functions, files and lines from Go's pclntab, in the file behind the mapping or in memory. */
#ifndef IMAGE_PCLNTAB_H
#define IMAGE_PCLNTAB_H

#include "base/arena.h"

/** Reads n bytes of the target's (immutable) read-only data at an address; short on a fault. */
typedef size_t (*pcln_read)(void *ctx, taddr at, void *dst, size_t n);

/**
 * The tables of one module, as runtime.moduledata holds them. All are addresses in the target;
 * lengths are in elements, as in the slices.
 */
struct pcln_module {
	taddr pcheader, text, etext, minpc, maxpc, gofunc;
	taddr funcnametab, cutab, filetab, pctab, pclntable, ftab;
	uint64_t funcnametab_len, cutab_len, filetab_len, pctab_len, pclntable_len, ftab_len;
	/* Names as before 1.27: one "[...]" for all from the first '[' to the last ']'. */
	bool one_bracket;
};

/** It reads its tables in larger blocks, and no more than this at a time where a block's begin or
 * end cannot be read. */
#define PCLN_LITTLE 256U

struct pcln;

/** Texts hold unsafe bytes: they are the target's. */
struct pcln_frame {
	const char *func;   /* as runtime.Frame.Function has it: "main.f[...]" */
	const char *symbol; /* as the linker has it, type arguments in full */
	const char *file;   /* "?" when it is not known */
	int32_t line;	    /* 0 when it is not known */
	int32_t start_line; /* of the function; 0 when it is not known (1.18, 1.19) */
	taddr entry;	    /* of the physical function, also in inlined frames */
	taddr pc;	    /* what the line is of: the pc asked for, in outer frames the call */
	bool inlined;
	/* abi.FuncID of this release; FuncIDWrapper is 21 up to 1.21, 22 up to 1.24, then 23. */
	uint8_t func_id;
};

#define PCLN_FRAMES 32

/**
 * ctx and read must outlive it; strings that it returns live in the arena.
 * Errors: ERR_FAULT, ERR_FORMAT (no pclntab of Go 1.18 or later).
 */
bool pcln_open(const struct pcln_module *m, pcln_read read, void *ctx, struct arena *a,
	       struct pcln **ret, struct err *err);
/** The physical function that holds pc, with the line in it: false when no function does. */
bool pcln_func(struct pcln *p, taddr pc, struct pcln_frame *ret);
/**
 * All frames at pc, innermost first, inlined ones included; returns how many (0: no function).
 * Wrappers, which the runtime leaves out of its stacks when they call something, are among them.
 * The caller of a return address asks for the byte before it. Beyond PCLN_FRAMES, or `max`, the
 * frames in the middle, or the outer ones, are left out.
 */
uint32_t pcln_frames(struct pcln *p, taddr pc, struct pcln_frame *ret, uint32_t max);

/** What unwinding needs of the physical function at a pc, and where its arguments are described. */
struct pcln_unwind {
	taddr entry;
	int32_t sp_delta;	       /* bytes from the stack pointer to the return address */
	bool has_sp;		       /* false: no table of stack depths, as in foreign code */
	uint8_t flag;		       /* abi.FuncFlag: PCLN_TOP_FRAME … */
	taddr arg_info, arg_live_info; /* FUNCDATA_ArgInfo, FUNCDATA_ArgLiveInfo; 0: none */
	int32_t arg_live_index;	       /* PCDATA_ArgLiveIndex at the pc; -1: none */
};
enum { PCLN_TOP_FRAME = 1, PCLN_SP_WRITE = 2 };

/**
 * False when no Go function holds the pc. `at` is the pc to look arguments up at: the byte before a
 * return address.
 */
bool pcln_unwind(struct pcln *p, taddr pc, taddr at, struct pcln_unwind *ret);
/** Bytes of the module's read-only data, as FUNCDATA points to. */
bool pcln_copy(struct pcln *p, taddr at, void *dst, size_t n);

#endif
