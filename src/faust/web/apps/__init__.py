"""Pages that every worker brings along; each module has a ``blueprint``."""
