/* How a user of a cluster calls its server; see clusters.h. */
#include <string.h>

#include "base/text.h"
#include "engine/clusters.h"

/* RFC 3986: all but letters, digits and - . _ ~ are encoded. */
static void
append_encoded(Text *url, const char *text)
{
	for (const char *c = text; *c != '\0'; c++)
	{
		bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
					 strchr("-._~", *c) != NULL;

		if (plain)
			text_append_bytes(url, c, 1);
		else
			text_printf(url, "%%%02X", (unsigned char) *c);
	}
}

char *
cluster_url(const char *user, const char *password, const char *host, unsigned port, const char *database)
{
	Text url = {0};

	text_append(&url, "postgresql://");
	append_encoded(&url, user);
	text_append(&url, ":");
	append_encoded(&url, password);
	text_printf(&url, "@%s:%u/", host, port);
	append_encoded(&url, database);
	return url.data;
}

/* The database that a user's connection string names. */
const char *
cluster_user_database(const PostgresSpec *spec, const PostgresUser *user)
{
	for (size_t i = 0; user != NULL && i < user->access_count; i++)
	{
		if (strcmp(user->access[i].database, spec->database) == 0)
			return spec->database;
	}
	return user == NULL || user->access_count == 0 ? spec->database : user->access[0].database;
}
