/* Machine code of amd64: which variables a function touches, and what it calls after it did. */
#ifndef IMAGE_CODE_H
#define IMAGE_CODE_H

#include "base/err.h"

/** How an instruction uses its memory operand; bits, so that a rule can allow several. */
enum code_use {
	CODE_ADDRESS = 1, /* lea */
	CODE_LOAD = 2,	  /* moves it to a register */
	CODE_STORE = 4,	  /* moves to it */
	CODE_COMPARE = 8, /* cmp, test */
	CODE_OTHER = 16,  /* arithmetic, exchanges */
	CODE_ANY = 31
};

/** An operand that is addressed relative to the instruction, as all variables of Go are. */
struct code_ref {
	taddr target;
	taddr call;   /* what the next direct call in the function calls; 0: there is none */
	uint8_t size; /* of the operand in bytes */
	uint8_t use;
};

/**
 * The instruction-relative operands of n bytes of code at an address, in order; returns how many,
 * at most `max`. Ends at the first byte that is no instruction. Any bytes are safe (capstone).
 */
uint32_t code_refs(const void *code, size_t n, taddr at, struct code_ref *ret, uint32_t max);

/**
 * Calls fn with each instruction as text, in AT&T's or Intel's syntax; a byte that is none is
 * ".byte 0x..". Errors: ERR_OS (capstone).
 */
bool code_print(const void *code, size_t n, taddr at, bool intel,
		void (*fn)(void *ctx, taddr at, const char *text), void *ctx, struct err *err);

#endif
