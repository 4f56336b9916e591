/*
 * The Go heap's claims. A span that is wholly in memory is split by its counts; one that is partly
 * there is split slot by slot, since a hole may be absent where an object is not. Bytes are counted
 * in both cases.
 */
#include "ledger/claims.h"

static enum line_id slot_line(const struct heap *h, const struct span *s, uint32_t i)
{
	static const enum line_id lines[] = {
		[SLOT_LIVE] = LINE_HEAP_LIVE,
		[SLOT_NEW] = LINE_HEAP_NEW,
		[SLOT_DEAD] = LINE_HEAP_DEAD,
		[SLOT_HOLE] = LINE_HEAP_SLOTS,
	};
	return lines[span_slot(h, s, i)];
}

static void claim_slots(struct book *b, const struct span *s)
{
	bytes elem = span_elemsize(s);
	/* neighbours of one kind are claimed together */
	for (uint32_t i = 0, from; i < s->nelems;) {
		enum line_id line = slot_line(&b->s->heap, s, i);
		for (from = i; i < s->nelems && slot_line(&b->s->heap, s, i) == line;)
			i++;
		book_claim(b, line, s->start + from * elem, s->start + i * elem);
	}
	book_claim(b, LINE_HEAP_TAIL, s->start + s->nelems * elem, s->start + span_bytes(s));
}

static void claim_span(struct book *b, const struct span *s)
{
	bytes elem = span_elemsize(s);
	taddr end = s->start + span_bytes(s);
	const struct {
		enum line_id line;
		bytes n;
	} part[] = {
		{LINE_HEAP_LIVE, s->live * elem},
		{LINE_HEAP_NEW, s->fresh * elem},
		{LINE_HEAP_DEAD, s->dead * elem},
		{LINE_HEAP_SLOTS, (bytes)(s->nelems - s->live - s->fresh - s->dead) * elem},
		{LINE_HEAP_TAIL, span_tail(s)},
	};
	for (size_t i = 0; i < ARRAY_LEN(part); i++)
		b->line[part[i].line].bytes += part[i].n;
	switch (book_take_whole(b, s->start, end)) {
	case BOOK_ABSENT:
		break;
	case BOOK_WHOLE:
		for (size_t i = 0; i < ARRAY_LEN(part); i++)
			book_credit(b, part[i].line, s->start, end, part[i].n);
		break;
	case BOOK_MIXED:
		claim_slots(b, s);
		break;
	}
}

void claim_heap(struct book *b)
{
	const struct heap *h = &b->s->heap;
	for (uint32_t i = 0; i < h->n_spans; i++) {
		const struct span *s = &h->spans[i];
		if (s->state == SPAN_HEAP) {
			claim_span(b, s);
		} else if (s->state == SPAN_WORKBUF) {
			b->line[LINE_RUNTIME_GC].bytes += span_bytes(s);
			book_claim(b, LINE_RUNTIME_GC, s->start, s->start + span_bytes(s));
		}
	}
}

void claim_stacks(struct book *b)
{
	const struct snapshot *s = b->s;
	bytes in_spans = 0, spans = 0;
	for (uint32_t i = 0; i < s->n_stacks; i++) {
		const struct stack *k = &s->stacks[i];
		if (k->in_heap)
			in_spans += k->hi - k->lo;
		if (k->use == STACK_OS) {
			b->line[LINE_STACK_OS].bytes += k->hi - k->lo;
			book_claim(b, LINE_STACK_OS, k->lo, k->hi);
			continue;
		}
		b->line[LINE_STACK_USED].bytes += k->hi - k->sp;
		b->line[LINE_STACK_SPARE].bytes += k->sp - k->lo;
		book_claim(b, LINE_STACK_USED, k->sp, k->hi);
		book_claim(b, LINE_STACK_SPARE, k->lo, k->sp);
	}
	for (uint32_t i = 0; i < s->heap.n_spans; i++) {
		const struct span *p = &s->heap.spans[i];
		if (p->state != SPAN_STACK)
			continue;
		spans += span_bytes(p);
		book_rest(b, LINE_STACK_FREE, p->start, p->start + span_bytes(p));
	}
	b->line[LINE_STACK_FREE].bytes += spans > in_spans ? spans - in_spans : 0;
}

void claim_free(struct book *b)
{
	const struct heap *h = &b->s->heap;
	for (uint32_t i = 0; i < h->n_runs; i++) {
		const struct page_run *r = &h->runs[i];
		enum line_id line = r->use == PAGES_FREE ? LINE_HEAP_FREE : LINE_HEAP_RELEASED;
		bytes n = (bytes)r->npages * GO_PAGE;
		b->line[line].bytes += n;
		book_claim(b, line, r->start, r->start + n);
	}
}
