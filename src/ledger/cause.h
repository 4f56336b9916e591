/*
 * What the rules of findings.def share: the ledger with its snapshot at hand, and short ways to say
 * a number, a piece of evidence or a piece of advice. Private to the findings.
 */
#ifndef LEDGER_CAUSE_H
#define LEDGER_CAUSE_H

#include "base/unit.h"
#include "ledger/ledger.h"
#include "snapshot/pacer.h"

enum finding_part { GAP, ASIDE, CHECK };

struct finding;
struct study;

struct rule {
	void (*run)(struct study *t, struct finding *f);
	const char *id, *title, *clause;
	enum finding_part part;
	unsigned normal;
};

/** A cause in the making. A rule that finds nothing leaves `bytes` at 0 and `told` false. */
struct finding {
	struct cause c;
	const struct rule *rule;
	const char *clause;
	bool told; /* worth a word although its bytes are 0 */
};

/** A ledger on the table. Never NULL inside: empty facts stand in for what is not known. */
struct study {
	const struct ledger *l;
	const struct snapshot *s;
	const struct os_facts *os;
	const struct counters *c;
	const struct cgroup_facts *cgroup; /* NULL: none visible */
	struct arena *a;
	struct pacer pacer;
	bytes rss;     /* where residency is not known: what the core holds, else what of the bytes
			  is in memory by all that is known */
	int64_t gap;   /* rss − inuse_space */
	bytes objects; /* HeapAlloc: live, new and dead */
	double profile_now; /* what the profile would say with all cycles in flight; as inuse_space
			     */
	bytes counted_new;  /* of heap.new: in the profile already (before the first GC it tells of
			       everything) */
};

#define FINDING(fn, id, part, normal, title, clause)                                               \
	void cause_##fn(struct study *t, struct finding *f);
#include "ledger/findings.def"
#undef FINDING

/** Whether pages say how much of something there is: those in memory, or those that a core holds.
 */
static inline bool cause_by_pages(const struct study *t)
{
	return t->l->residency || t->l->held;
}
/** Resident bytes of a line, or its bytes where residency is not known. */
bytes cause_line(const struct study *t, enum line_id id);
/** What of `n` bytes of a line is in memory, when nothing tells them from the rest of it: its
 * share; all of them where residency is not known. */
bytes cause_part_of_line(const struct study *t, enum line_id id, bytes n);
/** The bytes of the gap that the cause is; false when they are too few for a word, and then nothing
 * else is needed. */
bool cause_claim(struct study *t, struct finding *f, int64_t n);
void cause_evidence(struct study *t, struct finding *f, const char *fmt, ...) PRINTF_LIKE(3, 4);
/** `what` and `costs` are formatted together, set apart by a tab: "set GOGC=50\tabout 4 % more GC
 * CPU". */
void cause_action(struct study *t, struct finding *f, int64_t saves, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

const char *cause_bytes(struct study *t, bytes n);
const char *cause_count(struct study *t, uint64_t n);
const char *cause_duration(struct study *t, int64_t ns);
/** Percent, rounded; 0 of nothing. */
int cause_percent(double part, double whole);
/** The last two parts of a path, or all of a shorter one. */
const char *cause_tail_of(const char *path);
/** How far the OOM kill is: bytes that can still be added to what the kernel cannot take back.
 * False: no limit. */
bool cause_oom_distance(const struct study *t, bytes *ret);

#endif
