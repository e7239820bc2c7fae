/*
 * The activity page, from its file to the verdict. The first byte of an input chooses which of the slots' processes
 * live and whether connections count; the rest is the page. The living processes are all the fuzzer itself, so that the
 * addresses of wait events, claims too, are read from it.
 */
#include "fuzz.h"

#include <unistd.h>

#include "host/activity.h"

#define NOW_NS UINT64_C(1000000000000)

static char *path;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char *directory = fuzz_make_directory();

	(void) argc;
	(void) argv;
	path = memory_printf("%s/activity", directory);
	free(directory);
	return 0;
}

static int
compare_processes(const void *left, const void *right)
{
	const MachineProcess *a = left;
	const MachineProcess *b = right;

	return (a->inner_pid > b->inner_pid) - (a->inner_pid < b->inner_pid);
}

/* All, none, or every second of the slots' processes. */
static size_t
live_processes(const ActivityPage *page, unsigned choice, MachineProcess *processes)
{
	size_t count = 0;

	for (size_t i = 0; i < page->slot_count; i++)
	{
		if (choice == 0 || (choice == 1 && i % 2 == 0))
			processes[count++] = (MachineProcess){.pid = getpid(), .inner_pid = (pid_t) page->slots[i].pid};
	}
	qsort(processes, count, sizeof(*processes), compare_processes);
	return count;
}

static void
check_verdict(const ActivityPage *page, const MachineProcess *processes, size_t count, bool connection_aware)
{
	ActivityPolicy policy = {.connection_aware = connection_aware, .now_ns = NOW_NS};
	ActivityVerdict verdict;

	memset(&verdict, 'x', sizeof(verdict));
	activity_judge(page, processes, count, &policy, &verdict);
	FUZZ_CHECK(strcmp(activity_reason_name(verdict.reason), "unknown") != 0);
	FUZZ_CHECK(fuzz_text_is_clean(verdict.detail));
	FUZZ_CHECK((verdict.detail[0] == '\0') == (verdict.reason == ACTIVITY_NONE));
	FUZZ_CHECK(verdict.idle_since_ns <= NOW_NS);
	FUZZ_CHECK((verdict.recheck_ns > NOW_NS) == (verdict.reason == ACTIVITY_TRANSACTION));
	if (count == 0)
		FUZZ_CHECK(verdict.reason == ACTIVITY_NONE);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	ActivityPage page = {0};
	MachineProcess *processes;
	Error err = {0};
	size_t count;

	if (size == 0)
		return 0;
	fuzz_write_file(path, bytes + 1, size - 1);
	if (activity_page_read(path, &page, &err) < 0)
	{
		FUZZ_CHECK(err.message[0] != '\0' && page.slots == NULL);
		return 0;
	}
	FUZZ_CHECK(page.slot_count <= LTTLE_ACTIVITY_MAX_SLOTS);
	for (size_t i = 0; i < page.slot_count; i++)
		FUZZ_CHECK(page.slots[i].pid != 0 && fuzz_text_is_clean(page.slots[i].lock_name));
	processes = memory_allocate((page.slot_count + 1) * sizeof(*processes));
	count = live_processes(&page, bytes[0] % 3, processes);
	check_verdict(&page, processes, count, bytes[0] & 0x40);
	activity_page_read_waits(&page, processes, count, bytes[0] & 0x80);
	check_verdict(&page, processes, count, bytes[0] & 0x40);
	free(processes);
	activity_page_clear(&page);
	return 0;
}
