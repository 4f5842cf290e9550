"""ingress-nginx: one canary Ingress of ours beside each stable Ingress of the user's."""
