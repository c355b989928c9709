#!/bin/sh
# Which system calls the library makes, by strace: few, close-on-exec, without SIGPIPE, and none that changes the process.
. tests/tap.sh

program=$BUILD/tests/system_calls/exercise
has strace || skip_all 'strace is not installed'
strace -o /dev/null true 2>/dev/null || skip_all 'strace may not trace here'
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# How many system calls HOW makes for 100 rounds more.
for_100_rounds() {
    strace -o "$folder/few" "$program" "$1" 10 || return 1
    strace -o "$folder/many" "$program" "$1" 110 || return 1
    few=$(grep -c '(' "$folder/few")
    many=$(grep -c '(' "$folder/many")
    echo $((many - few))
}

one_call_each_when_ready() {
    calls=$(for_100_rounds ready)
    echo "$calls system calls for 100 writes and 100 reads"
    [ "$calls" -eq 200 ]
}

three_calls_when_waiting() {
    calls=$(for_100_rounds waiting)
    echo "$calls system calls for 100 writes and 100 reads that had to wait"
    [ "$calls" -gt 200 ] && [ "$calls" -le 400 ]
}

none() { ! grep -E "$1" "$folder/all"; }
each() { # each CALLS FLAG: each of these calls has the flag
    grep -qE "$1" "$folder/all" && ! grep -E "$1" "$folder/all" | grep -vE "$2"
}
standard_descriptors_are_left_alone() { none '\b(write|writev|sendto|sendmsg)\([012],'; }

check 'a read or write that need not wait is one system call' one_call_each_when_ready
check 'a read that waits is at most three' three_calls_when_waiting
check 'the exercise runs' strace -f -o "$folder/all" "$program" all 1
# The descriptors that the C library opens to look up a name are its own affair: they are O_CLOEXEC too, or closed at once.
check 'sockets are close-on-exec' each '\bsocket(pair)?\(.*= [0-9(]' 'SOCK_CLOEXEC|-1 E'
check 'accepted sockets are close-on-exec' each '\baccept4?\(' 'SOCK_CLOEXEC|resumed|unfinished'
check 'eventfds are close-on-exec' each '\beventfd2?\(' 'EFD_CLOEXEC'
check 'epoll sets are close-on-exec' each '\bepoll_create1?\(' 'EPOLL_CLOEXEC'
check 'received descriptors are close-on-exec' each 'recvmsg\(.*SCM_RIGHTS' 'MSG_CMSG_CLOEXEC'
# The C library asks the kernel which addresses this machine has.
check 'nothing that is sent can raise SIGPIPE' each '\bsend(to|msg|mmsg)\(' 'MSG_NOSIGNAL|sa_family=AF_NETLINK'
check 'no signal handler is installed' none 'rt_sigaction\(SIG(PIPE|ALRM|IO|USR1|USR2|CHLD|INT|TERM)'
check 'no timer is set' none '\b(setitimer|alarm|timer_create)\('
check 'umask and working folder are left alone' none '\b(umask|chdir|fchdir)\('
check 'descriptors are not waited for by select' none '\bp?select6?\('
check 'nothing is written to the standard descriptors' standard_descriptors_are_left_alone
done_testing
