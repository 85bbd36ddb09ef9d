"""The log of models in Feast's registry database, and what follows from it: versions, stages, promotions."""
