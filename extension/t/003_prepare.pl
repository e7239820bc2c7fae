# PREPARE: the worker agrees when nothing is going on, and declines, naming the process, for activity of every kind.
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

my ($node, $run) = LttleNode::create('main', conf => <<'EOC');
lttle_pg.snapshot_at_start = off
lttle_pg.transaction_hold = '1h'
max_prepared_transactions = 2
EOC
my $coordinator = Coordinator->new("$run/flash.sock");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION lttle_pg; CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)');
$coordinator->greet;

# How often the process has waited and gone on.
sub times_scheduled
{
	my ($pid) = @_;
	my ($times) = slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s+(\d+)$/m;

	return $times;
}

sub wait_for
{
	my ($what, $condition) = @_;

	for (1 .. 100 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if $condition->();
		select undef, undef, undef, 0.01;
	}
	die "timed out waiting for $what";
}

sub agrees_ok
{
	my ($name) = @_;

	is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', "agrees: $name");
	return;
}

sub declines_ok
{
	my ($pid, $what, $name) = @_;

	# The session may need a moment to come that far.
	like($coordinator->ask_until(qr/ PID $pid $what$/), qr/^client with PID $pid $what$/, "declines: $name");
	return;
}

sub set_option
{
	my ($name, $value) = @_;

	$node->append_conf('postgresql.conf', "$name = '$value'");
	$node->reload;
	LttleNode::poll_ok($node, "SHOW $name", $value, "$name is $value now");
	return;
}

agrees_ok('nobody is there');
my $client = RawClient->new($node);
my $pid = $client->pid;
agrees_ok('a session that never said anything');
$client->query('SELECT 1');
agrees_ok('an idle session');

# The worker's part of the status.
$coordinator->send_message(PREPARE => 'suspend', DEADLINE_MS => 1000);
$coordinator->expect('AGREE');
LttleNode::poll_ok($node, 'SELECT phase FROM lttle.flash_status()', 'agreed', 'the phase is "agreed"');
$coordinator->send_message(RESUMED => 1, SLEPT_MS => 5, FROM => 'suspended');
LttleNode::poll_ok($node, 'SELECT phase, suspends FROM lttle.flash_status()', 'ready|1', 'until RESUMED');
$coordinator->send_message(PREPARE => 'standing on one leg');
like($coordinator->expect('DECLINE')->{DECLINE}, qr/not known/, 'an unknown kind is declined');
$coordinator->send_message(PREPARE => 'suspend');
$coordinator->expect('AGREE');
$coordinator->send_message(CANCEL => 1);
pass('a PREPARE without a deadline is answered');

# Statements.
$client->simple_query('SELECT pg_sleep(1000)');
declines_ok($pid, 'runs a statement', 'a query');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
$client->read_until('Z');
agrees_ok('the query was cancelled');
$client->simple_query('DO $$ BEGIN PERFORM pg_sleep(1000); END $$');
declines_ok($pid, 'runs a statement', 'a DO block');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
$client->read_until('Z');
$client->query('CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN COMMIT; PERFORM pg_sleep(1000); END $$');
$client->simple_query('CALL p()');
declines_ok($pid, 'runs a statement', 'a procedure that has committed');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
$client->read_until('Z');
agrees_ok('the procedure was cancelled');

# COPY, both ways: the server waits for the client in the middle of the statement.
$client->simple_query('COPY t FROM STDIN');
$client->read_until('G');
declines_ok($pid, 'runs a statement', 'COPY FROM STDIN without data');
$client->send_message('d', "3\n");
declines_ok($pid, 'runs a statement', 'COPY FROM STDIN with data');
$client->send_message('c', '');
$client->read_until('Z');
agrees_ok('COPY FROM STDIN has ended');
$client->simple_query('COPY (SELECT repeat(\'x\', 1000) FROM generate_series(1, 20000)) TO STDOUT');
$client->read_until('H');
declines_ok($pid, 'runs a statement', 'COPY TO STDOUT that nobody reads');
$client->read_until('Z');
agrees_ok('COPY TO STDOUT has ended');

# Transactions.
$client->query('BEGIN');
declines_ok($pid, 'has a transaction open', 'BEGIN');
$client->query('INSERT INTO t VALUES (4)');
declines_ok($pid, 'has a transaction open', 'after a statement in it');
$client->query('SAVEPOINT s');
$client->query('SELECT 1 / 0');
declines_ok($pid, 'has a transaction open', 'a failed subtransaction leaves the outer one open');
$client->query('ROLLBACK TO s');
declines_ok($pid, 'has a transaction open', 'so does going back to a savepoint');
$client->query('COMMIT');
agrees_ok('COMMIT');
$client->query('BEGIN');
$client->query('SELECT 1 / 0');
agrees_ok('an aborted transaction holds nothing');
$client->query('SELECT 1');
agrees_ok('nor after one more statement that was refused');
$client->query('ROLLBACK');
agrees_ok('ROLLBACK of an aborted transaction');
$client->query('BEGIN');
$client->query('SAVEPOINT s');
$client->query('SELECT 1 / 0');
$client->query('ROLLBACK');
agrees_ok('ROLLBACK of a failed subtransaction and all around it');
$client->query('BEGIN');
$client->query('ROLLBACK AND CHAIN');
declines_ok($pid, 'has a transaction open', 'ROLLBACK AND CHAIN');
$client->query('COMMIT AND CHAIN');
declines_ok($pid, 'has a transaction open', 'COMMIT AND CHAIN');
$client->query('SELECT 1 / 0');
$client->query('ROLLBACK AND CHAIN');
declines_ok($pid, 'has a transaction open', 'ROLLBACK AND CHAIN of an aborted transaction');
$client->query('COMMIT');
agrees_ok('the end of the chain');
$client->query('ROLLBACK AND CHAIN');
agrees_ok('AND CHAIN without a transaction is an error');
$client->query('CREATE TABLE deferred (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)');
$client->query('BEGIN');
$client->query('INSERT INTO deferred VALUES (1), (1)');
$client->query('COMMIT AND CHAIN');
agrees_ok('a COMMIT AND CHAIN that failed');
$client->query('BEGIN');
$client->query('DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 10)');
$client->query('FETCH 2 FROM c');
declines_ok($pid, 'has a transaction open', 'a cursor');
$client->query('COMMIT');
agrees_ok('a cursor that is held over the end of its transaction');
$client->query('FETCH 2 FROM c');
agrees_ok('after a fetch from it');
$client->query('CLOSE c');
$client->query('BEGIN');
$client->query('INSERT INTO t VALUES (5)');
$client->query(q{PREPARE TRANSACTION 'x'});
agrees_ok('PREPARE TRANSACTION');
$client->query(q{ROLLBACK PREPARED 'x'});

# A listener is woken by a notification without a statement of its own.
$client->query('LISTEN news');
$node->safe_psql('postgres', 'NOTIFY news');
$client->read_until('A');
agrees_ok('a listener that got a notification');

# An open transaction counts for transaction_hold only, and says when to ask again.
$client->query('BEGIN');
$client->query('INSERT INTO t VALUES (6)');
set_option('lttle_pg.transaction_hold', '2s');
agrees_ok('the transaction is older than transaction_hold');
$client->query('SELECT 1');
$coordinator->send_message(PREPARE => 'suspend', DEADLINE_MS => 1000);
my $answer = $coordinator->expect('DECLINE');
like($answer->{DECLINE}, qr/^client with PID $pid has a transaction open$/, 'a statement in it renews its hold');
cmp_ok($answer->{RETRY_MS}, '<=', 2000, 'RETRY_MS is no longer than the hold');
agrees_ok('until it is over again');
set_option('lttle_pg.transaction_hold', '0');
$client->query('SELECT 1');
agrees_ok('transaction_hold = 0: an open transaction does not count');

# Utility statements, while that transaction makes them wait.
my $second = RawClient->new($node);
$client->query('LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE');
$second->simple_query('VACUUM t');
declines_ok($second->pid, 'runs a statement', 'VACUUM');
$client->query('ROLLBACK');
$second->read_until('Z');
agrees_ok('VACUUM has ended');
$client->query('BEGIN');
$client->query('INSERT INTO t VALUES (7)');
$second->simple_query('CREATE INDEX CONCURRENTLY t_a ON t (a)');
declines_ok($second->pid, 'runs a statement', 'CREATE INDEX CONCURRENTLY');
$client->query('ROLLBACK');
$second->read_until('Z');
agrees_ok('CREATE INDEX CONCURRENTLY has ended');
$second->simple_query('SET force_parallel_mode = on') if $node->pg_version < 16;
$second->simple_query('SET debug_parallel_query = on') if $node->pg_version >= 16;
$second->read_until('Z');
$second->simple_query('SELECT count(*), pg_sleep(1000) FROM t');
LttleNode::poll_ok($node, q{SELECT state, busy FROM lttle.flash_activity WHERE kind = 'parallel worker'}, 'active|t',
	'a parallel worker has a slot');
my $answer_to_parallel = $coordinator->ask_until(qr/PID/);
like($answer_to_parallel, qr/^(?:client with PID \d+ runs a statement|parallel worker with PID \d+ is at work)$/,
	'declines: a parallel query');
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . $second->pid . ')');
$second->read_until('Z');
LttleNode::poll_ok($node, q{SELECT count(*) FROM lttle.flash_activity WHERE kind = 'parallel worker'}, '0',
	'its slot goes with it');
agrees_ok('the parallel query has ended');
$second->quit;
set_option('lttle_pg.transaction_hold', '1h');

# The extended protocol, step by step, without a Sync.
$client->parse('SELECT a FROM t');
$client->flush;
$client->read_until('1');
declines_ok($pid, 'has a transaction open', 'Parse without Sync');
$client->bind;
$client->flush;
$client->read_until('2');
declines_ok($pid, 'has a transaction open', 'Bind without Sync');
$client->execute(1);
$client->flush;
$client->read_until('s');
declines_ok($pid, 'has a transaction open', 'Execute of some rows without Sync');
$client->execute(0);
$client->flush;
$client->read_until('C');
declines_ok($pid, 'has a transaction open', 'Execute of all rows without Sync');
$client->sync;
$client->read_until('Z');
agrees_ok('Sync');
$client->parse('SELECT 1 / a FROM (VALUES (0)) v (a)');
$client->bind;
$client->execute(0);
$client->flush;
my ($type, $body);
do { ($type, $body) = $client->read_message } until $type eq 'E';
agrees_ok('an error without Sync has ended the transaction');
$client->sync;
$client->read_until('Z');
$client->parse('SELECT pg_sleep(1000)');
$client->bind;
$client->execute(0);
$client->parse('SELECT 1');
$client->flush;
declines_ok($pid, 'runs a statement', 'a pipeline');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
$client->sync;
$client->read_until('Z');
agrees_ok('the pipeline has ended');

# Fast-path calls: pg_sleep is 2626, float8 abs is 221.
$client->fastpath_float8(2626, 1000);
declines_ok($pid, 'is in a fast-path call', 'a fast-path call');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
$client->read_until('Z');
agrees_ok('the fast-path call was cancelled');
$client->fastpath_float8(221, -1);
$client->read_until('Z');
agrees_ok('a fast-path call has ended');
$client->query('BEGIN');
$client->fastpath_float8(221, -1);
$client->read_until('Z');
declines_ok($pid, 'has a transaction open', 'a fast-path call in a transaction');
$client->query('SELECT 1');
declines_ok($pid, 'has a transaction open', 'a statement after it');
$client->query('COMMIT');
agrees_ok('both have ended');

# Flash locks.
$client->query(q{SELECT lttle.flash_lock('migration')});
like($coordinator->ask_until(qr/lock/), qr/^flash lock "migration" is held by PID $pid$/, 'declines: a flash lock');
$client->query(q{SELECT lttle.flash_lock('migration')});
$client->query(q{SELECT lttle.flash_unlock('migration')});
like($coordinator->ask_until(qr/lock/), qr/^flash lock "migration" is held by PID $pid$/, 'as often as it was taken');
$client->query(q{SELECT lttle.flash_unlock('migration')});
agrees_ok('the lock was released');
$client->query(q{SELECT lttle.flash_lock('left behind')});
$client->quit;
agrees_ok('the session has ended with its lock');

# The checkpoint before agreeing.
my $last_checkpoint = 'SELECT checkpoint_lsn FROM pg_control_checkpoint()';
set_option('lttle_pg.prepare_checkpoint', 'on');
agrees_ok('a checkpoint is made first');
my $before = $node->safe_psql('postgres', $last_checkpoint);
agrees_ok('nothing is to be written');
is($node->safe_psql('postgres', $last_checkpoint), $before, 'no checkpoint where there is nothing to write');
$node->safe_psql('postgres', 'INSERT INTO t SELECT generate_series(1, 1000)');
my $written = $node->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
agrees_ok('something is to be written');
is($node->safe_psql('postgres', "SELECT checkpoint_lsn >= '$written' FROM pg_control_checkpoint()"), 't',
	'the checkpoint was made');
my $checkpointer = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'});
$node->safe_psql('postgres', 'INSERT INTO t VALUES (8)');
kill 'STOP', $checkpointer;
is($coordinator->ask_until(qr/checkpoint/, deadline_ms => 300), 'the checkpoint has not ended yet',
	'declines: a checkpoint that takes too long');
kill 'CONT', $checkpointer;
agrees_ok('the checkpoint has ended by now');
set_option('lttle_pg.prepare_checkpoint', 'off');

# Before a hibernation the worker closes its end; HELLO's answer tells it what happened.
my $suspends = $node->safe_psql('postgres', 'SELECT suspends FROM lttle.flash_status()');
$coordinator->send_message(PREPARE => 'hibernate', DEADLINE_MS => 1500);
is_deeply([ $coordinator->expect_end ], ["AGREE=1\n"], 'hibernate: agrees and closes its end');
$coordinator->greet(RESUMED => 1, SLEPT_MS => 86400000, FROM => 'hibernated', WOKEN_BY => 'client');
LttleNode::poll_ok($node, 'SELECT suspends, last_slept, woken_by FROM lttle.flash_status()',
	$suspends + 1 . '|24:00:00|client', 'and takes RESUMED when it comes back');

# It comes back as soon as it is let in, whatever the deadline was, and being refused meanwhile is no news.
my $offset = LttleNode::log_size($node);
my $agreed_at = time();
$coordinator->send_message(PREPARE => 'hibernate', DEADLINE_MS => 60000);
$coordinator->expect_end;
$coordinator->vanish;
my $worker = LttleNode::worker_pid($node);
my $waits = times_scheduled($worker);
wait_for('the worker to try', sub { times_scheduled($worker) >= $waits + 2 });
$coordinator = Coordinator->new("$run/flash.sock");
$coordinator->greet(RESUMED => 1, SLEPT_MS => 100, FROM => 'hibernated', WOKEN_BY => 'client');
cmp_ok(time() - $agreed_at, '<', 60, 'it is back before the deadline');
is(LttleNode::count_in_log($node, qr/no coordinator at/, $offset), 0, 'and says nothing of having been refused');

$node->stop;
done_testing();
