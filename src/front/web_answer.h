/* What the server answers to each kind of question (web_pool.h). Runs in workers. */
#ifndef FRONT_WEB_ANSWER_H
#define FRONT_WEB_ANSWER_H

#include "front/web_pool.h"

/** Titles and meanings for the page: lines, rows, fields; `files` as the command line named them;
 * `start`: the target that the page begins with, NULL: the list. */
struct answer *web_meta(const char *const *files, uint32_t n_files, const char *start);
void web_meta_write(struct str *b, const char *const *files, uint32_t n_files, const char *start);
/** The memory map in JSON, as the page reads it. Errors: ERR_LIMIT. */
bool web_pages_write(const struct snapshot *s, struct arena *a, struct str *b, struct err *err);
struct answer *web_answer(struct pool *p, struct job *j);

#endif
