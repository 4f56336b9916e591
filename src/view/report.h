/*
 * A report: what a view answers, in two forms that every front end can show. `json` is the whole
 * answer as a tree; `blocks` are the same answer for people, in reading order. Tables feed both.
 */
#ifndef VIEW_REPORT_H
#define VIEW_REPORT_H

#include "view/value.h"

enum column_type {
	COLUMN_TEXT,   /* a name: cut in the middle when there is no room */
	COLUMN_PATH,   /* cut at its start, because a path's end tells more */
	COLUMN_PROSE,  /* wrapped over lines inside its column */
	COLUMN_FIGURE, /* text that is an amount: at the right edge */
	COLUMN_COUNT,  /* 12,345 */
	COLUMN_ID,     /* a number that is a name: a PID, a goroutine; no separators */
	COLUMN_BYTES,  /* 12.0 KiB */
	COLUMN_MIB,    /* 2562.1 */
	COLUMN_STEP, /* MiB with its sign at the column's left edge; rows with ROW_SUM show no sign
		      */
	COLUMN_PERCENT,	 /* a share, 0.6 → 60 % */
	COLUMN_DURATION, /* nanoseconds */
	COLUMN_BAR, /* a share of the column's largest amount, drawn in the room that is left */
	COLUMN_HISTOGRAM, /* an array of counts, one small bar each */
};

struct column {
	const char *key;   /* name in JSON and CSV; NULL: for people only */
	const char *title; /* heading for people; NULL: in JSON only */
	enum column_type type;
	uint8_t drop; /* where the terminal is too narrow the highest is left out first; 0: never */
};

enum row_flag {
	ROW_QUIET = 1, /* nothing in it: people see it with --all only */
	ROW_SUM = 2,   /* a total: set off from the others */
	ROW_SHOWN = 4, /* for people only: not in JSON or CSV */
	ROW_DATA = 8,  /* not for people: in JSON and CSV only */
};

struct row {
	struct value *cells;	   /* one a column */
	uint32_t flags;		   /* enum row_flag */
	const char *group;	   /* a title over this row and those that follow; NULL: none */
	const char *below;	   /* a line under the row, always shown; NULL: none */
	VEC(const char *) details; /* sentences under the row, shown with --all */
};

struct table {
	const struct column *columns;
	uint32_t n_columns;
	VEC(struct row) rows;
	const char *title; /* over the table; may be NULL */
	bool no_heading;
	uint32_t prose_lines; /* lines that prose may take in a row, 0: all; all with --all */
	uint32_t limit;	      /* rows that people see, 0: all */
	bool limit_all;	      /* the limit was asked for: it holds for JSON and CSV too */
};

enum block_kind {
	BLOCK_HEADLINE, /* `text` what is looked at, `items` its main numbers at the right edge */
	BLOCK_VERDICT,	/* the answer in one sentence */
	BLOCK_TEXT,	/* a paragraph */
	BLOCK_TABLE,
	BLOCK_ITEMS, /* `text` (may be NULL), then items set apart by dots, never broken inside */
	BLOCK_NOTE,  /* what is missing or uncertain */
	BLOCK_GAP,   /* an empty line */
};

struct block {
	enum block_kind kind;
	const char *text;
	VEC(const char *) items;
	struct table *table;
};

/** Bytes that an answer is, or comes with. data NULL: none. */
struct report_file {
	const char *path; /* NULL: standard output, in place of the report */
	const char *data;
	size_t n;
	bool text; /* for people: made safe on a terminal */
};

struct report {
	struct arena *mem;
	struct value json; /* an object; the first member is "schema" */
	VEC(struct block) blocks;
	struct table *main; /* what --csv writes; NULL: none */
	struct report_file file;
	bool partial; /* something that was asked for is missing: exit code 3 */
};

/** An empty report with its schema name set. */
void report_init(struct report *r, struct arena *a, const char *schema);
void report_put(struct report *r, const char *key, struct value v);
/** Appends a block and returns it, until the next one is appended. */
struct block *report_block(struct report *r, enum block_kind kind, const char *text);
void block_item(struct report *r, struct block *b, const char *text);
void report_table(struct report *r, struct table *t);
/** A note in the text and in `list`, the array that becomes the JSON's "notes". */
void report_note(struct report *r, struct value list, const char *text);

struct table *table_new(struct arena *a, const struct column *columns, uint32_t n);
#define TABLE_NEW(a, columns) table_new((a), (columns), (uint32_t)ARRAY_LEN(columns))
/** Appends a row of nulls. The pointer is good until the next row. */
struct row *table_row(struct arena *a, struct table *t, uint32_t flags);
/** Sorts by the column with this key, largest first (names: A first); equal rows keep their order.
 */
bool table_sort(struct arena *a, struct table *t, const char *key, struct err *err);
/** The rows as an array of objects. */
struct value table_json(struct arena *a, const struct table *t);
/** The end of the rows that JSON and CSV show. */
uint32_t table_end(const struct table *t);

#endif
