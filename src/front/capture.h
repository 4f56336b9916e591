/* Taking captures: whyrss capture, and whyrss watch when it is time. */
#ifndef FRONT_CAPTURE_H
#define FRONT_CAPTURE_H

#include "front/run.h"
#include "front/source.h"
#include "target/capture.h"

struct capture_options {
	struct source_options source;
	bool stacks; /* with the stacks of parked goroutines: contents of the program's memory */
	const char *path; /* NULL: PROGRAM-PID-TIME.whyrss in this folder */
};

struct captured {
	const char *path, *program; /* in the arena */
	int pid;
	struct capture_size size;
	bytes stacks;
	bytes rss; /* 0 with rss_known false */
	bool rss_known, partial;
	int64_t took_ns, stopped_ns;
};

/** Reads all that a capture is made for and writes it, under another name until it is whole.
 * Errors: as source_open, source_snapshot, capture_write. */
bool capture_take(const struct source_word *w, const struct capture_options *o, struct arena *a,
		  struct captured *ret, struct err *err);
/** The same of a source that was opened, with `record`, before it was needed: only the reading is
 * left to do. It can be taken from once. */
bool capture_from(struct source *s, const struct capture_options *o, struct arena *a,
		  struct captured *ret, struct err *err);
/** What came of it as a report (whyrss.capture/1). */
void capture_report(const struct captured *c, struct arena *a, struct report *ret);

/** Prints that; false and errno when nobody could be told. */
bool capture_say(const struct captured *c, const struct options *o, const struct outlet *to,
		 struct arena *a);

enum exit_code capture_run(const struct request *q, const struct outlet *to, struct str *messages);
/** whyrss watch. */
enum exit_code await_run(const struct request *q, const struct outlet *to, struct str *messages);

#endif
