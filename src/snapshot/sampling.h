/* What a sampled allocation stands for: the arithmetic of runtime/pprof, to the last bit. */
#ifndef SNAPSHOT_SAMPLING_H
#define SNAPSHOT_SAMPLING_H

#include "base/base.h"

/**
 * Objects and bytes that `count` sampled objects of `size` bytes together stand for at a
 * MemProfileRate: each was sampled with probability 1 − exp(−average/rate). As
 * runtime/pprof/protomem.go, scaleHeapSample, with Go's own exp.
 */
void sample_scale(int64_t count, int64_t size, int64_t rate, int64_t *ret_count, int64_t *ret_size);

/** Variance in bytes² of the size that sample_scale gives: 0 where all are sampled. */
double sample_variance(int64_t count, int64_t size, int64_t rate);

/** Go's math.Exp on amd64 (math/exp_amd64.s), whose last bit is not the C library's. */
double go_exp(double x);

#endif
