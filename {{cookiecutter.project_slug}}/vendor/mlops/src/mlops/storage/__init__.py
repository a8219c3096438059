"""Where the files of releases are kept."""
