/*
 * Profiles from bytes and back. Every function takes what a stranger may have sent: it ends with
 * one sentence, and holds no more memory than its arena's limit allows.
 */
#ifndef PPROF_CODEC_H
#define PPROF_CODEC_H

#include "base/str.h"
#include "pprof/profile.h"
#include "pprof/stream.h"

/** Bytes that reading one profile may hold, inflated file included, unless --max-memory says. */
#define PPROF_MEMORY_DEFAULT ((bytes)4 << 30)

/**
 * A profile in any format: profile.proto or one of the legacy formats, as it is or in gzip or
 * zstd. `mem` bounds all memory that it takes on its way. Checked as google/pprof's CheckValid
 * does: every index of *ret is in range, every sample has a value for each type.
 * Errors: ERR_FORMAT, ERR_LIMIT.
 */
bool pprof_parse(const uint8_t *d, size_t n, struct arena *mem, struct pprof *ret, struct err *err);

/** What failed: bytes that are no profile.proto may still be a legacy profile. */
enum pprof_verdict { PPROF_OK, PPROF_NOT_PROTO, PPROF_BAD };
/** Decodes one profile.proto message. */
enum pprof_verdict pprof_decode(struct stream *s, struct arena *mem, struct pprof *ret,
				struct err *err);

/** Reads one of the text and binary formats from before profile.proto. */
bool pprof_legacy(const uint8_t *d, size_t n, struct arena *mem, struct pprof *ret,
		  struct err *err);

/** Appends profile.proto bytes: the same for equal profiles, strings in order of first use. */
void pprof_encode(const struct pprof *p, struct str *out);
/** As pprof_encode, in gzip with no time stamp. ERR_LIMIT when there is no memory for it. */
bool pprof_encode_gzip(const struct pprof *p, struct str *out, struct err *err);

#endif
