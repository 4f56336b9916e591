/*
 * A C program with a known heap: N threads allocate and free by the operations named, then it
 * writes what malloc says of itself and every block that is still in use, and waits for the end of
 * its input.
 *
 *   patterns FILE THREADS ARENA_MAX OPS SEED
 *
 * OPS, run by every thread in turn unless they say "main":
 *   s  many small blocks, every other one freed            f  fast-bin and tcache sizes, most of
 * them freed l  blocks over the mmap threshold, a third freed       a  aligned blocks, small and
 * over the threshold r  growing by realloc                                  b  90 MB of 200-byte
 * blocks: several heaps an arena t  free all of it, then malloc_trim (main, at the end) h  somebody
 * else's brk in between (main) n  brk is blocked: the main arena maps its memory (main, first) m
 * realloc of a large block moves it (mremap)          e  short-lived threads that leave arenas and
 * stacks c  640-byte blocks with the look of a tcache           F  300,000 fast chunks in one bin
 * (main) u  a thread that lives on a stack from malloc (main)   v  madvise splits mappings inside
 * of chunks G  2.2 million fast chunks (main): more than whyrss remembers
 *
 * FILE gets lines "name value", then "block ADDRESS USABLE" for each block in use, then "end".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A program that was linked with an older libc has only mallinfo. */
extern struct mallinfo2 mallinfo2(void) __attribute__((weak));

#define BLOCKS 700000

struct thread {
	void **block; /* mapped, not malloc'ed, so that the books are not in the heap */
	unsigned n;
	unsigned seed;
	pthread_t id;
	char *lo, *hi;
	int index;
};

static const char *ops;
static pthread_barrier_t done, leave;
static atomic_int failed, waiting;

static void keep(struct thread *t, void *p)
{
	if (!p || t->n == BLOCKS) {
		atomic_store(&failed, 1);
		return;
	}
	t->block[t->n++] = p;
}

static unsigned rnd(struct thread *t, unsigned n)
{
	return (unsigned)rand_r(&t->seed) % n;
}

static void *filled(size_t n)
{
	void *p = malloc(n);

	if (p)
		memset(p, 0x5a, n);
	return p;
}

/* Frees every k-th of the blocks from `first` on. */
static void thin(struct thread *t, unsigned first, unsigned k)
{
	unsigned n = first;

	for (unsigned i = first; i < t->n; i++) {
		if ((i - first) % k == 0)
			free(t->block[i]);
		else
			t->block[n++] = t->block[i];
	}
	t->n = n;
}

static void *short_lived(void *arg)
{
	void *p[100];

	(void)arg;
	for (unsigned i = 0; i < 100; i++)
		p[i] = filled(40 + i * 8);
	for (unsigned i = 0; i < 100; i++)
		free(p[i]);
	return NULL;
}

static void *waits(void *arg)
{
	free(malloc(50));
	atomic_store(&waiting, 1);
	for (;;)
		pause();
	return arg;
}

static void op_run(struct thread *t, char op)
{
	unsigned first = t->n;

	switch (op) {
	case 's':
		for (unsigned i = 0; i < 4000; i++)
			keep(t, filled(1 + rnd(t, 2000)));
		thin(t, first, 2);
		break;
	case 'f':
		for (unsigned i = 0; i < 1000; i++)
			keep(t, filled(1 + rnd(t, 120)));
		thin(t, first, 3);
		thin(t, first, 2);
		break;
	case 'l':
		for (unsigned i = 0; i < 12; i++)
			keep(t, filled(200000 + rnd(t, 3000000)));
		thin(t, first, 3);
		for (unsigned i = 0; i < 12; i++)
			keep(t, filled(200000 + rnd(t, 5000000)));
		break;
	case 'a':
		for (unsigned i = 0; i < 60; i++) {
			void *p = NULL;
			size_t align = (size_t)32 << rnd(t, 13);

			if (posix_memalign(&p, align,
					   i % 3 ? 64 + rnd(t, 5000) : 40000000 + rnd(t, 100000)))
				p = NULL;
			else
				memset(p, 1, 64);
			keep(t, p);
		}
		thin(t, first, 4);
		break;
	case 'r': {
		char *p = NULL;

		for (size_t n = 10; n < 100000; n = n * 5 / 4) {
			p = realloc(p, n);
			free(filled(n / 2));
		}
		keep(t, p);
		break;
	}
	case 'm': {
		char *p = filled(33u << 20);

		keep(t, filled(34u << 20));
		p = realloc(p, 35u << 20);
		keep(t, p);
		break;
	}
	case 'b':
		for (unsigned i = 0; i < 450000; i++)
			keep(t, filled(200));
		thin(t, first, 5);
		break;
	case 'v': {
		char *big = filled(9u << 20), *small = filled(100000);

		if (!big || !small ||
		    madvise((void *)(((uintptr_t)big + (1u << 20)) & ~(uintptr_t)4095), 4096,
			    MADV_DONTFORK) ||
		    madvise((void *)(((uintptr_t)small + 50000) & ~(uintptr_t)4095), 8192,
			    MADV_DONTFORK))
			atomic_store(&failed, 1);
		keep(t, big);
		keep(t, small);
		break;
	}
	case 'e': {
		pthread_t id[8];

		for (unsigned i = 0; i < 8; i++)
			if (pthread_create(&id[i], NULL, short_lived, NULL))
				atomic_store(&failed, 1);
		for (unsigned i = 0; i < 8; i++)
			pthread_join(id[i], NULL);
		break;
	}
	case 'c':
		for (unsigned i = 0; i < 300; i++) {
			uint64_t *p = filled(640);

			/* Right counts, but entries of no chunks; or all zero. */
			memset(p, 0, 640);
			if (i % 3 == 0) {
				((uint16_t *)p)[i % 64] = 1;
				p[16 + i % 64] = (uint64_t)p;
			} else if (i % 3 == 1) {
				for (unsigned k = 0; k < 64; k++) {
					((uint16_t *)p)[k] = 7;
					p[16 + k] = (uint64_t)p & ~(uint64_t)15;
				}
			}
			keep(t, p);
		}
		break;
	}
}

static void op_main(struct thread *t, char op)
{
	unsigned first = t->n;

	if (op == 'h') {
		char *end = sbrk(0);

		/* malloc's next brk finds somebody else's memory in front of it. */
		if (sbrk(3 * 4096 + 16) != end)
			atomic_store(&failed, 1);
		memset(end, 0x21, 3 * 4096 + 16);
		for (unsigned i = 0; i < 3000; i++)
			keep(t, filled(100 + rnd(t, 400)));
		thin(t, first, 3);
	} else if (op == 'n') {
		void *end = (void *)(((uintptr_t)sbrk(0) + 4095) & ~(uintptr_t)4095);

		if (mmap(end, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
			 -1, 0) != end)
			atomic_store(&failed, 1);
		for (unsigned i = 0; i < 20000; i++)
			keep(t, filled(100 + rnd(t, 400)));
		thin(t, first, 3);
	} else if (op == 'F') {
		/* Larger than the cache holds; a separator keeps them from being merged. */
		for (unsigned i = 0; i < 300000; i++)
			keep(t, filled(56));
		thin(t, first, 1);
	} else if (op == 'G') {
		void **chain = NULL, **next;

		for (unsigned i = 0; i < 2200000; i++) {
			next = malloc(24);
			if (!next) {
				atomic_store(&failed, 1);
				break;
			}
			*next = chain;
			chain = next;
		}
		for (; chain; chain = next) {
			next = *chain;
			free(chain);
		}
	} else if (op == 'u') {
		pthread_attr_t attr;
		pthread_t id;
		void *stack = NULL;

		if (posix_memalign(&stack, 4096, 1 << 20) || pthread_attr_init(&attr) ||
		    pthread_attr_setstack(&attr, stack, 1 << 20) ||
		    pthread_create(&id, &attr, waits, NULL))
			atomic_store(&failed, 1);
		keep(t, stack);
		while (!atomic_load(&waiting))
			;
	} else if (op == 't') {
		thin(t, 0, 1);
		malloc_trim(0);
	}
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;
	pthread_attr_t attr;
	size_t size, guard;
	void *lo;

	for (const char *op = ops; *op; op++)
		op_run(t, *op);
	if (pthread_getattr_np(pthread_self(), &attr) || pthread_attr_getstack(&attr, &lo, &size) ||
	    pthread_attr_getguardsize(&attr, &guard))
		atomic_store(&failed, 1);
	t->lo = (char *)lo + 0 * guard;
	t->hi = (char *)lo + size;
	pthread_attr_destroy(&attr);
	pthread_barrier_wait(&done);
	pthread_barrier_wait(&leave);
	return NULL;
}

static char out[1 << 16], xml[4 << 20];

int main(int argc, char **argv)
{
	static struct thread threads[64];
	static void *books[64];
	unsigned n, blocks = 0;
	FILE *f, *info;
	char path[512];

	if (argc != 6)
		return 2;
	n = (unsigned)atoi(argv[2]);
	ops = argv[4];
	if (n >= 64)
		return 2;
	if (atoi(argv[3]))
		mallopt(M_ARENA_MAX, atoi(argv[3]));
	/* Streams with buffers of their own: nothing is allocated once the numbers were taken. */
	f = fopen(argv[1], "w");
	snprintf(path, sizeof(path), "%s.xml", argv[1]);
	info = fopen(path, "w");
	if (!f || !info)
		return 1;
	setvbuf(f, out, _IOFBF, sizeof(out));
	setvbuf(info, xml, _IOFBF, sizeof(xml));
	if (pthread_barrier_init(&done, NULL, n + 1) || pthread_barrier_init(&leave, NULL, n + 1))
		return 1;
	for (unsigned i = 0; i <= n; i++) {
		books[i] = mmap(NULL, BLOCKS * sizeof(void *), PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (books[i] == MAP_FAILED)
			return 1;
		threads[i] = (struct thread){
			.block = books[i], .seed = (unsigned)atoi(argv[5]) + i, .index = (int)i};
	}
	if (strchr(ops, 'n'))
		op_main(&threads[n], 'n');
	for (unsigned i = 0; i < n; i++)
		if (pthread_create(&threads[i].id, NULL, thread_main, &threads[i]))
			return 1;
	for (const char *op = ops; *op; op++) {
		op_run(&threads[n], *op);
		if (strchr("hFtuG", *op))
			op_main(&threads[n], *op);
	}
	pthread_barrier_wait(&done);

	malloc_info(0, info);
	if (mallinfo2) {
		struct mallinfo2 m = mallinfo2();

		fprintf(f,
			"arena %zu\nuordblks %zu\nfordblks %zu\nfsmblks %zu\nkeepcost %zu\nhblks "
			"%zu\nhblkhd %zu\n",
			m.arena, m.uordblks, m.fordblks, m.fsmblks, m.keepcost, m.hblks, m.hblkhd);
	} else {
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
		struct mallinfo m = mallinfo();

		fprintf(f,
			"arena %u\nuordblks %u\nfordblks %u\nfsmblks %u\nkeepcost %u\nhblks "
			"%u\nhblkhd %u\n",
			m.arena, m.uordblks, m.fordblks, m.fsmblks, m.keepcost, m.hblks, m.hblkhd);
	}
	fprintf(f, "failed %d\n", atomic_load(&failed));
	for (unsigned i = 0; i < n; i++)
		fprintf(f, "stack %zu %zu\n", (size_t)threads[i].lo, (size_t)threads[i].hi);
	for (unsigned i = 0; i <= n; i++)
		for (unsigned k = 0; k < threads[i].n; k++, blocks++)
			fprintf(f, "block %zu %zu\n", (size_t)threads[i].block[k],
				malloc_usable_size(threads[i].block[k]));
	fprintf(f, "blocks %u\nend 1\n", blocks);
	fflush(info);
	fflush(f); /* last: its "end" is what the reader waits for */
	while (read(0, path, 1) < 0 && errno == EINTR)
		;
	_exit(0);
}
