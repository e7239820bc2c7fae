/* The handlers that the table of routes names. Each answers its call exactly once, now or later. */
#ifndef API_HANDLERS_H
#define API_HANDLERS_H

#include "api/route.h"

/* handle_read.c */
void handle_version(ApiCall *call);
void handle_doctor(ApiCall *call);
void handle_list_apps(ApiCall *call);
void handle_get_app(ApiCall *call);
void handle_list_machines(ApiCall *call);
void handle_get_machine(ApiCall *call);
void handle_list_services(ApiCall *call);
void handle_get_service(ApiCall *call);
void handle_list_volumes(ApiCall *call);
void handle_get_volume(ApiCall *call);
void handle_list_images(ApiCall *call);
void handle_list_namespaces(ApiCall *call);

/* handle_deploy.c */
void handle_deploy(ApiCall *call);

/* handle_change.c */
void handle_delete_app(ApiCall *call);
void handle_delete_service(ApiCall *call);
void handle_delete_machine(ApiCall *call);
void handle_delete_volume(ApiCall *call);
void handle_delete_namespace(ApiCall *call);
void handle_restart_machine(ApiCall *call);
void handle_hibernate_machine(ApiCall *call);
void handle_suspend_machine(ApiCall *call);
void handle_wake_machine(ApiCall *call);
void handle_import_image(ApiCall *call);
void handle_remove_image(ApiCall *call);
void handle_prune_images(ApiCall *call);
void handle_drain(ApiCall *call);

/* handle_secrets.c */
void handle_list_secrets(ApiCall *call);
void handle_get_secret(ApiCall *call);
void handle_put_secret(ApiCall *call);
void handle_delete_secret(ApiCall *call);
void handle_list_values(ApiCall *call);
void handle_get_value(ApiCall *call);
void handle_put_value(ApiCall *call);
void handle_delete_value(ApiCall *call);

/* handle_postgres.c */
void handle_list_clusters(ApiCall *call);
void handle_get_cluster(ApiCall *call);
void handle_get_cluster_file(ApiCall *call);
void handle_delete_cluster(ApiCall *call);
void handle_get_access(ApiCall *call);
void handle_wait_cluster(ApiCall *call);

/* handle_postgres_users.c */
void handle_add_cluster_user(ApiCall *call);
void handle_edit_cluster_user(ApiCall *call);
void handle_drop_cluster_user(ApiCall *call);
void handle_rotate_password(ApiCall *call);
void handle_add_cluster_database(ApiCall *call);
void handle_edit_cluster_database(ApiCall *call);
void handle_drop_cluster_database(ApiCall *call);
void handle_check_cluster(ApiCall *call);

/* handle_events.c, handle_wait.c, handle_logs.c, handle_exec.c */
void handle_list_events(ApiCall *call);
void handle_wait(ApiCall *call);
void handle_logs(ApiCall *call);
void handle_exec(ApiCall *call);

void handle_list_backups(ApiCall *call);
void handle_get_backup(ApiCall *call);
void handle_put_backup(ApiCall *call);
void handle_delete_backup(ApiCall *call);

#endif
