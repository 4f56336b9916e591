/* `whyrss serve`: a page and endpoints for what the command line answers. */
#ifndef FRONT_WEB_H
#define FRONT_WEB_H

#include "front/run.h"

/** Serves until SIGINT or SIGTERM. Says on stdout where, as soon as it listens. */
enum exit_code serve_run(const struct request *q, struct str *messages);

#endif
