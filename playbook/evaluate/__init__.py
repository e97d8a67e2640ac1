"""Play 5: metrics, intervals, the test-set ledger, the verdict and the report."""
