/* `lttle doctor`: the host's checks, one job after the other, as JSON. */
#include <event2/event.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/text.h"
#include "engine/engine_private.h"
#include "host/doctor.h"

#define CHECK_TIMEOUT_MS 120000 /* beyond every deadline of a check of its own */

typedef struct Examination
{
	Engine *engine;
	DoctorInput input;
	size_t index; /* of the check that runs */
	json_t *checks;
	Job *work;
	EngineDone done;
	void *context;
} Examination;

static void examination_go_on(Examination *examination);

static void
examination_add(Examination *examination, const char *status, const char *finding, const char *consequence)
{
	json_array_append_new(examination->checks,
						  json_pack("{s:s, s:s, s:s, s:s}", "name", doctor_name(examination->index), "status", status,
									"finding", finding, "consequence", consequence));
	examination->index++;
}

static int
check_job(const void *input, void *output, Error *err)
{
	const Examination *examination = input;

	(void) err;
	doctor_run_check(examination->index, &examination->input, output);
	return 0;
}

static void
check_done(void *context, int result, const void *output, const Error *err)
{
	Examination *examination = context;
	const DoctorCheck *check = output;

	if (result < 0)
		examination_add(examination, doctor_status_name(DOCTOR_WARNING), err->message, "the check itself did not end");
	else
		examination_add(examination, doctor_status_name(check->status), check->finding, check->consequence);
	examination_go_on(examination);
}

static void
examination_go_on(Examination *examination)
{
	JobSpec spec = {.name = "check the host",
					.function = check_job,
					.input = examination,
					.output_bytes = sizeof(DoctorCheck),
					.timeout_ms = CHECK_TIMEOUT_MS,
					.done = check_done,
					.context = examination};
	Error error = {0};
	json_t *body;

	while (examination->index < doctor_count())
	{
		if (job_start(examination->engine->loop, &spec, &examination->work, &error) == 0)
			return;
		examination_add(examination, doctor_status_name(DOCTOR_WARNING), error.message, "the check was not made");
	}
	body = json_pack("{s:o}", "checks", examination->checks);
	examination->done(examination->context, 0, body, &error);
	json_decref(body);
	free(examination);
}

void
engine_doctor(Engine *engine, EngineDone done, void *context)
{
	Examination *examination = memory_allocate(sizeof(*examination));

	*examination = (Examination){.engine = engine,
								 .input = {.cgroup_root = "/sys/fs/cgroup",
										   .layout = &engine->layout,
										   .criu = engine->settings.criu[0] != '\0' ? engine->settings.criu : NULL},
								 .checks = json_array(),
								 .done = done,
								 .context = context};
	examination_go_on(examination);
}
