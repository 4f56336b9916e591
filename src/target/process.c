/*
 * The processes of a machine, for the list that is shown when no target is named: cheap, a few
 * small files each. Whether Go is in there is not looked at here.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "target/maps.h"
#include "target/procfs.h"
#include "target/target.h"

#define PROCESSES_MAX (1U << 22)
#define CODE_TEXT_MAX ((size_t)2 << 20)

/* False: a kernel thread, a zombie, or it ended meanwhile. */
static bool read_row(int proc, int pid, struct arena *a, struct process_row *ret)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	CLEANUP(cleanup_fd)
	int dir =
		openat(proc, arena_printf(&scratch, "%d", pid), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(cleanup_fd) int mem = -1;
	struct proc_status status;
	struct proc_stat stat;
	char *exe;

	if (dir < 0 || !proc_stat_read(dir, pid, &stat, NULL) ||
	    !proc_status_read(dir, pid, &status, NULL) || !status.has_memory)
		return false;
	/* Opening it asks the kernel the very question, and reads nothing. */
	mem = openat(dir, "mem", O_RDONLY | O_CLOEXEC);
	*ret = (struct process_row){
		.pid = pid,
		.uid = status.uid,
		.rss = status.rss,
		.exe = "",
		.readable = mem >= 0,
	};
	memcpy(ret->comm, stat.comm, sizeof(ret->comm));
	if (file_link(dir, "exe", a, &exe, NULL)) {
		if (str_ends(exe, " (deleted)"))
			exe[strlen(exe) - strlen(" (deleted)")] = '\0';
		ret->exe = exe;
	}
	return true;
}

static int process_dir(int pid)
{
	char path[32];

	snprintf(path, sizeof(path), "%s/%d", proc_root(NULL), pid);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

uint32_t process_code(int pid, struct arena *a, struct mapping **ret)
{
	CLEANUP(cleanup_fd) int dir = process_dir(pid);
	struct mapping *v = NULL;
	uint32_t n = 0, kept = 0;
	char *text;
	size_t len;

	if (dir < 0 || !file_read(dir, "maps", CODE_TEXT_MAX, a, &text, &len, NULL) ||
	    !maps_parse(text, len, NULL, a, &v, &n, NULL))
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		bool seen = !(v[i].flags & MAP_EXEC) || !(v[i].flags & MAP_FILE) || !v[i].inode;

		for (uint32_t k = 0; k < kept && !seen; k++)
			seen = v[k].dev == v[i].dev && v[k].inode == v[i].inode;
		if (!seen)
			v[kept++] = v[i];
	}
	*ret = v;
	return kept;
}

int process_code_open(int pid, const struct mapping *m)
{
	CLEANUP(cleanup_fd) int dir = process_dir(pid);

	return dir < 0 ? -1 : proc_mapped_file(dir, m);
}

static int compare_rows(const void *a, const void *b)
{
	int x = ((const struct process_row *)a)->pid, y = ((const struct process_row *)b)->pid;

	return (x > y) - (x < y);
}

bool process_list(const struct live_options *o, struct arena *a, struct process_row **ret,
		  uint32_t *ret_n, struct err *err)
{
	CLEANUP(cleanup_dir) DIR *d = opendir(proc_root(o));
	VEC(struct process_row) v = {0};

	if (!d)
		return err_os(err, ERR_OS, "%s", proc_root(o));
	for (struct dirent *e; v.n < PROCESSES_MAX && (e = readdir(d));) {
		const char *at = e->d_name;
		struct process_row row;
		uint64_t pid;

		if (str_u64(&at, false, &pid) && !*at && pid && pid <= INT_MAX &&
		    read_row(dirfd(d), (int)pid, a, &row))
			*VEC_PUSH(a, &v) = row;
	}
	if (v.n)
		qsort(v.v, v.n, sizeof(*v.v), compare_rows);
	*ret = v.v;
	*ret_n = v.n;
	return true;
}
