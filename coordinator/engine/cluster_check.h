/* Whether servers take the parameters of a deployment's clusters, asked before anything changes. */
#ifndef ENGINE_CLUSTER_CHECK_H
#define ENGINE_CLUSTER_CHECK_H

#include "engine/deploy_private.h"

/* False: there is nothing to ask. */
bool clusters_need_check(const Deployment *deployment);

/* Asks, then deploys (engine_deploy_checked) or is done with diagnostics. Fetches an image that is not there. The
 * request and what it names must live until then. */
void clusters_check(const Deployment *deployment, const DeployRequest *request, EngineDeployed done, void *context);

/* deploy.c: what engine_deploy does when nothing is to be asked any more. */
void engine_deploy_checked(Engine *engine, const DeployRequest *request, EngineDeployed done, void *context);

#endif
