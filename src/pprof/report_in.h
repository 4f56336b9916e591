/* What the printers of reports share. */
#ifndef PPROF_REPORT_IN_H
#define PPROF_REPORT_IN_H

#include "pprof/graph.h"
#include "pprof/report.h"

struct report {
	const struct pprof *p;
	struct lens l;
	struct arena *mem;
	struct pprof_config c; /* with what the command decides */
	const struct pprof_command *cmd;
	struct rx *symbol; /* the command's pattern; NULL: none */
	const struct pprof_env *env;
	struct str *out, *messages;
	struct err *err;
	uint32_t value; /* index of the sample value */
	bool mean;
	const char *type, *unit; /* of the sample value */
	const char *output_unit;
	const char *title;
	double ratio; /* that values are multiplied with */
	int64_t total;
	struct graph_options graph; /* for graph_trimmed and graph_all */
};

/** A value with its unit. */
void report_value(const struct report *r, int64_t v, struct str *to);
/** The same as a string in the arena. */
const char *report_value_text(const struct report *r, int64_t v);
const char *report_percent_text(const struct report *r, int64_t v, int64_t total);
/** "." for 0. */
const char *report_value_or_dot(const struct report *r, int64_t v);
/** Picks the unit for option unit=minimum by the nodes that are shown. */
void report_choose_unit(struct report *r, const struct graph *g);
/** The lines about the profile, each with its newline. */
void report_profile_labels(const struct report *r, struct str *to);
/** The lines about the report. full: for a picture. */
void report_labels(const struct report *r, const struct graph *g, bool full, struct str *to);
/** Passes on what has been printed when it is much; false: nobody wants more. */
bool report_flush(struct report *r);

bool report_text(struct report *r);
bool report_tree(struct report *r);
bool report_traces(struct report *r);
bool report_tags(struct report *r);
bool report_comments(struct report *r);
bool report_raw(struct report *r);
bool report_dot(struct report *r);
bool report_callgrind(struct report *r);
bool report_list(struct report *r);
bool report_disasm(struct report *r);
bool report_weblist(struct report *r);
bool report_proto(struct report *r);
bool report_topproto(struct report *r);

#endif
