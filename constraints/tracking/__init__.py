"""Following a sequence of observations through legal transitions, and finding back when lost.

A decoder keeps explicit state (`Track`). Each observation is explained by the best legal successor, or by no change.
Which cells the network is asked for is a policy: all of them, only those in which successors differ, or those of a
shortlist. Every asked cell that contradicts the tracked labels adds to that cell's evidence; enough of it starts a
recovery (`Recovery`), so that one early error does not poison the rest.
"""

from constraints.tracking.follow import follow
from constraints.tracking.policy import AskAll, AskChanged, AskPolicy, AskShortlist
from constraints.tracking.track import Recovery, Track

__all__ = ["AskAll", "AskChanged", "AskPolicy", "AskShortlist", "Recovery", "Track", "follow"]
