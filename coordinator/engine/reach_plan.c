/* The services in the kernel's terms, and what is in the way of one; see reach_plan.h and reach.h. */
#include "engine/reach_plan.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "engine/reach.h"
#include "host/edge.h"
#include "host/helper.h"
#include "host/network.h"
#include "host/port_owner.h"
#include "host/resolver.h"

#define LOOPBACK	  0x7f000001u
#define PROBLEM_BYTES 320

static const char *const protocol_names[] = {
	[EXTERNAL_TCP] = "tcp", [EXTERNAL_TLS] = "tls", [EXTERNAL_HTTP] = "http", [EXTERNAL_HTTPS] = "https"};

static const ExposureProtocol protocols[] = {[EXTERNAL_TCP] = EXPOSURE_TCP,
											 [EXTERNAL_TLS] = EXPOSURE_TLS,
											 [EXTERNAL_HTTP] = EXPOSURE_HTTP,
											 [EXTERNAL_HTTPS] = EXPOSURE_HTTPS};

/* An address that is written as one is bound; a name is one that clients ask for at the edge's address. */
static uint32_t
host_address(const Engine *engine, const ServiceBinding *bind)
{
	const char *text = bind->host;
	struct in_addr address;

	if (text[0] == '\0' || strcmp(text, "localhost") == 0)
		return LOOPBACK;
	if (inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET, engine->settings.edge_address, &address) == 1)
		return ntohl(address.s_addr);
	return LOOPBACK;
}

static void
fill_binding(const Engine *engine, const ServiceSpec *spec, Exposure *exposure)
{
	char path[512];

	exposure->is_external = true;
	exposure->protocol = protocols[spec->bind.protocol];
	snprintf(exposure->host, sizeof(exposure->host), "%s", spec->bind.host);
	exposure->host_address = host_address(engine, &spec->bind);
	exposure->host_port = spec->bind.port;
	exposure->has_certificate =
		edge_serves(exposure) && edge_find_certificate(engine->settings.certificates, spec->bind.host, path);
}

static void
expose_at(const Engine *engine, const ServiceSpec *spec, uint32_t address, Exposure *ret_exposure)
{
	*ret_exposure = (Exposure){.address = address, .port = spec->target_port};
	snprintf(ret_exposure->name_space, sizeof(ret_exposure->name_space), "%s", spec->name_space);
	snprintf(ret_exposure->name, sizeof(ret_exposure->name), "%s", spec->name);
	ret_exposure->has_name = spec->bind.kind != BIND_TCP;
	if (spec->bind.kind == BIND_INTERNAL)
		ret_exposure->internal_port = spec->bind.port;
	if (spec->bind.kind == BIND_EXTERNAL)
		fill_binding(engine, spec, ret_exposure);
}

bool
reach_expose(const Engine *engine, const ServiceSpec *spec, Exposure *ret_exposure)
{
	for (const Machine *machine = engine->machines; machine != NULL; machine = machine->next)
	{
		if (strcmp(machine->spec.name, spec->target_name) == 0 &&
			strcmp(machine->spec.name_space, spec->target_name_space) == 0)
		{
			expose_at(engine, spec, machine->network.address, ret_exposure);
			return machine->network.address != 0;
		}
	}
	return false;
}

void
reach_plan_fill(Engine *engine, ExposurePlan *ret_plan)
{
	ExposurePlan plan = {0};
	size_t machine_capacity = 0;
	size_t exposure_capacity = 0;

	for (const Machine *machine = engine->machines; machine != NULL; machine = machine->next)
	{
		ExposedMachine *exposed;

		if (machine->network.address == 0)
			continue;
		plan.machines = memory_grow(plan.machines, &machine_capacity, plan.machine_count + 1, sizeof(*plan.machines));
		exposed = &plan.machines[plan.machine_count++];
		exposed->address = machine->network.address;
		snprintf(exposed->name_space, sizeof(exposed->name_space), "%s", machine->spec.name_space);
		snprintf(exposed->link, sizeof(exposed->link), "%s", machine->network.host_link);
	}
	for (const EngineService *service = engine->services; service != NULL; service = service->next)
	{
		plan.exposures =
			memory_grow(plan.exposures, &exposure_capacity, plan.exposure_count + 1, sizeof(*plan.exposures));
		if (reach_expose(engine, &service->spec, &plan.exposures[plan.exposure_count]))
			plan.exposure_count++;
	}
	*ret_plan = plan;
}

static bool
exposures_equal(const Exposure *a, const Exposure *b)
{
	return strcmp(a->name_space, b->name_space) == 0 && strcmp(a->name, b->name) == 0 && a->address == b->address &&
		   a->port == b->port && a->internal_port == b->internal_port && a->has_name == b->has_name &&
		   a->is_external == b->is_external && a->protocol == b->protocol && strcmp(a->host, b->host) == 0 &&
		   a->host_address == b->host_address && a->host_port == b->host_port &&
		   a->has_certificate == b->has_certificate;
}

bool
reach_plans_equal(const ExposurePlan *a, const ExposurePlan *b)
{
	if (a->machine_count != b->machine_count || a->exposure_count != b->exposure_count)
		return false;
	for (size_t i = 0; i < a->machine_count; i++)
	{
		if (a->machines[i].address != b->machines[i].address ||
			strcmp(a->machines[i].name_space, b->machines[i].name_space) != 0)
			return false;
	}
	for (size_t i = 0; i < a->exposure_count; i++)
	{
		if (!exposures_equal(&a->exposures[i], &b->exposures[i]))
			return false;
	}
	return true;
}

void
reach_print_host(Engine *engine, const ServiceSpec *spec, char text[REACH_ADDRESS_BYTES])
{
	const Machine *machine = engine_find_machine(engine, spec->target_name_space, spec->target_name);
	char address[16];

	if (spec->bind.kind == BIND_INTERNAL)
		snprintf(text, REACH_ADDRESS_BYTES, "%s.%s." RESOLVER_DOMAIN, spec->name, spec->name_space);
	else if (spec->bind.kind == BIND_EXTERNAL && spec->bind.host[0] != '\0')
		snprintf(text, REACH_ADDRESS_BYTES, "%s", spec->bind.host);
	else
	{
		network_format_address(spec->bind.kind == BIND_EXTERNAL ? host_address(engine, &spec->bind)
							   : machine != NULL				? machine->network.address
																: 0,
							   address);
		snprintf(text, REACH_ADDRESS_BYTES, "%s", address);
	}
}

/* ---- what is in the way ---- */

static bool
same_service(const ServiceSpec *a, const ServiceSpec *b)
{
	return strcmp(a->name_space, b->name_space) == 0 && strcmp(a->name, b->name) == 0;
}

static bool
same_target(const ServiceSpec *a, const ServiceSpec *b)
{
	return strcmp(a->target_name_space, b->target_name_space) == 0 && strcmp(a->target_name, b->target_name) == 0;
}

/* Two that share a port of the host are told apart by what clients ask for. */
static const char *
find_sharing_problem(const Exposure *a, const Exposure *b, const ServiceSpec *other, char problem[PROBLEM_BYTES])
{
	bool both_at_edge = edge_serves(a) && edge_serves(b);

	if (!both_at_edge || a->protocol != b->protocol || a->host_address != b->host_address)
		snprintf(problem, PROBLEM_BYTES, "port %u of the host belongs to service %s/%s (%s)", a->host_port,
				 other->name_space, other->name, protocol_names[other->bind.protocol]);
	else if (strcasecmp(a->host, b->host) == 0)
		snprintf(problem, PROBLEM_BYTES, "host '%.80s' on port %u belongs to service %s/%s", a->host, a->host_port,
				 other->name_space, other->name);
	else if (a->protocol == EXPOSURE_TLS && a->has_certificate != b->has_certificate)
		snprintf(problem, PROBLEM_BYTES,
				 "shares port %u with service %s/%s, and there is a certificate for the host of one of them only",
				 a->host_port, other->name_space, other->name);
	else
		return NULL;
	return problem;
}

const char *
reach_find_conflict(const Engine *engine, const ServiceSpec *spec, const ServiceSpec *other,
					char problem[PROBLEM_BYTES])
{
	Exposure a;
	Exposure b;

	if (same_service(spec, other))
		return NULL;
	if (spec->bind.kind == BIND_INTERNAL && same_target(spec, other) && spec->bind.port != spec->target_port &&
		(spec->bind.port == other->target_port ||
		 (other->bind.kind == BIND_INTERNAL && spec->bind.port == other->bind.port &&
		  spec->target_port != other->target_port)))
	{
		snprintf(problem, PROBLEM_BYTES, "port %u of %s/%s belongs to service %s/%s", spec->bind.port,
				 spec->target_name_space, spec->target_name, other->name_space, other->name);
		return problem;
	}
	if (spec->bind.kind != BIND_EXTERNAL || other->bind.kind != BIND_EXTERNAL || spec->bind.port != other->bind.port)
		return NULL;
	expose_at(engine, spec, 0, &a);
	expose_at(engine, other, 0, &b);
	if (a.host_address != b.host_address && a.host_address != 0 && b.host_address != 0)
		return NULL;
	return find_sharing_problem(&a, &b, other, problem);
}

static const char *
find_listener(Engine *engine, const Exposure *exposure, char problem[PROBLEM_BYTES])
{
	char owner[PORT_OWNER_BYTES];
	char address[16];
	Error error;

	if (port_find_owner(exposure->host_address, exposure->host_port, reach_edge_pid(engine->reach), owner, &error) != 1)
		return NULL;
	network_format_address(exposure->host_address, address);
	snprintf(problem, PROBLEM_BYTES, "port %u of %s is taken by %s", exposure->host_port, address, owner);
	return problem;
}

static const char *
find_edge_problem(const Engine *engine, const ServiceSpec *spec, const Exposure *exposure, char problem[PROBLEM_BYTES])
{
	if (exposure->protocol != EXPOSURE_HTTPS || exposure->has_certificate)
		return NULL;
	snprintf(problem, PROBLEM_BYTES, "there is no certificate for it: %.100s.pem is looked for in %.160s",
			 spec->bind.host[0] != '\0' ? spec->bind.host : "localhost", engine->settings.certificates);
	return problem;
}

const char *
reach_find_problem(Engine *engine, const ServiceSpec *spec, char problem[PROBLEM_BYTES])
{
	const EngineService *deployed = engine_find_service(engine, spec->name_space, spec->name);
	const char *found;
	Exposure exposure;
	Exposure before;

	if (spec->bind.kind != BIND_EXTERNAL)
		return NULL;
	if (strchr(spec->bind.host, ':') != NULL)
	{
		snprintf(problem, PROBLEM_BYTES, "'%.80s' is an address of IPv6; ports of the host are served by IPv4 only",
				 spec->bind.host);
		return problem;
	}
	expose_at(engine, spec, 0, &exposure);
	found = find_edge_problem(engine, spec, &exposure, problem);
	if (found != NULL)
		return found;
	if (deployed != NULL && deployed->spec.bind.kind == BIND_EXTERNAL)
	{
		expose_at(engine, &deployed->spec, 0, &before);
		if (before.host_address == exposure.host_address && before.host_port == exposure.host_port)
			return NULL;
	}
	return find_listener(engine, &exposure, problem);
}
