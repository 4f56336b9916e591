/*
 * Cores and captures from strangers: headers, notes, facts, page lists and sessions with bytes
 * changed, cut or made up. Whatever comes: a balanced answer or one clear error, no crash under
 * ASan and UBSan, bounded memory and time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "front/capture.h"
#include "ledger/ledger.h"
#include "target/core.h"
#include "target/corefile.h"
#include "target/facts.h"
#include "target/unpack.h"

static uint64_t seed = 88172645463325252ULL;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* A word that breaks things, or any. */
static uint64_t bad_word(void)
{
	static const uint64_t words[] = {0,	     1,		 4095,	    4096,
					 UINT32_MAX, UINT64_MAX, INT64_MAX, (uint64_t)1 << 60,
					 0xfffff000, 56,	 64};

	return next_random() % 3 ? words[next_random() % ARRAY_LEN(words)]
				 : next_random() >> next_random() % 64;
}

static void mutate(uint8_t *v, size_t n, size_t front)
{
	unsigned times = 1 + (unsigned)(next_random() % 6);

	for (unsigned i = 0; i < times && n >= 8; i++) {
		/* headers and notes lie in front, and matter most */
		size_t span = next_random() % 4 ? MIN(front, n) : n;
		size_t at = next_random() % (span - 7);
		uint64_t w = bad_word();

		if (next_random() % 2)
			v[at] = (uint8_t)w;
		else
			memcpy(v + (at & ~(size_t)3), &w, at + 8 <= n ? 8 : 1);
	}
}

/* Asks all of a target; false when it was refused with a sentence. */
static bool ask(struct target *t)
{
	struct arena mem;
	struct go_session *g;
	struct snapshot s = {0};
	struct ledger l;
	struct err err = {0};
	bool ok = false;

	arena_init(&mem, (bytes)1 << 30);
	if (target_facts(t, &mem, &err) && go_open(t, &mem, &g, &err) &&
	    go_snapshot(g, NEED_CAPTURE, &s, &err)) {
		bytes sum = 0;

		ledger_build(&s, &mem, NULL, NULL, &l);
		for (uint32_t i = 0; i < N_LINES; i++)
			sum += l.line[i].resident;
		assert_int_equal(sum, l.rss);
		for (uint32_t i = 0; i < s.n_goroutines && i < 100; i++)
			s.place(&s, s.goroutines[i].startpc);
		snapshot_free(&s);
		ok = true;
	}
	assert_true(ok || err.msg[0] != 0);
	arena_free(&mem);
	return ok;
}

/* Opens bytes as a file of its own. */
static struct target *open_bytes(const void *v, size_t n, struct err *err)
{
	struct target *t = NULL;
	char path[64];
	int fd = memfd_create("core", MFD_CLOEXEC);

	assert_true(fd >= 0);
	for (size_t done = 0; done < n;) {
		ssize_t w = write(fd, (const char *)v + done, n - done);

		assert_true(w > 0);
		done += (size_t)w;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (!core_open(path, NULL, &t, err)) {
		assert_true(err->msg[0] != 0);
		t = NULL;
	}
	close(fd);
	return t;
}

/* ---- A small core by hand ---- */

struct maker {
	uint8_t v[16384];
	size_t n;
};

static void add(struct maker *m, const void *v, size_t n)
{
	assert_true(m->n + n <= sizeof(m->v));
	memcpy(m->v + m->n, v, n);
	m->n += n;
}

static void add_note(struct maker *m, uint32_t type, const void *v, size_t n)
{
	Elf64_Nhdr h = {5, (uint32_t)n, type};

	add(m, &h, sizeof(h));
	add(m, "CORE\0\0\0", 8);
	add(m, v, n);
	m->n = round_up(m->n, 4);
}

#define LOADS 4U

static void make_core(struct maker *m)
{
	Elf64_Ehdr h = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1},
			.e_type = ET_CORE,
			.e_machine = EM_X86_64,
			.e_phoff = sizeof(h),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = LOADS + 1};
	uint64_t file[2 + 3 * 2] = {2, 4096, 0x400000, 0x401000, 0, 0x401000, 0x402000, 1};
	uint64_t auxv[] = {AT_PHDR, 0x400040, AT_SYSINFO_EHDR, 0x7fff0000, AT_RANDOM, 0x7ffe0010,
			   0,	    0};
	uint8_t status[336] = {0}, info[136] = {0};
	char names[64];
	Elf64_Phdr p[LOADS + 1] = {0};
	uint8_t both[sizeof(file) + 20];

	*m = (struct maker){0};
	add(m, &h, sizeof(h));
	add(m, p, sizeof(p));
	p[0] = (Elf64_Phdr){.p_type = PT_NOTE, .p_offset = m->n};
	memcpy(status + 32, "\x39\x30\0\0", 4);
	add_note(m, NT_PRSTATUS, status, sizeof(status));
	memcpy(info + 24, "\x39\x30\0\0", 4);
	memcpy(info + 40, "program", 8);
	memcpy(info + 56, "program -flag", 13);
	add_note(m, NT_PRPSINFO, info, sizeof(info));
	add_note(m, NT_AUXV, auxv, sizeof(auxv));
	memcpy(both, file, sizeof(file));
	memcpy(names, "/bin/none\0/bin/none\0", 20);
	memcpy(both + sizeof(file), names, 20);
	add_note(m, NT_FILE, both, sizeof(both));
	p[0].p_filesz = m->n - p[0].p_offset;
	m->n = round_up(m->n, 4096);
	for (unsigned i = 1; i <= LOADS; i++)
		p[i] = (Elf64_Phdr){.p_type = PT_LOAD,
				    .p_flags = PF_R | (i > 1 ? PF_W : PF_X),
				    .p_offset = m->n,
				    .p_filesz = i == 2 ? 0 : 4096,
				    .p_memsz = 4096,
				    .p_vaddr = (const uint64_t[]){0, 0x400000, 0x401000, 0x402000,
								  0x7ffe0000}[i]};
	m->v[m->n] = 0x42;
	m->n += 4096;
	memcpy(m->v + sizeof(h), p, sizeof(p));
}

static void test_core_by_hand(void **state)
{
	struct maker m;
	struct target *t;
	struct arena a;
	struct err err = {0};
	uint8_t b[8];
	const struct mapping *map;

	(void)state;
	make_core(&m);
	t = open_bytes(m.v, m.n, &err);
	assert_non_null(t);
	arena_init(&a, 0);
	assert_true(target_facts(t, &a, &err));
	assert_true(target_scan(t, &a, &err));
	assert_int_equal(t->os->pid, 12345);
	assert_string_equal(t->os->comm, "program");
	assert_string_equal(t->os->cmdline0, "program");
	assert_string_equal(t->os->exe, "/bin/none");
	assert_int_equal(t->os->n_threads, 1);
	assert_int_equal(t->os->residency, RESIDENCY_NONE);
	assert_int_equal(target_read(t, 0x402000, b, 8), 8);
	assert_int_equal(b[0], 0x42);
	/* left out, and the file is not here: a fault, no zeros */
	assert_int_equal(target_read(t, 0x401000, b, 8), 0);
	map = map_find(t->os, 0x7ffe0000);
	assert_non_null(map);
	assert_string_equal(map->path, "[stack]");
	/* pages that hold something */
	assert_int_equal(t->os->pages.resident, 3 * 4096);
	target_close(t);
	arena_free(&a);
}

static void test_bad_cores(void **state)
{
	struct maker good, m;

	(void)state;
	make_core(&good);
	for (int i = 0; i < 4000; i++) {
		struct err err = {0};
		struct target *t;

		m = good;
		mutate(m.v, m.n, 2048);
		t = open_bytes(m.v, i % 5 ? m.n : next_random() % m.n, &err);
		if (t) {
			ask(t);
			target_close(t);
		}
	}
}

/* ---- A real capture ---- */

static uint8_t *capture;
static size_t capture_n;

static int make_capture(void **state)
{
	char cmd[1024], path[512], line[4096], file[] = "/tmp/whyrss-test-XXXXXX";
	struct source_word w = {.kind = SOURCE_PROCESS};
	struct capture_options o = {.path = file, .stacks = true};
	struct captured c;
	struct err err = {0};
	struct arena a;
	struct stat st;
	int to[2], from[2], fd = mkstemp(file);
	FILE *f;

	(void)state;
	snprintf(cmd, sizeof(cmd),
		 "cd %s/live && python3 -c 'import demos; print(demos.build(\"nothing\"))'",
		 getenv("WHYRSS_TESTS"));
	f = popen(cmd, "r");
	if (!f || !fgets(path, sizeof(path), f) || pclose(f) != 0 || pipe(to) || pipe(from))
		return -1;
	path[strcspn(path, "\n")] = '\0';
	w.pid = fork();
	if (w.pid == 0) {
		dup2(to[0], 0);
		dup2(from[1], 1);
		close(to[1]);
		close(from[0]);
		execl(path, path, NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	f = fdopen(from[0], "r");
	if (!fgets(line, sizeof(line), f))
		return -1;
	close(fd);
	arena_init(&a, 0);
	if (!capture_take(&w, &o, &a, &c, &err)) {
		print_error("%s\n", err.msg);
		return -1;
	}
	kill(w.pid, SIGKILL);
	waitpid(w.pid, NULL, 0);
	fclose(f);
	close(to[1]);
	fd = open(file, O_RDONLY);
	unlink(file);
	if (fd < 0 || !unpack(&fd, CORE_UNPACK_MAX, &err) || fstat(fd, &st) != 0)
		return -1;
	capture_n = (size_t)st.st_size;
	capture = malloc(capture_n);
	if (!capture || pread(fd, capture, capture_n, 0) != (ssize_t)capture_n)
		return -1;
	close(fd);
	arena_free(&a);
	return 0;
}

static int drop_capture(void **state)
{
	(void)state;
	free(capture);
	return 0;
}

/* Of the first page that holds a program header on: all before are notes. */
static size_t front_of(const uint8_t *v)
{
	Elf64_Ehdr h;

	memcpy(&h, v, sizeof(h));
	return (size_t)h.e_phoff + 4096;
}

static void test_capture(void **state)
{
	struct err err = {0};
	struct target *t = open_bytes(capture, capture_n, &err);
	uint8_t b[16];

	(void)state;
	assert_non_null(t);
	assert_int_equal(t->kind, TARGET_CAPTURE);
	assert_true(ask(t));
	/* what was not read is a fault */
	assert_int_equal(target_read(t, 0x10, b, 16), 0);
	target_close(t);
}

static void test_bad_captures(void **state)
{
	int rounds = getenv("WHYRSS_FULL") ? 3000 : 150, opened = 0, answered = 0;
	uint8_t *v = malloc(capture_n);

	(void)state;
	for (int i = 0; i < rounds; i++) {
		struct err err = {0};
		struct target *t;

		memcpy(v, capture, capture_n);
		mutate(v, capture_n, front_of(capture));
		t = open_bytes(v, i % 7 ? capture_n : next_random() % capture_n, &err);
		if (!t)
			continue;
		opened++;
		answered += ask(t);
		target_close(t);
	}
	print_message("%d changed captures: %d opened, %d answered\n", rounds, opened, answered);
	assert_true(answered > 0 && opened > answered);
	free(v);
}

/* Numbers and names of the session and the facts changed as text. */
static void test_bad_texts(void **state)
{
	int rounds = getenv("WHYRSS_FULL") ? 3000 : 150, answered = 0;
	size_t front = front_of(capture) - 4096;
	uint8_t *v = malloc(capture_n);

	(void)state;
	for (int i = 0; i < rounds; i++) {
		struct err err = {0};
		struct target *t;

		memcpy(v, capture, capture_n);
		for (unsigned k = 0; k < 1 + next_random() % 12; k++) {
			static const char digits[] = "0123456789abcdef*\\ \n-";
			size_t at = 64 + next_random() % (front - 64);

			/* somewhere behind a blank, where a number is */
			while (at < front && v[at] != ' ')
				at++;
			if (at + 1 < front)
				v[at + 1 + next_random() % 2] =
					(uint8_t)digits[next_random() % (sizeof(digits) - 1)];
		}
		t = open_bytes(v, capture_n, &err);
		if (!t)
			continue;
		answered += ask(t);
		target_close(t);
	}
	print_message("%d changed texts: %d answered\n", rounds, answered);
	free(v);
}

/* ---- Facts and runs ---- */

static void test_facts(void **state)
{
	struct mapping maps[2] = {{.start = 0x1000, .end = 0x3000, .offset = 5, .path = "a\\b\nc "},
				  {.start = 0x3000, .end = 0x4000, .path = ""}};
	struct os_thread thread = {.tid = 7, .sp = 0x10, .pc = 0x20, .on_cpu = true};
	const char *notes[] = {"line\nbreak"};
	struct cgroup_facts cgroup = {.path = "/x", .version = 2, .limit = UINT64_MAX};
	struct os_facts os = {.pid = 42,
			      .comm = "x\ny",
			      .exe = "/bin/\x1b[1mx",
			      .cmdline0 = "x",
			      .maps = maps,
			      .n_maps = 2,
			      .threads = &thread,
			      .n_threads = 1,
			      .notes = notes,
			      .n_notes = 1,
			      .drift = -5,
			      .max_ptes_none = -1,
			      .pss = UINT64_MAX,
			      .thp_enabled = "never",
			      .cgroup = &cgroup},
			back;
	struct str text = {0};
	struct arena a;
	struct err err = {0};

	(void)state;
	arena_init(&a, 0);
	facts_write(&os, &text);
	assert_true(facts_read(text.s, text.n, &a, &back, &err));
	assert_int_equal(back.pid, 42);
	assert_string_equal(back.comm, os.comm);
	assert_string_equal(back.exe, os.exe);
	assert_string_equal(back.thp_enabled, "never");
	assert_int_equal(back.drift, -5);
	assert_int_equal(back.max_ptes_none, -1);
	assert_int_equal(back.pss, UINT64_MAX);
	assert_null(back.pid_ns_note);
	assert_int_equal(back.n_maps, 2);
	assert_string_equal(back.maps[0].path, maps[0].path);
	assert_int_equal(back.maps[0].offset, 5);
	assert_int_equal(back.n_threads, 1);
	assert_true(back.threads[0].on_cpu);
	assert_string_equal(back.notes[0], notes[0]);
	assert_string_equal(back.cgroup->path, "/x");
	assert_int_equal(back.cgroup->limit, UINT64_MAX);
	assert_null(back.cgroup->limit_path);
	/* a newer version is refused in words */
	text.n = 0;
	str_add(&text, "whyrss capture 99\n");
	assert_false(facts_read(text.s, text.n, &a, &back, &err));
	assert_non_null(strstr(err.msg, "newer"));
	str_free(&text);
	arena_free(&a);
}

static void test_pages(void **state)
{
	struct arena a;
	struct pages p, back;
	struct str text = {0};
	struct err err = {0};

	(void)state;
	arena_init(&a, 0);
	for (int round = 0; round < 200; round++) {
		pages_init(&p, &a);
		pages_init(&back, &a);
		for (uint64_t i = 0; i < next_random() % 60; i++) {
			taddr from = next_random() % 4096 * OS_PAGE +
				     (next_random() % 3 << PAGES_CHUNK_SHIFT);
			taddr to = from + (1 + next_random() % 2000) * OS_PAGE;

			assert_true(pages_set(&p, from, to,
					      (enum page_bit)(next_random() % PAGE_BITS), &err));
		}
		pages_close(&p);
		text.n = 0;
		pages_write(&p, &text);
		assert_true(pages_read(text.s, text.n, &back, &err));
		assert_int_equal(back.n, p.n);
		assert_int_equal(back.resident, p.resident);
		assert_int_equal(back.swapped, p.swapped);
		for (uint32_t i = 0; i < p.n; i++) {
			assert_int_equal(back.key[i], p.key[i]);
			assert_memory_equal(back.chunk[i]->bit, p.chunk[i]->bit,
					    sizeof(p.chunk[i]->bit));
		}
		for (size_t cut = 0; cut < text.n; cut += 1 + next_random() % 5) {
			pages_init(&back, &a);
			pages_read(text.s, cut, &back, &err);
		}
	}
	str_free(&text);
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_core_by_hand), cmocka_unit_test(test_bad_cores),
		cmocka_unit_test(test_capture),	     cmocka_unit_test(test_bad_captures),
		cmocka_unit_test(test_bad_texts),    cmocka_unit_test(test_facts),
		cmocka_unit_test(test_pages),
	};

	return cmocka_run_group_tests(tests, make_capture, drop_capture);
}
