"""Problems that physics-informed networks are tried on: statements, conditions as rules, and reference solutions."""
