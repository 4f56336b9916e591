/* Options as values. Every front end takes the same ones, so parsing is here; printing is not. */
#ifndef VIEW_OPTIONS_H
#define VIEW_OPTIONS_H

#include "base/arena.h"

enum option_id {
#define OPTION(id, name, letter, kind, arg, choices, views, help) OPT_##id,
#include "view/options.def"
#undef OPTION
	N_OPTIONS
};

/** LIST: a text that may be given several times. */
enum option_kind { OPTION_FLAG, OPTION_NUMBER, OPTION_TEXT, OPTION_CHOICE, OPTION_LIST };

struct option_info {
	const char *name;
	char letter; /* 0: none */
	enum option_kind kind;
	const char *arg, *choices, *views, *help;
};
extern const struct option_info OPTIONS[N_OPTIONS];

enum option_by { BY_SITE_STATE, BY_STATE, BY_SITE, BY_START };
enum option_as { AS_PUBLISHED, AS_NOW };
enum option_color { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

#define OPTION_LIST_MAX 16

struct option_value {
	bool set;
	uint32_t choice; /* index into the choices; 0 is the default */
	uint64_t number;
	const char *text; /* as it was typed; of a LIST the last */
	const char *list[OPTION_LIST_MAX];
	uint32_t n_list;
};

struct options {
	struct option_value v[N_OPTIONS];
};

static inline bool option_set(const struct options *o, enum option_id id)
{
	return o->v[id].set;
}

/** Sets one option from its text (NULL for a flag). Errors: ERR_USAGE. */
bool option_take(struct options *o, enum option_id id, const char *text, struct err *err);

#define OPTION_WORDS 8

/** A command line taken apart: the words that are no options, and the options. */
struct arguments {
	const char *words[OPTION_WORDS];
	uint32_t n_words;
	const char *const *rest; /* what follows "--", also among the words; NULL: there is none */
	uint32_t n_rest;
	struct options options;
};

/** Takes argv[1 …] apart, options anywhere, until "--". Errors: ERR_USAGE, in a sentence that names
 * the nearest option. */
bool arguments_parse(int argc, const char *const *argv, struct arguments *ret, struct err *err);

/** Calls fn with each choice of an option. */
void option_choices(const struct option_info *o, void (*fn)(void *ctx, const char *word, size_t n),
		    void *ctx);
/** The word of `words` that a typing error most likely meant, NULL when none is near. */
const char *word_nearest(const char *typed, const char *const *words, uint32_t n);

#endif
