/*
 * The numbers of a profile are cut to integers, so one bit in exp can change them: math.Exp of Go
 * is followed step by step. It takes x = n·ln 2 + r apart, halves r four times, evaluates a Taylor
 * series and squares its way back; processors with FMA take the same steps with fused ones.
 */
#include "snapshot/sampling.h"

#include <math.h>

#define LN2_HIGH 0.69314718055966295651160180568695068359375
#define LN2_LOW	 0.28235290563031577122588448175013436025525412068e-12
#define LOG2E	 1.4426950408889634073599246810018920

static double step(double a, double b, double c, bool fused)
{
	return fused ? fma(a, b, c) : a * b + c;
}

double go_exp(double x)
{
	static const double series[] = {2.4801587301587301587e-5,
					1.9841269841269841270e-4,
					1.3888888888888888889e-3,
					8.3333333333333333333e-3,
					4.1666666666666666667e-2,
					1.6666666666666666667e-1,
					0.5,
					1.0};
	bool fused = __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx");
	if (!isfinite(x) || x > 7.09782712893384e+02 || x < -700)
		return exp(x); /* nothing that is sampled */
	double n = nearbyint(x * LOG2E), r = step(-n, LN2_HIGH, x, fused), sum = series[0];
	r = step(-n, LN2_LOW, r, fused) * 0.0625;
	for (unsigned i = 1; i < ARRAY_LEN(series); i++)
		sum = step(sum, r, series[i], fused);
	r *= sum;
	for (unsigned i = 0; i < 3; i++)
		r *= r + 2;
	r = step(r, r + 2, 1, fused);
	return ldexp(r, (int)n);
}

static double scale_of(int64_t count, int64_t size, int64_t rate)
{
	double average = (double)size / (double)count;
	return 1 / (1 - go_exp(-average / (double)rate));
}

void sample_scale(int64_t count, int64_t size, int64_t rate, int64_t *ret_count, int64_t *ret_size)
{
	*ret_count = *ret_size = 0;
	if (count == 0 || size == 0)
		return;
	*ret_count = count;
	*ret_size = size;
	if (rate <= 1)
		return;
	double scale = scale_of(count, size, rate), n = (double)count * scale,
	       b = (double)size * scale;
	/* garbage must not overflow */
	if (!(fabs(n) < 0x1p62) || !(fabs(b) < 0x1p62))
		return;
	*ret_count = (int64_t)n;
	*ret_size = (int64_t)b;
}

double sample_variance(int64_t count, int64_t size, int64_t rate)
{
	if (count <= 0 || size <= 0 || rate <= 1)
		return 0;
	double average = (double)size / (double)count, scale = scale_of(count, size, rate);
	return (double)count * average * average * scale * (scale - 1);
}
