"""Stories that test the generated workflows, told with `rehearsal`."""
