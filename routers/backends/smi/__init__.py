"""SMI: one TrafficSplit of ours that shares the traffic of a root Service."""
