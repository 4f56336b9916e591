/* Names for program counters. */
#ifndef GORUNTIME_PLACE_H
#define GORUNTIME_PLACE_H

#include "snapshot/snapshot.h"

/** Implements snapshot.place; s->place_ctx is the session. Strings live as long as the session. */
struct place go_place(const struct snapshot *s, taddr pc);
/** Implements snapshot.frames. */
uint32_t go_frames(const struct snapshot *s, taddr pc, struct code_frame *ret, uint32_t max);
/** The tables of the main module; NULL when they can't be read. */
struct pcln;
struct go_session;
struct pcln *go_pcln(struct go_session *g);
/** A goroutine that was started with this function belongs to the runtime. */
bool go_system_func(const char *name);

#endif
