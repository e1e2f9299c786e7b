"""Splits by a hash of the name."""

from training.data.datasets.splits import hash_number, is_held_out

NAMES = [f"{i}.jpg" for i in range(2000)]


def test_about_the_share_is_held_out_and_always_the_same() -> None:
    held_out = [is_held_out(name, 0.1, 0) for name in NAMES]
    assert 140 < sum(held_out) < 260
    assert held_out == [is_held_out(name, 0.1, 0) for name in NAMES]
    assert held_out != [is_held_out(name, 0.1, 1) for name in NAMES]


def test_a_larger_share_holds_out_the_same_samples_and_more() -> None:
    few, many = ({name for name in NAMES if is_held_out(name, share, 0)} for share in (0.1, 0.2))
    assert few < many
    assert not any(is_held_out(name, 0.0, 0) for name in NAMES)


def test_the_number_of_a_name_never_changes() -> None:
    """Prepared sets and recorded runs depend on it."""
    assert hash_number("helen/trainset/100032540_1", 0) == 11551702985109719663
