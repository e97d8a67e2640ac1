"""Play 2: where bases come from and how they are pinned."""
