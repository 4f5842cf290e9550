"""Real clusters for tests: control planes as plain processes, kind, k3s, or one that exists already."""
