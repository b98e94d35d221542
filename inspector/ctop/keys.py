"""The keys of the live view: one table, from which the bindings and the help page are made."""

from __future__ import annotations

from typing import NamedTuple

from inspector.views.layout import Line
from inspector.views.text import fit

__all__ = ["KEYS", "PANEL_KEYS", "Key", "help_lines"]


class Key(NamedTuple):
    """Textual's names of the keys, the action, what the help calls the keys, what they do."""

    keys: str
    action: str
    shown: str
    help: str


KEYS = (
    Key("up,k,ctrl+p", "move(-1)", "Up k", "one row up"),
    Key("down,j,ctrl+n", "move(1)", "Down j", "one row down"),
    Key("pageup,ctrl+b,ctrl+up", "page(-1)", "PgUp", "one screen up"),
    Key("pagedown,ctrl+f,ctrl+down", "page(1)", "PgDn", "one screen down"),
    Key("home,g", "edge(-1)", "Home g", "first row"),
    Key("end,G", "edge(1)", "End G", "last row"),
    Key("left", "sideways(-8)", "Left", "its log; in a container's page: to the left, or the tab before"),
    Key("right", "sideways(8)", "Right", "its page; in that: to the right along long lines, or the next tab"),
    Key("enter,o", "open", "Enter o", "the page of a container, with the keys below"),
    Key("escape", "back", "Esc", "back to the table; in the table: clear the filter"),
    Key("slash,f,f3,f4,backslash", "filter", "/ f F3 F4",
        "filter: words a|b /regex/ runtime:docker finding:throttled; also \\"),
    Key("a", "every", "a", "also services and control groups, or containers alone"),
    Key("t,f5", "tree", "t F5", "tree: pod, container, container in it; with a also cgroups by path"),
    Key("minus", "fold(True)", "-", "in the tree: fold what is below the row"),
    Key("plus,equals_sign", "fold(False)", "+ =", "in the tree: unfold it"),
    Key("asterisk", "fold_all", "*", "in the tree: fold or unfold everything"),
    Key("P,C", "sort('cpu')", "P C", "sort by CPU"),
    Key("M", "sort('mem')", "M", "sort by memory"),
    Key("T", "sort('time')", "T", "sort by CPU time used in all"),
    Key("N", "sort('name')", "N", "sort by name"),
    Key("s,f6", "sort_menu", "s F6", "choose what to sort by from a list"),
    Key("less_than_sign,comma", "beside(-1)", "< ,", "sort by the column to the left"),
    Key("greater_than_sign,full_stop", "beside(1)", "> .", "sort by the column to the right"),
    Key("r,I", "reverse", "r I", "reverse the order; a click on a title sorts, a second one reverses"),
    Key("0", "cpu", "0", "CPU% of one core, of the effective limit, of the host"),
    Key("m", "memory", "m", "MEM is the working set, all usage, anonymous, or not reclaimable"),
    Key("u", "tag", "u", "tag a row or a process, or take the tag (#) off, and go one down"),
    Key("U", "untag", "U", "take all tags off"),
    Key("f9", "signal", "F9", "send a signal to the row, in its page to a process, or to all tagged"),
    Key("z", "freeze", "z", "freeze or thaw all processes of the row, or of all tagged containers"),
    Key("L", "limits", "L", "change a limit of CPU, memory or tasks while it runs"),
    Key("E,e", "shell", "E e", "a shell in it, within its limits"),
    Key("l", "logs", "l", "its log, where the runtime keeps one in a file; t there: times"),
    Key("c,f2", "column_menu", "c F2", "choose the columns and their order"),
    Key("H", "header", "H", "hide or show the header"),
    Key("S", "save", "S", "save columns, order and meanings for the next start"),
    Key("ctrl+l", "redraw", "Ctrl-L", "draw the screen anew"),
    Key("space,Z", "pause", "Space Z", "hold the picture still, or go on"),
    Key("left_square_bracket", "tick(-1)", "[", "in a recording: the tick before; Space plays it, and holds it"),
    Key("right_square_bracket", "tick(1)", "]", "in a recording: the next tick"),
    Key("left_curly_bracket", "time(-60)", "{", "in a recording: a minute back"),
    Key("right_curly_bracket", "time(60)", "}", "in a recording: a minute on"),
    Key("ctrl+home", "time_edge(-1)", "Ctrl-Home", "in a recording: its beginning"),
    Key("ctrl+end", "time_edge(1)", "Ctrl-End", "in a recording: its end"),
    Key("b", "ask_time", "b", "in a recording: go to a time, as 18:05, -5m or a date"),
    Key("question_mark,h,f1", "help", "? h F1", "this page"),
    Key("ctrl+z", "suspend_process", "Ctrl-Z", "to the shell; fg comes back"),
    Key("q,f10", "quit", "q F10", "quit; also Ctrl-C"),
)  # fmt: skip

PANEL_KEYS = (
    Key("1,2,3,4,5,6,7,8", "", "1 to 8", "a tab; also Tab and Shift-Tab, or a click on its title"),
    Key("t,f5", "", "t F5", "processes as a tree, or as a list"),
    Key("H", "", "H", "the threads of the processes too"),
    Key("P,C,M,T,N", "", "P M T N", "processes by CPU (also C), memory, CPU time, PID; s F6 the next"),
    Key("r,I", "", "r I", "the other way round; a click on a title sorts too"),
    Key("c", "", "c", "filesystem: read what it changed of its image, or stop reading"),
)
"""The keys of a container's page, which come before those of the table: inspector.ctop.panel."""

LEGEND = """\
CPU%        CPU time as a share of one core (200%: two cores busy)
            or with 0 of the limit, or of the host
LIMIT       effective CPU limit in cores: the least of the quotas and
            cpusets of its own and its ancestors
THROTTLED   share of the quota's periods in which it was made to wait
MEM         working set: memory used less inactive page cache;
            beside it the effective limit
MEM BAR     share of the limit: █ not reclaimable, ▒ the rest, · free
HIST        the last 120 samples, the newest on the right, a block the most
            of up to 15; full at the limit, without one at the most there was
▲ ● i       worst finding: critical, warning, information; below the
            table in words; = is paused
^           an ancestor cgroup sets this limit, or throttles it
-           not known (rates need two samples);  none: there is no limit
PIDS        tasks: processes and their threads
"""


def help_lines() -> list[Line]:
    """Return the help page."""
    lines: list[Line] = [[("Keys", "title")]]
    lines += [[(f"  {fit(key.shown, 9)} ", "title"), (key.help, "")] for key in KEYS]
    lines += [[], [("In the page of a container", "title")]]
    lines += [[(f"  {fit(key.shown, 9)} ", "title"), (key.help, "")] for key in PANEL_KEYS]
    lines += [[], [("Figures", "title")]]
    lines += [[(f"  {line[:12]}", "title"), (line[12:], "")] for line in LEGEND.splitlines()]
    return lines
