"""What is read to watch a model: its declaration, its baseline, what was served on a day, and the days before."""
