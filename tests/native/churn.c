/*
 * Four threads that malloc and free as fast as they can, of all sizes, now and then more than the
 * mmap threshold and now and then a thread that ends: what whyrss must be able to look at without a
 * stop.
 *
 *   churn FILE     writes "end" to FILE when all threads run, and ends with its input
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOTS 20000

static void *idle(void *arg)
{
	free(malloc(100));
	return arg;
}

static void *churn(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg, n = 0;
	static _Thread_local void *slot[SLOTS];

	for (;;) {
		unsigned i = (unsigned)rand_r(&seed) % SLOTS, kind = (unsigned)rand_r(&seed) % 1000;
		size_t size = kind < 900   ? 1 + (unsigned)rand_r(&seed) % 300
			      : kind < 999 ? 1 + (unsigned)rand_r(&seed) % 20000
					   : 150000 + (unsigned)rand_r(&seed) % 300000;
		pthread_t id;

		free(slot[i]);
		slot[i] = NULL;
		if (kind % 3) {
			slot[i] = malloc(size);
			if (!slot[i])
				_exit(1);
			memset(slot[i], (int)n, size);
		}
		if (++n % 100000 == 0 && pthread_create(&id, NULL, idle, NULL) == 0)
			pthread_join(id, NULL);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t id;
	FILE *f = argc == 2 ? fopen(argv[1], "w") : NULL;
	char c;

	if (!f)
		return 2;
	for (uintptr_t i = 1; i <= 4; i++)
		if (pthread_create(&id, NULL, churn, (void *)i))
			return 1;
	usleep(300000);
	fprintf(f, "end 1\n");
	fflush(f);
	while (read(0, &c, 1) < 0)
		;
	_exit(0);
}
