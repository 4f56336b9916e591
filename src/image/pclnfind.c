/*
 * Finds functions by name in a pclntab, the other way round than pclntab.c. Names are compared in
 * one pass over funcnametab, which gives the offsets that the wanted ones have; one pass over ftab
 * then finds the functions with these offsets. Everything is bounded by the tables' lengths, which
 * are bounded themselves.
 */
#include "image/pclnfind.h"

#include <string.h>

#define MAX_NAMES  ((uint64_t)256 << 20)
#define MAX_FUNCS  ((uint64_t)1 << 24)
#define MAX_HEADER ((uint64_t)1 << 32)
#define MAGIC_118  0xfffffff0U
#define MAGIC_120  0xfffffff1U
#define CHUNK	   ((size_t)1 << 20)
#define NONE	   UINT32_MAX

static uint32_t u32(const unsigned char *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t u64(const unsigned char *p)
{
	return u32(p) | (uint64_t)u32(p + 4) << 32;
}

bool pcln_magic_known(uint32_t magic)
{
	return magic == MAGIC_118 || magic == MAGIC_120;
}

bool pcln_header_parse(const void *p, size_t n, struct pcln_header *ret)
{
	const unsigned char *b = p;
	struct pcln_header h;

	/* two zeros, the size of the smallest instruction, the size of a pointer */
	if (n < PCLN_HEADER_SIZE || b[4] || b[5] || b[6] != 1 || b[7] != 8)
		return false;
	h = (struct pcln_header){.magic = u32(b),
				 .n_funcs = u64(b + 8),
				 .n_files = u64(b + 16),
				 .funcnames = u64(b + 32),
				 .cus = u64(b + 40),
				 .files = u64(b + 48),
				 .pcs = u64(b + 56),
				 .funcs = u64(b + 64)};
	if (h.n_funcs == 0 || h.n_funcs > MAX_FUNCS || h.funcnames < PCLN_HEADER_SIZE ||
	    h.funcnames >= h.cus || h.cus >= h.files || h.files >= h.pcs || h.pcs >= h.funcs ||
	    h.funcs > MAX_HEADER)
		return false;
	*ret = h;
	return true;
}

/* Wanted names in an open-addressed table, and the offset in funcnametab that each turned out to
 * have. */
struct names {
	const struct pcln_wanted *w;
	uint32_t n, mask, left;
	uint32_t *slot; /* index + 1 */
	uint32_t *off;	/* NONE: not met */
	size_t longest;
};

static uint32_t name_hash(const unsigned char *s, size_t n)
{
	uint32_t h = 2166136261U;

	for (size_t i = 0; i < n; i++)
		h = (h ^ s[i]) * 16777619U;
	return h;
}

static void names_init(struct names *t, struct arena *a, const struct pcln_wanted *w, uint32_t n)
{
	*t = (struct names){.w = w, .n = n, .left = n, .mask = 16};
	while (t->mask < 4 * n)
		t->mask *= 2;
	t->slot = ARENA_ARRAY(a, uint32_t, t->mask--);
	t->off = ARENA_ARRAY(a, uint32_t, n);
	for (uint32_t i = 0; i < n; i++) {
		size_t len = strlen(w[i].name);
		uint32_t k = name_hash((const unsigned char *)w[i].name, len) & t->mask;

		while (t->slot[k] != 0)
			k = (k + 1) & t->mask;
		t->slot[k] = i + 1;
		t->off[i] = NONE;
		t->longest = MAX(t->longest, len);
	}
}

static void names_meet(struct names *t, const unsigned char *s, size_t n, uint32_t off)
{
	if (n == 0 || n > t->longest)
		return;
	for (uint32_t k = name_hash(s, n) & t->mask; t->slot[k] != 0; k = (k + 1) & t->mask) {
		uint32_t i = t->slot[k] - 1;

		if (t->off[i] != NONE || strlen(t->w[i].name) != n ||
		    memcmp(t->w[i].name, s, n) != 0)
			continue;
		t->off[i] = off;
		t->left--;
		return;
	}
}

/* One pass over funcnametab, in pieces that overlap by what is left of a name. */
static bool names_scan(struct names *t, const struct pcln_module *m, pcln_read read, void *ctx,
		       struct arena *a, struct err *err)
{
	unsigned char *buf = arena_alloc(a, CHUNK);
	size_t kept = 0;

	for (uint64_t off = 0; off < m->funcnametab_len && t->left > 0;) {
		size_t want = (size_t)MIN(CHUNK - kept, m->funcnametab_len - off);
		size_t n = kept, at = 0;

		if (read(ctx, m->funcnametab + off, buf + kept, want) != want) {
			err_set(err, ERR_FAULT, "the names of functions");
			if (err)
				err->addr = m->funcnametab + off;
			return false;
		}
		n += want;
		off += want;
		for (;;) {
			const unsigned char *end = memchr(buf + at, '\0', n - at);

			if (!end)
				break;
			names_meet(t, buf + at, (size_t)(end - buf) - at, (uint32_t)(off - n + at));
			at = (size_t)(end - buf) + 1;
		}
		kept = n - at;
		if (kept > CHUNK / 2) /* a name of half a megabyte is none that anyone wants */
			kept = 0;
		memmove(buf, buf + n - kept, kept);
	}
	return true;
}

struct named_off {
	uint32_t off, index;
};

bool pcln_lookup(const struct pcln_module *m, pcln_read read, void *ctx, struct arena *scratch,
		 struct pcln_wanted *w, uint32_t n, struct err *err)
{
	uint64_t nf = m->ftab_len, span = 0;
	struct names t;
	uint32_t lo = NONE, hi = 0;

	for (uint32_t i = 0; i < n; i++)
		w[i].entry = w[i].end = 0;
	if (m->funcnametab_len > MAX_NAMES || nf < 2 || nf > MAX_FUNCS)
		return err_set(err, ERR_LIMIT, "pclntab: a table is too long");
	names_init(&t, scratch, w, n);
	if (!names_scan(&t, m, read, ctx, scratch, err))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		if (t.off[i] == NONE)
			continue;
		lo = MIN(lo, t.off[i]);
		hi = MAX(hi, t.off[i]);
	}
	if (lo > hi)
		return true;
	/* Which wanted name an offset is, by offset: a function's own is compared against this. */
	uint32_t *of = arena_try(scratch, (uint64_t)hi - lo + 1, sizeof *of, err);
	unsigned char *ftab = arena_try(scratch, nf, 8, err);
	if (!of || !ftab)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (t.off[i] != NONE)
			of[t.off[i] - lo] = i + 1;
	if (read(ctx, m->ftab, ftab, (size_t)nf * 8 - 4) < (nf - 1) * 8 + 4)
		return err_set(err, ERR_FAULT, "the table of functions");
	/* _func structs lie in the order of ftab: they are read in pieces that move along. */
	unsigned char *buf = arena_alloc(scratch, CHUNK);
	uint64_t base = 0;
	for (uint64_t i = 0; i + 1 < nf; i++) {
		uint32_t header = u32(ftab + i * 8 + 4);

		if ((uint64_t)header + 8 > m->pclntable_len)
			continue;
		if (header < base || (uint64_t)header + 8 > base + span) {
			base = header;
			span = read(ctx, m->pclntable + base, buf,
				    (size_t)MIN(CHUNK, m->pclntable_len - base));
			if (span < 8) {
				span = 0;
				continue;
			}
		}
		uint32_t name = u32(buf + (header - base) + 4);
		if (name < lo || name > hi || of[name - lo] == 0)
			continue;
		struct pcln_wanted *f = &w[of[name - lo] - 1];
		if (f->entry != 0)
			continue;
		f->entry = m->text + u32(ftab + i * 8);
		f->end = m->text + u32(ftab + (i + 1) * 8);
		if (f->end < f->entry)
			f->end = f->entry;
	}
	return true;
}
