"""What the control files of one cgroup say, tick after tick, in all its hierarchies."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from itertools import chain, compress
from operator import ne

from inspector.errors import ParseError
from inspector.kernel.cgroup_v1 import has_limit
from inspector.kernel.controllers import RESOURCES, Reading, Values
from inspector.kernel.host import Bundle, Host
from inspector.model import Key
from inspector.plan import Plan
from inspector.texts import NOTHING, UNKNOWN, UNREAD, Row, take_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["Sheet", "parse_first"]

Account = Callable[[str, OSError | ParseError], None]


class Sheet:
    """What the files of one cgroup, in all its hierarchies, say; a file is parsed only when its text has changed.

    While a kept control file can be read its cgroup is the one that was opened,
    so the inode that identifies it, a file's, is looked up only then.
    """

    __slots__ = ("_bundle", "_due", "_failed", "_host", "_inodes", "_is_whole", "_keys", "_limited", "_opened", "_path",
                 "_plan", "_settings", "_texts", "_values", "inodes", "moved", "readings")  # fmt: skip

    def __init__(self, host: Host, path: str, keys: Iterable[Key], plan: Plan) -> None:
        self._host = host
        self._path = path
        self._keys = tuple(keys)
        self._plan = plan
        self._bundle: Bundle | None = None
        self._is_whole = False  # not the counters alone
        self._limited = False  # the plan's limits are read as well
        self._opened: tuple[int, ...] = ()  # places in the plan's files: those of the bundle, then the settings
        self._settings: list[bytes] = []
        self._texts: list[bytes] = []
        self._values: list[Values] = []  # by the plan's slots
        self._failed: dict[str, OSError | ParseError] = {}
        self._due = False  # of who is out of sight, to read the averages anew
        self._inodes: dict[int, int] = {}  # by place of the hierarchy
        self.readings: dict[Key, Reading] = {}
        self.inodes: dict[Key, int] = {}
        self.moved = True  # it says something else than when it was last told

    def open(self, *, counters: bool = False) -> None:
        """Open the files that are read at every tick, or of those the counters alone; what is open stays so.

        They are not read, as this takes far longer: one that opens may refuse yet.
        """
        if self._is_whole or (counters and self._bundle):
            return
        plan = self._plan
        self._add((() if self._bundle else plan.counters) + (() if counters else plan.others))
        if counters:
            return
        if plan.seldom:
            self._read_settings(plan.seldom)
        self._is_whole = True

    def read(self, account: Account, *, counters: bool = False, brief: bool = False) -> list[bytes] | None:
        """Bring `readings` and `inodes` up to date; both are empty when the cgroup is gone.

        What is read for the first time is returned, for parse_first(). `brief` leaves out what is of detail, which is
        unknown then, and the same as ever when it is read again; averages stay what they were when they were last read.
        """
        try:
            texts = self._read_brief() if brief else self._read(counters)
        except OSError:  # gone, perhaps with another one of its name in its place; or a file that is not readable
            self.close()
            try:
                texts = self._read_readable(counters)
            except OSError as error:
                self.close()
                account(f"cgroup {self._path!r}", error)
                return None
        if texts != self._texts:
            if self._opens_limits(texts):
                return self.read(account, counters=counters, brief=brief)
            if not self._texts:
                return texts
            self._parse(texts)
        if self._failed:
            self.tell_failures(account)
        return None

    def tell_failures(self, account: Account) -> None:
        """Tell of the files that could not be read or parsed."""
        for name, failure in self._failed.items():
            account(name, failure)

    def ahead(self) -> tuple[Bundle, list[bytes]] | None:
        """Return what can be read of it before it is asked for, and what that said last; None when that is unknown."""
        bundle, texts = self._bundle, self._texts
        return (bundle, texts) if bundle and self._is_whole and 0 < len(bundle.descriptors) <= len(texts) else None

    def close(self) -> None:
        """Close the files and forget what they said."""
        if self._bundle:
            self._bundle.close()
        self._bundle, self._is_whole, self._limited = None, False, False
        self._opened = ()
        for known in (self._texts, self._settings, self._values, self._failed):
            known.clear()
        for told in (self._inodes, self.readings, self.inodes):
            told.clear()
        self.moved = True

    def tell(self, readings: dict[Key, Reading], inodes: dict[Key, int]) -> None:
        """Put what it says in the place of what it said."""
        _replace(readings, self.readings, self._keys)
        _replace(inodes, self.inodes, self._keys)
        self.moved = False

    def retry(self) -> None:
        """Look for files that were not there or not readable, for settings that were changed, and at averages."""
        self._due = True
        if not self._is_whole:
            return
        missing = self._plan.missing(self._opened)
        if missing and any(map(self._host.access, self._plan.paths(self._path, missing).values())):
            self.close()
        elif self._settings:
            count = len(self._settings)
            places, self._opened = self._opened[-count:], self._opened[:-count]
            self._read_settings(places)
            if len(self._settings) < count:
                self.close()

    def _add(self, places: tuple[int, ...]) -> None:
        plan = self._plan
        files = plan.files_of(self._path, places)
        self._bundle, failed = self._host.bundle(files, self._bundle, plan.sizes)
        if failed or sum([len(names) for _, names in files]) < len(places):
            self._fail(failed)
            places = tuple(place for place, path in plan.paths(self._path, places).items() if path not in failed)
        self._opened = plan.share(self._opened + places)
        self._values = self._values or [NOTHING] * plan.size
        self._identify(self._bundle)

    def _opens_limits(self, texts: list[bytes]) -> bool:
        """Open the limits where the teller does not tell that there are none; True when this has opened them."""
        plan, opened = self._plan, self._opened
        if self._limited or not plan.limits or not self._is_whole:
            return False
        number = opened.index(plan.teller) if plan.teller in opened else None
        if number is not None and (texts[number] in self._texts[number : number + 1] or not has_limit(texts[number])):
            return False
        self._limited = True
        self._add(plan.limits)
        return True

    def _read_settings(self, places: tuple[int, ...]) -> None:
        """Read the files that are not kept open, the limits where their teller does not tell that there are none."""
        plan = self._plan
        read, there = self._read_once(places)
        if plan.told and (plan.teller not in there or has_limit(read[there.index(plan.teller)])):
            more, limits = self._read_once(plan.told)
            read, there = read + more, there + limits
        self._settings = read
        self._opened = plan.share(self._opened + there)

    def _read_once(self, places: tuple[int, ...]) -> tuple[list[bytes], tuple[int, ...]]:
        """Return what some files say, and which of them could be read."""
        host, plan = self._host, self._plan
        texts: list[bytes | OSError] = []
        for directory, names in plan.files_of(self._path, places):
            texts += host.read_names(directory, names)
        read = [text for text in texts if isinstance(text, bytes)]
        if len(read) < len(places):
            found = dict(zip(plan.paths(self._path, places).items(), texts, strict=True))
            self._fail({path: error for (_, path), error in found.items() if isinstance(error, OSError)})
            places = tuple(place for (place, _), text in found.items() if isinstance(text, bytes))
        return read, places

    def _fail(self, failed: dict[str, OSError]) -> None:
        if failed:
            self._failed |= {n: error for n, error in failed.items() if not isinstance(error, FileNotFoundError)}

    def _identify(self, bundle: Bundle) -> None:
        """Identify the cgroup by a file of each directory: the kernel numbers them as it does cgroups.

        By the first one, which on v2 is a counter that every cgroup has, whatever its controllers.
        """
        known = self._inodes
        for tree, number in self._plan.firsts(self._opened):
            if tree not in known:
                known[tree] = bundle.inode(number)
        trees = self._plan.tree_of
        if len(known) == 1 and len(trees) == len(self._keys):  # v2
            self.inodes = dict.fromkeys(self._keys, *known.values())
        else:
            self.inodes = {key: known[trees[key[0]]] for key in self._keys if trees.get(key[0]) in known}
        self.moved = True

    def _read(self, counters: bool) -> list[bytes]:
        if not self._is_whole:
            self.open(counters=counters)
        texts = self._bundle.read(before=self._texts) if self._bundle else []
        return [*texts, *self._settings] if self._settings else texts

    def _read_brief(self) -> list[bytes]:
        """Read the files that are no detail, those of averages when they are due; all where they are not kept open."""
        bundle = self._bundle
        if not self._is_whole or bundle is None or not bundle.is_kept:
            return self._read(counters=False)
        numbers, averaged, spread = self._plan.brief(self._opened[: len(self._opened) - len(self._settings)])
        before = self._texts
        if self._due or not before:
            texts = bundle.read(numbers + averaged)
            texts[len(numbers) :] = [UNREAD + text for text in texts[len(numbers) :]]
            self._due = False
        else:
            kept = [text if text[:1] == UNREAD else UNREAD + text for text in [before[number] for number in averaged]]
            texts = [*bundle.read(numbers), *kept]
        texts.append(UNREAD)
        return [*[texts[place] for place in spread], *self._settings]

    def _read_readable(self, counters: bool) -> list[bytes]:
        """Open all there is, and read what can be read."""
        self.open(counters=counters)
        try:
            return self._read(counters)
        except OSError:
            kept = self._opened[: len(self._opened) - len(self._settings)]
            settings = self._opened[len(kept) :]
        paths = self._plan.paths(self._path, kept)
        refused = {path: e for path, e in zip(paths.values(), self._host.read_each(paths.values()), strict=True)
                   if isinstance(e, OSError)}  # fmt: skip
        if self._bundle:
            self._bundle.close()
        self._bundle, self._opened = None, ()
        self._inodes.clear()
        self._fail(refused)
        self._add(tuple(place for place, path in paths.items() if path not in refused))
        self._opened = self._plan.share([*self._opened, *settings])
        return self._read(counters)

    @property
    def files(self) -> tuple[Plan, tuple[int, ...]]:
        """Which files are open, by their places in a plan."""
        return self._plan, self._opened

    def begin(self, texts: list[bytes]) -> Row:
        """Keep what was read for the first time; what is taken out of it has to be told."""
        self._texts += texts
        return self._texts, self._values, self._refuse

    def _refuse(self, number: int, error: ParseError) -> None:
        self._failed[self._name(number)] = error

    def _parse(self, texts: list[bytes]) -> None:
        """Parse what changed."""
        known, failed = self._texts, self._failed
        moved = [*compress(range(len(known)), map(ne, known, texts)), *range(len(known), len(texts))]
        known += texts[len(known) :]
        uses = self._plan.uses(self._opened)
        for number in moved:
            known[number] = texts[number]  # beside those that stay, which lie among others that do
            if failed:
                failed.pop(self._name(number), None)
        taken = [use for number in moved for use in uses[number]]
        take_out(taken, [(known, self._values, self._refuse)])
        self.tell_of({resource for _, _, resource, _ in taken})

    def tell_of(self, changed: Container[str]) -> None:
        """Make the readings of some resources anew."""
        self.moved = True
        values, slots, readings = self._values, self._plan.slots, self.readings
        for key in self._keys:
            if (resource := key[0]) not in changed:
                continue
            those = slots[resource]
            told = values[those[0]]
            if len(those) > 1:
                told = {}
                for slot in those:
                    told |= values[slot]
            if told or any(values[slot] is UNKNOWN for slot in those):
                readings[key] = RESOURCES[resource](**told)
            else:
                readings.pop(key, None)

    def _name(self, number: int) -> str:
        return self._plan.paths(self._path)[self._opened[number]]


def parse_first(read: Iterable[tuple[Sheet, list[bytes]]], account: Account) -> None:
    """Parse what was read of some cgroups for the first time, of those together that have the same files."""
    alike: dict[tuple[Plan, tuple[int, ...]], list[tuple[Sheet, list[bytes]]]] = {}
    for one in read:
        alike.setdefault(one[0].files, []).append(one)
    for (plan, opened), those in alike.items():
        take_out(chain.from_iterable(plan.uses(opened)), [sheet.begin(texts) for sheet, texts in those])
        for sheet, _ in those:
            sheet.tell_of(plan.slots)
            sheet.tell_failures(account)


def _replace(told: dict[Key, T], now: Mapping[Key, T], keys: tuple[Key, ...]) -> None:
    """Put under some keys what is there now, and nothing under the others of them."""
    told.update(now)
    if len(now) < len(keys):
        for key in keys:
            if key not in now:
                told.pop(key, None)
