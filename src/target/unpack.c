/*
 * Decompression of cores and captures. A core of 100 GB is mostly zeros: they become holes of a
 * file that has no name, so that neither memory nor the disk sees them, and nothing is left behind
 * however this program ends.
 */
#include "target/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <zstd.h>

#define PIECE	   ((size_t)128 << 10)
#define WINDOW_LOG 27 /* 128 MiB: what zstd itself takes without being told to */
#define HOLE	   ((size_t)4096)
#define SIZE_MAX_  ((uint64_t)1 << 46)

static bool is_zstd(const uint8_t *head, size_t n)
{
	/* a frame, or a skippable one in front of it */
	return n >= 4 && head[1] == (head[0] == 0x28 ? 0xb5 : 0x2a) &&
	       ((head[0] == 0x28 && head[2] == 0x2f && head[3] == 0xfd) ||
		(head[0] >> 4 == 5 && head[2] == 0x4d && head[3] == 0x18));
}

static ssize_t read_at(int fd, uint64_t at, void *dst, size_t n)
{
	ssize_t got;

	do
		got = pread(fd, dst, n, (off_t)at);
	while (got < 0 && errno == EINTR);
	return got;
}

static ZSTD_DCtx *decoder(void)
{
	ZSTD_DCtx *d = ZSTD_createDCtx();

	if (d)
		ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, WINDOW_LOG);
	return d;
}

size_t unpack_head(int fd, void *dst, size_t n)
{
	uint8_t in[4096];
	ssize_t got = read_at(fd, 0, in, sizeof(in));
	ZSTD_outBuffer to = {dst, n, 0};
	ZSTD_inBuffer from = {in, got > 0 ? (size_t)got : 0, 0};
	uint64_t at = from.size;
	ZSTD_DCtx *d;

	if (!is_zstd(in, from.size)) {
		n = MIN(n, from.size);
		memcpy(dst, in, n);
		return n;
	}
	d = decoder();
	/* a block may have to be whole before a byte of it comes out */
	while (d && to.pos < n && at < 2 * PIECE) {
		if (ZSTD_isError(ZSTD_decompressStream(d, &to, &from)))
			break;
		if (from.pos < from.size)
			continue;
		got = read_at(fd, at, in, sizeof(in));
		if (got <= 0)
			break;
		from = (ZSTD_inBuffer){in, (size_t)got, 0};
		at += (uint64_t)got;
	}
	ZSTD_freeDCtx(d);
	return to.pos;
}

/* A file without a name, and the bytes that may go into it. */
static int room_open(uint64_t *ret_room, struct err *err)
{
	const char *env = getenv("TMPDIR");
	const char *const dirs[] = {env && *env ? env : "/var/tmp", "/var/tmp", "/tmp"};
	struct statvfs fs;
	int fd = -1;

	for (size_t i = 0; i < ARRAY_LEN(dirs) && fd < 0; i++)
		fd = open(dirs[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		fd = memfd_create("whyrss", MFD_CLOEXEC); /* a read-only container */
	if (fd < 0 || fstatvfs(fd, &fs) != 0) {
		err_os(err, ERR_OS, "no room to unpack it: $TMPDIR and /var/tmp");
		cleanup_fd(&fd);
		return -1;
	}
	/* a tenth is left to others; of a memfd nothing is said, and it is memory */
	*ret_room = fs.f_blocks ? (uint64_t)fs.f_bavail * fs.f_frsize / 10 * 9 : (uint64_t)1 << 30;
	return fd;
}

struct unpacking {
	int to;
	uint64_t at, written, max;
};

static bool put(struct unpacking *u, const uint8_t *v, size_t n, struct err *err)
{
	static const uint8_t zeros[HOLE];

	if (u->at > SIZE_MAX_)
		return err_set(err, ERR_LIMIT, "unpacked it is larger than 64 TiB");
	while (n > 0) {
		size_t part = (size_t)MIN(n, HOLE - u->at % HOLE), done = 0;

		if (memcmp(v, zeros, part) != 0) {
			/* neighbours that are no holes in one call */
			while (part < n && memcmp(v + part, zeros, MIN(HOLE, n - part)) != 0)
				part += MIN(HOLE, n - part);
			if (part > u->max - u->written)
				return err_set(err, ERR_LIMIT,
					       "unpacked it needs more than %llu MiB in $TMPDIR "
					       "or /var/tmp",
					       (unsigned long long)(u->max >> 20));
			while (done < part) {
				ssize_t w =
					pwrite(u->to, v + done, part - done, (off_t)(u->at + done));

				if (w < 0 && errno == EINTR)
					continue;
				if (w <= 0)
					return err_os(err, ERR_OS, "unpacking it");
				done += (size_t)w;
			}
			u->written += part;
		}
		v += part;
		n -= part;
		u->at += part;
	}
	return true;
}

static bool unpack_zstd(int from_fd, struct unpacking *u, struct err *err)
{
	ZSTD_DCtx *d = decoder();
	uint8_t *in = malloc(2 * PIECE), *out = in ? in + PIECE : NULL;
	ZSTD_inBuffer from = {in, 0, 0};
	uint64_t at = 0;
	size_t left = 1;
	bool ok = d && in;

	if (!ok)
		err_set(err, ERR_OS, "no memory to unpack it");
	while (ok) {
		ZSTD_outBuffer to = {out, PIECE, 0};

		if (from.pos == from.size) {
			ssize_t got = read_at(from_fd, at, in, PIECE);

			if (got < 0)
				ok = err_os(err, ERR_OS, "reading it");
			if (got <= 0)
				break;
			at += (uint64_t)got;
			from = (ZSTD_inBuffer){in, (size_t)got, 0};
		}
		left = ZSTD_decompressStream(d, &to, &from);
		if (ZSTD_isError(left)) {
			/* what came before is worth as much as a truncated core */
			if (u->at == 0)
				ok = err_set(err, ERR_FORMAT, "bad zstd data: %s",
					     ZSTD_getErrorName(left));
			break;
		}
		ok = put(u, out, to.pos, err);
	}
	/* the end can be a hole */
	if (ok && ftruncate(u->to, (off_t)u->at) != 0)
		ok = err_os(err, ERR_OS, "unpacking it");
	ZSTD_freeDCtx(d);
	free(in);
	return ok;
}

bool unpack(int *fd, uint64_t max, struct err *err)
{
	struct unpacking u = {.to = -1};
	uint8_t head[8] = {0};
	ssize_t n = read_at(*fd, 0, head, sizeof(head));
	uint64_t room;

	if (n >= 6 && !memcmp(head,
			      "\xfd"
			      "7zXZ",
			      6))
		return err_set(err, ERR_FORMAT, "compressed with xz; unpack it first: unxz");
	if (n >= 4 && !memcmp(head, "\x04\x22\x4d\x18", 4))
		return err_set(err, ERR_FORMAT, "compressed with lz4; unpack it first: unlz4");
	if (n < 4 || !is_zstd(head, (size_t)n))
		return true;
	u.to = room_open(&room, err);
	if (u.to < 0)
		return false;
	u.max = MIN(max, room);
	if (!unpack_zstd(*fd, &u, err)) {
		close(u.to);
		return false;
	}
	close(*fd);
	*fd = u.to;
	return true;
}
