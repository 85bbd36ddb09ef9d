"""What servers see reaches the board once, whoever saw it first and however often it is flushed."""

from collections.abc import Sequence

import pytest

from transformations.models.rollout.board import Board, Counters, Observation
from transformations.models.rollout.tables import RolloutTables
from transformations.models.rollout.tally import Tally

MODEL, STEP = "user_return", 5


@pytest.fixture
def board(tables: RolloutTables) -> Board:
    return Board(tables)


def tally(server: str = "a") -> Tally:
    return Tally(MODEL, STEP, "salt", server)


def test_the_first_difference_of_a_unit_counts_on_whatever_server(board: Board) -> None:
    one, other = tally("a"), tally("b")
    one.scored(["[1]", "[2]", "[1]"], [0.5, 0.5, 0.9], [0.4, 0.5, 0.1])
    other.scored(["[2]", "[3]", None], [0.9, 0.2, 0.2], [0.1, 0.5, 0.5])
    one.flush(board, 1, 0)
    other.flush(board, 2, 0)
    seen = board.seen(MODEL, STEP)
    assert seen.differences.tolist() == pytest.approx([0.1, 0.0, 0.3])
    assert (seen.rows, seen.counters.clean, seen.failures) == (6, 6, 0)


def test_a_unit_fails_once_and_rows_without_a_unit_fail_together(board: Board) -> None:
    mine = tally()
    mine.failed(["[1]", "[1]", None, None])
    mine.scored(["[1]"], [0.5], [0.5])
    mine.flush(board, 1, 0)
    seen = board.seen(MODEL, STEP)
    assert (seen.failures, seen.counters.failed, seen.rows) == (2, 4, 5)


def test_flushing_again_changes_nothing(board: Board) -> None:
    mine = tally()
    mine.scored(["[1]"], [0.5], [0.4])
    mine.shed(3)
    for _ in range(3):
        mine.flush(board, 1, 0)
    seen = board.seen(MODEL, STEP)
    assert (len(seen.differences), seen.rows, seen.counters.shed) == (1, 1, 3)


class Broken(Board):
    """Writes, and then says that it could not: the connection was lost before the answer."""

    def write(
        self, model: str, step: int, server: str, counters: Counters, observations: Sequence[Observation], micros: int
    ) -> None:
        super().write(model, step, server, counters, observations, micros)
        raise ConnectionError("lost")


def test_a_flush_of_which_nobody_knows_whether_it_came_through_is_repeated(board: Board, tables: RolloutTables) -> None:
    mine = tally()
    mine.scored(["[1]", "[2]"], [0.5, 0.5], [0.4, 0.4])
    with pytest.raises(ConnectionError):
        mine.flush(Broken(tables), 1, 0)
    mine.scored(["[3]"], [0.5], [0.4])
    mine.flush(board, 2, 0)
    seen = board.seen(MODEL, STEP)
    assert (len(seen.differences), seen.rows) == (3, 3)


def test_a_minute_gives_one_ratio_of_medians_once_it_is_over(board: Board) -> None:
    mine = tally()
    for call in range(11):
        mine.took(0.003 if call else 9.0, 0.001, monotonic=120.0 + call)
    mine.took(0.003, 0.001, monotonic=200.0)
    mine.flush(board, 1, monotonic=179.9)
    assert board.seen(MODEL, STEP).ratios.tolist() == []
    for _ in range(2):
        mine.flush(board, 1, monotonic=400.0)
    assert board.seen(MODEL, STEP).ratios.tolist() == pytest.approx([3.0]), "the minute of one call has no median"


def test_steps_and_projects_are_apart_and_old_ones_are_forgotten(board: Board, tables: RolloutTables) -> None:
    mine = tally()
    mine.scored(["[1]"], [0.5], [0.4])
    mine.flush(board, 1, 0)
    assert board.seen(MODEL, STEP + 1).rows == board.seen("other", STEP).rows == 0
    board.forget(MODEL, STEP)
    assert board.seen(MODEL, STEP).rows == 1
    board.forget(MODEL, STEP + 1)
    assert (board.seen(MODEL, STEP).rows, len(board.seen(MODEL, STEP).differences)) == (0, 0)
