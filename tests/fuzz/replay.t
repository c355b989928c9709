#!/bin/sh
# Every fuzz target over its committed corpus: what fuzzing once found stays found.
. tests/tap.sh

for target in fuzz/corpus/*; do
    kind=$(basename "$target")
    replay() { "$BUILD/fuzz/replay-$kind" "$target"/*; }
    check "the corpus of $kind" replay
done
done_testing
