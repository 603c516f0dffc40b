#!/usr/bin/env python3
"""The laws of STYLE.md that a program can check. Exit 1 and one line per offence: path:line: law; what to do.

    python3 tools/tidy.py            # the whole tree, under a second
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLOORS = {
    "base": 0, "core": 1, "kernels": 1, "net": 1,
    "formats": 2, "models": 2, "text": 2, "host": 2, "lower": 2, "wire": 2, "ipfs": 2,
    "backends": 3, "engine": 3, "serve": 4, "cli": 5, "python": 5,
}
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
# path or path:function -> lines allowed. Each with its reason; a number may only shrink.
RATCHET = {}
# Sources without a test of the same path: each with its reason.
UNTESTED = {
    "accelerate/cli/main.cc": "three lines around run_cli, driven by tests/e2e",
}
# Names behind which #if may stand: instruction sets and operating systems are their business.
CONDITIONAL = re.compile(r"^accelerate/(backends/|kernels/isa/|base/cpu|text/ffi/)")
SOURCES = (".cc", ".h", ".py", ".rs", ".mojo", ".js")
CODE = ("accelerate/", "tests/", "tools/", "bench/", "python/", "web/")


def tracked():
    """Paths git tracks or would track, so that build folders never count."""
    out = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                         capture_output=True, text=True).stdout
    return sorted(path for path in set(out.splitlines()) if (ROOT / path).is_file())


def room_of(path):
    """(room, folder of a backend or '') of an accelerate/ path."""
    parts = path.split("/")
    if len(parts) < 3 or parts[0] != "accelerate":
        return None, ""
    return parts[1], parts[2] if parts[1] == "backends" and len(parts) > 3 else ""


def check_includes(path, text):
    room, folder = room_of(path)
    if room is None:
        return
    if room not in FLOORS:
        yield 1, f"room '{room}' is not in the house; rooms are {', '.join(FLOORS)}"
        return
    for number, line in enumerate(text.splitlines(), 1):
        found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not found:
            continue
        target = found.group(1)
        if not target.startswith("accelerate/"):
            if not (ROOT / path).parent.joinpath(target).is_file() and "." in target:
                continue
            yield number, f'include lines read "accelerate/room/file.h"; got "{target}"'
            continue
        other, other_folder = room_of(target)
        if other == room and (room != "backends" or folder == other_folder or other_folder == ""):
            continue
        if other == "backends" and room in ("cli", "python") and other_folder == "":
            continue
        if other not in FLOORS or FLOORS[other] >= FLOORS[room]:
            yield number, f"includes go down only and siblings never meet; {room} (floor {FLOORS[room]}) includes {target}"


def strip(text):
    """C++ text with comments, strings and character literals blanked, line structure kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    pattern = r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\''
    text = re.sub(pattern, blank, text, flags=re.S)
    return re.sub(r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", blank, text, flags=re.M)


def functions(text):
    """(name, first line, lines) of each function body in stripped C++ text; nested lambdas count in their function."""
    stack, start, line = [], 0, 1
    inside = 0
    for i, c in enumerate(text):
        if c == "\n":
            line += 1
        elif c == "{":
            head = text[start:i].strip()
            is_function = not inside and ")" in head and not re.match(
                r"^(namespace|class|struct|enum|union|extern|constexpr auto|static constexpr|inline constexpr|using|=)\b", head) \
                and not re.search(r"=\s*$", head) and not re.search(r"\b(class|struct|enum|union|namespace)\s+\w+[^()]*$", head)
            stack.append((is_function, line, head))
            inside += is_function
            start = i + 1
        elif c == "}":
            if stack:
                is_function, first, head = stack.pop()
                if is_function:
                    inside -= 1
                    name = re.search(r"([~\w:]+|operator[^(]*)\s*\(", head)
                    yield (name.group(1) if name else "?"), first, line - first + 1
            start = i + 1
        elif c == ";":
            start = i + 1


def check_sizes(path, text):
    allowed = RATCHET.get(path, FILE_LINES_MAX)
    lines = text.count("\n")
    if lines > allowed:
        yield 1, f"a file has at most {allowed} lines; got {lines}; split it by subject"
    if not path.endswith((".cc", ".h")):
        return
    for name, first, count in functions(strip(text)):
        allowed = RATCHET.get(f"{path}:{name}", FUNCTION_LINES_MAX)
        if count > allowed:
            yield first, f"a function has at most {allowed} lines; {name} has {count}; give its parts names"


def check_conditionals(path, text):
    if not path.startswith("accelerate/") or not path.endswith((".cc", ".h")) or CONDITIONAL.match(path):
        return
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r"\s*#\s*(if|ifdef|ifndef|elif)\b", line):
            yield number, "#if only in a backend's folder, kernels/isa and base/cpu*"


def check_tests(paths):
    """Every accelerate/x/y.cc has tests/x/y_test.cc; ISA variants (y_avx2.cc) share their kernel's."""
    tests = {path for path in paths if path.startswith("tests/")}
    for path in paths:
        if not re.match(r"^accelerate/.*\.cc$", path) or path in UNTESTED:
            continue
        stem = path[len("accelerate/"):-len(".cc")]
        plain = re.sub(r"_(avx2|avx512|avx512bf16|amx|neon|portable)$", "", stem)
        if not {f"tests/{stem}_test.cc", f"tests/{plain}_test.cc"} & tests:
            yield path, 1, f"every source has its test; expected tests/{plain}_test.cc"
    for path in UNTESTED:
        if path not in paths:
            yield path, 1, "listed in UNTESTED but not there; drop the entry"


def check_types(texts):
    """Two headers that define the same type in namespace accelerate: the linker picks one of their constructors for both."""
    homes = {}
    for path, text in texts.items():
        if not re.match(r"^accelerate/.*\.h$", path) or "\nnamespace accelerate {" not in text:
            continue
        plain = strip(text)
        for found in re.finditer(r"^(?:template <[^\n]*>\n)?(?:struct|class|enum class) (?:alignas\(\w+\) )?(\w+)(?: final)?(?: : [^;{]*)?\s*\{", plain, re.M):
            template = found.group(0).startswith("template")
            homes.setdefault((found.group(1), template), []).append((path, plain.count("\n", 0, found.start()) + 1))
    for (name, _), places in homes.items():
        for path, line in places[1:]:
            yield path, line, f"a type's name is its own; {name} is also in {places[0][0]}; give one of them another"


def check_words(path, text):
    """No registry host in the tree: packages are named, never addressed."""
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(r"(pypi|registry\.npmjs|crates\.io|deb\.debian|files\.pythonhosted)\b[^\s]*\.(org|com|io)", line, re.I):
            yield number, "packages are named, never addressed; drop the host"


def main():
    paths = tracked()
    offences, texts = [], {}
    for path in paths:
        if not path.startswith(CODE) or not (path.endswith(SOURCES) or path.startswith("tools/")):
            continue
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        texts[path] = text
        for check in (check_includes, check_sizes, check_conditionals, check_words):
            if path.startswith("tools/tidy.py") and check is check_words:
                continue
            offences += [(path, number, law) for number, law in check(path, text) or ()]
    offences += list(check_tests(paths)) + list(check_types(texts))
    for path, number, law in offences:
        print(f"{path}:{number}: {law}")
    print(f"tidy: {len(paths)} files, {len(offences)} offences")
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())
