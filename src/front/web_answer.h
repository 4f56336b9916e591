/* What the server answers to each kind of question (web_pool.h). Runs in workers. */
#ifndef FRONT_WEB_ANSWER_H
#define FRONT_WEB_ANSWER_H

#include "front/web_pool.h"

/** Titles and meanings for the page: lines, rows, fields; `file` as the command line named it. */
struct answer *web_meta(const char *file);
void web_meta_write(struct str *b, const char *file);
/** The memory map in JSON, as the page reads it. Errors: ERR_LIMIT. */
bool web_pages_write(const struct snapshot *s, struct arena *a, struct str *b, struct err *err);
struct answer *web_answer(struct pool *p, struct job *j);

#endif
