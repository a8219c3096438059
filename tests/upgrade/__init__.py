"""A repository of an earlier template, updated to the present one."""
