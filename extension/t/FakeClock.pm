# Clocks of a server that can be set: a library, compiled here, that adds to what the kernel says.
package FakeClock;

use strict;
use warnings;

use Carp;
use PostgreSQL::Test::Utils;

my $source = <<'EOC';
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long *seconds; /* to add: to the wall clock, to CLOCK_MONOTONIC */

__attribute__((constructor)) static void
fake_clock_open(void)
{
	int fd = open(getenv("FAKE_CLOCK"), O_RDONLY | O_CLOEXEC);

	seconds = mmap(NULL, 2 * sizeof(long), PROT_READ, MAP_SHARED, fd, 0);
	if (fd < 0 || seconds == MAP_FAILED)
		abort();
	close(fd);
}

int
clock_gettime(clockid_t id, struct timespec *ret)
{
	int result = (int) syscall(SYS_clock_gettime, id, ret);

	if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_MONOTONIC))
		ret->tv_sec += seconds[id == CLOCK_MONOTONIC];
	return result;
}

int
gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
	struct timespec now;

	(void) zone;
	clock_gettime(CLOCK_REALTIME, &now);
	ret->tv_sec = now.tv_sec;
	ret->tv_usec = now.tv_nsec / 1000;
	return 0;
}
EOC

# Starts the node with clocks that are so many seconds ahead.
sub start
{
	my ($class, $node, %ahead) = @_;
	my $directory = PostgreSQL::Test::Utils::tempdir();
	my $self = bless { path => "$directory/clock" }, $class;

	append_to_file("$directory/clock.c", $source);
	system_or_bail($ENV{CC} // 'cc', '-shared', '-fPIC', '-O2', '-o', "$directory/clock.so", "$directory/clock.c");
	append_to_file($self->{path}, pack 'q2', 0, 0);
	$self->set(%ahead);
	local $ENV{FAKE_CLOCK} = $self->{path};
	local $ENV{LD_PRELOAD} = "$directory/clock.so";
	$node->start;
	return $self;
}

# Seconds that the clocks are ahead of the real ones: wall, monotonic.
sub set
{
	my ($self, %ahead) = @_;

	open my $file, '+<', $self->{path} or croak "$self->{path}: $!";
	syswrite $file, pack 'q2', $ahead{wall} // 0, $ahead{monotonic} // 0;
	close $file;
	return;
}

1;
