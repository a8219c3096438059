"""What the steps hand to each other, as data: JSON files in `build/NAME/`."""
