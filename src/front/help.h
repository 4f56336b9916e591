/* What the tables say of themselves: help, manual page, completion, reference. */
#ifndef FRONT_HELP_H
#define FRONT_HELP_H

#include "base/str.h"
#include "view/view.h"

/** The help of one view, or of all (view NULL), as a report. */
void help_report(struct arena *a, const struct view *view, struct report *ret);
/** The manual page, roff with the man macros. */
void help_man(struct str *to);
/** Completion for "bash", "zsh" or "fish"; false for another word. */
bool help_completion(struct str *to, const char *shell);
/** Markdown: "command-line", "ledger" or "memstats"; false for another word. */
bool help_reference(struct str *to, const char *part);

#endif
