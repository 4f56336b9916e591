/*
 * The bytes of a file that may be compressed, piece by piece, so that the inflated file is never in
 * memory as a whole. A thread of its own inflates ahead of whoever takes the pieces.
 */
#ifndef PPROF_STREAM_H
#define PPROF_STREAM_H

#include "base/arena.h"

struct stream;

/** Whether the bytes begin as gzip or zstd does. */
bool stream_is_compressed(const uint8_t *d, size_t n);
/**
 * Opens gzip (all members), zstd (all frames) or plain bytes, which stay the caller's. Ends with
 * ERR_LIMIT after `limit` bytes.
 */
bool stream_open(const uint8_t *d, size_t n, uint64_t limit, struct stream **ret, struct err *err);
/**
 * The next piece, which stands until the next call; *ret_n 0 at the end. Errors: ERR_FORMAT,
 * ERR_LIMIT.
 */
bool stream_next(struct stream *s, const uint8_t **ret, size_t *ret_n, struct err *err);
void stream_close(struct stream *s);

#endif
