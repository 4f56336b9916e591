/*
 * Control groups, versions 1 and 2 and the hybrid of both: where a process is charged, what the
 * container counts, which limit will bite first, and who else lives there. Paths come from
 * /proc/PID/cgroup and are followed only below the mounted hierarchy; in a cgroup namespace that
 * means the part of it that is visible.
 */
#include "target/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "target/procfs.h"

#define PROCESSES_MAX 4096U	 /* of a cgroup whose memory is summed */
#define PIDS_MAX      (1U << 22) /* of cgroup_pids: the kernel's largest pid_max */
#define DEPTH_MAX     64

/** Where a controller sees a process. */
struct place {
	int version;
	const char *base; /* the mounted folder */
	const char *
		hidden; /* the part of the path above it, "" when all of the hierarchy is mounted */
	char *below;	/* the part of the path below it: "" or "/a/b" */
};

static bool is_safe_path(const char *p)
{
	for (; *p; p += strcspn(p, "/")) {
		p += strspn(p, "/");
		if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || !p[2]))
			return false;
	}
	return true;
}

static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; (p = strstr(p, word)); p += n)
		if ((p == list || p[-1] == ',') && (!p[n] || p[n] == ','))
			return true;
	return false;
}

/*
 * The path of the process in the hierarchy that has `controller`: of version 1 when a line of
 * /proc/PID/cgroup names it ("4:memory:/x"), else of version 2 ("0::/x"). NULL: in none.
 */
static char *path_of(int dir, const char *controller, int *version, struct arena *a)
{
	char *text, *unified = NULL, *save = NULL;

	if (!file_read(dir, "cgroup", PROC_TEXT_MAX, a, &text, NULL, NULL))
		return NULL;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;

		if (!path || path[1] != '/')
			continue;
		*path++ = '\0';
		if (has_word(names + 1, controller)) {
			*version = 1;
			return path;
		}
		if (strcmp(line, "0:") == 0)
			unified = path;
	}
	*version = 2;
	return unified;
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* Finds a mounted hierarchy in mountinfo; the strings lie in the arena. */
static bool find_mount(const struct live_options *o, int version, const char *controller,
		       struct arena *a, struct mount_row *ret)
{
	struct mount_row row;
	char *text;
	bool found = false;

	if (!file_read(AT_FDCWD, arena_printf(a, "%s/self/mountinfo", proc_root(o)), PROC_TEXT_MAX,
		       a, &text, NULL, NULL))
		return false;
	/* Of several mounts the one whose root shows most; the first on a tie. */
	while (mount_next(&text, &row)) {
		if (version == 1
			    ? strcmp(row.type, "cgroup") != 0 || !has_word(row.super, controller)
			    : strcmp(row.type, "cgroup2") != 0)
			continue;
		if (!found || strlen(row.root) < strlen(ret->root))
			*ret = row;
		found = true;
	}
	return found;
}

/* The folder in which a hierarchy is mounted, by convention under `root`. */
static const char *conventional(const char *root, int version, const char *controller,
				struct arena *a)
{
	const char *named = arena_printf(a, "%s/%s", root, version == 1 ? controller : "unified");

	if (version == 2 && exists(arena_printf(a, "%s/cgroup.controllers", root)))
		return root;
	return exists(named) ? named : root;
}

static bool place_find(const struct live_options *o, int dir, const char *controller,
		       struct arena *a, struct place *ret)
{
	struct mount_row row;
	int version;
	char *path = path_of(dir, controller, &version, a);
	size_t n;

	if (!path || !is_safe_path(path))
		return false;
	*ret = (struct place){.version = version, .hidden = "", .below = path};
	if (o && o->cgroupfs) {
		ret->base = conventional(o->cgroupfs, version, controller, a);
	} else if (find_mount(o, version, controller, a, &row)) {
		ret->base = row.point;
		/* A bind mount shows only what lies below its root ("/docker/4711"). */
		n = strcmp(row.root, "/") == 0 ? 0 : strlen(row.root);
		if (strncmp(path, row.root, n) != 0 || (path[n] && path[n] != '/'))
			return false;
		ret->hidden = arena_strndup(a, path, n);
		ret->below = path + n;
	} else {
		ret->base = conventional("/sys/fs/cgroup", version, controller, a);
	}
	n = strlen(ret->below);
	while (n && ret->below[n - 1] == '/')
		ret->below[--n] = '\0';
	return true;
}

/* Steps to the parent; false at the mounted folder. */
static bool place_up(struct place *p)
{
	char *cut = strrchr(p->below, '/');

	if (!cut)
		return false;
	*cut = '\0';
	return true;
}

static const char *place_path(const struct place *p, struct arena *a)
{
	const char *path = arena_printf(a, "%s%s", p->hidden, p->below);

	return *path ? path : "/";
}

/* The text of a file of the cgroup; "" when there is none. */
static const char *place_text(const struct place *p, const char *file, struct arena *scratch)
{
	char *text;

	return file_read(AT_FDCWD, arena_printf(scratch, "%s%s/%s", p->base, p->below, file),
			 PROC_TEXT_MAX, scratch, &text, NULL, NULL)
		       ? text
		       : "";
}

static uint64_t place_u64(const struct place *p, const char *file, uint64_t or,
			  struct arena *scratch)
{
	return text_u64(place_text(p, file, scratch), "", or);
}

/* "max" is no number; version 1 writes the largest page-aligned one for "none". */
static bytes place_limit(const struct place *p, const char *file, struct arena *scratch)
{
	bytes v = place_u64(p, file, UINT64_MAX, scratch);

	return v >= (bytes)1 << 62 ? UINT64_MAX : v;
}

static const char *usage_file(int version)
{
	return version == 1 ? "memory.usage_in_bytes" : "memory.current";
}

/* The tightest limits over the cgroup and its ancestors; p is used up. */
static void read_limits(struct place *p, struct cgroup_facts *c, struct arena *a,
			struct arena *scratch)
{
	bool v1 = p->version == 1;

	c->limit = c->high = c->swap_limit = UINT64_MAX;
	do {
		bytes high;
		bytes limit = place_limit(p, v1 ? "memory.limit_in_bytes" : "memory.max", scratch);
		bytes swap = place_limit(p, v1 ? "memory.memsw.limit_in_bytes" : "memory.swap.max",
					 scratch);

		if (limit < c->limit) {
			c->limit = limit;
			c->limit_path = place_path(p, a);
			c->limit_current = place_u64(p, usage_file(p->version), 0, scratch);
		}
		/* Version 1 limits memory and swap together. */
		if (v1 && swap != UINT64_MAX && limit != UINT64_MAX)
			swap = swap > limit ? swap - limit : 0;
		high = v1 ? UINT64_MAX : place_limit(p, "memory.high", scratch);
		c->swap_limit = MIN(c->swap_limit, swap);
		c->high = MIN(c->high, high);
	} while (place_up(p));
}

static void read_v1(const struct place *p, struct cgroup_facts *c, struct arena *a,
		    struct arena *scratch)
{
	const char *stat = place_text(p, "memory.stat", scratch);
	bytes above = text_u64(stat, "hierarchical_memory_limit ", UINT64_MAX);
	struct place up = *p;

	c->anon = text_u64(stat, "total_rss ", 0);
	c->file = text_u64(stat, "total_cache ", 0);
	c->shmem = text_u64(stat, "total_shmem ", 0);
	c->mapped_file = text_u64(stat, "total_mapped_file ", 0);
	c->inactive_file = text_u64(stat, "total_inactive_file ", 0);
	c->active_file = text_u64(stat, "total_active_file ", 0);
	c->swap = text_u64(stat, "total_swap ", 0);
	c->kernel = place_u64(p, "memory.kmem.usage_in_bytes", 0, scratch);
	c->sock = place_u64(p, "memory.kmem.tcp.usage_in_bytes", 0, scratch);
	c->oom_kills = text_u64(place_text(p, "memory.oom_control", scratch), "oom_kill ", 0);
	c->max_events = place_u64(p, "memory.failcnt", 0, scratch);
	up.below = arena_strdup(scratch, p->below);
	read_limits(&up, c, a, scratch);
	/* An ancestor that is not visible here may be tighter: the kernel tells its limit, not its
	 * usage. */
	if (above < (bytes)1 << 62 && above < c->limit) {
		c->limit = above;
		c->limit_path = place_path(&up, a);
		c->limit_current = place_u64(&up, usage_file(1), 0, scratch);
	}
}

static void read_v2(const struct place *p, struct cgroup_facts *c, struct arena *a,
		    struct arena *scratch)
{
	const char *stat = place_text(p, "memory.stat", scratch);
	const char *events = place_text(p, "memory.events", scratch);
	struct place up = *p;

	c->anon = text_u64(stat, "anon ", 0);
	c->file = text_u64(stat, "file ", 0);
	c->shmem = text_u64(stat, "shmem ", 0);
	c->mapped_file = text_u64(stat, "file_mapped ", 0);
	c->inactive_file = text_u64(stat, "inactive_file ", 0);
	c->active_file = text_u64(stat, "active_file ", 0);
	c->slab = text_u64(stat, "slab ", 0);
	c->slab_reclaimable = text_u64(stat, "slab_reclaimable ", 0);
	c->sock = text_u64(stat, "sock ", 0);
	c->page_tables = text_u64(stat, "pagetables ", 0);
	c->kernel_stack = text_u64(stat, "kernel_stack ", 0);
	/* "kernel" came with Linux 5.18; before, its parts are what there is. */
	c->kernel =
		text_u64(stat, "kernel ",
			 c->slab + c->page_tables + c->kernel_stack + text_u64(stat, "percpu ", 0));
	c->swap = place_u64(p, "memory.swap.current", 0, scratch);
	c->oom_kills = text_u64(events, "oom_kill ", 0);
	c->max_events = text_u64(events, "max ", 0);
	up.below = arena_strdup(scratch, p->below);
	read_limits(&up, c, a, scratch);
}

/* Calls fn for each PID of the cgroup and of those below it, until fn returns false. */
static bool walk(int folder, int depth, bool (*fn)(void *ctx, int pid), void *ctx)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	CLEANUP(cleanup_dir) DIR *d = NULL;
	char *text;
	size_t n;

	/* A threaded cgroup refuses to list processes; its domain above has listed them. */
	if (file_read(folder, "cgroup.procs", (size_t)64 << 20, &scratch, &text, &n, NULL)) {
		const char *at = text;
		uint64_t pid;

		/* 0 is a process of another PID namespace. */
		for (; str_u64(&at, false, &pid) && pid <= INT32_MAX; at += *at == '\n')
			if (pid && !fn(ctx, (int)pid))
				return false;
	}
	arena_free(&scratch);
	d = depth < DEPTH_MAX ? fdopendir(openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC))
			      : NULL;
	for (struct dirent *e; d && (e = readdir(d));) {
		CLEANUP(cleanup_fd) int sub = -1;

		if (e->d_name[0] == '.' || (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN))
			continue;
		sub = openat(folder, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (sub >= 0 && !walk(sub, depth + 1, fn, ctx))
			return false;
	}
	return true;
}

struct others {
	struct cgroup_facts *c;
	int proc, pid;
};

static bool add_other(void *ctx, int pid)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	struct others *w = ctx;
	uint64_t size, resident, shared;
	const char *at;
	char *text;

	w->c->processes++;
	if (pid != w->pid && file_read(w->proc, arena_printf(&scratch, "%d/statm", pid), 4096,
				       &scratch, &text, NULL, NULL)) {
		at = text;
		if (str_u64(&at, false, &size) && *at++ == ' ' && str_u64(&at, false, &resident) &&
		    *at++ == ' ' && str_u64(&at, false, &shared)) {
			w->c->others_rss += resident * OS_PAGE;
			w->c->others_anon += (resident - MIN(shared, resident)) * OS_PAGE;
		}
	}
	return w->c->processes < PROCESSES_MAX;
}

struct cgroup_facts *cgroup_read(const struct live_options *o, int dir, int pid, struct arena *a)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	CLEANUP(cleanup_fd) int folder = -1;
	CLEANUP(cleanup_fd) int proc = open(proc_root(o), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct cgroup_facts *c;
	struct place p;
	bytes current;

	if (!place_find(o, dir, "memory", &scratch, &p))
		return NULL;
	/* The controller may be off in the cgroup itself: then the nearest ancestor is charged. */
	while ((current = place_u64(&p, usage_file(p.version), UINT64_MAX, &scratch)) == UINT64_MAX)
		if (p.version == 1 || !place_up(&p))
			return NULL;
	c = ARENA_NEW(a, struct cgroup_facts);
	c->version = p.version;
	c->path = place_path(&p, a);
	c->current = current;
	if (p.version == 1)
		read_v1(&p, c, a, &scratch);
	else
		read_v2(&p, c, a, &scratch);
	c->working_set = current - MIN(current, c->inactive_file);
	folder = open(arena_printf(&scratch, "%s%s", p.base, p.below),
		      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder >= 0)
		walk(folder, 0, add_other, &(struct others){c, proc, pid});
	return c;
}

struct cgroup_meter {
	struct place p; /* of the tightest limit */
	bytes limit;
};

bool cgroup_meter_open(int pid, const struct live_options *o, struct arena *a,
		       struct cgroup_meter **ret)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	CLEANUP(cleanup_fd)
	int dir = open(arena_printf(&scratch, "%s/%d", proc_root(o), pid),
		       O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct cgroup_meter m = {.limit = UINT64_MAX};
	struct place p, top;
	bytes above = UINT64_MAX;

	if (dir < 0 || !place_find(o, dir, "memory", &scratch, &p))
		return false;
	if (p.version == 1)
		above = text_u64(place_text(&p, "memory.stat", &scratch),
				 "hierarchical_memory_limit ", UINT64_MAX);
	do {
		bytes limit = place_limit(
			&p, p.version == 1 ? "memory.limit_in_bytes" : "memory.max", &scratch);

		top = p;
		top.below = arena_strdup(a, p.below);
		if (limit < m.limit) {
			m.limit = limit;
			m.p = top;
		}
	} while (place_up(&p));
	/* an ancestor that is not visible here: its limit is known, its usage is not */
	if (above < (bytes)1 << 62 && above < m.limit) {
		m.limit = above;
		m.p = top;
	}
	if (m.limit == UINT64_MAX)
		return false;
	m.p.base = arena_strdup(a, m.p.base);
	m.p.hidden = arena_strdup(a, m.p.hidden);
	*ret = ARENA_NEW(a, struct cgroup_meter);
	**ret = m;
	return true;
}

bool cgroup_meter_read(const struct cgroup_meter *m, struct cgroup_level *ret)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	bool v1 = m->p.version == 1;
	bytes current = place_u64(&m->p, usage_file(m->p.version), UINT64_MAX, &scratch), back;
	const char *stat = place_text(&m->p, "memory.stat", &scratch);

	if (current == UINT64_MAX)
		return false;
	/* as ledger/findings.c counts */
	back = v1 ? text_u64(stat, "total_inactive_file ", 0) +
			       text_u64(stat, "total_active_file ", 0)
		  : text_u64(stat, "inactive_file ", 0) + text_u64(stat, "active_file ", 0) +
			       text_u64(stat, "slab_reclaimable ", 0);
	*ret = (struct cgroup_level){
		.limit = m->limit,
		.current = current,
		.held = current - MIN(current, back),
		.oom_kills = text_u64(
			place_text(&m->p, v1 ? "memory.oom_control" : "memory.events", &scratch),
			"oom_kill ", 0)};
	return true;
}

/* Quota and period of one cgroup as CPUs, rounded up; UINT32_MAX: none. */
static uint32_t cpus_of(const struct place *p, struct arena *scratch)
{
	uint64_t quota, period = 0;

	if (p->version == 1) {
		/* "-1", which is no unsigned number, for none. */
		quota = place_u64(p, "cpu.cfs_quota_us", UINT64_MAX, scratch);
		period = place_u64(p, "cpu.cfs_period_us", 0, scratch);
	} else {
		const char *text = place_text(p, "cpu.max", scratch), *space = strchr(text, ' ');

		quota = text_u64(text, "", UINT64_MAX);
		period = space ? text_u64(space, "", 0) : 0;
	}
	if (quota >= UINT32_MAX || !period)
		return UINT32_MAX;
	return (uint32_t)MAX((quota + period - 1) / period, (uint64_t)1);
}

uint32_t cgroup_cpus(const struct live_options *o, int dir)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	struct place p;
	uint32_t least = UINT32_MAX;

	if (!place_find(o, dir, "cpu", &scratch, &p))
		return least;
	do {
		uint32_t n = cpus_of(&p, &scratch);

		least = MIN(least, n);
	} while (place_up(&p));
	return least;
}

struct pid_list {
	struct arena *a;
	VEC(int) pids;
};

static bool add_pid(void *ctx, int pid)
{
	struct pid_list *l = ctx;

	if (l->pids.n == PIDS_MAX)
		return false;
	*VEC_PUSH(l->a, &l->pids) = pid;
	return true;
}

static int compare_pids(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

/* Opens the folder that a path means: as given, or below one of the mounted hierarchies. */
static int open_cgroup(const struct live_options *o, const char *path, struct arena *scratch)
{
	const char *root = o && o->cgroupfs ? o->cgroupfs : "/sys/fs/cgroup";
	bool whole = str_starts(path, root); /* it names the mounted folder itself */
	const char *slash = whole || *path == '/' ? "" : "/";
	const char *base[8];
	struct mount_row row;
	size_t n = 0;

	if (whole)
		base[n++] = "";
	for (int version = 1; version <= 2 && !(o && o->cgroupfs); version++)
		if (find_mount(o, version, "memory", scratch, &row))
			base[n++] = row.point;
	base[n++] = conventional(root, 1, "memory", scratch);
	base[n++] = conventional(root, 2, "memory", scratch);
	base[n++] = root;
	for (size_t i = 0; i < n; i++) {
		int fd = open(arena_printf(scratch, "%s%s%s", base[i], slash, path),
			      O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0 && faccessat(fd, "cgroup.procs", F_OK, 0) == 0)
			return fd;
		cleanup_fd(&fd);
	}
	return -1;
}

bool cgroup_pids(const struct live_options *o, const char *path, struct arena *a, int **ret,
		 uint32_t *ret_n, struct err *err)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	CLEANUP(cleanup_fd) int folder = is_safe_path(path) ? open_cgroup(o, path, &scratch) : -1;
	struct pid_list l = {.a = a};
	uint32_t n = 0;

	if (folder < 0)
		return err_set(err, ERR_USAGE, "no cgroup %s is visible here", path);
	walk(folder, 0, add_pid, &l);
	if (l.pids.n)
		qsort(l.pids.v, l.pids.n, sizeof(*l.pids.v), compare_pids);
	for (uint32_t i = 0; i < l.pids.n; i++)
		if (n == 0 || l.pids.v[n - 1] != l.pids.v[i])
			l.pids.v[n++] = l.pids.v[i];
	*ret = l.pids.v;
	*ret_n = n;
	return true;
}
