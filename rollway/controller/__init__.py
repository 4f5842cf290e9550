"""The Rollout controller: what it knows, what it decides, and what it does."""
