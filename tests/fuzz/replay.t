#!/bin/sh
# Every fuzz target over its committed corpus: what fuzzing once found stays found.
. tests/tap.sh

for source in fuzz/*.c; do
    kind=$(basename "$source" .c)
    [ "$kind" != replay ] || continue
    replay() { "$BUILD/fuzz/replay-$kind" "fuzz/corpus/$kind"/*; }
    check "the corpus of $kind" replay
done
done_testing
