"""Which texts share a forward pass. Pure functions."""

from collections.abc import Sequence


def plan_batches(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Groups texts of like length into batches of at most `max_tokens`, padding counted.

    Args:
        lengths: tokens of each text.
        max_tokens: rows × longest row of a batch; a single text may exceed it and then goes alone.
    Returns: indices into `lengths`, each exactly once, shortest texts first.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        # sorted by length, so this text is the longest of its batch
        if batches and lengths[index] * (len(batches[-1]) + 1) <= max_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
