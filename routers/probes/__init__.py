"""What is known beyond the objects: a data plane's own configuration, and answers to real requests.

Probes only read. They ask nothing but addresses that the user gave.
"""
