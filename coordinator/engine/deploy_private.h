/* What the files of a deployment share: deploy.c, deploy_check.c. */
#ifndef ENGINE_DEPLOY_PRIVATE_H
#define ENGINE_DEPLOY_PRIVATE_H

#include "engine/clusters.h"
#include "engine/engine_private.h"

/* What a deployment does with one resource. */
typedef struct DeployStep
{
	const Resource *resource;
	Machine *machine;		/* app, machine: the one that is there, or NULL */
	EngineVolume *volume;	/* volume: the one that is there, or NULL */
	EngineService *service; /* service: the one that is there, or NULL */
	EngineCluster *cluster; /* postgres: the one that is there, or NULL */
	unsigned index;			/* app, machine that is new: its address */
	SpecChanges changes;
} DeployStep;

typedef struct Deployment
{
	Engine *engine;
	ResourceSet set;
	DeployStep *steps; /* as many as set has resources */
	size_t *order;	   /* of the set's resources: who is depended on comes first */
	DiagnosticList diagnostics;
	PostgresOptions options;
} Deployment;

/* key_path: below the kind: "volumes[0].name". mark NULL: the resource's own place. */
void deploy_complain(Deployment *deployment, const Resource *resource, const SourceMark *mark, const char *key_path,
					 const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Appends what the set's clusters become. */
void deploy_expand_clusters(ResourceSet *set);
void deploy_check_cluster(Deployment *deployment, DeployStep *step);
/* Complains of credentials that a cluster would lose and a machine uses, as it will be. Of all steps, when they are
 * filled. */
void deploy_check_credentials(Deployment *deployment);
/* Complains of an app or volume that belongs to a cluster, or that the file calls by the same name. */
void deploy_check_owner(Deployment *deployment, const Resource *resource);

/* Whether the machine is one of the file's. */
bool deploy_replaces(const Deployment *deployment, const Machine *machine);

/* Fills set and steps from the files. -EINVAL with diagnostics. */
int deploy_check(Deployment *deployment, const DeployRequest *request) MUST_CHECK;

/* Complains of services that would be in the way of others, or have the host in their way. */
void deploy_check_reach(Deployment *deployment);

#endif
