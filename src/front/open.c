/*
 * Which process is meant. Go processes are told by the build information in their executables, or
 * in a library that they have mapped, which costs one open and a few reads for each file; nothing
 * of a process itself is read here.
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

static bool is_go(int fd, bool library, struct arena *a, const char **ret_version,
		  const char **ret_why)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	struct go_buildinfo info = {0};
	struct elf_image e;
	struct err why;
	bool found;

	arena_init(&scratch, 0);
	if (!elf_open(fd, &scratch, &e, &why))
		return false;
	/* searching a library that has no such section costs too much: there are hundreds */
	found = (!library || elf_section(&e, ".go.buildinfo")) &&
		go_buildinfo_read(&e, &scratch, &info, &why) && info.found;
	elf_close(&e);
	if (found) {
		*ret_version = arena_strdup(a, info.version ? info.version : "");
		*ret_why = refusal(*ret_version);
	}
	return found;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

/* A file that was looked at: many processes share one. */
struct known_file {
	uint64_t dev, ino;
	const char *version; /* NULL: not Go */
	const char *why;     /* it can't be explained; NULL: it can */
};

struct known_files {
	VEC(struct known_file) v;
};

/* What is known of a file; *ret_new: nothing yet. */
static struct known_file *known(struct known_files *k, struct arena *a, uint64_t dev, uint64_t ino,
				bool *ret_new)
{
	struct known_file *f;

	*ret_new = false;
	for (uint32_t i = 0; i < k->v.n; i++)
		if (k->v.v[i].dev == dev && k->v.v[i].ino == ino)
			return &k->v.v[i];
	*ret_new = true;
	f = VEC_PUSH(a, &k->v);
	*f = (struct known_file){.dev = dev, .ino = ino};
	return f;
}

/* Go inside of another program: the first of its libraries that is Go; NULL: none. */
static const struct known_file *go_library(int pid, struct known_files *libs, struct arena *a)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	struct mapping *m = NULL;
	uint32_t n = process_code(pid, &scratch, &m);

	for (uint32_t i = 0; i < n; i++) {
		bool is_new;
		struct known_file *f = known(libs, a, m[i].dev, m[i].inode, &is_new);

		if (is_new) {
			CLEANUP(cleanup_fd) int fd = process_code_open(pid, &m[i]);

			if (fd < 0 || !is_go(fd, true, a, &f->version, &f->why))
				f->version = NULL;
		}
		if (f->version)
			return f;
	}
	return NULL;
}

bool go_process_check(int pid, struct arena *a, const char **ret_version)
{
	CLEANUP(cleanup_fd) int fd = exe_open(pid);
	struct known_files libs = {0};
	const struct known_file *f;
	const char *why;

	if (fd >= 0 && is_go(fd, false, a, ret_version, &why))
		return true;
	f = go_library(pid, &libs, a);
	if (f)
		*ret_version = f->version;
	return f != NULL;
}

bool go_processes(struct arena *a, struct go_processes *ret, struct err *err)
{
	const struct live_options o = {0};
	VEC(struct process_item) items = {0};
	struct known_files exes = {0}, libs = {0};
	struct process_row *rows;
	uint32_t n, hidden = 0;

	if (!process_list(&o, a, &rows, &n, err))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		CLEANUP(cleanup_fd) int fd = exe_open(rows[i].pid);
		const struct known_file *go;
		struct known_file *k;
		struct stat st;
		bool is_new;

		if (rows[i].pid == getpid())
			continue;
		if (fd < 0 || fstat(fd, &st) != 0) {
			/* kernel threads and zombies have no memory: never Go */
			hidden += (errno == EACCES || errno == EPERM) && rows[i].rss;
			continue;
		}
		k = known(&exes, a, st.st_dev, st.st_ino, &is_new);
		if (is_new && !is_go(fd, false, a, &k->version, &k->why))
			k->version = NULL;
		go = k->version ? k : rows[i].readable ? go_library(rows[i].pid, &libs, a) : NULL;
		if (!go)
			continue;
		*VEC_PUSH(a, &items) = (struct process_item){
			.pid = rows[i].pid,
			.uid = rows[i].uid,
			.program = *rows[i].exe ? base_name(rows[i].exe)
						: arena_strdup(a, rows[i].comm),
			.comm = arena_strdup(a, rows[i].comm),
			.exe = rows[i].exe,
			.go = go->version,
			.rss = rows[i].rss,
			.readable = rows[i].readable,
			.why = go->why,
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
