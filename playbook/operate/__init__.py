"""Play 6: the model bundle and its reload in a clean process."""
