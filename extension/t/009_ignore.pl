# Sessions that don't count: by the user's name, by the application's, and while it changes.
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

my ($node, $run) = LttleNode::create('ignore', conf => 'lttle_pg.snapshot_at_start = off');
$node->append_conf('postgresql.conf', "lttle_pg.ignore_file = '$run/ignore'");
my $coordinator = Coordinator->new("$run/flash.sock");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION lttle_pg; CREATE ROLE "Mon itor" LOGIN; CREATE ROLE other LOGIN');
$coordinator->greet;

# Field "ignored" of the slot of a process, and of the header when one ended last: counted, ignored.
sub page
{
	my $bytes = PostgreSQL::Test::Utils::slurp_file("$run/activity");
	my ($header_size, $slot_size, $slot_count) = unpack 'x12 L L L', $bytes;

	return (unpack('x48 Q Q', $bytes), map { substr $bytes, $header_size + $_ * $slot_size, $slot_size } 0 .. $slot_count - 1);
}

sub ignored
{
	my ($pid) = @_;
	my (undef, undef, @slots) = page();

	for my $slot (@slots)
	{
		return unpack 'x40 L', $slot if unpack('L', $slot) == $pid;
	}
	return undef;
}

sub poll_ignored
{
	my ($pid, $expected, $name) = @_;
	my $found;

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		$found = ignored($pid);
		last if defined $found && $found == $expected;
		select undef, undef, undef, 0.1;
	}
	return is($found, $expected, $name);
}

# Nobody is ignored without a file.
my $early = RawClient->new($node, user => 'Mon itor');
$early->query('SELECT 1');
is(ignored($early->pid), 0, 'without a list every session counts');

PostgreSQL::Test::Utils::append_to_file("$run/ignore", "user Mon itor\napplication poll er\nuser oth\napplication \n");
$early->query('SELECT 1');
is(ignored($early->pid), 0, 'it is read when a session begins');

# By user, from the login on; by application, for as long as it calls itself so.
my $monitor = RawClient->new($node, user => 'Mon itor');
poll_ignored($monitor->pid, 1, 'a user that is on the list');
my $other = RawClient->new($node, user => 'other');
poll_ignored($other->pid, 0, 'another one, whose name begins as one on the list');
$other->query("SET application_name = 'poll er'");
is(ignored($other->pid), 1, 'an application that is on the list');
$other->query("SET application_name = ''");
is(ignored($other->pid), 0, 'no longer');
my $poller = RawClient->new($node, user => 'other', application_name => 'poll er');
poll_ignored($poller->pid, 1, 'an application that says so when it connects');

# An open transaction of theirs does not keep the server awake, a statement does for as long as it runs.
$monitor->query('BEGIN');
is($node->safe_psql('postgres', 'SELECT state, busy FROM lttle.flash_activity WHERE pid = ' . $monitor->pid),
	'in transaction|f', 'a transaction of an ignored session');
$other->query('BEGIN');
is($node->safe_psql('postgres', 'SELECT state, busy FROM lttle.flash_activity WHERE pid = ' . $other->pid),
	'in transaction|t', 'one of a session that counts');
$other->query('COMMIT');
is($coordinator->ask_until(qr/^AGREE$/), 'AGREE', 'agrees');
$monitor->simple_query('SELECT pg_sleep(300)');
LttleNode::poll_ok($node, 'SELECT state, busy FROM lttle.flash_activity WHERE pid = ' . $monitor->pid, 'active|t',
	'its statement is let end');
like($coordinator->ask_until(qr/client/), qr/^client with PID \d+ /, 'declines');
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . $monitor->pid . ')');

# An end of theirs is noted beside the others.
my ($counted, $ignored_before) = page();
close $poller->{socket};
my $ignored_after;
for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
{
	(undef, $ignored_after) = page();
	last if $ignored_after > $ignored_before;
	select undef, undef, undef, 0.1;
}
cmp_ok($ignored_after, '>', $ignored_before, 'the end of an ignored session is noted apart');

$node->stop;
done_testing();
