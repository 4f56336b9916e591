/* Internal to target/: the cgroup that a process is charged to. */
#ifndef TARGET_CGROUP_H
#define TARGET_CGROUP_H

#include "target/target.h"

/**
 * The memory controller's numbers for a process, whose folder under /proc is `dir`; NULL when its
 * cgroup cannot be seen from here. Never fails: a file that is missing leaves 0, or UINT64_MAX for
 * a limit.
 */
struct cgroup_facts *cgroup_read(const struct live_options *o, int dir, int pid, struct arena *a);

/** CPUs that the tightest CPU quota over its ancestors grants, rounded up; UINT32_MAX: no quota. */
uint32_t cgroup_cpus(const struct live_options *o, int dir);

#endif
