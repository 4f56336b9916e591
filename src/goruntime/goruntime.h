/*
 * The Go runtime inside a target: find it, read it, decode it into a snapshot.
 * The only layer that names a runtime type or a release.
 */
#ifndef GORUNTIME_GORUNTIME_H
#define GORUNTIME_GORUNTIME_H

#include "base/str.h"
#include "goruntime/layout.h"
#include "snapshot/snapshot.h"
#include "target/target.h"

/** A session: the binary, its symbols and layout, kept between snapshots of the same process. */
struct go_session;

/** Finds the Go program in a target. Errors: ERR_NOT_GO, ERR_RELEASE (named), ERR_PERM, ERR_FORMAT.
 */
bool go_open(struct target *t, struct arena *session, struct go_session **ret, struct err *err);
void go_close(struct go_session *g);
/** The next snapshot is of another moment than go_open: it asks the kernel again, as each one after
 * the first does. */
void go_later(struct go_session *g);
/** "go1.26.8" */
const char *go_version(const struct go_session *g);

/**
 * Reads one consistent snapshot, repeating what tore. `ret` is zero-initialised by the caller and
 * owned by it, facts of the OS included: free with snapshot_free. It shares nothing but names with
 * the session, which can give any number of them. Errors only when nothing useful could be read;
 * all else becomes notes. ERR_GONE also when the process runs another program now.
 */
bool go_snapshot(struct go_session *g, uint32_t needs, struct snapshot *ret, struct err *err);
void snapshot_free(struct snapshot *s);

/** `stacks`: those of goroutines were read, too; `held`: no thread ran meanwhile. Adds the session,
 * and those results of a snapshot (of all that NEED_CAPTURE asks for) whose memory is the program's
 * own, as text for a capture: go_open of a target with `saved` reads it. */
void go_save(const struct go_session *g, const struct snapshot *s, bool stacks, bool held,
	     struct str *to);

#endif
