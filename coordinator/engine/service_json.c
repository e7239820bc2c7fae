/* What users ask of services: how they look in the API, and their deletion. */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/engine_private.h"
#include "engine/reach.h"

static void
json_set_text(json_t *object, const char *key, const char *value)
{
	json_object_set_new(object, key, value == NULL || *value == '\0' ? json_null() : json_string(value));
}

/* As clients see it: what they call it, where it is, and what they speak. */
static json_t *
service_to_json(Engine *engine, const ServiceSpec *spec)
{
	static const char *const protocols[] = {
		[EXTERNAL_TCP] = "tcp", [EXTERNAL_TLS] = "tls", [EXTERNAL_HTTP] = "http", [EXTERNAL_HTTPS] = "https"};
	const Machine *machine = engine_find_machine(engine, spec->target_name_space, spec->target_name);
	bool external = spec->bind.kind == BIND_EXTERNAL;
	json_t *object = service_spec_to_json(spec);
	char text[REACH_ADDRESS_BYTES];

	reach_print_host(engine, spec, text);
	json_set_text(object, "host", text);
	json_set_text(object, "expose", spec->expose);
	json_object_set_new(object, "port",
						json_integer(spec->bind.kind == BIND_TCP ? spec->target_port : spec->bind.port));
	json_object_set_new(object, "target-port", json_integer(spec->target_port));
	json_set_text(object, "protocol", external ? protocols[spec->bind.protocol] : "tcp");
	if (machine != NULL)
		network_format_address(machine->network.address, text);
	json_set_text(object, "address", machine != NULL ? text : NULL);
	json_set_text(object, "phase", machine != NULL ? phase_name(machine->phase) : NULL);
	return object;
}

json_t *
machine_services_to_json(const Machine *machine)
{
	json_t *services = json_array();
	const EngineService *service = NULL;

	while ((service = machine_next_service(machine, service)) != NULL)
		json_array_append_new(services, service_to_json(machine->engine, &service->spec));
	return services;
}

json_t *
engine_list_services(Engine *engine, const char *name_space)
{
	json_t *array = json_array();

	for (EngineService *service = engine->services; service != NULL; service = service->next)
	{
		if (name_space == NULL || strcmp(service->spec.name_space, name_space) == 0)
			json_array_append_new(array, service_to_json(engine, &service->spec));
	}
	return array;
}

int
engine_get_service(Engine *engine, const char *name_space, const char *name, json_t **ret_service, Error *err)
{
	EngineService *service = engine_find_service(engine, name_space, name);

	if (service == NULL)
		return error_set(err, -ENOENT, "service %s/%s: not found", name_space, name);
	*ret_service = service_to_json(engine, &service->spec);
	return 0;
}

void
engine_delete_service(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context)
{
	EngineService *service = engine_find_service(engine, name_space, name);
	Error error = {0};
	int result = 0;

	if (service == NULL)
		result = error_set(&error, -ENOENT, "service %s/%s: not found", name_space, name);
	else if (service->spec.expose[0] != '\0')
		result =
			error_set(&error, -EBUSY, "service %s/%s: belongs to app %s/%s; take '%s' out of its 'expose'", name_space,
					  name, service->spec.target_name_space, service->spec.target_name, service->spec.expose);
	else
		result = store_delete_service(engine->store, name_space, name, &error);
	if (result == 0)
	{
		engine_drop_service(engine, name_space, name);
		log_info("deleted", "namespace", name_space, "service", name);
	}
	done(context, result, NULL, &error);
}
