/*
 * Compressed profiles into memory. gzip goes through libdeflate, which inflates a whole member at
 * once in less than half of zlib's time (docs/adr/0020-profile-codec.md has the figures); the size
 * that the file claims is only where the search for room begins, and the arena's limit ends it.
 */
#include <libdeflate.h>
#include <string.h>
#include <zstd.h>

#include "pprof/codec.h"

#define ZSTD_WINDOW_LOG 27   /* 128 MiB, the decoder's own default */
#define DEFLATE_RATIO	1032 /* no deflate stream expands more */

static bool is_gzip(const uint8_t *d, size_t n)
{
	return n >= 2 && d[0] == 0x1f && d[1] == 0x8b;
}

static bool is_zstd(const uint8_t *d, size_t n)
{
	static const uint8_t magic[] = {0x28, 0xb5, 0x2f, 0xfd};

	return n >= sizeof(magic) && memcmp(d, magic, sizeof(magic)) == 0;
}

bool pprof_is_compressed(const uint8_t *d, size_t n)
{
	return is_gzip(d, n) || is_zstd(d, n);
}

/* Room for `size` bytes in the otherwise empty arena, what `have` bytes of *buf held kept. */
static bool grow(struct arena *mem, uint8_t **buf, size_t have, size_t *cap, uint64_t size,
		 struct err *err)
{
	uint64_t room = arena_room(mem, 1);
	uint8_t *to;

	/* the last step takes what there is, so that the limit is what it says */
	if (size > room && *cap < room && room >= 4096)
		size = room - 64;
	if (size <= *cap || !(to = arena_try(mem, size, 1, NULL)))
		return err_set(
			err, ERR_LIMIT, "inflated it is larger than the limit of memory (%llu MiB)",
			(unsigned long long)((mem->limit ? mem->limit : ARENA_LIMIT_DEFAULT) >>
					     20));
	if (have)
		memcpy(to, *buf, have);
	*buf = to;
	*cap = size;
	return true;
}

static bool gzip(const uint8_t *d, size_t n, struct arena *mem, uint8_t **ret, size_t *ret_n,
		 struct err *err)
{
	struct libdeflate_decompressor *z = libdeflate_alloc_decompressor();
	size_t cap = 0, have = 0, in, out;
	uint8_t *buf = NULL;
	uint32_t claim;
	bool ok = z != NULL || err_set(err, ERR_LIMIT, "out of memory");

	memcpy(&claim, d + n - MIN(n, 4), MIN(n, 4));
	if (ok)
		ok = grow(mem, &buf, 0, &cap, MIN(claim, (uint64_t)n * DEFLATE_RATIO) + 64, err);
	while (ok && n > 0) {
		enum libdeflate_result r =
			libdeflate_gzip_decompress_ex(z, d, n, buf + have, cap - have, &in, &out);

		if (r == LIBDEFLATE_SUCCESS) {
			d += in;
			n -= in;
			have += out;
		} else if (r == LIBDEFLATE_INSUFFICIENT_SPACE) {
			ok = grow(mem, &buf, have, &cap, (uint64_t)cap * 2, err);
		} else {
			ok = err_set(err, ERR_FORMAT, "the gzip data is corrupt or cut off");
		}
	}
	libdeflate_free_decompressor(z);
	if (ok) {
		*ret = buf;
		*ret_n = have;
	}
	return ok;
}

static bool zstd(const uint8_t *d, size_t n, struct arena *mem, uint8_t **ret, size_t *ret_n,
		 struct err *err)
{
	ZSTD_DCtx *z = ZSTD_createDCtx();
	unsigned long long claim = ZSTD_getFrameContentSize(d, n);
	ZSTD_inBuffer in = {d, n, 0};
	size_t cap = 0, left = 1;
	ZSTD_outBuffer out = {0};
	uint8_t *buf = NULL;
	bool ok = z != NULL || err_set(err, ERR_LIMIT, "out of memory");

	if (ok)
		ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
	if (claim == ZSTD_CONTENTSIZE_UNKNOWN || claim == ZSTD_CONTENTSIZE_ERROR)
		claim = (unsigned long long)n * 4;
	if (ok)
		ok = grow(mem, &buf, 0, &cap, MIN(claim, (uint64_t)1 << 40) + 64, err);
	while (ok && (in.pos < in.size || left != 0)) {
		size_t before = in.pos;

		if (out.pos == cap)
			ok = grow(mem, &buf, out.pos, &cap, (uint64_t)cap * 2, err);
		if (!ok)
			break;
		out.dst = buf;
		out.size = cap;
		left = ZSTD_decompressStream(z, &out, &in);
		if (ZSTD_isError(left))
			ok = err_set(err, ERR_FORMAT, "the zstd data is corrupt: %s",
				     ZSTD_getErrorName(left));
		else if (left != 0 && in.pos == in.size && in.pos == before && out.pos < cap)
			ok = err_set(err, ERR_FORMAT, "the zstd data is cut off");
	}
	ZSTD_freeDCtx(z);
	if (ok) {
		*ret = buf;
		*ret_n = out.pos;
	}
	return ok;
}

bool pprof_inflate(const uint8_t *d, size_t n, struct arena *mem, uint8_t **ret, size_t *ret_n,
		   struct err *err)
{
	return (is_gzip(d, n) ? gzip : zstd)(d, n, mem, ret, ret_n, err) ||
	       err_in(err, "decompressing profile");
}
