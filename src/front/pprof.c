/* `whyrss pprof`: flags, then the profile, then a report, the shell or the page. */
#include "front/pprof.h"

#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "pprof/codec.h"

/* One file, until sources of all kinds can be fetched. */
static bool fetch(const struct pprof_sources *from, struct arena *a, struct pprof *ret,
		  struct err *err)
{
	char *text;
	size_t n;

	if (from->n_sources != 1 || from->n_bases)
		return err_set(err, ERR_USAGE, "more than one source: not yet");
	if (!file_read(AT_FDCWD, from->sources[0], (size_t)1 << 31, a, &text, &n, err))
		return false;
	if (!pprof_parse((const uint8_t *)text, n, a, ret, err))
		return err_in(err, "%s", from->sources[0]);
	if (!ret->n_mappings) { /* as google/pprof makes one to look names up in */
		pprof_mapping_add(ret, &(struct pprof_mapping){0});
		for (uint32_t i = 0; i < ret->n_locations; i++)
			ret->locations[i].mapping = 0;
	}
	return true;
}

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
	if (!fetch(&call.from, &a, &p, &err))
		return failed(&err, messages);
	if (!pprof_show(&p, &call.config, call.command, call.pattern, false, out, messages, &err))
		return failed(&err, messages);
	return EXIT_ANSWERED;
}
