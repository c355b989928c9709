#!/bin/sh
# The HTML reference: made without a warning, complete, and without a link that leads nowhere.
. tests/tap.sh
has doxygen || skip_all 'doxygen is not installed'
has python3 || skip_all 'python3 is not installed'
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
pages=$folder/docs/html

is_made() { make --no-print-directory CARGO=true BUILD="$folder" docs >"$folder/output" 2>&1 || { grep -E 'error|warning' "$folder/output"; return 1; }; }
check 'make docs, where a warning is an error' is_made

has_every_function() {
    printf '#define SOCK_NO_STDIO\n#include <sock.h>\n' | $CC -E -P -Iinclude - |
        tr '\n;{}' ' \n\n\n' | grep -v typedef | grep -oE '\bsock_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u >"$folder/functions"
    [ "$(wc -l <"$folder/functions")" -ge 40 ] || return 1
    for function in $(cat "$folder/functions"); do
        grep -q "class=\"memname\">.*>$function\|class=\"memname\">.* $function \|$function </td>" "$pages"/group__chapter__*.html ||
            { echo "$function is missing"; missing=1; }
    done
    [ -z "$missing" ]
}
check 'each function is documented in a chapter' has_every_function

has_every_guide() {
    for guide in docs/*.md; do
        [ -e "$guide" ] || continue
        title=$(sed -n 's/^# *//p' "$guide" | head -n 1)
        grep -qrF "<div class=\"title\">$title" "$pages" --include='*.html' || { echo "$guide: $title"; missing=1; }
    done
    [ -z "$missing" ]
}
check 'each guide is a page' has_every_guide

shows_no_markup() { ! grep -rlE 'ilinebr|&lt;/?(td|tr|p|code)&gt;|&lt;td class|\\\|' "$pages" --include='*.html' --exclude='*_source.html'; }
check 'no markup shows through the text' shows_no_markup

names_no_folder() { ! grep -rlF -e "$PWD" -e "$folder" "$pages"; }
check 'no page names the folder it was made in' names_no_folder

cat >"$folder/links.py" <<'END'
import re, sys
from pathlib import Path
pages = {page.name: page.read_text(encoding="utf-8") for page in Path(sys.argv[1]).glob("*.html")}
broken = []
for name, text in pages.items():
    for target in set(re.findall(r'href="([^"]+)"', text)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        if file and not (Path(sys.argv[1]) / file).exists():
            broken.append(f"{name}: {target}")
        elif anchor and (file or name) in pages and not re.search(rf'(?:id|name)="{re.escape(anchor)}"', pages[file or name]):
            broken.append(f"{name}: {target}")
print("\n".join(broken))
sys.exit(bool(broken) or len(pages) < 20)
END
check 'links lead somewhere' python3 "$folder/links.py" "$pages"
done_testing
