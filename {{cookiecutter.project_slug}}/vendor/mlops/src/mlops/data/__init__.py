"""From files to a snapshot: read, cast, clean, split, and checked by the contract."""
