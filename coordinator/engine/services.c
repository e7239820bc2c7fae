/*
 * All services: those of apps (app.expose) and those that are documents of their own, in one list. Whoever wants to
 * know how a machine can be reached asks here, not the machine's spec.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "engine/engine_private.h"
#include "engine/reach.h"

EngineService *
engine_find_service(Engine *engine, const char *name_space, const char *name)
{
	for (EngineService *service = engine->services; service != NULL; service = service->next)
	{
		if (strcmp(service->spec.name_space, name_space) == 0 && strcmp(service->spec.name, name) == 0)
			return service;
	}
	return NULL;
}

const EngineService *
machine_next_service(const Machine *machine, const EngineService *previous)
{
	const EngineService *service = previous == NULL ? machine->engine->services : previous->next;

	while (service != NULL && (strcmp(service->spec.target_name, machine->spec.name) != 0 ||
							   strcmp(service->spec.target_name_space, machine->spec.name_space) != 0))
		service = service->next;
	return service;
}

uint16_t *
machine_list_ports(const Machine *machine, size_t *ret_count)
{
	const EngineService *service = NULL;
	uint16_t *ports = NULL;
	size_t capacity = 0;
	size_t count = 0;

	while ((service = machine_next_service(machine, service)) != NULL)
	{
		size_t i = 0;

		while (i < count && ports[i] != service->spec.target_port)
			i++;
		if (i < count)
			continue;
		ports = memory_grow(ports, &capacity, count + 1, sizeof(*ports));
		ports[count++] = service->spec.target_port;
	}
	/* Its own address is reachable without a service, too: there the image says what it listens on. */
	if (count == 0 && machine->image_config.port_count > 0)
	{
		count = machine->image_config.port_count;
		ports = memory_allocate(count * sizeof(*ports));
		memcpy(ports, machine->image_config.ports, count * sizeof(*ports));
	}
	*ret_count = count;
	return ports;
}

static void
service_review_target(Engine *engine, const ServiceSpec *spec)
{
	Machine *machine = engine_find_machine(engine, spec->target_name_space, spec->target_name);

	if (machine != NULL)
	{
		machine_review_listening(machine);
		machine_write_ignored(machine);
	}
}

void
engine_service_changed(Engine *engine, const ServiceSpec *spec)
{
	log_debug("service", "namespace", spec->name_space, "service", spec->name);
	reach_note_change(engine->reach);
	service_review_target(engine, spec);
}

void
engine_service_removed(Engine *engine, const ServiceSpec *spec)
{
	log_debug("service removed", "namespace", spec->name_space, "service", spec->name);
	reach_note_change(engine->reach);
	service_review_target(engine, spec);
}

static EngineService *
services_insert(Engine *engine, const ServiceSpec *spec)
{
	EngineService **place = &engine->services;
	EngineService *service = memory_allocate(sizeof(*service));

	while (*place != NULL)
	{
		int order = strcmp((*place)->spec.name_space, spec->name_space);

		if (order > 0 || (order == 0 && strcmp((*place)->spec.name, spec->name) > 0))
			break;
		place = &(*place)->next;
	}
	service->next = *place;
	*place = service;
	return service;
}

void
engine_put_service(Engine *engine, const ServiceSpec *spec)
{
	EngineService *service = engine_find_service(engine, spec->name_space, spec->name);

	if (service != NULL)
	{
		SpecChanges changes;
		bool same;

		service_spec_compare(&service->spec, spec, &changes);
		same = changes.count == 0 && strcmp(service->spec.expose, spec->expose) == 0;
		spec_changes_clear(&changes);
		if (same)
			return;
		service_spec_clear(&service->spec);
	}
	else
		service = services_insert(engine, spec);
	service_spec_copy(spec, &service->spec);
	engine_service_changed(engine, &service->spec);
}

static void
services_remove(Engine *engine, EngineService **place)
{
	EngineService *service = *place;

	*place = service->next;
	engine_service_removed(engine, &service->spec);
	service_spec_clear(&service->spec);
	free(service);
}

void
engine_drop_service(Engine *engine, const char *name_space, const char *name)
{
	for (EngineService **place = &engine->services; *place != NULL; place = &(*place)->next)
	{
		if (strcmp((*place)->spec.name_space, name_space) == 0 && strcmp((*place)->spec.name, name) == 0)
		{
			services_remove(engine, place);
			return;
		}
	}
}

static bool
exposes(const AppSpec *app, const char *name)
{
	for (size_t i = 0; i < app->expose_count; i++)
	{
		if (strcmp(app->exposes[i].name, name) == 0)
			return true;
	}
	return false;
}

void
engine_expose(Engine *engine, const AppSpec *app)
{
	EngineService **place = &engine->services;

	while (*place != NULL)
	{
		const ServiceSpec *spec = &(*place)->spec;

		if (spec->expose[0] != '\0' && strcmp(spec->target_name, app->name) == 0 &&
			strcmp(spec->target_name_space, app->name_space) == 0 && !exposes(app, spec->expose))
			services_remove(engine, place);
		else
			place = &(*place)->next;
	}
	for (size_t i = 0; i < app->expose_count; i++)
	{
		ServiceSpec spec;

		service_spec_of_expose(app, &app->exposes[i], &spec);
		engine_put_service(engine, &spec);
		service_spec_clear(&spec);
	}
}

void
engine_clear_services(Engine *engine)
{
	while (engine->services != NULL)
	{
		EngineService *service = engine->services;

		engine->services = service->next;
		service_spec_clear(&service->spec);
		free(service);
	}
}
