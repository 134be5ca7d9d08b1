"""HardNet's piecewise task: a function that must stay on one side of a boundary, also where there are no samples."""
