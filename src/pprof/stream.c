/*
 * gzip goes through ISA-L where the machine has it, which inflates in half of zlib's time, else
 * through zlib; zstd through libzstd (docs/adr/0006-profile-codec.md has the figures). A small file
 * is inflated on demand: for it a thread costs more than it gains.
 */
#include "pprof/stream.h"

#include <dlfcn.h>
#include <isa-l/igzip_lib.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define PIECE		((size_t)256 << 10)
#define PIECES		4U
#define THREAD_FROM	((size_t)64 << 10) /* compressed bytes */
#define ZSTD_WINDOW_LOG 27		   /* 128 MiB, the decoder's own default */

/* ISA-L, loaded: no other command needs it, and a machine may lack it. */
struct isal {
	int (*inflate)(struct inflate_state *state);
	void (*reset)(struct inflate_state *state);
	struct inflate_state state;
};

struct piece {
	uint8_t *d;
	size_t n;
	bool last; /* nothing follows: an error, or the end */
	struct err err;
};

struct stream {
	const uint8_t *d; /* compressed bytes that are left; plain: all of them */
	size_t n;
	uint64_t limit, made; /* of inflated bytes */
	bool plain, started, ended;
	z_stream z;
	struct isal *isal; /* NULL: z inflates */
	bool has_z, member_ended;
	ZSTD_DCtx *zstd;
	size_t zstd_left; /* 0: a frame has ended */
	struct piece pieces[PIECES];
	uint32_t take; /* the piece that is taken next */
	bool threaded, held;
	pthread_t thread;
	sem_t empty, full;
	bool stop; /* atomic */
};

static bool is_gzip(const uint8_t *d, size_t n)
{
	return n >= 2 && d[0] == 0x1f && d[1] == 0x8b;
}

static bool is_zstd(const uint8_t *d, size_t n)
{
	static const uint8_t magic[] = {0x28, 0xb5, 0x2f, 0xfd};

	return n >= sizeof(magic) && memcmp(d, magic, sizeof(magic)) == 0;
}

bool stream_is_compressed(const uint8_t *d, size_t n)
{
	return is_gzip(d, n) || is_zstd(d, n);
}

/* Both fill what they can of to[0 … room]; *end when nothing follows. */
static bool fill_gzip(struct stream *s, uint8_t *to, size_t room, size_t *ret_n, bool *end,
		      struct err *err)
{
	int r;

	s->z.next_out = to;
	s->z.avail_out = (uInt)room;
	while (s->z.avail_out) {
		size_t step = MIN(s->n, (size_t)1 << 30), out = s->z.avail_out;

		if (s->member_ended) {
			*end = s->n == 0;
			if (*end)
				break;
			inflateReset(&s->z);
			s->member_ended = false;
		}
		s->z.next_in = (Bytef *)(uintptr_t)s->d;
		s->z.avail_in = (uInt)step;
		r = inflate(&s->z, Z_NO_FLUSH);
		step -= s->z.avail_in;
		s->d += step;
		s->n -= step;
		s->member_ended = r == Z_STREAM_END;
		if (r == Z_MEM_ERROR)
			return err_set(err, ERR_LIMIT, "out of memory");
		if (r != Z_OK && r != Z_STREAM_END &&
		    (r != Z_BUF_ERROR || (!step && out == s->z.avail_out)))
			return err_set(err, ERR_FORMAT, "the gzip data is corrupt or cut off");
	}
	*ret_n = room - s->z.avail_out;
	return true;
}

static bool fill_isal(struct stream *s, uint8_t *to, size_t room, size_t *ret_n, bool *end,
		      struct err *err)
{
	struct inflate_state *z = &s->isal->state;

	z->next_out = to;
	z->avail_out = (uint32_t)room;
	while (z->avail_out) {
		uint32_t step = (uint32_t)MIN(s->n, (size_t)1 << 30), had = z->avail_out;

		if (z->block_state == ISAL_BLOCK_FINISH) {
			*end = s->n == 0;
			if (*end)
				break;
			s->isal->reset(z);
			z->crc_flag = ISAL_GZIP;
		}
		z->next_in = (uint8_t *)(uintptr_t)s->d;
		z->avail_in = step;
		if (s->isal->inflate(z) != ISAL_DECOMP_OK ||
		    (z->block_state != ISAL_BLOCK_FINISH && z->avail_in == step &&
		     z->avail_out == had))
			return err_set(err, ERR_FORMAT, "the gzip data is corrupt or cut off");
		s->d += step - z->avail_in;
		s->n -= step - z->avail_in;
	}
	*ret_n = room - z->avail_out;
	return true;
}

static struct isal *isal_open(void)
{
	void *lib = dlopen("libisal.so.2", RTLD_NOW | RTLD_LOCAL);
	void (*init)(struct inflate_state * state) = NULL;
	struct isal *i = lib ? calloc(1, sizeof(*i)) : NULL;

	if (i) {
		*(void **)&init = dlsym(lib, "isal_inflate_init");
		*(void **)&i->inflate = dlsym(lib, "isal_inflate");
		*(void **)&i->reset = dlsym(lib, "isal_inflate_reset");
	}
	if (i && init && i->inflate && i->reset) {
		init(&i->state);
		i->state.crc_flag = ISAL_GZIP;
		return i;
	}
	free(i);
	return NULL;
}

static bool fill_zstd(struct stream *s, uint8_t *to, size_t room, size_t *ret_n, bool *end,
		      struct err *err)
{
	ZSTD_outBuffer out = {to, room, 0};
	ZSTD_inBuffer in = {s->d, s->n, 0};

	while (out.pos < room) {
		size_t before = in.pos, had = out.pos;

		*end = s->zstd_left == 0 && in.pos == in.size;
		if (*end)
			break;
		s->zstd_left = ZSTD_decompressStream(s->zstd, &out, &in);
		if (ZSTD_isError(s->zstd_left))
			return err_set(err, ERR_FORMAT, "the zstd data is corrupt: %s",
				       ZSTD_getErrorName(s->zstd_left));
		if (s->zstd_left && in.pos == before && out.pos == had)
			return err_set(err, ERR_FORMAT, "the zstd data is cut off");
	}
	s->d += in.pos;
	s->n -= in.pos;
	*ret_n = out.pos;
	return true;
}

static void fill(struct stream *s, struct piece *p)
{
	bool end = false;

	p->n = 0;
	p->err = (struct err){0};
	if (!(s->isal	 ? fill_isal
	      : s->has_z ? fill_gzip
			 : fill_zstd)(s, p->d, PIECE, &p->n, &end, &p->err)) {
		p->n = 0;
		err_in(&p->err, "decompressing profile");
	} else if (p->n > s->limit - s->made) {
		p->n = 0;
		err_set(&p->err, ERR_LIMIT,
			"decompressing profile: inflated it is larger than the limit of memory "
			"(%llu MiB)",
			(unsigned long long)(s->limit >> 20));
	}
	s->made += p->n;
	p->last = end || p->err.kind;
}

static void *run(void *ctx)
{
	struct stream *s = ctx;
	uint32_t at = 0;

	if (s->has_z)
		s->isal = isal_open();
	for (bool last = false; !last; at = (at + 1) % PIECES) {
		while (sem_wait(&s->empty) != 0) {
		}
		if (__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE))
			break;
		fill(s, &s->pieces[at]);
		last = s->pieces[at].last;
		sem_post(&s->full);
	}
	return NULL;
}

bool stream_open(const uint8_t *d, size_t n, uint64_t limit, struct stream **ret, struct err *err)
{
	struct stream *s = calloc(1, sizeof(*s));
	bool ok = s != NULL;

	if (ok) {
		s->d = d;
		s->n = n;
		s->limit = limit;
		s->plain = !stream_is_compressed(d, n);
		s->zstd_left = 1;
		s->threaded = n >= THREAD_FROM && !s->plain;
		for (unsigned i = 0; ok && !s->plain && i < (s->threaded ? PIECES : 1); i++)
			ok = (s->pieces[i].d = malloc(PIECE)) != NULL;
	}
	if (ok && is_gzip(d, n)) {
		ok = inflateInit2(&s->z, MAX_WBITS + 16) == Z_OK;
		s->has_z = ok;
	} else if (ok && !s->plain) {
		ok = (s->zstd = ZSTD_createDCtx()) != NULL;
		if (ok)
			ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
	}
	if (!ok) {
		if (s)
			s->threaded = false;
		stream_close(s);
		return err_set(err, ERR_LIMIT, "out of memory");
	}
	if (s->threaded) {
		sem_init(&s->empty, 0, PIECES);
		sem_init(&s->full, 0, 0);
		s->threaded = pthread_create(&s->thread, NULL, run, s) == 0;
	}
	*ret = s;
	return true;
}

bool stream_next(struct stream *s, const uint8_t **ret, size_t *ret_n, struct err *err)
{
	struct piece *p;

	*ret_n = 0;
	if (s->plain || s->ended) {
		*ret = s->d;
		*ret_n = s->ended ? 0 : s->n;
		s->ended = true;
		return true;
	}
	if (s->threaded) {
		if (s->held)
			sem_post(&s->empty);
		while (sem_wait(&s->full) != 0) {
		}
		s->held = true;
		p = &s->pieces[s->take];
		s->take = (s->take + 1) % PIECES;
	} else {
		p = &s->pieces[0];
		fill(s, p);
	}
	s->ended = p->last;
	if (p->err.kind) {
		if (err)
			*err = p->err;
		return false;
	}
	*ret = p->d;
	*ret_n = p->n;
	return true;
}

void stream_close(struct stream *s)
{
	if (!s)
		return;
	if (s->threaded) {
		__atomic_store_n(&s->stop, true, __ATOMIC_RELEASE);
		sem_post(&s->empty);
		pthread_join(s->thread, NULL);
		sem_destroy(&s->empty);
		sem_destroy(&s->full);
	}
	if (s->has_z)
		inflateEnd(&s->z);
	free(s->isal);
	ZSTD_freeDCtx(s->zstd);
	for (unsigned i = 0; i < PIECES; i++)
		free(s->pieces[i].d);
	free(s);
}
