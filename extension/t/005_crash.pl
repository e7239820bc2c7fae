# Sessions and workers that end badly leave nothing behind that keeps the server awake.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Coordinator;
use LttleNode;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RawClient;
use Test::More;

my ($node, $run) = LttleNode::create('main', conf => 'restart_after_crash = on');
my $coordinator = Coordinator->new("$run/flash.sock");
my $locks = 'SELECT locks FROM lttle.flash_status()';
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION lttle_pg');
$coordinator->greet;
$coordinator->expect('SNAPSHOT');
$coordinator->send_message(OK => 1);
$coordinator->send_message(RESUMED => 1, SLEPT_MS => 7000, FROM => 'suspended', WOKEN_BY => 'client');

# A session with a lock, in the midst of a statement.
sub session_with_lock
{
	my $client = RawClient->new($node);

	$client->query(q{SELECT lttle.flash_lock('held'), lttle.flash_lock('held'), lttle.flash_lock('held too')});
	return $client;
}

sub slot_is_free_ok
{
	my ($pid, $name) = @_;

	LttleNode::poll_ok($node, "SELECT count(*) FROM lttle.flash_activity WHERE pid = $pid", '0', "$name: the slot is free");
	is($node->safe_psql('postgres', $locks), '0', "$name: the locks are gone");
	is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', "$name: the worker agrees");
	return;
}

# The PIDs in the file of the activity page.
sub pids_in_file
{
	my $bytes = slurp_file("$run/activity");
	my ($header_size, $slot_size, $count) = unpack 'x12LLL', $bytes;

	return grep { $_ != 0 } map { unpack 'L', substr $bytes, $header_size + $_ * $slot_size, 4 } 0 .. $count - 1;
}

# FATAL, in a statement and in between.
my $client = session_with_lock();
$client->simple_query('SELECT pg_sleep(1000)');
like($coordinator->ask_until(qr/lock/), qr/^flash lock "held too" is held by PID/, 'the lock counts');
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . $client->pid . ')');
slot_is_free_ok($client->pid, 'terminated in a statement');
$client = session_with_lock();
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . $client->pid . ')');
slot_is_free_ok($client->pid, 'terminated while idle');
$client = session_with_lock();
$client->query(q{SET idle_in_transaction_session_timeout = '10ms'});
$client->query('BEGIN');
slot_is_free_ok($client->pid, 'ended by a time-out in a transaction');
$client = session_with_lock();
$client->query('BEGIN');
my $pid = $client->pid;
close $client->{socket};
slot_is_free_ok($pid, 'the client is gone');
$client = session_with_lock();
$client->simple_query('COPY (SELECT 1) FROM STDIN');
$client->read_until('Z');
$client->query('CREATE TABLE t (a int)');
$client->simple_query('COPY t FROM STDIN');
$client->read_until('G');
$pid = $client->pid;
close $client->{socket};
slot_is_free_ok($pid, 'the client is gone in a COPY');
$node->command_fails([ 'psql', '-X', '-d', $node->connstr('nosuchdatabase'), '-c', 'SELECT 1' ], 'a database that does not exist');
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'a refused connection leaves nothing');

# SIGKILL: the postmaster restarts everything. Page, locks and status begin anew; what has happened is still known.
for my $case ([ 'a session with a lock', sub { $client->pid } ], [ 'the worker', sub { LttleNode::worker_pid($node) } ])
{
	my ($name, $get_pid) = @$case;
	$client = session_with_lock();
	my $bystander = session_with_lock();
	my $created = substr slurp_file("$run/activity"), 32, 8;
	my $offset = LttleNode::log_size($node);
	$pid = $get_pid->();
	kill 'KILL', $pid;
	$node->wait_for_log(qr/database system is ready to accept connections/, $offset);
	$coordinator->greet;
	is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', "SIGKILL of $name: the worker is back, agrees, and asks for no new snapshot");
	ok($node->poll_query_until('postgres', $locks, '0'), "SIGKILL of $name: no lock is left");
	isnt(substr(slurp_file("$run/activity"), 32, 8), $created, "SIGKILL of $name: the page is a new one");
	is_deeply([ grep { $_ == $pid || $_ == $client->pid || $_ == $bystander->pid } pids_in_file() ],
		[], "SIGKILL of $name: the slots are free");
	is($node->safe_psql('postgres', 'SELECT suspends, last_slept, woken_by FROM lttle.flash_status()'),
		'1|00:00:07|client', "SIGKILL of $name: the status remembers");
	is(LttleNode::count_in_log($node, qr/lttle_pg: flash ready worker/, $offset), 1, "SIGKILL of $name: one worker was started");
}

# Locks taken after all that work as before.
$client = session_with_lock();
is($node->safe_psql('postgres', $locks), '2', 'locks after the crash');
$client->quit;
slot_is_free_ok($client->pid, 'an orderly end');

# SIGKILL of the postmaster, and the next start with the page as it was left.
$client = session_with_lock();
$client->simple_query('SELECT pg_sleep(1000)');
my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
my @left = pids_in_file();
ok((grep { $_ == $client->pid } @left), 'the session is in the page');
$node->kill9;
$coordinator->hang_up;
# The processes need a moment to die, and the next server refuses to start before.
my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;
select undef, undef, undef, 0.01 while (grep { kill 0, $_ } $postmaster, @left) && time() < $deadline;
$node->start;
$coordinator->greet;
$coordinator->expect('SNAPSHOT');
$coordinator->send_message(OK => 1);
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'the next start clears it, and asks for its snapshot');
ok(!(grep { $_ == $client->pid } pids_in_file()), 'the slot is free');
$node->stop;

done_testing();
