/* Whole small files from /proc and /sys, with a limit; and writing all of something. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/arena.h"

/**
 * Reads a file that is at most `limit` bytes long into the arena, NUL-terminated.
 * dirfd may be AT_FDCWD. errno is kept in err->os; ERR_LIMIT when it is longer. ret_n may be NULL.
 */
bool file_read(int dirfd, const char *path, size_t limit, struct arena *a, char **ret,
	       size_t *ret_n, struct err *err);
/** The target of a symbolic link, whole, in the arena. */
bool file_link(int dirfd, const char *path, struct arena *a, char **ret, struct err *err);
/** Writes all n bytes, going on after signals and short writes. False: errno says why not. */
bool file_write(int fd, const void *v, size_t n);

#endif
