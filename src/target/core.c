/*
 * A core as a target. Memory comes from the core; what the kernel left out of it comes from the
 * file that was mapped there, after its first page (with the build id) was found equal to the one
 * in the core; an anonymous mapping that was left out was never written. What is not known is a
 * fault. Which pages were in memory is not in a core: residency stays RESIDENCY_NONE.
 */
#include "target/core.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "target/corefile.h"
#include "target/facts.h"
#include "target/unpack.h"

#define OBJECTS_MAX  4096U
#define SEGMENTS_MAX 64U
#define HEAP_GAP_MAX ((bytes)1 << 30) /* arch_randomize_brk */
#define VVAR_MAX     ((bytes)1 << 18)
#define BUILD_ID_MAX 64U
#define STATUS_SIZE  336U /* struct elf_prstatus */
#define STATUS_PID   32U
#define STATUS_IP    240U
#define STATUS_SP    264U
#define INFO_SIZE    136U /* struct elf_prpsinfo */
#define INFO_UID     16U
#define INFO_PID     24U
#define INFO_NAME    40U
#define INFO_ARGS    56U
#define NO_OBJECT    UINT32_MAX
#define KNOWN_MAX    ((size_t)16 << 20)	 /* runs of bytes: some a span */
#define SCAN_MAX     ((uint64_t)4 << 30) /* a second or two */

/* A file that was mapped. */
struct core_object {
	const char *path;
	bool tried;
	int fd;		/* -1: not to be had */
	struct err why; /* then */
	uint32_t n_segments;
	struct core_segment {
		uint64_t offset, end;
		uint32_t flags;
	} segments[SEGMENTS_MAX];
};

struct core {
	struct target t;
	struct arena mem;
	const char *path, *root, *exe_option;
	struct corefile f;
	struct core_headers h;
	struct core_mapped *mapped;
	uint32_t n_mapped;
	struct core_object *objects;
	uint32_t n_objects;
	uint32_t *object_of; /* of each mapping; NO_OBJECT */
	struct os_facts facts;
	bool anonymous; /* the core has anonymous memory at all */
	uint64_t phdr, vdso, random;
	uint32_t load_hint;
	uint8_t *scan_buffer;
	/* of a capture */
	struct byte_run *known; /* bytes of the loads that were read */
	size_t n_known, known_hint;
	enum residency_source residency;
	char *pages, *session;
	size_t n_pages, n_session;
	VEC(const char *) notes;
};

static struct core *core_of(struct target *t)
{
	return t->impl;
}

/* ---- Files of mappings ---- */

/* The GNU build id, else Go's, in the notes of an ELF header page; "" when it shows none. */
static void build_id(const uint8_t *page, size_t n, char ret[static 2 * BUILD_ID_MAX + 1])
{
	Elf64_Ehdr h;

	ret[0] = '\0';
	if (n < sizeof(h))
		return;
	memcpy(&h, page, sizeof(h));
	for (uint32_t i = 0; i < h.e_phnum && h.e_phentsize == sizeof(Elf64_Phdr); i++) {
		uint64_t at, end;
		Elf64_Phdr p;

		if (h.e_phoff > n || n - h.e_phoff < (uint64_t)(i + 1) * sizeof(p))
			return;
		memcpy(&p, page + h.e_phoff + (uint64_t)i * sizeof(p), sizeof(p));
		if (p.p_type != PT_NOTE || p.p_offset > n || p.p_filesz > n - p.p_offset)
			continue;
		for (at = p.p_offset, end = at + p.p_filesz; end - at >= sizeof(Elf64_Nhdr);) {
			Elf64_Nhdr note;
			uint64_t name, desc;
			const uint8_t *d;

			memcpy(&note, page + at, sizeof(note));
			name = round_up(note.n_namesz, 4);
			desc = round_up(note.n_descsz, 4);
			if (name > end - at - sizeof(note) || desc > end - at - sizeof(note) - name)
				break;
			d = page + at + sizeof(note) + name;
			at += sizeof(note) + name + desc;
			if (note.n_namesz == 4 && note.n_type == NT_GNU_BUILD_ID &&
			    !memcmp(d - name, "GNU", 4)) {
				static const char hex[] = "0123456789abcdef";
				size_t len = MIN(note.n_descsz, BUILD_ID_MAX);

				for (size_t k = 0; k < len; k++) {
					ret[2 * k] = hex[d[k] >> 4];
					ret[2 * k + 1] = hex[d[k] & 15];
				}
				ret[2 * len] = '\0';
				return;
			}
			if (note.n_namesz == 4 && note.n_type == 4 && !memcmp(d - name, "Go", 3)) {
				size_t len = MIN(note.n_descsz, 2 * BUILD_ID_MAX);

				memcpy(ret, d, len);
				ret[len] = '\0';
			}
		}
	}
}

/* The first page of a file as the core has it; 0 when it was left out. */
static size_t first_page(struct core *c, const struct core_object *o, uint8_t page[static OS_PAGE])
{
	for (uint32_t i = 0; i < c->n_mapped; i++) {
		const struct core_mapped *m = &c->mapped[i];

		if (m->offset != 0 || strcmp(m->path, o->path) != 0)
			continue;
		for (uint32_t k = 0; k < c->h.n_loads; k++) {
			const struct core_load *l = &c->h.loads[k];

			if (l->start == m->start && l->file_size >= OS_PAGE)
				return corefile_read(&c->f, l->offset, page, OS_PAGE);
		}
	}
	return 0;
}

enum match { MATCH_NO, MATCH_YES, MATCH_UNKNOWN };

/* Whether an open file is the one that was mapped. */
static enum match file_matches(struct core *c, const struct core_object *o, int fd,
			       char here[static 2 * BUILD_ID_MAX + 1],
			       char there[static 2 * BUILD_ID_MAX + 1])
{
	uint8_t file[OS_PAGE], mapped[OS_PAGE];
	size_t n = first_page(c, o, mapped);
	ssize_t got = pread(fd, file, sizeof(file), 0);

	here[0] = there[0] = '\0';
	if (got < (ssize_t)sizeof(Elf64_Ehdr) || memcmp(file, ELFMAG, SELFMAG) != 0)
		return MATCH_NO;
	build_id(file, (size_t)got, here);
	if (n == 0)
		return MATCH_UNKNOWN;
	build_id(mapped, n, there);
	/* A file that is shorter than a page ends in zeros there. */
	memset(file + got, 0, sizeof(file) - (size_t)got);
	return !memcmp(file, mapped, n) ? MATCH_YES : MATCH_NO;
}

static int open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)))
		cleanup_fd(&fd);
	return fd;
}

static void segments_read(struct core_object *o)
{
	Elf64_Ehdr h;

	if (pread(o->fd, &h, sizeof(h), 0) != sizeof(h) || h.e_phentsize != sizeof(Elf64_Phdr))
		return;
	for (uint32_t i = 0; i < h.e_phnum && o->n_segments < SEGMENTS_MAX; i++) {
		Elf64_Phdr p;

		if (h.e_phoff > INT64_MAX / 2 ||
		    pread(o->fd, &p, sizeof(p), (off_t)(h.e_phoff + i * sizeof(p))) != sizeof(p))
			return;
		if (p.p_type == PT_LOAD && p.p_filesz && p.p_offset < UINT64_MAX - p.p_filesz)
			o->segments[o->n_segments++] = (struct core_segment){
				round_down(p.p_offset, OS_PAGE), p.p_offset + p.p_filesz,
				(p.p_flags & PF_R ? (uint32_t)MAP_READ : 0) |
					(p.p_flags & PF_W ? (uint32_t)MAP_WRITE : 0) |
					(p.p_flags & PF_X ? (uint32_t)MAP_EXEC : 0)};
	}
}

static bool is_exe(const struct core *c, const struct core_object *o)
{
	return c->facts.exe && !strcmp(o->path, c->facts.exe);
}

/* Tries one path; true when that settles it. */
static bool try_file(struct core *c, struct core_object *o, const char *path, bool chosen)
{
	char here[2 * BUILD_ID_MAX + 1], there[2 * BUILD_ID_MAX + 1];
	int fd = open_file(path);
	enum match match;

	if (fd < 0) {
		if (chosen || o->why.kind == ERR_NONE)
			err_set(&o->why, ERR_OS,
				"%.120s, which the core's process ran, is not here (%s); give the "
				"program with --exe",
				path, strerror(errno ? errno : EINVAL));
		return chosen;
	}
	match = file_matches(c, o, fd, here, there);
	if (match == MATCH_NO) {
		o->why = (struct err){0};
		if (chosen)
			err_set(&o->why, ERR_FORMAT,
				"--exe %.80s is another build than the core's program: build id "
				"%.44s, the core has %.44s",
				path, *here ? here : "none", *there ? there : "none");
		else
			err_set(&o->why, ERR_FORMAT,
				"%.80s is another build now (build id %.44s) than the core's "
				"process ran (%.44s); give the right one with --exe",
				path, *here ? here : "none", *there ? there : "none");
		close(fd);
		return chosen;
	}
	if (match == MATCH_UNKNOWN && is_exe(c, o))
		*VEC_PUSH(&c->mem, &c->notes) =
			arena_printf(&c->mem,
				     "the core has no build id of its program "
				     "(coredump_filter): %s is taken for it unchecked",
				     path);
	o->fd = fd;
	o->why = (struct err){0};
	segments_read(o);
	return true;
}

static void object_open(struct core *c, struct core_object *o)
{
	char id[2 * BUILD_ID_MAX + 1];
	uint8_t page[OS_PAGE];
	size_t n;

	if (o->tried)
		return;
	o->tried = true;
	o->fd = -1;
	errno = 0;
	if (c->exe_option && is_exe(c, o)) {
		try_file(c, o, c->exe_option, true);
		return;
	}
	if (*o->path != '/') {
		err_set(&o->why, ERR_OS, "%.120s is no file", o->path);
		return;
	}
	if (try_file(c, o, arena_printf(&c->mem, "%s%s", c->root, o->path), false))
		return;
	n = first_page(c, o, page);
	build_id(page, n, id);
	if (strlen(id) > 2 && !id[strspn(id, "0123456789abcdef")])
		try_file(c, o,
			 arena_printf(&c->mem, "%s/usr/lib/debug/.build-id/%.2s/%s", c->root, id,
				      id + 2),
			 false);
}

static struct core_object *object_at(struct core *c, const struct mapping *m)
{
	uint32_t i = c->object_of[m - c->facts.maps];
	struct core_object *o = i == NO_OBJECT ? NULL : &c->objects[i];

	if (o)
		object_open(c, o);
	return o;
}

static int core_open_file(struct target *t, const struct mapping *m, struct err *err)
{
	struct core *c = core_of(t);
	struct core_object *o = NULL;
	int fd;

	for (uint32_t i = 0; i < c->n_objects; i++) /* m may be a copy */
		if (m->inode == i + 1 && m->flags & (MAP_FILE | MAP_SHMEM))
			o = &c->objects[i];
	if (!o) {
		err_set(err, ERR_USAGE, "there is no file behind the mapping at %#llx",
			(unsigned long long)m->start);
		return -1;
	}
	object_open(c, o);
	if (o->fd < 0) {
		if (err)
			*err = o->why;
		return -1;
	}
	fd = fcntl(o->fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		err_os(err, ERR_OS, "%.120s", o->path);
	return fd;
}

/* ---- Memory ---- */

/* The load that holds `at`, else the first above it, else NULL. */
static const struct core_load *load_from(struct core *c, taddr at)
{
	const struct core_load *v = c->h.loads;
	uint32_t lo = 0, hi = c->h.n_loads;

	if (c->load_hint < hi &&
	    at - v[c->load_hint].start < v[c->load_hint].end - v[c->load_hint].start)
		return &v[c->load_hint];
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (v[mid].end <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == c->h.n_loads)
		return NULL;
	c->load_hint = lo;
	return &v[lo];
}

/* Bytes that the core left out of a mapping. */
static size_t read_left_out(struct core *c, const struct mapping *m, taddr at, void *dst, size_t n)
{
	struct core_object *o;
	uint64_t offset = m->offset + (at - m->start);
	size_t done = 0;

	if (!(m->flags & (MAP_READ | MAP_WRITE | MAP_EXEC)) ||
	    m->flags & (MAP_SPECIAL | MAP_HUGETLB))
		return 0;
	if (!(m->flags & (MAP_FILE | MAP_SHMEM))) {
		if (!c->anonymous)
			return 0; /* left out on purpose: coredump_filter */
		memset(dst, 0, n);
		c->t.stats.zero_fills += n;
		return n;
	}
	o = object_at(c, m);
	/* What a program maps shared may have changed since. */
	if (!o || o->fd < 0 || offset > INT64_MAX - n || m->flags & MAP_SHARED_)
		return 0;
	while (done < n) {
		ssize_t got = pread(o->fd, (char *)dst + done, n - done, (off_t)(offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		done += (size_t)got;
	}
	c->t.stats.file_bytes += done;
	return done;
}

/* A part of a read that one mapping and one load answer. */
static size_t read_part(struct core *c, const struct mapping *m, taddr at, char *dst, size_t n)
{
	const struct core_load *l = load_from(c, at);
	taddr filled;

	if (!l || l->start > at)
		return read_left_out(c, m, at, dst, l ? (size_t)MIN(n, l->start - at) : n);
	n = (size_t)MIN(n, l->end - at);
	filled = l->start + l->file_size;
	if (at < filled) {
		size_t got = corefile_read(&c->f, l->offset + (at - l->start), dst,
					   (size_t)MIN(n, filled - at));

		c->t.stats.reads++;
		c->t.stats.bytes_read += got;
		return got;
	}
	/* A truncated load has less than it says; one that was left out has nothing. */
	return l->file_size ? 0 : read_left_out(c, m, at, dst, n);
}

static size_t core_read(struct target *t, taddr at, void *dst, size_t n)
{
	struct core *c = core_of(t);
	size_t done = 0;

	while (done < n) {
		const struct mapping *m = map_find(&c->facts, at + done);
		size_t part, got;

		if (!m)
			break;
		part = (size_t)MIN(m->end - (at + done), (taddr)(n - done));
		got = read_part(c, m, at + done, (char *)dst + done, part);
		if (got == 0)
			break;
		done += got;
	}
	return done;
}

/* ---- Facts ---- */

static const struct core_note *note_find(const struct core *c, const char *owner, uint32_t type)
{
	for (uint32_t i = 0; i < c->h.n_notes; i++)
		if (c->h.notes[i].type == type && !strcmp(c->h.notes[i].owner, owner))
			return &c->h.notes[i];
	return NULL;
}

static void read_threads(struct core *c)
{
	VEC(struct os_thread) v = {0};

	for (uint32_t i = 0; i < c->h.n_notes; i++) {
		const struct core_note *n = &c->h.notes[i];
		uint8_t b[STATUS_SIZE];
		struct os_thread t = {0};

		if (n->type != NT_PRSTATUS || strcmp(n->owner, "CORE") != 0 || n->n < sizeof(b) ||
		    corefile_read(&c->f, n->at, b, sizeof(b)) != sizeof(b))
			continue;
		memcpy(&t.tid, b + STATUS_PID, 4);
		memcpy(&t.pc, b + STATUS_IP, 8);
		memcpy(&t.sp, b + STATUS_SP, 8);
		*VEC_PUSH(&c->mem, &v) = t;
	}
	c->facts.threads = v.v;
	c->facts.n_threads = v.n;
	if (v.n)
		c->facts.pid = v.v[0].tid; /* until NT_PRPSINFO says better */
}

static void read_info(struct core *c)
{
	const struct core_note *n = note_find(c, "CORE", NT_PRPSINFO);
	struct os_facts *os = &c->facts;
	uint8_t b[INFO_SIZE];
	char args[80 + 1] = {0};

	os->cmdline0 = "";
	if (!n || n->n < sizeof(b) || corefile_read(&c->f, n->at, b, sizeof(b)) != sizeof(b))
		return;
	memcpy(&os->pid, b + INFO_PID, 4);
	memcpy(os->comm, b + INFO_NAME, 16);
	os->comm[16] = '\0';
	memcpy(args, b + INFO_ARGS, 80);
	args[strcspn(args, " ")] = '\0';
	os->cmdline0 = arena_strdup(&c->mem, args);
}

static bool read_auxv(struct core *c, struct err *err)
{
	const struct core_note *n = note_find(c, "CORE", NT_AUXV);
	char *text;

	if (!n)
		return true;
	if (!core_note_read(&c->f, n, &c->mem, &text, err))
		return err_in(err, "NT_AUXV");
	for (uint32_t i = 0; i + 16 <= n->n; i += 16) {
		uint64_t v[2];

		memcpy(v, text + i, sizeof(v));
		switch (v[0]) {
		case AT_PHDR:
			c->phdr = v[1];
			break;
		case AT_SYSINFO_EHDR:
			c->vdso = v[1];
			break;
		case AT_RANDOM: /* lies on the main stack */
			c->random = v[1];
			break;
		default:
			break;
		}
	}
	return true;
}

static bool read_mapped(struct core *c, struct err *err)
{
	const struct core_note *n = note_find(c, "CORE", NT_FILE);
	char *text;

	if (!n)
		return true;
	if (!core_note_read(&c->f, n, &c->mem, &text, err))
		return err_in(err, "NT_FILE");
	c->n_mapped = core_mapped_parse(text, n->n, &c->mem, &c->mapped);
	return true;
}

static const struct core_mapped *mapped_at(const struct core *c, taddr at)
{
	for (uint32_t i = 0; i < c->n_mapped; i++)
		if (at >= c->mapped[i].start && at < c->mapped[i].end)
			return &c->mapped[i];
	return NULL;
}

/* The program: what AT_PHDR lies in, else the file that the process is named after. */
static const char *find_exe(struct core *c)
{
	const struct core_mapped *m = c->phdr ? mapped_at(c, c->phdr) : NULL;

	if (m)
		return m->path;
	for (uint32_t i = 0; i < c->n_mapped; i++) {
		const char *slash = strrchr(c->mapped[i].path, '/');

		if (slash && !strncmp(slash + 1, c->facts.comm, 15))
			return c->mapped[i].path;
	}
	return c->n_mapped ? c->mapped[0].path : "";
}

static const char *without_deleted(struct core *c, const char *path, bool *ret_deleted)
{
	static const char deleted[] = " (deleted)";

	*ret_deleted = *path == '/' && str_ends(path, deleted);
	return *ret_deleted ? arena_strndup(&c->mem, path, strlen(path) - (sizeof(deleted) - 1))
			    : path;
}

static uint32_t object_find(struct core *c, const char *path)
{
	for (uint32_t i = c->n_objects; i-- > 0;) /* neighbours are of one file */
		if (!strcmp(c->objects[i].path, path))
			return i;
	if (c->n_objects == OBJECTS_MAX)
		return NO_OBJECT;
	c->objects[c->n_objects].path = path;
	return c->n_objects++;
}

static uint32_t file_flags(const char *path)
{
	static const char *const shared[] = {"/dev/zero", "/memfd:", "/SYSV", "/dev/shm/", "/run/"};

	if (str_starts(path, "/anon_hugepage") || str_starts(path, "/dev/hugepages"))
		return MAP_HUGETLB;
	if (str_starts(path, "/dev/") && !str_starts(path, "/dev/zero") &&
	    !str_starts(path, "/dev/shm/"))
		return MAP_SPECIAL;
	for (size_t i = 0; i < ARRAY_LEN(shared); i++)
		if (str_starts(path, shared[i]))
			return MAP_SHMEM;
	return MAP_FILE;
}

/* Adds a piece that one load (or none) and one row of NT_FILE (or none) cover. */
static void add_mapping(struct core *c, taddr start, taddr end, const struct core_load *l,
			const struct core_mapped *f)
{
	struct os_facts *os = &c->facts;
	struct mapping m = {.start = start, .end = end, .path = ""};
	uint32_t object = NO_OBJECT;
	bool deleted = false;

	if (f) {
		/* the object keeps the name as the core writes it: the identity of a mapping */
		object = object_find(c, f->path);
		m.path = without_deleted(c, f->path, &deleted);
		m.offset = f->offset + (start - f->start);
		m.flags = file_flags(f->path) | (deleted ? MAP_DELETED : 0);
		m.inode = object == NO_OBJECT ? OBJECTS_MAX + 1 : object + 1;
		m.dev = 1U << 20;
	}
	if (l) {
		m.flags |= (l->flags & PF_R ? (uint32_t)MAP_READ : 0) |
			   (l->flags & PF_W ? (uint32_t)MAP_WRITE : 0) |
			   (l->flags & PF_X ? (uint32_t)MAP_EXEC : 0);
		if (!f && l->file_size)
			c->anonymous = true;
	}
	if (c->vdso && c->vdso >= start && c->vdso < end) {
		m.path = "[vdso]";
		m.flags |= MAP_SPECIAL;
	} else if (!f && c->vdso && end == c->vdso && l && !l->file_size &&
		   end - start <= VVAR_MAX) {
		m.path = "[vvar]";
		m.flags |= MAP_SPECIAL;
	} else if (start >= 0xffff800000000000ULL) {
		m.path = "[vsyscall]";
		m.flags |= MAP_SPECIAL;
	} else if (!f && c->random >= start && c->random < end) {
		m.path = "[stack]";
	}
	c->object_of[os->n_maps] = object;
	os->maps[os->n_maps++] = m;
	os->vm_size += end - start;
}

/* Cuts the address space at every border of a load and of a mapped file. */
static bool make_maps(struct core *c, struct err *err)
{
	uint64_t cap = 2 * ((uint64_t)c->h.n_loads + c->n_mapped) + 1;
	uint32_t il = 0, im = 0;
	taddr at = 0;

	c->facts.maps = arena_try(&c->mem, cap, sizeof(*c->facts.maps), err);
	c->object_of = arena_try(&c->mem, cap, sizeof(*c->object_of), err);
	if (!c->facts.maps || !c->object_of)
		return false;
	c->objects = ARENA_ARRAY(&c->mem, struct core_object, MIN(c->n_mapped, OBJECTS_MAX) + 1);
	while (il < c->h.n_loads || im < c->n_mapped) {
		const struct core_load *l = il < c->h.n_loads ? &c->h.loads[il] : NULL;
		const struct core_mapped *f = im < c->n_mapped ? &c->mapped[im] : NULL;
		taddr end;

		if (l && l->end <= at) {
			il++;
			continue;
		}
		if (f && f->end <= at) {
			im++;
			continue;
		}
		at = MAX(at, MIN(l ? l->start : UINT64_MAX, f ? f->start : UINT64_MAX));
		end = UINT64_MAX;
		if (l)
			end = MIN(end, l->start > at ? l->start : l->end);
		if (f)
			end = MIN(end, f->start > at ? f->start : f->end);
		if (c->facts.n_maps == cap)
			break;
		add_mapping(c, at, end, l && l->start <= at ? l : NULL,
			    f && f->start <= at ? f : NULL);
		at = end;
	}
	return true;
}

/* Mappings that the core has no load for have their rights from the file's own headers. */
static void flags_of_files(struct core *c)
{
	for (uint32_t i = 0; i < c->facts.n_maps; i++) {
		struct mapping *m = &c->facts.maps[i];
		struct core_object *o;

		if (!(m->flags & MAP_FILE) || m->flags & (MAP_READ | MAP_WRITE | MAP_EXEC))
			continue;
		m->flags |= MAP_READ;
		o = object_at(c, m);
		for (uint32_t k = 0; o && o->fd >= 0 && k < o->n_segments; k++)
			if (m->offset >= o->segments[k].offset && m->offset < o->segments[k].end)
				m->flags |= o->segments[k].flags & (MAP_READ | MAP_EXEC);
	}
}

/* The program break: the first writable memory of no file above the program, bss left out. */
static void name_heap(struct core *c)
{
	struct os_facts *os = &c->facts;
	taddr end = 0;

	for (uint32_t i = 0; i < os->n_maps; i++) {
		struct mapping *m = &os->maps[i];

		if (m->flags & MAP_FILE && !strcmp(m->path, os->exe)) {
			end = m->end;
			continue;
		}
		if (!end)
			continue;
		if (m->start - end > HEAP_GAP_MAX || *m->path)
			return;
		if (m->start == end && end == (i ? os->maps[i - 1].end : 0) &&
		    !strcmp(os->maps[i - 1].path, os->exe)) {
			end = m->end; /* bss follows the file without a gap */
			continue;
		}
		if (m->flags & MAP_WRITE && !(m->flags & MAP_EXEC))
			m->path = "[heap]";
		return;
	}
}

static bool core_facts_fn(struct target *t, struct arena *a, struct err *err)
{
	struct core *c = core_of(t);
	struct os_facts *os = ARENA_NEW(a, struct os_facts);

	(void)err;
	*os = c->facts;
	pages_init(&os->pages, a);
	os->notes = c->notes.v;
	os->n_notes = c->notes.n;
	t->os = os;
	return true;
}

static bool is_zero(const uint8_t *page)
{
	uint64_t v[8], any = 0;

	for (size_t i = 0; i < OS_PAGE; i += sizeof(v)) {
		memcpy(v, page + i, sizeof(v));
		for (size_t k = 0; k < ARRAY_LEN(v); k++)
			any |= v[k];
		if (any)
			return false;
	}
	return true;
}

/* Marks the pages of [from, to) of a load, which are no hole of the file, that are not zeros. */
static bool mark_data(struct core *c, const struct core_load *l, bytes from, bytes to,
		      uint64_t *look, uint8_t *buf, struct pages *p, struct err *err)
{
	while (from < to) {
		size_t n = (size_t)MIN(to - from, (bytes)COREFILE_BLOCK), i = 0, next;

		if (*look < n)
			return pages_set(p, l->start + from, l->start + to, PAGE_RESIDENT, err);
		*look -= n;
		n = corefile_read(&c->f, l->offset + from, buf, n) / OS_PAGE * OS_PAGE;
		if (n == 0)
			return true;
		for (; i < n; i = next) {
			bool zero = is_zero(buf + i);

			for (next = i + OS_PAGE; next < n && is_zero(buf + next) == zero;)
				next += OS_PAGE;
			if (!zero && !pages_set(p, l->start + from + i, l->start + from + next,
						PAGE_RESIDENT, err))
				return false;
		}
		from += n;
	}
	return true;
}

/*
 * Which pages were in memory is not known; which hold something is, by the holes of the file, and
 * where it has none (gcore writes zeros) by looking, up to a limit. Not residency: only what the
 * answer's causes go by, so that gigabytes of reserved address space do not come first.
 */
static bool core_scan(struct target *t, struct arena *a, struct err *err)
{
	struct core *c = core_of(t);
	uint64_t look = SCAN_MAX;
	uint8_t *buf = c->scan_buffer;
	struct pages p;

	pages_init(&p, a);
	for (uint32_t i = 0; i < c->h.n_loads; i++) {
		const struct core_load *l = &c->h.loads[i];
		bytes at = 0, end = round_down(l->file_size, OS_PAGE);

		if (l->start % OS_PAGE)
			continue;
		while (at < end) {
			off_t data = c->f.mem ? (off_t)(l->offset + at)
					      : lseek(c->f.fd, (off_t)(l->offset + at), SEEK_DATA);
			off_t hole = data < 0 || c->f.mem ? -1 : lseek(c->f.fd, data, SEEK_HOLE);
			bytes from, to = end;

			if (data < 0)
				break; /* a hole up to the end of the file */
			from = (bytes)data - l->offset;
			if (from >= end)
				break;
			from = round_down(from, OS_PAGE);
			if (hole > data)
				to = MIN(end, round_up((bytes)hole - l->offset, OS_PAGE));
			if (!mark_data(c, l, from, to, &look, buf, &p, err))
				return false;
			at = to;
		}
	}
	pages_close(&p);
	t->os->pages = p;
	t->os->residency = RESIDENCY_NONE;
	return true;
}

static void core_close(struct target *t)
{
	struct core *c = core_of(t);

	for (uint32_t i = 0; i < c->n_objects; i++)
		if (c->objects[i].tried)
			cleanup_fd(&c->objects[i].fd);
	corefile_close(&c->f);
	arena_free(&c->mem);
	free(c);
}

static const struct target_ops core_ops = {
	.name = "core",
	.read = core_read,
	.facts = core_facts_fn,
	.scan = core_scan,
	.open_file = core_open_file,
	.close = core_close,
};

static bool take_foreign(struct core *c, struct err *err)
{
	struct os_facts *os = &c->facts;

	os->pss = os->lazy_free = UINT64_MAX;
	os->thp_enabled = "";
	os->max_ptes_none = -1;
	read_threads(c);
	read_info(c);
	if (!read_auxv(c, err) || !read_mapped(c, err))
		return false;
	os->exe = without_deleted(c, find_exe(c), &os->exe_deleted);
	if (!make_maps(c, err))
		return false;
	if (os->n_maps == 0)
		return err_set(err, ERR_FORMAT, "the core has no mappings");
	flags_of_files(c);
	name_heap(c);
	if (c->h.missing || c->h.notes_cut) {
		os->partial = true;
		*VEC_PUSH(&c->mem, &c->notes) =
			arena_printf(&c->mem,
				     "the core is truncated: %llu MiB of memory that it "
				     "lists are missing",
				     (unsigned long long)(c->h.missing + ((1U << 20) - 1)) >> 20);
	}
	return true;
}

/* ---- Captures ---- */

static size_t capture_read(struct target *t, taddr at, void *dst, size_t n)
{
	struct core *c = core_of(t);
	size_t done = 0;

	while (done < n) {
		size_t lo = 0, hi = c->n_known, part, got;
		const struct byte_run *r;
		const struct core_load *l;

		if (c->known_hint < hi &&
		    at + done - c->known[c->known_hint].start <
			    c->known[c->known_hint].end - c->known[c->known_hint].start)
			lo = hi = c->known_hint;
		while (lo < hi) {
			size_t mid = (lo + hi) / 2;

			if (c->known[mid].end <= at + done)
				lo = mid + 1;
			else
				hi = mid;
		}
		r = &c->known[lo];
		if (lo == c->n_known || r->start > at + done)
			break;
		c->known_hint = lo;
		l = load_from(c, at + done);
		if (!l || l->start > at + done || at + done >= l->start + l->file_size)
			break;
		part = (size_t)MIN(n - done, MIN(r->end, l->start + l->file_size) - (at + done));
		got = corefile_read(&c->f, l->offset + (at + done - l->start), (char *)dst + done,
				    part);
		t->stats.reads++;
		t->stats.bytes_read += got;
		done += got;
		if (got < part)
			break;
	}
	return done;
}

static bool capture_scan(struct target *t, struct arena *a, struct err *err)
{
	struct core *c = core_of(t);
	struct pages p;

	pages_init(&p, a);
	if (!pages_read(c->pages, c->n_pages, &p, err))
		return err_in(err, "%.160s", c->path);
	t->os->pages = p;
	t->os->residency = c->residency;
	return true;
}

static int capture_open_file(struct target *t, const struct mapping *m, struct err *err)
{
	(void)t;
	err_set(err, ERR_OS, "%.120s: a capture holds no files", m->path);
	return -1;
}

static const char *capture_saved(struct target *t, size_t *ret_n)
{
	*ret_n = core_of(t)->n_session;
	return core_of(t)->session;
}

static const struct target_ops capture_ops = {
	.name = "capture",
	.read = capture_read,
	.facts = core_facts_fn,
	.scan = capture_scan,
	.open_file = capture_open_file,
	.saved = capture_saved,
	.close = core_close,
};

static bool capture_part(struct core *c, enum capture_note type, char **ret, size_t *ret_n,
			 struct err *err)
{
	const struct core_note *n = note_find(c, CAPTURE_OWNER, type);

	if (!n)
		return err_set(err, ERR_FORMAT, "a capture that is cut off or damaged");
	*ret_n = n->n;
	return core_note_read(&c->f, n, &c->mem, ret, err);
}

static bool take_capture(struct core *c, struct err *err)
{
	char *text = NULL;
	size_t n = 0;

	if (c->exe_option)
		return err_set(err, ERR_USAGE, "--exe: a capture needs no program");
	if (!capture_part(c, CAPTURE_FACTS, &text, &n, err) ||
	    !facts_read(text, n, &c->mem, &c->facts, err) ||
	    !capture_part(c, CAPTURE_PAGES, &c->pages, &c->n_pages, err) ||
	    !capture_part(c, CAPTURE_SESSION, &c->session, &c->n_session, err) ||
	    !capture_part(c, CAPTURE_KNOWN, &text, &n, err) ||
	    !runs_read(text, n, KNOWN_MAX, &c->mem, &c->known, &c->n_known, err))
		return false;
	for (uint32_t i = 0; i < c->facts.n_notes; i++)
		*VEC_PUSH(&c->mem, &c->notes) = c->facts.notes[i];
	if (c->h.missing) {
		c->facts.partial = true;
		*VEC_PUSH(&c->mem, &c->notes) = "the capture is truncated";
	}
	c->residency = c->facts.residency;
	c->facts.residency = RESIDENCY_NONE; /* until its pages are asked for */
	c->t.ops = &capture_ops;
	c->t.kind = TARGET_CAPTURE;
	c->t.exact = true;
	return true;
}

enum core_kind core_look(int fd)
{
	unsigned char head[sizeof(Elf64_Ehdr) + sizeof(Elf64_Nhdr) + sizeof(CAPTURE_OWNER)];
	size_t n = unpack_head(fd, head, sizeof(head));

	if (!core_magic(head, n))
		return CORE_NONE;
	return n == sizeof(head) && !memcmp(head + n - sizeof(CAPTURE_OWNER), CAPTURE_OWNER,
					    sizeof(CAPTURE_OWNER))
		       ? CORE_CAPTURE
		       : CORE_FOREIGN;
}

bool core_open(const char *path, const struct core_options *o, struct target **ret, struct err *err)
{
	struct core *c = calloc(1, sizeof(*c));
	int fd = open_file(path);

	if (!c || fd < 0) {
		err_os(err, ERR_OS, "%.160s", path);
		goto failed;
	}
	arena_init(&c->mem, 0);
	c->scan_buffer = arena_alloc(&c->mem, COREFILE_BLOCK);
	c->path = arena_strdup(&c->mem, path);
	c->root = o && o->root ? arena_strdup(&c->mem, o->root) : "";
	c->exe_option = o && o->exe ? arena_strdup(&c->mem, o->exe) : NULL;
	c->t = (struct target){.ops = &core_ops, .kind = TARGET_CORE, .held = true, .impl = c};
	if (!unpack(&fd, CORE_UNPACK_MAX, err) || !corefile_open(&c->f, fd, &c->mem, err) ||
	    !core_parse(&c->f, &c->mem, &c->h, err) ||
	    !(note_find(c, CAPTURE_OWNER, CAPTURE_FACTS) ? take_capture(c, err)
							 : take_foreign(c, err))) {
		err_in(err, "%.160s", path);
		if (c->f.arena) /* then it has fd */
			fd = -1;
		corefile_close(&c->f);
		arena_free(&c->mem);
		goto failed;
	}
	*ret = &c->t;
	return true;
failed:
	cleanup_fd(&fd);
	free(c);
	return false;
}
