/* Who may ask the server: hosts, origins and tokens as a hostile page or a stranger sends them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "front/web_guard.h"

#define TOKEN "0123456789abcdef0123456789abcdef"

static void test_host_of(void **state)
{
	static const struct {
		const char *text, *host; /* NULL: none */
	} rows[] = {
		{"localhost", "localhost"},
		{"LocalHost:8601", "localhost"},
		{"127.0.0.1:1", "127.0.0.1"},
		{"[::1]", "::1"},
		{"[::1]:8601", "::1"},
		{"[FE80::1]:", "fe80::1"},
		{"a_b-c.d", "a_b-c.d"},
		{"", NULL},
		{":8601", NULL},
		{"[]", NULL},
		{"[::1", NULL},
		{"[::1]x", NULL},
		{"::1", NULL},
		{"a:1:2", NULL},
		{"a b", NULL},
		{"a/b", NULL},
		{"a@b", NULL},
		{"a\tb", NULL},
		{"a\r\nX: y", NULL},
		{"\xc3\xa4", NULL},
		{"a%00b", NULL},
		{"<script>", NULL},
	};
	char host[64], lengthy[400];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool ok = host_of(rows[i].text, host, sizeof(host));

		assert_int_equal(ok, rows[i].host != NULL);
		if (ok)
			assert_string_equal(host, rows[i].host);
	}
	memset(lengthy, 'a', sizeof(lengthy));
	lengthy[63] = '\0';
	assert_true(host_of(lengthy, host, sizeof(host)));
	lengthy[63] = 'a';
	lengthy[64] = '\0';
	assert_false(host_of(lengthy, host, sizeof(host)));
	lengthy[64] = 'a';
	lengthy[399] = '\0';
	assert_false(host_of(lengthy, host, sizeof(host)));
}

static struct sockaddr_storage at(const char *text)
{
	struct sockaddr_storage s = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&s;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&s;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
		s.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
		s.ss_family = AF_INET6;
	return s;
}

static unsigned refused(const struct guard *g, const struct caller *c)
{
	unsigned status;

	return guard_refuses(g, c, &status) ? status : 0;
}

static void test_hosts(void **state)
{
	static const struct {
		const char *local, *host;
		bool ok;
	} rows[] = {
		{"127.0.0.1", "127.0.0.1:8601", true},
		{"127.0.0.1", "localhost:1", true},
		{"127.0.0.1", "127.0.0.2", false},
		{"127.0.0.1", "127.1", false},
		{"127.0.0.1", "2130706433", false},
		{"127.0.0.1", "0x7f.0.0.1", false},
		{"127.0.0.1", "127.0.0.1.evil.example", false},
		{"127.0.0.1", "localhost.evil.example", false},
		{"127.0.0.1", "evil.example", false},
		{"127.0.0.1", "[::1]", false},
		{"127.0.0.1", "", false},
		{"127.0.0.1", NULL, false},
		{"::1", "[::1]:8601", true},
		{"::1", "[0:0:0:0:0:0:0:1]", true},
		{"::1", "127.0.0.1", false},
		{"::ffff:10.1.2.3", "10.1.2.3", true},
		{"::ffff:10.1.2.3", "10.1.2.4", false},
		{"", "127.0.0.1", false},
		{"", "localhost", true},
	};
	char names[] = "box.example, Other.Example";
	struct guard g = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sockaddr_storage local = at(rows[i].local);
		struct caller c = {.host = rows[i].host, .local = (struct sockaddr *)&local};

		assert_int_equal(refused(&g, &c), rows[i].ok ? 0 : 403);
	}
	assert_int_equal(refused(&g, &(struct caller){.host = "127.0.0.1"}), 403);
	assert_true(guard_names(&g, names));
	assert_int_equal(refused(&g, &(struct caller){.host = "BOX.example:7"}), 0);
	assert_int_equal(refused(&g, &(struct caller){.host = "other.example"}), 0);
	assert_int_equal(refused(&g, &(struct caller){.host = "xbox.example"}), 403);
}

static void test_names(void **state)
{
	char bad[] = "a,b/c", many[200] = "", none[] = "", port[] = "a:8601";
	struct guard g = {0};

	(void)state;
	assert_false(guard_names(&g, bad));
	g = (struct guard){0};
	for (unsigned i = 0; i <= GUARD_NAMES; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "n%u,", i);
	assert_false(guard_names(&g, many));
	assert_int_equal(g.n_names, GUARD_NAMES);
	g = (struct guard){0};
	assert_true(guard_names(&g, none));
	assert_int_equal(g.n_names, 0);
	/* what names a port can never be equal to a host */
	assert_true(guard_names(&g, port));
	assert_int_equal(refused(&g, &(struct caller){.host = "b:8601"}), 403);
}

static void test_origins(void **state)
{
	static const struct {
		const char *origin, *site, *mode;
		bool ok;
	} rows[] = {
		{NULL, NULL, NULL, true},
		{"http://localhost:8601", NULL, NULL, true},
		{"https://LOCALHOST:8601", "same-origin", "cors", true},
		{"http://localhost", NULL, NULL, false},
		{"http://localhost:8602", NULL, NULL, false},
		{"http://evil.example", NULL, NULL, false},
		{"http://localhost:8601.evil.example", NULL, NULL, false},
		{"http://evil.example/://localhost:8601", NULL, NULL, false},
		{"ftp://localhost:8601", NULL, NULL, false},
		{"file://", NULL, NULL, false},
		{"null", NULL, NULL, false},
		{"", NULL, NULL, false},
		{"://localhost:8601", NULL, NULL, false},
		{NULL, "none", "navigate", true},
		{NULL, "same-origin", "no-cors", true},
		{NULL, "same-site", "no-cors", false},
		{NULL, "cross-site", "no-cors", false},
		{NULL, "cross-site", NULL, false},
		{NULL, "cross-site", "navigate", true},
		{NULL, "nonsense", "websocket", false},
		{"http://evil.example", "cross-site", "navigate", false},
	};
	struct guard g = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct caller c = {.host = "localhost:8601",
				   .origin = rows[i].origin,
				   .site = rows[i].site,
				   .mode = rows[i].mode};

		assert_int_equal(refused(&g, &c), rows[i].ok ? 0 : 403);
	}
}

/* base64, for "Basic" */
static void basic(char *to, const char *text)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n = strlen(text), k = 0;

	for (size_t i = 0; i < n; i += 3) {
		unsigned v = (unsigned)(unsigned char)text[i] << 16;

		if (i + 1 < n)
			v |= (unsigned)(unsigned char)text[i + 1] << 8;
		if (i + 2 < n)
			v |= (unsigned char)text[i + 2];
		for (unsigned j = 0; j < 4; j++)
			to[k++] = i + j > n ? '=' : digits[v >> (18 - 6 * j) & 63];
	}
	to[k] = '\0';
}

static void test_tokens(void **state)
{
	const struct guard g = {.token = TOKEN};
	static const struct {
		const char *query, *authorization, *cookie;
		bool ok;
	} rows[] = {
		{NULL, NULL, NULL, false},
		{TOKEN, NULL, NULL, true},
		{TOKEN "x", NULL, NULL, false},
		{"", NULL, NULL, false},
		{"0123456789abcdef", NULL, NULL, false},
		{NULL, "Bearer " TOKEN, NULL, true},
		{NULL, "bearer " TOKEN, NULL, true},
		{NULL, "Bearer  " TOKEN, NULL, false},
		{NULL, "Bearer", NULL, false},
		{NULL, TOKEN, NULL, false},
		{NULL, "Basic", NULL, false},
		{NULL, "Basic ", NULL, false},
		{NULL, "Basic !!!!", NULL, false},
		{NULL, NULL, "whyrss_token=" TOKEN, true},
		{NULL, NULL, "a=b; whyrss_token=" TOKEN "; c=d", true},
		{NULL, NULL, "a=b;whyrss_token=" TOKEN, true},
		{NULL, NULL, "xwhyrss_token=" TOKEN, false},
		{NULL, NULL, "whyrss_token=", false},
		{NULL, NULL, "whyrss_token=whyrss_token=" TOKEN, false},
		{NULL, NULL, "whyrss_token=x; whyrss_token=" TOKEN, true},
	};
	char text[2000], header[3000] = "Basic ";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct caller c = {.host = "localhost",
				   .query_token = rows[i].query,
				   .authorization = rows[i].authorization,
				   .cookie = rows[i].cookie};

		assert_int_equal(refused(&g, &c), rows[i].ok ? 0 : 401);
	}
	for (int i = 0; i < 4; i++) {
		static const char *const users[] = {"any:" TOKEN, ":" TOKEN, TOKEN, "any:x" TOKEN};
		struct caller c = {.host = "localhost", .authorization = header};

		basic(header + 6, users[i]);
		assert_int_equal(refused(&g, &c), i < 2 ? 0 : 401);
	}
	memset(text, 'a', sizeof(text) - 1);
	text[1] = ':';
	text[sizeof(text) - 1] = '\0';
	basic(header + 6, text);
	assert_int_equal(
		refused(&g, &(struct caller){.host = "localhost", .authorization = header}), 401);
	/* a wrong host is refused before the token is looked at */
	assert_int_equal(refused(&g, &(struct caller){.host = "evil", .query_token = TOKEN}), 403);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host_of), cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_names),	cmocka_unit_test(test_origins),
		cmocka_unit_test(test_tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
