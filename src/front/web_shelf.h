/*
 * Profiles that the server holds: files that it was started with, and what clients send it. Each is
 * a target of its own, "profile/ID". They are held in memory only, within limits, and the oldest of
 * those that were sent go first.
 */
#ifndef FRONT_WEB_SHELF_H
#define FRONT_WEB_SHELF_H

#include "base/str.h"
#include "pprof/profile.h"

/** Bytes that a client may send as one profile. */
#define SHELF_SENT_MAX ((size_t)64 << 20)

struct shelved {
	struct pprof p;
	const char *name; /* foreign text */
	char id[17];
	bool given; /* the server was started with it: never dropped */

	/* the rest belongs to the shelf */
	struct arena mem;
	uint32_t refs;
	struct shelved *next;
};

struct shelf;

struct shelf *shelf_new(void);
void shelf_free(struct shelf *s);

/** Reads a profile in any format and keeps it. Errors: ERR_FORMAT, ERR_LIMIT. */
bool shelf_add(struct shelf *s, const char *name, bool given, const uint8_t *d, size_t n,
	       const struct shelved **ret, struct err *err);
/** Keeps one that was read already; its arena is moved here. */
void shelf_add_read(struct shelf *s, const char *name, const struct pprof *p, struct arena *mem);
/** Borrows one, NULL: there is none. Never changed while it is borrowed; shelf_return gives it
 * back. */
const struct shelved *shelf_borrow(struct shelf *s, const char *id);
void shelf_return(struct shelf *s, const struct shelved *of);
/** {"schema":"whyrss.uploads/1","profiles":[{"id","name","given","samples","types":[…]}]} */
void shelf_list(struct shelf *s, struct str *out);
/** One of that list. */
void shelved_write(const struct shelved *of, struct str *out);

#endif
