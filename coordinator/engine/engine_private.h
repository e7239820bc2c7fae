/* The engine's own state. Private to engine/. */
#ifndef ENGINE_ENGINE_PRIVATE_H
#define ENGINE_ENGINE_PRIVATE_H

#include "engine/engine.h"
#include "engine/machine.h"

typedef struct EngineVolume
{
	VolumeSpec spec;
	struct EngineVolume *next;
} EngineVolume;

/* A holder of an image's program files in memory. */
typedef struct ImagePin
{
	char image_id[80];
	pid_t holder; /* 0: it could not be made, or has ended */
	struct ImagePin *next;
} ImagePin;

struct Engine
{
	struct event_base *loop;
	Settings settings;
	HostLayout layout;
	CgroupHierarchy *cgroups;
	Store *store;
	DoorKeeper *doors;
	Machine *machines;
	EngineVolume *volumes;
	ImagePin *pins;
	char criu[256]; /* empty: there is none that works, and criu_problem says so */
	char criu_version[32];
	char criu_problem[256];
	unsigned resuming;	  /* restores that run */
	unsigned booting;	  /* cold starts that run */
	uint64_t last_ticket; /* of those that wait for either */
};

Machine *engine_find_machine(Engine *engine, const char *name_space, const char *name);
EngineVolume *engine_find_volume(Engine *engine, const char *name_space, const char *name);
void engine_add_machine(Engine *engine, Machine *machine);
void engine_add_volume(Engine *engine, const VolumeSpec *spec); /* or changes the one that is there */
void engine_remove_machine(Engine *engine, Machine *machine);	/* from list and store, freed */
void engine_resume_next(Engine *engine);
void engine_pin_image(Engine *engine, const Machine *machine);
void engine_unpin_images(Engine *engine);
int engine_register_image(Engine *engine, const char *name, const HostImage *image, Error *err) MUST_CHECK;

#endif
