/*
 * The arithmetic of runtime/mstats.go (readmemstats_m) and runtime/metrics.go over counters that
 * were read from outside. Two kinds of sums that Go itself keeps apart: MemStats first makes every
 * P hand in what it counted for itself (flush_*), runtime/metrics does not.
 */
#include "view/memstats.h"

#include <math.h>
#include <string.h>

struct memstats memstats_compute(const struct counters *c)
{
	struct memstats m = {0};
	uint64_t total_alloc = c->largeAlloc, total_free = c->largeFree;
	uint64_t mallocs = c->largeAllocCount, frees = c->largeFreeCount;
	uint64_t tiny = c->tinyAllocCount + c->flush_tiny;
	uint64_t in_stacks = (uint64_t)c->inStacks;

	for (unsigned i = 0; i < GO_SIZE_CLASSES; i++) {
		uint64_t n = c->smallAllocCount[i] + c->flush_small[i], f = c->smallFreeCount[i];

		total_alloc += n * GO_CLASS_SIZE[i];
		total_free += f * GO_CLASS_SIZE[i];
		mallocs += n;
		frees += f;
		if (i < MEMSTATS_BY_SIZE) {
			m.BySize[i].Size = GO_CLASS_SIZE[i];
			m.BySize[i].Mallocs = n;
			m.BySize[i].Frees = f;
		}
	}
	/* A tiny object counts as allocated and freed: its block has been counted already. */
	mallocs += tiny;
	frees += tiny;

	m.Alloc = m.HeapAlloc = total_alloc - total_free;
	m.TotalAlloc = total_alloc;
	m.Mallocs = mallocs;
	m.Frees = frees;
	m.HeapObjects = mallocs - frees;
	m.HeapSys = c->heapInUse + c->heapFree + c->heapReleased;
	m.HeapIdle = c->heapFree + c->heapReleased;
	m.HeapInuse = c->heapInUse;
	m.HeapReleased = c->heapReleased;
	m.StackInuse = in_stacks;
	m.StackSys = in_stacks + c->stacks_sys;
	m.MSpanInuse = c->mspan_inuse;
	m.MSpanSys = c->mspan_sys;
	m.MCacheInuse = c->mcache_inuse;
	m.MCacheSys = c->mcache_sys;
	m.BuckHashSys = c->buckhash_sys;
	m.GCSys = c->gcMiscSys + (uint64_t)(c->inWorkBufs + c->inPtrScalarBits);
	m.OtherSys = c->other_sys;
	m.Sys = m.HeapSys + m.StackSys + m.MSpanSys + m.MCacheSys + m.BuckHashSys + m.GCSys +
		m.OtherSys;
	m.NextGC = c->heapGoal;
	m.LastGC = c->last_gc_unix;
	m.PauseTotalNs = c->pause_total_ns;
	m.NumGC = c->numgc;
	m.NumForcedGC = c->numforcedgc;
	m.GCCPUFraction = c->gc_cpu_fraction;
	m.EnableGC = true;
	memcpy(m.PauseNs, c->pause_ns, sizeof(m.PauseNs));
	memcpy(m.PauseEnd, c->pause_end, sizeof(m.PauseEnd));
	return m;
}

/* runtime/histogram.go: powers of two from 2^9 ns to 2^48 ns, four buckets each. */
enum { TIME_MIN_BITS = 9, TIME_MAX_BITS = 48, TIME_SUB_BITS = 2, TIME_SUB = 1 << TIME_SUB_BITS };
_Static_assert((TIME_MAX_BITS - TIME_MIN_BITS + 1) * TIME_SUB + 2 == TIME_BUCKETS,
	       "as the runtime counts them");

void time_buckets(double ret[TIME_BUCKETS + 1])
{
	unsigned n = 0;

	ret[n++] = -INFINITY;
	for (uint64_t j = 0; j < TIME_SUB; j++)
		ret[n++] = (double)(j << (TIME_MIN_BITS - 1 - TIME_SUB_BITS)) / 1e9;
	for (unsigned i = TIME_MIN_BITS; i < TIME_MAX_BITS; i++)
		for (uint64_t j = 0; j < TIME_SUB; j++)
			ret[n++] = (double)((uint64_t)1 << (i - 1) | j << (i - 1 - TIME_SUB_BITS)) /
				   1e9;
	ret[n++] = (double)((uint64_t)1 << (TIME_MAX_BITS - 1)) / 1e9;
	ret[n] = INFINITY;
}

/* Until 1.19: nanoseconds up to 15, then powers of two from 2^4 to 2^47, 16 buckets each. */
enum { OLD_SUB_BITS = 4, OLD_SUB = 1 << OLD_SUB_BITS, OLD_POWERS = 44 };
_Static_assert((OLD_POWERS + 1) * OLD_SUB + 1 == TIME_BUCKETS_119, "as the runtime counts them");

static void time_buckets_119(double ret[TIME_BUCKETS_119 + 1])
{
	unsigned n = 0;

	ret[n++] = -INFINITY;
	for (uint64_t j = 0; j < OLD_SUB; j++)
		ret[n++] = (double)j / 1e9;
	for (unsigned i = 0; i < OLD_POWERS; i++)
		for (uint64_t j = 0; j < OLD_SUB; j++)
			ret[n++] = (double)((uint64_t)1 << (i + OLD_SUB_BITS) | j << i) / 1e9;
	ret[n] = INFINITY;
}

static struct value histogram(struct arena *a, struct value counts, struct value buckets)
{
	struct value o = value_object(a);

	value_put(a, o, "counts", counts);
	value_put(a, o, "buckets", buckets);
	return o;
}

/*
 * What came together with something that a snapshot tells: with the memory limit (1.19) the limiter
 * and the sizes of stacks, with the CPU classes (1.20) the mutex clock, with the count of
 * goroutines created (1.26) that the runtime's own are in /sched/goroutines.
 */
struct release_has {
	bool limiter, clocks, system;
};

static struct value times(struct arena *a, const struct counters *c, const uint64_t *n)
{
	struct value counts, buckets;
	double at[TIME_BUCKETS_119 + 1];

	if (!n)
		return value_null();
	if (c->n_histogram == TIME_BUCKETS)
		time_buckets(at);
	else if (c->n_histogram == TIME_BUCKETS_119)
		time_buckets_119(at);
	else
		return value_null();
	counts = value_array(a);
	buckets = value_array(a);
	for (unsigned i = 0; i < c->n_histogram; i++)
		value_push(a, counts, value_uint(n[i]));
	for (unsigned i = 0; i <= c->n_histogram; i++)
		value_push(a, buckets, value_double(at[i])); /* ±Inf leaves as null */
	return histogram(a, counts, buckets);
}

/* Lower bounds are inclusive there, so that each is one above a class; large objects come last,
 * class 0 is not used. */
static struct value by_size(struct arena *a, const uint64_t small[GO_SIZE_CLASSES], uint64_t large)
{
	struct value counts = value_array(a), buckets = value_array(a);

	value_push(a, buckets, value_uint(1));
	for (unsigned i = 1; i < GO_SIZE_CLASSES; i++) {
		value_push(a, counts, value_uint(small[i]));
		value_push(a, buckets, value_uint((uint64_t)GO_CLASS_SIZE[i] + 1));
	}
	value_push(a, counts, value_uint(large));
	value_push(a, buckets, value_double(INFINITY));
	return histogram(a, counts, buckets);
}

static struct value cpu(const struct counters *c, int64_t ns)
{
	return c->has_cpu ? value_double((double)ns / 1e9) : value_null();
}

struct heap_sums {
	uint64_t allocated, freed, allocs, frees;
};

static struct heap_sums sums(const struct counters *c)
{
	struct heap_sums h = {c->largeAlloc, c->largeFree, c->largeAllocCount, c->largeFreeCount};

	for (unsigned i = 0; i < GO_SIZE_CLASSES; i++) {
		h.allocs += c->smallAllocCount[i];
		h.frees += c->smallFreeCount[i];
		h.allocated += c->smallAllocCount[i] * GO_CLASS_SIZE[i];
		h.freed += c->smallFreeCount[i] * GO_CLASS_SIZE[i];
	}
	return h;
}

struct by_state {
	bool known;
	uint64_t running, runnable, not_in_go, waiting, total;
};

static struct by_state states(const struct snapshot *s)
{
	struct by_state g = {.known = s->n_goroutines > 0};

	for (uint32_t i = 0; i < s->n_goroutines; i++) {
		switch (s->goroutines[i].status) {
		case G_RUNNING:
			g.running++;
			break;
		case G_RUNNABLE:
			g.runnable++;
			break;
		case G_SYSCALL:
			g.not_in_go++;
			break;
		case G_IDLE:
		case G_DEAD:
		case G_DEADEXTRA:
			break;
		default:
			g.waiting++;
		}
	}
	g.total = g.running + g.runnable + g.not_in_go + g.waiting;
	return g;
}

struct value gometrics_build(const struct snapshot *s, struct arena *a, uint32_t *ret_unknown)
{
	const struct counters *c = s->counters;
	struct value o = value_object(a);
	struct heap_sums h = sums(c);
	struct by_state g = states(s);
	struct release_has has = {.limiter = c->mappedReady != 0,
				  .clocks = c->has_cpu,
				  .system = c->goroutines_created != 0};

#define METRIC(name, value) value_put(a, o, name, value);
#include "view/gometrics.def"
#undef METRIC
	*ret_unknown = 0;
	for (uint32_t i = 0; i < o.list->items.n; i++)
		*ret_unknown += o.list->items.v[i].v.kind == VALUE_NULL;
	return o;
}
