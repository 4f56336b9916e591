/* What the server answers to each kind of question (web_pool.h). Runs in workers. */
#ifndef FRONT_WEB_ANSWER_H
#define FRONT_WEB_ANSWER_H

#include "front/web_pool.h"

/** Titles and meanings for the page: lines, rows, fields; `file` as the command line named it. */
struct answer *web_meta(const char *file);
struct answer *web_answer(struct pool *p, struct job *j);

#endif
