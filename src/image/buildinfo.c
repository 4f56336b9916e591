/*
 * What the Go linker wrote into .go.buildinfo: release, module, build settings. Found by the
 * section's name, else by its magic in the loaded segments, since stripping drops names.
 * Two formats: strings in place (1.18 and later) and pointers to Go strings (before). Parses as
 * far as whyrss shows it; a malformed block is treated as none, because the magic alone may
 * also lie in the data of a program that reads build infos.
 */
#include <string.h>
#include <unistd.h>

#include "image/elf.h"

#define MAGIC	    "\xff Go buildinf:"
#define MAGIC_LEN   14
#define HEADER_LEN  32
#define ALIGN	    16
#define FLAG_BIG    1  /* byte 15: big-endian pointers */
#define FLAG_INLINE 2  /* byte 15: strings follow the header */
#define FRAME	    16 /* opaque bytes before and after the module text */

#define MAX_VERSION 1024
#define MAX_MODULES ((uint64_t)4 << 20)
#define MAX_SCAN    ((uint64_t)256 << 20) /* bytes of one file that are searched */
#define MAX_BLOCKS  32			  /* that look like one and are none */
#define SCAN_BLOCK  ((size_t)64 << 10)

static bool file_at(const struct elf_image *e, uint64_t offset, void *dst, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = pread(e->fd, (char *)dst + done, n - done, (off_t)(offset + done));

		if (got <= 0)
			return false;
		done += (size_t)got;
	}
	return true;
}

/* The file offset of n bytes at a linked address. */
static bool offset_of(const struct elf_image *e, taddr at, uint64_t n, uint64_t *ret)
{
	for (uint32_t i = 0; i < e->n_segments; i++) {
		const struct elf_segment *s = &e->segments[i];

		if (at < s->addr || at - s->addr >= s->file_size ||
		    n > s->file_size - (at - s->addr))
			continue;
		*ret = s->offset + (at - s->addr);
		return true;
	}
	return false;
}

/* Bytes of the file, with a NUL behind them; s is NULL when they don't fit the limit or the file.
 */
struct text {
	char *s;
	size_t n;
};

static struct text text_at(const struct elf_image *e, struct arena *a, uint64_t offset, uint64_t n,
			   uint64_t limit)
{
	struct arena_mark m = arena_mark(a);
	char *s;

	if (n > limit)
		return (struct text){0};
	s = arena_alloc(a, n + 1);
	if (n == 0 || file_at(e, offset, s, n))
		return (struct text){s, n};
	arena_reset(a, m);
	return (struct text){0};
}

/* A varint length and that many bytes at *offset, which moves behind them. */
static struct text text_inline(const struct elf_image *e, struct arena *a, uint64_t *offset,
			       uint64_t limit)
{
	uint64_t n = 0;

	for (int shift = 0;; shift += 7) {
		unsigned char b;

		if (shift > 28 || !file_at(e, (*offset)++, &b, 1))
			return (struct text){0};
		n |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			break;
	}
	*offset += n;
	return text_at(e, a, *offset - n, n, limit);
}

static uint64_t word(const unsigned char *p, int size, bool big)
{
	uint64_t v = 0;

	for (int i = 0; i < size; i++)
		v |= (uint64_t)p[i] << 8 * (big ? size - 1 - i : i);
	return v;
}

/* The Go string whose header lies at the linked address `at`. */
static struct text text_pointed(const struct elf_image *e, struct arena *a, taddr at, int size,
				bool big, uint64_t limit)
{
	unsigned char header[16];
	uint64_t offset, n;

	if (!offset_of(e, at, 2 * (uint64_t)size, &offset) ||
	    !file_at(e, offset, header, 2 * (size_t)size))
		return (struct text){0};
	n = word(header + size, size, big);
	if (n > limit || !offset_of(e, word(header, size, big), n, &offset))
		return (struct text){0};
	return text_at(e, a, offset, n, limit);
}

/* The value of a "key=value" build line, or of a "path" or "mod" line; NULL when there is none. */
static const char *line_value(struct arena *a, const char *mod, const char *key)
{
	size_t n = strlen(key);

	for (const char *s = mod; *s; s += strcspn(s, "\n"), s += *s == '\n')
		if (strncmp(s, key, n) == 0)
			return arena_strndup(a, s + n, strcspn(s + n, "\n"));
	return NULL;
}

/* Whether a text can be a version: something, and printable. */
static bool is_word(struct text t)
{
	for (size_t i = 0; i < t.n; i++)
		if (t.s[i] < ' ' || t.s[i] > '~')
			return false;
	return t.n > 0;
}

/* Decodes the block at a file offset. False: it is none. */
static bool block_read(const struct elf_image *e, struct arena *a, uint64_t offset,
		       struct go_buildinfo *ret)
{
	unsigned char h[HEADER_LEN];
	struct go_buildinfo b = {.found = true};
	struct text version, mod = {0};
	const char *v;

	if (!file_at(e, offset, h, sizeof(h)) || memcmp(h, MAGIC, MAGIC_LEN) != 0)
		return false;
	if (h[15] & FLAG_INLINE) {
		offset += HEADER_LEN;
		version = text_inline(e, a, &offset, MAX_VERSION);
		if (version.s && is_word(version))
			mod = text_inline(e, a, &offset, MAX_MODULES);
		if (!mod.s)
			return false;
	} else {
		int size = h[14];
		bool big = h[15] & FLAG_BIG;

		if (size != 4 && size != 8)
			return false;
		version = text_pointed(e, a, word(h + 16, size, big), size, big, MAX_VERSION);
		mod = text_pointed(e, a, word(h + 16 + size, size, big), size, big, MAX_MODULES);
	}
	if (!is_word(version))
		return false;
	b.version = version.s;
	/* Go's own reader asks no more of the frame either. */
	if (mod.n >= 2 * FRAME + 1 && mod.s[mod.n - FRAME - 1] == '\n')
		b.mod = arena_strndup(a, mod.s + FRAME, mod.n - 2 * FRAME);
	else
		b.mod = "";
	v = line_value(a, b.mod, "path\t");
	b.main_path = v ? v : "";
	v = line_value(a, b.mod, "build\tCGO_ENABLED=");
	b.cgo = v && strcmp(v, "1") == 0;
	v = line_value(a, b.mod, "build\tGOFIPS140=");
	b.fips = v && strcmp(v, "off") != 0;
	*ret = b;
	return true;
}

/* What a hostile file may still cost: segments can overlap, and be full of false blocks. */
struct budget {
	uint64_t bytes;
	unsigned blocks;
};

/* Searches the part of a segment that is in the file for a block that decodes. */
static bool segment_scan(const struct elf_image *e, struct arena *a, const struct elf_segment *s,
			 struct budget *left, struct go_buildinfo *ret)
{
	uint64_t end = MIN(s->file_size, left->bytes);
	/* Blocks are aligned in memory, so this segment's offset decides where they are in the
	 * file. */
	uint64_t at = round_up(s->addr, ALIGN) - s->addr;
	struct arena tmp;
	unsigned char *buf;
	bool found = false;

	arena_init(&tmp, 0);
	buf = arena_alloc(&tmp, SCAN_BLOCK);
	for (; !found && at + HEADER_LEN <= end; at += SCAN_BLOCK) {
		ssize_t n = pread(e->fd, buf, MIN(SCAN_BLOCK, end - at), (off_t)(s->offset + at));

		if (n <= 0)
			break;
		left->bytes -= MIN(left->bytes, (uint64_t)n);
		for (size_t i = 0; !found && left->blocks > 0 && i + MAGIC_LEN <= (size_t)n;
		     i += ALIGN) {
			struct arena_mark m = arena_mark(a);

			if (buf[i] != 0xff || memcmp(buf + i, MAGIC, MAGIC_LEN) != 0)
				continue;
			left->blocks--;
			found = block_read(e, a, s->offset + at + i, ret);
			if (!found)
				arena_reset(a, m);
		}
	}
	arena_free(&tmp);
	return found;
}

bool go_buildinfo_read(const struct elf_image *e, struct arena *a, struct go_buildinfo *ret,
		       struct err *err)
{
	const struct elf_section *named = elf_section(e, ".go.buildinfo");
	struct budget left = {MAX_SCAN, MAX_BLOCKS};
	struct go_buildinfo none = {.version = "", .main_path = "", .mod = ""};

	(void)err; /* today nothing in here fails: what can't be read is not found */
	if (named && !named->nobits && block_read(e, a, named->offset, ret))
		return true;
	/* Linkers put it into a writable segment; elsewhere it is looked for only where no section
	 * table says that the file is an ordinary one: a C library is large, and every cgo program
	 * has one. */
	for (int writable = 1; writable >= (e->n_sections > 0); writable--)
		for (uint32_t i = 0; i < e->n_segments; i++)
			if (e->segments[i].writable == writable &&
			    segment_scan(e, a, &e->segments[i], &left, ret))
				return true;
	*ret = none;
	return true;
}
