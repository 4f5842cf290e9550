"""Load the fixtures; see `harness/plugin.py`, `harness/controller_plugin.py` and `harness/traffic_plugin.py`."""

pytest_plugins = ["harness.plugin", "harness.controller_plugin", "harness.traffic_plugin"]
