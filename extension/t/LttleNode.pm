# A temporary server that preloads lttle_pg, with its own run directory.
package LttleNode;

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Returns the node (not started) and its run directory, whose path is short enough for a socket.
sub create
{
	my ($name, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my $run = PostgreSQL::Test::Utils::tempdir_short();

	$node->init(%{ $options{init} // {} });
	$node->append_conf('postgresql.conf', configuration($run));
	$node->append_conf('postgresql.conf', $options{conf}) if defined $options{conf};
	return ($node, $run);
}

sub configuration
{
	my ($run) = @_;

	return <<"EOC";
shared_preload_libraries = 'lttle_pg'
lttle_pg.socket = '$run/flash.sock'
lttle_pg.activity_file = '$run/activity'
lttle_pg.shared_memory_file = ''
autovacuum = off
EOC
}

# How often the pattern stands in the server's log, from the offset on.
sub count_in_log
{
	my ($node, $pattern, $offset) = @_;
	my $log = substr PostgreSQL::Test::Utils::slurp_file($node->logfile), $offset // 0;
	my $count = () = $log =~ /$pattern/g;

	return $count;
}

sub log_size
{
	my ($node) = @_;

	return -s $node->logfile;
}

# The flash worker's PID.
sub worker_pid
{
	my ($node) = @_;

	return $node->safe_psql('postgres', q{SELECT pid FROM lttle.flash_activity WHERE kind = 'flash worker'});
}

# Waits until the query returns the value.
sub poll_ok
{
	my ($node, $query, $expected, $name) = @_;

	ok($node->poll_query_until('postgres', $query, $expected), $name);
	return;
}

1;
