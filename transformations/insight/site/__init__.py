"""The catalogue as a static site: everything offered here, on pages that open from the file system."""
