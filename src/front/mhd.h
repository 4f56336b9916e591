/*
 * libmicrohttpd, loaded when a server starts: it brings gnutls and its kin, which take longer to
 * load than most commands take to answer (docs/adr/0008-http-server.md).
 */
#ifndef FRONT_MHD_H
#define FRONT_MHD_H

#include <microhttpd.h>

#include "base/err.h"

/** Its functions, by their names without MHD_. */
#define MHD_FUNCTIONS(X)                                                                           \
	X(start_daemon)                                                                            \
	X(stop_daemon)                                                                             \
	X(quiesce_daemon)                                                                          \
	X(get_daemon_info)                                                                         \
	X(get_connection_info)                                                                     \
	X(lookup_connection_value)                                                                 \
	X(get_connection_values)                                                                   \
	X(suspend_connection)                                                                      \
	X(resume_connection)                                                                       \
	X(create_response_from_callback)                                                           \
	X(create_response_from_buffer_with_free_callback_cls)                                      \
	X(add_response_header)                                                                     \
	X(queue_response)                                                                          \
	X(destroy_response)                                                                        \
	X(is_feature_supported)

struct mhd {
#define X(f) __typeof__(MHD_##f) *f;
	MHD_FUNCTIONS(X)
#undef X
};

/** Loads it; it stays until the program ends. Errors: ERR_OS with what to install. */
bool mhd_load(struct mhd *ret, struct err *err);

#endif
