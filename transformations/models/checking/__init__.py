"""Checks of a dataset before anything is learned from it: repeated rows, doubtful labels, leaking features."""
