"""Read documentation pages: their fenced blocks, and the shell commands in them."""

import re
import shlex
from dataclasses import dataclass

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: page, number of its first line, language and text."""

    page: str
    line: int
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """A shell command, and the page and line at which it begins."""

    place: str
    words: list[str]

    def with_variable(self, name: str, value: str) -> "Command":
        variable = re.compile(rf"\$(?:{name}\b|{{{name}}})")
        return Command(self.place, [variable.sub(value, word) for word in self.words])


def blocks(text: str, page: str) -> list[Block]:
    found = [
        Block(page, text.count("\n", 0, match.start(2)) + 1, match[1], match[2]) for match in FENCED.finditer(text)
    ]
    fences = len(re.findall(r"^\s*```", text, re.MULTILINE))
    assert fences == 2 * len(found), (
        f"{page}: {fences} fences, but {len(found)} blocks: write them unindented, in pairs"
    )
    return found


def commands(block: Block) -> list[Command]:
    """The commands of a block without comments, with continued lines joined and loops unrolled."""
    statements: list[Command] = []
    start, joined = block.line, ""
    for number, line in enumerate(block.text.splitlines(), block.line):
        joined += line.removesuffix("\\")
        if not line.endswith("\\"):
            statements += _statements(joined, f"{block.page}:{start}")
            start, joined = number + 1, ""
    return _unrolled(statements)


def _statements(line: str, place: str) -> list[Command]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>")
    lexer.whitespace_split = True
    statements: list[list[str]] = [[]]
    for token in lexer:
        if token in (";", "&&"):
            statements.append([])
        elif set(token) <= set(";&|<>"):
            raise AssertionError(f"{place}: {token} in a command is not supported by the tests: write it without")
        elif token != "do" or statements[-1]:
            statements[-1].append(token)
    return [Command(place, words) for words in statements if words]


def _unrolled(statements: list[Command]) -> list[Command]:
    result, rest = [], list(statements)
    while rest:
        first = rest.pop(0)
        if first.words[0] != "for":
            result.append(first)
            continue
        _, variable, _, *values = first.words
        body: list[Command] = []
        depth = 1
        while depth:
            assert rest, f"{first.place}: this loop has no done"
            body.append(rest.pop(0))
            depth += (body[-1].words[0] == "for") - (body[-1].words[0] == "done")
        result += [each.with_variable(variable, value) for value in values for each in _unrolled(body[:-1])]
    return result
