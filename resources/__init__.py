"""What the outside world looks like to the plays: DVC, Great Expectations, MLflow, training processes, the store."""
