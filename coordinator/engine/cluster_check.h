/* Whether servers take what a deployment wants of its clusters, asked before anything changes. */
#ifndef ENGINE_CLUSTER_CHECK_H
#define ENGINE_CLUSTER_CHECK_H

#include "engine/deploy_private.h"

/* What is still to be asked. */
typedef enum DeployStage
{
	DEPLOY_ASK_PARAMETERS, /* the program of the image */
	DEPLOY_ASK_SERVERS,	   /* about users and databases */
	DEPLOY_STORE		   /* nothing: it ends before the call does */
} DeployStage;

/* deploy.c: engine_deploy, from a stage on. */
void engine_deploy_from(Engine *engine, DeployStage stage, const DeployRequest *request, EngineDeployed done,
						void *context);

/* cluster_check.c. False: there is nothing to ask. */
bool clusters_need_check(const Deployment *deployment);
/* Asks, then deploys from the next stage on, or is done with diagnostics. Fetches an image that is not there. The
 * request and what it names must live until then. */
void clusters_check(const Deployment *deployment, const DeployRequest *request, EngineDeployed done, void *context);

/* cluster_refusals.c, the same of servers that run: whether they would take the users, as before a change of one. */
bool clusters_need_look(const Deployment *deployment);
void clusters_look(const Deployment *deployment, const DeployRequest *request, EngineDeployed done, void *context);

#endif
