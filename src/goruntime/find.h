/* The runtime's variables in a program without a symbol table: what find*.c share. */
#ifndef GORUNTIME_FIND_H
#define GORUNTIME_FIND_H

#include "goruntime/rt.h"
#include "image/pclnfind.h"

/** Rows of symbols.def as indices of symbols_array(). */
enum symbol_index {
#define SYMBOL(id, names, need) SYM_##id,
#include "goruntime/symbols.def"
#undef SYMBOL
	N_SYMBOLS
};

/** How an address became known. */
enum found_how {
	FOUND_NOT,
	FOUND_SYMBOL, /* a symbol table says so */
	FOUND_BOTH,   /* the scan and the code agree */
	FOUND_SCAN,   /* its invariants hold at one place only, the code has no opinion */
	FOUND_CODE    /* the code says so and the invariants hold there */
};

struct found {
	taddr scan, code;      /* 0: no opinion */
	uint32_t places;       /* where the invariants hold: more than one is no opinion */
	uint32_t witnesses;    /* functions that say `code` */
	uint32_t contradicted; /* functions that say something else */
	enum found_how how;
};

/** What find_globals did, for notes and for tests. */
struct find_report {
	struct found v[N_SYMBOLS];
	taddr moduledata;
	bool names; /* the runtime's functions have their names */
};

#define MAX_PARTS   5U
#define MAX_MODULES 64U

struct finder {
	struct go_session *g;
	struct target *t;
	const struct layout *l;
	struct arena mem; /* freed at the end */
	struct blocks *blocks;
	taddr moduledata;
	struct pcln_module tables;
	struct addr_range text[MAX_MODULES]; /* of the program and of its plugins */
	uint32_t n_texts;
	struct data_part {
		taddr start, end;
		bool pointers, zeroed; /* zeroed: nothing of it is in the file */
	} part[MAX_PARTS];
	uint32_t n_parts;
	taddr lo, hi;  /* of the words */
	uint8_t *data; /* the program's variables, read at once */
	uint32_t *next_used;
	struct symbols y;
	struct find_report *report;
	/* what was learnt on the way */
	taddr oldest_m;
	uint32_t n_ms;
	bool scanning;
	uint32_t refreshed;
	uint32_t reads; /* of places that turned out to be something else, nearly all of them */
	uint64_t rank;	/* of the place that fits: how much of what is looked for is there */
	taddr emptymspan;
};

/**
 * Finds what is 0 in *y by the layout that the session has; what is not 0 is taken as told by a
 * symbol. Errors: ERR_RELEASE (says what could not be found), ERR_FORMAT (no moduledata).
 */
bool find_globals(struct go_session *g, struct symbols *y, struct find_report *report,
		  struct err *err);

/** Of how many variables the invariants hold at the addresses in *y; *of: how many there are. */
uint32_t find_verify(struct go_session *g, const struct symbols *y, uint32_t *of);
/** The first minor release that has a variable. */
int find_since(enum symbol_index i);

/** The moduledata in the writable memory of an image, by its shape; 0: none. */
taddr find_moduledata(struct go_session *g, const struct image_file *f, struct arena *scratch);

/** Evaluates finders.def: fills code, witnesses, contradicted. */
void find_by_code(struct finder *f);
/** Whether a symbol's invariants hold at an address (find_checks.c). Told: by a symbol or by code,
 * so that a nil is fine. */
bool find_fits(struct finder *f, enum symbol_index i, taddr at, bool told);
/** Looks for the places where they hold; sets scan and places. */
void find_by_scan(struct finder *f, enum symbol_index i);
/** The order in which the invariants can be checked: k-th of N_CHECKS, one for each symbol. */
extern const uint32_t N_CHECKS;
enum symbol_index find_order(uint32_t k);

static inline bool in_data(const struct finder *f, taddr at, uint64_t n)
{
	return at >= f->lo && at < f->hi && n <= f->hi - at;
}

#endif
