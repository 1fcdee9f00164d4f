"""How unusual a share is: a test of two proportions, on a scale that holds for few posts too.

A share of x in n posts is taken to 2 arcsin √((x + 3/8) / (n + 3/4)), where its noise is 1 / √(n + 1/2) whatever the
share (Anscombe 1948); the difference of two of these in units of its noise is the score. With the more common pooled z,
small shares of few posts raise false alarms: 4 of 20 where 5 % are usual, which chance brings once in sixty times.

Posts are no coin tosses: reposts and threads make shares vary more than chance does. So the earlier windows are held
against their own sum in the same way, and where they vary more than chance, the score is divided by how much more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import asin, sqrt
from statistics import NormalDist, median
from typing import Final, NamedTuple

from heartbeat.insights.spike import LEAST_WINDOWS
from heartbeat.insights.strength import MAD_TO_SIGMA, Strength, strength

LEAST_POSTS: Final = 20
"""A share of fewer scored posts, now or before, is not judged."""
LEAST_OF_WINDOW: Final = 5
"""Earlier windows of fewer scored posts say nothing of how much shares vary."""
_Z95: Final = NormalDist().inv_cdf(0.975)


class Part(NamedTuple):
    """`hits` of `posts` have a property."""

    hits: int
    posts: int


@dataclass(frozen=True, slots=True)
class Shift:
    """How a share stands to that of the windows before.

    Attributes:
        z: the score: 0 is no difference, from ±3.5 on it is out of the ordinary.
        strength: its word.
        share: hits of posts, now.
        usual: the share in all windows before together.
        difference: share − usual.
        low, high: the 95 % interval of the difference, if posts were independent (Newcombe 1998, method 10).
        posts, reference_posts: scored posts now and before.
        spread: how many times more than chance the shares of the windows before vary; 1 at least.
    """

    z: float
    strength: Strength
    share: float
    usual: float
    difference: float
    low: float
    high: float
    posts: int
    reference_posts: int
    spread: float


def stabilised(part: Part) -> float:
    """A share on the scale on which its noise depends on the number of posts alone (Anscombe 1948)."""
    return 2 * asin(sqrt((part.hits + 0.375) / (part.posts + 0.75)))


def distance(one: Part, other: Part) -> float:
    """The difference of two shares in units of its noise."""
    return (stabilised(one) - stabilised(other)) / sqrt(1 / (one.posts + 0.5) + 1 / (other.posts + 0.5))


def wilson(part: Part) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    hits, posts = part
    middle = (hits + _Z95**2 / 2) / (posts + _Z95**2)
    reach = _Z95 / (posts + _Z95**2) * sqrt(hits * (posts - hits) / posts + _Z95**2 / 4)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def interval(one: Part, other: Part) -> tuple[float, float]:
    """The 95 % interval of the difference of two shares (Newcombe 1998, method 10)."""
    p, q = one.hits / one.posts, other.hits / other.posts
    (p_low, p_high), (q_low, q_high) = wilson(one), wilson(other)
    low = p - q - sqrt((p - p_low) ** 2 + (q_high - q) ** 2)
    high = p - q + sqrt((p_high - p) ** 2 + (q - q_low) ** 2)
    return max(-1.0, low), min(1.0, high)


def shift(now: Part, reference: Sequence[Part]) -> Shift | None:
    """Score a share against those of earlier windows.

    Returns:
        None if there are fewer than `LEAST_WINDOWS` of them, or fewer than `LEAST_POSTS` posts now or in them.
    """
    before = Part(sum(part.hits for part in reference), sum(part.posts for part in reference))
    if len(reference) < LEAST_WINDOWS or min(now.posts, before.posts) < LEAST_POSTS:
        return None
    spread = _spread(before, reference)
    z = distance(now, before) / spread
    share, usual = now.hits / now.posts, before.hits / before.posts
    return Shift(z, strength(z), share, usual, share - usual, *interval(now, before), now.posts, before.posts, spread)


def _spread(before: Part, reference: Sequence[Part]) -> float:
    """How many times more than chance the shares of these windows vary."""
    usual = stabilised(before)
    apart = [
        abs(stabilised(part) - usual) * sqrt(part.posts + 0.5) for part in reference if part.posts >= LEAST_OF_WINDOW
    ]
    return max(1.0, MAD_TO_SIGMA * median(apart)) if len(apart) >= LEAST_WINDOWS else 1.0
