"""contextlib's suppress and contextmanager alone: the whole imports collections and functools, and takes 2.5 ms."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import contextmanager, suppress
else:

    class suppress:  # noqa: N801  as contextlib has it
        """Leave a block, and go on behind it, where one of these exceptions is raised in it."""

        def __init__(self, *kinds: type[BaseException]) -> None:
            self._kinds = kinds

        def __enter__(self) -> None:
            pass

        def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
            return kind is not None and issubclass(kind, self._kinds)

    class _Manager:
        """What is before the yield of a generator on entering, what is behind it on leaving."""

        def __init__(self, generator: Iterator) -> None:
            self._generator = generator

        def __enter__(self) -> object:
            return next(self._generator)

        def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
            try:
                if error is None:
                    next(self._generator)
                else:
                    self._generator.throw(error)
            except StopIteration as stop:
                # One that the block itself raised, and the generator let through, is the block's.
                return error is not None and stop is not error
            except BaseException as raised:
                if raised is error or (isinstance(error, StopIteration) and raised.__cause__ is error):
                    return False
                raise
            self._generator.close()
            raise RuntimeError("the generator of a context manager yields twice")

    def contextmanager(function: Callable[..., Iterator]) -> Callable[..., _Manager]:
        """Make a context manager of a generator that yields once."""
        return lambda *given, **named: _Manager(function(*given, **named))


__all__ = ["contextmanager", "suppress"]
