/*
 * /proc/PID/maps as an array: address order, no overlaps, what kind of memory each mapping is. File
 * names are the target's own words: nothing here trusts them beyond telling the kernel's pseudo
 * names from real paths, and devices decide where they can.
 */
#include "target/maps.h"

#include <string.h>

#include "base/str.h"
#include "target/procfs.h"

void fs_table_parse(char *mountinfo, struct arena *a, struct fs_table *ret)
{
	struct mount_row row;

	while (mount_next(&mountinfo, &row)) {
		bool huge = strcmp(row.type, "hugetlbfs") == 0;

		if (huge || strcmp(row.type, "tmpfs") == 0)
			*VEC_PUSH(a, &ret->rows) =
				(struct fs_row){row.dev, huge ? FS_HUGETLBFS : FS_TMPFS};
	}
}

static const struct fs_row *fs_find(const struct fs_table *fs, uint32_t dev)
{
	for (uint32_t i = 0; fs && i < fs->rows.n; i++)
		if (fs->rows.v[i].dev == dev)
			return &fs->rows.v[i];
	return NULL;
}

/* Names that the kernel gives to files of its internal tmpfs; a hugetlb memfd has the same name. */
static uint32_t internal_file(const struct mapping *m, const struct fs_table *fs)
{
	if (!fs || fs->shm_dev == UINT32_MAX || m->dev == fs->shm_dev)
		return MAP_SHMEM;
	return m->dev >> 20 == 0 ? MAP_HUGETLB : MAP_FILE;
}

/* The kind of memory, from name and device. */
static uint32_t kind_of(const struct mapping *m, const struct fs_table *fs)
{
	const char *p = m->path;
	const struct fs_row *row;

	if (!*p)
		return m->inode ? MAP_FILE : 0;
	if (*p == '[') {
		if (str_starts(p, "[anon_shmem:"))
			return MAP_SHMEM;
		return str_starts(p, "[anon:") || str_starts(p, "[heap]") || str_starts(p, "[stack")
			       ? 0
			       : MAP_SPECIAL;
	}
	/* "anon_inode:[perf_event]", "socket:[17]", "/[aio]", "/dmabuf:x": memory that a driver
	 * made. */
	if (*p != '/' || str_starts(p, "/[") || str_starts(p, "/dmabuf"))
		return MAP_SPECIAL;
	/* A private mapping of /dev/zero is plain anonymous memory that kept a name. */
	if (strcmp(p, "/dev/zero") == 0)
		return m->flags & MAP_SHARED_ ? MAP_SHMEM : 0;
	if (m->flags & MAP_DELETED) {
		if (str_starts(p, "/memfd:") || str_starts(p, "/SYSV"))
			return internal_file(m, fs);
		if (strcmp(p, "/anon_hugepage") == 0)
			return MAP_HUGETLB;
	}
	if (fs && m->dev == fs->shm_dev)
		return MAP_SHMEM;
	row = fs_find(fs, m->dev);
	if (row && row->kind == FS_HUGETLBFS)
		return MAP_HUGETLB;
	if (str_starts(p, "/dev/shm/"))
		return MAP_SHMEM;
	/* Before tmpfs: a container's /dev is one, and its device nodes lie on it. */
	if (str_starts(p, "/dev/"))
		return MAP_SPECIAL;
	if (row)
		return MAP_SHMEM;
	return str_starts(p, "/proc/") || str_starts(p, "/sys/") ? MAP_SPECIAL : MAP_FILE;
}

bool maps_range(const char **at, taddr *start, taddr *end)
{
	const char *p = *at;

	if (!str_u64(&p, true, start) || *p++ != '-' || !str_u64(&p, true, end) || *p++ != ' ' ||
	    *start >= *end || *start % OS_PAGE || *end % OS_PAGE)
		return false;
	*at = p;
	return true;
}

/* "rw-p 0001f000 fe:00 4711   ", moving *at to the path. */
static bool parse_fields(const char **at, struct mapping *m)
{
	static const char perms[] = "rwx";
	const char *p = *at;
	uint64_t major, minor;

	for (int i = 0; i < 3; i++, p++) {
		if (*p == perms[i])
			m->flags |= 1U << i;
		else if (*p != '-')
			return false;
	}
	if (*p != 'p' && *p != 's')
		return false;
	if (*p++ == 's')
		m->flags |= MAP_SHARED_;
	if (*p++ != ' ' || !str_u64(&p, true, &m->offset) || *p++ != ' ' ||
	    !str_u64(&p, true, &major) || *p++ != ':' || !str_u64(&p, true, &minor) ||
	    *p++ != ' ' || !str_u64(&p, false, &m->inode) || (*p != ' ' && *p != '\n' && *p))
		return false;
	m->dev = (uint32_t)(major << 20 | (minor & 0xfffff));
	p += strspn(p, " ");
	*at = p;
	return true;
}

/* One line, `end` its newline. The path is copied, or shared with `before` when it is the same. */
static bool parse_line(const char *line, const char *end, const struct mapping *before,
		       struct arena *a, struct mapping *m)
{
	static const char deleted[] = " (deleted)";
	const char *path = line;
	size_t n;

	*m = (struct mapping){.path = ""};
	if (!maps_range(&path, &m->start, &m->end) || !parse_fields(&path, m) || path > end)
		return false;
	n = (size_t)(end - path);
	if (n >= sizeof(deleted) && *path == '/' &&
	    memcmp(end - (sizeof(deleted) - 1), deleted, sizeof(deleted) - 1) == 0) {
		m->flags |= MAP_DELETED;
		n -= sizeof(deleted) - 1;
	}
	if (n && before && strlen(before->path) == n && memcmp(before->path, path, n) == 0)
		m->path = before->path;
	else if (n)
		m->path = arena_strndup(a, path, n);
	return true;
}

bool maps_parse(const char *text, size_t n, const struct fs_table *fs, struct arena *a,
		struct mapping **ret, uint32_t *ret_n, struct err *err)
{
	const char *stop = text + n;
	struct mapping *v;
	uint32_t lines = 0, made = 0, number = 0;

	for (const char *p = text; p < stop; lines++) {
		const char *nl = memchr(p, '\n', (size_t)(stop - p));

		if (lines == MAPS_MAX)
			return err_set(err, ERR_LIMIT, "maps: more than %u mappings", MAPS_MAX);
		p = nl ? nl + 1 : stop;
	}
	/* Paths take less than the lines that they stand on, so that room for the text is enough.
	 */
	if (arena_room(a, 1) / 2 < n)
		return err_set(err, ERR_LIMIT, "maps: no room for %zu bytes of text", n);
	v = arena_try(a, lines, sizeof(*v), err);
	if (!v)
		return err_in(err, "maps");
	for (const char *p = text; p < stop;) {
		const char *nl = memchr(p, '\n', (size_t)(stop - p)), *end = nl ? nl : stop;
		struct mapping *m = &v[made], *before = made ? m - 1 : NULL;

		number++;
		if (!parse_line(p, end, before, a, m))
			return err_set(err, ERR_FORMAT,
				       "maps: line %u is not as the kernel writes it", number);
		m->flags |= kind_of(m, fs);
		if (before && m->start < before->end) {
			m->offset += before->end - m->start;
			m->start = before->end;
		}
		made += m->start < m->end;
		p = nl ? nl + 1 : stop;
	}
	*ret = v;
	*ret_n = made;
	return true;
}

const struct mapping *map_find(const struct os_facts *os, taddr at)
{
	uint32_t lo = 0, hi = os->n_maps;

	/* The first mapping that ends above `at`. */
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (os->maps[mid].end <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < os->n_maps && os->maps[lo].start <= at ? &os->maps[lo] : NULL;
}
