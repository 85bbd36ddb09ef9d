"""The one that decides about a rollout: it reads what servers saw, and appends the next event."""
