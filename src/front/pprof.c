/* `whyrss pprof`: flags, then the profile, then a report, the shell or the page. */
#include "front/pprof.h"

#include "front/pprof_fetch.h"

static enum exit_code failed(const struct err *err, struct str *messages)
{
	message_add(messages, err);
	return err->kind == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

enum exit_code pprof_run(int argc, const char *const *argv, struct str *out, struct str *messages)
{
	CLEANUP(arena_free) struct arena a = {0};
	struct pprof_call call;
	struct pprof p;
	struct err err = {0};
	bool partly = false;

	arena_init(&a, 0);
	if (!pprof_parse_flags(argc, argv, &a, &call, messages, &err)) {
		if (err.kind != ERR_NONE)
			return failed(&err, messages);
		pprof_flags_help(out);
		return EXIT_ANSWERED;
	}
	if (*call.http)
		err_set(&err, ERR_USAGE,
			"-http: this version has no page for profiles yet; take a report, as -top");
	else if (!call.command)
		err_set(&err, ERR_USAGE, "no report is named; take one, as -top");
	if (err.kind)
		return failed(&err, messages);
	if (!pprof_fetch(&call.from, &a, &p, &partly, messages, &err))
		return failed(&err, messages);
	if (!pprof_show(&p, &call.config, call.command, call.pattern, false, out, messages, &err))
		return failed(&err, messages);
	return partly ? EXIT_PARTIAL : EXIT_ANSWERED;
}

enum exit_code pprof_top(const char *source, struct str *out, struct str *messages)
{
	const char *const argv[] = {"pprof", "-top", source};

	return pprof_run(ARRAY_LEN(argv), argv, out, messages);
}
