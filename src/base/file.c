/*
 * Small text files whole. Files of /proc and /sys tell no size, so they are read to their end; a
 * stated limit keeps a hostile or endless one from filling the memory.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

static bool fail(struct err *err, const char *path)
{
	return err_os(err,
		      errno == ESRCH			  ? ERR_GONE
		      : errno == EACCES || errno == EPERM ? ERR_PERM
							  : ERR_OS,
		      "%s", path);
}

static void cleanup_str(struct str *b)
{
	str_free(b);
}

bool file_read(int dirfd, const char *path, size_t limit, struct arena *a, char **ret,
	       size_t *ret_n, struct err *err)
{
	CLEANUP(cleanup_fd)
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	CLEANUP(cleanup_str) struct str b = {0};
	char *s;

	if (fd < 0)
		return fail(err, path);
	for (;;) {
		ssize_t got;

		/* Room for one byte more than the limit shows that there is more. */
		str_room(&b, MIN(MAX(b.n, (size_t)4096), limit + 1 - b.n));
		got = read(fd, b.s + b.n, MIN(b.cap - 1 - b.n, limit + 1 - b.n));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail(err, path);
		if (got == 0)
			break;
		b.n += (size_t)got;
		if (b.n > limit)
			return err_set(err, ERR_LIMIT, "%s: longer than %zu bytes", path, limit);
	}
	s = arena_try(a, b.n + 1, 1, err);
	if (!s)
		return err_in(err, "%s", path);
	memcpy(s, b.s, b.n);
	*ret = s;
	if (ret_n)
		*ret_n = b.n;
	return true;
}

bool file_link(int dirfd, const char *path, struct arena *a, char **ret, struct err *err)
{
	/* Links of /proc can be as long as a path plus " (deleted)". */
	char to[PATH_MAX + 64];
	ssize_t n = readlinkat(dirfd, path, to, sizeof(to));

	if (n < 0)
		return fail(err, path);
	if ((size_t)n == sizeof(to))
		return err_set(err, ERR_LIMIT, "%s: a link longer than %zu bytes", path,
			       sizeof(to));
	*ret = arena_strndup(a, to, (size_t)n);
	return true;
}

bool file_write(int fd, const void *v, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t got = write(fd, (const char *)v + done, n - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return false;
		done += (size_t)got;
	}
	return true;
}
