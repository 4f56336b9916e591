/* Who claims which bytes: one function an owner, called in this order by ledger_build. */
#ifndef LEDGER_CLAIMS_H
#define LEDGER_CLAIMS_H

#include "ledger/book.h"

/** Objects, holes and tails of heap spans; GC work buffers. */
void claim_heap(struct book *b);
/** Goroutine stacks, then the rest of the stack spans. */
void claim_stacks(struct book *b);
/** Free and released pages of the heap. */
void claim_free(struct book *b);
/** What the runtime asked the OS for, specific pieces before enclosing ones. */
void claim_runtime(struct book *b);
/** The C allocator's heap and the threads' stacks. */
void claim_native(struct book *b);
/** Whatever is left of each mapping goes to the mapping's own line. */
void claim_mappings(struct book *b);

#endif
