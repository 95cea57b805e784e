"""Every code block of the published documents, run; docs/project/seeds.md says which test runs which block."""
