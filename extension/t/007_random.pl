# Random numbers do not repeat in copies of one snapshot on disk, but those that follow from a seed of the user's do.
# A copy is a session whose memory is put back to what it was.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Coordinator;
use LttleNode;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ProcessMemory;
use RawClient;
use Test::More;

my ($node, $run) = LttleNode::create('main', conf => 'lttle_pg.snapshot_at_start = off');
my $coordinator = Coordinator->new("$run/flash.sock");
$node->start;
$node->safe_psql('postgres', <<'EOQ');
CREATE EXTENSION lttle_pg;
CREATE TABLE numbers AS SELECT n FROM generate_series(1, 2000) n;
VACUUM numbers;
EOQ
$coordinator->greet;

# In this order: of the SQL functions, of PostgreSQL itself, of OpenSSL.
my @sources = ('random()', 'TABLESAMPLE', 'gen_random_uuid()');
my $draw = <<'EOQ';
SELECT random(), (SELECT md5(string_agg(n::text, ',')) FROM numbers TABLESAMPLE BERNOULLI (50)), gen_random_uuid()
EOQ
my $has_openssl = $node->safe_psql('postgres', q{SELECT setting ~ 'ssl' FROM pg_config WHERE name = 'CONFIGURE'}) eq 't';
splice @sources, 2 unless $has_openssl;

# A session that has drawn once, so that everything is seeded, and rests.
sub session
{
	my ($first) = @_;
	my $client = RawClient->new($node);

	$client->query($first) if defined $first;
	$client->query($draw);
	return $client;
}

sub keep
{
	my ($client) = @_;
	my $pid = $client->pid;

	$node->poll_query_until('postgres', "SELECT wait_event = 'ClientRead' FROM pg_stat_activity WHERE pid = $pid")
	  or die 'the session does not rest';
	usleep_until_asleep($pid);
	return ProcessMemory->keep($pid);
}

sub usleep_until_asleep
{
	my ($pid) = @_;

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if slurp_file("/proc/$pid/stat") =~ /\) S /;
		select undef, undef, undef, 0.1;
	}
	die "process $pid does not sleep";
}

# Draws anew from the memory that was kept.
sub draw_from
{
	my ($client, $memory) = @_;

	usleep_until_asleep($client->pid);
	$memory->put_back;
	return [ $client->query_row($draw) ];
}

sub all_differ_ok
{
	my ($got, $before, $name) = @_;

	isnt($got->[$_], $before->[$_], "$name: $sources[$_]") for 0 .. $#sources;
	return;
}

sub all_repeat_ok
{
	my ($got, $before, $name) = @_;

	is($got->[$_], $before->[$_], "$name: $sources[$_]") for 0 .. $#sources;
	return;
}

# The worker's part up to the moment at which the snapshot would be made.
sub hibernate
{
	$coordinator->send_message(PREPARE => 'hibernate', DEADLINE_MS => 1000);
	is_deeply([ $coordinator->expect_end ], ["AGREE=1\n"], 'agrees to hibernate');
	return;
}

sub resume
{
	my ($from) = @_;
	my $suspends = $node->safe_psql('postgres', 'SELECT suspends FROM lttle.flash_status()');

	$from eq 'hibernated'
	  ? $coordinator->greet(RESUMED => 1, SLEPT_MS => 1000, FROM => $from, WOKEN_BY => 'client')
	  : $coordinator->send_message(RESUMED => 1, SLEPT_MS => 1000, FROM => $from);
	LttleNode::poll_ok($node, 'SELECT suspends FROM lttle.flash_status()', $suspends + 1, "resumed, $from");
	return;
}

# Every source repeats in a copy, as long as nobody sees to it: also after a thaw, where there is no copy.
my $client = session();
my $memory = keep($client);
my $first = draw_from($client, $memory);
all_repeat_ok(draw_from($client, $memory), $first, 'a copy repeats');
resume('suspended');
all_repeat_ok(draw_from($client, $memory), $first, 'a thaw changes nothing');

# From the answer to PREPARE on, nothing does: not even before the coordinator can say RESUMED.
hibernate();
my $second = draw_from($client, $memory);
all_differ_ok($second, $first, 'restored');
my $third = draw_from($client, $memory);
all_differ_ok($third, $second, 'restored twice');
all_differ_ok($third, $first, 'and not as before');
my @next = $client->query_row($draw);
all_differ_ok(\@next, $third, 'the sequence goes on');

# A session that was seeded anew between PREPARE and the snapshot: RESUMED sees to it.
$memory = keep($client);
$first = draw_from($client, $memory);
all_repeat_ok(draw_from($client, $memory), $first, 'seeded before the snapshot was made');
resume('hibernated');
all_differ_ok(draw_from($client, $memory), $first, 'until RESUMED');
$client->quit;

# A seed of the user's is kept, however it was set; the other sources are not his.
my %seeded = (
	'setseed()' => [ session('SELECT setseed(0.25)') ],
	'setseed() in a function' => [ session('DO $$ BEGIN PERFORM setseed(0.25); END $$') ],
	'SET seed' => [ session('SET seed = 0.25') ],
	'set_config()' => [ session(q{SELECT set_config('seed', '0.25', false)}) ],
);
my @expected = ([ session('SELECT setseed(0.25)')->query_row($draw) ]->[0]);
$_->[1] = keep($_->[0]) for values %seeded;
hibernate();
for my $name (sort keys %seeded)
{
	my ($session, $kept) = @{ $seeded{$name} };
	my $drawn = draw_from($session, $kept);

	is($drawn->[0], $expected[0], "$name: the user's sequence goes on");
	isnt(draw_from($session, $kept)->[$_], $drawn->[$_], "$name: $sources[$_] does not repeat") for 1 .. $#sources;
	$session->quit;
}
resume('hibernated');
is($node->safe_psql('postgres', 'SELECT setseed(0.25); SELECT random() = random()'), "\nf", 'a new session works');

$node->stop;
done_testing();
