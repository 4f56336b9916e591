/* What a recording says, read once into plain data: the peak, the trends, the GC's history. */
#ifndef SERIES_STORY_H
#define SERIES_STORY_H

#include "series/recording.h"
#include "series/trend.h"

struct site_trend {
	const char *stack;
	struct trend trend;
};

struct story {
	struct recording_info info;
	int64_t from_ns, to_ns;			 /* first and last thing recorded */
	uint32_t n_samples, n_cycles, n_ledgers; /* as read, at most STORY_ROWS of each */
	struct sample_row *samples;
	struct cycle_row *cycles;
	struct ledger_row *ledgers;
	bool damaged; /* the file breaks off: what is here was read before */
	const char *damage;

	int64_t peak_t_ns;
	bytes peak_rss;
	const struct ledger_row *peak; /* the ledger with the largest RSS; NULL: there is none */
	const char *peak_json;	       /* the whole of it, or of the nearest; NULL */
	struct site_row *peak_sites;   /* of the largest RSS that has call sites */
	uint32_t n_peak_sites;
	int64_t peak_sites_t_ns;

	struct trend rss, marked, goroutines, line[N_LINES];
	struct site_trend *sites; /* those with a direction, steepest first */
	uint32_t n_sites;

	/* the collector */
	double gc_per_s;
	uint64_t cycles_done, late, forced;
	uint64_t pause_total_ns, pause_max_ns, pause_median_ns;
	double gc_cpu; /* share of GOMAXPROCS time; NaN unknown */

	bytes limit, limit_now; /* what ends the process, and how much of it is used; UNKNOWN */
	const char *limit_name; /* "the container's limit", "the machine's memory" */
	double seconds_left;	/* at the present slope; NaN: it does not grow */
	int64_t clock_set_ns, clock_set_t_ns; /* by how much the wall clock was set, and when (since
						 it began); 0: it was not */
	const char **words;		      /* sentences, the most important first */
	uint32_t n_words;
};

#define STORY_ROWS 20000U

/** Everything lives in the arena. A damaged file gives what can be read of it. */
bool story_read(struct recording *r, const struct recording_info *info, int64_t from, int64_t to,
		struct arena *a, struct story *ret, struct err *err);

/** What a recording knows of one moment: of each kind the row that is nearest. */
struct moment {
	int64_t t_ns;			     /* as asked for */
	const struct sample_row *sample;     /* the last one until then, else the first after it */
	const struct ledger_row *ledger;     /* NULL: there is none */
	const struct ledger_row *with_sites; /* that the call sites are of; NULL: none */
	struct site_row *sites;
	uint32_t n_sites;
};
/** Errors: ERR_FORMAT (damaged), ERR_LIMIT when nothing was recorded. */
bool story_moment(struct recording *r, const struct story *s, int64_t t_ns, struct arena *a,
		  struct moment *ret, struct err *err);

/** "3.1 MiB/min" */
const char *rate_words(struct arena *a, double bytes_a_second);

#endif
