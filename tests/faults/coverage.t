#!/bin/sh
# Every function that libsock.so takes from the C library is one the shim can make fail, or stands in the list
# below because it cannot fail, or cannot fail in a way that its caller could see.
. tests/tap.sh

if ! has nm; then skip_all "nm is not installed"; fi

harmless='
    __cxa_finalize __cxa_thread_atexit_impl __errno_location __gmon_start__ __tls_get_addr __xpg_strerror_r
    _ITM_deregisterTMCloneTable _ITM_registerTMCloneTable
    _Unwind_.*                       unwinding stays inside the library
    abort                            ends the process
    free freeaddrinfo
    memchr memrchr memcmp bcmp memcpy memmove memset strlen strcmp
    clock_gettime                    CLOCK_MONOTONIC is always there
    gai_strerror getenv getpid getuid geteuid gettid
    dl_iterate_phdr dlsym environ __register_atfork
    if_indextoname                   without it the scope is shown as a number
    getservbyname_r
    gnu_get_libc_version sysconf sched_getaffinity
    sigaddset sigfillset sigemptyset sigismember sigpending sigtimedwait pthread_sigmask sigaction sigaltstack
    pause pthread_self pthread_detach pthread_join pthread_attr_.* pthread_getattr_np pthread_key_create pthread_key_delete
    pthread_setspecific pthread_getspecific pthread_setname_np pthread_atfork pthread_mutex_.* pthread_cond_.*
    sched_yield nanosleep clock_nanosleep munmap
    syscall                          futex and membarrier
    realpath getcwd open64 readlink statx    for backtraces, which are never made
'

sorted() { tr -s ' \n' '\n\n' | grep . | sort -u; }
taken() { nm -D --undefined-only "$LIBRARY_SHARED" | sed 's/.* //; s/@.*//' | sorted; }
given() { nm -D --defined-only "$BUILD/tests/faults/libshim.so" | sed 's/.* //; s/@.*//' | sorted; }
patterns() { printf '%s\n' "$harmless" | sed 's/^ *//; s/   .*//' | sorted | sed 's/.*/^&$/'; }

unknown_to_the_shim() {
    given >"$BUILD/tests/faults/given"
    patterns >"$BUILD/tests/faults/harmless"
    taken | grep -vxFf "$BUILD/tests/faults/given" | grep -vf "$BUILD/tests/faults/harmless"
}
none_unknown() { ! unknown_to_the_shim; }
takes_sockets() { taken | grep -qx recv; }

check "the library takes its sockets from the C library" takes_sockets
check "every function that can fail can be made to fail" none_unknown
done_testing
