/*
 * What the server reads and computes, apart from HTTP: targets that are kept open, one snapshot of
 * each that all clients share, answers made from it, and a few workers. Whoever waits for an answer
 * holds no thread: it is woken.
 */
#ifndef FRONT_WEB_POOL_H
#define FRONT_WEB_POOL_H

#include <stdatomic.h>

#include "base/str.h"
#include "front/source.h"
#include "view/view.h"

/** Reads no fresher than this unless max_age asks for older ones. */
#define FRESH_NS ((int64_t)1000000000)

/** Which target a question is about. */
struct web_name {
	int pid;	     /* > 0: a process */
	const char *file;    /* else a core or capture that the command line named */
	const char *exe;     /* of a core: its program, where it is elsewhere; NULL */
	const char *profile; /* else one on the shelf, by its id; all NULL: about no target */
};

enum ask {
	ASK_PROCESSES,
	ASK_VIEW,
	ASK_MAP,
	ASK_AT,
	ASK_STACKS,
	ASK_TEXT,
	ASK_PPROF,
	ASK_METRICS,
	ASK_REPORT,
	ASK_SHELF,
	ASK_UPLOAD,
};

#define PARAMS_MAX 24U

struct web_param {
	const char *key, *value; /* value "" where there is none */
};

/** One question; its strings live in `mem`. */
struct question {
	struct arena mem;
	enum ask ask;
	struct web_name of;
	const struct view *view;
	const char *what; /* of ASK_PPROF, ASK_STACKS, ASK_TEXT: the profile's name */
	struct options options;
	struct web_param params[PARAMS_MAX];
	uint32_t n_params;
	int64_t max_age; /* ns */
	const char *key; /* equal keys have equal answers at the same moment */
	struct str body; /* of ASK_UPLOAD */
};

/** The value of a parameter, NULL when it was not given. */
const char *question_param(const struct question *q, const char *key);

/** An answer, shared and never changed once it is out. */
struct answer {
	atomic_uint refs;
	unsigned status;
	const char *type;	 /* Content-Type */
	const char *disposition; /* Content-Disposition, NULL: none; in `mem` */
	bool pprof_error;	 /* as net/http/pprof marks its own */
	struct str body;
	struct arena mem;
};

struct answer *answer_new(unsigned status, const char *type);
/** {"error": text} with the status that fits the kind of error. */
struct answer *answer_error(const struct err *err);
struct answer *answer_hold(struct answer *a);
void answer_drop(struct answer *a);

/** A target that is kept open. Touched by one worker at a time. */
struct held {
	struct web_name of;
	char *name;	       /* what of.file points to */
	struct source *source; /* NULL: closed */
	struct snapshot snap;
	bool have;
	uint32_t needs;	 /* what the snapshot has */
	int64_t at;	 /* monotonic, when it was read */
	int64_t took_ns; /* reading it */
	uint64_t code;	 /* which programs and libraries the session knows */

	/* the rest belongs to the pool's lock */
	struct held *next;
	bool busy;
	uint32_t users; /* questions and streams that name it */
	uint32_t streams;
	int64_t used_at;
	uint64_t serial;   /* counts snapshots; answers of another one are old */
	struct kept *kept; /* answers */
	struct answer *event;
	uint64_t event_serial;
	int64_t next_event;
	bool gone; /* ended: streams end */
};

/** A question that was taken up. */
struct job {
	struct job *next;
	struct question *q;
	struct held *of; /* NULL: about no single target */
	int64_t due;	 /* monotonic; waits until then without a worker */
	struct waiter *waiters;
	void *state; /* of a question that takes two looks; in q->mem */
	void (*state_free)(void *state);
};

/** Someone who waits. `alive` is asked before work is begun. */
struct waiter {
	struct waiter *next;
	struct answer *answer;
	void (*wake)(struct waiter *w); /* answer is set; from a worker's thread */
	bool (*alive)(struct waiter *w);
};

/** Someone who is told of every new snapshot. */
struct subscriber {
	struct subscriber *next;
	struct held *of;
	uint64_t seen; /* event_serial */
	bool asleep;
	void (*wake)(struct subscriber *s);
};

struct pool;
struct shelf;

/** Answers a question. NULL: not yet, the job's `due` and `state` are set. Runs in a worker. */
typedef struct answer *(*answer_fn)(struct pool *p, struct job *j);

bool pool_open(answer_fn fn, struct shelf *shelf, struct pool **ret, struct err *err);
/** The profiles that answers can be about. */
struct shelf *pool_shelf(const struct pool *p);
/** Lets workers end; everyone who waits is woken with an answer that says so. */
void pool_stop(struct pool *p);
void pool_close(struct pool *p);

/** An answer that is there already, or NULL. The caller drops it. */
struct answer *pool_find(struct pool *p, const struct question *q);
/** Takes the question (and frees it). The waiter is woken once, perhaps before this returns. */
void pool_ask(struct pool *p, struct question *q, struct waiter *w);

/** Begins to watch a target; false when there are too many. */
bool pool_subscribe(struct pool *p, const struct web_name *of, struct subscriber *s);
void pool_unsubscribe(struct pool *p, struct subscriber *s);
/** The newest event when it is news, else NULL and `asleep` is set. *ret_gone: no other follows. */
struct answer *pool_event(struct pool *p, struct subscriber *s, bool *ret_gone);

/** For answers: a snapshot with `needs` that is no older than max_age. Runs in a worker. */
bool held_snapshot(struct held *h, uint32_t needs, int64_t max_age, struct err *err);
/** For answers about several processes: borrows another target, NULL when too many are open. */
struct held *pool_borrow(struct pool *p, const struct web_name *of);
void pool_return(struct pool *p, struct held *h);

void question_free(struct question *q);

#endif
