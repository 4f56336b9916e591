/*
 * Captures: what a session read of a process, in a file that every view takes in its place. An ELF
 * core of the pages that were read, with our own notes, compressed with zstd (docs/capture.md
 * has the format).
 */
#ifndef TARGET_CAPTURE_H
#define TARGET_CAPTURE_H

#include "base/str.h"
#include "target/target.h"

/**
 * A target that passes everything on to `inner`, which stays the caller's, and keeps what is read,
 * byte for byte, the last answer for each. It reads through one thread. NULL: no memory.
 */
struct target *record_open(struct target *inner);

/** What a capture came to, bytes. */
struct capture_size {
	bytes memory; /* bytes of the process that are in it */
	bytes pages;  /* that these lie on, whole */
	bytes file;   /* compressed */
};

/**
 * Writes what a recording target has read, the facts and pages of `os`, and `session` (n bytes of
 * text) to an open file. Errors: ERR_LIMIT (more than CAPTURE_MAX read), ERR_OS.
 */
bool capture_write(struct target *recording, const struct os_facts *os, const char *session,
		   size_t n, int fd, struct capture_size *ret, struct err *err);

#define CAPTURE_MAX ((bytes)2 << 30)

#endif
