"""What a shell script leaves running in the background. Pure.

No shell: it knows enough of the grammar to be sure of what it names, and
leaves out what hangs on a condition, a variable, a loop or a function.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["background", "until"]

# Compiled when the first script needs them.
# One command of a script and the sign that ends it; "&&", "||", ">&2" and "&>" are no "&".
COMMAND = r"((?:\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"|[<>]&|&>|[^;&|\n\\'\"])*)(&&|\|\||;;|[;&|\n]|$)"
COMMENT = r"(?m)(^|\s)#.*$"
OPENS = frozenset(("if", "case", "for", "while", "until", "select", "{", "("))
CLOSES = frozenset(("fi", "esac", "done", "}", ")"))
PREFIXES = frozenset(("nohup", "exec", "setsid", "env", "time", "command"))
ASSIGNMENT = r"[A-Za-z_]\w*=.*"
FUNCTION = r"(?m)^\s*(?:function\s+)?([\w-]+)\s*\(\)"
PLAIN = r"[\w./+-]+"


def background(script: str) -> list[str]:
    """Return the programs that a shell script starts with "&", outside of conditions, loops and functions."""
    names, depth, condition = [], 0, False
    functions = set(re.findall(FUNCTION, script))
    for body, end in re.findall(COMMAND, re.sub(COMMENT, r"\1", script)):
        words = body.replace("()", " () ").split()
        depth += sum(word in OPENS for word in words[:1]) + sum(word == "{" for word in words[1:])
        name = next((word for word in words if word not in PREFIXES and not re.fullmatch(ASSIGNMENT, word)), "")
        name = name.strip("'\"")
        if end == "&" and depth == 0 and not condition and re.fullmatch(PLAIN, name) and name not in functions:
            names.append(name.rpartition("/")[2])
        depth = max(0, depth - sum(word in CLOSES for word in words))
        condition = end in ("&&", "||")
    return names


def until(script: str, words: Sequence[str]) -> str:
    """Return what a script has run for certain when it waits for this command: all before the first one like it.

    Nothing, where there is none: it was called by something that the script reads or computes.
    """
    script = re.sub(COMMENT, r"\1", script)
    for pattern in (r"\s+".join(map(re.escape, words)), re.escape(words[0])):
        found = re.search(rf"(?<![\w.$-]){pattern}(?![\w.-])", script)
        if found:
            return script[: found.start()]
    return ""
