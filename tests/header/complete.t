#!/usr/bin/perl
# The table of tests/c/handles.c tries every function of the header that takes a handle.
use strict;
use warnings;

sub content {
    open my $file, '<', $_[0] or die "$_[0]: $!";
    local $/;
    return scalar <$file>;
}

my $header = content('include/sock.h');
$header =~ s!/\*.*?\*/!!gs;
my $table = content('tests/c/handles.c');
my ($count, $failed) = (0, 0);
while ($header =~ /\b(sock_\w+)\s*\(([^;{()]*\bsock_t\s[^;{()]*)\)\s*[;{]/g) {
    my ($name, $parameters) = ($1, $2);
    next if $name eq "sock_pair" || $parameters =~ /\bsock_t\s*\*/; # an output
    my $tried = $table =~ /\b\Q$name\E\(/;
    $count++;
    $failed++ unless $tried;
    print $tried ? '' : 'not ', "ok $count - $name\n";
}
$count++;
$failed++ if $count < 40;
print $count < 40 ? 'not ' : '', "ok $count - functions were found\n1..$count\n";
exit($failed ? 1 : 0);
