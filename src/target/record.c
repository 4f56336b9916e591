/*
 * Recording and writing. A page that any byte was read of is kept, with one bit for each byte that
 * was: the rest of it is zeros in the file and a fault when it is asked for, so that no byte gets
 * into a capture that no decoder needed. Readers know by target.exact not to read in large blocks.
 */
#include "target/capture.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zstd.h>

#include "target/facts.h"

#define PIECE ((size_t)128 << 10)
#define LEVEL 6

struct record_page {
	uint64_t page;
	uint64_t known[OS_PAGE / 64];
	uint8_t data[OS_PAGE];
};

struct recording {
	struct target t;
	struct target *inner;
	struct arena mem;
	VEC(struct record_page *) pages;
	uint32_t *hash; /* index + 1 into pages */
	uint32_t mask;
	struct record_page *last;
	bool hushed, full;
};

static struct recording *recording_of(struct target *t)
{
	return t->impl;
}

static uint32_t slot_of(const struct recording *r, uint64_t page)
{
	uint32_t s = (uint32_t)(page * 0x9E3779B97F4A7C15ULL >> 32) & r->mask;

	while (r->hash[s] && r->pages.v[r->hash[s] - 1]->page != page)
		s = (s + 1) & r->mask;
	return s;
}

static bool grow(struct recording *r)
{
	uint32_t n = r->mask ? (r->mask + 1) * 2 : 4096;

	r->hash = arena_try(&r->mem, n, sizeof(*r->hash), NULL);
	if (!r->hash)
		return false;
	r->mask = n - 1;
	for (uint32_t i = 0; i < r->pages.n; i++)
		r->hash[slot_of(r, r->pages.v[i]->page)] = i + 1;
	return true;
}

static struct record_page *page_get(struct recording *r, uint64_t page)
{
	struct record_page *p;
	uint32_t s;

	if (r->last && r->last->page == page)
		return r->last;
	if (r->pages.n * 2 >= r->mask && !grow(r))
		return NULL;
	s = slot_of(r, page);
	if (!r->hash[s]) {
		p = arena_try(&r->mem, 1, sizeof(*p), NULL);
		if (!p)
			return NULL;
		p->page = page;
		*VEC_PUSH(&r->mem, &r->pages) = p;
		r->hash[s] = r->pages.n;
	}
	r->last = r->pages.v[r->hash[s] - 1];
	return r->last;
}

static void keep(struct recording *r, taddr at, const void *from, size_t n)
{
	const uint8_t *v = from;

	if (r->hushed)
		return;
	while (n > 0 && !r->full) {
		struct record_page *p = page_get(r, at >> OS_PAGE_SHIFT);
		size_t off = at % OS_PAGE, part = MIN(n, OS_PAGE - off);

		if (!p) {
			r->full = true;
			return;
		}
		memcpy(p->data + off, v, part);
		for (size_t i = off; i < off + part;) {
			if (i % 64 == 0 && off + part - i >= 64) {
				p->known[i / 64] = UINT64_MAX;
				i += 64;
			} else {
				p->known[i / 64] |= (uint64_t)1 << i % 64;
				i++;
			}
		}
		at += part;
		v += part;
		n -= part;
	}
}

/* The snapshot's facts are changed above: the inner target must see the same. */
static struct target *inner_of(struct target *t)
{
	struct target *inner = recording_of(t)->inner;

	inner->os = t->os;
	return inner;
}

static size_t record_read(struct target *t, taddr at, void *dst, size_t n)
{
	size_t got = target_read(inner_of(t), at, dst, n);

	keep(recording_of(t), at, dst, got);
	return got;
}

static void record_read_many(struct target *t, struct mem_span *s, size_t n)
{
	mem_read_many(inner_of(t), s, n);
	for (size_t i = 0; i < n; i++)
		keep(recording_of(t), s[i].at, s[i].dst, s[i].got);
}

static bool record_facts(struct target *t, struct arena *a, struct err *err)
{
	struct target *inner = inner_of(t);

	if (!target_facts(inner, a, err))
		return false;
	t->os = inner->os;
	t->held = inner->held;
	return true;
}

static bool record_scan(struct target *t, struct arena *a, struct err *err)
{
	return target_scan(inner_of(t), a, err);
}

static int record_open_file(struct target *t, const struct mapping *m, struct err *err)
{
	struct target *inner = inner_of(t);

	return inner->ops->open_file(inner, m, err);
}

static void record_thaw(struct target *t)
{
	struct target *inner = inner_of(t);

	target_thaw(inner);
	t->stopped_ns = inner->stopped_ns;
}

static void record_hush(struct target *t, bool on)
{
	recording_of(t)->hushed = on;
}

static void record_close(struct target *t)
{
	struct recording *r = recording_of(t);

	arena_free(&r->mem);
	free(r);
}

struct target *record_open(struct target *inner)
{
	static const struct target_ops ops = {
		.name = "recording",
		.read = record_read,
		.facts = record_facts,
		.scan = record_scan,
		.read_many = record_read_many,
		.open_file = record_open_file,
		.thaw = record_thaw,
		.hush = record_hush,
		.close = record_close,
	};
	struct recording *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	arena_init(&r->mem, CAPTURE_MAX);
	r->inner = inner;
	r->t = (struct target){.ops = &ops,
			       .kind = inner->kind,
			       .exact = true,
			       .held = inner->held,
			       .os = inner->os,
			       .impl = r};
	return &r->t;
}

/* ---- Writing ---- */

struct packer {
	int fd;
	ZSTD_CCtx *z;
	uint8_t *buf;
	uint64_t at, written; /* bytes before and behind compression */
};

static bool flush(struct packer *p, const void *v, size_t n, ZSTD_EndDirective how, struct err *err)
{
	ZSTD_inBuffer from = {v, n, 0};
	size_t left;

	p->at += n;
	do {
		ZSTD_outBuffer to = {p->buf, PIECE, 0};

		left = ZSTD_compressStream2(p->z, &to, &from, how);
		if (ZSTD_isError(left))
			return err_set(err, ERR_OS, "zstd: %s", ZSTD_getErrorName(left));
		for (size_t done = 0; done < to.pos;) {
			ssize_t w = write(p->fd, p->buf + done, to.pos - done);

			if (w < 0 && errno == EINTR)
				continue;
			if (w <= 0)
				return err_os(err, ERR_OS, "writing it");
			done += (size_t)w;
		}
		p->written += to.pos;
	} while (from.pos < from.size || (how == ZSTD_e_end && left > 0));
	return true;
}

static bool put(struct packer *p, const void *v, size_t n, struct err *err)
{
	return flush(p, v, n, ZSTD_e_continue, err);
}

static bool put_zeros(struct packer *p, size_t n, struct err *err)
{
	static const uint8_t zeros[OS_PAGE];

	for (; n > 0; n -= MIN(n, sizeof(zeros)))
		if (!put(p, zeros, MIN(n, sizeof(zeros)), err))
			return false;
	return true;
}

static int page_order(const void *a, const void *b)
{
	const struct record_page *const *x = a, *const *y = b;

	return ((*x)->page > (*y)->page) - ((*x)->page < (*y)->page);
}

/* The bytes that were read, as runs. */
static bytes known_runs(const struct recording *r, struct str *to)
{
	struct arena a;
	VEC(struct byte_run) v = {0};
	bytes sum = 0;

	arena_init(&a, 0);
	for (uint32_t i = 0; i < r->pages.n; i++) {
		const struct record_page *p = r->pages.v[i];
		taddr base = p->page << OS_PAGE_SHIFT;

		for (size_t k = 0; k < OS_PAGE;) {
			bool whole = k % 64 == 0 && p->known[k / 64] == UINT64_MAX;
			size_t n = whole ? 64 : 1;

			if (k % 64 == 0 && p->known[k / 64] == 0) {
				k += 64;
				continue;
			}
			if (whole || p->known[k / 64] >> k % 64 & 1) {
				if (v.n && v.v[v.n - 1].end == base + k)
					v.v[v.n - 1].end += n;
				else
					*VEC_PUSH(&a, &v) =
						(struct byte_run){base + k, base + k + n};
				sum += n;
			}
			k += n;
		}
	}
	runs_write(v.v, v.n, to);
	arena_free(&a);
	return sum;
}

static void note_add_(struct str *to, enum capture_note type, const char *s, size_t n)
{
	Elf64_Nhdr h = {.n_namesz = sizeof(CAPTURE_OWNER), .n_descsz = (uint32_t)n, .n_type = type};
	static const char pad[4];

	str_addn(to, (const char *)&h, sizeof(h));
	str_addn(to, CAPTURE_OWNER "\0", round_up(sizeof(CAPTURE_OWNER), 4));
	if (n)
		str_addn(to, s, n);
	str_addn(to, pad, round_up(n, 4) - n);
}

static bool write_core(struct packer *p, const struct recording *r, const struct str *notes,
		       struct err *err)
{
	uint32_t runs = 0;
	uint64_t offset;
	Elf64_Shdr extra = {0};
	Elf64_Phdr ph;
	Elf64_Ehdr h = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			    EV_CURRENT},
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_ehsize = sizeof(h),
		.e_phentsize = sizeof(ph),
		.e_shentsize = sizeof(extra),
	};

	for (uint32_t i = 0; i < r->pages.n; i++)
		runs += !i || r->pages.v[i]->page != r->pages.v[i - 1]->page + 1;
	/* headers, notes, program headers, one section header, pages */
	h.e_phoff = sizeof(h) + round_up(notes->n, 8);
	h.e_phnum = runs + 1 < PN_XNUM ? (uint16_t)(runs + 1) : PN_XNUM;
	h.e_shoff = h.e_phoff + (uint64_t)(runs + 1) * sizeof(ph);
	h.e_shnum = 1;
	extra.sh_info = runs + 1;
	if (!put(p, &h, sizeof(h), err) || !put(p, notes->s, notes->n, err) ||
	    !put_zeros(p, h.e_phoff - p->at, err))
		return false;
	ph = (Elf64_Phdr){
		.p_type = PT_NOTE, .p_offset = sizeof(h), .p_filesz = notes->n, .p_align = 4};
	offset = round_up(h.e_shoff + sizeof(extra), OS_PAGE);
	if (!put(p, &ph, sizeof(ph), err))
		return false;
	for (uint32_t i = 0, k; i < r->pages.n; i = k) {
		for (k = i + 1;
		     k < r->pages.n && r->pages.v[k]->page == r->pages.v[k - 1]->page + 1; k++)
			;
		ph = (Elf64_Phdr){.p_type = PT_LOAD,
				  .p_flags = PF_R,
				  .p_offset = offset,
				  .p_vaddr = r->pages.v[i]->page << OS_PAGE_SHIFT,
				  .p_filesz = (uint64_t)(k - i) * OS_PAGE,
				  .p_memsz = (uint64_t)(k - i) * OS_PAGE,
				  .p_align = OS_PAGE};
		offset += ph.p_filesz;
		if (!put(p, &ph, sizeof(ph), err))
			return false;
	}
	if (!put(p, &extra, sizeof(extra), err) ||
	    !put_zeros(p, round_up(p->at, OS_PAGE) - p->at, err))
		return false;
	for (uint32_t i = 0; i < r->pages.n; i++)
		if (!put(p, r->pages.v[i]->data, OS_PAGE, err))
			return false;
	return flush(p, NULL, 0, ZSTD_e_end, err);
}

bool capture_write(struct target *recording, const struct os_facts *os, const char *session,
		   size_t n, int fd, struct capture_size *ret, struct err *err)
{
	struct recording *r = recording_of(recording);
	struct packer p = {.fd = fd, .z = ZSTD_createCCtx(), .buf = malloc(PIECE)};
	struct str notes = {0}, part = {0};
	struct capture_size size = {.pages = (bytes)r->pages.n * OS_PAGE};
	bool ok = false;

	if (r->full) {
		err_set(err, ERR_LIMIT, "more than %llu MiB of runtime structures to keep",
			(unsigned long long)CAPTURE_MAX >> 20);
		goto out;
	}
	if (!p.z || !p.buf) {
		err_set(err, ERR_OS, "no memory");
		goto out;
	}
	ZSTD_CCtx_setParameter(p.z, ZSTD_c_compressionLevel, LEVEL);
	ZSTD_CCtx_setParameter(p.z, ZSTD_c_checksumFlag, 1);
	if (r->pages.n) {
		qsort(r->pages.v, r->pages.n, sizeof(*r->pages.v), page_order);
		memset(r->hash, 0, ((size_t)r->mask + 1) * sizeof(*r->hash));
		for (uint32_t i = 0; i < r->pages.n; i++)
			r->hash[slot_of(r, r->pages.v[i]->page)] = i + 1;
	}
	facts_write(os, &part);
	note_add_(&notes, CAPTURE_FACTS, part.s, part.n);
	part.n = 0;
	pages_write(&os->pages, &part);
	note_add_(&notes, CAPTURE_PAGES, part.s, part.n);
	part.n = 0;
	size.memory = known_runs(r, &part);
	note_add_(&notes, CAPTURE_KNOWN, part.s, part.n);
	note_add_(&notes, CAPTURE_SESSION, session, n);
	ok = write_core(&p, r, &notes, err);
	size.file = p.written;
	if (ok)
		*ret = size;
out:
	str_free(&notes);
	str_free(&part);
	ZSTD_freeCCtx(p.z);
	free(p.buf);
	return ok;
}
