/* The engine's own state. Private to engine/. */
#ifndef ENGINE_ENGINE_PRIVATE_H
#define ENGINE_ENGINE_PRIVATE_H

#include "engine/engine.h"
#include "engine/machine.h"
#include "host/pressure.h"

typedef struct EngineVolume
{
	VolumeSpec spec;
	struct EngineVolume *next;
} EngineVolume;

/* A way to a machine; see services.c. */
typedef struct EngineService
{
	ServiceSpec spec;
	struct EngineService *next;
} EngineService;

/* A holder of an image's program files in memory. */
typedef struct ImagePin
{
	char image_id[80];
	pid_t holder; /* 0: it could not be made, or has ended */
	struct ImagePin *next;
} ImagePin;

/* What is known of the host's memory pressure; see pressure.c. */
typedef struct EnginePressure
{
	struct event *timer;	 /* the next look; NULL before the first suspend */
	uint64_t look_at_ns;	 /* when, while the timer runs */
	bool is_watching;		 /* a machine sleeps */
	PressureWatch *watch;	 /* meanwhile; NULL: the kernel does not report stalls */
	bool is_stalled;		 /* it has reported one since the last look */
	uint64_t stalls_from_ns; /* those before are our own doing */
	Machine *leaving;		 /* goes to disk for it, one at a time; NULL: none */
} EnginePressure;

typedef struct EngineCluster EngineCluster; /* see clusters.h */
typedef struct Drain Drain;
typedef struct LogWatch LogWatch;
typedef struct Reach Reach;
typedef struct Backups Backups;
typedef struct Growth Growth;

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
	EngineCluster *clusters; /* in the order of namespace and name */
	EngineService *services; /* in the order of namespace and name */
	Reach *reach;			 /* see reach.h; NULL before the start and after the end */
	ImagePin *pins;
	unsigned image_jobs; /* that fetch or remove images */
	char criu[256];		 /* empty: there is none that works, and criu_problem says so */
	char criu_version[32];
	char criu_problem[256];
	unsigned turns_taken[TURN_KINDS];
	uint64_t last_ticket;		/* of those that wait for their turn */
	struct event *reclaim_turn; /* serves those who wait to give memory back; NULL before the first suspend */
	EnginePressure pressure;
	LogWatch *log_watch;   /* NULL before the first machine, or when the kernel gives none */
	EngineFollow *follows; /* the event log */
	Drain *drain;		   /* NULL: open for everything */
	Backups *backups;	   /* see backups.h */
	Growth *growths;	   /* under way; see volumes.c */
	bool host_restarted;   /* since the last coordinator */
};

Machine *engine_find_machine(Engine *engine, const char *name_space, const char *name);
EngineVolume *engine_find_volume(Engine *engine, const char *name_space, const char *name);
void engine_add_machine(Engine *engine, Machine *machine);
void engine_add_volume(Engine *engine, const VolumeSpec *spec); /* or changes the one that is there */
void engine_remove_machine(Engine *engine, Machine *machine);	/* from list and store, freed */
void engine_serve_turns(Engine *engine, TurnKind kind);
/* While machines are restored; `false` also undoes what a killed coordinator has left. See grace_periods.h. */
void engine_hurry_grace_periods(const Engine *engine, bool hurry);
EngineService *engine_find_service(Engine *engine, const char *name_space, const char *name);
void engine_put_service(Engine *engine, const ServiceSpec *spec); /* adds, or changes the one that is there */
void engine_drop_service(Engine *engine, const char *name_space, const char *name);
void engine_expose(Engine *engine, const AppSpec *app); /* brings the app's services to what its spec says */
void engine_clear_services(Engine *engine);				/* at the end; tells nobody */
/* The services that lead to a machine, one after the other: previous NULL is the first; NULL: there are no more. */
const EngineService *machine_next_service(const Machine *machine, const EngineService *previous);
/* The ports that they lead to, each once, or, without a service, those that the image says it listens on; for the
 * caller to free. */
uint16_t *machine_list_ports(const Machine *machine, size_t *ret_count);
/* Those services as the API shows them, for the caller to decref. */
struct json_t *machine_services_to_json(const Machine *machine);
/* For whatever makes a service reachable. Changed: it is in the list, new or with another spec. Removed: it has left.
 */
void engine_service_changed(Engine *engine, const ServiceSpec *spec);
void engine_service_removed(Engine *engine, const ServiceSpec *spec);
void engine_watch_pressure(Engine *engine);	 /* a machine sleeps, and has given back what it could */
void engine_unwatch_logs(Engine *engine);	 /* after the machines */
void engine_forget_pressure(Engine *engine); /* after the machines */
void engine_end_reclaims(Engine *engine);	 /* the same */
/* dependencies.c: a machine has another phase than before; those that waited for it go on. */
void engine_settle_dependents(Engine *engine, Phase before, const Machine *machine);
/* A machine of this name has been removed from the list: who waits for it says so. */
void engine_note_gone_dependency(Engine *engine, const char *name_space, const char *name);
/* volumes.c: a volume that is in use becomes as large as its spec says; others do when they are used next. */
void engine_grow_volume(Engine *engine, const VolumeSpec *spec);
#define GROWTH_TEXT_BYTES 512
/* For people: how it would become as large as that; empty: nobody uses it. */
void engine_describe_growth(const Engine *engine, const VolumeSpec *spec, char ret_text[GROWTH_TEXT_BYTES]);
void engine_go_on_growing(Engine *engine);								 /* what an earlier coordinator could not end */
void engine_note_growth(const Machine *machine);						 /* it is in another phase */
void engine_end_growths(Engine *engine);								 /* before the machines */
Machine *engine_only_user(const Engine *engine, const VolumeSpec *spec); /* who mounts it; NULL: several, or nobody */
/* drain.c */
void engine_note_phase(Engine *engine);								/* a machine is in another phase */
int engine_check_open(const Engine *engine, Error *err) MUST_CHECK; /* -EBUSY while the host is drained */
void engine_end_drain(Engine *engine);
void engine_pin_image(Engine *engine, const Machine *machine);
void engine_unpin_images(Engine *engine);
/* Whether a deploy has to ask what it is now: it is built, or its name is of a registry and without a digest. */
bool engine_image_can_move(Engine *engine, const AppSpec *spec);
int engine_register_image(Engine *engine, const char *name, const HostImage *image, Error *err) MUST_CHECK;

#endif
