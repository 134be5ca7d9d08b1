"""The shipped tasks: what rules are worth, measured. Not part of the wheel."""

TASKS = {
    "burgers": "benchmarks.burgers.task:Burgers",
    "cars": "benchmarks.cars.task:Cars",
    "cars-20": "benchmarks.cars.task:Cars20",
    "cars-50": "benchmarks.cars.task:Cars50",
    "cars-200": "benchmarks.cars.task:Cars200",
    "chess": "benchmarks.chess.task:Chess",
    "dispatch": "benchmarks.dispatch.task:Dispatch",
    "downscaling": "benchmarks.downscaling.task:Downscaling",
    "downscaling-8x": "benchmarks.downscaling.task:Downscaling8",
    "hierarchy": "benchmarks.hierarchy.task:HierarchyTask",
    "pwc": "benchmarks.pwc.task:Pwc",
    "qp": "benchmarks.qp.task:Qp",
    "qp-hardnet": "benchmarks.qp.task:HardnetQp",
    "qp-nonconvex": "benchmarks.qp.task:NonconvexQp",
    "rotations": "benchmarks.rotations.task:Rotations",
    "rotations-69": "benchmarks.rotations.task:Rotations69",
}
