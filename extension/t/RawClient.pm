# A client that speaks PostgreSQL's protocol byte by byte, to stop where libpq would not: without a Sync, or in the
# middle of a fast-path call or a COPY.
package RawClient;

use strict;
use warnings;

use Carp;
use IO::Select;
use IO::Socket::UNIX;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(time);

sub new
{
	my ($class, $node, %parameters) = @_;
	my $path = $node->host . '/.s.PGSQL.' . $node->port;
	my $socket = IO::Socket::UNIX->new(Peer => $path) or croak "connect $path: $!";
	my $self = bless { socket => $socket, buffer => '', pid => undef }, $class;
	my $startup = pack 'N', 196608;

	%parameters = (user => $parameters{user} // scalar(getpwuid($<)), database => 'postgres', %parameters);
	for my $name (sort keys %parameters)
	{
		$startup .= pack 'Z*Z*', $name, $parameters{$name};
	}
	$startup .= "\0";
	$socket->syswrite(pack('N', 4 + length $startup) . $startup);
	$self->read_until('Z');
	return $self;
}

sub pid
{
	my ($self) = @_;

	return $self->{pid};
}

# Queues nothing: each message goes out at once.
sub send_message
{
	my ($self, $type, $body) = @_;

	$self->{socket}->syswrite($type . pack('N', 4 + length $body) . $body) or croak "write: $!";
	return;
}

sub _fill
{
	my ($self, $size) = @_;
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;

	while (length $self->{buffer} < $size)
	{
		IO::Select->new($self->{socket})->can_read($deadline - time()) or croak 'timed out reading from the server';
		$self->{socket}->sysread($self->{buffer}, 65536, length $self->{buffer}) or croak 'the server has closed the connection';
	}
	return;
}

# The next message: type and body.
sub read_message
{
	my ($self) = @_;

	$self->_fill(5);
	my ($type, $length) = unpack 'aN', $self->{buffer};
	$self->_fill(1 + $length);
	my $body = substr $self->{buffer}, 5, $length - 4;
	substr($self->{buffer}, 0, 1 + $length) = '';
	$self->{pid} = unpack 'N', $body if $type eq 'K';
	return ($type, $body);
}

# Reads up to and including the first message of that type; returns its body.
sub read_until
{
	my ($self, $wanted) = @_;

	while (1)
	{
		my ($type, $body) = $self->read_message;
		return $body if $type eq $wanted;
		croak "server says: $body" if $type eq 'E' && $wanted ne 'Z';
	}
}

sub simple_query
{
	my ($self, $query) = @_;

	$self->send_message('Q', "$query\0");
	return;
}

sub query
{
	my ($self, $query) = @_;

	$self->simple_query($query);
	$self->read_until('Z');
	return;
}

# The first row of the answer, as a list.
sub query_row
{
	my ($self, $query) = @_;
	my (@row, $rest);

	$self->simple_query($query);
	$rest = substr $self->read_until('D'), 2;
	while (length $rest)
	{
		my $length = unpack 'l>', $rest;
		push @row, $length < 0 ? undef : substr $rest, 4, $length;
		substr($rest, 0, 4 + ($length < 0 ? 0 : $length)) = '';
	}
	$self->read_until('Z');
	return @row;
}

sub parse
{
	my ($self, $query) = @_;

	$self->send_message('P', "\0$query\0" . pack 'n', 0);
	return;
}

sub bind
{
	my ($self) = @_;

	$self->send_message('B', "\0\0" . pack 'nnn', 0, 0, 0);
	return;
}

sub execute
{
	my ($self, $max_rows) = @_;

	$self->send_message('E', "\0" . pack 'N', $max_rows);
	return;
}

sub flush
{
	my ($self) = @_;

	$self->send_message('H', '');
	return;
}

sub sync
{
	my ($self) = @_;

	$self->send_message('S', '');
	return;
}

# Calls a function of one float8 argument by the fast path.
sub fastpath_float8
{
	my ($self, $oid, $value) = @_;

	$self->send_message('F', pack('NnnnNa8n', $oid, 1, 1, 1, 8, scalar reverse(pack 'd', $value), 1));
	return;
}

sub quit
{
	my ($self) = @_;

	$self->send_message('X', '');
	close $self->{socket};
	return;
}

1;
