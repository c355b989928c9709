"""Reads sock.h: its declarations in order, each with its comment taken apart. For the manual and the ABI lists."""

import re
import sys
from pathlib import Path


def fail(message):
    sys.exit(f"sock.h: {message}")


class Item:
    """A declaration with its comment: kind is function, struct, enum, alias or constant."""

    def __init__(self, kind, name, declaration, comment):
        self.kind, self.name, self.declaration = kind, name, declaration
        self.comment = Comment(comment, name)
        self.members = []  # (name, Comment) of a struct's fields or an enum's values
        self.start = 0  # where its comment begins in the header


class Comment:
    """Paragraphs, lists and code, and what @param, @return, @retval, @note and @see say."""

    def __init__(self, text, name):
        self.name = name
        self.params, self.retvals, self.returns, self.since = [], [], [], None
        self.manuals, self.standards = [], []
        self.blocks = []
        self.described = None  # how many blocks stand before @param and @return
        target = self.blocks
        lines = text.split("\n")
        while lines and not lines[0].strip():
            lines.pop(0)
        paragraph = []

        def flush():
            if paragraph:
                target.append(("text", " ".join(paragraph)))
                paragraph.clear()

        index = 0
        while index < len(lines):
            line = lines[index]
            index += 1
            words = line.strip()
            if not words:
                flush()
                if target is not self.blocks:  # as in doxygen, a paragraph after @return and the like is the body's
                    target = self.blocks
                    self.described = len(target)
                continue
            start = re.match(r"(?:@code|\\code|```)", words)
            if start:
                flush()
                end = "```" if words.startswith("```") else words[0] + "endcode"
                code = []
                while index < len(lines) and lines[index].strip() != end:
                    code.append(lines[index])
                    index += 1
                if index == len(lines):
                    fail(f"{name}: code without an end")
                index += 1
                target.append(("code", dedent(code)))
                continue
            if line.startswith("    ") and not paragraph and not self.is_item(words):
                code = [line]
                while index < len(lines) and (lines[index].startswith("    ") or not lines[index].strip()):
                    code.append(lines[index])
                    index += 1
                while not code[-1].strip():
                    code.pop()
                target.append(("code", dedent(code)))
                continue
            tag = re.match(r"[@\\](param(?:\[[a-z,]+\])?|returns?|retval|note|warning|see|sa|since|brief)\s+(.*)", words)
            if tag:
                flush()
                word, rest = tag.group(1), tag.group(2)
                if word.startswith("param"):
                    parameter, _, rest = rest.partition(" ")
                    target = []
                    self.params.append((parameter, target))
                elif word.startswith("return"):
                    target = self.returns
                elif word == "retval":
                    code, _, rest = rest.partition(" ")
                    target = []
                    self.retvals.append((code, target))
                elif word == "since":
                    self.since = rest.rstrip(".")
                    continue
                else:
                    target = self.blocks
                paragraph.append(rest.strip())
                continue
            if self.is_item(words):
                flush()
                entry = [re.sub(r"^(?:[-*]|\d+\.)\s+", "", words)]
                indent = len(line) - len(line.lstrip())
                while index < len(lines) and lines[index].strip() and not self.is_item(lines[index].strip()) \
                        and not re.match(r"[@\\]\w", lines[index].strip()) \
                        and len(lines[index]) - len(lines[index].lstrip()) > indent:
                    entry.append(lines[index].strip())
                    index += 1
                kind = "number" if words[0].isdigit() else "item"
                target.append((kind, " ".join(entry)))
                continue
            paragraph.append(words)
        flush()
        self.take_what_has_a_section()

    def take_what_has_a_section(self):
        """Takes `Since 0.1.` and sentences that only refer, as `connect(2), RFC 8305.`, out of the text."""
        kept = []
        for kind, text in self.blocks:
            if kind == "text":
                rest = []
                for sentence in sentences(text):
                    since = re.fullmatch(r"Since (\d[\d.]*\d)\.", sentence)
                    if since:
                        self.since = since.group(1)
                    elif re.fullmatch(r"(?:(?:\w+\(\d\w*\)|RFC \d+)(?:, | and )?)+\.", sentence):
                        self.manuals += re.findall(r"(\w+)\((\d\w*)\)", sentence)
                        self.standards += re.findall(r"RFC \d+", sentence)
                    else:
                        rest.append(sentence)
                text = " ".join(rest)
            if text:
                kept.append((kind, text))
        self.blocks = kept

    @staticmethod
    def is_item(words):
        return re.match(r"(?:[-*]|\d+\.)\s+\S", words)

    def summary(self):
        """The first sentence, as the one line of NAME."""
        if not self.blocks or self.blocks[0][0] != "text":
            fail(f"{self.name} has no comment")
        first = sentences(self.blocks[0][1])[0].rstrip(".:")
        first = re.sub(r"`([^`]*)`", r"\1", first)
        if len(first) > 60:
            first = re.split(r"[:;] | \(", first)[0]
        # A capital is lowered unless the word is a name: UDP, SOCK_OK, RFC.
        return first[0].lower() + first[1:] if re.match(r"[A-Z][a-z' ]", first) else first


def dedent(lines):
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[margin:].rstrip() for line in lines)


def strip_stars(comment):
    """The text inside /** ... */, without the stars in front of its lines."""
    body = re.sub(r"^/\*+<?!?", "", comment)
    body = re.sub(r"\*+/$", "", body)
    return "\n".join(re.sub(r"^\s*\* ?", "", line).rstrip() if index else line.strip()
                     for index, line in enumerate(body.split("\n"))).strip("\n")


TOKEN = re.compile(
    r"(?P<comment>/\*.*?\*/)"
    r"|(?P<directive>^[ \t]*\#(?:\\\n|[^\n])*)"
    r"|(?P<struct>^typedef\s+(?P<sort>struct|enum)\s*\w*\s*\{(?P<body>.*?)\}\s*(?P<type>\w+)\s*;)"
    r"|(?P<constants>^enum\s*\{(?P<values>.*?)\}\s*;)"
    r"|(?P<alias>^typedef\s[^;{]*;)"
    r"|(?P<function>^(?:[\w*\s]|__attribute__\(\(.*?\)\))+?\b(?P<name>sock_\w+)\s*\([^;{]*\))\s*(?:;|\{.*?^\})",
    re.S | re.M)


def members_of(body, separator):
    """(names, comment) of the fields or values between the braces; a comment stands before its member."""
    found, comment, text = [], "", ""
    for token in re.findall(r"/\*.*?\*/|[^/]", body.strip() + separator, re.S):
        if token.startswith("/*"):
            if token.startswith("/**") and not text.strip():
                comment = strip_stars(token)
        elif token != separator:
            text += token
        elif text.strip():
            parts = text.split("=")[:1] if separator == "," else text.split(",")
            found.append((", ".join(re.sub(r"\[.*", "", part).split()[-1].lstrip("*") for part in parts), comment, text))
            comment, text = "", ""
    return found


def parse(text):
    """The introduction, and the items in the header's order."""
    introduction, items, comment, start = None, [], "", 0
    for match in TOKEN.finditer(text):
        if match["comment"]:
            if introduction is None:
                introduction = strip_stars(match["comment"])
            else:
                comment, start = strip_stars(match["comment"]), match.start()
            continue
        before = len(items)
        if match["struct"]:
            sort = match["sort"]
            item = Item(sort, match["type"], tidy(match["struct"]), comment)
            item.members = [(name, Comment(about, name))
                            for name, about, _ in members_of(match["body"], "," if sort == "enum" else ";")]
            items.append(item)
        elif match["constants"]:
            items += [Item("constant", name, declaration, about or comment)
                      for name, about, declaration in members_of(match["values"], ",")]
        elif match["alias"]:
            declaration = tidy(match["alias"])
            name = re.search(r"\(\*(\w+)\)|(\w+)\s*;$", declaration)
            items.append(Item("alias", name.group(1) or name.group(2), declaration, comment))
        elif match["function"]:
            declaration = re.sub(r"__attribute__\(\(.*?\)\)+", "", match["function"])
            declaration = re.sub(r"^.*?(?:static inline|SOCK_\w+(?:\(.*?\))?)\s+", "", declaration, flags=re.S)
            items.append(Item("function", match["name"], " ".join(declaration.split()), comment))
        elif match["directive"]:
            constant = re.match(r"\s*#\s*define\s+(SOCK_[A-Z0-9_]+(?:\([^)]*\))?)\s+(\S.*)", match["directive"], re.S)
            if constant and comment:
                items.append(Item("constant", constant.group(1), " ".join(match["directive"].split()), comment))
            elif not constant:
                continue  # an #if between a comment and what it is about
        for item in items[before:]:
            item.start = start if comment else match.start()
        comment = ""
    return introduction or "", items


def introduction_sections(text):
    """[(heading or None, text)]: a paragraph of the introduction that begins in capitals begins a section."""
    text = re.sub(r"^sock\.h - .*\n", "", text)
    pieces = re.split(r"(?:^|\n\n)([A-Z]{4,}(?: [A-Z]+)*)\b(\.? )", text)
    sections = [(None, pieces[0])]
    for heading, after, rest in zip(pieces[1::3], pieces[2::3], pieces[3::3]):
        # HANDLES. A sock_t ...: the words are a heading; TEXT is ...: they begin the sentence as well.
        sections.append((heading.capitalize(), rest if after == ". " else f"{heading.capitalize()} {rest}"))
    return sections


CORE = Path(__file__).resolve().parent.parent / "src" / "ffi"

# What no file of src/ffi declares goes with what it belongs to.
BESIDE = {"sock_printf": "sock_write", "SOCK_OPTIONS_INIT": "sock_options", "SOCK_OPTIONS(...)": "sock_options",
          "SOCK_SERVER_OPTIONS(...)": "sock_server_options", "SOCK_VERSION_MAJOR": "sock_version"}


def chapters(items):
    """{name: (number, title)}: the chapter of each item is that of the file of src/ffi which declares it."""
    sources = {}
    for file in CORE.glob("*.rs"):
        source = file.read_text(encoding="utf-8")
        title = re.match(r"//! Chapter (\d+): (.+?)\.\n", source)
        if title:
            for name in re.findall(r"\b(?:fn|struct|enum|type) (sock_\w+)", source):
                sources[name] = (int(title.group(1)), title.group(2)[0].upper() + title.group(2)[1:])
    found = {}
    for item in items:
        name = BESIDE.get(item.name, item.name)
        if name not in sources:
            fail(f"{item.name}: no chapter of src/ffi declares it")
        found[item.name] = sources[name]
    return found


def tidy(declaration):
    """A declaration without comments and empty lines."""
    declaration = re.sub(r"/\*.*?\*/", "", declaration, flags=re.S)
    return "\n".join(line.rstrip() for line in declaration.split("\n") if line.strip())


def sentences(text):
    """Cut at the ends of sentences, for roff wants each on a line of its own."""
    parts = re.split(r"(?<=[.!?])(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\.\.)[)\"]?\s+(?=[A-Z`@(\"0-9]|[a-z_]+\d?\(\d)", text)
    kept, position = [], 0
    for part in parts:  # re.split drops a closing bracket together with the space: take it from the text
        start = text.index(part, position)
        if kept and start > position:
            kept[-1] += text[position:start].rstrip()
        kept.append(part)
        position = start + len(part)
    return kept
