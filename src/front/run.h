/* One call of the program: from arguments to what is printed and the exit code. */
#ifndef FRONT_RUN_H
#define FRONT_RUN_H

#include "front/render.h"
#include "view/view.h"

enum exit_code { EXIT_ANSWERED = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_PARTIAL = 3 };

/** Where the output goes, as far as it changes what is printed. */
struct outlet {
	bool terminal;	    /* stdout is one */
	uint32_t width;	    /* of the terminal; 0 unknown */
	const char *term;   /* TERM; NULL unset */
	const char *locale; /* the first of LC_ALL, LC_CTYPE, LANG that is not empty; NULL none */
	bool no_color;	    /* NO_COLOR is set and not empty */
};

/** What the text is made for, from the outlet and --color, --width, --all. */
struct text_style style_choose(const struct outlet *out, const struct options *o);

/** What a command line asks for. */
struct request {
	const struct view *view;
	const char *target;		 /* NULL: none */
	const char *second;		 /* of VIEW_TWO */
	const char *word;		 /* of help, completion, reference; NULL: none */
	const char *words[OPTION_WORDS]; /* of VIEW_WATCH and VIEW_MANY, behind its name */
	uint32_t n_words;
	const char *const *rest; /* what followed "--"; NULL: nothing did */
	uint32_t n_rest;
	struct options options;
};

/** Finds the view and checks what goes with it. Errors: ERR_USAGE. */
bool request_parse(int argc, const char *const *argv, struct request *ret, struct err *err);

/** Adds the answer to `out` and messages, a line each, to `messages`. */
enum exit_code request_run(const struct request *q, const struct outlet *to, struct str *out,
			   struct str *messages);

/** "whyrss: what: why; what to do" as one safe line; the last part is added where a message lacks
 * it. */
void message_add(struct str *messages, const struct err *err);

#endif
