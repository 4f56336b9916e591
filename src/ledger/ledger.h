/*
 * The ledger: which line each resident byte belongs to, the bridge from the profile's number to
 * RSS, the container's number, and the causes. A pure function of the snapshot.
 */
#ifndef LEDGER_LEDGER_H
#define LEDGER_LEDGER_H

#include "snapshot/snapshot.h"

enum line_id {
#define LINE(id, text, title, why, bridge) LINE_##id,
#include "ledger/lines.def"
#undef LINE
	N_LINES
};

enum bridge_id {
#define BRIDGE(id, text, title, why) BRIDGE_##id,
#include "ledger/bridge.def"
#undef BRIDGE
	N_BRIDGE
};

struct line_info {
	const char *id, *title, *why;
	enum bridge_id bridge;
};
/* The curses library, which front/tui.c is linked with, has a variable of that name. */
#define LINES ledger_lines
extern const struct line_info LINES[N_LINES];

struct bridge_info {
	const char *id, *title, *why;
};
extern const struct bridge_info BRIDGE_INFO[N_BRIDGE];

struct line_sum {
	bytes bytes;	/* what the owner accounts for, virtual */
	bytes resident; /* in memory */
	bytes swapped;
};

struct bridge_row {
	int64_t delta, sum;
};

enum container_id {
	CONTAINER_RSS,
	CONTAINER_OTHERS,
	CONTAINER_CACHE,
	CONTAINER_KERNEL,
	CONTAINER_SHARED,
	CONTAINER_CURRENT,
	CONTAINER_INACTIVE,
	CONTAINER_WORKING_SET,
	N_CONTAINER
};
struct container_info {
	const char *id, *title, *why;
};
extern const struct container_info CONTAINER_INFO[N_CONTAINER];

enum confidence { POSSIBLE, LIKELY, CERTAIN };
extern const char *const CONFIDENCE_NAMES[];

/** Something that a user may do about a cause. */
struct action {
	const char *what;  /* imperative sentence: "set GOGC=50" */
	const char *costs; /* "about 4 % more GC CPU", "nothing" */
	int64_t saves;	   /* bytes of RSS; 0: none (it is not a loss) */
};

#define CAUSE_EVIDENCE 8
#define CAUSE_ACTIONS  4

/** One cause of the gap between the profile's number and RSS. */
struct cause {
	const char *id;	   /* contract: "gc-schedule", … */
	const char *title; /* one line, may name a file or function (unsafe bytes) */
	int64_t bytes;	   /* of the gap; negative where it makes RSS smaller */
	double share;	   /* bytes / |rss − inuse_space| */
	enum confidence confidence;
	const char *evidence[CAUSE_EVIDENCE];
	uint32_t n_evidence;
	struct action actions[CAUSE_ACTIONS];
	uint32_t n_actions;
};

struct ledger {
	const struct snapshot *s;
	bool residency; /* false: resident, swapped and the bridge after `free` are unknown */
	bool held;	/* then: a core tells which pages hold something. `resident` counts those,
			   and causes go by them; nobody else may */
	bytes rss;	/* counted page by page */
	struct line_sum line[N_LINES];
	struct bridge_row bridge[N_BRIDGE];
	bool has_container;
	struct bridge_row container[N_CONTAINER];
	struct cause *causes; /* sorted as the contract says */
	uint32_t n_causes;
	const char *verdict; /* one sentence, the answer */
	bytes overclaimed; /* claimed twice: a bug here or garbage there; 0 in every correct answer
			    */
};

/** One claimed piece, told to an observer while the ledger is built. `resident` of its bytes are in
 * memory. */
typedef void (*claim_observer)(void *ctx, enum line_id line, taddr start, taddr end,
			       bytes resident);

/** Builds the ledger; the observer may be NULL. Strings live in the arena. */
void ledger_build(const struct snapshot *s, struct arena *a, claim_observer observe, void *ctx,
		  struct ledger *ret);
/** Fills causes and verdict (findings.c); called by ledger_build at its end. */
void findings_build(struct ledger *l, struct arena *a);

#endif
