/* Names for program counters. */
#ifndef GORUNTIME_PLACE_H
#define GORUNTIME_PLACE_H

#include "snapshot/snapshot.h"

/** Implements snapshot.place; s->place_ctx is the session. Strings live as long as the session. */
struct place go_place(const struct snapshot *s, taddr pc);
/** A goroutine that was started with this function belongs to the runtime. */
bool go_system_func(const char *name);

#endif
