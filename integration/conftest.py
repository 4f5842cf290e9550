"""Load the fixtures; see the plugins in `harness/`."""

pytest_plugins = [
    "harness.argo_plugin",
    "harness.plugin",
    "harness.controller_plugin",
    "harness.traffic_plugin",
]
