/*
 * Builds the ledger: all claims, the two sums of the contract, the container's number, then the
 * findings. Pure: the snapshot in, numbers out.
 */
#include "ledger/ledger.h"
#include "ledger/claims.h"

#include <string.h>

const struct line_info LINES[N_LINES] = {
#define LINE(id, text, title, why, bridge) [LINE_##id] = {text, title, why, BRIDGE_##bridge},
#include "ledger/lines.def"
#undef LINE
};

const struct bridge_info BRIDGE_INFO[N_BRIDGE] = {
#define BRIDGE(id, text, title, why) [BRIDGE_##id] = {text, title, why},
#include "ledger/bridge.def"
#undef BRIDGE
};

const struct container_info CONTAINER_INFO[N_CONTAINER] = {
	[CONTAINER_RSS] = {"rss", "RSS of this process", "pages in its page tables"},
	[CONTAINER_OTHERS] = {"others", "other processes of the cgroup",
			      "their RSS, pages that they share counted each time"},
	[CONTAINER_CACHE] = {"cache", "page cache not mapped here",
			     "files read or written, and tmpfs; most is given back under pressure"},
	[CONTAINER_KERNEL] = {"kernel", "kernel and slab",
			      "page tables, sockets, dentries and inodes, kernel stacks"},
	[CONTAINER_SHARED] = {"shared", "shared or charged elsewhere",
			      "pages counted twice, or charged to another cgroup"},
	[CONTAINER_CURRENT] = {"current", "the cgroup's usage", "what its limit is compared with"},
	[CONTAINER_INACTIVE] = {"inactive_file", "page cache not used lately",
				"left out of the working set"},
	[CONTAINER_WORKING_SET] = {"working_set", "working set",
				   "what kubectl top and the kubelet show"},
};

const char *const CONFIDENCE_NAMES[] = {
	[POSSIBLE] = "possible", [LIKELY] = "likely", [CERTAIN] = "certain"};

/** The six lines between `profile` and `untouched` in the bridge. */
static const enum line_id HEAP_LINES[] = {LINE_HEAP_LIVE,  LINE_HEAP_NEW,  LINE_HEAP_DEAD,
					  LINE_HEAP_SLOTS, LINE_HEAP_TAIL, LINE_HEAP_FREE};

static void build_bridge(struct ledger *l)
{
	const struct line_sum *line = l->line;
	int64_t delta[N_BRIDGE] = {0};
	delta[BRIDGE_PROFILE] = l->s->profile.inuse_space;
	delta[BRIDGE_SAMPLING] = (int64_t)line[LINE_HEAP_LIVE].bytes - l->s->profile.inuse_space;
	for (size_t i = 1; i < ARRAY_LEN(HEAP_LINES); i++)
		delta[LINES[HEAP_LINES[i]].bridge] = (int64_t)line[HEAP_LINES[i]].bytes;
	for (size_t i = 0; i < ARRAY_LEN(HEAP_LINES); i++) {
		const struct line_sum *h = &line[HEAP_LINES[i]];
		delta[BRIDGE_SWAPPED] -= (int64_t)h->swapped;
		delta[BRIDGE_UNTOUCHED] -= (int64_t)(h->bytes - h->resident - h->swapped);
	}
	for (uint32_t i = LINE_HEAP_RELEASED; i < N_LINES; i++)
		delta[LINES[i].bridge] += (int64_t)line[i].resident;
	int64_t sum = 0;
	for (uint32_t i = 0; i < N_BRIDGE; i++) {
		sum += delta[i];
		l->bridge[i] = (struct bridge_row){delta[i], sum};
	}
}

static void build_container(struct ledger *l)
{
	const struct cgroup_facts *c = l->s->os->cgroup;
	const struct os_facts *os = l->s->os;
	if (c == NULL)
		return;
	l->has_container = true;
	/* Page cache that no process of the cgroup maps, tmpfs included; what this one maps is in
	 * its RSS. */
	bytes cache = c->file;
	bytes mapped = MIN(cache, MAX(c->mapped_file, os->file + os->shmem));
	int64_t delta[N_CONTAINER] = {
		[CONTAINER_RSS] = (int64_t)l->rss,
		[CONTAINER_OTHERS] = (int64_t)c->others_rss,
		[CONTAINER_CACHE] = (int64_t)(cache - mapped),
		[CONTAINER_KERNEL] = (int64_t)c->kernel,
		[CONTAINER_INACTIVE] = -(int64_t)(c->current - MIN(c->current, c->working_set)),
	};
	int64_t known = 0;
	for (uint32_t i = CONTAINER_RSS; i < CONTAINER_SHARED; i++)
		known += delta[i];
	delta[CONTAINER_SHARED] = (int64_t)c->current - known;
	int64_t sum = 0;
	for (uint32_t i = 0; i < N_CONTAINER; i++) {
		sum += delta[i];
		l->container[i] = (struct bridge_row){delta[i], sum};
	}
}

void ledger_build(const struct snapshot *s, struct arena *a, claim_observer observe, void *ctx,
		  struct ledger *ret)
{
	struct book b;
	*ret = (struct ledger){.s = s,
			       .residency = s->os->residency != RESIDENCY_NONE,
			       .rss = s->os->pages.resident};
	ret->held = !ret->residency && ret->rss > 0;
	book_open(&b, s, a, observe, ctx);
	claim_heap(&b);
	claim_free(&b);
	claim_stacks(&b);
	claim_runtime(&b);
	claim_native(&b);
	claim_mappings(&b);
	/* pages of mappings that came or went between the reading of the map and of the page tables
	 */
	b.line[LINE_UNEXPLAINED].resident += ret->rss - b.claimed_resident;
	b.line[LINE_UNEXPLAINED].bytes =
		b.line[LINE_UNEXPLAINED].resident + b.line[LINE_UNEXPLAINED].swapped;
	memcpy(ret->line, b.line, sizeof ret->line);
	ret->overclaimed = b.overclaimed;
	build_bridge(ret);
	build_container(ret);
	findings_build(ret, a);
}
