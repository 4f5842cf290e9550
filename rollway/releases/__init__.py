"""Releases of Rollouts as people see and steer them: what a status shows, and what a verb writes.

It works with every controller of `argoproj.io/v1alpha1` Rollouts, because it reads and writes what Argo Rollouts does.
"""
