/* Internal to target/: stops all threads of a process for a while (--freeze only). */
#ifndef TARGET_FREEZE_H
#define TARGET_FREEZE_H

#include "base/err.h"

struct freeze;

/**
 * Stops every thread. `task` is its open task folder. On an error nothing is left stopped. The
 * process runs again after freeze_end, and also when this program dies in any way.
 */
bool freeze_start(int pid, int task, struct freeze **ret, struct err *err);
/** Lets it run and frees; returns how long its first thread stood still, in ns. f may be NULL. */
int64_t freeze_end(struct freeze *f);

#endif
