/* The Go processes of this machine, and the one that a name means. */
#ifndef FRONT_OPEN_H
#define FRONT_OPEN_H

#include "target/target.h"
#include "view/view.h"

/** The Go processes of a machine, in PID order. */
struct go_processes {
	struct process_item *v;
	uint32_t n;
	uint32_t hidden; /* processes whose executable may not be looked at */
};

/** What a process, or the Go library in it, was built with: false when it is not Go or can't be
 * read. */
bool go_process_check(int pid, struct arena *a, const char **ret_version);
bool go_processes(struct arena *a, struct go_processes *ret, struct err *err);

/** The only Go process of that name. Errors: ERR_NOT_GO (none, several). */
bool go_process_find(const char *name, struct arena *a, int *ret, struct err *err);

#endif
