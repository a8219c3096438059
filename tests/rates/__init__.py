"""Error rates of the verdict and of alarms, by seeded simulation."""
