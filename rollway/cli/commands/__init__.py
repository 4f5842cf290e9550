"""The verbs, one module for each or for two that are alike; the group imports a module when its verb is called."""
