"""What a shell script leaves running in the background. Pure.

No shell: it knows enough of the grammar to be sure of what it names, and
leaves out what hangs on a condition, a variable, a loop or a function.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["background", "until"]

# One command of a script and the sign that ends it; "&&", "||", ">&2" and "&>" are no "&".
COMMAND = re.compile(r"((?:\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"|[<>]&|&>|[^;&|\n\\'\"])*)(&&|\|\||;;|[;&|\n]|$)")
COMMENT = re.compile(r"(?m)(^|\s)#.*$")
OPENS = frozenset(("if", "case", "for", "while", "until", "select", "{", "("))
CLOSES = frozenset(("fi", "esac", "done", "}", ")"))
PREFIXES = frozenset(("nohup", "exec", "setsid", "env", "time", "command"))
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*")
FUNCTION = re.compile(r"(?m)^\s*(?:function\s+)?([\w-]+)\s*\(\)")
PLAIN = re.compile(r"[\w./+-]+")


def background(script: str) -> list[str]:
    """Return the programs that a shell script starts with "&", outside of conditions, loops and functions."""
    names, depth, condition = [], 0, False
    functions = set(FUNCTION.findall(script))
    for body, end in COMMAND.findall(COMMENT.sub(r"\1", script)):
        words = body.replace("()", " () ").split()
        depth += sum(word in OPENS for word in words[:1]) + sum(word == "{" for word in words[1:])
        name = next((word for word in words if word not in PREFIXES and not ASSIGNMENT.fullmatch(word)), "")
        name = name.strip("'\"")
        if end == "&" and depth == 0 and not condition and PLAIN.fullmatch(name) and name not in functions:
            names.append(name.rpartition("/")[2])
        depth = max(0, depth - sum(word in CLOSES for word in words))
        condition = end in ("&&", "||")
    return names


def until(script: str, words: Sequence[str]) -> str:
    """Return what a script has run for certain when it waits for this command: all before the first one like it.

    Nothing, where there is none: it was called by something that the script reads or computes.
    """
    script = COMMENT.sub(r"\1", script)
    for pattern in (r"\s+".join(map(re.escape, words)), re.escape(words[0])):
        found = re.search(rf"(?<![\w.$-]){pattern}(?![\w.-])", script)
        if found:
            return script[: found.start()]
    return ""
