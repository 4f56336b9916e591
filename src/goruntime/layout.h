/*
 * Where this binary keeps the runtime's fields and globals: one interface over recorded tables,
 * DWARF and, later, what is found in stripped binaries.
 */
#ifndef GORUNTIME_LAYOUT_H
#define GORUNTIME_LAYOUT_H

#include "base/arena.h"

/** A Go release as runtime.buildVersion words it: "go1.26.8", "go1.25.3 X:greenteagc", "devel
 * go1.28-abcdef …". */
struct go_release {
	char text[96]; /* the whole word, printable bytes only */
	int major, minor,
		patch; /* 1, 26, 8; patch -1 for a release candidate, beta or development version */
	char experiments[64]; /* "greenteagc,…" or "" */
};

/** Where a field lies in its type; width 0: this release has no such field. */
struct field {
	uint32_t off, width;
};

enum layout_source { LAYOUT_RECORDED, LAYOUT_DWARF, LAYOUT_NEAREST };

struct layout {
	enum layout_source source;
	char recorded_as[64]; /* the record that was taken, "go1.26.0–go1.26.8"; "" for DWARF */
#define FIELD(id, type, paths, need) struct field id;
#include "goruntime/fields.def"
#undef FIELD
};

/** Addresses of the runtime's globals in the target (load bias added); 0: not in this binary. */
struct symbols {
#define SYMBOL(id, names, need) taddr id;
#include "goruntime/symbols.def"
#undef SYMBOL
};

/** One row of fields.def, for loops over all fields. */
struct field_row {
	const char *id, *type, *paths;
	bool required;
};
extern const struct field_row FIELD_ROWS[];
extern const uint32_t N_FIELD_ROWS;

struct symbol_row {
	const char *id, *names;
	bool required;
};
extern const struct symbol_row SYMBOL_ROWS[];
extern const uint32_t N_SYMBOL_ROWS;

/** The fields of a layout as an array in the order of FIELD_ROWS. */
struct field *layout_fields(struct layout *l);
/** The addresses as an array in the order of SYMBOL_ROWS. */
taddr *symbols_array(struct symbols *s);

/** Whether every field lies in its type and is as wide as in the nearest record, and the types that
 * are copied whole have a size that no release exceeds: for layouts that come in a file. Errors:
 * ERR_RELEASE. */
bool layout_plausible(const struct layout *l, const struct go_release *r, struct err *err);

/** Parses a version word; false when it is not one of Go's. */
bool go_release_parse(const char *text, struct go_release *ret);

/** The recorded layout of exactly this release and its experiments; false when there is no record.
 */
bool layout_recorded(const struct go_release *r, struct layout *ret);
/**
 * The recorded layout of the release nearest below this one, of the same minor release if there is
 * one, else the nearest above. A release candidate, beta or development version counts as its .0.
 */
bool layout_nearest(const struct go_release *r, struct layout *ret);
/**
 * The layout out of the DWARF of an ELF file (libdw; DWARF 4 and 5, compressed or not).
 * Errors: ERR_FORMAT (no DWARF), ERR_RELEASE (names the first required field that is missing).
 */
bool layout_dwarf(int elf_fd, struct layout *ret, struct err *err);

#endif
