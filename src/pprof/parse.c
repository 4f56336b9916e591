/* One profile out of a file's bytes: inflated where needed, then by the format that it has. */
#include "pprof/codec.h"

static bool parse_plain(const uint8_t *d, size_t n, struct arena *mem, struct pprof *ret,
			struct err *err)
{
	switch (pprof_decode(d, n, mem, ret, err)) {
	case PPROF_OK:
		return true;
	case PPROF_NOT_PROTO:
		return pprof_legacy(d, n, mem, ret, err);
	default:
		return false;
	}
}

bool pprof_parse(const uint8_t *d, size_t n, struct arena *mem, struct pprof *ret, struct err *err)
{
	bytes limit = mem->limit ? mem->limit : ARENA_LIMIT_DEFAULT;
	struct arena raw;
	uint8_t *plain;
	size_t n_plain;
	bool ok;

	if (!pprof_is_compressed(d, n))
		return parse_plain(d, n, mem, ret, err);
	/* The inflated file is dropped when it is decoded; until then both share the limit. */
	arena_init(&raw, MAX(arena_room(mem, 1), 1));
	ok = pprof_inflate(d, n, &raw, &plain, &n_plain, err);
	if (ok) {
		mem->limit = limit > raw.used ? limit - raw.used : 1;
		ok = parse_plain(plain, n_plain, mem, ret, err);
		mem->limit = limit;
	}
	arena_free(&raw);
	return ok;
}
