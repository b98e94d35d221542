"""functools.lru_cache, for modules that starting a container imports: the rest of functools takes 2 ms."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from functools import lru_cache as remembered
else:
    from _functools import _lru_cache_wrapper

    def remembered(size: int) -> Callable[[Callable], Callable]:
        """Remember the last `size` results of a function, by its arguments."""

        def remember(function: Callable) -> Callable:
            made = _lru_cache_wrapper(function, size, False, tuple)  # noqa: FBT003
            made.__doc__, made.__wrapped__ = function.__doc__, function
            return made

        return remember


__all__ = ["remembered"]
