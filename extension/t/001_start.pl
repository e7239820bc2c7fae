# Start, restart and refusal: what the log says, what the activity page holds, what happens without preloading.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use LttleNode;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Reads the header of an activity page; see protocol/lttle/activity_page.h.
sub read_header
{
	my ($path) = @_;
	my %header;
	my $bytes = slurp_file($path);

	@header{qw(magic version header_size slot_size slot_count postmaster client_read created hold)} =
	  unpack 'QLLLLLLQL', $bytes;
	$header{length} = length $bytes;
	$header{slots} = substr $bytes, $header{header_size};
	return \%header;
}

# The slots that are taken, by PID.
sub read_slots
{
	my ($path) = @_;
	my $header = read_header($path);
	my %slots;

	for my $i (0 .. $header->{slot_count} - 1)
	{
		my %slot;
		@slot{qw(pid kind state locks since statements wait_address)} =
		  unpack 'LLLLQQQ', substr $header->{slots}, $i * $header->{slot_size}, $header->{slot_size};
		$slot{lock} = unpack 'Z64', substr $header->{slots}, $i * $header->{slot_size} + 64, 64;
		$slots{ $slot{pid} } = \%slot if $slot{pid} != 0;
	}
	return \%slots;
}

sub postmaster_pid
{
	my ($node) = @_;

	return (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
}

# Without preloading: refused with a hint, no crash, in whatever way the library comes into the session.
my $bare = PostgreSQL::Test::Cluster->new('bare');
$bare->init;
$bare->start;
my ($rc, $out, $err) = $bare->psql('postgres', 'CREATE EXTENSION lttle_pg');
isnt($rc, 0, 'CREATE EXTENSION without preloading fails');
like($err, qr/ERROR:  lttle_pg must be loaded by "shared_preload_libraries"/, 'and says why');
like($err, qr/HINT:  Add lttle_pg to the setting "shared_preload_libraries" and restart the server/, 'and what to do');
is($bare->safe_psql('postgres', q{SELECT count(*) FROM pg_namespace WHERE nspname = 'lttle'}), '0', 'nothing is left');
is($bare->psql('postgres', q{LOAD 'lttle_pg'}), 0, 'LOAD in a session does no harm');
is( $bare->safe_psql(
		'postgres', q{LOAD 'lttle_pg'; SELECT count(*) FROM pg_settings WHERE name LIKE 'lttle_pg.%'; VACUUM pg_class}),
	'0',
	'and sets nothing up');

# Preloaded: the two lines of the guide, in their order.
my ($node, $run) = LttleNode::create('main');
$node->start;
like(
	slurp_file($node->logfile),
	qr/LOG:  lttle_pg: init\n.*starting PostgreSQL.*ready to accept connections/s,
	'init is logged before the server starts');
$node->wait_for_log(qr/LOG:  lttle_pg: flash ready worker\n/);
pass('the worker says that it is ready');
$node->wait_for_log(qr/LOG:  lttle_pg: no coordinator at "\Q$run\E\/flash.sock": No such file or directory\n/);
pass('and that there is no coordinator');
$node->safe_psql('postgres', 'CREATE EXTENSION lttle_pg');

# The activity page's file.
my $file = "$run/activity";
my $header = read_header($file);
is(sprintf('%x', $header->{magic}), '315650414c54544c', 'magic');
is($header->{version}, 1, 'version');
is($header->{header_size}, 256, 'size of the header');
is($header->{slot_size}, 128, 'size of a slot');
cmp_ok($header->{slot_count}, '>', $node->safe_psql('postgres', 'SHOW max_connections'), 'a slot for every connection');
is($header->{length}, 256 + 128 * $header->{slot_count}, 'length of the file');
is($header->{postmaster}, postmaster_pid($node), 'PID of the postmaster');
is($header->{hold}, 60000, 'transaction_hold');
is((stat $file)[2] & 07777, 0600, 'nobody else may write the file');

my $session = $node->background_psql('postgres');
my $pid = $session->query('SELECT pg_backend_pid()');
$session->query_safe(q{SELECT lttle.flash_lock('from the page')});
LttleNode::poll_ok($node, "SELECT state FROM lttle.flash_activity WHERE pid = $pid", 'idle', 'the session comes to rest');
my $slot = read_slots($file)->{$pid};
is($slot->{kind}, 1, 'the slot says client');
is($slot->{state}, 2, 'and idle');
is($slot->{locks}, 1, 'and one lock');
is($slot->{lock}, 'from the page', 'by its name');
cmp_ok($slot->{since}, '>', $header->{created}, 'since a time after the start');
isnt($slot->{wait_address}, 0, 'and where the wait event is');
SKIP:
{
	# What the coordinator does with process_vm_readv; only the superuser may look into another process everywhere.
	open(my $memory, '<:raw', "/proc/$pid/mem") or skip "/proc/$pid/mem: $!", 1;
	sysseek $memory, $slot->{wait_address}, 0;
	sysread $memory, my $event, 4;
	is(unpack('L', $event), $header->{client_read}, 'there stands that it waits for its client');
}
$session->quit;
LttleNode::poll_ok($node, "SELECT count(*) FROM lttle.flash_activity WHERE pid = $pid", '0', 'its end frees the slot');
ok(!exists read_slots($file)->{$pid}, 'in the file too');
cmp_ok(unpack('Q', substr slurp_file($file), 48, 8), '>', $slot->{since}, 'the end of a session is noted');

# A reload reaches the page.
$node->append_conf('postgresql.conf', "lttle_pg.transaction_hold = '7s'");
$node->reload;
LttleNode::poll_ok($node, 'SHOW lttle_pg.transaction_hold', '7s', 'the setting is reloaded');
is(read_header($file)->{hold}, 7000, 'the page follows');

# A second server with the same file must not share it.
my ($other, $other_run) = LttleNode::create('other', conf => "lttle_pg.activity_file = '$file'");
$other->start;
like(
	slurp_file($other->logfile),
	qr/activity file "\Q$file\E" can't be used: the server with PID \d+ uses it/,
	'a second server keeps away from the file');
$other->safe_psql('postgres', 'CREATE EXTENSION lttle_pg');
is($other->safe_psql('postgres', 'SELECT state FROM lttle.flash_activity WHERE pid = pg_backend_pid()'),
	'active', 'and has a page all the same');
is(read_header($file)->{postmaster}, postmaster_pid($node), 'the file still belongs to the first');
$other->stop;

# Restart: the same file, the same inode, a new beginning; nothing of a page that a killed server left.
my $inode = (stat $file)[1];
my $created = read_header($file)->{created};
$node->stop('immediate');
$node->start;
is((stat $file)[1], $inode, 'the file stays the same one');
cmp_ok(read_header($file)->{created}, '>', $created, 'the page is a new one');
is(read_header($file)->{postmaster}, postmaster_pid($node), 'with the new postmaster');
$node->stop;
is(read_header($file)->{magic}, 0, 'an orderly stop invalidates the page');
is(read_header($file)->{postmaster}, 0, 'and nobody owns it');

# Places where no file can be.
for my $case (
	[ "$run/nowhere/activity", qr/No such file or directory/ ],
	[ "$run/link", qr/Too many levels of symbolic links/ ],
	[ "$run/fifo", qr/it is not a regular file/ ],
	[ '', undef ])
{
	my ($path, $reason) = @$case;
	symlink $file, "$run/link";
	system 'mkfifo', "$run/fifo" unless -e "$run/fifo";
	$node->adjust_conf('postgresql.conf', 'lttle_pg.activity_file', "'$path'");
	my $offset = LttleNode::log_size($node);
	$node->start;
	is($node->safe_psql('postgres', 'SELECT state, busy FROM lttle.flash_activity WHERE pid = pg_backend_pid()'),
		'active|t', "the server and its views work with activity_file = '$path'");
	my $log = substr slurp_file($node->logfile), $offset;
	like($log, qr/LOG:  lttle_pg: activity file "\Q$path\E" can't be used: $reason/, 'the log says why') if $reason;
	unlike($log, qr/activity file/, 'the log says nothing') unless $reason;
	$node->stop;
}

done_testing();
