"""Analysis: templates as values, conditions, the course of a run, and the providers of metrics.

Pure but for `asking`, which sends requests. Beside the controller, which it does not know.
"""
