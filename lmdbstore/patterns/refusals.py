"""What patterns may not hold: the constructs outside the subset, each with a name and a remedy.

Rules: this module owns the words of a refusal. Every refusal names the construct, its position in
the pattern, and what to write instead.
"""

from __future__ import annotations

from typing import NoReturn

from lmdbstore.errors import InvalidQuery, shown

__all__ = ["ESCAPES", "FLAGS", "GROUPS", "check_size", "refuse"]

MAX_BYTES = 4096  # of the pattern in UTF-8
LONGEST = 40  # of a construct in a message

GROUPS = (  # openings of groups: text, name, remedy
    ("(?=", "lookahead (?=…)", "search for both parts as alternatives, or filter what is found"),
    ("(?!", "lookahead (?!…)", "filter what is found"),
    ("(?<=", "lookbehind (?<=…)", "write the text before it as a part of the pattern"),
    ("(?<!", "lookbehind (?<!…)", "filter what is found"),
    ("(?>", "atomic group (?>…)", "write (?:…): no pattern backtracks here"),
    ("(?#", "comment (?#…)", "leave it out"),
    ("(?(", "conditional (?(…)…)", "write the cases as alternatives with |"),
    ("(?P=", "backreference (?P=…)", "write the repeated text out, or filter what is found"),
    ("(?P>", "recursion (?P>…)", "write the repeated pattern out"),
    ("(?<", "group (?<…)", "write (?P<name>…)"),
)
ESCAPES = {  # escapes by their letter: name, remedy
    "Z": ("end anchor \\Z", "write $ without the flag m, such as (?-m:$)"),
    "z": ("end anchor \\z", "write $ without the flag m, such as (?-m:$)"),
    "Q": ("quoting \\Q…\\E", "escape the text with re.escape()"),
    "E": ("quoting \\Q…\\E", "escape the text with re.escape()"),
    "p": ("Unicode class \\p", "write the characters as a class with ranges"),
    "P": ("Unicode class \\P", "write the characters as a class with ranges"),
    "C": ("single byte \\C", "patterns find characters; write (?s:.) for any of them"),
    "N": ("named character \\N", "write the character itself, or \\uHHHH"),
    "x": ("incomplete escape \\x", "write \\x and two hexadecimal digits"),
    "u": ("incomplete escape \\u", "write \\u and four hexadecimal digits"),
    "U": ("incomplete escape \\U", "write \\U and eight hexadecimal digits, up to \\U0010FFFF"),
}
FLAGS = {  # name, remedy
    "x": ("verbose mode", "write the pattern without spaces and comments"),
    "a": ("flag a", "leave it out: \\d \\w \\s \\b are ASCII already"),
    "u": ("flag u", "leave it out; write other letters as a class with ranges"),
    "L": ("flag L", "leave it out"),
}


def refuse(text: str, construct: str, position: int, remedy: str) -> NoReturn:
    """Raise InvalidQuery for a construct of the pattern `text`."""
    # It may hold any character of the pattern, and a message must not control a terminal.
    name = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in construct)
    name = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
    message = (
        f"match: {name} at position {position} of {shown(text)} "
        f"is not in the supported subset; {remedy}"
    )
    raise InvalidQuery(message, position=position)


def check_size(text: str) -> None:
    """Refuse a pattern that takes too many bytes, or that UTF-8 cannot encode."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        refuse(text, "lone surrogate", error.start, "no content can hold it")
    if size > MAX_BYTES:
        raise InvalidQuery(
            f"match: {shown(text)} takes {size} bytes; a pattern may take up to {MAX_BYTES}, "
            f"which end before position {len(text.encode()[:MAX_BYTES].decode(errors='ignore'))}"
        )
