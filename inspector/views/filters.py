"""What a filter means: the words of `ctop -f`, of / in the live view, and of the exporter's page alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from inspector.kernel.remembered import remembered

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re

    from inspector.schema import Container

__all__ = ["FILTER_KEYS", "FILTER_SYNTAX", "Filter", "filter_of"]

FILTER_SYNTAX = """\
FILTER is words that must all be found, in upper or lower case, in the name, id,
image or runtime. web|db is either; /^web-\\d+$/ is a pattern, without blanks
(\\s stands for one); KEY:WORD, KEY:a|b and KEY:/pattern/ look at one of
  {keys};
KEY:a|KEY:b is either too;
so finding:throttled has those with such a finding, finding:critical those with
a bad one.
"""
FILTER_KEYS: Mapping[str, Callable[[Container], str]] = {
    "name": lambda container: container["name"],
    "id": lambda container: container["id"],
    "image": lambda container: container["image"],
    "runtime": lambda container: container["runtime"] or "",
    "kind": lambda container: container["kind"],
    "state": lambda container: container["state"],
    "node": lambda container: container.get("node", ""),
    "pod": lambda container: container["pod"] or "",
    "label": lambda container: "\n".join(f"{key}={value}" for key, value in container["labels"].items()),
    "finding": lambda container: "\n".join(f"{one['code']} {one['severity']}" for one in container["findings"]),
}
ANYWHERE = ("name", "id", "image", "runtime")
LONGEST_PATTERN, LONGEST_TEXT = 200, 1000
"""Characters of a pattern, and of a text that is searched for one."""
Test = Callable[["Container"], bool]
Match = Callable[[str], object]


class Filter:
    """A filter, compiled once. `problem` says what is wrong with a pattern of it; such a word shuts nobody out."""

    def __init__(self, words: str) -> None:
        self.problem: str | None = None
        self.has_pattern = False
        self._tests: list[Test] = []
        for word in words.split():
            try:
                self._tests.append(self._test(word))
            except (ValueError, OverflowError, RecursionError) as error:
                self.problem = f"{word}: {error}"

    def matches(self, container: Container) -> bool:
        """Tell whether every word is found."""
        return all(test(container) for test in self._tests)

    def give_up(self, why: str) -> None:
        """Shut nobody out any more."""
        self.problem = why
        self._tests = []

    def _test(self, word: str) -> Test:
        keys, text = _keyed(word, ANYWHERE)
        if _is_pattern(text):
            return self._sought(keys, text)
        tests: list[Test] = []
        keys = ANYWHERE
        for part in filter(None, word.split("|")):
            keys, text = _keyed(part, keys)  # a key holds for what follows it: runtime:docker|podman
            tests.append(self._sought(keys, text))
        return tests[0] if len(tests) == 1 else lambda container: any(test(container) for test in tests)

    def _sought(self, keys: Sequence[str], text: str) -> Test:
        getters, match = [FILTER_KEYS[key] for key in keys], self._match(text)
        return lambda container: any(match(get(container)) for get in getters)

    def _match(self, text: str) -> Match:
        if _is_pattern(text):
            self.has_pattern = True
            search = _pattern(text[1:-1]).search
            return lambda value: search(value[:LONGEST_TEXT])
        folded = text.casefold()
        return lambda value: folded in value.casefold()


def _keyed(text: str, keys: Sequence[str]) -> tuple[Sequence[str], str]:
    """Return where to look for what: KEY:TEXT says so itself, else where `keys` say."""
    key, _, rest = text.partition(":")
    return ((key.casefold(),), rest) if rest and key.casefold() in FILTER_KEYS else (keys, text)


def _is_pattern(text: str) -> bool:
    return len(text) > 2 and text[0] == text[-1] == "/"  # noqa: PLR2004  two slashes with nothing between are a text


def _pattern(text: str) -> re.Pattern[str]:
    if len(text) > LONGEST_PATTERN:
        raise ValueError(f"a pattern has at most {LONGEST_PATTERN} characters")
    import re  # noqa: PLC0415  most filters are words
    import warnings  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a FutureWarning about "[[" would be written over the screen
        try:
            return re.compile(text, re.IGNORECASE)
        except re.error as error:
            raise ValueError(str(error)) from None


@remembered(8)
def filter_of(words: str) -> Filter:
    """Return the filter of these words; compiled when they are new."""
    return Filter(words)
