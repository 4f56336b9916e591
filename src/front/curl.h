/*
 * libcurl, loaded when a profile comes from a URL: it brings a TLS library and its kin, which take
 * longer to load than a small report takes (docs/adr/0006-profile-codec.md).
 */
#ifndef FRONT_CURL_H
#define FRONT_CURL_H

#include "base/arena.h"
#include "base/str.h"

/** What a request may need. Texts: "" not given. */
struct http_options {
	const char *tls_cert, *tls_key, *tls_ca; /* PEM files */
	int timeout;				 /* seconds for all of it */
	bytes limit;				 /* of the body */
};

/** One request; several run at the same time. */
struct http_call {
	const char *url;  /* http, https, or https+insecure: certificates are not checked */
	const char *post; /* a body to send; NULL: GET */
	struct str body;  /* the answer */
	struct err err;	  /* kind ERR_NONE: a 200 came */
};

/**
 * Runs all calls, at the same time. False and *err only when none could be tried; a call that
 * failed has its own error. Bodies are freed with str_free.
 */
bool http_run(struct http_call *calls, uint32_t n, const struct http_options *o, struct err *err);

/**
 * The URL that a source means, as google/pprof's adjustURL has it: "host:port/path" is http,
 * seconds go into the query. NULL: it is no URL. *seconds are then those of the URL where `seconds`
 * is 0.
 */
const char *http_url(const char *source, int seconds, struct arena *a, int *ret_seconds);
/** The symbolz handler next to a profile's URL. NULL: none. */
const char *http_symbolz(const char *url, struct arena *a);

#endif
