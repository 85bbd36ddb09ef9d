"""The model server: scores by HTTP, from the features of the online store, with a record of every prediction."""
