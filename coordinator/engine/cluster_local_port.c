/*
 * A port on the host's loopback for a cluster: the one that its `expose` says, or a service "NAME-localhost" that is
 * made when somebody asks. A service, because that is what leads to a machine in its sleep, is listed, and comes back
 * with the next coordinator.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "engine/clusters.h"
#include "engine/reach.h"
#include "model/postgres_spec.h"

/* Above what PostgreSQL itself is at, below what the kernel gives to clients. */
#define FIRST_PORT 15432
#define PORT_COUNT 1000

static void
service_name(const PostgresSpec *spec, char ret_name[NAME_MAX_BYTES + 1])
{
	snprintf(ret_name, NAME_MAX_BYTES + 1, "%.50s-localhost", spec->name);
}

static bool
is_loopback_service(const ServiceSpec *service)
{
	return service->bind.kind == BIND_EXTERNAL && service->bind.protocol == EXTERNAL_TCP &&
		   service->target_port == POSTGRES_PORT &&
		   (service->bind.host[0] == '\0' || strcmp(service->bind.host, "localhost") == 0 ||
			strcmp(service->bind.host, "127.0.0.1") == 0);
}

static bool
is_free(Engine *engine, const ServiceSpec *spec)
{
	char problem[320];

	for (const EngineService *other = engine->services; other != NULL; other = other->next)
	{
		if (reach_find_conflict(engine, spec, &other->spec, problem) != NULL)
			return false;
	}
	return reach_find_problem(engine, spec, problem) == NULL;
}

static int
make_service(EngineCluster *cluster, uint16_t *ret_port, Error *err)
{
	Engine *engine = cluster->engine;
	/* An expose's tracking would be the same: an open connection of a tool must not keep the server awake for ever. */
	ServiceSpec spec = {.target_port = POSTGRES_PORT,
						.tracking = cluster->spec.machine.exposes[0].tracking,
						.bind = {.kind = BIND_EXTERNAL, .protocol = EXTERNAL_TCP}};
	int result;

	text_copy(spec.name_space, sizeof(spec.name_space), cluster->spec.name_space);
	service_name(&cluster->spec, spec.name);
	text_copy(spec.target_name_space, sizeof(spec.target_name_space), cluster->spec.name_space);
	text_copy(spec.target_name, sizeof(spec.target_name), cluster->spec.name);
	if (engine_find_service(engine, spec.name_space, spec.name) != NULL)
		return error_set(err, -EEXIST, "service %s/%s: exists already, and is no port of this host", spec.name_space,
						 spec.name);
	for (unsigned i = 0; i < PORT_COUNT; i++)
	{
		/* Two coordinators of a host, which do not see each other's, begin at different ones. */
		unsigned first = (engine->layout.subnet_address >> (32 - engine->layout.subnet_bits)) * 37;

		spec.bind.port = (uint16_t) (FIRST_PORT + (first + i) % PORT_COUNT);
		if (!is_free(engine, &spec))
			continue;
		result = store_put_service(engine->store, &spec, err);
		if (result < 0)
			return result;
		engine_put_service(engine, &spec);
		reach_apply_now(engine->reach);
		*ret_port = spec.bind.port;
		return 0;
	}
	return error_set(err, -EBUSY, "postgres %s/%s: no port from %d to %d is free on 127.0.0.1", spec.name_space,
					 cluster->spec.name, FIRST_PORT, FIRST_PORT + PORT_COUNT - 1);
}

int
cluster_local_port(EngineCluster *cluster, uint16_t *ret_port, Error *err)
{
	const Machine *machine = cluster_machine(cluster);
	const EngineService *service = NULL;

	while (machine != NULL && (service = machine_next_service(machine, service)) != NULL)
	{
		if (!is_loopback_service(&service->spec))
			continue;
		*ret_port = service->spec.bind.port;
		return 0;
	}
	return make_service(cluster, ret_port, err);
}

void
cluster_remove_local_port(const EngineCluster *cluster)
{
	Engine *engine = cluster->engine;
	char name[NAME_MAX_BYTES + 1];
	const EngineService *service;
	Error error;

	service_name(&cluster->spec, name);
	service = engine_find_service(engine, cluster->spec.name_space, name);
	if (service == NULL || service->spec.expose[0] != '\0' ||
		strcmp(service->spec.target_name, cluster->spec.name) != 0)
		return;
	if (store_delete_service(engine->store, cluster->spec.name_space, name, &error) < 0)
		log_warning("service not removed from the store", "service", name, "reason", error.message);
	engine_drop_service(engine, cluster->spec.name_space, name);
}
