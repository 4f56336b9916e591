/* One profile out of a file's bytes: inflated where needed, then by the format that it has. */
#include <string.h>

#include "pprof/codec.h"

/* All that a stream has, in the arena. */
static bool read_all(struct stream *s, struct arena *mem, uint8_t **ret, size_t *ret_n,
		     struct err *err)
{
	const uint8_t *piece;
	uint8_t *to = NULL;
	size_t n = 0, cap = 0, more;

	for (;;) {
		if (!stream_next(s, &piece, &more, err))
			return false;
		if (n + more > cap || !to) {
			size_t want = MAX(n + more, cap * 2) + 1;

			to = arena_resize(mem, to, cap, want, err);
			if (!to)
				return false;
			cap = want;
		}
		if (more == 0)
			break;
		memcpy(to + n, piece, more);
		n += more;
	}
	*ret = to;
	*ret_n = n;
	return true;
}

/* The legacy formats are read from memory; the inflated file shares the profile's limit. */
static bool parse_legacy(const uint8_t *d, size_t n, struct arena *mem, struct pprof *ret,
			 struct err *err)
{
	bytes limit = mem->limit, room = MAX(arena_room(mem, 1), 1);
	struct stream *s;
	struct arena raw;
	uint8_t *plain;
	size_t n_plain;
	bool ok;

	if (!stream_is_compressed(d, n))
		return pprof_legacy(d, n, mem, ret, err);
	if (!stream_open(d, n, room, &s, err))
		return false;
	arena_init(&raw, room);
	ok = read_all(s, &raw, &plain, &n_plain, err);
	stream_close(s);
	if (ok) {
		mem->limit = mem->used + (room > raw.used ? room - raw.used : 1);
		ok = pprof_legacy(plain, n_plain, mem, ret, err);
		mem->limit = limit;
	}
	arena_free(&raw);
	return ok;
}

bool pprof_parse(const uint8_t *d, size_t n, struct arena *mem, struct pprof *ret, struct err *err)
{
	enum pprof_verdict v;
	struct stream *s;

	if (!stream_open(d, n, arena_room(mem, 1), &s, err))
		return false;
	v = pprof_decode(s, mem, ret, err);
	stream_close(s);
	return v == PPROF_OK || (v == PPROF_NOT_PROTO && parse_legacy(d, n, mem, ret, err));
}
