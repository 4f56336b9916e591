/* Options of a report as values: one table for flags, shell, settings and page. */
#ifndef PPROF_CONFIG_H
#define PPROF_CONFIG_H

#include "base/arena.h"
#include "base/str.h"

enum pprof_option_id {
#define OPTION(id, name, kind, def, choices, url, saved, help, more) PPROF_##id,
#include "pprof/config.def"
#undef OPTION
	N_PPROF_OPTIONS
};

enum pprof_kind { PPROF_BOOL, PPROF_INT, PPROF_FLOAT, PPROF_TEXT };

struct pprof_option {
	const char *name;
	enum pprof_kind kind;
	const char *def, *choices, *url;
	bool saved;
	const char *help, *more;
};
extern const struct pprof_option PPROF_OPTIONS[N_PPROF_OPTIONS];

union pprof_value {
	bool b;
	int64_t i;
	double f;
	const char *s; /* never NULL */
};

/** Plain data: copied to change it for one report. */
struct pprof_config {
	union pprof_value v[N_PPROF_OPTIONS];
};

/** The defaults. */
void pprof_config_init(struct pprof_config *c);

/**
 * The option of that name, or the one that has it for a choice (then *ret_choice is the choice,
 * else NULL); NULL: none.
 */
const struct pprof_option *pprof_option_find(const char *name, const char **ret_choice);
/** Whether `name` needs no value: a BOOL or a choice. */
bool pprof_option_is_flag(const char *name);
/** Sets an option from text as the shell and settings do (yes, no, "" for true). Errors: ERR_USAGE.
 */
bool pprof_config_set(struct pprof_config *c, const struct pprof_option *o, const char *text,
		      struct arena *a, struct err *err);
/** Sets an option or a choice by its name. Errors: ERR_USAGE. */
bool pprof_config_assign(struct pprof_config *c, const char *name, const char *text,
			 struct arena *a, struct err *err);
/** The value as text, as Go's %v prints it. */
void pprof_config_text(const struct pprof_config *c, const struct pprof_option *o, struct str *to);
/** Calls fn with each choice of an option. */
void pprof_option_choices(const struct pprof_option *o,
			  void (*fn)(void *ctx, const char *word, size_t n), void *ctx);

#endif
