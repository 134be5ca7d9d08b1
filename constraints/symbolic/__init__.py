"""The front door: rules stated as mathematics, in sympy or as text."""
