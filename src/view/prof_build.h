/* Internal to view/prof*: building a profile out of stacks of pcs, the way runtime/pprof does. */
#ifndef VIEW_PROF_BUILD_H
#define VIEW_PROF_BUILD_H

#include "pprof/build.h"
#include "view/prof.h"

#define PROF_DEPTH    1100U /* pcs of a stack: GODEBUG profstackdepth is at most 1024 */
#define PROF_EXPANDED (PROF_DEPTH + 64U) /* with what the last pc may hold */

/** A location that was made for a pc, and how many pcs of a stack it took. */
struct prof_known {
	taddr pc;
	pindex loc;
	uint32_t n_pcs;
	struct code_frame first;
};

struct prof_builder {
	const struct snapshot *s;
	struct pprof *p;
	struct pprof_build build;
	struct arena *mem;
	VEC(struct prof_known) known;
	uint32_t *known_at; /* by hash of the pc: index + 1 in `known` */
	uint32_t n_known_at;
	VEC(pindex) function_of; /* by name: index + 1 */
	uint8_t *tried, *failed; /* by mapping: symbols were looked up there, one was not found */
	/* the sample in work */
	VEC(pindex) locs;
	VEC(struct pprof_label) labels;
	/* the deck: frames of pcs that may belong to one location */
	struct code_frame deck[PROF_EXPANDED];
	uint32_t n_deck;
	taddr deck_pc;
	bool deck_failed;
};

/** Starts a profile with these sample types (type, unit). */
struct prof_builder *prof_begin(const struct snapshot *s, struct arena *a, struct pprof *ret,
				const char *const (*types)[2], uint32_t n_types);
/** Appends the locations of a stack of return addresses, leaf first, to the sample in work; how
 * many. */
uint32_t prof_add_stack(struct prof_builder *b, const taddr *stk, uint32_t n);
/** Appends a location of a name that is no function of the program. */
void prof_add_name(struct prof_builder *b, const char *name);
/** Labels of the sample in work. */
void prof_add_label(struct prof_builder *b, const char *key, const char *str);
void prof_add_number(struct prof_builder *b, const char *key, int64_t num, const char *unit);
/** Ends the sample in work: n_types values. */
void prof_add_sample(struct prof_builder *b, const int64_t *values);
void prof_end(struct prof_builder *b);

/** The frames of runtime.CallersFrames over a whole stack, one after the other. */
struct prof_frames {
	const struct snapshot *s;
	const taddr *stk;
	uint32_t n, i;
	taddr next;
};
/** False at the end. Pcs that no function holds are skipped. */
bool prof_frames_next(struct prof_frames *f, struct code_frame *ret);
/** The pcs of a stack with all inlined calls among them as pcs of their own (runtime/pprof,
 * expandInlinedFrames). */
uint32_t prof_expand(const struct snapshot *s, const taddr *stk, uint32_t n, taddr *ret,
		     uint32_t max);
/** Whether a function is the runtime's in the sense of runtime/pprof. */
bool prof_is_runtime(const struct snapshot *s, const char *name);
/** Whether a wrapper that called this function is left out of stacks. */
bool prof_elides_wrapper(const char *callee);

/** Go's text/tabwriter with cells aligned by tabs of 8: adds `text` with its columns aligned. */
void prof_tabs(struct str *out, const char *text, size_t n, struct arena *a);

bool prof_build_space(const struct snapshot *s, const struct prof_request *q, struct arena *a,
		      struct pprof *ret, struct err *err);

#endif
