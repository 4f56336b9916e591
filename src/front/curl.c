/* HTTP by libcurl's multi interface, loaded by dlopen; and what URLs of profiles mean. */
#include "front/curl.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_SECONDS 30L
#define ERROR_TEXT	200U /* of a server's answer to what was refused */

#define FUNCTIONS(X)                                                                               \
	X(global_init)                                                                             \
	X(easy_init)                                                                               \
	X(easy_setopt)                                                                             \
	X(easy_getinfo)                                                                            \
	X(easy_strerror)                                                                           \
	X(easy_cleanup)                                                                            \
	X(multi_init)                                                                              \
	X(multi_add_handle)                                                                        \
	X(multi_perform)                                                                           \
	X(multi_poll)                                                                              \
	X(multi_info_read)                                                                         \
	X(multi_remove_handle)                                                                     \
	X(multi_cleanup)

struct curl {
#define X(f) __typeof__(curl_##f) *f;
	FUNCTIONS(X)
#undef X
};

#undef curl_easy_setopt /* a macro that would check the types of a call by this name */
#undef curl_easy_getinfo

static bool load(struct curl *ret, struct err *err)
{
	void *lib = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);

	if (!lib)
		lib = dlopen("libcurl-gnutls.so.4", RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return err_set(err, ERR_OS,
			       "profiles from URLs need libcurl.so.4, which is not installed; on "
			       "Debian: apt-get install libcurl4");
#define X(f)                                                                                       \
	{                                                                                          \
		void *at = dlsym(lib, "curl_" #f);                                                 \
		if (!at)                                                                           \
			return err_set(err, ERR_OS,                                                \
				       "libcurl has no curl_" #f ": it is older than 7.66");       \
		memcpy(&ret->f, &at, sizeof(at));                                                  \
	}
	FUNCTIONS(X)
#undef X
	ret->global_init(CURL_GLOBAL_DEFAULT);
	return true;
}

struct sink {
	struct http_call *call;
	bytes limit;
	bool full;
};

static size_t take(char *d, size_t size, size_t n, void *ctx)
{
	struct sink *s = ctx;

	n *= size;
	if (n > s->limit - MIN(s->limit, s->call->body.n)) {
		s->full = true;
		return 0;
	}
	str_addn(&s->call->body, d, n);
	return n;
}

static CURL *prepare(const struct curl *c, struct sink *s, const struct http_options *o)
{
	CURL *h = c->easy_init();
	const char *url = s->call->url;
	static const char insecure[] = "https+insecure";

	if (!h)
		return NULL;
	if (str_starts(url, insecure)) {
		struct str plain = {0};

		str_add(&plain, "https");
		str_add(&plain, url + strlen(insecure));
		c->easy_setopt(h, CURLOPT_URL, plain.s); /* copied */
		str_free(&plain);
		c->easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
		c->easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
	} else {
		c->easy_setopt(h, CURLOPT_URL, url);
	}
	c->easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
	c->easy_setopt(h, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	c->easy_setopt(h, CURLOPT_FOLLOWLOCATION, 1L);
	c->easy_setopt(h, CURLOPT_MAXREDIRS, 10L);
	c->easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	c->easy_setopt(h, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	c->easy_setopt(h, CURLOPT_TIMEOUT, (long)o->timeout);
	c->easy_setopt(h, CURLOPT_USERAGENT, "whyrss/" WHYRSS_VERSION);
	c->easy_setopt(h, CURLOPT_WRITEFUNCTION, take);
	c->easy_setopt(h, CURLOPT_WRITEDATA, s);
	c->easy_setopt(h, CURLOPT_PRIVATE, s);
	if (s->call->post) {
		c->easy_setopt(h, CURLOPT_POSTFIELDS, s->call->post);
		c->easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(s->call->post));
	}
	if (*o->tls_cert)
		c->easy_setopt(h, CURLOPT_SSLCERT, o->tls_cert);
	if (*o->tls_key)
		c->easy_setopt(h, CURLOPT_SSLKEY, o->tls_key);
	if (*o->tls_ca)
		c->easy_setopt(h, CURLOPT_CAINFO, o->tls_ca);
	return h;
}

static void judge(const struct curl *c, CURL *h, CURLcode r)
{
	struct sink *s = NULL;
	struct err *err;
	long status = 0;

	c->easy_getinfo(h, CURLINFO_PRIVATE, (char **)&s);
	c->easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
	err = &s->call->err;
	if (s->full)
		err_set(err, ERR_LIMIT, "the answer is larger than the limit of %llu MiB",
			(unsigned long long)(s->limit >> 20));
	else if (r != CURLE_OK)
		err_set(err, ERR_OS, "http fetch: %s", c->easy_strerror(r));
	else if (status != 200)
		err_set(err, ERR_OS, "server response: %ld - %.*s", status,
			(int)MIN(s->call->body.n, (size_t)ERROR_TEXT),
			s->call->body.s ? s->call->body.s : "");
	else
		*err = (struct err){0};
}

/* The functions are there when load() says so, and the arrays are freed as they leave the scope. */
/* NOLINTBEGIN(clang-analyzer-core.CallAndMessage,clang-analyzer-unix.Malloc) */
bool http_run(struct http_call *calls, uint32_t n, const struct http_options *o, struct err *err)
{
	CLEANUP(cleanup_free) struct sink *sinks = NULL;
	CLEANUP(cleanup_free) CURL **handles = NULL;
	struct curl c = {0};
	CURLM *multi;
	CURLMsg *m;
	int running = 1, left;

	if (!*o->tls_cert != !*o->tls_key)
		return err_set(err, ERR_USAGE, "-tls_cert and -tls_key go together");
	if (!load(&c, err))
		return false;
	sinks = calloc(n, sizeof(*sinks));
	handles = calloc(n, sizeof(CURL *));
	multi = c.multi_init();
	if (!multi || !sinks || !handles)
		return err_set(err, ERR_OS, "out of memory");
	for (uint32_t i = 0; i < n; i++) {
		sinks[i] = (struct sink){.call = &calls[i], .limit = o->limit};
		err_set(&calls[i].err, ERR_OS, "http fetch: not finished");
		handles[i] = prepare(&c, &sinks[i], o);
		if (handles[i])
			c.multi_add_handle(multi, handles[i]);
	}
	while (running && c.multi_perform(multi, &running) == CURLM_OK) {
		while ((m = c.multi_info_read(multi, &left)) != NULL)
			if (m->msg == CURLMSG_DONE)
				judge(&c, m->easy_handle, m->data.result);
		if (running && c.multi_poll(multi, NULL, 0, 1000, NULL) != CURLM_OK)
			break;
	}
	for (uint32_t i = 0; i < n; i++)
		if (handles[i]) {
			c.multi_remove_handle(multi, handles[i]);
			c.easy_cleanup(handles[i]);
		}
	c.multi_cleanup(multi);
	return true;
}
/* NOLINTEND(clang-analyzer-core.CallAndMessage,clang-analyzer-unix.Malloc) */

/* --- URLs --- */

struct pair {
	const char *key, *value; /* as the URL has them, still encoded */
	size_t n_key, n_value;
};

/* "scheme://" with a host behind it; *ret_host is where that begins. */
static bool has_host(const char *url, const char **ret_host)
{
	const char *colon = strstr(url, "://");

	if (!colon || strcspn(url, "/?#") < (size_t)(colon - url))
		return false;
	*ret_host = colon + 3;
	return **ret_host && !strchr("/?#", **ret_host);
}

static int by_key(const void *x, const void *y)
{
	const struct pair *a = x, *b = y;
	int c = memcmp(a->key, b->key, MIN(a->n_key, b->n_key));

	if (!c)
		c = (a->n_key > b->n_key) - (a->n_key < b->n_key);
	return c ? c : (a->key > b->key) - (a->key < b->key); /* as they came */
}

static void add_query(struct str *to, const char *query, size_t n, int seconds, int *ret_seconds,
		      struct arena *a)
{
	uint32_t n_pairs = 0, max = 2;
	struct pair *v;

	for (size_t i = 0; i < n; i++)
		max += query[i] == '&';
	v = ARENA_ARRAY(a, struct pair, max);
	for (size_t i = 0; i < n;) {
		const char *end = memchr(query + i, '&', n - i), *equals;
		size_t len = end ? (size_t)(end - query) - i : n - i;
		struct pair x = {.key = query + i, .n_key = len, .value = ""};

		equals = memchr(query + i, '=', len);
		if (equals) {
			x.n_key = (size_t)(equals - x.key);
			x.value = equals + 1;
			x.n_value = len - x.n_key - 1;
		}
		i += len + 1;
		if (!len)
			continue;
		if (x.n_key == 7 && memcmp(x.key, "seconds", 7) == 0) {
			if (seconds > 0)
				continue;
			if (*ret_seconds == 0)
				*ret_seconds = (int)MIN(strtoul(x.value, NULL, 10), 1000000UL);
		}
		v[n_pairs++] = x;
	}
	if (seconds > 0) {
		const char *text = arena_printf(a, "%d", seconds);

		v[n_pairs++] = (struct pair){"seconds", text, 7, strlen(text)};
	}
	qsort(v, n_pairs, sizeof(*v), by_key);
	for (uint32_t i = 0; i < n_pairs; i++) {
		str_add(to, i ? "&" : "?");
		str_addn(to, v[i].key, v[i].n_key);
		str_add(to, "=");
		str_addn(to, v[i].value, v[i].n_value);
	}
}

const char *http_url(const char *source, int seconds, struct arena *a, int *ret_seconds)
{
	static const char *const schemes[] = {"http://", "https://", "https+insecure://"};
	const char *host, *query, *fragment;
	struct str out = {0};
	char *ret;
	bool known = false;

	*ret_seconds = MAX(seconds, 0);
	if (!has_host(source, &host)) {
		/* "localhost:6060/debug/pprof/heap": what is no path is a host */
		if (source[0] == '/' || source[0] == '.' || !source[strcspn(source, ":")] ||
		    source[strcspn(source, ":/?#")] != ':')
			return NULL;
		source = arena_printf(a, "http://%s", source);
		if (!has_host(source, &host))
			return NULL;
	}
	for (unsigned i = 0; i < ARRAY_LEN(schemes); i++)
		known |= str_starts(source, schemes[i]);
	if (!known)
		return NULL;
	fragment = source + strcspn(source, "#");
	query = source + strcspn(source, "?#");
	str_addn(&out, source, (size_t)(query - source));
	if (*query == '?')
		query++;
	add_query(&out, query, (size_t)(fragment - query), seconds, ret_seconds, a);
	ret = arena_strdup(a, out.s);
	str_free(&out);
	return ret;
}

const char *http_symbolz(const char *url, struct arena *a)
{
	static const char *const symbol[] = {"/pprof/heap", "/pprof/growth", "/pprof/profile",
					     "/pprof/pmuprofile", "/pprof/contention"};
	const char *host, *path, *slash;
	char *plain;
	bool old = true;

	if (!has_host(url, &host))
		return NULL;
	plain = arena_strndup(a, url, strcspn(url, "?#"));
	path = strchr(plain + (host - url), '/');
	if (!path)
		return NULL;
	if (strstr(path, "/debug/pprof/"))
		old = false;
	for (unsigned i = 0; i < ARRAY_LEN(symbol); i++)
		if (str_ends(path, symbol[i]))
			old = false;
	slash = strrchr(path, '/');
	return arena_printf(a, "%.*s/%s", (int)(slash - plain), plain, old ? "symbolz" : "symbol");
}
