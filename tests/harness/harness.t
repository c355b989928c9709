#!/bin/sh
# The harness sees what it is there to see: every way to fail is reported as failed, with its reason.
. tests/tap.sh

report=$("$BUILD/tests/harness/failing")
verdict=$?

reports() { printf '%s\n' "$report" | grep -E "$1"; }
fails() { # CASE REASON
    check "$1 is a failure" reports "^not ok [0-9]+ - $1\$"
    check "$1: $2" reports "^#.*$2"
}
summary() {
    folder=$(mktemp -d)
    BUILD=$folder tests/run 1 "$BUILD/tests/harness/failing" | tail -n 40
    rm -r "$folder"
}
sums_up_with_the_reason() {
    summary | grep -A2 '^failed: .*fails_a_check$' | grep -q ' -1 (SOCK_EINVAL) against 5$'
}
ends_too_early() { # a program that plans two tests, runs one, and ends as if all were well
    folder=$(mktemp -d)
    printf '#!/bin/sh\necho 1..2\necho ok 1 - the first\n' >"$folder/program.t"
    chmod +x "$folder/program.t"
    BUILD=$folder/build tests/run 1 "$folder/program.t" 2>&1 | tail -n 1
    rm -r "$folder"
}
sees_that_a_plan_is_not_kept() { [ "$(ends_too_early)" = '1 passed, 1 failed, 0 skipped' ]; }
lacks_its_interpreter() { # a script in a language that is not installed
    folder=$(mktemp -d)
    printf '#!/usr/bin/env no-such-language\n' >"$folder/program.t"
    chmod +x "$folder/program.t"
    BUILD=$folder/build tests/run 1 "$folder/program.t" 2>&1 | tail -n 2
    rm -r "$folder"
}
skips_what_cannot_be_interpreted() {
    lacks_its_interpreter | grep '^skipped: .* no-such-language is not installed$' && lacks_its_interpreter | grep -qx '0 passed, 0 failed, 1 skipped'
}
parts() { # TARGET...: the last line of tests/parts for targets of this makefile
    folder=$(mktemp -d)
    cat >"$folder/makefile" <<'END'
passes: ; @echo 'ok 1 - a case'
fails: ; @echo 'not ok 1 - a case'; false
skips: ; @echo '1..0 # SKIP no tool'
sums_up: ; @echo '5 passed, 2 failed, 1 skipped'; false
breaks: ; @false
END
    MAKE="make -f $folder/makefile" tests/parts "$@" 2>/dev/null | tail -n 1
    rm -r "$folder"
}
sums_up_the_parts() { [ "$(parts passes skips fails sums_up breaks)" = '6 passed, 4 failed, 2 skipped' ]; }
a_part_that_breaks_is_a_failure() { ! MAKE=false tests/parts any >/dev/null; }
lists_the_cases() { [ "$("$BUILD/tests/harness/failing" --list | wc -l)" -eq 16 ]; }
runs_one_case() { [ "$("$BUILD/tests/harness/failing" passes)" = "ok 1 - passes
1..1" ]; }
knows_no_such_case() { ! "$BUILD/tests/harness/failing" no_such_case >/dev/null; }

check 'a case that holds passes' reports '^ok 1 - passes$'
check 'a skipped case says why' reports '^ok [0-9]+ - is_skipped # SKIP it is only a test$'
fails fails_a_check '-1 \(SOCK_EINVAL\) against 5'
fails leaves_a_descriptor_open 'was left open'
fails closes_a_descriptor 'descriptor 0 was closed'
fails writes_to_stderr 'was written to stdout or stderr: surprise'
fails writes_to_stdout 'was written to stdout or stderr: surprise'
fails crashes 'killed by signal 11'
fails exits_by_itself 'exit status 7'
fails leaves_a_thread_running 'threads before'
fails leaves_a_handle_open '1 handles are still alive'
fails never_ends 'no end after 1 s'
fails fails_in_a_thread 'argument != NULL'
fails fails_beside_the_others '-3 \(SOCK_ETYPE\) against 6'
check 'slow cases run beside each other' reports '^ok [0-9]+ - meets_the_first$'
check 'slow cases are reported after the others' reports '^not ok 15 - fails_beside_the_others$'
check 'the plan is complete' reports '^1\.\.16$'
check 'the exit status says that something failed' test "$verdict" -eq 1
check 'the cases can be listed' lists_the_cases
check 'a case can be run alone' runs_one_case
check 'a case that does not exist is no success' knows_no_such_case
check 'the summary shows why a case failed' sums_up_with_the_reason
check 'a plan that is not kept is a failure' sees_that_a_plan_is_not_kept
check 'a script whose interpreter is missing is skipped' skips_what_cannot_be_interpreted
check 'the parts of a long run are summed up, with those that fail' sums_up_the_parts
check 'a part that ends without a word is a failure' a_part_that_breaks_is_a_failure
done_testing
