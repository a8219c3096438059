"""Error rates of the verdict, by seeded simulation."""
