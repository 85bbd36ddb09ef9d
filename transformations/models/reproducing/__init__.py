"""Making a model again from what it pins, and the evidence that this, a rollback and a trace work."""
