/* src/pprof: building, encoding and decoding profiles; hostile bytes end with a sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <libdeflate.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include "pprof/build.h"
#include "pprof/codec.h"

#define TEXT(p, s) pprof_text(p, s)

/* Two types, two stacks over shared locations with an inlined frame, labels of both kinds. */
static void make(struct pprof *p, struct arena *mem)
{
	struct pprof_build b;
	pindex f[2], l[3], m;

	pprof_init(p, mem);
	pprof_type_add(p, "inuse_objects", "count");
	pprof_type_add(p, "inuse_space", "bytes");
	pprof_build_init(&b, p);
	m = pprof_mapping_add(p, &(struct pprof_mapping){.start = 0x400000,
							 .limit = 0x500000,
							 .file = pprof_str(p, "/bin/x"),
							 .build_id = pprof_str(p, "abc"),
							 .has_functions = true});
	for (unsigned i = 0; i < 2; i++) {
		pstr name = pprof_str(p, i ? "main.g" : "main.f");

		f[i] = pprof_build_function(&b, &(struct pprof_function){.name = name,
									 .system_name = name,
									 .start_line = 7});
	}
	for (unsigned i = 0; i < 3; i++) {
		struct pprof_line lines[] = {{.function = f[0], .line = i},
					     {.function = f[1], .line = -1}};

		l[i] = pprof_build_location(
			&b, &(struct pprof_location){.address = 0x400000 + i, .mapping = m}, lines,
			i == 1 ? 2 : 1);
	}
	struct pprof_label labels[] = {
		{.key = pprof_str(p, "z"),
		 .num = 5,
		 .num_unit = pprof_str(p, "bytes"),
		 .is_num = true},
		{.key = pprof_str(p, "b"), .str = pprof_str(p, "two")},
		{.key = pprof_str(p, "a"), .str = pprof_str(p, "one")},
	};
	assert_int_equal(pprof_build_sample(&b, l, 3, NULL, 0, (int64_t[]){1, -2}), 0);
	assert_int_equal(pprof_build_sample(&b, l, 2, labels, 3, (int64_t[]){3, 4}), 1);
	assert_int_equal(pprof_build_sample(&b, l, 3, NULL, 0, (int64_t[]){10, 20}), 0);
	assert_int_equal(pprof_build_sample(&b, l, 2, labels, 3, (int64_t[]){1, 1}), 1);
	assert_int_equal(pprof_build_sample(&b, l, 2, labels, 2, (int64_t[]){1, 1}), 2);
	assert_int_equal(pprof_build_sample(&b, NULL, 0, NULL, 0, (int64_t[]){9, 9}), 3);
	p->period_type = (struct pprof_value_type){pprof_str(p, "space"), pprof_str(p, "bytes")};
	p->period = 524288;
	p->time_nanos = 1700000000000000000;
	p->default_type = pprof_str(p, "inuse_space");
	pprof_comment_add(p, pprof_str(p, "hello"));
}

static void check(const struct pprof *p)
{
	assert_int_equal(p->n_samples, 4);
	assert_int_equal(p->values[0], 11);
	assert_int_equal(p->values[1], 18);
	assert_int_equal(p->values[2], 4);
	assert_int_equal(p->loc_at[1], 3);
	assert_int_equal(p->loc_at[2] - p->loc_at[1], 2);
	assert_int_equal(p->loc_at[4] - p->loc_at[3], 0);
	assert_int_equal(p->label_at[1], 0);
	assert_int_equal(p->label_at[2], 3);
	assert_int_equal(p->label_at[4], 5);
	assert_string_equal(TEXT(p, p->labels[0].key), "a");
	assert_string_equal(TEXT(p, p->labels[1].str), "two");
	assert_true(p->labels[2].is_num);
	assert_int_equal(p->labels[2].num, 5);
	assert_string_equal(TEXT(p, p->labels[2].num_unit), "bytes");
	assert_int_equal(p->n_locations, 3);
	assert_int_equal(p->locations[1].n_lines, 2);
	assert_int_equal(p->lines[p->locations[1].line_at + 1].line, -1);
	assert_int_equal(p->n_functions, 2);
	assert_string_equal(TEXT(p, p->functions[1].name), "main.g");
	assert_string_equal(TEXT(p, p->mappings[0].build_id), "abc");
	assert_true(p->mappings[0].has_functions);
	assert_int_equal(p->time_nanos, 1700000000000000000);
	assert_string_equal(TEXT(p, p->default_type), "inuse_space");
	assert_string_equal(TEXT(p, p->comments[0]), "hello");
}

static void a_profile_survives_every_container(void **state)
{
	struct arena a;
	struct pprof p;
	struct str plain = {0}, gz = {0}, again = {0};
	struct err err = {0};
	static uint8_t zst[4096];
	size_t n;

	(void)state;
	arena_init(&a, 0);
	make(&p, &a);
	check(&p);
	pprof_encode(&p, &plain);
	assert_true(pprof_parse((uint8_t *)plain.s, plain.n, &a, &p, &err));
	check(&p);
	pprof_encode(&p, &again);
	assert_int_equal(again.n, plain.n);
	assert_memory_equal(again.s, plain.s, plain.n);

	assert_true(pprof_encode_gzip(&p, &gz, &err));
	str_addn(&gz, gz.s, 0);
	assert_true(pprof_parse((uint8_t *)gz.s, gz.n, &a, &p, &err));
	check(&p);
	n = ZSTD_compress(zst, sizeof(zst), plain.s, plain.n, 3);
	assert_true(pprof_parse(zst, n, &a, &p, &err));
	check(&p);
	/* cut off anywhere, it is refused or, as a message that ends early, another profile */
	for (size_t i = 0; i < gz.n; i++)
		assert_false(pprof_parse((uint8_t *)gz.s, i, &a, &p, &err));
	for (size_t i = 0; i < n; i++)
		assert_false(pprof_parse(zst, i, &a, &p, &err));
	for (size_t i = 0; i < plain.n; i++)
		(void)pprof_parse((uint8_t *)plain.s, i, &a, &p, &err);
	str_free(&plain);
	str_free(&gz);
	str_free(&again);
	arena_free(&a);
}

/* Pieces of the stream cut fields anywhere; what comes out is the same. */
static void large_profiles_come_in_pieces(void **state)
{
	struct arena a, b;
	struct pprof p, q;
	struct pprof_build build;
	struct str plain = {0}, gz = {0}, two = {0}, again = {0};
	struct err err = {0};
	uint64_t s = 1;

	(void)state;
	arena_init(&a, 0);
	arena_init(&b, 0);
	pprof_init(&p, &a);
	pprof_type_add(&p, "samples", "count");
	pprof_build_init(&build, &p);
	build.keep_equal = true;
	for (uint32_t i = 0; i < 3000; i++) {
		char name[64];
		pindex f;

		snprintf(name, sizeof(name), "some.pkg/with/a/name.F%u", i);
		f = pprof_build_function(&build,
					 &(struct pprof_function){.name = pprof_str(&p, name)});
		pprof_build_location(
			&build,
			&(struct pprof_location){.address = 64 * i + 1, .mapping = PPROF_NONE},
			&(struct pprof_line){.function = f, .line = i}, 1);
	}
	for (uint32_t i = 0; i < 20000; i++) {
		pindex stack[60];
		uint32_t n = 1 + i % 60;

		for (uint32_t k = 0; k < n; k++)
			stack[k] = (pindex)((s = s * 6364136223846793005U + 1442695040888963407U) >>
					    33) %
				   3000;
		pprof_build_sample(&build, stack, n, NULL, 0, (int64_t[]){i});
	}
	pprof_encode(&p, &plain);
	/* in front an unknown field that is larger than a piece */
	str_addn(&again, "\xfa\x01\x80\x80\x20", 5);
	for (uint32_t i = 0; i < 1U << 19; i++)
		str_addn(&again, "\x01", 1);
	str_addn(&again, plain.s, plain.n);
	{
		struct libdeflate_compressor *z = libdeflate_alloc_compressor(1);
		size_t room = libdeflate_gzip_compress_bound(z, again.n), n;
		char *to = arena_alloc(&b, room);

		n = libdeflate_gzip_compress(z, again.s, again.n, to, room);
		str_addn(&gz, to, n);
		/* and as two members, the cut anywhere */
		n = libdeflate_gzip_compress(z, again.s, 300001, to, room);
		str_addn(&two, to, n);
		n = libdeflate_gzip_compress(z, again.s + 300001, again.n - 300001, to, room);
		str_addn(&two, to, n);
		libdeflate_free_compressor(z);
	}
	again.n = 0;
	for (int i = 0; i < 3; i++) {
		const struct str *from = i == 0 ? &plain : i == 1 ? &gz : &two;

		assert_true(pprof_parse((uint8_t *)from->s, from->n, &b, &q, &err));
		assert_int_equal(q.n_samples, p.n_samples);
		again.n = 0;
		pprof_encode(&q, &again);
		assert_int_equal(again.n, plain.n);
		assert_memory_equal(again.s, plain.s, plain.n);
	}
	/* cut off or damaged in the middle: a sentence, and all memory is given back */
	arena_free(&b);
	for (size_t n = gz.n / 3; n < gz.n; n += gz.n / 7 + 1) {
		assert_false(pprof_parse((uint8_t *)gz.s, n, &b, &q, &err));
		gz.s[n] ^= 0x55;
		assert_false(pprof_parse((uint8_t *)gz.s, gz.n, &b, &q, &err));
		gz.s[n] ^= 0x55;
	}
	assert_int_equal(b.used, 0);
	arena_init(&b, plain.n / 4); /* its limit holds while columns grow */
	assert_false(pprof_parse((uint8_t *)plain.s, plain.n, &b, &q, &err));
	assert_int_equal(err.kind, ERR_LIMIT);
	str_free(&plain);
	str_free(&gz);
	str_free(&two);
	str_free(&again);
	arena_free(&a);
	arena_free(&b);
}

static bool parse(struct arena *a, struct pprof *p, struct err *err, const char *d, size_t n)
{
	uint8_t copy[256]; /* so that ASan sees a read behind the end */

	assert_true(n <= sizeof(copy));
	memcpy(copy + sizeof(copy) - n, d, n);
	return pprof_parse(copy + sizeof(copy) - n, n, a, p, err);
}

#define PARSE(bytes) parse(&a, &p, &err, bytes, sizeof(bytes) - 1)
/* One type, strings "" "a" "b". */
#define HEAD                                                                                       \
	"\x0a\x04\x08\x01\x10\x02\x32\x00\x32\x01"                                                 \
	"a\x32\x01"                                                                                \
	"b"

static void the_wire_format_is_read_as_google_pprof_does(void **state)
{
	struct arena a;
	struct pprof p;
	struct err err = {0};

	(void)state;
	arena_init(&a, 0);
	/* unpacked and packed numbers mixed, unknown fields of every type, ids out of order */
	assert_true(PARSE("\x12\x0b\x08\x09\x0a\x01\x07\x12\x01\x05\x98\x01\x00" /* sample 9, 7 */
			  "\x22\x02\x08\x07\x22\x02\x08\x09" HEAD "\xa1\x06"
			  "12345678\xa5\x06"
			  "1234\xaa\x06\x03xyz\xa0\x06\x01"));
	assert_int_equal(p.n_samples, 1);
	assert_int_equal(p.loc_at[1], 2);
	assert_int_equal(p.locs[0], 1);
	assert_int_equal(p.locs[1], 0);
	assert_int_equal(p.values[0], 5);
	assert_null(p.label_at);
	/* ids of 64 bits */
	assert_true(PARSE("\x12\x0f\x0a\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x12\x01\x05"
			  "\x22\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" HEAD));
	assert_int_equal(p.locs[0], 0);
	assert_true(p.locations[0].id == UINT64_MAX);
	/* a label that says nothing is dropped; equal strings are one */
	assert_true(PARSE("\x12\x08\x10\x05\x1a\x02\x08\x01\x1a\x00" HEAD "\x32\x01"
			  "a\x70\x03"));
	assert_null(p.label_at);
	assert_int_equal(p.default_type, p.types[0].type);
	assert_int_equal(p.n_strings, 3);
	/* an unknown mapping is none; an unknown function is an error */
	assert_true(PARSE("\x22\x04\x08\x01\x10\x09" HEAD));
	assert_int_equal(p.locations[0].mapping, PPROF_NONE);
	assert_false(PARSE("\x22\x06\x08\x01\x22\x02\x08\x01" HEAD));
	assert_non_null(strstr(err.msg, "without a function"));
	arena_free(&a);
}

static void what_is_no_profile_gets_a_sentence(void **state)
{
	struct arena a;
	struct pprof p;
	struct err err = {0};

	(void)state;
	arena_init(&a, 0);
	assert_false(PARSE(""));
	assert_string_equal(err.msg, "empty input file");
	assert_false(PARSE("hello"));
	assert_string_equal(err.msg, "unrecognized profile format");
	assert_false(PARSE("\x12\x02\x10\x05" HEAD HEAD "\x48\x01\x48\x01"));
	assert_string_equal(err.msg, "concatenated profiles detected");
	assert_false(PARSE("\x12\x02\x10\x05\x32\x00"));
	assert_non_null(strstr(err.msg, "missing sample type"));
	assert_false(PARSE("\x12\x04\x10\x05\x10\x06" HEAD));
	assert_non_null(strstr(err.msg, "2 values vs. 1 types"));
	assert_false(PARSE("\x12\x04\x10\x05\x08\x06" HEAD));
	assert_non_null(strstr(err.msg, "location that is not in the profile"));
	assert_false(PARSE("\x12\x04\x10\x05\x08\x00" HEAD));
	assert_false(PARSE("\x22\x02\x08\x01\x22\x02\x08\x01" HEAD));
	assert_non_null(strstr(err.msg, "two locations have the id 1"));
	assert_false(PARSE("\x2a\x00" HEAD));
	assert_non_null(strstr(err.msg, "reserved id 0"));
	assert_false(PARSE(HEAD "\x70\x03")); /* string index out of range */
	assert_false(PARSE(HEAD "\x0b"));     /* a group */
	assert_false(PARSE(HEAD "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
	assert_false(PARSE("\x32\x01x"));
	arena_free(&a);
}

/* What a bomb may take is the arena's limit, whether it inflates or only claims to be large. */
static void bombs_keep_to_the_limit(void **state)
{
	enum { PLAIN = 48 << 20 };
	struct libdeflate_compressor *z = libdeflate_alloc_compressor(9);
	struct arena a, big;
	struct pprof p;
	struct err err = {0};
	uint8_t *plain, *packed;
	size_t n;

	(void)state;
	arena_init(&big, 0);
	plain = arena_alloc(&big, PLAIN);
	packed = arena_alloc(&big, PLAIN);
	n = libdeflate_gzip_compress(z, plain, PLAIN, packed, PLAIN);
	arena_init(&a, 16 << 20);
	assert_false(pprof_parse(packed, n, &a, &p, &err));
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_int_equal(a.used, 0);
	/* the trailer lies: one byte, then four billion */
	memset(packed + n - 4, 0, 4);
	assert_false(pprof_parse(packed, n, &a, &p, &err));
	memset(packed + n - 4, 0xff, 4);
	assert_false(pprof_parse(packed, n, &a, &p, &err));
	n = ZSTD_compress(packed, PLAIN, plain, PLAIN, 3);
	assert_false(pprof_parse(packed, n, &a, &p, &err));
	assert_int_equal(err.kind, ERR_LIMIT);
	/* two bytes a location: thirty times that in memory */
	for (size_t i = 0; i < (8 << 20); i += 2)
		memcpy(plain + i, "\x22", 2);
	assert_false(pprof_parse(plain, 8 << 20, &a, &p, &err));
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_int_equal(a.used, 0);
	libdeflate_free_compressor(z);
	arena_free(&a);
	arena_free(&big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_profile_survives_every_container),
		cmocka_unit_test(large_profiles_come_in_pieces),
		cmocka_unit_test(the_wire_format_is_read_as_google_pprof_does),
		cmocka_unit_test(what_is_no_profile_gets_a_sentence),
		cmocka_unit_test(bombs_keep_to_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
