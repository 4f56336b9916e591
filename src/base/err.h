/* Why a call failed. Fallible functions return bool and take `struct err *err` last. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>

#include "base/base.h"

enum err_kind {
	ERR_NONE,
	ERR_GONE,    /* the process ended, or its PID was given to another one */
	ERR_PERM,    /* the kernel refused; the message says what would allow it */
	ERR_NOT_GO,  /* no Go runtime in there */
	ERR_RELEASE, /* a Go release, architecture or layout that is not known */
	ERR_FAULT,   /* an address of the target could not be read */
	ERR_FORMAT,  /* bytes from outside are not what they claim to be */
	ERR_LIMIT,   /* a stated limit was reached */
	ERR_OS,	     /* another failed system call; see `os` */
	ERR_USAGE,   /* the command line is wrong */
};

/** Owned by the caller, untouched on success. `msg` reads from the outermost context to the cause.
 */
struct err {
	enum err_kind kind;
	int os;	    /* errno of the failed call, 0 if there was none */
	taddr addr; /* the address in the target that was meant, 0 if none */
	char msg[320];
};

/** Sets *err (err may be NULL) and returns false, so that `return err_set(…)` reads well. */
bool err_set(struct err *err, enum err_kind kind, const char *fmt, ...) PRINTF_LIKE(3, 4);
/** As err_set, for a failed system call: keeps errno and ends the message with its text. */
bool err_os(struct err *err, enum err_kind kind, const char *fmt, ...) PRINTF_LIKE(3, 4);
/** Puts a context in front of the message ("mheap_: …") and returns false. */
bool err_in(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
