# TAP for test scripts in sh: `. tests/tap.sh`, then check, skip_case, and at the end done_testing.
count=0
failed=0

# check NAME COMMAND...: the command's success is the test; its output is shown when it fails.
check() {
    name=$1
    shift
    count=$((count + 1))
    if output=$("$@" 2>&1); then
        echo "ok $count - $name"
    else
        failed=$((failed + 1))
        echo "not ok $count - $name"
        printf '%s\n' "$output" | tail -n 40 | sed 's/^/# /'
    fi
}

# rust_tests COUNT COMMAND...: the command runs Rust tests, all pass, and they are so many at least, for none would pass too.
rust_tests() {
    least=$1
    shift
    report=$("$@" 2>&1)
    verdict=$?
    printf '%s\n' "$report"
    ran=$(printf '%s\n' "$report" | awk '/^test result:/ { sum += $4 } END { print sum + 0 }')
    echo "$ran of at least $least tests passed"
    [ "$verdict" -eq 0 ] && [ "$ran" -ge "$least" ]
}

# skip_case NAME REASON
skip_case() {
    count=$((count + 1))
    echo "ok $count - $1 # SKIP $2"
}

# skip_all REASON: nothing in this file can run here.
skip_all() {
    echo "1..0 # SKIP $1"
    exit 0
}

has() { command -v "$1" >/dev/null 2>&1; }

done_testing() {
    echo "1..$count"
    [ "$failed" -eq 0 ]
    exit
}
