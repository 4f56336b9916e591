/* Gives up what a command does not need before it reads a byte that someone else wrote. */
#ifndef FRONT_SANDBOX_H
#define FRONT_SANDBOX_H

#include "base/base.h"

/** What a command may do beyond reading files and processes and writing to what is open. */
enum sandbox_flag {
	SANDBOX_WRITE = 1, /* make, change, rename and remove files */
	SANDBOX_NET = 2,   /* sockets; and code loaded later, as libcurl's */
	SANDBOX_STOP = 4,  /* ptrace, for --freeze */
};

/** Which parts hold; the kernel or a container can lack each. */
struct sandbox {
	bool no_new_privs, filter, capabilities;
};

/**
 * For the whole process and for ever: no new privileges, no capability but those that reading other
 * users' processes takes, and a seccomp filter that lets pass what `allow` (enum sandbox_flag)
 * says: other system calls fail with EPERM or ENOSYS. Start threads after it, or not at all.
 */
struct sandbox sandbox_enter(unsigned allow);

#endif
