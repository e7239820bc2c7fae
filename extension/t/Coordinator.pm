# The coordinator's end of the flash channel, for the tests: a listening SOCK_SEQPACKET socket and at most one
# connection, read and written message by message, with a deadline for whatever is expected.
package Coordinator;

use strict;
use warnings;

use Carp;
use Errno qw(EAGAIN);
use Fcntl;
use IO::Select;
use PostgreSQL::Test::Utils;
use Socket;
use Time::HiRes qw(time);

my $max_bytes = 4096;

# Listens at the path. A socket that is not listened on (listen => 0) refuses connections.
sub new
{
	my ($class, $path, %options) = @_;
	my $self = bless { path => $path, peer => undef }, $class;

	socket($self->{listener}, AF_UNIX, SOCK_SEQPACKET, 0) or croak "socket: $!";
	bind($self->{listener}, pack_sockaddr_un($path)) or croak "bind $path: $!";
	listen($self->{listener}, $options{backlog} // 8) or croak "listen: $!" unless defined $options{listen};
	return $self;
}

# Waits until the handle can be read.
sub _wait_readable
{
	my ($handle, $what) = @_;
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;

	return if IO::Select->new($handle)->can_read($deadline - time());
	croak "timed out waiting for $what";
}

sub accept_worker
{
	my ($self) = @_;
	my $peer;

	$self->hang_up;
	_wait_readable($self->{listener}, 'a connection');
	accept($peer, $self->{listener}) or croak "accept: $!";
	$self->{peer} = $peer;
	return;
}

# The next datagram; undef at the end of the connection.
sub receive_raw
{
	my ($self) = @_;
	my $bytes;

	_wait_readable($self->{peer}, 'a message');
	defined recv($self->{peer}, $bytes, $max_bytes + 1, 0) or return undef;
	return length $bytes ? $bytes : undef;
}

# The next message as a hash.
sub receive
{
	my ($self) = @_;
	my $bytes = $self->receive_raw;
	my %message;

	croak 'the worker has closed the connection' unless defined $bytes;
	for my $line (split /\n/, $bytes)
	{
		$line =~ /^([A-Z][A-Z0-9_]*)=(.*)$/ or croak "no KEY=value line: $line";
		croak "twice: $1" if exists $message{$1};
		$message{$1} = $2;
	}
	return \%message;
}

# The next message, which must have the key.
sub expect
{
	my ($self, $key) = @_;
	my $message = $self->receive;

	return $message if exists $message->{$key};
	croak "expected $key, got " . join ' ', map { "$_=$message->{$_}" } sort keys %$message;
}

# Waits for the worker to close the connection; returns the messages before that.
sub expect_end
{
	my ($self) = @_;
	my @messages;

	while (defined(my $bytes = $self->receive_raw))
	{
		push @messages, $bytes;
	}
	$self->hang_up;
	return @messages;
}

sub send_raw
{
	my ($self, $bytes) = @_;

	defined send($self->{peer}, $bytes, 0) or croak "send: $!";
	return;
}

# Sends KEY => value pairs in their order.
sub send_message
{
	my ($self, @fields) = @_;
	my $text = '';

	while (my ($key, $value) = splice @fields, 0, 2)
	{
		$text .= "$key=$value\n";
	}
	$self->send_raw($text);
	return;
}

# Accepts, takes HELLO and READY, answers HELLO. Returns the HELLO.
sub greet
{
	my ($self, @more) = @_;

	$self->accept_worker;
	my $hello = $self->expect('HELLO');
	$self->expect('READY');
	$self->send_message(HELLO => 1, VERSION => 1, @more);
	return $hello;
}

# Sends PREPARE and returns the answer; an agreement is cancelled.
sub ask
{
	my ($self, %options) = @_;

	$self->send_message(PREPARE => 'suspend', DEADLINE_MS => $options{deadline_ms} // 2000);
	my $answer = $self->receive;
	croak 'neither AGREE nor DECLINE' unless exists $answer->{AGREE} || exists $answer->{DECLINE};
	$self->send_message(CANCEL => 1) if exists $answer->{AGREE};
	return exists $answer->{AGREE} ? 'AGREE' : $answer->{DECLINE};
}

# Asks until the answer matches. Returns the last answer, which does not match when time ran out.
# PostgreSQL's own background workers are at work for a moment now and then, after every reload for example.
sub ask_until
{
	my ($self, $pattern, %options) = @_;
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;
	my $answer;

	do
	{
		$answer = $self->ask(%options);
		return $answer if $answer =~ $pattern;
		select(undef, undef, undef, 0.05);
	} while (time() < $deadline);
	return $answer;
}

# Fills the worker's way to us until it takes no more; only what the kernel queues, nothing is read.
sub hang_up
{
	my ($self) = @_;

	close $self->{peer} if defined $self->{peer};
	$self->{peer} = undef;
	return;
}

# Closes everything and takes the path away.
sub vanish
{
	my ($self) = @_;

	$self->hang_up;
	close $self->{listener} if defined $self->{listener};
	$self->{listener} = undef;
	unlink $self->{path};
	return;
}

1;
