# The flash channel: a coordinator that is there, appears later, vanishes, comes back, talks nonsense, does not answer,
# does not read; and a worker that rests when there is nothing to do.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Coordinator;
use LttleNode;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($node, $run) = LttleNode::create('main');
my $socket = "$run/flash.sock";
my $status_ready = q{SELECT connected, phase FROM lttle.flash_status()};

# The worker tries again at growing intervals; a reload makes it try at once.
sub hurry
{
	$node->reload;
	return;
}

# A coordinator that is there from the beginning.
my $coordinator = Coordinator->new($socket);
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION lttle_pg');
$coordinator->accept_worker;
my $hello = $coordinator->expect('HELLO');
my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
is($hello->{VERSION}, '1', 'HELLO: version of the protocol');
is($hello->{PID}, $postmaster, 'HELLO: PID of the postmaster');
is($hello->{PG_VERSION}, $node->safe_psql('postgres', 'SHOW server_version'), 'HELLO: version of the server');
is($hello->{SYSTEM_ID}, $node->safe_psql('postgres', 'SELECT system_identifier FROM pg_control_system()'),
	'HELLO: system identifier');
is($coordinator->expect('READY')->{READY}, '1', 'READY follows');
is($node->safe_psql('postgres', $status_ready), 'f|greeting', 'until HELLO is answered it is no connection');
$coordinator->send_message(HELLO => 1, VERSION => 1);
my $snapshot = $coordinator->expect('SNAPSHOT');
is($snapshot->{TIMEOUT_MS}, '10000', 'then the manual trigger, with its time-out');
LttleNode::poll_ok($node, $status_ready, 't|snapshot', 'the status says so');
$coordinator->send_message(OK => 1);
LttleNode::poll_ok($node, $status_ready, 't|ready', 'and that it was answered');

# Nothing to do: the worker is not scheduled at all.
sub context_switches
{
	my ($pid) = @_;

	return join '/', slurp_file("/proc/$pid/status") =~ /^(?:non)?voluntary_ctxt_switches:\s+(\d+)$/mg;
}
my $worker = LttleNode::worker_pid($node);
my $before = context_switches($worker);
$node->safe_psql('postgres', 'SELECT count(*) FROM generate_series(1, 1000)') for 1 .. 20;
sleep 2;
is(context_switches($worker), $before, 'a connected worker at rest does not run');

# RESUMED.
$coordinator->send_message(RESUMED => 1, SLEPT_MS => 61500, FROM => 'suspended', WOKEN_BY => 'client 10.0.0.9');
LttleNode::poll_ok(
	$node,
	q{SELECT suspends, last_slept, last_resumed - last_suspended = last_slept, last_resumed <= now(), woken_by
	  FROM lttle.flash_status()},
	'1|00:01:01.5|t|t|client 10.0.0.9',
	'RESUMED is in the status');
$coordinator->send_message(RESUMED => 1, SLEPT_MS => '99999999999999999999', FROM => 'suspended');
LttleNode::poll_ok($node, q{SELECT suspends, last_slept, woken_by IS NULL FROM lttle.flash_status()},
	'2|00:00:00|t', 'a duration that is none counts as zero');

# Unknown keys and idle remarks are ignored.
$coordinator->send_message(OK => 1);
$coordinator->send_message(ERROR => 'nothing was asked');
$coordinator->send_message(SOMETHING_NEW => 'x', CANCEL => 1);
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'what is not understood changes nothing');

# The coordinator goes away and comes back, twice. No new trigger.
for my $round (1 .. 2)
{
	my $offset = LttleNode::log_size($node);
	$coordinator->vanish;
	LttleNode::poll_ok($node, $status_ready, 'f|disconnected', "round $round: the loss is noticed");
	$node->wait_for_log(qr/no coordinator at/, $offset);
	$coordinator = Coordinator->new($socket);
	$hello = $coordinator->greet;
	is($hello->{PID}, $postmaster, "round $round: connected again");
	is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', "round $round: at work again, without a new trigger");
	is(LttleNode::count_in_log($node, qr/lost the connection/, $offset), 1, "round $round: one line for the loss");
	is(LttleNode::count_in_log($node, qr/no coordinator at/, $offset), 1, "round $round: one for the absence");
	is(LttleNode::count_in_log($node, qr/connected to the coordinator/, $offset), 1, "round $round: one for the return");
}
is($node->safe_psql('postgres', 'SELECT suspends FROM lttle.flash_status()'), '2', 'the status is kept');

# A connection that ends without a word, again and again: one line.
my $offset = LttleNode::log_size($node);
$coordinator->hang_up;
for (1 .. 3)
{
	$coordinator->accept_worker;
	$coordinator->hang_up;
}
$coordinator->greet;
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'connected after some that came to nothing');
is(LttleNode::count_in_log($node, qr/lost the connection/, $offset), 1, 'one line for all of them');

# Garbage: dropped, and tried again; the server goes on.
$offset = LttleNode::log_size($node);
for my $garbage ("\0\0\0\0", "no line\n", "lower=1\n", "OK=1\nOK=1\n", 'A=1' . "\n" x 2 . 'x' x 4096,
	join('', map { "K$_=1\n" } 1 .. 33), "\xff\xfe\n")
{
	$coordinator->send_raw($garbage);
	$coordinator->expect_end;
	hurry();
	$coordinator->greet;
}
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'garbage is survived');
is(LttleNode::count_in_log($node, qr/sent what is no message/, $offset), 1, 'one line for all of it');
is(LttleNode::worker_pid($node), $worker, 'by the same worker');
$node->append_conf('postgresql.conf', "lttle_pg.snapshot_timeout = '200ms'");
$node->reload;
$offset = LttleNode::log_size($node);
$coordinator->hang_up;
$coordinator->accept_worker;
$coordinator->send_message(PREPARE => 'suspend', DEADLINE_MS => 1000);
my @unasked = $coordinator->expect_end;
hurry();
is(scalar(grep { /^(?:AGREE|DECLINE)=/m } @unasked), 0, 'PREPARE before the answer to HELLO is not answered');

# Never answers: dropped after the time-out, tried again. The socket's path can be changed by a reload.
$offset = LttleNode::log_size($node);
for (1 .. 2)
{
	$coordinator->accept_worker;
	$coordinator->expect_end;
	hurry();
}
$node->wait_for_log(qr/the coordinator at "\Q$socket\E" does not answer/, $offset);
is(LttleNode::count_in_log($node, qr/does not answer/, $offset), 1, 'one line for a coordinator that is silent');
my $second = Coordinator->new("$run/second.sock");
$node->append_conf('postgresql.conf', "lttle_pg.socket = '$run/second.sock'\nlttle_pg.snapshot_timeout = '10s'");
$node->reload;
is($second->greet->{PID}, $postmaster, 'a reload moves the worker to another socket');
$coordinator->vanish;
is($second->ask_until(qr/^AGREE$/), 'AGREE', 'where it is at home');

# Switched off and on.
$node->append_conf('postgresql.conf', 'lttle_pg.enabled = off');
$node->reload;
$second->expect_end;
LttleNode::poll_ok($node, $status_ready, 'f|disabled', 'enabled = off closes the connection');
is( $node->safe_psql('postgres', 'SELECT state FROM lttle.flash_activity WHERE pid = pg_backend_pid()'),
	'active', 'the activity page is kept');
$node->append_conf('postgresql.conf', 'lttle_pg.enabled = on');
$node->reload;
$second->greet;
is($second->ask_until(qr/^AGREE$/), 'AGREE', 'enabled = on opens it');
$node->append_conf('postgresql.conf', "lttle_pg.socket = ''");
$node->reload;
$second->expect_end;
LttleNode::poll_ok($node, $status_ready, 'f|disabled', 'so does an empty socket');
$node->append_conf('postgresql.conf', "lttle_pg.socket = '$run/second.sock'");
$node->reload;
$second->greet;

# A coordinator that asks but never reads: its queue fills up, the worker drops it and goes on.
$offset = LttleNode::log_size($node);
my $sent = eval {
	local $SIG{PIPE} = 'IGNORE';
	local $SIG{ALRM} = sub { die "still not dropped\n" };
	alarm $PostgreSQL::Test::Utils::timeout_default;
	$second->send_message(PREPARE => 'nonsense') while 1;
};
my $error = $@;
alarm 0;
like($error, qr/^send: /, 'a coordinator that does not read is dropped');
$node->wait_for_log(qr/the coordinator does not read its messages/, $offset);
hurry();
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'the server is there');
$second->greet;
is($second->ask_until(qr/^AGREE$/), 'AGREE', 'and the worker too');
is(LttleNode::worker_pid($node), $worker, 'still the same');

# A queue of connections that is full: connect would block.
$second->vanish;
my $full = Coordinator->new("$run/second.sock", backlog => 0);
my @fillers;
while (1)
{
	socket(my $filler, Socket::AF_UNIX, Socket::SOCK_SEQPACKET, 0) or die "socket: $!";
	fcntl($filler, Fcntl::F_SETFL, Fcntl::O_NONBLOCK) or die "fcntl: $!";
	connect($filler, Socket::pack_sockaddr_un("$run/second.sock")) or last;
	push @fillers, $filler;
}
LttleNode::poll_ok($node, $status_ready, 'f|disconnected', 'a full queue of connections is no connection');
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'the server is there');
$full->vanish;
close $_ for @fillers;

# Appears late: the server was started without a coordinator. The trigger comes then.
$offset = LttleNode::log_size($node);
$node->restart;
$node->wait_for_log(qr/no coordinator at/, $offset);
$coordinator = Coordinator->new("$run/second.sock");
$coordinator->greet;
$coordinator->expect('SNAPSHOT');
pass('a coordinator that appears late gets the trigger');

# A lost connection does not count as an answer: the trigger is repeated.
$coordinator->hang_up;
$coordinator->greet;
$coordinator->expect('SNAPSHOT');
pass('the trigger is repeated while it was not answered');
$coordinator->send_message(OK => 1);

# Orderly stop; and an end of the worker alone, after which it comes back by itself.
$worker = LttleNode::worker_pid($node);
kill 'TERM', $worker;
is(($coordinator->expect_end)[-1], "STOPPING=1\n", 'SIGTERM: the worker says STOPPING');
isnt($coordinator->greet->{PID}, $postmaster, 'and is started again by the postmaster');
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'without a new trigger');
$node->stop('fast');
is(($coordinator->expect_end)[-1], "STOPPING=1\n", 'an orderly stop says STOPPING');

done_testing();
