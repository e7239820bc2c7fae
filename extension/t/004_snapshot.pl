# The manual trigger: at the start, with what becomes of it, and from SQL, where it waits for the statement's end.
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

my ($node, $run) = LttleNode::create('main');
my $coordinator = Coordinator->new("$run/flash.sock");
my $last_error = 'SELECT last_error FROM lttle.flash_status()';
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION lttle_pg');

# At the start: refused, then repeated.
my $offset = LttleNode::log_size($node);
$coordinator->greet;
$coordinator->expect('SNAPSHOT');
$coordinator->send_message(ERROR => "no room\ton the disk \xc3\xa4");
$node->wait_for_log(qr/lttle_pg: no snapshot at the start: no room\?on the disk \?\?\n.*tried again in 1\.0 s/, $offset);
pass('a refusal is logged, and made fit for every encoding');
LttleNode::poll_ok($node, $last_error, 'no room?on the disk ??', 'and stands in the status');
is($coordinator->expect('SNAPSHOT')->{TIMEOUT_MS}, '10000', 'the trigger is repeated');
$coordinator->send_message(OK => 1);
LttleNode::poll_ok($node, "SELECT coalesce(($last_error), '-')", '-', 'OK clears the error');

# From SQL.
is($node->safe_psql('postgres', 'SELECT lttle.flash_snapshot()'), '', 'flash_snapshot()');
is($coordinator->expect('SNAPSHOT')->{TIMEOUT_MS}, '10000', 'with the time-out of the setting');
$coordinator->send_message(OK => 1);
$node->safe_psql('postgres', q{SELECT lttle.flash_snapshot('2.5 seconds')});
is($coordinator->expect('SNAPSHOT')->{TIMEOUT_MS}, '2500', 'with one of its own');
$coordinator->send_message(OK => 1);

# It takes effect when the statement, which is to say its transaction, has ended.
my $client = RawClient->new($node);
my $pid = $client->pid;
$client->query('BEGIN');
$client->query(q{SELECT lttle.flash_snapshot('3 seconds')});
$client->query(q{SELECT lttle.flash_snapshot('4 seconds')});
is($coordinator->ask_until(qr/^client/), "client with PID $pid has a transaction open", 'not inside a transaction');
$client->query('COMMIT');
is($coordinator->expect('SNAPSHOT')->{TIMEOUT_MS}, '4000', 'at its end, the last one');
$coordinator->send_message(OK => 1);
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'and only that one');
$client->query('BEGIN');
$client->query('SELECT lttle.flash_snapshot()');
$client->query('ROLLBACK');
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'not after a ROLLBACK');
$client->query('SELECT lttle.flash_snapshot(), 1 / 0 FROM pg_class');
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'not after an error');
$client->simple_query('SELECT lttle.flash_snapshot(); SELECT pg_sleep(1000)');
like($coordinator->ask_until(qr/PID $pid/), qr/PID $pid runs a statement/, 'not while the query goes on');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
$client->read_until('Z');
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'nor when that was cancelled');

# A procedure that commits: when the CALL has ended, and even by an error, for it was committed.
$client->query(<<'EOQ');
CREATE PROCEDURE p(seconds float8) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM lttle.flash_snapshot('5 seconds');
  COMMIT;
  PERFORM pg_sleep(seconds);
  ROLLBACK;
END $$
EOQ
$client->simple_query('CALL p(1000)');
LttleNode::poll_ok($node, "SELECT wait_event FROM pg_stat_activity WHERE pid = $pid", 'PgSleep', 'the procedure sleeps');
like($coordinator->ask_until(qr/PID $pid/), qr/PID $pid runs a statement/, 'not while the procedure goes on');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
$client->read_until('Z');
is($coordinator->expect('SNAPSHOT')->{TIMEOUT_MS}, '5000', 'when it was cancelled after its COMMIT');
$coordinator->send_message(OK => 1);
$client->query('CALL p(0)');
is($coordinator->expect('SNAPSHOT')->{TIMEOUT_MS}, '5000', 'when it has ended');

# One at a time: a second one waits for the answer to the first.
$client->query(q{SELECT lttle.flash_snapshot('6 seconds')});
like($coordinator->ask_until(qr/^AGREE$/), qr/^AGREE$/, 'a second one waits');
$coordinator->send_message(ERROR => 'not now');
is($coordinator->expect('SNAPSHOT')->{TIMEOUT_MS}, '6000', 'for the answer to the first');
LttleNode::poll_ok($node, $last_error, 'not now', 'which was a refusal');
$coordinator->send_message(OK => 1);

# No answer in time, and no connection any more.
$offset = LttleNode::log_size($node);
$client->query(q{SELECT lttle.flash_snapshot('100 milliseconds')});
$coordinator->expect('SNAPSHOT');
LttleNode::poll_ok($node, $last_error, 'the coordinator has not answered in time', 'the time-out is in the status');
is(LttleNode::count_in_log($node, qr/no snapshot: the coordinator has not answered in time/, $offset), 1, 'and in the log');
$coordinator->send_message(OK => 1);
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'an answer that comes too late is ignored');
$client->query('SELECT lttle.flash_snapshot()');
$coordinator->expect('SNAPSHOT');
$coordinator->vanish;
LttleNode::poll_ok($node, $last_error, 'the connection to the coordinator was lost', 'the loss is in the status');
my ($rc, $out, $err) = $node->psql('postgres', 'SELECT lttle.flash_snapshot()');
like($err, qr/ERROR:  no coordinator is connected\nDETAIL:  The flash worker is disconnected\./, 'refused without a coordinator');
$client->quit;

# A suspend of the coordinator's own makes the snapshot at the start superfluous, for good.
$coordinator = Coordinator->new("$run/flash.sock");
$node->restart;
$coordinator->greet;
$coordinator->expect('SNAPSHOT');
$coordinator->send_message(ERROR => 'later');
$coordinator->send_message(RESUMED => 1, SLEPT_MS => 1, FROM => 'suspended');
LttleNode::poll_ok($node, 'SELECT suspends FROM lttle.flash_status()', '1', 'suspended without having asked');
my $worker = LttleNode::worker_pid($node);
kill 'TERM', $worker;
$coordinator->expect_end;
$coordinator->greet;
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'a new worker does not ask either');

# Switched off.
$node->append_conf('postgresql.conf', 'lttle_pg.snapshot_at_start = off');
$node->restart;
$coordinator->greet;
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'snapshot_at_start = off');
$node->stop;

done_testing();
