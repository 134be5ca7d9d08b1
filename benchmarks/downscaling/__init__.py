"""Water content at a finer resolution than it is known: conservation between the two, in several forms."""
