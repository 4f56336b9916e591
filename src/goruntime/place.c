/* Function, file and line of a pc, from the main module's pclntab (runtime/symtab.go). Opened on
 * first use. */
#include "goruntime/place.h"
#include "goruntime/rt.h"

#include <string.h>

struct pcln_source {
	struct target *t;
	taddr start, end; /* of the tables; inline trees lie elsewhere */
};

static size_t read_target(void *ctx, taddr at, void *dst, size_t n)
{
	const struct pcln_source *p = ctx;
	/* The tables are read in blocks. What lies around them is the program's, and is not for a
	 * recording: then the reader asks again for less. */
	if (p->t->exact && at < p->start && at + n > p->start)
		return 0;
	if (p->t->exact && at < p->end && at + n > p->end)
		n = p->end - at;
	else if (p->t->exact && (at >= p->end || at + n <= p->start) && n > PCLN_LITTLE)
		return 0;
	return target_read(p->t, at, dst, n);
}

struct pcln *go_pcln(struct go_session *g)
{
	const struct layout *l = &g->layout;
	uint8_t d[1024];
	uint32_t size = l->moduledata_size.width;
	if (g->pcln_tried)
		return g->pcln;
	g->pcln_tried = true;
	if (g->sym.firstmoduledata == 0 || size > sizeof d ||
	    target_read(g->t, g->sym.firstmoduledata, d, size) != size)
		return NULL;
	struct pcln_module m = module_tables(l, d);
	m.one_bracket = g->release.minor < 27;
	struct pcln_source *p = ARENA_NEW(g->mem, struct pcln_source);
	*p = (struct pcln_source){
		.t = g->t, .start = m.pcheader, .end = m.pclntable + m.pclntable_len};
	if (p->end < p->start)
		p->end = p->start;
	(void)pcln_open(&m, read_target, p, g->mem, &g->pcln, NULL);
	return g->pcln;
}

struct place go_place(const struct snapshot *s, taddr pc)
{
	struct go_session *g = s->place_ctx;
	struct place p = {.pc = pc, .func = "", .file = ""};
	struct pcln_frame f;
	if (pc != 0 && go_pcln(g) != NULL && pcln_frames(g->pcln, pc, &f, 1) > 0) {
		p.func = f.func;
		p.file = f.file;
		p.line = f.line;
	}
	return p;
}

uint32_t go_frames(const struct snapshot *s, taddr pc, struct code_frame *ret, uint32_t max)
{
	struct go_session *g = s->place_ctx;
	struct pcln_frame f[PCLN_FRAMES];
	/* abi.FuncIDWrapper */
	uint8_t wrapper = g->release.minor < 22 ? 21 : g->release.minor < 25 ? 22 : 23;
	uint32_t n = go_pcln(g) != NULL ? pcln_frames(g->pcln, pc, f, MIN(max, PCLN_FRAMES)) : 0;
	for (uint32_t i = 0; i < n; i++)
		ret[i] = (struct code_frame){
			.pc = f[i].pc,
			.entry = f[i].entry,
			/* Frame.Function has been shortened since 1.21 */
			.func = g->release.minor < 21 ? f[i].symbol : f[i].func,
			.symbol = f[i].symbol,
			.file = f[i].file,
			.line = f[i].line,
			.start_line = f[i].start_line,
			.inlined = f[i].inlined,
			.wrapper = f[i].func_id == wrapper,
		};
	return n;
}

bool go_system_func(const char *name)
{
	/* traceback.go, isSystemGoroutine: the runtime's own, but for the program's main and
	 * callbacks */
	static const char *const user[] = {"runtime.main", "runtime.handleAsyncEvent",
					   "runtime.corostart"};
	for (size_t i = 0; i < ARRAY_LEN(user); i++) {
		if (strcmp(name, user[i]) == 0)
			return false;
	}
	return strncmp(name, "runtime.", 8) == 0;
}
