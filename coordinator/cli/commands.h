/* The functions that the table of commands names; one file a group. Each returns the exit code. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cli/command.h"

int run_deploy(const CliInvocation *invocation);

int run_app_list(const CliInvocation *invocation);
int run_app_get(const CliInvocation *invocation);
int run_app_delete(const CliInvocation *invocation);

int run_machine_list(const CliInvocation *invocation);
int run_machine_get(const CliInvocation *invocation);
int run_machine_delete(const CliInvocation *invocation);
int run_machine_logs(const CliInvocation *invocation);
int run_machine_exec(const CliInvocation *invocation);
int run_machine_restart(const CliInvocation *invocation);
int run_machine_hibernate(const CliInvocation *invocation);
int run_machine_suspend(const CliInvocation *invocation);
int run_machine_wake(const CliInvocation *invocation);
int run_machine_wait(const CliInvocation *invocation);

int run_service_list(const CliInvocation *invocation);
int run_service_get(const CliInvocation *invocation);
int run_service_delete(const CliInvocation *invocation);

int run_volume_list(const CliInvocation *invocation);
int run_volume_get(const CliInvocation *invocation);
int run_volume_delete(const CliInvocation *invocation);

int run_image_list(const CliInvocation *invocation);
int run_image_pull(const CliInvocation *invocation);
int run_image_import(const CliInvocation *invocation);
int run_image_remove(const CliInvocation *invocation);
int run_image_prune(const CliInvocation *invocation);

int run_namespace_list(const CliInvocation *invocation);
int run_namespace_delete(const CliInvocation *invocation);

int run_postgres_create(const CliInvocation *invocation);
int run_postgres_list(const CliInvocation *invocation);
int run_postgres_get(const CliInvocation *invocation);
int run_postgres_edit(const CliInvocation *invocation);
int run_postgres_delete(const CliInvocation *invocation);
int run_postgres_access_info(const CliInvocation *invocation);
int run_postgres_user(const CliInvocation *invocation);
int run_postgres_database(const CliInvocation *invocation);
int run_postgres_rotate(const CliInvocation *invocation);
int run_postgres_check(const CliInvocation *invocation);

int run_secret_set(const CliInvocation *invocation);
int run_secret_get(const CliInvocation *invocation);
int run_secret_list(const CliInvocation *invocation);
int run_secret_remove(const CliInvocation *invocation);

int run_postgres_backup(const CliInvocation *invocation);
int run_postgres_backups(const CliInvocation *invocation);
int run_postgres_restore(const CliInvocation *invocation);
int run_postgres_psql(const CliInvocation *invocation);
int run_postgres_port_forward(const CliInvocation *invocation);
int run_postgres_tunnel(const CliInvocation *invocation);
int run_postgres_tables(const CliInvocation *invocation);
int run_postgres_stats(const CliInvocation *invocation);
int run_postgres_health(const CliInvocation *invocation);
int run_postgres_inspect(const CliInvocation *invocation);

int run_query(const CliInvocation *invocation);
int run_drain(const CliInvocation *invocation);
int run_events(const CliInvocation *invocation);
int run_schema(const CliInvocation *invocation);
int run_doctor(const CliInvocation *invocation);
int run_version(const CliInvocation *invocation);
int run_completion(const CliInvocation *invocation);
int run_help(const CliInvocation *invocation);
int run_reference(const CliInvocation *invocation);
int run_not_offered(const CliInvocation *invocation);
int run_names(const CliInvocation *invocation);

#endif
