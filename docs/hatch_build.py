"""Adds to the wheel the commands that are no entry points, and man pages and completions made anew from the parsers."""

import os
import shutil
import sys
import tempfile

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualsHook(BuildHookInterface):
    """hatchling's hook: what it adds to `shared_data` is installed below the prefix."""

    PLUGIN_NAME = "custom"

    def initialize(self, version, build_data):  # noqa: ANN001, ANN201, ARG002  hatchling's signature
        """Make the files before the wheel is built."""
        sys.path.insert(0, self.root)
        from docs import manuals  # noqa: PLC0415  the project is on the path only now

        self._directory = tempfile.mkdtemp()
        for path in manuals.main(self._directory):
            build_data["shared_data"][os.path.join(self._directory, path)] = f"share/{path}"
        for name in ("ctop", "nsinspect", "sandbox", "sandbox-oci"):
            path = shutil.copy(os.path.join(self.root, "sandbox/scripts/start"), os.path.join(self._directory, name))
            build_data["shared_scripts"][path] = name

    def finalize(self, version, build_data, artifact_path):  # noqa: ANN001, ANN201, ARG002  hatchling's signature
        """Remove them once they are in it."""
        shutil.rmtree(self._directory)
