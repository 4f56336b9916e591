/*
 * Parsers of the small /proc files, and the one place that turns "the kernel said no" into a
 * sentence with a way out. Every parser takes any text: a line that is not as expected counts as
 * missing.
 */
#include "target/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"

const char *proc_root(const struct live_options *o)
{
	return o && o->proc ? o->proc : "/proc";
}

const char *proc_sys(const struct live_options *o)
{
	if (o && o->sys)
		return o->sys;
	return strcmp(proc_root(o), "/proc") == 0 ? "/sys" : NULL;
}

const char *text_field(const char *text, const char *key)
{
	size_t n = strlen(key);

	while (strncmp(text, key, n) != 0) {
		text = strchr(text, '\n');
		if (!text)
			return NULL;
		text++;
	}
	text += n;
	return text + strspn(text, " \t");
}

uint64_t text_u64(const char *text, const char *key, uint64_t or)
{
	const char *at = text_field(text, key);
	uint64_t v;

	return at && str_u64(&at, false, &v) ? v : or ;
}

bytes text_kib(const char *text, const char *key, bytes or)
{
	uint64_t kib = text_u64(text, key, UINT64_MAX);

	return kib > UINT64_MAX >> 10 ? or : kib << 10;
}

#define PF_KTHREAD 0x00200000U /* include/linux/sched.h; "Kthread:" of status is newer */

bool proc_stat_parse(const char *text, struct proc_stat *ret)
{
	/* "4711 (any bytes, also ')') S 1 …": the last parenthesis ends the name. */
	const char *open = strchr(text, '('), *close = strrchr(text, ')');
	struct proc_stat st = {0};
	uint64_t flags;
	const char *at;

	if (!open || !close || close < open || close[1] != ' ' || !close[2])
		return false;
	memcpy(st.comm, open + 1, MIN((size_t)(close - open - 1), sizeof(st.comm) - 1));
	st.state = close[2];
	/* The state is field 3, the flags are field 9, the start time is field 22. */
	at = close + 2;
	for (int field = 3; field < 22; field++) {
		at = strchr(at, ' ');
		if (!at)
			return false;
		at++;
		if (field + 1 == 9 && str_u64(&at, false, &flags))
			st.kernel_thread = flags & PF_KTHREAD;
	}
	if (!str_u64(&at, false, &st.start_ticks))
		return false;
	*ret = st;
	return true;
}

static uint32_t count_bits(const char *mask)
{
	uint32_t n = 0;

	for (; mask && *mask && *mask != '\n'; mask++) {
		unsigned v = *mask >= '0' && *mask <= '9'   ? (unsigned)(*mask - '0')
			     : *mask >= 'a' && *mask <= 'f' ? (unsigned)(*mask - 'a') + 10
							    : 0;
		n += (uint32_t)__builtin_popcount(v);
	}
	return n;
}

void proc_status_parse(const char *text, struct proc_status *ret)
{
	const char *at;
	uint64_t v;

	*ret = (struct proc_status){
		.has_memory = text_field(text, "VmSize:") != NULL,
		.rss = text_kib(text, "VmRSS:", 0),
		.anon = text_kib(text, "RssAnon:", 0),
		.file = text_kib(text, "RssFile:", 0),
		.shmem = text_kib(text, "RssShmem:", 0),
		.hwm = text_kib(text, "VmHWM:", 0),
		.swap = text_kib(text, "VmSwap:", 0),
		.page_tables = text_kib(text, "VmPTE:", 0),
		.vm_size = text_kib(text, "VmSize:", 0),
		.hugetlb = text_kib(text, "HugetlbPages:", 0),
		.tgid = text_u64(text, "Tgid:", 0),
		.uid = (uint32_t)text_u64(text, "Uid:", UINT32_MAX),
		.n_cpus = count_bits(text_field(text, "Cpus_allowed:")),
		.tracer = text_u64(text, "TracerPid:", 0),
	};
	at = text_field(text, "NStgid:");
	while (at && str_u64(&at, false, &v)) {
		ret->ns_depth++;
		ret->ns_pid = v;
		at += strspn(at, " \t");
	}
}

/* Reads a small file of the process' folder into a scratch arena. */
static bool read_text(int dir, int pid, const char *name, struct arena *scratch, char **ret,
		      struct err *err)
{
	struct err why = {0};

	if (file_read(dir, name, PROC_TEXT_MAX, scratch, ret, NULL, &why))
		return true;
	errno = why.os;
	return why.os ? proc_failed(NULL, dir, pid, name, err)
		      : err_set(err, why.kind, "process %d: %s", pid, why.msg);
}

bool proc_stat_read(int dir, int pid, struct proc_stat *ret, struct err *err)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	char *text;

	if (!read_text(dir, pid, "stat", &scratch, &text, err))
		return false;
	return proc_stat_parse(text, ret) ||
	       err_set(err, ERR_FORMAT, "process %d: stat is not as the kernel writes it", pid);
}

bool proc_status_read(int dir, int pid, struct proc_status *ret, struct err *err)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	char *text;

	if (!read_text(dir, pid, "status", &scratch, &text, err))
		return false;
	proc_status_parse(text, ret);
	return true;
}

/* Undoes the \040 escapes of mountinfo in place. */
static char *unescape(char *s)
{
	char *to = s;

	for (const char *p = s; *p; to++) {
		if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' &&
		    p[3] >= '0' && p[3] <= '7') {
			*to = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
			p += 4;
		} else {
			*to = *p++;
		}
	}
	*to = '\0';
	return s;
}

/* "36 35 98:0 /root /point rw,noatime [optional fields] - type source super" */
static bool mount_parse(char *line, struct mount_row *ret)
{
	enum { ID, PARENT, DEV, ROOT, POINT, OPTIONS, FIXED };
	char *field[FIXED], *tail[3] = {NULL}, *dash, *save = NULL;
	const char *at;
	uint64_t major, minor;

	dash = strstr(line, " - ");
	if (!dash)
		return false;
	*dash = '\0';
	for (int i = 0; i < FIXED; i++) {
		field[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!field[i])
			return false;
	}
	for (int i = 0; i < 3; i++) {
		tail[i] = strtok_r(i ? NULL : dash + 3, " ", &save);
		if (!tail[i] && i == 0)
			return false;
	}
	at = field[DEV];
	if (!str_u64(&at, false, &major) || *at++ != ':' || !str_u64(&at, false, &minor) || *at)
		return false;
	*ret = (struct mount_row){
		.dev = (uint32_t)(major << 20 | (minor & 0xfffff)),
		.root = unescape(field[ROOT]),
		.point = unescape(field[POINT]),
		.type = tail[0],
		.super = tail[2]   ? tail[2]
			 : tail[1] ? tail[1]
				   : "",
	};
	return true;
}

bool mount_next(char **text, struct mount_row *ret)
{
	while (**text) {
		char *line = *text, *end = strchrnul(line, '\n');

		*text = *end ? end + 1 : end;
		*end = '\0';
		if (mount_parse(line, ret))
			return true;
	}
	return false;
}

uint32_t dev_number(uint64_t st_dev)
{
	return major(st_dev) << 20 | (minor(st_dev) & 0xfffff);
}

static bool has_cap_sys_ptrace(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	return syscall(SYS_capget, &head, data) == 0 && data[0].effective & 1U << CAP_SYS_PTRACE;
}

/* Says why the kernel refused and what would allow it; the rules are those of ptrace(2). */
static bool refused(const char *root, int dir, int pid, struct err *err)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	struct proc_status status = {0};
	struct stat maps; /* root's when the process hides; its folder stays the user's */
	uint32_t me = (uint32_t)geteuid();
	uint64_t yama = 0;
	char *text;

	if (root &&
	    file_read(AT_FDCWD, arena_printf(&scratch, "%s/sys/kernel/yama/ptrace_scope", root),
		      100, &scratch, &text, NULL, NULL))
		yama = text_u64(text, "", 0);
	if (file_read(dir, "status", PROC_TEXT_MAX, &scratch, &text, NULL, NULL))
		proc_status_parse(text, &status);
	if (yama >= 3)
		err_set(err, ERR_PERM,
			"process %d cannot be read: kernel.yama.ptrace_scope is 3, which forbids "
			"it to "
			"everyone until the next boot",
			pid);
	else if (has_cap_sys_ptrace())
		err_set(err, ERR_PERM,
			"process %d cannot be read although this user has CAP_SYS_PTRACE: a "
			"security module, "
			"or its user namespace, forbids it; run whyrss where the process runs",
			pid);
	else if (me == 0)
		err_set(err, ERR_PERM,
			"process %d cannot be read: this root user lacks CAP_SYS_PTRACE; add it "
			"(docker run "
			"--cap-add SYS_PTRACE)",
			pid);
	else if (status.uid != me)
		err_set(err, ERR_PERM,
			"process %d belongs to user %u and this is user %u: run whyrss as that "
			"user or root, "
			"or give it CAP_SYS_PTRACE",
			pid, status.uid, me);
	else if (fstatat(dir, "maps", &maps, 0) == 0 && maps.st_uid != me)
		err_set(err, ERR_PERM,
			"process %d hides its memory (PR_SET_DUMPABLE, or it changed its user or "
			"capabilities): run whyrss as root or give it CAP_SYS_PTRACE",
			pid);
	else if (yama >= 1)
		err_set(err, ERR_PERM,
			"process %d cannot be read because kernel.yama.ptrace_scope is %llu: run "
			"whyrss as root, "
			"give it CAP_SYS_PTRACE, or set kernel.yama.ptrace_scope=0",
			pid, (unsigned long long)yama);
	else
		err_set(err, ERR_PERM,
			"process %d cannot be read: it has more rights than this user, or a "
			"security module "
			"forbids it; run whyrss as root or give it CAP_SYS_PTRACE",
			pid);
	if (err)
		err->os = EACCES;
	return false;
}

bool proc_failed(const char *root, int dir, int pid, const char *what, struct err *err)
{
	int os = errno;

	if (os == ESRCH || os == ENOENT) {
		err_set(err, ERR_GONE, "process %d has ended", pid);
		if (err)
			err->os = os;
		return false;
	}
	if (os == EACCES || os == EPERM)
		return refused(root, dir, pid, err);
	errno = os;
	return err_os(err, ERR_OS, "process %d: %s", pid, what);
}

/* Whether fd is the mapped file. Stacked file systems show one device in maps and another in stat.
 */
static bool is_same_file(int fd, const struct mapping *m)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_ino == m->inode &&
	       (dev_number(st.st_dev) == m->dev || m->dev >> 20 == 0 || major(st.st_dev) == 0);
}

/*
 * Opens a path as the process sees it, if that is the mapped file. It is looked at before it is
 * opened: a name that leads elsewhere, or a device that took its place, is not touched.
 */
static int open_in_root(int dir, const char *path, const struct mapping *m, struct arena *scratch)
{
	CLEANUP(cleanup_fd)
	int found = openat(dir, arena_printf(scratch, "root%s", path), O_PATH | O_CLOEXEC);

	if (!is_same_file(found, m))
		return -1;
	return open(arena_printf(scratch, "/proc/self/fd/%d", found),
		    O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

/* "\012" of maps is a newline; nothing else is escaped there. */
static const char *unescape_newlines(const char *path, struct arena *scratch)
{
	char *s = arena_strdup(scratch, path), *to = s;

	for (const char *p = s; *p; to++) {
		bool newline = strncmp(p, "\\012", 4) == 0;

		*to = newline ? '\n' : *p;
		p += newline ? 4 : 1;
	}
	*to = '\0';
	return s;
}

int proc_mapped_file(int dir, const struct mapping *m)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	const char *tries[3];
	int fd;

	/* The very file, whatever became of its name; needs CAP_CHECKPOINT_RESTORE or
	 * CAP_SYS_ADMIN. */
	fd = openat(dir,
		    arena_printf(&scratch, "map_files/%llx-%llx", (unsigned long long)m->start,
				 (unsigned long long)m->end),
		    O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (is_same_file(fd, m))
		return fd;
	cleanup_fd(&fd);
	fd = openat(dir, "exe", O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (is_same_file(fd, m))
		return fd;
	cleanup_fd(&fd);
	tries[0] = m->path;
	tries[1] = unescape_newlines(m->path, &scratch);
	tries[2] = arena_printf(&scratch, "%s (deleted)", m->path); /* a name that ends like this */
	for (size_t i = 0; i < ARRAY_LEN(tries) && *m->path == '/'; i++) {
		fd = open_in_root(dir, tries[i], m, &scratch);
		if (is_same_file(fd, m))
			return fd;
		cleanup_fd(&fd);
	}
	return -1;
}
