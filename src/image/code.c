/*
 * Disassembly by capstone, no further than rip-relative operands and direct calls need it. What a
 * variable is for is not known here: that is read out of the order and kind of these operands by
 * whoever knows the function.
 */
#include "image/code.h"

#include <capstone/capstone.h>
#include <stdio.h>
#include <string.h>

/*
 * The static library holds each of its architectures behind these two functions. Defining them here
 * keeps all but x86 out of the program: 8 MB, and 70,000 relocations that every start would pay
 * for.
 */
#define WITHOUT(arch)                                                                              \
	cs_err arch##_global_init(void *);                                                         \
	cs_err arch##_option(void *, cs_opt_type, size_t);                                         \
	cs_err arch##_global_init(void *h)                                                         \
	{                                                                                          \
		(void)h;                                                                           \
		return CS_ERR_ARCH;                                                                \
	}                                                                                          \
	cs_err arch##_option(void *h, cs_opt_type type, size_t value)                              \
	{                                                                                          \
		(void)h, (void)type, (void)value;                                                  \
		return CS_ERR_ARCH;                                                                \
	}
WITHOUT(AArch64)
WITHOUT(ARM)
WITHOUT(EVM)
WITHOUT(M680X)
WITHOUT(M68K)
WITHOUT(Mips)
WITHOUT(PPC)
WITHOUT(Sparc)
WITHOUT(SystemZ)
WITHOUT(TMS320C64x)
WITHOUT(XCore)

static uint8_t use_of(const cs_insn *in, uint8_t index)
{
	const char *m = in->mnemonic;

	if (in->id == X86_INS_LEA)
		return CODE_ADDRESS;
	if (strncmp(m, "cmp", 3) == 0 || strncmp(m, "test", 4) == 0)
		return CODE_COMPARE;
	if (strncmp(m, "mov", 3) == 0 || strncmp(m, "vmov", 4) == 0)
		return index == 0 ? CODE_STORE : CODE_LOAD;
	return CODE_OTHER;
}

uint32_t code_refs(const void *code, size_t n, taddr at, struct code_ref *ret, uint32_t max)
{
	uint32_t found = 0, waiting = 0; /* from `waiting` on, the next call is not known yet */
	const uint8_t *next = code;
	uint64_t pc = at;
	csh h;

	if (cs_open(CS_ARCH_X86, CS_MODE_64, &h) != CS_ERR_OK)
		return 0;
	cs_insn *in = NULL;
	if (cs_option(h, CS_OPT_DETAIL, CS_OPT_ON) == CS_ERR_OK)
		in = cs_malloc(h);
	while (in && found < max && cs_disasm_iter(h, &next, &n, &pc, in)) {
		const cs_x86 *x = &in->detail->x86;

		if (in->id == X86_INS_CALL && x->op_count == 1 &&
		    x->operands[0].type == X86_OP_IMM) {
			for (; waiting < found; waiting++)
				ret[waiting].call = (taddr)x->operands[0].imm;
			continue;
		}
		for (uint8_t i = 0; i < x->op_count && found < max; i++) {
			const cs_x86_op *o = &x->operands[i];

			if (o->type != X86_OP_MEM || o->mem.base != X86_REG_RIP)
				continue;
			ret[found++] = (struct code_ref){
				.target = pc + (uint64_t)o->mem.disp, /* pc is behind it already */
				.size = o->size,
				.use = use_of(in, i)};
		}
	}
	if (in)
		cs_free(in, 1);
	cs_close(&h);
	return found;
}

bool code_print(const void *code, size_t n, taddr at, bool intel,
		void (*fn)(void *ctx, taddr at, const char *text), void *ctx, struct err *err)
{
	const uint8_t *next = code;
	uint64_t pc = at;
	csh h;
	cs_insn *in;

	if (cs_open(CS_ARCH_X86, CS_MODE_64, &h) != CS_ERR_OK)
		return err_set(err, ERR_OS, "capstone does not start");
	if (!intel)
		cs_option(h, CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT);
	in = cs_malloc(h);
	while (in && n) {
		char text[sizeof(in->mnemonic) + sizeof(in->op_str) + 2];

		if (cs_disasm_iter(h, &next, &n, &pc, in)) {
			snprintf(text, sizeof(text), "%s%s%s", in->mnemonic,
				 *in->op_str ? "\t" : "", in->op_str);
			fn(ctx, in->address, text);
		} else {
			snprintf(text, sizeof(text), ".byte\t0x%02x", *next);
			fn(ctx, pc, text);
			next++, pc++, n--;
		}
	}
	if (in)
		cs_free(in, 1);
	cs_close(&h);
	return true;
}
