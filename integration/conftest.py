"""Load the fixtures; see `harness/plugin.py`."""

pytest_plugins = ["harness.plugin"]
