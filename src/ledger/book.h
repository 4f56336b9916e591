/*
 * Double-entry for pages: how many bytes of each page in memory are claimed. A claim takes only
 * what is left of a page, so that nothing is counted twice whatever the claims say; what stays over
 * is claimed by the mapping that holds the page, and at last by the line `unexplained`. The books
 * balance by construction.
 */
#ifndef LEDGER_BOOK_H
#define LEDGER_BOOK_H

#include "ledger/ledger.h"

struct book {
	const struct snapshot *s;
	const struct pages *pages;
	uint16_t **used; /* of each chunk of `pages`, bytes claimed a page; NULL: none yet */
	struct arena *mem;
	struct line_sum line[N_LINES];
	bytes claimed_resident;
	bytes overclaimed; /* resident bytes that a claim wanted and another one had */
	claim_observer observe;
	void *ctx;
	uint32_t hint; /* chunk of the last claim */
};

void book_open(struct book *b, const struct snapshot *s, struct arena *a, claim_observer observe,
	       void *ctx);

/**
 * Claims the bytes [start, end) for a line, resident and swapped ones each where they are. Adds
 * nothing to line.bytes: the owner knows what it accounts for. Returns the resident bytes that were
 * taken.
 */
bytes book_claim(struct book *b, enum line_id line, taddr start, taddr end);
/** As book_claim for what earlier claims have left: not an overclaim when they took it. */
bytes book_rest(struct book *b, enum line_id line, taddr start, taddr end);

enum book_state { BOOK_ABSENT, BOOK_WHOLE, BOOK_MIXED };
/**
 * Is nothing of [start, end) in memory or swap, or all of it resident and unclaimed, or neither?
 * Page-aligned. When it is whole it is claimed at once, by lines of the caller's choice that sum to
 * its size (book_credit).
 */
enum book_state book_take_whole(struct book *b, taddr start, taddr end);
/** Adds resident bytes of a range taken by book_take_whole to a line. */
void book_credit(struct book *b, enum line_id line, taddr start, taddr end, bytes n);

#endif
