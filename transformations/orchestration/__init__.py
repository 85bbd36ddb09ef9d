"""The graph of tasks of a day, made from what is declared; performed by the public commands, by any orchestrator."""
