"""One value, computed or explained: what is asked for, its events, its rows and runs."""
