"""What people read of an evaluation: a page with charts, and a model card."""
