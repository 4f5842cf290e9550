"""Load the fixtures; see `harness/plugin.py` and `harness/traffic_plugin.py`."""

pytest_plugins = ["harness.plugin", "harness.traffic_plugin"]
