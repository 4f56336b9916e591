/*
 * The bytes and headers of an ELF core (gABI; Linux fs/binfmt_elf.c, elf_core_dump). Counts,
 * offsets and sizes are the file's claims: each is cut to what the file can hold before anything is
 * allocated or added. What a header says of a truncated file is kept, with how much is missing.
 */
#include "target/corefile.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool corefile_open(struct corefile *f, int fd, struct arena *a, struct err *err)
{
	struct stat st;

	*f = (struct corefile){.fd = fd, .arena = a};
	for (uint32_t i = 0; i < COREFILE_BLOCKS; i++)
		f->blocks[i].at = UINT64_MAX;
	if (fstat(fd, &st) != 0)
		return err_os(err, ERR_OS, "the file cannot be looked at");
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_FORMAT, "not a regular file");
	f->size = (uint64_t)st.st_size;
	return true;
}

void corefile_mem(struct corefile *f, const void *mem, size_t n, struct arena *a)
{
	*f = (struct corefile){.fd = -1, .mem = mem, .size = n, .arena = a};
}

void corefile_close(struct corefile *f)
{
	cleanup_fd(&f->fd);
	f->size = 0;
}

static size_t read_through(int fd, uint64_t at, void *dst, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = pread(fd, (char *)dst + done, n - done, (off_t)(at + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		done += (size_t)got;
	}
	return done;
}

static const struct corefile_block *block_get(struct corefile *f, uint64_t base)
{
	struct corefile_block *b = &f->blocks[base / COREFILE_BLOCK % COREFILE_BLOCKS];

	if (b->at != base) {
		if (!b->data)
			b->data = arena_alloc(f->arena, COREFILE_BLOCK);
		b->n = (uint32_t)read_through(f->fd, base, b->data, COREFILE_BLOCK);
		b->at = base;
	}
	return b;
}

size_t corefile_read(struct corefile *f, uint64_t at, void *dst, size_t n)
{
	size_t done = 0;

	if (at >= f->size)
		return 0;
	n = (size_t)MIN(n, f->size - at);
	if (f->mem) {
		memcpy(dst, f->mem + at, n);
		return n;
	}
	if (n >= COREFILE_BLOCK)
		return read_through(f->fd, at, dst, n);
	while (done < n) {
		uint64_t base = round_down(at + done, COREFILE_BLOCK);
		const struct corefile_block *b = block_get(f, base);
		size_t off = (size_t)(at + done - base), part;

		if (off >= b->n)
			break;
		part = MIN(n - done, b->n - off);
		memcpy((char *)dst + done, b->data + off, part);
		done += part;
	}
	return done;
}

bool core_magic(const void *head, size_t n)
{
	const unsigned char *h = head;

	return n >= 20 && !memcmp(h, ELFMAG, SELFMAG) && h[EI_DATA] == ELFDATA2LSB &&
	       h[16] == ET_CORE && !h[17];
}

static int load_order(const void *a, const void *b)
{
	const struct core_load *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static void add_load(const struct corefile *f, const Elf64_Phdr *h, struct core_headers *c)
{
	struct core_load l = {.start = h->p_vaddr,
			      .end = h->p_vaddr + h->p_memsz,
			      .offset = h->p_offset,
			      .file_size = MIN(h->p_filesz, h->p_memsz),
			      .flags = h->p_flags};
	bytes have = l.offset < f->size ? f->size - l.offset : 0;

	if (l.end <= l.start)
		return;
	if (l.file_size > have) {
		c->missing += l.file_size - have;
		l.file_size = have;
	}
	c->loads[c->n_loads++] = l;
}

/* Takes what overlaps off the later one: no kernel writes that. */
static void loads_sort(struct core_headers *c)
{
	uint32_t n = 0;

	if (c->n_loads)
		qsort(c->loads, c->n_loads, sizeof(*c->loads), load_order);
	for (uint32_t i = 0; i < c->n_loads; i++) {
		struct core_load l = c->loads[i];

		if (n && l.start < c->loads[n - 1].end) {
			bytes cut = c->loads[n - 1].end - l.start;

			if (cut >= l.end - l.start)
				continue;
			l.start += cut;
			l.offset += cut;
			l.file_size -= MIN(cut, l.file_size);
		}
		c->loads[n++] = l;
	}
	c->n_loads = n;
}

static bool add_notes(struct corefile *f, const Elf64_Phdr *h, struct arena *a,
		      struct core_headers *c, uint32_t *cap, struct err *err)
{
	uint64_t at = h->p_offset, end;

	if (at >= f->size) {
		c->notes_cut |= h->p_filesz > 0;
		return true;
	}
	end = at + MIN(h->p_filesz, f->size - at);
	c->notes_cut |= end - at < h->p_filesz;
	while (end - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr n;
		struct core_note note = {0};
		uint64_t name, desc;

		if (corefile_read(f, at, &n, sizeof(n)) != sizeof(n))
			break;
		name = round_up(n.n_namesz, 4);
		desc = round_up(n.n_descsz, 4);
		at += sizeof(n);
		if (name > end - at || n.n_descsz > end - at - name) {
			c->notes_cut = true;
			break;
		}
		note.type = n.n_type;
		note.n = n.n_descsz;
		note.at = at + name;
		corefile_read(f, at, note.owner, MIN(n.n_namesz, sizeof(note.owner) - 1));
		at += name + MIN(desc, end - at - name);
		if (c->n_notes == CORE_NOTES_MAX)
			return err_set(err, ERR_LIMIT, "the core has more than %u notes",
				       CORE_NOTES_MAX);
		if (c->n_notes == *cap) {
			struct core_note *v =
				arena_try(a, (uint64_t)*cap * 2 + 64, sizeof(*v), err);

			if (!v)
				return false;
			if (*cap)
				memcpy(v, c->notes, *cap * sizeof(*v));
			c->notes = v;
			*cap = *cap * 2 + 64;
		}
		c->notes[c->n_notes++] = note;
	}
	return true;
}

bool core_parse(struct corefile *f, struct arena *a, struct core_headers *ret, struct err *err)
{
	struct core_headers c = {0};
	uint32_t n, cap = 0;
	Elf64_Ehdr h;

	if (corefile_read(f, 0, &h, sizeof(h)) != sizeof(h) || !core_magic(&h, sizeof(h)))
		return err_set(err, ERR_FORMAT, "not an ELF core");
	if (h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_machine != EM_X86_64)
		return err_set(err, ERR_FORMAT,
			       "a core of another architecture: whyrss reads amd64 only");
	n = h.e_phnum;
	if (n == PN_XNUM) { /* more than 65534: the first section header has the number */
		Elf64_Shdr s;

		if (corefile_read(f, h.e_shoff, &s, sizeof(s)) != sizeof(s))
			return err_set(err, ERR_FORMAT, "the core's program headers are missing");
		n = s.sh_info;
	}
	if (h.e_phentsize != sizeof(Elf64_Phdr) || n == 0)
		return err_set(err, ERR_FORMAT, "the core has no program headers");
	if (n > CORE_LOADS_MAX)
		return err_set(err, ERR_LIMIT, "the core has %u program headers, more than %u", n,
			       CORE_LOADS_MAX);
	if (h.e_phoff > f->size || f->size - h.e_phoff < (uint64_t)n * sizeof(Elf64_Phdr))
		return err_set(err, ERR_FORMAT,
			       "the core is cut off in its program headers: nothing of it is left");
	c.loads = arena_try(a, n, sizeof(*c.loads), err);
	if (!c.loads)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		Elf64_Phdr p;

		if (corefile_read(f, h.e_phoff + (uint64_t)i * sizeof(p), &p, sizeof(p)) !=
		    sizeof(p))
			break;
		if (p.p_type == PT_LOAD)
			add_load(f, &p, &c);
		else if (p.p_type == PT_NOTE && !add_notes(f, &p, a, &c, &cap, err))
			return false;
	}
	loads_sort(&c);
	*ret = c;
	return true;
}

bool core_note_read(struct corefile *f, const struct core_note *n, struct arena *a, char **ret,
		    struct err *err)
{
	char *s;

	if (n->n > CORE_NOTE_MAX)
		return err_set(err, ERR_LIMIT, "a note of %u bytes", n->n);
	s = arena_try(a, (uint64_t)n->n + 1, 1, err);
	if (!s)
		return false;
	if (corefile_read(f, n->at, s, n->n) != n->n)
		return err_set(err, ERR_FORMAT, "a note is cut off");
	*ret = s;
	return true;
}

static int mapped_order(const void *a, const void *b)
{
	const struct core_mapped *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

uint32_t core_mapped_parse(const char *text, size_t n, struct arena *a, struct core_mapped **ret)
{
	uint64_t head[2], count; /* how many, and the size of a page */
	const char *names;
	uint32_t kept = 0;

	*ret = NULL;
	if (n < sizeof(head))
		return 0;
	memcpy(head, text, sizeof(head));
	count = MIN(head[0], (n - sizeof(head)) / 24);
	if (count == 0 || count > CORE_LOADS_MAX || head[1] == 0 || head[1] > 1U << 30)
		return 0;
	*ret = ARENA_ARRAY(a, struct core_mapped, count);
	names = text + sizeof(head) + count * 24;
	for (uint64_t i = 0; i < count && names < text + n; i++) {
		uint64_t v[3];
		struct core_mapped *m = &(*ret)[kept];

		memcpy(v, text + sizeof(head) + i * 24, sizeof(v));
		*m = (struct core_mapped){.start = v[0], .end = v[1], .path = names};
		names += strlen(names) + 1; /* text[n] is NUL */
		if (m->end <= m->start || v[2] > INT64_MAX / head[1])
			continue;
		m->offset = v[2] * head[1];
		kept++;
	}
	qsort(*ret, kept, sizeof(**ret), mapped_order);
	return kept;
}
