"""A day judged: what is compared with what, which of it alerts, since when and whom it concerns; outcomes, too."""
