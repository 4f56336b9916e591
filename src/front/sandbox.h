/* Gives up what a command does not need before it reads a byte that someone else wrote. */
#ifndef FRONT_SANDBOX_H
#define FRONT_SANDBOX_H

#include "base/base.h"

/** What a command may do beyond reading files and processes and writing to what is open. */
enum sandbox_flag {
	SANDBOX_WRITE = 1, /* make, change, rename and remove files */
	SANDBOX_NET = 2,   /* sockets; and code of any kind, as what libcurl loads */
	SANDBOX_STOP = 4,  /* ptrace, for --freeze */
	SANDBOX_CODE = 8,  /* libraries that are loaded later, as the C++ demangler */
	SANDBOX_RUN = 16,  /* start programs, which get no more rights than these */
	SANDBOX_CHILD = 32 /* wait for `child`, and signal it */
};

/** Which parts hold; the kernel or a container can lack each. */
struct sandbox {
	bool no_new_privs, filter, capabilities;
};

/**
 * For the whole process and for ever: no new privileges, no capability but those that reading other
 * users' processes takes, and a seccomp filter that lets pass what `allow` (enum sandbox_flag)
 * says: other system calls fail with EPERM or ENOSYS. Start threads after it, or not at all.
 * child: of SANDBOX_CHILD, a process that was started before; else 0.
 */
struct sandbox sandbox_enter(unsigned allow, int child);

/** The same for a command, but not under AddressSanitizer, whose search for leaks at the end stops
 * this process with ptrace. */
static inline void sandbox_command(unsigned allow, int child)
{
#ifndef __SANITIZE_ADDRESS__
	sandbox_enter(allow, child);
#else
	(void)allow;
	(void)child;
#endif
}

#endif
