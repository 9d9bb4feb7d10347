"""Other servers with the same models and features behind them, for `benchmarks.serving` to measure beside ours."""
