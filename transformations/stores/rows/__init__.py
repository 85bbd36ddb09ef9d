"""How rows lie in Redis: their form, their keys, the catalog of tables, and how they are read and written."""
