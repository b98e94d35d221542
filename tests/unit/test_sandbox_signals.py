"""Signals that are a container's: none is lost, none ends us."""

from __future__ import annotations

import os
import signal

from sandbox.signals import blocked_signals, caught_signals, read_signals


def test_those_held_back_come_and_late_ones_go() -> None:
    """What comes before there is anybody to give it to is read first; what comes too late ends nobody."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with blocked_signals():
            signal.raise_signal(signal.SIGTERM)
            with caught_signals() as caught:
                assert not os.get_inheritable(caught)
                for number in (signal.SIGHUP, signal.SIGINT, signal.SIGRTMAX):
                    signal.raise_signal(number)
                come = [signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGRTMAX]
                assert sorted(read_signals(caught)) == sorted(come)
                signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGHUP, ignored)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
