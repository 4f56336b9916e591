/* The wire format of protocol buffers: https://protobuf.dev/programming-guides/encoding. */
#ifndef PPROF_WIRE_H
#define PPROF_WIRE_H

#include <string.h>

#include "base/base.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/** One field. A number (v) or bytes (d, n), by its type. */
struct wire_field {
	uint64_t number;
	uint64_t v;
	const uint8_t *d;
	size_t n;
	unsigned type;
};

/** The part of a message that is still to be read; up to `readable` memory may be looked at. */
struct wire {
	const uint8_t *at, *end, *readable;
};

static inline struct wire wire_of(const uint8_t *d, size_t n)
{
	const uint8_t *end = n ? d + n : d;

	return (struct wire){d, end, end};
}

/** What a field of a message has: small messages are read as fast as the large one around them. */
static inline struct wire wire_in(const struct wire *around, const uint8_t *d, size_t n)
{
	return (struct wire){d, n ? d + n : d, around->readable};
}

/* Ten bytes at most; what the tenth has beyond bit 63 is dropped. */
static inline bool wire_varint_slow(struct wire *w, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 10 && w->at < w->end; i++) {
		uint8_t b = *w->at++;

		v |= (uint64_t)(b & 0x7f) << (7 * i);
		if (b < 0x80) {
			*ret = v;
			return true;
		}
	}
	return false;
}

/* Seven bits of each of eight bytes. Little-endian, as every machine that this program supports. */
static inline uint64_t wire_join(uint64_t v)
{
	v = (v & 0x007f007f007f007fU) | (v & 0x7f007f007f007f00U) >> 1;
	v = (v & 0x00003fff00003fffU) | (v & 0x3fff00003fff0000U) >> 2;
	return (v & 0x0fffffffU) | (v & 0x0fffffff00000000U) >> 4;
}

/**
 * The next varint; false when it is cut off or too long. Up to eight bytes are decoded without a
 * branch on their number: in a stream of location ids of 1 to 3 bytes that would be mispredicted.
 */
static inline bool wire_varint(struct wire *w, uint64_t *ret)
{
	uint64_t v, stop;
	unsigned n;

	if (w->readable - w->at < 8)
		return wire_varint_slow(w, ret);
	memcpy(&v, w->at, 8);
	stop = ~v & 0x8080808080808080U;
	n = stop ? ((unsigned)__builtin_ctzll(stop) >> 3) + 1 : 9;
	if (n > w->end - w->at || n > 8)
		return wire_varint_slow(w, ret);
	w->at += n;
	*ret = wire_join(v & (stop ^ (stop - 1)));
	return true;
}

/** The next two varints when they lie in eight bytes, which takes hardly longer than one. */
static inline bool wire_two_varints(struct wire *w, uint64_t *ret)
{
	uint64_t v, stop, second;
	unsigned n, bits;

	if (w->end - w->at < 8)
		return false;
	memcpy(&v, w->at, 8);
	stop = ~v & 0x8080808080808080U;
	second = stop & (stop - 1);
	if (!second)
		return false;
	bits = (unsigned)__builtin_ctzll(stop) + 1;
	n = (unsigned)__builtin_ctzll(second) + 1;
	ret[0] = wire_join(v & (stop ^ (stop - 1)));
	ret[1] = wire_join(v >> bits & (((uint64_t)2 << (n - bits - 1)) - 1));
	w->at += n >> 3;
	return true;
}

/** The next field; false at the end and when the rest is malformed (then w->at < w->end). */
static inline bool wire_next(struct wire *w, struct wire_field *f)
{
	struct wire at = *w;
	uint64_t key;
	size_t width;

	if (at.at == at.end)
		return false;
	key = *at.at;
	if (key < 0x80) /* nearly all are below field 16, so that this branch costs nothing */
		at.at++;
	else if (!wire_varint(&at, &key))
		return false;
	f->number = key >> 3;
	f->type = (unsigned)(key & 7);
	f->v = 0;
	f->d = at.at;
	f->n = 0;
	switch (f->type) {
	case WIRE_VARINT:
		if (!wire_varint(&at, &f->v))
			return false;
		break;
	case WIRE_FIXED64:
	case WIRE_FIXED32:
		width = f->type == WIRE_FIXED64 ? 8 : 4;
		if ((size_t)(at.end - at.at) < width)
			return false;
		memcpy(&f->v, at.at, width);
		at.at += width;
		break;
	case WIRE_BYTES:
		if (!wire_varint(&at, &f->v) || f->v > (uint64_t)(at.end - at.at))
			return false;
		f->d = at.at;
		f->n = (size_t)f->v;
		at.at += f->n;
		break;
	default: /* groups */
		return false;
	}
	w->at = at.at;
	return true;
}

/** How many varints end in these bytes. */
static inline size_t wire_count_varints(const uint8_t *d, size_t n)
{
	size_t ends = 0;

	for (size_t i = 0; i < n; i++)
		ends += d[i] < 0x80;
	return ends;
}

#endif
