/* Internal to target/: the small text files of /proc, and the sentence for a refusal. */
#ifndef TARGET_PROCFS_H
#define TARGET_PROCFS_H

#include "target/target.h"

/** Longest /proc file that is read whole, but for maps. */
#define PROC_TEXT_MAX (1U << 20)

/** The folders in use; o may be NULL. proc_sys is NULL for another proc root without its own. */
const char *proc_root(const struct live_options *o);
const char *proc_sys(const struct live_options *o);

/** From /proc/PID/stat. */
struct proc_stat {
	char comm[64];
	char state;
	bool kernel_thread;
	uint64_t start_ticks;
};
bool proc_stat_parse(const char *text, struct proc_stat *ret);

/** From /proc/PID/status; 0 where a line is missing. */
struct proc_status {
	bool has_memory; /* a kernel thread and a zombie have no VmSize line */
	bytes rss, anon, file, shmem, hwm, swap, page_tables, vm_size, hugetlb;
	uint64_t tgid; /* of the process whose thread it is */
	uint32_t uid;
	uint32_t n_cpus;   /* bits of Cpus_allowed */
	uint32_t ns_depth; /* numbers on the NStgid line */
	uint64_t ns_pid;   /* the last of them: its PID where it runs */
	uint64_t tracer;
};
void proc_status_parse(const char *text, struct proc_status *ret);

/** Both, read through the folder of the process. `pid` is for the message. */
bool proc_stat_read(int dir, int pid, struct proc_stat *ret, struct err *err);
bool proc_status_read(int dir, int pid, struct proc_status *ret, struct err *err);

/** What follows `key` at the start of a line, blanks skipped; NULL when no line has it. */
const char *text_field(const char *text, const char *key);
/** A number at such a place, `or` when there is none. text_kib: times 1024. */
uint64_t text_u64(const char *text, const char *key, uint64_t or);
bytes text_kib(const char *text, const char *key, bytes or);

/** A line of mountinfo; the strings lie in the text, unescaped. */
struct mount_row {
	uint32_t dev; /* major << 20 | minor */
	const char *root, *point, *type, *super;
};
/** Takes the next well-formed line off *text, which is changed in place; false at the end. */
bool mount_next(char **text, struct mount_row *ret);

/** major << 20 | minor, as struct mapping has it, of a dev_t. */
uint32_t dev_number(uint64_t st_dev);

/**
 * Sets *err for a failed access to a process, from errno: ERR_GONE, ERR_PERM with what would allow
 * it, or ERR_OS naming `what`. Returns false.
 */
bool proc_failed(const char *root, int dir, int pid, const char *what, struct err *err);

/** Opens the file behind a mapping, through the folder of its process; -1: it can't be had. */
int proc_mapped_file(int dir, const struct mapping *m);

#endif
