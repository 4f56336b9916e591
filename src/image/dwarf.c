/*
 * Offsets of fields out of DWARF by libdw. The Go linker puts a program's types into one unit named
 * "runtime" and each variable into the unit of its package (of which there may be several of one
 * name), so only those units are walked. libdw unpacks every debug section that it sees, therefore
 * it gets a small ELF image in memory with just the sections that types need.
 */
#include "image/dwarf.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>

#define MAX_UNPACKED ((uint64_t)2 << 30) /* of one section */
#define MAX_RATIO    1100		 /* zlib packs no better than 1032:1 */
#define MAX_DIES     (8U << 20)		 /* looked at, over all units */
#define MAX_TYPEDEFS 64
#define MAX_TYPES    512 /* different types and variables asked for */
#define MAX_ELEMENTS ((uint64_t)1 << 32)
#define MAX_MEMBERS  65536

/* A type or variable that queries are about, and its type's entry once it is found. */
struct subject {
	const char *name; /* without "var:" */
	size_t pkg;	  /* length of the package path in name */
	bool variable, found;
	Dwarf_Die die;
};

/* -- the small image ------------------------------------------------------------------------- */

static bool section_wanted(const char *name)
{
	static const char *const WANTED[] = {"info", "abbrev", "str", "line_str", "str_offsets"};

	if (strncmp(name, ".debug_", 7) == 0)
		name += 7;
	else if (strncmp(name, ".zdebug_", 8) == 0)
		name += 8;
	else
		return false;
	for (size_t i = 0; i < ARRAY_LEN(WANTED); i++)
		if (strcmp(name, WANTED[i]) == 0)
			return true;
	return false;
}

/* How long a section says it is once unpacked. */
static uint64_t unpacked_size(Elf_Scn *scn, const GElf_Shdr *h, const char *name,
			      const Elf_Data *raw)
{
	GElf_Chdr c;
	uint64_t n = 0;

	if (h->sh_flags & SHF_COMPRESSED)
		return gelf_getchdr(scn, &c) ? c.ch_size : UINT64_MAX;
	if (strncmp(name, ".zdebug", 7) != 0)
		return raw->d_size;
	if (raw->d_size < 12)
		return UINT64_MAX;
	for (int i = 4; i < 12; i++)
		n = n << 8 | ((const unsigned char *)raw->d_buf)[i];
	return n;
}

/*
 * Builds an image in the arena with the wanted sections, still packed. The names' table comes
 * first, so that section 1 is always it.
 */
static bool image_build(Elf *elf, struct arena *a, char **ret, size_t *ret_n, struct err *err)
{
	enum { MAX = 12 };
	struct {
		const char *name;
		GElf_Shdr h;
		const Elf_Data *raw;
	} take[MAX];
	size_t n = 0, names, size, names_size = 1 + sizeof(".shstrtab");
	Elf_Scn *scn = NULL;
	Elf64_Ehdr *eh;
	Elf64_Shdr *sh;
	char *image, *name_at;

	if (elf_getshdrstrndx(elf, &names) != 0)
		return err_set(err, ERR_FORMAT, "no section names: %s", elf_errmsg(-1));
	while (n < MAX && (scn = elf_nextscn(elf, scn))) {
		uint64_t unpacked;

		if (!gelf_getshdr(scn, &take[n].h) || take[n].h.sh_type != SHT_PROGBITS)
			continue;
		take[n].name = elf_strptr(elf, names, take[n].h.sh_name);
		if (!take[n].name || !section_wanted(take[n].name))
			continue;
		take[n].raw = elf_rawdata(scn, NULL);
		if (!take[n].raw || !take[n].raw->d_buf || take[n].raw->d_size == 0)
			continue;
		unpacked = unpacked_size(scn, &take[n].h, take[n].name, take[n].raw);
		if (unpacked > MAX_UNPACKED || unpacked / MAX_RATIO > take[n].raw->d_size)
			return err_set(err, ERR_LIMIT, "%s claims an absurd size", take[n].name);
		names_size += strlen(take[n].name) + 1;
		n++;
	}
	if (n == 0)
		return err_set(err, ERR_FORMAT, "no DWARF in this file");

	size = round_up(sizeof(*eh), 16) + round_up(names_size, 16) + (n + 2) * sizeof(*sh);
	for (size_t i = 0; i < n; i++)
		size += round_up(take[i].raw->d_size, 16);
	image = arena_try(a, size, 1, err);
	if (!image)
		return err_in(err, "debug sections");
	eh = (Elf64_Ehdr *)(void *)image;
	memcpy(eh->e_ident, ELFMAG, SELFMAG);
	eh->e_ident[EI_CLASS] = ELFCLASS64;
	eh->e_ident[EI_DATA] = ELFDATA2LSB;
	eh->e_ident[EI_VERSION] = EV_CURRENT;
	eh->e_type = ET_EXEC;
	eh->e_machine = EM_X86_64;
	eh->e_version = EV_CURRENT;
	eh->e_ehsize = sizeof(*eh);
	eh->e_shentsize = sizeof(*sh);
	eh->e_shnum = (Elf64_Half)(n + 2);
	eh->e_shstrndx = 1;
	eh->e_shoff = size - (n + 2) * sizeof(*sh);
	sh = (Elf64_Shdr *)(void *)(image + eh->e_shoff);
	sh[1] = (Elf64_Shdr){
		.sh_name = 1, .sh_type = SHT_STRTAB, .sh_size = names_size, .sh_addralign = 1};
	sh[1].sh_offset = round_up(sizeof(*eh), 16);
	name_at = image + sh[1].sh_offset + 1;
	name_at = stpcpy(name_at, ".shstrtab") + 1;
	size = sh[1].sh_offset + round_up(names_size, 16);
	for (size_t i = 0; i < n; i++) {
		Elf64_Shdr *to = &sh[i + 2];

		to->sh_name = (Elf64_Word)(name_at - (image + sh[1].sh_offset));
		name_at = stpcpy(name_at, take[i].name) + 1;
		to->sh_type = SHT_PROGBITS;
		to->sh_flags = take[i].h.sh_flags & SHF_COMPRESSED;
		to->sh_addralign = 1;
		to->sh_offset = size;
		to->sh_size = take[i].raw->d_size;
		memcpy(image + size, take[i].raw->d_buf, take[i].raw->d_size);
		size += round_up(take[i].raw->d_size, 16);
	}
	*ret = image;
	*ret_n = (size_t)(eh->e_shoff + (n + 2) * sizeof(*sh));
	return true;
}

/* -- finding types --------------------------------------------------------------------------- */

/* "internal/abi.Type" → the length of "internal/abi". */
static size_t package_length(const char *name)
{
	const char *slash = strrchr(name, '/');
	const char *dot = strchr(slash ? slash : name, '.');

	return dot ? (size_t)(dot - name) : strlen(name);
}

/* Adds the subject of a query to those known; returns its index, or MAX_TYPES when there is no
 * room. */
static uint32_t subject_add(struct subject *subjects, uint32_t *n, const char *type)
{
	bool variable = strncmp(type, "var:", 4) == 0;
	const char *name = variable ? type + 4 : type;

	for (uint32_t i = 0; i < *n; i++)
		if (subjects[i].variable == variable && strcmp(subjects[i].name, name) == 0)
			return i;
	if (*n == MAX_TYPES)
		return MAX_TYPES;
	subjects[*n] =
		(struct subject){.name = name, .pkg = package_length(name), .variable = variable};
	return (*n)++;
}

/* Whether a subject that is not found yet may be in a unit of this name. */
static bool subject_in(const struct subject *s, const char *unit, size_t len)
{
	if (s->found)
		return false;
	if (!s->variable && strcmp(unit, "runtime") == 0)
		return true;
	return s->pkg == len && memcmp(s->name, unit, len) == 0;
}

static bool unit_wanted(const struct subject *subjects, uint32_t n, const char *unit)
{
	size_t len = strlen(unit);

	for (uint32_t i = 0; i < n; i++)
		if (subject_in(&subjects[i], unit, len))
			return true;
	return false;
}

static void subjects_match(struct subject *subjects, uint32_t n, const char *unit, Dwarf_Die *die,
			   bool variable)
{
	const char *name = dwarf_diename(die);
	size_t len = strlen(unit);
	Dwarf_Attribute attr;

	if (!name)
		return;
	for (uint32_t i = 0; i < n; i++) {
		struct subject *s = &subjects[i];

		if (s->variable != variable || strcmp(s->name, name) != 0 ||
		    !subject_in(s, unit, len))
			continue;
		if (!variable) {
			s->die = *die;
			s->found = true;
		} else if (dwarf_attr(die, DW_AT_type, &attr) &&
			   dwarf_formref_die(&attr, &s->die)) {
			s->found = true;
		}
	}
}

/* Looks through the top level of one unit. Spends from *dies, stops at 0. */
static void unit_search(struct subject *subjects, uint32_t n, const char *unit, Dwarf_Die *unit_die,
			uint32_t *dies)
{
	Dwarf_Die die;

	if (dwarf_child(unit_die, &die) != 0)
		return;
	do {
		switch (dwarf_tag(&die)) {
		case DW_TAG_structure_type:
		case DW_TAG_base_type:
		case DW_TAG_typedef:
			subjects_match(subjects, n, unit, &die, false);
			break;
		case DW_TAG_variable:
			subjects_match(subjects, n, unit, &die, true);
			break;
		default:
			break;
		}
	} while (--*dies > 0 && dwarf_siblingof(&die, &die) == 0);
}

/* -- paths ----------------------------------------------------------------------------------- */

static bool type_of(Dwarf_Die *die, Dwarf_Die *ret)
{
	Dwarf_Attribute attr;

	return dwarf_attr_integrate(die, DW_AT_type, &attr) && dwarf_formref_die(&attr, ret);
}

static bool peel(Dwarf_Die *die)
{
	for (int i = 0; i < MAX_TYPEDEFS; i++) {
		if (dwarf_tag(die) != DW_TAG_typedef)
			return true;
		if (!type_of(die, die))
			return false;
	}
	return false;
}

static bool size_of(Dwarf_Die *type, uint64_t *ret);

static bool array_count(Dwarf_Die *array, uint64_t *ret)
{
	Dwarf_Die die;
	Dwarf_Attribute attr;
	Dwarf_Word v;
	int seen = 0;

	if (dwarf_child(array, &die) != 0)
		return false;
	do {
		if (dwarf_tag(&die) != DW_TAG_subrange_type)
			continue;
		if (dwarf_attr(&die, DW_AT_count, &attr) && dwarf_formudata(&attr, &v) == 0) {
			*ret = v;
			return true;
		}
		if (dwarf_attr(&die, DW_AT_upper_bound, &attr) && dwarf_formudata(&attr, &v) == 0) {
			*ret = v + 1;
			return true;
		}
	} while (++seen < MAX_MEMBERS && dwarf_siblingof(&die, &die) == 0);
	return false;
}

/* The element type of an array and its stride. */
static bool array_element(Dwarf_Die *array, Dwarf_Die *elem, uint64_t *stride)
{
	return type_of(array, elem) && peel(elem) && size_of(elem, stride);
}

static bool size_of(Dwarf_Die *type, uint64_t *ret)
{
	uint64_t total = 1;
	Dwarf_Die die = *type;

	/* Arrays of arrays nest, so this is a loop; the depth is that of the type's name. */
	for (int depth = 0; depth < MAX_TYPEDEFS; depth++) {
		uint64_t n;
		int size;

		if (!peel(&die))
			return false;
		size = dwarf_bytesize(&die);
		if (size < 0) {
			switch (dwarf_tag(&die)) {
			case DW_TAG_pointer_type:
			case DW_TAG_subroutine_type:
				size = 8;
				break;
			case DW_TAG_array_type:
				if (!array_count(&die, &n) || n > MAX_ELEMENTS ||
				    !type_of(&die, &die))
					return false;
				if (__builtin_mul_overflow(total, n, &total))
					return false;
				continue;
			default:
				return false;
			}
		}
		return !__builtin_mul_overflow(total, (uint64_t)size, ret);
	}
	return false;
}

/* DW_AT_data_member_location: a number, or (DWARF 2 style) the expression "plus number". */
static bool member_offset(Dwarf_Die *member, uint64_t *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Word v;
	Dwarf_Op *expr;
	size_t n;

	if (!dwarf_attr(member, DW_AT_data_member_location, &attr))
		return false;
	if (dwarf_formudata(&attr, &v) == 0) {
		*ret = v;
		return true;
	}
	if (dwarf_getlocation(&attr, &expr, &n) != 0 || n != 1 || expr[0].atom != DW_OP_plus_uconst)
		return false;
	*ret = expr[0].number;
	return true;
}

static bool member_find(Dwarf_Die *type, const char *name, size_t len, Dwarf_Die *ret)
{
	int seen = 0;

	if (dwarf_tag(type) != DW_TAG_structure_type || dwarf_child(type, ret) != 0)
		return false;
	do {
		const char *s;

		if (dwarf_tag(ret) != DW_TAG_member)
			continue;
		s = dwarf_diename(ret);
		if (s && strncmp(s, name, len) == 0 && s[len] == '\0')
			return true;
	} while (++seen < MAX_MEMBERS && dwarf_siblingof(ret, ret) == 0);
	return false;
}

/* Follows one path, which ends at '|' or the end of the text. */
static bool path_resolve(Dwarf_Die type, const char *path, uint32_t *ret_off, uint32_t *ret_width)
{
	uint64_t off = 0, width, step;

	if (!peel(&type))
		return false;
	while (*path && *path != '|') {
		if (*path == '[') {
			char *end;
			uint64_t k = strtoull(path + 1, &end, 10), n;

			if (*end != ']' || dwarf_tag(&type) != DW_TAG_array_type)
				return false;
			if (!array_count(&type, &n) || k >= n ||
			    !array_element(&type, &type, &width))
				return false;
			if (__builtin_mul_overflow(k, width, &step))
				return false;
			path = end + 1;
		} else {
			size_t len = strcspn(path, ".[|");
			Dwarf_Die member;

			if (!member_find(&type, path, len, &member) ||
			    !member_offset(&member, &step))
				return false;
			if (!type_of(&member, &type) || !peel(&type))
				return false;
			path += len;
		}
		if (__builtin_add_overflow(off, step, &off))
			return false;
		path += *path == '.';
	}
	if (!size_of(&type, &width) || off > UINT32_MAX || width > UINT32_MAX)
		return false;
	*ret_off = (uint32_t)off;
	*ret_width = (uint32_t)width;
	return true;
}

static void query_answer(struct dwarf_query *q, const struct subject *s)
{
	const char *path = q->paths;

	q->found = false;
	q->off = q->width = 0;
	if (!s->found)
		return;
	for (;;) {
		if (path_resolve(s->die, path, &q->off, &q->width)) {
			q->found = true;
			return;
		}
		path += strcspn(path, "|");
		if (!*path)
			return;
		path++;
	}
}

/* -- the whole ------------------------------------------------------------------------------- */

static bool resolve(Dwarf *dw, struct arena *a, struct dwarf_query *q, uint32_t n, struct err *err)
{
	struct subject *subjects = ARENA_ARRAY(a, struct subject, MAX_TYPES);
	uint32_t *subject_of = ARENA_ARRAY(a, uint32_t, n);
	uint32_t n_subjects = 0, n_units = 0, dies = MAX_DIES;
	Dwarf_CU *cu = NULL;
	Dwarf_Die die;

	for (uint32_t i = 0; i < n; i++) {
		subject_of[i] = subject_add(subjects, &n_subjects, q[i].type);
		if (subject_of[i] == MAX_TYPES)
			return err_set(err, ERR_LIMIT, "more than %d types asked for", MAX_TYPES);
	}
	while (dies > 0 && dwarf_get_units(dw, cu, &cu, NULL, NULL, &die, NULL) == 0) {
		const char *name = dwarf_diename(&die);

		n_units++;
		if (name && unit_wanted(subjects, n_subjects, name))
			unit_search(subjects, n_subjects, name, &die, &dies);
	}
	if (n_units == 0)
		return err_set(err, ERR_FORMAT, "bad DWARF: %s", dwarf_errmsg(-1));
	for (uint32_t i = 0; i < n; i++)
		query_answer(&q[i], &subjects[subject_of[i]]);
	return true;
}

bool dwarf_resolve(int elf_fd, struct dwarf_query *q, uint32_t n, struct err *err)
{
	struct arena tmp;
	char *image = NULL;
	size_t size = 0;
	Elf *elf = NULL, *small = NULL;
	Dwarf *dw = NULL;
	bool ok = false;

	elf_version(EV_CURRENT);
	arena_init(&tmp, 0);
	elf = elf_begin(elf_fd, ELF_C_READ, NULL);
	if (!elf || elf_kind(elf) != ELF_K_ELF || gelf_getclass(elf) != ELFCLASS64) {
		err_set(err, ERR_FORMAT, "no 64-bit ELF file");
		goto out;
	}
	if (!image_build(elf, &tmp, &image, &size, err))
		goto out;
	small = elf_memory(image, size);
	dw = small ? dwarf_begin_elf(small, DWARF_C_READ, NULL) : NULL;
	if (!dw) {
		err_set(err, ERR_FORMAT, "bad DWARF: %s", dwarf_errmsg(-1));
		goto out;
	}
	ok = resolve(dw, &tmp, q, n, err);
out:
	dwarf_end(dw);
	elf_end(small);
	elf_end(elf);
	arena_free(&tmp);
	return ok;
}
