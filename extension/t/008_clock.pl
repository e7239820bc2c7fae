# Clocks that go back: the wall clock is warned of, and when CLOCK_MONOTONIC has begun anew, as after a reboot of the
# host, nobody waits for what it had been.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Coordinator;
use FakeClock;
use LttleNode;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RawClient;
use Test::More;

my $uptime = 100_000;
my $warning = qr/WARNING:  lttle_pg: the clock has gone back while the server slept: it was \S+ \S+, it is \S+ \S+\n/;
my ($node, $run) = LttleNode::create('main', conf => <<'EOC');
lttle_pg.snapshot_at_start = off
lttle_pg.transaction_hold = '1s'
bgwriter_delay = '10ms'
EOC
my $coordinator = Coordinator->new("$run/flash.sock");
my $clock = FakeClock->start($node, monotonic => $uptime);
$node->safe_psql('postgres', 'CREATE EXTENSION lttle_pg');
$coordinator->greet;

# Suspends, sets the wall clock so many seconds ahead of the real one, and resumes.
sub sleep_with_clock
{
	my ($seconds, $expected_suspends) = @_;

	is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'nothing keeps it awake');
	$coordinator->send_message(PREPARE => 'suspend', DEADLINE_MS => 1000);
	$coordinator->expect('AGREE');
	$clock->set(wall => $seconds, monotonic => $uptime);
	$coordinator->send_message(RESUMED => 1, SLEPT_MS => 10, FROM => 'suspended');
	LttleNode::poll_ok($node, 'SELECT suspends FROM lttle.flash_status()', $expected_suspends, 'resumed');
	return;
}

# The wall clock.
my $offset = LttleNode::log_size($node);
sleep_with_clock(7200, 1);
is(LttleNode::count_in_log($node, $warning, $offset), 0, 'forward is how it goes');
sleep_with_clock(3600, 2);
is(LttleNode::count_in_log($node, $warning, $offset), 1, 'an hour back is warned of');
sleep_with_clock(3600, 3);
is(LttleNode::count_in_log($node, $warning, $offset), 1, 'once');
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'and the worker goes on');

# CLOCK_MONOTONIC: the worker is away for the snapshot when it falls back.
sub pid_of
{
	my ($type) = @_;

	return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = '$type'");
}

sub times_scheduled
{
	my ($pid) = @_;
	my ($times) = slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s+(\d+)$/m;

	return $times;
}

my $client = RawClient->new($node);
my $client_pid = $client->pid;
$client->query('BEGIN');
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'the hold of its transaction is over');
my $bgwriter = pid_of('background writer');
my @processes = (LttleNode::worker_pid($node), $bgwriter, pid_of('checkpointer'), pid_of('walwriter'), $client_pid);
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'nothing else keeps it awake');
$offset = LttleNode::log_size($node);
$coordinator->send_message(PREPARE => 'hibernate', DEADLINE_MS => 1000);
is_deeply([ $coordinator->expect_end ], ["AGREE=1\n"], 'agrees to hibernate');
$coordinator->vanish;
kill 'STOP', @processes;
$clock->set(wall => 3600);
$coordinator = Coordinator->new("$run/flash.sock");
kill 'CONT', @processes;
$coordinator->greet(RESUMED => 1, SLEPT_MS => 60000, FROM => 'hibernated', WOKEN_BY => 'client');
pass('the worker has come back');
is(LttleNode::count_in_log($node, qr/lttle_pg: the host was started anew while the server slept/, $offset), 1,
	'and has noticed');
my $times = times_scheduled($bgwriter);
for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
{
	last if times_scheduled($bgwriter) >= $times + 5;
	select undef, undef, undef, 0.1;
}
cmp_ok(times_scheduled($bgwriter), '>=', $times + 5, 'the background writer works');
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'a transaction from before does not keep it awake');
$client->query('SELECT 1');
like($coordinator->ask_until(qr/^client/), qr/^client with PID $client_pid has a transaction open$/, 'but one that has just been used does');
$client->query('COMMIT');
$client->quit;

$node->stop;
done_testing();
