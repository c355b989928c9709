#!/usr/bin/perl
# Every function of the header is documented: a comment before it, every parameter named in it, what it
# returns, from which threads, and since when; and the codes that it names are codes that exist.
use strict;
use warnings;

open my $file, '<', 'include/sock.h' or die "include/sock.h: $!";
my $header = do { local $/; <$file> };
my %codes = map { $_ => 1 } $header =~ /^\s*(SOCK_\w+)\s*=\s*-?\d+/mg;
my $count = 0;
my $failed = 0;

sub report {
    my ($name, @faults) = @_;
    $count++;
    $failed++ if @faults;
    print @faults ? 'not ' : '', "ok $count - $name\n", map { "#   $_\n" } @faults;
}

# A prototype is what lies between a comment and the next semicolon or brace, if it declares a sock_ function.
while ($header =~ m!/\*\*((?:[^*]|\*(?\!/))*)\*/([^;{]*)[;{]!g) {
    my ($comment, $prototype) = ($1, $2);
    $prototype =~ s/^\s*#.*$//mg;
    $prototype =~ s/__attribute__\s*\(\(.*?\)\)//s;
    next if $prototype =~ /\btypedef\b/;
    my ($result, $name, $parameters) = $prototype =~ /^\s*([\w\s*]*?)\b(sock_\w+)\s*\((.*)\)\s*$/s or next;
    my @faults;
    push @faults, 'no "Since"' if $comment !~ /\bSince \d+\.\d+/;
    push @faults, 'no @return' if $result !~ /^\s*void\s*$/ && $comment !~ /[\@\\]returns?\b/;
    for my $parameter (split /,/, $parameters) {
        next if $parameter =~ /^\s*(void|\.\.\.)\s*$/;
        my ($word) = $parameter =~ /(\w+)\s*(?:\[\d*\])?\s*$/;
        push @faults, "no \@param $word" if $comment !~ /[\@\\]param(?:\[\w+(?:,\w+)?\])?\s+$word\b/;
    }
    for my $code ($comment =~ /\b(SOCK_E[A-Z]+)\b/g) {
        push @faults, "$code does not exist" unless $codes{$code} || $code eq 'SOCK_ERROR';
    }
    report($name, @faults);
}
my @declared = $header =~ /^(?!\s|\*|#|\/).*?\b(sock_\w+)\s*\([^;{]*\)\s*;/mg; # what is indented is a call
report('every function was found', $count < 50 ? ("only $count documented functions, " . @declared . ' declared') : ());
report('the functions are documented one by one', $count - 1 < @declared ? ("$count documented, " . @declared . ' declared') : ());
my @lines = split /\n/, $header;
report('no line is wider than 100 bytes', map { "line $_" } grep { length $lines[$_ - 1] > 100 } 1 .. @lines);
print "1..$count\n";
exit($failed ? 1 : 0);
