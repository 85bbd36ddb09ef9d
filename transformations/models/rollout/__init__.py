"""Bringing a version to users by steps: which version answers which row, and whether the next step may come."""
