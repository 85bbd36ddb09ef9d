"""On-demand views: declaring them, evaluating them by one piece of code on every path, and rolling them out."""
