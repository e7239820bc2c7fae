/* The table of routes; see route.h. docs/openapi.yaml says the same, and a test compares the two. */
#include "api/route.h"

#include "api/handlers.h"

#define MACHINE "/v1/namespaces/{ns}/machines/{name}"
#define CLUSTER "/v1/namespaces/{ns}/postgres/{name}"

/* clang-format off */
const ApiRoute api_routes[] = {
	{"GET",    "/v1/version",                         NULL,                  handle_version,         "Versions of the coordinator and of this API"},
	{"GET",    "/v1/doctor",                          NULL,                  handle_doctor,          "What this host has and lacks, and what follows from it"},
	{"POST",   "/v1/drain",                           "timeout-ms",          handle_drain,           "Put every machine on disk, before the host shuts down"},
	{"POST",   "/v1/deploy",                          "file,bundle,dry-run,reassign-owned",              handle_deploy,          "Check a file of resources, then apply all of it"},
	{"GET",    "/v1/apps",                            "namespace",           handle_list_apps,       "List apps"},
	{"GET",    "/v1/namespaces/{ns}/apps/{name}",     NULL,                  handle_get_app,         "Show an app"},
	{"DELETE", "/v1/namespaces/{ns}/apps/{name}",     NULL,                  handle_delete_app,      "Stop an app's machine and forget the app"},
	{"GET",    "/v1/machines",                        "namespace",           handle_list_machines,   "List machines"},
	{"GET",    MACHINE,                               "prefix",              handle_get_machine,     "Show a machine"},
	{"DELETE", MACHINE,                               NULL,                  handle_delete_machine,  "Stop and forget a machine that has no app"},
	{"GET",    MACHINE "/logs",                       "follow,tail,since-ms,timestamps,prefix", handle_logs, "Read what a machine has written"},
	{"GET",    MACHINE "/wait",                       "phase,timeout-ms,prefix", handle_wait,        "Wait until a machine is in a phase"},
	{"POST",   MACHINE "/restart",                    NULL,                  handle_restart_machine, "Stop a machine in order and start it again"},
	{"POST",   MACHINE "/hibernate",                  NULL,                  handle_hibernate_machine, "Write a machine to disk now"},
	{"POST",   MACHINE "/suspend",                    NULL,                  handle_suspend_machine, "Suspend a machine now"},
	{"POST",   MACHINE "/wake",                       NULL,                  handle_wake_machine,    "Wake a machine, or start a stopped one"},
	{"POST",   MACHINE "/exec",                       NULL,                  handle_exec,            "Run a program in a machine"},
	{"GET",    "/v1/services",                        "namespace",           handle_list_services,   "List services"},
	{"GET",    "/v1/namespaces/{ns}/services/{name}", NULL,                  handle_get_service,     "Show a service"},
	{"DELETE", "/v1/namespaces/{ns}/services/{name}", NULL,                  handle_delete_service,  "Delete a service that is no app's"},
	{"GET",    "/v1/volumes",                         "namespace",           handle_list_volumes,    "List volumes"},
	{"GET",    "/v1/namespaces/{ns}/volumes/{name}",  NULL,                  handle_get_volume,      "Show a volume"},
	{"DELETE", "/v1/namespaces/{ns}/volumes/{name}",  NULL,                  handle_delete_volume,   "Delete a volume and its data"},
	{"GET",    "/v1/images",                          NULL,                  handle_list_images,     "List images"},
	{"POST",   "/v1/images",                          NULL,                  handle_import_image,    "Import an image under a name"},
	{"DELETE", "/v1/images",                          "name",                handle_remove_image,    "Remove an image that no machine uses"},
	{"POST",   "/v1/images/prune",                    NULL,                  handle_prune_images,    "Remove every image that no machine uses"},
	{"GET",    "/v1/namespaces",                      NULL,                  handle_list_namespaces, "List namespaces, and what is in them"},
	{"DELETE", "/v1/namespaces/{ns}",                 "volumes",             handle_delete_namespace, "Delete everything in a namespace"},
	{"GET",    "/v1/secrets",                         "namespace",           handle_list_secrets,    "List secrets, without what they are"},
	{"GET",    "/v1/namespaces/{ns}/secrets/{name}",  NULL,                  handle_get_secret,      "Show a secret"},
	{"PUT",    "/v1/namespaces/{ns}/secrets/{name}",  NULL,                  handle_put_secret,      "Set a secret"},
	{"DELETE", "/v1/namespaces/{ns}/secrets/{name}",  NULL,                  handle_delete_secret,   "Remove a secret"},
	{"GET",    "/v1/values",                          "namespace",           handle_list_values,     "List values"},
	{"GET",    "/v1/namespaces/{ns}/values/{name}",   NULL,                  handle_get_value,       "Show a value"},
	{"PUT",    "/v1/namespaces/{ns}/values/{name}",   NULL,                  handle_put_value,       "Set a value"},
	{"DELETE", "/v1/namespaces/{ns}/values/{name}",   NULL,                  handle_delete_value,    "Remove a value"},
	{"GET",    "/v1/postgres",                        "namespace",           handle_list_clusters,   "List PostgreSQL clusters"},
	{"GET",    CLUSTER,                               NULL,                  handle_get_cluster,     "Show a PostgreSQL cluster"},
	{"DELETE", CLUSTER,                               "volumes",             handle_delete_cluster,  "Delete a PostgreSQL cluster"},
	{"GET",    CLUSTER "/file",                       NULL,                  handle_get_cluster_file, "The document by which a cluster was deployed"},
	{"GET",    CLUSTER "/access-info",                "user,from,localhost", handle_get_access,      "How a user reaches a cluster"},
	{"GET",    CLUSTER "/wait",                       "timeout-ms",          handle_wait_cluster,    "Wait until a cluster is what its file says"},
	{"POST",   CLUSTER "/check",                      NULL,                  handle_check_cluster,   "See what was changed on a cluster's server by hand"},
	{"POST",   CLUSTER "/users",                      "adopt",               handle_add_cluster_user, "Add a user to a cluster"},
	{"PUT",    CLUSTER "/users/{user}",               "adopt,repair",        handle_edit_cluster_user, "Change a user of a cluster"},
	{"DELETE", CLUSTER "/users/{user}",               "drop-owned,reassign-to", handle_drop_cluster_user, "Drop a user of a cluster"},
	{"POST",   CLUSTER "/users/{user}/rotate",        NULL,                  handle_rotate_password, "Give a user of a cluster another password"},
	{"POST",   CLUSTER "/databases",                  "adopt",               handle_add_cluster_database, "Create a database in a cluster"},
	{"PUT",    CLUSTER "/databases/{database}",       "adopt,repair",        handle_edit_cluster_database, "Give a database of a cluster another owner"},
	{"DELETE", CLUSTER "/databases/{database}",       NULL,                  handle_drop_cluster_database, "End a database's sessions and drop it"},
	{"GET",    "/v1/backups",                         "namespace",           handle_list_backups,    "List schedules of backups, with what became of the last one"},
	{"GET",    "/v1/namespaces/{ns}/backups/{name}",  NULL,                  handle_get_backup,      "Show a server's schedule of backups"},
	{"PUT",    "/v1/namespaces/{ns}/backups/{name}",  NULL,                  handle_put_backup,      "Back a server up by schedule"},
	{"DELETE", "/v1/namespaces/{ns}/backups/{name}",  NULL,                  handle_delete_backup,   "Back a server up no longer"},
	{"GET",    "/v1/events",                          "namespace,name,last,follow", handle_list_events, "List what became of machines, oldest first"},
};
/* clang-format on */
const size_t api_route_count = sizeof(api_routes) / sizeof(api_routes[0]);
