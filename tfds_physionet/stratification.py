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
    while (waiting := np.flatnonzero(fold < 0)).size:
        remaining = contents[waiting, :-1].sum(axis=0)
        rarest = int(np.argmin(np.where(remaining > 0, remaining, np.iinfo(np.int64).max)))
        members = waiting[contents[waiting, rarest] > 0]
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
    return fold


def _even_out(
    contents: np.ndarray, fold: np.ndarray, movable: np.ndarray, num_folds: int
) -> np.ndarray:
    """Swaps groups until each class is within one record or 5 % of its share in every fold.

    Dealing gets large sets there by itself; in small ones a class that came along with rarer ones
    can be off by two or three. Each swap lowers the excess, so the search ends.
    """
    fold = fold.copy()
    patterns, pattern = np.unique(contents[:, :-1], axis=0, return_inverse=True)
    patterns = np.concatenate([patterns * num_folds, np.zeros_like(patterns[:1])])
    total = contents[:, :-1].sum(axis=0)
    allowed = np.maximum(num_folds, 0.05 * total)
    count = np.zeros((num_folds, len(patterns) - 1), np.int64)
    np.add.at(count, (fold[movable], pattern[movable]), 1)
    lacking = total - num_folds * np.stack(
        [contents[fold == number, :-1].sum(axis=0) for number in range(num_folds)]
    )

    def excess(lacks: np.ndarray) -> np.ndarray:
        return (np.maximum(np.abs(lacks) - allowed, 0) ** 2).sum(axis=-1)

    hopeless: set[tuple[int, int]] = set()
    while True:
        beyond = np.maximum(np.abs(lacking) - allowed, 0) / np.maximum(total, 1)
        worst = [divmod(int(i), len(total)) for i in np.argsort(-beyond, axis=None, kind="stable")]
        worst = [place for place in worst if beyond[place] > 0 and place not in hopeless]
        if not worst:
            return fold
        one, column = worst[0]
        best = (0.0, 0, 0, 0)
        for other in range(num_folds):
            if other == one:
                continue
            # The last pattern is nothing: a group is then moved instead of swapped.
            ours = np.append(np.flatnonzero(count[one]), len(patterns) - 1)
            theirs = np.append(np.flatnonzero(count[other]), len(patterns) - 1)
            net = patterns[ours, column][:, None] - patterns[theirs, column]
            i, j = np.nonzero(net * np.sign(lacking[one, column]) < 0)
            step = 1 + i.size // 100_000  # bounds the memory; there is choice enough
            i, j = i[::step], j[::step]
            change = patterns[ours[i]] - patterns[theirs[j]]  # leaves `one`, enters `other`
            gain = excess(lacking[one] + change) + excess(lacking[other] - change)
            gain = excess(lacking[one]) + excess(lacking[other]) - gain
            if gain.size and gain.max() > best[0]:
                k = int(np.argmax(gain))
                best = (float(gain[k]), other, int(ours[i[k]]), int(theirs[j[k]]))
        if not best[0]:
            hopeless.add((one, column))
            continue
        _, other, leaves, enters = best
        for source, target, kind in ((one, other, leaves), (other, one, enters)):
            if kind < len(patterns) - 1:
                moved = np.flatnonzero(movable & (fold == source) & (pattern == kind))[0]
                fold[moved] = target
                count[source, kind] -= 1
                count[target, kind] += 1
        change = patterns[leaves] - patterns[enters]
        lacking[one] += change
        lacking[other] -= change
        hopeless.clear()
