"""Ownership and documentation: who answers for what, and the rules that everything offered keeps."""
