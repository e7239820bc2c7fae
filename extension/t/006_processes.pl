# Processes other than clients: replication, base backups, a standby and its promotion, autovacuum.
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

my ($primary, $run) = LttleNode::create('primary',
	init => { allows_streaming => 1 },
	conf => 'lttle_pg.snapshot_at_start = off');
my $coordinator = Coordinator->new("$run/flash.sock");
$primary->start;
$primary->safe_psql('postgres', 'CREATE EXTENSION lttle_pg');
$coordinator->greet;

# A walsender between two commands is at rest, a base backup is not.
my $walsender = RawClient->new($primary, replication => 'true');
$walsender->query('IDENTIFY_SYSTEM');
LttleNode::poll_ok($primary, 'SELECT kind, state, busy FROM lttle.flash_activity WHERE pid = ' . $walsender->pid,
	'walsender|idle|f', 'a walsender that waits for a command');
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'agrees');
$walsender->simple_query(q{BASE_BACKUP (LABEL 'x', CHECKPOINT 'fast')});
$walsender->read_until('H');
LttleNode::poll_ok($primary, 'SELECT kind, busy FROM lttle.flash_activity WHERE pid = ' . $walsender->pid,
	'walsender|t', 'a base backup');
like($coordinator->ask_until(qr/walsender/), qr/^walsender with PID \d+ is at work$/, 'declines');
close $walsender->{socket};
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'agrees when it is gone');

# A standby has a page, but no worker.
$primary->backup('backup');
my $standby_run = PostgreSQL::Test::Utils::tempdir_short();
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', LttleNode::configuration($standby_run) . "lttle_pg.snapshot_at_start = on\n");
my $standby_coordinator = Coordinator->new("$standby_run/flash.sock");
$standby->start;
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', 'SELECT connected, phase FROM lttle.flash_status()'), 'f|stopped', 'a standby has no worker');
is($standby->safe_psql('postgres', 'SELECT kind, state FROM lttle.flash_activity WHERE pid = pg_backend_pid()'),
	'client|active', 'but an activity page');
is( $standby->safe_psql(
		'postgres', q{SELECT lttle.flash_lock('standby'); SELECT name FROM lttle.flash_locks}),
	"\nstandby", 'and locks');
my ($rc, $out, $err) = $standby->psql('postgres', 'SELECT lttle.flash_snapshot()');
like($err, qr/no coordinator is connected\nDETAIL:  The flash worker is stopped\./, 'a snapshot is refused');
like($coordinator->ask_until(qr/walsender/), qr/^walsender with PID \d+ is at work$/, 'the primary stays awake for its standby');

# Promotion starts the worker.
is(LttleNode::count_in_log($standby, qr/flash ready worker/), 0, 'no worker was started in recovery');
$standby->promote;
$standby_coordinator->greet;
$standby_coordinator->expect('SNAPSHOT');
$standby_coordinator->send_message(OK => 1);
is($standby_coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'the promoted server is at the coordinator\'s service');
is(LttleNode::count_in_log($standby, qr/flash ready worker/), 1, 'one worker was started');
$standby->stop;
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'the former primary may sleep');

# Autovacuum: the launcher never counts, a worker does for as long as it lives.
$primary->safe_psql('postgres', <<'EOQ');
CREATE TABLE t (a int) WITH (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1,
  autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0);
INSERT INTO t SELECT generate_series(1, 100000);
DELETE FROM t;
ALTER SYSTEM SET autovacuum_naptime = 1;
ALTER SYSTEM SET autovacuum = on;
SELECT pg_reload_conf();
EOQ
my $autovacuum = q{SELECT string_agg(DISTINCT state || ' ' || busy, ',') FROM lttle.flash_activity
  WHERE kind = 'autovacuum worker'};
LttleNode::poll_ok($primary, $autovacuum, 'active true', 'an autovacuum worker is busy');
like($coordinator->ask_until(qr/autovacuum/), qr/^autovacuum worker with PID \d+ is at work$/, 'declines');
$primary->safe_psql('postgres', <<'EOQ');
ALTER SYSTEM SET autovacuum = off;
SELECT pg_reload_conf();
DROP TABLE t;
EOQ
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'agrees when it is gone');
$primary->stop;

done_testing();
