/*
 * Errors as values: the innermost caller says what failed, outer ones put their context in front.
 * Nothing here prints, and a NULL err is a caller that does not want to know.
 */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Formats into *err by way of a copy, because the arguments may point into err->msg. */
static void fill(struct err *err, enum err_kind kind, int os, const char *fmt, va_list ap)
{
	char text[sizeof(err->msg)];

	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	err->kind = kind;
	err->os = os;
	err->addr = 0;
	memcpy(err->msg, text, sizeof(text));
}

bool err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return false;
	va_start(ap, fmt);
	fill(err, kind, 0, fmt, ap);
	va_end(ap);
	return false;
}

bool err_os(struct err *err, enum err_kind kind, const char *fmt, ...)
{
	int os = errno;
	char text[128];
	size_t n;
	va_list ap;

	if (!err)
		return false;
	va_start(ap, fmt);
	fill(err, kind, os, fmt, ap);
	va_end(ap);
	n = strlen(err->msg);
	snprintf(err->msg + n, sizeof(err->msg) - n, ": %s", strerror_r(os, text, sizeof(text)));
	return false;
}

bool err_in(struct err *err, const char *fmt, ...)
{
	char text[sizeof(err->msg)];
	size_t n;
	va_list ap;

	if (!err)
		return false;
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	n = strlen(text);
	snprintf(text + n, sizeof(text) - n, ": %s", err->msg);
	memcpy(err->msg, text, sizeof(text));
	return false;
}
