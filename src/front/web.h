/* `whyrss serve`: a page and endpoints for what the command line answers. */
#ifndef FRONT_WEB_H
#define FRONT_WEB_H

#include "front/run.h"
#include "pprof/profile.h"

/** What a server is started with; NULL where nothing is said. */
struct serve_options {
	const char *listen, *allow_host, *tls_cert, *tls_key; /* as --listen … say */
	const char *const *words; /* targets: processes, cores, captures, profiles */
	uint32_t n_words;
	const char *exe; /* the program of the cores */
	/* a profile that was read already, as `whyrss pprof -http` has one: its arena is taken */
	const struct pprof *profile;
	struct arena *profile_mem;
	const char *profile_name;
};

/** Serves until SIGINT or SIGTERM. Says on stdout where, as soon as it listens. */
enum exit_code serve_with(const struct serve_options *o, struct str *messages);

/** `whyrss serve`. */
enum exit_code serve_run(const struct request *q, struct str *messages);

#endif
