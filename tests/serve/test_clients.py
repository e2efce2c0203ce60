import pytest

from showtell.serve.clients import Room, client_of


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("whatever a proxy says", "whatever a proxy says"),
        (None, ""),
    ],
)
def test_all_addresses_of_a_client_have_one_name(address: str | None, client: str) -> None:
    assert client_of(address) == client


def test_one_client_leaves_the_last_quarter_to_others() -> None:
    room = Room(8)
    assert [room.take("greedy") for _ in range(8)] == [True] * 6 + [False] * 2
    assert room.take("a") and not room.take("a"), "each of the others has one of the last"
    assert room.take("b") and not room.take("c"), "full is full"
    room.give_back("greedy")
    assert not room.take("greedy") and room.take("c"), "what comes back is for those who have none"


def test_there_is_always_room_for_nothing() -> None:
    room = Room(4)
    assert [room.take("a") for _ in range(4)] == [True] * 3 + [False]
    assert room.take("a", 0)
    room.give_back("a", 0)


def test_what_is_given_back_can_be_taken_by_the_same() -> None:
    room = Room(1)
    for _ in range(3):
        assert room.take("a") and not room.take("b")
        room.give_back("a")


def test_places_may_be_bytes_of_which_little_is_as_good_as_nothing() -> None:
    room = Room(100, little=20)
    assert room.take("greedy", 75) and not room.take("greedy", 1)
    assert room.take("a", 5) and room.take("a", 15) and not room.take("a", 1)
    assert room.take("b", 5) and not room.take("b", 1), "100 are 100"
