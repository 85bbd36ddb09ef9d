"""What authors' tests import."""

from transformations.engine.testing.literal_tables import as_of as as_of
from transformations.engine.testing.literal_tables import windows_of as windows_of
