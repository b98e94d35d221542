"""Rules for the unit tests: a property is no less true on a machine that is slow, or busy with something else."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.testbed.tools import IN_CI

# In CI a property is tried on the same examples each time, as Hypothesis itself has it there: what is found there is
# then what was changed. New examples are tried everywhere else.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=IN_CI)
settings.load_profile("unhurried")
