/* How many clients are connected; see connections.h. */
#include "api/connections.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/text.h"

typedef struct Connection
{
	int fd;
	ino_t inode;
} Connection;

struct ConnectionTable
{
	Connection *items;
	size_t count;
	size_t limit;
};

ConnectionTable *
connection_table_new(size_t limit)
{
	ConnectionTable *table = memory_allocate(sizeof(*table));

	table->items = memory_allocate(limit * sizeof(*table->items));
	table->limit = limit;
	return table;
}

void
connection_table_free(ConnectionTable *table)
{
	if (table == NULL)
		return;
	free(table->items);
	free(table);
}

static bool
connection_is_open(const Connection *connection)
{
	struct stat status;

	return fstat(connection->fd, &status) == 0 && S_ISSOCK(status.st_mode) && status.st_ino == connection->inode;
}

/* Forgets those that were closed. Only done when the table is full, so that the cost is spread over many. */
static void
connection_table_sweep(ConnectionTable *table)
{
	size_t kept = 0;

	for (size_t i = 0; i < table->count; i++)
	{
		if (connection_is_open(&table->items[i]))
			table->items[kept++] = table->items[i];
	}
	table->count = kept;
}

bool
connection_table_add(ConnectionTable *table, int fd)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return true; /* already closed again: nothing to count */
	if (table->count == table->limit)
		connection_table_sweep(table);
	if (table->count == table->limit)
		return false;
	table->items[table->count++] = (Connection){.fd = fd, .inode = status.st_ino};
	return true;
}
