"""Play 3: read, clean, split, audit and describe data."""
