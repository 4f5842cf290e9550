"""A simulated world for the controller: an API server in memory, pods, Services and data planes on a virtual clock, from a seed."""
