/* A log with lines of GODEBUG=gctrace=1, as a whole: lines, summary, plot. */
#include <fcntl.h>

#include "front/gctrace.h"
#include "fuzz.h"
#include "series/gctrace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static int null = -1;
	struct trace_reader t;
	struct str out = {0};

	if (null < 0 && (null = open("/dev/null", O_WRONLY | O_CLOEXEC)) < 0)
		abort();
	trace_init(&t, null, false);
	/* in two pieces, as a pipe may cut it */
	trace_feed(&t, (const char *)data, n / 2);
	trace_feed(&t, (const char *)data + n / 2, n - n / 2);
	trace_feed(&t, "\n", 1);
	trace_summary(&t, &out, n & 1);
	str_free(&out);
	trace_free(&t);
	return 0;
}
