"""Edit Terraform configuration: find blocks and arguments in the syntax tree and change the text at their positions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from lark import Token, Tree


@dataclass
class Edits:
    """Changes to a text, collected by position and applied together."""

    text: str
    changes: list[tuple[int, int, str]] = field(default_factory=list)

    def replace(self, start: int, end: int, new: str) -> None:
        """Replace the text from `start` to `end`."""
        self.changes.append((start, end, new))

    def insert(self, body: Tree[Token], new: str) -> None:
        """Insert lines at the end of a block."""
        line_start = self.text.rfind("\n", 0, body.meta.end_pos) + 1
        self.replace(line_start, line_start, new)

    def remove(self, node: Tree[Token]) -> None:
        """Remove a block or an argument, with the whole line if nothing else is on it."""
        start, end = node.meta.start_pos, node.meta.end_pos
        line_start = self.text.rfind("\n", 0, start) + 1
        line_end = self.text.find("\n", end)
        line_end = len(self.text) if line_end < 0 else line_end + 1
        alone = not self.text[line_start:start].strip()
        rest = self.text[end:line_end].strip()
        if alone and (not rest or rest.startswith(("#", "//"))):
            start, end = line_start, line_end
        self.replace(start, end, "")

    def result(self) -> str:
        """Return the text with all changes."""
        text = self.text
        for start, end, new in sorted(self.changes, reverse=True):
            text = text[:start] + new + text[end:]
        return text


def blocks(body: Tree[Token]) -> Iterator[Tree[Token]]:
    """Return the blocks in a body."""
    return (node for node in body.children if isinstance(node, Tree) and node.data == "block")


def attributes(body: Tree[Token]) -> Iterator[Tree[Token]]:
    """Return the arguments in a body."""
    return (node for node in body.children if isinstance(node, Tree) and node.data == "attribute")


def _text(node: Token | Tree[Token]) -> str:
    if isinstance(node, Token):
        return str(node)
    return "".join(str(token) for token in node.scan_values(lambda value: isinstance(value, Token)))


def name(attribute: Tree[Token]) -> str:
    """Return the name of an argument."""
    return _text(attribute.children[0])


def head(block: Tree[Token]) -> tuple[str, list[str]]:
    """Return the block's type and its labels."""
    words = [
        _text(node).strip('"')
        for node in block.children
        if isinstance(node, Tree) and node.data in ("identifier", "string")
    ]
    return words[0], words[1:]


def body(block: Tree[Token]) -> Tree[Token]:
    """Return the part of a block between its braces."""
    return next(node for node in block.children if isinstance(node, Tree) and node.data == "body")


def content(dynamic: Tree[Token]) -> Tree[Token]:
    """Return the body of the `content` block of a `dynamic` block."""
    return body(next(block for block in blocks(body(dynamic)) if head(block)[0] == "content"))
