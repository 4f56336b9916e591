/* See web_guard.h. */
#include "front/web_guard.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HOST_MAX 256U

bool host_of(const char *s, char *ret, size_t n)
{
	const char *end;
	size_t len;

	if (*s == '[') {
		end = strchr(++s, ']');
		if (!end || (end[1] && end[1] != ':'))
			return false;
	} else {
		end = s + strcspn(s, ":");
		if (*end && strchr(end + 1, ':'))
			return false;
	}
	len = (size_t)(end - s);
	if (!len || len >= n)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)s[i]) && !strchr(".-_:", s[i]))
			return false;
		ret[i] = (char)tolower((unsigned char)s[i]);
	}
	ret[len] = '\0';
	return true;
}

/* An address can't be rebound: it may be the one that the connection came to. */
static bool is_local_address(const char *host, const struct sockaddr *local)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (!local)
		return false;
	if (local->sa_family == AF_INET)
		return inet_pton(AF_INET, host, &v4) == 1 &&
		       v4.s_addr ==
			       ((const struct sockaddr_in *)(const void *)local)->sin_addr.s_addr;
	if (local->sa_family == AF_INET6) {
		const struct in6_addr *at =
			&((const struct sockaddr_in6 *)(const void *)local)->sin6_addr;

		if (inet_pton(AF_INET6, host, &v6) == 1)
			return !memcmp(&v6, at, sizeof(v6));
		return IN6_IS_ADDR_V4MAPPED(at) && inet_pton(AF_INET, host, &v4) == 1 &&
		       !memcmp(&v4, (const char *)at + 12, 4);
	}
	return false;
}

static bool host_allowed(const struct guard *g, const struct caller *c)
{
	char host[HOST_MAX];

	if (!c->host || !host_of(c->host, host, sizeof(host)))
		return false;
	if (!strcmp(host, "localhost") || is_local_address(host, c->local))
		return true;
	for (uint32_t i = 0; i < g->n_names; i++)
		if (!strcasecmp(g->names[i], host))
			return true;
	return false;
}

static bool origin_allowed(const struct caller *c)
{
	const char *at;

	if (c->origin) {
		at = strstr(c->origin, "://");
		if (!at ||
		    (strncmp(c->origin, "http://", 7) && strncmp(c->origin, "https://", 8)) ||
		    strcasecmp(at + 3, c->host) != 0)
			return false;
	}
	/* A link on another page may lead here; its scripts, images and frames may not. */
	if (c->site && strcmp(c->site, "same-origin") != 0 && strcmp(c->site, "none") != 0)
		return c->mode && !strcmp(c->mode, "navigate");
	return true;
}

static bool is_token(const char *token, const char *given, size_t n)
{
	unsigned char diff = 0;

	if (strlen(token) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		diff |= (unsigned char)(token[i] ^ given[i]);
	return diff == 0;
}

static int base64_digit(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* The password of "Basic …", which `go tool pprof` and scrapers send for user:token@host. */
static bool basic_password(const char *s, char *ret, size_t size)
{
	char text[HOST_MAX];
	size_t n = 0;
	unsigned bits = 0, have = 0;
	const char *colon;

	for (int d; (d = base64_digit(*s)) >= 0; s++) {
		bits = bits << 6 | (unsigned)d;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		if (n + 1 >= sizeof(text))
			return false;
		text[n++] = (char)(bits >> have);
		bits &= (1U << have) - 1;
	}
	text[n] = '\0';
	colon = strchr(text, ':');
	if (!colon || strlen(colon + 1) >= size)
		return false;
	strcpy(ret, colon + 1);
	return true;
}

static bool token_given(const char *token, const struct caller *c)
{
	char password[HOST_MAX];

	if (c->query_token && is_token(token, c->query_token, strlen(c->query_token)))
		return true;
	if (c->authorization && !strncasecmp(c->authorization, "Bearer ", 7) &&
	    is_token(token, c->authorization + 7, strlen(c->authorization + 7)))
		return true;
	if (c->authorization && !strncasecmp(c->authorization, "Basic ", 6) &&
	    basic_password(c->authorization + 6, password, sizeof(password)) &&
	    is_token(token, password, strlen(password)))
		return true;
	for (const char *at = c->cookie; at && (at = strstr(at, "whyrss_token=")); at++) {
		const char *v = at + strlen("whyrss_token=");

		if ((at == c->cookie || at[-1] == ' ' || at[-1] == ';') &&
		    is_token(token, v, strcspn(v, "; ")))
			return true;
	}
	return false;
}

const char *guard_refuses(const struct guard *g, const struct caller *c, unsigned *ret_status)
{
	*ret_status = 403;
	if (!host_allowed(g, c))
		return "The Host header names neither this address nor localhost; whyrss serve "
		       "--allow-host NAME allows a name.";
	if (!origin_allowed(c))
		return "A page of another origin may not ask here.";
	*ret_status = 401;
	if (g->token && !token_given(g->token, c))
		return "This address needs the token that whyrss serve printed: "
		       "?token=…, Authorization: Bearer …, or as the password of Basic.";
	return NULL;
}

bool guard_names(struct guard *g, char *text)
{
	char *save = NULL;

	for (char *name = strtok_r(text, ", ", &save); name; name = strtok_r(NULL, ", ", &save)) {
		char host[HOST_MAX];

		if (g->n_names == GUARD_NAMES || !host_of(name, host, sizeof(host)))
			return false;
		g->names[g->n_names++] = name;
	}
	return true;
}
