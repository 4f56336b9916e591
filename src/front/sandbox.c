/*
 * A filter of system calls by hand: a table of what may pass, made into a BPF program. Hostile
 * bytes that take over this program then cannot start another one, open a socket, write a file or
 * touch a process. Opening for reading stays: mappings, threads and cgroups are listed anew for
 * each try. So do the capabilities that this takes; the call that they would be worth most for,
 * ptrace, is filtered.
 *
 * What is not in the table fails with ENOSYS, as on a kernel that does not have it: glibc then
 * falls back to what is. openat2 and clone3 hide their flags from a filter and are left out for it.
 */
#include "front/sandbox.h"

#include <asm/unistd.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum test {
	ANY,
	NONE_OF, /* no bit of `value` is set in the argument */
	HAS,	 /* all of its bits are */
	IS,
	IS_NOT,
	IS_SELF,  /* the argument is this process */
	IS_CHILD, /* or the child that was named */
};

/** A system call that passes when an argument (its low 32 bits) passes the test. */
struct pass {
	uint32_t call;
	uint8_t arg;
	uint8_t test; /* enum test */
	uint32_t value;
	uint32_t when; /* only when one of these flags is allowed; 0: always */
};

/* A call passes when one of its rows lets it. Frequent calls are first. */
#define CHANGES (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))

/* flags of a fork, of one by posix_spawn, and the signal at its end */
#define FORK (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_VM | CLONE_VFORK | 0xff)

static const struct pass PASSES[] = {
	{__NR_pread64, 0, ANY, 0, 0},
	{__NR_process_vm_readv, 0, ANY, 0, 0},
	{__NR_read, 0, ANY, 0, 0},
	{__NR_openat, 0, ANY, 0, SANDBOX_WRITE},
	{__NR_openat, 2, NONE_OF, CHANGES, 0},
	{__NR_openat, 2, HAS, O_TMPFILE, 0}, /* a file without a name: room to unpack a core */
	{__NR_close, 0, ANY, 0, 0},
	/* types input into a terminal as if the user had */
	{__NR_ioctl, 1, IS_NOT, TIOCSTI, 0},
	{__NR_mmap, 2, ANY, 0, SANDBOX_NET},
	{__NR_mmap, 2, NONE_OF, PROT_EXEC, 0},
	{__NR_mmap, 3, NONE_OF, MAP_ANONYMOUS, SANDBOX_CODE | SANDBOX_RUN},
	{__NR_mprotect, 2, ANY, 0, SANDBOX_NET},
	{__NR_mprotect, 2, NONE_OF, PROT_EXEC, 0},
	{__NR_munmap, 0, ANY, 0, 0},
	{__NR_mremap, 0, ANY, 0, 0},
	{__NR_madvise, 0, ANY, 0, 0},
	{__NR_brk, 0, ANY, 0, 0},
	{__NR_fstat, 0, ANY, 0, 0},
	{__NR_newfstatat, 0, ANY, 0, 0},
	{__NR_getdents64, 0, ANY, 0, 0},
	{__NR_readlinkat, 0, ANY, 0, 0},
	{__NR_readlink, 0, ANY, 0, 0},
	{__NR_write, 0, ANY, 0, 0},
	{__NR_writev, 0, ANY, 0, 0},
	{__NR_lseek, 0, ANY, 0, 0},
	{__NR_readv, 0, ANY, 0, 0},
	{__NR_preadv, 0, ANY, 0, 0},
	{__NR_open, 0, ANY, 0, SANDBOX_WRITE},
	{__NR_open, 1, NONE_OF, CHANGES, 0},
	{__NR_stat, 0, ANY, 0, 0},
	{__NR_lstat, 0, ANY, 0, 0},
	{__NR_statx, 0, ANY, 0, 0},
	{__NR_statfs, 0, ANY, 0, 0},
	{__NR_fstatfs, 0, ANY, 0, 0},
	{__NR_access, 0, ANY, 0, 0},
	{__NR_faccessat, 0, ANY, 0, 0},
	{__NR_faccessat2, 0, ANY, 0, 0},
	{__NR_getcwd, 0, ANY, 0, 0},
	{__NR_capget, 0, ANY, 0, 0}, /* why a process can't be read */
	{__NR_fcntl, 0, ANY, 0, 0},
	{__NR_memfd_create, 0, ANY, 0, 0},
	{__NR_pwrite64, 0, ANY, 0, 0}, /* nothing but such files is open for writing */
	{__NR_ftruncate, 0, ANY, 0, 0},
	{__NR_fadvise64, 0, ANY, 0, 0},
	{__NR_dup, 0, ANY, 0, 0},
	{__NR_dup2, 0, ANY, 0, 0},
	{__NR_dup3, 0, ANY, 0, 0},
	{__NR_pipe2, 0, ANY, 0, 0},
	{__NR_eventfd2, 0, ANY, 0, 0},
	{__NR_timerfd_create, 0, ANY, 0, 0},
	{__NR_timerfd_settime, 0, ANY, 0, 0},
	{__NR_signalfd4, 0, ANY, 0, 0},
	{__NR_poll, 0, ANY, 0, 0},
	{__NR_ppoll, 0, ANY, 0, 0},
	{__NR_select, 0, ANY, 0, 0},
	{__NR_pselect6, 0, ANY, 0, 0},
	{__NR_epoll_create1, 0, ANY, 0, 0},
	{__NR_epoll_ctl, 0, ANY, 0, 0},
	{__NR_epoll_wait, 0, ANY, 0, 0},
	{__NR_epoll_pwait, 0, ANY, 0, 0},
	{__NR_pidfd_open, 0, ANY, 0, 0},
	{__NR_futex, 0, ANY, 0, 0},
	{__NR_clone, 0, HAS, CLONE_THREAD, 0},
	{__NR_set_robust_list, 0, ANY, 0, 0},
	{__NR_rseq, 0, ANY, 0, 0},
	{__NR_arch_prctl, 0, ANY, 0, 0},
	{__NR_set_tid_address, 0, ANY, 0, 0},
	{__NR_sched_yield, 0, ANY, 0, 0},
	{__NR_sched_getaffinity, 0, ANY, 0, 0},
	{__NR_membarrier, 0, ANY, 0, 0},
	{__NR_rt_sigaction, 0, ANY, 0, 0},
	{__NR_rt_sigprocmask, 0, ANY, 0, 0},
	{__NR_rt_sigreturn, 0, ANY, 0, 0},
	{__NR_rt_sigtimedwait, 0, ANY, 0, 0},
	{__NR_sigaltstack, 0, ANY, 0, 0},
	{__NR_restart_syscall, 0, ANY, 0, 0},
	{__NR_tgkill, 0, IS_SELF, 0, 0},
	{__NR_kill, 0, IS_SELF, 0, 0}, /* Ctrl-Z, in ncurses */
	{__NR_kill, 0, IS_CHILD, 0, SANDBOX_CHILD},
	{__NR_clock_gettime, 0, ANY, 0, 0},
	{__NR_clock_getres, 0, ANY, 0, 0},
	{__NR_clock_nanosleep, 0, ANY, 0, 0},
	{__NR_nanosleep, 0, ANY, 0, 0},
	{__NR_gettimeofday, 0, ANY, 0, 0},
	{__NR_time, 0, ANY, 0, 0},
	{__NR_getrandom, 0, ANY, 0, 0},
	{__NR_uname, 0, ANY, 0, 0},
	{__NR_sysinfo, 0, ANY, 0, 0},
	{__NR_getrusage, 0, ANY, 0, 0},
	{__NR_prlimit64, 0, IS, 0, 0}, /* of itself */
	{__NR_getrlimit, 0, ANY, 0, 0},
	{__NR_getpid, 0, ANY, 0, 0},
	{__NR_getppid, 0, ANY, 0, 0},
	{__NR_getpgrp, 0, ANY, 0, 0},
	{__NR_gettid, 0, ANY, 0, 0},
	{__NR_getuid, 0, ANY, 0, 0},
	{__NR_geteuid, 0, ANY, 0, 0},
	{__NR_getgid, 0, ANY, 0, 0},
	{__NR_getegid, 0, ANY, 0, 0},
	{__NR_exit, 0, ANY, 0, 0},
	{__NR_exit_group, 0, ANY, 0, 0},

	{__NR_ptrace, 0, ANY, 0, SANDBOX_STOP},
	{__NR_wait4, 0, ANY, 0, SANDBOX_STOP | SANDBOX_RUN | SANDBOX_CHILD},

	{__NR_execve, 0, ANY, 0, SANDBOX_RUN},
	{__NR_clone, 0, NONE_OF, ~(uint32_t)FORK, SANDBOX_RUN},
	{__NR_vfork, 0, ANY, 0, SANDBOX_RUN},

	{__NR_pwritev, 0, ANY, 0, SANDBOX_WRITE},
	{__NR_fallocate, 0, ANY, 0, SANDBOX_WRITE},
	{__NR_fsync, 0, ANY, 0, SANDBOX_WRITE},
	{__NR_fdatasync, 0, ANY, 0, SANDBOX_WRITE},
	{__NR_msync, 0, ANY, 0, SANDBOX_WRITE},
	{__NR_flock, 0, ANY, 0, SANDBOX_WRITE},
	{__NR_rename, 0, ANY, 0, SANDBOX_WRITE},
	{__NR_renameat, 0, ANY, 0, SANDBOX_WRITE},
	{__NR_renameat2, 0, ANY, 0, SANDBOX_WRITE},
	{__NR_link, 0, ANY, 0, SANDBOX_WRITE},
	{__NR_linkat, 0, ANY, 0, SANDBOX_WRITE},
	{__NR_unlink, 0, ANY, 0, SANDBOX_WRITE},
	{__NR_unlinkat, 0, ANY, 0, SANDBOX_WRITE},
	{__NR_mkdir, 0, ANY, 0, SANDBOX_WRITE},
	{__NR_mkdirat, 0, ANY, 0, SANDBOX_WRITE},
	{__NR_rmdir, 0, ANY, 0, SANDBOX_WRITE},
	{__NR_fchmod, 0, ANY, 0, SANDBOX_WRITE},
	{__NR_fchown, 0, ANY, 0, SANDBOX_WRITE},
	{__NR_utimensat, 0, ANY, 0, SANDBOX_WRITE},
	{__NR_umask, 0, ANY, 0, SANDBOX_WRITE},

	{__NR_socket, 0, ANY, 0, SANDBOX_NET},
	{__NR_socketpair, 0, ANY, 0, SANDBOX_NET},
	{__NR_bind, 0, ANY, 0, SANDBOX_NET},
	{__NR_listen, 0, ANY, 0, SANDBOX_NET},
	{__NR_accept, 0, ANY, 0, SANDBOX_NET},
	{__NR_accept4, 0, ANY, 0, SANDBOX_NET},
	{__NR_connect, 0, ANY, 0, SANDBOX_NET},
	{__NR_shutdown, 0, ANY, 0, SANDBOX_NET},
	{__NR_getsockname, 0, ANY, 0, SANDBOX_NET},
	{__NR_getpeername, 0, ANY, 0, SANDBOX_NET},
	{__NR_getsockopt, 0, ANY, 0, SANDBOX_NET},
	{__NR_setsockopt, 0, ANY, 0, SANDBOX_NET},
	{__NR_sendto, 0, ANY, 0, SANDBOX_NET},
	{__NR_recvfrom, 0, ANY, 0, SANDBOX_NET},
	{__NR_sendmsg, 0, ANY, 0, SANDBOX_NET},
	{__NR_sendmmsg, 0, ANY, 0, SANDBOX_NET},
	{__NR_recvmsg, 0, ANY, 0, SANDBOX_NET},
	{__NR_sendfile, 0, ANY, 0, SANDBOX_NET},
};

#define FAIL(code) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (code))
#define PASS	   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define LOAD(what) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, what))
#define X32	   0x40000000U
#define NEW_CALLS  __NR_pidfd_send_signal /* Linux 5.1; clone3 and openat2 are above it */
#define ROW_MAX	   6U			  /* instructions of one row */

/* Adds the instructions of a row; the number of the call is loaded before and after. */
static struct sock_filter *add_row(struct sock_filter *f, const struct pass *p, int child)
{
	uint32_t value = p->test == IS_SELF    ? (uint32_t)getpid()
			 : p->test == IS_CHILD ? (uint32_t)child
					       : p->value;
	bool mask = p->test == HAS;

	if (p->test == ANY) {
		*f++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, p->call, 0, 1);
		*f++ = (struct sock_filter)PASS;
		return f;
	}
	*f++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, p->call, 0, mask ? 5 : 4);
	*f++ = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS,
		(uint32_t)(offsetof(struct seccomp_data, args) + 8U * p->arg));
	if (mask)
		*f++ = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, value);
	if (p->test == NONE_OF)
		*f++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, value, 1, 0);
	else if (p->test == IS_NOT)
		*f++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0);
	else
		*f++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
	*f++ = (struct sock_filter)PASS;
	*f++ = (struct sock_filter)LOAD(nr);
	return f;
}

static bool filter_calls(unsigned allow, int child)
{
	struct sock_filter program[9 + ARRAY_LEN(PASSES) * ROW_MAX], *f = program;
	struct sock_fprog all = {.filter = program};

	*f++ = (struct sock_filter)LOAD(arch);
	*f++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
	*f++ = (struct sock_filter)FAIL(ENOSYS);
	*f++ = (struct sock_filter)LOAD(nr);
	*f++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32, 0, 1);
	*f++ = (struct sock_filter)FAIL(ENOSYS);
	for (size_t i = 0; i < ARRAY_LEN(PASSES); i++)
		if (!PASSES[i].when || PASSES[i].when & allow)
			f = add_row(f, &PASSES[i], child);
	/* a call that is newer than the rest: glibc has another way */
	*f++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, NEW_CALLS, 0, 1);
	*f++ = (struct sock_filter)FAIL(ENOSYS);
	*f++ = (struct sock_filter)FAIL(EPERM);
	all.len = (unsigned short)(f - program);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &all) ==
		       0 ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all) == 0;
}

/* Keeps what the kernel asks for where a process of another user is read: its memory and mappings,
 * its folder in /proc, and the files behind its mappings. */
static bool drop_capabilities(unsigned allow)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}, {0}};
	static const struct {
		unsigned cap, when;
	} kept[] = {{CAP_SYS_PTRACE, 0},
		    {CAP_DAC_READ_SEARCH, 0},
		    {CAP_CHECKPOINT_RESTORE, 0},
		    {CAP_KILL, SANDBOX_CHILD}}; /* it may have become another user */
	uint32_t had[2];

	if (syscall(SYS_capget, &head, data) != 0)
		return false;
	had[0] = data[0].permitted;
	had[1] = data[1].permitted;
	data[0] = data[1] = (struct __user_cap_data_struct){0};
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		uint32_t bit = 1U << kept[i].cap % 32, word = kept[i].cap / 32;

		if (kept[i].when && !(kept[i].when & allow))
			continue;
		data[word].permitted |= bit & had[word];
		data[word].effective |= bit & had[word];
	}
	return syscall(SYS_capset, &head, data) == 0;
}

struct sandbox sandbox_enter(unsigned allow, int child)
{
	struct sandbox s = {0};

	assert(!(allow & SANDBOX_CHILD) == !child && child >= 0);
	s.no_new_privs = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
	/* Writing files is what root's other rights are for. */
	s.capabilities = allow & (SANDBOX_WRITE | SANDBOX_NET) || drop_capabilities(allow);
	s.filter = s.no_new_privs && filter_calls(allow, child);
	return s;
}
