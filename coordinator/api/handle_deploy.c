/*
 * Deploying: the text of one file, or with ?bundle=true an object of several files and of what their expressions can
 * say. Everything is read as it came; what is wrong with it is said by file, line and column.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/handlers.h"
#include "base/cleanup.h"
#include "base/text.h"

#define FILES_MAX 1000

/* A request while it is worked on. Texts belong to the body. */
typedef struct Deploy
{
	ApiCall *call;
	json_t *body; /* of a bundle; NULL: of a plain file */
	char *text;	  /* of a plain file */
	ResourceFile *files;
	EnvironmentVariable *vars;
	EnvironmentVariable *env;
	DeployRequest request;
} Deploy;

static void
deploy_free(Deploy *deploy)
{
	json_decref(deploy->body);
	free(deploy->text);
	free(deploy->files);
	free(deploy->vars);
	free(deploy->env);
	free(deploy);
}

static json_t *
diagnostics_to_json(const Deploy *deploy, const DiagnosticList *diagnostics)
{
	json_t *array = json_array();

	for (size_t i = 0; i < diagnostics->count; i++)
	{
		const Diagnostic *diagnostic = &diagnostics->items[i];
		json_t *message = json_string(diagnostic->message);

		if (message == NULL) /* quotes bytes of the file that are no UTF-8 */
			message = json_string("is not valid UTF-8");
		json_array_append_new(array,
							  json_pack("{s:s, s:i, s:i, s:s, s:o}", "file",
										deploy->request.files[diagnostic->file].name, "line", diagnostic->line,
										"column", diagnostic->column, "key", diagnostic->key_path, "message", message));
	}
	return json_pack("{s:o}", "diagnostics", array);
}

static void
deploy_done(void *context, int result, json_t *body, const DiagnosticList *diagnostics, const Error *err)
{
	Deploy *deploy = context;
	ApiCall *call = deploy->call;
	json_t *more;
	Error error = {0};

	if (result == 0)
		api_call_reply(call, body);
	else if (diagnostics == NULL || diagnostics->count == 0)
		api_call_reply_error(call, result, err);
	else
	{
		more = diagnostics_to_json(deploy, diagnostics);
		if (err == NULL || err->message[0] == '\0')
		{
			error_set(&error, result, "%zu %s wrong; nothing was applied", diagnostics->count,
					  diagnostics->count == 1 ? "thing is" : "things are");
			err = &error;
		}
		api_call_reply_error_with(call, result, err, more);
		json_decref(more);
	}
	deploy_free(deploy);
}

static void
read_plain(Deploy *deploy)
{
	const char *name = api_call_query(deploy->call, "file");
	size_t size;
	const char *body = api_call_body(deploy->call, &size);

	deploy->text = memory_allocate(size + 1);
	memcpy(deploy->text, body, size);
	deploy->files = memory_allocate(sizeof(*deploy->files));
	deploy->files[0] = (ResourceFile){.name = name != NULL ? name : "", .text = deploy->text, .size = size};
	deploy->request.file_count = 1;
}

/* {"name": "value", …}; NULL is empty. The caller frees the array; its texts belong to the object. */
static int
read_variables(const json_t *object, const char *key, EnvironmentVariable **ret_list, size_t *ret_count, Error *err)
{
	size_t count = 0;
	const char *name;
	json_t *value;

	if (object != NULL && !json_is_object(object))
		return error_set(err, -EINVAL, "body: variables.%s must be an object", key);
	*ret_list = memory_allocate((json_object_size(object) + 1) * sizeof(**ret_list));
	json_object_foreach((json_t *) object, name, value)
	{
		if (!json_is_string(value))
			return error_set(err, -EINVAL, "body: variables.%s.%.64s must be text", key, name);
		(*ret_list)[count++] = (EnvironmentVariable){.name = (char *) name, .value = (char *) json_string_value(value)};
	}
	*ret_count = count;
	return 0;
}

static int
read_files(Deploy *deploy, const json_t *files, Error *err)
{
	size_t count = json_array_size(files);

	if (count == 0 || count > FILES_MAX)
		return error_set(err, -EINVAL, "body: files must be a list of 1 to %d files", FILES_MAX);
	deploy->files = memory_allocate(count * sizeof(*deploy->files));
	for (size_t i = 0; i < count; i++)
	{
		ResourceFile *file = &deploy->files[i];

		if (json_unpack(json_array_get(files, i), "{s:s, s?s, s:s%}", "name", &file->name, "directory",
						&file->directory, "text", &file->text, &file->size) < 0)
			return error_set(err, -EINVAL,
							 "body: files[%zu] must be {\"name\": text, \"directory\": text, \"text\": text}", i);
		if (file->directory != NULL && file->directory[0] != '/')
			return error_set(err, -EINVAL, "body: files[%zu].directory must be an absolute path", i);
	}
	deploy->request.file_count = count;
	return 0;
}

static int
read_bundle(Deploy *deploy, Error *err)
{
	Variables *variables = &deploy->request.variables;
	json_t *files = NULL;
	json_t *vars = NULL;
	json_t *env = NULL;
	int result = api_call_read_json(deploy->call, &deploy->body, err);

	if (result < 0)
		return result;
	if (json_unpack(deploy->body, "{s:o, s?{s?o, s?o, s?s, s?s !} !}", "files", &files, "variables", "var", &vars,
					"env", &env, "namespace", &variables->name_space, "commit-sha", &variables->commit_sha) < 0)
		return error_set(err, -EINVAL,
						 "body: must be {\"files\": […], \"variables\": {\"var\", \"env\", \"namespace\", "
						 "\"commit-sha\"}} and nothing else");
	result = read_files(deploy, files, err);
	if (result == 0)
		result = read_variables(vars, "var", &deploy->vars, &variables->var_count, err);
	if (result == 0)
		result = read_variables(env, "env", &deploy->env, &variables->env_count, err);
	variables->vars = deploy->vars;
	variables->env = deploy->env;
	return result;
}

void
handle_deploy(ApiCall *call)
{
	Deploy *deploy = memory_allocate(sizeof(*deploy));
	bool bundle = false;
	bool reassign = false;
	Error error = {0};
	int result = api_call_query_flag(call, "bundle", &bundle, &error);

	deploy->call = call;
	if (result == 0)
		result = api_call_query_flag(call, "dry-run", &deploy->request.dry_run, &error);
	if (result == 0)
		result = api_call_query_flag(call, "reassign-owned", &reassign, &error);
	if (reassign)
		text_copy(deploy->request.options.reassign_to, sizeof(deploy->request.options.reassign_to), "postgres");
	if (result == 0 && bundle)
		result = read_bundle(deploy, &error);
	else if (result == 0)
		read_plain(deploy);
	if (result < 0)
	{
		api_call_reply_error(call, result, &error);
		deploy_free(deploy);
		return;
	}
	deploy->request.files = deploy->files;
	engine_deploy(api_call_engine(call), &deploy->request, deploy_done, deploy);
}
