"""Fuel use of cars: what it is worth to know that heavier, stronger and older cars do not go further on a gallon."""
