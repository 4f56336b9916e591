/* An ELF core as a target: of the kernel, of gcore, or one that whyrss wrote (a capture). */
#ifndef TARGET_CORE_H
#define TARGET_CORE_H

#include "target/target.h"

struct core_options {
	const char *exe;  /* the program, where it is not to be found at the path in the core */
	const char *root; /* NULL: ""; where the files of mappings are looked for, in tests */
};

/** What a file is by its first bytes, decompressed if need be. */
enum core_kind { CORE_NONE, CORE_FOREIGN, CORE_CAPTURE };
/** Looks at an open file (its offset is not moved). Never fails: CORE_NONE. */
enum core_kind core_look(int fd);

/**
 * Opens a core. One compressed with zstd is unpacked into an unlinked file in $TMPDIR or /var/tmp,
 * at most CORE_UNPACK_MAX bytes of it that are not zero. Nothing of the core is read as a whole:
 * its size does not matter. Errors: ERR_FORMAT (no core, another architecture, truncated before its
 * mappings, --exe of another build), ERR_LIMIT, ERR_OS.
 */
bool core_open(const char *path, const struct core_options *o, struct target **ret,
	       struct err *err);

#define CORE_UNPACK_MAX ((uint64_t)64 << 30)

#endif
