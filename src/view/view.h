/*
 * Questions and their answers. A view is a pure function from a subject to a report: no I/O, no
 * globals, so that the command line, a page and an exporter can all ask it.
 */
#ifndef VIEW_VIEW_H
#define VIEW_VIEW_H

#include "snapshot/snapshot.h"
#include "view/options.h"
#include "view/report.h"

/** A process that the list view shows. */
struct process_item {
	int pid;
	uint32_t uid;
	const char *program, *comm, *exe, *go; /* go: version word; unsafe bytes inside */
	bytes rss;
	bool readable;	 /* its memory may be read by this user */
	const char *why; /* it can't be explained; NULL: it can */
};

/** What a question is about. */
struct subject {
	const struct snapshot *s;      /* NULL: a question that has no target */
	const char *target;	       /* as the user would name it again: "4711" */
	const struct snapshot *before; /* of two: the first; else NULL */
	const char *before_target;
	const struct process_item *processes;
	uint32_t n_processes;
	uint32_t n_hidden; /* processes whose executable may not be looked at */
	bool root;	   /* asked by root: nothing helps those */
};

enum view_flag {
	VIEW_TARGET = 1, /* asks about one target */
	VIEW_HIDDEN = 2, /* not in the help */
	VIEW_TWO = 64,	 /* asks about two targets */
	VIEW_MANY = 128, /* takes any number of words, in request.words */
	VIEW_WATCH = 4,	 /* over time: front/ runs it, looks at its words, prints as it goes */
	/* what front/sandbox.h leaves it; with none of these it gives up rights by itself */
	VIEW_READS = 8,	  /* reads and prints */
	VIEW_WRITES = 16, /* and writes files */
	VIEW_NET = 32,	  /* and opens sockets, loads code */
};

enum view_id {
#define VIEW(id, name, args, needs, flags, run, help, more) VIEW_ID_##id,
#include "view/views.def"
#undef VIEW
	N_VIEWS
};

struct view {
	const char *name, *args, *help, *more;
	uint32_t needs; /* enum need: what is read for it */
	uint32_t flags; /* enum view_flag */
	/** Answers. `ret` and its strings live in `a`. Errors: ERR_USAGE for options that do not
	 * fit. NULL: answered by front/. */
	bool (*run)(const struct subject *in, const struct options *o, struct arena *a,
		    struct report *ret, struct err *err);
};
extern const struct view VIEWS[N_VIEWS];

/** By its name; NULL when there is none. */
const struct view *view_find(const char *name);
/** Whether the option goes with the view. */
bool view_takes(const struct view *v, enum option_id id);
/** What has to be read for a view with these options: v->needs, and more where an option says so.
 */
uint32_t view_needs(const struct view *v, const struct options *o);
uint32_t view_profile_needs(const struct options *o);
/** Fails with ERR_USAGE when an option is set that the view does not take. */
bool view_check(const struct view *v, const struct options *o, struct err *err);

bool view_ledger_run(const struct subject *in, const struct options *o, struct arena *a,
		     struct report *ret, struct err *err);
bool view_memstats_run(const struct subject *in, const struct options *o, struct arena *a,
		       struct report *ret, struct err *err);
bool view_spans_run(const struct subject *in, const struct options *o, struct arena *a,
		    struct report *ret, struct err *err);
bool view_goroutines_run(const struct subject *in, const struct options *o, struct arena *a,
			 struct report *ret, struct err *err);
bool view_maps_run(const struct subject *in, const struct options *o, struct arena *a,
		   struct report *ret, struct err *err);
bool view_profile_run(const struct subject *in, const struct options *o, struct arena *a,
		      struct report *ret, struct err *err);
bool view_diff_run(const struct subject *in, const struct options *o, struct arena *a,
		   struct report *ret, struct err *err);
bool view_processes_run(const struct subject *in, const struct options *o, struct arena *a,
			struct report *ret, struct err *err);

/** The ledger's answer out of a ledger that is built already; `ret` is initialised by the caller.
 */
struct ledger;
void ledger_report(const struct subject *in, const struct ledger *l, bool all, struct report *ret);

/** What the ledger says of one process of a cgroup. */
struct cgroup_process {
	int pid;
	const char *program, *cause; /* cause: the first; "" none */
	bytes rss;
	int64_t profile;
	bool rss_known, profile_known;
};
/** A cgroup in brief, into a report that is initialised. `c` NULL: its numbers are not known;
 * n_failed: Go processes that are not in v. */
void cgroup_report(const char *asked, const struct cgroup_facts *c, uint32_t n_failed,
		   const struct cgroup_process *v, uint32_t n, struct report *ret);
/** "container: 2.6 of 4.0 GiB counted, OOM kill 1.4 GiB away" */
const char *container_line(struct arena *a, const struct cgroup_facts *c);

/* What views of a target have in common (subject.c). */

/** Base name of the executable, for people and for `next:` lines. */
const char *subject_program(const struct snapshot *s, struct arena *a);
/** A moment as RFC 3339, UTC, milliseconds; NULL for one that no calendar has. */
const char *rfc3339(struct arena *a, int64_t unix_ns);
/** Puts "target" and "read" into the JSON and the headline block into the text; returns the
 * headline for its items. */
struct block *subject_head(const struct subject *in, struct report *r);
/** Puts "notes" into both, with one of the view's own (or NULL), and sets r->partial. Called last.
 */
void subject_notes(const struct subject *in, struct report *r, const char *own);
/** Appends the line that says how long reading took and whether the target was stopped. */
struct block *subject_foot(const struct subject *in, struct report *r);
/** Sorts and limits the main table as --sort, --limit and --all ask; `sort` and `limit` are the
 * view's own choice. */
bool subject_table(struct report *r, struct table *t, const struct options *o, const char *sort,
		   uint32_t limit, struct err *err);

#endif
