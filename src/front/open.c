/*
 * Which process is meant. Go processes are told by the build information in their executables,
 * which costs one open and a few reads each; nothing of a process itself is read here.
 */
#include "front/open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "image/elf.h"

#define SHOWN_PIDS 8U

static int exe_open(int pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

/* Why a program of this release can't be explained; NULL: it can. As goruntime/open.c refuses. */
static const char *refusal(const char *version)
{
	unsigned minor;

	return sscanf(version, "go1.%u", &minor) == 1 && minor < 18 ? "older than Go 1.18" : NULL;
}

static bool is_go(int fd, struct arena *a, const char **ret_version, const char **ret_why)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	struct go_buildinfo info = {0};
	struct elf_image e;
	struct err why;
	bool found;

	arena_init(&scratch, 0);
	if (!elf_open(fd, &scratch, &e, &why))
		return false;
	found = go_buildinfo_read(&e, &scratch, &info, &why) && info.found;
	elf_close(&e);
	if (found) {
		*ret_version = arena_strdup(a, info.version ? info.version : "");
		*ret_why = refusal(*ret_version);
	}
	return found;
}

bool go_process_check(int pid, struct arena *a, const char **ret_version)
{
	CLEANUP(cleanup_fd) int fd = exe_open(pid);
	const char *why;

	return fd >= 0 && is_go(fd, a, ret_version, &why);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

/* An executable that was looked at: many processes share one. */
struct known_exe {
	dev_t dev;
	ino_t ino;
	const char *version; /* NULL: not Go */
	const char *why;     /* it can't be explained; NULL: it can */
};

bool go_processes(struct arena *a, struct go_processes *ret, struct err *err)
{
	const struct live_options o = {0};
	VEC(struct process_item) items = {0};
	VEC(struct known_exe) seen = {0};
	struct process_row *rows;
	uint32_t n, hidden = 0;

	if (!process_list(&o, a, &rows, &n, err))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		CLEANUP(cleanup_fd) int fd = exe_open(rows[i].pid);
		struct known_exe *k = NULL;
		struct stat st;

		if (rows[i].pid == getpid())
			continue;
		if (fd < 0 || fstat(fd, &st) != 0) {
			/* kernel threads and zombies have no memory: never Go */
			hidden += (errno == EACCES || errno == EPERM) && rows[i].rss;
			continue;
		}
		for (uint32_t j = 0; j < seen.n && !k; j++)
			if (seen.v[j].dev == st.st_dev && seen.v[j].ino == st.st_ino)
				k = &seen.v[j];
		if (!k) {
			k = VEC_PUSH(a, &seen);
			*k = (struct known_exe){.dev = st.st_dev, .ino = st.st_ino};
			if (!is_go(fd, a, &k->version, &k->why))
				k->version = NULL;
		}
		if (!k->version)
			continue;
		*VEC_PUSH(a, &items) = (struct process_item){
			.pid = rows[i].pid,
			.uid = rows[i].uid,
			.program = *rows[i].exe ? base_name(rows[i].exe)
						: arena_strdup(a, rows[i].comm),
			.comm = arena_strdup(a, rows[i].comm),
			.exe = rows[i].exe,
			.go = k->version,
			.rss = rows[i].rss,
			.readable = rows[i].readable,
			.why = k->why,
		};
	}
	*ret = (struct go_processes){items.v, items.n, hidden};
	return true;
}

bool go_process_find(const char *name, struct arena *a, int *ret, struct err *err)
{
	struct go_processes all;
	struct str pids = {0};
	uint32_t n = 0;
	bool ok;

	if (!go_processes(a, &all, err))
		return false;
	for (uint32_t i = 0; i < all.n; i++) {
		const struct process_item *p = &all.v[i];

		if (strcmp(p->program, name) != 0 && strcmp(p->comm, name) != 0)
			continue;
		*ret = p->pid;
		if (n < SHOWN_PIDS)
			str_addf(&pids, "%s%d", n ? ", " : "", p->pid);
		else if (n == SHOWN_PIDS)
			str_add(&pids, " and more");
		n++;
	}
	ok = n == 1;
	if (n > 1)
		err_set(err, ERR_NOT_GO,
			"%.60s: %u Go processes have this name; give one of the PIDs %s", name, n,
			pids.s);
	else if (n == 0)
		err_set(err, ERR_NOT_GO,
			"%.60s: no Go process has this name%s; whyrss alone lists them", name,
			all.hidden ? " among those that this user may look at" : "");
	str_free(&pids);
	return ok;
}
