/*
 * What a fuzz target is: one file fuzz_NAME.c with LLVMFuzzerTestOneInput, its name in meson.build,
 * and its corpus in corpus/NAME/. `./dev fuzz` runs them under libFuzzer; every other build links
 * replay.c, which runs each file of the corpus once, as an ordinary test.
 *
 * A target has no other rule than that of the program: any bytes give an answer or a clear error,
 * in bounded time and memory (arenas that reach their limit end the program, which counts as a
 * crash).
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/unit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/** What a target may hold for one input. */
#define FUZZ_MEMORY (256 * MIB)

/** The bytes as an open file; the same file each time. */
static inline int fuzz_file(const uint8_t *data, size_t n)
{
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, n, 0) != (ssize_t)n)
		abort();
	return fd;
}

/** Fails the run when something that must hold does not. */
static inline void fuzz_must(bool holds)
{
	if (!holds)
		abort();
}

/** An error that a caller can show: a kind and a sentence. */
static inline void fuzz_failed(const struct err *err)
{
	fuzz_must(err->kind != ERR_NONE && err->msg[0] && memchr(err->msg, 0, sizeof(err->msg)));
}

#endif
