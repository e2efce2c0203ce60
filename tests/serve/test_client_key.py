import pytest

from showtell.serve.client_key import client_key


@pytest.mark.parametrize(
    ("address", "key"),
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
def test_all_addresses_of_a_client_have_one_key(address: str | None, key: str) -> None:
    assert client_key(address) == key
