"""Networks that solve optimisation problems: DC3's quadratic programs, convex and not, and HardNet's."""
