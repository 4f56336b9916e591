/*
 * --freeze: PTRACE_SEIZE and PTRACE_INTERRUPT on all threads, PTRACE_DETACH at the end. The tracer
 * is a thread of its own: the kernel detaches whatever a tracer still holds when it exits, threads
 * that never came to their stop included, so that no way out of here leaves the target stopped.
 * Registers are not read and no signal is lost: one that a thread had just received is handed on at
 * the end.
 */
#include "target/freeze.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "target/procfs.h"

#define PATIENCE_NS 5000000000 /* for a thread that sits in an uninterruptible system call */
#define VFORK_NS    250000000  /* for one that waits until its child runs another program */
#define TID_MAX	    (1U << 22) /* the kernel's largest pid_max */

struct tracee {
	int tid;
	int signal; /* to be delivered when it runs again */
	bool stopped, gone;
};

struct freeze {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t turn;
	bool ready, ok, release; /* guarded by lock */
	int pid, task;
	struct arena mem;
	unsigned char *seen; /* one bit a TID */
	VEC(struct tracee) t;
	int64_t since, stopped_ns;
	struct err err;
};

/* What a file of a thread says; "" when it cannot be had. */
static const char *thread_text(struct freeze *f, int tid, const char *file, struct arena *scratch)
{
	char *text;

	return file_read(f->task, arena_printf(scratch, "%d/%s", tid, file), 4096, scratch, &text,
			 NULL, NULL)
		       ? text
		       : "";
}

/* A leader stays as a zombie until its last thread ends, and cannot be seized. */
static bool is_zombie(struct freeze *f, int tid)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	struct proc_stat st;

	return proc_stat_parse(thread_text(f, tid, "stat", &scratch), &st) &&
	       (st.state == 'Z' || st.state == 'X');
}

/* In vfork, or a clone that waits as vfork does: no signal and no tracer wakes it. */
static bool waits_in_vfork(struct freeze *f, int tid)
{
	CLEANUP(arena_free) struct arena scratch = {0};
	const char *at = thread_text(f, tid, "syscall", &scratch);
	struct proc_stat st;
	uint64_t nr;

	return str_u64(&at, false, &nr) &&
	       (nr == SYS_vfork || nr == SYS_clone || nr == SYS_clone3) &&
	       proc_stat_parse(thread_text(f, tid, "stat", &scratch), &st) && st.state == 'D';
}

static bool seize(struct freeze *f, int tid)
{
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0) {
		int os = errno;

		if (os == ESRCH || is_zombie(f, tid))
			return true; /* it ended */
		if (os == EPERM)
			return err_set(&f->err, ERR_PERM,
				       "process %d cannot be stopped: a debugger holds it, or this "
				       "user lacks "
				       "CAP_SYS_PTRACE",
				       f->pid);
		errno = os;
		return err_os(&f->err, ERR_OS, "stopping thread %d of process %d", tid, f->pid);
	}
	if (!f->since)
		f->since = clock_now();
	/* Fails only when the thread is gone, and then its end is what the wait sees. */
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	*VEC_PUSH(&f->mem, &f->t) = (struct tracee){.tid = tid};
	return true;
}

/* Seizes the threads that are not held yet; *ret_new tells how many there were. */
static bool seize_new(struct freeze *f, uint32_t *ret_new)
{
	int fd = openat(f->task, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(cleanup_dir) DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	uint32_t before = f->t.n;

	if (!d) {
		cleanup_fd(&fd);
		return err_os(&f->err, errno == ENOENT || errno == ESRCH ? ERR_GONE : ERR_OS,
			      "threads of process %d", f->pid);
	}
	for (struct dirent *e; (e = readdir(d));) {
		const char *at = e->d_name;
		uint64_t tid;

		if (!str_u64(&at, false, &tid) || *at || tid >= TID_MAX ||
		    f->seen[tid / 8] >> (tid % 8) & 1)
			continue;
		f->seen[tid / 8] = (unsigned char)(f->seen[tid / 8] | 1U << (tid % 8));
		if (!seize(f, (int)tid))
			return false;
	}
	*ret_new = f->t.n - before;
	return true;
}

/* Waits for the stop of every thread that is held. */
static bool await_stops(struct freeze *f)
{
	int64_t began = clock_now();
	struct timespec nap = {.tv_nsec = 20000};

	for (uint32_t i = 0; i < f->t.n;) {
		struct tracee *t = &f->t.v[i];
		int status = 0;
		pid_t got = t->stopped || t->gone ? -1 : waitpid(t->tid, &status, WNOHANG | __WALL);

		if (got == t->tid && WIFSTOPPED(status)) {
			t->stopped = true;
			/* No event: it was about to receive this signal. */
			t->signal = status >> 16 ? 0 : WSTOPSIG(status);
		} else if (got == 0) {
			int64_t waited = clock_now() - began;

			if (waited > VFORK_NS && waits_in_vfork(f, t->tid))
				return err_set(&f->err, ERR_OS,
					       "process %d cannot be stopped now: its thread %d "
					       "waits in vfork until "
					       "the program that it starts runs; try again, or "
					       "without --freeze (nothing was left stopped)",
					       f->pid, t->tid);
			if (waited > PATIENCE_NS)
				return err_set(&f->err, ERR_OS,
					       "thread %d of process %d did not stop within 5 s "
					       "(it waits in "
					       "the kernel); nothing was left stopped",
					       t->tid, f->pid);
			nanosleep(&nap, NULL);
			nap.tv_nsec = MIN(nap.tv_nsec * 2, 1000000);
			continue;
		} else if (got < 0 && !t->stopped && errno == EINTR) {
			continue;
		} else if (!t->stopped) {
			t->gone = true; /* it ended meanwhile */
		}
		i++;
	}
	return true;
}

static bool stop_all(struct freeze *f)
{
	uint32_t fresh = 0;

	/* A running thread can start others: look until a look finds no new one. */
	do {
		if (!seize_new(f, &fresh) || !await_stops(f))
			return false;
	} while (fresh);
	for (uint32_t i = 0; i < f->t.n; i++)
		if (f->t.v[i].stopped)
			return true;
	return err_set(&f->err, ERR_GONE, "process %d has ended", f->pid);
}

static void *tracer(void *arg)
{
	struct freeze *f = arg;
	bool ok = stop_all(f);

	pthread_mutex_lock(&f->lock);
	f->ok = ok;
	f->ready = true;
	pthread_cond_broadcast(&f->turn);
	while (ok && !f->release)
		pthread_cond_wait(&f->turn, &f->lock);
	pthread_mutex_unlock(&f->lock);
	for (uint32_t i = 0; i < f->t.n; i++)
		if (f->t.v[i].stopped)
			ptrace(PTRACE_DETACH, f->t.v[i].tid, NULL,
			       (void *)(intptr_t)f->t.v[i].signal);
	f->stopped_ns = f->since ? clock_now() - f->since : 0;
	return NULL; /* and the kernel detaches what is left */
}

static void freeze_free(struct freeze *f)
{
	pthread_cond_destroy(&f->turn);
	pthread_mutex_destroy(&f->lock);
	cleanup_fd(&f->task);
	arena_free(&f->mem);
	free(f);
}

bool freeze_start(int pid, int task, struct freeze **ret, struct err *err)
{
	struct freeze *f = calloc(1, sizeof(*f));
	int failed;

	if (!f)
		return err_os(err, ERR_OS, "stopping process %d", pid);
	f->pid = pid;
	f->task = fcntl(task, F_DUPFD_CLOEXEC, 0);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->turn, NULL);
	f->seen = arena_alloc(&f->mem, TID_MAX / 8);
	failed = pthread_create(&f->thread, NULL, tracer, f);
	if (failed) {
		freeze_free(f);
		errno = failed;
		return err_os(err, ERR_OS, "stopping process %d", pid);
	}
	pthread_mutex_lock(&f->lock);
	while (!f->ready)
		pthread_cond_wait(&f->turn, &f->lock);
	pthread_mutex_unlock(&f->lock);
	if (f->ok) {
		*ret = f;
		return true;
	}
	pthread_join(f->thread, NULL);
	if (err)
		*err = f->err;
	freeze_free(f);
	return false;
}

int64_t freeze_end(struct freeze *f)
{
	int64_t ns;

	if (!f)
		return 0;
	pthread_mutex_lock(&f->lock);
	f->release = true;
	pthread_cond_broadcast(&f->turn);
	pthread_mutex_unlock(&f->lock);
	pthread_join(f->thread, NULL);
	ns = f->stopped_ns;
	freeze_free(f);
	return ns;
}
