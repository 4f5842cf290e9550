"""Istio: the weights of stable and canary inside the user's VirtualServices."""
