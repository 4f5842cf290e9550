"""A Kubernetes client that knows no rollway: any kind, plain JSON, and every failure as a typed error.

The only package that imports the Kubernetes client library. The stores are made of it, and a controller can be.
"""
