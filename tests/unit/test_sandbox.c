/*
 * The filter holds: each thing that a command must not do works before sandbox_enter and fails
 * after it, in a child of its own; what it needs still works.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "front/sandbox.h"

static char dir[] = "/tmp/whyrss-sandbox-XXXXXX";
static char file[64], other[64];
static pid_t victim; /* a process that may be hurt */
static char word[8] = "harmless";

/* ---- what must not be possible ---- */

static bool run_program(void)
{
	char *argv[] = {(char *)"true", NULL};

	execv("/bin/true", argv); /* the child ends with 0: it was possible */
	return false;
}
static bool fork_child(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid > 0;
}
static bool fork_raw(void)
{
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return pid > 0;
}
static bool open_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}
static bool open_unix_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0) >= 0;
}
static bool open_writing(void)
{
	return open(file, O_WRONLY | O_CLOEXEC) >= 0;
}
static bool open_both(void)
{
	return syscall(SYS_open, file, O_RDWR, 0) >= 0;
}
static bool open_new(void)
{
	return open(other, O_RDONLY | O_CREAT | O_CLOEXEC, 0600) >= 0;
}
static bool open_cut(void)
{
	return open(file, O_RDONLY | O_TRUNC | O_CLOEXEC) >= 0;
}
static bool open_2(void)
{
	struct open_how how = {.flags = O_WRONLY};

	return syscall(SYS_openat2, AT_FDCWD, file, &how, sizeof(how)) >= 0;
}
static bool link_nameless(void)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, path, AT_FDCWD, other, AT_SYMLINK_FOLLOW) == 0;
}
static bool make_folder(void)
{
	return mkdir(other, 0700) == 0;
}
static bool take_name(void)
{
	return unlink(file) == 0;
}
static bool change_name(void)
{
	return rename(file, other) == 0;
}
static bool change_mode(void)
{
	return chmod(file, 0644) == 0;
}
static bool signal_process(void)
{
	return kill(victim, SIGCONT) == 0;
}
static bool signal_all(void)
{
	return kill(0, 0) == 0;
}
static bool signal_thread(void)
{
	return syscall(SYS_tgkill, victim, victim, SIGCONT) == 0;
}
static bool trace_process(void)
{
	return ptrace(PTRACE_SEIZE, victim, NULL, NULL) == 0;
}
static bool write_process(void)
{
	struct iovec v = {word, sizeof(word)};

	return process_vm_writev(victim, &v, 1, &v, 1, 0) == sizeof(word);
}
static bool write_process_file(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", victim);
	return open(path, O_RDWR | O_CLOEXEC) >= 0;
}
static bool limit_process(void)
{
	struct rlimit r;

	return prlimit(victim, RLIMIT_NOFILE, NULL, &r) == 0;
}
static bool run_data(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
	       MAP_FAILED;
}
static bool run_file(void)
{
	CLEANUP(cleanup_fd) int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) != MAP_FAILED;
}
static bool make_runnable(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0;
}
static bool name_space(void)
{
	return unshare(CLONE_FILES) == 0;
}
static bool change_process(void)
{
	return prctl(PR_SET_DUMPABLE, 1) == 0;
}
static bool call_32_bit(void)
{
	/* x32: the same call by another number; also unknown to kernels without x32 */
	return syscall(0x40000000 + SYS_getpid) == getpid();
}

static const struct {
	const char *name;
	bool (*can)(void);
	unsigned allowed_by; /* it works again with this flag */
	bool maybe;	     /* this kernel or container may refuse it anyway */
} FORBIDDEN[] = {
	{"exec", run_program, SANDBOX_RUN, false},
	{"fork", fork_child, SANDBOX_RUN, false},
	{"fork by clone", fork_raw, SANDBOX_RUN, false},
	{"socket", open_socket, SANDBOX_NET, false},
	{"unix socket", open_unix_socket, SANDBOX_NET, false},
	{"open for writing", open_writing, SANDBOX_WRITE, false},
	{"open for both", open_both, SANDBOX_WRITE, false},
	{"create", open_new, SANDBOX_WRITE, false},
	{"truncate", open_cut, SANDBOX_WRITE, false},
	{"openat2", open_2, 0, true},
	{"nameless file gets a name", link_nameless, SANDBOX_WRITE, true},
	{"mkdir", make_folder, SANDBOX_WRITE, false},
	{"unlink", take_name, SANDBOX_WRITE, false},
	{"rename", change_name, SANDBOX_WRITE, false},
	{"chmod", change_mode, 0, false},
	{"kill", signal_process, SANDBOX_CHILD, false},
	{"kill all", signal_all, 0, false},
	{"tgkill", signal_thread, 0, false},
	{"ptrace", trace_process, SANDBOX_STOP, true},
	{"process_vm_writev", write_process, 0, true},
	{"write /proc/PID/mem", write_process_file, SANDBOX_WRITE, true},
	{"prlimit", limit_process, 0, false},
	{"map code", run_data, SANDBOX_NET, false},
	{"map a file's code", run_file, SANDBOX_NET | SANDBOX_CODE | SANDBOX_RUN, false},
	{"make code", make_runnable, SANDBOX_NET, false},
	{"unshare", name_space, 0, false},
	{"prctl", change_process, 0, false},
	{"x32 call", call_32_bit, 0, true},
};

/* ---- what it needs ---- */

static void *thread(void *arg)
{
	return arg;
}

static bool works(void)
{
	CLEANUP(cleanup_fd) int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	struct iovec to = {(char[8]){0}, 8}, from = {word, 8};
	char text[64];
	pthread_t t;
	void *got = NULL, *big = malloc((size_t)64 << 20);
	FILE *f = fopen(file, "re");
	CLEANUP(cleanup_fd) int nameless = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (nameless < 0 ? errno != EOPNOTSUPP : pwrite(nameless, word, 8, 4096) != 8)
		return false;
	if (fd < 0 || read(fd, text, sizeof(text)) != sizeof(text) || !big || !f)
		return false;
	free(big);
	fclose(f);
	if (pthread_create(&t, NULL, thread, word) != 0 || pthread_join(t, &got) != 0)
		return false;
	if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) != 8 && errno != EPERM)
		return false; /* a container may forbid it */
	return got == word && write(STDOUT_FILENO, "", 0) == 0;
}

/* ---- */

/* 0: it was possible; 1: it was not; else: it went wrong. */
static int in_child(bool (*can)(void), bool inside, unsigned allow)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (inside && !sandbox_enter(allow, allow & SANDBOX_CHILD ? victim : 0).filter)
			_exit(3);
		_exit(!can());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

static void put_files(void)
{
	rmdir(other);
	unlink(other);
	int fd = open(file, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static int start(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(file, sizeof(file), "%s/file", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	victim = fork();
	if (victim == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return victim > 0 ? 0 : -1;
}

static int stop(void **state)
{
	(void)state;
	kill(victim, SIGKILL);
	waitpid(victim, NULL, 0);
	unlink(file);
	unlink(other);
	return rmdir(dir);
}

static void the_filter_holds(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(FORBIDDEN); i++) {
		int before, after;

		put_files();
		before = in_child(FORBIDDEN[i].can, false, 0);
		if (before != 0 && !(FORBIDDEN[i].maybe && before == 1))
			fail_msg("%s: without the filter: %d", FORBIDDEN[i].name, before);
		put_files();
		after = in_child(FORBIDDEN[i].can, true, 0);
		if (after != 1)
			fail_msg("%s: with the filter: %d", FORBIDDEN[i].name, after);
		for (unsigned flag = 1; flag <= SANDBOX_CHILD; flag *= 2) {
			put_files();
			after = in_child(FORBIDDEN[i].can, true, flag);
			if (after != !(FORBIDDEN[i].allowed_by & flag) && before == 0)
				fail_msg("%s: with flag %u: %d", FORBIDDEN[i].name, flag, after);
		}
	}
}

static void what_is_needed_works(void **state)
{
	(void)state;
	put_files();
	for (unsigned allow = 0; allow < 2 * SANDBOX_CHILD; allow++)
		assert_int_equal(in_child(works, true, allow), 0);
}

/* Read from outside, since the filter has no capget. */
static void rights_are_dropped(void **state)
{
	int ready[2];
	char path[64], line[256], c;
	unsigned long long caps = UINT64_MAX;
	int nnp = 0, seccomp = 0;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		struct sandbox s = sandbox_enter(0, 0);
		close(ready[0]);
		write(ready[1], s.filter && s.no_new_privs && s.capabilities ? "y" : "n", 1);
		for (;;)
			sleep(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(c, 'y');
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "CapPrm: %llx", &caps);
		sscanf(line, "NoNewPrivs: %d", &nnp);
		sscanf(line, "Seccomp: %d", &seccomp);
	}
	fclose(f);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ready[0]);
	assert_int_equal(nnp, 1);
	assert_int_equal(seccomp, 2);
	assert_int_equal(caps & ~(1ULL << CAP_SYS_PTRACE | 1ULL << CAP_DAC_READ_SEARCH |
				  1ULL << CAP_CHECKPOINT_RESTORE),
			 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_filter_holds),
		cmocka_unit_test(what_is_needed_works),
		cmocka_unit_test(rights_are_dropped),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
