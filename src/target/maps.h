/* Internal to target/: the text of /proc/PID/maps as an array of mappings. */
#ifndef TARGET_MAPS_H
#define TARGET_MAPS_H

#include "target/osfacts.h"

#define MAPS_TEXT_MAX ((size_t)64 << 20)
#define MAPS_MAX      1000000U

enum fs_kind { FS_TMPFS, FS_HUGETLBFS };

/** What a device number of a mapping says about its memory. */
struct fs_table {
	VEC(struct fs_row {
		uint32_t dev;
		enum fs_kind kind;
	})
	rows;
	uint32_t shm_dev; /* of memfd, SysV and shared anonymous memory; UINT32_MAX: not known */
};

/** The tmpfs and hugetlbfs rows of a mountinfo text, which is changed in place. */
void fs_table_parse(char *mountinfo, struct arena *a, struct fs_table *ret);

/**
 * Parses maps; text[n] must be NUL. The result is ascending and free of overlaps whatever the text
 * says: the kernel itself repeats a piece when mappings change while it writes. ERR_FORMAT names
 * the line, ERR_LIMIT beyond MAPS_MAX. fs may be NULL.
 */
bool maps_parse(const char *text, size_t n, const struct fs_table *fs, struct arena *a,
		struct mapping **ret, uint32_t *ret_n, struct err *err);

/** "start-end " at the start of a line of maps or smaps, moving *at behind it. */
bool maps_range(const char **at, taddr *start, taddr *end);

/** Whether untouched pages read as zeros and never come from a file. */
static inline bool map_is_anonymous(const struct mapping *m)
{
	return !(m->flags & (MAP_FILE | MAP_SHMEM | MAP_HUGETLB | MAP_SPECIAL));
}

#endif
