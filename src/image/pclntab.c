/*
 * Go's pclntab, formats of 1.18 to 1.27: which function holds a pc, and what was inlined there.
 * Tables are read through a callback in small cached blocks, answers are kept by pc, and texts by
 * their offset, so that a profile's hundred thousand pcs cost little more than its distinct ones.
 * Every offset and length comes from the target and is checked; nonsense gives "?" or no function.
 * Does not unwind stacks and does not find the tables: that is the business of who calls it.
 */
#include "image/pclntab.h"

#include <assert.h>
#include <string.h>

#define MAGIC_118 0xfffffff0U /* 1.18 and 1.19 */
#define MAGIC_120 0xfffffff1U /* 1.20 and later */

#define PCDATA_INL_TREE_INDEX 2
#define PCDATA_ARG_LIVE_INDEX 3
#define FUNCDATA_INL_TREE     3
#define FUNCDATA_ARG_INFO     5
#define FUNCDATA_ARG_LIVE     6

#define BLOCK	    4096U
#define BLOCKS	    1024U /* 4 MiB at most; a power of two */
#define DIRECT	    PCLN_LITTLE
#define MAX_TABLE   ((uint64_t)1 << 32)
#define MAX_STEPS   (1U << 22) /* of one pc-value table */
#define MAX_INLINED (1 << 20)  /* index into an inline tree, as the runtime bounds it */
#define MAX_NAME    (64U << 10)
#define MAX_TEXT    ((bytes)256 << 20) /* all names and files */
#define MAX_PCS	    (1U << 20)	       /* answers kept */

struct block {
	taddr at;
	uint32_t n; /* bytes that could be read; 0: empty */
	unsigned char *data;
};

/* A map from numbers to numbers; keys are stored plus one, so that 0 is an empty slot. */
struct numbers {
	uint64_t *keys;
	uint32_t *values;
	uint32_t n, cap; /* cap is a power of two, or 0 */
};

/* One frame as it is kept: texts are indices. */
struct kept_frame {
	uint32_t func, file;
	int32_t line, start_line;
	taddr pc;
	uint8_t func_id;
	bool shortened; /* its symbol is the text after `func` */
};

struct answer {
	uint32_t first, n; /* in frames */
	uint32_t entry;	   /* from m.text */
};

struct pcln {
	struct pcln_module m;
	pcln_read read;
	void *ctx;
	struct arena *a;
	bool old; /* 1.18, 1.19 */
	struct block blocks[BLOCKS];
	unsigned char direct[DIRECT];
	char *scratch; /* MAX_NAME and a NUL */
	struct numbers func_at, file_at, answer_at;
	/* 0 is "?"; a name whose type arguments are shortened is followed by itself in full */
	VEC(const char *) texts;
	bytes text_bytes;
	VEC(struct kept_frame) frames;
	VEC(struct answer) answers;
};

/* A function's fixed part. */
struct func {
	taddr entry;
	uint32_t name, pcsp, pcfile, pcln, cu;
	uint32_t inl_index; /* pc-value table of inline tree indices, 0 for none */
	taddr inl_tree;	    /* 0 for none */
	int32_t start_line;
	uint8_t func_id, flag;
	uint32_t npcdata, nfuncdata;
	uint64_t pcdata; /* offset in pclntable of the arrays behind the header */
};

/* -- bytes ----------------------------------------------------------------------------------- */

/* The readable bytes at an address, until the next call; NULL when there is not one. */
static const unsigned char *bytes_at(struct pcln *p, taddr at, uint32_t *ret_n)
{
	taddr base = at - at % BLOCK;
	struct block *b = &p->blocks[(base / BLOCK * 0x9E3779B97F4A7C15U) >> 54];
	size_t n;

	static_assert(BLOCKS == 1 << (64 - 54), "the hash's width");
	if (b->n == 0 || b->at != base) {
		if (!b->data)
			b->data = arena_alloc(p->a, BLOCK);
		b->at = base;
		b->n = (uint32_t)MIN(p->read(p->ctx, base, b->data, BLOCK), BLOCK);
	}
	if (at - base < b->n) {
		*ret_n = b->n - (uint32_t)(at - base);
		return b->data + (at - base);
	}
	/* The block's begin can be unreadable, where a table starts in the middle of one. */
	n = p->read(p->ctx, at, p->direct, DIRECT);
	if (n == 0)
		return NULL;
	*ret_n = (uint32_t)MIN(n, DIRECT);
	return p->direct;
}

static bool copy_at(struct pcln *p, taddr at, void *dst, size_t n)
{
	while (n > 0) {
		uint32_t have;
		const unsigned char *s = bytes_at(p, at, &have);

		if (!s)
			return false;
		have = (uint32_t)MIN(have, n);
		memcpy(dst, s, have);
		dst = (char *)dst + have;
		at += have;
		n -= have;
	}
	return true;
}

/* n bytes at an offset of a table. */
static bool table_at(struct pcln *p, taddr table, uint64_t len, uint64_t off, void *dst, size_t n)
{
	return off <= len && n <= len - off && copy_at(p, table + off, dst, n);
}

static uint32_t u32(const unsigned char *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* -- maps and texts -------------------------------------------------------------------------- */

static uint32_t numbers_slot(const struct numbers *t, uint64_t key)
{
	uint32_t k = (uint32_t)((key * 0x9E3779B97F4A7C15U) >> 32) & (t->cap - 1);

	while (t->keys[k] != 0 && t->keys[k] != key)
		k = (k + 1) & (t->cap - 1);
	return k;
}

static bool numbers_get(const struct numbers *t, uint64_t key, uint32_t *ret)
{
	uint32_t k;

	if (t->cap == 0)
		return false;
	k = numbers_slot(t, key + 1);
	if (t->keys[k] == 0)
		return false;
	*ret = t->values[k];
	return true;
}

static void numbers_put(struct arena *a, struct numbers *t, uint64_t key, uint32_t value)
{
	uint32_t k;

	if (2 * t->n >= t->cap) {
		struct numbers grown = {.n = t->n, .cap = MAX(2 * t->cap, 256)};

		grown.keys = ARENA_ARRAY(a, uint64_t, grown.cap);
		grown.values = ARENA_ARRAY(a, uint32_t, grown.cap);
		for (uint32_t i = 0; i < t->cap; i++) {
			if (t->keys[i] == 0)
				continue;
			k = numbers_slot(&grown, t->keys[i]);
			grown.keys[k] = t->keys[i];
			grown.values[k] = t->values[i];
		}
		*t = grown;
	}
	k = numbers_slot(t, key + 1);
	t->n += t->keys[k] == 0;
	t->keys[k] = key + 1;
	t->values[k] = value;
}

/*
 * Where the type arguments of a generic method of a generic type split: "T[a]).M[b" has them end
 * before *rbr and start again at *lbr. False when there is one list only; *broken when brackets
 * don't balance. Go 1.27: runtime/traceback.go, funcNamePiecesForPrint.
 */
static bool brackets_split(const char *s, size_t n, size_t *rbr, size_t *lbr, bool *broken)
{
	int depth = 1;
	bool closed = false;

	*broken = false;
	for (size_t k = 0; k < n; k++) {
		if (s[k] == '[') {
			if (++depth == 1) {
				*lbr = k;
				return true;
			}
		} else if (s[k] == ']') {
			if (--depth < 0)
				break;
			if (depth == 0) {
				*rbr = k;
				closed = true;
			}
		}
	}
	*broken = depth != 1 || closed;
	return false;
}

/* Copies a name into the arena with type arguments shortened, as runtime.Frame.Function has it. */
static const char *name_shortened(struct arena *a, const char *name, bool one_bracket)
{
	const char *first = strchr(name, '['), *last = strrchr(name, ']');
	size_t rbr = 0, lbr = 0, n;
	bool broken = false;

	if (!first || !last || last <= first)
		return arena_strdup(a, name);
	n = (size_t)(last - first) - 1;
	if (!one_bracket && memchr(first + 1, '[', n)) {
		if (brackets_split(first + 1, n, &rbr, &lbr, &broken))
			return arena_printf(a, "%.*s[...]%.*s[...]%s", (int)(first - name), name,
					    (int)(lbr - rbr - 1), first + 1 + rbr + 1, last + 1);
		if (broken)
			return arena_strdup(a, name);
	}
	return arena_printf(a, "%.*s[...]%s", (int)(first - name), name, last + 1);
}

/* The index of a NUL-terminated text of a table; 0 when there is none. */
static uint32_t text_index(struct pcln *p, struct numbers *known, taddr table, uint64_t len,
			   uint64_t off, bool is_name)
{
	uint32_t index = 0;
	size_t n = 0;

	if (numbers_get(known, off, &index))
		return index;
	if (off >= len || p->text_bytes > MAX_TEXT)
		return 0;
	for (uint64_t left = MIN(len - off, MAX_NAME); left > 0;) {
		uint32_t have;
		const unsigned char *s = bytes_at(p, table + off + n, &have);
		size_t step;

		if (!s)
			return 0;
		step = strnlen((const char *)s, MIN(have, left));
		memcpy(p->scratch + n, s, step);
		n += step;
		left -= step;
		if (step < have)
			break;
	}
	p->scratch[n] = '\0';
	if (n > 0) {
		bool generic = is_name && memchr(p->scratch, '[', n) != NULL;
		index = p->texts.n;
		*VEC_PUSH(p->a, &p->texts) =
			generic ? name_shortened(p->a, p->scratch, p->m.one_bracket)
				: arena_strndup(p->a, p->scratch, n);
		if (generic)
			*VEC_PUSH(p->a, &p->texts) = arena_strndup(p->a, p->scratch, n);
		p->text_bytes += generic ? 2 * n : n;
	}
	numbers_put(p->a, known, off, index);
	return index;
}

static void func_text(struct pcln *p, uint32_t off, struct kept_frame *frame)
{
	frame->func = text_index(p, &p->func_at, p->m.funcnametab, p->m.funcnametab_len, off, true);
	frame->shortened = strchr(p->texts.v[frame->func], '[') != NULL;
}

/* -- pc-value tables ------------------------------------------------------------------------- */

/* Walks over bytes of pctab. */
struct cursor {
	struct pcln *p;
	const unsigned char *s;
	uint32_t have;
	uint64_t off;
};

static bool next_byte(struct cursor *c, unsigned char *ret)
{
	if (c->have == 0) {
		if (c->off >= c->p->m.pctab_len)
			return false;
		c->s = bytes_at(c->p, c->p->m.pctab + c->off, &c->have);
		if (!c->s) {
			c->have = 0;
			return false;
		}
		c->have = (uint32_t)MIN(c->have, c->p->m.pctab_len - c->off);
	}
	*ret = *c->s++;
	c->have--;
	c->off++;
	return true;
}

static bool next_varint(struct cursor *c, uint32_t *ret)
{
	uint32_t v = 0;

	for (int shift = 0; shift < 35; shift += 7) {
		unsigned char b;

		if (!next_byte(c, &b))
			return false;
		v |= (uint32_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

/* The value at pc of the table that starts at an offset of pctab; -1 when there is none. */
static int32_t value_at(struct pcln *p, uint32_t table, taddr entry, taddr pc)
{
	struct cursor c = {.p = p, .off = table};
	uint32_t value = UINT32_MAX; /* of int32_t, -1; unsigned so that nonsense wraps */
	taddr at = entry;

	if (table == 0)
		return -1;
	for (uint32_t i = 0; i < MAX_STEPS; i++) {
		uint32_t dv, dpc;

		if (!next_varint(&c, &dv) || (dv == 0 && i > 0) || !next_varint(&c, &dpc))
			return -1;
		value += (dv & 1) ? ~(dv >> 1) : dv >> 1;
		at += dpc;
		if (pc < at)
			return (int32_t)value;
	}
	return -1;
}

/* -- functions ------------------------------------------------------------------------------- */

/* Entry i of ftab: the entry's distance from text, and where the function's header is. */
static bool ftab_at(struct pcln *p, uint64_t i, uint32_t *entry, uint32_t *header)
{
	unsigned char b[8];

	if (!table_at(p, p->m.ftab, p->m.ftab_len * 8, i * 8, b, sizeof(b)))
		return false;
	*entry = u32(b);
	*header = u32(b + 4);
	return true;
}

static bool func_find(struct pcln *p, taddr pc, struct func *ret)
{
	uint64_t lo = 0, hi = p->m.ftab_len - 1; /* the last entry is an end mark */
	uint32_t entry, header, npcdata, nfuncdata, size = p->old ? 40 : 44;
	unsigned char b[44];
	struct func f = {0};

	if (pc < p->m.minpc || pc >= p->m.maxpc || pc < p->m.text || pc - p->m.text > UINT32_MAX)
		return false;
	while (hi - lo > 1) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (!ftab_at(p, mid, &entry, &header))
			return false;
		if (entry <= pc - p->m.text)
			lo = mid;
		else
			hi = mid;
	}
	if (!ftab_at(p, lo, &entry, &header) || entry > pc - p->m.text)
		return false;
	if (!table_at(p, p->m.pclntable, p->m.pclntable_len, header, b, size) || u32(b) != entry)
		return false;
	f.entry = p->m.text + entry;
	f.name = u32(b + 4);
	f.pcsp = u32(b + 16);
	f.pcfile = u32(b + 20);
	f.pcln = u32(b + 24);
	npcdata = u32(b + 28);
	f.cu = u32(b + 32);
	f.start_line = p->old ? 0 : (int32_t)u32(b + 36);
	f.func_id = b[p->old ? 36 : 40];
	f.flag = b[p->old ? 37 : 41];
	nfuncdata = b[size - 1];
	f.npcdata = npcdata;
	f.nfuncdata = nfuncdata;
	f.pcdata = (uint64_t)header + size;
	if (npcdata > PCDATA_INL_TREE_INDEX && nfuncdata > FUNCDATA_INL_TREE) {
		uint64_t pcdata = (uint64_t)header + size;
		unsigned char index[4], tree[4];

		if (table_at(p, p->m.pclntable, p->m.pclntable_len,
			     pcdata + 4 * PCDATA_INL_TREE_INDEX, index, sizeof(index)) &&
		    table_at(p, p->m.pclntable, p->m.pclntable_len,
			     pcdata + 4 * ((uint64_t)npcdata + FUNCDATA_INL_TREE), tree,
			     sizeof(tree)) &&
		    u32(tree) != UINT32_MAX) {
			f.inl_index = u32(index);
			f.inl_tree = p->m.gofunc + u32(tree);
		}
	}
	*ret = f;
	return true;
}

/* What was inlined at an index of a function's tree. runtime.inlinedCall, changed in 1.20. */
static bool inlined_at(struct pcln *p, const struct func *f, int32_t index,
		       struct kept_frame *frame, uint32_t *parent_pc)
{
	uint32_t size = p->old ? 20 : 16;
	unsigned char b[20];

	if (index >= MAX_INLINED || !copy_at(p, f->inl_tree + (uint64_t)index * size, b, size))
		return false;
	func_text(p, u32(b + (p->old ? 12 : 4)), frame);
	frame->start_line = p->old ? 0 : (int32_t)u32(b + 12);
	frame->func_id = b[p->old ? 2 : 0];
	*parent_pc = u32(b + (p->old ? 16 : 8));
	return true;
}

static void line_find(struct pcln *p, const struct func *f, struct kept_frame *frame)
{
	int32_t file = value_at(p, f->pcfile, f->entry, frame->pc);
	int32_t line = value_at(p, f->pcln, f->entry, frame->pc);
	unsigned char b[4];

	if (file < 0 || line < 0)
		return;
	if (!table_at(p, p->m.cutab, p->m.cutab_len * 4, 4 * ((uint64_t)f->cu + (uint32_t)file), b,
		      sizeof(b)))
		return;
	frame->file = u32(b) == UINT32_MAX ? 0
					   : text_index(p, &p->file_at, p->m.filetab,
							p->m.filetab_len, u32(b), false);
	frame->line = line;
}

/* Decodes all frames at pc; the last one is the function itself. */
static uint32_t frames_decode(struct pcln *p, taddr pc, const struct func *f, struct kept_frame *to)
{
	taddr at = pc;
	uint32_t n = 0;

	while (f->inl_tree != 0 && n < PCLN_FRAMES - 1) {
		int32_t index = value_at(p, f->inl_index, f->entry, at);
		struct kept_frame frame = {.pc = at};
		uint32_t parent_pc;

		if (index < 0 || !inlined_at(p, f, index, &frame, &parent_pc))
			break;
		line_find(p, f, &frame);
		to[n++] = frame;
		at = f->entry + parent_pc;
	}
	to[n] = (struct kept_frame){.start_line = f->start_line, .pc = at, .func_id = f->func_id};
	func_text(p, f->name, &to[n]);
	line_find(p, f, &to[n]);
	return n + 1;
}

/* The frames at pc, out of what is kept, else decoded into `room` and kept. Returns how many. */
static uint32_t frames_get(struct pcln *p, taddr pc, struct kept_frame room[static PCLN_FRAMES],
			   const struct kept_frame **ret, taddr *ret_entry)
{
	struct answer answer = {.first = p->frames.n};
	struct func f;
	uint32_t k;

	if (numbers_get(&p->answer_at, pc, &k)) {
		*ret = p->frames.v + p->answers.v[k].first;
		*ret_entry = p->m.text + p->answers.v[k].entry;
		return p->answers.v[k].n;
	}
	if (func_find(p, pc, &f)) {
		answer.n = frames_decode(p, pc, &f, room);
		answer.entry = (uint32_t)(f.entry - p->m.text);
	}
	if (p->answers.n < MAX_PCS) {
		for (uint32_t i = 0; i < answer.n; i++)
			*VEC_PUSH(p->a, &p->frames) = room[i];
		numbers_put(p->a, &p->answer_at, pc, p->answers.n);
		*VEC_PUSH(p->a, &p->answers) = answer;
	}
	*ret = room;
	*ret_entry = p->m.text + answer.entry;
	return answer.n;
}

static struct pcln_frame frame_shown(const struct pcln *p, const struct kept_frame *k, taddr entry,
				     bool inlined)
{
	return (struct pcln_frame){.func = p->texts.v[k->func],
				   .symbol = p->texts.v[k->func + k->shortened],
				   .file = p->texts.v[k->file],
				   .line = k->line,
				   .start_line = k->start_line,
				   .entry = entry,
				   .pc = k->pc,
				   .inlined = inlined,
				   .func_id = k->func_id};
}

uint32_t pcln_frames(struct pcln *p, taddr pc, struct pcln_frame *ret, uint32_t max)
{
	struct kept_frame room[PCLN_FRAMES];
	const struct kept_frame *k;
	taddr entry;
	uint32_t n = frames_get(p, pc, room, &k, &entry);

	for (uint32_t i = 0; i < MIN(n, max); i++)
		ret[i] = frame_shown(p, &k[i], entry, i + 1 < n);
	return MIN(n, max);
}

bool pcln_func(struct pcln *p, taddr pc, struct pcln_frame *ret)
{
	struct kept_frame room[PCLN_FRAMES];
	const struct kept_frame *k;
	taddr entry;
	uint32_t n = frames_get(p, pc, room, &k, &entry);

	if (n == 0)
		return false;
	*ret = frame_shown(p, &k[n - 1], entry, false);
	return true;
}

/* -- unwinding ------------------------------------------------------------------------------- */

static uint32_t pcdata_at(struct pcln *p, const struct func *f, uint64_t i)
{
	unsigned char b[4];

	return i < f->npcdata && table_at(p, p->m.pclntable, p->m.pclntable_len, f->pcdata + 4 * i,
					  b, sizeof(b))
		       ? u32(b)
		       : 0;
}

static taddr funcdata_at(struct pcln *p, const struct func *f, uint64_t i)
{
	unsigned char b[4];

	return i < f->nfuncdata &&
			       table_at(p, p->m.pclntable, p->m.pclntable_len,
					f->pcdata + 4 * (f->npcdata + i), b, sizeof(b)) &&
			       u32(b) != UINT32_MAX
		       ? p->m.gofunc + u32(b)
		       : 0;
}

bool pcln_unwind(struct pcln *p, taddr pc, taddr at, struct pcln_unwind *ret)
{
	struct func f;

	if (!func_find(p, pc, &f))
		return false;
	*ret = (struct pcln_unwind){.entry = f.entry,
				    .has_sp = f.pcsp != 0,
				    .flag = f.flag,
				    .arg_info = funcdata_at(p, &f, FUNCDATA_ARG_INFO),
				    .arg_live_info = funcdata_at(p, &f, FUNCDATA_ARG_LIVE)};
	ret->sp_delta = value_at(p, f.pcsp, f.entry, pc);
	ret->arg_live_index = value_at(p, pcdata_at(p, &f, PCDATA_ARG_LIVE_INDEX), f.entry, at);
	return true;
}

bool pcln_copy(struct pcln *p, taddr at, void *dst, size_t n)
{
	return copy_at(p, at, dst, n);
}

bool pcln_open(const struct pcln_module *m, pcln_read read, void *ctx, struct arena *a,
	       struct pcln **ret, struct err *err)
{
	const uint64_t lengths[] = {m->funcnametab_len, m->cutab_len,	  m->filetab_len,
				    m->pctab_len,	m->pclntable_len, m->ftab_len};
	unsigned char h[8];
	struct pcln *p;

	for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
		if (lengths[i] > MAX_TABLE)
			return err_set(err, ERR_FORMAT, "pclntab: a table of %llu elements",
				       (unsigned long long)lengths[i]);
	if (m->ftab_len < 2)
		return err_set(err, ERR_FORMAT, "pclntab: no functions");
	if (read(ctx, m->pcheader, h, sizeof(h)) != sizeof(h)) {
		err_set(err, ERR_FAULT, "pclntab header");
		if (err)
			err->addr = m->pcheader;
		return false;
	}
	/* magic, two zeros, the size of the smallest instruction, the size of a pointer */
	if ((u32(h) != MAGIC_118 && u32(h) != MAGIC_120) || h[4] || h[5] || h[6] != 1 || h[7] != 8)
		return err_set(err, ERR_FORMAT, "pclntab: unknown format %08x", u32(h));
	p = ARENA_NEW(a, struct pcln);
	p->m = *m;
	p->read = read;
	p->ctx = ctx;
	p->a = a;
	p->old = u32(h) == MAGIC_118;
	p->scratch = arena_alloc(a, MAX_NAME + 1);
	*VEC_PUSH(a, &p->texts) = "?";
	*ret = p;
	return true;
}
