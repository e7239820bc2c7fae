/* Whether servers take the parameters of a deployment's clusters; see cluster_check.h. */
#include "engine/cluster_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/job.h"
#include "base/log.h"
#include "base/text.h"
#include "host/config_check.h"
#include "model/postgres_config.h"
#include "model/postgres_spec.h"

#define CHECK_TIMEOUT_MS 60000
#define SAID_BYTES		 2400
#define CONFIG_MAX_BYTES ((size_t) 4 << 20)
#define REGISTRY_PREFIX	 "docker://"

/* One cluster that is asked about. */
typedef struct Question
{
	PostgresSpec spec;
	SourceMark mark;
	char image[256];
	HostImage host_image;
	ImageConfig config;
	Text text;
} Question;

typedef struct Check
{
	Engine *engine;
	const DeployRequest *request;
	EngineDeployed done;
	void *context;
	Question *questions;
	size_t count;
	size_t fetching; /* of the question whose image is being fetched */
	Job *work;
} Check;

typedef struct Answer
{
	size_t refused; /* the question; as many as there are: none */
	char said[SAID_BYTES];
} Answer;

static void
check_free(Check *check)
{
	for (size_t i = 0; i < check->count; i++)
	{
		postgres_spec_clear(&check->questions[i].spec);
		image_config_clear(&check->questions[i].config);
		text_clear(&check->questions[i].text);
	}
	free(check->questions);
	free(check);
}

static void
check_refuse(Check *check, const Question *question, const char *said)
{
	DiagnosticList diagnostics = {0};
	Error error;

	postgres_config_blame(&question->spec, said, question->mark, &diagnostics);
	error_set(&error, -EINVAL, "nothing was deployed: %zu %s to mend", diagnostics.count,
			  diagnostics.count == 1 ? "thing is" : "things are");
	check->done(check->context, -EINVAL, NULL, &diagnostics, &error);
	diagnostic_list_clear(&diagnostics);
	check_free(check);
}

static int
check_job(const void *input, void *output, Error *err)
{
	const Check *check = input;
	Answer *answer = output;

	for (size_t i = 0; i < check->count; i++)
	{
		const Question *question = &check->questions[i];
		const ConfigCheck asked = {.root = question->host_image.root,
								   .environment = (const char *const *) question->config.environment,
								   .uid = question->config.uid,
								   .gid = question->config.gid,
								   .text = text_string(&question->text)};
		int result = config_check_run(&asked, answer->said, sizeof(answer->said), err);

		if (result == 0)
			continue;
		answer->refused = i;
		return result == -EINVAL ? 0 : result;
	}
	answer->refused = check->count;
	return 0;
}

static void
check_answered(void *context, int result, const void *output, const Error *err)
{
	Check *check = context;
	const Answer *answer = output;

	if (result == 0 && answer != NULL && answer->refused < check->count)
	{
		check_refuse(check, &check->questions[answer->refused], answer->said);
		return;
	}
	/* A server that cannot be asked is no reason to refuse: it says itself what it thinks when it starts. */
	if (result < 0)
		log_warning("parameters not checked", "reason", err->message);
	engine_deploy_from(check->engine, DEPLOY_ASK_SERVERS, check->request, check->done, check->context);
	check_free(check);
}

static int
question_load(Check *check, Question *question, Error *err)
{
	_cleanup_free_ char *json = NULL;
	ImageRecord record = {0};
	int result = store_get_image(check->engine->store, question->image, &record, err);

	if (result == 0)
		result = image_find(&check->engine->layout, record.id, &question->host_image, err);
	if (result == 0)
		result = file_read(question->host_image.config_path, CONFIG_MAX_BYTES, &json, NULL, err);
	if (result == 0)
		result = image_config_parse(json, question->host_image.root, &question->config, err);
	image_record_clear(&record);
	return result;
}

static void
check_ask(Check *check)
{
	JobSpec spec = {.name = "check parameters",
					.function = check_job,
					.input = check,
					.output_bytes = sizeof(Answer),
					.timeout_ms = CHECK_TIMEOUT_MS,
					.done = check_answered,
					.context = check};
	Error error;

	if (job_start(check->engine->loop, &spec, &check->work, &error) < 0)
		check_answered(check, error.code, NULL, &error);
}

static void check_go_on(Check *check);

static void
check_fetched(void *context, int result, struct json_t *body, const Error *err)
{
	Check *check = context;
	Question *question = &check->questions[check->fetching];
	Error error = *err;

	(void) body;
	if (result == 0)
		result = question_load(check, question, &error);
	if (result < 0)
	{
		check_refuse(check, question, error.message);
		return;
	}
	check->fetching++;
	check_go_on(check);
}

static void
check_go_on(Check *check)
{
	for (; check->fetching < check->count; check->fetching++)
	{
		Question *question = &check->questions[check->fetching];
		char *source;

		if (question_load(check, question, NULL) == 0)
			continue;
		source = memory_printf(REGISTRY_PREFIX "%s", question->image);
		engine_import_image(check->engine, question->image, source, check_fetched, check);
		free(source);
		return;
	}
	check_ask(check);
}

static bool
is_asked_about(const DeployStep *step)
{
	const PostgresSpec *spec = &step->resource->postgres;
	PostgresSpec before;
	SpecChanges changes;
	bool same;

	if (step->resource->kind != RESOURCE_POSTGRES || spec->parameter_count == 0)
		return false;
	if (step->cluster == NULL)
		return true;
	/* All else may be as it is. */
	before = *spec;
	before.parameters = step->cluster->spec.parameters;
	before.parameter_count = step->cluster->spec.parameter_count;
	postgres_spec_compare(&before, spec, &changes);
	same = changes.count == 0;
	spec_changes_clear(&changes);
	return !same;
}

bool
clusters_need_check(const Deployment *deployment)
{
	for (size_t i = 0; i < deployment->set.count; i++)
	{
		if (is_asked_about(&deployment->steps[i]))
			return true;
	}
	return false;
}

void
clusters_check(const Deployment *deployment, const DeployRequest *request, EngineDeployed done, void *context)
{
	Check *check = memory_allocate(sizeof(*check));

	*check = (Check){.engine = deployment->engine, .request = request, .done = done, .context = context};
	check->questions = memory_allocate((deployment->set.count + 1) * sizeof(*check->questions));
	for (size_t i = 0; i < deployment->set.count; i++)
	{
		const DeployStep *step = &deployment->steps[i];
		Question *question = &check->questions[check->count];

		if (!is_asked_about(step))
			continue;
		check->count++;
		postgres_spec_copy(&step->resource->postgres, &question->spec);
		question->mark = step->resource->mark;
		postgres_spec_image(&question->spec, question->image);
		postgres_config_print(&question->spec, postgres_spec_storage_bytes(&question->spec), false, &question->text);
	}
	check_go_on(check);
}
