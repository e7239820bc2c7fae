/*
 * What machines offer to others, in the kernel's terms: plain values from which the wall, the address translation, the
 * names and the edge's configuration are made. All four are made anew from the whole plan whenever something changes.
 */
#ifndef HOST_EXPOSURE_H
#define HOST_EXPOSURE_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/names.h"

#define EXPOSURE_NAME_BYTES 64
#define EXPOSURE_HOST_BYTES 256

typedef enum ExposureProtocol
{
	EXPOSURE_TCP, /* address translation, no process */
	EXPOSURE_TLS, /* these three by the edge, HAProxy */
	EXPOSURE_HTTP,
	EXPOSURE_HTTPS
} ExposureProtocol;

/* One service. Addresses and ports are in host byte order. */
typedef struct Exposure
{
	char name_space[EXPOSURE_NAME_BYTES]; /* the service's, which may be another one than the machine's */
	char name[EXPOSURE_NAME_BYTES];
	uint32_t address;		/* of the machine */
	uint16_t port;			/* in the machine */
	uint16_t internal_port; /* at the machine's address, for other machines and the host; 0: as port */
	bool has_name;			/* in the resolver */
	bool is_external;
	ExposureProtocol protocol;
	char host[EXPOSURE_HOST_BYTES]; /* as written: the name that clients ask for, or an address; may be empty */
	uint32_t host_address;			/* of the host: what is bound; 0: every one of its addresses */
	uint16_t host_port;
	bool has_certificate; /* the edge speaks TLS for it; else TLS is passed through by its server name */
} Exposure;

typedef struct ExposedMachine
{
	char name_space[EXPOSURE_NAME_BYTES];
	uint32_t address;
	char link[IFNAMSIZ]; /* the host's end */
} ExposedMachine;

typedef struct ExposurePlan
{
	ExposedMachine *machines;
	size_t machine_count;
	Exposure *exposures;
	size_t exposure_count;
} ExposurePlan;

/* True for a port of the host that address translation serves. */
static inline bool
exposure_is_forward(const Exposure *exposure)
{
	return exposure->is_external && exposure->protocol == EXPOSURE_TCP;
}

static inline bool
exposure_is_loopback(const Exposure *exposure)
{
	return exposure->host_address >> 24 == 127;
}

/* True when clients of the machine's address use another port than the server listens on. */
static inline bool
exposure_is_renumbered(const Exposure *exposure)
{
	return exposure->internal_port != 0 && exposure->internal_port != exposure->port;
}

void exposure_plan_clear(ExposurePlan *plan); /* frees both arrays */

#endif
