"""Where tables keep their data: one driver per URL scheme."""
