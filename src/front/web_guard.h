/*
 * Who may ask. A browser is the danger on loopback: any page that it shows can send it here. So a
 * request must name this server by an address or a name that only its owner can give it (no DNS
 * rebinding), and one that a page of another origin sent is refused. Pure.
 */
#ifndef FRONT_WEB_GUARD_H
#define FRONT_WEB_GUARD_H

#include <sys/socket.h>

#include "base/base.h"

#define GUARD_NAMES 16U
#define TOKEN_CHARS 32U /* 128 bits as hex */

struct guard {
	const char *names[GUARD_NAMES]; /* what Host may say besides localhost and the address */
	uint32_t n_names;
	const char *token; /* NULL: none is asked for */
};

/** What a request says of itself; NULL: it does not. */
struct caller {
	const char *host, *origin, *site, *mode; /* Host, Origin, Sec-Fetch-Site, Sec-Fetch-Mode */
	const char *authorization, *cookie, *query_token;
	const struct sockaddr *local; /* the address that it came to */
};

/** NULL: it may ask. Else one sentence and, in *ret_status, 401 or 403. */
const char *guard_refuses(const struct guard *g, const struct caller *c, unsigned *ret_status);
/** Splits --allow-host's "a,b"; false when there are too many or one is no host name. `text` is cut
 * up. */
bool guard_names(struct guard *g, char *text);
/** The host of "host:port", "[v6]:port" or either alone, lower case, without brackets; false when
 * it is none. */
bool host_of(const char *s, char *ret, size_t n);

#endif
