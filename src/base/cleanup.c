/*
 * What CLEANUP() runs when a variable leaves its scope. Each keeps errno, so that an error path
 * can still say why it was taken.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"

void cleanup_fd(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

/* The callers' variables have their own pointer types, so the pointer is copied, not converted. */
static void *take(void *variable)
{
	void *p;

	memcpy(&p, variable, sizeof(p));
	memset(variable, 0, sizeof(p));
	return p;
}

void cleanup_file(void *f)
{
	int saved = errno;
	FILE *file = take(f);

	if (file)
		fclose(file);
	errno = saved;
}

void cleanup_free(void *p)
{
	int saved = errno;

	free(take(p));
	errno = saved;
}

void cleanup_dir(void *d)
{
	int saved = errno;
	DIR *dir = take(d);

	if (dir)
		closedir(dir);
	errno = saved;
}
