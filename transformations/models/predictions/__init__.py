"""The record of what the model server answers: written before the answer, collected by day, traced, checked."""
