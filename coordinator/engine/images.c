/*
 * Images: asking registries for them, knowing who runs which, throwing them out. A machine keeps the image that it was
 * made from, by its digest, until it is deployed again; what a name stands for may have moved meanwhile.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/engine_private.h"

#define FETCH_TIMEOUT_MS (30 * 60 * 1000)
#define PRUNE_TIMEOUT_MS (10 * 60 * 1000)
#define CONFIG_MAX_BYTES ((size_t) 4 << 20)
#define REGISTRY_PREFIX	 "docker://"

/* ---- names and ids ---- */

int
engine_register_image(Engine *engine, const char *name, const HostImage *image, Error *err)
{
	ImageRecord record = {.created_ms = clock_realtime_ms()};
	int result = file_read(image->config_path, CONFIG_MAX_BYTES, &record.config_json, NULL, err);

	if (result < 0)
		return result;
	text_copy(record.name, sizeof(record.name), name);
	text_copy(record.id, sizeof(record.id), image->id);
	text_copy(record.root, sizeof(record.root), image->root);
	text_copy(record.source_digest, sizeof(record.source_digest), image->source_digest);
	result = store_put_image(engine->store, &record, err);
	image_record_clear(&record);
	return result;
}

void
machine_image_name(const Machine *machine, char ret_name[MACHINE_IMAGE_BYTES])
{
	if (machine->spec.image != NULL)
		text_copy(ret_name, MACHINE_IMAGE_BYTES, machine->spec.image);
	else
		snprintf(ret_name, MACHINE_IMAGE_BYTES, "build of %s", machine->label);
}

/* The image that the machine was made from, or else what its name stands for. */
static int
machine_find_image(const Machine *machine, HostImage *ret_image, Error *err)
{
	char name[MACHINE_IMAGE_BYTES];
	ImageRecord record = {0};
	int result;

	if (machine->record.image_id[0] != '\0' &&
		image_find(&machine->engine->layout, machine->record.image_id, ret_image, NULL) == 0)
		return 0;
	machine_image_name(machine, name);
	result = store_get_image(machine->engine->store, name, &record, err);
	if (result == 0)
		result = image_find(&machine->engine->layout, record.id, ret_image, err);
	image_record_clear(&record);
	return result;
}

int
machine_load_image(Machine *machine, Error *err)
{
	_cleanup_free_ char *json = NULL;
	ImageConfig config = {0};
	HostImage image;
	int result = machine_find_image(machine, &image, err);

	machine->facts.image_known = false;
	if (result == 0)
		result = file_read(image.config_path, CONFIG_MAX_BYTES, &json, NULL, err);
	if (result == 0)
		result = image_config_parse(json, image.root, &config, err);
	if (result < 0)
	{
		char name[MACHINE_IMAGE_BYTES];

		machine_image_name(machine, name);
		return error_prefix(err, "image %s", name);
	}
	image_config_clear(&machine->image_config);
	machine->image_config = config;
	rootfs_plan(image.root, machine->paths.directory, &machine->rootfs);
	text_copy(machine->record.image_id, sizeof(machine->record.image_id), image.id);
	machine->facts.image_known = true;
	return 0;
}

/* ---- asking registries ---- */

/* What a job's child needs; it must not touch the store. */
typedef struct Obtain
{
	const HostLayout *layout;
	const char *name;
	const char *source; /* skopeo's notation; NULL: the registry of the name */
	const char *auth_file;
	const BuildSpec *build; /* NULL: it is not built */
	unsigned number;
	char known_digest[80];
	char known_id[80];
} Obtain;

static void
obtain_fill(Engine *engine, const char *name, const char *source, Obtain *ret_obtain)
{
	ImageRecord record = {0};

	*ret_obtain = (Obtain){
		.layout = &engine->layout, .name = name, .source = source, .auth_file = engine->settings.registry_auth_file};
	if (store_get_image(engine->store, name, &record, NULL) < 0)
		return;
	text_copy(ret_obtain->known_digest, sizeof(ret_obtain->known_digest), record.source_digest);
	text_copy(ret_obtain->known_id, sizeof(ret_obtain->known_id), record.id);
	image_record_clear(&record);
}

static int
obtain_by_building(const Obtain *obtain, HostImage *ret_image, Error *err)
{
	const BuildSpec *spec = obtain->build;
	/* Freed by the end of the job's child. */
	const char **arguments = memory_allocate((spec->argument_count + 1) * sizeof(*arguments));
	const ImageBuild build = {.name = obtain->name,
							  .number = obtain->number,
							  .context = spec->context,
							  .dockerfile = spec->dockerfile,
							  .arguments = arguments,
							  .argument_count = spec->argument_count,
							  .auth_file = obtain->auth_file,
							  .timeout_ms = FETCH_TIMEOUT_MS};

	for (size_t i = 0; i < spec->argument_count; i++)
		arguments[i] = memory_printf("%s=%s", spec->arguments[i].name, spec->arguments[i].value);
	return image_build(obtain->layout, &build, ret_image, err);
}

static int
obtain_job(const void *input, void *output, Error *err)
{
	const Obtain *obtain = input;
	const ImagePull pull = {.name = obtain->name,
							.auth_file = obtain->auth_file,
							.known_digest = obtain->known_digest,
							.known_id = obtain->known_id,
							.timeout_ms = FETCH_TIMEOUT_MS};

	if (obtain->build != NULL)
		return obtain_by_building(obtain, output, err);
	if (obtain->source != NULL)
		return image_fetch(obtain->layout, obtain->source, FETCH_TIMEOUT_MS, output, err);
	return image_pull(obtain->layout, &pull, output, err);
}

static void
obtain_fill_machine(const Machine *machine, const char *name, Obtain *ret_obtain)
{
	obtain_fill(machine->engine, name, NULL, ret_obtain);
	if (machine->spec.build.kind != BUILD_NONE)
		ret_obtain->build = &machine->spec.build;
	ret_obtain->number = machine->record.index;
}

static JobSpec
obtain_spec(const Obtain *obtain, JobDone done, void *context)
{
	return (JobSpec){.name = "fetch image",
					 .function = obtain_job,
					 .input = obtain,
					 .output_bytes = sizeof(HostImage),
					 .timeout_ms = FETCH_TIMEOUT_MS,
					 .done = done,
					 .context = context};
}

static void
machine_image_fetched(void *context, int result, const void *output, const Error *err)
{
	Machine *machine = context;
	char name[MACHINE_IMAGE_BYTES];
	Error error = *err;

	machine->work = NULL;
	machine->engine->image_jobs--;
	machine_image_name(machine, name);
	if (result == 0)
		result = engine_register_image(machine->engine, name, output, &error);
	if (result == 0)
		result = machine_load_image(machine, &error);
	else if (machine->spec.image != NULL && machine_load_image(machine, NULL) == 0)
	{
		log_warning("its registry was not asked; what is there is used", "machine", machine->label, "reason",
					error.message);
		result = 0;
	}
	if (result < 0)
		machine_fail(machine, EVENT_IMAGE_FAILED, error.message);
	else
		machine_dispatch(machine, EVENT_IMAGE_THERE, NULL);
}

void
machine_fetch_image(Machine *machine)
{
	char name[MACHINE_IMAGE_BYTES];
	Obtain obtain;
	JobSpec spec = obtain_spec(&obtain, machine_image_fetched, machine);

	machine->image_question++;
	machine_image_name(machine, name);
	obtain_fill_machine(machine, name, &obtain);
	machine->engine->image_jobs++;
	machine_start_work(machine, &spec, EVENT_IMAGE_FAILED);
	if (machine->work == NULL)
		machine->engine->image_jobs--;
}

bool
engine_image_can_move(Engine *engine, const AppSpec *spec)
{
	const char *name = spec->image;
	ImageRecord record = {0};
	bool can_move;

	if (name == NULL)
		return true;
	can_move = strchr(name, '@') == NULL && store_get_image(engine->store, name, &record, NULL) == 0 &&
			   record.source_digest[0] != '\0';
	image_record_clear(&record);
	return can_move;
}

void
machine_ask_for_image(Machine *machine)
{
	ImageRecord record = {0};

	machine->record.image_id[0] = '\0';
	machine->facts.image_known = !engine_image_can_move(machine->engine, &machine->spec) &&
								 store_get_image(machine->engine->store, machine->spec.image, &record, NULL) == 0;
	image_record_clear(&record);
}

/* ---- work that is no machine's ---- */

typedef struct ImageWork
{
	Engine *engine;
	Job *job;
	EngineDone done; /* NULL: a look for a deployed machine */
	void *context;
	char *name;
	char *source;
	unsigned question; /* of the machine whose deploy has asked; see Machine.image_question */
	char **kept;	   /* ids; while pruning */
	size_t kept_count;
	size_t kept_capacity;
	json_t *body;
} ImageWork;

static ImageWork *
image_work_new(Engine *engine, const char *name, EngineDone done, void *context)
{
	ImageWork *work = memory_allocate(sizeof(*work));

	*work = (ImageWork){.engine = engine, .done = done, .context = context};
	if (name != NULL)
		work->name = memory_duplicate(name);
	engine->image_jobs++;
	return work;
}

static void
image_work_end(ImageWork *work, int result, const Error *err)
{
	work->engine->image_jobs--;
	if (work->done != NULL)
		work->done(work->context, result, work->body, err);
	if (work->body != NULL)
		json_decref(work->body);
	for (size_t i = 0; i < work->kept_count; i++)
		free(work->kept[i]);
	free(work->kept);
	free(work->name);
	free(work->source);
	free(work);
}

static void
image_work_start(ImageWork *work, const JobSpec *spec)
{
	Error error;
	int result = job_start(work->engine->loop, spec, &work->job, &error);

	if (result < 0)
		image_work_end(work, result, &error);
}

static void
image_imported(void *context, int result, const void *output, const Error *err)
{
	ImageWork *work = context;
	const HostImage *image = output;
	ImageRecord before = {0};
	Error error = *err;
	bool is_new = store_get_image(work->engine->store, work->name, &before, NULL) < 0;

	if (result == 0)
		result = engine_register_image(work->engine, work->name, image, &error);
	if (result == 0)
		work->body = json_pack("{s:s, s:s, s:s?, s:b}", "name", work->name, "id", image->id, "digest",
							   image->source_digest[0] == '\0' ? NULL : image->source_digest, "changed",
							   is_new || strcmp(before.id, image->id) != 0);
	image_record_clear(&before);
	image_work_end(work, result, &error);
}

void
engine_import_image(Engine *engine, const char *name, const char *source, EngineDone done, void *context)
{
	ImageWork *work = image_work_new(engine, name, done, context);
	Obtain obtain;
	JobSpec spec = obtain_spec(&obtain, image_imported, work);
	bool pulled = strncmp(source, REGISTRY_PREFIX, strlen(REGISTRY_PREFIX)) == 0 &&
				  strcmp(source + strlen(REGISTRY_PREFIX), name) == 0;

	work->source = memory_duplicate(source);
	obtain_fill(engine, work->name, pulled ? NULL : work->source, &obtain);
	image_work_start(work, &spec);
}

/* All machines of this name run an older one by now; those whose deploy has asked start again. */
static void
image_asked(void *context, int result, const void *output, const Error *err)
{
	ImageWork *work = context;
	const HostImage *image = output;
	Engine *engine = work->engine;
	Machine *machine = engine_find_machine(engine, work->source, strchr(work->source, '\0') + 1);
	char name[MACHINE_IMAGE_BYTES] = "";
	Error error = *err;
	char detail[128];
	char note[512];

	if (machine != NULL)
		machine_image_name(machine, name);
	/* A build that began before somebody changed its files and deployed again. */
	if (machine != NULL && machine->image_question != work->question)
	{
		image_work_end(work, result, err);
		return;
	}
	if (result == 0)
		result = engine_register_image(engine, work->name, image, &error);
	if (result < 0)
	{
		log_warning("an image was not renewed", "image", work->name, "reason", error.message);
		snprintf(note, sizeof(note), "its image stays as it was: %.400s", error.message);
		if (machine != NULL)
			machine_add_note(machine, note);
	}
	else if (machine != NULL && strcmp(name, work->name) == 0 && strcmp(machine->record.image_id, image->id) != 0)
	{
		snprintf(detail, sizeof(detail), "%.60s is another image now", work->name);
		machine->record.image_id[0] = '\0';
		machine->facts.restart_wanted = true;
		machine_dispatch(machine, EVENT_STOP, detail);
	}
	image_work_end(work, result, &error);
}

void
machine_look_for_moved_image(Machine *machine)
{
	Engine *engine = machine->engine;
	char name[MACHINE_IMAGE_BYTES];
	ImageWork *work;
	Obtain obtain;
	JobSpec spec;

	if (!engine_image_can_move(engine, &machine->spec))
		return;
	machine_image_name(machine, name);
	work = image_work_new(engine, name, NULL, NULL);
	/* By name, because it may be gone when the answer comes: "namespace\0name". */
	work->source = memory_printf("%s%c%s", machine->spec.name_space, '\0', machine->spec.name);
	work->question = ++machine->image_question;
	spec = obtain_spec(&obtain, image_asked, work);
	obtain_fill_machine(machine, work->name, &obtain);
	image_work_start(work, &spec);
}

/* ---- throwing out ---- */

/* A machine that was deployed with this name. */
static const Machine *
engine_find_image_user(const Engine *engine, const char *name)
{
	for (const Machine *machine = engine->machines; machine != NULL; machine = machine->next)
	{
		char used[MACHINE_IMAGE_BYTES];

		machine_image_name(machine, used);
		if (strcmp(used, name) == 0)
			return machine;
	}
	return NULL;
}

static void
keep_id(ImageWork *work, const char *id)
{
	if (id[0] == '\0')
		return;
	work->kept = memory_grow(work->kept, &work->kept_capacity, work->kept_count + 1, sizeof(*work->kept));
	work->kept[work->kept_count++] = memory_duplicate(id);
}

static int
keep_image(void *context, const ImageRecord *image)
{
	keep_id(context, image->id);
	return 0;
}

static int
prune_job(const void *input, void *output, Error *err)
{
	const ImageWork *work = input;

	(void) output;
	return image_prune(&work->engine->layout, (const char *const *) work->kept, work->kept_count, err);
}

static void
images_pruned(void *context, int result, const void *output, const Error *err)
{
	(void) output;
	image_work_end(context, result, err);
}

/* Removes the files of all images that no name stands for and no machine runs. */
static void
image_work_prune(ImageWork *work)
{
	JobSpec spec = {.name = "remove images",
					.function = prune_job,
					.input = work,
					.timeout_ms = PRUNE_TIMEOUT_MS,
					.done = images_pruned,
					.context = work};
	Error error;
	int result = store_each_image(work->engine->store, keep_image, work, &error);

	for (const Machine *machine = work->engine->machines; machine != NULL; machine = machine->next)
		keep_id(work, machine->record.image_id);
	if (result < 0)
		image_work_end(work, result, &error);
	else
		image_work_start(work, &spec);
}

/* What is being fetched has no name yet, and would be taken for what nobody wants. */
static bool
engine_fetches_images(const Engine *engine, Error *err)
{
	if (engine->image_jobs == 0)
		return false;
	error_set(err, -EBUSY, "images are being fetched or removed; try again when that is done");
	return true;
}

void
engine_remove_image(Engine *engine, const char *name, EngineDone done, void *context)
{
	const Machine *user = engine_find_image_user(engine, name);
	ImageRecord record = {0};
	Error error = {0};
	int result = store_get_image(engine->store, name, &record, &error);

	image_record_clear(&record);
	if (result == -ENOENT)
		error_set(&error, result, "image %s: not found", name);
	else if (result == 0 && user != NULL)
		result = error_set(&error, -EBUSY, "image %s: is in use by %s %s", name, resource_kind_name(user->spec.kind),
						   user->label);
	else if (result == 0 && engine_fetches_images(engine, &error))
		result = error.code;
	if (result == 0)
		result = store_delete_image(engine->store, name, &error);
	if (result < 0)
		done(context, result, NULL, &error);
	else
		image_work_prune(image_work_new(engine, name, done, context));
}

/* For what goes over all images. */
typedef struct ImageNames
{
	const Engine *engine;
	json_t *names;
} ImageNames;

static int
note_unused(void *context, const ImageRecord *image)
{
	ImageNames *unused = context;

	if (engine_find_image_user(unused->engine, image->name) == NULL)
		json_array_append_new(unused->names, json_string(image->name));
	return 0;
}

void
engine_prune_images(Engine *engine, EngineDone done, void *context)
{
	ImageNames unused = {.engine = engine, .names = json_array()};
	ImageWork *work;
	Error error = {0};
	size_t index;
	json_t *name;
	int result = engine_fetches_images(engine, &error) ? error.code : 0;

	if (result == 0)
		result = store_each_image(engine->store, note_unused, &unused, &error);
	json_array_foreach(unused.names, index, name)
	{
		if (result == 0)
			result = store_delete_image(engine->store, json_string_value(name), &error);
	}
	if (result < 0)
	{
		json_decref(unused.names);
		done(context, result, NULL, &error);
		return;
	}
	work = image_work_new(engine, NULL, done, context);
	work->body = json_pack("{s:o}", "removed", unused.names);
	image_work_prune(work);
}

/* ---- showing ---- */

static int
append_image(void *context, const ImageRecord *image)
{
	ImageNames *list = context;
	json_t *users = json_array();
	uint64_t size_bytes = image_read_size(&list->engine->layout, image->id);

	for (const Machine *machine = list->engine->machines; machine != NULL; machine = machine->next)
	{
		char used[MACHINE_IMAGE_BYTES];

		machine_image_name(machine, used);
		if (strcmp(used, image->name) == 0)
			json_array_append_new(users, json_string(machine->label));
	}
	json_array_append_new(list->names,
						  json_pack("{s:s, s:s, s:s?, s:o, s:I, s:o}", "name", image->name, "id", image->id, "digest",
									image->source_digest[0] == '\0' ? NULL : image->source_digest, "size-bytes",
									size_bytes > 0 ? json_integer((json_int_t) size_bytes) : json_null(), "created-ms",
									(json_int_t) image->created_ms, "used-by", users));
	return 0;
}

json_t *
engine_list_images(Engine *engine)
{
	ImageNames list = {.engine = engine, .names = json_array()};

	(void) !store_each_image(engine->store, append_image, &list, NULL);
	return list.names;
}
