/*
 * Stacks of return addresses to locations, functions and lines, in the steps of runtime/pprof
 * (proto.go), so that a profile that is taken from outside has the same locations, numbered the
 * same. A stack has a pc for every inlined call as well; those of one physical function are put
 * together into one location, which is what the deck is for.
 */
#include "view/prof_build.h"

#include <string.h>

bool prof_elides_wrapper(const char *callee)
{
	return strcmp(callee, "runtime.gopanic") != 0 && strcmp(callee, "runtime.sigpanic") != 0 &&
	       strcmp(callee, "runtime.panicwrap") != 0;
}

bool prof_is_runtime(const struct snapshot *s, const char *name)
{
	return str_starts(name, "runtime.") ||
	       (s->go_minor >= 24 && str_starts(name, "internal/runtime/"));
}

/* The innermost frame at a return address, as runtime.CallersFrames has it; false: no function. */
static bool frame_at(const struct snapshot *s, taddr pc, struct code_frame *ret)
{
	struct code_frame f;

	if (s->frames(s, pc, &f, 1) == 0)
		return false;
	if (pc > f.entry && s->frames(s, pc - 1, &f, 1) == 0)
		return false;
	*ret = f;
	return true;
}

bool prof_frames_next(struct prof_frames *f, struct code_frame *ret)
{
	struct code_frame v[64];

	while (f->next != 0 || f->i < f->n) {
		taddr pc = f->next != 0 ? f->next : f->stk[f->i++];
		uint32_t n;

		f->next = 0;
		if (f->s->frames(f->s, pc, v, 1) == 0)
			continue;
		n = f->s->frames(f->s, pc > v[0].entry ? pc - 1 : pc, v, ARRAY_LEN(v));
		if (n == 0)
			continue;
		/* callers of an inlined call that the list does not hold; since 1.21 */
		for (uint32_t k = 1;
		     f->s->go_minor >= 21 && k < n && f->i < f->n && f->stk[f->i] != v[k].pc + 1;
		     k++) {
			if (v[k].wrapper && prof_elides_wrapper(v[0].symbol))
				continue;
			f->next = v[k].pc + 1;
			break;
		}
		*ret = v[0];
		return true;
	}
	return false;
}

uint32_t prof_expand(const struct snapshot *s, const taddr *stk, uint32_t n, taddr *ret,
		     uint32_t max)
{
	struct prof_frames it = {.s = s, .stk = stk, .n = n};
	struct code_frame f;
	uint32_t k = 0;

	while (k < max && prof_frames_next(&it, &f))
		ret[k++] = f.pc + 1;
	if (k == 0 && max > 0) /* Frames.Next returns an empty frame then */
		ret[k++] = 1;
	return k;
}

/* A stack that was cut at its depth may lack the callers of its last, inlined call. */
static uint32_t expand_last(const struct snapshot *s, taddr *stk, uint32_t n)
{
	struct code_frame v[64];
	const char *callee = "";
	uint32_t k;

	if (n == 0)
		return n;
	k = s->frames(s, stk[n - 1] - 1, v, ARRAY_LEN(v));
	if (k == 0 || !v[0].inlined)
		return n;
	n--;
	for (uint32_t i = 0; i < k && n < PROF_EXPANDED; i++) {
		if (!v[i].wrapper || !prof_elides_wrapper(callee))
			stk[n++] = v[i].pc + 1;
		callee = v[i].symbol;
	}
	return n;
}

/* --- what is there already --- */

static uint32_t pc_slot(const struct prof_builder *b, taddr pc)
{
	uint32_t k = (uint32_t)((pc * 0x9E3779B97F4A7C15U) >> 32) & (b->n_known_at - 1);

	while (b->known_at[k] != 0 && b->known.v[b->known_at[k] - 1].pc != pc)
		k = (k + 1) & (b->n_known_at - 1);
	return k;
}

static struct prof_known *known_find(const struct prof_builder *b, taddr pc)
{
	uint32_t k = b->known_at[pc_slot(b, pc)];

	return k ? &b->known.v[k - 1] : NULL;
}

static void known_add(struct prof_builder *b, const struct prof_known *k)
{
	if (2 * b->known.n >= b->n_known_at) {
		b->n_known_at *= 2;
		b->known_at = ARENA_ARRAY(b->mem, uint32_t, b->n_known_at);
		for (uint32_t i = 0; i < b->known.n; i++)
			b->known_at[pc_slot(b, b->known.v[i].pc)] = i + 1;
	}
	*VEC_PUSH(b->mem, &b->known) = *k;
	/* a pc that has a location already keeps it for those that ask by the pc: the newer one */
	b->known_at[pc_slot(b, k->pc)] = b->known.n;
}

/* `key` tells functions apart: their name, but where a release takes the shortened one for it. */
static pindex function_get(struct prof_builder *b, const char *key, const char *name,
			   const char *file, int32_t start_line)
{
	pstr n = pprof_str(b->p, key);

	while (b->function_of.n <= n)
		*VEC_PUSH(b->mem, &b->function_of) = 0;
	/* one function a name, whatever files its lines come from */
	if (b->function_of.v[n] == 0)
		b->function_of.v[n] =
			pprof_build_function(
				&b->build,
				&(struct pprof_function){.name = pprof_str(b->p, name),
							 .system_name = pprof_str(b->p, name),
							 .file = pprof_str(b->p, file),
							 .start_line = start_line}) +
			1;
	return b->function_of.v[n] - 1;
}

/* --- the deck --- */

/* 1.21.0 to 1.21.5: the first of a generic function's shapes names them all (go.dev/issue/64528).
 */
static bool one_a_shape(const struct snapshot *s)
{
	return s->go_minor == 21 && s->go_patch < 6;
}

/* Two frames of one name are a recursion; 1.21 alone compares shortened names. */
static bool same_name(const struct snapshot *s, const struct code_frame *a,
		      const struct code_frame *b)
{
	return s->go_minor == 21 ? !strcmp(a->func, b->func) : !strcmp(a->symbol, b->symbol);
}

static bool deck_add(struct prof_builder *b, taddr pc, const struct code_frame *f, bool failed)
{
	if (b->n_deck > 0) {
		const struct code_frame *last = &b->deck[b->n_deck - 1];

		if (!last->inlined || last->entry == 0 || f->entry == 0 ||
		    last->entry != f->entry || same_name(b->s, last, f) ||
		    b->n_deck == ARRAY_LEN(b->deck))
			return false;
	} else {
		b->deck_pc = pc;
		b->deck_failed = false;
	}
	b->deck[b->n_deck++] = *f;
	b->deck_failed |= failed;
	return true;
}

static void deck_emit(struct prof_builder *b)
{
	struct pprof_location loc = {.address = b->deck[0].pc, .mapping = PPROF_NONE};
	struct pprof_line lines[PROF_EXPANDED];
	pindex at;

	if (b->n_deck == 0)
		return;
	for (uint32_t i = 0; i < b->n_deck; i++) {
		const struct code_frame *f = &b->deck[i];
		const char *key = one_a_shape(b->s) ? f->func : f->symbol;

		lines[i] = (struct pprof_line){
			.function = function_get(b, key, f->symbol, f->file, f->start_line),
			.line = f->line};
	}
	for (uint32_t i = 0; i < b->p->n_mappings; i++) {
		const struct pprof_mapping *m = &b->p->mappings[i];

		if ((m->start <= b->deck_pc && b->deck_pc < m->limit) || b->s->n_exec_maps == 0) {
			loc.mapping = i;
			b->tried[i] = true;
			b->failed[i] |= b->deck_failed;
			break;
		}
	}
	at = pprof_build_location(&b->build, &loc, lines, b->n_deck);
	known_add(b, &(struct prof_known){
			     .pc = b->deck_pc, .loc = at, .n_pcs = b->n_deck, .first = b->deck[0]});
	*VEC_PUSH(b->mem, &b->locs) = at;
	b->n_deck = 0;
}

static bool frame_failed(const struct code_frame *f)
{
	return f->pc == 0 || !*f->func || !*f->file || f->line == 0;
}

uint32_t prof_add_stack(struct prof_builder *b, const taddr *given, uint32_t n_given)
{
	taddr stk[PROF_EXPANDED];
	uint32_t n = MIN(n_given, PROF_DEPTH), before = b->locs.n;

	memcpy(stk, given, n * sizeof(*stk));
	n = expand_last(b->s, stk, n);
	b->n_deck = 0;
	for (uint32_t i = 0; i < n;) {
		const struct prof_known *k = known_find(b, stk[i]);
		struct code_frame f;
		bool failed;

		if (k) {
			/* the pc of an inlined call may also stand alone as a leaf elsewhere; since
			 * 1.19 */
			if (b->s->go_minor >= 19 && b->n_deck > 0 &&
			    deck_add(b, stk[i], &k->first, frame_failed(&k->first))) {
				i++;
				continue;
			}
			deck_emit(b);
			k = known_find(b, stk[i]);
			*VEC_PUSH(b->mem, &b->locs) = k->loc;
			i += k->n_pcs;
			continue;
		}
		failed = !frame_at(b->s, stk[i], &f);
		if (failed) {
			f = (struct code_frame){
				.pc = stk[i] - 1, .func = "", .symbol = "", .file = ""};
		} else if (strcmp(f.func, "runtime.goexit") == 0) {
			deck_emit(b);
			i++;
			continue;
		}
		failed = failed || frame_failed(&f);
		if (!deck_add(b, stk[i], &f, failed)) {
			deck_emit(b);
			k = known_find(b, stk[i]);
			if (k) {
				*VEC_PUSH(b->mem, &b->locs) = k->loc;
				i += k->n_pcs;
				continue;
			}
			(void)deck_add(b, stk[i], &f, failed);
		}
		i++;
	}
	deck_emit(b);
	return b->locs.n - before;
}

/* --- samples --- */

void prof_add_name(struct prof_builder *b, const char *name)
{
	struct pprof_line line = {.function = function_get(b, name, name, "", 0)};

	*VEC_PUSH(b->mem, &b->locs) = pprof_build_location(
		&b->build, &(struct pprof_location){.mapping = PPROF_NONE}, &line, 1);
}

void prof_add_label(struct prof_builder *b, const char *key, const char *str)
{
	*VEC_PUSH(b->mem, &b->labels) =
		(struct pprof_label){.key = pprof_str(b->p, key), .str = pprof_str(b->p, str)};
}

void prof_add_number(struct prof_builder *b, const char *key, int64_t num, const char *unit)
{
	*VEC_PUSH(b->mem, &b->labels) = (struct pprof_label){.key = pprof_str(b->p, key),
							     .num = num,
							     .num_unit = pprof_str(b->p, unit),
							     .is_num = true};
}

void prof_add_sample(struct prof_builder *b, const int64_t *values)
{
	(void)pprof_build_sample(&b->build, b->locs.v, b->locs.n, b->labels.v, b->labels.n, values);
	b->locs.n = b->labels.n = 0;
}

struct prof_builder *prof_begin(const struct snapshot *s, struct arena *a, struct pprof *ret,
				const char *const (*types)[2], uint32_t n_types)
{
	struct prof_builder *b = ARENA_NEW(a, struct prof_builder);
	uint32_t n = MAX(s->n_exec_maps, 1);

	pprof_init(ret, a);
	b->s = s;
	b->p = ret;
	b->mem = a;
	b->n_known_at = 1024;
	b->known_at = ARENA_ARRAY(a, uint32_t, b->n_known_at);
	b->tried = ARENA_ARRAY(a, uint8_t, n);
	b->failed = ARENA_ARRAY(a, uint8_t, n);
	for (uint32_t i = 0; i < n_types; i++)
		pprof_type_add(ret, types[i][0], types[i][1]);
	pprof_build_init(&b->build, ret);
	b->build.keep_equal = true; /* a record a sample */
	for (uint32_t i = 0; i < s->n_exec_maps; i++) {
		const struct exec_map *m = &s->exec_maps[i];

		pprof_mapping_add(ret,
				  &(struct pprof_mapping){.start = m->start,
							  .limit = m->end,
							  .offset = m->offset,
							  .file = pprof_str(ret, m->path),
							  .build_id = pprof_str(ret, m->build_id)});
	}
	if (s->n_exec_maps == 0) /* pprof expects one */
		pprof_mapping_add(ret, &(struct pprof_mapping){0});
	ret->time_nanos = s->read.at_unix_ns;
	return b;
}

void prof_end(struct prof_builder *b)
{
	for (uint32_t i = 0; i < b->p->n_mappings; i++)
		b->p->mappings[i].has_functions = b->tried[i] && !b->failed[i];
}
