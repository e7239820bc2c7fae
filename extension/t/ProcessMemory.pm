# The private memory of a process that rests, kept and put back: what a process finds in each copy of one snapshot.
package ProcessMemory;

use strict;
use warnings;

use Carp;
use Fcntl qw(O_RDWR SEEK_SET);
use PostgreSQL::Test::Utils;

sub keep
{
	my ($class, $pid) = @_;
	my @areas;

	for my $line (split /\n/, slurp_file("/proc/$pid/maps"))
	{
		my ($begin, $end) = $line =~ /^([0-9a-f]+)-([0-9a-f]+) rw.p / or next;
		push @areas, { begin => hex $begin, size => hex($end) - hex $begin };
	}
	my $self = bless { pid => $pid, areas => \@areas }, $class;
	$self->_each_area(
		sub {
			my ($memory, $area) = @_;
			my $got = sysread $memory, $area->{bytes}, $area->{size};
			croak "reading memory of $pid: $!" unless defined $got && $got == $area->{size};
		});
	return $self;
}

sub put_back
{
	my ($self) = @_;

	$self->_each_area(
		sub {
			my ($memory, $area) = @_;
			my $written = syswrite $memory, $area->{bytes};
			croak "writing memory of $self->{pid}: $!" unless defined $written && $written == $area->{size};
		});
	return;
}

sub _each_area
{
	my ($self, $do) = @_;

	sysopen my $memory, "/proc/$self->{pid}/mem", O_RDWR or croak "memory of $self->{pid}: $!";
	for my $area (@{ $self->{areas} })
	{
		defined sysseek $memory, $area->{begin}, SEEK_SET or croak "sysseek: $!";
		$do->($memory, $area);
	}
	close $memory;
	return;
}

1;
