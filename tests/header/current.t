#!/bin/sh
# The committed header is the one that this source generates.
. tests/tap.sh
has git && git rev-parse --git-dir >/dev/null 2>&1 || skip_all 'this is not a git checkout'
git ls-files --error-unmatch include/sock.h >/dev/null 2>&1 || skip_all 'include/sock.h is not tracked here'

# The build script writes it when anything has changed that it is made of. It is there from building the library, which a check does
# not replace under the other tests.
is_current() {
    "$CARGO" check --release --locked && git diff --exit-code -- include/sock.h
}
check 'include/sock.h is what the source generates' is_current
done_testing
