/* Internal to target/: facts of the OS as the notes of a capture. */
#ifndef TARGET_FACTS_H
#define TARGET_FACTS_H

#include "base/str.h"
#include "target/osfacts.h"

#define CAPTURE_OWNER	"WHYRSS"
#define CAPTURE_VERSION 1U

/** Types of our notes. A reader passes over those that it does not know. */
enum capture_note {
	CAPTURE_FACTS = 1, /* text: facts_write; the first note of the file */
	CAPTURE_PAGES,	   /* runs of pages for each bit: pages_write */
	CAPTURE_KNOWN,	   /* which bytes of the loads were read: runs_write */
	CAPTURE_SESSION,   /* text of goruntime/saved.c */
};

/** Facts, mappings and threads as lines "key value". */
void facts_write(const struct os_facts *os, struct str *to);
/** Errors: ERR_FORMAT (a newer version, mappings that overlap), ERR_LIMIT. text[n] is NUL and text
 * is changed. */
bool facts_read(char *text, size_t n, struct arena *a, struct os_facts *ret, struct err *err);

struct byte_run {
	taddr start, end;
};
/** Runs as LEB128 pairs of the gap to the one before and the length. */
void runs_write(const struct byte_run *v, size_t n, struct str *to);
/** Ascending and not overlapping by construction; at most `max`. */
bool runs_read(const char *at, size_t n, size_t max, struct arena *a, struct byte_run **ret,
	       size_t *ret_n, struct err *err);

void pages_write(const struct pages *p, struct str *to);
/** Fills an initialised set and closes it. */
bool pages_read(const char *at, size_t n, struct pages *ret, struct err *err);

/** A byte string on one line: control bytes and backslashes become \xHH. */
void text_write(struct str *to, const char *s);
/** Undoes that in place. */
void text_read(char *s);

#endif
