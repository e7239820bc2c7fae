# Shared memory in a file: where it is mapped, when it is not, and that the server is the same all the while.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use LttleNode;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $path = "/dev/shm/lttle_pg-test-$$";
my ($node, $run) = LttleNode::create(
	'main', conf => "restart_after_crash = on\nlttle_pg.shared_memory_file = '$path'\nshared_buffers = 32MB\nhuge_pages = off");

END { unlink $path if defined $path }

sub mapping_of
{
	my ($pid) = @_;
	my ($line) = grep { /\Q$path\E$/ } split /\n/, slurp_file("/proc/$pid/maps");

	return $line;
}

sub postmaster_pid { return (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0] }

sub log_since { return substr slurp_file($node->logfile), $_[0] }

# A PostgreSQL whose processes are begun by exec has a segment that has a key, which is left as it is.
my ($cppflags) = run_command([ 'pg_config', '--cppflags' ]);
if ($cppflags =~ /EXEC_BACKEND/)
{
	$node->start;
	ok(!defined mapping_of(postmaster_pid()), 'with EXEC_BACKEND shared memory is in no file');
	unlike(slurp_file($node->logfile), qr/can't be kept/, 'and the log does not complain');
	$node->stop;
	done_testing();
	exit;
}

my $checkpointer = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'};
$node->start;
like(mapping_of(postmaster_pid()), qr/rw-s/, 'the postmaster has its shared memory in the file');
is($node->safe_psql('postgres', 'CREATE TABLE t AS SELECT generate_series(1, 100000) i; SELECT sum(i) FROM t'),
	'5000050000', 'the server works');
my $pid = $node->safe_psql('postgres', $checkpointer);
is((split / /, mapping_of($pid))[0], (split / /, mapping_of(postmaster_pid()))[0], 'its processes have it at the same place');
my @status = stat $path;
cmp_ok($status[7], '>', 32 << 20, 'the file has its size');
cmp_ok($status[12] * 512, '<', $status[7] / 2, 'what nobody has touched takes no memory');
is($status[2] & oct 777, oct 600, 'it is for nobody else');
unlike(slurp_file($node->logfile), qr/can't be kept/, 'the log does not complain');

# A crash of a process: the postmaster makes new shared memory, and a new file for it.
kill 'KILL', $pid;
$node->poll_query_until('postgres', "SELECT pid <> $pid FROM ($checkpointer) c") or BAIL_OUT('no restart after a crash');
isnt((stat $path)[1], $status[1], 'after a crash it is another file');
like(mapping_of(postmaster_pid()), qr/rw-s/, 'which is mapped');
is($node->safe_psql('postgres', 'SELECT sum(i) FROM t'), '5000050000', 'the server works again');

# The same once more, after a server that had no time to end.
$node->stop('immediate');
$node->start;
like(mapping_of(postmaster_pid()), qr/rw-s/, 'a new server makes it anew');
is($node->safe_psql('postgres', 'SELECT sum(i) FROM t'), '5000050000', 'and works');
$node->stop;
ok(!-e $path, 'an orderly stop takes the file away');

# Where it can't be.
for my $case (
	[ "$run/nowhere/memory", qr/No such file or directory/, '' ],
	[ $path, qr/the memory is not anonymous memory of small pages/, "shared_memory_type = sysv\n" ])
{
	my ($place, $reason, $conf) = @$case;
	my $offset = LttleNode::log_size($node);

	$node->append_conf('postgresql.conf', "${conf}lttle_pg.shared_memory_file = '$place'");
	$node->start;
	like(log_since($offset), qr/LOG:  lttle_pg: shared memory can't be kept in "\Q$place\E": $reason/, 'the log says why');
	is($node->safe_psql('postgres', 'SELECT sum(i) FROM t'), '5000050000', 'the server works without it');
	$node->stop;
}

# The kernel has pages of it by themselves where PostgreSQL 18 reads by io_uring. Not every kernel lets it.
if ($node->pg_version >= 18)
{
	my $offset = LttleNode::log_size($node);

	$node->append_conf('postgresql.conf',
		"shared_memory_type = mmap\nio_method = io_uring\nlttle_pg.shared_memory_file = '$path'");
	if ($node->start(fail_ok => 1))
	{
		like(log_since($offset), qr/can't be kept in "\Q$path\E": io_method is io_uring/, 'io_uring: the log says why');
		is($node->safe_psql('postgres', 'SELECT sum(i) FROM t'), '5000050000', 'io_uring: the server works');
		$node->stop;
	}
	else
	{
		like(log_since($offset), qr/io_uring/, 'this kernel has no io_uring for PostgreSQL');
	}
	$node->append_conf('postgresql.conf', 'io_method = worker');
}

# Without an activity file there is no coordinator that would look.
$node->append_conf('postgresql.conf',
	"shared_memory_type = mmap\nlttle_pg.shared_memory_file = '$path'\nlttle_pg.activity_file = ''");
$node->start;
ok(!defined mapping_of(postmaster_pid()), 'without an activity file it stays anonymous');
$node->stop;

done_testing();
