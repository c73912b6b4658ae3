"""Iterative multi-label stratification of groups, on plain matrices of counts."""

import numpy as np


def stratify(
    contents: np.ndarray, given: np.ndarray, *, num_folds: int, seed: int = 0
) -> np.ndarray:
    """Deals groups into folds so that each class is in proportion in every fold.

    The rarest class is dealt out first, each group to the fold that lacks most of it, then the
    fold that lacks most records; remaining ties are drawn. See Sechidis, Tsoumakas and Vlahavas,
    "On the Stratification of Multi-Label Data", ECML PKDD 2011. What is then still more than one
    record and 5 % off an equal share is mended by swaps.

    Args:
      contents: [G, K + 1] int64, the records of each class in each group; the last column counts
        the group's records. Every group needs a class.
      given: [G] int64, folds from 0 that are set beforehand, -1 elsewhere.
      num_folds: how many folds.
      seed: of the draws.

    Returns:
      [G] int64, folds from 0.

    Raises:
      ValueError: a group has no class.
    """
    if not contents[:, :-1].any(axis=1).all():
        raise ValueError("a group has no class; count its source as one")
    fold = _deal(contents, given, num_folds, seed)
    return _even_out(contents, fold, given < 0, num_folds)


def _deal(contents: np.ndarray, fold: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
    """The dealing, which can leave a class uneven that came along with rarer ones."""
    rng = np.random.default_rng(seed)
    fold = fold.copy()
    # What each fold still lacks, times num_folds: whole numbers, so that ties are exact.
    lacking = np.tile(contents.sum(axis=0), (num_folds, 1))
    np.subtract.at(lacking, fold[fold >= 0], num_folds * contents[fold >= 0])
    draw = rng.permutation(len(contents))
    waiting = fold < 0
    remaining = contents[waiting, :-1].sum(axis=0)
    by_class = [np.flatnonzero(column) for column in contents[:, :-1].T]
    while remaining.any():
        rarest = int(np.argmin(np.where(remaining > 0, remaining, np.iinfo(np.int64).max)))
        members = by_class[rarest][waiting[by_class[rarest]]]
        # Large groups first, while there is still room to balance them.
        sizes = (-contents[members, rarest], -contents[members, -1])
        for number in members[np.lexsort((draw[members], *sizes[::-1]))]:
            lack = lacking[:, rarest]
            best = np.flatnonzero(lack == lack.max())
            if best.size > 1:
                lack = lacking[best, -1]
                best = best[lack == lack.max()]
            chosen = best[rng.integers(best.size)] if best.size > 1 else best[0]
            fold[number] = chosen
            lacking[chosen] -= num_folds * contents[number]
        waiting[members] = False
        remaining -= contents[members, :-1].sum(axis=0)
    return fold


def _even_out(
    contents: np.ndarray, fold: np.ndarray, movable: np.ndarray, num_folds: int
) -> np.ndarray:
    """Swaps groups until each class is within one record or 5 % of its share in every fold.

    Dealing gets large sets there by itself; in small ones a class that came along with rarer ones
    can be off by two or three. Each swap lowers the excess, so the search ends.
    """
    fold = fold.copy()
    # Groups of the same content are one pattern; the last pattern is nothing: a group is then
    # moved instead of swapped.
    patterns, pattern = np.unique(contents[:, :-1], axis=0, return_inverse=True)
    patterns = np.concatenate([patterns * num_folds, np.zeros_like(patterns[:1])])
    present = np.zeros((num_folds, len(patterns)), np.int64)
    np.add.at(present, (fold[movable], pattern[movable]), 1)
    present[:, -1] = 1
    total = contents[:, :-1].sum(axis=0)
    allowed = np.maximum(num_folds, 0.05 * total)
    lacking = _lacking(contents[:, :-1], fold, movable, num_folds)
    swaps = _Swaps(patterns)
    changes = np.zeros(num_folds, np.int64)
    # (fold, class, other fold) -> their changes when nothing was found there.
    hopeless: dict[tuple[int, int, int], tuple[int, int]] = {}
    while True:
        beyond = np.maximum(np.abs(lacking) - allowed, 0) / np.maximum(total, 1)
        best: tuple[float, int, int, int, int] | None = None
        for place in np.argsort(-beyond, axis=None, kind="stable"):
            one, column = divmod(int(place), lacking.shape[1])
            if best or beyond[one, column] <= 0:
                break
            for other in range(num_folds):
                state = (int(changes[one]), int(changes[other]))
                if other == one or hopeless.get((one, column, other)) == state:
                    continue
                found = swaps.best(
                    column, lacking[[one, other]], allowed, present[[one, other]] > 0
                )
                if found is None:
                    hopeless[one, column, other] = state
                elif best is None or found[0] > best[0]:
                    best = (*found, one, other)
        if best is None:
            return fold
        _, leaves, enters, one, other = best
        for source, target, kind in ((one, other, leaves), (other, one, enters)):
            if kind < len(patterns) - 1:
                moved = np.flatnonzero(movable & (fold == source) & (pattern == kind))[0]
                fold[moved] = target
                present[source, kind] -= 1
                present[target, kind] += 1
            changes[source] += 1
        change = patterns[leaves] - patterns[enters]
        lacking[one] += change
        lacking[other] -= change


def _lacking(
    contents: np.ndarray, fold: np.ndarray, movable: np.ndarray, num_folds: int
) -> np.ndarray:
    """What each fold lacks of each class [F, K], times num_folds.

    Its share is a tenth of the class. Where given folds hold more than that, they keep it, and the
    others share what is left: it is no use to swap for what can't be had.
    """
    total = contents.sum(axis=0)
    held, fixed = (
        np.stack([contents[rows & (fold == k)].sum(axis=0) for k in range(num_folds)])
        for rows in (np.ones(len(fold), bool), ~movable)
    )
    kept = np.zeros(held.shape, bool)
    while True:
        left = total - np.where(kept, fixed, 0).sum(axis=0)
        share = num_folds * left / np.maximum((~kept).sum(axis=0), 1)
        more = ~kept & (num_folds * fixed > share)
        if not more.any():
            return np.where(kept, num_folds * fixed, share) - num_folds * held
        kept |= more


class _Swaps:
    """Finds the swap of two patterns between two folds that lowers their excess most.

    The excess is a sum over the classes, so that the gain of a swap is that of the group that
    leaves, plus that of the group that enters, plus a correction for each class that both have:
    three small products instead of a sum over all classes for each pair of patterns.
    """

    def __init__(self, patterns: np.ndarray) -> None:
        """Takes patterns [P, K], the last of which is nothing."""
        self._patterns = patterns
        pairs = [
            (column, value)
            for column in range(patterns.shape[1])
            for value in np.unique(patterns[:, column])
            if value
        ]
        self._column, self._value = np.array(pairs, np.int64).reshape(-1, 2).T
        self._has = (patterns[:, self._column] == self._value).astype(np.float64)

    def best(
        self, column: int, lacking: np.ndarray, allowed: np.ndarray, present: np.ndarray
    ) -> tuple[float, int, int] | None:
        """Returns (gain, pattern that leaves, pattern that enters), or None if there is no gain.

        Args:
          column: The class of which the first fold lacks less afterwards, or has less too much.
          lacking: [2, K] of the first and the second fold.
          allowed: [K].
          present: [2, P] bool, the patterns that each can give.
        """
        sign = np.sign(lacking[0, column])
        values = sign * self._patterns[:, column]
        ours, theirs = (np.flatnonzero(some) for some in present)
        ours = ours[values[ours] < values[theirs].max()]
        theirs = theirs[values[theirs] > values[ours].min(initial=np.inf)]
        if not len(ours) or not len(theirs):
            return None
        gains = self._gains(lacking, allowed, ours, theirs)
        gains[values[ours][:, None] >= values[theirs]] = -np.inf
        # Nearly equal gains are weighed again by their definition, so that rounding decides alike
        # however they were summed.
        slack = 1e-9 * (1 + self._excess(lacking, allowed).sum())
        if gains.max() <= slack:
            return None
        i, j = np.nonzero(gains >= gains.max() - slack)
        change = self._patterns[ours[i]] - self._patterns[theirs[j]]
        after = [
            self._excess(lacking[0] + change, allowed),
            self._excess(lacking[1] - change, allowed),
        ]
        gain = self._excess(lacking[0], allowed) + self._excess(lacking[1], allowed)
        gain = gain - (after[0] + after[1])
        k = int(np.argmax(gain))
        return float(gain[k]), int(ours[i[k]]), int(theirs[j[k]])

    @staticmethod
    def _excess(lacking: np.ndarray, allowed: np.ndarray) -> np.ndarray:
        return (np.maximum(np.abs(lacking) - allowed, 0) ** 2).sum(axis=-1)

    def _gains(
        self, lacking: np.ndarray, allowed: np.ndarray, ours: np.ndarray, theirs: np.ndarray
    ) -> np.ndarray:
        """The gain [ours, theirs] of each swap."""
        lacks, bound = lacking[:, self._column], allowed[self._column]

        def saved(change: np.ndarray) -> np.ndarray:
            """By class: the excess before, less that after the first fold lacks so much more."""
            before, after = (
                np.maximum(np.abs(lacks[0] + d) - bound, 0) ** 2
                + np.maximum(np.abs(lacks[1] - d) - bound, 0) ** 2
                for d in (0, change)
            )
            return before - after

        leave, enter = saved(self._value), saved(-self._value)
        both = saved(self._value[:, None] - self._value)
        both = np.where(self._column[:, None] == self._column, both - leave[:, None] - enter, 0)
        return (
            (self._has[ours] @ leave)[:, None]
            + self._has[theirs] @ enter
            + self._has[ours] @ both @ self._has[theirs].T
        )
