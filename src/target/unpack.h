/* Internal to target/: files compressed with zstd, as systemd-coredump keeps cores. */
#ifndef TARGET_UNPACK_H
#define TARGET_UNPACK_H

#include "base/err.h"

/** The first n bytes of a file, decompressed if it is zstd; returns how many came. The offset of fd
 * is not moved. */
size_t unpack_head(int fd, void *dst, size_t n);
/**
 * A file compressed with zstd is written into an unlinked one, zeros as holes, which then takes the
 * place of *fd; any other is left alone. Errors: ERR_LIMIT (more than `max` bytes that are not
 * zero, or than the folder has room for), ERR_FORMAT (bad data; xz and lz4 are named), ERR_OS.
 */
bool unpack(int *fd, uint64_t max, struct err *err);

#endif
