"""Load tests and measurements: each script stands alone; README.md here says how to run them and what they gave."""
