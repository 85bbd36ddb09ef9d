"""MLflow as a notebook of training: it records runs and mirrors versions. Nothing of ours is decided by it."""
