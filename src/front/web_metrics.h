/* The Go processes of this machine for Prometheus (text format 0.0.4). */
#ifndef FRONT_WEB_METRICS_H
#define FRONT_WEB_METRICS_H

#include "front/web_pool.h"

/** All of them; `by_pid` labels each with its PID, else those with equal labels are added up. */
bool web_metrics(struct pool *p, bool by_pid, struct arena *a, struct str *out, struct err *err);

#endif
