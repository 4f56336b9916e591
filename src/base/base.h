/* Words that every layer uses: addresses of the target, sizes, cleanup and array helpers. */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** An address in the target process: never dereferenced here. */
typedef uint64_t taddr;
/** A size or amount of memory. Printed for people only by unit_bytes(). */
typedef uint64_t bytes;

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
/** Both evaluate an argument twice: no calls in there. */
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/** Size of an OS page on every machine that this program supports (amd64). */
#define OS_PAGE	      4096U
#define OS_PAGE_SHIFT 12

static inline uint64_t round_down(uint64_t v, uint64_t to)
{
	return v - v % to;
}
static inline uint64_t round_up(uint64_t v, uint64_t to)
{
	return round_down(v + to - 1, to);
}

/** Runs fn(&variable) when the variable leaves its scope; for OS handles only. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))
void cleanup_fd(int *fd);   /* closes when >= 0 */
void cleanup_file(void *f); /* fclose on a FILE **, when not NULL */
void cleanup_free(void *p); /* free on a T ** */
void cleanup_dir(void *d);  /* closedir on a DIR **, when not NULL */

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

#endif
