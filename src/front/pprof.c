/* `whyrss pprof`: flags, then the profile, then a report, the shell or the page. */
#include "front/pprof.h"

#include <unistd.h>

#include "front/pprof_fetch.h"
#include "front/sandbox.h"

static enum exit_code failed(const struct err *err, struct str *messages)
{
	message_add(messages, err);
	return err->kind == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

/* What the call may do from here on. A viewer, the shell and the page start programs of the user's
 * own, which need all rights. dot gets none but these; graphviz loads its formats as libraries. */
static void give_up_rights(const struct pprof_call *call, struct arena *a)
{
	const struct pprof_command *c = call->command;
	bool to_file = *call->config.v[PPROF_OUTPUT].s;
	unsigned allow = SANDBOX_CODE; /* the C++ demangler */

	if (!c || *call->http || (*c->viewers && !to_file))
		return;
	if (pprof_is_remote(&call->from, a))
		allow |= SANDBOX_NET | SANDBOX_WRITE; /* what came is kept */
	if (to_file || (*c->suffix && isatty(STDOUT_FILENO) == 1))
		allow |= SANDBOX_WRITE;
	if (*c->dot || c->format == PPROF_DISASM || c->format == PPROF_WEBLIST)
		allow |= SANDBOX_RUN; /* dot, objdump */
	sandbox_command(allow, 0);
}

enum exit_code pprof_run(int argc, const char *const *argv, struct str *out, struct str *messages)
{
	CLEANUP(arena_free) struct arena a = {0};
	struct pprof_call call;
	struct pprof p;
	struct err err = {0};
	struct pprof_shown shown = {.mem = &a};
	bool partly = false, ok;

	arena_init(&a, 0);
	if (!pprof_parse_flags(argc, argv, &a, &call, messages, &err)) {
		if (err.kind != ERR_NONE)
			return failed(&err, messages);
		pprof_flags_help(out);
		return EXIT_ANSWERED;
	}
	give_up_rights(&call, &a);
	if (!pprof_fetch(&call.from, &a, &p, &partly, messages, &err))
		return failed(&err, messages);
	if (call.command) {
		shown.tools = call.from.tools;
		ok = pprof_show(&p, &call.config, call.command, call.pattern, &shown, out, messages,
				&err);
		pprof_shown_end(&shown);
		/* Piped, it is byte for byte what google/pprof writes; a terminal would obey it. */
		if (isatty(STDOUT_FILENO) == 1)
			str_make_plain(out);
		if (!ok)
			return failed(&err, messages);
	} else if (*call.http) {
		return pprof_http(&call, &p, &a, messages);
	} else {
		str_make_plain(messages);
		(void)!write(STDERR_FILENO, messages->s, messages->n);
		messages->n = 0;
		pprof_shell(&p, &call.config, call.from.tools, &a);
	}
	return partly ? EXIT_PARTIAL : EXIT_ANSWERED;
}

enum exit_code pprof_top(const char *source, struct str *out, struct str *messages)
{
	const char *const argv[] = {"pprof", "-top", source};

	return pprof_run(ARRAY_LEN(argv), argv, out, messages);
}
