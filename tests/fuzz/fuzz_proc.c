/*
 * The kernel's texts: a tree of /proc and cgroup files made from the input, which is files one
 * after the other, each headed by a line "@PATH" with one of the names below. What the kernel
 * writes can be believed; names, paths and comm in it cannot, nor can a tree that is given by hand.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "target/target.h"

#define PID 4711

static const char *const FILES[] = {
	"proc/4711/maps",
	"proc/4711/smaps",
	"proc/4711/smaps_rollup",
	"proc/4711/status",
	"proc/4711/stat",
	"proc/4711/cgroup",
	"proc/4711/mountinfo",
	"proc/4711/cmdline",
	"proc/4711/task/4711/syscall",
	"proc/self/mountinfo",
	"proc/meminfo",
	"proc/uptime",
	"sys/kernel/mm/transparent_hugepage/enabled",
	"sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none",
	"cgroup/cgroup.controllers",
	"cgroup/a/cgroup.procs",
	"cgroup/a/memory.current",
	"cgroup/a/memory.max",
	"cgroup/a/memory.high",
	"cgroup/a/memory.swap.max",
	"cgroup/a/memory.swap.current",
	"cgroup/a/memory.stat",
	"cgroup/a/memory.events",
	"cgroup/a/cpu.max",
	"cgroup/memory/a/cgroup.procs",
	"cgroup/memory/a/memory.stat",
	"cgroup/memory/a/memory.usage_in_bytes",
	"cgroup/memory/a/memory.limit_in_bytes",
	"cgroup/memory/a/memory.memsw.limit_in_bytes",
	"cgroup/memory/a/memory.oom_control",
	"cgroup/cpu/a/cpu.cfs_quota_us",
	"cgroup/cpu/a/cpu.cfs_period_us",
};

static char root[64], proc[96], cgroup[96], sys[96];
static int folder;

static void remove_tree(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	if (system(command) != 0)
		perror(root);
}

static void make_folders(void)
{
	const char *shm = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	snprintf(root, sizeof(root), "%s/whyrss-fuzz-XXXXXX", shm);
	if (!mkdtemp(root) || (folder = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
		abort();
	snprintf(proc, sizeof(proc), "%s/proc", root);
	snprintf(cgroup, sizeof(cgroup), "%s/cgroup", root);
	snprintf(sys, sizeof(sys), "%s/sys", root);
	atexit(remove_tree);
	for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
		char path[128];
		snprintf(path, sizeof(path), "%s", FILES[i]);
		for (char *slash = path; (slash = strchr(slash + 1, '/'));) {
			*slash = '\0';
			mkdirat(folder, path, 0700);
			*slash = '/';
		}
	}
}

static size_t file_of(const uint8_t *name, size_t n)
{
	size_t i = 0;

	while (i < ARRAY_LEN(FILES) && (strlen(FILES[i]) != n || memcmp(FILES[i], name, n) != 0))
		i++;
	return i;
}

/* Writes the files of the input; those that it does not have are removed. */
static void put_files(const uint8_t *data, size_t n)
{
	static bool there[ARRAY_LEN(FILES)];
	bool now[ARRAY_LEN(FILES)] = {0};

	for (size_t at = 0, end; at < n; at = end) {
		const uint8_t *line = memchr(data + at, '\n', n - at);
		size_t head = line ? (size_t)(line - data) : n, i;
		for (end = MIN(head + 1, n);
		     end < n && !(data[end] == '@' && data[end - 1] == '\n'); end++)
			;
		i = data[at] == '@' ? file_of(data + at + 1, head - at - 1) : ARRAY_LEN(FILES);
		if (i == ARRAY_LEN(FILES))
			continue;
		int fd = openat(folder, FILES[i], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		size_t body = MIN(head + 1, n);
		if (fd < 0 || write(fd, data + body, end - body) != (ssize_t)(end - body))
			abort();
		close(fd);
		now[i] = there[i] = true;
	}
	for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
		if (there[i] && !now[i])
			unlinkat(folder, FILES[i], 0);
		there[i] = now[i];
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct live_options o = {.proc = proc, .cgroupfs = cgroup, .sys = sys, .pss = true};
	struct arena a;
	struct target *t;
	struct err err = {0};

	if (!root[0])
		make_folders();
	put_files(data, n);
	if (!live_open(PID, &o, &t, &err)) {
		fuzz_failed(&err);
		return 0;
	}
	arena_init(&a, FUZZ_MEMORY);
	if (target_facts(t, &a, &err) && target_scan(t, &a, &err)) {
		const struct os_facts *os = t->os;
		bytes sum = 0;
		for (uint32_t i = 0; i < os->n_maps; i++) {
			fuzz_must(os->maps[i].start < os->maps[i].end &&
				  (i == 0 || os->maps[i - 1].end <= os->maps[i].start));
			sum += pages_in(&os->pages, os->maps[i].start, os->maps[i].end,
					PAGE_RESIDENT);
		}
		fuzz_must(sum == os->pages.resident);
	} else {
		fuzz_failed(&err);
	}
	target_close(t);
	arena_free(&a);
	return 0;
}
