"""A reader of chessboards in live broadcasts, with and without knowing chess."""
