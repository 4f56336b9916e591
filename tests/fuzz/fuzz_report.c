/* A profile, and a report of it: the first byte picks the report, the second what it is sorted and
 * grouped by. The reports must take whatever the decoder lets pass. */
#include "fuzz.h"
#include "pprof/codec.h"
#include "pprof/prune.h"
#include "pprof/report.h"

static const char *no_file(void *ctx, const char *path, struct arena *a, size_t *ret_n,
			   int *ret_errno)
{
	(void)ctx;
	(void)path;
	(void)a;
	(void)ret_n;
	*ret_errno = 2;
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const GROUPS[] = {"functions", "filefunctions", "files",
					     "lines",	  "addresses",	   "functions"};
	const struct pprof_env env = {.read_file = no_file, .cwd = "/"};
	struct pprof_config c;
	const struct pprof_command *cmd;
	struct str out = {0}, messages = {0};
	struct err err = {0};
	struct arena a;
	struct pprof p;

	if (n < 2)
		return 0;
	cmd = &PPROF_COMMANDS[data[0] % N_PPROF_COMMANDS];
	arena_init(&a, FUZZ_MEMORY);
	pprof_config_init(&c);
	pprof_config_assign(&c, GROUPS[data[1] % 6], "", &a, &err);
	if (data[1] & 8)
		pprof_config_assign(&c, "call_tree", "true", &a, &err);
	if (data[1] & 16)
		pprof_config_assign(&c, "cum", "true", &a, &err);
	if (data[1] & 32)
		pprof_config_assign(&c, "mean", "true", &a, &err);
	if (data[1] & 64)
		pprof_config_assign(&c, "trim", "false", &a, &err);
	if (data[1] & 128)
		pprof_config_assign(&c, "relative_percentages", "true", &a, &err);
	err = (struct err){0};
	if (pprof_parse(data + 2, n - 2, &a, &p, &err)) {
		pprof_drop_frames(&p);
		if (!pprof_report(&p, &c, cmd, cmd->pattern ? "." : NULL, &env, &out, &messages,
				  &err))
			fuzz_failed(&err);
	} else {
		fuzz_failed(&err);
	}
	str_free(&out);
	str_free(&messages);
	arena_free(&a);
	return 0;
}
