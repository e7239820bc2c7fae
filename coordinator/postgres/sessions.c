/* See sessions.h. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "postgres/sessions.h"

int
sessions_get(Sessions *sessions, const char *database, PostgresConnection **ret_connection, Error *err)
{
	PostgresTarget target = sessions->target;
	PostgresConnection *opened = NULL;
	int result;

	if (database != NULL)
		target.database = database;
	for (size_t i = 0; i < sessions->count; i++)
	{
		if (strcmp(postgres_database(sessions->connections[i]), target.database) == 0)
		{
			*ret_connection = sessions->connections[i];
			return 0;
		}
	}
	result = postgres_open(&target, sessions->deadline_ns, &opened, err);
	if (result < 0)
		return result;
	sessions->connections =
		memory_grow(sessions->connections, &sessions->capacity, sessions->count + 1, sizeof(void *));
	sessions->connections[sessions->count++] = opened;
	*ret_connection = opened;
	return 0;
}

void
sessions_end(Sessions *sessions, const char *database)
{
	for (size_t i = 0; i < sessions->count; i++)
	{
		if (strcmp(postgres_database(sessions->connections[i]), database) != 0)
			continue;
		postgres_close(sessions->connections[i]);
		sessions->connections[i] = sessions->connections[--sessions->count];
		return;
	}
}

void
sessions_clear(Sessions *sessions)
{
	for (size_t i = 0; i < sessions->count; i++)
		postgres_close(sessions->connections[i]);
	free(sessions->connections);
	sessions->connections = NULL;
	sessions->count = sessions->capacity = 0;
}
